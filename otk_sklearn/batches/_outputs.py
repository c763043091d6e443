"""What methods of estimators return, as columns of Arrow. Needs pyarrow."""

import numpy as np
import pyarrow as pa
from scipy.sparse import issparse

from otk_sklearn.sets._collection import SetCollection


def as_column(out, call, fixed_size_lists=True):
    """Return the output of a method as an Arrow array with an entry for each set.

    Parameters
    ----------
    out : array-like of shape (n_sets,) or (n_sets, n_columns)
    call : str
        The method, as error messages call it.
    fixed_size_lists : bool, default=True
        Whether lists have a fixed size. Plain ones have offsets of 32 bits.

    Returns
    -------
    pyarrow.Array
        Of scalars, or of lists. Numbers are not copied.
    """
    if isinstance(out, SetCollection):
        raise TypeError(
            f"{call} returns sets; expected one vector or prediction a set: of a pipeline "
            "that ends in an embedding, a classifier or a regressor."
        )
    array = out.toarray() if issparse(out) else np.asarray(out)
    if isinstance(out, list) or array.ndim not in (1, 2):
        raise TypeError(
            f"{call} returns {type(out).__name__} of shape {array.shape}; expected an "
            "array with an entry or a row for each set."
        )
    if not fixed_size_lists and array.size >= 2**31:
        raise ValueError(
            f"{call} returns {array.size} numbers for a batch; expected less than 2**31 "
            "for plain lists, of smaller batches."
        )
    try:
        numbers = pa.array(np.ascontiguousarray(array).ravel())
    except pa.ArrowInvalid as error:
        raise TypeError(
            f"{call} returns {array.dtype} that Arrow has no type for: {error}"
        ) from error
    if array.ndim == 1:
        return numbers
    n_rows, n_columns = array.shape
    if fixed_size_lists:
        return pa.FixedSizeListArray.from_arrays(numbers, n_columns)
    offsets = pa.array(np.arange(n_rows + 1) * n_columns, pa.int32())
    return pa.ListArray.from_arrays(offsets, numbers)


def row_bytes(arrow_type):
    """Approximate number of bytes of an entry of this type."""
    if pa.types.is_fixed_size_list(arrow_type):
        return arrow_type.list_size * row_bytes(arrow_type.value_type)
    return 8


def as_table(column, output, names, schema):
    """Return results as a table, with the names of their sets.

    Parameters
    ----------
    column : pyarrow.Array
        As of `as_column`.
    output : str
        Name of the column.
    names : ndarray or None
        Of the sets.
    schema : pyarrow.Schema or None
        Of earlier tables.
    """
    columns = {output: column}
    if names is not None:
        columns = {"name": _as_array(names.tolist()), **columns}
    if schema is None:
        return pa.table(columns)
    if list(columns) != schema.names:
        raise ValueError(
            "some batches have names of sets and others have none; expected names in all, "
            "or in none."
        )
    if names is not None and columns["name"].type != schema.field("name").type:
        raise ValueError(
            f"names of sets are {columns['name'].type}, and {schema.field('name').type} in "
            "the batches before; expected one type."
        )
    return pa.table(columns).cast(schema)


def _as_array(names):
    """Names of sets as an Arrow array: of structs, if they are tuples."""
    try:
        if not isinstance(names[0], tuple):
            return pa.array(names)
        fields = [pa.array(field) for field in zip(*names, strict=True)]
        return pa.StructArray.from_arrays(fields, [*map(str, range(len(fields)))])
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"names of sets, such as {names[0]!r}, are of several types or of one that "
            "Arrow doesn't have; expected strings, integers, dates, or tuples of them."
        ) from error
