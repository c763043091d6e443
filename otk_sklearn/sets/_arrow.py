"""Conversion from and to Arrow lists. Imported lazily, as it needs pyarrow."""

import numpy as np

from otk_sklearn.sets._list_columns import (
    check_equal_n_features,
    check_not_missing,
    hstack_columns,
    nonempty_offsets,
)

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError as error:
    raise ImportError(
        'from_arrow and to_arrow need pyarrow: pip install "otk-sklearn[arrow]"'
    ) from error


def read_arrow(data, name):
    """Return the elements of all sets, as a view if possible, and the offsets.

    Parameters
    ----------
    data : array of lists, or table of such arrays, of pyarrow or any other library with \
            the Arrow PyCapsule interface
    name : str
        Name of the data in error messages.
    """
    array = _as_array(data, name)
    if not pa.types.is_struct(array.type):
        return _read_lists(array, name)
    columns = {}
    for field, column in zip(array.type, array.flatten()):
        label = f"column {field.name!r} of {name}"
        columns[label] = _read_lists(column, label)
    return hstack_columns(columns, name)


def write_arrow(sets):
    """Return the elements as a `pyarrow.LargeListArray`, without a copy."""
    numbers = pa.array(sets.values.ravel())
    elements = pa.FixedSizeListArray.from_arrays(numbers, sets.n_features)
    return pa.LargeListArray.from_arrays(pa.array(sets.offsets), elements)


def _as_array(data, name):
    """Convert to one Arrow array: of lists, or of structs if `data` is a table."""
    if hasattr(data, "__arrow_c_stream__"):
        chunks = pa.chunked_array(data)
        one = chunks.num_chunks == 1  # no copy
        array = chunks.chunk(0) if one else chunks.combine_chunks()
    elif hasattr(data, "__arrow_c_array__"):
        array = pa.array(data)
    else:
        raise TypeError(
            f"{name} is {type(data).__name__}; expected Arrow data (see pyarrow.array)."
        )
    array.validate(full=True)  # offsets may be read from a file
    return array


def _read_lists(array, name):
    """Elements and offsets of an array with a list for each set."""
    is_tensor = isinstance(array, pa.FixedShapeTensorArray)
    array = _storage(array)
    if is_tensor or not _is_list(array.type):
        hint = " (a long table: SetCollection.from_groups)" if " of " in name else ""
        raise ValueError(
            f"{name} holds {array.type}; expected a list of elements for each set{hint}."
        )
    check_not_missing(_is_missing(array), name)
    offsets = nonempty_offsets(_lengths(array), name)
    return _read_elements(_storage(array.flatten()), offsets, name), offsets


def _read_elements(elements, offsets, name):
    """The 2-D array of elements that are lists, structs of numbers, or numbers."""
    if pa.types.is_struct(elements.type):
        check_not_missing(_is_missing(elements), name, offsets)
        return np.column_stack([_numbers(field, name) for field in elements.flatten()])
    if _is_list(elements.type):
        check_not_missing(_is_missing(elements), name, offsets)
        n_features = check_equal_n_features(_lengths(elements), offsets, name)
        return _numbers(elements.flatten(), name).reshape(len(elements), n_features)
    return _numbers(elements, name)[:, np.newaxis]


def _numbers(array, name):
    """Convert to NumPy, with NaN for missing numbers; no copy of floats."""
    array = _storage(array)
    if not _is_number(array.type):
        raise ValueError(f"{name} holds {array.type} in its elements; expected numbers.")
    if array.type != pa.float32():
        array = array.cast(pa.float64(), safe=False)
    return array.to_numpy(zero_copy_only=False)


def _storage(array):
    """Return the storage array of an extension type, such as awkward's."""
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _is_list(arrow_type):
    return (
        pa.types.is_list(arrow_type)
        or pa.types.is_large_list(arrow_type)
        or pa.types.is_fixed_size_list(arrow_type)
        or pa.types.is_list_view(arrow_type)
        or pa.types.is_large_list_view(arrow_type)
    )


def _is_number(arrow_type):
    return (
        pa.types.is_floating(arrow_type)
        or pa.types.is_integer(arrow_type)
        or pa.types.is_boolean(arrow_type)
        or pa.types.is_decimal(arrow_type)
    )


def _lengths(array):
    return pc.list_value_length(array).to_numpy()


def _is_missing(array):
    return array.is_null().to_numpy(zero_copy_only=False)
