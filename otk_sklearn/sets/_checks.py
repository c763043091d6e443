"""Validation of offsets, weights and positions, which compiled code relies on."""

import numpy as np

from otk_sklearn.sets._arrays import as_rows, as_unmasked
from otk_sklearn.sets._packing import locate_element


def read_only(array):
    """Make an array read-only in place, and return it."""
    array.flags.writeable = False
    return array


def immutable_copy(offsets):
    """Return a copy that can't be made writeable: compiled code indexes by it unchecked."""
    return np.frombuffer(offsets.tobytes(), np.int64)


def check_offsets(offsets, n_elements):
    array = as_unmasked(offsets, "offsets")
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"offsets is {array.dtype} of shape {array.shape}; expected integers of shape "
            "(n_sets + 1,)."
        )
    offsets = array.astype(np.int64)  # a copy: callers can't change it
    if offsets[0] != 0 or offsets[-1] != n_elements:
        raise ValueError(
            f"offsets runs from {array[0]} to {array[-1]}; expected from 0 to the number "
            f"of elements, {n_elements}."
        )
    wrong = np.flatnonzero(offsets[1:] <= offsets[:-1])  # differences could overflow
    if len(wrong):
        i = wrong[0]
        raise ValueError(
            f"set {i} is empty: offsets goes from {array[i]} to {array[i + 1]}; expected "
            "strictly increasing offsets, each set having at least one element."
        )
    return immutable_copy(offsets)


def check_weights(weights, offsets):
    weights = np.array(as_rows(weights, offsets[-1], "weights"), dtype=np.float64)
    if weights.ndim != 1:
        raise ValueError(
            f"weights has shape {weights.shape}; expected ({offsets[-1]},): one an element."
        )
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        i, element = locate_element(wrong[0], offsets)
        raise ValueError(
            f"weights has {weights[wrong[0]]} in set {i} (element {element}); expected "
            "finite, non-negative weights."
        )
    if len(weights):
        zero = np.flatnonzero(np.maximum.reduceat(weights, offsets[:-1]) == 0)
        if len(zero):
            raise ValueError(
                f"weights of set {zero[0]} are all zero; expected a positive sum."
            )
    return read_only(weights)


def check_positions(positions, offsets):
    n_elements = offsets[-1]
    positions = np.array(as_rows(positions, n_elements, "positions"), dtype=np.float64)
    if positions.ndim == 1:
        positions = positions[:, np.newaxis]
    if positions.ndim != 2 or positions.shape[1] not in (1, 2):
        raise ValueError(
            f"positions has shape {positions.shape}; expected ({n_elements}, n_axes), on "
            "1 or 2 axes."
        )
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(wrong):
        i, element = locate_element(wrong[0], offsets)
        raise ValueError(
            f"positions has NaN or infinity in set {i} (element {element}); expected "
            "finite coordinates."
        )
    return read_only(positions)
