"""Time series of aeon, sktime, tslearn and pandas, as sets of their time steps."""

import numpy as np

from otk_sklearn.sets._arrays import (
    as_array,
    as_floats,
    column_names,
    holds_arrays,
    is_missing_cell,
)
from otk_sklearn.sets._long_tables import number_groups
from otk_sklearn.sets._names import (
    ColumnLabels,
    feature_names_of,
    index_of,
    named,
    pandas_index,
    shown,
)
from otk_sklearn.sets._offsets import locate_element
from otk_sklearn.sets._padded_arrays import warn_about_padding_of_equal_lengths
from otk_sklearn.sets._sequences import as_list, first_not_empty, join, pack

_NAMES_OF_TIME = {"time", "times", "timepoint", "timepoints", "timestamp", "datetime"}
_TYPES_OF_TIME = {"integer", "floating", "datetime64", "timedelta64", "period"}
_TIME_AXES = (
    "-1 where time comes last, as in aeon and sktime, or -2 where it comes before the "
    "channels, as in tslearn"
)


def is_panel(X):
    """Whether this is a table or column of pandas with a row for each time step."""
    index = pandas_index(X)
    return index is not None and index.nlevels > 1


def check_panel(X, time_axis, others):
    """Return the table of a panel and the series that each of its rows is of.

    Parameters
    ----------
    X : DataFrame or Series
        The last level of its index is time.
    time_axis : None or -2
    others : dict
        Arguments that are not for tables, all None.
    """
    _check_rows_are_time(X, time_axis)
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"{name} is given, and X is a table, which has names of its own; expected "
                f"{name}=None."
            )
    _check_level_of_time(X.index)
    _check_order_of_time(X.index)
    return X.to_frame() if X.ndim == 1 else X, X.index.droplevel(-1)


def _check_rows_are_time(table, time_axis):
    if time_axis not in (None, -2):
        raise ValueError(
            f"time_axis is {time_axis}; expected None for a table, whose rows are time "
            "steps."
        )


def _check_level_of_time(index):
    """Raise an error for an index whose last level is not time, as far as it shows."""
    *others, last = index.names
    are_times = [_is_name_of_time(name) for name in others]
    if any(are_times) and not _is_name_of_time(last):
        i = are_times.index(True)
        order = [level for level in range(index.nlevels) if level != i] + [i]
        raise ValueError(
            f"the index of X has the levels {list(index.names)}; expected time as the last "
            f"one: X.reorder_levels({order}).sort_index()."
        )
    times = index.remove_unused_levels().levels[-1]
    text = next((time for time in times if isinstance(time, str)), None)
    if text is not None and not getattr(times, "ordered", False):
        raise ValueError(
            f"the last level of the index of X has text, such as {text!r}; expected times "
            "as numbers or dates: pd.to_numeric or pd.to_datetime of their column, before "
            "set_index. If time is another level: X.swaplevel().sort_index(), say."
        )


def _is_name_of_time(name):
    return str(name).lower() in _NAMES_OF_TIME


def _check_order_of_time(index):
    """Raise an error for a time step before an earlier one of its series."""
    numbers, names = number_groups(index.droplevel(-1), len(index), "row")
    times = index.get_level_values(-1)
    ranks = times.factorize(sort=True)[0]  # -1 where time is missing
    if (ranks < 0).any():
        raise ValueError(
            f"X has no time in row {ranks.argmin()}, in the last level of its index; "
            "expected one in every row."
        )
    order = np.argsort(numbers, kind="stable")
    is_back = (np.diff(ranks[order]) <= 0) & (np.diff(numbers[order]) == 0)
    if is_back.any():
        row, after = order[is_back.argmax() + 1], order[is_back.argmax()]
        is_repeated = ranks[row] == ranks[after]
        code = "X[~X.index.duplicated()]" if is_repeated else "X.sort_index()"
        raise ValueError(
            f"row {row} of X is time {shown(times[row])} of series "
            f"{shown(names[numbers[row]])}, after {shown(times[after])}; expected the "
            f"order of time, the last level of the index, each time once: {code}."
        )


def _check_order_of_rows(table, i):
    """Raise an error for one of several tables whose index goes back in time."""
    index = pandas_index(table)
    if index is None or index.nlevels > 1 or index.inferred_type not in _TYPES_OF_TIME:
        return
    if index.hasnans:
        return
    is_back = np.asarray(index[1:] < index[:-1])
    if is_back.any():
        row = is_back.argmax() + 1
        raise ValueError(
            f"row {row} of set {i} of X is time {shown(index[row])}, in its index, after "
            f"{shown(index[row - 1])}; expected the order of time: [x.sort_index() for x "
            "in X], or, if the index is not time, [x.reset_index(drop=True) for x in X]."
        )


def read_series(X, time_axis, positions, names, feature_names):
    """Return the arguments of `SetCollection` for series in arrays.

    Parameters
    ----------
    X, time_axis, positions, names, feature_names
        As in `SetCollection.from_series`.
    """
    if hasattr(X, "iloc") and X.ndim == 2:
        series, columns = _series_in_cells(X, time_axis), ColumnLabels(column_names(X))
    else:
        series = _time_first(X, time_axis)
        columns = feature_names_of(first_not_empty(series))
    values, offsets = pack(series, "X")
    return {
        "values": values,
        "offsets": offsets,
        "positions": None if positions is None else _join_positions(positions, offsets),
        "names": index_of(X) if names is None else names,
        "feature_names": columns if feature_names is None else feature_names,
    }


def _series_in_cells(table, time_axis):
    """The series of a table with a cell for each channel of each, as sktime has it."""
    _check_rows_are_time(table, time_axis)
    if not holds_arrays(table, table.columns):
        raise ValueError(
            "X is a table whose index has one level; expected a MultiIndex of series and "
            "time, X.set_index([series, time]), with the names of these columns. Of one "
            "series: [X]; or, out of a table of many, table.loc[[name]]."
        )
    rows = table.to_numpy()
    for i, row in enumerate(rows):
        lengths = sorted({np.size(cell) for cell in row})
        if len(lengths) > 1:
            raise ValueError(
                f"channels of set {i} of X have {lengths[0]} to {lengths[-1]} time steps; "
                "expected as many in each."
            )
    return [np.column_stack(tuple(row)) for row in rows]


def _time_first(X, time_axis):
    """A list of the series, of shape (n_timepoints, n_channels)."""
    if getattr(X, "ndim", 3) == 2:
        raise ValueError(
            f"X has shape {tuple(X.shape)}; expected several series of several channels. "
            "Where each row is a series of one channel: X[:, np.newaxis], with "
            "time_axis=-1. Of one series: [X]."
        )
    series = as_list(X, "X")
    are_tables = bool(column_names(first_not_empty(series)))
    if are_tables:
        _check_rows_are_time(first_not_empty(series), time_axis)
        for i, table in enumerate(series):
            _check_order_of_rows(table, i)
        return series
    series = [
        x if is_missing_cell(x) else as_array(x, f"set {i} of X")
        for i, x in enumerate(series)
    ]
    _check_time_axis(time_axis, series)
    if time_axis == -2:
        return series
    return [x if is_missing_cell(x) else x.T for x in series]


def _check_time_axis(time_axis, series):
    """Raise an error for another axis than the two of a series, or for the wrong one."""
    shapes = [np.shape(x) for x in series if not is_missing_cell(x)]
    shown_shape = f" (set 0 of X has shape {shapes[0]})" if shapes else ""
    if isinstance(time_axis, bool) or time_axis not in (-1, -2):
        raise ValueError(
            f"time_axis is {time_axis}; expected {_TIME_AXES}{shown_shape}. Axes are "
            "counted from the end, as a list of series has one less than an array of all."
        )
    for i, shape in enumerate(shapes):
        if len(shape) == 1 and shape[0]:
            new = "(1, -1)" if time_axis == -1 else "(-1, 1)"
            raise ValueError(
                f"set {i} of X has shape {shape}; expected 2-D arrays. Of series of one "
                f"channel: [np.reshape(x, {new}) for x in X]."
            )
    other_axis = -3 - time_axis
    lengths, channels = (
        {shape[axis] for shape in shapes if len(shape) == 2}
        for axis in (time_axis, other_axis)
    )
    if len(lengths) == 1 < len(channels):
        raise ValueError(
            f"time_axis is {time_axis}, and series of X have {min(channels)} to "
            f"{max(channels)} channels, and {lengths.pop()} time steps each; expected "
            f"time_axis={other_axis}."
        )


def _join_positions(positions, offsets):
    """The positions of all time steps, given for each series or once for all."""
    is_sequence = isinstance(positions, list | tuple)
    first = positions[0] if is_sequence and positions else positions
    if getattr(first, "ndim", 0) + is_sequence > 1 or isinstance(first, list | tuple):
        return join(positions, offsets, "positions")
    grid, lengths = as_floats(positions, "positions"), np.diff(offsets)
    longest = lengths.max(initial=0)
    if grid.ndim != 1 or len(grid) < longest:
        raise ValueError(
            f"positions has shape {grid.shape}; expected one entry a time step of the "
            f"longest series, {longest}, or an array for each series."
        )
    return np.concatenate([grid[:n] for n in lengths])


def warn_about_zeros(sets, time_axis):
    """Warn about zeros that look like padding, with the code that leaves them out."""
    code = "np.swapaxes(np.stack(X), 1, 2)" if time_axis == -1 else "np.stack(X)"
    warn_about_padding_of_equal_lengths(sets, "X", code)


def ends_without_padding(sets):
    """Where each series ends, if the steps of nothing but NaN at its end are left out."""
    real = np.flatnonzero(~np.isnan(sets.values).all(axis=1))
    n_before = np.searchsorted(real, sets.offsets[1:])
    last = np.concatenate([[-1], real])[n_before]
    return np.maximum(last + 1, sets.offsets[:-1])


def check_no_gaps_in_time(sets, X, time_axis):
    """Raise an error for NaN inside a series.

    Parameters
    ----------
    sets : SetCollection
        Without padding.
    X, time_axis
        What they were made of.
    """
    is_nan = np.isnan(sets.values)
    if not is_nan.any():
        return
    row, feature = np.argwhere(is_nan)[0]
    i, step = locate_element(row, sets.offsets)
    if sets.feature_names is not None:
        feature = repr(sets.feature_names[feature])
    what = (
        f"X contains NaN in set {i}{named(sets.names, i)} (element {step}, feature "
        f"{feature}), before its end; expected NaN at ends only, as padding"
    )
    steps_of_nan = is_nan.all(axis=1)
    if getattr(X, "ndim", 0) == 3 and steps_of_nan[sets.offsets[i]]:
        padded, channel_axis = _axes(time_axis)
        raise ValueError(
            f"{what}. To leave out steps of nothing but NaN, such as padding in front: "
            f"SetCollection.from_padded({padded}, "
            f"mask=~np.isnan(X).all(axis={channel_axis}))."
        )
    raise ValueError(
        f"{what}. To impute them by ElementTransformer(SimpleImputer()), keep them: "
        f"{_sets_with_nan(X, time_axis, steps_of_nan.any())}."
    )


def _axes(time_axis):
    """The code of an array with time before channels, and the axis that channels have."""
    return ("np.swapaxes(X, 1, 2)", 1) if time_axis == -1 else ("X", 2)


def _sets_with_nan(X, time_axis, has_steps_of_nan):
    """The code of sets that keep NaN."""
    if is_panel(X):
        table = "X.to_frame()" if X.ndim == 1 else "X"
        return f"SetCollection.from_groups({table}, X.index.droplevel(-1))"
    if getattr(X, "ndim", 0) == 3:  # steps of nothing but NaN at ends are padding, as here
        padded, channel_axis = _axes(time_axis)
        lengths = ""
        if has_steps_of_nan:  # inside of series
            known = f"(~np.isnan(X).all(axis={channel_axis}))"
            lengths = (
                f", lengths={known}.any(axis=1) * (X.shape[{time_axis}] - "
                f"{known}[:, ::-1].argmax(axis=1))"
            )
        return f"SetCollection.from_padded({padded}{lengths})"
    if hasattr(X, "iloc") and X.ndim == 2:
        series = "[np.column_stack(tuple(row)) for row in X.to_numpy()]"
    else:
        series = "[x.T for x in X]" if time_axis == -1 else "X"
    return f"SetCollection.from_sets({series})"
