"""Sinkhorn plans in the working precision, and in the log domain where that fails."""

import numpy as np

from otk_sklearn._compiled.marginals import Balanced, relaxed
from otk_sklearn._compiled.passes import BLOCK, LogDomain, Plain
from otk_sklearn._compiled.sinkhorn import (
    Iterations,
    exponentiate,
    scale_to_marginals,
    to_exponents,
)
from otk_sklearn.transport._problem import converged_plans

# Largest exponents: beyond, even float64 potentials retain few significant digits.
_MAX_EXPONENT = 1e13


def sinkhorn_plans(similarities, trusted, offsets, masses, transport):
    """Solve in place by matrix scaling; out of float64's range, in the log domain."""
    limits = np.finfo(similarities.dtype)
    rule = Balanced(masses)
    if transport.relaxation is not None:
        log_correction = _log_correction(similarities, offsets, masses, transport)
        rule = relaxed(masses, log_correction, _power(transport))
    plans = converged_plans(similarities, len(offsets) - 1)
    inverse_epsilon = similarities.dtype.type(1 / transport.epsilon)
    lowest = np.empty(plans.residual.shape)
    in_float64 = similarities.dtype == np.float64
    to_exponents(similarities, offsets, inverse_epsilon, not in_float64, lowest)
    # exp() of lower exponents would be subnormal or 0: a finite but inaccurate plan.
    solved = (lowest >= np.log(limits.tiny)) & trusted[:, np.newaxis]
    if in_float64:
        too_low = {
            (s, r): similarities[r, :, offsets[s] : offsets[s + 1]].copy()
            for s, r in np.argwhere(~solved)
        }
        exponentiate(similarities.reshape(-1))
    domain = Plain(smallest=float(np.sqrt(limits.tiny)))
    iterations = Iterations(transport.max_iter, transport.tol)
    n_iter, residual = plans.n_iter, plans.residual
    scale_to_marginals(
        similarities, offsets, rule, domain, iterations, solved, n_iter, residual
    )
    if not in_float64:
        return plans._replace(solved=solved.all(axis=1))
    for s, r in np.argwhere(~solved):
        rows = slice(offsets[s], offsets[s + 1])
        exponents = too_low.pop((s, r), None)
        if exponents is None:  # the kernel is unchanged and accurate
            exponents = np.log(similarities[r, :, rows])
        correction = log_correction[r, rows] if transport.relaxation is not None else None
        similarities[r, :, rows], n_iter[s, r], residual[s, r] = _solve_in_log_domain(
            exponents, masses[rows], correction, transport
        )
    return plans


def _power(transport, epsilon_factor=1.0):
    """The part of the element potentials that a relaxed update keeps."""
    return 1.0 / (1.0 + transport.epsilon * epsilon_factor / transport.relaxation)


def _log_correction(similarities, offsets, masses, transport):
    """Compensate, in relaxed row scalings, for the shift of each row by its maximum.

    In balanced transport, row scalings absorb the shift.

    Returns
    -------
    ndarray of shape (n_references, n_elements)
    """
    highest = similarities.max(axis=1)
    highest[:, masses == 0] = -np.inf
    overall = np.maximum.reduceat(highest, offsets[:-1], axis=1)
    log_correction = highest - np.repeat(overall, np.diff(offsets), axis=1)
    log_correction /= transport.relaxation + transport.epsilon
    return log_correction


def _solve_in_log_domain(exponents, masses, log_correction, transport):
    """Solve in place for one set's plan to one reference, at any epsilon.

    Returns the plan, the number of iterations and the residual.
    """
    # Potentials as large as larger exponents would retain no significant digits: this is
    # the smallest usable epsilon.
    with np.errstate(all="ignore"):
        np.maximum(exponents, -np.finfo(np.float64).max, out=exponents)
        epsilon_factor = max(1.0, exponents.min() / -_MAX_EXPONENT)
        exponents /= epsilon_factor
        rule = Balanced(masses)
        if transport.relaxation is not None:
            relaxation, epsilon = transport.relaxation, transport.epsilon
            log_correction = log_correction * (
                (epsilon + relaxation) / (epsilon * epsilon_factor + relaxation)
            )
            log_correction = np.maximum(log_correction, -_MAX_EXPONENT)[np.newaxis]
            rule = relaxed(masses, log_correction, _power(transport, epsilon_factor))
    offsets = np.array([0, len(masses)])
    offsets.flags.writeable = False  # as for sets, to avoid recompilation
    solved, shape = np.ones((1, 1), bool), (1, 1)
    n_iter, residual = np.zeros(shape, np.int64), np.zeros(shape)
    domain, plan = LogDomain(np.empty(BLOCK)), exponents[np.newaxis]
    iterations = Iterations(transport.max_iter, transport.tol)
    scale_to_marginals(plan, offsets, rule, domain, iterations, solved, n_iter, residual)
    if not solved.all():  # similarities are not finite
        plan[:] = residual[:] = np.nan
    return plan[0], n_iter[0, 0], residual[0, 0]
