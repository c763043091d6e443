"""Compiled functions that scale kernels to their marginals: Sinkhorn's iterations.

Conventions are those of `features.py`.
"""

from typing import NamedTuple

import numpy as np

from otk_sklearn._compiled.primitives import copy, exp, fill, inlined, jit, log

# Elements per block. Sums over a block are in the working precision, and accumulated in
# float64: a float32 sum over a million elements would lose its last digits.
_BLOCK = 256

# Short sets are padded to a multiple of this length.
_VECTOR = 16

# Extrapolation starts at the first of these iterations, and only if the current rate of
# convergence predicts more remaining iterations than the second, as plain ones are cheaper.
_FIRST_EXTRAPOLATED = 4

_FEW_ITER = 8

# Largest root mean square by which extrapolation may change a step of the log scalings.
_MAX_STEP = 2.0

# Upper bound of the log ratios between row sums of consecutive relaxed iterations.
_MAX_LOG = 300.0


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
    highest = np.empty(_BLOCK, similarities.dtype)
    least = np.empty(n_elements, similarities.dtype)
    for r in range(n_references):
        for start in range(0, n_elements, _BLOCK):
            stop = min(start + _BLOCK, n_elements)
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
                    exponentiate(values)
            for i in range(len(low)):
                low[i] = (low[i] - high[i]) * inverse_epsilon
        for s in range(len(offsets) - 1):
            lowest[s, r] = 0.0
            for i in range(offsets[s], offsets[s + 1]):
                if least[i] < lowest[s, r] or np.isnan(least[i]):  # NaN propagates
                    lowest[s, r] = least[i]


@jit
def exponentiate(values):
    """Replace values, which are at most 0, by their exponentials."""
    for i in range(len(values)):
        values[i] = exp(values[i])


class Scaling(NamedTuple):
    """Kernels to scale to their marginals, and the parameters of Sinkhorn's iterations.

    Parameters
    ----------
    kernel : ndarray of shape (n_references, n_supports, n_elements)
        On entry `K_ij = exp((S_ij - max_j S_ij) / epsilon)`, or the exponents themselves
        if `log_domain`; on exit the plans `a_i u_i K_ij w_j`.
    masses : ndarray of shape (n_elements,)
        The masses a_i.
    log_correction : ndarray of shape (n_references, n_elements)
        Compensates for the shift of exponents by their maximum: `log u_i =
        log_correction_i - power log (K w)_i`. Not read if `power` is 1.
    power : float
        1 for balanced transport, less for relaxed.
    max_iter : int
    tol : float
        Iterations stop once the residual is below. 0 runs `max_iter` plain iterations.
    smallest : float
        Outside the log domain, row and column sums must lie between this and
        `1 / smallest`.
    log_domain : bool
        Whether to compute in the log domain: slower (two exponentials per element, support
        and iteration), but stable at any epsilon.
    """

    kernel: np.ndarray
    masses: np.ndarray
    log_correction: np.ndarray
    power: float
    max_iter: int
    tol: float
    smallest: float
    log_domain: bool


class _Scratch(NamedTuple):
    """Work arrays, reused from set to set.

    In the log domain, `row_scalings`, `w` and `plain_w` hold logarithms.
    """

    tile: np.ndarray  # (n_supports, _BLOCK + _VECTOR): the kernel of a short set
    masses: np.ndarray  # (_BLOCK,): its masses
    row_scalings: np.ndarray  # (n_elements,): a_i u_i
    target_row_sums: np.ndarray  # (n_elements,): balanced only, row marginals to reach
    last_row_sums: np.ndarray  # (n_elements,): relaxed only, K w of the last iteration
    implied_masses: np.ndarray  # (n_elements,): relaxed only, see `_write_implied_masses`
    rows: np.ndarray  # (_BLOCK,): row sums
    highest: np.ndarray  # (_BLOCK,): the highest logarithm in each row
    w: np.ndarray  # (n_supports,): w_j, in the dtype of the kernel
    plain_w: np.ndarray  # (n_supports,): w_j after a plain iteration
    columns: np.ndarray  # (n_supports,): the column sums of the plan a_i u_i K_ij w_j
    log_residual: np.ndarray  # (n_supports,): log(b_j / column sum), a plain step of log w
    last_log_residual: np.ndarray  # (n_supports,): its value before the last step
    step: np.ndarray  # (n_supports,): the step of log w taken
    residual_changes: np.ndarray  # (3, n_supports): changes of the log residual
    image_changes: np.ndarray  # (3, n_supports): these plus the steps
    gram: np.ndarray  # (3, 3): Gram matrix of the residual changes
    factor: np.ndarray  # (3, 3): its Cholesky factor
    coefficients: np.ndarray  # (3,): of the log residual on its changes


@jit
def scale_to_marginals(scaling, offsets, solved, n_iter, residual):
    """Turn kernels into plans by Sinkhorn's matrix scaling, set by set, in place.

    Parameters
    ----------
    scaling : Scaling
    offsets : ndarray of shape (n_sets + 1,)
    solved : ndarray of bool of shape (n_sets, n_references)
        Only plans marked True are computed. Those whose scalings leave the accurate range
        become False, and their kernel is left unchanged.
    n_iter, residual : ndarray of shape (n_sets, n_references)
        Filled with the number of iterations and the marginal error: the L1 distance between
        the masses of elements and the implied masses (row sums, in balanced transport).
    """
    n_references, n_supports, _ = scaling.kernel.shape
    longest = _BLOCK
    for s in range(len(offsets) - 1):
        longest = max(longest, offsets[s + 1] - offsets[s])
    dtype = scaling.kernel.dtype
    n_relaxed = 0 if scaling.power == 1.0 else longest
    scratch = _Scratch(
        tile=np.empty((n_supports, _BLOCK + _VECTOR), dtype),
        masses=np.empty(_BLOCK, dtype),
        row_scalings=np.empty(longest, dtype),
        target_row_sums=np.empty(longest - n_relaxed, dtype),
        last_row_sums=np.empty(n_relaxed, dtype),
        implied_masses=np.empty(n_relaxed, dtype),
        rows=np.empty(_BLOCK, dtype),
        highest=np.empty(_BLOCK, dtype),
        w=np.empty(n_supports, dtype),
        plain_w=np.empty(n_supports, dtype),
        columns=np.empty(n_supports),
        log_residual=np.empty(n_supports),
        last_log_residual=np.empty(n_supports),
        step=np.empty(n_supports),
        residual_changes=np.empty((3, n_supports)),
        image_changes=np.empty((3, n_supports)),
        gram=np.empty((3, 3)),
        factor=np.empty((3, 3)),
        coefficients=np.empty(3),
    )
    for s in range(len(offsets) - 1):
        for r in range(n_references):
            if solved[s, r]:
                n_iter[s, r] = _scale(scaling, r, offsets[s], offsets[s + 1], scratch)
                solved[s, r] = n_iter[s, r] > 0
                if solved[s, r]:
                    residual[s, r] = _write_plan(
                        scaling, r, offsets[s], offsets[s + 1], scratch
                    )


@jit
def _scale(scaling, r, start, stop, scratch):
    """Find one set's scalings. Return the number of iterations, or 0 if out of range."""
    kernel, masses = scaling.kernel[r], scaling.masses
    size = stop - start
    if size <= _BLOCK and scaling.power == 1.0 and not scaling.log_domain:
        # Copy a short set, padded by elements of mass 0 to whole SIMD vectors: scalar loops
        # over the remainder would take longer.
        padded = -(-size // _VECTOR) * _VECTOR
        for j in range(len(kernel)):
            copy(kernel[j, start:stop], scratch.tile[j])
            fill(scratch.tile[j, size:padded], 1)
        copy(masses[start:stop], scratch.masses)
        fill(scratch.masses[size:padded], 0)
        kernel, masses, start, stop = scratch.tile, scratch.masses, 0, padded
    return _iterate(scaling, r, kernel, masses, start, stop, scratch)


@jit
def _iterate(scaling, r, kernel, masses, start, stop, scratch):
    """Sinkhorn's iterations for the elements from start to stop of a kernel.

    After the first few, updates of `w` are extrapolated. Those that don't increase the dual
    objective (by the trapezoidal rule) are rejected: the plain update replaces them.
    """
    balanced, log_domain = scaling.power == 1.0, scaling.log_domain
    w, plain_w, columns, step = scratch.w, scratch.plain_w, scratch.columns, scratch.step
    mass = 1.0 / len(w)
    fill(w, np.log(mass) if log_domain else mass)
    fill(scratch.row_scalings[: stop - start], -np.inf if log_domain else 0.0)
    if balanced:
        copy(masses[start:stop], scratch.target_row_sums)
    else:
        fill(scratch.last_row_sums, np.inf)
    n_iter, n_steps, first_step, slope = 0, 0, _FIRST_EXTRAPOLATED, 0.0
    error = np.inf
    while True:
        last_error = error
        if log_domain:
            change = _pass_in_log_domain(scaling, r, kernel, masses, start, stop, scratch)
        else:
            change = _pass(scaling, r, kernel, masses, start, stop, scratch)
        n_iter += 1
        error, gain = 0.0, slope
        for j in range(len(w)):
            column_error = mass - columns[j]
            error += abs(column_error)
            gain += column_error * step[j]
        if n_steps > 0 and not (change < np.inf and gain > 0.0):
            copy(plain_w, w)
            n_steps, first_step, error = 0, n_iter + 1, last_error
            continue
        if not change < np.inf:
            return 0
        if not balanced:
            error = change
        done = n_iter == scaling.max_iter or error < scaling.tol
        use_plain_step = done or scaling.tol == 0.0 or not balanced or n_iter < first_step
        if n_steps == 0:
            use_plain_step |= error * (error / last_error) ** _FEW_ITER < scaling.tol
        # The last steps are plain: iterations must not end on one that might be rejected.
        if use_plain_step or n_iter + 3 > scaling.max_iter:
            for j in range(len(w)):
                if log_domain:
                    w[j] += scratch.log_residual[j]
                else:
                    w[j] *= mass / columns[j]
            if done:
                return n_iter
            n_steps = 0
            continue
        if not log_domain:
            for j in range(len(w)):
                scratch.log_residual[j] = log(mass / columns[j])
        slope = _extrapolate(scratch, n_steps)
        n_steps += 1
        for j in range(len(w)):
            if log_domain:
                plain_w[j] = w[j] + scratch.log_residual[j]
                w[j] += step[j]
            else:
                plain_w[j] = w[j] * (mass / columns[j])
                w[j] *= exp(step[j])


@jit
def _pass(scaling, r, kernel, masses, start, stop, scratch):
    """Update the row scalings, and compute the column sums of the resulting plan.

    Returns the marginal error of the previous plan if relaxed, otherwise 0; infinity if
    sums are out of range.
    """
    w, columns = scratch.w, scratch.columns
    smallest, largest = scaling.smallest, 1.0 / scaling.smallest
    fill(columns, 0.0)
    n_bad = 0
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        rows = scratch.rows[: last - first]
        row_scalings = scratch.row_scalings[first - start : last - start]
        _write_row_sums(kernel, first, w, rows)
        block_masses = masses[first:last]
        if scaling.power == 1.0:
            for i in range(len(rows)):
                n_bad += not smallest <= rows[i] <= largest
                row_scalings[i] = block_masses[i] / rows[i]
        else:
            last_row_sums = scratch.last_row_sums[first - start : last - start]
            _write_implied_masses(
                block_masses, rows, last_row_sums, scratch.implied_masses[first - start :]
            )
            copy(rows, last_row_sums)
            log_correction = scaling.log_correction[r, first:last]
            n_bad += _relaxed_row_scalings(
                scaling, block_masses, log_correction, rows, row_scalings
            )
        _add_column_sums(kernel, first, row_scalings, columns)
    for j in range(len(w)):
        n_bad += not smallest <= columns[j] <= largest
        columns[j] *= w[j]
    if n_bad:
        return np.inf
    return 0.0 if scaling.power == 1.0 else _relaxed_error(masses[start:stop], scratch)


@jit
def _relaxed_row_scalings(scaling, masses, log_correction, rows, row_scalings):
    """Update the row scalings of a block of elements, and count row sums out of range.

    A separate function, as compilers don't vectorize loops beside calls of exp and log.
    """
    n_bad = 0
    for i in range(len(rows)):
        n_bad += not scaling.smallest <= rows[i] <= 1.0 / scaling.smallest
        log_u = log_correction[i] - scaling.power * np.log(rows[i])
        row_scalings[i] = masses[i] * np.exp(log_u)
    return n_bad


@jit
def _write_implied_masses(masses, rows, last_row_sums, implied_masses):
    """Write the implied masses: those for which a relaxed plan would be optimal.

    The scalings u solve for the previous row sums K w; masses scaled by the ratio of the
    current sums to these would make them optimal.
    """
    for i in range(len(rows)):
        implied_masses[i] = masses[i] * (rows[i] / last_row_sums[i])


@jit
def _relaxed_error(masses, scratch):
    """L1 distance between the masses and the implied masses, normalized to sum to 1.

    In balanced transport, implied masses are the row sums. They are normalized as a common
    factor doesn't change the plan.
    """
    implied_masses, total, error = scratch.implied_masses, 0.0, 0.0
    for i in range(len(masses)):
        total += implied_masses[i]
    if not total > 0.0:  # there is no plan before the first iteration
        return 2.0
    for i in range(len(masses)):
        error += abs(masses[i] - implied_masses[i] / total)
    return error


@jit
def _write_row_sums(kernel, first, w, rows):
    """Write `sum_j K_ij w_j` of a block of elements, four supports at a time for speed."""
    n_supports, stop = len(w), first + len(rows)
    fill(rows, 0)
    for j in range(0, n_supports - 3, 4):
        w_0, w_1, w_2, w_3 = w[j], w[j + 1], w[j + 2], w[j + 3]
        k_0, k_1 = kernel[j, first:stop], kernel[j + 1, first:stop]
        k_2, k_3 = kernel[j + 2, first:stop], kernel[j + 3, first:stop]
        for i in range(len(rows)):
            rows[i] += k_0[i] * w_0 + k_1[i] * w_1 + k_2[i] * w_2 + k_3[i] * w_3
    for j in range(n_supports - n_supports % 4, n_supports):
        k_j = kernel[j, first:stop]
        for i in range(len(rows)):
            rows[i] += k_j[i] * w[j]


@jit
def _add_column_sums(kernel, first, row_scalings, columns):
    """Add `sum_i K_ij a_i u_i` of a block of elements, four supports at a time."""
    n_supports, stop = len(columns), first + len(row_scalings)
    zero = kernel.dtype.type(0.0)
    for j in range(0, n_supports - 3, 4):
        sum_0, sum_1, sum_2, sum_3 = zero, zero, zero, zero
        k_0, k_1 = kernel[j, first:stop], kernel[j + 1, first:stop]
        k_2, k_3 = kernel[j + 2, first:stop], kernel[j + 3, first:stop]
        for i in range(len(row_scalings)):
            sum_0 += k_0[i] * row_scalings[i]
            sum_1 += k_1[i] * row_scalings[i]
            sum_2 += k_2[i] * row_scalings[i]
            sum_3 += k_3[i] * row_scalings[i]
        columns[j] += sum_0
        columns[j + 1] += sum_1
        columns[j + 2] += sum_2
        columns[j + 3] += sum_3
    for j in range(n_supports - n_supports % 4, n_supports):
        total, k_j = zero, kernel[j, first:stop]
        for i in range(len(row_scalings)):
            total += k_j[i] * row_scalings[i]
        columns[j] += total


@jit
def _pass_in_log_domain(scaling, r, kernel, masses, start, stop, scratch):
    """`_pass` in the log domain: `row_scalings` and `w` hold logarithms."""
    w, n_supports = scratch.w, len(scratch.w)
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        highest, rows = scratch.highest[: last - first], scratch.rows[: last - first]
        _write_log_row_sums(kernel, first, w, highest, rows)
        log_row_scalings = scratch.row_scalings[first - start : last - start]
        last_row_sums = scratch.last_row_sums[first - start : last - start]
        implied_masses = scratch.implied_masses[first - start :]
        for i in range(len(rows)):
            log_row, mass = highest[i] + np.log(rows[i]), masses[first + i]
            log_u = -log_row
            if scaling.power != 1.0:
                implied_masses[i] = mass * np.exp(min(log_row - last_row_sums[i], _MAX_LOG))
                log_u = scaling.log_correction[r, first + i] - scaling.power * log_row
                last_row_sums[i] = log_row
            log_row_scalings[i] = np.log(mass) + log_u
    log_row_scalings = scratch.row_scalings[: stop - start]
    for j in range(n_supports):
        exponents = kernel[j, start:stop]
        top, total = -np.inf, 0.0
        for i in range(len(exponents)):
            top = max(top, exponents[i] + log_row_scalings[i])
        for i in range(len(exponents)):
            total += exp(exponents[i] + log_row_scalings[i] - top)
        log_column = top + np.log(total) + w[j]
        scratch.log_residual[j] = -np.log(n_supports) - log_column
        scratch.columns[j] = np.exp(log_column)
    return 0.0 if scaling.power == 1.0 else _relaxed_error(masses[start:stop], scratch)


@jit
def _write_log_row_sums(kernel, first, w, highest, rows):
    """`_write_row_sums` in the log domain: logarithms of sums are `highest + log(rows)`."""
    fill(highest, -np.inf)
    fill(rows, 0.0)
    for j in range(len(w)):
        exponents, w_j = kernel[j, first : first + len(rows)], w[j]
        for i in range(len(rows)):
            highest[i] = max(highest[i], exponents[i] + w_j)
    for j in range(len(w)):
        exponents, w_j = kernel[j, first : first + len(rows)], w[j]
        for i in range(len(rows)):
            rows[i] += exp(exponents[i] + w_j - highest[i])


@jit
def _extrapolate(scratch, n_steps):
    """Anderson acceleration of depth 3: write the next step of `log w`.

    A plain iteration adds the log residual to `log w`. The residual is regressed on its
    changes over the last three steps, and the combination of steps that cancels the fitted
    part is added to the plain step.

    Returns the slope of the dual objective along the step.
    """
    log_residual, step, gram = scratch.log_residual, scratch.step, scratch.gram
    residual_changes, image_changes, coefficients = (
        scratch.residual_changes,
        scratch.image_changes,
        scratch.coefficients,
    )
    mass, newest = 1.0 / len(step), (n_steps - 1) % 3
    if n_steps == 0:
        fill(coefficients, 0.0)
        for k in range(3):
            fill(gram[k], 0.0)
            fill(residual_changes[k], 0.0)
            fill(image_changes[k], 0.0)
    else:
        for j in range(len(step)):
            residual_changes[newest, j] = log_residual[j] - scratch.last_log_residual[j]
            image_changes[newest, j] = residual_changes[newest, j] + step[j]
        for k in range(3):
            gram[k, newest] = gram[newest, k] = _dot(
                residual_changes[k], residual_changes[newest]
            )
            coefficients[k] = _dot(residual_changes[k], log_residual)
        _solve(gram, coefficients, scratch.factor)
    x_0, x_1, x_2 = coefficients
    for j in range(len(step)):
        step[j] = (
            x_0 * image_changes[0, j]
            + x_1 * image_changes[1, j]
            + x_2 * image_changes[2, j]
        )
    scale = min(1.0, _MAX_STEP * np.sqrt(len(step) / _dot(step, step)))
    for j in range(len(step)):
        step[j] = log_residual[j] - scale * step[j]
        scratch.last_log_residual[j] = log_residual[j]
    slope = 0.0
    for j in range(len(step)):
        slope += (mass - scratch.columns[j]) * step[j]
    return slope


@inlined
def _solve(gram, x, factor):
    """Solve `gram z = x` in place for three unknowns, by Cholesky.

    Unknowns with a negligible pivot are set to 0: they would be rounding noise.
    """
    for k in range(3):
        pivot = gram[k, k]
        for i in range(k):
            product = gram[k, i]
            for m in range(i):
                product -= factor[k, m] * factor[i, m]
            factor[k, i] = product * factor[i, i]
            pivot -= factor[k, i] ** 2
            x[k] -= factor[k, i] * x[i]
        # The diagonal stores reciprocals.
        factor[k, k] = 1.0 / np.sqrt(pivot) if pivot > 1e-14 * gram[k, k] else 0.0
        x[k] *= factor[k, k]
    for k in range(2, -1, -1):
        for m in range(k + 1, 3):
            x[k] -= factor[m, k] * x[m]
        x[k] *= factor[k, k]


@inlined
def _dot(x, y):
    total = 0.0
    for j in range(len(x)):
        total += x[j] * y[j]
    return total


@jit
def _write_plan(scaling, r, start, stop, scratch):
    """Replace one set's kernel by its plan, and return the residual."""
    w, kernel, balanced = scratch.w, scaling.kernel[r], scaling.power == 1.0
    residual = 0.0
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        row_scalings = scratch.row_scalings[first - start : last - start]
        rows = scratch.rows[: last - first]
        if not balanced:
            _write_final_implied_masses(scaling, r, start, first, last, scratch)
        fill(rows, 0)
        for j in range(len(w)):
            values, w_j = kernel[j, first:last], w[j]
            if scaling.log_domain:
                for i in range(len(values)):
                    values[i] = np.exp(values[i] + row_scalings[i] + w_j)
                    rows[i] += values[i]
            else:
                for i in range(len(values)):
                    value = values[i] * row_scalings[i] * w_j
                    values[i] = value
                    rows[i] += value
        if balanced:
            for i in range(len(rows)):
                residual += abs(rows[i] - scratch.target_row_sums[first - start + i])
    return residual if balanced else _relaxed_error(scaling.masses[start:stop], scratch)


@jit
def _write_final_implied_masses(scaling, r, start, first, last, scratch):
    """`_write_implied_masses` for a block of elements and the final `w`."""
    kernel, rows = scaling.kernel[r], scratch.rows[: last - first]
    last_row_sums = scratch.last_row_sums[first - start : last - start]
    if scaling.log_domain:
        highest = scratch.highest[: last - first]
        _write_log_row_sums(kernel, first, scratch.w, highest, rows)
        for i in range(len(rows)):
            log_row = highest[i] + np.log(rows[i])
            rows[i] = np.exp(min(log_row - last_row_sums[i], _MAX_LOG))
            last_row_sums[i] = 1.0
    else:
        _write_row_sums(kernel, first, scratch.w, rows)
    masses, implied_masses = scaling.masses[first:last], scratch.implied_masses
    _write_implied_masses(masses, rows, last_row_sums, implied_masses[first - start :])
