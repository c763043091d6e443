"""Conversion of lists, padded arrays and long tables to packed elements and offsets."""

import numpy as np

from otk_sklearn.sets._arrays import (
    as_array,
    as_floats,
    as_rows,
    as_unmasked,
    check_elements,
)


def offsets_of(lengths):
    """Offsets of consecutive sets of these lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def locate_element(row, offsets):
    """Return the index of the set of a packed row, and that of the element in the set."""
    i = np.searchsorted(offsets, row, side="right") - 1
    return i, row - offsets[i]


def pack(sets, name):
    """Copy a sequence of sets into one array; return it and the offsets.

    Parameters
    ----------
    sets : sequence of array-like of shape (n_elements_i, n_features)
    name : str
        Name of the sequence in error messages.
    """
    sets = list(sets)
    if not sets:
        raise ValueError(f"{name} is an empty collection; expected at least one set.")
    arrays = [check_elements(x, f"set {i} of {name}") for i, x in enumerate(sets)]
    for i, array in enumerate(arrays):
        if len(array) == 0:
            raise ValueError(f"set {i} of {name} is empty; expected at least one element.")
        if array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"set {i} of {name} has {array.shape[1]} features, set 0 has "
                f"{arrays[0].shape[1]}; expected the same number in every set."
            )
        columns = list(getattr(sets[i], "columns", []))
        if columns != list(getattr(sets[0], "columns", [])):
            raise ValueError(
                f"set {i} of {name} has the columns {columns}, set 0 has "
                f"{list(getattr(sets[0], 'columns', []))}; expected the same in every set."
            )
    offsets = offsets_of([len(array) for array in arrays])
    single = all(array.dtype == np.float32 for array in arrays)
    dtype = np.float32 if single else np.float64
    values = np.empty((offsets[-1], arrays[0].shape[1]), dtype)
    for i, array in enumerate(arrays):
        values[offsets[i] : offsets[i + 1]] = (
            as_floats(array, f"set {i} of {name}") if array.dtype == object else array
        )
    return values, offsets


def join(parts, offsets, name):
    """Concatenate the weights or positions of each set."""
    parts = list(parts)
    lengths = np.diff(offsets)
    if len(parts) != len(lengths):
        raise ValueError(f"{name} is given for {len(parts)} of {len(lengths)} sets.")
    rows = [as_rows(part, lengths[i], f"{name} of set {i}") for i, part in enumerate(parts)]
    for i, row in enumerate(rows):
        if row.shape[1:] != rows[0].shape[1:]:
            raise ValueError(
                f"{name} of set {i} has shape {row.shape}, that of set 0 {rows[0].shape}; "
                "expected the same number of axes."
            )
    return np.concatenate(rows)


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


def check_no_group_column(values, groups):
    """Raise an error if a table of features contains the column of group labels."""
    name = getattr(groups, "name", None)
    if name is not None and hasattr(values, "dtypes") and name in list(values.columns):
        raise ValueError(
            f"values has the column {name!r}, which is that of groups; expected those of "
            "features only."
        )


def sort_by_group(groups, n_rows):
    """Return the stable sort of rows by group, in order of appearance, and group sizes."""
    labels, groups = groups, as_unmasked(groups, "groups")
    if groups.dtype.kind in "SU" and isinstance(labels, (list, tuple)):
        # NumPy has converted nan and 1 to "nan" and "1".
        groups = np.array(labels, dtype=object)
    if groups.shape != (n_rows,):
        raise ValueError(
            f"groups has shape {groups.shape}; expected one label a row, ({n_rows},)."
        )
    try:
        if hasattr(labels, "levels"):  # a MultiIndex
            missing = np.min(labels.codes, axis=0) < 0
        elif hasattr(labels, "isna"):
            missing = np.asarray(labels.isna())  # pandas' NA can't be compared
        else:
            missing = np.equal(groups, None) | (groups != groups)
        if np.any(missing):
            raise ValueError(
                f"groups has no label in row {np.flatnonzero(missing)[0]}; expected one "
                "for every row."
            )
        _, first, label, lengths = np.unique(
            groups, return_index=True, return_inverse=True, return_counts=True
        )
    except TypeError as error:
        raise ValueError(
            f"groups holds labels that can't be compared: {error}; expected labels that "
            "can be sorted, and none missing."
        ) from error
    by_appearance = np.argsort(first)
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(first))
    rank = rank[label]
    if (np.diff(rank) >= 0).all():
        return slice(None), lengths[by_appearance]  # already contiguous: no copy
    return np.argsort(rank, kind="stable"), lengths[by_appearance]


def read_lists(read, array, weights, positions):
    """Read elements, offsets, weights and positions with `read_arrow` or `read_awkward`."""
    values, offsets = read(array, "array")
    attributes = {"weights": weights, "positions": positions}
    for name, lists in attributes.items():
        if lists is not None:
            rows, row_offsets = read(lists, name)
            _check_lengths(row_offsets, offsets, name, "array")
            attributes[name] = rows
    weights = attributes["weights"]
    if weights is not None and weights.shape[1] == 1:
        weights = weights[:, 0]
    return values, offsets, weights, attributes["positions"]


def hstack_columns(columns, name):
    """Stack columns, a dict of (elements, offsets) by name, into one 2-D array."""
    if not columns:
        raise ValueError(f"{name} has no columns; expected at least 1.")
    first, *others = columns
    values, offsets = zip(*columns.values())
    for other, other_offsets in zip(others, offsets[1:]):
        _check_lengths(other_offsets, offsets[0], other, first)
    return values[0] if len(values) == 1 else np.hstack(values), offsets[0]


def nonempty_offsets(lengths, name):
    """Return the offsets of sets of these lengths, or raise an error if one is empty."""
    if not len(lengths):
        raise ValueError(f"{name} is an empty collection; expected at least one set.")
    empty = np.flatnonzero(lengths == 0)
    if len(empty):
        raise ValueError(
            f"set {empty[0]} of {name} is empty; expected at least one element."
        )
    return offsets_of(lengths)


def check_not_missing(missing, name, offsets=None):
    """Raise an error that names the first missing set or, with `offsets`, element."""
    wrong = np.flatnonzero(missing)
    if len(wrong) and offsets is None:
        raise ValueError(f"set {wrong[0]} of {name} is missing; expected a list.")
    if len(wrong):
        i, element = locate_element(wrong[0], offsets)
        raise ValueError(
            f"element {element} of set {i} of {name} is missing; expected one that is "
            "there (a missing number would become NaN)."
        )


def check_equal_n_features(lengths, offsets, name):
    """Return the number of features, or raise an error if elements differ in it."""
    wrong = np.flatnonzero(lengths != lengths[0])
    if len(wrong):
        i, element = locate_element(wrong[0], offsets)
        raise ValueError(
            f"element {element} of set {i} of {name} has {lengths[wrong[0]]} features, the "
            f"first has {lengths[0]}; expected the same number in every element."
        )
    return lengths[0]


def _check_lengths(offsets, expected, name, other):
    """Raise an error that names the first set whose length is not the expected one."""
    if len(offsets) != len(expected):
        raise ValueError(
            f"{name} has {len(offsets) - 1} sets; expected those of {other}, "
            f"{len(expected) - 1}."
        )
    wrong = np.flatnonzero(offsets != expected)
    if len(wrong):
        i = wrong[0] - 1
        raise ValueError(
            f"set {i} of {name} has {offsets[i + 1] - offsets[i]} entries; expected one an "
            f"element of {other}, {expected[i + 1] - expected[i]}."
        )


def masses_of(weights, offsets):
    """Weights normalized to sum to 1 in each set; None means equal weights."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    if weights is None:
        return np.repeat(1.0 / lengths, lengths)
    # Divide by the largest first: sums of tiny or huge weights would under- or overflow.
    heaviest = np.maximum.reduceat(weights, starts)
    masses = weights / np.repeat(heaviest, lengths)
    masses /= np.repeat(np.add.reduceat(masses, starts), lengths)
    return masses
