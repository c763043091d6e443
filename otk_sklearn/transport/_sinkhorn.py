"""Sinkhorn plans in the working precision, and in the log domain where that fails."""

import numpy as np

from otk_sklearn._compiled.sinkhorn import (
    Scaling,
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
    log_correction, power = _relaxed_side(similarities, offsets, masses, transport)
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
    scaling = Scaling(
        similarities,
        masses,
        log_correction,
        power,
        transport.max_iter,
        transport.tol,
        smallest=float(np.sqrt(limits.tiny)),
        log_domain=False,
    )
    scale_to_marginals(scaling, offsets, solved, plans.n_iter, plans.residual)
    if not in_float64:
        return plans._replace(solved=solved.all(axis=1))
    for s, r in np.argwhere(~solved):
        rows = slice(offsets[s], offsets[s + 1])
        exponents = too_low.pop((s, r), None)
        if exponents is None:  # the kernel is unchanged and accurate
            exponents = np.log(similarities[r, :, rows])
        set_scaling = scaling._replace(
            masses=masses[rows], log_correction=log_correction[r : r + 1, rows]
        )
        similarities[r, :, rows], n_iter, residual = _sinkhorn_in_log_domain(
            exponents, set_scaling, transport
        )
        plans.n_iter[s, r], plans.residual[s, r] = n_iter, residual
    return plans


def _relaxed_side(similarities, offsets, masses, transport):
    """Parameters of the row scalings `log u_i = log_correction_i - power log (K b v)_i`.

    Returns
    -------
    log_correction : ndarray of shape (n_references, n_elements)
        Compensates for the shift of each row by its maximum. In balanced transport, `u_i`
        absorbs the shift.
    power : float
    """
    if transport.relaxation is None:
        return np.zeros((len(similarities), len(masses)), similarities.dtype), 1.0
    highest = similarities.max(axis=1)
    highest[:, masses == 0] = -np.inf
    overall = np.maximum.reduceat(highest, offsets[:-1], axis=1)
    log_correction = highest - np.repeat(overall, np.diff(offsets), axis=1)
    log_correction /= transport.relaxation + transport.epsilon
    return log_correction, 1.0 / (1.0 + transport.epsilon / transport.relaxation)


def _sinkhorn_in_log_domain(exponents, scaling, transport):
    """Solve in place for one set's plan to one reference, at any epsilon."""
    log_correction, power, plan = (
        scaling.log_correction,
        scaling.power,
        exponents[np.newaxis],
    )
    # Potentials as large as larger exponents would retain no significant digits: this is
    # the smallest usable epsilon.
    with np.errstate(all="ignore"):
        np.maximum(exponents, -np.finfo(np.float64).max, out=exponents)
        epsilon_factor = max(1.0, exponents.min() / -_MAX_EXPONENT)
        exponents /= epsilon_factor
        if transport.relaxation is not None:
            epsilon, relaxation = transport.epsilon * epsilon_factor, transport.relaxation
            log_correction = log_correction * (
                (transport.epsilon + relaxation) / (epsilon + relaxation)
            )
            power = relaxation / (epsilon + relaxation)
    log_correction = np.maximum(log_correction, -_MAX_EXPONENT)
    scaling = scaling._replace(
        kernel=plan, log_correction=log_correction, power=power, log_domain=True
    )
    offsets, shape = np.array([0, plan.shape[2]]), (1, 1)
    offsets.flags.writeable = False  # as for sets, to avoid recompilation
    n_iter, residual = np.zeros(shape, np.int64), np.zeros(shape)
    solved = np.ones(shape, bool)
    scale_to_marginals(scaling, offsets, solved, n_iter, residual)
    if not solved.all():  # similarities are not finite
        plan[:] = residual[:] = np.nan
    return plan[0], n_iter[0, 0], residual[0, 0]
