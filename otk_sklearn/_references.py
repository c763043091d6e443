"""Learning of references: one of all elements, or several by Wasserstein K-means."""

import math

import numpy as np
from sklearn.utils.extmath import row_norms

from otk_sklearn._clustering import Elements, draw_rows, group_equal_rows, kmeans_centers
from otk_sklearn._features import FeatureMap, unit_rows
from otk_sklearn._matching import Matching
from otk_sklearn._positions import order_supports

# Iterations of Wasserstein K-means, at most in all, and without a better state.
_MAX_ITER = 50
_PATIENCE = 5

# Barycentres have settled once an iteration gains no more than this part of all gains.
_MIN_GAIN = 1e-3


def learn_reference(elements, n_supports, method, random_state, init="k-means++"):
    """Learn one reference from elements, whichever sets they belong to.

    Parameters
    ----------
    elements : Elements
        Features: distinct, and unit-norm, but for 0 where no anchor knows an element.
    n_supports : int
    method : {"kmeans", "random"}
    random_state : int
    init : "k-means++" or ndarray of shape (n_supports, n_components)
        Where K-means starts.

    Returns
    -------
    reference : ndarray of shape (n_supports, n_components)
        Unit-norm; in order, if elements have positions. With fewer elements than
        `n_supports`, supports repeat.
    """
    known = elements.rows.any(axis=1)
    if known.any():
        elements = elements[known]
    rows, masses = elements.rows, elements.masses
    if method == "random":
        drawn = elements[draw_rows(len(rows), masses, n_supports, random_state)]
        supports, positions = drawn.rows, drawn.positions
    else:
        centers, label = kmeans_centers(rows, masses, n_supports, random_state, init)
        supports, _ = unit_rows(centers)
        masses, positions = elements.of_groups(label, len(supports))
        positions[masses == 0] = 0.5  # of centres that others have taken all elements from
    cyclic = np.arange(n_supports) % len(supports)
    return supports[cyclic[order_supports(positions[cyclic])]]


def learn_from_elements(
    feature_map, elements, n_references, n_supports, method, random_state
):
    """Learn references from elements alone.

    Parameters
    ----------
    feature_map : FeatureMap
    elements : Elements
        Distinct; unit-norm, unless the kernel is rbf.
    n_references, n_supports : int
    method : {"kmeans", "random"}
    random_state : int

    Returns
    -------
    references : ndarray of shape (n_references, n_supports, n_components)
    """
    unit, _ = unit_rows(feature_map.features(elements.rows))
    features = Elements(unit, elements.masses, elements.positions)
    references = [
        learn_reference(features, n_supports, method, random_state + r)
        for r in range(n_references)
    ]
    return np.stack(references)


def learn_from_sets(
    feature_map,
    sets,
    n_references,
    n_supports,
    method,
    transport,
    position_filter,
    random_state,
    n_jobs=None,
):
    """Learn references from sets, as `wasserstein_kmeans` does.

    Parameters
    ----------
    feature_map : FeatureMap
    sets : SetCollection
        Of elements or windows.
    n_references, n_supports, method, random_state
        As in `wasserstein_kmeans`.
    transport, position_filter, n_jobs
        As in `Matching`.
    """
    features = SetsOfFeatures(
        feature_map, sets, transport, position_filter, method == "barycenter", n_jobs
    )
    return wasserstein_kmeans(features, n_references, n_supports, method, random_state)


class SetsOfFeatures:
    """Sets that several references are learned from, and how they are matched.

    Parameters
    ----------
    feature_map : FeatureMap
    sets : SetCollection
        Of elements or windows.
    transport : Transport
    position_filter : PositionFilter or None
    regularized : bool
        Whether the value of a plan is what it maximises, rather than `<P, S>` alone.
    n_jobs : int or None
    """

    def __init__(self, feature_map, sets, transport, position_filter, regularized, n_jobs):
        first, self._label = group_equal_rows(sets.values)
        features = feature_map.features(sets.values[first])
        self.sets = sets.with_values(features[self._label])
        self._unit, _ = unit_rows(features)
        self._masses = sets.masses
        self._positions = sets.positions
        if position_filter is None:
            self._positions = np.empty((len(self._masses), 0))
        self._transport, self._position_filter = transport, position_filter
        self._regularized, self._n_jobs = regularized, n_jobs

    def reference_of(self, chosen, n_supports, random_state, init="k-means++"):
        """Learn a reference by K-means of the elements of the sets with these indices."""
        rows = np.concatenate([np.arange(*self.sets.offsets[s : s + 2]) for s in chosen])
        kinds, label = np.unique(self._label[rows], return_inverse=True)
        elements = Elements(self._unit[kinds], self._masses[rows], self._positions[rows])
        merged = Elements(self._unit[kinds], *elements.of_groups(label, len(kinds)))
        return learn_reference(merged, n_supports, "kmeans", random_state, init)

    def match(self, references):
        """Match all sets to all references.

        Returns
        -------
        values : ndarray of shape (n_sets, n_references)
        sums : ndarray of shape (n_references, n_supports, n_components)
            Sums of the embeddings of each reference's own sets; 0 unless `regularized`.
        """
        matching = Matching(
            FeatureMap("linear"),
            references,
            self._transport,
            self._position_filter,
            self._n_jobs,
            "regularized" if self._regularized else "similarity",
        )

        def match(chunk):
            sets = self.sets[chunk]
            if not self._regularized:
                return matching.plans(sets).value, 0.0
            embeddings = np.empty((len(sets), *references.shape), sets.dtype)
            values = matching.embed(sets, embeddings).value
            own = values.argmax(axis=1)[:, np.newaxis] == np.arange(len(references))
            return values, np.einsum("sr,srjk->rjk", own, embeddings, dtype=np.float64)

        values, sums = zip(*matching.map(match, self.sets))
        return np.concatenate(values), sum(sums)

    def costs(self, values):
        """Transport costs `||psi(x_i) - z_j||^2` of plans of these values."""
        if self._transport.relaxation is not None:  # the norms are in the values already
            return np.maximum(1 - 2 * values, 0)
        norms = self._masses * row_norms(self.sets.values, squared=True)
        means = np.add.reduceat(norms, self.sets.offsets[:-1])
        return np.maximum(means.reshape(-1, *[1] * (values.ndim - 1)) + 1 - 2 * values, 0)


def wasserstein_kmeans(sets, n_references, n_supports, method, random_state):
    """Learn references such that each set resembles one of them.

    A set belongs to the reference whose plan has the largest value. "kmeans" learns a
    reference from its sets by K-means of their elements; "barycenter" moves its supports to
    the mean embedding of its sets, made unit-norm: the best there are for these plans.

    Parameters
    ----------
    sets : SetsOfFeatures
    n_references : int
        No more than there are sets.
    n_supports : int
    method : {"kmeans", "barycenter"}
    random_state : int

    Returns
    -------
    references : ndarray of shape (n_references, n_supports, n_components)
        Those of the largest objective seen.
    history : ndarray of shape (n_iter,)
        The objective in each iteration: the mean over sets of the value of their plans.
    """
    random = np.random.RandomState(random_state)
    references = _initial_references(sets, n_references, n_supports, random)
    seed = random.randint(2**31 - 1)
    history, labels = [], []
    while len(history) < _MAX_ITER and not _has_settled(history, labels, method):
        values, sums = sets.match(references)
        labels.append(values.argmax(axis=1))
        history.append(values.max(axis=1).mean())
        if history[-1] == max(history):
            best = references
        worst_first = iter(np.argsort(-sets.costs(values.max(axis=1)), kind="stable"))
        relearned = np.empty_like(references)
        for r, reference in enumerate(references):
            own = np.flatnonzero(labels[-1] == r)
            if not len(own):  # nobody's: start again from the set that is matched worst
                relearned[r] = sets.reference_of([next(worst_first)], n_supports, seed)
            elif method == "kmeans":
                relearned[r] = sets.reference_of(own, n_supports, seed, init=reference)
            else:
                moved, norms = unit_rows(sums[r])
                relearned[r] = np.where(norms[:, np.newaxis] > 0, moved, reference)
        references = relearned
    return best, np.array(history)


def _has_settled(history, labels, method):
    if len(history) < 2:
        return False
    same = np.array_equal(labels[-1], labels[-2])
    if method == "barycenter":
        gain, gains = history[-1] - history[-2], history[-1] - history[0]
        return same and gain <= _MIN_GAIN * gains
    return same or np.argmax(history) < len(history) - _PATIENCE


def _initial_references(sets, n_references, n_supports, random):
    """Greedy k-means++ over sets; then K-means of the sets nearest to each one chosen."""
    n_sets = len(sets.sets)
    seed = random.randint(2**31 - 1)
    if n_references == 1:
        return sets.reference_of(np.arange(n_sets), n_supports, seed)[np.newaxis]
    n_trials = 2 + int(math.log(n_references))
    left = np.ones(n_sets, bool)  # sets not chosen yet
    costs = np.full(n_sets, np.inf)  # of each set, to the nearest of those chosen
    seeds, values = [], []
    for _ in range(n_references):
        chances = left / left.sum() if np.isinf(costs).all() else left * (costs + 1e-9)
        candidates = random.choice(
            n_sets, min(n_trials, left.sum()), replace=False, p=chances / chances.sum()
        )
        references = [sets.reference_of([s], n_supports, seed) for s in candidates]
        candidate_values, _ = sets.match(np.stack(references))
        candidate_costs = np.minimum(sets.costs(candidate_values), costs[:, np.newaxis])
        best = candidate_costs.sum(axis=0).argmin()
        costs = candidate_costs[:, best]
        left[candidates[best]] = False
        seeds.append(references[best])
        values.append(candidate_values[:, best])
    label = np.argmax(values, axis=0)
    owns = [np.flatnonzero(label == r) for r in range(n_references)]
    return np.stack(
        [
            sets.reference_of(own, n_supports, seed) if len(own) else seeds[r]
            for r, own in enumerate(owns)
        ]
    )
