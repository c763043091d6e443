"""Validation of arrays passed by users. Error messages call each array by its name."""

import numpy as np
from sklearn.utils import check_array

from otk_sklearn.sets._not_numbers import check_not_text, explain_no_array, one_hot
from otk_sklearn.sets._tensors import with_numpy
from otk_sklearn.sets._unreadable import check_readable, instead_of, sets_with, type_name

# In errors about columns of text.
FRAMES_HINT = (
    "Leave out labels to be predicted. To encode other columns, use ElementTransformer "
    "with a list of DataFrames: [rows for _, rows in table.groupby('id', sort=False)]."
)

# Elements with one feature, of an array-like of numbers.
_COLUMN = "np.reshape({0}, (-1, 1))"


def as_array(x, name):
    """Return `x` as an array, or raise an error that calls it by `name`."""
    array = x if isinstance(x, np.ndarray) else _converted(x, name)
    # Small floats that other packages define, such as bfloat16 of ml_dtypes.
    is_foreign = array.dtype.kind == "V" and np.can_cast(array.dtype, np.float32)
    return array.astype(np.float32) if is_foreign else array


def _converted(x, name):
    """Convert an object that is no array."""
    check_readable(x, name)
    try:
        return np.asanyarray(with_numpy(x))
    except (TypeError, ValueError, RuntimeError) as error:
        error_type = TypeError if isinstance(error, TypeError) else ValueError
        raise error_type(explain_no_array(x, name, error)) from error


def as_unmasked(x, name):
    """Return `x` as a plain array, or raise an error if it has masked values."""
    array = as_array(x, name)
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(f"{name} has masked values; expected none.")
    return np.asarray(array)


def float_dtype(dtype):
    """The precision in which numbers are held: float32 where all of them fit into it."""
    return np.float32 if dtype in (np.float16, np.float32) else np.float64


def column_names(table):
    """Names of the columns of a table of pandas, polars or Arrow; none for others."""
    names = getattr(table, "columns", [])
    if hasattr(table, "column_names") and not hasattr(table, "dtypes"):
        names = table.column_names  # Arrow's `columns` are arrays
    return [str(name) if isinstance(name, np.str_) else name for name in names]


def nullable_as_floats(x):
    """Convert pandas' nullable numbers to floats, with NaN for NA; return others unchanged.

    NumPy would convert them to objects. Objects may be numbers, too: NA becomes NaN.
    """
    if not hasattr(x, "isna"):
        return x
    of_table = getattr(x, "dtypes", None)  # an Index has only `dtype`
    pandas_dtypes = np.ravel(np.array(x.dtype if of_table is None else of_table, object))
    dtypes = [getattr(dtype, "numpy_dtype", dtype) for dtype in pandas_dtypes]
    is_nullable = any(hasattr(dtype, "numpy_dtype") for dtype in pandas_dtypes)
    kinds = {dtype.kind for dtype in dtypes}
    if "O" in kinds:
        missing = np.asarray(x.isna())
        return np.where(missing, np.nan, np.asarray(x, object)) if missing.any() else x
    if not is_nullable or not kinds <= set("fiub"):
        return x
    single = all(float_dtype(dtype) == np.float32 for dtype in dtypes)
    return x.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)


def check_numbers(array, name):
    """Return an array of real numbers, or of objects that may be real numbers."""
    return _check_kind(as_unmasked(nullable_as_floats(array), name), name)


def _check_kind(array, name):
    """Return a plain array, or raise an error if it holds no real numbers."""
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} is {array.dtype}.")
    if array.dtype.kind not in "fiubO":
        are_times = array.dtype.kind in "mM" and name.startswith("positions")
        hint = (
            ": of times, seconds since the start of their set, divided by those of the "
            "longest one"
        )
        raise ValueError(
            f"{name} is {array.dtype}; expected real numbers{hint * are_times}."
        )
    return array


def as_floats(array, name):
    """Return `array` as float32 or float64 in C order, copied only if necessary."""
    return plain_as_floats(check_numbers(array, name), name)


def plain_as_floats(array, name):
    """Convert an array that `check_numbers` or `check_elements` returned."""
    dtype = float_dtype(array.dtype)
    if array.dtype == object:
        _check_no_text(array, name)
    if not array.flags.aligned:  # compiled code relies on alignment
        array = array.copy()
    try:
        return np.ascontiguousarray(array, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold real numbers: {error}.") from error


def _check_no_text(objects, name):
    """Raise an error for text: a label such as "1" is no number."""
    text = next((x for x in objects.flat if isinstance(x, str | bytes)), None)
    if text is not None:
        raise ValueError(f"{name} must hold real numbers: it has the text {text!r}.")


def check_elements(elements, name):
    """Return a 2-D array of real numbers, or raise an error that calls it by `name`."""
    check_not_text(elements, name)
    # A plain array first: the shape of subclasses and other objects is not reliable.
    array = as_unmasked(nullable_as_floats(elements), name)
    check_no_dates(elements, name)
    if array.dtype == np.float32 and _has_integers(elements):
        array = array.astype(np.float64)
    if array.dtype == object:
        array = _stack_cells(array, name)
    if array.shape == (0,):
        raise ValueError(f"{name} is empty; expected at least one element.")
    if array.dtype.names:
        raise ValueError(
            f"{name} is an array of records, {array.dtype.names}; expected a 2-D array, or "
            f"a table: {instead_of(name, 'pd.DataFrame({0})')}."
        )
    if array.ndim != 2:
        what = f"has shape {array.shape}" if array.ndim else f"is {type_name(elements)}"
        raise ValueError(
            f"{name} {what}; expected a 2-D array (n_elements, n_features)"
            f"{_hint_for_dimensions(array, name)}."
        )
    if array.shape[1] == 0:
        raise ValueError(f"{name} has 0 features; expected at least 1.")
    return _check_kind(array, name)


def _has_integers(table):
    """Whether a table of pandas or polars has integers beside floats.

    Small integers fit into float32. But the precision of sets is not to depend on how many
    bits integers have, which may differ from batch to batch.
    """
    kinds = ("int", "uint", "bool")
    dtypes = np.ravel(np.array(getattr(table, "dtypes", []), dtype=object))
    return any(str(dtype).lower().startswith(kinds) for dtype in dtypes)


def _hint_for_dimensions(array, name):
    """What makes a 2-D array of one that is not."""
    sets = sets_with(name)
    if array.ndim == 3 and sets:
        return f"; of a list of batches of sets: [x for batch in {sets} for x in batch]"
    if array.ndim != 1:
        return ""
    if array.dtype.kind == "U" and sets:
        return f"; {one_hot(sets)}"
    return f"; scalar elements need reshape(-1, 1): {instead_of(name, _COLUMN)}"


def _stack_cells(array, name):
    """Stack an array of objects whose cells are elements, as Parquet and MATLAB have it."""
    is_column = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if not is_column or not array.size or not all(map(is_array_or_list, array.flat)):
        return array
    rows = [as_unmasked(x, f"element {i} of {name}") for i, x in enumerate(array.flat)]
    rows = [x[0] if x.ndim == 2 and len(x) == 1 else x for x in rows]  # of MATLAB
    if any(x.ndim != 1 for x in rows):
        return array
    for i, x in enumerate(rows):
        if len(x) != len(rows[0]):
            raise ValueError(
                f"element {i} of {name} has {len(x)} features, the first has "
                f"{len(rows[0])}; expected the same number in every element."
            )
    return np.stack(rows)


def cells_of(array):
    """The cells of an array of objects as a list, or None if it is no sequence of them.

    A sequence of MATLAB is a row or a column.
    """
    if array.dtype != object or array.ndim > 2:
        return None
    are_cells = array.ndim == 1 or (1 in array.shape and _are_arrays_or_lists(array.flat))
    return list(array.flat) if are_cells else None


def _are_arrays_or_lists(cells):
    """Whether all cells are, that are not missing, and some are not."""
    present = [x for x in cells if not is_missing_cell(x)]
    return bool(present) and all(map(is_array_or_list, present))


def is_array_or_list(x):
    """Whether a cell of an array of objects is an array or a list itself."""
    is_array = hasattr(x, "__array__") and getattr(x, "ndim", 1)
    return isinstance(x, (list, tuple)) or bool(is_array)


def is_missing_cell(x):
    """Whether a cell that holds a set is None, NaN, or pandas' NA or NaT."""
    if x is None or type(x).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(x, float | np.floating) and bool(np.isnan(x))


def first_present(cells):
    """The first cell that is not missing, or None."""
    return next((x for x in cells if not is_missing_cell(x)), None)


def as_elements(values, name="values"):
    """Return elements as a 2-D array of floats; an error names columns of no numbers."""
    try:
        return plain_as_floats(check_elements(values, name), name)
    except ValueError as error:
        explanation = explain_columns(values, name)
        if not explanation:
            raise
        raise ValueError(f"{name} has {explanation}") from error


def explain_columns(table, name):
    """What is wrong with the columns of a table that is no table of numbers, or nothing."""
    sets = columns_of_sets(table)
    if sets:
        return explain_columns_of_sets(table, name, [[column] for column in sets])
    wrong = columns_of_no_numbers(table)
    if holds_arrays(table, wrong):
        of_series = f", or of time series SetCollection.from_series({name}[{wrong}])"
        return (
            f"arrays in the cells of its columns {wrong}; expected a set for each row: "
            f"[np.column_stack(row) for row in {name}[{wrong}].to_numpy()]"
            f"{of_series * hasattr(table, 'iloc')}"
        )
    return wrong and (
        f"columns that don't hold numbers, {wrong}; expected those of features only. "
        f"{FRAMES_HINT}"
    )


def holds_arrays(table, columns):
    """Whether there are columns, and all have arrays in their cells, as sktime's tables."""
    cells = [first_present(table[column]) for column in columns]
    return bool(cells) and all(map(is_array_or_list, cells))


def columns_of_sets(table):
    """Labels of the columns of a pandas or polars table whose cells are 2-D."""
    names = column_names(table) if hasattr(table, "dtypes") else []
    return [
        name
        for name in names
        if str(getattr(table[name], "dtype", "")).lower() == "object"
        and any(map(_is_set, table[name]))
    ]


def _is_set(x):
    if hasattr(x, "columns"):
        return True
    return is_array_or_list(x) and len(x) > 0 and is_array_or_list(x[0])


def explain_columns_of_sets(table, name, groups):
    """What is wrong with columns of sets beside others, and what to pass instead.

    Parameters
    ----------
    table : table of pandas, polars or Arrow
    name : str
    groups : list of lists
        Labels of the columns of sets, those together that make the same sets.
    """
    sets = [column for group in groups for column in group]
    others = [column for column in column_names(table) if column not in sets]
    beside = f", beside others, {others}" if others else ""
    of_arrow = hasattr(table, "column_names") and not hasattr(table, "dtypes")
    alone = f"{name}.select({groups[0]})" if of_arrow else f"{name}[{groups[0]}]"
    explanation = f"columns of sets, {sets}{beside}; expected those of one kind: {alone}"
    if name != "X" or of_arrow:
        return explanation
    pairs = [
        f"(embedding, {group[0]!r})"
        if isinstance(group[0], str) and len(group) == 1
        else f"(embedding, {group})"
        for group in groups
    ]
    rest = ", remainder='passthrough'" if others else ""
    return (
        f"{explanation}, or all of them by ColumnTransformer: "
        f"make_column_transformer({', '.join(pairs)}{rest})"
    )


def columns_of_no_numbers(table):
    """Names of the columns of a pandas or polars table that are not numeric."""
    names = column_names(table) if hasattr(table, "dtypes") else []
    return [column for column in names if _is_no_number(table[column])]


def check_no_dates(table, name):
    """Raise an error for dates in a polars table, which converts them to floats."""
    if hasattr(table, "schema") and hasattr(table, "dtypes"):
        if has_dates_or_complex(table):
            raise ValueError(f"{name} has columns of dates; expected real numbers.")


def has_dates_or_complex(table):
    """Whether a table has dates, durations or complex numbers, which are no categories."""
    kinds = ("date", "time", "duration", "complex")
    dtypes = map(str, np.ravel(np.array(table.dtypes, dtype=object)))
    return any(kind in dtype.lower() for dtype in dtypes for kind in kinds)


def _is_no_number(column):
    try:
        as_floats(column, "column")
    except (TypeError, ValueError):
        return True
    return False


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
    check_readable(array, name)
    try:
        return check_array(
            with_numpy(array),
            dtype=[np.float64, np.float32],
            copy=True,
            ensure_2d=False,
            allow_nd=True,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of finite numbers: {error}") from error
