"""Every compiled function, and nothing else.

Kernels are serial and release the GIL; parallelism is the caller's, over chunks of sets.
They check no bounds: offsets and shapes have been proved by `SetCollection` before they
come here, and no index is ever computed from the values of elements.
"""

import numba
import numpy as np

# Reordering sums lets them vectorise. The rest of "fast math" would delete the very
# checks for infinities and NaN that the solver relies on.
_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"nsz", "arcp", "contract", "reassoc"},
}

# Rows summed in the working precision before the sum moves to float64: in float32, the
# plain sum over a set of a million elements would lose its last digits.
_SUM_BLOCK = 256


def _jit(function):
    """Compile at the first call; cache on disk where a folder can be written."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba finds no folder for its cache
        return numba.njit(**_OPTIONS)(function)


@_jit
def _scale(
    gibbs, reference, start, stop, masses, log_lift, power, max_iter, tol, smallest, u, w
):
    """Scale one set's Gibbs kernel to its marginals, in place.

    Each iteration reads the kernel once: a row gives its `u_i`, which is at once spent on
    the column sums. The same row sum, under the supports' scaling of the iteration
    before, tells that iteration's error on the element side, for nothing.

    Returns the number of iterations and the error, or -1 iterations if a scaling left the
    range in which it is accurate; `gibbs` is then as it was.
    """
    n_supports = gibbs.shape[2]
    support_mass = 1.0 / n_supports
    largest = 1.0 / smallest
    # What the plan's row sums are compared with: masses, or the row sums of the iteration
    # before, of which there is none at first.
    goal = masses[start:stop].copy()
    u[: stop - start] = 0.0
    column = np.empty(n_supports, gibbs.dtype)
    column_total = np.empty(n_supports, np.float64)
    w[:] = support_mass  # w_j = v_j b_j
    error = np.inf
    n_iter = 0
    while n_iter < max_iter and not error < tol:
        error = 0.0
        column_total[:] = 0.0
        for block in range(start, stop, _SUM_BLOCK):
            column[:] = 0.0
            for i in range(block, min(block + _SUM_BLOCK, stop)):
                row = gibbs.dtype.type(0.0)
                for j in range(n_supports):
                    row += gibbs[i, reference, j] * w[j]
                if not smallest <= row <= largest:
                    return -1, np.inf
                row_sum = masses[i] * u[i - start] * row
                error += abs(row_sum - goal[i - start])
                if power == 1.0:
                    u[i - start] = 1.0 / row
                else:
                    u[i - start] = np.exp(log_lift[i, reference] - power * np.log(row))
                    goal[i - start] = row_sum
                share = masses[i] * u[i - start]
                for j in range(n_supports):
                    column[j] += gibbs[i, reference, j] * share
            for j in range(n_supports):
                column_total[j] += column[j]
        for j in range(n_supports):
            if not smallest <= column_total[j] <= largest:
                return -1, np.inf
            w[j] = support_mass / column_total[j]
        if n_iter == 0:
            error = np.inf  # there was no iteration before the first
        n_iter += 1
    error = 0.0
    for i in range(start, stop):
        row_sum = 0.0
        for j in range(n_supports):
            gibbs[i, reference, j] *= masses[i] * u[i - start] * w[j]
            row_sum += gibbs[i, reference, j]
        error += abs(row_sum - goal[i - start])
    return n_iter, error


@_jit
def sinkhorn_scaling(
    gibbs,
    offsets,
    masses,
    log_lift,
    power,
    max_iter,
    tol,
    smallest,
    solved,
    n_iter,
    residual,
):
    """Turn Gibbs kernels into plans by Sinkhorn's matrix scaling, set by set, in place.

    Parameters
    ----------
    gibbs : ndarray of shape (n_elements, n_references, n_supports)
        On entry `exp((S_ij - max_j S_ij) / epsilon)`, on exit the plans.
    offsets : ndarray of shape (n_sets + 1,)
    masses : ndarray of shape (n_elements,)
    log_lift : ndarray of shape (n_elements, n_references)
        The element side is `log u_i = log_lift_i - power log (K b v)_i`. Not read if
        `power` is 1.
    power : float
        1 for balanced transport, less for relaxed.
    smallest : float
        Scalings are kept between this and one over it.
    solved : ndarray of bool of shape (n_sets, n_references)
        Only plans marked True are computed; those whose scalings leave the range become
        False and keep their Gibbs kernel.
    n_iter, residual : ndarray of shape (n_sets, n_references)
        Filled with the iterations done, and the L1 error of the element marginal; relaxed,
        with its L1 change in the last iteration.
    """
    longest = 0
    for s in range(len(offsets) - 1):
        longest = max(longest, offsets[s + 1] - offsets[s])
    u = np.empty(longest, gibbs.dtype)
    w = np.empty(gibbs.shape[2], gibbs.dtype)
    for s in range(len(offsets) - 1):
        for r in range(gibbs.shape[1]):
            if solved[s, r]:
                n_iter[s, r], residual[s, r] = _scale(
                    gibbs,
                    r,
                    offsets[s],
                    offsets[s + 1],
                    masses,
                    log_lift,
                    power,
                    max_iter,
                    tol,
                    smallest,
                    u,
                    w,
                )
                solved[s, r] = n_iter[s, r] >= 0


@_jit
def sinkhorn_log(exponents, masses, log_lift, power, max_iter, tol, plan):
    """Write one set's plan, computed in the log domain, into `plan`.

    Slower than `sinkhorn_scaling` (two exponentials per element, support and iteration)
    and safe at any epsilon.

    Parameters
    ----------
    exponents : ndarray of shape (n_elements, n_supports)
        `(S_ij - max_j S_ij) / epsilon`.
    masses : ndarray of shape (n_elements,)
    log_lift : ndarray of shape (n_elements,)
        The element side is `log u_i = log_lift_i - power log (K b v)_i`.
    power : float
        1 for balanced transport, less for relaxed.
    plan : ndarray of shape (n_elements, n_supports)

    Returns
    -------
    n_iter : int
    residual : float
        As `sinkhorn_scaling`.
    """
    n_elements, n_supports = exponents.shape
    log_support_mass = -np.log(n_supports)
    f = np.full(n_elements, -np.inf)  # log a_i u_i
    g = np.full(n_supports, log_support_mass)  # log b_j v_j
    goal = masses.copy()  # as in `_scale`
    highest = np.empty(n_supports)
    total = np.empty(n_supports)
    error = np.inf
    n_iter = 0
    while n_iter < max_iter and not error < tol:
        error = 0.0
        highest[:] = -np.inf
        for i in range(n_elements):
            row_highest = -np.inf
            for j in range(n_supports):
                row_highest = max(row_highest, exponents[i, j] + g[j])
            row = 0.0
            for j in range(n_supports):
                row += np.exp(exponents[i, j] + g[j] - row_highest)
            log_row = row_highest + np.log(row)
            row_sum = np.exp(f[i] + log_row)
            error += abs(row_sum - goal[i])
            if power != 1.0:
                goal[i] = row_sum
            f[i] = np.log(masses[i]) + log_lift[i] - power * log_row
            for j in range(n_supports):
                highest[j] = max(highest[j], exponents[i, j] + f[i])
        total[:] = 0.0
        for i in range(n_elements):
            for j in range(n_supports):
                total[j] += np.exp(exponents[i, j] + f[i] - highest[j])
        for j in range(n_supports):
            g[j] = log_support_mass - highest[j] - np.log(total[j])
        if n_iter == 0:
            error = np.inf  # there was no iteration before the first
        n_iter += 1
    error = 0.0
    for i in range(n_elements):
        row_sum = 0.0
        for j in range(n_supports):
            plan[i, j] = np.exp(exponents[i, j] + f[i] + g[j])
            row_sum += plan[i, j]
        error += abs(row_sum - goal[i])
    return n_iter, error


@_jit
def add_pooled(plan, features, offsets, pooled):
    """Add each set's `P^T features` to its block of `pooled`.

    Parameters
    ----------
    plan : ndarray of shape (n_elements, n_supports)
    features : ndarray of shape (n_elements, n_components)
    offsets : ndarray of shape (n_sets + 1,)
        A set without elements here adds nothing.
    pooled : ndarray of shape (n_sets, n_supports, n_components)
    """
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        if start < stop:
            pooled[s] += np.dot(plan[start:stop].T, features[start:stop])
