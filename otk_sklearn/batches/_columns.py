"""Columns of one batch of a table, of pandas, polars or Arrow, as arrays."""

import itertools
import re
from dataclasses import dataclass, fields

import numpy as np

from otk_sklearn.batches._sources import is_a
from otk_sklearn.sets._arrays import (
    as_elements,
    check_numbers,
    column_names,
    first_present,
    float_dtype,
    is_array_or_list,
    plain_as_floats,
)
from otk_sklearn.sets._unreadable import type_name


@dataclass(frozen=True, eq=False)
class Columns:
    """What each column of a table is: lists of names, or None."""

    groups: list | None
    features: list | None
    column: list | None
    weights: list | None
    positions: list | None
    order_by: list | None
    target: list | None

    def given(self):
        """The names of each argument that is not None."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: part for name, part in parts.items() if part is not None}

    def needed(self, names):
        """Those columns of a table that are needed; None if they are all.

        Raises
        ------
        ValueError
            If one is not among the names.
        """
        for argument, columns in self.given().items():
            for column in columns:
                check_column(column, names, argument)
        if self.features is None and self.column is None:
            return None
        return [*dict.fromkeys(itertools.chain(*self.given().values()))]

    def check_none_given(self, batch):
        """Raise an error for a batch without columns, unless no column is named."""
        for argument, names in self.given().items():
            raise TypeError(
                f"this is {type_name(batch)}, and {argument} is {names[0]!r}; expected a "
                "table with such a column, or no names of columns."
            )

    def all_but(self, names):
        """Columns that have no other role; the index of pandas in a file is none either."""
        used = {*itertools.chain(*self.given().values())}
        return [
            name
            for name in names
            if name not in used and not re.fullmatch(r"__index_level_\d+__", str(name))
        ]


def check_column(column, names, argument):
    """Raise an error unless a table of these columns has this one, once."""
    count = names.count(column)
    if count == 0:
        raise ValueError(
            f"{argument} is {column!r}; expected the name of a column, one of {names}."
        )
    if count > 1:
        raise ValueError(
            f"{argument} is {column!r}, the name of {count} columns; expected unique names."
        )


def column_of(table, name, argument):
    """A column of a table, or for groups a level of the index of pandas."""
    names = column_names(table)
    levels = list(getattr(getattr(table, "index", None), "names", []))
    if argument == "groups" and name in levels and name not in names:
        return table.index.get_level_values(name)
    check_column(name, names, argument)
    return table[name]


def numbers(column, name):
    """A column of numbers as a 1-D array, with NaN for missing ones.

    Text is refused, also if it is that of numbers: the next batch may hold other text.
    """
    if is_arrow(column):
        from otk_sklearn.sets._arrow import is_number, numbers_of

        if not is_number(column.type):
            raise ValueError(f"{name} is {column.type}; expected numbers.")
        return numbers_of(column)
    array = check_numbers(column, name)
    if array.dtype != object:
        return array
    text = next((x for x in array.flat if isinstance(x, str | bytes)), None)
    if text is not None:
        raise ValueError(f"{name} holds text, such as {text!r}; expected numbers.")
    filled = np.array([np.nan if x is None else x for x in array], object)
    return plain_as_floats(filled, name)


def features_of(table, names, first_row):
    """The elements of a long table, from columns of numbers, or from one of lists.

    Parameters
    ----------
    table : DataFrame of pandas or polars, or record batch
    names : list
    first_row : int
        The number of the first row in error messages.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
    """
    if len(names) == 1 and holds_lists(table[names[0]]):
        return _elements(table[names[0]], f"column {names[0]!r}", first_row)
    dtype = _plain_dtype(table, names)
    if dtype is not None:
        return as_elements(table[names]).astype(dtype, copy=False)
    columns = [numbers(table[name], f"column {name!r}") for name in names]
    values = np.empty((len(table), len(columns)), _precision(x.dtype for x in columns))
    for j, column in enumerate(columns):
        values[:, j] = column
    return values


def _plain_dtype(table, names):
    """The precision of a DataFrame of numbers, which it converts faster than its columns.

    None of any other table, and where objects or text have to be looked at.
    """
    if not hasattr(table, "iloc"):
        return None
    dtypes = [getattr(dtype, "numpy_dtype", dtype) for dtype in table[names].dtypes]
    are_plain = all(isinstance(x, np.dtype) and x.kind in "biuf" for x in dtypes)
    return _precision(dtypes) if are_plain and len(dtypes) == len(names) else None


def _precision(dtypes):
    """That of columns together, whether numbers are missing in this batch or not."""
    single = all(float_dtype(dtype) == np.float32 for dtype in dtypes)
    return np.float32 if single else np.float64


def columns_of_no_numbers(table, names):
    """Those of these columns that `features_of` would refuse beside others."""
    return [name for name in names if not _holds_numbers(table[name])]


def _holds_numbers(column):
    try:
        numbers(column, "column")
    except (TypeError, ValueError):
        return False
    return True


def holds_lists(column):
    """Whether the cells of a column are elements."""
    if is_arrow(column):
        return column.type.num_fields > 0 or hasattr(column.type, "storage_type")
    if hasattr(column, "iloc"):
        first = first_present(column)
        return column.dtype.kind == "O" and is_array_or_list(first)
    return bool(getattr(column.dtype, "is_nested", bool)())


def is_arrow(column):
    return is_a(column, "pyarrow", "Array")


def _elements(column, name, first_row):
    """Elements of a column of lists of equal length, one a row."""
    if not is_arrow(column):
        return as_elements(column, name)
    import pyarrow as pa

    from otk_sklearn.sets._arrow import read_arrow

    if column.null_count:
        row = first_row + column.is_null().to_numpy(zero_copy_only=False).argmax()
        raise ValueError(f"{name} has no element in row {row}; expected one in every row.")
    offsets = pa.array([0, len(column)], pa.int64())
    return read_arrow(pa.LargeListArray.from_arrays(offsets, column), name)[0]
