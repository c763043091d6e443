"""What `OTKEmbedding` should say of any sets, in float64 and logarithms, and how exactly.

The formulas are those of `helpers.py`, written for many elements at once. Beside each
result goes its error budget: how far floating-point numbers of the data's precision may
lead away from it. Where that is all of its digits, nothing is left to compare but
invariants.
"""

import collections
from typing import NamedTuple

import numpy as np
from helpers import (
    means_over,
    plain_filter,
    plain_plan,
    plain_support_positions,
    plain_windows,
)

# Roundings that add up in sums as short as those here.
_ROUNDINGS = 40

# Largest error of an exponent that leaves anything to compare.
_MAX_ERROR = 0.05

# What was compared so far: how often, and the largest part of a budget that was used up.
compared = collections.Counter()
used = collections.defaultdict(float)


def assert_within(budget, found, expected, what):
    """Assert that nothing is further off than its budget; what is denormal may be 0."""
    tiny = np.finfo(found.dtype).tiny
    parts = np.abs(found - expected) / (budget + tiny)
    parts[~np.isfinite(budget)] = 0
    worst = np.unravel_index(parts.argmax(), parts.shape)
    compared[what] += 1
    used[what] = max(used[what], float(parts[worst]))
    assert parts[worst] <= 1, (what, worst, found[worst], expected[worst], budget[worst])


class Features(NamedTuple):
    """Kernel values of elements, the matrix that makes features of them, and errors.

    Parameters
    ----------
    kappa, error : ndarray of shape (n_elements, n_components)
    D : ndarray of shape (n_components, n_components)
    """

    kappa: np.ndarray
    error: np.ndarray
    D: np.ndarray

    @property
    def psi(self):
        return self.kappa @ self.D

    @property
    def psi_error(self):
        return self.error @ np.abs(self.D)


class Problem(NamedTuple):
    """One set and one reference.

    Parameters
    ----------
    similarities, error : ndarray of shape (n_elements, n_supports)
    masses : ndarray of shape (n_elements,)
    position_weights : ndarray of shape (n_elements, n_supports) or float
        The position filter.
    """

    similarities: np.ndarray
    error: np.ndarray
    masses: np.ndarray
    position_weights: np.ndarray | float


class Windows(NamedTuple):
    """Windows of a set, as plain arrays.

    Parameters
    ----------
    elements : ndarray of shape (n_windows, filter_size * n_features)
    masses : ndarray of shape (n_windows,)
    positions : ndarray of shape (n_windows, n_axes)
    """

    elements: np.ndarray
    masses: np.ndarray
    positions: np.ndarray


def windows_of(model, sets, i):
    """The `Windows` of a set."""
    rows = sets[i].astype(np.float64)
    span = slice(*sets.offsets[i : i + 2])
    elements, real = plain_windows(rows, model.filter_size, model.padding)
    weights = np.ones(len(rows)) if sets.weights is None else sets.weights[span]
    masses = means_over(weights / weights.max(), real)
    positions = np.arange(len(elements))[:, np.newaxis] / len(elements)
    if sets.positions is not None:
        positions = means_over(sets.positions[span], real)
    return Windows(elements, masses / masses.sum(), positions)


def features_of(model, elements, dtype):
    """The `Features` of elements that came in this precision."""
    unit, kernel = np.finfo(dtype).eps, getattr(model, "kernel", "homogeneous")
    if kernel == "linear":
        return Features(elements, np.zeros_like(elements), np.eye(elements.shape[1]))
    anchors, gamma = model.anchors_.astype(np.float64), model.gamma_
    scales = np.ones(len(elements))
    if kernel == "homogeneous":
        elements, scales = _directions(elements)
    with np.errstate(all="ignore"):
        center = anchors.mean(axis=0)
        exponents = gamma * _squared_distances(elements, anchors)
        sizes = gamma * _squared_distances(elements, center[np.newaxis])
        sizes = sizes + gamma * _squared_distances(anchors, center[np.newaxis]).T
        # Rows for which this gets large are computed in another way.
        relative = np.minimum(_ROUNDINGS * unit * (sizes + 1), 1e-5)
        if kernel == "homogeneous":
            of_directions = np.minimum(np.sqrt(gamma) * unit, 1e-5)
            of_directions += np.sqrt(gamma) * np.finfo(np.float64).eps
            relative += _ROUNDINGS * np.sqrt(exponents + 1) * of_directions
        kappa = np.exp(-exponents)
        error = kappa * relative + np.finfo(dtype).tiny
    scales = scales[:, np.newaxis]
    return Features(kappa * scales, error * scales, model.normalization_.astype(float))


def problem_of(model, features, reference, windows, dtype):
    """The `Problem` of a set of windows with these features."""
    whitened = features.D @ reference.astype(np.float64).T
    similarities = features.kappa @ whitened
    terms = features.error @ np.abs(whitened)
    products = _ROUNDINGS * np.abs(features.kappa) @ np.abs(whitened)
    # D may have large entries that cancel, for which float64 is used.
    in_whitening = np.abs(features.D) @ np.abs(reference.T) * np.finfo(np.float64).eps
    terms += _ROUNDINGS * np.abs(features.kappa) @ in_whitening
    error = terms + products * np.finfo(dtype).eps + np.finfo(dtype).tiny
    if dtype == np.float32:  # more is left to float64
        trusted = 1e-3 * model.epsilon + products * np.finfo(np.float64).eps
        error = np.minimum(error, terms + trusted)
    position_weights = 1.0
    if model.position is not None:
        supports = plain_support_positions(len(reference), windows.positions.shape[1])
        position_weights = plain_filter(
            model.position, model.position_sigma, windows.positions, supports
        )
        similarities = position_weights * similarities
    if model.relaxation is not None:
        psi = features.psi
        similarities = similarities - np.sum(psi**2, axis=1, keepdims=True) / 2
        norms = np.abs(psi) * (np.abs(features.kappa) @ np.abs(features.D))
        error = error + _ROUNDINGS * np.finfo(np.float64).eps * norms.sum(1, keepdims=True)
        error = error + (np.abs(psi) * features.psi_error).sum(axis=1, keepdims=True)
    return Problem(similarities, error, windows.masses, position_weights)


def plan_of(model, problem, n_iter):
    """The plan after plain iterations from a flat start, before the position filter."""
    return plain_plan(
        problem.similarities,
        problem.masses,
        solver=model.solver,
        epsilon=model.epsilon,
        relaxation=model.relaxation,
        support_relaxation=model.support_relaxation,
        max_iter=n_iter,
    )


def exponent_error(model, problem, n_iter, dtype):
    """How far the logarithms of a plan may be off, or None where no digits are left."""
    unit = np.finfo(dtype).eps
    similarities, epsilon = problem.similarities[problem.masses > 0], model.epsilon
    if model.relaxation is not None:
        unit, epsilon = np.finfo(np.float64).eps, min(epsilon, model.relaxation)
    with np.errstate(all="ignore"):
        sizes = np.ptp(similarities, axis=1).max() / model.epsilon
        if model.relaxation is not None:
            sizes += np.ptp(similarities) / epsilon
        error = 2 * problem.error[problem.masses > 0].max() / epsilon
        # In logarithms: these lose digits as they grow.
        error += unit * (n_iter + 1) * _ROUNDINGS + 4 * np.finfo(dtype).eps
        error += np.finfo(np.float64).eps * sizes * (n_iter + 1)
    return error if error < _MAX_ERROR else None


def _squared_distances(x, w):
    return np.sum((x[:, np.newaxis] - w) ** 2, axis=2)


def _directions(elements):
    """Unit vectors, 0 where elements are, and norms: none of them over- or underflows."""
    largest = np.abs(elements).max(axis=1, keepdims=True)
    scaled = elements / np.where(largest > 0, largest, 1)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return scaled / np.where(norms > 0, norms, 1), (norms * largest)[:, 0]
