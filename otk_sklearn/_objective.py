"""What is trained with labels, and the objective: the mean loss, and its gradient."""

import copy
import functools
import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from otk_sklearn._arrays import as_fitted
from otk_sklearn._clustering import group_equal_sets
from otk_sklearn._features import fitted_map, make_feature_map, unit_rows
from otk_sklearn._gradients import (
    DifferentiableMap,
    DifferentiableMatching,
    Gradients,
    Summable,
)
from otk_sklearn._head import fit_head, logistic_loss, score_of, softmax_loss
from otk_sklearn._sets import SetCollection
from otk_sklearn._windows import windows_of

# Elements whose gradients are summed up at a time.
_PIECE = 2**18

# Embeddings are taken to differ by at least this part of their norm.
_MIN_SPREAD = 1e-2

# Bandwidths and anchors that are further from where they started have no meaning.
_MAX_LOG_CHANGE = 20.0
_MAX_DISTANCE = 1e6

# Parts that cross-validation cuts the sets into.
_N_FOLDS = 3


class Parameters(NamedTuple):
    """Everything that training may change.

    Parameters
    ----------
    references : ndarray of shape (n_references, n_supports, n_components)
    anchors : ndarray of shape (n_components, n_features) or None
    log_gamma : ndarray of shape () or None
    coef : ndarray of shape (n_outputs, n_references * n_supports * n_components)
    intercept : ndarray of shape (n_outputs,)
    """

    references: np.ndarray
    anchors: np.ndarray | None
    log_gamma: np.ndarray | None
    coef: np.ndarray
    intercept: np.ndarray


def parameters_of(embedding, coef, intercept):
    """Return the `Parameters` of a fitted embedding and a linear model of it."""
    feature_map, log_gamma = fitted_map(embedding, embedding._kernel), None
    anchors = feature_map.anchors
    if anchors is not None:
        anchors = anchors.astype(np.float64)
        log_gamma = np.asarray(np.log(feature_map.gamma))
    shape = (None, None, feature_map.n_components)
    references = as_fitted(embedding.references_, "references_", shape).astype(np.float64)
    return Parameters(references, anchors, log_gamma, coef, intercept)


def embedding_of(embedding, parameters):
    """Return a copy of a fitted embedding that has these parameters."""
    trained = copy.copy(embedding)
    dtype = embedding.references_.dtype
    trained.references_ = parameters.references.astype(dtype)
    if parameters.anchors is not None:
        trained.gamma_ = float(np.exp(parameters.log_gamma))
        limits = np.finfo(embedding.anchors_.dtype)  # a step may lead out of its range
        anchors = np.clip(parameters.anchors, limits.min, limits.max).astype(limits.dtype)
        feature_map = make_feature_map(
            embedding.kernel, trained.gamma_, anchors, embedding.damping
        )
        trained.anchors_ = feature_map.anchors
        trained.normalization_ = feature_map.normalization
    return trained


class Problem(NamedTuple):
    """What a model is trained on, and to what end.

    Parameters
    ----------
    sets : SetCollection
    targets : ndarray of shape (n_sets, n_outputs)
        Standardized: what users see is `scale * targets + center`.
    weights : ndarray of shape (n_sets,)
        Positive.
    loss : callable
        As in `_head.py`.
    center, scale : ndarray of shape (n_outputs,) or float
    alpha : float or None
        Strength of the L2 penalty `alpha / 2 ||coef||^2` on the sum of losses.
    """

    sets: SetCollection
    targets: np.ndarray
    weights: np.ndarray
    loss: Callable
    center: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0
    alpha: float | None = None

    def part(self, index):
        """Return the same problem on some of the sets."""
        return self._replace(
            sets=self.sets[index],
            targets=self.targets[index],
            weights=self.weights[index],
        )

    def distinct(self):
        """Return the problem with equal sets of equal targets as one, in an own order.

        What is learned then doesn't depend on the order of sets, nor on whether they are
        repeated or weigh more.
        """
        # Targets, of any scale, only decide on the order of sets that are otherwise equal.
        _, kind = group_equal_sets(self.sets)
        keys = np.column_stack([kind, self.targets])
        _, first, label = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        weights = np.bincount(label.ravel(), self.weights)
        return self.part(first)._replace(weights=weights)

    def split(self, fraction, random):
        """Return the indices of the sets to train on, and of those to hold out."""
        index, strata = np.arange(len(self.weights)), self.strata
        n_held_out = max(round(fraction * len(index)), min(2, len(index) // 2))
        n_held_out = min(n_held_out, len(index) - 1)
        if strata is not None:
            sizes = np.unique(strata, return_counts=True)[1]
            if sizes.min() < 2 or len(sizes) > min(n_held_out, len(index) - n_held_out):
                strata = None  # there are classes too small to be on both sides
        return train_test_split(
            index, test_size=n_held_out, stratify=strata, random_state=random
        )

    @property
    def strata(self):
        """The class of each set; None where sets aren't of one class each."""
        if self.loss is softmax_loss:
            return self.targets.argmax(axis=1)
        if self.loss is logistic_loss and self.targets.shape[1] == 1:
            return self.targets[:, 0].astype(int)
        return None

    def fit_head(self, embeddings, start=None):
        """Return coef and intercept of the best linear model of the sets' embeddings."""
        return fit_head(
            embeddings, self.targets, self.weights, self.alpha, self.loss, start
        )

    def score(self, scores):
        """Return accuracy or R^2, and the mean loss."""
        losses, _ = self.loss(scores, self.targets)
        mean_loss = np.average(losses, weights=self.weights)
        return score_of(self.loss, scores, self.targets, self.weights), mean_loss

    def folds(self, random):
        """Return pairs of masks of the sets to fit to, and to test on; none if too few."""
        n_sets = len(self.weights)
        if n_sets < 2 * _N_FOLDS:
            return []
        fold_of = random.permutation(n_sets) % _N_FOLDS
        if self.strata is not None:  # the folds of each class are as even as can be
            order = random.permutation(n_sets)
            order = order[np.argsort(self.strata[order], kind="stable")]
            fold_of[order] = np.arange(n_sets) % _N_FOLDS
        return [(fold_of != fold, fold_of == fold) for fold in range(_N_FOLDS)]

    def choose_alpha(self, embeddings, splits, alphas):
        """Return the strength of the penalty of the least loss on sets not fitted to.

        Parameters
        ----------
        embeddings : ndarray of shape (n_sets, n_features)
        splits : list of pairs of indices
            The sets to fit to, and those to test on.
        alphas : sequence of float
            To choose from, strongest first.
        """
        totals = np.zeros(len(alphas))
        for fitted_to, tested in splits:
            part, test, head = self.part(fitted_to), self.part(tested), None
            for i, alpha in enumerate(alphas):
                head = part._replace(alpha=alpha).fit_head(embeddings[fitted_to], head)
                _, loss = test.score(embeddings[tested] @ head[0].T + head[1])
                totals[i] += loss * test.weights.sum()
        return alphas[totals.argmin()]


def units_of(embedding, embeddings):
    """Return units of parameters, such that steps of the same number are about as bold.

    Those of references and anchors move a row by its norm, or by the width of the kernel,
    and those of coef change the differences between scores by about 1.

    Parameters
    ----------
    embedding : OTKEmbedding
        Fitted.
    embeddings : ndarray of shape (n_sets, n_features)
        What it makes of sets.
    """
    norm = np.linalg.norm(embeddings.mean(axis=0, dtype=np.float64))
    spread = np.sqrt(embeddings.var(axis=0, dtype=np.float64).sum())
    units = {
        "references": 1 / np.sqrt(embedding.references_.shape[2]),
        "log_gamma": 1.0,
        "coef": 1 / (max(spread, _MIN_SPREAD * norm) or 1.0),
        "intercept": 1.0,
    }
    if embedding.anchors_ is not None:
        n_features = embedding.anchors_.shape[1]
        units["anchors"] = 1 / np.sqrt(embedding.gamma_ * n_features)
    return units


class Objective:
    """The mean loss over sets, with its gradient, as a function of one flat vector.

    The vector holds what is trained, each part in a unit of its own. References keep their
    norms, and so do anchors of the homogeneous kernel: the function only depends on the
    direction of these.

    Parameters
    ----------
    embedding : OTKEmbedding
        Fitted: what isn't trained is as there.
    start : Parameters
    problem : Problem
    trainable : collection of {"references", "anchors", "gamma"}
    refit_head : bool
        The linear model is no part of the vector, but refitted by `refit`.
    units : dict
        The units of what the vector holds, by name, as `units_of` gives them.
    """

    def __init__(self, embedding, start, problem, trainable, refit_head, units):
        self.problem = problem
        self._embedding, self._start = embedding, start
        has_kernel = start.anchors is not None
        self._trained = ["references"] if "references" in trainable else []
        if has_kernel and "anchors" in trainable:
            self._trained.append("anchors")
        if has_kernel and "gamma" in trainable:
            self._trained.append("log_gamma")
        self._trains_kernel = self._trained not in ([], ["references"])
        self.refits_head = refit_head
        if not refit_head:
            self._trained += ["coef", "intercept"]
        self.units = units
        on_spheres = {"references"}
        if embedding.kernel == "homogeneous":
            on_spheres.add("anchors")
        self._norms = {
            name: np.linalg.norm(getattr(start, name), axis=-1, keepdims=True)
            for name in self._trained
            if name in on_spheres
        }

    @property
    def start(self):
        """The vector of what is there to start from."""
        return self._flat(self._start)

    def parameters(self, flat):
        """Return the `Parameters` that a vector stands for."""
        parameters = self._raw(flat)
        for name, norms in self._norms.items():
            raw = getattr(parameters, name)
            unit, _ = unit_rows(raw.reshape(-1, raw.shape[-1]))
            parameters = parameters._replace(**{name: norms * unit.reshape(raw.shape)})
        return parameters

    def back_on_spheres(self, flat):
        """Return the vector of the same parameters whose rows have their norms."""
        return self._flat(self.parameters(flat))

    def refit(self, flat):
        """Fit the linear model to the embeddings that the vector leads to."""
        parameters = self.parameters(flat)
        embeddings, _ = embedding_of(self._embedding, parameters)._embed(self.problem.sets)
        head = parameters.coef, parameters.intercept
        coef, intercept = self.problem.fit_head(embeddings, head)
        self._start = self._start._replace(coef=coef, intercept=intercept)

    def __call__(self, flat, batch=slice(None)):
        """Return the mean loss of some of the sets, with the penalty, and its gradient.

        Both are NaN where the vector is out of all range.
        """
        parameters, problem = self.parameters(flat), self.problem.part(batch)
        if not self._is_usable(parameters):
            return np.nan, np.full_like(flat, np.nan)
        embedding = self._embedding
        gamma = None
        if parameters.log_gamma is not None:
            gamma = float(np.exp(parameters.log_gamma))
        differentiable = DifferentiableMap(
            embedding.kernel, gamma, parameters.anchors, embedding.damping
        )
        matching = DifferentiableMatching(
            differentiable.feature_map,
            parameters.references,
            embedding._transport(),
            problem.sets.dtype,
            embedding._position_filter(parameters.references.shape[1]),
            embedding.n_jobs,
            trains_kernel=self._trains_kernel,
        )
        windows = windows_of(problem.sets, **embedding._windows)
        total = problem.weights.sum()

        def sums_of(piece):
            part, sets = problem.part(piece), windows[piece]

            def of_chunk(chunk):
                head = _Head(part, chunk, parameters, total)
                gradients = matching.gradients(sets[chunk], head)
                return _Sums(gradients, head.loss, head.of_coef, head.of_intercept)

            return functools.reduce(operator.add, matching.map(of_chunk, sets))

        # The gradients of chunks are kept until all are there: of one piece at a time.
        sums = functools.reduce(operator.add, map(sums_of, _pieces(windows.lengths)))
        gradients = differentiable.pull_back(
            sums.gradients, parameters.references, self._trains_kernel
        )
        coef = parameters.coef
        penalty = problem.alpha / self.problem.weights.sum()
        gradient = Parameters(*gradients, sums.of_coef + penalty * coef, sums.of_intercept)
        loss = sums.loss + penalty / 2 * np.vdot(coef, coef)
        return loss, self._flat_gradient(gradient, self._raw(flat))

    def is_usable(self, flat):
        """Whether the parameters of this vector are finite, and not out of all range."""
        return self._is_usable(self.parameters(flat))

    def _is_usable(self, parameters):
        if not all(np.isfinite(p).all() for p in parameters if p is not None):
            return False
        if parameters.anchors is None:
            return True
        change = abs(parameters.log_gamma - self._start.log_gamma)
        width = np.exp(-self._start.log_gamma / 2) + np.abs(self._start.anchors).max()
        return change < _MAX_LOG_CHANGE and np.abs(parameters.anchors).max() < (
            _MAX_DISTANCE * width
        )

    def _flat(self, parameters):
        parts = [np.ravel(getattr(parameters, n)) / self.units[n] for n in self._trained]
        return np.concatenate([np.empty(0), *parts])

    def _raw(self, flat):
        """The parameters as they are in the vector, with any norms."""
        changed, start = {}, 0
        for name in self._trained:
            like = getattr(self._start, name)
            part = flat[start : start + like.size]
            changed[name] = part.reshape(like.shape) * self.units[name]
            start += like.size
        return self._start._replace(**changed)

    def _flat_gradient(self, gradient, raw):
        parts = []
        for name in self._trained:
            part = getattr(gradient, name)
            if name in self._norms:
                part = _tangent(part, getattr(raw, name), self._norms[name])
            parts.append(np.ravel(part) * self.units[name])
        return np.concatenate([np.empty(0), *parts])


def _tangent(gradient, raw, norms):
    """From the gradient with respect to rows of these norms to that of raw rows."""
    lengths = np.linalg.norm(raw, axis=-1, keepdims=True)
    lengths[lengths == 0] = np.inf
    unit = raw / lengths
    radial = np.sum(gradient * unit, axis=-1, keepdims=True)
    return (gradient - radial * unit) * norms / lengths


def _pieces(lengths):
    """Cut sets of these lengths into slices of not many more elements than `_PIECE`."""
    piece_of = (np.cumsum(lengths) - 1) // _PIECE
    _, first = np.unique(piece_of, return_index=True)
    return [slice(*pair) for pair in itertools.pairwise([*first, len(lengths)])]


@dataclass
class _Sums(Summable):
    """Sums over sets of losses and gradients."""

    gradients: Gradients
    loss: float
    of_coef: np.ndarray
    of_intercept: np.ndarray


class _Head:
    """The linear model and its loss for a chunk: a function of embeddings to gradients.

    Once called, it has the sum of losses and the gradients of the linear model.
    """

    def __init__(self, problem, chunk, parameters, total):
        self._loss, self._parameters = problem.loss, parameters
        self._targets = problem.targets[chunk]
        self._weights = problem.weights[chunk] / total

    def __call__(self, embeddings):
        coef, intercept = self._parameters.coef, self._parameters.intercept
        scores = embeddings @ coef.T.astype(embeddings.dtype) + intercept
        losses, slopes = self._loss(scores, self._targets)
        slopes *= self._weights[:, np.newaxis]
        self.loss = self._weights @ losses
        self.of_coef = (slopes.T.astype(embeddings.dtype) @ embeddings).astype(np.float64)
        self.of_intercept = slopes.sum(axis=0)
        return slopes @ coef
