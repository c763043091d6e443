"""Tensors as Arrow, Ray and awkward hold them, against NumPy arrays of these shapes."""

import json

import awkward as ak
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from otk_sklearn import SetCollection

SETS = [np.arange(12.0).reshape(4, 3) + 100 * i for i in range(3)]
RAGGED = [SETS[0][:2], SETS[1], SETS[2][:1]]


class Extension(pa.ExtensionType):
    """An extension type, as Ray has them: a name, storage, and parameters in JSON."""

    def __init__(self, storage_type, name, parameters):
        self.parameters = parameters
        super().__init__(storage_type, name)

    def __arrow_ext_serialize__(self):
        return json.dumps(self.parameters).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        """pyarrow calls this for a type within another, where Ray's has a class each."""
        parameters = json.loads(serialized)
        name = "example.measurement"
        if isinstance(parameters, list):
            name = "ray.data.arrow_tensor"
        elif parameters is not None:
            name = "ray.data.arrow_variable_shaped_tensor"
        return cls(storage_type, name, parameters)


def ray_fixed(sets, version, parameters=None):
    """`ArrowTensorArray`: lists of the numbers of each tensor; the type has the shape."""
    lists = {"": pa.list_, "_v2": pa.large_list}[version](pa.float64())
    storage = pa.array([None if x is None else x.ravel().tolist() for x in sets], lists)
    shape = next((x.shape for x in sets if x is not None), None)
    kind = Extension(lists, f"ray.data.arrow_tensor{version}", parameters or shape)
    return pa.ExtensionArray.from_storage(kind, storage)


def variable_storage(sets, storage_type, order="C"):
    """Structs of the numbers and the shape of each tensor."""
    rows = [
        x
        if x is None or isinstance(x, dict)
        else {
            "data": x.ravel(order).tolist(),
            "shape": list(x.shape if order == "C" else x.shape[::-1]),
        }
        for x in sets
    ]
    return pa.array(rows, storage_type)


def ray_variable(sets, n_dimensions=2):
    """`ArrowVariableShapedTensorArray`."""
    fields = {"data": pa.large_list(pa.float64()), "shape": pa.list_(pa.int64())}
    storage = variable_storage(sets, pa.struct(fields))
    name = "ray.data.arrow_variable_shaped_tensor"
    kind = Extension(storage.type, name, n_dimensions)
    return pa.ExtensionArray.from_storage(kind, storage)


def arrow_variable(sets, **parameters):
    """A table of Arrow's canonical type, which pyarrow has no class for."""
    order = "F" if parameters.get("permutation") == [1, 0] else "C"
    fields = {"data": pa.list_(pa.float64()), "shape": pa.list_(pa.int32(), 2)}
    storage = variable_storage(sets, pa.struct(fields), order)
    metadata = {
        "ARROW:extension:name": "arrow.variable_shape_tensor",
        "ARROW:extension:metadata": json.dumps(parameters),
    }
    field = pa.field("x", storage.type, metadata=metadata)
    return pa.Table.from_arrays([storage], schema=pa.schema([field]))


def arrow_fixed(sets, shape=None, **parameters):
    kind = pa.fixed_shape_tensor(pa.float64(), shape or sets[0].shape, **parameters)
    storage = [None if x is None else x.ravel().tolist() for x in sets]
    storage = pa.array(storage, kind.storage_type)
    return pa.ExtensionArray.from_storage(kind, storage)


def assert_same(collection, sets):
    assert collection.lengths.tolist() == [len(x) for x in sets]
    assert_array_equal(collection.values, np.concatenate(sets))


FIXED = {
    "Arrow": arrow_fixed(SETS),
    "Arrow, with names": arrow_fixed(SETS, dim_names=["element", "feature"]),
    "Arrow, transposed": arrow_fixed(
        [x.T for x in SETS], permutation=[1, 0], dim_names=["feature", "element"]
    ),
    "Arrow, of NumPy": pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(SETS)),
    "Ray": ray_fixed(SETS, ""),
    "Ray, version 2": ray_fixed(SETS, "_v2"),
    "awkward": ak.to_arrow(ak.Array(SETS), extensionarray=True),
}
VARIABLE = {
    "Arrow": arrow_variable(RAGGED),
    "Arrow, with parameters": arrow_variable(
        RAGGED, dim_names=["element", "feature"], uniform_shape=[None, 3]
    ),
    "Arrow, transposed": arrow_variable(RAGGED, permutation=[1, 0]),
    "Ray": ray_variable(RAGGED),
    "awkward": ak.to_arrow(ak.Array(RAGGED), extensionarray=True),
}


@pytest.mark.parametrize("form", FIXED)
def test_tensors_of_fixed_shape(form):
    array = FIXED[form]
    assert_same(SetCollection.from_arrow(array), SETS)
    assert_same(SetCollection.from_arrow(array[1:]), SETS[1:])
    chunks = pa.chunked_array([array[:1], array[1:]])
    assert_same(SetCollection.from_arrow(chunks), SETS)
    table = pa.table({"x": chunks, "y": [x[:, 0].tolist() for x in SETS]})
    assert_same(SetCollection.from_arrow(table), [x[:, [0, 1, 2, 0]] for x in SETS])


@pytest.mark.parametrize("form", VARIABLE)
def test_tensors_of_variable_shape(form):
    array = VARIABLE[form]
    assert_same(SetCollection.from_arrow(array), RAGGED)
    parts = array.slice(0, 1), array.slice(1)
    assert_same(SetCollection.from_arrow(parts[1]), RAGGED[1:])
    chunks = (pa.concat_tables if isinstance(array, pa.Table) else pa.chunked_array)(parts)
    assert_same(SetCollection.from_arrow(chunks), RAGGED)


def test_a_type_of_arrow_without_a_class():
    """Newer versions of Arrow know the type, and drop the metadata of its field."""
    table = arrow_variable([SETS[0]], permutation=[1, 0])
    (column,) = pa.chunked_array(table).chunk(0).flatten()
    if isinstance(column, pa.ExtensionArray):
        assert_same(SetCollection.from_arrow(column), SETS[:1])


def test_tensors_are_not_copied():
    array = FIXED["Arrow"]
    numbers = array.storage.flatten().to_numpy()
    assert np.shares_memory(SetCollection.from_arrow(array).values, numbers)
    array = VARIABLE["Ray"]
    numbers = array.storage.field("data").flatten().to_numpy()
    assert np.shares_memory(SetCollection.from_arrow(array).values, numbers)


@pytest.mark.parametrize(
    "array",
    [
        arrow_fixed([SETS[0], None, SETS[2]]),
        arrow_fixed([SETS[0].T, None, SETS[2].T], permutation=[1, 0]),
        ray_fixed([SETS[0], None, SETS[2]], "_v2"),
        arrow_variable([SETS[0], None, SETS[2]]),
        arrow_variable([SETS[0], None, SETS[2]], permutation=[1, 0]),
        ray_variable([SETS[0], SETS[1][:0], SETS[2]]),
        ray_variable([SETS[0], np.empty((0, 0)), SETS[2]]),
    ],
)
def test_missing_and_empty_tensors_are_empty_sets(array):
    sets = SetCollection.from_arrow(array)
    assert_same(sets, [SETS[0], SETS[0][:0], SETS[2]])


def test_no_tensor_with_an_element():
    for array in [
        arrow_fixed([None, None], shape=(4, 3)),
        arrow_fixed([], shape=(4, 3)),
        ray_variable([SETS[0][:0], None]),
        pa.chunked_array([], FIXED["Arrow"].type),
    ]:
        sets = SetCollection.from_arrow(array)
        assert (len(sets), sets.values.shape) == (len(array), (0, 3))
    with pytest.raises(ValueError, match="no elements in any of its 1 sets, and its type"):
        SetCollection.from_arrow(ray_variable([None]))


def test_lists_of_tensors_are_lists_of_elements():
    vectors = pa.FixedShapeTensorArray.from_numpy_ndarray(SETS[0])
    offsets = pa.array([0, 1, 1, 4])
    expected = [SETS[0][:1], SETS[0][:0], SETS[0][1:]]
    array = pa.LargeListArray.from_arrays(offsets, vectors)
    assert_same(SetCollection.from_arrow(array), expected)
    array = pa.LargeListArray.from_arrays(offsets, ray_fixed(list(SETS[0]), ""))
    assert_same(SetCollection.from_arrow(array), expected)
    matrices = pa.LargeListArray.from_arrays(pa.array([0, 1, 3]), FIXED["Arrow"])
    with pytest.raises(ValueError, match=r"shape \(4, 3\) as elements; expected 1 dimens"):
        SetCollection.from_arrow(matrices)


def test_tensors_of_one_dimension():
    """Ambiguous as sets, but not as weights, or one of several columns of features."""
    line = arrow_fixed([x[:, 0] for x in SETS])
    hint = r"of 4 elements with 1 feature: array.cast\(array.type.storage_type\)\."
    with pytest.raises(ValueError, match=r"shape \(4,\); expected 2 dim.*" + hint):
        SetCollection.from_arrow(line)
    with pytest.raises(ValueError, match=r"column 'x' of array .* 1 feature: array\['x'\]"):
        SetCollection.from_arrow(pa.table({"x": line}))
    one = SetCollection.from_arrow(line.cast(line.type.storage_type))
    assert_same(one, [x[:, :1] for x in SETS])
    ragged = [x[:, 0] for x in RAGGED]
    weights = ray_variable(ragged, n_dimensions=1)
    sets = SetCollection.from_arrow(VARIABLE["Ray"], weights=weights, positions=weights)
    assert_array_equal(sets.weights, np.concatenate(ragged))
    assert_array_equal(sets.positions[:, 0], np.concatenate(ragged))
    table = pa.table({"x": line, "y": line})
    assert_same(SetCollection.from_arrow(table), [x[:, [0, 0]] for x in SETS])


class Pickled(Extension):
    """Ray's type, as newer versions write it; once read, the type knows its shape."""

    shape = (4, 3)

    def __arrow_ext_serialize__(self):
        return b"\x80\x05K\x04K\x03\x86."


def test_a_type_that_knows_its_shape():
    storage = pa.array([x.ravel().tolist() for x in SETS])
    kind = Pickled(storage.type, "ray.data.arrow_tensor", None)
    array = pa.ExtensionArray.from_storage(kind, storage)
    assert_same(SetCollection.from_arrow(array), SETS)


RAY_FIELD = pa.field(
    "x",
    pa.list_(pa.float64()),
    metadata={
        "ARROW:extension:name": "ray.data.arrow_tensor",
        "ARROW:extension:metadata": "[4, 3]",
    },
)


def test_names_of_types_that_are_not_registered():
    """A file of Ray, read without it: the name and shape are those of the field."""
    column = pa.array([x.ravel().tolist() for x in SETS])
    table = pa.Table.from_arrays([column], schema=pa.schema([RAY_FIELD]))
    assert_same(SetCollection.from_arrow(table), SETS)
    pickled = RAY_FIELD.with_metadata(
        {**RAY_FIELD.metadata, b"ARROW:extension:metadata": b"\x80\x05K\x04K\x03\x86."}
    )
    table = pa.Table.from_arrays([column], schema=pa.schema([pickled]))
    with pytest.raises(ValueError, match="column 'x' of array .* is pickled; .*import ray"):
        SetCollection.from_arrow(table)
    other = RAY_FIELD.with_metadata({"ARROW:extension:name": "geoarrow.point"})
    table = pa.Table.from_arrays([column], schema=pa.schema([other]))
    hint = r"'geoarrow.point'.*list<.*: pa.array\(array\['x'\].to_pylist\(\)\)"
    with pytest.raises(ValueError, match=hint):
        SetCollection.from_arrow(table)


@pytest.mark.skipif(not hasattr(pl, "Extension"), reason="of newer versions of polars")
@pytest.mark.filterwarnings("ignore:Extension type 'ray.data.arrow_tensor' is not reg")
def test_tensors_through_polars():
    assert_same(SetCollection.from_arrow(pl.Series(FIXED["Arrow"])), SETS)
    column = pa.array([x.ravel().tolist() for x in SETS])
    table = pa.Table.from_arrays([column], schema=pa.schema([RAY_FIELD]))
    frame = pl.from_arrow(table)
    for data in [frame, frame["x"]]:
        assert_same(SetCollection.from_arrow(data), SETS)


def other_extension():
    kind = Extension(pa.list_(pa.float64()), "example.measurement", None)
    return pa.ExtensionArray.from_storage(kind, pa.array([[1.0], [2.0]]))


BAD = {
    "another extension type": (
        other_extension(),
        r"array holds the extension type 'example.measurement'; expected lists or tensors. "
        r"To read its storage, list<.*double>: array.cast\(array.type.storage_type\)\.",
    ),
    "in a column": (
        pa.table({"x": other_extension()}),
        r"column 'x' of array .* array\['x'\].cast\(array\['x'\].type.storage_type\)\.",
    ),
    "images": (
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((2, 5, 4, 3))),
        r"array holds tensors of shape \(5, 4, 3\); expected 2 dimensions, \(n_elements",
    ),
    "images of variable shape": (
        ray_variable([np.ones((5, 4, 3)), np.ones((2, 2, 3))]),
        r"shape \(any, any, any\); expected 2 dimensions",
    ),
    "other numbers of features": (
        ray_variable([SETS[0], np.ones((0, 7)), np.ones((2, 4))]),
        "set 2 of array has 4 features, set 0 has 3; expected the same number",
    ),
    "other numbers of features in another chunk": (
        pa.chunked_array([ray_variable(SETS[:2]), ray_variable([np.ones((2, 4))])]),
        "element 0 of set 2 of array has 4 features, the first has 3",
    ),
    "other numbers of features, counted over chunks": (
        pa.chunked_array([ray_variable(SETS), ray_variable([SETS[0], np.ones((2, 4))])]),
        "set 4 of array has 4 features, set 3 has 3; expected the same number",
    ),
    "no features": (arrow_fixed([], shape=(4, 0)), "array holds tensors with 0 features"),
    "no features, variable": (
        ray_variable([np.ones((2, 0))]),
        "array holds tensors with 0 features",
    ),
    "a wrong shape": (
        ray_variable([SETS[0], {"data": [1.0, 2.0], "shape": [3, 1]}]),
        r"tensor 1 of array has 2 numbers; expected those of its shape, \(3, 1\)",
    ),
    "a wrong shape of all": (
        ray_fixed(SETS, "", [4, 4]),
        r"tensor 0 of array has 12 numbers; expected those of its shape, \(4, 4\)",
    ),
    "a negative shape": (
        ray_variable([{"data": [1.0], "shape": [-1, -1]}]),
        r"tensors of the shapes \[\[-1, -1\]\]; .* no negative length",
    ),
    "a shape whose size overflows": (
        ray_variable([{"data": [], "shape": [2**32, 2**32]}]),
        "tensor 0 of array has 0 numbers",
    ),
    "a missing length": (
        ray_variable([{"data": [], "shape": [0, None]}]),
        "tensors of the shapes",
    ),
    "other numbers of dimensions": (
        ray_variable([SETS[0], {"data": [1.0], "shape": [1]}]),
        "expected the same number of dimensions in each",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_say_what_came(case):
    array, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        SetCollection.from_arrow(array)
