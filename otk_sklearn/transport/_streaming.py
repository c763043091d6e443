"""Sinkhorn's iterations over elements that pass by in blocks: no plan is kept.

For given scalings w of the supports, the row of an element depends on no other element:

    P_ij = a_i exp(S_ij / epsilon + log w_j - power L_i),
    L_i = log sum_j exp(S_ij / epsilon + log w_j),

where the power is 1 if masses of elements are fixed, less if they have a penalty, and 0 for
`solver="softmax"`. So one pass over the elements solves for their side exactly, and sums
what the next scalings depend on, and what is pooled: a few numbers for each support.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from otk_sklearn.transport._solvers import solve_plans

# Largest root mean square of a step of Newton's method, in logarithms of scalings.
_MAX_STEP = 2.0

# Column sums count as at least this part of the total mass.
_LEAST_COLUMN = 1e-300


@dataclass(frozen=True, eq=False)
class PassSums:
    """Sums over the elements of a block, or of several.

    With the conditional plan `q_ij = exp(S_ij / epsilon + log w_j - L_i)`, whose rows sum
    to 1. Sums of the plan are divided by `exp(log_scale)`, by support.

    Parameters
    ----------
    weight : float
        Sum of the weights of elements.
    log_scale : ndarray of shape (n_references, n_supports)
    columns : ndarray of shape (n_references, n_supports)
        `sum_i P_ij`.
    shares : ndarray of shape (n_references, n_supports)
        `sum_i a_i q_ij`.
    overlaps : ndarray of shape (n_references, n_supports, n_supports)
        `sum_i P_ij q_il`.
    pooled : ndarray of shape (n_references, n_supports, n_components)
        `sum_i P_ij kappa_i`.
    """

    weight: float
    log_scale: np.ndarray
    columns: np.ndarray
    shares: np.ndarray
    overlaps: np.ndarray
    pooled: np.ndarray

    def __add__(self, other):
        log_scale = np.maximum(self.log_scale, other.log_scale)
        ours = np.exp(self.log_scale - log_scale)
        theirs = np.exp(other.log_scale - log_scale)
        return PassSums(
            self.weight + other.weight,
            log_scale,
            self.columns * ours + other.columns * theirs,
            self.shares + other.shares,
            *(
                one * ours[..., np.newaxis] + another * theirs[..., np.newaxis]
                for one, another in [
                    (self.overlaps, other.overlaps),
                    (self.pooled, other.pooled),
                ]
            ),
        )


def match_block(similarities, weights, log_w, transport, pool):
    """Solve for the rows of a block of elements, and return its `PassSums`.

    Parameters
    ----------
    similarities : ndarray of shape (n_references, n_supports, n_elements)
        Overwritten.
    weights : ndarray of float64 of shape (n_elements,) or None
        Positive, up to about 1; None means 1.
    log_w : ndarray of float64 of shape (n_references, n_supports)
    transport : Transport
    pool : callable
        Returns `sum_i P_ij kappa_i` of the plan, which it may overwrite.
    """
    dtype, exponents = similarities.dtype, similarities
    exponents *= dtype.type(1 / _normal(transport.epsilon, dtype))
    exponents += log_w.astype(dtype)[..., np.newaxis]
    n_references, n_supports, n_elements = exponents.shape
    shares = np.zeros((n_references, n_supports))
    overlaps = np.zeros((n_references, n_supports, n_supports))
    log_scale = np.zeros_like(shares)
    power = element_power(transport)
    if power < 1.0:
        plan, log_scale = _penalized_plan(exponents, weights, power)
    if power > 0.0:
        conditional = _normalize(exponents)
        shares[:] = conditional.sum(axis=2) if weights is None else conditional @ weights
        if power == 1.0:
            plan = conditional
            if weights is not None:
                plan = conditional * weights.astype(dtype, copy=False)
        overlaps[:] = plan @ conditional.transpose(0, 2, 1)
    columns = plan.sum(axis=2)
    return PassSums(
        float(n_elements if weights is None else weights.sum()),
        log_scale,
        columns.astype(np.float64),
        shares,
        overlaps,
        pool(plan).astype(np.float64),
    )


def element_power(transport):
    """The part of an exact update that potentials of elements make."""
    if transport.solver == "softmax":
        return 0.0
    return transport.penalty.powers(transport.epsilon)[0]


def _normal(epsilon, dtype):
    limits = np.finfo(dtype)
    return min(max(epsilon, limits.tiny), limits.max)


def _normalize(exponents):
    """Replace exponents by exponentials that sum to 1 over the supports."""
    exponents -= exponents.max(axis=1, keepdims=True)
    np.exp(exponents, out=exponents)
    exponents /= exponents.sum(axis=1, keepdims=True)
    return exponents


def _penalized_plan(exponents, weights, power):
    """The plan, with the logarithms of the factor that it is divided by."""
    plan = exponents.copy()
    if power > 0.0:
        plan -= power * logsumexp(exponents, axis=1, keepdims=True)
    if weights is not None:
        plan += np.log(weights).astype(plan.dtype, copy=False)
    log_scale = plan.max(axis=2)
    plan -= log_scale[..., np.newaxis]
    return np.exp(plan, out=plan), log_scale.astype(np.float64)


def sampled_log_w(similarities, weights, transport):
    """Logarithms of the scalings that solve the problem of a sample of the elements.

    Parameters
    ----------
    similarities : ndarray of float64 of shape (n_references, n_supports, n_elements)
        Overwritten.
    weights : ndarray of shape (n_elements,) or None
    transport : Transport

    Returns
    -------
    ndarray of shape (n_references, n_supports)
    """
    n_supports, n_elements = similarities.shape[1:]
    masses = np.ones(n_elements) if weights is None else weights / weights.max()
    masses /= masses.sum()
    offsets = np.array([0, n_elements])
    offsets.flags.writeable = False  # as for sets, to avoid recompilation
    # The difference between the sample and all elements counts, too.
    tight = replace(transport, tol=transport.tol / 10)
    plans = solve_plans(similarities, np.zeros(1), offsets, masses, tight)
    log_w = plans.potentials[0] / transport.epsilon
    log_w -= log_w.mean(axis=1, keepdims=True)  # a common factor doesn't change plans
    return np.nan_to_num(log_w, nan=0.0) - np.log(n_supports)


class SupportScalings:
    """The scalings of supports to one reference, from pass to pass, and the best plan.

    A pass gives the column sums c of the plan that is exact for the elements. A plain
    iteration then multiplies w by `b_j / c_j`. The same pass gives the derivatives of c, so
    that Newton's method replaces it, unless `tol` is 0. A step after which the residual is
    not lower is rejected: a plain one from the same point comes instead.

    Parameters
    ----------
    log_w : ndarray of shape (n_supports,)
        Where iterations start.
    transport : Transport

    Attributes
    ----------
    log_w : ndarray of shape (n_supports,)
        Logarithms of the scalings for the next pass.
    residual : float
        Of the best plan so far (the last one, if `tol` is 0): an upper bound of that of
        `Plans`. It equals it with `support_relaxation`.
    pooled : ndarray of shape (n_supports, n_components) or None
        What that plan pools.
    done : bool
        Whether that plan meets `tol`, or no further pass can change it.
    """

    def __init__(self, log_w, transport):
        self.log_w, self._transport = log_w, transport
        self._element_power = element_power(transport)
        self._support_power = transport.penalty.powers(transport.epsilon)[1]
        self.residual, self.pooled, self.done = np.inf, None, False
        self._last_residual, self._max_step = np.inf, _MAX_STEP
        self._plain_log_w = None  # instead of a step of Newton's method

    def update(self, sums, r):
        """Take the sums of a pass with these scalings, of which r is the reference."""
        if self.done:
            return
        # Far from convergence, they may be 0: logarithms stay finite.
        columns = np.maximum(sums.columns[r] / sums.weight, _LEAST_COLUMN)
        log_columns = np.log(columns) + sums.log_scale[r]
        step = self._plain_step(log_columns)
        residual = self._residual(step, sums.shares[r] / sums.weight)
        runs_all = self._transport.tol == 0.0
        if residual < self.residual or self.pooled is None or runs_all:
            self.residual = residual
            self.pooled = self._pooled(sums.pooled[r] / sums.weight, columns)
        self.done = residual < self._transport.tol or self._element_power == 0.0
        self.done |= not np.isfinite(residual)  # nor are similarities
        if self._plain_log_w is not None and not residual < self._last_residual:
            self.log_w, self._plain_log_w = self._plain_log_w, None
            self._max_step /= 4
            return
        self._last_residual = residual
        if runs_all or self.done:
            self.log_w = self.log_w + step
            return
        self._plain_log_w = self.log_w + step
        self.log_w = self.log_w + self._newton_step(step, sums.overlaps[r])
        self._max_step = min(2 * self._max_step, _MAX_STEP)

    def _plain_step(self, log_columns):
        """The change of log w in a plain iteration, up to a constant.

        It is the logarithm of `b_j` divided by the masses of supports for which the plan
        would be optimal, which are its column sums if masses are fixed.
        """
        power = self._support_power
        log_implied = (1.0 - power) * self.log_w + power * log_columns
        return logsumexp(log_implied) - log_implied - np.log(len(log_implied))

    def _pooled(self, pooled, columns):
        if self._support_power < 1.0:  # iterations end with the elements
            return pooled
        return pooled / (len(columns) * columns)[:, np.newaxis]  # with the supports

    def _residual(self, step, shares):
        """The residual of the plan that this pass leads to, or a bound of it.

        Scaling columns by `exp(step_j)` scales the sum over an element's row of the kernel
        by `rho_i = sum_j q_ij exp(step_j)`: in balanced transport, that of the plan. The
        residual `sum_i a_i |rho_i / mean(rho) - 1|`, where the mean is
        `sum_j shares_j exp(step_j)`, is at most `sum_j shares_j |exp(step_j) / mean - 1|`.
        """
        if self._transport.solver == "softmax":
            return 0.0
        if self._support_power < 1.0:
            return np.abs(np.exp(-step) - 1.0).mean()
        ratios = np.exp(step - step.max())
        return shares @ np.abs(ratios / (shares @ ratios) - 1.0)

    def _newton_step(self, step, overlaps):
        """Solve for the change of log w that would make the next plain step 0.

        The derivatives of `log c` with respect to `log w` are `1 - power M`, where M are
        the overlaps with rows scaled to sum to 1. A common factor of w changes no plan: it
        is left out, as it makes the system singular.
        """
        row_sums = np.maximum(overlaps.sum(axis=1, keepdims=True), _LEAST_COLUMN)
        markov = overlaps / row_sums - 1.0 / len(step)
        power = self._element_power * self._support_power
        system = np.eye(len(step)) - power * markov
        newton = np.linalg.lstsq(system, step, rcond=None)[0]
        newton -= newton.mean()
        size = np.sqrt(np.mean(newton**2))
        return newton * min(1.0, self._max_step / size) if size > 0 else newton
