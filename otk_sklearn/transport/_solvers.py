"""Transport plans of several sets: solvers, and the values of plans."""

import itertools
from dataclasses import replace

import numpy as np
from scipy.special import rel_entr
from sklearn.utils.extmath import row_norms

from otk_sklearn.transport._problem import converged_plans
from otk_sklearn.transport._sinkhorn import sinkhorn_plans

# Largest rounding error of similarities, relative to epsilon, at which float32 is accurate
# enough.
_MAX_ROUNDING = 5e-5


def solve_plans(similarities, rounding, offsets, masses, transport):
    """Solve for the plans of several sets.

    Parameters
    ----------
    similarities : ndarray of shape (n_references, n_supports, n_elements)
        Overwritten.
    rounding : ndarray of shape (n_sets,)
        Rounding error of each set's similarities. Ignored in float64.
    offsets : ndarray of int of shape (n_sets + 1,)
    masses : ndarray of float64 of shape (n_elements,)
    transport : Transport

    Returns
    -------
    Plans
    """
    limits = np.finfo(similarities.dtype)
    trusted = np.ones(len(offsets) - 1, bool)
    if similarities.dtype == np.float32:
        trusted = is_accurate_in_float32(rounding, transport)
        # Smaller masses would become 0, and their elements absent.
        too_small = (masses > 0) & (masses < limits.tiny)
        trusted &= ~np.logical_or.reduceat(too_small, offsets[:-1])
    epsilon = min(max(transport.epsilon, limits.tiny), limits.max)
    transport = replace(transport, epsilon=epsilon)
    masses = masses.astype(similarities.dtype, copy=False)
    if not trusted.any():
        plans = converged_plans(np.empty_like(similarities), len(trusted))
    elif transport.solver == "emd":
        plans = _exact(similarities, offsets, masses)
    elif transport.solver == "softmax":
        plans = _softmax(similarities, offsets, masses, epsilon)
    else:
        plans = sinkhorn_plans(similarities, trusted, offsets, masses, transport)
    return plans._replace(solved=plans.solved & trusted)


def rounding_errors(supports, norms, offsets):
    """Rounding errors of the similarities of each set, as products of these vectors.

    They are those of the terms, which may cancel due to whitening.

    Parameters
    ----------
    supports : ndarray of shape (n_supports, n_features)
    norms : ndarray of shape (n_elements,)
        Of the features of elements.
    offsets : ndarray of int of shape (n_sets + 1,)

    Returns
    -------
    ndarray of shape (n_sets,)
    """
    largest = np.maximum.reduceat(norms, offsets[:-1])
    return np.finfo(norms.dtype).eps * row_norms(supports).max() * largest


def half_squares(squared_norms):
    """`||x||^2 / 2`: subtracting it turns similarities into transport costs."""
    # Differences of infinite ones would be undefined.
    return np.minimum(squared_norms, np.finfo(squared_norms.dtype).max / 4) / 2


def is_accurate_in_float32(rounding, transport):
    """Whether float32 is accurate enough for similarities with these rounding errors."""
    limits = np.finfo(np.float32)
    in_range = limits.tiny <= transport.epsilon <= limits.max
    return (rounding <= _MAX_ROUNDING * transport.epsilon) & in_range


def plan_values(similarities, plan, offsets, masses, transport=None):
    """Value of each plan: `<P, S>`, or the maximized objective if `transport` is given.

    The objective is `<P, S> - epsilon KL(P | a b^T)`, less the penalty of the marginals.

    Parameters
    ----------
    similarities, plan : ndarray of shape (n_references, n_supports, n_elements)
    offsets : ndarray of int of shape (n_sets + 1,)
    masses : ndarray of shape (n_elements,)
    transport : Transport or None

    Returns
    -------
    values : ndarray of float64 of shape (n_sets, n_references)
    """
    value = np.einsum("rji,rji->ri", plan, similarities, dtype=np.float64)
    if transport is not None and transport.solver != "emd":
        independent = masses / plan.shape[1]
        value -= transport.epsilon * rel_entr(plan, independent).sum(axis=1)
    values = np.add.reduceat(value, offsets[:-1], axis=1).T
    if transport is not None:
        values -= transport.penalty.values(plan, offsets, masses)
    return values


def _softmax(similarities, offsets, masses, epsilon):
    """Solve in place, support by support, to avoid temporaries as large as a plan."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    plans = converged_plans(similarities, len(starts))
    for r, j in np.ndindex(similarities.shape[:2]):
        row = similarities[r, j]
        row[masses == 0] = -np.inf
        highest = np.maximum.reduceat(row, starts)
        row -= np.repeat(highest, lengths)
        row /= epsilon
        np.exp(row, out=row)
        row *= masses
        sums = np.add.reduceat(row, starts)
        row /= np.repeat(similarities.shape[1] * sums, lengths)
        plans.potentials[:, r, j] = -(highest + epsilon * np.log(sums))
    return plans


def _exact(similarities, offsets, masses):
    import ot  # lazily, as POT imports every array library it finds

    n_supports = similarities.shape[1]
    supports = np.full(n_supports, 1.0 / n_supports)
    plan = np.empty_like(similarities)
    plans = converged_plans(plan, len(offsets) - 1)
    for s, (start, stop) in enumerate(itertools.pairwise(offsets)):
        for r in range(len(similarities)):
            # Shifting by row and scaling don't change the plan, but reduce POT's rounding.
            cost = -similarities[r, :, start:stop].T
            cost -= cost.min(axis=1, keepdims=True)
            cost[masses[start:stop] == 0] = 0.0
            scale = cost.max() or 1.0
            cost /= scale
            if not np.isfinite(cost).all():  # POT would not terminate
                plan[r, :, start:stop] = np.nan
                continue
            exact, log = ot.emd(
                masses[start:stop], supports, cost, numItermax=10_000_000, log=True
            )
            plan[r, :, start:stop] = exact.T
            plans.potentials[s, r] = scale * log["v"]
    return plans
