"""Elements that are computed from others, some at a time, when they are needed."""

import functools
import math
import threading

import numpy as np

from otk_sklearn._utils.chunks import batches_of, chunk_rows
from otk_sklearn.sets._arrays import as_elements, float_dtype
from otk_sklearn.sets._offsets import read_only

# Values of at most so many bytes are computed at once: nothing is gained by waiting.
MAX_COMPUTED_BYTES = 2**24


class ComputedValues:
    """A lazy array: a function of each row of another array, computed when indexed.

    Parameters
    ----------
    inputs : ndarray of shape (n_rows, n_inputs) or ComputedValues
        Not copied.
    function : callable
        Maps some of these rows, in any order, to an array of floats in C order with as many
        rows. A row must not depend on others. It is called from several threads at a time.
    n_features : int
        Number of columns of the result.
    dtype : dtype
        That of the result: float32 or float64.
    """

    def __init__(self, inputs, function, n_features, dtype):
        self._inputs, self._function = inputs, function
        self.shape, self.dtype = (len(inputs), n_features), np.dtype(dtype)
        self._block_rows = chunk_rows(max(n_features, inputs.shape[1]))
        self._last = threading.local()  # the block that single sets were last read from

    @property
    def nbytes(self):
        """Bytes that all values would take."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        """Compute rows, given a slice or an array of integers or booleans."""
        if isinstance(index, slice):
            rows = range(len(self))[index]
            if rows.step == 1:
                return self._slice(rows.start, rows.stop)
        else:
            rows = np.asarray(index)
            rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        rows = np.asarray(rows, np.int64)
        return self._in_blocks(len(rows), lambda batch: rows[batch])

    def take(self, index):
        """Return the rows at a slice or array of integers: lazily, unless they are few."""
        rows = range(len(self))[index] if isinstance(index, slice) else index
        if len(rows) * self.shape[1] * self.dtype.itemsize <= MAX_COMPUTED_BYTES:
            return self[index]
        return ComputedValues(
            take_values(self._inputs, index), self._function, self.shape[1], self.dtype
        )

    def astype(self, dtype, copy=True):
        """Return the values as float32 or float64, computed when indexed."""
        if np.dtype(dtype) == self.dtype and not copy:
            return self
        return ComputedValues(
            self,
            lambda values: as_elements(values.astype(dtype)),
            self.shape[1],
            float_dtype(np.dtype(dtype)),
        )

    @functools.cached_property
    def are_finite(self):
        """Whether all values are finite: computed once for fit and transform."""
        return first_not_finite(self) is None

    def _slice(self, start, stop):
        """Compute consecutive rows: of one set after the other, in one go for many sets."""
        if not start < stop:
            return np.empty((0, self.shape[1]), self.dtype)
        if stop - start > self._block_rows // 4:
            return self._in_blocks(
                stop - start, lambda rows: slice(start + rows.start, start + rows.stop)
            )
        first, last, block = getattr(self._last, "block", (0, 0, None))
        if not first <= start < stop <= last:
            first, last = start, min(start + self._block_rows, len(self))
            block = self._compute(slice(first, last))
            self._last.block = first, last, block
        return block[start - first : stop - first]

    def _in_blocks(self, n_rows, index_of):
        if 0 < n_rows <= self._block_rows:
            return self._compute(index_of(slice(0, n_rows)))
        values = np.empty((n_rows, self.shape[1]), self.dtype)
        for rows in batches_of(n_rows, self._block_rows):
            values[rows] = self._compute(index_of(rows))
        return read_only(values)

    def _compute(self, index):
        with np.errstate(all="ignore"):  # what overflows is found by those who read it
            values = self._function(self._inputs[index])
        return read_only(values.view())


def take_values(values, index):
    """Return rows of an array, or of `ComputedValues`, which stay lazy if they are many."""
    return values.take(index) if isinstance(values, ComputedValues) else values[index]


def all_finite(values):
    """Whether all numbers are finite.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns) or ComputedValues
    """
    if isinstance(values, ComputedValues):
        return values.are_finite
    return first_not_finite(values) is None


def first_not_finite(values):
    """Return the row, the column and the value of the first NaN or infinity, or None.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns) or ComputedValues
    """
    n_rows = chunk_rows(values.shape[1])
    with np.errstate(all="ignore"):
        for rows in batches_of(len(values), n_rows):
            block = values[rows]
            # All are if their sum is, which takes no memory.
            if np.isfinite(block.sum()):
                continue
            wrong = np.argwhere(~np.isfinite(block))
            if len(wrong):
                row, column = wrong[0]
                return rows.start + row, column, block[row, column]
    return None
