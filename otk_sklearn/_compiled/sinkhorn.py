"""Compiled functions that scale kernels to their marginals: Sinkhorn's iterations.

This is the loop over sets, and over the iterations of each. What an iteration does is in
`passes.py`, by domain; in `marginals.py`, by the rule for marginals; and in
`anderson.py`. Conventions are those of `features.py`.
"""

from typing import NamedTuple

import numpy as np

from otk_sklearn._compiled.anderson import Anderson, anderson_of, extrapolate
from otk_sklearn._compiled.marginals import (
    can_be_padded,
    dual_derivative,
    error_of_rows,
    extrapolates,
    marginal_error,
    padded,
    relaxes_columns,
    start_set,
)
from otk_sklearn._compiled.passes import (
    BLOCK,
    Plain,
    Scalings,
    extrapolated_step,
    plain_step,
    run_pass,
    start_scalings,
    write_block,
    write_log_w,
    write_residual,
)
from otk_sklearn._compiled.primitives import by_type, copy, exp, fill, inlined, jit

# Short sets are padded to a multiple of this length.
_VECTOR = 16

# Extrapolation starts at the first of these iterations, and only if the current rate of
# convergence predicts more remaining iterations than the second, as plain ones are cheaper.
_FIRST_EXTRAPOLATED = 4

_FEW_ITER = 8


@jit
def to_exponents(similarities, offsets, inverse_epsilon, exponentiating, lowest):
    """Turn similarities into exponents `(S_ij - max_j S_ij) / epsilon`, in place.

    Parameters
    ----------
    similarities : ndarray of shape (n_references, n_supports, n_elements)
    offsets : ndarray of shape (n_sets + 1,)
    inverse_epsilon : float
        In the dtype of the similarities.
    exponentiating : bool
        Whether to write the exponentials of these instead.
    lowest : ndarray of shape (n_sets, n_references)
        Filled with the lowest exponent of each set; NaN if any exponent is NaN.
    """
    n_references, n_supports, n_elements = similarities.shape
    highest = np.empty(BLOCK, similarities.dtype)
    least = np.empty(n_elements, similarities.dtype)
    for r in range(n_references):
        for start in range(0, n_elements, BLOCK):
            stop = min(start + BLOCK, n_elements)
            low, high = least[start:stop], highest[: stop - start]
            copy(similarities[r, 0, start:stop], low)
            copy(low, high)
            for j in range(1, n_supports):
                values = similarities[r, j, start:stop]
                for i in range(len(values)):
                    high[i] = max(high[i], values[i])
                    low[i] = min(low[i], values[i])
            for j in range(n_supports):
                values = similarities[r, j, start:stop]
                for i in range(len(values)):
                    values[i] = (values[i] - high[i]) * inverse_epsilon
                if exponentiating:
                    _exponentiate(values)
            for i in range(len(low)):
                low[i] = (low[i] - high[i]) * inverse_epsilon
        for s in range(len(offsets) - 1):
            lowest[s, r] = 0.0
            for i in range(offsets[s], offsets[s + 1]):
                if least[i] < lowest[s, r] or np.isnan(least[i]):  # NaN propagates
                    lowest[s, r] = least[i]


@inlined
def _exponentiate(values):
    """Replace values, which are at most 0, by their exponentials."""
    for i in range(len(values)):
        values[i] = exp(values[i])


@jit
def exponentiate(values):
    """Replace values, which are at most 0, by their exponentials."""
    _exponentiate(values)


class Iterations(NamedTuple):
    """Stopping criteria of the iterations.

    Parameters
    ----------
    max_iter : int
    tol : float
        Iterations stop once the marginal error is below. 0 runs `max_iter` plain ones.
    """

    max_iter: int
    tol: float


class Solutions(NamedTuple):
    """Results for each set and reference, besides the plan.

    Parameters
    ----------
    solved : ndarray of bool of shape (n_sets, n_references)
        Only plans marked True are computed. Those whose scalings leave the accurate range
        become False, and their kernel is left unchanged.
    n_iter, residual : ndarray of shape (n_sets, n_references)
        Filled with the number of iterations and the marginal error: the L1 distance between
        the masses of elements and the implied masses (row sums, in balanced transport), or
        the same of supports, where column marginals are relaxed.
    log_w : ndarray of shape (n_sets, n_references, n_supports)
        Filled with the logarithms of w.
    """

    solved: np.ndarray
    n_iter: np.ndarray
    residual: np.ndarray
    log_w: np.ndarray


class _Tile(NamedTuple):
    """A copy of a short set, padded by elements of mass 0 to whole SIMD vectors."""

    kernel: np.ndarray  # (n_supports, BLOCK + _VECTOR)
    masses: np.ndarray  # (BLOCK,)


class _Work(NamedTuple):
    """Work arrays, reused from set to set."""

    scalings: Scalings
    anderson: Anderson
    tile: _Tile


@jit
def scale_to_marginals(kernel, offsets, rule, domain, iterations, solutions):
    """Turn kernels into plans by Sinkhorn's matrix scaling, set by set, in place.

    Parameters
    ----------
    kernel : ndarray of shape (n_references, n_supports, n_elements)
        On entry `K_ij = exp((S_ij - max_j S_ij) / epsilon)`, or the exponents in the log
        domain; on exit the plans `a_i u_i K_ij w_j`.
    offsets : ndarray of shape (n_sets + 1,)
    rule : Balanced, Relaxed, SupportsRelaxed, or another type of `marginals.py`
    domain : Plain or LogDomain
    iterations : Iterations
    solutions : Solutions
    """
    solved = solutions.solved
    n_references, n_supports, _ = kernel.shape
    longest = BLOCK
    for s in range(len(offsets) - 1):
        longest = max(longest, offsets[s + 1] - offsets[s])
    dtype = kernel.dtype
    tile = _Tile(np.empty((n_supports, BLOCK + _VECTOR), dtype), np.empty(BLOCK, dtype))
    scalings = Scalings(
        rows=np.empty(longest, dtype),
        w=np.empty(n_supports, dtype),
        plain_w=np.empty(n_supports, dtype),
        log_w=np.empty(n_supports),
        columns=np.empty(n_supports),
        log_residual=np.empty(n_supports),
        block=np.empty(BLOCK, dtype),
    )
    work = _Work(scalings, anderson_of(n_supports), tile)
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        for r in range(n_references):
            if solved[s, r]:
                tile_rule, tile_r, tile_kernel, first, last = as_tile(
                    domain, rule, r, kernel[r], start, stop, work.tile
                )
                n_iter = _scale(
                    domain, tile_rule, tile_r, tile_kernel, first, last, iterations, work
                )
                solutions.n_iter[s, r], solved[s, r] = n_iter, n_iter > 0
                if solved[s, r]:
                    write_log_w(domain, scalings, solutions.log_w[s, r])
                    solutions.residual[s, r] = _write_plan(
                        domain, rule, kernel[r], start, stop, scalings
                    )


@inlined
def _scale(domain, rule, r, kernel, start, stop, iterations, work):
    """Find one set's scalings. Return the number of iterations, or 0 if out of range.

    After the first few, updates of `w` are extrapolated. Those that don't increase the dual
    objective (by the trapezoidal rule) are rejected: the plain update replaces them.
    """
    scalings, anderson = work.scalings, work.anderson
    w, columns, step = scalings.w, scalings.columns, anderson.step
    mass = 1.0 / len(w)
    start_scalings(domain, scalings, stop - start)
    start_set(rule, start, stop)
    n_iter, n_steps, first_step, slope = 0, 0, _FIRST_EXTRAPOLATED, 0.0
    error, ends = np.inf, False
    while True:
        last_error = error
        in_range = run_pass(domain, rule, r, kernel, start, stop, scalings)
        if ends:  # with the row marginals
            return n_iter
        n_iter += 1
        error, gain = 0.0, slope
        for j in range(len(w)):
            error += abs(mass - columns[j])
            gain += dual_derivative(rule, columns, j) * step[j]
        if n_steps > 0 and not (in_range and gain > 0.0):
            copy(scalings.plain_w, w)
            n_steps, first_step, error = 0, n_iter + 1, last_error
            continue
        error = marginal_error(rule, start, stop, error)
        if not (in_range and error < np.inf):
            return 0
        if relaxes_columns(rule) and error < iterations.tol and n_iter > 1:
            return n_iter - 1  # rows are those of the last w: a step could miss tol again
        met = error < iterations.tol and not relaxes_columns(rule)
        done = n_iter == iterations.max_iter or met
        use_plain = (
            done or iterations.tol == 0.0 or not extrapolates(rule) or n_iter < first_step
        )
        if n_steps == 0:
            use_plain |= error * (error / last_error) ** _FEW_ITER < iterations.tol
        # The last steps are plain: iterations must not end on one that might be rejected.
        if use_plain or n_iter + 3 > iterations.max_iter:
            plain_step(domain, scalings)
            if done and not relaxes_columns(rule):
                return n_iter
            ends = done
            n_steps = 0
            continue
        write_residual(domain, scalings)
        extrapolate(anderson, scalings.log_residual, n_steps)
        n_steps += 1
        slope = 0.0
        for j in range(len(w)):
            slope += dual_derivative(rule, columns, j) * step[j]
        extrapolated_step(domain, scalings, step)


def _as_tile(domain, rule, r, kernel, start, stop, tile):
    """Copy a short set to the tile: loops over a remainder would take longer."""
    size = stop - start
    if size <= BLOCK and can_be_padded(rule):
        padded_size = -(-size // _VECTOR) * _VECTOR
        for j in range(len(kernel)):
            copy(kernel[j, start:stop], tile.kernel[j])
            fill(tile.kernel[j, size:padded_size], 1)
        copy(rule.masses[start:stop], tile.masses)
        fill(tile.masses[size:padded_size], 0)
        rule, kernel = padded(rule, tile.masses), tile.kernel
        r, start, stop = 0, 0, padded_size
    return rule, r, kernel, start, stop


def _as_it_is(domain, rule, r, kernel, start, stop, tile):
    return rule, r, kernel, start, stop


@inlined
def _write_plan(domain, rule, kernel, start, stop, scalings):
    """Replace one set's kernel by its plan, and return the residual."""
    residual = 0.0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        row_scalings = scalings.rows[first - start : last - start]
        rows = scalings.block[: last - first]
        write_block(domain, rule, kernel, first, scalings, row_scalings, rows)
        residual += error_of_rows(rule, first, rows)
    if relaxes_columns(rule):
        columns = scalings.columns
        for j in range(len(columns)):
            residual += abs(1.0 / len(columns) - columns[j])
    return marginal_error(rule, start, stop, residual)


# (domain, rule, r, kernel, start, stop, tile): what to iterate on for a set.
as_tile = by_type({Plain: _as_tile}, default=_as_it_is)
