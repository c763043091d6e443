"""`SetCollection`: sets packed into one array.

The constructor validates offsets, shapes, dtype and memory order, and compiled functions
rely on them without checking again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from otk_sklearn.sets._array_interface import ArrayInterface
from otk_sklearn.sets._arrays import as_elements
from otk_sklearn.sets._computed_values import ComputedValues, take_values
from otk_sklearn.sets._concatenation import concatenated
from otk_sklearn.sets._conversions import Conversions
from otk_sklearn.sets._names import (
    ColumnLabels,
    check_feature_names,
    check_index,
    check_names,
    feature_names_of,
    index_of,
)
from otk_sklearn.sets._names_and_rows import NamesAndRows
from otk_sklearn.sets._offsets import (
    check_offsets,
    check_rows,
    check_weights,
    immutable_copy,
    masses_of,
    offsets_of,
    read_only,
)
from otk_sklearn.sets._padded_arrays import warn_about_padding_of_equal_lengths
from otk_sklearn.sets._positions import check_positions
from otk_sklearn.sets._row_index import check_same_rows
from otk_sklearn.sets._sequences import (
    as_list,
    check_not_one_array,
    first_not_empty,
    join,
    pack,
)


class SetCollection(Conversions, NamesAndRows, ArrayInterface):
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
        Where each set starts, and the last one ends: begins with 0, never decreases and
        ends with `n_elements`. Copied, as int64. A set may be empty; estimators raise an
        error for it, unless they have `empty_sets="zero"`.
    weights : array-like of shape (n_elements,), default=None
        Weight of each element within its set, non-negative, with a positive sum in every
        set. Only ratios within a set matter. Elements of weight zero are ignored, whatever
        their (finite) values, but keep their place in windows and in the order of elements.
        None means equal weights.
    positions : array-like of shape (n_elements,) or (n_elements, n_axes), default=None
        Coordinates of each element on 1 or 2 axes.
    names : array-like of shape (n_sets,), default=None
        Who each set is: a unique label, of any type. Names are the index of embeddings
        that are DataFrames, and `align` brings targets into their order.
    feature_names : array-like of str of shape (n_features,), default=None
        What each feature is. Fitted estimators check them, as those of a DataFrame. None
        means the names of the columns of `values`, if it is a DataFrame.

    Attributes
    ----------
    values : ndarray of shape (n_elements, n_features)
        Of the many elements that an `ElementTransformer` returns, computed when this is
        first read, and kept from then on. Estimators, and `X[i]`, don't read it: they
        compute some elements at a time, each time they need them.
    offsets : ndarray of int64 of shape (n_sets + 1,)
    weights : ndarray of float64 of shape (n_elements,) or None
    positions : ndarray of float64 of shape (n_elements, n_axes) or None
    names : ndarray of shape (n_sets,) or None
    feature_names : ndarray of str objects of shape (n_features,) or None
    column_labels : ndarray of objects of shape (n_features,) or None
        The feature names, or those labels of a DataFrame's columns that are not strings.
    index : pandas.Index of shape (n_sets,) or None
        Of embeddings that are DataFrames: that of the Series or DataFrame that a
        transformer of sets was given, or else the names.
    rows : ndarray of int64 of shape (n_elements,) or None
        Which row of the table each element was, if `from_groups`, `from_anndata` or
        `from_series` made the sets of one.

    Raises
    ------
    ValueError
        If offsets, weights, positions or names don't fit, or values are not real numbers.
        NaN and infinity among the values are allowed here, for imputers; the embeddings
        raise an error.

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

    def __init__(
        self,
        values: ArrayLike,
        offsets: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        positions: ArrayLike | None = None,
        names: ArrayLike | None = None,
        feature_names: ArrayLike | None = None,
    ) -> None:
        check_same_rows(values=values, weights=weights, positions=positions)
        if feature_names is None:
            feature_names = feature_names_of(values)
        self._values = as_elements(values).view()
        self._values.flags.writeable = False  # the caller's own array stays writeable
        self._offsets = check_offsets(offsets, len(self._values))
        self._weights = self._positions = self._names = self._feature_names = None
        self._rows, self._n_rows, self._index = None, None, None
        self._has_gaps = self._counts_positions = False
        if weights is not None:
            self._weights = check_weights(weights, self._offsets)
        if positions is not None:
            self._positions = check_positions(positions, self._offsets)
        if names is not None:
            self._names = check_names(names, len(self))
        if feature_names is not None:
            self._feature_names = check_feature_names(feature_names, self.n_features)

    def _replace(self, **parts):
        """Return a copy with other parts, which have already been validated."""
        sets = SetCollection.__new__(SetCollection)
        vars(sets).update(vars(self))
        for name, part in parts.items():
            if isinstance(part, np.ndarray):
                part = read_only(part.view())
            setattr(sets, name, part)
        if "_offsets" in parts:
            sets._offsets = immutable_copy(parts["_offsets"])
        return sets

    @classmethod
    def from_sets(
        cls,
        sets: Iterable[ArrayLike],
        *,
        weights: Sequence[ArrayLike] | None = None,
        positions: Sequence[ArrayLike] | None = None,
        names: ArrayLike | None = None,
        feature_names: ArrayLike | None = None,
    ) -> SetCollection:
        """Pack a sequence of 2-D arrays.

        Parameters
        ----------
        sets : sequence of array-like of shape (n_elements_i, n_features)
            Copied once, into one array. A SetCollection is returned as it is. A missing
            set (None, NaN, or NA of pandas) is an empty one. Time series whose channels
            come before time are for `from_series`.
        weights : sequence of array-like of shape (n_elements_i,), default=None
            Weights of the elements of each set.
        positions : sequence of array-like of shape (n_elements_i,) or \
                (n_elements_i, n_axes), default=None
            Coordinates of the elements of each set, on 1 or 2 axes.
        names : array-like of shape (n_sets,), default=None
            A unique name of each set. None means the index of a Series of sets.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features. None means the columns, if the sets are DataFrames.

        Returns
        -------
        SetCollection

        Raises
        ------
        ValueError
            If there is no set, or one is not 2-D, not numeric, or differs from the first
            in its number of features. The message names its index.

        Warns
        -----
        UserWarning
            If all sets have the same length, and rows of zeros at their ends, or at their
            starts, look like padding.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> SetCollection.from_sets([[[0, 1], [2, 3]], [[4, 5]]], weights=[[1, 3], [1]])
        SetCollection(n_sets=2, n_elements=3, n_features=2, lengths 1 to 2, float64, \
weights)
        """
        if isinstance(sets, SetCollection):
            if any(part is not None for part in (weights, positions, names, feature_names)):
                raise ValueError(
                    "sets is a SetCollection, which has weights, positions and names of "
                    "its own; expected none besides."
                )
            return sets
        check_same_rows(sets=sets, weights=weights, positions=positions, names=names)
        if names is None:
            names = index_of(sets)
        check_not_one_array(sets, "sets")
        sets = as_list(sets, "sets")
        values, offsets = pack(sets, "sets")
        if feature_names is None:
            feature_names = feature_names_of(first_not_empty(sets))
        collection = cls(
            values,
            offsets,
            weights=None if weights is None else join(weights, offsets, "weights"),
            positions=None if positions is None else join(positions, offsets, "positions"),
            names=names,
            feature_names=feature_names,
        )
        if weights is None:  # which may be 0 for padding
            warn_about_padding_of_equal_lengths(collection, "sets")
        return collection

    @classmethod
    def concatenate(
        cls,
        collections: Sequence[SetCollection],
        *,
        names: ArrayLike | Literal["keep"] | None = "keep",
    ) -> Self:
        """Join collections, one after the other.

        Parameters
        ----------
        collections : sequence of SetCollection
            Of elements with the same features. Where only some have weights or positions,
            the elements of the others get those that they have by default.
        names : "keep", array-like of shape (n_sets,) or None, default="keep"
            A unique name of each set of the result. "keep" means the names that the sets
            have: all collections, or none. None drops them.

        Returns
        -------
        SetCollection
            With their weights, positions and feature names. In float32 if all are.

        Raises
        ------
        ValueError
            If features, axes of positions or names don't fit together. A name that comes
            twice may be that of a set that was cut in two before `from_groups`, between
            files or partitions: then their tables are to be joined instead.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> X = SetCollection.from_sets([[[0.0]], [[1.0], [2.0]]], names=["a", "b"])
        >>> SetCollection.concatenate([X[1:], X[:1]]).names.tolist()
        ['b', 'a']
        """
        if isinstance(collections, SetCollection):
            raise TypeError(
                "collections is a SetCollection; expected a list of them: [collections]."
            )
        collections = list(collections)
        if not collections:
            raise ValueError("collections is empty; expected at least one SetCollection.")
        for i, sets in enumerate(collections):
            if not isinstance(sets, SetCollection):
                raise TypeError(
                    f"collections has {type(sets).__name__} at {i}; expected "
                    "[SetCollection.from_sets(x) for x in collections]."
                )
        joined = cls(**concatenated(list(map(on_demand, collections)), names))
        given = any(sets.positions_given for sets in collections)
        joined = with_counted_positions(joined, joined.positions is not None and not given)
        return with_gaps(joined, any(sets.has_gaps for sets in collections))

    @property
    def values(self) -> NDArray[np.floating]:
        """Elements of all sets, one set after the other."""
        return self._kept_values().view()

    def _kept_values(self):
        """The values, computed if they are not yet."""
        if isinstance(self._values, ComputedValues):
            self._values = self._values[:]
        return self._values

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each set starts, and the last one ends."""
        return self._offsets.view()

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """Weights of the elements, as given, or None."""
        return None if self._weights is None else self._weights.view()

    @property
    def positions(self) -> NDArray[np.float64] | None:
        """Coordinates of the elements, or None."""
        return None if self._positions is None else self._positions.view()

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Data type of the values: float32 or float64."""
        return self._values.dtype

    @property
    def n_features(self) -> int:
        """Length of each element."""
        return self._values.shape[1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of elements of each set."""
        return np.diff(self._offsets)

    @property
    def has_gaps(self) -> bool:
        """Whether elements between these were left out, in a sample of the sets."""
        return self._has_gaps

    @property
    def positions_given(self) -> bool:
        """Whether positions were given, rather than counted by estimators or samplers."""
        return self._positions is not None and not self._counts_positions

    @property
    def masses(self) -> NDArray[np.float64]:
        """Masses of the elements: weights normalized to sum to 1 in each set."""
        return masses_of(self._weights, self._offsets)

    def astype(self, dtype: DTypeLike) -> Self:
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
        values = self._values.astype(dtype, copy=False)
        if isinstance(values, np.ndarray):
            values = as_elements(values)
        return self._replace(_values=values)

    def with_values(
        self,
        values: ArrayLike,
        *,
        feature_names: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> Self:
        """Return a collection of the same sets with other elements.

        Parameters
        ----------
        values : array-like of shape (n_elements_new, n_features_new)
            The new elements.
        feature_names : array-like of str of shape (n_features_new,), default=None
            Names of the new features. None means the names of the columns of `values`, if
            it is a DataFrame, or none.
        offsets : array-like of int of shape (n_sets + 1,), default=None
            Where each set starts among the new elements. None means that there is one for
            each of the old ones, whose weights, positions and rows it gets.
        weights : array-like of shape (n_elements_new,), default=None
            Weights of the new elements, with `offsets`.
        positions : array-like of shape (n_elements_new,) or (n_elements_new, n_axes), \
                default=None
            Positions of the new elements, with `offsets`.

        Returns
        -------
        SetCollection
            With the same names of sets.

        Raises
        ------
        ValueError
            If the new elements don't fit to the sets.
        """
        if offsets is not None:
            changed = SetCollection(
                values,
                offsets,
                weights=weights,
                positions=positions,
                feature_names=feature_names,
            )
            if len(changed) != len(self):
                raise ValueError(
                    f"offsets has {len(changed)} sets; expected {len(self)}, as before."
                )
            changed = with_gaps(changed._replace(_names=self._names), self._has_gaps)
            return with_index(changed, self._index)
        if weights is not None or positions is not None:
            raise ValueError(
                "weights or positions are given without offsets; expected both, or neither."
            )
        if feature_names is None:
            feature_names = feature_names_of(values)
        values = as_elements(values)
        if len(values) != len(self._values):
            raise ValueError(
                f"values has {len(values)} rows; expected one per element, "
                f"{len(self._values)}."
            )
        if feature_names is not None:
            feature_names = check_feature_names(feature_names, values.shape[1])
        return self._replace(_values=values, _feature_names=feature_names)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[NDArray[np.floating]]:
        for start, stop in itertools.pairwise(self._offsets):
            yield self._values[start:stop]

    @overload
    def __getitem__(self, index: int | np.integer) -> NDArray[np.floating]: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Self: ...

    def __getitem__(self, index):
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f"index {index} of {len(self)} sets is out of range.")
            index = index % len(self)
            return self._values[self._offsets[index] : self._offsets[index + 1]]
        if isinstance(index, slice):
            index = range(len(self))[index]
            if index.step == 1 and len(index):
                return self._span(index.start, index.stop)
        if isinstance(index, str) and self._names is not None:
            raise IndexError(
                f"index is {index!r}; expected numbers of sets. Of the set of this name: "
                f"X[[X.index.get_loc({index!r})]]."
            )
        chosen = np.arange(len(self))[index]  # scikit-learn asks for X[index, ...]
        if chosen.ndim == 0:
            return self[int(chosen)]
        if chosen.ndim > 1:
            raise IndexError(
                f"SetCollection has 1 dimension; the index gave {chosen.ndim}."
            )
        starts, stops = self._offsets[chosen], self._offsets[chosen + 1]
        offsets = offsets_of(stops - starts)
        if len(chosen) and (starts[1:] == stops[:-1]).all():  # views, as of a slice
            return self._take(chosen, slice(starts[0], stops[-1]), offsets)
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], stops - starts)
        return self._take(chosen, rows, offsets)

    def _span(self, start, stop):
        """The sets from `start` to before `stop`, as views."""
        offsets = self._offsets[start : stop + 1]
        rows = slice(offsets[0], offsets[-1])
        return self._take(slice(start, stop), rows, offsets - offsets[0])

    def _take(self, chosen, rows, offsets):
        """The chosen sets, which have these elements and offsets."""
        indices = dict.fromkeys(("_values", "_weights", "_positions", "_rows"), rows)
        parts = {
            name: take_values(part, index)
            for name, index in {**indices, "_names": chosen}.items()
            if (part := getattr(self, name)) is not None
        }
        index = None if self._index is None else self._index[chosen]
        return with_index(self._replace(_offsets=offsets, **parts), index)

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
        facts += ["names"] * (self._names is not None)
        return f"SetCollection({', '.join(facts)})"

    def __reduce__(self):
        # Through the constructor, which validates what is loaded from a file.
        columns = {
            name: getattr(self, f"_{name}") for name in ("weights", "positions", "names")
        }
        labels = self._feature_names
        columns["feature_names"] = self.feature_names
        columns["column_labels"] = None if labels is None else labels.tolist()
        table = {"rows": self._rows, "n_rows": self._n_rows, "index": self._index}
        table["has_gaps"] = self._has_gaps
        table["counts_positions"] = self._counts_positions
        # Computed values are stored as such: joblib then finds equal contents to be equal.
        return SetCollection, (self._kept_values(), self._offsets), columns | table

    def __setstate__(self, columns):
        names, rows, n_rows = (columns.pop(k, None) for k in ("names", "rows", "n_rows"))
        index, labels = columns.pop("index", None), columns.pop("column_labels", None)
        has_gaps = columns.pop("has_gaps", False)
        counts_positions = columns.pop("counts_positions", False)
        if labels is not None:
            columns["feature_names"] = ColumnLabels(labels)
        self.__init__(self._values, self._offsets, **columns)
        self._has_gaps, self._counts_positions = has_gaps, counts_positions
        if names is not None:  # of sets chosen repeatedly: not unique
            self._names = check_names(names, len(self), unique=False)
        if rows is not None:
            self._rows, self._n_rows = check_rows(rows, n_rows, len(self._values)), n_rows
        if index is not None:
            self._index = check_index(index, len(self))


def _named_as_seen_by_users(cls):
    """Name inherited methods by this class in Python's own errors about arguments."""
    # Not of plain methods: pickle looks for them by this name, in the module of the base.
    for method in (method for base in cls.__bases__ for method in vars(base).values()):
        if isinstance(method, classmethod):
            function = method.__func__
            function.__qualname__ = f"{cls.__name__}.{function.__name__}"


_named_as_seen_by_users(SetCollection)


def with_gaps(sets, has_gaps=True):
    """Return a collection that knows whether elements between its own were left out.

    Windows of consecutive elements are then an error.
    """
    if has_gaps == sets._has_gaps:
        return sets
    sets = sets._replace()
    sets._has_gaps = has_gaps
    return sets


def with_counted_positions(sets, are_counted=True):
    """Return a collection that knows whether its positions only count elements, `i / n`.

    Sets without positions have the same ones.
    """
    if are_counted == sets._counts_positions:
        return sets
    sets = sets._replace()
    sets._counts_positions = are_counted
    return sets


def with_index(sets, index):
    """Return a collection with the index of the pandas object that its sets were.

    Parameters
    ----------
    sets : SetCollection
    index : pandas.Index of shape (n_sets,) or None
    """
    if index is sets._index:
        return sets
    sets = sets._replace()
    sets._index = index
    return sets


class _SetsOnDemand(SetCollection):
    """A collection as estimators see it: `values` may be an array or `ComputedValues`."""

    @property
    def values(self):
        """Elements of all sets, computed when indexed."""
        return self._values

    def _replace(self, **parts):
        return on_demand(super()._replace(**parts))


def on_demand(sets):
    """Return a collection for use by estimators.

    Parameters
    ----------
    sets : SetCollection

    Returns
    -------
    SetCollection
        The same, if its values are in memory; else its `values` are `ComputedValues`.
    """
    return _with_class(_SetsOnDemand, sets) if _is_computed(sets) else sets


def with_computed_values(sets, values, feature_names):
    """Return a collection, for users, of the same sets with other elements.

    Parameters
    ----------
    sets : SetCollection
    values : ndarray or ComputedValues of shape (n_elements, n_features_new)
    feature_names : array-like of str of shape (n_features_new,) or None
    """
    if feature_names is not None:
        feature_names = check_feature_names(feature_names, values.shape[1])
    parts = {"_values": values, "_feature_names": feature_names}
    return _with_class(SetCollection, sets._replace(**parts))


def _is_computed(sets):
    return isinstance(sets._values, ComputedValues)


def _with_class(cls, sets):
    copied = cls.__new__(cls)
    vars(copied).update(vars(sets))
    return copied
