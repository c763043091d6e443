"""`SetCollection`: sets packed into one array.

The constructor validates offsets, shapes, dtype and memory order, and compiled functions
rely on them without checking again.
"""

import itertools

import numpy as np

from otk_sklearn.sets._arrays import as_elements, as_rows
from otk_sklearn.sets._list_columns import read_lists
from otk_sklearn.sets._long_tables import check_no_group_column, sort_by_group
from otk_sklearn.sets._offsets import (
    check_offsets,
    check_weights,
    immutable_copy,
    masses_of,
    offsets_of,
    read_only,
)
from otk_sklearn.sets._padded_arrays import check_padded
from otk_sklearn.sets._positions import check_positions
from otk_sklearn.sets._sequences import join, pack


class SetCollection:
    """Sets of vectors of varying size, packed into one array without padding.

    Set `i` is `values[offsets[i]:offsets[i + 1]]`. A collection is immutable: its
    attributes are read-only views. It can be indexed, sliced, split and cross-validated by
    scikit-learn, together with its weights and positions.

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
        real numbers. NaN and infinity among the values are allowed here, for imputers;
        the embeddings raise an error.

    See Also
    --------
    ElementTransformer : Applies a scikit-learn transformer to the elements of sets.

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

    __module__ = "otk_sklearn"  # where users import it from

    def __init__(self, values, offsets, *, weights=None, positions=None):
        self._values = as_elements(values).view()
        self._values.flags.writeable = False  # the caller's own array stays writeable
        self._offsets = check_offsets(offsets, len(self._values))
        self._weights = self._positions = None
        if weights is not None:
            self._weights = check_weights(weights, self._offsets)
        if positions is not None:
            self._positions = check_positions(positions, self._offsets)

    @classmethod
    def _from_validated(cls, values, offsets, weights, positions):
        """Construct a collection from parts that have already been validated."""
        sets = cls.__new__(cls)
        sets._values, sets._offsets = read_only(values.view()), immutable_copy(offsets)
        sets._weights = None if weights is None else read_only(weights)
        sets._positions = None if positions is None else read_only(positions)
        return sets

    @classmethod
    def from_sets(cls, sets, *, weights=None, positions=None):
        """Pack a sequence of 2-D arrays.

        Parameters
        ----------
        sets : sequence of array-like of shape (n_elements_i, n_features)
            Copied once, into one array. A SetCollection is returned as it is. Arrays of
            shape (n_features, n_elements_i), as aeon has them, are to be transposed:
            `[x.T for x in X]`.
        weights : sequence of array-like of shape (n_elements_i,), default=None
            Weights of the elements of each set.
        positions : sequence of array-like of shape (n_elements_i,) or \
                (n_elements_i, n_axes), default=None
            Coordinates of the elements of each set, on 1 or 2 axes.

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
        weights = None if weights is None else join(weights, offsets, "weights")
        positions = None if positions is None else join(positions, offsets, "positions")
        return cls(values, offsets, weights=weights, positions=positions)

    @classmethod
    def from_padded(cls, X, *, lengths=None, mask=None):
        """Construct a collection from a padded array.

        Parameters
        ----------
        X : array-like of shape (n_sets, max_length, n_features)
            As in tslearn. If time or elements come last, as in aeon, swap axes.
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

        See Also
        --------
        to_padded : The inverse.

        Examples
        --------
        >>> import numpy as np
        >>> from otk_sklearn import SetCollection
        >>> padded = np.arange(12.0).reshape(2, 3, 2)
        >>> SetCollection.from_padded(padded, lengths=[1, 3])
        SetCollection(n_sets=2, n_elements=4, n_features=2, lengths 1 to 3, float64)

        Rows of NaN are padding, as in tslearn:

        >>> padded[0, 1:] = np.nan
        >>> SetCollection.from_padded(padded).lengths
        array([1, 3])

        Channels come before time in aeon:

        >>> channels_first = np.swapaxes(padded, 1, 2)
        >>> SetCollection.from_padded(np.swapaxes(channels_first, 1, 2)).lengths
        array([1, 3])
        """
        X, mask = check_padded(X, lengths, mask)
        return cls(X[mask], offsets_of(mask.sum(axis=1)))

    @classmethod
    def from_groups(cls, values, groups, *, weights=None, positions=None):
        """Construct a collection from a long table, with a set for each group of rows.

        Sets come in the order in which their groups first appear, that of
        `pandas.unique(groups)`, and rows keep their order within a set. Where the rows of
        every group are together, an array of floats is not copied.

        Parameters
        ----------
        values : array-like or DataFrame of shape (n_elements, n_features)
            A DataFrame of pandas or polars must have features only. Missing numbers become
            NaN. Names of columns are not kept.
        groups : array-like or Series of shape (n_elements,)
            The set that each row belongs to: any labels that can be sorted, or a
            categorical.
        weights : array-like or Series of shape (n_elements,), default=None
            Weight of each row.
        positions : array-like or DataFrame of shape (n_elements,) or \
                (n_elements, n_axes), default=None
            Coordinates of each row, on 1 or 2 axes.

        Returns
        -------
        SetCollection

        Raises
        ------
        ValueError
            If `groups` doesn't have one label a row, a label is missing, or `values` has
            columns that are not features: the groups, or text.

        Examples
        --------
        >>> import pandas as pd
        >>> from otk_sklearn import SetCollection
        >>> table = pd.DataFrame(
        ...     {"id": ["b", "a", "b"], "x": [1, 2, 3], "ill": [True, False, True]}
        ... )
        >>> X = SetCollection.from_groups(table[["x"]], table["id"])
        >>> [elements.ravel().tolist() for elements in X]
        [[1.0, 3.0], [2.0]]

        What is known of the groups is brought into the order of the sets likewise, here by
        pandas (in polars, `group_by("id", maintain_order=True)`):

        >>> y = table.groupby("id", sort=False)["ill"].first()
        >>> y.index.tolist(), y.tolist()
        (['b', 'a'], [True, False])
        """
        check_no_group_column(values, groups)
        values = as_elements(values)
        order, lengths = sort_by_group(groups, len(values))
        if weights is not None:
            weights = as_rows(weights, len(values), "weights")[order]
        if positions is not None:
            positions = as_rows(positions, len(values), "positions")[order]
        return cls(values[order], offsets_of(lengths), weights=weights, positions=positions)

    @classmethod
    def from_arrow(cls, array, *, weights=None, positions=None):
        """Construct a collection from Arrow lists (pyarrow, Parquet, polars, DuckDB, ...).

        Needs pyarrow; `pip install "otk-sklearn[arrow]"`.

        Parameters
        ----------
        array : array of lists, or table of such arrays
            Of pyarrow, or of any library with the Arrow PyCapsule interface. An array has
            a list of elements for each set. Elements are lists of equal length, of fixed
            size or not, structs of numbers, or numbers: sets with 1 feature. A table has
            such an array for each feature (or several). Missing numbers become NaN.
            float32 and float64 in lists of fixed size, and in one chunk, are not copied.
        weights : array of lists of numbers, default=None
            A list for each set, with a number for each of its elements.
        positions : array of lists, or table of such arrays, default=None
            Likewise, with 1 or 2 numbers for each element.

        Returns
        -------
        SetCollection

        Raises
        ------
        ImportError
            If pyarrow is not installed.
        ValueError
            If these are no lists of numbers, lengths don't fit, or a set is empty, or it
            or an element of it is missing.

        See Also
        --------
        to_arrow : The inverse.

        Examples
        --------
        >>> import pyarrow as pa
        >>> from otk_sklearn import SetCollection
        >>> table = pa.table({"x": [[0.0, 1.0], [2.0]], "y": [[3.0, 4.0], [5.0]]})
        >>> SetCollection.from_arrow(table)[0]
        array([[0., 3.],
               [1., 4.]])
        """
        from otk_sklearn.sets._arrow import read_arrow

        values, offsets, weights, positions = read_lists(
            read_arrow, array, weights, positions
        )
        return cls(values, offsets, weights=weights, positions=positions)

    @classmethod
    def from_awkward(cls, array, *, weights=None, positions=None):
        """Construct a collection from an awkward array.

        Needs awkward; `pip install "otk-sklearn[awkward]"`.

        Parameters
        ----------
        array : awkward.Array of type `n_sets * var * n_features * number`
            Elements may also be lists of equal length, `n_sets * var * var * number`,
            records with a number for each feature, `n_sets * var * {x: number, y: number}`,
            or numbers. A record of lists, `n_sets * {x: var * number, y: var * number}`,
            is taken likewise. Missing numbers become NaN.
            float32 and float64 side by side in memory are not copied.
        weights : awkward.Array of type `n_sets * var * number`, default=None
            A number for each element.
        positions : awkward.Array like `array`, default=None
            With 1 or 2 numbers for each element.

        Returns
        -------
        SetCollection

        Raises
        ------
        ImportError
            If awkward is not installed.
        ValueError
            If these are no lists of numbers, lengths don't fit, or a set is empty, or it
            or an element of it is missing.

        See Also
        --------
        to_awkward : The inverse.

        Examples
        --------
        >>> import awkward as ak
        >>> from otk_sklearn import SetCollection
        >>> array = ak.Array([[{"x": 0, "y": 3}, {"x": 1, "y": 4}], [{"x": 2, "y": 5}]])
        >>> SetCollection.from_awkward(array)[0]
        array([[0., 3.],
               [1., 4.]])
        """
        from otk_sklearn.sets._awkward import read_awkward

        values, offsets, weights, positions = read_lists(
            read_awkward, array, weights, positions
        )
        return cls(values, offsets, weights=weights, positions=positions)

    def to_arrow(self):
        """Return the elements as an Arrow array of lists, without a copy.

        It can be a column of a table, or of a Parquet file, next to others with one value
        per set. Weights are not included; they make another column:
        `pyarrow.LargeListArray.from_arrays(sets.offsets, sets.weights)`.

        Returns
        -------
        pyarrow.LargeListArray of lists of fixed size of shape (n_sets,)
            A list of elements for each set.

        Raises
        ------
        ImportError
            If pyarrow is not installed.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> array = SetCollection.from_sets([[[0, 1], [2, 3]], [[4, 5]]]).to_arrow()
        >>> array.type
        LargeListType(large_list<item: fixed_size_list<item: double>[2]>)
        >>> SetCollection.from_arrow(array)[1]
        array([[4., 5.]])
        """
        from otk_sklearn.sets._arrow import write_arrow

        return write_arrow(self)

    def to_awkward(self):
        """Return the elements as an awkward array, without a copy.

        Weights are not included; they are `awkward.unflatten(sets.weights, sets.lengths)`.

        Returns
        -------
        awkward.Array of type `n_sets * var * n_features * float`
            A list of elements for each set.

        Raises
        ------
        ImportError
            If awkward is not installed.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> SetCollection.from_sets([[[0, 1], [2, 3]], [[4, 5]]]).to_awkward()
        <Array [[[0, 1], [2, 3]], [[4, 5]]] type='2 * var * 2 * float64'>
        """
        from otk_sklearn.sets._awkward import write_awkward

        return write_awkward(self)

    def to_padded(self, fill_value=np.nan):
        """Return the elements as one array, padded to the longest set.

        Parameters
        ----------
        fill_value : float, default=nan
            Value of the rows of padding.

        Returns
        -------
        ndarray of shape (n_sets, max_length, n_features)
            The elements of each set, followed by its padding.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> SetCollection.from_sets([[[1], [2]], [[3]]]).to_padded(fill_value=0)[:, :, 0]
        array([[1., 2.],
               [3., 0.]])
        """
        is_element = np.arange(self.lengths.max(initial=0)) < self.lengths[:, np.newaxis]
        padded = np.full((*is_element.shape, self.n_features), fill_value, self.dtype)
        padded[is_element] = self._values
        return padded

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
        """Data type of the values: float32 or float64."""
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
        """Masses of the elements: weights normalized to sum to 1 in each set."""
        return masses_of(self._weights, self._offsets)

    def astype(self, dtype):
        """Return this collection with its values as float32 or float64.

        Parameters
        ----------
        dtype : {"float32", "float64"} or dtype
            The precision of the values. Weights and positions keep theirs.

        Returns
        -------
        SetCollection
            With a copy of the values, unless they already have this dtype.
        """
        return self.with_values(self._values.astype(dtype, copy=False))

    def with_values(self, values):
        """Return a collection of the same sets with other elements.

        Parameters
        ----------
        values : array-like of shape (n_elements, n_features_new)
            The new elements, in the order of the old ones.

        Returns
        -------
        SetCollection
            With the same offsets, weights and positions.
        """
        values = as_elements(values)
        if len(values) != len(self._values):
            raise ValueError(
                f"values has {len(values)} rows; expected one per element, "
                f"{len(self._values)}."
            )
        return self._from_validated(values, self._offsets, self._weights, self._positions)

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
        return self._from_validated(
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
        # Through the constructor, which validates what is loaded from a file.
        columns = {"weights": self._weights, "positions": self._positions}
        return SetCollection, (self._values, self._offsets), columns

    def __setstate__(self, columns):
        self.__init__(self._values, self._offsets, **columns)
