"""Nested lists of other libraries: shared by Arrow and Awkward input."""

import numpy as np

from otk_sklearn.sets._offsets import locate_element, offsets_of


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
