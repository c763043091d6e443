"""Sinkhorn plans in the working precision, and in the log domain where that fails."""

import numpy as np

from otk_sklearn._compiled.marginals import Balanced, relaxed
from otk_sklearn._compiled.passes import BLOCK, LogDomain, Plain
from otk_sklearn._compiled.sinkhorn import (
    Iterations,
    Solutions,
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
    plans = converged_plans(similarities, len(offsets) - 1)
    rule, overall = Balanced(masses), np.zeros(plans.residual.shape)
    if transport.relaxation is not None:
        log_correction, overall = _log_correction(similarities, offsets, masses, transport)
        rule = relaxed(masses, log_correction, _power(transport))
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
    solutions = Solutions(solved, plans.n_iter, plans.residual, plans.potentials)
    scale_to_marginals(similarities, offsets, rule, domain, iterations, solutions)
    _to_potentials(plans.potentials, overall, transport.epsilon)
    if not in_float64:
        return plans._replace(solved=solved.all(axis=1))
    for s, r in np.argwhere(~solved):
        rows = slice(offsets[s], offsets[s + 1])
        exponents = too_low.pop((s, r), None)
        if exponents is None:  # the kernel is unchanged and accurate
            exponents = np.log(similarities[r, :, rows])
        correction = log_correction[r, rows] if transport.relaxation is not None else None
        similarities[r, :, rows] = _solve_in_log_domain(
            exponents,
            masses[rows],
            correction,
            transport,
            overall[s, r],
            Solutions(*(array[s : s + 1, r : r + 1] for array in solutions)),
        )
    return plans


def _to_potentials(log_w, overall, epsilon):
    """Turn logarithms of w into potentials, in place: `w_j = exp(g_j / epsilon) / p`.

    `overall` is as from `_log_correction`, or 0.
    """
    log_w += np.log(log_w.shape[-1])
    log_w *= epsilon
    log_w -= np.expand_dims(overall, -1)


def _power(transport, epsilon_factor=1.0):
    """The part of the element potentials that a relaxed update keeps."""
    return 1.0 / (1.0 + transport.epsilon * epsilon_factor / transport.relaxation)


def _log_correction(similarities, offsets, masses, transport):
    """Compensate, in relaxed row scalings, for the shift of each row by its maximum.

    In balanced transport, row scalings absorb the shift.

    Returns
    -------
    log_correction : ndarray of shape (n_references, n_elements)
    overall : ndarray of shape (n_sets, n_references)
        The largest similarities. Those in the row scalings are less by that much, which
        adds as much to the potentials of supports.
    """
    highest = similarities.max(axis=1)
    highest[:, masses == 0] = -np.inf
    overall = np.maximum.reduceat(highest, offsets[:-1], axis=1)
    log_correction = highest - np.repeat(overall, np.diff(offsets), axis=1)
    log_correction /= transport.relaxation + transport.epsilon
    return log_correction, overall.T


def _solve_in_log_domain(exponents, masses, log_correction, transport, overall, solution):
    """Solve for one set's plan to one reference, at any epsilon.

    Returns the plan, in the memory of the exponents. `solution` is as returned by
    `scale_to_marginals`, but with potentials.
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
    domain, plan = LogDomain(np.empty(BLOCK)), exponents[np.newaxis]
    iterations = Iterations(transport.max_iter, transport.tol)
    # Copies are contiguous, as compiled.
    copies = Solutions(*(array.copy() for array in solution))
    copies.solved[:] = True
    scale_to_marginals(plan, offsets, rule, domain, iterations, copies)
    if not copies.solved.all():  # similarities are not finite
        plan[:] = copies.residual[:] = np.nan
    _to_potentials(copies.log_w, overall, transport.epsilon * epsilon_factor)
    for array, found in zip(solution, copies):
        array[:] = found
    return plan[0]
