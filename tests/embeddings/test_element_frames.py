"""`ElementTransformer` on DataFrames: columns by name, of any dtype, learned in folds."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection, SetPooling
from otk_sklearn.inspection import element_contributions, nearest_elements
from otk_sklearn.sets._frames import as_frame
from otk_sklearn.sets._validation import as_sets


@pytest.fixture
def table():
    """A long table; the class of a set decides how often its items are red."""
    rng = np.random.default_rng(0)
    id = np.repeat(np.arange(20), rng.integers(3, 8, size=20))
    red = rng.uniform(size=len(id)) < 0.2 + 0.6 * (id % 2)
    return pd.DataFrame(
        {
            "id": id,
            "color": np.where(red, "red", rng.choice(["blue", "green"], size=len(id))),
            "size": rng.normal(10, 3, size=len(id)),
            "n": rng.integers(0, 5, size=len(id)),
            "day": pd.Timestamp("2024-03-01") + pd.to_timedelta(id, "D"),
            "class": id % 2,
        }
    )


def split(table):
    """A DataFrame for each set."""
    return [rows for _, rows in table.groupby("id", sort=False)]


def encoder():
    return ColumnTransformer(
        [
            ("color", OneHotEncoder(handle_unknown="ignore"), ["color"]),
            ("num", StandardScaler(), ["size", "n"]),
        ]
    )


def test_columns_by_name_are_those_of_the_long_table(table):
    expected = encoder().fit_transform(table)
    step = ElementTransformer(encoder())
    names = ["color__color_blue", "color__color_green", "color__color_red"]
    names += ["num__size", "num__n"]
    frames = split(table)
    objects = np.empty(len(frames), dtype=object)
    objects[:] = frames
    by_polars = [pl.from_pandas(frame.reset_index(drop=True)) for frame in frames]
    for X in [frames, tuple(frames), objects, pd.Series(frames), by_polars]:
        result = step.fit(X).transform(X)
        assert_allclose(result.values, expected)
        assert_array_equal(result.lengths, table.groupby("id").size())
        assert result.feature_names.tolist() == names
        assert step.feature_names_in_.tolist() == list(table.columns)
        assert step.n_features_in_ == 6
        assert step.get_feature_names_out().tolist() == names


def test_dtypes_reach_the_transformer(table):
    table = table.astype({"color": "category", "n": "Int64"})
    table.loc[3, "n"] = pd.NA
    seen = []

    def month(frame):
        seen.append(dict(frame.dtypes))
        return frame.apply(lambda column: column.dt.month)

    transformer = make_column_transformer(
        (OrdinalEncoder(), make_column_selector(dtype_include="category")),
        (FunctionTransformer(month), ["day"]),
        (make_pipeline(SimpleImputer(), KBinsDiscretizer(2, strategy="uniform")), ["n"]),
    )
    result = ElementTransformer(transformer).fit_transform(split(table))
    assert_array_equal(result.values[:, 0], table["color"].cat.codes)
    assert_array_equal(result.values[:, 1], table["day"].dt.month)
    assert result.feature_names is None  # `month` has no names
    assert seen[0] == {"day": table["day"].dtype}
    mean = int(table["n"].mean())
    assert_array_equal(result.values[:, 3], (table["n"].fillna(mean) >= 2).astype(int))


def test_what_is_learned_is_learned_in_folds(table):
    """A color of one set only is unknown in the fold that this set is held out of."""
    table.loc[table["id"] == 7, "color"] = "violet"
    frames, y = split(table), table.groupby("id")["class"].first()
    pipeline = make_pipeline(
        ElementTransformer(encoder()),
        OTKEmbedding(2, n_components=8, random_state=0),
        LogisticRegression(),
    )
    assert cross_val_score(pipeline, frames, y, cv=4).mean() > 0.7
    strict = clone(pipeline)
    strict.set_params(elementtransformer__transformer__color__handle_unknown="error")
    with pytest.raises(ValueError, match=r"Found unknown categories \['violet'\]"):
        cross_val_score(strict, frames, y, cv=4, error_score="raise")


def test_search_over_the_inner_steps(table):
    frames, y = split(table), table.groupby("id")["class"].first()
    pipeline = make_pipeline(
        ElementTransformer(encoder()), SetPooling(["mean"]), LogisticRegression()
    )
    grid = {
        "elementtransformer__transformer__num__with_mean": [True, False],
        "elementtransformer__transformer__color": ["drop", OneHotEncoder()],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(frames, y)
    assert search.best_params_["elementtransformer__transformer__color"] != "drop"
    columns = ElementTransformer(encoder())
    whole = clone(pipeline).set_params(elementtransformer=columns)
    search = GridSearchCV(
        whole, {"elementtransformer": [columns, ElementTransformer("passthrough")]}, cv=3
    ).fit([frame[["color", "size", "n"]].assign(color=1.0) for frame in frames], y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_sampled_elements_weights_and_labels(table):
    frames = split(table)
    step = ElementTransformer(
        make_column_transformer((StandardScaler(), ["size"])), max_elements=10
    )
    for X in [frames, [pl.from_pandas(frame) for frame in frames]]:
        fitted = step.set_params(random_state=0).fit(X).transformer_
        assert fitted.named_transformers_["standardscaler"].n_samples_seen_ == 10
    weights = np.arange(20) % 3
    scaler = ElementTransformer(StandardScaler())
    numbers = [frame[["size", "n"]] for frame in frames]
    fitted = scaler.fit(numbers, sample_weight=weights).transformer_
    of_rows = weights[table["id"]]
    expected = np.average(table[["size", "n"]], axis=0, weights=of_rows)
    assert_allclose(fitted.mean_, expected)
    with config_context(enable_metadata_routing=True):
        inner = StandardScaler().set_fit_request(sample_weight=True)
        transformer = make_column_transformer((inner, ["size"]))
        step = ElementTransformer(transformer).fit(frames, sample_weight=weights)
    inner = step.transformer_.named_transformers_["standardscaler"]
    assert_allclose(inner.mean_, expected[:1])


def test_numbers_of_frames_keep_names_and_precision(table):
    frames = split(table[["id", "size", "n"]].astype(np.float32))
    scaled = ElementTransformer(StandardScaler()).fit_transform(frames)
    assert scaled.dtype == np.float32
    assert scaled.feature_names.tolist() == ["id", "size", "n"]
    passed = ElementTransformer("passthrough").fit_transform(frames)
    assert_array_equal(passed.values, pd.concat(frames))
    assert passed.feature_names.tolist() == ["id", "size", "n"]
    numbered = [frame.set_axis([0, 1, 2], axis=1) for frame in frames]
    step = ElementTransformer(StandardScaler()).fit(numbered)
    assert not hasattr(step, "feature_names_in_")
    assert_array_equal(step.transform(numbered).values, scaled.values)
    assert step.transform(numbered).feature_names is None


def test_a_collection_with_feature_names_gives_its_columns_by_name(table):
    groups = table["id"].to_numpy()
    offsets = np.searchsorted(groups, np.arange(21))
    X = SetCollection(
        table[["size", "n"]].to_numpy(float),
        offsets,
        weights=np.arange(1.0, 1 + len(table)),
        positions=np.linspace(0, 1, len(table)),
        feature_names=["size", "n"],
    )
    step = ElementTransformer(make_column_transformer((StandardScaler(), ["n"])))
    result = step.fit(X).transform(X)
    assert_allclose(result.values, StandardScaler().fit_transform(table[["n"]]))
    assert step.feature_names_in_.tolist() == ["size", "n"]
    assert result.feature_names.tolist() == ["standardscaler__n"]
    assert_array_equal(result.weights, X.weights)
    assert_array_equal(result.positions, X.positions)


def test_named_numbers_are_not_copied_and_without_pandas_stay_an_array(monkeypatch):
    values = np.eye(3)
    frame = as_frame(values, ["a", "b", "c"])
    assert list(frame.columns) == ["a", "b", "c"]
    assert np.shares_memory(frame.to_numpy(), values)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert as_frame(values, ["a", "b", "c"]) is values


def test_names_are_checked(table):
    frames = split(table)
    step = ElementTransformer(encoder()).fit(frames)
    with pytest.raises(ValueError, match="feature names should match"):
        step.transform([frame[frame.columns[::-1]] for frame in frames])
    scaler = ElementTransformer(StandardScaler()).fit([f[["size", "n"]] for f in frames])
    arrays = [frame[["size", "n"]].to_numpy() for frame in frames]
    with pytest.warns(UserWarning, match="X does not have valid feature names") as caught:
        result = scaler.transform(arrays)
    assert len(caught) == 1  # not one of the scaler, too
    assert result.feature_names.tolist() == ["size", "n"]


def test_a_transformer_may_return_frames(table):
    frames = split(table)
    expected = encoder().fit(table).get_feature_names_out().tolist()
    dense = encoder().set_params(color__sparse_output=False)
    for library in ["pandas", "polars"]:
        with config_context(transform_output=library):
            result = ElementTransformer(dense).fit_transform(frames)
            assert isinstance(result, SetCollection)
            assert result.feature_names.tolist() == expected
        inner = clone(dense).set_output(transform=library)
        result = ElementTransformer(inner).fit_transform(frames)
        assert result.feature_names.tolist() == expected


@pytest.mark.parametrize("library", [pd, pl])
def test_sets_that_do_not_go_together(library):
    a = library.DataFrame({"a": ["x"], "b": [1.0]})
    cases = [
        (
            [a, a[["b", "a"]]],
            r"set 1 of X has the columns \['b', 'a'\], the first set has",
        ),
        ([a, a[["a"]]], r"set 1 of X has the columns \['a'\], the first set has \['a'"),
        ([a, a, np.eye(2)], "set 2 of X is ndarray; expected a DataFrame of p"),
        ([a[:0], []], "set 0 of X is empty or has a weight of 0, as all others; expected"),
        ([a[[]]], "set 0 of X (has 0 features|is empty)"),
    ]
    step = ElementTransformer(OneHotEncoder())
    for X, message in cases:
        with pytest.raises(ValueError, match=message):
            step.fit(X)
        assert not hasattr(step, "transformer_")


@pytest.mark.parametrize("library", [pd, pl])
def test_empty_sets_are_kept(library):
    a = library.DataFrame({"kind": ["x", "y"], "size": [1.0, 3.0]})
    transformer = make_column_transformer(
        (OneHotEncoder(), ["kind"]), (StandardScaler(), ["size"])
    )
    no_rows = library.DataFrame({"kind": [], "size": []})
    result = ElementTransformer(transformer).fit_transform([[], a, no_rows, a[1:]])
    assert result.lengths.tolist() == [0, 2, 0, 1]
    assert_allclose(result.values[2], [0, 1, 0.5**0.5])
    fitted = ElementTransformer(transformer).fit([a])
    for X in [[[]], [a[:0]]]:
        result = fitted.transform(X)
        assert (len(result), result.values.shape) == (1, (0, 3))


def test_empty_lists_are_among_frames_of_numbers_too():
    frame = pd.DataFrame({"a": [1.0], "b": [2.0]})
    for X in [[[], frame], [frame, np.empty(0)]]:
        for sets in [SetCollection.from_sets(X), as_sets(X)]:
            assert sorted(sets.lengths) == [0, 1]
            assert sets.feature_names.tolist() == ["a", "b"]


def test_names_of_sets_are_the_index_of_a_series(table):
    frames = split(table)
    names = [f"set {i}" for i in range(20)]
    X = pd.Series(frames, index=names)
    pipeline = make_pipeline(ElementTransformer(encoder()), SetPooling(["mean"]))
    assert pipeline[0].fit_transform(X).names.tolist() == names
    pooled = pipeline.set_output(transform="pandas").fit_transform(X)
    assert pooled.index.tolist() == names
    assert pooled.columns[-1] == "mean_num__n"
    column = pd.DataFrame({"age": np.arange(20.0), "items": X})
    both = make_column_transformer((pipeline, "items"), ("passthrough", ["age"]))
    assert_allclose(both.fit_transform(column), np.c_[pooled, np.arange(20)])


def test_columns_of_several_dtypes():
    text, number = pl.DataFrame({"a": ["x"]}), pl.DataFrame({"a": [1]})
    message = "set 2 of X has Int64 in column 'a', those before it have String; expected"
    with pytest.raises(ValueError, match=message):
        ElementTransformer(OneHotEncoder()).fit([pl.DataFrame({"a": [None]}), text, number])
    missing = pl.DataFrame({"a": [None]})
    encoded = ElementTransformer(OneHotEncoder()).fit_transform([text, missing])
    assert_array_equal(encoded.values, np.eye(2))
    mixed = [pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [None, 2.5]})]
    values = ElementTransformer(SimpleImputer()).fit_transform(mixed).values
    assert_array_equal(values, [[1], [1.75], [2.5]])
    with pytest.raises(ValueError, match="set 1 of X is DataFrame; expected a DataFrame o"):
        ElementTransformer(OneHotEncoder()).fit([text, pd.DataFrame({"a": ["x"]})])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_nan_is_located_among_the_columns_of_numbers(table, library):
    table.loc[0, "color"] = None
    table.loc[5, "size"] = np.nan
    element = 5 - np.searchsorted(table["id"], table["id"][5])
    frames = split(table)
    if library == "polars":
        frames = [pl.from_pandas(frame.reset_index(drop=True)) for frame in frames]
    transformer = make_column_transformer((PCA(1), ["size", "n"]))
    message = rf"X contains NaN in set {table['id'][5]} \(element {element}, feature 'size'"
    with pytest.raises(ValueError, match=message):
        ElementTransformer(transformer).fit(frames)
    infinite = [frame[["n"]].astype(float) * np.inf for frame in split(table)]
    with pytest.raises(ValueError, match=r"infinity \(inf\) in set 0 .*, feature 'n'\)"):
        ElementTransformer(PCA(1)).fit([frame.fillna(np.inf) for frame in infinite])


def test_text_that_is_left_is_named(table):
    frames = split(table[["id", "color"]])
    passing = make_column_transformer((StandardScaler(), ["id"]), remainder="passthrough")
    message = (
        "(?s)transformer=.* must return numbers: its output must .* has the text '[bgr]"
    )
    with pytest.raises(ValueError, match=message):
        ElementTransformer(passing).fit_transform(frames)
    message = r"must return numbers in the columns \['color'\]: its output must hold real"
    with pytest.raises(ValueError, match=message):
        ElementTransformer("passthrough").fit_transform(frames)


@pytest.mark.filterwarnings("ignore:n_components=64")
def test_hints_for_columns_of_text_work_as_they_are(table):
    X = split(table[["id", "color", "size"]])
    with pytest.raises(
        ValueError, match="set 0 of X has columns that don't hold"
    ) as caught:
        OTKEmbedding().fit(X)
    hint = str(caught.value).partition("such as those of ")[2]
    encoded = eval(hint.removesuffix(", without labels to be predicted.")).fit_transform(X)
    assert encoded.n_features == 3 + 2
    OTKEmbedding().fit(encoded)
    for call in [lambda: OTKEmbedding().fit(table), lambda: from_groups(table)]:
        with pytest.raises(ValueError, match="use ElementTransformer with a lis") as caught:
            call()
        hint = str(caught.value).partition("of DataFrames: ")[2].removesuffix(".")
        frames = eval(hint)
        assert ElementTransformer(encoder()).fit_transform(frames).n_features == 5


def from_groups(table):
    return SetCollection.from_groups(table.drop(columns="id"), table["id"])


def test_inspection_of_sets_of_frames(table):
    frames, y = split(table), table.groupby("id")["class"].first()
    pipeline = make_pipeline(
        ElementTransformer(encoder()),
        OTKEmbedding(2, n_components=8, random_state=0),
        LogisticRegression(),
    ).fit(frames, y)
    found = element_contributions(pipeline, frames)
    assert [len(of_set) for of_set in found.contributions] == [len(f) for f in frames]
    sums = [of_set.sum() + found.constant[0] for of_set in found.contributions]
    assert_allclose(sums, pipeline.decision_function(frames))
    nearest = nearest_elements(pipeline, frames, n_elements=1)
    encoded = pipeline[0].transform(frames)
    expected = nearest_elements(pipeline[1:], encoded, n_elements=1)
    for name in expected:
        assert_array_equal(nearest[name], expected[name])
