"""Long tables, a row for each element: `SetCollection.from_groups` sorts them into sets."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.sets._arrays import (
    as_unmasked,
    column_names,
)
from otk_sklearn.sets._names import is_missing, key_of, shown
from otk_sklearn.sets._unreadable import (
    check_readable,
    grouping_column,
    is_grouped,
    type_name,
)


def split_groups(values, groups):
    """Return the table of features and the labels of its rows.

    Parameters
    ----------
    values : array-like or DataFrame
    groups : array-like or str, or other label of a column
        The name of a column, which is then no feature, or of a level of the index, or the
        labels.
    """
    check_readable(values, "values")
    may_be_label = isinstance(groups, tuple | Integral) and not isinstance(groups, bool)
    if isinstance(groups, str) or may_be_label and groups in column_names(values):
        return _take_out(values, str(groups) if isinstance(groups, str) else groups)
    _check_labels(values, groups)
    name = getattr(groups, "name", None)
    name = str(name) if isinstance(name, str) else name
    if name is not None and name in column_names(values):
        raise ValueError(
            f"values has the column {name!r}, which is that of groups; expected those of "
            f"features only, or groups={name!r}."
        )
    return values, groups


def check_no_columns(x, values, name):
    """Raise an error for names of columns in place of weights or positions."""
    names = [x] if isinstance(x, str) else x
    columns = column_names(values)
    if isinstance(names, list) and names and all(part in columns for part in names):
        raise TypeError(
            f"{name} is {x!r}; expected numbers, one for each row: values[{x!r}], which is "
            "then no feature."
        )


def _check_labels(values, groups):
    """Raise an error for columns, in any other form than their name, in place of labels."""
    columns, expected = column_names(values), None
    if is_grouped(groups):
        expected = f"SetCollection.from_groups(values, {grouping_column(groups)})"
    elif type_name(groups) == "polars.Expr":
        expected = f"groups={groups.meta.output_name()!r}"
    elif isinstance(groups, list | tuple) and len(groups) != len(values):
        if groups and all(isinstance(name, str) and name in columns for name in groups):
            expected = _join_columns(columns, groups)
    elif isinstance(groups, Integral) and columns:
        index = columns.index(groups) if groups in columns else groups
        if -len(columns) <= index < len(columns):
            expected = _join_columns(columns, [columns[index]])
    elif isinstance(groups, Integral):
        expected = (
            f"SetCollection.from_groups(np.delete(values, {groups}, axis=1), "
            f"values[:, {groups}])"
        )
    elif hasattr(groups, "__len__") or hasattr(groups, "__array__"):
        return
    if expected is None and not hasattr(groups, "__len__"):
        check_readable(groups, "groups")
        expected = f"one label a row, or the name of a column of values, {columns}"
    if expected is not None:
        is_short = isinstance(groups, list | tuple | Integral)
        label = f", {shown(groups)}" if is_short else ""
        raise TypeError(f"groups is {type_name(groups)}{label}; expected {expected}.")


def _join_columns(columns, chosen):
    """The code of sets by the combinations of the values of these columns."""
    if len(chosen) == 1 and isinstance(chosen[0], str):
        return f"groups={str(chosen[0])!r}"
    features = [column for column in columns if column not in chosen]
    labels = [f"values[{column!r}]" for column in chosen]
    groups = labels[0] if len(labels) == 1 else f"list(zip({', '.join(labels)}))"
    return f"SetCollection.from_groups(values[{features}], {groups})"


def _take_out(values, name):
    """The table without the column of this name, and the column or level of the index."""
    columns = column_names(values)
    levels = list(getattr(getattr(values, "index", None), "names", []))
    if name in columns and name in levels:
        raise ValueError(
            f"groups is {name!r}, the name of a column and of a level of the index of "
            f"values; expected one, such as values.index.get_level_values({name!r})."
        )
    if name in levels:
        return values, values.index.get_level_values(name)
    if name in columns:
        features = [column for column in columns if column != name]
        select = values.select if hasattr(values, "column_names") else values.__getitem__
        return select(features), values[name]
    raise ValueError(
        f"groups is {name!r}; expected one label a row, or the name of a column of values, "
        f"{columns}, or of a level of its index, {levels}."
    )


def sort_by_group(groups, n_rows):
    """Sort rows by group, in the order in which groups first appear.

    Returns
    -------
    order : slice or ndarray of int of shape (n_rows,)
        The rows of the first group, of the second, and so on; a slice of all if they are
        together.
    lengths : ndarray of int of shape (n_groups,)
    labels : ndarray of shape (n_groups,)
        Of each group, not converted.
    """
    numbers, labels = number_groups(groups, n_rows, "row")
    _warn_about_unique_index(groups, len(labels), n_rows)
    lengths = np.bincount(numbers)
    if (np.diff(numbers) >= 0).all():
        return slice(None), lengths, labels  # already contiguous: no copy
    return np.argsort(numbers, kind="stable"), lengths, labels


def number_groups(groups, n_labels, item):
    """Number the groups in the order in which they first appear.

    Parameters
    ----------
    groups : array-like of shape (n_labels,)
    n_labels : int
    item : str
        What has a label: "row" or "set".

    Returns
    -------
    numbers : ndarray of int of shape (n_labels,)
    labels : ndarray of shape (n_groups,)
        Of each group, not converted.
    """
    labels = _labels(groups)
    if labels.shape != (n_labels,):
        columns = column_names(groups)
        hint = f": one column, groups[{columns[0]!r}]" if columns else ""
        raise ValueError(
            f"groups has shape {labels.shape}; expected one label a {item}, "
            f"({n_labels},){hint}."
        )
    number = _numbers_by_hash if labels.dtype == object else _numbers_by_sorting
    numbers = number(labels)
    is_first = np.diff(np.maximum.accumulate(numbers), prepend=-1) > 0
    first = np.flatnonzero(is_first)
    _check_not_missing(labels, first, item)
    return numbers, labels[first]


def _labels(groups):
    """An array of the labels; those of different types are not converted to one."""
    if isinstance(groups, Sequence) and not isinstance(groups, str):
        return np.fromiter(list(groups), dtype=object)
    labels = as_unmasked(groups, "groups")
    if labels.ndim == 1 and labels.dtype.kind not in "biufcUSmMO":  # records
        return np.fromiter(labels.tolist(), dtype=object, count=len(labels))
    return labels


def _numbers_by_sorting(labels):
    """Number labels of one dtype in the order in which they appear."""
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number]


def _numbers_by_hash(labels):
    """The same for objects, which need not be comparable."""
    are_plain = set(map(type, labels)) <= {str, bytes, int}
    numbers = {}
    try:
        return np.fromiter(
            (
                numbers.setdefault(key, len(numbers))
                for key in (labels if are_plain else map(key_of, labels))
            ),
            dtype=np.intp,
            count=len(labels),
        )
    except TypeError as error:
        raise ValueError(
            f"groups has labels that can't be told apart: {error}; expected strings, "
            "numbers, dates, or tuples of them."
        ) from error


def _check_not_missing(labels, first, item):
    if labels.dtype == object:
        missing = [row for row in first if is_missing(labels[row])]
    else:
        missing = first[labels[first] != labels[first]]
    if len(missing):
        raise ValueError(
            f"groups has no label in {item} {missing[0]}; expected one for every {item}."
        )


def _warn_about_unique_index(groups, n_groups, n_rows):
    """Warn about an index that tells rows apart rather than sets."""
    if hasattr(groups, "get_level_values") and n_groups == n_rows > 1:
        expected = "labels that rows of a set share"
        if groups.nlevels > 1:
            level = 0 if groups.names[0] is None else groups.names[0]
            expected += f", such as groups.get_level_values({level!r})"
        warn_caller(
            f"groups is an index with a label of its own for each of the {n_rows} rows: "
            f"each row is a set. Expected {expected}.",
            UserWarning,
        )
