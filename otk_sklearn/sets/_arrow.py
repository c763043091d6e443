"""Conversion from and to Arrow lists. Imported lazily, as it needs pyarrow."""

import functools
from dataclasses import replace

import numpy as np

from otk_sklearn.sets._arrays import columns_of_sets, explain_columns_of_sets
from otk_sklearn.sets._list_columns import (
    Column,
    check_equal_n_features,
    check_not_missing,
    join_columns,
    place,
)
from otk_sklearn.sets._offsets import offsets_of

try:
    import pyarrow as pa
    import pyarrow.compute as pc

    from otk_sklearn.sets._arrow_extensions import Source, as_lists
except ImportError as error:
    raise ImportError(
        "Lists of Arrow (from_arrow, to_arrow, and polars and pyarrow as input) need "
        'pyarrow: pip install "otk-sklearn[arrow]"'
    ) from error


def read_arrow(data, name, n_features=None):
    """Return the elements of all sets, as a view if possible, offsets and feature names.

    Data in chunks are read chunk by chunk: as one array, their lists could have more
    elements than the 32-bit offsets of most lists can count.

    Parameters
    ----------
    data : array of lists, or table of such arrays, of pyarrow or any other library with \
            the Arrow PyCapsule interface, or of pandas
    name : str
        Name of the data in error messages.
    n_features : int, default=None
        Number of features where the data don't tell it, having no elements. 1 also means
        that tensors of shape (n,) are n numbers.
    """
    chunks, metadata = _chunks(data, name)
    fields = list(chunks[0].type) if pa.types.is_struct(chunks[0].type) else []
    n_dimensions = (1, 2) if n_features == 1 or len(fields) > 1 else (2,)
    source = Source(name, _code(data, name))
    lists = _as_lists(chunks, source, metadata, n_dimensions)
    if not pa.types.is_struct(lists[0].type):
        return join_columns([_read_column(lists, source)], name, n_features)
    columns = []
    for field, parts in zip(lists[0].type, zip(*(x.flatten() for x in lists))):
        source = Source(f"column {field.name!r} of {name}", _code(data, name, field.name))
        parts = _as_lists(parts, source, field.metadata, n_dimensions)
        columns.append((parts, source, field.name))
    _check_only_sets(columns, data, name)
    return join_columns([_read_column(*column) for column in columns], name, n_features)


def write_arrow(sets):
    """Return the elements as a `pyarrow.LargeListArray`, without a copy."""
    numbers = pa.array(sets.values.ravel())
    elements = pa.FixedSizeListArray.from_arrays(numbers, sets.n_features)
    return pa.LargeListArray.from_arrays(pa.array(sets.offsets), elements)


def _code(data, name, field=None):
    """What stands for the data, or for a column of it, in the code of an error message."""
    is_native = isinstance(data, (pa.Array, pa.ChunkedArray, pa.Table, pa.RecordBatch))
    if field is None:
        return name if is_native else f"pa.chunked_array({name})"
    return f"{name if is_native else f'pa.table({name})'}[{field!r}]"


def _chunks(data, name):
    """Convert to Arrow arrays, at least one: of lists, or of structs if `data` is a table.

    Returns
    -------
    chunks : list of pyarrow.Array
    metadata : dict of bytes or None
        That of the field of a single column, if it is known.
    """
    metadata = None
    if hasattr(data, "iloc"):  # of pandas, whose own conversion makes the index a column
        data = _from_pandas(data, name)
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        batches = data.to_batches() if isinstance(data, pa.Table) else [data]
        chunks = [batch.to_struct_array() for batch in batches]
        chunks = chunks or [pa.nulls(0, pa.struct(list(data.schema)))]
    elif isinstance(data, pa.Array):
        chunks = [data]
    elif hasattr(data, "to_frame") and hasattr(data, "__arrow_c_stream__"):
        # A Series of polars: only a table tells the metadata of its fields.
        table = pa.chunked_array(data.to_frame())
        chunks = [chunk.flatten()[0] for chunk in _nonempty(table)]
        metadata = table.type[0].metadata
    elif hasattr(data, "__arrow_c_stream__"):
        is_native = isinstance(data, pa.ChunkedArray)
        chunks = _nonempty(data if is_native else pa.chunked_array(data))
    elif hasattr(data, "__arrow_c_array__"):
        chunks = [pa.array(data)]
    else:
        raise TypeError(
            f"{name} is {type(data).__name__}; expected Arrow data (see pyarrow.array)."
        )
    for chunk in chunks:
        chunk.validate(full=True)  # offsets may be read from a file
    return chunks, metadata


def _nonempty(chunked_array):
    """Its chunks, at least one."""
    return chunked_array.chunks or [pa.nulls(0, chunked_array.type)]


def _from_pandas(data, name):
    try:
        if hasattr(data, "columns"):
            return pa.Table.from_pandas(data, preserve_index=False)
        return pa.array(data, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        columns = columns_of_sets(data)
        if columns and name == "X":
            explanation = explain_columns_of_sets(data, name, [[c] for c in columns])
            raise ValueError(f"{name} has {explanation}.") from error
        hint = f": SetCollection.from_sets({name}[{columns[0]!r}])" if columns else ""
        raise ValueError(f"{name} can't be converted to Arrow: {error}{hint}") from error


def _check_only_sets(columns, data, name):
    """Raise an error if a table has ordinary columns beside those of sets."""
    sets = [field for parts, _, field in columns if _is_nested(parts[0].type)]
    if 0 < len(sets) < len(columns):
        explanation = explain_columns_of_sets(data, name, [sets])
        raise ValueError(f"{name} has {explanation}.")


def _is_nested(arrow_type):
    """Whether a column may hold sets: lists, or nothing but nulls."""
    arrow_type = _decoded(arrow_type)
    return pa.types.is_null(arrow_type) or arrow_type.num_fields > 0


def _as_lists(chunks, source, metadata, n_dimensions=(1,)):
    starts = offsets_of([len(chunk) for chunk in chunks]).tolist()
    return [
        as_lists(chunk, replace(source, start=start), metadata, n_dimensions=n_dimensions)
        for start, chunk in zip(starts, chunks)
    ]


def _read_column(chunks, source, name=None):
    """The column of arrays with a list for each set."""
    label = source.label
    chunks = [_plain_lists(chunk) for chunk in chunks]
    if not _is_list(chunks[0].type):
        hint = " (a long table: SetCollection.from_groups)" if name else ""
        raise ValueError(
            f"{label} holds {chunks[0].type}; expected a list of elements for each "
            f"set{hint}."
        )
    offsets = offsets_of(np.concatenate([_lengths(chunk) for chunk in chunks]))
    metadata = chunks[0].type.value_field.metadata
    elements = _as_lists([chunk.flatten() for chunk in chunks], source, metadata)
    _check_elements(elements, label, offsets)
    n_features = _n_features(elements, label, offsets)
    leaves = [_leaves(chunk, source) for chunk in elements]
    _check_numbers(leaves, elements, source, offsets)
    types = {_decoded(leaf.type) for leaf in leaves[0]}
    return Column(
        label=label,
        offsets=offsets,
        n_features=n_features,
        feature_names=_feature_names(elements[0].type, n_features, name),
        dtype=np.float32 if types <= {pa.float16(), pa.float32()} else np.float64,
        blocks=[
            functools.partial(_to_numpy, leaves[k], len(chunk))
            for k, chunk in enumerate(elements)
            if len(chunk)
        ],
    )


def _plain_lists(array):
    """Lists in place of indices into a dictionary of lists, and of nothing but nulls."""
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), pa.list_(pa.null()))
    if pa.types.is_dictionary(array.type) and _is_list(array.type.value_type):
        lists = array.dictionary
        lists = lists.cast(pa.large_list(lists.type.value_type))  # 64-bit offsets
        return pa.DictionaryArray.from_arrays(array.indices, lists).dictionary_decode()
    return array


def _check_elements(elements, label, offsets):
    """Raise an error if an element is missing. Numbers may be: they become NaN."""
    start = 0
    for chunk in elements:
        holds_numbers = is_number(chunk.type) and not pa.types.is_null(chunk.type)
        if chunk.null_count and not holds_numbers:
            missing = chunk.is_null().to_numpy(zero_copy_only=False)
            check_not_missing(missing, label, offsets, start)
        start += len(chunk)


def _n_features(elements, label, offsets):
    """Number of features of all elements; None if nothing tells it."""
    arrow_type = elements[0].type
    if _is_list(arrow_type):
        n_features = _n_features_of_lists(elements, label, offsets)
    elif pa.types.is_null(arrow_type):
        n_features = None
    else:
        n_features = arrow_type.num_fields if pa.types.is_struct(arrow_type) else 1
    if n_features == 0:
        raise ValueError(f"{label} has elements with 0 features; expected at least 1.")
    return n_features


def _n_features_of_lists(elements, label, offsets):
    lengths = [len(chunk[0]) for chunk in elements if len(chunk)]
    lengths += [x.type.list_size for x in elements if pa.types.is_fixed_size_list(x.type)]
    start = 0
    for chunk in elements:
        if len(chunk) and not _is_fixed_size(chunk.type, lengths[0]):
            check_equal_n_features(_lengths(chunk), lengths[0], label, offsets, start)
        start += len(chunk)
    return lengths[0] if lengths else None


def _is_fixed_size(arrow_type, size):
    return pa.types.is_fixed_size_list(arrow_type) and arrow_type.list_size == size


def _leaves(elements, source):
    """The arrays of numbers: one for each field of structs, or one of lists."""
    if pa.types.is_struct(elements.type):
        parts = elements.flatten()
    elif _is_list(elements.type):
        parts = [elements.flatten()]
    else:
        parts = [elements]
    return [as_lists(part, source) for part in parts]


def _check_numbers(leaves, elements, source, offsets):
    """Raise an error that shows an element if they don't hold numbers."""
    wrong = [k for k, leaf in enumerate(leaves[0]) if not is_number(leaf.type)]
    if not wrong:
        return
    leaf, element_type, where = leaves[0][wrong[0]], elements[0].type, ""
    if pa.types.is_struct(element_type):
        where = f" in the field {element_type[wrong[0]].name!r}"
    example = next((x[0].as_py() for x in elements if len(x)), None)
    shown = "" if example is None else f" ({place(0, offsets, example)})"
    hint = ""
    if _is_text(leaf.type) and not where:
        depth = 2 if _is_list(element_type) else 1
        hint = f": {source.code}.cast({'pa.list_(' * depth}pa.float64(){')' * depth})"
    raise ValueError(
        f"{source.label} holds {leaf.type} in its elements{where}{shown}; expected "
        f"numbers{hint}."
    )


def _feature_names(arrow_type, n_features, column_name):
    """Names of the features, where each has its own field or column."""
    if pa.types.is_struct(arrow_type):
        return [field.name for field in arrow_type]
    return [column_name] if n_features == 1 and column_name else None


def _to_numpy(leaves, n_elements):
    return [numbers_of(leaf).reshape(n_elements, -1) for leaf in leaves]


def numbers_of(array):
    """Convert numbers to NumPy, with NaN for missing ones; no copy if there are none."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_float16(array.type):
        return array.to_numpy(zero_copy_only=False).astype(np.float32)
    is_exact = pa.types.is_floating(array.type) or not array.null_count
    if pa.types.is_decimal(array.type) or pa.types.is_null(array.type) or not is_exact:
        array = array.cast(pa.float64(), safe=False)
    return array.to_numpy(zero_copy_only=False)


def _decoded(arrow_type):
    """The type of the values, if they are encoded by a dictionary."""
    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def _is_list(arrow_type):
    return (
        pa.types.is_list(arrow_type)
        or pa.types.is_large_list(arrow_type)
        or pa.types.is_fixed_size_list(arrow_type)
        or pa.types.is_list_view(arrow_type)
        or pa.types.is_large_list_view(arrow_type)
    )


def is_number(arrow_type):
    arrow_type = _decoded(arrow_type)
    return (
        pa.types.is_floating(arrow_type)
        or pa.types.is_integer(arrow_type)
        or pa.types.is_boolean(arrow_type)
        or pa.types.is_decimal(arrow_type)
        or pa.types.is_null(arrow_type)
    )


def _is_text(arrow_type):
    return (
        pa.types.is_string(arrow_type)
        or pa.types.is_large_string(arrow_type)
        or pa.types.is_string_view(arrow_type)
    )


def _lengths(array):
    """Lengths of lists; 0 where they are missing."""
    return pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
