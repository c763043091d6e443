"""Extension types of Arrow, as lists: tensors of Arrow and Ray, and awkward's lists.

Imported lazily, as it needs pyarrow.
"""

import json
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otk_sklearn.sets._offsets import offsets_of

_FIXED_SHAPE = (
    "arrow.fixed_shape_tensor",
    "ray.data.arrow_tensor",
    "ray.data.arrow_tensor_v2",
)
_VARIABLE_SHAPE = ("arrow.variable_shape_tensor", "ray.data.arrow_variable_shaped_tensor")


@dataclass(frozen=True)
class Source:
    """Where an array comes from, for error messages."""

    label: str
    """What text calls it."""
    code: str
    """What code calls it."""
    start: int = 0
    """Index of the first item, where the array is one of several chunks."""


def as_lists(array, source, metadata=None, *, n_dimensions=(1,)):
    """Return an array of an extension type as an array of lists; others as they are.

    Parameters
    ----------
    array : pyarrow.Array
    source : Source
    metadata : dict of bytes, default=None
        That of its field, which names the extension type where no class is registered.
    n_dimensions : tuple of int, default=(1,)
        The dimensions that tensors may have.

    Returns
    -------
    pyarrow.Array
        A tensor of shape (n,) has become a list of n numbers, one of shape (n, m) a list
        of n lists of m numbers.
    """
    name = _extension_name(array.type, metadata)
    if name is None:
        return array
    storage = array.storage if isinstance(array, pa.ExtensionArray) else array
    if name == "awkward":
        return storage
    if name not in _FIXED_SHAPE + _VARIABLE_SHAPE:
        cast = _cast(source)
        if storage is array:
            cast = f"pa.array({source.code}.to_pylist())"
        raise ValueError(
            f"{source.label} holds the extension type {name!r}; expected lists or "
            f"tensors. To read its storage, {storage.type}: {cast}."
        )
    parameters = _parameters(array.type, metadata)
    read = _lists_of_fixed_shape if name in _FIXED_SHAPE else _lists_of_variable_shape
    return read(storage, parameters, n_dimensions, source)


def _cast(source):
    return f"{source.code}.cast({source.code}.type.storage_type)"


def _extension_name(arrow_type, metadata):
    if isinstance(arrow_type, pa.BaseExtensionType):
        return arrow_type.extension_name
    return (metadata or {}).get(b"ARROW:extension:name", b"").decode() or None


def _parameters(arrow_type, metadata):
    """Shape and permutation of tensors, as far as they are known."""
    serialized = (metadata or {}).get(b"ARROW:extension:metadata", b"")
    if hasattr(arrow_type, "__arrow_ext_serialize__"):  # a class written in Python
        serialized = arrow_type.__arrow_ext_serialize__()
    try:
        parameters = json.JSONDecoder().decode(serialized.decode())
    except ValueError:  # Ray may have pickled them: never load that
        parameters = {}
    if isinstance(parameters, list):  # of Ray
        parameters = {"shape": parameters}
    if not isinstance(parameters, dict):
        parameters = {}
    # Of a type that pyarrow has no class for, only the text tells the permutation.
    shown = re.search(r"permutation=\[([\d, ]+)\]", str(arrow_type))
    if shown:
        parameters["permutation"] = json.JSONDecoder().decode(f"[{shown[1]}]")
    return {
        key: getattr(arrow_type, key, parameters.get(key))
        for key in ("shape", "permutation")
    }


def _lists_of_fixed_shape(storage, parameters, n_dimensions, source):
    if parameters["shape"] is None:
        raise ValueError(
            f"{source.label} holds tensors whose shape is pickled; expected their type to "
            "be registered: import ray.data, before the data are read."
        )
    shape = [int(length) for length in parameters["shape"]]
    _check_n_dimensions(shape, n_dimensions, source)
    missing = storage.is_null().to_numpy(zero_copy_only=False)
    shapes = np.where(missing[:, np.newaxis], 0, shape)
    _check_sizes(storage, shapes, source)
    numbers = storage.flatten()
    if list(parameters["permutation"] or [0, 1]) == [1, 0]:
        numbers = numbers.take(pa.array(_transposed(shapes)))
        shape, shapes = shape[::-1], shapes[:, ::-1]
    elements = _vectors(numbers, shape[1], source) if len(shape) == 2 else numbers
    if not missing.any() and shape[0]:
        return pa.FixedSizeListArray.from_arrays(elements, shape[0])
    return _large_lists(elements, shapes[:, 0], missing)


def _lists_of_variable_shape(storage, parameters, n_dimensions, source):
    fields = dict(zip((field.name for field in storage.type), storage.flatten()))
    missing = storage.is_null().to_numpy(zero_copy_only=False)
    shapes = _variable_shapes(fields["shape"], missing, max(n_dimensions), source)
    _check_n_dimensions([None] * shapes.shape[1], n_dimensions, source)
    _check_sizes(fields["data"], shapes, source)
    numbers = fields["data"].flatten()
    if list(parameters["permutation"] or [0, 1]) == [1, 0]:
        numbers, shapes = numbers.take(pa.array(_transposed(shapes))), shapes[:, ::-1]
    if shapes.shape[1] == 1:
        return _large_lists(numbers, shapes[:, 0], missing)
    n_features = _equal_n_features(shapes, source)
    if n_features is None:
        elements = pa.array([], pa.list_(numbers.type))
    else:
        elements = _vectors(numbers, n_features, source)
    return _large_lists(elements, shapes[:, 0], missing)


def _variable_shapes(lists, missing, default, source):
    """Shapes of the tensors, as an array; 0 where they are missing."""
    lengths = _lengths(lists)[~missing]
    n_dimensions = int(lengths[0]) if len(lengths) else default
    sizes = lists.flatten().to_numpy(zero_copy_only=False)
    if (lengths != n_dimensions).any() or not (sizes >= 0).all():
        raise ValueError(
            f"{source.label} holds tensors of the shapes {lists.slice(0, 10).to_pylist()}; "
            "expected the same number of dimensions in each, and no negative length."
        )
    shapes = np.zeros((len(lists), n_dimensions), np.int64)
    shapes[~missing] = sizes.reshape(-1, n_dimensions)
    return shapes


def _check_n_dimensions(shape, expected, source):
    n_dimensions = len(shape)
    if n_dimensions in expected:
        return
    lengths = ["any" if length is None else str(length) for length in shape]
    shown = f"({', '.join(lengths)}{',' if n_dimensions == 1 else ''})"
    if 2 not in expected:
        raise ValueError(
            f"{source.label} holds tensors of shape {shown} as elements; expected 1 "
            "dimension, (n_features,)."
        )
    hint = ""
    if n_dimensions == 1 and None not in shape:
        hint = f". For sets of {shape[0]} elements with 1 feature: {_cast(source)}"
    raise ValueError(
        f"{source.label} holds tensors of shape {shown}; expected 2 dimensions, "
        f"(n_elements, n_features), for each set{hint}."
    )


def _check_sizes(lists, shapes, source):
    """Raise an error that names the first tensor whose shape isn't that of its numbers."""
    lengths = _lengths(lists)
    sizes = shapes.prod(axis=1, dtype=np.float64)  # integers could overflow
    wrong = np.flatnonzero(lengths != sizes)
    if len(wrong):
        i = wrong[0]
        raise ValueError(
            f"tensor {source.start + i} of {source.label} has {lengths[i]} numbers; "
            f"expected those of its shape, {tuple(shapes[i].tolist())}."
        )


def _equal_n_features(shapes, source):
    """Number of features of all tensors that have elements; None if it is unknown."""
    filled = np.flatnonzero(shapes[:, 0])
    if not len(filled):
        return int(shapes[:, 1].max(initial=0)) or None
    n_features = shapes[filled, 1]
    wrong = np.flatnonzero(n_features != n_features[0])
    if len(wrong):
        raise ValueError(
            f"set {source.start + filled[wrong[0]]} of {source.label} has "
            f"{n_features[wrong[0]]} features, set {source.start + filled[0]} has "
            f"{n_features[0]}; expected the same number in every set."
        )
    return int(n_features[0])


def _transposed(shapes):
    """Where the numbers of transposed matrices are, among those of the matrices."""
    starts = offsets_of(shapes.prod(axis=1))
    parts = [np.arange(n * m).reshape(n, m).T.ravel() for n, m in shapes]
    places = [start + part for start, part in zip(starts, parts)]
    return np.concatenate([np.empty(0, np.int64), *places])


def _vectors(numbers, n_features, source):
    if n_features == 0:
        raise ValueError(
            f"{source.label} holds tensors with 0 features; expected at least 1."
        )
    return pa.FixedSizeListArray.from_arrays(numbers, n_features)


def _large_lists(elements, lengths, missing):
    mask = pa.array(missing) if missing.any() else None
    return pa.LargeListArray.from_arrays(pa.array(offsets_of(lengths)), elements, mask=mask)


def _lengths(lists):
    """Lengths of lists; 0 where they are missing."""
    lengths = pc.list_value_length(lists)
    return lengths.fill_null(0).to_numpy(zero_copy_only=False)
