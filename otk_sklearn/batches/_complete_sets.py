"""Batches in which each row of a table, or each item, is a complete set."""

import numpy as np

from otk_sklearn.batches._blocks import Block
from otk_sklearn.batches._columns import column_of
from otk_sklearn.batches._labels import Labels, check_kind, check_no_missing
from otk_sklearn.batches._seen_names import SeenNames
from otk_sklearn.sets._arrays import column_names
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._containers import is_container
from otk_sklearn.sets._list_columns import read_lists
from otk_sklearn.sets._names import index_of, shown
from otk_sklearn.sets._row_index import is_range, row_index
from otk_sklearn.sets._sequences import is_empty
from otk_sklearn.sets._unreadable import type_name
from otk_sklearn.sets._validation import as_sets

# Features of sets without an element, which are not known: any number but 1, which would
# allow other forms of elements.
_ANY_NUMBER = 2


class CompleteSets:
    """Reads one batch after the other, and remembers what the next ones have to agree with.

    Parameters
    ----------
    columns : Columns
    """

    def __init__(self, columns):
        self._columns = columns
        self._kinds = {}
        self._seen = SeenNames()
        self._first = None

    def read(self, batch, first_row):
        """Return the block of a batch with at least one set.

        Parameters
        ----------
        batch : DataFrame of pandas or polars, record batch, SetCollection, list
        first_row : int
            The number of its first row in error messages.
        """
        is_table = bool(column_names(batch))
        block = self._of_table(batch, first_row) if is_table else self._of_sets(batch)
        if block.names is not None:
            check_kind(self._kinds, block.names, "names")
            self._check_new(block.names, first_row)
        if block.values is not None:
            self._first = self._first or block
            _check_like(block, self._first)
        return block

    def _of_table(self, table, first_row):
        columns = self._columns
        if columns.column is None:
            raise TypeError(
                f"this is a table with the columns {column_names(table)}; expected "
                "groups='id', the column that tells the set of each row, or column='x', "
                "one with a list of elements in each row."
            )
        rows = np.arange(len(table))
        names = target = None
        if columns.groups is not None:
            names = Labels(table, columns.groups, "groups").take_joined(rows)
            check_no_missing(names, first_row + rows, "groups")
        if columns.target is not None:
            target = Labels(table, columns.target, "target").take(rows)
        lists = {
            name: _lists(table, part, name)
            for name in ("column", "weights", "positions")
            if (part := getattr(columns, name)) is not None
        }
        label = f"column, from row {first_row} on," if first_row else "column"
        return _block(_read_lists(table, columns, label, **lists), names, target)

    def _of_sets(self, batch):
        self._columns.check_none_given(batch)
        sets = _as_collection(batch)
        return _block(sets, sets.names, None)

    def _check_new(self, names, first_row):
        """Raise an error if sets have the name of an earlier one."""
        wrong = self._seen.first_seen(names)
        if wrong is not None:
            name = names[wrong : wrong + 1].tolist()[0]
            raise ValueError(
                f"names has {shown(name)} again, for set {first_row + wrong}; expected a "
                "unique name of each set of all batches. Sets that go on in the next batch "
                "are joined from long tables only: iter_sets(tables, groups='id')."
            )


def _block(sets, names, target):
    return Block(
        values=sets.values if len(sets.values) else None,
        lengths=sets.lengths,
        names=names,
        weights=sets.weights,
        positions=sets.positions,
        target=target,
        feature_names=sets.column_labels,
    )


def _lists(table, names, argument):
    """A column of lists, or a table of several."""
    if len(names) == 1:
        return column_of(table, names[0], argument)
    for name in names:
        column_of(table, name, argument)
    return table.select(names) if hasattr(table, "select") else table[names]


def _read_lists(table, columns, label, column, weights=None, positions=None):
    if hasattr(table, "iloc") and not is_container(table[columns.column]):
        return _read_cells(column, weights, positions)
    from otk_sklearn.sets._arrow import read_arrow

    arguments = read_lists(
        read_arrow,
        column,
        weights=weights,
        positions=positions,
        name=label,
        n_features=_ANY_NUMBER,
    )
    return SetCollection(**arguments | {"names": None})


def _read_cells(column, weights, positions):
    """Sets that are arrays in the cells of a column of pandas."""
    parts = {}
    if weights is not None:
        parts["weights"] = weights.tolist()
    if positions is not None:
        are_axes = hasattr(positions, "columns")
        rows = positions.to_numpy().tolist() if are_axes else positions.tolist()
        parts["positions"] = [np.column_stack(x) for x in rows] if are_axes else rows
    return _from_cells(column.tolist(), **parts)


def _from_cells(cells, **parts):
    if all(map(is_empty, cells)):
        return SetCollection(np.empty((0, _ANY_NUMBER)), np.zeros(len(cells) + 1, int))
    return SetCollection.from_sets(cells, **parts)


def _as_collection(batch):
    """Sets of a batch that is no table."""
    if isinstance(batch, SetCollection):
        return batch
    is_object = getattr(getattr(batch, "dtype", None), "kind", "O") == "O"
    if getattr(batch, "ndim", None) == 2 and not is_object or isinstance(batch, str):
        raise TypeError(
            f"this is {type_name(batch)}; expected a list of 2-D arrays, one for each set: "
            "([x] for x in batches) if this is one set."
        )
    names = None
    if row_index(batch) is not None and not is_range(row_index(batch)):
        names = index_of(batch)
    if isinstance(batch, list | tuple | np.ndarray) or row_index(batch) is not None:
        cells = list(batch)
        return _from_cells(cells, **({} if names is None else {"names": names}))
    return as_sets(batch, n_features=_ANY_NUMBER)


def _check_like(block, first):
    """Raise an error unless a block has the same features and attributes as the first."""
    widths = [x.values.shape[1] for x in (block, first)]
    if widths[0] != widths[1]:
        raise ValueError(
            f"sets have {widths[0]} features, and {widths[1]} in the batches before; "
            "expected the same number."
        )
    names = [x.feature_names for x in (block, first)]
    labels = [None if x is None else list(x) for x in names]
    if labels[0] != labels[1]:
        raise ValueError(
            f"sets have the feature names {labels[0]}, and {labels[1]} in the batches "
            "before; expected the same."
        )
    for name in ("names", "weights", "positions"):
        parts = [getattr(x, name) for x in (block, first)]
        shapes = [None if x is None else x.shape[1:] for x in parts]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"sets have {_described(name, shapes[0])}, and in the batches before "
                f"{_described(name, shapes[1])}; expected the same."
            )


def _described(name, shape):
    axes = f" on {shape[0]} axes" if shape else ""
    return f"no {name}" if shape is None else f"{name}{axes}"
