"""Sets out of a batch: of columns of lists, or of a long table. Needs pyarrow."""

import contextlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otk_sklearn.sets._arrow import read_arrow
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._computed_values import first_not_finite
from otk_sklearn.sets._list_columns import read_lists, sets_of_lists
from otk_sklearn.sets._offsets import locate_element, offsets_of


def read_list_columns(batch, column, weights, positions, n_features):
    """Return the sets of columns of lists, one for each row.

    Parameters
    ----------
    batch : ArrowBatch or the like
    column : str or list of str
    weights : str or None
    positions : str or list of str or None
    n_features : int or None
        Number of features where no set has an element to tell it.

    Returns
    -------
    sets : SetCollection
    dtype : dtype
        What sets of this column have in all batches.
    """
    cells = batch.cells(column) if isinstance(column, str) else None
    if cells is not None:
        sets = _sets_of_cells(batch, cells, weights, positions, n_features)
        return sets, np.dtype(np.float64)  # as objects tell no type
    lists = _lists(batch, column)
    _check_no_text(lists, column)
    sets = sets_of_lists(
        SetCollection,
        "from_arrow",
        read_arrow,
        lists,
        name=f"batch[{column!r}]",
        weights=None if weights is None else _lists(batch, weights),
        positions=None if positions is None else _lists(batch, positions),
        n_features=n_features,
    )
    return sets, sets.dtype


def _check_no_text(lists, column):
    """Raise an error for arrays that Dask has turned into text, as it does by default."""
    if "dask.dataframe" not in sys.modules or isinstance(lists, pa.Table):
        return
    if pa.types.is_string(lists.type) or pa.types.is_large_string(lists.type):
        raise ValueError(
            f"batch[{column!r}] holds {lists.type}; expected a list of elements for each "
            "set. Dask turns arrays in pandas into strings: pass lists of Arrow, or call "
            'dask.config.set({"dataframe.convert-string": False}) first.'
        )


def _sets_of_cells(batch, cells, weights, positions, n_features):
    if not cells:
        if n_features is None:
            raise ValueError(
                "batch has no rows, and the estimator doesn't tell n_features_in_; "
                "expected a column of Arrow lists, which has a type."
            )
        return SetCollection(np.empty((0, n_features)), [0])
    if positions is not None and not isinstance(positions, str):
        raise TypeError(
            f"positions is {positions!r}; expected the name of one column, where that of "
            "the sets holds arrays."
        )
    given = {"weights": weights, "positions": positions}
    given = {name: _cells(batch, column) for name, column in given.items() if column}
    return SetCollection.from_sets(cells, **given)


def _cells(batch, name):
    """Cells of a column of objects, or of Arrow."""
    cells = batch.cells(name)
    return batch.select([name]).column(0).to_pylist() if cells is None else cells


def _lists(batch, names):
    """A column, or a table of several."""
    return (
        batch.select([names]).column(0) if isinstance(names, str) else batch.select(names)
    )


def number_rows(table, groups):
    """Number the sets of a long table in the order in which they first appear.

    Parameters
    ----------
    table : pyarrow.Table
    groups : str
        The column with the label of each row's set.

    Returns
    -------
    numbers : ndarray of int of shape (n_rows,)
        The set of each row.
    starts : ndarray of int of shape (n_sets,)
        The first row of each set.
    """
    labels = _array(table.column(groups))
    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    missing = labels.is_null(nan_is_null=pa.types.is_floating(labels.type))
    if pc.any(missing).as_py():
        raise ValueError(
            f"batch[{groups!r}] is missing in row {pc.index(missing, True).as_py()}; "
            "expected the label of a set in every row."
        )
    try:
        numbers = labels.dictionary_encode().indices.to_numpy()
    except pa.ArrowNotImplementedError as error:
        raise ValueError(
            f"batch[{groups!r}] holds {labels.type}; expected labels of sets: integers, "
            "strings or dates."
        ) from error
    is_first = np.diff(np.maximum.accumulate(numbers), prepend=-1) > 0
    return numbers, np.flatnonzero(is_first)


def read_long_table(table, numbers, features, weights, positions, n_features):
    """Return the sets of a long table, in the order in which they first appear.

    Parameters
    ----------
    table : pyarrow.Table
        A row for each element; those of a set may be apart.
    numbers : ndarray of int of shape (n_rows,)
        The set of each row, as of `number_rows`.
    features, positions : list of str, or None for no positions
        Columns of numbers, or one of lists of fixed size.
    weights : str or None
    n_features : int or None
        Number of features where the table doesn't tell it.

    Returns
    -------
    SetCollection
    """
    offsets = pa.array(offsets_of(np.bincount(numbers)))
    if (np.diff(numbers) < 0).any():
        table = table.take(pa.array(np.argsort(numbers, kind="stable")))

    def lists(names):
        return pa.LargeListArray.from_arrays(offsets, _elements(table, names))

    arguments = read_lists(
        read_arrow,
        lists(features),
        name="batch",
        weights=None if weights is None else lists([weights]),
        positions=None if positions is None else lists(positions),
        n_features=n_features,
    )
    return SetCollection(**arguments)


def _elements(table, names):
    """Elements as an Arrow array: the only column, or structs of several."""
    arrays = [_array(table.column(name)) for name in names]
    if len(arrays) == 1 and arrays[0].type.num_fields:
        return arrays[0]
    return pa.StructArray.from_arrays(arrays, list(names))


def _array(column):
    if column.num_chunks == 1:
        return column.chunk(0)
    return (
        pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)
    )


def check_constant(table, names, groups, numbers, starts):
    """Raise an error that names a set in which a column is not the same in all rows.

    Parameters
    ----------
    table : pyarrow.Table
    names : list of str
        The columns.
    groups : str
        The column with the labels of the sets.
    numbers, starts : ndarray of int
        As of `number_rows`.
    """
    first_rows = pa.array(starts[numbers])
    for name in names:
        column = _array(table.column(name))
        first = column.take(first_rows)
        try:
            same = pc.equal(column, first).fill_null(False)
        except pa.ArrowNotImplementedError as error:
            raise ValueError(
                f"batch[{name!r}] holds {column.type}; expected numbers, strings or dates "
                "in every column to keep."
            ) from error
        missing = [x.is_null(nan_is_null=True) for x in (column, first)]
        same = pc.or_(same, pc.and_(*missing))
        if not pc.all(same, min_count=0).as_py():
            row = pc.index(same, False).as_py()
            raise ValueError(
                f"batch[{name!r}] has {first[row].as_py()!r} and {column[row].as_py()!r} "
                f"in the set {table.column(groups)[row].as_py()!r}; expected one value a "
                "set in every column to keep."
            )


@contextlib.contextmanager
def noted_if_not_finite(sets, columns, describe):
    """Add a note to an error that tells the first NaN or infinity there is.

    An engine has many batches, in which the number of a set alone leads nowhere. Only
    after an error: some estimators accept NaN.

    Parameters
    ----------
    sets : SetCollection
    columns : list of str
        One for each feature, or one with lists of all.
    describe : callable
        What a set is called, by its number.
    """
    try:
        yield
    except ValueError as error:
        wrong = first_not_finite(sets.values)
        if wrong is not None:
            row, feature, value = wrong
            i, _ = locate_element(row, sets.offsets)
            column = columns[feature] if len(columns) > 1 else columns[0]
            error.add_note(f"The column {column!r} has {value} in {describe(i)}.")
        raise
