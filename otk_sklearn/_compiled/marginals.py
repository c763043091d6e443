"""Compiled update rules of Sinkhorn's iterations for the row marginals of plans.

Row marginals are fixed, or penalized. Each rule has a type, and functions that iterations
call by this type, resolved when the iterations are compiled. A rule needs `update` (and
`update_log`, for the log domain); without other functions, its iterations are not
extrapolated, and end by the error of the column marginals.

The kernel K is that of similarities from which the largest of each row was subtracted. In
balanced transport, the row scalings u absorb that.

Conventions are those of `features.py`. `first` is the first element of a block.
"""

from typing import NamedTuple

import numpy as np

from otk_sklearn._compiled.primitives import by_type, copy, fill, inlined

# Upper bound of the log ratios between row sums of consecutive relaxed iterations.
_MAX_LOG = 300.0


class Balanced(NamedTuple):
    """Row marginals that are fixed: `u_i = 1 / (K w)_i`.

    Parameters
    ----------
    masses : ndarray of shape (n_elements,)
        The masses a_i.
    """

    masses: np.ndarray


class Relaxed(NamedTuple):
    """Row marginals with a penalty: `log u_i = log_correction_i - power log (K w)_i`.

    Scalings u solve for the row sums K w of the previous iteration. Masses scaled by the
    ratio of the current sums to these would make them optimal: the implied masses.

    Parameters
    ----------
    masses : ndarray of shape (n_elements,)
    log_correction : ndarray of shape (n_references, n_elements)
        Compensates for the shift of exponents by their maximum.
    power : float
        Less than 1.
    last_row_sums, implied_masses : ndarray of shape (n_elements,)
        Overwritten by the iterations. In the log domain, the former are logarithms.
    """

    masses: np.ndarray
    log_correction: np.ndarray
    power: float
    last_row_sums: np.ndarray
    implied_masses: np.ndarray


def relaxed(masses, log_correction, power):
    """Return `Relaxed` with arrays to work in."""
    work = np.empty((2, len(masses)), log_correction.dtype)
    return Relaxed(masses, log_correction, power, *work)


def _update_balanced(rule, r, first, rows, smallest, row_scalings):
    masses, largest, n_bad = rule.masses[first : first + len(rows)], 1.0 / smallest, 0
    for i in range(len(rows)):
        n_bad += not smallest <= rows[i] <= largest
        row_scalings[i] = masses[i] / rows[i]
    return n_bad


def _update_relaxed(rule, r, first, rows, smallest, row_scalings):
    _imply_masses(rule, first, rows)
    copy(rows, rule.last_row_sums[first : first + len(rows)])
    masses = rule.masses[first : first + len(rows)]
    log_correction, n_bad = rule.log_correction[r, first : first + len(rows)], 0
    for i in range(len(rows)):
        n_bad += not smallest <= rows[i] <= 1.0 / smallest
        log_u = log_correction[i] - rule.power * np.log(rows[i])
        row_scalings[i] = masses[i] * np.exp(log_u)
    return n_bad


def _update_balanced_log(rule, r, first, log_rows, log_row_scalings):
    masses = rule.masses[first : first + len(log_rows)]
    for i in range(len(log_rows)):
        log_row_scalings[i] = np.log(masses[i]) - log_rows[i]


def _update_relaxed_log(rule, r, first, log_rows, log_row_scalings):
    _imply_masses_log(rule, first, log_rows)
    copy(log_rows, rule.last_row_sums[first : first + len(log_rows)])
    masses = rule.masses[first : first + len(log_rows)]
    log_correction = rule.log_correction[r, first : first + len(log_rows)]
    for i in range(len(log_rows)):
        log_u = log_correction[i] - rule.power * log_rows[i]
        log_row_scalings[i] = np.log(masses[i]) + log_u


@inlined
def _imply_masses(rule, first, rows):
    masses = rule.masses[first : first + len(rows)]
    last_row_sums = rule.last_row_sums[first : first + len(rows)]
    implied_masses = rule.implied_masses[first : first + len(rows)]
    for i in range(len(rows)):
        implied_masses[i] = masses[i] * (rows[i] / last_row_sums[i])


@inlined
def _imply_masses_log(rule, first, log_rows):
    masses = rule.masses[first : first + len(log_rows)]
    last_row_sums = rule.last_row_sums[first : first + len(log_rows)]
    implied_masses = rule.implied_masses[first : first + len(log_rows)]
    for i in range(len(log_rows)):
        ratio = np.exp(min(log_rows[i] - last_row_sums[i], _MAX_LOG))
        implied_masses[i] = masses[i] * ratio


def _nothing(rule, first, rows):
    """Do nothing: there is no state."""


def _error_of_columns(rule, start, stop, column_error):
    return column_error


def _error_of_implied_masses(rule, start, stop, column_error):
    """L1 distance between the masses and the implied masses, normalized to sum to 1.

    They are normalized as a common factor doesn't change the plan.
    """
    masses, implied_masses = rule.masses[start:stop], rule.implied_masses[start:stop]
    total, error = 0.0, 0.0
    for i in range(len(masses)):
        total += implied_masses[i]
    if not total > 0.0:  # there is no plan before the first iteration
        return 2.0
    for i in range(len(masses)):
        error += abs(masses[i] - implied_masses[i] / total)
    return error


def _error_of_row_sums(rule, first, rows):
    masses, error = rule.masses[first : first + len(rows)], 0.0
    for i in range(len(rows)):
        error += abs(rows[i] - masses[i])
    return error


def _zero(rule, first, rows):
    return 0.0


def _start_relaxed(rule, start, stop):
    fill(rule.last_row_sums[start:stop], np.inf)


def _balanced_with(rule, masses):
    return Balanced(masses)


def _unchanged(rule, masses):
    return rule


def _yes(rule):
    return True


def _no(rule):
    return False


# (rule): whether iterations may be extrapolated.
extrapolates = by_type({Balanced: _yes}, default=_no)

# (rule): whether implied masses decide when iterations end.
has_implied_masses = by_type({Relaxed: _yes}, default=_no)

# (rule): whether a short set may be padded, by elements of mass 0.
can_be_padded = by_type({Balanced: _yes}, default=_no)

# (rule, masses): the rule for a padded set with these masses.
padded = by_type({Balanced: _balanced_with}, default=_unchanged)

# (rule, start, stop): before the first iteration for these elements.
start_set = by_type({Relaxed: _start_relaxed}, default=_nothing)

# (rule, r, first, row sums K w, smallest, out): write `a_i u_i` of a block of elements.
# Returns how many row sums are not between `smallest` and `1 / smallest`.
update = by_type({Balanced: _update_balanced, Relaxed: _update_relaxed})

# (rule, r, first, log row sums, out): the same with logarithms, without limits.
update_log = by_type({Balanced: _update_balanced_log, Relaxed: _update_relaxed_log})

# (rule, first, row sums K w), or their logarithms: implied masses of the final plan.
imply_masses = by_type({Relaxed: _imply_masses}, default=_nothing)
imply_masses_log = by_type({Relaxed: _imply_masses_log}, default=_nothing)

# (rule, start, stop, error of the column marginals): the error of the last iteration.
marginal_error = by_type({Relaxed: _error_of_implied_masses}, default=_error_of_columns)

# (rule, first, row sums of the plan): part of a block of elements in the final error.
error_of_rows = by_type({Relaxed: _zero}, default=_error_of_row_sums)
