"""Sets as other libraries hold them, in and out, against plain loops over nested lists."""

import builtins
import gc
import importlib
import re
import sys
from decimal import Decimal

import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import make_sets
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.io import loadmat, savemat
from sklearn import config_context
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from strategies import ragged_sets

from otk_sklearn import (
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    SetCollection,
)
from otk_sklearn.sets._validation import as_sets

NESTED = [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], [[9.0, 10.0], [11.0, 12.0]]]
OFFSETS = np.array([0, 1, 4, 6])


def assert_same_sets(collection, sets):
    assert [len(x) for x in sets] == collection.lengths.tolist()
    for elements, expected in zip(collection, sets):
        assert_array_equal(elements, expected)


def flat(dtype=np.float64):
    return np.array([row for rows in NESTED for row in rows], dtype)


def arrow_lists(dtype=np.float64, outer=pa.LargeListArray):
    """An Arrow array of the nested lists, and the address of its numbers."""
    numbers = pa.array(flat(dtype).ravel())
    elements = pa.FixedSizeListArray.from_arrays(numbers, 2)
    offsets = pa.array(OFFSETS, pa.int64() if outer is pa.LargeListArray else pa.int32())
    return outer.from_arrays(offsets, elements), numbers.buffers()[1].address


# --- long tables


def long_table():
    """Rows of three patients that are not together, with what is known of each patient."""
    random = np.random.default_rng(0)
    ids = np.array(["b", "c", "a"])[random.integers(3, size=40)]
    return pd.DataFrame(
        {
            "id": ids,
            "x": random.normal(size=40),
            "y": random.normal(size=40),
            "weight": random.uniform(1, 2, size=40),
            "age": [{"a": 30, "b": 40, "c": 50}[i] for i in ids],
        }
    )


def rows_of_groups(table):
    """Plain Python: a dict keeps the order in which its keys came."""
    rows = {}
    for label, *row in table[["id", "x", "y", "weight", "age"]].itertuples(index=False):
        rows.setdefault(label, []).append(row)
    return rows


LABELS = {
    "object": lambda s: s.astype(object),
    "category": lambda s: s.astype("category"),
    "ordered category": lambda s: s.astype(pd.CategoricalDtype(["c", "b", "a"], True)),
    "string": lambda s: s.astype("string"),
    "string[pyarrow]": lambda s: s.astype("string[pyarrow]"),
    "index": pd.Index,
    "Int64": lambda s: s.map({"a": 2, "b": 3, "c": 1}).astype("Int64"),
    "int64[pyarrow]": lambda s: s.map({"a": 2, "b": 3, "c": 1}).astype("int64[pyarrow]"),
    "dates": lambda s: pd.to_datetime(s.map({"a": "2024", "b": "2025", "c": "2023"})),
    "polars": lambda s: pl.Series(s.tolist()),
    "polars categorical": lambda s: pl.Series(s.tolist(), dtype=pl.Categorical),
    "polars enum": lambda s: pl.Series(s.tolist(), dtype=pl.Enum(["a", "b", "c"])),
    "arrow": lambda s: pa.array(s.tolist()),
}
TABLES = {
    "pandas": lambda t: t,
    "pandas nullable": lambda t: t.astype("Float64"),
    "pandas pyarrow": lambda t: t.astype("float64[pyarrow]"),
    "pandas mixed": lambda t: t.astype({t.columns[0]: "Float64"}),
    "polars": lambda t: pl.DataFrame({name: t[name].to_numpy() for name in t}),
    "arrow": lambda t: pa.table({name: t[name].to_numpy() for name in t}),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("form", TABLES)
def test_long_tables_keep_the_order_of_groups_and_rows(form, labels):
    table = long_table()
    convert = TABLES[form]
    values = convert(table[["x", "y"]])
    groups = LABELS[labels](table["id"])
    weights = convert(table[["weight"]])["weight"]
    positions = convert(table[["y"]])
    sets = SetCollection.from_groups(values, groups, weights=weights, positions=positions)
    expected = [np.array(rows) for rows in rows_of_groups(table).values()]
    assert_same_sets(sets, [rows[:, :2] for rows in expected])
    assert_array_equal(sets.weights, np.concatenate([rows[:, 2] for rows in expected]))
    assert_array_equal(sets.positions, np.concatenate([rows[:, 1:2] for rows in expected]))


def test_targets_line_up_as_documented():
    table = long_table()
    rows = rows_of_groups(table)
    expected = [group[0][3] for group in rows.values()]
    of_pandas = table.groupby("id", sort=False)["age"].first()
    assert of_pandas.tolist() == expected
    assert pd.unique(table["id"]).tolist() == list(rows)
    frame = pl.DataFrame({"id": table["id"].tolist(), "age": table["age"].to_numpy()})
    of_polars = frame.group_by("id", maintain_order=True).first()
    assert of_polars["age"].to_list() == expected


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_that_are_no_features_are_named(frame):
    table = frame({"id": ["a", "b"], "x": [1.0, 2.0], "kind": ["u", "v"], "n": [3, 4]})
    with pytest.raises(ValueError, match=r"numbers, \['id', 'kind'\]; expected those of"):
        SetCollection.from_groups(table, ["a", "b"])
    for column in ["id", "n"]:
        with pytest.raises(ValueError, match=f"the column '{column}', which is that of g"):
            SetCollection.from_groups(table, table[column])


def test_long_tables_whose_groups_are_together_are_not_copied():
    array = flat()
    groups = np.repeat(["b", "c", "a"], np.diff(OFFSETS))
    table = pd.DataFrame(array, columns=["x", "y"], copy=False)
    for values in [array, table]:
        sets = SetCollection.from_groups(values, pd.Series(groups, dtype="category"))
        assert_same_sets(sets, NESTED)
        assert sets.values.ctypes.data == array.ctypes.data


@pytest.mark.parametrize("dtype", ["Float32", "float[pyarrow]"])
def test_nullable_float32_stays_float32(dtype):
    table = pd.DataFrame(flat(), columns=["x", "y"]).astype(dtype)
    sets = SetCollection.from_groups(table, [0, 1, 1, 1, 2, 2])
    assert_same_sets(sets, NESTED)
    assert sets.dtype == np.float32


MISSING = {
    "Float64": lambda t: t.astype("Float64"),
    "Int64": lambda t: t.astype("Int64"),
    "float64[pyarrow]": lambda t: t.astype("float64[pyarrow]"),
    "polars": pl.from_pandas,
    "polars int": lambda t: pl.from_pandas(t).cast(pl.Int64),
}


@pytest.mark.parametrize("form", MISSING)
@pytest.mark.filterwarnings("ignore:X is 2-D", "ignore:n_components=64")
def test_missing_numbers_are_refused_by_name_and_can_be_imputed(form):
    table = pd.DataFrame(flat(), columns=["x", "y"]).astype("Float64")
    table.iloc[2, 1] = pd.NA
    table = MISSING[form](table)
    expected = flat()
    expected[2, 1] = np.nan
    sets = SetCollection.from_groups(table, [0, 1, 1, 1, 2, 2])
    assert_array_equal(sets.values, expected)
    message = r"X contains NaN in set {} \(element {}, feature 'y'\)"
    with pytest.raises(ValueError, match=message.format(1, 1)):
        OTKEmbedding().fit(sets)
    with pytest.raises(ValueError, match=message.format(0, 2)):
        OTKEmbedding().fit([table, table])
    with pytest.raises(ValueError, match=message.format(2, 0)):
        OTKEmbedding().fit(table)
    imputed = ElementTransformer(SimpleImputer()).fit_transform(sets)
    assert imputed.values[2, 1] == np.nanmean(expected[:, 1])


@pytest.mark.parametrize(
    "groups",
    [
        pd.Series(["a", None, "b"], dtype="string"),
        pd.Series(["a", None, "b"], dtype="category"),
        pd.Series([1, None, 2], dtype="Int64"),
        pd.Series([1, None, 2], dtype="int64[pyarrow]"),
        pd.to_datetime(pd.Series(["2024", None, "2025"])),
        pl.Series([1, None, 2]),
        pl.Series(["a", None, "b"], dtype=pl.Categorical),
        ["a", np.nan, "b"],
        pd.MultiIndex.from_tuples([("a", 1), ("a", np.nan), ("b", 2)]),
    ],
    ids=lambda groups: f"{type(groups).__module__[:6]} {getattr(groups, 'dtype', 'list')}",
)
def test_missing_labels_are_named(groups):
    with pytest.raises(ValueError, match="groups has no label in row 1; expected"):
        SetCollection.from_groups([[1], [2], [3]], groups)


def test_groups_of_several_levels():
    index = pd.MultiIndex.from_tuples([("b", 1), ("a", 1), ("b", 2), ("a", 1), ("b", 1)])
    sets = SetCollection.from_groups(np.arange(5)[:, np.newaxis], index)
    assert_same_sets(sets, [[[0], [4]], [[1], [3]], [[2]]])
    sets = SetCollection.from_groups(np.arange(5)[:, np.newaxis], index.get_level_values(0))
    assert_same_sets(sets, [[[0], [2], [4]], [[1], [3]]])


def test_one_table_a_set_and_its_columns_are_checked():
    for frame in [pd.DataFrame, pl.DataFrame]:
        tables = [frame({"x": x[:, 0], "y": x[:, 1]}) for x in map(np.array, NESTED)]
        assert_same_sets(as_sets(tables), NESTED)
        model = OTKEmbedding(2, n_components=2).fit(tables)
        assert model.feature_names_in_.tolist() == ["x", "y"]
        with pytest.raises(ValueError, match="feature names should match"):
            model.transform([table[["y", "x"]] for table in tables])
        with pytest.raises(ValueError, match=r"set 2 of X has the columns \['y', 'x'\]"):
            model.fit([*tables[:2], tables[2][["y", "x"]]])


@pytest.mark.filterwarnings("ignore:X is 2-D")
def test_rows_of_a_polars_table_are_sets_of_one_element():
    table = pl.DataFrame({"x": flat()[:, 0], "y": flat()[:, 1]})
    assert_same_sets(as_sets(table), flat()[:, np.newaxis])
    model = OTKEmbedding(2, n_components=2).fit(table)
    assert model.feature_names_in_.tolist() == ["x", "y"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(table[["y", "x"]])


# --- Arrow


from_awkward = SetCollection.from_awkward


def nested(sets, elements, numbers):
    """An Arrow array of the nested lists, as lists of these types."""
    return pa.array(NESTED, sets(elements(numbers)))


def pairs(numbers):
    return pa.list_(numbers, 2)


def nested_float16():
    numbers = pa.array(flat(np.float16).ravel())
    elements = pa.FixedSizeListArray.from_arrays(numbers, 2)
    return pa.ListArray.from_arrays(pa.array(OFFSETS, pa.int32()), elements)


LISTS = pa.list_(pa.list_(pa.float64()))
ARROWS = {
    "list of lists": nested(pa.list_, pa.list_, pa.float64()),
    "large lists": nested(pa.large_list, pa.large_list, pa.float64()),
    "fixed size": nested(pa.list_, pairs, pa.float64()),
    "views": nested(pa.list_view, pa.list_view, pa.float64()),
    "large views": nested(pa.large_list_view, pairs, pa.float32()),
    "float32": nested(pa.large_list, pairs, pa.float32()),
    "float16": nested_float16(),
    "integers": nested(pa.list_, pa.list_, pa.int8()),
    "large integers": nested(pa.list_, pairs, pa.uint64()),
    "decimals": pa.array([[[Decimal(x) for x in row] for row in r] for r in NESTED]),
    "structs": pa.array([[{"x": x, "y": y} for x, y in rows] for rows in NESTED]),
    "chunks": pa.chunked_array([NESTED[:1], [], NESTED[1:]], LISTS),
    "polars": pl.Series(NESTED, dtype=pl.List(pl.Array(pl.Float64, 2))),
    "polars lists": pl.Series(NESTED),
    "polars structs": pl.Series([[{"x": x, "y": y} for x, y in r] for r in NESTED]),
    "table": pa.table(
        {
            "x": [[x for x, _ in rows] for rows in NESTED],
            "y": [[y for _, y in rows] for rows in NESTED],
        }
    ),
    "table of nested": pa.table({"elements": NESTED}),
    "record batch": pa.record_batch(
        {
            "x": pa.array([[x for x, _ in rows] for rows in NESTED]),
            "y": pa.array([[[y] for _, y in rows] for rows in NESTED]),
        }
    ),
    "polars table": pl.DataFrame(
        {
            "x": [[x for x, _ in rows] for rows in NESTED],
            "y": [[y for _, y in rows] for rows in NESTED],
        }
    ),
    "awkward": ak.to_arrow(ak.Array(NESTED)),
}


AWKWARDS = {
    "regular elements": ak.to_regular(ak.Array(NESTED), axis=2),
    "lists": ak.Array(NESTED),
    "records": ak.Array([[{"x": x, "y": y} for x, y in rows] for rows in NESTED]),
    "tuples": ak.Array([[tuple(row) for row in rows] for rows in NESTED]),
    "record of lists": ak.Array(
        {
            "x": [[x for x, _ in rows] for rows in NESTED],
            "y": [[y for _, y in rows] for rows in NESTED],
        }
    ),
    "rearranged": ak.Array(NESTED[::-1])[::-1],
    "masked, with nothing missing": ak.mask(ak.Array(NESTED), [True] * 3),
    "integers": ak.values_astype(ak.Array(NESTED), np.int16),
    "float32": ak.values_astype(ak.Array(NESTED), np.float32),
    "from Parquet's arrays": ak.from_arrow(pa.array(NESTED)),
}


@pytest.mark.parametrize("form", ARROWS)
def test_arrow_lists(form):
    sets = SetCollection.from_arrow(ARROWS[form])
    assert_same_sets(sets, NESTED)
    single = form in ("float16", "float32", "large views")
    assert sets.dtype == (np.float32 if single else np.float64)


@pytest.mark.parametrize("outer", [pa.ListArray, pa.LargeListArray])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrow_memory_is_not_copied(outer, dtype):
    array, address = arrow_lists(dtype, outer)
    row = 2 * np.dtype(dtype).itemsize
    table = pa.table({"elements": array, "label": [0, 1, 2]})
    for data, first in [
        (array, 0),
        (array[1:], 1),
        (array[1:2], 1),
        (array[2:][:1], 4),
        (pa.chunked_array([array]), 0),
        (table["elements"], 0),
        (table.select(["elements"]).slice(1), 1),
        (pa.record_batch({"elements": array[1:]}), 1),
    ]:
        sets = SetCollection.from_arrow(data)
        assert sets.values.ctypes.data == address + first * row
        start = int(np.flatnonzero(OFFSETS == first)[0])
        assert_same_sets(sets, NESTED[start : start + len(sets)])
        assert not sets.values.flags.writeable
    frame = pl.DataFrame(table)["elements"]
    (chunk,) = pa.chunked_array(frame).chunks
    numbers = chunk.flatten().flatten().to_numpy()
    assert SetCollection.from_arrow(frame).values.ctypes.data == numbers.ctypes.data


def test_arrow_sets_of_equal_length():
    array = pa.array([NESTED[1][:2], NESTED[2], NESTED[1][1:]], pairs(pairs(pa.float64())))
    sets = SetCollection.from_arrow(array[1:])
    assert_same_sets(sets, [NESTED[2], NESTED[1][1:]])
    buffer = array.flatten().flatten().to_numpy()
    assert np.shares_memory(sets.values, buffer)


def test_foreign_memory_lives_as_long_as_the_sets():
    """What was freed would soon be written over: the numbers would be others."""
    for make in [arrow_lists, awkward_lists]:
        array, _ = make()
        read = SetCollection.from_arrow if make is arrow_lists else from_awkward
        sets = read(array)
        part = sets[1:]
        del array, sets
        gc.collect()
        rubbish = [np.full(12, np.nan) for _ in range(1000)]
        assert_same_sets(part, NESTED[1:])
        del rubbish


def test_parquet_round_trip(tmp_path):
    sets = SetCollection.from_sets(
        make_sets(dtype=np.float32),
        weights=[np.arange(1.0, len(x) + 1) for x in make_sets()],
        positions=[x[:, :2] for x in make_sets()],
    )
    table = pa.table(
        {
            "label": np.arange(len(sets)),
            "elements": sets.to_arrow(),
            "weights": pa.LargeListArray.from_arrays(sets.offsets, sets.weights),
            "positions": sets.with_values(sets.positions).to_arrow(),
        }
    )
    pq.write_table(table, tmp_path / "sets.parquet", row_group_size=5)
    back = pq.read_table(tmp_path / "sets.parquet")
    assert back["label"].to_pylist() == list(range(len(sets)))
    for elements in [
        back["elements"],
        pl.read_parquet(tmp_path / "sets.parquet")["elements"],
    ]:
        again = SetCollection.from_arrow(
            elements, weights=back["weights"], positions=back["positions"]
        )
        assert again.dtype == np.float32
        for name in ["values", "offsets", "weights", "positions"]:
            assert_array_equal(getattr(again, name), getattr(sets, name))


def test_parquet_with_a_list_column_for_each_feature(tmp_path):
    frame = pd.DataFrame(
        {
            "label": ["a", "b", "a"],
            "x": [[x for x, _ in rows] for rows in NESTED],
            "y": [np.array([y for _, y in rows]) for rows in NESTED],
        }
    )
    frame.to_parquet(tmp_path / "table.parquet")
    table = pq.read_table(tmp_path / "table.parquet", columns=["x", "y"])
    assert_same_sets(SetCollection.from_arrow(table), NESTED)
    back = pd.read_parquet(tmp_path / "table.parquet")
    assert_same_sets(SetCollection.from_arrow(pa.table(back[["x", "y"]])), NESTED)


@pytest.mark.filterwarnings("ignore:.* with rows of zeros, in differing numbers")
@given(ragged_sets(), st.sampled_from([pa.list_, pa.large_list, None]), st.booleans())
def test_any_sets_through_arrow_and_back(sets, lists, sliced):
    sets = sets.make()
    array = sets.to_arrow()
    if lists is not None:
        array = array.cast(lists(lists(pa.from_numpy_dtype(sets.dtype))))
    if sliced and len(sets) > 1:
        array, sets = array[1:], sets[1:]
    again = SetCollection.from_arrow(array)
    assert_array_equal(again.values, sets.values)
    assert_array_equal(again.offsets, sets.offsets)
    assert again.dtype == sets.dtype


def test_missing_and_empty_lists_are_empty_sets():
    data = [None, NESTED[0], [], NESTED[1], None]
    for array in [
        pa.array(data),
        pa.array(data, pa.large_list(pairs(pa.float64()))),
        pa.array(data, pa.list_view(pa.list_(pa.float64()))),
        pa.chunked_array([data[:1], [], data[1:]], LISTS),
        pa.array([None, *data])[1:],
        pl.Series(data),
        ak.to_arrow(ak.Array(data)),
    ]:
        sets = SetCollection.from_arrow(array)
        assert sets.offsets.tolist() == [0, 0, 1, 1, 4, 4]
        assert_array_equal(sets.values, flat()[:4])
    sets = from_awkward(ak.Array(data))
    assert sets.offsets.tolist() == [0, 0, 1, 1, 4, 4]
    assert_array_equal(sets.values, flat()[:4])
    fixed = pa.array([None, NESTED[2]], pairs(pairs(pa.float64())))
    assert SetCollection.from_arrow(fixed).offsets.tolist() == [0, 0, 2]
    table = pa.table({"x": [[1.0], None, []], "y": [[2.0], [], None]})
    assert SetCollection.from_arrow(table).offsets.tolist() == [0, 1, 1, 1]


def test_what_missing_lists_hide_is_left_out():
    """Behind a null, and around a slice, there may be numbers that belong to no set."""
    array = pa.ListArray.from_arrays(
        pa.array([0, 1, 4, 6]), pa.array(flat()[:, 0]), mask=pa.array([False, True, False])
    )
    sets = SetCollection.from_arrow(array)
    assert_same_sets(sets, [flat()[:1, :1], np.empty((0, 1)), flat()[4:, :1]])
    fixed = pa.FixedSizeListArray.from_arrays(
        pa.array(flat()[:, 0]), 2, mask=pa.array([False, True, False])
    )
    sets = SetCollection.from_arrow(fixed[1:])
    assert_same_sets(sets, [np.empty((0, 1)), flat()[4:, :1]])


UNKNOWN = [
    pa.array([[], None], LISTS),
    pa.array([[], []]),
    pa.nulls(2),
    pa.chunked_array([], LISTS),
    pl.Series([[], []], dtype=pl.List(pl.List(pl.Float64))),
    ak.Array([[], []]),
    ak.Array([None, None]),
    ak.Array([[[1.0]]])[:0],
]


@pytest.mark.parametrize("array", UNKNOWN, ids=lambda array: str(type(array)))
def test_sets_without_elements_of_an_unknown_number_of_features(array):
    read = from_awkward if isinstance(array, ak.Array) else SetCollection.from_arrow
    message = "array has no elements in any of its [02] sets, and its type doesn't tell"
    with pytest.raises(ValueError, match=message) as caught:
        read(array)
    line = str(caught.value).rpartition("or: ")[2].rstrip(".")
    names = {"SetCollection": SetCollection, "np": np, "array": array, "n_features": 3}
    sets = eval(line, names)
    assert (len(sets), sets.n_features) == (len(array), 3)


@pytest.mark.parametrize(
    ("array", "n_features", "dtype"),
    [
        (pa.array([[], None], pa.list_(pairs(pa.float32()))), 2, np.float32),
        (pa.array([[], None], pa.list_(pa.int8())), 1, np.float64),
        (pa.array([], pa.list_(pa.struct({"x": pa.float64(), "y": pa.int8()}))), 2, float),
        (pa.chunked_array([], pa.list_(pairs(pa.float64()))), 2, np.float64),
        (pa.table({"x": pa.array([[]], pa.list_(pa.float32()))}).slice(1), 1, np.float32),
        (pl.Series([[]], dtype=pl.List(pl.Array(pl.Float32, 3))), 3, np.float32),
        (ak.Array(np.ones((2, 0, 3), np.float32)), 3, np.float32),
        (ak.Array([[{"x": 1, "y": 2}]])[:0], 2, np.float64),
        (ak.Array([[1.0], []])[1:], 1, np.float64),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_sets_without_elements(array, n_features, dtype):
    read = from_awkward if isinstance(array, ak.Array) else SetCollection.from_arrow
    sets = read(array)
    assert sets.values.shape == (0, n_features)
    assert sets.dtype == dtype
    assert sets.lengths.tolist() == [0] * len(array)


def test_missing_numbers_in_arrow_become_nan():
    for numbers in [pa.float32(), pa.float64(), pa.int32()]:
        array = pa.array([[[1, 2]], [[3, None], [5, 6]]], pa.list_(pa.list_(numbers)))
        sets = SetCollection.from_arrow(array)
        assert_array_equal(sets.values, [[1, 2], [3, np.nan], [5, 6]])
        assert sets.dtype == (np.float32 if numbers == pa.float32() else np.float64)


def test_half_precision_becomes_single():
    half = flat(np.float16)
    numbers = pa.FixedSizeListArray.from_arrays(pa.array(half.ravel()), 2)
    array = pa.ListArray.from_arrays(pa.array(OFFSETS, pa.int32()), numbers)
    table = pa.table({"x": pa.array([[np.float16(1.5)], [None]], pa.list_(pa.float16()))})
    for sets in [
        SetCollection.from_arrow(array),
        SetCollection.from_arrow(pa.chunked_array([array[:1], array[1:]])),
        from_awkward(ak.unflatten(half, np.diff(OFFSETS))),
    ]:
        assert_same_sets(sets, NESTED)
        assert sets.dtype == np.float32
    sets = SetCollection.from_arrow(table)
    assert_array_equal(sets.values, [[1.5], [np.nan]])
    assert sets.dtype == np.float32
    masked = from_awkward(ak.values_astype(ak.Array([[1.5], [None]]), np.float16))
    assert_array_equal(masked.values, [[1.5], [np.nan]])
    assert masked.dtype == np.float32
    mixed = pa.array(
        [[{"x": np.float16(1.5), "y": 2}], []],
        pa.list_(pa.struct({"x": pa.float16(), "y": pa.int32()})),
    )
    assert SetCollection.from_arrow(mixed).dtype == np.float64


def test_encoded_by_a_dictionary():
    numbers = pa.array([1.5, None, 1.5, 2.5]).dictionary_encode()
    array = pa.ListArray.from_arrays(pa.array([0, 1, 4]), numbers)
    assert_array_equal(
        SetCollection.from_arrow(array).values[:, 0], [1.5, np.nan, 1.5, 2.5]
    )
    lists = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 1]), pa.array(NESTED))
    sets = SetCollection.from_arrow(pa.chunked_array([lists, lists[:1]]))
    expected = [NESTED[1], NESTED[0], np.empty((0, 2)), NESTED[1], NESTED[1]]
    assert_same_sets(sets, expected)


def test_names_of_sets_and_features():
    array = pa.array([[{"x": x, "y": y} for x, y in rows] for rows in NESTED])
    ids = pa.chunked_array([["b"], ["c", "a"]])
    for names in [
        ids,
        ids.dictionary_encode(),
        ids.cast(pa.large_string()).combine_chunks(),
        pl.Series(["b", "c", "a"], dtype=pl.Categorical),
        pd.Series(["b", "c", "a"]),
        ak.Array(["b", "c", "a"]),
        ["b", "c", "a"],
    ]:
        for sets in [
            SetCollection.from_arrow(array, names=names),
            from_awkward(ak.from_arrow(array), names=names),
        ]:
            assert sets.names.tolist() == ["b", "c", "a"]
            assert sets.feature_names.tolist() == ["x", "y"]


FEATURE_NAMES = {
    "table": (ARROWS["table"], ["x", "y"]),
    "record batch": (ARROWS["record batch"], ["x", "y"]),
    "polars table": (ARROWS["polars table"], ["x", "y"]),
    "structs": (ARROWS["structs"], ["x", "y"]),
    "table of structs": (pa.table({"sets": ARROWS["structs"]}), ["x", "y"]),
    "structs and numbers": (
        pa.table({"sets": [[{"x": 1, "y": 2}]], "z": [[3]]}),
        ["x", "y", "z"],
    ),
    "one of each name": (pa.table({"a": [[{"x": 1}]], "b": [[{"x": 2}]]}), None),
    "table of nested": (ARROWS["table of nested"], None),
    "nested and numbers": (pa.table({"a": [[[1, 2]]], "b": [[3]]}), None),
    "lists": (ARROWS["list of lists"], None),
    "numbers": (pa.array([[1.0, 2.0]]), None),
    "records": (AWKWARDS["records"], ["x", "y"]),
    "record of lists": (AWKWARDS["record of lists"], ["x", "y"]),
    "tuples": (AWKWARDS["tuples"], None),
}


@pytest.mark.parametrize("form", FEATURE_NAMES)
def test_names_of_features(form):
    array, expected = FEATURE_NAMES[form]
    read = from_awkward if isinstance(array, ak.Array) else SetCollection.from_arrow
    names = read(array).feature_names
    assert (names is None and expected is None) or names.tolist() == expected


def test_pandas_index_is_no_column():
    lists = pd.ArrowDtype(pa.list_(pa.float64()))
    frame = pd.DataFrame(
        {name: pd.Series(ARROWS["table"][name].to_pylist(), dtype=lists) for name in "xy"}
    ).set_index(pd.Index(["a", "b", "c"]))
    assert_same_sets(SetCollection.from_arrow(frame), NESTED)
    cells = pd.Series(NESTED, index=["a", "b", "c"])
    assert_same_sets(SetCollection.from_arrow(cells), NESTED)
    message = (
        r"array can't be converted to Arrow: .*dimension.*SetCollection.from_sets\(arr"
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.from_arrow(pd.DataFrame({"x": [np.ones((2, 2)), np.ones((1, 2))]}))


@pytest.mark.filterwarnings("ignore:.* with rows of zeros, in differing numbers")
@given(ragged_sets(), st.lists(st.integers(0, 20), max_size=4), st.sampled_from("las"))
def test_chunks_are_read_as_one_array(sets, cuts, form):
    """Whatever the type of lists, and wherever one chunk ends."""
    sets = sets.make()
    numbers = pa.from_numpy_dtype(sets.dtype)
    kinds = {
        "l": pa.list_(pa.list_(numbers)),
        "a": pa.large_list(pa.list_(numbers, sets.n_features)),
        "s": pa.list_(pa.struct([(f"x{j}", numbers) for j in range(sets.n_features)])),
    }
    rows = [x.tolist() for x in sets]
    if form == "s":
        rows = [[{f"x{j}": v for j, v in enumerate(row)} for row in x] for x in rows]
    cuts = sorted({0, len(sets), *(cut for cut in cuts if cut < len(sets))})
    chunks = [rows[start:stop] for start, stop in zip(cuts, cuts[1:])]
    again = SetCollection.from_arrow(pa.chunked_array(chunks, kinds[form]))
    assert_array_equal(again.values, sets.values)
    assert_array_equal(again.offsets, sets.offsets)
    assert again.dtype == sets.dtype


def test_chunks_that_are_too_long_for_one_array():
    """ray#29492, TileDB-SOMA#2462: offsets of 32 bits can't count what all chunks hold.

    Lists of nothing but nulls take no memory, and what a missing list hides isn't read.
    """
    hidden = 2**30
    elements = pa.FixedSizeListArray.from_arrays(pa.nulls(2 * hidden + 4), 2)
    offsets = pa.array([0, hidden, hidden + 2], pa.int32())
    chunk = pa.ListArray.from_arrays(offsets, elements, mask=pa.array([True, False]))
    chunks = pa.chunked_array([chunk, chunk])
    with pytest.raises(pa.ArrowInvalid, match="overflow"):
        chunks.combine_chunks()
    for data in [chunks, pa.table({"sets": chunks})]:
        sets = SetCollection.from_arrow(data)
        assert sets.lengths.tolist() == [0, 2, 0, 2]
        assert_array_equal(sets.values, np.full((4, 2), np.nan))


def test_huge_integers_in_arrow_are_rounded_as_in_numpy():
    array = pa.array([[2**63 + 1], [3]], pa.list_(pa.uint64()))
    assert SetCollection.from_arrow(array).values.tolist() == [[2.0**63], [3.0]]


BAD_ARROWS = {
    "a missing element": (
        [NESTED[0], None, [[1, 2], None]],
        "element 1 of set 2 of array is missing",
    ),
    "a missing struct": (
        [[{"x": 1}], [{"x": 1}, None]],
        "element 1 of set 1 of array is missing",
    ),
    "missing elements of no type": (
        pa.chunked_array([[[]], [[None, None]]], pa.list_(pa.null())),
        "element 0 of set 1 of array is missing",
    ),
    "ragged elements": (
        [NESTED[0], [[1, 2], [3, 4, 5]]],
        "element 1 of set 1 of array has 3 features, the first has 2",
    ),
    "ragged elements of another chunk": (
        pa.chunked_array([NESTED, [None, [[1.0, 2.0], [3.0]]]]),
        "element 1 of set 4 of array has 1 features, the first has 2",
    ),
    "elements without numbers": ([[[]], [[]]], "array has elements with 0 features"),
    "structs without fields": ([[{}]], "array has elements with 0 features"),
    "numbers": ([1.0, 2.0], "array holds double; expected a list of elements"),
    "text": (["spam"], "array holds string; expected a list of elements"),
    "text in elements": (
        [[], [["1", "2"]]],
        r"array holds string in its elements \(set 1, element 0: \['1', '2'\]\); expected "
        r"numbers: array.cast\(pa.list_\(pa.list_\(pa.float64\(\)\)\)\)\.",
    ),
    "text as elements": (
        [["1"]],
        r"\(set 0, element 0: '1'\); expected numbers: array.cast\(pa.list_\(pa.float64",
    ),
    "text in a column": (
        pa.table({"x": [[1.0]], "y": [["1"]]}),
        r"column 'y' of array holds string .*: array\['y'\].cast\(pa.list_\(pa.float64",
    ),
    "text in a field": (
        [[{"x": 1.0, "y": "1"}]],
        r"holds string in its elements in the field 'y' \(set 0, element 0: {'x': 1.0, 'y",
    ),
    "structs in structs": (
        [[{"x": 1.0, "y": {"z": 2.0}}]],
        r"holds struct<z: double> in its elements in the field 'y' \(set 0, element 0: {",
    ),
    "lists in elements": ([[[[1.0]]]], "array holds list.* in its elements .*expected num"),
    "bytes of bfloat16": (
        pa.array([[b"\x80\x3f"]], pa.list_(pa.binary(2))),
        r"array holds fixed_size_binary\[2\] in its elements",
    ),
    "a map": (
        pa.array([[("a", 1.0)]], pa.map_(pa.string(), pa.float64())),
        "array holds map.*; expected a list of elements",
    ),
    "no columns": (pa.table({}), "array has no columns"),
    "a column of labels": (
        pa.table({"x": [[1.0]], "label": ["a"]}),
        r"array has columns of sets, \['x'\], beside others.*: array.select\(\['x'\]\)\.$",
    ),
    "a missing list": (
        pa.table({"x": [[1.0], [2.0]], "y": [[1.0], None]}),
        "set 1 of column 'y' of array has 0 entries; expected one an element of column 'x",
    ),
    "columns of other lengths": (
        pa.table({"x": [[1.0], [2.0, 3.0]], "y": [[1.0], [2.0]]}),
        "set 1 of column 'y' of array has 1 entries; expected one an element of column 'x",
    ),
}


@pytest.mark.parametrize("case", BAD_ARROWS)
def test_arrow_errors_name_the_set(case):
    data, message = BAD_ARROWS[case]
    with pytest.raises(ValueError, match=message):
        SetCollection.from_arrow(pa.array(data) if isinstance(data, list) else data)


def test_arrow_offsets_are_not_trusted():
    offsets = pa.py_buffer(np.array([0, 2000, 2], np.int32))
    numbers = pa.array([1.0, 2.0])
    array = pa.Array.from_buffers(
        pa.list_(numbers.type), 2, [None, offsets], children=[numbers]
    )
    with pytest.raises(ValueError, match="^Offset.*2000"):
        SetCollection.from_arrow(array)


WEIGHTS = [[1.0], [1.0, 2.0, 0.5], [3.0, 0.0]]
POSITIONS = [[[0.0, 1.0]], [[0.0, 1.0]] * 3, [[0.5, 1.0]] * 2]


@pytest.mark.parametrize("library", ["arrow", "awkward"])
def test_weights_and_positions_in_lists(library):
    convert, read = {
        "arrow": (pa.array, SetCollection.from_arrow),
        "awkward": (ak.Array, SetCollection.from_awkward),
    }[library]
    sets = read(convert(NESTED), weights=convert(WEIGHTS), positions=convert(POSITIONS))
    expected = SetCollection.from_sets(NESTED, weights=WEIGHTS, positions=POSITIONS)
    for name in ["values", "offsets", "weights", "positions"]:
        assert_array_equal(getattr(sets, name), getattr(expected, name))
    line = read(convert(NESTED), positions=convert(WEIGHTS))
    assert_array_equal(line.positions[:, 0], sets.weights)
    for weights, message in [
        (
            [[1.0], [1.0, 2.0], [3.0, 1.0]],
            "set 1 of weights has 2 entries; expected one an",
        ),
        (WEIGHTS[:2], "weights has 2 sets; expected those of array, 3"),
        ([[1.0], [1.0, -2.0, 0.5], [3.0, 1.0]], r"weights has -2.0 in set 1 \(element 1"),
        ([[1.0], [1.0, None, 0.5], [3.0, 1.0]], r"weights has nan in set 1 \(element 1"),
        (POSITIONS, "weights has shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(convert(NESTED), weights=convert(weights))


@pytest.mark.parametrize("data", [None, "[[[1.0]]]", NESTED, np.ones((2, 3, 2)), 3])
def test_what_is_not_of_the_library_is_refused(data):
    kind = type(data).__name__
    with pytest.raises(TypeError, match=f"array is {kind}; expected Arrow data"):
        SetCollection.from_arrow(data)
    with pytest.raises(TypeError, match=f"array is {kind}; expected an awkward.Array"):
        SetCollection.from_awkward(data)


# --- awkward


def awkward_lists(dtype=np.float64):
    """An awkward array of the nested lists, and the address of its numbers."""
    array = flat(dtype)
    return ak.unflatten(array, np.diff(OFFSETS)), array.ctypes.data


@pytest.mark.parametrize("form", AWKWARDS)
def test_awkward_lists(form):
    sets = from_awkward(AWKWARDS[form])
    assert_same_sets(sets, NESTED)
    assert sets.dtype == (np.float32 if form == "float32" else np.float64)


def test_awkward_sets_with_one_feature_and_of_equal_length():
    sets = from_awkward(ak.Array([[1, 2], [3]]))
    assert_same_sets(sets, [[[1], [2]], [[3]]])
    X = np.arange(12.0).reshape(3, 2, 2)
    sets = from_awkward(ak.Array(X))
    assert_same_sets(sets, X)
    assert np.shares_memory(sets.values, X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("regular", [False, True])
def test_awkward_memory_is_not_copied(dtype, regular):
    array = flat(dtype)
    content = ak.contents.NumpyArray(array)
    if regular:
        content = ak.contents.RegularArray(ak.contents.NumpyArray(array.ravel()), 2)
    lists = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(OFFSETS), content))
    for part, first in [(lists, 0), (lists[1:], 1), (lists[1:2], 1)]:
        sets = from_awkward(part)
        assert sets.values.ctypes.data == array[first:].ctypes.data
        assert not sets.values.flags.writeable
    assert array.flags.writeable


def test_missing_numbers_in_awkward_become_nan():
    array = ak.Array([[[1, 2]], [[3, None], [5, 6]]])
    expected = [[1, 2], [3, np.nan], [5, 6]]
    assert_array_equal(from_awkward(array).values, expected)
    single = from_awkward(ak.values_astype(array, np.float32))
    assert_array_equal(single.values, expected)
    assert single.dtype == np.float32
    records = ak.Array([[{"x": 1.0}], [{"x": None}]])
    assert_array_equal(from_awkward(records).values, [[1], [np.nan]])


BAD_AWKWARDS = {
    "a missing element": (
        [NESTED[0], [[1, 2], None]],
        "element 1 of set 1 of array is missing",
    ),
    "a missing record": (
        [[{"x": 1}], [{"x": 1}, None]],
        "element 1 of set 1 of array is missing",
    ),
    "ragged elements": (
        [NESTED[0], [[1, 2], [3, 4, 5]]],
        "element 1 of set 1 of array has 3 features, the first has 2",
    ),
    "elements without numbers": ([[[]], [[]]], "array has elements with 0 features"),
    "no regular numbers": (
        ak.to_regular(ak.Array(np.ones((2, 3, 0))), axis=2),
        "array has elements with 0 features",
    ),
    "numbers": ([1.0, 2.0], r"array has the type 2 \* float64; expected a list of"),
    "text": (["spam"], "array has the type 1 . string; expected a list of"),
    "text in elements": (
        [[], ["1", "b"]],
        r"array holds string in its elements \(set 1, element 0: '1'\); expected real "
        r"numbers: ak.strings_astype\(array, np.float64\)\.",
    ),
    "text in a field": (
        [[{"x": 1, "y": "b"}]],
        r"holds string in its elements in the field 'y' \(set 0, element 0: {'x': 1, 'y",
    ),
    "text among numbers": (
        [[[1.0, 2.0]], [[3.0, 4.0], [5.0, "b"]]],
        r"holds union\[float64, string\] in its elements \(set 1, element 1: \[5.0, 'b'\]",
    ),
    "too deep": (
        [[[[1.0]]]],
        r"array holds var \* float64 in its elements \(set 0, element 0: \[\[1.0\]\]\)",
    ),
    "complex numbers": ([[1j]], "array holds complex128 in its elements"),
    "dates": (
        ak.Array(np.zeros((2, 3), "M8[D]")),
        r"array holds datetime64\[D\] in its el",
    ),
    "lists and numbers": (
        [[1.0], [2.0, [2.0]]],
        "element 1 of set 1 of array is a list, the first is a number; expected the same",
    ),
    "lists and numbers as sets": (
        [[1.0], 2.0, [3.0]],
        r"set 1 of array is a number, the first is a list; expected a list of elements for "
        r"each set. Without it: array\[np.arange\(len\(array\)\) != 1\]\.",
    ),
    "records and lists": (
        [[{"x": 1}], [{"x": 2}, [1]]],
        "element 1 of set 1 of array is a list, the first is a record of 'x'",
    ),
    "nested records": (
        [[{"x": {"a": 1, "b": 2}, "y": 3}]],
        r"holds {a: int64, b: int64} in its elements in the field 'x' \(set 0, element 0: "
        r".*: ak.zip\({\"x_a\": array\[\"x\", \"a\"\], \"x_b\": array\[\"x\", \"b\"\], "
        r"\"y\": array\[\"y\"\]}, depth_limit=2\)",
    ),
    "fields of other lengths": (
        ak.Array({"x": [[1.0], [2.0, 3.0]], "y": [[1.0], [2.0]]}),
        "set 1 of column 'y' of array has 1 entries; expected one an element of column 'x",
    ),
}


@pytest.mark.parametrize("case", BAD_AWKWARDS)
def test_awkward_errors_name_the_set(case):
    data, message = BAD_AWKWARDS[case]
    with pytest.raises(ValueError, match=message):
        from_awkward(ak.Array(data))


@pytest.mark.filterwarnings("ignore:.* with rows of zeros, in differing numbers")
@given(ragged_sets())
def test_any_sets_through_awkward_and_back(sets):
    sets = sets.make()
    array = sets.to_awkward()
    again = from_awkward(array)
    assert again.values.ctypes.data == sets.values.ctypes.data
    assert_array_equal(again.offsets, sets.offsets)
    assert ak.to_list(array) == [x.tolist() for x in sets]


def test_out_again_without_a_copy():
    sets = SetCollection.from_sets(NESTED)
    address = sets.values.ctypes.data
    array = sets.to_arrow()
    assert array.flatten().flatten().buffers()[1].address == address
    assert array.to_pylist() == NESTED
    lists = sets.to_awkward()
    assert str(lists.type) == "3 * var * 2 * float64"
    assert ak.to_numpy(ak.flatten(lists)).ctypes.data == address
    part = sets[1:]  # offsets of a part start at 0
    assert part.to_arrow().to_pylist() == part.to_awkward().to_list() == NESTED[1:]
    none = sets[:0]
    assert none.to_arrow().to_pylist() == none.to_awkward().to_list() == []


def test_awkward_weights_as_documented():
    sets = SetCollection.from_sets(NESTED, weights=WEIGHTS)
    weights = ak.unflatten(sets.weights, sets.lengths)
    again = from_awkward(sets.to_awkward(), weights=weights)
    assert_array_equal(again.weights, sets.weights)


# --- arrays in the cells of arrays, as files have them


def test_cells_of_a_parquet_file(tmp_path):
    """pandas reads a list of lists as an array of arrays."""
    path = tmp_path / "sets.parquet"
    equal = [NESTED[1], [[0.0, 1], [2, 3], [4, 5]]]
    for nested_sets in [NESTED, equal]:
        pd.DataFrame({"x": nested_sets}).to_parquet(path)
        column = pd.read_parquet(path)["x"]
        assert column[0].dtype == object
        for form in [column, list(column), column.to_numpy(), tuple(column)]:
            assert_same_sets(as_sets(form), nested_sets)
        assert_same_sets(SetCollection.from_sets(column), nested_sets)
        assert_same_sets(as_sets([column[1]]), nested_sets[1:2])


def test_the_hint_for_a_table_of_arrays_helps(tmp_path):
    path = tmp_path / "sets.parquet"
    x = [[x for x, _ in rows] for rows in NESTED]
    y = [[y for _, y in rows] for rows in NESTED]
    pd.DataFrame({"x": x, "y": y, "label": [0, 1, 2]}).to_parquet(path)
    of_files = pd.read_parquet(path)
    of_sktime = pd.DataFrame({"x": map(pd.Series, x), "y": map(pd.Series, y)})
    of_polars = pl.DataFrame({"x": x, "y": y})
    line = "[np.column_stack(row) for row in X[['x', 'y']].to_numpy()]"
    with pytest.raises(ValueError, match=re.escape(f"a set for each row: {line}")):
        as_sets(of_sktime)
    for X in [of_files, of_sktime, of_polars]:
        assert_same_sets(as_sets(eval(line, {"np": np, "X": X})), NESTED)
        with pytest.raises(ValueError, match=re.escape(line.replace("X[", "values["))):
            SetCollection.from_groups(X, [0, 1, 2])
    sets = [np.column_stack(row) for row in pd.DataFrame({"x": NESTED}).to_numpy()]
    assert_same_sets(as_sets(sets), NESTED)


def test_a_column_of_embeddings_of_elements():
    for column in [pd.Series(flat().tolist()), pd.Series([*flat()]), pl.Series(flat())]:
        table = type(column.to_frame("e") if hasattr(column, "iloc") else pl.DataFrame())
        for values in [column, table({"e": column})]:
            sets = SetCollection.from_groups(values, [0, 1, 1, 1, 2, 2])
            assert_same_sets(sets, NESTED)


def test_cells_of_a_matlab_file(tmp_path):
    path = tmp_path / "sets.mat"
    cells = np.empty(3, object)
    cells[:] = [np.array(rows) for rows in NESTED]
    savemat(path, {"row": cells, "column": cells[:, np.newaxis]})
    file = loadmat(path)
    assert file["row"].shape == (1, 3)
    assert file["column"].shape == (3, 1)
    for X in [file["row"], file["column"], file["column"].tolist()[0]]:
        sets = as_sets(X)
        assert_same_sets(sets, NESTED[: len(sets)])
    assert_same_sets(SetCollection.from_sets(file["row"]), NESTED)
    cells[:] = [*map(np.array, NESTED[1])]  # elements, which MATLAB holds as matrices
    savemat(path, {"elements": cells[:, np.newaxis]})
    elements = loadmat(path)["elements"]
    assert elements[0, 0].shape == (1, 2)
    assert_same_sets(as_sets([elements, elements]), [NESTED[1], NESTED[1]])


@pytest.mark.parametrize("numbers", [np.array([1, 2.5], object), [1, 2.5], [1, 2]])
def test_objects_that_are_numbers_beside_nullable_ones(numbers):
    table = pd.DataFrame({"a": pd.array([1.5, None], dtype="Float64"), "b": numbers})
    expected = [[1.5, table["b"][0]], [np.nan, table["b"][1]]]
    sets = SetCollection.from_groups(table, [0, 0])
    assert_array_equal(sets[0], expected)
    assert_array_equal(as_sets([table])[0], expected)
    with pytest.warns(UserWarning, match="X is 2-D"):
        assert_array_equal(as_sets(table).values, expected)
    table["b"] = np.array([pd.NA, 1], object)
    sets = SetCollection.from_groups(table, [0, 0])
    assert_array_equal(sets[0], [[1.5, np.nan], [np.nan, 1]])
    assert_array_equal(as_sets([table[["b"]]])[0], [[np.nan], [1]])
    table["c"] = ["u", "v"]
    with pytest.raises(ValueError, match=r"columns that don't hold numbers, \['c'\]; exp"):
        SetCollection.from_groups(table, [0, 0])


# --- padded arrays, and lists of arrays, as libraries for time series have them


def test_padded_as_in_tslearn():
    """`tslearn.utils.to_time_series_dataset`: (n, longest, d), NaN at the end."""
    padded = np.full((3, 3, 2), np.nan)
    for i, rows in enumerate(NESTED):
        padded[i, : len(rows)] = rows
    sets = SetCollection.from_padded(padded)
    assert_same_sets(sets, NESTED)
    assert_array_equal(sets.to_padded(), padded)


def test_channels_first_as_in_aeon():
    """aeon: (n, channels, time), or a list of (channels, time) of unequal lengths."""
    series = [np.array(rows).T for rows in NESTED]
    assert_same_sets(as_sets([x.T for x in series]), NESTED)
    equal = np.stack([x[:, :1] for x in series])
    assert_same_sets(as_sets(np.swapaxes(equal, 1, 2)), [rows[:1] for rows in NESTED])
    padded = np.full((3, 2, 3), np.nan)
    for i, x in enumerate(series):
        padded[i, :, : x.shape[1]] = x
    assert_same_sets(SetCollection.from_padded(np.swapaxes(padded, 1, 2)), NESTED)


@pytest.mark.filterwarnings("ignore:.* with rows of zeros, in differing numbers")
@given(ragged_sets(), st.sampled_from([np.nan, 0.0, -1.5]))
def test_any_sets_through_padding_and_back(sets, fill_value):
    sets = sets.make()
    padded = sets.to_padded(fill_value)
    assert padded.dtype == sets.dtype
    assert padded.shape == (len(sets), sets.lengths.max(), sets.n_features)
    again = SetCollection.from_padded(padded, lengths=sets.lengths)
    assert_array_equal(again.values, sets.values)
    assert_array_equal(again.offsets, sets.offsets)
    for rows, length in zip(padded, sets.lengths):
        assert_array_equal(rows[length:], np.full_like(rows[length:], fill_value))


def test_no_sets_are_padded_to_nothing():
    assert SetCollection.from_sets(NESTED)[:0].to_padded().shape == (0, 0, 2)


# --- as input, and out of estimators


@pytest.mark.pairwise(
    ("how", ["set_output", "config"]),
    ("library", ["pandas", "polars"]),
    (
        "model",
        [
            OTKEmbedding(2, n_components=2, random_state=0),
            OTKClassifier(OTKEmbedding(2, n_components=2), random_state=0),
        ],
    ),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_tables_out_of_a_pipeline(model, library, how):
    sets, y = make_sets(n_features=2), np.arange(12) % 2
    pipe = make_pipeline(ElementTransformer(StandardScaler()), clone(model))
    expected = pipe.fit(sets, y).transform(sets)
    if how == "set_output":
        table = pipe.set_output(transform=library).transform(sets)
    else:
        with config_context(transform_output=library):
            table = pipe.fit(sets, y).transform(sets)
    assert isinstance(table, {"pandas": pd.DataFrame, "polars": pl.DataFrame}[library])
    assert list(table.columns) == list(pipe.get_feature_names_out())
    assert_array_equal(table.to_numpy(), expected)


@pytest.mark.filterwarnings("ignore:X is 2-D")
def test_index_of_a_table_is_kept():
    """As everywhere in scikit-learn: rows in, rows out."""
    table = pd.DataFrame(flat(), columns=["x", "y"], index=list("abcdef"))
    model = OTKEmbedding(2, n_components=2).set_output(transform="pandas")
    assert model.fit_transform(table).index.tolist() == list("abcdef")
    tables = [table[:3], table[3:]]
    assert model.fit_transform(tables).index.tolist() == [0, 1]


@pytest.mark.parametrize("library", ["pyarrow", "awkward"])
def test_a_missing_package_is_named_with_its_extra(library, monkeypatch):
    module = {"pyarrow": "arrow", "awkward": "awkward"}[library]
    sets = SetCollection.from_sets(NESTED)
    monkeypatch.delitem(sys.modules, f"otk_sklearn.sets._{module}", raising=False)
    importing = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {library!r}")
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    message = rf'need {library}: pip install "otk-sklearn\[{module}\]"'
    with pytest.raises(ImportError, match=message):
        getattr(SetCollection, f"from_{module}")(NESTED)
    with pytest.raises(ImportError, match=message):
        getattr(sets, f"to_{module}")()
    monkeypatch.undo()
    importlib.import_module(f"otk_sklearn.sets._{module}")
