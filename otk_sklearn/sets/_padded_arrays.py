"""Padded arrays: which of their rows are elements."""

import numpy as np

from otk_sklearn._utils.caller_warnings import warn_caller
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
    elif mask is not None:
        mask = _as_mask(mask, X.shape)
    else:
        mask = _mask_without_trailing_nan(X)
        warn_about_zero_padding(X)
    return X, mask


def warn_about_zero_padding(X, name="X", code=None):
    """Warn about rows of zeros that look like padding, and are taken as elements.

    They do where several sets end with rows of zeros, not all with the same number of them,
    and no row before those is zero; or start with them, and no row after them is. Black
    borders of images, say, are on both sides.

    Parameters
    ----------
    X : ndarray of shape (n_sets, length, n_features)
    name : str, default="X"
        What messages call the sets.
    code : str, default=None
        An expression that gives this array. None means `np.stack` of the sets.
    """
    code = code or f"np.stack({name})"
    for verb, by_distance, arguments in (
        ("end", X[:, ::-1], "lengths= or mask="),
        ("start", X, "mask="),
    ):
        n_padded = _looks_padded(by_distance)
        if n_padded:
            warn_caller(
                f"{n_padded} of {len(X)} sets of {name} {verb} with rows of zeros, in "
                "differing numbers: they are taken as elements. If they are padding, pass "
                f"{arguments} to SetCollection.from_padded, such as "
                f"SetCollection.from_padded({code}, mask=({code} != 0).any(axis=2)).",
                UserWarning,
            )
            return


def warn_about_padding_of_equal_lengths(sets, name, code=None):
    """Likewise, about sets that were no array, if all have the same length."""
    if len(sets) > 1 and (sets.lengths == sets.lengths[0]).all():
        shape = len(sets), sets.lengths[0], sets.n_features
        warn_about_zero_padding(sets.values.reshape(shape), name, code)


def _looks_padded(X):
    """Number of sets whose first rows look like padding, or 0."""
    if X.shape[1] < 2 or np.count_nonzero(~X[:, 0].any(axis=1)) < 2:  # mostly ends here
        return 0
    is_zero = ~X.any(axis=2)
    n_first = np.logical_and.accumulate(is_zero, axis=1).sum(axis=1)
    if len(np.unique(n_first)) == 1 or (is_zero.sum(axis=1) != n_first).any():
        return 0
    return np.count_nonzero(n_first)


def padding_hint(sets, i, element):
    """What to do about an element of NaN that may be padding: code, or nothing."""
    rows, others = sets[i], (sets.weights, sets.rows, sets.names)
    are_equal = len(sets) > 1 and len(rows) > 1 and (sets.lengths == len(rows)).all()
    if not are_equal or any(part is not None for part in others):
        return ""
    if element == 0 and np.isnan(rows[:, -1]).all() and not np.isnan(rows).all():
        return " (padding, if time is last: SetCollection.from_series(X, time_axis=-1))"
    is_nan = np.isnan(rows).all(axis=1)
    if is_nan[element:].all():
        return " (padding: SetCollection.from_padded(np.stack(X)))"
    if element == 0 and is_nan[0]:
        mask = "~np.isnan(np.stack(X)).all(axis=2)"
        return f" (padding: SetCollection.from_padded(np.stack(X), mask={mask}))"
    return ""


def _trailing(is_padding):
    """The rows of padding that no other rows follow."""
    return np.logical_and.accumulate(is_padding[:, ::-1], axis=1)[:, ::-1]


def _mask_without_trailing_nan(X):
    is_nan = np.isnan(X).all(axis=2)
    padding = _trailing(is_nan)
    before = np.argwhere(is_nan & ~padding)
    if len(before):
        i, row = before[0]
        raise ValueError(
            f"row {row} of set {i} of X is all NaN, and rows after it are not; expected "
            "padding at the end only. Pass mask=~np.isnan(X).all(axis=2) to leave all "
            "rows of NaN out, also those in front, or lengths= to keep them, as for an "
            "imputer."
        )
    return ~padding


def _as_mask(mask, shape):
    mask = as_unmasked(mask, "mask")
    is_bool = mask.dtype == bool or (
        mask.dtype.kind in "iuf" and ((mask == 0) | (mask == 1)).all()
    )
    if mask.shape != shape[:2] or not is_bool:
        raise ValueError(
            f"mask is {mask.dtype} of shape {mask.shape}; expected bool, or 0 and 1, of "
            f"shape {shape[:2]}."
        )
    return mask.astype(bool, copy=False)


def _mask_from_lengths(lengths, shape):
    lengths = as_unmasked(lengths, "lengths")
    if lengths.shape != shape[:1] or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"lengths is {lengths.dtype} of shape {lengths.shape}; expected integers of "
            f"shape {shape[:1]}."
        )
    wrong = np.flatnonzero((lengths < 0) | (lengths > shape[1]))
    if len(wrong):
        raise ValueError(
            f"lengths of set {wrong[0]} is {lengths[wrong[0]]}; expected 0 to {shape[1]}."
        )
    return np.arange(shape[1]) < lengths[:, np.newaxis]
