"""Conversion from and to awkward arrays. Imported lazily, as it needs awkward."""

import functools

import numpy as np

from otk_sklearn.sets._arrays import float_dtype
from otk_sklearn.sets._list_columns import (
    Column,
    check_equal_n_features,
    check_not_missing,
    join_columns,
    place,
)
from otk_sklearn.sets._offsets import locate_element, offsets_of

try:
    import awkward as ak
except ImportError as error:
    raise ImportError(
        "Awkward arrays (from_awkward, to_awkward, and as input) need awkward: "
        'pip install "otk-sklearn[awkward]"'
    ) from error


def read_awkward(data, name, n_features=None):
    """Return the elements of all sets, as a view if possible, offsets and feature names.

    Parameters
    ----------
    data : awkward.Array of lists, or of records of lists
    name : str
        Name of the data in error messages.
    n_features : int, default=None
        Number of features where the data don't tell it, having no elements.
    """
    if not isinstance(data, ak.Array):  # a string would be read as JSON
        raise TypeError(f"{name} is {type(data).__name__}; expected an awkward.Array.")
    item_type = _item_type(data)
    if not isinstance(item_type, ak.types.RecordType):
        return join_columns([_read_column(data, name, name)], name, n_features)
    columns = [
        _read_column(
            data[field],
            f"column {field!r} of {name}",
            f"{name}[{field!r}]",
            None if item_type.is_tuple else field,
        )
        for field in ak.fields(data)
    ]
    return join_columns(columns, name, n_features)


def write_awkward(sets):
    """Return the elements as an `awkward.Array`, without a copy."""
    offsets = ak.index.Index64(sets.offsets)
    elements = ak.contents.NumpyArray(sets.values)
    return ak.Array(ak.contents.ListOffsetArray(offsets, elements))


def _read_column(array, label, code, name=None):
    """The column of an array with a list for each set."""
    item_type = _item_type(array)
    if isinstance(item_type, ak.types.UnionType):
        _raise_mixed_sets(array, label, code)
    if isinstance(item_type, ak.types.UnknownType):  # no set, or all are missing
        lengths, elements = np.zeros(len(array), np.int64), ak.Array([])
    elif _is_list(item_type):
        lengths, elements = _lengths(array), ak.flatten(array, axis=1)
    else:
        raise ValueError(
            f"{label} has the type {array.type}; expected a list of elements for each set."
        )
    offsets = offsets_of(lengths)
    _check_elements(elements, label, offsets)
    n_features = _n_features(elements, label, offsets)
    leaves = _leaves(elements)
    for field, leaf in leaves.items():
        _check_numbers(leaf, field, elements, label, code, offsets)
    types = [_item_type(leaf) for leaf in leaves.values()]
    return Column(
        label=label,
        offsets=offsets,
        n_features=n_features,
        feature_names=_feature_names(_item_type(elements), n_features, name),
        dtype=np.float32 if all(_is_single(item) for item in types) else np.float64,
        blocks=[functools.partial(_to_numpy, elements)] if len(elements) else [],
    )


def _item_type(array):
    """The type of the items of an array, whether or not some are missing."""
    item_type = array.type.content
    is_option = isinstance(item_type, ak.types.OptionType)
    return item_type.content if is_option else item_type


def _is_list(item_type):
    is_list = isinstance(item_type, (ak.types.ListType, ak.types.RegularType))
    return is_list and "__array__" not in item_type.parameters  # as strings have


def _check_elements(elements, label, offsets):
    """Raise an error for missing elements, and for those of different types."""
    item_type = _item_type(elements)
    if isinstance(item_type, ak.types.UnionType):
        _raise_mixed_elements(elements, label, offsets)
    if isinstance(item_type, ak.types.RecordType) or _is_list(item_type):
        check_not_missing(_is_missing(elements), label, offsets)


def _n_features(elements, label, offsets):
    """Number of features of all elements; None if nothing tells it."""
    item_type = _item_type(elements)
    if isinstance(item_type, ak.types.UnknownType):
        return None
    n_features = 1
    if isinstance(item_type, ak.types.RecordType):
        n_features = len(item_type.contents)
    elif isinstance(item_type, ak.types.RegularType) and _is_list(item_type):
        n_features = item_type.size
    elif _is_list(item_type):
        lengths = _lengths(elements)
        if not len(lengths):
            return None
        n_features = int(lengths[0])
        check_equal_n_features(lengths, n_features, label, offsets)
    if n_features == 0:
        raise ValueError(f"{label} has elements with 0 features; expected at least 1.")
    return n_features


def _leaves(elements):
    """The arrays of numbers by field of records, or one array of them."""
    item_type = _item_type(elements)
    if isinstance(item_type, ak.types.RecordType):
        return {field: elements[field] for field in ak.fields(elements)}
    return {None: ak.flatten(elements, axis=1) if _is_list(item_type) else elements}


def _check_numbers(leaf, field, elements, label, code, offsets):
    """Raise an error that shows an element if a leaf doesn't hold numbers."""
    item_type = _item_type(leaf)
    if isinstance(item_type, ak.types.UnknownType):
        return
    if isinstance(item_type, ak.types.NumpyType):
        if np.dtype(item_type.primitive).kind in "fiub":
            return
    shown, hint = "", ""
    if len(elements):
        odd = _first_of_other_kind(leaf)[0] // (len(leaf) // len(elements))
        shown = f" ({place(odd, offsets, ak.to_list(elements[odd]))})"
    if field is None and "string" in str(item_type):
        hint = f": ak.strings_astype({code}, np.float64)"
    if field is not None and isinstance(item_type, ak.types.RecordType):
        hint = f": {_flat_records(elements, code)}"
    where = "" if field is None else f" in the field {field!r}"
    raise ValueError(
        f"{label} holds {item_type} in its elements{where}{shown}; expected real "
        f"numbers{hint}."
    )


def _flat_records(elements, code):
    """The code that makes nested records records of numbers."""
    parts = []
    for field in ak.fields(elements):
        inner = ak.fields(elements[field])
        parts += [f'"{field}_{name}": {code}["{field}", "{name}"]' for name in inner] or [
            f'"{field}": {code}["{field}"]'
        ]
    return f"ak.zip({{{', '.join(parts)}}}, depth_limit=2)"


def _raise_mixed_sets(array, label, code):
    i, kind, first = _first_of_other_kind(array)
    raise ValueError(
        f"set {i} of {label} is {kind}, the first is {first}; expected a list of elements "
        f"for each set. Without it: {code}[np.arange(len({code})) != {i}]."
    )


def _raise_mixed_elements(elements, label, offsets):
    k, kind, first = _first_of_other_kind(elements)
    i, element = locate_element(k, offsets)
    raise ValueError(
        f"element {element} of set {i} of {label} is {kind}, the first is {first}; "
        f"expected the same in every set, not the type {_item_type(elements)}."
    )


def _first_of_other_kind(array):
    """Index and kind of the first item that is of another kind than the first, and that.

    The first item itself if all are of one kind.
    """
    kinds = ((k, _kind(item)) for k, item in enumerate(array) if item is not None)
    first, kind = next(kinds, (0, "missing"))
    return next(
        ((k, other, kind) for k, other in kinds if other != kind), (first, kind, kind)
    )


def _kind(item):
    if isinstance(item, ak.Record):
        return f"a record of {', '.join(map(repr, item.fields))}"
    if isinstance(item, ak.Array):
        fields = ", ".join(map(repr, ak.fields(item)))
        return f"a list of records of {fields}" if fields else "a list"
    return "text" if isinstance(item, str | bytes) else "a number"


def _feature_names(item_type, n_features, column_name):
    """Names of the features, where each has its own field or column."""
    if isinstance(item_type, ak.types.RecordType):
        return item_type.fields  # None for tuples
    return [column_name] if n_features == 1 and column_name else None


def _is_single(item_type):
    return getattr(item_type, "primitive", None) in ("float16", "float32")


def _to_numpy(elements):
    """The elements as 2-D arrays side by side."""
    item_type = _item_type(elements)
    if isinstance(item_type, ak.types.RecordType):
        return [_numbers(elements[field])[:, np.newaxis] for field in ak.fields(elements)]
    if _is_list(item_type):
        return [_numbers(ak.to_regular(elements, axis=1))]
    return [_numbers(elements)[:, np.newaxis]]


def _numbers(array):
    """Convert to NumPy, with NaN for missing numbers; no copy of contiguous numbers."""
    numbers = ak.to_numpy(array)
    if numbers.dtype == np.float16:
        numbers = numbers.astype(np.float32)
    if np.ma.is_masked(numbers):
        return numbers.astype(float_dtype(numbers.dtype)).filled(np.nan)
    return np.asarray(numbers)


def _lengths(array):
    """Lengths of lists; 0 where they are missing."""
    return ak.to_numpy(ak.fill_none(ak.num(array, axis=1), 0))


def _is_missing(array):
    """Boolean mask of missing items; missing fields of records don't count."""
    missing = ak.is_none(array)
    return np.zeros(len(array), bool) if ak.fields(missing) else ak.to_numpy(missing)
