"""`SetCollection`: sets packed into one array.

This is the gate: what passes here has proved offsets, shapes, one dtype and one memory
order, and the compiled kernels rely on it without looking again.
"""

import itertools

import numpy as np

from otk_sklearn._arrays import (
    as_array,
    as_elements,
    as_floats,
    as_rows,
    as_unmasked,
    check_elements,
)


class SetCollection:
    """Sets of vectors of varying size, packed into one array without padding.

    Set `i` is `values[offsets[i]:offsets[i + 1]]`. A collection can't be changed: what it
    hands out are views that are not writeable. It can be indexed, sliced, split and
    cross-validated by scikit-learn, and its weights and positions go along.

    Parameters
    ----------
    values : array-like of shape (n_elements, n_features)
        The elements of all sets, one set after the other. float32 stays float32,
        everything else becomes float64. An array that is already in this form is not
        copied.
    offsets : array-like of int of shape (n_sets + 1,)
        Where each set starts, and the last one ends: begins with 0, strictly increases
        and ends with `n_elements`. Copied, as int64.
    weights : array-like of shape (n_elements,), default=None
        Weight of each element within its set, non-negative, with a positive sum in every
        set. Only ratios within a set matter. None means equal weights.
    positions : array-like of shape (n_elements,) or (n_elements, n_axes), default=None
        Coordinates of each element on 1 or 2 axes.

    Attributes
    ----------
    values : ndarray of shape (n_elements, n_features)
    offsets : ndarray of int64 of shape (n_sets + 1,)
    weights : ndarray of float64 of shape (n_elements,) or None
    positions : ndarray of float64 of shape (n_elements, n_axes) or None

    Raises
    ------
    ValueError
        If offsets, weights or positions don't fit, a set is empty, or values are not
        real numbers. NaN and infinity among the values are left to the estimators, which
        refuse them: a collection may still be on its way through an imputer.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import SetCollection
    >>> sets = SetCollection(np.arange(10.0).reshape(5, 2), [0, 3, 5])
    >>> sets
    SetCollection(n_sets=2, n_elements=5, n_features=2, lengths 2 to 3, float64)
    >>> sets[1]
    array([[6., 7.],
           [8., 9.]])
    >>> sets[[1, 0, 1]].lengths
    array([2, 3, 2])
    """

    def __init__(self, values, offsets, *, weights=None, positions=None):
        self._values = as_elements(values).view()
        self._values.flags.writeable = False  # the caller's own array stays writeable
        self._offsets = _check_offsets(offsets, len(self._values))
        self._weights = self._positions = None
        if weights is not None:
            self._weights = _check_weights(weights, self._offsets)
        if positions is not None:
            self._positions = _check_positions(positions, self._offsets)

    @classmethod
    def _of_proved(cls, values, offsets, weights, positions):
        """A collection of parts of another one, which need no second proof."""
        sets = cls.__new__(cls)
        sets._values, sets._offsets = _read_only(values.view()), _frozen(offsets)
        sets._weights = None if weights is None else _read_only(weights)
        sets._positions = None if positions is None else _read_only(positions)
        return sets

    @classmethod
    def from_sets(cls, sets, *, weights=None, positions=None):
        """Pack a sequence of 2-D arrays.

        Parameters
        ----------
        sets : sequence of array-like of shape (n_elements_i, n_features)
            Copied once, into one array. A SetCollection is returned as it is.
        weights : sequence of array-like of shape (n_elements_i,), default=None
        positions : sequence of array-like of shape (n_elements_i,) or \
                (n_elements_i, n_axes), default=None

        Returns
        -------
        SetCollection

        Raises
        ------
        ValueError
            If there is no set, or one is empty, not 2-D, not numeric, or differs from
            the first in its number of features. The message names its index.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> SetCollection.from_sets([[[0, 1], [2, 3]], [[4, 5]]], weights=[[1, 3], [1]])
        SetCollection(n_sets=2, n_elements=3, n_features=2, lengths 1 to 2, float64, \
weights)
        """
        if isinstance(sets, SetCollection):
            if weights is not None or positions is not None:
                raise ValueError(
                    "sets is a SetCollection, which has weights and positions of its own; "
                    "expected neither besides."
                )
            return sets
        values, offsets = pack(sets, "sets")
        weights = None if weights is None else _join(weights, offsets, "weights")
        positions = None if positions is None else _join(positions, offsets, "positions")
        return cls(values, offsets, weights=weights, positions=positions)

    @classmethod
    def from_padded(cls, X, *, lengths=None, mask=None):
        """Take the elements out of a padded array.

        Parameters
        ----------
        X : array-like of shape (n_sets, max_length, n_features)
        lengths : array-like of int of shape (n_sets,), default=None
            The first `lengths[i]` rows of `X[i]` are its elements.
        mask : array-like of bool of shape (n_sets, max_length), default=None
            True where a row is an element.
            Without `lengths` and `mask`, a row is padding where all of it is NaN.

        Returns
        -------
        SetCollection

        Raises
        ------
        ValueError
            If both `lengths` and `mask` are given, shapes don't fit, or a set is empty.

        Examples
        --------
        >>> import numpy as np
        >>> from otk_sklearn import SetCollection
        >>> padded = np.arange(12.0).reshape(2, 3, 2)
        >>> SetCollection.from_padded(padded, lengths=[1, 3])
        SetCollection(n_sets=2, n_elements=4, n_features=2, lengths 1 to 3, float64)
        """
        X = as_array(X, "X")
        if X.ndim != 3:
            raise ValueError(
                f"X has shape {X.shape}; expected (n_sets, max_length, n_features)."
            )
        X = as_floats(X, "X")
        if lengths is not None and mask is not None:
            raise ValueError("Both lengths and mask are given; expected at most one.")
        if lengths is not None:
            mask = _mask_from_lengths(lengths, X.shape)
        elif mask is None:
            mask = ~np.isnan(X).all(axis=2)
        mask = as_unmasked(mask, "mask")
        if mask.shape != X.shape[:2] or mask.dtype != bool:
            raise ValueError(
                f"mask is {mask.dtype} of shape {mask.shape}; expected bool of shape "
                f"{X.shape[:2]}."
            )
        empty = np.flatnonzero(~mask.any(axis=1))
        if len(empty):
            raise ValueError(
                f"set {empty[0]} of X is empty: all of its rows are padding; expected at "
                "least one element."
            )
        return cls(X[mask], offsets_of(mask.sum(axis=1)))

    @classmethod
    def from_groups(cls, values, groups, *, weights=None, positions=None):
        """Make a set of the rows of each group of a long table.

        Sets come in the order in which their groups first appear (that of
        `pandas.unique(groups)`), and rows keep their order within a set.

        Parameters
        ----------
        values : array-like or DataFrame of shape (n_elements, n_features)
        groups : array-like of shape (n_elements,)
            The set that each row belongs to: any labels that can be sorted.
        weights : array-like of shape (n_elements,), default=None
        positions : array-like of shape (n_elements,) or (n_elements, n_axes), \
                default=None

        Returns
        -------
        SetCollection

        Raises
        ------
        ValueError
            If `groups` doesn't have one label a row, or a label is missing.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> sets = SetCollection.from_groups([[1], [2], [3]], ["b", "a", "b"])
        >>> [elements.ravel().tolist() for elements in sets]
        [[1.0, 3.0], [2.0]]
        """
        values = as_elements(values)
        order, lengths = _group_rows(groups, len(values))
        if weights is not None:
            weights = as_rows(weights, len(values), "weights")[order]
        if positions is not None:
            positions = as_rows(positions, len(values), "positions")[order]
        return cls(values[order], offsets_of(lengths), weights=weights, positions=positions)

    @property
    def values(self):
        """Elements of all sets, one set after the other."""
        return self._values.view()

    @property
    def offsets(self):
        """Where each set starts, and the last one ends."""
        return self._offsets.view()

    @property
    def weights(self):
        """Weights of the elements, as given, or None."""
        return None if self._weights is None else self._weights.view()

    @property
    def positions(self):
        """Coordinates of the elements, or None."""
        return None if self._positions is None else self._positions.view()

    @property
    def shape(self):
        """`(n_sets,)`: to scikit-learn, a collection is a 1-D array of samples."""
        return (len(self),)

    @property
    def dtype(self):
        """Of the values: float32 or float64."""
        return self._values.dtype

    @property
    def n_features(self):
        """Length of each element."""
        return self._values.shape[1]

    @property
    def lengths(self):
        """Number of elements of each set."""
        return np.diff(self._offsets)

    @property
    def masses(self):
        """Masses of the elements: weights made to sum to 1 in each set."""
        return masses_of(self._weights, self._offsets)

    def astype(self, dtype):
        """Return this collection with its values as float32 or float64."""
        return self.with_values(self._values.astype(dtype, copy=False))

    def with_values(self, values):
        """Return a collection of the same sets with other elements.

        Parameters
        ----------
        values : array-like of shape (n_elements, n_features_new)

        Returns
        -------
        SetCollection
        """
        values = as_elements(values)
        if len(values) != len(self._values):
            raise ValueError(
                f"values has {len(values)} rows; expected one an element, "
                f"{len(self._values)}."
            )
        return self._of_proved(values, self._offsets, self._weights, self._positions)

    def __len__(self):
        return len(self._offsets) - 1

    def __iter__(self):
        for start, stop in itertools.pairwise(self._offsets):
            yield self._values[start:stop]

    def __getitem__(self, index):
        if isinstance(index, slice):
            index = range(len(self))[index]
            if index.step == 1 and len(index):
                return self._span(index.start, index.stop)
        chosen = np.arange(len(self))[index]  # scikit-learn asks for X[index, ...]
        if chosen.ndim == 0:
            return self._values[self._offsets[chosen] : self._offsets[chosen + 1]]
        if chosen.ndim > 1:
            raise IndexError(
                f"SetCollection has 1 dimension; the index gave {chosen.ndim}."
            )
        if len(chosen) and (np.diff(chosen) == 1).all():
            return self._span(chosen[0], chosen[-1] + 1)
        starts = self._offsets[chosen]
        lengths = self._offsets[chosen + 1] - starts
        offsets = offsets_of(lengths)
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return self._rows(rows, offsets)

    def _span(self, start, stop):
        """The sets from `start` to before `stop`, as views."""
        offsets = self._offsets[start : stop + 1]
        return self._rows(slice(offsets[0], offsets[-1]), offsets - offsets[0])

    def _rows(self, rows, offsets):
        return self._of_proved(
            self._values[rows],
            offsets,
            None if self._weights is None else self._weights[rows],
            None if self._positions is None else self._positions[rows],
        )

    def __repr__(self):
        facts = [
            f"n_sets={len(self)}",
            f"n_elements={len(self._values)}",
            f"n_features={self.n_features}",
        ]
        if len(self):
            facts.append(f"lengths {self.lengths.min()} to {self.lengths.max()}")
        facts.append(str(self.dtype))
        facts += ["weights"] * (self._weights is not None)
        facts += ["positions"] * (self._positions is not None)
        return f"SetCollection({', '.join(facts)})"

    def __reduce__(self):
        # Through the constructor: what comes out of a file is proved again.
        return _rebuild, (self._values, self._offsets, self._weights, self._positions)


def _rebuild(values, offsets, weights, positions):
    return SetCollection(values, offsets, weights=weights, positions=positions)


def offsets_of(lengths):
    """Offsets of sets of these lengths, one after the other."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def masses_of(weights, offsets):
    """Weights (None: equal ones) made to sum to 1 in each set."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    if weights is None:
        return np.repeat(1.0 / lengths, lengths)
    # By the largest first: neither tiny nor huge weights leave the range of floats.
    heaviest = np.maximum.reduceat(weights, starts)
    masses = weights / np.repeat(heaviest, lengths)
    masses /= np.repeat(np.add.reduceat(masses, starts), lengths)
    return masses


def locate(row, offsets):
    """Return the set that a row of all elements belongs to, and its index there."""
    i = np.searchsorted(offsets, row, side="right") - 1
    return i, row - offsets[i]


def pack(sets, name):
    """Copy a sequence of sets into one array; return it and the offsets.

    Parameters
    ----------
    sets : sequence of array-like of shape (n_elements_i, n_features)
    name : str
        What errors call the sequence.
    """
    sets = list(sets)
    if not sets:
        raise ValueError(f"{name} is an empty collection; expected at least one set.")
    arrays = [check_elements(x, f"set {i} of {name}") for i, x in enumerate(sets)]
    for i, array in enumerate(arrays):
        if len(array) == 0:
            raise ValueError(f"set {i} of {name} is empty; expected at least one element.")
        if array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"set {i} of {name} has {array.shape[1]} features, set 0 has "
                f"{arrays[0].shape[1]}; expected the same number in every set."
            )
        columns = list(getattr(sets[i], "columns", []))
        if columns != list(getattr(sets[0], "columns", [])):
            raise ValueError(
                f"set {i} of {name} has the columns {columns}, set 0 has "
                f"{list(getattr(sets[0], 'columns', []))}; expected the same in every set."
            )
    offsets = offsets_of([len(array) for array in arrays])
    single = all(array.dtype == np.float32 for array in arrays)
    dtype = np.float32 if single else np.float64
    values = np.empty((offsets[-1], arrays[0].shape[1]), dtype)
    for i, array in enumerate(arrays):
        values[offsets[i] : offsets[i + 1]] = (
            as_floats(array, f"set {i} of {name}") if array.dtype == object else array
        )
    return values, offsets


def _read_only(array):
    array.flags.writeable = False
    return array


def _frozen(offsets):
    """Return a copy that can't be made writeable again: kernels' safety rests on it."""
    return np.frombuffer(offsets.tobytes(), np.int64)


def _check_offsets(offsets, n_elements):
    given = as_unmasked(offsets, "offsets")
    if given.ndim != 1 or len(given) == 0 or given.dtype.kind not in "iu":
        raise ValueError(
            f"offsets is {given.dtype} of shape {given.shape}; expected integers of shape "
            "(n_sets + 1,)."
        )
    offsets = given.astype(np.int64)  # a copy: what is proved is ours alone
    if offsets[0] != 0 or offsets[-1] != n_elements:
        raise ValueError(
            f"offsets runs from {given[0]} to {given[-1]}; expected from 0 to the number "
            f"of elements, {n_elements}."
        )
    wrong = np.flatnonzero(offsets[1:] <= offsets[:-1])  # differences could overflow
    if len(wrong):
        i = wrong[0]
        raise ValueError(
            f"set {i} is empty: offsets goes from {given[i]} to {given[i + 1]}; expected "
            "strictly increasing offsets, each set having at least one element."
        )
    return _frozen(offsets)


def _check_weights(weights, offsets):
    weights = np.array(as_rows(weights, offsets[-1], "weights"), dtype=np.float64)
    if weights.ndim != 1:
        raise ValueError(
            f"weights has shape {weights.shape}; expected ({offsets[-1]},): one an element."
        )
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        i, element = locate(wrong[0], offsets)
        raise ValueError(
            f"weights has {weights[wrong[0]]} in set {i} (element {element}); expected "
            "finite, non-negative weights."
        )
    if len(weights):
        zero = np.flatnonzero(np.maximum.reduceat(weights, offsets[:-1]) == 0)
        if len(zero):
            raise ValueError(
                f"weights of set {zero[0]} are all zero; expected a positive sum."
            )
    return _read_only(weights)


def _check_positions(positions, offsets):
    n_elements = offsets[-1]
    positions = np.array(as_rows(positions, n_elements, "positions"), dtype=np.float64)
    if positions.ndim == 1:
        positions = positions[:, np.newaxis]
    if positions.ndim != 2 or positions.shape[1] not in (1, 2):
        raise ValueError(
            f"positions has shape {positions.shape}; expected ({n_elements}, n_axes), on "
            "1 or 2 axes."
        )
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(wrong):
        i, element = locate(wrong[0], offsets)
        raise ValueError(
            f"positions has NaN or infinity in set {i} (element {element}); expected "
            "finite coordinates."
        )
    return _read_only(positions)


def _join(parts, offsets, name):
    """Concatenate what is given set by set."""
    parts = list(parts)
    lengths = np.diff(offsets)
    if len(parts) != len(lengths):
        raise ValueError(f"{name} is given for {len(parts)} of {len(lengths)} sets.")
    rows = [as_rows(part, lengths[i], f"{name} of set {i}") for i, part in enumerate(parts)]
    for i, row in enumerate(rows):
        if row.shape[1:] != rows[0].shape[1:]:
            raise ValueError(
                f"{name} of set {i} has shape {row.shape}, that of set 0 {rows[0].shape}; "
                "expected the same number of axes."
            )
    return np.concatenate(rows)


def _mask_from_lengths(lengths, shape):
    lengths = as_unmasked(lengths, "lengths")
    if lengths.shape != shape[:1] or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"lengths is {lengths.dtype} of shape {lengths.shape}; expected integers of "
            f"shape {shape[:1]}."
        )
    wrong = np.flatnonzero((lengths < 1) | (lengths > shape[1]))
    if len(wrong):
        raise ValueError(
            f"lengths of set {wrong[0]} is {lengths[wrong[0]]}; expected 1 to {shape[1]}."
        )
    return np.arange(shape[1]) < lengths[:, np.newaxis]


def _group_rows(groups, n_rows):
    """Return the index that brings groups together, and their sizes."""
    groups = as_unmasked(groups, "groups")
    if groups.shape != (n_rows,):
        raise ValueError(
            f"groups has shape {groups.shape}; expected one label a row, ({n_rows},)."
        )
    try:
        missing = np.equal(groups, None) | (groups != groups)
        if np.any(missing):
            raise ValueError(
                f"groups has no label in row {np.flatnonzero(missing)[0]}; expected one "
                "for every row."
            )
        _, first, label, lengths = np.unique(
            groups, return_index=True, return_inverse=True, return_counts=True
        )
    except TypeError as error:
        raise ValueError(
            f"groups holds labels that can't be compared: {error}; expected labels that "
            "can be sorted, and none missing."
        ) from error
    by_appearance = np.argsort(first)
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(first))
    rank = rank[label]
    if (np.diff(rank) >= 0).all():
        return slice(None), lengths[by_appearance]  # together already: no copy
    return np.argsort(rank, kind="stable"), lengths[by_appearance]
