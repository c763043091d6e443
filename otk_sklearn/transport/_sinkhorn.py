"""Sinkhorn's plans: in the working precision, and in the log domain where that fails."""

import numpy as np

from otk_sklearn._compiled.sinkhorn import (
    Scaling,
    exponentiate,
    scale_to_marginals,
    to_exponents,
)
from otk_sklearn.transport._problem import converged_plans

# Largest exponents, after which even float64 has few digits left of potentials.
_MAX_EXPONENT = 1e13


def sinkhorn_plans(similarities, trusted, offsets, masses, transport):
    """Solve by scaling, in place, and what leaves the range of float64 in logarithms."""
    limits = np.finfo(similarities.dtype)
    log_lift, power = _relaxed_side(similarities, offsets, masses, transport)
    plans = converged_plans(similarities, len(offsets) - 1)
    inverse_epsilon = similarities.dtype.type(1 / transport.epsilon)
    lowest = np.empty(plans.residual.shape)
    in_float64 = similarities.dtype == np.float64
    to_exponents(similarities, offsets, inverse_epsilon, not in_float64, lowest)
    # exp() of anything below would be denormal or 0: a finite plan, far from the true one.
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
        log_lift,
        power,
        transport.max_iter,
        transport.tol,
        smallest=float(np.sqrt(limits.tiny)),
        in_logs=False,
    )
    scale_to_marginals(scaling, offsets, solved, plans.n_iter, plans.residual)
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
    scale_to_marginals(scaling, offsets, solved, n_iter, residual)
    if not solved.all():  # similarities are not finite
        plan[:] = residual[:] = np.nan
    return plan[0], n_iter[0, 0], residual[0, 0]
