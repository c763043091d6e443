"""Transport plans between sets and references: choice of solver, and a plain version.

Arrays have the axes (reference, support, element), with the elements of all sets one set
after the other: elements are many, and loops over what lies side by side are fast. What a
plan sends to each support sums to `1 / n_supports`.
"""

import itertools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr

from otk_sklearn import _scaling

# float32 is trusted with similarities rounded by no more than this, relative to epsilon,
# and with no smaller tolerance than this.
_MAX_ROUNDING = 5e-5
_MIN_TOL = 1e-6

# Largest exponents, after which even float64 has few digits left of potentials.
_MAX_EXPONENT = 1e13


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
    plan : ndarray of shape (n_references, n_supports, n_elements)
    n_iter : ndarray of int of shape (n_sets, n_references)
        Sinkhorn's iterations; 0 with the other solvers.
    residual : ndarray of float64 of shape (n_sets, n_references)
        L1 distance between the masses and those that the plan would be exact for. Balanced,
        that is `sum_i |sum_j P_ij - a_i|`; 0 with the other solvers.
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
    similarities : ndarray of shape (n_references, n_supports, n_elements)
        Overwritten.
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
        trusted &= limits.tiny <= transport.epsilon <= limits.max
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
        if transport.relaxation is not None:
            value -= transport.relaxation * rel_entr(plan.sum(axis=1), masses)
    return np.add.reduceat(value, offsets[:-1], axis=1).T


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
        log_u = -power * _log_sum_exp(log_kernel + log_v + log_b, axis=1)
        log_v = -_log_sum_exp(log_kernel + log_u + log_a, axis=0)
    if solver == "softmax":
        log_v = -_log_sum_exp(log_kernel + log_a, axis=0)
    return np.exp(log_a + log_u + log_kernel + log_v + log_b)


def _log_sum_exp(x, axis):
    highest = x.max(axis=axis, keepdims=True)
    return highest + np.log(np.exp(x - highest).sum(axis=axis, keepdims=True))


def _plans(plan, n_sets):
    """Plans that no iteration was needed for."""
    shape = (n_sets, len(plan))
    return Plans(plan, np.zeros(shape, np.int64), np.zeros(shape), np.ones(n_sets, bool))


def _sinkhorn(similarities, trusted, offsets, masses, transport):
    """Solve by scaling, in place, and what leaves the range of float64 in logarithms."""
    limits = np.finfo(similarities.dtype)
    log_lift, power = _relaxed_side(similarities, offsets, masses, transport)
    plans = _plans(similarities, len(offsets) - 1)
    inverse_epsilon = similarities.dtype.type(1 / transport.epsilon)
    lowest = np.empty(plans.residual.shape)
    in_float64 = similarities.dtype == np.float64
    _scaling.to_exponents(similarities, offsets, inverse_epsilon, not in_float64, lowest)
    # exp() of anything below would be denormal or 0: a finite plan, far from the true one.
    solved = (lowest >= np.log(limits.tiny)) & trusted[:, np.newaxis]
    if in_float64:
        too_low = {
            (s, r): similarities[r, :, offsets[s] : offsets[s + 1]].copy()
            for s, r in np.argwhere(~solved)
        }
        _scaling.exponentiate(similarities.reshape(-1))
    scaling = _scaling.Scaling(
        similarities,
        masses,
        log_lift,
        power,
        transport.max_iter,
        transport.tol,
        smallest=float(np.sqrt(limits.tiny)),
        in_logs=False,
    )
    _scaling.scale_to_marginals(scaling, offsets, solved, plans.n_iter, plans.residual)
    if not in_float64:
        return plans._replace(solved=solved.all(axis=1))
    for s, r in np.argwhere(~solved):
        rows = slice(offsets[s], offsets[s + 1])
        exponents = too_low.pop((s, r), None)
        if exponents is None:  # the kernel is as it was, and has all digits
            exponents = np.log(similarities[r, :, rows])
        part = scaling._replace(masses=masses[rows], log_lift=log_lift[r : r + 1, rows])
        similarities[r, :, rows], n_iter, residual = _sinkhorn_in_logs(
            exponents, part, transport
        )
        plans.n_iter[s, r], plans.residual[s, r] = n_iter, residual
    return plans


def _relaxed_side(similarities, offsets, masses, transport):
    """The element side's scalings `log u_i = log_lift_i - power log (K b v)_i`.

    Returns
    -------
    log_lift : ndarray of shape (n_references, n_elements)
        What the shift of each row by its maximum has to be made up for with. In balanced
        transport, `u_i` does that by itself.
    power : float
    """
    if transport.relaxation is None:
        return np.zeros((len(similarities), len(masses)), similarities.dtype), 1.0
    highest = similarities.max(axis=1)
    highest[:, masses == 0] = -np.inf
    overall = np.maximum.reduceat(highest, offsets[:-1], axis=1)
    log_lift = highest - np.repeat(overall, np.diff(offsets), axis=1)
    log_lift /= transport.relaxation + transport.epsilon
    return log_lift, 1.0 / (1.0 + transport.epsilon / transport.relaxation)


def _sinkhorn_in_logs(exponents, scaling, transport):
    """Solve for one set's plan to one reference, whatever epsilon, in place."""
    log_lift, power, plan = scaling.log_lift, scaling.power, exponents[np.newaxis]
    # Potentials of the size of larger exponents would have no digits left: this is as far
    # as epsilon can come down.
    with np.errstate(all="ignore"):
        np.maximum(exponents, -np.finfo(np.float64).max, out=exponents)
        raised = max(1.0, exponents.min() / -_MAX_EXPONENT)
        exponents /= raised
        if transport.relaxation is not None:
            epsilon, relaxation = transport.epsilon * raised, transport.relaxation
            log_lift = log_lift * (
                (transport.epsilon + relaxation) / (epsilon + relaxation)
            )
            power = relaxation / (epsilon + relaxation)
    log_lift = np.maximum(log_lift, -_MAX_EXPONENT)
    scaling = scaling._replace(kernel=plan, log_lift=log_lift, power=power, in_logs=True)
    offsets, shape = np.array([0, plan.shape[2]]), (1, 1)
    offsets.flags.writeable = False  # as those of sets, so that nothing is compiled again
    n_iter, residual = np.zeros(shape, np.int64), np.zeros(shape)
    solved = np.ones(shape, bool)
    _scaling.scale_to_marginals(scaling, offsets, solved, n_iter, residual)
    if not solved.all():  # similarities are not finite
        plan[:] = residual[:] = np.nan
    return plan[0], n_iter[0, 0], residual[0, 0]


def _softmax(similarities, offsets, masses, epsilon):
    """Solve in place, one support after the other: no temporary is as large as a plan."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    n_references, n_supports, n_elements = similarities.shape
    for row in similarities.reshape(-1, n_elements):
        row[masses == 0] = -np.inf
        row -= np.repeat(np.maximum.reduceat(row, starts), lengths)
        row /= epsilon
        np.exp(row, out=row)
        row *= masses
        row /= np.repeat(n_supports * np.add.reduceat(row, starts), lengths)
    return _plans(similarities, len(starts))


def _exact(similarities, offsets, masses):
    import ot  # POT imports every array library it finds: not before it is asked for

    n_supports = similarities.shape[1]
    supports = np.full(n_supports, 1.0 / n_supports)
    plan = np.empty_like(similarities)
    for start, stop in itertools.pairwise(offsets):
        for r in range(len(similarities)):
            # Neither shifts of elements nor the scale change the plan, but POT's rounding.
            cost = -similarities[r, :, start:stop].T
            cost -= cost.min(axis=1, keepdims=True)
            cost[masses[start:stop] == 0] = 0.0
            cost /= cost.max() or 1.0
            if not np.isfinite(cost).all():  # nothing for POT: it would not come to an end
                plan[r, :, start:stop] = np.nan
                continue
            plan[r, :, start:stop] = ot.emd(
                masses[start:stop], supports, cost, numItermax=10_000_000
            ).T
    return _plans(plan, len(offsets) - 1)
