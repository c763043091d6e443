"""Lists of Arrow, polars, pandas and awkward, as estimators take them themselves."""

from collections.abc import Sequence

import numpy as np

from otk_sklearn.sets._arrays import (
    column_names,
    columns_of_sets,
    explain_columns_of_sets,
    first_present,
)
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._list_columns import sets_of_lists
from otk_sklearn.sets._sequences import first_not_empty
from otk_sklearn.sets._unreadable import check_not_packed, check_readable


def check_container(X):
    """Raise an error that names what to pass for lists that can't be read any more."""
    check_not_packed(X, "X")
    if _class_name(X) == "polars.LazyFrame":
        raise TypeError("X is polars.LazyFrame; expected X.collect().")
    if not isinstance(X, Sequence) and not _has_arrow_interface(X):
        check_readable(X, "X")
    first = first_present(X) if isinstance(X, list) else None
    if _class_name(first).startswith("pyarrow.") and hasattr(first, "as_py"):
        raise TypeError(
            f"X is a list of {_class_name(first)}, as scikit-learn before 1.7 splits Arrow "
            "arrays; expected SetCollection.from_arrow(X), before it is split."
        )
    if _class_name(first) == "awkward.Array" and first.fields:
        raise TypeError(
            "X is a list of awkward.Array of records, as scikit-learn splits awkward "
            "arrays; expected SetCollection.from_awkward(X), before it is split."
        )


def is_container(X):
    """Whether X holds nested lists, which `read_container` reads.

    This imports no library: tables of numbers don't need pyarrow.
    """
    if _class_name(X).startswith("awkward."):
        return _class_name(X) == "awkward.Array"
    dtypes = _dtypes(X)
    if dtypes is None:  # of pyarrow, or of another library with Arrow's interface
        return _has_arrow_interface(X)
    return any(map(_is_nested, dtypes)) or _has_columns_of_lists(X)


def read_container(X, n_features=None):
    """Convert nested lists to a `SetCollection`.

    Parameters
    ----------
    X : awkward.Array, or array or table of lists of pyarrow, pandas, or any library with \
            the Arrow PyCapsule interface
        Each column of a table is a feature, or several.
    n_features : int, default=None
        Number of features where X doesn't tell it, as none of its sets has an element.

    Returns
    -------
    SetCollection
    """
    if _class_name(X) == "awkward.Array":
        from otk_sklearn.sets._awkward import read_awkward as read

        constructor = "from_awkward"
    else:
        try:
            from otk_sklearn.sets._arrow import read_arrow as read
        except ImportError:
            _check_all_hold_sets(X)  # of a table that Arrow can't hold, either
            raise
        constructor = "from_arrow"
    return sets_of_lists(
        SetCollection, constructor, read, X, name="X", n_features=n_features
    )


def _check_all_hold_sets(X):
    """Raise an error if a table of pandas has columns of sets beside others."""
    columns = columns_of_sets(X)
    if 0 < len(columns) < len(column_names(X)):
        explanation = explain_columns_of_sets(X, "X", [[column] for column in columns])
        raise ValueError(f"X has {explanation}.") from None


def _has_arrow_interface(X):
    return hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__")


def _class_name(X):
    """The name of the class, and that of the package it is from."""
    return f"{type(X).__module__.partition('.')[0]}.{type(X).__name__}"


def _dtypes(X):
    """The types of columns, or of an array; None if X has none."""
    if hasattr(X, "dtypes"):
        return list(np.ravel(np.array(X.dtypes, dtype=object)))
    if hasattr(X, "dtype"):
        return [X.dtype]
    schema = getattr(X, "schema", None)
    return list(schema.values()) if hasattr(schema, "values") else None


def _is_nested(dtype):
    """Whether a type of pandas, polars or narwhals is one of lists, structs or tensors."""
    if hasattr(dtype, "pyarrow_dtype"):
        arrow_type = dtype.pyarrow_dtype
        return getattr(arrow_type, "storage_type", arrow_type).num_fields > 0
    if hasattr(dtype, "ext_storage"):
        dtype = dtype.ext_storage()
    return bool(getattr(dtype, "is_nested", bool)())


def _has_columns_of_lists(X):
    """Whether X is a pandas table with lists of numbers, as objects, for each feature.

    A single column of sets is none: it needs no conversion to Arrow.
    """
    if not (hasattr(X, "iloc") and hasattr(X, "columns")):
        return False
    are_objects = [isinstance(dtype, np.dtype) and dtype.kind == "O" for dtype in X.dtypes]
    columns = [X.iloc[:, j] for j in np.flatnonzero(are_objects)]
    cells = [_first_filled(column) for column in columns]
    lists = [cell for cell in cells if isinstance(cell, list | tuple | np.ndarray)]
    if len(lists) == X.shape[1] == 1:
        return len(lists[0]) > 0 and np.ndim(lists[0][0]) == 0
    return bool(lists)


def _first_filled(column):
    """The first cell that is neither missing nor an empty list; otherwise an empty one."""
    filled = first_not_empty(column)
    return first_present(column) if filled is None else filled
