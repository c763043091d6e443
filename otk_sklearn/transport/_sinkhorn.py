"""Sinkhorn plans in the working precision, and in the log domain where that fails."""

import numpy as np

from otk_sklearn._compiled.passes import BLOCK, LogDomain, Plain
from otk_sklearn._compiled.sinkhorn import (
    Iterations,
    Solutions,
    exponentiate,
    scale_to_marginals,
    to_exponents,
)
from otk_sklearn.transport._penalties import MAX_EXPONENT
from otk_sklearn.transport._problem import converged_plans


def sinkhorn_plans(similarities, trusted, offsets, masses, transport):
    """Solve in place by matrix scaling; out of float64's range, in the log domain."""
    limits, penalty = np.finfo(similarities.dtype), transport.penalty
    plans = converged_plans(similarities, len(offsets) - 1)
    shifts, overall = penalty.shifts(similarities, offsets, masses)
    rule = penalty.rule(masses, shifts, transport.epsilon, similarities.shape[1])
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
    _to_potentials(plans.potentials, overall, penalty, transport.epsilon)
    if not in_float64:
        return plans._replace(solved=solved.all(axis=1))
    overall = np.broadcast_to(overall, solved.shape)
    for s, r in np.argwhere(~solved):
        rows = slice(offsets[s], offsets[s + 1])
        exponents = too_low.pop((s, r), None)
        if exponents is None:  # the kernel is unchanged and accurate
            exponents = np.log(similarities[r, :, rows])
        similarities[r, :, rows] = _solve_in_log_domain(
            exponents,
            masses[rows],
            None if shifts is None else shifts[r : r + 1, rows],
            transport,
            overall[s, r],
            Solutions(*(array[s : s + 1, r : r + 1] for array in solutions)),
        )
    return plans


def _to_potentials(log_w, overall, penalty, epsilon):
    """Turn logarithms of w into potentials, in place: `w_j = exp(g_j / epsilon) / p`."""
    log_w += np.log(log_w.shape[-1])
    log_w[:] = penalty.normalized(log_w, epsilon)
    log_w *= epsilon
    log_w -= np.expand_dims(overall, -1)


def _solve_in_log_domain(exponents, masses, shifts, transport, overall, solution):
    """Solve for one set's plan to one reference, at any epsilon.

    Returns the plan, in the memory of the exponents. `solution` is as returned by
    `scale_to_marginals`, but with potentials.
    """
    # Potentials as large as larger exponents would retain no significant digits: this is
    # the smallest usable epsilon.
    with np.errstate(all="ignore"):
        np.maximum(exponents, -np.finfo(np.float64).max, out=exponents)
        epsilon_factor = max(1.0, exponents.min() / -MAX_EXPONENT)
        exponents /= epsilon_factor
        epsilon = transport.epsilon * epsilon_factor
        rule = transport.penalty.rule(masses, shifts, epsilon, len(exponents))
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
    _to_potentials(copies.log_w, overall, transport.penalty, epsilon)
    for array, found in zip(solution, copies):
        array[:] = found
    return plan[0]
