"""`BatchTransformer`: batches of tables to embeddings and predictions beside columns."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_info

from otk_sklearn import (
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    SetCollection,
    SetPooling,
)
from otk_sklearn.batches import BatchTransformer
from otk_sklearn.batches._outputs import as_column

SETS = SetCollection.from_sets(make_sets(n_features=3))
Y = np.array(["a", "b"] * 6)
EMBEDDING = OTKEmbedding(2, n_components=4, random_state=0).fit(SETS)
FEATURES = ["x0", "x1", "x2"]


def rows_of(out, name="embedding"):
    """A column of lists of any kind of batch, as a 2-D array."""
    column = out[name].combine_chunks() if isinstance(out, pa.Table) else out[name]
    array = pa.array(column) if not isinstance(out, pl.DataFrame) else column.to_arrow()
    assert pa.types.is_fixed_size_list(array.type)
    return array.flatten().to_numpy().reshape(len(array), -1)


def entries_of(out, name):
    """A column of any kind of batch, as a list."""
    column = out[name]
    return column.to_list() if hasattr(column, "to_list") else column.to_pylist()


def columns_of(out):
    return list(out.schema.names) if hasattr(out, "num_rows") else list(out.columns)


def list_table(sets=SETS):
    n = len(sets)
    return pa.table({"id": range(n), "sets": sets.to_arrow(), "tag": ["x", "y"] * (n // 2)})


def long_table(sets=SETS, names=None):
    names = [f"set {i}" for i in range(len(sets))] if names is None else names
    columns = {name: sets.values[:, j] for j, name in enumerate(FEATURES)}
    return pa.table({"id": np.repeat(names, sets.lengths), **columns})


KINDS = {
    "table": lambda table: table,
    "record batch": lambda table: table.combine_chunks().to_batches()[0],
    "several chunks": lambda table: pa.concat_tables([table.slice(0, 5), table.slice(5)]),
    "pandas": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.from_arrow,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lists_of_any_kind_of_batch(kind, dtype):
    sets = SETS.astype(dtype)
    batch = KINDS[kind](list_table(sets))
    out = BatchTransformer(EMBEDDING, column="sets")(batch)
    assert type(out) is type(batch)
    assert_allclose(rows_of(out), EMBEDDING.transform(sets), rtol=1e-4)
    assert rows_of(out).dtype == dtype
    assert columns_of(out) == ["id", "tag", "embedding"]
    assert entries_of(out, "tag") == ["x", "y"] * 6


@pytest.mark.parametrize("kind", KINDS)
def test_long_tables_of_any_kind_of_batch(kind):
    table = long_table()
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    transformer = BatchTransformer(EMBEDDING, groups="id")
    for long in (table, shuffled):
        batch = KINDS[kind](long)
        out = transformer(batch)
        assert type(out) is type(batch)
        frame = long.to_pandas()
        expected = SetCollection.from_groups(frame[FEATURES].to_numpy(), frame["id"])
        assert_allclose(rows_of(out), EMBEDDING.transform(expected), rtol=1e-12)
        assert entries_of(out, "id") == expected.names.tolist()


def test_pandas_cells_are_arrays_nested_lists_or_missing():
    pooling = SetPooling(empty_sets="zero").fit(SETS)
    sets = [*SETS[:9], None, SETS[10].tolist(), np.empty((0, 3))]
    frame = pd.DataFrame({"sets": sets}, index=[*range(20, 31), 20])
    out = BatchTransformer(pooling, column="sets")(frame)
    assert out.index.tolist() == frame.index.tolist()
    expected = [np.zeros(3) if x is None or not len(x) else np.mean(x, 0) for x in sets]
    assert_allclose(rows_of(out), expected)


def test_cells_of_objects_give_one_type_whatever_they_hold():
    transformer = BatchTransformer(EMBEDDING, column="sets")
    frames = [pd.DataFrame({"sets": [x.astype(dtype) for x in SETS]}) for dtype in "fd"]
    outs = [transformer(frame) for frame in [*frames, frames[0].head(0)]]
    assert len({out.dtypes["embedding"] for out in outs}) == 1
    assert_allclose(rows_of(outs[0]), rows_of(outs[1]), rtol=1e-3)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_kept_columns_are_not_converted(kind):
    """A date, a category and a period would not survive the way to Arrow and back."""
    if kind == "pandas":
        frame = pd.DataFrame({"sets": [*SETS]})
        frame["period"] = pd.period_range("2024", periods=12, freq="M")
        frame["kind"] = pd.Categorical(Y)
    else:
        frame = pl.from_arrow(list_table()).with_columns(
            kind=pl.Series(Y).cast(pl.Categorical)
        )
    out = BatchTransformer(EMBEDDING, column="sets")(frame)
    for name in set(frame.columns) - {"sets"}:
        assert out[name].dtype == frame[name].dtype
        assert (out[name] == frame[name]).all()


def test_weights_and_positions():
    random = np.random.default_rng(0)
    weights = random.uniform(size=len(SETS.values))
    positions = random.uniform(size=(len(SETS.values), 2))
    sets = SetCollection(SETS.values, SETS.offsets, weights=weights, positions=positions)
    model = OTKEmbedding(4, n_components=4, position="gaussian", random_state=0).fit(sets)
    expected = model.transform(sets)
    lists = pa.table(
        {
            "sets": sets.to_arrow(),
            "w": pa.LargeListArray.from_arrays(sets.offsets, weights),
            "s": pa.LargeListArray.from_arrays(sets.offsets, positions[:, 0]),
            "t": pa.LargeListArray.from_arrays(sets.offsets, positions[:, 1]),
        }
    )
    extra = {"weights": "w", "positions": ["s", "t"]}
    transformer = BatchTransformer(model, column="sets", **extra)
    assert_allclose(rows_of(transformer(lists)), expected, rtol=1e-10)
    long = long_table(sets)
    for name, values in {"w": weights, "s": positions[:, 0], "t": positions[:, 1]}.items():
        long = long.append_column(name, pa.array(values))
    transformer = BatchTransformer(model, groups="id", **extra)
    assert_allclose(rows_of(transformer(long)), expected, rtol=1e-10)
    assert transformer.schema(long.schema).names == ["id", "embedding"]


def test_features_are_those_of_fit_whatever_else_there_is():
    named = SetCollection(SETS.values, SETS.offsets, feature_names=FEATURES)
    model = clone(EMBEDDING).fit(named)
    table = long_table().select(["x2", "id", "x0", "x1"])
    table = table.append_column("comment", pa.array(["none"] * len(table)))
    out = BatchTransformer(model, groups="id")(table)
    assert_allclose(rows_of(out), model.transform(named), rtol=1e-12)
    with pytest.raises(ValueError, match=r"batch has no column 'x1'; it has \['x2', "):
        BatchTransformer(model, groups="id")(table.drop_columns("x1"))


def test_features_may_be_one_column_of_vectors():
    vectors = pa.FixedSizeListArray.from_arrays(SETS.values.ravel(), 3)
    table = pa.table({"id": long_table()["id"], "vector": vectors})
    for features in (None, "vector"):
        out = BatchTransformer(EMBEDDING, groups="id", features=features)(table)
        assert_allclose(rows_of(out), EMBEDDING.transform(SETS), rtol=1e-12)


@pytest.mark.parametrize("labels", ["integers", "dictionary", "dates", "large strings"])
def test_labels_of_any_type_are_kept(labels):
    array = pa.array(np.repeat(range(12), SETS.lengths))
    array = {
        "integers": lambda: array,
        "dictionary": lambda: array.cast(pa.string()).dictionary_encode(),
        "dates": lambda: array.cast(pa.int32()).cast(pa.date32()),
        "large strings": lambda: array.cast(pa.large_string()),
    }[labels]()
    table = long_table().set_column(0, "id", array)
    out = BatchTransformer(EMBEDDING, groups="id")(table)
    assert out["id"].type == array.type
    assert out["id"].to_pylist() == array.unique().to_pylist()


def test_other_columns_of_a_long_table_are_kept_where_they_are_constant():
    table = long_table().append_column("y", pa.array(np.repeat(Y, SETS.lengths)))
    table = table.append_column("none", pa.nulls(len(table), pa.int8()))
    transformer = BatchTransformer(
        EMBEDDING, groups="id", features=FEATURES, keep=["y", "none"]
    )
    out = transformer(table)
    assert out["y"].to_pylist() == Y.tolist()
    assert out["none"].null_count == 12
    assert out.schema.names == ["id", "y", "none", "embedding"]
    wrong = table["y"].to_pylist()
    wrong[-1] = "c"
    table = table.set_column(table.schema.names.index("y"), "y", pa.array(wrong))
    expected = r"batch\['y'\] has 'b' and 'c' in the set 'set 11'; expected one value a set"
    with pytest.raises(ValueError, match=expected):
        transformer(table)


def test_columns_to_keep_that_have_missing_values_or_can_not_be_compared():
    table = long_table()
    table = table.append_column("nan", pa.array(np.full(len(table), np.nan)))
    table = table.append_column("list", pa.array([[1]] * len(table)))
    options = {"groups": "id", "features": FEATURES}
    out = BatchTransformer(EMBEDDING, keep=["nan"], **options)(table)
    assert np.isnan(out["nan"].to_numpy()).all()
    with pytest.raises(
        ValueError, match=r"batch\['list'\] holds list<.*in every column to"
    ):
        BatchTransformer(EMBEDDING, keep=["list"], **options)(table)


def test_dictionaries_of_labels_that_change_from_batch_to_batch():
    table = long_table()
    batches = []
    for start in range(0, len(table), 25):
        part = table.slice(start, 25)
        part = part.set_column(0, "id", part["id"].combine_chunks().dictionary_encode())
        batches.append(part.append_column("same", part["id"]))
    transformer = BatchTransformer(EMBEDDING, groups="id", features=FEATURES, keep=["same"])
    out = pa.Table.from_batches(transformer.map(batches))
    assert pa.types.is_dictionary(out["id"].type)
    assert out["id"].to_pylist() == out["same"].to_pylist()
    assert out["id"].to_pylist() == [f"set {i}" for i in range(12)]
    assert_allclose(rows_of(out), EMBEDDING.transform(SETS), rtol=1e-12)


CLASSIFIER = make_pipeline(EMBEDDING, LogisticRegression()).fit(SETS, Y)


@pytest.mark.parametrize(
    ("method", "output", "arrow_type"),
    [
        ("transform", "embedding", None),
        ("predict", "prediction", pa.string()),
        ("predict_proba", "probabilities", pa.list_(pa.float64(), 2)),
        ("predict_log_proba", "log_probabilities", pa.list_(pa.float64(), 2)),
        ("decision_function", "decision", pa.float64()),
    ],
)
def test_methods_and_their_schemas_beforehand(method, output, arrow_type):
    trained = OTKClassifier(
        OTKEmbedding(2, n_components=3), max_epochs=2, alpha=1.0, random_state=0
    )
    for estimator in [CLASSIFIER, trained.fit(SETS, Y)]:
        if not hasattr(estimator, method):
            continue
        transformer = BatchTransformer(estimator, column="sets", method=method)
        out = transformer(list_table())
        found = np.array(out[output].to_pylist())
        assert_array_equal(found, getattr(estimator, method)(SETS))
        assert arrow_type is None or out.schema.field(output).type == arrow_type
        assert transformer.schema(list_table().schema) == out.schema
        empty = transformer(list_table().slice(0, 0))
        assert empty.schema == out.schema
        assert empty.num_rows == 0


@pytest.mark.parametrize(
    ("y", "arrow_type"),
    [
        (np.arange(12) % 3, pa.int64()),
        (np.arange(12) % 2 > 0, pa.bool_()),
        (Y.astype(object), pa.string()),
    ],
)
def test_predictions_have_the_type_of_classes(y, arrow_type):
    model = make_pipeline(SetPooling(), LogisticRegression()).fit(SETS, y)
    transformer = BatchTransformer(model, column="sets", method="predict")
    out = transformer(list_table())
    assert out.schema.field("prediction").type == arrow_type
    assert out["prediction"].to_pylist() == model.predict(SETS).tolist()
    assert transformer.schema(list_table().schema) == out.schema
    frame = transformer(pd.DataFrame({"sets": [*SETS]}))
    assert frame["prediction"].tolist() == model.predict(SETS).tolist()


def test_several_targets_are_a_list():
    y = np.arange(24.0).reshape(12, 2)
    model = make_pipeline(SetPooling(), LinearRegression()).fit(SETS, y)
    out = BatchTransformer(model, column="sets", method="predict")(list_table())
    assert_array_equal(rows_of(out, "prediction"), model.predict(SETS))


def test_missing_lists_are_empty_sets():
    lists = [*(x.tolist() for x in SETS[:11]), None]
    table = pa.table({"sets": pa.array(lists, pa.list_(pa.list_(pa.float64(), 3)))})
    with pytest.raises(ValueError, match='set 11 of X is .*empty_sets="zero"'):
        BatchTransformer(EMBEDDING, column="sets")(table)
    zero = clone(EMBEDDING).set_params(empty_sets="zero").fit(SETS)
    out = rows_of(BatchTransformer(zero, column="sets")(table))
    assert not out[11].any()
    assert_allclose(out[:11], EMBEDDING.transform(SETS[:11]), rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 4, 1000])
def test_streams_of_lists(rows):
    transformer = BatchTransformer(EMBEDDING, column="sets")
    batches = list(transformer.map(list_table().to_batches(max_chunksize=rows)))
    assert all(isinstance(batch, pa.RecordBatch) for batch in batches)
    out = pa.Table.from_batches(batches)
    assert out.schema == transformer.schema(list_table().schema)
    assert_allclose(rows_of(out), EMBEDDING.transform(SETS), rtol=1e-12)


def test_large_batches_of_a_stream_are_split(monkeypatch):
    monkeypatch.setattr("otk_sklearn.batches._transformer._MAX_BYTES", 5 * 8 * 8)
    transformer = BatchTransformer(EMBEDDING, column="sets")
    batches = list(transformer.map([list_table()]))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    out = pa.Table.from_batches(batches)
    assert out["id"].to_pylist() == [*range(12)]
    assert_allclose(rows_of(out), EMBEDDING.transform(SETS), rtol=1e-12)
    cut = SetCollection(SETS.values, SETS.offsets, feature_names=None)
    values = cut.values.copy()
    values[-1] = np.nan
    table = list_table(SetCollection(values, SETS.offsets))
    with pytest.raises(ValueError, match="NaN in set 1") as error:
        list(transformer.map([list_table(), table]))
    assert error.value.__notes__ == [
        "The column 'sets' has nan in row 1.",
        "In batch 1, from row 10 on.",
    ]


@pytest.mark.parametrize("rows", [1, 3, 50, 10_000])
def test_sets_of_a_long_table_go_on_from_batch_to_batch(rows):
    table = long_table()
    batches = table.to_batches(max_chunksize=rows)
    batches[1:1] = [batches[0].slice(0, 0)] * 2
    transformer = BatchTransformer(EMBEDDING, groups="id")
    out = pa.Table.from_batches(transformer.map(iter(batches)))
    assert out["id"].to_pylist() == [f"set {i}" for i in range(12)]
    assert_allclose(rows_of(out), EMBEDDING.transform(SETS), rtol=1e-12)
    assert out.schema == transformer.schema(table.schema)


def test_sets_that_come_again_are_found():
    table = long_table(names=[*range(11), 3])
    transformer = BatchTransformer(EMBEDDING, groups="id")
    expected = "the set 3 comes again after other sets; .* sorted by 'id'"
    for rows in (1, 10, 40):
        with pytest.raises(ValueError, match=expected):
            list(transformer.map(table.to_batches(max_chunksize=rows)))


def test_a_stream_without_batches_is_empty():
    for source in ({"column": "sets"}, {"groups": "id"}):
        assert not list(BatchTransformer(EMBEDDING, **source).map([]))


def test_schemas_that_change_in_a_stream_are_refused():
    batches = [list_table(SETS.astype(dtype)) for dtype in (np.float32, np.float64)]
    expected = r"column 'embedding' is fixed.*double.*float.*, as in the first batch"
    with pytest.raises(ValueError, match=expected):
        list(BatchTransformer(EMBEDDING, column="sets").map(batches))


@pytest.mark.parametrize("kind", KINDS)
def test_plain_lists(kind):
    """The only ones of some engines, such as Spark."""
    transformer = BatchTransformer(EMBEDDING, column="sets", fixed_size_lists=False)
    out = transformer(KINDS[kind](list_table()))
    if kind == "pandas":
        out = pa.Table.from_pandas(out, preserve_index=False)
    elif kind == "polars":
        assert out.schema["embedding"] == pl.List(pl.Float64)
        out = out.to_arrow()
    assert pa.types.is_list(out.schema.field("embedding").type) or kind == "polars"
    assert_array_equal(out["embedding"].to_pylist(), EMBEDDING.transform(SETS))


def test_plain_lists_in_streams_and_without_rows(monkeypatch):
    monkeypatch.setattr("otk_sklearn.batches._transformer._MAX_BYTES", 5 * 8 * 8)
    transformer = BatchTransformer(EMBEDDING, column="sets", fixed_size_lists=False)
    batches = list(transformer.map([list_table()]))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    expected = pa.schema(
        {"id": pa.int64(), "tag": pa.string(), "embedding": pa.list_(pa.float64())}
    )
    assert transformer.schema(list_table().schema) == expected
    for batch in [*batches, transformer(list_table().slice(0, 0))]:
        assert batch.schema == expected
    out = pa.Table.from_batches(batches)
    assert_allclose(out["embedding"].to_pylist(), EMBEDDING.transform(SETS), rtol=1e-12)
    predicted = BatchTransformer(
        CLASSIFIER, column="sets", method="predict", fixed_size_lists=False
    )
    assert predicted(list_table())["prediction"].to_pylist() == list(
        CLASSIFIER.predict(SETS)
    )


def test_plain_lists_count_to_31_bits():
    many = np.broadcast_to(np.zeros(1, np.int8), (2**16, 2**15))
    expected = r"returns 2147483648 numbers for a batch; expected less than 2\*\*31"
    with pytest.raises(ValueError, match=expected):
        as_column(many, "transform of Model", fixed_size_lists=False)


def test_columns_that_are_needed():
    names = ["id", "sets", "tag", "w"]
    lists = {"column": "sets"}
    assert BatchTransformer(EMBEDDING, **lists).columns(names) == names
    few = BatchTransformer(EMBEDDING, **lists, weights="w", keep=["id"]).columns(names)
    assert sorted(few) == ["id", "sets", "w"]
    long = BatchTransformer(EMBEDDING, groups="id", features=FEATURES, keep=["y"])
    assert sorted(long.columns([*FEATURES, "id", "y", "z"])) == ["id", *FEATURES, "y"]


def test_column_of_the_output():
    table = list_table().rename_columns(["id", "sets", "embedding"])
    transformer = BatchTransformer(EMBEDDING, column="sets")
    with pytest.raises(ValueError, match="such as output='embedding_2', or keep without"):
        transformer(table)
    out = BatchTransformer(EMBEDDING, column="sets", output="embedding_2")(table)
    assert out.schema.names == ["id", "embedding", "embedding_2"]
    out = BatchTransformer(EMBEDDING, column="sets", keep=[])(table)
    assert out.schema.names == ["embedding"]
    assert len(out) == 12
    assert (
        BatchTransformer(EMBEDDING, column="sets", output="sets")(table)["sets"] is not None
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "neither is given; expected column, that of lists, or groups"),
        ({"column": "x", "groups": "y"}, ValueError, "both is given; expected column"),
        ({"column": "x", "features": ["a"]}, ValueError, "expected it with groups"),
        ({"column": "x", "keep": "id"}, TypeError, r"keep is 'id'; expected \['id'\]"),
        ({"column": "x", "keep": ["embedding"]}, ValueError, "a column that is kept"),
        ({"groups": "id", "output": "id"}, ValueError, "output is 'id', the name of"),
        ({"column": "x", "method": "embed"}, ValueError, "method is 'embed'; expected one"),
        (
            {"column": "x", "method": "predict"},
            ValueError,
            r"expected one of method='transform'\.",
        ),
        (
            {"groups": ["a", "b"]},
            TypeError,
            r"groups is \['a', 'b'\]; expected the name of",
        ),
        ({"column": "x", "weights": ["w"]}, TypeError, r"weights is \['w'\]; expected the"),
        ({"column": "x", "n_jobs": 0}, ValueError, "n_jobs is 0; expected a number of"),
        ({"column": "x", "n_jobs": True}, ValueError, "n_jobs is True; expected"),
    ],
)
def test_wrong_parameters(arguments, error, message):
    with pytest.raises(error, match=message):
        BatchTransformer(EMBEDDING, **arguments)


def test_unfitted_estimators_are_refused_at_once():
    for model in (OTKEmbedding(), make_pipeline(SetPooling(), LogisticRegression())):
        with pytest.raises(NotFittedError):
            BatchTransformer(model, column="sets")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (list_table().drop_columns("sets"), r"no column 'sets'; it has \['id', 'tag'\]"),
        (list_table().drop_columns("sets").append_column("sets", pa.array(range(12))),
         r"batch\['sets'\] holds int64; expected a list of elements"),
        (pa.Table.from_arrays([list_table()["sets"]] * 2, ["sets", "sets"]),
         "several columns 'sets'"),
    ],
)  # fmt: skip
def test_wrong_columns(batch, message):
    with pytest.raises(ValueError, match=message):
        BatchTransformer(EMBEDDING, column="sets")(batch)


def test_wrong_long_tables():
    table = long_table()
    transformer = BatchTransformer(EMBEDDING, groups="id")
    text = table.set_column(1, "x0", pa.array(["a"] * len(table)))
    with pytest.raises(ValueError, match="batch holds string .* in the field 'x0'"):
        transformer(text)
    labels = table["id"].to_pylist()
    labels[3] = None
    missing = table.set_column(0, "id", pa.array(labels))
    expected = r"batch\['id'\] is missing in row 3; expected the label of a set"
    for call in (transformer, lambda batch: list(transformer.map([batch]))):
        with pytest.raises(ValueError, match=expected):
            call(missing)
    with pytest.raises(ValueError, match=r"expected features beside \['id'\]"):
        transformer(table.select(["id"]))
    lists = table.set_column(0, "id", pa.array([[1]] * len(table)))
    with pytest.raises(ValueError, match=r"batch\['id'\] holds list.*expected labels"):
        transformer(lists)


@pytest.mark.parametrize("value", [None, np.nan, np.inf])
@pytest.mark.parametrize("lists", [False, True])
def test_a_note_tells_the_column_and_the_set_of_what_is_missing(value, lists):
    """The number of a set in one of many batches would not."""
    table, row = long_table(), SETS.offsets[7]
    values = SETS.values.copy()
    values[row, 1] = np.nan if value is None else value
    cells = values[:, 1].tolist()
    cells[row] = value
    features, name = FEATURES, "x1"
    table = table.set_column(2, "x1", pa.array(cells))
    if lists:
        features = name = "x"
        elements = pa.FixedSizeListArray.from_arrays(values.ravel(), 3)
        table = table.select(["id"]).append_column("x", elements)
    transformer = BatchTransformer(EMBEDDING, groups="id", features=features)
    with pytest.raises(ValueError, match="X contains .* in set 7") as error:
        transformer(table)
    found = value or np.nan
    assert error.value.__notes__ == [f"The column {name!r} has {found} in the set 'set 7'."]
    kept = pickle.loads(pickle.dumps(error.value))  # as engines bring it back
    assert kept.__notes__ == error.value.__notes__


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (SETS, "the estimator itself takes a SetCollection"),
        ([list_table()], r"transformer\.map\(batch\), for several batches"),
        (pl.LazyFrame({"sets": [1]}), r"transformer\(batch\.collect\(\)\)"),
        ({"sets": [1]}, "batch is builtins.dict; expected a RecordBatch or Table"),
    ],
)
def test_what_is_no_batch(batch, message):
    with pytest.raises(TypeError, match=message):
        BatchTransformer(EMBEDDING, column="sets")(batch)


def test_what_is_no_stream():
    transformer = BatchTransformer(EMBEDDING, column="sets")
    with pytest.raises(TypeError, match=r"batches is pyarrow.Table; .* \[batch\], for one"):
        list(transformer.map(list_table()))
    with pytest.raises(TypeError, match=r"at 0; .*: pyarrow.Table.from_pandas\(batch\)"):
        list(transformer.map([pd.DataFrame({"sets": [*SETS]})]))


def test_outputs_that_are_no_vectors_are_refused():
    model = ElementTransformer(StandardScaler()).fit(SETS)
    expected = "transform of ElementTransformer returns sets; expected one vector"
    with pytest.raises(TypeError, match=expected):
        BatchTransformer(model, column="sets")(list_table())


@pytest.mark.parametrize("module", ["pickle", "cloudpickle"])
def test_pickles_are_little_larger_than_the_estimator(module):
    module = pytest.importorskip(module)
    parameters = {"method": "predict", "keep": ["id"], "n_jobs": 2}
    transformer = BatchTransformer(CLASSIFIER, column="sets", **parameters)
    transformer(list_table())
    stored = module.dumps(transformer)
    assert len(stored) < len(pickle.dumps(CLASSIFIER)) + 1000
    loaded = pickle.loads(stored)
    assert vars(loaded).keys() == vars(transformer).keys()
    assert loaded(list_table()).equals(transformer(list_table()))


def test_size_of_a_pickle_with_defaults():
    sets = SetCollection.from_sets(make_sets(60, n_features=32))
    stored = pickle.dumps(BatchTransformer(OTKEmbedding().fit(sets), column="sets"))
    assert len(stored) == pytest.approx(75_000, rel=0.05)


IN_A_PROCESS = """
import pickle, sys
import pyarrow as pa
with open(sys.argv[1], "rb") as file:
    transformer, table = pickle.load(file)
with open(sys.argv[2], "wb") as file:
    pickle.dump(transformer(table), file)
"""


@pytest.mark.slow
def test_a_process_that_has_imported_nothing(tmp_path):
    transformer = BatchTransformer(CLASSIFIER, column="sets", method="predict_proba")
    given, result = tmp_path / "given", tmp_path / "result"
    given.write_bytes(pickle.dumps((transformer, list_table())))
    command = [sys.executable, "-W", "error", "-c", IN_A_PROCESS, given, result]
    subprocess.run(command, check=True, timeout=200)
    assert pickle.loads(result.read_bytes()).equals(transformer(list_table()))


class Watching(BaseEstimator):
    """Tells how many threads there may be."""

    def __init__(self, n_jobs=None):
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def transform(self, X):
        blas = [x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"]
        with ThreadPoolExecutor(1) as pool:
            elsewhere = pool.submit(joblib.effective_n_jobs, 2).result()
        assert elsewhere == 2  # other threads are not affected
        row = [joblib.effective_n_jobs(self.n_jobs), max(blas)]
        return np.tile(row, (len(X), 1))


@pytest.mark.parametrize("n_jobs", [None, 2, -1])
def test_one_thread_whatever_the_steps_ask_for(n_jobs):
    model = Watching(n_jobs)
    threads = BatchTransformer(model, column="sets")(list_table())
    assert_array_equal(rows_of(threads), np.ones((12, 2)))
    assert joblib.effective_n_jobs(None) == 1
    three = BatchTransformer(model, column="sets", n_jobs=3)(list_table())
    expected = 3 if n_jobs is None else joblib.effective_n_jobs(n_jobs)
    assert rows_of(three)[0, 0] == expected


def test_results_depend_on_no_number_of_threads():
    sets = SetCollection.from_sets(make_sets(300, n_features=3))
    outs = [
        BatchTransformer(EMBEDDING, column="sets", n_jobs=n_jobs)(list_table(sets))
        for n_jobs in (1, 2, -1)
    ]
    assert outs[0].equals(outs[1])
    assert outs[0].equals(outs[2])


def test_numbers_are_not_copied():
    seen = []
    keeping = FunctionTransformer(lambda X: seen.append(X) or X)
    model = make_pipeline(keeping, EMBEDDING)
    model.steps[1][1].__sklearn_is_fitted__ = lambda: True
    table = list_table()
    BatchTransformer(model, column="sets")(table)
    start = table["sets"].chunk(0).flatten().flatten().to_numpy()
    assert np.shares_memory(seen[-1].values, start)


def test_an_instance_has_the_name_of_a_function():
    """As Ray's `map_groups` asks for it."""
    assert BatchTransformer(EMBEDDING, groups="id").__name__ == "BatchTransformer"
    assert BatchTransformer.__name__ == "BatchTransformer"


def test_representation():
    assert repr(BatchTransformer(EMBEDDING, groups="id")) == (
        "BatchTransformer(OTKEmbedding, groups='id', method='transform')"
    )


def test_tables_of_a_stream_have_what_is_needed_in_any_order():
    table = long_table().append_column("unused", pa.array([0] * len(SETS.values)))
    rest = table.slice(20).select(table.column_names[::-1])
    rest = rest.set_column(0, "unused", pa.array(["a"] * len(rest)))
    transformer = BatchTransformer(EMBEDDING, groups="id", features=FEATURES)
    out = pa.Table.from_batches(transformer.map([table.slice(0, 20), rest]))
    assert_allclose(rows_of(out), EMBEDDING.transform(SETS), rtol=1e-12)
    single = rest.set_column(1, "x2", rest["x2"].cast(pa.float32()))
    with pytest.raises(ValueError, match="column 'x2' is float; expected 'x2' of type dou"):
        list(transformer.map([table.slice(0, 20), single]))
    with pytest.raises(ValueError, match="batch has no column 'id'; it has"):
        list(transformer.map([table.drop_columns(["id"])]))


def test_views_of_strings_are_labels_and_are_kept():
    transformer = BatchTransformer(EMBEDDING, groups="id", features=FEATURES, keep=["tag"])
    table = long_table()
    table = table.append_column("tag", table["id"])
    expected = transformer(table)
    for name in ("id", "tag"):
        i = table.column_names.index(name)
        table = table.set_column(i, name, table[name].cast(pa.string_view()))
    assert transformer(table).equals(expected)
    assert transformer.schema(table.schema) == expected.schema


def test_labels_in_an_index_of_pandas():
    frame = long_table().to_pandas().set_index("id")
    with pytest.raises(ValueError, match=r"no column 'id'.* Expected batch\.reset_index\("):
        BatchTransformer(EMBEDDING, groups="id")(frame)


def centred_to_norm_one(X):
    """A user's function that divides by what is 0 of one element, or of zeros."""
    centre = np.add.reduceat(X.values, X.offsets[:-1]) / X.lengths[:, np.newaxis]
    values = X.values - np.repeat(centre, X.lengths, axis=0)
    with np.errstate(divide="raise", invalid="raise"):
        return X.with_values(values / np.abs(values).max())


def test_the_trial_for_the_type_takes_functions_that_divide_by_a_radius():
    model = make_pipeline(FunctionTransformer(centred_to_norm_one), SetPooling("std"))
    transformer = BatchTransformer(model.fit(SETS), groups="id")
    table = long_table()
    out = pa.Table.from_batches(transformer.map(table.to_batches()))
    assert out.schema == transformer.schema(table.schema)


def test_the_trial_warns_of_nothing_that_is_far_from_it():
    rng = np.random.default_rng(0)
    table = pa.table({"id": [1, 1, 2], "x": 1000 + rng.normal(size=3)})
    X = SetCollection.from_groups(1000 + rng.normal(size=(40, 1)), np.arange(40) // 4)
    model = OTKEmbedding(2, n_components=4, random_state=0).fit(X)
    transformer = BatchTransformer(model, groups="id")
    assert len(transformer.schema(table.schema)) == 2
    with pytest.warns(UserWarning, match="The embeddings of 2 of 2 sets are 0"):
        transformer(pa.table({"id": [1, 1, 2], "x": [0.0, 1.0, 2.0]}))


def test_the_trial_has_weights_where_sets_have_them():
    def weighted(X):
        return X.with_values(X.values * X.weights[:, np.newaxis])

    table = long_table().append_column("w", pa.array(np.ones(len(SETS.values))))
    sets = SetCollection(SETS.values, SETS.offsets, weights=np.ones(len(SETS.values)))
    model = make_pipeline(FunctionTransformer(weighted), SetPooling()).fit(sets)
    transformer = BatchTransformer(model, groups="id", weights="w")
    assert transformer.schema(table.schema).names == ["id", "embedding"]


def test_errors_of_the_trial_say_that_it_is_one():
    def refuse(X):
        if len(X) == 1:
            raise ZeroDivisionError("radius 0")
        return X

    model = make_pipeline(FunctionTransformer(refuse), SetPooling()).fit(SETS)
    transformer = BatchTransformer(model, groups="id")
    with pytest.raises(ZeroDivisionError, match="radius 0") as caught:
        next(transformer.map(long_table().to_batches()))
    assert (
        "In a trial on a set of two elements, of ones and of twos"
        in caught.value.__notes__[0]
    )
