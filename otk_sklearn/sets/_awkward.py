"""Conversion from and to awkward arrays. Imported lazily, as it needs awkward."""

import numpy as np

from otk_sklearn.sets._list_columns import (
    check_equal_n_features,
    check_not_missing,
    hstack_columns,
    nonempty_offsets,
)

try:
    import awkward as ak
except ImportError as error:
    raise ImportError(
        'from_awkward and to_awkward need awkward: pip install "otk-sklearn[awkward]"'
    ) from error


def read_awkward(data, name):
    """Return the elements of all sets, as a view if possible, and the offsets.

    Parameters
    ----------
    data : awkward.Array of lists, or of records of lists
    name : str
        Name of the data in error messages.
    """
    if not isinstance(data, ak.Array):  # a string would be read as JSON
        raise TypeError(f"{name} is {type(data).__name__}; expected an awkward.Array.")
    if not data.layout.is_record:
        return _read_lists(data, name)
    columns = {}
    for field in ak.fields(data):
        label = f"column {field!r} of {name}"
        columns[label] = _read_lists(data[field], label)
    return hstack_columns(columns, name)


def write_awkward(sets):
    """Return the elements as an `awkward.Array`, without a copy."""
    offsets = ak.index.Index64(sets.offsets)
    elements = ak.contents.NumpyArray(sets.values)
    return ak.Array(ak.contents.ListOffsetArray(offsets, elements))


def _read_lists(array, name):
    """Elements and offsets of an array with a list for each set."""
    if array.ndim < 2:  # -1 where types are mixed
        raise ValueError(
            f"{name} has the type {array.type}; expected a list of elements for each set."
        )
    check_not_missing(_is_missing(array), name)
    offsets = nonempty_offsets(ak.to_numpy(ak.num(array, axis=1)), name)
    return _read_elements(ak.flatten(array, axis=1), offsets, name), offsets


def _read_elements(elements, offsets, name):
    """The 2-D array of elements that are lists, records of numbers, or numbers."""
    fields = ak.fields(elements)
    if fields:
        check_not_missing(_is_missing(elements), name, offsets)
        return np.column_stack([_numbers(elements[field]) for field in fields])
    if elements.ndim == 1:
        return _numbers(elements)[:, np.newaxis]
    check_not_missing(_is_missing(elements), name, offsets)
    check_equal_n_features(ak.to_numpy(ak.num(elements, axis=1)), offsets, name)
    return _numbers(ak.to_regular(elements, axis=1))


def _numbers(array):
    """Convert to NumPy, with NaN for missing numbers; no copy of contiguous numbers."""
    numbers = ak.to_numpy(array)
    if np.ma.is_masked(numbers):
        dtype = np.float32 if numbers.dtype == np.float32 else np.float64
        return numbers.astype(dtype).filled(np.nan)
    return np.asarray(numbers)


def _is_missing(array):
    """Boolean mask of missing items; missing fields of records don't count."""
    missing = ak.is_none(array)
    return np.zeros(len(array), bool) if ak.fields(missing) else ak.to_numpy(missing)
