"""`iter_sets`: batches of data larger than memory as collections of complete sets."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

from numpy.typing import ArrayLike

from otk_sklearn.batches._array_slices import slices_of
from otk_sklearn.batches._blocks import (
    as_collection,
    as_target,
    regrouped,
    with_features,
)
from otk_sklearn.batches._columns import Columns
from otk_sklearn.batches._complete_sets import CompleteSets
from otk_sklearn.batches._long_tables import LongTables
from otk_sklearn.batches._sources import open_batches


def iter_sets(
    batches: Any,
    *,
    groups: Any = None,
    features: Any = None,
    column: Any = None,
    weights: Any = None,
    positions: Any = None,
    order_by: Any = None,
    target: Any = None,
    offsets: ArrayLike | None = None,
    max_elements: int = 100_000,
) -> Iterator[Any]:
    """Iterate over data larger than memory, as collections of complete sets.

    Rows of a long table that belong to one set are joined across batches, files and
    partitions. What is yielded doesn't depend on where the data are cut: together, it is
    what `SetCollection.from_groups` or `SetCollection.from_arrow` would make of all data.

    Parameters
    ----------
    batches : iterable of tables or of sets, or a source that is read in batches
        Tables are DataFrames of pandas or polars, and tables or record batches of Arrow;
        sets are lists of arrays or a SetCollection. Sources are a `Dataset` or `Scanner` of
        `pyarrow.dataset`, a `pyarrow.parquet.ParquetFile`, a `RecordBatchReader` or another
        stream of Arrow tables, and a `polars.LazyFrame`. One table, or an iterable of
        sources, such as the fragments of a `Dataset`, is taken, too. Only columns that are
        needed are read, if `features` or `column` are given. With `offsets`, an array of
        shape (n_elements, n_features).
    groups : str or other label of a column, or list of them, default=None
        The column that tells the set of each row of a long table, in which a row is an
        element. All rows of a set must come one after the other, whatever the
        order of sets. It gives the sets their names; of several columns, names are tuples.
        With `column`, it has the name of the set of each row. With `offsets`, an array of
        names of shape (n_sets,).
    features : list of labels of columns, or one of them, default=None
        Columns of numbers of a long table, or one of lists of equal length. None means all
        columns that have no other role here; the index that pandas stores in a file without
        a name is none. In float32 if all are float32 or float16, or else in float64. With
        `offsets`, names of the features.
    column : label of a column, or list of them, default=None
        The column that has a set in each row, as a list of elements, in any form that
        `SetCollection.from_arrow` takes; several have one feature each. In pandas, its
        cells may also be 2-D arrays. Missing lists are empty sets.
    weights : label of a column, default=None
        Weights of the elements: numbers, or with `column` lists of them. With `offsets`, an
        array of shape (n_elements,).
    positions : label of a column, or list of two of them, default=None
        Coordinates of the elements, likewise.
    order_by : label of a column, default=None
        The elements of each set are put in ascending order of this column of a long table;
        equal ones stay in the order of rows. None means the order of rows.
    target : label of a column, or list of them, default=None
        What is to be predicted of each set; in a long table, the same in all of its rows.
        With `offsets`, an array of shape (n_sets,) or (n_sets, n_outputs).
    offsets : array-like of int of shape (n_sets + 1,), default=None
        Where each set starts in an array, and the last one ends. The array may be mapped
        to memory, or one of HDF5 or Zarr: it is sliced, and never read as a whole.
    max_elements : int, default=100_000
        Number of elements that a yielded collection has at most: sets are added as long as
        they fit, from as many batches as need be. A larger set is yielded alone. An empty
        set counts as one element.

    Returns
    -------
    iterator of SetCollection, or of tuple (SetCollection, ndarray)
        The sets in their order, with their names and the names of features; with `target`,
        pairs with an array of it of shape (n_sets,), or (n_sets, n_outputs) if it is a
        list. There are none if all batches are empty.

    Raises
    ------
    ImportError
        If lists of Arrow or polars are read without pyarrow:
        `pip install "otk-sklearn[arrow]"`.
    TypeError
        If batches, or one of them, is something else.
    ValueError
        If a set comes back after others, or a name in another batch; if a column is
        missing, holds no numbers, or is not of the type that it had before; if a group,
        weight, position or value of `order_by` is missing; if `target` changes within a
        set. The message tells the number of the batch and the row in it, or the set. It
        comes when the batch is read.

    See Also
    --------
    otk_sklearn.SetCollection.from_groups : Makes sets of a long table in memory.
    otk_sklearn.SetCollection.from_arrow : Makes sets of a column of lists in memory.

    Notes
    -----
    Memory holds a batch (of a table, 65,536 converted rows at a time), a collection of
    `max_elements` elements, and, while it is assembled, twice the largest set. To find
    sets that come back, 8 bytes are kept for each set that has passed by, and a few times
    that for moments. These are hashes: of 1e8 names other than integers and dates, two have
    the same with a probability of 1 in 4,000, which would be an error.

    Data of which the sets are not yet together are sorted once: by
    `pl.scan_parquet(path).sort("id", maintain_order=True).sink_parquet(sorted_path)`, say,
    which doesn't need them in memory, or by a shuffle in Dask or Spark. Files of a
    folder are read in the order of their names, `part-10` before `part-2`.

    Examples
    --------
    The set "b" goes on in the second table:

    >>> import pandas as pd
    >>> from otk_sklearn.batches import iter_sets
    >>> tables = [
    ...     pd.DataFrame({"id": ["a", "b", "b"], "x": [0.0, 1.0, 2.0], "ill": [1, 0, 0]}),
    ...     pd.DataFrame({"id": ["b", "c"], "x": [3.0, 4.0], "ill": [0, 1]}),
    ... ]
    >>> for X, y in iter_sets(tables, groups="id", target="ill", max_elements=4):
    ...     print(X.names, X.lengths, y)
    ['a' 'b'] [1 3] [1 0]
    ['c'] [1] [1]

    An array, which may be larger than memory:

    >>> import numpy as np
    >>> values = np.arange(12.0).reshape(6, 2)
    >>> [X.lengths for X in iter_sets(values, offsets=[0, 1, 4, 6], max_elements=4)]
    [array([1, 3]), array([2])]
    """
    _check_max_elements(max_elements)
    if offsets is not None:
        _check_none("offsets", column=column, order_by=order_by)
        return slices_of(
            batches,
            offsets,
            max_elements,
            weights=weights,
            positions=positions,
            names=groups,
            feature_names=features,
            target=target,
        )
    if column is not None:
        _check_none("column", features=features, order_by=order_by)
    elif groups is None:
        _check_none("no groups or column", features=features, order_by=order_by)
    columns = Columns(
        groups=_listed(groups, "groups"),
        features=_listed(features, "features"),
        column=_listed(column, "column"),
        weights=_single(weights, "weights"),
        positions=_listed(positions, "positions"),
        order_by=_single(order_by, "order_by"),
        target=_listed(target, "target"),
    )
    is_long = groups is not None and column is None
    reader = LongTables(columns) if is_long else CompleteSets(columns)
    blocks = _blocks(open_batches(batches, columns), reader)
    blocks = regrouped(with_features(blocks), max_elements)
    if target is None:
        return (as_collection(block) for block in blocks)
    one = not isinstance(target, list)
    return ((as_collection(block), as_target(block, one)) for block in blocks)


def _blocks(batches, reader):
    """Yield what the reader makes of each batch; an error in it tells which one it is."""
    for label, first_row, batch in batches:
        try:
            if not len(batch):
                continue
            block = reader.read(batch, first_row)
        except (TypeError, ValueError) as error:
            error_type = TypeError if isinstance(error, TypeError) else ValueError
            raise error_type(f"{label}: {error}") from error
        yield block


def _listed(names, argument):
    """Labels of columns as a list, or None."""
    if names is None:
        return None
    if isinstance(names, list) and names:
        return names
    return [_label(names, argument)]


def _single(name, argument):
    return None if name is None else [_label(name, argument)]


def _label(name, argument):
    """A label of a column: anything but a list or an array."""
    if isinstance(name, list) or hasattr(name, "__array__"):
        raise TypeError(
            f"{argument} is {name if isinstance(name, list) else type(name).__name__}; "
            f"expected the name of a column, or {argument}=[*names] for a list of them "
            "(arrays only with offsets)."
        )
    return name


def _check_none(given, **arguments):
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"{name} is {value!r}, with {given}; expected None: it is for long tables, "
                "whose column of sets groups names."
            )


def _check_max_elements(max_elements):
    is_integer = isinstance(max_elements, Integral) and not isinstance(max_elements, bool)
    if not is_integer or max_elements < 1:
        raise ValueError(
            f"max_elements is {max_elements!r}; expected an integer of at least 1."
        )
