"""`iter_sets` against one collection of all data, wherever these are cut."""

import datetime
import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from otk_sklearn import SetCollection
from otk_sklearn.batches import iter_sets

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")
ds = pytest.importorskip("pyarrow.dataset")
pq = pytest.importorskip("pyarrow.parquet")

HAS_COLLECT_BATCHES = hasattr(pl.LazyFrame, "collect_batches")


def long_table(lengths, ids=None, seed=0):
    """A long table with a set for each length, in that order, and what it says of them."""
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    ids = rng.permutation(1000)[: len(lengths)] if ids is None else ids
    return pd.DataFrame(
        {
            "y": np.repeat(rng.integers(0, 3, len(lengths)), lengths),
            "x0": rng.normal(size=n).astype(np.float32),
            "w": rng.uniform(0.5, 2, n),
            "id": pd.Series([i for i, length in zip(ids, lengths) for _ in range(length)]),
            "x1": rng.normal(size=n).astype(np.float32),
            "s": rng.uniform(0, 1, n),
        }
    )


def cut(table, places):
    places = [0, *sorted(min(place, len(table)) for place in places), len(table)]
    return [table.iloc[a:b] for a, b in itertools.pairwise(places)]


def as_arrow(table):
    return pa.Table.from_pandas(table, preserve_index=False)


def arrow_tables(tables):
    """Tables of one type, which that of an empty column of pandas doesn't tell."""
    schema = as_arrow(pd.concat(tables)).schema
    return [pa.Table.from_pandas(x, schema, preserve_index=False) for x in tables]


def record_batches(tables):
    return [batch for table in arrow_tables(tables) for batch in table.to_batches()]


def reader(tables):
    schema = arrow_tables(tables)[0].schema
    return pa.RecordBatchReader.from_batches(schema, record_batches(tables))


LONG_FORMS = {
    "pandas": lambda tables: tables,
    "one of pandas": lambda tables: pd.concat(tables),
    "generator": lambda tables: (table for table in tables),
    "polars": lambda tables: [pl.from_pandas(table) for table in tables],
    "tables of Arrow": lambda tables: [as_arrow(table) for table in tables],
    "one of Arrow": lambda tables: pa.concat_tables(arrow_tables(tables)),
    "record batches": record_batches,
    "reader": reader,
    "data set": lambda tables: ds.dataset(pa.concat_tables(arrow_tables(tables))),
    "scanner": lambda tables: ds.dataset(pa.concat_tables(arrow_tables(tables))).scanner(),
    "stream": lambda tables: Stream(pa.concat_tables(arrow_tables(tables))),
    "lazy": lambda tables: pl.from_pandas(pd.concat(tables)).lazy(),
    "lazy frames": lambda tables: [pl.from_pandas(table).lazy() for table in tables],
    "dictionaries": lambda tables: [
        pd.DataFrame(table).astype({"id": "category"}) for table in tables
    ],
    "dictionaries of Arrow": lambda tables: [
        pa.table(
            {
                name: column.dictionary_encode() if name == "id" else column
                for name, column in zip(
                    as_arrow(table).column_names, as_arrow(table).columns
                )
            }
        )
        for table in tables
    ],
}
if not HAS_COLLECT_BATCHES:
    del LONG_FORMS["lazy"], LONG_FORMS["lazy frames"]


class Stream:
    """A stream of Arrow tables, as of DuckDB."""

    def __init__(self, table):
        self.table, self.columns = table, table.column_names

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


ROLES = {"groups": "id", "weights": "w", "positions": "s", "target": "y"}


def whole(table):
    """The collection of a whole table, by `from_groups`, and the target of its sets."""
    sets = SetCollection.from_groups(
        table[["x0", "x1"]],
        table["id"].to_numpy(),
        weights=table["w"].to_numpy(),
        positions=table["s"].to_numpy(),
    )
    return sets, table["y"].to_numpy()[sets.rows][sets.offsets[:-1]]


def check_same(pairs, table, max_elements):
    pairs = list(pairs)
    expected, y = whole(table)
    found = SetCollection.concatenate([sets for sets, _ in pairs])
    assert found.names.tolist() == expected.names.tolist()
    assert found.feature_names.tolist() == ["x0", "x1"]
    for name in ["values", "offsets", "weights", "positions"]:
        assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.dtype == np.float32
    assert_array_equal(np.concatenate([part for _, part in pairs]), y)
    check_sizes([sets for sets, _ in pairs], max_elements)


def check_sizes(collections, max_elements):
    """None is too large, if it is not one set, nor could it have held the next set."""
    sizes = [np.maximum(sets.lengths, 1) for sets in collections]
    for size in sizes:
        assert size.sum() <= max_elements or len(size) == 1
    for size, after in itertools.pairwise(sizes):
        assert size.sum() + after[0] > max_elements


IDS = {
    "integers": lambda n: None,
    "strings": lambda n: [f"patient {i * 7 % n}" if n % 7 else f"p{i}" for i in range(n)],
    "dates": lambda n: [
        datetime.date(2020, 1, 1) + datetime.timedelta(i) for i in range(n)
    ],
}


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=10),
    places=st.lists(st.integers(0, 60), max_size=6),
    max_elements=st.integers(1, 40),
    ids=st.sampled_from(sorted(IDS)),
)
@pytest.mark.parametrize("form", LONG_FORMS)
def test_long_tables_are_the_sets_of_the_whole_wherever_they_are_cut(
    form, lengths, places, max_elements, ids
):
    table = long_table(lengths, IDS[ids](len(lengths)))
    batches = LONG_FORMS[form](cut(table, places))
    pairs = iter_sets(batches, **ROLES, max_elements=max_elements)
    check_same(pairs, table, max_elements)


def lists_of(table):
    """The same sets, each in a row of a table with columns of lists."""
    sets, y = whole(table)
    elements = SetCollection.to_arrow(sets)
    offsets = pa.array(sets.offsets)
    return pa.table(
        {
            "y": y,
            "x": elements,
            "w": pa.LargeListArray.from_arrays(offsets, pa.array(sets.weights)),
            "s": pa.LargeListArray.from_arrays(offsets, pa.array(sets.positions[:, 0])),
            "id": sets.names,
        }
    )


LIST_FORMS = {
    "tables of Arrow": lambda tables: tables,
    "one of Arrow": pa.concat_tables,
    "data set": lambda tables: ds.dataset(pa.concat_tables(tables)),
    "polars": lambda tables: [pl.from_arrow(table) for table in tables],
    "pandas of Arrow": lambda tables: [
        table.to_pandas(types_mapper=pd.ArrowDtype) for table in tables
    ],
    "pandas of nested cells": lambda tables: [table.to_pandas() for table in tables],
    "pandas of 2-D arrays": lambda tables: [
        table.to_pandas().assign(
            x=pd.Series([np.array(x.as_py(), np.float32) for x in table["x"]], dtype=object)
        )
        for table in tables
    ],
}


@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=10),
    places=st.lists(st.integers(0, 10), max_size=4),
    max_elements=st.integers(1, 40),
)
@pytest.mark.parametrize("form", LIST_FORMS)
def test_columns_of_lists_are_the_sets_of_the_whole(form, lengths, places, max_elements):
    table = long_table(lengths, [f"s{i}" for i in range(len(lengths))])
    lists = lists_of(table)
    places = [0, *sorted(min(place, len(lists)) for place in places), len(lists)]
    tables = [lists[a:b] for a, b in itertools.pairwise(places)]
    pairs = iter_sets(
        LIST_FORMS[form](tables), column="x", **ROLES, max_elements=max_elements
    )
    pairs = [(x.with_values(x.values, feature_names=["x0", "x1"]), y) for x, y in pairs]
    check_same(pairs, table, max_elements)


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any),
    places=st.lists(st.integers(0, 12), max_size=4),
    max_elements=st.integers(1, 30),
    as_collections=st.booleans(),
)
def test_lists_of_arrays_and_collections_are_the_sets_of_the_whole(
    lengths, places, max_elements, as_collections
):
    values = np.random.default_rng(0).normal(size=(sum(lengths), 2))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sets = SetCollection(values, offsets)
    places = [0, *sorted(min(place, len(sets)) for place in places), len(sets)]
    parts = [sets[a:b] for a, b in itertools.pairwise(places)]
    batches = parts if as_collections else [list(part) for part in parts]
    found = list(iter_sets(batches, max_elements=max_elements))
    assert_array_equal(np.concatenate([part.values for part in found]), values)
    assert np.concatenate([part.lengths for part in found]).tolist() == lengths
    check_sizes(found, max_elements)
    found = list(iter_sets(values, offsets=offsets, max_elements=max_elements))
    assert_array_equal(np.concatenate([part.values for part in found]), values)
    assert np.concatenate([part.lengths for part in found]).tolist() == lengths
    check_sizes(found, max_elements)


def test_a_set_goes_on_across_files_of_parquet(tmp_path):
    table = long_table([3, 40, 2, 0, 5], ["a", "b", "c", "d", "e"])
    parts = cut(table, [10, 30, 30])  # "b" is in three files, one file has no row
    for i, part in enumerate(parts):
        pq.write_table(as_arrow(part), tmp_path / f"part-{i}.parquet", row_group_size=6)
    dataset = ds.dataset(tmp_path)
    check_same(iter_sets(dataset, **ROLES, max_elements=9), table, 9)
    scanner = dataset.scanner(batch_size=4)
    check_same(iter_sets(scanner, **ROLES, max_elements=9), table, 9)
    files = [pq.ParquetFile(path) for path in sorted(tmp_path.iterdir())]
    check_same(iter_sets(files, **ROLES, max_elements=9), table, 9)
    with pq.ParquetFile(tmp_path / "part-0.parquet") as file:
        check_same(iter_sets(file, **ROLES, max_elements=9), parts[0], 9)
    if HAS_COLLECT_BATCHES:
        lazy = pl.scan_parquet(tmp_path / "*.parquet")
        check_same(iter_sets(lazy, **ROLES, max_elements=9), table, 9)


def test_only_needed_columns_are_read_from_files(tmp_path):
    table = as_arrow(long_table([2, 1]))
    table = table.append_column("text", pa.array(["a", "b", "c"]))
    pq.write_table(table, tmp_path / "x.parquet")
    for source in [ds.dataset(tmp_path), pq.ParquetFile(tmp_path / "x.parquet")]:
        (sets,) = iter_sets(source, groups="id", features=["x1", "x0"])
        assert sets.feature_names.tolist() == ["x1", "x0"]
        assert_array_equal(sets.values[:, 0], table["x1"])
    with pytest.raises(
        ValueError, match=r"groups is 'idd'; expected .* one of \['y', 'x0'"
    ):
        iter_sets(ds.dataset(tmp_path), groups="idd", features=["x0"])


def test_an_array_mapped_to_memory_is_not_copied(tmp_path):
    values = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    offsets = np.arange(0, 101, 10)
    weights, y = np.arange(1.0, 101), np.arange(10)
    pairs = list(
        iter_sets(
            mapped,
            offsets=offsets,
            groups=[f"s{i}" for i in range(10)],
            features=["a", "b", "c"],
            weights=weights,
            positions=weights / 100,
            target=y,
            max_elements=35,
        )
    )
    assert [len(sets) for sets, _ in pairs] == [3, 3, 3, 1]
    for sets, _ in pairs:
        assert np.shares_memory(sets.values, mapped)
    found = SetCollection.concatenate([sets for sets, _ in pairs])
    assert_array_equal(found.values, values)
    assert_array_equal(found.weights, weights)
    assert_array_equal(found.positions[:, 0], weights / 100)
    assert found.names.tolist() == [f"s{i}" for i in range(10)]
    assert found.feature_names.tolist() == ["a", "b", "c"]
    assert_array_equal(np.concatenate([part for _, part in pairs]), y)


class Sliced:
    """An array that is read by slices only, as those of HDF5 and Zarr."""

    def __init__(self, array):
        self.array, self.shape, self.largest = array, array.shape, 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.largest = max(self.largest, rows.stop - rows.start)
        return self.array[rows]


def test_arrays_of_files_are_read_in_slices():
    values = Sliced(np.arange(60, dtype=np.int16).reshape(30, 2))
    found = list(iter_sets(values, offsets=[0, 2, 25, 26, 26, 30], max_elements=5))
    assert values.largest == 23
    assert [sets.lengths.tolist() for sets in found] == [[2], [23], [1, 0], [4]]
    assert_array_equal(np.concatenate([sets.values for sets in found]), values.array)


def test_order_by_sorts_the_elements_of_each_set_across_batches():
    table = pd.DataFrame(
        {
            "id": [1, 1, 1, 0, 0, 0, 0],
            "t": [3, 1, 2, 7, 5, 7, 6],
            "x": [0.0, 1, 2, 3, 4, 5, 6],
            "w": [1.0, 2, 3, 4, 5, 6, 7],
        }
    )
    expected = [1, 2, 0, 4, 6, 3, 5]  # 3 before 5, which are at equal times
    times = {
        "integers": table["t"],
        "dates": pd.Timestamp(2020, 1, 1) + pd.to_timedelta(table["t"], "D"),
        "strings": table["t"].map(str),
    }
    for column, size in itertools.product(times.values(), [1, 2, 5, 7]):
        shown = table.assign(t=column)
        for tables in [cut(shown, range(0, 7, size)), record_batches(cut(shown, [size]))]:
            (sets,) = iter_sets(tables, groups="id", weights="w", order_by="t")
            assert sets.values.ravel().tolist() == expected
            assert_array_equal(sets.weights, sets.values[:, 0] + 1)
            assert sets.feature_names.tolist() == ["x"]
    (sets,) = iter_sets(table, groups="id", weights="w", features=["x", "t"])
    assert sets.values[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]


def names_of(batches, groups="id", **options):
    return [x for sets in iter_sets(batches, groups=groups, **options) for x in sets.names]


def test_groups_of_several_columns_and_structs_have_tuples_for_names():
    table = pd.DataFrame({"plate": [1, 1, 1, 2], "well": [*"abbb"], "x": [0.0, 1, 2, 3]})
    expected = [(1, "a"), (1, "b"), (2, "b")]
    for places, form in itertools.product([[2], [1, 2, 3]], LONG_FORMS):
        if "dictionaries" not in form:
            batches = LONG_FORMS[form](cut(table, places))
            assert names_of(batches, ["plate", "well"]) == expected, form
    structs = pa.StructArray.from_arrays(
        [pa.array(table["plate"]), pa.array(table["well"])], ["plate", "well"]
    )
    arrow = pa.table({"id": structs, "x": table["x"]})
    for size in [1, 2, 3]:
        batches = arrow.to_batches(max_chunksize=size)
        assert names_of(batches) == expected
        assert names_of([pl.from_arrow(batch) for batch in batches]) == expected
    tuples = pd.Series([*zip(table["plate"], table["well"])])
    frame = pd.DataFrame({"id": tuples, "x": table["x"]})
    assert names_of(cut(frame, [2])) == expected
    with pytest.raises(ValueError, match=r"batch 1: groups has \(1, 'a'\) again in row 1"):
        names_of([arrow[:3], pa.concat_tables([arrow[2:3], arrow[:1]])])


def test_names_of_different_types_of_text_and_integers_are_the_same():
    types = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
    if hasattr(pa, "string_view"):
        types.append(pa.string_view())
    tables = [pa.table({"id": pa.array(["a", "b"]), "x": [0.0, 1.0]})]
    for i, arrow_type in enumerate(types):  # each set goes on in the next table
        labels = pa.array([f"c{i - 1}" if i else "b", f"c{i}"])
        tables.append(pa.table({"id": labels.cast(arrow_type), "x": [1.0, 2.0]}))
    assert names_of(tables) == ["a", "b", *(f"c{i}" for i in range(len(types)))]
    tables = [
        pa.table({"id": pa.array([-2, -1, 2**40], pa.int64()), "x": [0.0, 1, 2]}),
        pa.table({"id": pa.array([7, 8], pa.int8()), "x": [0.0, 1]}),
        pa.table({"id": pa.array([8, 2**63 + 1], pa.uint64()), "x": [0.0, 1]}),
    ]
    assert [int(x) for x in names_of(tables[:2])] == [-2, -1, 2**40, 7, 8]
    assert [int(x) for x in names_of(tables[1:])] == [7, 8, 2**63 + 1]


def test_a_level_of_the_index_of_pandas_names_the_groups():
    table = long_table([2, 3], ["a", "b"])[["id", "x0"]].set_index("id")
    (sets,) = iter_sets(cut(table, [1, 3]), groups="id")
    assert sets.lengths.tolist() == [2, 3]
    assert sets.feature_names.tolist() == ["x0"]
    stored = pa.Table.from_pandas(table.reset_index().set_axis(range(5, 10)))
    (sets,) = iter_sets(stored, groups="id")  # has the column __index_level_0__, too
    assert sets.feature_names.tolist() == ["x0"]


@pytest.mark.parametrize("library", ["pandas", "polars", "Arrow"])
def test_elements_may_be_one_column_of_lists(library):
    values = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    ids = [4, 4, 4, 4, 2, 2, 9, 9, 9]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 3)
    table = pa.table({"id": ids, "v": vectors})
    convert = {"pandas": pa.Table.to_pandas, "polars": pl.from_arrow, "Arrow": lambda x: x}
    batches = [convert[library](table[a:b]) for a, b in [(0, 3), (3, 5), (5, 9)]]
    for features in [None, "v", ["v"]]:
        (sets,) = iter_sets(batches, groups="id", features=features)
        assert_array_equal(sets.values, values)
        assert sets.dtype == np.float32
        assert sets.names.tolist() == [4, 2, 9]
        assert sets.feature_names is None


def test_precision_is_kept_and_missing_numbers_are_nan():
    x = np.array([0.5, 1.5], np.float16)
    for dtype, expected in [("float16", "float32"), ("float32", "float32"),
                            ("float64", "float64"), ("int8", "float64")]:  # fmt: skip
        table = pa.table({"id": [1, 1], "x": x.astype(dtype)})
        for batch in [table, table.to_pandas()]:
            (sets,) = iter_sets(batch, groups="id")
            assert sets.dtype == expected
            assert_array_equal(sets.values[:, 0], x.astype(dtype))
    colours = pa.table({"id": [1, 1], "x": x.astype("f4"), "red": np.uint8([3, 255])})
    for batch in [colours, colours.to_pandas(), pl.from_arrow(colours)]:
        (sets,) = iter_sets(batch, groups="id")
        assert sets.dtype == np.float64  # of all integers, NumPy: only of large ones
        if batch is not colours:
            assert SetCollection.from_groups(batch, "id").dtype == np.float64
        assert_array_equal(sets.values, [[0.5, 3], [1.5, 255]])
    for column in [[1, None], [True, None], [1.0, None], [1.0, np.nan]]:
        table = pa.table({"id": [1, 1], "x": column})
        for batch in [table, pl.from_arrow(table), table.to_pandas(),
                      table.to_pandas(types_mapper=pd.ArrowDtype)]:  # fmt: skip
            (sets,) = iter_sets(batch, groups="id")
            assert_array_equal(sets.values[:, 0], [1, np.nan])


def test_features_are_taken_by_name():
    first = pd.DataFrame({"id": [1], "x": [1.0], "z": [2.0]})
    second = pd.DataFrame({"z": [4.0], "x": [3.0], "id": [1]})
    (sets,) = iter_sets([first, second], groups="id")
    assert sets.values.tolist() == [[1, 2], [3, 4]]
    more = second.assign(text="a")
    (sets,) = iter_sets([first, more], groups="id", features=["z", "x"])
    assert sets.values.tolist() == [[2, 1], [4, 3]]
    with pytest.raises(
        ValueError,
        match=r"batch 1: the columns of features are \['z', 'x', 'text'\], and "
        r"\['x', 'z'\] in the batches before; .* features=\['x', 'z'\]",
    ):
        list(iter_sets([first, more], groups="id"))
    numbered = [first.set_axis([0, 1, 2], axis=1)]
    (sets,) = iter_sets(numbered, groups=0)
    assert sets.feature_names is None
    assert sets.column_labels.tolist() == [1, 2]


def test_missing_lists_are_empty_sets_also_before_the_first_element():
    lists = pa.array(
        [None, [], [[1.0, 2.0]], None, [[3.0, 4.0]]], pa.list_(pa.list_(pa.float32()))
    )
    table = pa.table(
        {"x": lists, "y": [*"abcde"], "w": pa.array([None, [], [2.0], [], [3.0]])}
    )
    for convert in [lambda x: x, pl.from_arrow, pa.Table.to_pandas]:
        batches = [convert(table)[i : i + 1] for i in range(5)]
        ((sets, y),) = iter_sets(batches, column="x", target="y", weights="w")
        assert sets.lengths.tolist() == [0, 0, 1, 0, 1]
        assert sets.values.tolist() == [[1, 2], [3, 4]]
        assert sets.dtype == np.float32
        assert y.tolist() == [*"abcde"]
        assert sets.weights.tolist() == [2, 3]
        with pytest.raises(ValueError, match="batches has no element in any set"):
            list(iter_sets(batches[:2], column="x"))


def test_columns_of_lists_of_numbers_are_features():
    table = pa.table({"x": [[0.0, 1.0], [2.0]], "z": [[3.0, 4.0], [5.0]]})
    for convert in [lambda x: x, pl.from_arrow, pa.Table.to_pandas]:
        batches = [convert(table[i : i + 1]) for i in range(2)]
        (sets,) = iter_sets(batches, column=["x", "z"])
        assert sets.values.tolist() == [[0, 3], [1, 4], [2, 5]]
        assert sets.feature_names.tolist() == ["x", "z"]
        (sets,) = iter_sets(batches, column="x", positions=["x", "z"])
        assert sets.positions.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_names_of_collections_are_kept_and_those_of_series():
    X = SetCollection.from_sets([[[0.0]], [[1.0], [2.0]]], names=["a", "b"])
    (sets,) = iter_sets([X[1:], X[:1]])
    assert sets.names.tolist() == ["b", "a"]
    (sets,) = iter_sets(X)
    assert sets.values.tolist() == X.values.tolist()
    series = pd.Series([np.zeros((2, 1)), np.ones((1, 1))], dtype=object)
    (sets,) = iter_sets([series, series])
    assert sets.names is None
    assert sets.lengths.tolist() == [2, 1, 2, 1]
    (sets,) = iter_sets([series.set_axis(["a", "b"])])
    assert sets.names.tolist() == ["a", "b"]
    (sets,) = iter_sets([pa.array([[[1.0, 2.0]]]), pa.array([[[3.0, 4.0]], []])])
    assert sets.lengths.tolist() == [1, 1, 0]


def test_several_targets_are_columns():
    table = pd.DataFrame(
        {"id": [1, 1, 2], "x": [0.0, 1, 2], "y": [1, 1, 2], "z": [0.5, 0.5, np.nan]}
    )
    ((_, y),) = iter_sets(table, groups="id", target=["y", "z"])
    assert_array_equal(y, [[1, 0.5], [2, np.nan]])
    ((_, y),) = iter_sets(table, groups="id", target=["y"], features="x")
    assert y.tolist() == [[1], [2]]
    ((_, y),) = iter_sets(table.assign(z=[*"aab"]), groups="id", target=["y", "z"])
    assert y.tolist() == [[1, "a"], [2, "b"]]
    missing = [table.assign(z=[None, None, "b"])[:1], table.assign(z=[None, None, "b"])[1:]]
    for tables in [missing, record_batches(missing)]:
        ((_, y),) = iter_sets(tables, groups="id", target="z", features="x")
        assert y.tolist() == [None, "b"] or (y[0] != y[0] and y[1] == "b")


def test_no_batches_and_empty_ones_give_nothing():
    table = long_table([2])
    assert list(iter_sets([], groups="id")) == []
    assert list(iter_sets([table[:0]] * 3, **ROLES)) == []
    assert list(iter_sets(as_arrow(table[:0]), **ROLES)) == []
    assert list(iter_sets([[], []])) == []
    assert list(iter_sets(np.empty((0, 2)), offsets=[0])) == []
    # A partition without rows need not have the right types.
    found = iter_sets([table[:0].astype(str), table[:1], table[:0], table[1:]], **ROLES)
    check_same(found, table, 100_000)


def test_rows_are_read_in_parts_of_large_tables():
    n = 150_000
    table = pa.table({"id": np.arange(n) // 7, "x": np.arange(n, dtype=np.float32)})
    for batches in [table, table.to_pandas(), pl.from_arrow(table)]:
        collections = list(iter_sets(batches, groups="id", max_elements=10_000))
        check_sizes(collections, 10_000)
        found = SetCollection.concatenate(collections)
        assert_array_equal(found.values[:, 0], np.arange(n))
        assert_array_equal(found.names, np.arange(-(-n // 7)))
    table = table.set_column(0, "id", pa.array([*range(n - 1), 3]))
    with pytest.raises(ValueError, match=r"^batches: groups has 3 again in row 149999, "):
        list(iter_sets(table, groups="id"))


A = pd.DataFrame({"id": [*"aab"], "x": [0.0, 1, 2], "w": [1.0, 1, 1], "y": [1, 1, 0]})
B = A.assign(id=[*"bcd"], y=[0, 1, 2])
VECTORS = pa.table({"id": [1, 1], "v": pa.array([[1.0], None])})
WRONG = {
    "a set comes back in another batch": (
        [A, B, A[:1]],
        {},
        r"batch 2: groups has 'a' again in row 0, after the rows of other sets; expected "
        r"the rows of each set one after the other, in all batches together\. To sort: "
        r"table\.sort_values\('id', kind=\"stable\"\)",
    ),
    "a set comes back within a batch": (
        [A.iloc[[0, 2, 1]]],
        {},
        "batch 0: groups has 'a' again in row 2",
    ),
    "a set comes back in Arrow": (
        as_arrow(A.iloc[[0, 2, 1]]),
        {},
        r"batches: groups has 'a' again in row 2.*pl\.scan_parquet\(path\)\.sort\('id', "
        r"maintain_order=True\)\.sink_parquet\(sorted_path\)",
    ),
    "a set comes back in polars": (
        pl.from_pandas(A.iloc[[0, 2, 1]]),
        {},
        r"table\.sort\('id', maintain_order=True\)",
    ),
    "a missing group": (
        [A, B.assign(id=["b", None, "d"])],
        {},
        "batch 1: groups has no value in row 1; expected one in every row",
    ),
    "a missing group in Arrow": (
        [as_arrow(A), as_arrow(B.assign(id=["b", "c", None]))],
        {},
        "batch 1: groups has no value in row 2",
    ),
    "groups of another type": (
        [A, B.assign(id=[1, 2, 3])],
        {},
        "batch 1: groups is int, and str in the batches before; expected the same type",
    ),
    "no table": (
        [{"id": ["a"], "x": [1.0]}],
        {},
        "batch 0: this is dict, and groups is 'id'; expected a table with such a column",
    ),
    "a list of paths": (
        [Path("a.parquet")],
        {},
        r"batch 0 is .*Path\('a.parquet'\); expected .*dataset\.dataset\('a\.parquet'\)",
    ),
    "names in an array": (
        A,
        {"features": np.array(["x", "y"])},
        r"features is ndarray; expected .*, or features=\[\*names\] for a list of them",
    ),
    "no such group": (
        A,
        {"groups": "patient"},
        r"groups is 'patient'; .* one of \['id', 'x'",
    ),
    "no such feature": (
        [A, A[["id", "w"]]],
        {"features": ["x"]},
        r"batch 1: features is 'x'; expected the name of a column, one of \['id', 'w'\]",
    ),
    "text among the features": (
        A.assign(name="Ada"),
        {"weights": "w"},
        r"columns that don't hold numbers, \['name'\]; .*: features=\['x', 'y'\]",
    ),
    "text in a later batch": (
        [A, B.assign(x=[*"123"])],
        {},
        "batch 1: column 'x' (holds text, such as '1'|is str); expected numbers",
    ),
    "text in a later batch of Arrow": (
        [as_arrow(A), as_arrow(B.assign(x=[*"123"]))],
        {},
        "batch 1: column 'x' is (large_)?string; expected numbers",
    ),
    "dates among the features": (
        pl.from_pandas(A.assign(x=pd.Timestamp(2020, 1, 1))),
        {"features": "x"},
        r"column 'x' is datetime64\[.s\]; expected real numbers",
    ),
    "no features": (
        A[["id"]],
        {},
        "besides those with a role, the table has no other columns",
    ),
    "two columns of a name": (
        A[["id", "x", "x"]],
        {},
        "features is 'x', the name of 2 columns; expected unique names",
    ),
    "a negative weight": (
        [A, B.assign(w=[1, -1, 1])],
        {"weights": "w"},
        "batch 1: weights has -1.0 in row 1; expected finite, non-negative weights",
    ),
    "weights that are all zero": (
        [A.assign(w=[1, 1, 0]), B.assign(w=[0, 1, 1])],
        {"weights": "w"},
        "weights of set 'b' are all zero; expected a positive sum",
    ),
    "a missing position": (
        [A, B.assign(w=[1, np.nan, 1])],
        {"positions": "w"},
        "batch 1: positions has NaN or infinity in row 1",
    ),
    "a missing time": (
        [A, B.assign(w=[1, np.nan, 1])],
        {"order_by": "w"},
        "batch 1: order_by has no value in row 1",
    ),
    "times of another type": (
        [A, B.assign(w=[*"abc"])],
        {"order_by": "w"},
        "batch 1: order_by is str, and float in the batches before",
    ),
    "a target that changes": (
        [A.assign(y=[0, 1, 1])],
        {"target": "y"},
        "batch 0: target is 0 and 1 in rows of the set 'a'; expected one value in all rows",
    ),
    "a target that changes between batches": (
        [A, B.assign(y=[7, 1, 1])],
        {"target": "y"},
        "batch 1: target is 0 and 7 in rows of the set 'b'",
    ),
    "a target of another type": (
        [A[:2], B.assign(y=[*"abc"])],
        {"target": "y"},
        "batch 1: target, column 'y', is str, and int in the batches before",
    ),
    "a missing element": (
        VECTORS,
        {"features": "v"},
        "column 'v' has no element in row 1; expected one in every row",
    ),
    "names in a list": (
        A,
        {"weights": ["w"]},
        r"weights is \['w'\]; expected the name of a",
    ),
    "an array for names": (
        A,
        {"target": A["y"]},
        r"target is Series; .* \(arrays only with offsets\)",
    ),
    "a table, and nothing else": (
        [A],
        {"groups": None},
        r"batch 0: this is a table with the columns \['id', .*groups='id'.*column='x'",
    ),
    "features without groups": (
        [A],
        {"groups": None, "features": ["x"]},
        r"features is \['x'\], with no groups or column; expected None: it is for long",
    ),
    "features of lists": (
        [A],
        {"column": "x", "features": "x"},
        "features is 'x', with column",
    ),
    "columns of arrays": (
        [[np.ones((2, 1))]],
        {"groups": None, "weights": "w"},
        "batch 0: this is list, and weights is 'w'; expected a table with such a column",
    ),
    "sets for batches": (
        [np.ones((2, 1)), np.ones((3, 1))],
        {"groups": None},
        r"batch 0: this is numpy.ndarray; .*: \(\[x\] for x in batches\) if this is one",
    ),
    "an array without offsets": (
        np.ones((2, 1)),
        {"groups": None},
        r"batches has shape \(2, 1\); .*iter_sets\(values, offsets=offsets\)",
    ),
    "a path": ("data/", {}, r"batches is 'data/'; .*pyarrow\.dataset\.dataset\('data/'\)"),
    "no batches": (3, {}, "batches is int; expected an iterable of tables or of lists"),
    "no elements at all": (
        [A],
        {"max_elements": 0},
        "max_elements is 0; expected an integer",
    ),
    "a list that holds no sets": (
        [pa.table({"id": [1], "x": [1.0]})],
        {"column": "x"},
        "batch 0: column holds double; expected a list of elements for each set",
    ),
    "other features": (
        [[np.ones((2, 1))], [np.ones((2, 3))]],
        {"groups": None},
        "batch 1: sets have 3 features, and 1 in the batches before; expected the same",
    ),
    "a name of an earlier set": (
        [SetCollection.from_sets([[[1.0]]], names=["a"])] * 2,
        {"groups": None},
        r"batch 1: names has 'a' again, for set 0; .* iter_sets\(tables, groups='id'\)",
    ),
    "names in some batches": (
        [SetCollection.from_sets([[[1.0]]], names=["a"]), [[[1.0]]]],
        {"groups": None},
        "batch 1: sets have no names, and in the batches before names; expected the same",
    ),
    "weights in some batches": (
        [[[[1.0]]], SetCollection.from_sets([[[1.0]]], weights=[[1.0]])],
        {"groups": None},
        "batch 1: sets have weights, and in the batches before no weights",
    ),
    "other names of features": (
        [[A[["x"]]], [A[["w"]]]],
        {"groups": None},
        r"batch 1: sets have the feature names \['w'\], and \['x'\] in the batches before",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_the_batch_and_what_is_expected(case):
    batches, options, message = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=message):
        list(iter_sets(batches, **{"groups": "id", **options}))


ARRAYS_WRONG = {
    "offsets": ({"offsets": [0, 3]}, r"offsets runs from 0 to 3; expected .* elements, 4"),
    "weights": ({"weights": [1.0]}, "weights is list; expected an array of 4 entries"),
    "a weight": (
        {"weights": np.array([1.0, 1, -1, 1])},
        "sets from 1 to 1: weights has -1.0 in set 0",
    ),
    "target": ({"target": [1]}, r"target has shape \(1,\); expected an array of 2 entries"),
    "names": ({"groups": ["a", "a"]}, "names has 'a' for sets 0 and 1; expected unique"),
    "order": ({"order_by": "t"}, "order_by is 't', with offsets; expected None"),
}


@pytest.mark.parametrize("case", ARRAYS_WRONG)
def test_errors_of_arrays_name_the_sets(case):
    options, message = ARRAYS_WRONG[case]
    options = {"offsets": [0, 2, 4], "max_elements": 2, **options}
    with pytest.raises(ValueError, match=message):
        list(iter_sets(np.ones((4, 1)), **options))
    with pytest.raises(
        TypeError, match=r"batches is of shape \(4,\), with offsets; expected"
    ):
        iter_sets(np.ones(4), offsets=[0, 4])


def test_errors_of_the_batches_themselves_are_not_changed():
    def tables():
        yield A
        raise UnicodeDecodeError("utf-8", b"x", 0, 1, "broken")

    with pytest.raises(UnicodeDecodeError, match="broken"):
        list(iter_sets(tables(), groups="id"))


@pytest.mark.skipif(HAS_COLLECT_BATCHES, reason="this polars collects in batches")
def test_lazy_frames_of_old_versions_of_polars_are_refused():
    with pytest.raises(TypeError, match=r"expected a newer one, or batches\.collect\(\)"):
        iter_sets(pl.LazyFrame({"id": [1], "x": [1.0]}), groups="id")


def test_memory_does_not_grow_with_the_number_of_batches():
    def tables():
        for i in range(200):  # of 0.6 MB each, 128 MB together
            x = np.full((10_000, 8), i, float)
            frame = pd.DataFrame(x, columns=[*"abcdefgh"])
            yield frame.assign(id=np.arange(i * 10_000, (i + 1) * 10_000) // 700)

    tracemalloc.start()
    try:
        n_sets = sum(map(len, iter_sets(tables(), groups="id", max_elements=20_000)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_sets == -(-2_000_000 // 700)
    assert peak < 10e6


def test_what_other_libraries_split_into_is_named():
    frame = type("DataFrame", (), {"__module__": "dask.dataframe"})()
    expected = (
        r"dask\.DataFrame; expected \(part\.compute\(\) for part in batches\.partitions"
    )
    with pytest.raises(TypeError, match=expected):
        iter_sets(frame, groups="id")


def test_errors_in_later_rows_of_a_large_table_count_all_rows():
    n = 70_000
    lists = [[[0.0]]] * (n - 1) + [[None]]
    table = pa.table({"x": pa.array(lists, pa.list_(pa.list_(pa.float64())))})
    expected = "element 0 of set 4463 of column, from row 65536 on, is missing"
    with pytest.raises(ValueError, match=expected):
        list(iter_sets(table, column="x"))
    names = pa.array([*map(str, range(n - 1)), None])
    table = pa.table({"id": names, "x": np.arange(n, dtype=float)})
    with pytest.raises(ValueError, match="^batches: groups has no value in row 69999;"):
        list(iter_sets(table, groups="id"))


def test_batches_are_read_only_when_they_are_needed():
    asked = []

    def tables():
        for i in range(100):
            asked.append(i)
            yield pd.DataFrame({"id": [i] * 10, "x": np.arange(10.0)})

    iterator = iter_sets(tables(), groups="id", max_elements=25)
    assert asked == []
    next(iterator)
    assert len(asked) == 4
    next(iterator)
    assert len(asked) == 6


def test_fragments_of_a_dataset_and_what_pyarrow_has_besides(tmp_path):
    table = as_arrow(pd.concat([A, B]))
    pq.write_to_dataset(table, tmp_path, partition_cols=["y"])
    whole = ds.dataset(tmp_path)
    options = {"groups": "id", "features": "x"}
    parts = [[fragment] for fragment in whole.get_fragments()]
    found = [X for part in parts for X in iter_sets(part, **options)]
    expected = [X for part in parts for X in iter_sets(part[0].to_table(), **options)]
    assert len(found) == len(expected) > 1
    for X, Y in zip(found, expected):
        assert_array_equal(X.values, Y.values)
        assert X.names.tolist() == Y.names.tolist()
    with pytest.raises(TypeError, match=r"expected pyarrow\.dataset\.dataset\(batches"):
        iter_sets(pq.ParquetDataset(tmp_path), **options)
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as file:
        file.write_table(table)
    with pa.ipc.open_file(tmp_path / "a.arrow") as file:
        with pytest.raises(TypeError, match=r"expected \(batches\.get_batch\(i\) for i in"):
            iter_sets(file, **options)


@pytest.mark.parametrize("form", [pd.Series, pl.Series, np.asarray, list])
def test_targets_of_an_array_are_arrays(form):
    values, target = np.arange(8.0).reshape(4, 2), form([5, 6, 7])
    if form is pd.Series:
        target.index = [2.0, 0.0, 1.0]  # which slices of numbers would not count by
    pairs = iter_sets(values, offsets=[0, 1, 2, 4], target=target, max_elements=2)
    targets = [y for _, y in pairs]
    assert all(type(y) is np.ndarray for y in targets)
    assert np.concatenate(targets).tolist() == [5, 6, 7]
