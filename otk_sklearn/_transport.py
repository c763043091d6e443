"""Transport plans between sets and references: choice of solver, and a plain version.

Arrays have the axes (element, reference, support), with the elements of all sets one set
after the other. Each column of a plan sums to `1 / n_supports`.
"""

import itertools
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import gen_batches

from otk_sklearn import _kernels
from otk_sklearn._parallel import CHUNK_ROWS

# float32 is trusted with similarities rounded by no more than this, relative to epsilon,
# and with no smaller tolerance than this.
_MAX_ROUNDING = 5e-5
_MIN_TOL = 1e-6


class Plans(NamedTuple):
    """Plans of several sets.

    Parameters
    ----------
    plan : ndarray of shape (n_elements, n_references, n_supports)
    n_iter : ndarray of int of shape (n_sets, n_references)
        Sinkhorn's iterations; 0 with the other solvers.
    residual : ndarray of float64 of shape (n_sets, n_references)
        `sum_i |sum_j P_ij - a_i|`; 0 with the other solvers.
    solved : ndarray of bool of shape (n_sets,)
        False where float32 is not enough. Such plans mean nothing until they are solved
        again in float64, where all are solved.
    """

    plan: np.ndarray
    n_iter: np.ndarray
    residual: np.ndarray
    solved: np.ndarray


def solve_plans(similarities, rounding, offsets, masses, *, solver, epsilon, max_iter, tol):
    """Solve for the plans of several sets.

    Parameters
    ----------
    similarities : ndarray of shape (n_elements, n_references, n_supports)
    rounding : ndarray of shape (n_sets,)
        Error of each set's similarities, looked at in float32 only.
    offsets : ndarray of int of shape (n_sets + 1,)
    masses : ndarray of float64 of shape (n_elements,)
    solver : {"sinkhorn", "emd", "softmax"}
    epsilon, max_iter, tol
        As in `OTKEmbedding`.

    Returns
    -------
    Plans
    """
    trusted = np.ones(len(offsets) - 1, bool)
    if similarities.dtype == np.float32:
        # An exact plan may change altogether with the last digit.
        trusted &= solver != "emd" and (rounding <= _MAX_ROUNDING * epsilon)
        trusted &= solver != "sinkhorn" or tol == 0 or tol >= _MIN_TOL
    limits = np.finfo(similarities.dtype)
    epsilon = min(max(epsilon, limits.tiny), limits.max)
    masses = masses.astype(similarities.dtype, copy=False)
    if not trusted.any():
        plans = _plans(np.empty_like(similarities), len(trusted))
    elif solver == "emd":
        plans = _exact(similarities, offsets, masses)
    elif solver == "softmax":
        plans = _softmax(similarities, offsets, masses, epsilon)
    else:
        plans = _sinkhorn(similarities, trusted, offsets, masses, epsilon, max_iter, tol)
    return plans._replace(solved=plans.solved & trusted)


def plain_plan(similarities, masses, *, solver, epsilon, max_iter):
    """Solve for one set's plan to one reference, in NumPy, as the formulas are written.

    This is the definition that the compiled kernels are tested against.

    Parameters
    ----------
    similarities : ndarray of shape (n_elements, n_supports)
    masses : ndarray of shape (n_elements,)
    solver : {"sinkhorn", "softmax"}
    epsilon : float
    max_iter : int
        Sinkhorn's iterations: the element side first, the support side last.

    Returns
    -------
    plan : ndarray of shape (n_elements, n_supports)
    """
    with np.errstate(divide="ignore"):
        log_a = np.log(masses)[:, np.newaxis]
    log_b = -np.log(similarities.shape[1])
    log_kernel = similarities / epsilon
    log_u, log_v = 0.0, np.zeros((1, similarities.shape[1]))
    for _ in range(max_iter if solver == "sinkhorn" else 0):
        log_u = -logsumexp(log_kernel + log_v + log_b, axis=1, keepdims=True)
        log_v = -logsumexp(log_kernel + log_u + log_a, axis=0, keepdims=True)
    if solver == "softmax":
        log_v = -logsumexp(log_kernel + log_a, axis=0, keepdims=True)
    return np.exp(log_a + log_u + log_kernel + log_v + log_b)


def _plans(plan, n_sets):
    """Plans that no iteration was needed for."""
    shape = (n_sets, plan.shape[1])
    return Plans(plan, np.zeros(shape, np.int64), np.zeros(shape), np.ones(n_sets, bool))


def _sinkhorn(similarities, trusted, offsets, masses, epsilon, max_iter, tol):
    dtype = similarities.dtype
    limits = np.finfo(dtype)
    exponents = similarities - similarities.max(axis=2, keepdims=True)
    exponents /= epsilon
    # exp() of anything below would be denormal or 0: a finite plan, far from the true one.
    lowest = np.minimum.reduceat(exponents.min(axis=2), offsets[:-1])
    solved = (lowest >= np.log(limits.tiny)) & trusted[:, np.newaxis]
    plans = _plans(np.exp(exponents, out=exponents), len(offsets) - 1)
    _kernels.sinkhorn_scaling(
        plans.plan,
        offsets,
        masses,
        max_iter,
        tol,
        np.sqrt(limits.tiny),
        solved,
        plans.n_iter,
        plans.residual,
    )
    if dtype == np.float32:
        return plans._replace(solved=solved.all(axis=1))
    for s, r in np.argwhere(~solved):
        rows = slice(offsets[s], offsets[s + 1])
        plan, plans.n_iter[s, r], plans.residual[s, r] = _sinkhorn_log(
            similarities[rows, r], masses[rows], epsilon, max_iter, tol
        )
        plans.plan[rows, r] = plan
    return plans


def _sinkhorn_log(similarities, masses, epsilon, max_iter, tol):
    exponents = similarities - similarities.max(axis=1, keepdims=True)
    exponents /= epsilon
    # Beyond, potentials of the size of exponents would have no digits left.
    np.maximum(exponents, -1e14, out=exponents)
    plan = np.empty_like(exponents)
    return plan, *_kernels.sinkhorn_log(exponents, masses, max_iter, tol, plan)


def _softmax(similarities, offsets, masses, epsilon):
    starts = offsets[:-1]
    set_of_element = np.repeat(np.arange(len(starts)), np.diff(offsets))
    batches = list(gen_batches(len(similarities), CHUNK_ROWS))  # small temporaries
    plan = similarities.copy()
    plan[masses == 0] = -np.inf
    highest = np.maximum.reduceat(plan, starts)
    for rows in batches:
        plan[rows] -= highest[set_of_element[rows]]
    plan /= epsilon
    np.exp(plan, out=plan)
    plan *= masses[:, np.newaxis, np.newaxis]
    totals = np.add.reduceat(plan, starts) * plan.shape[2]
    for rows in batches:
        plan[rows] /= totals[set_of_element[rows]]
    return _plans(plan, len(starts))


def _exact(similarities, offsets, masses):
    import ot  # POT imports every array library it finds: not before it is asked for

    n_supports = similarities.shape[2]
    supports = np.full(n_supports, 1.0 / n_supports)
    plan = np.empty_like(similarities)
    for start, stop in itertools.pairwise(offsets):
        for r in range(similarities.shape[1]):
            # Neither shifts of rows nor the scale change the plan, but POT's rounding.
            cost = -similarities[start:stop, r]
            cost -= cost.min(axis=1, keepdims=True)
            cost[masses[start:stop] == 0] = 0.0
            cost /= max(cost.max(), np.finfo(np.float64).tiny)
            plan[start:stop, r] = ot.emd(
                masses[start:stop], supports, cost, numItermax=10_000_000
            )
    return _plans(plan, len(offsets) - 1)
