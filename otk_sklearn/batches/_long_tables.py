"""Long tables in batches, a row an element: rows of a set may go on in the next batch."""

import numpy as np

from otk_sklearn.batches._blocks import Block
from otk_sklearn.batches._columns import (
    check_column,
    column_of,
    columns_of_no_numbers,
    features_of,
    holds_lists,
    numbers,
)
from otk_sklearn.batches._labels import (
    Labels,
    are_missing,
    check_kind,
    check_no_missing,
)
from otk_sklearn.batches._seen_names import SeenNames
from otk_sklearn.batches._sources import is_a
from otk_sklearn.sets._arrays import as_rows, column_names
from otk_sklearn.sets._names import ColumnLabels, key_of, shown


class LongTables:
    """Reads one batch after the other, and remembers what the next ones have to agree with.

    Parameters
    ----------
    columns : Columns
    """

    def __init__(self, columns):
        self._columns = columns
        self._features = None
        self._kinds = {}
        self._seen = SeenNames()
        self._last_name = None
        self._last_target = None

    def read(self, table, first_row):
        """Return the block of the sets of a table that has at least one row.

        Parameters
        ----------
        table : DataFrame of pandas or polars, or record batch
        first_row : int
            The number of its first row in error messages.
        """
        if not column_names(table):
            self._columns.check_none_given(table)
        groups = Labels(table, self._columns.groups, "groups")
        features = self._feature_columns(table)
        starts = groups.starts()
        names = groups.take_joined(starts)
        check_no_missing(names, first_row + starts, "groups")
        check_kind(self._kinds, names, "groups")
        goes_on = self._goes_on(names)
        self._check_new(names, first_row + starts, goes_on, table)
        values = features_of(table, features, first_row)
        block = Block(
            values=values,
            lengths=np.diff(np.append(starts, len(table))),
            names=names,
            weights=self._weights(table, first_row),
            positions=self._positions(table, first_row),
            order=self._order(table, first_row),
            target=self._target(table, starts, names, goes_on),
            feature_names=_feature_names(features, values),
            goes_on=goes_on,
        )
        self._last_name = names[-1:].tolist()
        return block

    def _feature_columns(self, table):
        names = column_names(table)
        if self._columns.features is not None:
            features = self._columns.features
        else:
            features = self._columns.all_but(names)
            if self._features is None:
                _check_only_features(table, features)
                self._features = features
            elif set(features) != set(self._features):
                raise ValueError(
                    f"the columns of features are {features}, and {self._features} in the "
                    "batches before; expected the same in each, or features with the names "
                    f"of those to use: features={self._features}."
                )
            features = self._features
        for name in features:
            check_column(name, names, "features")
        return features

    def _goes_on(self, names):
        """Whether the first set is the last one of the batch before."""
        before, first = self._last_name, names[:1].tolist()
        return before is not None and key_of(before[0]) == key_of(first[0])

    def _check_new(self, names, rows, goes_on, table):
        """Raise an error if rows of a set come after those of other sets."""
        new = slice(int(goes_on), None)
        wrong = self._seen.first_seen(names[new])
        if wrong is None:
            return
        name, row = names[new][wrong : wrong + 1].tolist()[0], rows[new][wrong]
        by = self._columns.groups
        raise ValueError(
            f"groups has {shown(name)} again in row {row}, after the rows of other sets; "
            "expected the rows of each set one after the other, in all batches together. "
            f"To sort: {_sorting(table, by[0] if len(by) == 1 else by)}."
        )

    def _weights(self, table, first_row):
        if self._columns.weights is None:
            return None
        weights = _numbers_of_rows(table, self._columns.weights[0], "weights")
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if len(wrong):
            raise ValueError(
                f"weights has {weights[wrong[0]]} in row {first_row + wrong[0]}; expected "
                "finite, non-negative weights."
            )
        return weights

    def _positions(self, table, first_row):
        if self._columns.positions is None:
            return None
        positions = np.column_stack(
            [_numbers_of_rows(table, x, "positions") for x in self._columns.positions]
        )
        wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
        if len(wrong):
            raise ValueError(
                f"positions has NaN or infinity in row {first_row + wrong[0]}; expected "
                "finite coordinates."
            )
        return positions

    def _order(self, table, first_row):
        if self._columns.order_by is None:
            return None
        rows = np.arange(len(table))
        order = Labels(table, self._columns.order_by, "order_by").take_joined(rows)
        check_no_missing(order, first_row + rows, "order_by")
        check_kind(self._kinds, order, "order_by", are_alike={"int", "float"})
        return order

    def _target(self, table, starts, names, goes_on):
        """The target of each set, if it is that of all its rows."""
        if self._columns.target is None:
            return None
        labels = Labels(table, self._columns.target, "target")
        target = labels.take(starts)
        changes = np.setdiff1d(labels.starts(), starts)
        if len(changes):
            row = changes[0]
            name = names[np.searchsorted(starts, row) - 1]
            _raise_not_constant(name, labels.take([row - 1]), labels.take([row]))
        for column, part in zip(self._columns.target, target):
            argument = f"target, column {column!r},"
            check_kind(self._kinds, part, argument, are_alike={"int", "float"})
        first = [column[:1] for column in target]
        if goes_on and any(map(_differ, self._last_target, first)):
            _raise_not_constant(names[0], self._last_target, first)
        self._last_target = [column[-1:] for column in target]
        return target


def _check_only_features(table, features):
    """Raise an error for columns of anything else, where `features` doesn't choose."""
    if len(features) == 1 and holds_lists(table[features[0]]):
        return
    wrong = columns_of_no_numbers(table, features)
    numeric = [name for name in features if name not in wrong]
    if not features or wrong:
        what = f"columns that don't hold numbers, {wrong}" if wrong else "no other columns"
        hint = f": features={numeric}" if numeric else ""
        raise ValueError(
            f"besides those with a role, the table has {what}; expected those of features "
            f"only, or their names{hint}."
        )


def _numbers_of_rows(table, name, argument):
    column = column_of(table, name, argument)
    return as_rows(numbers(column, argument), len(table), argument).astype(np.float64)


def _feature_names(features, values):
    """Labels of the columns; None of those of one column of elements."""
    return ColumnLabels(features) if len(features) == values.shape[1] else None


def _differ(before, after):
    """Whether two arrays of one label have others; missing ones are all the same."""
    if are_missing(before)[0] or are_missing(after)[0]:
        return are_missing(before)[0] != are_missing(after)[0]
    return key_of(before.tolist()[0]) != key_of(after.tolist()[0])


def _raise_not_constant(name, before, after):
    pair = next((x, y) for x, y in zip(before, after) if _differ(x, y))
    values = " and ".join(shown(x.tolist()[0]) for x in pair)
    raise ValueError(
        f"target is {values} in rows of the set {shown(name)}; expected one value in all "
        "rows of a set."
    )


def _sorting(table, by):
    if is_a(table, "pandas", "DataFrame"):
        return f'table.sort_values({by!r}, kind="stable")'
    if is_a(table, "polars", "DataFrame"):
        return f"table.sort({by!r}, maintain_order=True)"
    return (
        f"pl.scan_parquet(path).sort({by!r}, maintain_order=True)"
        ".sink_parquet(sorted_path), without all of them in memory"
    )
