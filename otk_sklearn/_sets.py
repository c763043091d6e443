"""`SetCollection`, and the one function that turns any accepted input into it.

This is the gate: what passes here has proved offsets, shapes, one dtype and one memory
order, and the compiled kernels rely on it without looking again.
"""

import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.validation import check_is_fitted, validate_data


class SetCollection:
    """Sets of vectors of varying size, packed into one array without padding.

    Set `i` is `values[offsets[i]:offsets[i + 1]]`. A collection can't be changed: its
    arrays are not writeable. It can be indexed, sliced, split and cross-validated by
    scikit-learn, and its weights and positions go along.

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
        self._values = _read_only(_as_elements(values, "values"))
        self._offsets = _read_only(_check_offsets(offsets, len(self._values)))
        self._weights = self._positions = None
        if weights is not None:
            self._weights = _read_only(_check_weights(weights, self._offsets))
        if positions is not None:
            self._positions = _read_only(_check_positions(positions, len(self._values)))

    @classmethod
    def from_sets(cls, sets, *, weights=None, positions=None):
        """Pack a sequence of 2-D arrays.

        Parameters
        ----------
        sets : sequence of array-like of shape (n_elements_i, n_features)
            Copied once, into one array.
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
        values, lengths = _pack(sets, "sets")
        return cls(
            values,
            np.concatenate([[0], np.cumsum(lengths)]),
            weights=_join(weights, lengths, "weights"),
            positions=_join(positions, lengths, "positions"),
        )

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
        X = np.asarray(X)
        if X.ndim != 3:
            raise ValueError(
                f"X has shape {X.shape}; expected (n_sets, max_length, n_features)."
            )
        X = _as_numeric(X, "X")
        if lengths is not None and mask is not None:
            raise ValueError("Both lengths and mask are given; expected at most one.")
        if lengths is not None:
            mask = _mask_from_lengths(lengths, X.shape)
        elif mask is None:
            mask = ~np.isnan(X).all(axis=2)
        mask = np.asarray(mask)
        if mask.shape != X.shape[:2] or mask.dtype != bool:
            raise ValueError(
                f"mask is {mask.dtype} of shape {mask.shape}; expected bool of shape "
                f"{X.shape[:2]}."
            )
        return cls(X[mask], np.concatenate([[0], np.cumsum(mask.sum(axis=1))]))

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
        values = _as_elements(values, "values")
        order, lengths = _group_rows(groups, len(values))
        if order is not None:  # the rows of some group are not together
            values = values[order]
            weights = weights if weights is None else np.asarray(weights)[order]
            positions = positions if positions is None else np.asarray(positions)[order]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return cls(values, offsets, weights=weights, positions=positions)

    @property
    def values(self):
        """Elements of all sets, one set after the other."""
        return self._values

    @property
    def offsets(self):
        """Where each set starts, and the last one ends."""
        return self._offsets

    @property
    def weights(self):
        """Weights of the elements, as given, or None."""
        return self._weights

    @property
    def positions(self):
        """Coordinates of the elements, or None."""
        return self._positions

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
        starts, lengths = self._offsets[:-1], self.lengths
        if self._weights is None:
            return np.repeat(1.0 / lengths, lengths)
        # By the largest first: neither tiny nor huge weights leave the range of floats.
        heaviest = np.maximum.reduceat(self._weights, starts)
        masses = self._weights / np.repeat(heaviest, lengths)
        return masses / np.repeat(np.add.reduceat(masses, starts), lengths)

    def astype(self, dtype):
        """Return this collection with its values as float32 or float64."""
        return SetCollection(
            self._values.astype(dtype, copy=False),
            self._offsets,
            weights=self._weights,
            positions=self._positions,
        )

    def with_values(self, values):
        """Return a collection of the same sets whose elements are the rows of `values`."""
        return SetCollection(
            values, self._offsets, weights=self._weights, positions=self._positions
        )

    def __len__(self):
        return len(self._offsets) - 1

    def __iter__(self):
        for start, stop in zip(self._offsets[:-1], self._offsets[1:]):
            yield self._values[start:stop]

    def __getitem__(self, index):
        if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:
            index = index[0]  # scikit-learn asks for X[index, ...]
        if isinstance(index, slice):
            index = range(len(self))[index]
            if index.step == 1 and len(index):
                return self._span(index.start, index.stop)
        chosen = np.arange(len(self))[index]
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
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return self._rows(rows, offsets)

    def _span(self, start, stop):
        """The sets from `start` to before `stop`, as views."""
        offsets = self._offsets[start : stop + 1]
        return self._rows(slice(offsets[0], offsets[-1]), offsets - offsets[0])

    def _rows(self, rows, offsets):
        return SetCollection(
            self._values[rows],
            offsets,
            weights=None if self._weights is None else self._weights[rows],
            positions=None if self._positions is None else self._positions[rows],
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


def as_sets(X, *, explain_rows=True):
    """Turn any accepted input into a `SetCollection`, with one copy at most.

    Parameters
    ----------
    X : list or tuple of 2-D arrays, 1-D object array of them, 3-D array of sets of equal \
            length, 4-D array of images of vectors, SetCollection, or 2-D input
        2-D input (array, nested list of numbers, DataFrame) means that each row is a set
        of one element. A 4-D array of shape (n_images, height, width, n_features) gets
        the positions of its grid.
    explain_rows : bool, default=True
        Whether a `UserWarning` tells what 2-D input means.

    Returns
    -------
    SetCollection
    """
    if isinstance(X, SetCollection):
        sets = X
    elif _is_sequence_of_sets(X):
        values, lengths = _pack(X, "X")
        sets = SetCollection(values, np.concatenate([[0], np.cumsum(lengths)]))
    elif getattr(X, "ndim", 2) in (3, 4):
        sets = _from_equal_lengths(np.asanyarray(X))
    else:
        sets = _from_rows(X, explain_rows)
    if not len(sets):
        raise ValueError("X is an empty collection; expected at least one set.")
    return sets


def check_sets(X, *, allow_nan=False, explain_rows=True):
    """Return the sets of X, or raise an error that names the set with NaN or infinity."""
    sets = as_sets(X, explain_rows=explain_rows)
    try:
        assert_all_finite(sets.values, allow_nan=allow_nan)
    except ValueError:
        wrong = np.isinf if allow_nan else lambda values: ~np.isfinite(values)
        row, column = np.argwhere(wrong(sets.values))[0]
        i = np.searchsorted(sets.offsets, row, side="right") - 1
        what = "NaN" if np.isnan(sets.values[row, column]) else "infinity (inf)"
        raise ValueError(
            f"X contains {what} in set {i} (element {row - sets.offsets[i]}, feature "
            f"{column}); expected finite values."
        ) from None
    return sets


def record_fit_input(estimator, X, sets):
    """Keep in the estimator what later input is compared with."""
    validate_data(estimator, _table(X, sets), reset=True, skip_check_array=True)
    estimator._single_elements = bool((sets.lengths == 1).all())


def check_fitted_sets(estimator, X, *, allow_nan=False):
    """Return the sets of X, which have to be like those that the estimator has seen."""
    check_is_fitted(estimator)
    # Whoever fitted on rows knows what they mean.
    explain_rows = not estimator._single_elements
    sets = check_sets(X, allow_nan=allow_nan, explain_rows=explain_rows)
    validate_data(estimator, _table(X, sets), reset=False, skip_check_array=True)
    return sets


def _table(X, sets):
    """What carries names and number of features."""
    return X if hasattr(X, "columns") else sets.values


def _rebuild(values, offsets, weights, positions):
    return SetCollection(values, offsets, weights=weights, positions=positions)


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view


def _as_numeric(array, name):
    """Return `array` as float32 or float64, in C order, copied only if need be."""
    if np.ma.is_masked(array):
        raise ValueError(f"{name} has masked values; expected none.")
    array = np.asarray(array)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} is {array.dtype}.")
    if array.dtype.kind not in "fiubO":
        raise ValueError(f"{name} is {array.dtype}; expected real numbers.")
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    try:
        return np.ascontiguousarray(array, dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold real numbers: {error}.") from error


def _as_float64_copy(array, name):
    return np.array(_as_numeric(np.asanyarray(array), name), dtype=np.float64)


def _as_elements(elements, name):
    """Return a 2-D float array, or raise an error that calls it by `name`."""
    if issparse(elements):
        raise TypeError(f"{name} is a sparse matrix; expected a dense array.")
    try:
        array = np.asanyarray(elements)
    except ValueError as error:
        raise ValueError(f"{name} is not a 2-D array of numbers: {error}") from error
    if array.ndim != 2:
        raise ValueError(
            f"{name} has shape {array.shape}; expected a 2-D array (n_elements, n_features)"
            "; scalar elements need reshape(-1, 1)."
        )
    if array.shape[1] == 0:
        raise ValueError(f"{name} has 0 features; expected at least 1.")
    return _as_numeric(array, name)


def _check_offsets(offsets, n_elements):
    given = np.array(offsets)  # a copy: nobody else can change what is checked here
    if given.ndim != 1 or len(given) == 0 or given.dtype.kind not in "iu":
        raise ValueError(
            f"offsets is {given.dtype} of shape {given.shape}; expected integers of shape "
            "(n_sets + 1,)."
        )
    offsets = given.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != n_elements:
        raise ValueError(
            f"offsets runs from {given[0]} to {given[-1]}; expected from 0 to the number "
            f"of elements, {n_elements}."
        )
    wrong = np.flatnonzero(np.diff(offsets) <= 0)
    if len(wrong):
        i = wrong[0]
        raise ValueError(
            f"set {i} is empty: offsets goes from {given[i]} to {given[i + 1]}; expected "
            "strictly increasing offsets, each set having at least one element."
        )
    return offsets


def _check_weights(weights, offsets):
    weights = _as_float64_copy(weights, "weights")
    if weights.shape != (offsets[-1],):
        raise ValueError(
            f"weights has shape {weights.shape}; expected one weight an element, "
            f"({offsets[-1]},)."
        )
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        i = np.searchsorted(offsets, wrong[0], side="right") - 1
        raise ValueError(
            f"weights has {weights[wrong[0]]} in set {i} (element {wrong[0] - offsets[i]})"
            "; expected finite, non-negative weights."
        )
    if len(weights):
        zero = np.flatnonzero(np.maximum.reduceat(weights, offsets[:-1]) == 0)
        if len(zero):
            raise ValueError(
                f"weights of set {zero[0]} are all zero; expected a positive sum."
            )
    return weights


def _check_positions(positions, n_elements):
    positions = _as_float64_copy(positions, "positions")
    if positions.ndim == 1:
        positions = positions[:, np.newaxis]
    if positions.ndim != 2 or len(positions) != n_elements or positions.shape[1] > 2:
        raise ValueError(
            f"positions has shape {positions.shape}; expected ({n_elements}, n_axes), on "
            "1 or 2 axes."
        )
    if not np.isfinite(positions).all():
        raise ValueError("positions has NaN or infinity; expected finite coordinates.")
    return positions


def _pack(sets, name):
    """Copy a sequence of sets into one array; return it and the sets' lengths."""
    sets = list(sets)
    arrays = [_as_elements(x, f"set {i} of {name}") for i, x in enumerate(sets)]
    if not arrays:
        raise ValueError(f"{name} is an empty collection; expected at least one set.")
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
    return np.concatenate(arrays), [len(array) for array in arrays]


def _join(parts, lengths, name):
    """Concatenate what is given per set, after a check of the lengths."""
    if parts is None:
        return None
    parts = [np.asarray(part) for part in parts]
    if len(parts) != len(lengths):
        raise ValueError(f"{name} is given for {len(parts)} of {len(lengths)} sets.")
    for i, (part, length) in enumerate(zip(parts, lengths)):
        if part.ndim == 0 or len(part) != length:
            raise ValueError(
                f"{name} of set {i} has shape {part.shape}; the set has {length} elements."
            )
    return np.concatenate(parts)


def _mask_from_lengths(lengths, shape):
    lengths = np.asarray(lengths)
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
    """Return the order that brings groups together (None if they are) and their sizes."""
    groups = np.asarray(groups)
    if groups.shape != (n_rows,):
        raise ValueError(
            f"groups has shape {groups.shape}; expected one label a row, ({n_rows},)."
        )
    missing = groups != groups
    if groups.dtype.kind == "O":
        missing = missing | np.equal(groups, None)
    if np.any(missing):
        raise ValueError(
            f"groups has no label in row {np.flatnonzero(missing)[0]}; expected a label "
            "for every row."
        )
    _, first, label, lengths = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    by_appearance = np.argsort(first)
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(first))
    rank = rank[label]
    order = None if (np.diff(rank) >= 0).all() else np.argsort(rank, kind="stable")
    return order, lengths[by_appearance]


def _is_sequence_of_sets(X):
    """Whether the items of X are sets, rather than the rows of one table."""
    if getattr(X, "ndim", None) == 1 and getattr(X, "dtype", None) == np.dtype(object):
        X = list(X)
    if not isinstance(X, (list, tuple)):
        return False
    dimensions = [_n_dimensions(x) for x in X]
    row_lengths = {len(x) for x, n in zip(X, dimensions) if n == 1}
    return max(dimensions, default=2) > 1 or len(row_lengths) > 1


def _n_dimensions(x):
    """Dimensions of an array or of nested lists; ragged ones count as 2."""
    try:
        return x.ndim if hasattr(x, "ndim") else np.ndim(x)
    except ValueError:
        return 2


def _from_equal_lengths(X):
    """Sets from a 3-D array, or from the 4-D array of a grid: no copy of float arrays."""
    n_features = X.shape[-1]
    n_sets, length = X.shape[0], int(np.prod(X.shape[1:-1]))
    positions = None
    if X.ndim == 4:
        height, width = X.shape[1:3]
        rows, columns = np.indices((height, width)).reshape(2, -1)
        grid = np.column_stack([(rows + 1) / height, (columns + 1) / width])
        positions = np.tile(grid, (n_sets, 1))
    if n_sets and not length:
        raise ValueError("set 0 of X is empty; expected at least one element.")
    values = _as_numeric(X, "X").reshape(n_sets * length, n_features)
    return SetCollection(
        values, np.arange(n_sets + 1) * max(length, 1), positions=positions
    )


def _from_rows(X, explain):
    """Each row of a table as a set of one element: scikit-learn's own kind of input."""
    try:
        values = check_array(
            X, dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
        )
    except ValueError as error:
        raise ValueError(f"X is no list of 2-D arrays, and no table: {error}") from error
    if explain:
        warnings.warn(
            "X is 2-D: each of its rows is taken as a set of one element. To hand over one "
            "set, or several, pass a list of 2-D arrays (here: [X]).",
            UserWarning,
            stacklevel=2,
        )
    return SetCollection(values, np.arange(len(values) + 1))
