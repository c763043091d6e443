"""Sequences of arrays, one for each set, packed into one array."""

from collections.abc import Iterable, Iterator, Sequence, ValuesView

import numpy as np

from otk_sklearn.sets._arrays import (
    as_rows,
    cells_of,
    check_elements,
    column_names,
    columns_of_no_numbers,
    float_dtype,
    has_dates_or_complex,
    holds_arrays,
    is_missing_cell,
    plain_as_floats,
)
from otk_sklearn.sets._not_numbers import check_not_text
from otk_sklearn.sets._offsets import offsets_of
from otk_sklearn.sets._tensors import is_nested
from otk_sklearn.sets._unreadable import check_not_packed, check_readable, type_name


def pack(sets, name, n_features=None):
    """Copy a list of sets into one array; return it and the offsets.

    Parameters
    ----------
    sets : list of array-like of shape (n_elements_i, n_features)
        A missing one (None, NaN, or NA of pandas) is an empty set.
    name : str
        Name of the sequence in error messages.
    n_features : int, default=None
        Number of features if all sets are empty. None means that this is an error.
    """
    if not sets:
        raise ValueError(f"{name} is an empty collection; expected at least one set.")
    arrays = [
        None if is_empty(x) else _check_set(x, f"set {i} of {name}")
        for i, x in enumerate(sets)
    ]
    # An empty list has the number of features of the other sets.
    filled = next((array for array in arrays if array is not None), None)
    columns = column_names(first_not_empty(sets))
    if filled is None:
        if n_features is None:
            what = describe_empty(sets, 0)
            raise ValueError(
                f"set 0 of {name} is {what}, and no other has an element; expected an "
                "element."
            )
        filled = np.empty((0, n_features))
    arrays = [filled[:0] if array is None else array for array in arrays]
    for i, array in enumerate(arrays):
        if array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"set {i} of {name} has {array.shape[1]} features, set 0 has "
                f"{arrays[0].shape[1]}; expected the same number in every set"
                f"{_transposed(arrays, name)}."
            )
        if not is_empty(sets[i]):
            check_columns(sets[i], columns, f"set {i} of {name}")
    offsets = offsets_of([len(array) for array in arrays])
    single = all(float_dtype(dtype) == np.float32 for dtype in {x.dtype for x in arrays})
    dtype = np.float32 if single else np.float64
    values = np.empty((offsets[-1], arrays[0].shape[1]), dtype)
    return np.concatenate(arrays, out=values), offsets


def is_empty(x):
    """Whether a set is an empty list or 1-D array, without a number of features.

    A missing set is one, too.
    """
    if isinstance(x, list | tuple):
        return not x
    try:
        return getattr(x, "shape", None) == (0,) or is_missing_cell(x)
    except RuntimeError:  # of nested tensors of torch
        return False


def first_not_empty(sets):
    """Return the first set that is not an empty list or 1-D array, or None."""
    return next((x for x in sets if not is_empty(x)), None)


def describe_empty(X, i):
    """What error messages say of an empty set: "empty", or that it is missing.

    Parameters
    ----------
    X : sets
        As the user gave them.
    i : int
    """
    x = _cell(X, i)
    if getattr(x, "is_valid", True) is False:  # a scalar of Arrow
        x = None
    return f"missing ({x})" if is_missing_cell(x) else "empty"


def _cell(X, i):
    """What holds set i, in the first column of a table; an empty list if nothing does."""
    if hasattr(X, "columns"):
        if hasattr(X, "iloc"):
            return X.iloc[i, 0]
        if hasattr(X, "to_series"):  # of polars
            X = X.to_series()
        else:  # of Arrow, or unknown
            X = X.column(0) if hasattr(X, "column") else []
    elif isinstance(X, np.ndarray):
        X = cells_of(X) or X
    if not hasattr(X, "__getitem__") or isinstance(X, list) and not X:
        return []
    return X.iloc[i] if hasattr(X, "iloc") else X[i]


def check_columns(table, expected, name):
    """Raise an error unless a set has the columns of the first, or both have none."""
    columns = column_names(table)
    if columns != expected:
        raise ValueError(
            f"{name} has the columns {columns}, the first set has {expected}; expected the "
            "same in every set."
        )


def _check_set(elements, name):
    """Return a 2-D array of numbers, or raise an error that names the columns of others."""
    try:
        array = check_elements(elements, name)
        return plain_as_floats(array, name) if array.dtype == object else array
    except ValueError as error:
        columns = columns_of_no_numbers(elements)
        if not columns:
            raise
        hint = ""
        if not has_dates_or_complex(elements):
            hint = (
                ", such as those of ElementTransformer(make_column_transformer(("
                f"OneHotEncoder(), {columns}), remainder='passthrough')), without labels "
                "to be predicted"
            )
        raise ValueError(
            f"{name} has columns that don't hold numbers, {columns}; expected "
            f"{'real ' * (not hint)}numbers{hint}."
        ) from error


def as_list(sets, name):
    """The sets as a list, or an error where iterating would give something else."""
    check_not_text(sets, name)
    if is_nested(sets):
        return list(sets.unbind())
    check_not_packed(sets, name)
    if not isinstance(sets, (Sequence, Iterator, ValuesView)):
        check_readable(sets, name)
        if column_names(sets):
            expected = (
                f"a list of 2-D arrays (of one set: [{name}]; a long table: SetCollection."
                f"from_groups({name}, column), with the name of the column of sets)"
            )
            if hasattr(sets, "iloc") and holds_arrays(sets, sets.columns):
                expected = f"SetCollection.from_series({name}), if cells are time series"
            raise TypeError(f"{name} is {type_name(sets)}; expected {expected}.")
        if not isinstance(sets, Iterable):
            raise TypeError(f"{name} is {type_name(sets)}; expected a list of arrays.")
    cells = cells_of(sets) if isinstance(sets, np.ndarray) else None
    return list(sets) if cells is None else cells


def check_not_one_array(sets, name):
    """Raise an error for numbers of one set in place of a sequence of sets."""
    ndim = sets.ndim if isinstance(sets, np.ndarray) else None
    if ndim not in (1, 2) or sets.dtype.kind in "OUS" or not sets.size:
        return
    of_one_set = f"[{name}]" if ndim == 2 else f"[{name}.reshape(-1, 1)]"
    raise ValueError(
        f"{name} has shape {sets.shape}; expected a list of 2-D arrays (of one set: "
        f"{of_one_set})."
    )


def _transposed(arrays, name):
    """A hint where features come before elements: all sets have the same number of rows."""
    if len({len(array) for array in arrays}) > 1:
        return ""
    return (
        f", but it is the number of rows that is: to swap the axes, [x.T for x in {name}]"
    )


def join(parts, offsets, name):
    """Concatenate the weights or positions of each set."""
    parts = as_list(parts, name)
    lengths = np.diff(offsets)
    if len(parts) != len(lengths):
        hint = ""
        if len(parts) == offsets[-1]:  # one for each element
            hint = f": np.split({name}, np.cumsum([len(x) for x in sets])[:-1])"
        raise ValueError(
            f"{name} is given for {len(parts)} of {len(lengths)} sets; expected an array "
            f"for each{hint}."
        )
    rows = {
        i: as_rows(part, lengths[i], f"{name} of set {i}")
        for i, part in enumerate(parts)
        if lengths[i] or not is_empty(part)
    }
    first = next(iter(rows), None)
    for i, row in rows.items():
        if row.shape[1:] != rows[first].shape[1:]:
            raise ValueError(
                f"{name} of set {i} has shape {row.shape}, that of set {first} "
                f"{rows[first].shape}; expected the same number of axes."
            )
    return np.concatenate([*rows.values()]) if rows else np.empty(0)
