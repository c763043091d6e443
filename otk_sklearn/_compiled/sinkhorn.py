"""Compiled functions that scale kernels to their marginals: Sinkhorn's iterations.

They keep to the rules of `features.py`.
"""

from typing import NamedTuple

import numpy as np

from otk_sklearn._compiled.primitives import copy, exp, fill, inlined, jit, log

# Elements worked on at a time. Their sums are in the working precision before they move to
# float64: in float32, the plain sum over a million elements would lose its last digits.
_BLOCK = 256

# Short sets are filled up to a multiple of this.
_VECTOR = 16

# Extrapolation begins with this iteration, and only if, at the rate of the last one, more
# than so many would be left: a few plain ones are faster.
_FIRST_EXTRAPOLATED = 4

_FEW_ITER = 8

# The largest step that extrapolation may add to the logarithms of scalings, as a root mean
# square.
_MAX_STEP = 2.0

# Logarithms of how many times too large the sums of relaxed plans may be, at most.
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
        Go on to the exponentials of these.
    lowest : ndarray of shape (n_sets, n_references)
        Filled with the lowest exponent of each set; NaN where one is.
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
                if least[i] < lowest[s, r] or np.isnan(least[i]):  # NaN stays
                    lowest[s, r] = least[i]


@jit
def exponentiate(values):
    """Replace the values, at most 0, by their exponentials."""
    for i in range(len(values)):
        values[i] = exp(values[i])


class Scaling(NamedTuple):
    """Kernels to be scaled to their marginals, and how.

    Parameters
    ----------
    kernel : ndarray of shape (n_references, n_supports, n_elements)
        On entry `K_ij = exp((S_ij - max_j S_ij) / epsilon)`, or the exponents themselves
        if `in_logs`; on exit the plans `a_i u_i K_ij w_j`.
    masses : ndarray of shape (n_elements,)
        The masses a_i.
    log_lift : ndarray of shape (n_references, n_elements)
        The element side is `log u_i = log_lift_i - power log (K w)_i`. Not read if `power`
        is 1.
    power : float
        1 for balanced transport, less for relaxed.
    max_iter : int
    tol : float
        Iterations are over once the residual is below. 0 runs `max_iter` plain iterations.
    smallest : float
        Scalings are kept between this and one over it, but for the log domain.
    in_logs : bool
        Whether to compute in the log domain: slower (two exponentials per element, support
        and iteration), and safe at any epsilon.
    """

    kernel: np.ndarray
    masses: np.ndarray
    log_lift: np.ndarray
    power: float
    max_iter: int
    tol: float
    smallest: float
    in_logs: bool


class _Scratch(NamedTuple):
    """Arrays used for one set after the other.

    In the log domain, `shares`, `w` and `plain` hold logarithms.
    """

    tile: np.ndarray  # (n_supports, _BLOCK + _VECTOR): the kernel of a short set
    masses: np.ndarray  # (_BLOCK,): its masses
    shares: np.ndarray  # (n_elements,): a_i u_i
    goal: np.ndarray  # (n_elements,): row sums to come to; relaxed, sums K w of before
    implied_masses: np.ndarray  # (n_elements,): relaxed, masses the plan is exact for
    rows: np.ndarray  # (_BLOCK,): row sums
    highest: np.ndarray  # (_BLOCK,): the highest logarithm in each row
    w: np.ndarray  # (n_supports,): w_j, in the dtype of the kernel
    plain: np.ndarray  # (n_supports,): w_j after a plain iteration
    columns: np.ndarray  # (n_supports,): the column sums of the plan a_i u_i K_ij w_j
    missing: np.ndarray  # (n_supports,): the step of log w that a plain iteration takes
    last_missing: np.ndarray  # (n_supports,): that before the last step
    step: np.ndarray  # (n_supports,): the step of log w taken
    changes: np.ndarray  # (3, n_supports): how the last steps changed what is missing
    images: np.ndarray  # (3, n_supports): the same and the step, added up
    gram: np.ndarray  # (3, 3): products of the changes
    factor: np.ndarray  # (3, 3): its Cholesky factor
    explained: np.ndarray  # (3,): what is missing as a combination of the changes


@jit
def scale_to_marginals(scaling, offsets, solved, n_iter, residual):
    """Turn kernels into plans by Sinkhorn's matrix scaling, set by set, in place.

    Parameters
    ----------
    scaling : Scaling
    offsets : ndarray of shape (n_sets + 1,)
    solved : ndarray of bool of shape (n_sets, n_references)
        Only plans marked True are computed. Those whose scalings leave the range in which
        they are accurate become False, and keep their kernel.
    n_iter, residual : ndarray of shape (n_sets, n_references)
        Filled with the iterations done, and the L1 distance between the masses of elements
        and those that the plan would be exact for: balanced, its row sums.
    """
    n_references, n_supports, _ = scaling.kernel.shape
    longest = _BLOCK
    for s in range(len(offsets) - 1):
        longest = max(longest, offsets[s + 1] - offsets[s])
    dtype = scaling.kernel.dtype
    n_implied = 0 if scaling.power == 1.0 else longest
    scratch = _Scratch(
        tile=np.empty((n_supports, _BLOCK + _VECTOR), dtype),
        masses=np.empty(_BLOCK, dtype),
        shares=np.empty(longest, dtype),
        goal=np.empty(longest, dtype),
        implied_masses=np.empty(n_implied, dtype),
        rows=np.empty(_BLOCK, dtype),
        highest=np.empty(_BLOCK, dtype),
        w=np.empty(n_supports, dtype),
        plain=np.empty(n_supports, dtype),
        columns=np.empty(n_supports),
        missing=np.empty(n_supports),
        last_missing=np.empty(n_supports),
        step=np.empty(n_supports),
        changes=np.empty((3, n_supports)),
        images=np.empty((3, n_supports)),
        gram=np.empty((3, 3)),
        factor=np.empty((3, 3)),
        explained=np.empty(3),
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
    """Find one set's scalings. Return the iterations done, or 0 if they leave the range."""
    kernel, masses = scaling.kernel[r], scaling.masses
    size = stop - start
    if size <= _BLOCK and scaling.power == 1.0 and not scaling.in_logs:
        # A short set is worth a copy that is filled up, by elements without mass, to whole
        # vectors: loops over what is left of it would take longer.
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

    After the first few, steps of the support side are extrapolated. Those that don't make
    the dual objective grow (by the trapezoidal rule) are taken back.
    """
    balanced, in_logs = scaling.power == 1.0, scaling.in_logs
    w, plain, columns, step = scratch.w, scratch.plain, scratch.columns, scratch.step
    mass = 1.0 / len(w)
    fill(w, np.log(mass) if in_logs else mass)
    fill(scratch.shares[: stop - start], -np.inf if in_logs else 0.0)
    if balanced:
        copy(masses[start:stop], scratch.goal)
    else:
        fill(scratch.goal, np.inf)
    n_iter, n_steps, first_step, slope = 0, 0, _FIRST_EXTRAPOLATED, 0.0
    error = np.inf
    while True:
        last_error = error
        if in_logs:
            change = _pass_in_logs(scaling, r, kernel, masses, start, stop, scratch)
        else:
            change = _pass(scaling, r, kernel, masses, start, stop, scratch)
        n_iter += 1
        error, gain = 0.0, slope
        for j in range(len(w)):
            missing = mass - columns[j]
            error += abs(missing)
            gain += missing * step[j]
        if n_steps > 0 and not (change < np.inf and gain > 0.0):
            copy(plain, w)
            n_steps, first_step, error = 0, n_iter + 1, last_error
            continue
        if not change < np.inf:
            return 0
        if not balanced:
            error = change
        done = n_iter == scaling.max_iter or error < scaling.tol
        plainly = done or scaling.tol == 0.0 or not balanced or n_iter < first_step
        if n_steps == 0:
            plainly |= error * (error / last_error) ** _FEW_ITER < scaling.tol
        # The last steps are plain: one that might be taken back must not be the end.
        if plainly or n_iter + 3 > scaling.max_iter:
            for j in range(len(w)):
                if in_logs:
                    w[j] += scratch.missing[j]
                else:
                    w[j] *= mass / columns[j]
            if done:
                return n_iter
            n_steps = 0
            continue
        if not in_logs:
            for j in range(len(w)):
                scratch.missing[j] = log(mass / columns[j])
        slope = _extrapolate(scratch, n_steps)
        n_steps += 1
        for j in range(len(w)):
            if in_logs:
                plain[j] = w[j] + scratch.missing[j]
                w[j] += step[j]
            else:
                plain[j] = w[j] * (mass / columns[j])
                w[j] *= exp(step[j])


@jit
def _pass(scaling, r, kernel, masses, start, stop, scratch):
    """One iteration's element side, and the column sums of the plan it leads to.

    Returns the error of the plan before if relaxed, or 0; infinite if the scalings left the
    range in which they are accurate.
    """
    w, columns = scratch.w, scratch.columns
    smallest, largest = scaling.smallest, 1.0 / scaling.smallest
    fill(columns, 0.0)
    n_bad = 0
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        rows = scratch.rows[: last - first]
        shares = scratch.shares[first - start : last - start]
        _add_rows(kernel, first, w, rows)
        block_masses = masses[first:last]
        if scaling.power == 1.0:
            for i in range(len(rows)):
                n_bad += not smallest <= rows[i] <= largest
                shares[i] = block_masses[i] / rows[i]
        else:
            goal = scratch.goal[first - start : last - start]
            _imply_masses(block_masses, rows, goal, scratch.implied_masses[first - start :])
            copy(rows, goal)
            lift = scaling.log_lift[r, first:last]
            n_bad += _relaxed_shares(scaling, block_masses, lift, rows, shares)
        _add_columns(kernel, first, shares, columns)
    for j in range(len(w)):
        n_bad += not smallest <= columns[j] <= largest
        columns[j] *= w[j]
    if n_bad:
        return np.inf
    return 0.0 if scaling.power == 1.0 else _relaxed_error(masses[start:stop], scratch)


@jit
def _relaxed_shares(scaling, masses, log_lift, rows, shares):
    """As what balanced transport does to a block of elements in `_pass`.

    Apart, as compilers give up on the loops of functions that call exp and log. Returns the
    number of rows out of range.
    """
    n_bad = 0
    for i in range(len(rows)):
        n_bad += not scaling.smallest <= rows[i] <= 1.0 / scaling.smallest
        log_u = log_lift[i] - scaling.power * np.log(rows[i])
        shares[i] = masses[i] * np.exp(log_u)
    return n_bad


@jit
def _imply_masses(masses, rows, goal, implied_masses):
    """Write the masses that a relaxed plan would be exact for.

    Its scalings u are the right ones for sums K w of before, and not for those of now: the
    masses would have to be as many times larger.
    """
    for i in range(len(rows)):
        implied_masses[i] = masses[i] * (rows[i] / goal[i])


@jit
def _relaxed_error(masses, scratch):
    """L1 distance between the masses and those that the plan would be exact for.

    In balanced transport, these are the row sums: the residual means the same. A common
    factor is none of it, as it leaves the plan as it is.
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
def _add_rows(kernel, first, w, rows):
    """Write `sum_j K_ij w_j` of a block of elements. Four supports at a time, for speed."""
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
def _add_columns(kernel, first, shares, columns):
    """Add `sum_i K_ij a_i u_i` of a block of elements. Four supports at a time."""
    n_supports, stop = len(columns), first + len(shares)
    zero = kernel.dtype.type(0.0)
    for j in range(0, n_supports - 3, 4):
        sum_0, sum_1, sum_2, sum_3 = zero, zero, zero, zero
        k_0, k_1 = kernel[j, first:stop], kernel[j + 1, first:stop]
        k_2, k_3 = kernel[j + 2, first:stop], kernel[j + 3, first:stop]
        for i in range(len(shares)):
            sum_0 += k_0[i] * shares[i]
            sum_1 += k_1[i] * shares[i]
            sum_2 += k_2[i] * shares[i]
            sum_3 += k_3[i] * shares[i]
        columns[j] += sum_0
        columns[j + 1] += sum_1
        columns[j + 2] += sum_2
        columns[j + 3] += sum_3
    for j in range(n_supports - n_supports % 4, n_supports):
        total, k_j = zero, kernel[j, first:stop]
        for i in range(len(shares)):
            total += k_j[i] * shares[i]
        columns[j] += total


@jit
def _pass_in_logs(scaling, r, kernel, masses, start, stop, scratch):
    """As `_pass`, in the log domain: `shares` and `w` hold logarithms."""
    w, n_supports = scratch.w, len(scratch.w)
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        highest, rows = scratch.highest[: last - first], scratch.rows[: last - first]
        _add_rows_in_logs(kernel, first, w, highest, rows)
        log_shares = scratch.shares[first - start : last - start]
        goal = scratch.goal[first - start : last - start]
        implied_masses = scratch.implied_masses[first - start :]
        for i in range(len(rows)):
            log_row, mass = highest[i] + np.log(rows[i]), masses[first + i]
            log_u = -log_row
            if scaling.power != 1.0:
                implied_masses[i] = mass * np.exp(min(log_row - goal[i], _MAX_LOG))
                log_u = scaling.log_lift[r, first + i] - scaling.power * log_row
                goal[i] = log_row
            log_shares[i] = np.log(mass) + log_u
    log_shares = scratch.shares[: stop - start]
    for j in range(n_supports):
        exponents = kernel[j, start:stop]
        top, total = -np.inf, 0.0
        for i in range(len(exponents)):
            top = max(top, exponents[i] + log_shares[i])
        for i in range(len(exponents)):
            total += exp(exponents[i] + log_shares[i] - top)
        log_column = top + np.log(total) + w[j]
        scratch.missing[j] = -np.log(n_supports) - log_column
        scratch.columns[j] = np.exp(log_column)
    return 0.0 if scaling.power == 1.0 else _relaxed_error(masses[start:stop], scratch)


@jit
def _add_rows_in_logs(kernel, first, w, highest, rows):
    """As `_add_rows`: logarithms of sums are `highest + log(rows)`."""
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
    """Anderson acceleration: write the next step of `log w`.

    A plain iteration moves `log w` by what it finds missing. That has changed, over the
    last three steps, about linearly with `log w`: the next step goes to where the part of
    it that these changes explain would be gone.

    Returns the slope of the dual objective along the step.
    """
    missing, step, gram = scratch.missing, scratch.step, scratch.gram
    changes, images, explained = scratch.changes, scratch.images, scratch.explained
    mass, newest = 1.0 / len(step), (n_steps - 1) % 3
    if n_steps == 0:
        fill(explained, 0.0)
        for k in range(3):
            fill(gram[k], 0.0)
            fill(changes[k], 0.0)
            fill(images[k], 0.0)
    else:
        for j in range(len(step)):
            changes[newest, j] = missing[j] - scratch.last_missing[j]
            images[newest, j] = changes[newest, j] + step[j]
        for k in range(3):
            gram[k, newest] = gram[newest, k] = _dot(changes[k], changes[newest])
            explained[k] = _dot(changes[k], missing)
        _solve(gram, explained, scratch.factor)
    x_0, x_1, x_2 = explained
    for j in range(len(step)):
        step[j] = x_0 * images[0, j] + x_1 * images[1, j] + x_2 * images[2, j]
    scale = min(1.0, _MAX_STEP * np.sqrt(len(step) / _dot(step, step)))
    for j in range(len(step)):
        step[j] = missing[j] - scale * step[j]
        scratch.last_missing[j] = missing[j]
    slope = 0.0
    for j in range(len(step)):
        slope += (mass - scratch.columns[j]) * step[j]
    return slope


@inlined
def _solve(gram, x, factor):
    """Solve `gram z = x` in place for three unknowns, by Cholesky.

    Unknowns to which next to nothing new belongs are made 0: they would be noise.
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
        # The diagonal is kept inverted.
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
        shares = scratch.shares[first - start : last - start]
        rows = scratch.rows[: last - first]
        if not balanced:
            _implied_masses_at_end(scaling, r, start, first, last, scratch)
        fill(rows, 0)
        for j in range(len(w)):
            values, w_j = kernel[j, first:last], w[j]
            if scaling.in_logs:
                for i in range(len(values)):
                    values[i] = np.exp(values[i] + shares[i] + w_j)
                    rows[i] += values[i]
            else:
                for i in range(len(values)):
                    value = values[i] * shares[i] * w_j
                    values[i] = value
                    rows[i] += value
        if balanced:
            for i in range(len(rows)):
                residual += abs(rows[i] - scratch.goal[first - start + i])
    return residual if balanced else _relaxed_error(scaling.masses[start:stop], scratch)


@jit
def _implied_masses_at_end(scaling, r, start, first, last, scratch):
    """As `_imply_masses`, for a block of elements and the last scalings of supports."""
    kernel, rows = scaling.kernel[r], scratch.rows[: last - first]
    goal = scratch.goal[first - start : last - start]
    if scaling.in_logs:
        highest = scratch.highest[: last - first]
        _add_rows_in_logs(kernel, first, scratch.w, highest, rows)
        for i in range(len(rows)):
            log_row = highest[i] + np.log(rows[i])
            rows[i], goal[i] = np.exp(min(log_row - goal[i], _MAX_LOG)), 1.0
    else:
        _add_rows(kernel, first, scratch.w, rows)
    _imply_masses(
        scaling.masses[first:last], rows, goal, scratch.implied_masses[first - start :]
    )
