"""Validation of arrays passed by users. Error messages call each array by its name."""

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array

# In errors about columns of text.
FRAMES_HINT = (
    "To encode others, use ElementTransformer with a list of DataFrames: "
    "[rows for _, rows in table.groupby('id', sort=False)]."
)


def as_array(x, name):
    """Return `x` as an array, or raise an error that calls it by `name`."""
    if issparse(x):
        raise TypeError(f"{name} is a sparse matrix; expected a dense array.")
    try:
        return np.asanyarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from error


def as_unmasked(x, name):
    """Return `x` as a plain array, or raise an error if it has masked values."""
    array = as_array(x, name)
    if np.ma.is_masked(array):
        raise ValueError(f"{name} has masked values; expected none.")
    return np.asarray(array)


def _nullable_as_floats(x):
    """Convert pandas' nullable numbers to floats, with NaN for NA; return others unchanged.

    NumPy would convert them to objects.
    """
    if not hasattr(x, "isna"):
        return x
    pandas_dtypes = np.ravel(np.array(x.dtypes, dtype=object))
    dtypes = [getattr(dtype, "numpy_dtype", dtype) for dtype in pandas_dtypes]
    is_nullable = any(hasattr(dtype, "numpy_dtype") for dtype in pandas_dtypes)
    if not is_nullable or any(dtype.kind not in "fiub" for dtype in dtypes):
        return x
    single = all(dtype == np.float32 for dtype in dtypes)
    return x.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)


def check_numbers(array, name):
    """Return an array of real numbers, or of objects that may be real numbers."""
    array = as_unmasked(_nullable_as_floats(array), name)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} is {array.dtype}.")
    if array.dtype.kind not in "fiubO":
        raise ValueError(f"{name} is {array.dtype}; expected real numbers.")
    return array


def as_floats(array, name):
    """Return `array` as float32 or float64 in C order, copied only if necessary."""
    array = check_numbers(array, name)
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    if not array.flags.aligned:  # compiled code relies on alignment
        array = array.copy()
    try:
        return np.ascontiguousarray(array, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold real numbers: {error}.") from error


def check_elements(elements, name):
    """Return a 2-D array of real numbers, or raise an error that calls it by `name`."""
    # A plain array first: the shape of subclasses and other objects is not reliable.
    array = as_unmasked(_nullable_as_floats(elements), name)
    if array.shape == (0,):
        raise ValueError(f"{name} is empty; expected at least one element.")
    if array.ndim != 2:
        raise ValueError(
            f"{name} has shape {array.shape}; expected a 2-D array (n_elements, n_features)"
            "; scalar elements need reshape(-1, 1)."
        )
    if array.shape[1] == 0:
        raise ValueError(f"{name} has 0 features; expected at least 1.")
    return check_numbers(array, name)


def as_elements(values):
    """Return the elements of all sets as a 2-D array of floats."""
    try:
        return as_floats(check_elements(values, "values"), "values")
    except ValueError as error:
        columns = columns_of_no_numbers(values)
        if not columns:
            raise
        raise ValueError(
            f"values has columns that don't hold numbers, {columns}; expected those of "
            f"features only. {FRAMES_HINT}"
        ) from error


def columns_of_no_numbers(table):
    """Names of the columns of a pandas or polars table that are not numeric."""

    def holds_numbers(column):
        try:
            as_floats(column, "column")
        except ValueError:
            return False
        return True

    names = table.columns if hasattr(table, "dtypes") else []
    return [name for name in names if not holds_numbers(table[name])]


def as_rows(array, n_rows, name):
    """Return an array with `n_rows` floats, or rows of floats."""
    array = as_floats(array, name)
    if array.ndim == 0 or len(array) != n_rows:
        raise ValueError(
            f"{name} has shape {array.shape}; expected one entry an element, {n_rows}."
        )
    return array


def as_fitted(array, name, shape):
    """Validate a fitted attribute, as finite floats; None in `shape` allows any length.

    Fitted attributes may have been loaded from a file, or assigned by users.
    """
    if array is None:
        raise ValueError(f"{name} is None; expected an array.")
    floats = as_floats(array, name)
    expected = [actual if n is None else n for n, actual in zip(shape, floats.shape)]
    if floats.ndim != len(shape) or list(floats.shape) != expected or not floats.size:
        lengths = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} has shape {floats.shape}; expected ({lengths}).")
    if not np.isfinite(floats).all():
        raise ValueError(f"{name} has NaN or infinity; expected finite numbers.")
    return floats


def check_parameter_array(array, name):
    """Return a copy of an array parameter of an estimator, as floats."""
    try:
        return check_array(
            array,
            dtype=[np.float64, np.float32],
            copy=True,
            ensure_2d=False,
            allow_nd=True,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of finite numbers: {error}") from error
