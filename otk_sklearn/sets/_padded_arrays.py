"""Padded arrays: which of their rows are elements."""

import numpy as np

from otk_sklearn.sets._arrays import (
    as_array,
    as_floats,
    as_unmasked,
)


def check_padded(X, lengths, mask):
    """Return the padded array as floats, and a mask that is True for elements."""
    X = as_array(X, "X")
    if X.ndim != 3:
        raise ValueError(
            f"X has shape {X.shape}; expected (n_sets, max_length, n_features)."
        )
    X = as_floats(X, "X")
    if lengths is not None and mask is not None:
        raise ValueError("Both lengths and mask are given; expected at most one.")
    if lengths is not None:
        mask = _mask_from_lengths(lengths, X.shape)
    elif mask is None:
        mask = ~np.isnan(X).all(axis=2)
    mask = as_unmasked(mask, "mask")
    if mask.shape != X.shape[:2] or mask.dtype != bool:
        raise ValueError(
            f"mask is {mask.dtype} of shape {mask.shape}; expected bool of shape "
            f"{X.shape[:2]}."
        )
    empty = np.flatnonzero(~mask.any(axis=1))
    if len(empty):
        raise ValueError(
            f"set {empty[0]} of X is empty: all of its rows are padding; expected at "
            "least one element."
        )
    return X, mask


def _mask_from_lengths(lengths, shape):
    lengths = as_unmasked(lengths, "lengths")
    if lengths.shape != shape[:1] or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"lengths is {lengths.dtype} of shape {lengths.shape}; expected integers of "
            f"shape {shape[:1]}."
        )
    wrong = np.flatnonzero((lengths < 1) | (lengths > shape[1]))
    if len(wrong):
        raise ValueError(
            f"lengths of set {wrong[0]} is {lengths[wrong[0]]}; expected 1 to {shape[1]}."
        )
    return np.arange(shape[1]) < lengths[:, np.newaxis]
