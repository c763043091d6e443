"""The objective of training, the mean loss over sets, and its gradient."""

import copy
import functools
import itertools
import operator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn.features._differentiable_feature_map import DifferentiableFeatureMap
from otk_sklearn.features._feature_map import make_feature_map
from otk_sklearn.features._kernels import KERNELS
from otk_sklearn.features._unit_norm import unit_rows
from otk_sklearn.matching._differentiable_matching import (
    DifferentiableMatching,
    FieldwiseAddable,
    Gradients,
)
from otk_sklearn.sets._arrays import as_fitted

# Elements whose gradients are summed up at a time.
_MAX_ELEMENTS = 2**18

# Embeddings are taken to differ by at least this part of their norm.
_MIN_SPREAD = 1e-2

# Bandwidths and anchors that are further from where they started are meaningless.
_MAX_LOG_CHANGE = 20.0
_MAX_DISTANCE = 1e6


@compared_by_identity
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


def parameters_of(state, coef, intercept):
    """Return the `Parameters` of an `EmbeddingState` and a linear model of it."""
    feature_map, log_gamma = state.feature_map, None
    anchors = feature_map.anchors
    if anchors is not None:
        anchors = anchors.astype(np.float64)
        log_gamma = np.asarray(np.log(feature_map.gamma))
    shape = (None, None, feature_map.n_components)
    references = as_fitted(state.references, "references_", shape).astype(np.float64)
    return Parameters(references, anchors, log_gamma, coef, intercept)


def state_at(state, parameters):
    """Return the `EmbeddingState` with these parameters, in its own precision."""
    feature_map = state.feature_map
    if parameters.anchors is not None:
        limits = np.finfo(feature_map.anchors.dtype)  # a step may lead out of its range
        anchors = np.clip(parameters.anchors, limits.min, limits.max).astype(limits.dtype)
        gamma = float(np.exp(parameters.log_gamma))
        feature_map = make_feature_map(
            feature_map.kernel, gamma, anchors, feature_map.damping
        )
    references = parameters.references.astype(state.references.dtype)
    return replace(state, feature_map=feature_map, references=references)


def parameter_scales(state, embeddings):
    """Return the scale of each parameter, so that unit steps are of comparable effect.

    A unit step moves a row of references or anchors by its norm or by the width of the
    kernel, and one of coef changes the differences between scores by about 1.

    Parameters
    ----------
    state : EmbeddingState
    embeddings : ndarray of shape (n_sets, n_features)
        Those of the sets.
    """
    norm = np.linalg.norm(embeddings.mean(axis=0, dtype=np.float64))
    spread = np.sqrt(embeddings.var(axis=0, dtype=np.float64).sum())
    scales = {
        "references": 1 / np.sqrt(state.references.shape[2]),
        "log_gamma": 1.0,
        "coef": 1 / (max(spread, _MIN_SPREAD * norm) or 1.0),
        "intercept": 1.0,
    }
    if state.feature_map.anchors is not None:
        n_features = state.feature_map.n_features
        scales["anchors"] = 1 / np.sqrt(state.feature_map.gamma * n_features)
    return scales


class Objective:
    """The mean loss over sets, with its gradient, as a function of one flat vector.

    The vector holds the trained parameters, each divided by its scale. Norms of references
    are fixed, and those of anchors that the kernel normalizes: the objective only depends
    on their directions.

    Parameters
    ----------
    state : EmbeddingState
        Provides the transport, the windows and the position filter.
    start : Parameters
        Those that are not trained keep these values.
    problem : Problem
    trainable : collection of {"references", "anchors", "gamma"}
    refit_head : bool
        Whether the linear model is fitted by `refit`, and not part of the vector.
    scales : dict
        The scale of each trained parameter, as returned by `parameter_scales`.
    """

    def __init__(self, state, start, problem, trainable, refit_head, scales):
        self.problem = problem
        self._state, self._start = state, start
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
        self.scales = scales
        of_fixed_norm = {"references"}
        if KERNELS[state.feature_map.kernel].normalizes:
            of_fixed_norm.add("anchors")
        self._norms = {
            name: np.linalg.norm(getattr(start, name), axis=-1, keepdims=True)
            for name in self._trained
            if name in of_fixed_norm
        }

    @property
    def start(self):
        """The vector of the initial parameters."""
        return self._flat(self._start)

    def parameters(self, flat):
        """Return the `Parameters` of a vector."""
        parameters = self._raw(flat)
        for name, norms in self._norms.items():
            raw = getattr(parameters, name)
            unit, _ = unit_rows(raw.reshape(-1, raw.shape[-1]))
            parameters = parameters._replace(**{name: norms * unit.reshape(raw.shape)})
        return parameters

    def restore_norms(self, flat):
        """Return the vector of the same parameters, its rows rescaled to their norms."""
        return self._flat(self.parameters(flat))

    def refit(self, flat):
        """Return this objective with the linear model fitted at this vector."""
        parameters = self.parameters(flat)
        embeddings, _ = state_at(self._state, parameters).embed(self.problem.sets)
        head = parameters.coef, parameters.intercept
        coef, intercept = self.problem.fit_linear_model(embeddings, head)
        refitted = copy.copy(self)
        refitted._start = self._start._replace(coef=coef, intercept=intercept)
        return refitted

    def __call__(self, flat, batch=slice(None)):
        """Return the mean loss of some of the sets, with the penalty, and its gradient.

        Both are NaN where parameters are out of range.
        """
        parameters, problem = self.parameters(flat), self.problem.subset(batch)
        if not self._is_in_range(parameters):
            return np.nan, np.full_like(flat, np.nan)
        gamma = None
        if parameters.log_gamma is not None:
            gamma = float(np.exp(parameters.log_gamma))
        fixed = self._state.feature_map
        differentiable = DifferentiableFeatureMap(
            fixed.kernel, gamma, parameters.anchors, fixed.damping
        )
        state = replace(
            self._state,
            feature_map=differentiable.feature_map,
            references=parameters.references,
        )
        matching = DifferentiableMatching(
            state, problem.sets.dtype, trains_kernel=self._trains_kernel
        )
        windows = state.windows_of(problem.sets)
        total = problem.weights.sum()

        def sums_of(rows):
            part, sets = problem.subset(rows), windows[rows]

            def of_chunk(chunk):
                head = _LinearModelLoss(part, chunk, parameters, total)
                gradients = matching.gradients(sets[chunk], head)
                return _Sums(
                    gradients, head.loss, head.coef_gradient, head.intercept_gradient
                )

            return functools.reduce(operator.add, matching.map(of_chunk, sets))

        # Gradients of all chunks are kept until they are summed up: bound their number.
        sums = functools.reduce(
            operator.add, map(sums_of, _slices_of_elements(windows.lengths))
        )
        gradients = differentiable.pull_back(
            sums.gradients, parameters.references, self._trains_kernel
        )
        coef = parameters.coef
        penalty = problem.alpha / self.problem.weights.sum()
        gradient = Parameters(
            *gradients, sums.coef_gradient + penalty * coef, sums.intercept_gradient
        )
        loss = sums.loss + penalty / 2 * np.vdot(coef, coef)
        return loss, self._flat_gradient(gradient, self._raw(flat))

    def is_in_range(self, flat):
        """Whether the parameters of this vector are finite and of a meaningful size."""
        return self._is_in_range(self.parameters(flat))

    def _is_in_range(self, parameters):
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
        parts = [np.ravel(getattr(parameters, n)) / self.scales[n] for n in self._trained]
        return np.concatenate([np.empty(0), *parts])

    def _raw(self, flat):
        """The parameters as in the vector, before their norms are restored."""
        changed, start = {}, 0
        for name in self._trained:
            like = getattr(self._start, name)
            part = flat[start : start + like.size]
            changed[name] = part.reshape(like.shape) * self.scales[name]
            start += like.size
        return self._start._replace(**changed)

    def _flat_gradient(self, gradient, raw):
        parts = []
        for name in self._trained:
            part = getattr(gradient, name)
            if name in self._norms:
                part = _tangent(part, getattr(raw, name), self._norms[name])
            parts.append(np.ravel(part) * self.scales[name])
        return np.concatenate([np.empty(0), *parts])


def _tangent(gradient, raw, norms):
    """Pull gradients of rows that were rescaled to these norms back to the raw rows."""
    lengths = np.linalg.norm(raw, axis=-1, keepdims=True)
    lengths[lengths == 0] = np.inf
    unit = raw / lengths
    radial = np.sum(gradient * unit, axis=-1, keepdims=True)
    return (gradient - radial * unit) * norms / lengths


def _slices_of_elements(lengths):
    """Cut sets of these lengths into slices of about `_MAX_ELEMENTS` elements."""
    slice_of = (np.cumsum(lengths) - 1) // _MAX_ELEMENTS
    _, first = np.unique(slice_of, return_index=True)
    return [slice(*pair) for pair in itertools.pairwise([*first, len(lengths)])]


@dataclass(eq=False)
class _Sums(FieldwiseAddable):
    """Sums over sets of losses and gradients."""

    gradients: Gradients
    loss: float
    coef_gradient: np.ndarray
    intercept_gradient: np.ndarray


class _LinearModelLoss:
    """The loss of the linear model for a chunk: maps embeddings to their gradients.

    A call leaves the sum of losses and the gradients of the linear model as attributes.
    """

    def __init__(self, problem, chunk, parameters, total):
        self._loss, self._parameters = problem.loss, parameters
        self._targets = problem.targets[chunk]
        self._weights = problem.weights[chunk] / total

    def __call__(self, embeddings):
        coef, intercept = self._parameters.coef, self._parameters.intercept
        scores = embeddings @ coef.T.astype(embeddings.dtype) + intercept
        losses, gradients = self._loss(scores, self._targets)
        gradients *= self._weights[:, np.newaxis]
        self.loss = self._weights @ losses
        self.coef_gradient = (gradients.T.astype(embeddings.dtype) @ embeddings).astype(
            np.float64
        )
        self.intercept_gradient = gradients.sum(axis=0)
        return gradients @ coef
