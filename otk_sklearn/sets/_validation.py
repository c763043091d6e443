"""Validation of the input of estimators, and its conversion to sets."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.sets._arrays import (
    as_array,
    as_floats,
    as_unmasked,
    cells_of,
    check_no_dates,
    columns_of_no_numbers,
    explain_columns,
    first_present,
    is_array_or_list,
    is_missing_cell,
    nullable_as_floats,
)
from otk_sklearn.sets._collection import SetCollection, on_demand, with_index
from otk_sklearn.sets._computed_values import all_finite, first_not_finite
from otk_sklearn.sets._containers import check_container, is_container, read_container
from otk_sklearn.sets._frames import is_sequence_of_frames, stack_frames
from otk_sklearn.sets._names import (
    check_feature_names_match,
    feature_names_of,
    index_of,
    named,
    pandas_index,
)
from otk_sklearn.sets._not_numbers import check_not_text, one_hot
from otk_sklearn.sets._offsets import locate_element, offsets_of
from otk_sklearn.sets._padded_arrays import (
    padding_hint,
    warn_about_padding_of_equal_lengths,
    warn_about_zero_padding,
)
from otk_sklearn.sets._sequences import describe_empty, first_not_empty, pack
from otk_sklearn.sets._tensors import is_nested
from otk_sklearn.sets._unreadable import check_readable, type_name


def as_sets(X, *, explain_rows=True, n_features=None, keep_frames=False):
    """Convert any accepted input to a `SetCollection`, with at most one copy.

    Parameters
    ----------
    X : list or tuple of 2-D arrays, 1-D object array of them, 3-D array of sets of equal \
            length, 4-D array of images of vectors, SetCollection, lists of Arrow or \
            awkward, nested tensor of PyTorch, or 2-D input
        2-D input (array, nested list of numbers, DataFrame) means that each row is a set
        of one element. A 4-D array of shape (n_images, height, width, n_features) gets
        the positions of its grid.
    explain_rows : bool, default=True
        Whether to warn (`UserWarning`) that each row of 2-D input is a set.
    n_features : int, default=None
        Number of features if X has no element, or no set, to tell it. None means that this
        is an error.
    keep_frames : bool, default=False
        Whether DataFrames keep the dtypes of their columns.

    Returns
    -------
    SetCollection, or FrameCollection of a sequence of DataFrames
    """
    sets, are_rows = _convert(X, n_features, keep_frames)
    if are_rows and explain_rows:
        warn_caller(
            "X is 2-D: each of its rows is taken as a set of one element. To pass one "
            "set, or several, use a list of 2-D arrays (here: [X]); for a long table, see "
            "SetCollection.from_groups, or of time series SetCollection.from_series.",
            UserWarning,
        )
    return sets


def _convert(X, n_features=None, keep_frames=False):
    """Return X as sets, and whether these are rows of a table."""
    if isinstance(X, SetCollection):
        return on_demand(X), False
    if is_nested(X):
        X = list(X.unbind())
    if n_features is not None and _has_no_sets(X):
        return SetCollection(np.empty((0, n_features)), [0]), False
    sets, are_rows = _convert_others(X, n_features, keep_frames)
    if isinstance(sets, SetCollection):
        sets = with_index(sets, pandas_index(X))
    return sets, are_rows


def _convert_others(X, n_features, keep_frames):
    if isinstance(X, list | tuple) and not X:
        raise ValueError("X is an empty collection; expected at least one set.")
    check_container(X)
    if is_container(X):
        return read_container(X, n_features), False
    X = single_column(X)
    if keep_frames and is_sequence_of_frames(X):
        return stack_frames(X, "X"), False
    names, X = index_of(X), _listed(X)
    if _is_sequence_of_sets(X):
        packed = pack(X, "X", n_features)
        feature_names = feature_names_of(first_not_empty(X))
        sets = SetCollection(*packed, names=names, feature_names=feature_names)
        warn_about_padding_of_equal_lengths(sets, "X")
        return sets, False
    if getattr(X, "ndim", 2) in (3, 4):
        return _from_equal_lengths(X), False
    return _from_rows(X), True


def _listed(X):
    """Return a sequence as a list, a table unchanged, and everything else as an array.

    An array of objects is the sequence of its cells. Nested lists become arrays, once;
    other items stay as they are, as they may know the names of columns.
    """
    check_not_text(X, "X")
    if isinstance(X, Sequence) and not isinstance(X, memoryview):
        return [
            as_array(x, f"set {i} of X") if isinstance(x, list | tuple) and x else x
            for i, x in enumerate(X)
        ]
    check_readable(X, "X")
    if hasattr(X, "columns"):
        return X
    array = as_unmasked(X, "X")
    if array.ndim == 0:
        raise TypeError(f"X is {type_name(X)}; expected a list of 2-D arrays.")
    if array.ndim == 1 and array.dtype.kind in "US":
        return array.tolist()
    cells = cells_of(array)
    return array if cells is None else cells


def check_finite(sets, name="X"):
    """Raise an error that names the first set with NaN or infinity."""
    values = sets.values
    if all_finite(values):
        return
    row, column, value = first_not_finite(values)
    i, element = locate_element(row, sets.offsets)
    what = "NaN" if np.isnan(value) else "infinity (inf)"
    feature = column
    if sets.feature_names is not None:
        feature = repr(sets.feature_names[column])
    raise ValueError(
        f"{name} contains {what} in set {i}{named(sets.names, i)} (element {element}, "
        f"feature {feature}); expected finite values{padding_hint(sets, i, element)}."
    )


def check_finite_output(out, name, offsets=None, sets="X"):
    """Raise an error that names the first set whose output is not finite.

    Parameters
    ----------
    out : ndarray of shape (n_rows, n_columns)
    name : str
        Name of the output in the error message.
    offsets : ndarray of int of shape (n_sets + 1,), default=None
        Where the rows of each set start. None means one row per set.
    sets : str, default="X"
        Name of the sets in the error message.
    """
    with np.errstate(all="ignore"):
        if np.isfinite(out.sum()) or np.isfinite(out).all():
            return
    i = np.argmin(np.isfinite(out).all(axis=1))
    if offsets is not None:
        i, _ = locate_element(i, offsets)
    raise ValueError(
        f"The {name} of set {i} of {sets} leaves the range of {out.dtype}; expected "
        "elements on a smaller scale (see ElementTransformer)."
    )


def check_not_empty(sets, empty_sets, X):
    """Raise an error that names the first empty set, unless they are accepted.

    Parameters
    ----------
    sets : SetCollection
    empty_sets : {"error", "zero"}
    X : sets
        The same, as the user gave them: some may be missing.
    """
    empty = np.flatnonzero(sets.lengths == 0)
    if len(empty) and empty_sets == "error":
        i = int(empty[0])
        name = named(sets.names, i)
        raise ValueError(
            f"set {i} of X{name}{',' * bool(name)} is {describe_empty(X, i)}; expected at "
            f'least one element, or an embedding with empty_sets="zero"{_hint_of_mask(X)}.'
        )


def _hint_of_mask(X):
    """What may have left a set empty, where X may have been made by `from_padded`.

    A mask that is True for padding leaves nothing of the longest set, and is no error.
    """
    if not isinstance(X, SetCollection):
        return ""
    if X.rows is not None or X.column_labels is not None:  # of a table, or of letters
        return ""
    return " (of from_padded: mask is True for elements, and False for padding)"


def input_attributes(sets):
    """Return the fitted attributes that describe the input of `fit`."""
    names, labels = sets.feature_names, sets.column_labels
    return {
        **({} if names is None else {"feature_names_in_": np.array(names)}),
        "_column_labels": labels.tolist() if names is None is not labels else None,
        "n_features_in_": sets.n_features,
        "_single_elements": bool((sets.lengths == 1).all()),
    }


def as_fitted_sets(estimator, X, *, keep_frames=False):
    """Convert X to sets, and check them against the input of `fit`."""
    if "n_features_in_" not in vars(estimator):  # the check takes longer
        check_is_fitted(estimator)
    sets, are_rows = _convert(X, estimator.n_features_in_, keep_frames)
    if are_rows and not estimator._single_elements:
        raise ValueError(
            f"X is 2-D, and {type(estimator).__name__} was fitted on sets of several "
            "elements; expected a list of 2-D arrays: [X] for one set, or "
            "np.asarray(X)[:, np.newaxis] for a set from each row."
        )
    if len(sets.values):
        check_feature_names_match(estimator, sets.column_labels)
    if sets.n_features != estimator.n_features_in_:
        raise ValueError(
            f"X has {sets.n_features} features, but {type(estimator).__name__} is "
            f"expecting {estimator.n_features_in_} features as input"
            f"{_transposed(sets, estimator.n_features_in_)}."
        )
    return sets


def _has_no_sets(X):
    """Whether X is a list, an array, a table or a column of no rows.

    A filtered partition may be.
    """
    if isinstance(X, list | tuple):
        return not X
    shape = getattr(X, "shape", ())
    return len(shape) in (1, 2) and shape[0] == 0


def single_column(X):
    """Return the only column of a table if its cells are sets, or else X.

    Of polars, as a list, as NumPy would make numbers of missing cells.
    """
    if type(X).__module__.startswith("polars."):
        column = X.to_series() if X.shape[1:] == (1,) else X
        are_objects = str(getattr(column, "dtype", "")) in ("Object", "Null")
        return column.to_list() if are_objects else X
    if not hasattr(X, "iloc") or X.ndim != 2 or X.shape[1] != 1:
        return X
    column = X.iloc[:, 0]
    if not hasattr(column, "iloc"):  # of Dask
        return X
    first = first_present(column)
    are_sets = len(column) and (first is None or is_array_or_list(first))
    return column if column.dtype == object and are_sets else X


def _transposed(sets, n_features):
    """A hint where each set has as many elements as features are expected."""
    if n_features == 1 or not len(sets) or (sets.lengths != n_features).any():
        return ""
    return f", and each set has {n_features} elements: to swap the axes, [x.T for x in X]"


def _is_sequence_of_sets(X):
    """Whether the items of a list are sets, rather than the rows of one table."""
    if not isinstance(X, list):
        return False
    dimensions = [_n_dimensions(x) for x in X]
    row_lengths = {len(x) for x, n in zip(X, dimensions) if n == 1}
    return max(dimensions, default=2) > 1 or len(row_lengths) > 1 or 0 in row_lengths


def _holds_objects(x):
    return getattr(x, "dtype", None) == np.dtype(object)


def _n_dimensions(x):
    """Dimensions of an array or nested list; 2 if `pack` is to raise an error."""
    is_array = hasattr(x, "__array__") or isinstance(x, (list, tuple))
    if issparse(x) or not is_array or is_missing_cell(x):
        return 2
    try:
        n = x.ndim if hasattr(x, "ndim") else np.ndim(x)
        if getattr(getattr(x, "dtype", None), "names", None):  # records
            return 2
        are_elements = n == 1 and _holds_objects(x) and len(x)
        return 2 if are_elements and is_array_or_list(x[0]) else n
    except (TypeError, ValueError, RuntimeError):
        return 2


def _from_equal_lengths(X):
    """Sets from a 3-D array or a 4-D array of grids, without a copy of float arrays."""
    n_sets, *grid, n_features = X.shape
    length = int(np.prod(grid))
    positions = None
    if len(grid) == 2:
        cells = np.indices(grid).reshape(2, -1).T
        positions = np.tile((cells + 1) / grid, (n_sets, 1))
    if not n_features:
        raise ValueError(f"X has shape {X.shape}, with 0 features; expected at least 1.")
    values = as_floats(X, "X")
    if len(grid) == 1:
        warn_about_zero_padding(values)
    values = values.reshape(n_sets * length, n_features)
    return SetCollection(values, offsets_of([length] * n_sets), positions=positions)


def _from_rows(X):
    """Sets of one element each, from the rows of 2-D input as in scikit-learn."""
    _check_2d(X)
    try:
        check_no_dates(X, "it")
        table = nullable_as_floats(np.asarray(X) if isinstance(X, list) else X)
        dtype = np.asarray(table.head(0) if hasattr(table, "head") else table).dtype
        if dtype == np.float16:
            table = np.asarray(table, np.float32)
        if dtype.kind in "USmM":  # dates would be converted
            raise ValueError(f"it is {dtype}; expected real numbers")
        values = check_array(
            table, dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
        )
    except (TypeError, ValueError, OverflowError) as error:
        error_type = TypeError if isinstance(error, TypeError) else ValueError
        raise error_type(
            f"X is no list of 2-D arrays, and no table: {error}{_hint_for_rows(X)}"
        ) from error
    offsets = np.arange(len(values) + 1)
    return SetCollection(values, offsets, feature_names=feature_names_of(X))


def _check_2d(X):
    """Raise an error for an array of one dimension, or of many."""
    shape = getattr(X, "shape", (0, 0))
    if getattr(getattr(X, "dtype", None), "names", None):
        raise TypeError(
            f"X is an array of records, {X.dtype.names}; expected a list of 2-D arrays, or "
            "a table: pd.DataFrame(X)."
        )
    if len(shape) != 2:
        hint = ""
        if len(shape) == 1:  # "Reshape your data" is what scikit-learn's checks ask for
            hint = (
                ". Reshape your data: [X.reshape(-1, 1)] is one set of scalar elements, "
                "[X.reshape(1, -1)] one set of one element"
            )
        raise ValueError(f"X has shape {shape}; expected a list of 2-D arrays{hint}.")


def _hint_for_rows(X):
    """What to pass instead of rows that don't hold numbers."""
    if isinstance(X, list) and all(_is_text(x) and np.char.isalpha(x).all() for x in X):
        return f" ({one_hot('X')})"
    if not hasattr(X, "columns"):
        return ""
    wrong = columns_of_no_numbers(X)
    column = repr(wrong[0]) if len(wrong) == 1 else "column"
    hint = f" (a long table: SetCollection.from_groups(X, {column}))"
    explanation = explain_columns(X, "X")
    return hint + f"; X has {explanation}" * bool(explanation)


def _is_text(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "U"
