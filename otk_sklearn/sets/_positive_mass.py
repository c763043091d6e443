"""What is absent: elements of mass 0, and sets without elements."""

import numpy as np

from otk_sklearn.sets._positions import element_positions
from otk_sklearn.sets._windows import WindowedSets, windows_of

# Weights whose ratio is larger are normalized to positive masses, without underflow.
_MIN_RATIO = 1e-290


def with_positive_mass(sets):
    """Return the sets without elements of mass 0, before these enter any computation.

    Multiplying by a mass of 0 would not be enough: an element may overflow, decide on the
    precision or the range that its set is computed in, or come first in an order.

    Parameters
    ----------
    sets : SetCollection, WindowedSets or SetsOfPositiveMass

    Returns
    -------
    sets : SetCollection, WindowedSets or SetsOfPositiveMass
        The same object if all elements have a positive mass.
    kept : slice or ndarray of int
        The elements that are left.
    """
    everything = sets, slice(None)
    if isinstance(sets, SetsOfPositiveMass) or not _may_have_zero_mass(sets):
        return everything
    masses = sets.masses
    kept = np.flatnonzero(masses)
    if len(kept) == len(masses):
        return everything
    return SetsOfPositiveMass(sets, kept, masses[kept]), kept


def without_empty_sets(sets):
    """Return the sets that have elements, and a function that spreads their results.

    Parameters
    ----------
    sets : SetCollection, WindowedSets or SetsOfPositiveMass

    Returns
    -------
    sets : SetCollection, WindowedSets or SetsOfPositiveMass
        The same object if no set is empty.
    spread : callable
        Maps an array with a row for each of these sets to one with a row for each of all
        sets: 0 for those that are empty.
    """
    present, n_sets = np.flatnonzero(sets.lengths), len(sets)
    if len(present) == n_sets:
        return sets, lambda rows: rows

    def spread(rows):
        of_all = np.zeros((n_sets, *rows.shape[1:]), rows.dtype)
        of_all[present] = rows
        return of_all

    return sets[present], spread


def rows_with_effect(sets, filter_size, padding):
    """Rows that belong to an element (or window) of positive mass, or None for all rows.

    Parameters
    ----------
    sets : SetCollection
    filter_size, padding
        As in `windows_of`.

    Returns
    -------
    ndarray of bool of shape (n_rows,) or None
    """
    if not _may_have_zero_mass(sets):
        return None
    windows = windows_of(sets, filter_size, padding)
    has_mass = windows.masses > 0
    if windows is not sets:
        shares = has_mass[:, np.newaxis].astype(np.float64)
        has_mass = windows.windows.distribute_to_rows(shares, windows.taps)[:, 0] > 0
    return None if has_mass.all() else has_mass


def _may_have_zero_mass(sets):
    """Whether elements or windows may have mass 0: a test that takes little time."""
    weights = (sets.rows if isinstance(sets, WindowedSets) else sets).weights
    if weights is None or not len(weights):
        return False
    return bool(weights.min() <= _MIN_RATIO * weights.max())


class SetsOfPositiveMass:
    """Sets without the elements (or windows) of mass 0 of other sets, gathered on demand.

    Implements the part of the interface of `SetCollection` that embeddings need. Default
    positions are those in the other sets.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
    kept : ndarray of int of shape (n_kept,)
        The elements of positive mass.
    masses : ndarray of shape (n_kept,)
        Theirs.

    Attributes
    ----------
    offsets : ndarray of int of shape (n_sets + 1,)
        Where the elements of each set start, and those of the last one end.
    values : lazy array of shape (n_kept, n_features)
    masses : ndarray of shape (n_kept,)
    """

    def __init__(self, sets, kept, masses):
        self._sets, self._kept, self.masses = sets, kept, masses
        self.offsets = np.searchsorted(kept, sets.offsets)
        self.values = _KeptValues(sets.values, kept)

    @property
    def lengths(self):
        """Number of elements of each set."""
        return np.diff(self.offsets)

    @property
    def dtype(self):
        """Data type of the values."""
        return self._sets.dtype

    @property
    def weights(self):
        """Weights of the elements, of a `SetCollection`."""
        return self._sets.weights[self._kept]

    @property
    def positions(self):
        """Coordinates of the elements."""
        return element_positions(self._sets)[self._kept]

    def astype(self, dtype):
        """Return these sets with their values as float32 or float64."""
        return SetsOfPositiveMass(self._sets.astype(dtype), self._kept, self.masses)

    def __len__(self):
        return len(self._sets)

    def __getitem__(self, index):
        return with_positive_mass(self._sets[index])[0]


class _KeptValues:
    """A lazy array of some of the rows of another array, gathered when indexed."""

    def __init__(self, values, kept):
        self._values, self._kept = values, kept
        self.shape = len(kept), values.shape[1]

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        return self._values[self._kept[index]]
