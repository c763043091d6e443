"""Compiled update rules of Sinkhorn's iterations for the marginals of plans.

Marginals are fixed, or one of them has a penalty: that of rows (elements), or that of
columns (supports). Each rule has a type, and functions that iterations call by this type,
resolved when the iterations are compiled. A rule needs `update` (and `update_log`, for the
log domain); without other functions, its iterations are not extrapolated, and end by the
error of the column marginals.

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


class SupportsRelaxed(NamedTuple):
    """Column marginals with a penalty: `v_j = (K^T a u)_j ^ -power`, where `w_j = v_j / p`.

    Row marginals are fixed, and iterations end with them. Column sums c of a plan with
    scalings w imply the masses `w_j^(1 - power) c_j^power` of supports for which the plan
    would be optimal, up to a factor, as all mass is transported.

    Parameters
    ----------
    masses : ndarray of shape (n_elements,)
        The masses a_i.
    power : float
        Positive, and at most 1, which is balanced transport.
    gradient : ndarray of shape (n_supports,)
        Overwritten by the iterations: that of the dual objective, divided by epsilon, with
        respect to the logarithms of w.
    """

    masses: np.ndarray
    power: float
    gradient: np.ndarray


def relaxed(masses, log_correction, power):
    """Return `Relaxed` with arrays to work in."""
    work = np.empty((2, len(masses)), log_correction.dtype)
    return Relaxed(masses, log_correction, power, *work)


def supports_relaxed(masses, n_supports, power):
    """Return `SupportsRelaxed` with arrays to work in."""
    return SupportsRelaxed(masses, power, np.empty(n_supports))


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


def _imply_columns(rule, log_w, log_residual, columns):
    gradient, n_supports = rule.gradient, len(columns)
    # Scalings are optimal for column sums in proportion to `v_j^(1 - 1 / power)`. The dual
    # objective, at the best constant, has the difference as its gradient.
    for j in range(n_supports):
        gradient[j] = (1.0 - 1.0 / rule.power) * log_w[j]
    _normalize_exponentials(gradient)
    for j in range(n_supports):
        gradient[j] -= columns[j]
    log_mass = -np.log(n_supports)
    for j in range(n_supports):
        log_column = log_mass - log_residual[j]
        columns[j] = log_w[j] + rule.power * (log_column - log_w[j])
    log_total = _normalize_exponentials(columns)
    for j in range(n_supports):
        log_column = log_mass - log_residual[j]
        log_implied = log_w[j] + rule.power * (log_column - log_w[j])
        log_residual[j] = log_mass - (log_implied - log_total)


@inlined
def _normalize_exponentials(values):
    """Replace values by exponentials of sum 1, and return the logarithm of their sum."""
    top, total = -np.inf, 0.0
    for value in values:
        top = max(top, value)
    for j in range(len(values)):
        values[j] = np.exp(values[j] - top)
        total += values[j]
    for j in range(len(values)):
        values[j] /= total
    return top + np.log(total)


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


def _supports_relaxed_with(rule, masses):
    return SupportsRelaxed(masses, rule.power, rule.gradient)


def _unchanged(rule, masses):
    return rule


def _error_of_column(rule, columns, j):
    return 1.0 / len(columns) - columns[j]


def _gradient_of_column(rule, columns, j):
    return rule.gradient[j]


def _keep_columns(rule, log_w, log_residual, columns):
    """Do nothing: column sums are the masses that they are compared with."""


def _yes(rule):
    return True


def _no(rule):
    return False


# (rule): whether iterations may be extrapolated.
extrapolates = by_type({Balanced: _yes, SupportsRelaxed: _yes}, default=_no)

# (rule): whether implied masses decide when iterations end.
has_implied_masses = by_type({Relaxed: _yes}, default=_no)

# (rule): whether a short set may be padded, by elements of mass 0.
can_be_padded = by_type({Balanced: _yes, SupportsRelaxed: _yes}, default=_no)

# (rule, masses): the rule for a padded set with these masses.
padded = by_type(
    {Balanced: _balanced_with, SupportsRelaxed: _supports_relaxed_with}, default=_unchanged
)

# (rule, start, stop): before the first iteration for these elements.
start_set = by_type({Relaxed: _start_relaxed}, default=_nothing)

# (rule, r, first, row sums K w, smallest, out): write `a_i u_i` of a block of elements.
# Returns how many row sums are not between `smallest` and `1 / smallest`.
update = by_type(
    {
        Balanced: _update_balanced,
        Relaxed: _update_relaxed,
        SupportsRelaxed: _update_balanced,
    }
)

# (rule, r, first, log row sums, out): the same with logarithms, without limits.
update_log = by_type(
    {
        Balanced: _update_balanced_log,
        Relaxed: _update_relaxed_log,
        SupportsRelaxed: _update_balanced_log,
    }
)

# (rule): whether iterations end with the row marginals, and column marginals are relaxed.
relaxes_columns = by_type({SupportsRelaxed: _yes}, default=_no)

# (rule, log w, log residual, columns): turn column sums into the masses that they imply,
# which sum to 1, and `log(b_j / column sum)` into the logarithms of `b_j` divided by these.
imply_columns = by_type({SupportsRelaxed: _imply_columns}, default=_keep_columns)

# (rule, columns, j): derivative of the dual objective, divided by epsilon, at log w_j.
dual_derivative = by_type({SupportsRelaxed: _gradient_of_column}, default=_error_of_column)

# (rule, first, row sums K w), or their logarithms: implied masses of the final plan.
imply_masses = by_type({Relaxed: _imply_masses}, default=_nothing)
imply_masses_log = by_type({Relaxed: _imply_masses_log}, default=_nothing)

# (rule, start, stop, error of the column marginals): the error of the last iteration.
marginal_error = by_type({Relaxed: _error_of_implied_masses}, default=_error_of_columns)

# (rule, first, row sums of the plan): part of a block of elements in the final error.
error_of_rows = by_type(
    {Relaxed: _zero, SupportsRelaxed: _zero}, default=_error_of_row_sums
)
