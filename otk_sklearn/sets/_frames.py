"""DataFrames whose rows are elements, with columns of any dtype, such as text."""

import sys

import numpy as np

from otk_sklearn.sets._arrays import as_floats, column_names
from otk_sklearn.sets._collection import SetCollection, with_index
from otk_sklearn.sets._names import (
    are_names,
    check_feature_names,
    feature_names_of,
    index_of,
    pandas_index,
)
from otk_sklearn.sets._offsets import locate_element, offsets_of
from otk_sklearn.sets._sequences import check_columns, first_not_empty, is_empty


class FrameCollection:
    """Sets packed into one DataFrame, as a `SetCollection` is into one array.

    It has those attributes of a `SetCollection` that a transformer of elements needs.

    Parameters
    ----------
    values : DataFrame of pandas or polars, of shape (n_elements, n_features)
        The elements of all sets, one set after the other.
    offsets : ndarray of int of shape (n_sets + 1,)
        Where each set starts, and the last one ends.
    names : ndarray of shape (n_sets,) or None
    index : pandas.Index of shape (n_sets,) or None
    """

    weights = None

    def __init__(self, values, offsets, names, index):
        self.values = values
        self.offsets = offsets
        self.names = names
        self.index = index

    @property
    def n_features(self):
        return self.values.shape[1]

    @property
    def feature_names(self):
        return self.column_labels if are_names(self.column_labels) else None

    @property
    def column_labels(self):
        labels = feature_names_of(self.values)
        return None if labels is None else check_feature_names(labels, self.n_features)

    @property
    def lengths(self):
        return np.diff(self.offsets)

    def __len__(self):
        return len(self.offsets) - 1

    def with_values(self, values, *, feature_names=None):
        """Return a SetCollection of the same sets, with numbers for elements."""
        sets = SetCollection(
            values, self.offsets, names=self.names, feature_names=feature_names
        )
        return with_index(sets, self.index)


def is_sequence_of_frames(X):
    """Whether X is a list, tuple, Series or 1-D object array of DataFrames."""
    return _library_of(first_not_empty(_items(X))) is not None


def stack_frames(X, name):
    """Copy a sequence of DataFrames into one.

    Parameters
    ----------
    X : list, tuple, Series or 1-D object array of DataFrames of pandas or polars
    name : str
        Name of the sequence in error messages.

    Returns
    -------
    FrameCollection
    """
    first = first_not_empty(_items(X))
    library, columns = _library_of(first), column_names(first)
    frames = [first[:0] if is_empty(x) else x for x in _items(X)]
    for i, frame in enumerate(frames):
        if _library_of(frame) is not library:
            raise ValueError(
                f"set {i} of {name} is {type(frame).__name__}; expected a DataFrame of "
                f"{library.__name__}, as other sets."
            )
        check_columns(frame, columns, f"set {i} of {name}")
    if first.shape[1] == 0:
        raise ValueError(f"set 0 of {name} has 0 features; expected at least 1.")
    offsets = offsets_of([len(frame) for frame in frames])
    values = _concatenate(frames, name)
    return FrameCollection(values, offsets, index_of(X), pandas_index(X))


def as_frame(values, feature_names):
    """Return elements as a DataFrame, without a copy, if their features have names.

    Transformers select columns by name from it. Without pandas, they get the array.
    scikit-learn makes the array in a DataFrame writeable if it can: this one can't be.
    """
    if feature_names is None or hasattr(values, "columns"):
        return values
    try:
        import pandas
    except ImportError:
        return values
    values = np.asarray(memoryview(values).toreadonly())
    return pandas.DataFrame(values, columns=feature_names, copy=False)


def take_rows(table, rows):
    """Return rows of an array or DataFrame, given a slice or an array of integers."""
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def check_finite_columns(frame, offsets):
    """Raise an error that names the first NaN or infinity in a column of numbers of X."""
    for column in frame.columns:
        try:
            values = as_floats(frame[column], column)
        except ValueError:  # text or dates
            continue
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            i, element = locate_element(wrong[0], offsets)
            what = "NaN" if np.isnan(values[wrong[0]]) else "infinity (inf)"
            raise ValueError(
                f"X contains {what} in set {i} (element {element}, feature {column!r}); "
                "expected finite values."
            )


def _items(X):
    """Items of a sequence that may hold DataFrames; none of any other object."""
    if isinstance(X, (list, tuple)):
        return X
    is_series_or_array = getattr(X, "ndim", None) == 1 and X.dtype == object
    return X if is_series_or_array else ()


def _library_of(x):
    """Return pandas or polars if x is a DataFrame of theirs, without an import."""
    for name in ("pandas", "polars"):
        library = sys.modules.get(name)
        if library is not None and isinstance(x, library.DataFrame):
            return library
    return None


def _concatenate(frames, name):
    """Concatenate DataFrames of one library and of equal columns."""
    library = _library_of(frames[0])
    # Empty ones, whose columns may be of any dtype, play no part.
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    if library.__name__ == "pandas":
        return library.concat(filled, ignore_index=True)
    _check_schemas(frames, name)
    return library.concat(filled, how="vertical_relaxed")


def _check_schemas(frames, name):
    """Raise an error if polars would turn numbers into text, or dates into numbers."""
    expected = {}
    for i, frame in enumerate(frames):
        for column, dtype in frame.schema.items():
            if not len(frame) or str(dtype) == "Null":
                continue
            before = expected.setdefault(column, dtype)
            if dtype != before and not (_holds_numbers(dtype) and _holds_numbers(before)):
                raise ValueError(
                    f"set {i} of {name} has {dtype} in column {column!r}, those before it "
                    f"have {before}; expected the same dtype, or numbers, in every set."
                )


def _holds_numbers(dtype):
    return dtype.is_numeric() or str(dtype) == "Boolean"
