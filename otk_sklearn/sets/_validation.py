"""Validation of the input of estimators, and its conversion to sets."""

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.sets._arrays import FRAMES_HINT, as_floats, as_unmasked
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._containers import check_container, is_container, read_container
from otk_sklearn.sets._frames import is_sequence_of_frames, stack_frames
from otk_sklearn.sets._names import (
    check_feature_names_match,
    feature_names_of,
    index_of,
)
from otk_sklearn.sets._offsets import locate_element, offsets_of
from otk_sklearn.sets._sequences import first_not_empty, is_empty, pack


def as_sets(X, *, explain_rows=True, n_features=None):
    """Convert any accepted input to a `SetCollection`, with at most one copy.

    Parameters
    ----------
    X : list or tuple of 2-D arrays, 1-D object array of them, 3-D array of sets of equal \
            length, 4-D array of images of vectors, SetCollection, lists of Arrow or \
            awkward, or 2-D input
        2-D input (array, nested list of numbers, DataFrame) means that each row is a set
        of one element. A 4-D array of shape (n_images, height, width, n_features) gets
        the positions of its grid.
    explain_rows : bool, default=True
        Whether to warn (`UserWarning`) that each row of 2-D input is a set.
    n_features : int, default=None
        Number of features if X has no element to tell it.

    Returns
    -------
    SetCollection
    """
    if isinstance(X, SetCollection):
        return X
    if isinstance(X, list | tuple) and not X:
        raise ValueError("X is an empty collection; expected at least one set.")
    check_container(X)
    if is_container(X):
        return read_container(X, n_features)
    X = _single_column(X)
    names = index_of(X)
    if hasattr(X, "__array__") and not hasattr(X, "columns"):
        X = as_unmasked(X, "X")
    if _is_sequence_of_sets(X):
        feature_names = feature_names_of(first_not_empty(X))
        return SetCollection(*pack(X, "X"), names=names, feature_names=feature_names)
    if getattr(X, "ndim", 2) in (3, 4):
        return _from_equal_lengths(X)
    return _from_rows(X, explain_rows)


def as_sets_or_frames(X, *, explain_rows=True, n_features=None):
    """Convert any accepted input as `as_sets`, but leave DataFrames their dtypes.

    Returns
    -------
    FrameCollection if X is a sequence of DataFrames, otherwise SetCollection
    """
    X = _single_column(X)
    if is_sequence_of_frames(X):
        return stack_frames(X, "X")
    return as_sets(X, explain_rows=explain_rows, n_features=n_features)


def check_finite(sets):
    """Raise an error that names the first set with NaN or infinity."""
    if _all_finite(sets.values):
        return
    row, column = np.argwhere(~np.isfinite(sets.values))[0]
    i, element = locate_element(row, sets.offsets)
    what = "NaN" if np.isnan(sets.values[row, column]) else "infinity (inf)"
    raise ValueError(
        f"X contains {what} in set {i} (element {element}, feature {column}); "
        "expected finite values."
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
    if _all_finite(out):
        return
    i = np.argmin(np.isfinite(out).all(axis=1))
    if offsets is not None:
        i, _ = locate_element(i, offsets)
    raise ValueError(
        f"The {name} of set {i} of {sets} leaves the range of {out.dtype}; expected "
        "elements on a smaller scale (see ElementTransformer)."
    )


def _all_finite(array):
    """Whether all numbers are finite: if their sum is, which takes no memory, they are."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def check_not_empty(sets, empty_sets):
    """Raise an error that names the first empty set, unless they are accepted.

    Parameters
    ----------
    sets : SetCollection
    empty_sets : {"error", "zero"}
    """
    empty = np.flatnonzero(sets.lengths == 0)
    if len(empty) and empty_sets == "error":
        raise ValueError(
            f"set {empty[0]} of X is empty; expected at least one element, or an embedding "
            'with empty_sets="zero".'
        )


def input_attributes(sets):
    """Return the fitted attributes that describe the input of `fit`."""
    names = sets.feature_names
    return {
        **({} if names is None else {"feature_names_in_": np.array(names)}),
        "n_features_in_": sets.n_features,
        "_single_elements": bool((sets.lengths == 1).all()),
    }


def as_fitted_sets(estimator, X, *, convert=as_sets):
    """Convert X to sets, and check them against the input of `fit`."""
    check_is_fitted(estimator)
    if isinstance(X, list | tuple) and all(map(is_empty, X)):
        no_elements = np.empty((0, estimator.n_features_in_))
        return SetCollection(no_elements, np.zeros(len(X) + 1, int))
    # After a fit on sets of one element, 2-D input is expected.
    sets = convert(
        X,
        explain_rows=not estimator._single_elements,
        n_features=estimator.n_features_in_,
    )
    if len(sets):
        check_feature_names_match(estimator, sets.feature_names)
    if sets.n_features != estimator.n_features_in_:
        raise ValueError(
            f"X has {sets.n_features} features, but {type(estimator).__name__} is "
            f"expecting {estimator.n_features_in_} features as input."
        )
    return sets


def _single_column(X):
    """Return the only column of a table if its cells are sets, or else X."""
    if not hasattr(X, "iloc") or X.ndim != 2 or X.shape[1] != 1:
        return X
    column = X.iloc[:, 0]
    are_sets = len(column) and np.ndim(column.iloc[0]) > 0
    return column if column.dtype == object and are_sets else X


def _is_sequence_of_sets(X):
    """Whether the items of X are sets, rather than the rows of one table."""
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object:
        X = list(X)
    if not isinstance(X, (list, tuple)):
        return False
    dimensions = [_n_dimensions(x) for x in X]
    row_lengths = {len(x) for x, n in zip(X, dimensions) if n == 1}
    return max(dimensions, default=2) > 1 or len(row_lengths) > 1 or 0 in row_lengths


def _n_dimensions(x):
    """Dimensions of an array or nested list; 2 if `pack` is to raise an error."""
    if issparse(x):
        return 2
    try:
        return x.ndim if hasattr(x, "ndim") else np.ndim(x)
    except ValueError:
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
    values = as_floats(X, "X").reshape(n_sets * length, n_features)
    return SetCollection(values, offsets_of([length] * n_sets), positions=positions)


def _from_rows(X, explain):
    """Sets of one element each, from the rows of 2-D input as in scikit-learn."""
    try:
        if isinstance(X, (list, tuple)):
            X = np.asarray(X)
        dtype = np.asarray(X.head(0) if hasattr(X, "head") else X).dtype
        if dtype.kind in "USmM":  # dates would be converted
            raise ValueError(f"it is {dtype}; expected real numbers.")
        values = check_array(
            X, dtype=[np.float64, np.float32], order="C", ensure_all_finite=False
        )
    except (TypeError, ValueError, OverflowError) as error:
        error_type = TypeError if isinstance(error, TypeError) else ValueError
        hint = ""
        if hasattr(X, "columns"):
            hint = f" (a long table: SetCollection.from_groups). {FRAMES_HINT}"
        raise error_type(
            f"X is no list of 2-D arrays, and no table: {error}{hint}"
        ) from error
    if explain:
        warn_caller(
            "X is 2-D: each of its rows is taken as a set of one element. To pass one "
            "set, or several, use a list of 2-D arrays (here: [X]); for a long table, see "
            "SetCollection.from_groups.",
            UserWarning,
        )
    offsets = np.arange(len(values) + 1)
    return SetCollection(values, offsets, feature_names=feature_names_of(X))
