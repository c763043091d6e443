"""Columns of labels of a long table: what changes from row to row, and what is where."""

import itertools

import numpy as np

from otk_sklearn.batches._columns import column_of, is_arrow
from otk_sklearn.sets._arrays import as_unmasked
from otk_sklearn.sets._names import as_labels, is_missing, key_of


class Labels:
    """One or more columns of labels: strings, numbers, dates, tuples or structs.

    Parameters
    ----------
    table : DataFrame of pandas or polars, or record batch
    names : list
        Of the columns, whose values in one row are one label together.
    argument : str
        The name of the argument, in error messages.
    """

    def __init__(self, table, names, argument):
        self._argument = argument
        columns = [column_of(table, name, argument) for name in names]
        fields = _fields(columns[0]) if len(columns) == 1 else None
        self._are_tuples = len(columns) > 1 or fields is not None
        self._columns = [
            _decoded(column) if is_arrow(column) else as_unmasked(column, argument)
            for column in fields or columns
        ]

    def starts(self):
        """The first row, and those whose label is not that of the row before."""
        changes = np.logical_or.reduce([_changes(column) for column in self._columns])
        return np.concatenate([[0], np.flatnonzero(changes) + 1])

    def take(self, rows):
        """The labels in these rows, as an array for each column."""
        parts = [
            column.take(_indices(rows)) if is_arrow(column) else column[rows]
            for column in self._columns
        ]
        return [as_labels(np.asanyarray(part), self._argument) for part in parts]

    def take_joined(self, rows):
        """The labels in these rows as one array, of tuples if columns are several."""
        parts = self.take(rows)
        if not self._are_tuples:
            return parts[0]
        return np.fromiter(zip(*(part.tolist() for part in parts)), object, len(rows))


def kind_of(labels):
    """What a label is, as text; None if all are missing.

    Labels of different kinds are not compared, and not joined into one array, which NumPy
    would make one of text.
    """
    kinds = {"b": "bool", "i": "int", "u": "int", "f": "float", "M": "date", "m": "time"}
    if labels.dtype.kind in "US":
        return "str"
    if labels.dtype.kind in kinds:
        return kinds[labels.dtype.kind]
    first = next((label for label in labels if not is_missing(label)), None)
    return None if first is None else type(first).__name__


def check_kind(kinds, labels, argument, are_alike=frozenset()):
    """Raise an error unless labels are of the kind of those before; remember it.

    Parameters
    ----------
    kinds : dict
        The kind of each argument.
    labels : ndarray of shape (n_labels,)
    argument : str
    are_alike : set of str
        Kinds that may be together.
    """
    kind = kind_of(labels)
    before = kinds.get(argument, kind)
    if kind is not None and kind != before and not {kind, before} <= are_alike:
        raise ValueError(
            f"{argument} is {kind}, and {before} in the batches before; expected the same "
            "type in each."
        )
    if kind is not None:
        kinds.setdefault(argument, kind)


def check_no_missing(labels, rows, argument):
    """Raise an error that tells the row of the first label that is missing.

    Parameters
    ----------
    labels : ndarray of shape (n_labels,)
    rows : ndarray of shape (n_labels,)
        The number of the row of each.
    argument : str
    """
    missing = are_missing(labels)
    if missing.any():
        raise ValueError(
            f"{argument} has no value in row {rows[missing.argmax()]}; expected one in "
            "every row."
        )


def are_missing(labels):
    """Whether each label is None, NaN or NaT."""
    if labels.dtype == object:
        return np.fromiter(map(is_missing, labels), bool, len(labels))
    return labels != labels


def _fields(column):
    """The fields of a column of structs as columns; None of any other."""
    if is_arrow(column):
        return column.flatten() if str(column.type).startswith("struct<") else None
    is_struct = hasattr(getattr(column, "dtype", None), "fields") and hasattr(
        column, "struct"
    )
    return column.struct.unnest().get_columns() if is_struct else None


def _decoded(column):
    """A column of plain values: indices into dictionaries and views have no functions."""
    if hasattr(column, "dictionary_decode"):
        column = column.dictionary_decode()
    arrow_type = str(column.type)
    is_view = arrow_type in ("string_view", "binary_view")
    return column.cast(arrow_type.removesuffix("_view")) if is_view else column


def _indices(rows):
    import pyarrow as pa

    return pa.array(rows)


def _changes(column):
    """Whether each entry differs from the one before; missing ones are all the same."""
    if is_arrow(column):
        return _changes_of_arrow(column)
    if column.dtype == object:
        return _changes_of_objects(column)
    differ = column[1:] != column[:-1]
    is_missing = column != column
    return differ & ~(is_missing[1:] & is_missing[:-1])


def _changes_of_arrow(column):
    import pyarrow.compute as pc

    after, before = column[1:], column[:-1]
    differ = pc.not_equal(after, before)
    if column.null_count:
        one_is_null = pc.xor(after.is_null(), before.is_null())
        differ = pc.or_(pc.fill_null(differ, False), one_is_null)
    if hasattr(pc, "is_nan") and str(column.type) in ("halffloat", "float", "double"):
        both = pc.and_(pc.is_nan(after), pc.is_nan(before))
        differ = pc.and_not(differ, pc.fill_null(both, False))
    return differ.to_numpy(zero_copy_only=False)


def _changes_of_objects(column):
    if set(map(type, column)) <= {str, int}:
        return (column[1:] != column[:-1]).astype(bool)
    keys = [None if is_missing(label) else key_of(label) for label in column]
    pairs = itertools.pairwise(keys)
    return np.fromiter((a != b for a, b in pairs), bool, len(keys) - 1)
