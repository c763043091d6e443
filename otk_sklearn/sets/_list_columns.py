"""Nested lists of other libraries: shared by Arrow and Awkward input."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from otk_sklearn.sets._names import index_of
from otk_sklearn.sets._offsets import locate_element
from otk_sklearn.sets._padded_arrays import warn_about_padding_of_equal_lengths
from otk_sklearn.sets._row_index import check_same_rows


@dataclass(eq=False)
class Column:
    """Features of the elements of all sets, as one column of lists holds them."""

    label: str
    """What error messages call the column."""
    offsets: np.ndarray
    """Where the elements of each set start."""
    n_features: int | None
    """None if nothing tells it: there is no element, and none is of a fixed length."""
    feature_names: list | None
    """The names of the features, where each has its own."""
    dtype: type
    """float32 or float64."""
    blocks: list[Callable]
    """Each returns consecutive elements, as a list of 2-D arrays side by side.

    They are functions so that no more than one block need be converted at a time.
    """


def sets_of_lists(cls, constructor, read, array, *, name="array", weights=None, **options):
    """Return a collection of lists, and warn about zeros that look like padding.

    Parameters
    ----------
    cls : type
        `SetCollection`.
    constructor : str
        Name of the constructor that messages suggest.
    read, array, name, weights, **options
        As in `read_lists`.
    """
    sets = cls(**read_lists(read, array, name=name, weights=weights, **options))
    if weights is None:  # which may be 0 for padding
        code = f"SetCollection.{constructor}({name}).to_padded()"
        warn_about_padding_of_equal_lengths(sets, name, code)
    return sets


def read_lists(
    read, array, *, weights=None, positions=None, names=None, name="array", n_features=None
):
    """Return the arguments of `SetCollection` for nested lists.

    Parameters
    ----------
    read : callable
        `read_arrow` or `read_awkward`.
    array, weights, positions : nested lists of that library
    names : labels of sets, of any library, default=None
        None means the index of a pandas array.
    name : str, default="array"
        Name of the array in error messages.
    n_features : int, default=None
        Number of features where the array doesn't tell it, having no elements. None means
        that this is an error.
    """
    check_same_rows(**{name: array}, weights=weights, positions=positions, names=names)
    values, offsets, feature_names = read(array, name, n_features)
    arguments = {"values": values, "offsets": offsets}
    for attribute, lists in {"weights": weights, "positions": positions}.items():
        if lists is not None:
            rows, row_offsets, _ = read(lists, attribute, n_features=1)
            _check_lengths(row_offsets, offsets, attribute, name)
            arguments[attribute] = rows
    if weights is not None and arguments["weights"].shape[1] == 1:
        arguments["weights"] = arguments["weights"][:, 0]
    names = index_of(array) if names is None else _labels(names)
    return {**arguments, "names": names, "feature_names": feature_names}


def _labels(names):
    """Labels of sets as a list, if they are of pyarrow, polars or awkward."""
    for method in ("to_pylist", "to_list"):
        if hasattr(names, method):
            return getattr(names, method)()
    return names


def join_columns(columns, name, n_features=None):
    """Join columns of features side by side, without a copy if there is one array.

    Parameters
    ----------
    columns : list of Column
    name : str
        Name of the columns together in error messages.
    n_features : int, default=None
        Number of features if nothing tells it.

    Returns
    -------
    values : ndarray of shape (n_elements, n_features)
    offsets : ndarray of shape (n_sets + 1,)
    feature_names : list or None
    """
    if not columns:
        raise ValueError(f"{name} has no columns; expected at least 1.")
    offsets = columns[0].offsets
    for column in columns[1:]:
        _check_lengths(column.offsets, offsets, column.label, columns[0].label)
    values = _values(columns, offsets[-1], _total_n_features(columns, name, n_features))
    return values, offsets, _all_feature_names(columns)


def _total_n_features(columns, name, n_features):
    widths = [column.n_features for column in columns]
    if None not in widths:
        return sum(widths)
    if n_features is None:
        raise ValueError(
            f"{name} has no elements in any of its {len(columns[0].offsets) - 1} sets, and "
            "its type doesn't tell the number of features; expected at least one element, "
            "or: SetCollection(np.empty((0, n_features)), "
            f"np.zeros(len({name}) + 1, dtype=int))."
        )
    return n_features


def _all_feature_names(columns):
    """Names of the features of all columns; None if some have none, or two are equal."""
    if any(column.feature_names is None for column in columns):
        return None
    names = [name for column in columns for name in column.feature_names]
    return names if len(set(names)) == len(names) else None


def _values(columns, n_elements, n_features):
    if len(columns) == 1 and len(columns[0].blocks) == 1 and n_elements:
        parts = columns[0].blocks[0]()
        if len(parts) == 1:
            return parts[0]
    dtype = np.result_type(*(column.dtype for column in columns))
    values = np.empty((n_elements, n_features), dtype)
    if n_elements:
        first = 0
        for column in columns:
            _fill(values[:, first : first + column.n_features], column.blocks)
            first += column.n_features
    return values


def _fill(values, blocks):
    """Copy blocks of elements into an array, converting one at a time."""
    start = 0
    for block in blocks:
        left = 0
        for part in block():
            stop, right = start + len(part), left + part.shape[1]
            values[start:stop, left:right] = part
            left = right
        start = stop


def check_not_missing(missing, name, offsets, start=0):
    """Raise an error that names the first missing element.

    Parameters
    ----------
    missing : ndarray of bool of shape (n_elements,)
    name : str
    offsets : ndarray of int of shape (n_sets + 1,)
    start : int, default=0
        Number of the elements that come before these.
    """
    wrong = np.flatnonzero(missing)
    if len(wrong):
        i, element = locate_element(start + wrong[0], offsets)
        raise ValueError(
            f"element {element} of set {i} of {name} is missing; expected one that is "
            "there (a missing number would become NaN)."
        )


def check_equal_n_features(lengths, expected, name, offsets, start=0):
    """Raise an error that names the first element of another number of features.

    Parameters
    ----------
    lengths : ndarray of int of shape (n_elements,)
    expected : int
    name, offsets, start
        As in `check_not_missing`.
    """
    wrong = np.flatnonzero(lengths != expected)
    if len(wrong):
        i, element = locate_element(start + wrong[0], offsets)
        raise ValueError(
            f"element {element} of set {i} of {name} has {lengths[wrong[0]]} features, the "
            f"first has {expected}; expected the same number in every element."
        )


def place(row, offsets, item):
    """Where an element is, and what it is, for an error message."""
    i, element = locate_element(row, offsets)
    text = repr(item)
    text = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
    return f"set {i}, element {element}: {text}"


# Characters of a value that an error message shows.
_MAX_SHOWN = 60


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
