"""Learning of references: one from all elements, or several by Wasserstein K-means."""

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.utils.extmath import row_norms

from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn.features._clustering import draw_rows, kmeans_centers
from otk_sklearn.features._feature_map import FeatureMap
from otk_sklearn.features._unit_norm import unit_rows
from otk_sklearn.matching._embedding_state import EmbeddingState
from otk_sklearn.matching._matching import Matching
from otk_sklearn.sets._equality import group_equal_rows
from otk_sklearn.sets._positions import order_supports
from otk_sklearn.sets._sampling import Elements, sum_groups
from otk_sklearn.sets._validation import check_finite_output

# Iterations of Wasserstein K-means, and those without improvement before it stops.
MAX_ITER = 50
_PATIENCE = 5

# Swaps of single references, and those without improvement in a row before it stops.
_MAX_SWAPS = 30
_MAX_FAILED_SWAPS = 2

# Iterations of K-means within one of Wasserstein K-means: more don't improve it.
_MAX_KMEANS_ITER = 10

# Probability of drawing a set of cost 0, relative to one of the highest cost.
_MIN_PROBABILITY = 1e-9

# Smallest weight of a set, relative to the largest.
_MIN_WEIGHT = 1e-20

# Barycentres have converged once an iteration changes at most this part of the total gain.
_MIN_GAIN = 1e-3

# Values of plans that have not converged are overestimated: sets would be assigned to the
# wrong reference, and objectives decrease as plans improve. Barycentres multiply `max_iter`
# by the first factor; all multiply `tol` by the second.
_MAX_ITER_FACTOR = 10
_TOL_FACTOR = 0.1


def learn_reference(elements, n_supports, method, random_state, n_jobs=None, max_iter=100):
    """Learn one reference from elements, whichever sets they belong to.

    Parameters
    ----------
    elements : Elements
        Features: distinct, and L2-normalized, or 0 for an element far from all anchors.
    n_supports : int
    method : {"kmeans", "random"}
    random_state : int
    n_jobs : int or None, default=None
    max_iter : int, default=100
        Iterations of K-means.

    Returns
    -------
    reference : ndarray of shape (n_supports, n_components)
        L2-normalized; in order, if elements have positions. With fewer elements than
        `n_supports`, supports repeat.
    """
    nonzero = elements.rows.any(axis=1)
    if nonzero.any() and not nonzero.all():  # copy only if needed
        elements = elements[nonzero]
    rows, masses = elements.rows, elements.masses
    if method == "random":
        drawn = elements[draw_rows(len(rows), masses, n_supports, random_state)]
        supports, positions = drawn.rows, drawn.positions
    else:
        centers, label = kmeans_centers(
            rows, masses, n_supports, random_state, n_jobs, max_iter
        )
        supports, _ = unit_rows(centers)
        masses, positions = sum_groups(label, len(supports), masses, elements.positions)
        positions[masses == 0] = 0.5  # centres without elements
    cyclic = np.arange(n_supports) % len(supports)
    return supports[cyclic[order_supports(positions[cyclic])]]


def learn_from_elements(
    feature_map,
    elements,
    n_references,
    n_supports,
    method,
    random_state,
    *,
    n_jobs=None,
    version=None,
):
    """Learn references from elements alone.

    Parameters
    ----------
    feature_map : FeatureMap
    elements : Elements
        Distinct; L2-normalized, unless the kernel is rbf.
    n_references, n_supports : int
    method : {"kmeans", "random"}
    random_state : int
    n_jobs : int or None
    version : str or None, default=None
        As in `cached`.

    Returns
    -------
    references : ndarray of shape (n_references, n_supports, n_components)
    """
    features = elements  # already L2-normalized, if they are their own features
    if feature_map.anchors is not None:
        unit = feature_map.features(elements.rows, n_jobs)
        unit_rows(unit, out=unit)
        features = replace(elements, rows=unit)
    references = [
        learn_reference(features, n_supports, method, random_state + r, n_jobs)
        for r in range(n_references)
    ]
    return np.stack(references)


def wasserstein_kmeans(
    feature_map,
    sets,
    sample_weight,
    n_references,
    n_supports,
    method,
    transport,
    position_filter,
    random_state,
    *,
    n_jobs,
    progress,
    version=None,
):
    """Learn references such that each set resembles one of them.

    A set is assigned to the reference whose plan has the largest value. Alternating with
    that, each reference is learned from its sets by K-means of their elements. With
    "barycenter", its supports then move to the L2-normalized mean embedding of its sets,
    alternating with the assignment: these are optimal for the current plans, so values only
    increase.

    K-means starts from references of single sets, as k-means++ does, and restarts with one
    reference swapped for another as long as that improves the objective.

    Parameters
    ----------
    feature_map : FeatureMap
    sets : SetCollection
        Of elements or windows.
    sample_weight : ndarray of shape (n_sets,)
        Positive.
    n_references : int
    n_supports : int
    method : {"kmeans", "barycenter"}
    transport, position_filter
        As in `Matching`.
    random_state : int
    n_jobs : int or None
    progress : Progress
    version : str or None, default=None
        As in `cached`.

    Returns
    -------
    references : ndarray of shape (n_references, n_supports, n_components)
    history : ndarray of shape (n_iter,)
        The objective, which is the mean over sets of their largest value, in each
        iteration (with "barycenter", without the K-means that it starts from). The
        references are those of its maximum.
    residual : ndarray of shape (n_sets, n_references)
        Marginal errors of the plans to these references, as in `Plans`.

    Raises
    ------
    LearningStopped
        If a callback stops the iterations. It carries the best state so far.
    """
    sets = _FeatureSets(
        feature_map, sets, transport, position_filter, n_jobs, sample_weight
    )
    random = np.random.RandomState(random_state)
    seed = random.randint(2**31 - 1)
    if n_references == 1:
        references = sets.reference_of(np.arange(len(sets)), n_supports, seed)[np.newaxis]
    else:
        references = _initial_references(sets, n_references, n_supports, random)
        best = _alternate(sets, references, "kmeans", seed, progress)
        history, failed_swaps = best.history, 0
        for _ in range(0 if progress.stops else _MAX_SWAPS):
            references = _swap_reference(sets, best, random)
            run = _alternate(sets, references, "kmeans", seed, progress)
            history = history + run.history
            failed_swaps = 0 if run.objective > best.objective else failed_swaps + 1
            best = max(best, run, key=lambda run: run.objective)
            if failed_swaps == _MAX_FAILED_SWAPS or progress.stops:
                break
        references = best.references
    if method == "barycenter" and not progress.stops:
        best = _alternate(sets, references, "barycenter", seed, progress)
        history = best.history
    learned = best.references, np.array(history), best.matched.residual
    if progress.stops:
        raise LearningStopped(learned)
    return learned


class LearningStopped(Exception):
    """A callback has stopped the learning, so that its result must not be cached.

    Parameters
    ----------
    learned : tuple
        What `wasserstein_kmeans` would have returned.
    """

    def __init__(self, learned):
        super().__init__()
        self.learned = learned


class _FeatureSets:
    """Features of the sets that references are learned from, and how to match them.

    Parameters
    ----------
    feature_map : FeatureMap
    sets : SetCollection
        Of elements or windows.
    transport : Transport
    position_filter : PositionFilter or None
    n_jobs : int or None
    sample_weight : ndarray of shape (n_sets,)
    """

    def __init__(
        self, feature_map, sets, transport, position_filter, n_jobs, sample_weight
    ):
        self._first, self._label = group_equal_rows(sets.values)
        features = feature_map.features(sets.values[self._first])
        self.sets = sets.with_values(features[self._label])
        check_finite_output(
            self.sets.values, "feature", sets.offsets, "those to learn references from"
        )
        # In the precision of values, without underflow to 0.
        weights = np.maximum(sample_weight / sample_weight.max(), _MIN_WEIGHT)
        self.weights = weights.astype(sets.dtype)
        self._masses = sets.masses
        self._positions = sets.positions
        if position_filter is None:
            self._positions = np.empty((len(self._masses), 0))
        self._transport, self._position_filter = transport, position_filter
        self._n_jobs = n_jobs

    def __len__(self):
        return len(self.sets)

    def reference_of(self, chosen, n_supports, random_state):
        """Learn a reference by K-means of the elements of the sets with these indices."""
        rows = np.concatenate([np.arange(*self.sets.offsets[s : s + 2]) for s in chosen])
        distinct, label = np.unique(self._label[rows], return_inverse=True)
        masses = self._masses[rows] * np.repeat(
            self.weights[chosen], self.sets.lengths[chosen]
        )
        merged = sum_groups(label, len(distinct), masses, self._positions[rows])
        # Recomputed each time to save memory: K-means takes much longer.
        unit, _ = unit_rows(self.sets.values[self._first[distinct]])
        elements = Elements(unit, *merged)
        return learn_reference(
            elements, n_supports, "kmeans", random_state, self._n_jobs, _MAX_KMEANS_ITER
        )

    def match(self, references, method="kmeans"):
        """Match all sets to all references, for K-means or for barycentres."""
        transport, objective = self._transport, "similarity"
        transport = replace(transport, tol=_TOL_FACTOR * transport.tol)
        if method == "barycenter":
            objective = "regularized"
            if transport.tol > 0:
                max_iter = _MAX_ITER_FACTOR * transport.max_iter
                transport = replace(transport, max_iter=max_iter)
        state = EmbeddingState(
            FeatureMap("linear"),
            references,
            transport,
            position_filter=self._position_filter,
            n_jobs=self._n_jobs,
        )
        matching = Matching(state, self.sets.dtype, objective)

        def match(chunk):
            sets = self.sets[chunk]
            if method == "kmeans":
                plans = matching.plans(sets)
                return plans.value, plans.residual, 0.0
            embeddings = np.empty((len(sets), *references.shape), sets.dtype)
            plans = matching.embed(sets, embeddings)
            own = plans.value.argmax(axis=1)[:, np.newaxis] == np.arange(len(references))
            own = own * self.weights[chunk, np.newaxis]
            sums = np.einsum("sr,srjk->rjk", own, embeddings, dtype=np.float64)
            return plans.value, plans.residual, sums

        values, residual, sums = zip(*matching.map(match, self.sets))
        return _Matched(np.concatenate(values), np.concatenate(residual), sum(sums))

    def costs(self, values):
        """Transport costs `||psi(x_i) - z_j||^2` of plans of these values."""
        if self._transport.penalty.needs_norms:  # values include the norms
            return np.maximum(1 - 2 * values, 0)
        norms = self._masses * row_norms(self.sets.values, squared=True)
        means = np.add.reduceat(norms, self.sets.offsets[:-1])
        return np.maximum((means - 2 * values.T).T + 1, 0)


@compared_by_identity
class _Matched(NamedTuple):
    """How sets match references.

    Parameters
    ----------
    values : ndarray of shape (n_sets, n_references)
    residual : ndarray of shape (n_sets, n_references)
        As in `Plans`.
    sums : ndarray of shape (n_references, n_supports, n_components) or 0
        Weighted sums of the embeddings of each reference's own sets, for barycentres.
    """

    values: np.ndarray
    residual: np.ndarray
    sums: np.ndarray | float


@compared_by_identity
class _Run(NamedTuple):
    """The best state of alternating optimization, and its history of objectives."""

    references: np.ndarray
    matched: _Matched
    history: list

    @property
    def objective(self):
        return max(self.history)


def _alternate(sets, references, method, seed, progress):
    """Alternately assign sets to references and learn references from their sets."""
    history, labels, matched = [], [], None
    while True:
        progress.begin_iteration()
        if matched is not None and method == "barycenter":
            references = _move_supports(references, matched.sums)
        elif matched is not None:
            references = _learn_from_own(sets, references, matched.values, labels, seed)
        matched = sets.match(references, method)
        labels.append(matched.values.argmax(axis=1))
        history.append(np.average(matched.values.max(axis=1), weights=sets.weights))
        if np.argmax(history) == len(history) - 1:
            best = references, matched
        progress.end_iteration(history[-1])
        finished = len(history) == MAX_ITER or _has_converged(history, labels, method)
        if finished or progress.stops:
            return _Run(*best, history)


def _has_converged(history, labels, method):
    if len(history) < 2:
        return False
    if np.argmax(history) < len(history) - _PATIENCE:
        return True
    same = np.array_equal(labels[-1], labels[-2])
    if method == "barycenter":
        change, gains = abs(history[-1] - history[-2]), max(history) - history[0]
        return same and change <= _MIN_GAIN * gains
    return same


def _move_supports(references, sums):
    """Normalize the summed embeddings of each reference's sets; keep supports if 0."""
    moved, norms = unit_rows(sums.reshape(-1, sums.shape[2]))
    moved = np.where(norms[:, np.newaxis] > 0, moved, references.reshape(moved.shape))
    return moved.reshape(references.shape).astype(references.dtype)


def _learn_from_own(sets, references, values, labels, seed):
    """Learn each reference by K-means from its assigned sets, if these have changed."""
    worst_first = np.argsort(-sets.costs(values.max(axis=1)), kind="stable")
    worst_first = itertools.cycle(worst_first)  # there may be fewer distinct sets
    n_references, n_supports, _ = references.shape
    learned = references.copy()
    for r in range(n_references):
        own, *before = (np.flatnonzero(label == r) for label in reversed(labels[-2:]))
        if not len(own):  # no set is assigned: use the worst-matched one
            learned[r] = sets.reference_of([next(worst_first)], n_supports, seed)
        elif not before or not np.array_equal(own, before[0]):
            learned[r] = sets.reference_of(own, n_supports, seed)
    return learned


def _initial_references(sets, n_references, n_supports, random):
    """Initialize references from single sets by greedy k-means++."""
    costs = np.full(len(sets), np.inf)  # of each set, to the nearest reference
    references = []
    for _ in range(n_references):
        reference, costs = _draw_reference(sets, costs, n_references, n_supports, random)
        references.append(reference)
    return np.stack(references)


def _draw_reference(sets, costs, n_references, n_supports, random):
    """Draw sets; return the reference of the best one, and the costs with it."""
    highest = costs.max()
    probabilities = (
        costs / highest + _MIN_PROBABILITY if 0 < highest < np.inf else np.ones(len(sets))
    )
    probabilities = probabilities * sets.weights
    n_trials = min(2 + int(math.log(n_references)), len(sets))  # as in scikit-learn
    drawn = random.choice(
        len(sets), n_trials, replace=False, p=probabilities / probabilities.sum()
    )
    seed = random.randint(2**31 - 1)
    references = np.stack([sets.reference_of([s], n_supports, seed) for s in drawn])
    new_costs = np.minimum(sets.costs(sets.match(references).values), costs[:, np.newaxis])
    best = (new_costs * sets.weights[:, np.newaxis]).sum(axis=0).argmin()
    return references[best], new_costs[:, best]


def _swap_reference(sets, run, random):
    """Replace the reference whose removal costs least by a newly drawn one."""
    values, references = run.matched.values, run.references.copy()
    second, first = np.sort(values, axis=1)[:, -2:].T
    losses = (first - second) * sets.weights
    removal_costs = np.bincount(values.argmax(axis=1), losses, len(references))
    r = removal_costs.argmin()
    costs = sets.costs(np.delete(values, r, axis=1).max(axis=1))
    references[r], _ = _draw_reference(sets, costs, *references.shape[:2], random)
    return references
