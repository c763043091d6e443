"""Offsets and weights of sets: validated once, as compiled functions rely on them."""

import numpy as np

from otk_sklearn.sets._arrays import (
    as_rows,
    as_unmasked,
)


def read_only(array):
    """Make an array read-only in place, and return it."""
    array.flags.writeable = False
    return array


def immutable_copy(offsets):
    """Return a copy that can't be made writeable: compiled code indexes by it unchecked."""
    return np.frombuffer(offsets.tobytes(), np.int64)


def offsets_of(lengths):
    """Offsets of consecutive sets of these lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def offsets_in(rows, offsets):
    """Offsets of sets within a slice of all elements; sets outside of it are empty."""
    return np.clip(offsets - rows.start, 0, rows.stop - rows.start)


def locate_element(row, offsets):
    """Return the index of the set of a packed row, and that of the element in the set."""
    i = np.searchsorted(offsets, row, side="right") - 1
    return i, row - offsets[i]


def masses_of(weights, offsets):
    """Weights normalized to sum to 1 in each set; None means equal weights."""
    lengths = np.diff(offsets)
    starts, lengths = offsets[:-1][lengths > 0], lengths[lengths > 0]
    if weights is None:
        return np.repeat(1.0 / lengths, lengths)
    # Divide by the largest first: sums of tiny or huge weights would under- or overflow.
    heaviest = np.maximum.reduceat(weights, starts)
    masses = weights / np.repeat(heaviest, lengths)
    positive = masses
    if not masses.all():  # zeros would change the order of summation, and the last digit
        kept = np.flatnonzero(masses)
        positive, starts = masses[kept], np.searchsorted(kept, starts)
    masses /= np.repeat(np.add.reduceat(positive, starts), lengths)
    return masses


def check_offsets(offsets, n_elements):
    array = as_unmasked(offsets, "offsets")
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"offsets is {array.dtype} of shape {array.shape}; expected integers of shape "
            "(n_sets + 1,)."
        )
    offsets = array.astype(np.int64)  # a copy: callers can't change it
    if offsets[0] != 0 or offsets[-1] != n_elements:
        hint = ""
        if offsets.sum() == n_elements:  # they are lengths
            hint = " (of lengths: np.concatenate([[0], np.cumsum(lengths)]))"
        raise ValueError(
            f"offsets runs from {array[0]} to {array[-1]}; expected from 0 to the number "
            f"of elements, {n_elements}{hint}."
        )
    wrong = np.flatnonzero(offsets[1:] < offsets[:-1])  # differences could overflow
    if len(wrong):
        i = wrong[0]
        raise ValueError(
            f"offsets goes from {array[i]} to {array[i + 1]} at set {i}; expected offsets "
            "that don't decrease."
        )
    return immutable_copy(offsets)


def check_weights(weights, offsets):
    weights = np.array(as_rows(weights, offsets[-1], "weights"), dtype=np.float64)
    if weights.ndim != 1:
        raise ValueError(
            f"weights has shape {weights.shape}; expected ({offsets[-1]},): one per "
            "element."
        )
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        i, element = locate_element(wrong[0], offsets)
        raise ValueError(
            f"weights has {weights[wrong[0]]} in set {i} (element {element}); expected "
            "finite, non-negative weights."
        )
    if len(weights):
        nonempty = np.flatnonzero(np.diff(offsets))
        heaviest = np.maximum.reduceat(weights, offsets[nonempty])
        zero = nonempty[heaviest == 0]
        if len(zero):
            raise ValueError(
                f"weights of set {zero[0]} are all zero; expected a positive sum."
            )
    return read_only(weights)


def check_rows(rows, n_rows, n_elements):
    """Return which row of a table of `n_rows` each element was, as a read-only array."""
    rows = as_unmasked(rows, "rows").astype(np.int64)
    if rows.shape != (n_elements,) or (
        len(rows) and not 0 <= rows.min() <= rows.max() < n_rows
    ):
        raise ValueError(
            f"rows has shape {rows.shape}; expected one of {n_rows} rows for each of "
            f"{n_elements} elements."
        )
    return read_only(rows)


def scatter_rows(values, rows, n_rows):
    """Return a table of values at these rows, and of NaN or NaT at all others."""
    is_filled = np.zeros(n_rows, bool)
    is_filled[rows] = True
    kind, dtype = values.dtype.kind, values.dtype
    if not is_filled.all() and kind not in "fcmM":
        dtype = np.float64 if kind in "iub" else object
    table = np.empty((n_rows, *values.shape[1:]), dtype)
    if not is_filled.all():
        table[~is_filled] = np.array("NaT", dtype) if kind in "mM" else np.nan
    table[rows] = values
    return table
