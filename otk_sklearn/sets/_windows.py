"""Sliding windows over the rows of each set, as in a convolution."""

import math
from dataclasses import dataclass

import numpy as np

from otk_sklearn._compiled.features import copy_windows
from otk_sklearn._utils.chunks import batches_of
from otk_sklearn.sets._computed_values import ComputedValues
from otk_sklearn.sets._offsets import masses_of, offsets_of

# Rows gathered at a time to average the weights and positions of windows.
_MAX_BATCH_ROWS = 2**17


def windows_of(sets, filter_size, padding):
    """Return the windows of the sets as sets: the sets themselves if filter_size is 1.

    Parameters
    ----------
    sets : SetCollection
    filter_size : int
        Rows of a window.
    padding : {"valid", "same"}

    Returns
    -------
    SetCollection or WindowedSets
    """
    if filter_size == 1:
        return sets
    check_no_gaps(sets, "filter_size", filter_size)
    return WindowedSets(sets, filter_size, padding)


def check_no_gaps(sets, parameter, value):
    """Raise an error if these are samples of sets, in which neighbours are missing."""
    if sets.has_gaps:
        raise ValueError(
            f"X has only some of the elements of some sets, and {parameter}={value} needs "
            f"neighbours; expected SetSampler(filter_size={value}) to sample them."
        )


def window_attributes(filter_size, padding):
    """Return the fitted attributes of an estimator that has learned from such windows."""
    return {"_windows": {"filter_size": filter_size, "padding": padding}}


def window_parameters(model):
    """Return `filter_size` and `padding` at the time of the fit, which may have changed."""
    return model._windows


def fitted_windows(model, sets):
    """Return the windows of sets for a fitted estimator, as `windows_of` does."""
    return windows_of(sets, **window_parameters(model))


def values_of(sets, rows, buffers):
    """Return the values of a slice of elements, which the next call may overwrite.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
    rows : slice
    buffers : Buffers
        Where windows are written.
    """
    if not isinstance(sets, WindowedSets):
        return sets.values[rows]
    shape = rows.stop - rows.start, sets.values.shape[1]
    return sets.values.take(
        np.arange(rows.start, rows.stop), buffers.empty("windows", shape, sets.dtype)
    )


def filter_windows(offsets, filter_size, padding):
    """Return the windows of sets whose rows start at these offsets, as `Windows`."""
    lengths, front = np.diff(offsets), (filter_size - 1) // 2
    if padding == "valid":
        whole = np.maximum(lengths - filter_size + 1, 1)
        lengths, front = np.where(lengths > 0, whole, 0), 0
    return Windows(offsets, offsets_of(lengths), filter_size, front)


def subsampling_windows(offsets, subsampling):
    """Return the windows that subsampling averages, and the taps of its Gaussian filter.

    Parameters
    ----------
    offsets : ndarray of int of shape (n_sets + 1,)
    subsampling : int
        Stride: one of this many rows is kept.

    Returns
    -------
    windows : Windows
    taps : ndarray of shape (2 * subsampling - 1,)
    """
    taps = gaussian_taps(subsampling)
    kept = offsets_of(-(-np.diff(offsets) // subsampling))
    front = subsampling - 1
    return Windows(offsets, kept, len(taps), front, stride=subsampling), taps


def gaussian_taps(subsampling):
    """Return the filter that subsampling averages by, of `2 subsampling - 1` taps."""
    reach = subsampling - 1
    deviation = max(reach, 1) / math.sqrt(2)
    taps = np.exp(-((np.arange(-reach, reach + 1) / deviation) ** 2) / 2)
    return taps / taps.sum()


@dataclass(frozen=True, eq=False)
class Windows:
    """Locations of the windows of each set, which is padded with zeros at its ends.

    Parameters
    ----------
    row_offsets : ndarray of int of shape (n_sets + 1,)
        Where the rows of each set start.
    offsets : ndarray of int of shape (n_sets + 1,)
        Where the windows of each set start.
    size : int
        Rows of a window.
    front : int
        Rows of zeros in front of a set.
    stride : int
        Rows from one window to the next.
    """

    row_offsets: np.ndarray
    offsets: np.ndarray
    size: int
    front: int
    stride: int = 1

    def bounds(self, windows):
        """First row of each window, and where the rows of its set start and stop."""
        s = np.searchsorted(self.offsets, windows, side="right") - 1
        start, stop = self.row_offsets[s], self.row_offsets[s + 1]
        first = start + (windows - self.offsets[s]) * self.stride - self.front
        return first, start, stop

    def rows(self, windows):
        """Row indices, of shape (n_windows, size), and a mask that is False for padding."""
        first, start, stop = self.bounds(windows)
        rows = first[:, np.newaxis] + np.arange(self.size)
        real = (rows >= start[:, np.newaxis]) & (rows < stop[:, np.newaxis])
        return rows, real

    def means(self, columns, taps):
        """Means of each column over the rows of each window, without padding.

        Parameters
        ----------
        columns : ndarray of shape (n_rows, n_columns)
        taps : ndarray of shape (size,)
            Weights of the rows of a window.

        Returns
        -------
        ndarray of shape (n_windows, n_columns)
        """
        means = np.empty((self.offsets[-1], columns.shape[1]))
        for batch in batches_of(len(means), max(1, _MAX_BATCH_ROWS // self.size)):
            rows, real = self.rows(np.arange(batch.start, batch.stop))
            weights = np.where(real, taps, 0.0)
            weights /= weights.sum(axis=1, keepdims=True)
            taken = columns.take(rows, axis=0, mode="clip")
            means[batch] = np.einsum("wt,wtc->wc", weights, taken)
        return means

    def distribute_to_rows(self, columns, taps):
        """Distribute values of windows to their rows: the transpose (adjoint) of `means`.

        Parameters
        ----------
        columns : ndarray of shape (n_windows, n_columns)
        taps : ndarray of shape (size,)
            Weights of the rows of a window.

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
        """
        shares = np.zeros((self.row_offsets[-1], columns.shape[1]))
        for batch in batches_of(len(columns), max(1, _MAX_BATCH_ROWS // self.size)):
            rows, real = self.rows(np.arange(batch.start, batch.stop))
            weights = np.where(real, taps, 0.0)
            weights /= weights.sum(axis=1, keepdims=True)
            for row, is_real, weight in zip(rows.T, real.T, weights.T):
                # The same tap of different windows: no row of the sets occurs twice.
                part = columns[batch][is_real] * weight[is_real, np.newaxis]
                shares[row[is_real]] += part
        return shares


class WindowedSets:
    """Sets whose elements are windows of the rows of other sets, computed on demand.

    Implements the part of the interface of `SetCollection` that matching needs. A window is
    flattened row by row. Its mass and position are the means over its rows without padding,
    and masses are normalized to sum to 1 in each set.

    Parameters
    ----------
    sets : SetCollection
    filter_size : int
    padding : {"valid", "same"}
        "valid" keeps the windows without padding, or one padded window of a set that is
        shorter than them. "same" keeps as many windows as there are rows, padded with
        `(filter_size - 1) // 2` rows in front and the rest behind.

    Attributes
    ----------
    rows : SetCollection
        The sets of rows.
    windows : Windows
    taps : ndarray of shape (filter_size,)
        Weights of the rows of a window in the means of masses and positions: all 1.
    """

    def __init__(self, sets, filter_size, padding):
        self.rows, self._filter_size, self._padding = sets, filter_size, padding
        self.windows = filter_windows(sets.offsets, filter_size, padding)
        self.taps = np.ones(filter_size)
        self.values = WindowValues(sets.values, self.windows)

    @property
    def offsets(self):
        """Where the windows of each set start, and those of the last one end."""
        return self.windows.offsets

    @property
    def lengths(self):
        """Number of windows of each set."""
        return np.diff(self.offsets)

    @property
    def dtype(self):
        """Data type of the values."""
        return self.rows.dtype

    @property
    def masses(self):
        """Masses of the windows, which sum to 1 in each set."""
        if self.rows.weights is None:
            return masses_of(None, self.offsets)
        masses = self.rows.masses[:, np.newaxis]
        means = self.windows.means(masses, self.taps)[:, 0]
        return masses_of(means, self.offsets)

    @property
    def positions(self):
        """Coordinates of the windows, or None if the sets have no positions."""
        if self.rows.positions is None:
            return None
        return self.windows.means(self.rows.positions, self.taps)

    def astype(self, dtype):
        """Return these windows with their values as float32 or float64."""
        return WindowedSets(self.rows.astype(dtype), self._filter_size, self._padding)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return WindowedSets(self.rows[index], self._filter_size, self._padding)


class WindowValues:
    """A lazy array of windows, computed when indexed."""

    def __init__(self, values, windows):
        self._values, self._windows = values, windows
        self.shape = (int(windows.offsets[-1]), windows.size * values.shape[1])

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        return self.take(index, np.empty((len(index), self.shape[1]), self._values.dtype))

    def take(self, index, out):
        """Write the windows with these indices to `out`, and return it."""
        windows = out.reshape(len(out), self._windows.size, self._values.shape[1])
        if not isinstance(self._values, ComputedValues):
            copy_windows(self._values, *self._windows.bounds(index), windows)
            return out
        for batch in batches_of(len(index), self._batch_windows):
            self._compute(index[batch], windows[batch])
        return out

    @property
    def _batch_windows(self):
        return max(1, _MAX_BATCH_ROWS // (self._windows.size * self._values.shape[1]))

    def _compute(self, index, windows):
        """Write windows of rows that are computed: each row once."""
        first, starts, stops = self._windows.bounds(index)
        starts = np.maximum(first, starts)  # of the rows in the window
        stops = np.minimum(first + self._windows.size, stops)
        rows = offsets_of(stops - starts)
        rows = np.arange(rows[-1]) - np.repeat(rows[:-1] - starts, stops - starts)
        rows = np.unique(rows)
        # Where they are among the rows that are computed.
        moved = np.searchsorted(rows, starts) - starts
        bounds = first + moved, starts + moved, stops + moved
        copy_windows(self._values[rows], *bounds, windows)
