"""Transport plans between sets and references: choice of solver, and a plain version.

Arrays have the axes (element, reference, support), with the elements of all sets one set
after the other. Each column of a plan sums to `1 / n_supports`.
"""

import itertools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, rel_entr
from sklearn.utils import gen_batches

from otk_sklearn import _kernels
from otk_sklearn._parallel import CHUNK_ROWS

# float32 is trusted with similarities rounded by no more than this, relative to epsilon,
# and with no smaller tolerance than this.
_MAX_ROUNDING = 5e-5
_MIN_TOL = 1e-6


@dataclass(frozen=True)
class Transport:
    """The problem that plans solve, and how far it is solved.

    Parameters
    ----------
    solver : {"sinkhorn", "emd", "softmax"}
    epsilon : float
    relaxation : float or None
    max_iter : int
    tol : float
        As in `OTKEmbedding`.
    """

    solver: str
    epsilon: float
    relaxation: float | None
    max_iter: int
    tol: float

    @property
    def needs_float64(self):
        """Whether float32 is out of the question."""
        # An exact plan may change altogether with the last digit, and so may a relaxed one
        # with the norms of features, in which whitening cancels.
        if self.solver == "emd" or self.relaxation is not None:
            return True
        return self.solver == "sinkhorn" and 0 < self.tol < _MIN_TOL


class Plans(NamedTuple):
    """Plans of several sets.

    Parameters
    ----------
    plan : ndarray of shape (n_elements, n_references, n_supports)
    n_iter : ndarray of int of shape (n_sets, n_references)
        Sinkhorn's iterations; 0 with the other solvers.
    residual : ndarray of float64 of shape (n_sets, n_references)
        `sum_i |sum_j P_ij - a_i|`, or if relaxed, the L1 change of `sum_j P_ij` in the
        last iteration; 0 with the other solvers.
    solved : ndarray of bool of shape (n_sets,)
        False where float32 is not enough. Such plans mean nothing until they are solved
        again in float64, where all are solved.
    value : ndarray of float64 of shape (n_sets, n_references) or None
        Where it was asked for, as `plan_values` gives it.
    """

    plan: np.ndarray
    n_iter: np.ndarray
    residual: np.ndarray
    solved: np.ndarray
    value: np.ndarray | None = None


def solve_plans(similarities, rounding, offsets, masses, transport):
    """Solve for the plans of several sets.

    Parameters
    ----------
    similarities : ndarray of shape (n_elements, n_references, n_supports)
    rounding : ndarray of shape (n_sets,)
        Error of each set's similarities, looked at in float32 only.
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
        trusted = rounding <= _MAX_ROUNDING * transport.epsilon
    epsilon = min(max(transport.epsilon, limits.tiny), limits.max)
    transport = replace(transport, epsilon=epsilon)
    masses = masses.astype(similarities.dtype, copy=False)
    if not trusted.any():
        plans = _plans(np.empty_like(similarities), len(trusted))
    elif transport.solver == "emd":
        plans = _exact(similarities, offsets, masses)
    elif transport.solver == "softmax":
        plans = _softmax(similarities, offsets, masses, epsilon)
    else:
        plans = _sinkhorn(similarities, trusted, offsets, masses, transport)
    return plans._replace(solved=plans.solved & trusted)


def plan_values(similarities, plan, offsets, masses, transport=None):
    """Value of each plan: `<P, S>`, or what the plan maximises if `transport` is given.

    That is `<P, S> - epsilon KL(P | a b^T) - relaxation KL(P 1 | a)`.

    Parameters
    ----------
    similarities, plan : ndarray of shape (n_elements, n_references, n_supports)
    offsets : ndarray of int of shape (n_sets + 1,)
    masses : ndarray of shape (n_elements,)
    transport : Transport or None

    Returns
    -------
    values : ndarray of float64 of shape (n_sets, n_references)
    """
    value = np.einsum("irj,irj->ir", plan, similarities, dtype=np.float64)
    if transport is not None and transport.solver != "emd":
        masses = masses[:, np.newaxis]
        independent = masses[:, np.newaxis] / plan.shape[2]
        value -= transport.epsilon * rel_entr(plan, independent).sum(axis=2)
        if transport.relaxation is not None:
            value -= transport.relaxation * rel_entr(plan.sum(axis=2), masses)
    return np.add.reduceat(value, offsets[:-1])


def plain_plan(similarities, masses, *, solver, epsilon, max_iter, relaxation=None):
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
    relaxation : float or None

    Returns
    -------
    plan : ndarray of shape (n_elements, n_supports)
    """
    with np.errstate(divide="ignore"):
        log_a = np.log(masses)[:, np.newaxis]
    log_b = -np.log(similarities.shape[1])
    power = 1.0 if relaxation is None else relaxation / (relaxation + epsilon)
    log_kernel = similarities / epsilon
    log_u, log_v = 0.0, np.zeros((1, similarities.shape[1]))
    for _ in range(max_iter if solver == "sinkhorn" else 0):
        log_u = -power * logsumexp(log_kernel + log_v + log_b, axis=1, keepdims=True)
        log_v = -logsumexp(log_kernel + log_u + log_a, axis=0, keepdims=True)
    if solver == "softmax":
        log_v = -logsumexp(log_kernel + log_a, axis=0, keepdims=True)
    return np.exp(log_a + log_u + log_kernel + log_v + log_b)


def _plans(plan, n_sets):
    """Plans that no iteration was needed for."""
    shape = (n_sets, plan.shape[1])
    return Plans(plan, np.zeros(shape, np.int64), np.zeros(shape), np.ones(n_sets, bool))


def _sinkhorn(similarities, trusted, offsets, masses, transport):
    dtype = similarities.dtype
    limits = np.finfo(dtype)
    exponents = similarities - similarities.max(axis=2, keepdims=True)
    exponents /= transport.epsilon
    # exp() of anything below would be denormal or 0: a finite plan, far from the true one.
    lowest = np.minimum.reduceat(exponents.min(axis=2), offsets[:-1])
    solved = (lowest >= np.log(limits.tiny)) & trusted[:, np.newaxis]
    log_lift, power = _relaxed_side(similarities, offsets, masses, transport)
    plans = _plans(np.exp(exponents, out=exponents), len(offsets) - 1)
    _kernels.sinkhorn_scaling(
        plans.plan,
        offsets,
        masses,
        log_lift,
        power,
        transport.max_iter,
        transport.tol,
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
            similarities[rows, r], masses[rows], log_lift[rows, r], power, transport
        )
        plans.plan[rows, r] = plan
    return plans


def _relaxed_side(similarities, offsets, masses, transport):
    """The element side's scalings `log u_i = log_lift_i - power log (K b v)_i`.

    Returns
    -------
    log_lift : ndarray of shape (n_elements, n_references)
        What the shift of each row by its maximum has to be made up for with. In balanced
        transport, `u_i` does that by itself.
    power : float
    """
    if transport.relaxation is None:
        return np.zeros(similarities.shape[:2], similarities.dtype), 1.0
    highest = similarities.max(axis=2)
    highest[masses == 0] = -np.inf
    overall = np.maximum.reduceat(highest, offsets[:-1])
    log_lift = highest - np.repeat(overall, np.diff(offsets), axis=0)
    log_lift /= transport.relaxation + transport.epsilon
    return log_lift, 1.0 / (1.0 + transport.epsilon / transport.relaxation)


def _sinkhorn_log(similarities, masses, log_lift, power, transport):
    exponents = similarities - similarities.max(axis=1, keepdims=True)
    exponents /= transport.epsilon
    # Beyond, potentials of the size of exponents would have no digits left.
    np.maximum(exponents, -1e13, out=exponents)
    plan = np.empty_like(exponents)
    return plan, *_kernels.sinkhorn_log(
        exponents,
        masses,
        np.ascontiguousarray(log_lift),
        power,
        transport.max_iter,
        transport.tol,
        plan,
    )


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
