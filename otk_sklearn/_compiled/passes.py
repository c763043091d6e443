"""Compiled passes of Sinkhorn's iterations over the elements of a set.

A pass updates the row scalings, and computes the column sums of the resulting plan. There
are two domains, each with a type: iterations call their functions by the type, which is
chosen when they are compiled. In the log domain, kernels are exponents, and scalings are
logarithms: slower (two exponentials per element, support and iteration), but stable at any
epsilon.

Conventions are those of `features.py`.
"""

from typing import NamedTuple

import numpy as np

from otk_sklearn._compiled.marginals import (
    has_implied_masses,
    imply_columns,
    imply_masses,
    imply_masses_log,
    relaxes_columns,
    update,
    update_log,
)
from otk_sklearn._compiled.primitives import by_type, copy, exp, fill, inlined, log

# Elements per block. Sums over a block are in the working precision, and accumulated in
# float64: a float32 sum over a million elements would lose its last digits.
BLOCK = 256


class Plain(NamedTuple):
    """The plain domain: `K_ij = exp((S_ij - max_j S_ij) / epsilon)`.

    Parameters
    ----------
    smallest : float
        Row and column sums must lie between this and `1 / smallest`.
    """

    smallest: float


class LogDomain(NamedTuple):
    """The log domain.

    Parameters
    ----------
    highest : ndarray of shape (BLOCK,)
        Overwritten.
    """

    highest: np.ndarray


class Scalings(NamedTuple):
    """Scalings of one set's plan `a_i u_i K_ij w_j`, and its column sums.

    In the log domain, `rows`, `w` and `plain_w` hold logarithms. Where column marginals
    have a penalty, `columns` are the masses of supports that its column sums imply.
    """

    rows: np.ndarray  # (n_elements,): a_i u_i
    w: np.ndarray  # (n_supports,): w_j, in the dtype of the kernel
    plain_w: np.ndarray  # (n_supports,): w_j after a plain iteration
    log_w: np.ndarray  # (n_supports,): log w_j, where the plain domain needs it
    columns: np.ndarray  # (n_supports,): column sums of the plan
    log_residual: np.ndarray  # (n_supports,): log(b_j / column sum), a plain step of log w
    block: np.ndarray  # (BLOCK,): row sums of a block of elements


def _start_plain(domain, scalings, n_elements):
    fill(scalings.w, 1.0 / len(scalings.w))
    fill(scalings.rows[:n_elements], 0.0)


def _start_log(domain, scalings, n_elements):
    fill(scalings.w, -np.log(len(scalings.w)))
    fill(scalings.rows[:n_elements], -np.inf)


def _plain_pass(domain, rule, r, kernel, start, stop, scalings):
    w, columns, smallest = scalings.w, scalings.columns, domain.smallest
    fill(columns, 0.0)
    n_bad = 0
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        rows = scalings.block[: last - first]
        row_scalings = scalings.rows[first - start : last - start]
        _write_row_sums(kernel, first, w, rows)
        n_bad += update(rule, r, first, rows, smallest, row_scalings)
        _add_column_sums(kernel, first, row_scalings, columns)
    for j in range(len(w)):
        n_bad += not smallest <= columns[j] <= 1.0 / smallest
        columns[j] *= w[j]
    if relaxes_columns(rule):
        _write_residual(domain, scalings)
        for j in range(len(w)):
            scalings.log_w[j] = np.log(w[j])
        imply_columns(rule, scalings.log_w, scalings.log_residual, columns)
    return n_bad == 0


def _log_pass(domain, rule, r, kernel, start, stop, scalings):
    w, n_supports = scalings.w, len(scalings.w)
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        rows = scalings.block[: last - first]
        _write_log_row_sums(kernel, first, w, domain.highest[: last - first], rows)
        update_log(rule, r, first, rows, scalings.rows[first - start : last - start])
    log_row_scalings = scalings.rows[: stop - start]
    for j in range(n_supports):
        exponents = kernel[j, start:stop]
        top, total = -np.inf, 0.0
        for i in range(len(exponents)):
            top = max(top, exponents[i] + log_row_scalings[i])
        for i in range(len(exponents)):
            total += exp(exponents[i] + log_row_scalings[i] - top)
        log_column = top + np.log(total) + w[j]
        scalings.log_residual[j] = -np.log(n_supports) - log_column
        scalings.columns[j] = np.exp(log_column)
    imply_columns(rule, w, scalings.log_residual, scalings.columns)
    return True


def _plain_step(domain, scalings):
    w, columns, mass = scalings.w, scalings.columns, 1.0 / len(scalings.w)
    for j in range(len(w)):
        w[j] *= mass / columns[j]


def _plain_step_log(domain, scalings):
    w, log_residual = scalings.w, scalings.log_residual
    for j in range(len(w)):
        w[j] += log_residual[j]


@inlined
def _write_residual(domain, scalings):
    columns, log_residual = scalings.columns, scalings.log_residual
    mass = 1.0 / len(columns)
    for j in range(len(columns)):
        log_residual[j] = log(mass / columns[j])


def _residual_is_written(domain, scalings):
    """Do nothing: the pass has written it."""


def _extrapolated_step(domain, scalings, step):
    w, plain_w, columns = scalings.w, scalings.plain_w, scalings.columns
    mass = 1.0 / len(w)
    for j in range(len(w)):
        plain_w[j] = w[j] * (mass / columns[j])
        w[j] *= exp(step[j])


def _extrapolated_step_log(domain, scalings, step):
    w, plain_w, log_residual = scalings.w, scalings.plain_w, scalings.log_residual
    for j in range(len(w)):
        plain_w[j] = w[j] + log_residual[j]
        w[j] += step[j]


def _log_w(domain, scalings, log_w):
    for j in range(len(log_w)):
        log_w[j] = np.log(scalings.w[j])


def _log_w_log(domain, scalings, log_w):
    copy(scalings.w, log_w)


def _write_block(domain, rule, kernel, first, scalings, row_scalings, rows):
    w = scalings.w
    if has_implied_masses(rule):
        _write_row_sums(kernel, first, w, rows)
        imply_masses(rule, first, rows)
    fill(rows, 0)
    for j in range(len(w)):
        values, w_j = kernel[j, first : first + len(rows)], w[j]
        for i in range(len(values)):
            value = values[i] * row_scalings[i] * w_j
            values[i] = value
            rows[i] += value


def _write_block_log(domain, rule, kernel, first, scalings, row_scalings, rows):
    w = scalings.w
    if has_implied_masses(rule):
        _write_log_row_sums(kernel, first, w, domain.highest[: len(rows)], rows)
        imply_masses_log(rule, first, rows)
    fill(rows, 0)
    for j in range(len(w)):
        values, w_j = kernel[j, first : first + len(rows)], w[j]
        for i in range(len(values)):
            values[i] = np.exp(values[i] + row_scalings[i] + w_j)
            rows[i] += values[i]
    if relaxes_columns(rule):  # rows are exact, whatever the rounding of large logarithms
        masses = rule.masses[first : first + len(rows)]
        for i in range(len(rows)):
            rows[i] = masses[i] / rows[i] if rows[i] > 0.0 else 1.0
        for j in range(len(w)):
            values = kernel[j, first : first + len(rows)]
            for i in range(len(values)):
                values[i] *= rows[i]
        copy(masses, rows)


@inlined
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


@inlined
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


@inlined
def _write_log_row_sums(kernel, first, w, highest, rows):
    """Write the logarithms of `_write_row_sums`, given exponents and logarithms."""
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
    for i in range(len(rows)):
        rows[i] = highest[i] + np.log(rows[i])


# (domain, scalings, n_elements): the scalings before the first iteration.
start_scalings = by_type({Plain: _start_plain, LogDomain: _start_log})

# (domain, rule, r, kernel, start, stop, scalings): update the row scalings of the elements
# from start to stop, and the column sums. Returns whether all sums are in range.
run_pass = by_type({Plain: _plain_pass, LogDomain: _log_pass})

# (domain, scalings): update w such that the column marginals are right.
plain_step = by_type({Plain: _plain_step, LogDomain: _plain_step_log})

# (domain, scalings): write the log residual.
write_residual = by_type({Plain: _write_residual, LogDomain: _residual_is_written})

# (domain, scalings, step of log w): update w, and write what a plain step would make of it.
extrapolated_step = by_type({Plain: _extrapolated_step, LogDomain: _extrapolated_step_log})

# (domain, scalings, out): write the logarithms of w.
write_log_w = by_type({Plain: _log_w, LogDomain: _log_w_log})

# (domain, rule, kernel, first, scalings, row_scalings, rows): replace the kernel of a block
# of elements by the plan, and write its row sums.
write_block = by_type({Plain: _write_block, LogDomain: _write_block_log})
