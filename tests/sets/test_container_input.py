"""Lists of other libraries as the input of estimators, against the same sets as arrays."""

import warnings

import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection, SetPooling
from otk_sklearn.sets._validation import as_sets

SETS = make_sets(8, n_features=2, max_length=6)
LABELS = np.arange(8) % 2
ROWS = [x.tolist() for x in SETS]
RECORDS = [[{"x": x, "y": y} for x, y in rows] for rows in ROWS]
COLUMNS = {"x": [x[:, 0].tolist() for x in SETS], "y": [x[:, 1].tolist() for x in SETS]}
LISTS = pa.list_(pa.list_(pa.float64()))
INDEX = list("abcdefgh")

SPLITS_ARROW = parse_version(sklearn.__version__).release[:2] >= (1, 7)


class Stream:
    """An object of any library with the Arrow PyCapsule interface."""

    def __init__(self, data):
        self.data = data

    def __arrow_c_stream__(self, requested_schema=None):
        return self.data.__arrow_c_stream__(requested_schema)


def arrow_series(rows, kind=LISTS, index=INDEX):
    return pd.Series(pd.array(pa.array(rows, kind), dtype=pd.ArrowDtype(kind)), index)


NUMBERS = pa.list_(pa.float64())
INPUT = {
    "polars Series": pl.Series(ROWS),
    "polars Series of arrays": pl.Series(ROWS, dtype=pl.List(pl.Array(pl.Float64, 2))),
    "polars Series of structs": pl.Series(RECORDS),
    "polars table": pl.DataFrame(COLUMNS),
    "polars table of one column": pl.DataFrame({"sets": ROWS}),
    "pandas Series of Arrow": arrow_series(ROWS),
    "pandas table of Arrow": pd.DataFrame({"sets": arrow_series(ROWS)}),
    "pandas table of Arrow columns": pd.DataFrame(
        {name: arrow_series(rows, NUMBERS) for name, rows in COLUMNS.items()}
    ),
    "pandas Series of lists": pd.Series(ROWS, INDEX),
    "pandas Series of arrays": pd.Series(SETS, INDEX),
    "pandas table of lists": pd.DataFrame({"sets": ROWS}, INDEX),
    "pandas table of arrays": pd.DataFrame({"sets": SETS}, INDEX),
    "pandas table of list columns": pd.DataFrame(COLUMNS, INDEX),
    "awkward": ak.Array(ROWS),
    "awkward records": ak.Array(RECORDS),
    "Arrow": pa.array(ROWS),
    "Arrow in chunks": pa.chunked_array([ROWS[:3], ROWS[3:]]),
    "Arrow table": pa.table(COLUMNS),
    "Arrow record batch": pa.record_batch({"sets": pa.array(ROWS)}),
    "a stream": Stream(pa.chunked_array([ROWS])),
    "a stream of a table": Stream(pl.DataFrame(COLUMNS)),
}
PIPELINE = make_pipeline(
    ElementTransformer(StandardScaler()),
    OTKEmbedding(2, n_components=3, random_state=0),
    LogisticRegression(),
)


@pytest.mark.parametrize("form", INPUT)
def test_a_pipeline_takes_lists(form):
    expected = PIPELINE.fit(SETS, LABELS).predict_proba(SETS)
    X = INPUT[form]
    assert_array_equal(PIPELINE.fit(X, LABELS).predict_proba(X), expected)
    assert PIPELINE.n_features_in_ == 2


UNSPLIT = {  # by scikit-learn before 1.7
    "Arrow": "X is a list of pyarrow.ListScalar, as .*; expected SetCollection.from_arrow",
    "Arrow in chunks": "X is a list of pyarrow.ListScalar",
    "Arrow table": None,
    "Arrow record batch": None,
}


@pytest.mark.parametrize("form", [form for form in INPUT if "stream" not in form])
def test_cross_validation_splits_what_is_documented(form):
    expected = cross_val_score(PIPELINE, SETS, LABELS, cv=2)
    X, arguments = INPUT[form], {"y": LABELS, "cv": 2, "error_score": "raise"}
    error = UNSPLIT.get(form) if not SPLITS_ARROW else None
    if form == "awkward records":
        error = (
            r"X is a list of awkward.Array of .*; expected SetCollection.from_awkward\(X"
        )
    if error is not None or (form in UNSPLIT and not SPLITS_ARROW):
        with pytest.raises(TypeError, match=error):
            cross_val_score(PIPELINE, X, **arguments)
        X = (
            SetCollection.from_awkward(X)
            if form.startswith("awkward")
            else SetCollection.from_arrow(X)
        )
    assert_array_equal(cross_val_score(PIPELINE, X, **arguments), expected)


@pytest.mark.parametrize("form", INPUT)
def test_names_of_sets_and_of_features(form):
    sets = as_sets(INPUT[form])
    if form.startswith("pandas"):
        assert sets.names.tolist() == INDEX
    else:
        assert sets.names is None
    have_names = ["columns", "structs", "records", "Arrow table", "of a table"]
    if form == "polars table" or any(name in form for name in have_names):
        assert sets.feature_names.tolist() == ["x", "y"]
    else:
        assert sets.feature_names is None


def test_names_of_features_are_those_of_fit():
    frame = pl.DataFrame(COLUMNS)
    model = OTKEmbedding(2, n_components=3).fit(frame)
    assert model.feature_names_in_.tolist() == ["x", "y"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame[["y", "x"]])


@pytest.mark.parametrize("form", ["polars table", "pandas table of Arrow columns", "Arrow"])
def test_rows_in_rows_out(form):
    """The index of pandas is kept, as everywhere in scikit-learn."""
    model = OTKEmbedding(2, n_components=3, random_state=0)
    table = model.set_output(transform="pandas").fit_transform(INPUT[form])
    expected = INDEX if form.startswith("pandas") else list(range(8))
    assert table.index.tolist() == expected


def test_missing_and_empty_lists_are_empty_sets():
    data = [ROWS[0], None, [], ROWS[1]]
    for X in [
        pl.Series(data),
        pa.array(data),
        pa.table({"sets": data}),
        arrow_series(data, index=INDEX[:4]),
        pd.DataFrame({"sets": arrow_series(data, index=INDEX[:4])}),
        ak.Array(data),
    ]:
        sets = as_sets(X)
        assert sets.lengths.tolist() == [len(SETS[0]), 0, 0, len(SETS[1])]
        assert_array_equal(sets.values, np.vstack(SETS[:2]))


@pytest.mark.parametrize(
    "X",
    [
        pl.Series([[], None], dtype=pl.List(pl.List(pl.Float64))),
        pl.Series([[], []]),
        pa.array([[], None]),
        pa.nulls(2),
        ak.Array([[], None]),
        pa.table({"sets": pa.array([None, None], LISTS)}),
    ],
    ids=lambda X: str(type(X)),
)
def test_a_batch_without_an_element_has_the_features_of_fit(X):
    assert as_sets(X, n_features=2).values.shape == (0, 2)
    with pytest.raises(ValueError, match="X has no elements in any of its 2 sets"):
        as_sets(X)


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"x": [1.0, 2.0], "y": [3, 4]}),
        pd.DataFrame({"x": [1.0, 2.0], "y": [3, 4]}, dtype="float64[pyarrow]"),
        pd.DataFrame({"x": [1.0, 2.0], "y": [3, 4]}, dtype="Float64"),
        pl.DataFrame({"x": [1.0, 2.0], "y": [3, 4]}),
    ],
    ids=lambda X: str(list(X.dtypes)),
)
def test_tables_of_numbers_are_rows_as_ever(X, monkeypatch):
    monkeypatch.setattr("otk_sklearn.sets._validation.read_container", None)
    sets = as_sets(X, explain_rows=False)
    assert_array_equal(sets.values, [[1, 3], [2, 4]])


BAD_INPUT = {
    "a lazy table": (
        pl.DataFrame(COLUMNS).lazy(),
        r"polars.LazyFrame; expected X.collect\(\)",
    ),
    "a column of labels, polars": (
        pl.DataFrame({"id": [1] * 8, "sets": ROWS}),
        r"X has columns of sets, \['sets'\], beside others, \['id'\]; .* X\[\['sets'\]\],",
    ),
    "a column of labels, pandas": (
        pd.DataFrame({"sets": ROWS, "id": [1] * 8}),
        r"X has columns of sets, \['sets'\], beside others, \['id'\]; .* X\[\['sets'\]\],",
    ),
    "a column of labels, Arrow": (
        pa.table({"sets": ROWS, "id": ["a"] * 8}),
        r"X has columns of sets, \['sets'\], beside others, .* X.select\(\['sets'\]\)\.$",
    ),
    "a long table of Arrow": (
        pa.table({"x": [1.0, 2.0]}),
        r"column 'x' of X holds double; .*\(a long table: SetCollection.from_groups\)",
    ),
    "arrays in several columns": (
        pd.DataFrame({"a": SETS, "b": SETS}),
        r"X has columns of sets, \['a', 'b'\]; .* X\[\['a'\]\], or all of them by ColumnT",
    ),
    "other lengths": (
        pd.DataFrame({"a": [[1], [2, 3]], "b": [[1], [2]]}),
        "set 1 of column 'b' of X has 1 entries; expected one an element of column 'a'",
    ),
    "a union": (ak.Array([[1.0], [2.0, [3.0]]]), "element 1 of set 1 of X is a list"),
    "a missing element": (
        pa.array([[[1.0]], [[2.0], None]]),
        "element 1 of set 1 of X is missing",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_errors_call_it_X(case):
    X, message = BAD_INPUT[case]
    with pytest.raises((TypeError, ValueError), match=message):
        OTKEmbedding().fit(X)


@pytest.mark.parametrize(
    "X",
    [
        pa.array([[["1", "2"]], [["3", "4"]]]),
        pa.chunked_array([[[["1", "2"]]], [[["3", "4"]]]]),
        pl.Series([[["1", "2"]], [["3", "4"]]]),
        ak.Array([[["1", "2"]], [["3", "4"]]]),
        pa.table({"a": [[["1", "2"]], [["3", "4"]]]}),
        pl.DataFrame({"a": [[["1", "2"]], [["3", "4"]]]}),
    ],
    ids=lambda X: str(type(X)),
)
def test_the_hint_for_text_is_code(X):
    message = r"X holds .* \(set 0, element 0: \['1', '2'\]\); expected (real )?numbers: "
    with pytest.raises(ValueError, match=message) as caught:
        as_sets(X)
    line = str(caught.value).rpartition("numbers: ")[2].rstrip(".")
    sets = as_sets(eval(line, {"X": X, "pa": pa, "ak": ak, "np": np}))
    assert sets.values.tolist() == [[1, 2], [3, 4]]
    assert sets.lengths.tolist() == [1, 1]


FRAMES = [pd.DataFrame(x) for x in SETS]
OBJECTS = pl.Series(SETS, dtype=pl.Object)
BESIDE = {
    "arrays": pd.DataFrame({"age": range(8), "sets": SETS}),
    "the first is missing": pd.DataFrame({"age": range(8), "sets": [None, *SETS[1:]]}),
    "text": pd.DataFrame({"sets": SETS, "age": list("12345678")}),
    "lists": pd.DataFrame({"age": range(8), "sets": ROWS}),
    "frames": pd.DataFrame({"age": range(8), "sets": FRAMES}),
    "several kinds": pd.DataFrame({"age": range(8), "sets": SETS, "others": SETS}),
    "a column a feature": pd.DataFrame({"age": range(8), **COLUMNS}),
    "polars": pl.DataFrame({"age": range(8), "sets": ROWS}),
    "polars columns": pl.DataFrame({"age": range(8), **COLUMNS}),
    "polars objects": pl.DataFrame({"age": range(8), "sets": OBJECTS}),
    "Arrow": pa.table({"age": range(8), "sets": ROWS}),
}


@pytest.mark.parametrize("form", BESIDE)
def test_the_hint_for_columns_beside_the_sets_is_code(form):
    X = BESIDE[form]
    embedding = SetPooling(["mean"], empty_sets="zero")
    with pytest.raises(
        ValueError, match="X has columns of sets, .*, beside others, .*age"
    ) as e:
        embedding.fit(X)
    alone, _, beside = (
        str(e.value).partition("of one kind: ")[2].rstrip(".").partition(", or ")
    )
    means = np.array([x.mean(axis=0) for x in SETS])
    means[0] *= form != "the first is missing"
    names = {"X": X, "embedding": embedding}
    assert_allclose(embedding.fit_transform(eval(alone, names)), means, atol=1e-12)
    if form == "Arrow":
        return  # no ColumnTransformer takes its tables
    names["make_column_transformer"] = make_column_transformer
    transformer = eval(beside.removeprefix("all of them by ColumnTransformer: "), names)
    found = np.asarray(transformer.fit_transform(X), dtype=float)
    assert_allclose(found[:, :2], means, atol=1e-12)
    assert found.shape == (8, 5 if form == "several kinds" else 3)


def test_another_number_of_features_than_in_fit():
    model = OTKEmbedding(2, n_components=3, random_state=0).fit(pl.Series(ROWS))
    with pytest.raises(
        ValueError, match="X has 1 features, but OTKEmbedding is expecting 2"
    ):
        model.transform(pl.Series(COLUMNS["x"]))


def test_lists_in_place_of_rows():
    """A fit on lists says nothing about rows of tables, and later lists don't warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OTKEmbedding(2, n_components=3).fit(pl.Series(ROWS)).transform(pa.array(ROWS))
