"""Columns of sets beside ordinary columns, and the names of what comes out."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from helpers import make_sets
from numpy.testing import assert_allclose
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
    SlicedWassersteinEmbedding,
)

SETS = make_sets(n_sets=24, max_length=8)
NAMES = [f"p{i}" for i in range(24)]
N_FEATURES = SETS[0].shape[1]

# Of each embedding, the names of the first and the last output feature.
EMBEDDINGS = {
    "otk": (
        OTKEmbedding(4, n_components=13, random_state=0),
        "otkembedding_support0_component0",
        "otkembedding_support3_component12",
    ),
    "references": (
        OTKEmbedding(3, n_components=5, n_references=2, random_state=0),
        "otkembedding_reference0_support0_component0",
        "otkembedding_reference1_support2_component4",
    ),
    "kernel mean": (
        KernelMeanEmbedding(5, random_state=0),
        "kernelmeanembedding_component0",
        "kernelmeanembedding_component4",
    ),
    "linear": (
        KernelMeanEmbedding(kernel="linear", filter_size=2),
        "kernelmeanembedding_component0",
        f"kernelmeanembedding_component{2 * N_FEATURES - 1}",
    ),
    "sliced": (
        SlicedWassersteinEmbedding(3, n_quantiles=2, random_state=0),
        "slicedwassersteinembedding_projection0_quantile0",
        "slicedwassersteinembedding_projection2_quantile1",
    ),
    "fisher": (
        FisherVectorEmbedding(2, random_state=0),
        "fishervectorembedding_mean_component0_feature0",
        f"fishervectorembedding_deviation_component1_feature{N_FEATURES - 1}",
    ),
    "pooling": (SetPooling(["mean", "max"]), "mean_x0", f"max_x{N_FEATURES - 1}"),
    "classifier": (
        OTKClassifier(OTKEmbedding(2, n_components=3), max_epochs=1, random_state=0),
        "otkclassifier_support0_component0",
        "otkclassifier_support1_component2",
    ),
    "regressor": (
        OTKRegressor(OTKEmbedding(2, n_components=3), max_epochs=1, random_state=0),
        "otkregressor_support0_component0",
        "otkregressor_support1_component2",
    ),
}
Y = np.arange(24) % 2


def frame():
    return pd.DataFrame({"age": np.arange(24.0), "cells": SETS}, index=NAMES)


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_names_of_output_features(name):
    model, first, last = EMBEDDINGS[name]
    embeddings = model.fit(SETS, Y).transform(SETS)
    names = model.get_feature_names_out()
    assert len(set(names)) == len(names) == embeddings.shape[1]
    assert (names[0], names[-1]) == (first, last)
    for of_column in (["cells"], [f"x{i}" for i in range(N_FEATURES)]):
        assert len(model.get_feature_names_out(of_column)) == len(names)
    with pytest.raises(ValueError, match="input_features should have length equal"):
        model.get_feature_names_out(["a", "b"])


def test_names_are_in_the_order_of_the_components():
    model = OTKEmbedding(3, n_components=5, n_references=2, random_state=0).fit(SETS)
    embeddings = model.transform(SETS)
    by_name = pd.DataFrame(embeddings, columns=model.get_feature_names_out())
    expected = embeddings[0].reshape(2, 3, 5)[1, 2, 4]
    assert by_name.loc[0, "otkembedding_reference1_support2_component4"] == expected


@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize("columns", ["cells", ["cells"]])
def test_a_column_of_sets(name, columns):
    """scikit-learn#18993: as a column of text does with CountVectorizer."""
    model, first, _ = EMBEDDINGS[name]
    table = frame()
    transformer = ColumnTransformer(
        [("set", model, columns), ("number", "passthrough", ["age"])]
    )
    found = transformer.fit_transform(table, Y)
    expected = sklearn.clone(model).fit(SETS, Y).transform(SETS)
    assert_allclose(found[:, :-1], expected, atol=1e-12)
    names = transformer.get_feature_names_out()
    assert (names[0], names[-1]) == (f"set__{first}", "number__age")
    transformer.set_output(transform="pandas")
    found = transformer.fit_transform(table, Y)
    assert found.index.tolist() == NAMES
    assert found.columns.tolist() == names.tolist()


@pytest.mark.parametrize(
    "layer", [ElementTransformer(StandardScaler()), ConvolutionalKernelLayer(4)]
)
def test_a_pipeline_for_a_column_of_sets(layer):
    steps = make_pipeline(layer, OTKEmbedding(2, n_components=3, random_state=0))
    transformer = ColumnTransformer(
        [("set", steps, "cells"), ("number", "passthrough", ["age"])]
    ).set_output(transform="pandas")
    table = frame()
    found = transformer.fit_transform(table)
    assert found.columns[0] == "set__otkembedding_support0_component0"
    assert found.index.tolist() == NAMES
    assert transformer.transform(table[:0]).shape == (0, found.shape[1])


def test_a_column_of_sets_in_cross_validation():
    transformer = ColumnTransformer(
        [
            ("set", OTKEmbedding(2, n_components=4, random_state=0), "cells"),
            ("number", "passthrough", ["age"]),
        ]
    )
    model = make_pipeline(transformer, LogisticRegression(max_iter=10_000))
    assert np.isfinite(cross_val_score(model, frame(), Y, error_score="raise")).all()


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_the_index_is_that_of_pandas_or_the_names_of_sets(name):
    model, first, _ = EMBEDDINGS[name]
    model = sklearn.clone(model).set_output(transform="pandas")
    X = pd.Series(SETS, index=pd.Index(NAMES, name="patient"))
    for found in (model.fit(X, Y).transform(X), sklearn.clone(model).fit_transform(X, Y)):
        assert found.index.equals(X.index)
        assert found.index.name == "patient"
        assert found.columns[0] == first
    repeated = X.iloc[[3, 3, 1]]
    assert model.transform(repeated).index.tolist() == ["p3", "p3", "p1"]
    assert model.transform(SETS).index.equals(pd.RangeIndex(24))
    named = SetCollection.from_sets(SETS, names=NAMES)
    assert model.transform(named).index.tolist() == NAMES
    assert model.transform(named[[3, 3, 1]]).index.tolist() == ["p3", "p3", "p1"]
    pairs = [(i // 5, i % 5) for i in range(24)]
    found = model.transform(SetCollection.from_sets(SETS, names=pairs))
    assert found.loc[(1, 2)].tolist() == found.iloc[7].tolist()
    in_polars = model.set_output(transform="polars").transform(X)
    assert isinstance(in_polars, pl.DataFrame)
    assert in_polars.columns[0] == first


def sizes_of(sets):
    return np.array([[len(elements)] for elements in sets], dtype=float)


SIZES = FunctionTransformer(sizes_of, feature_names_out=lambda _, names: ["size"])
MEANS = SetPooling(["mean"])


def means_and_sizes():
    return np.hstack([np.array([x.mean(axis=0) for x in SETS]), sizes_of(SETS)])


# In another order than 0, 1, 2, ..., as groups are of a long table that is not sorted.
PERMUTED = np.random.default_rng(0).permutation(24)


@pytest.mark.parametrize(
    ("container", "names"),
    [
        *(("default", names) for names in [None, NAMES, PERMUTED]),
        *(("polars", names) for names in [None, NAMES, PERMUTED]),
        ("pandas", None),
    ],
)
@pytest.mark.parametrize(
    "union",
    [
        make_union(MEANS, SIZES),
        make_pipeline(ElementTransformer("passthrough"), make_union(MEANS, SIZES)),
        make_union(make_pipeline(ElementTransformer("passthrough"), MEANS), SIZES),
    ],
    ids=["alone", "after a layer", "layer inside"],
)
def test_a_union_puts_what_is_of_one_set_into_one_row(names, container, union):
    """Beside a function that returns an array, whose rows are numbered."""
    X = SetCollection.from_sets(SETS, names=names)
    union = sklearn.clone(union).set_output(transform=container)
    assert_allclose(union.fit_transform(X), means_and_sizes(), atol=1e-12)


def test_a_function_returns_the_index_of_its_sets():
    """For a table of its own, beside embeddings, whatever X is."""

    def sizes(sets):
        return pd.DataFrame({"size": map(len, sets)}, index=sets.index)

    union = make_union(MEANS, FunctionTransformer(sizes)).set_output(transform="pandas")
    after = make_pipeline(ElementTransformer("passthrough"), union)
    series = pd.Series(SETS, index=PERMUTED)
    for X in [SetCollection.from_sets(SETS, names=NAMES), series]:
        for model in (union, after):
            found = model.fit_transform(X)
            assert_allclose(found, means_and_sizes(), atol=1e-12)
            expected = NAMES if isinstance(X, SetCollection) else PERMUTED
            assert found.index.tolist() == list(expected)


PERMUTED_TWICE = np.r_[PERMUTED[:12], PERMUTED[:12]]


@pytest.mark.parametrize("index", [NAMES, PERMUTED, PERMUTED_TWICE])
@pytest.mark.parametrize("columns", ["cells", ["cells"], ["a", "b"]])
def test_columns_behind_layers_keep_the_rows_of_a_table(index, columns):
    """Of a table that was sampled with replacement, too."""
    random = np.random.default_rng(0)
    table = frame().set_axis(index, axis=0)
    table[["a", "b"]] = random.normal(size=(24, 2))
    pooled = make_pipeline(ElementTransformer("passthrough"), MEANS)
    transformer = ColumnTransformer(
        [("set", pooled, columns), ("number", "passthrough", ["age"])]
    ).set_output(transform="pandas")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X is 2-D", UserWarning)
        found = transformer.fit_transform(table)
    assert found.index.tolist() == list(index)
    means = table[columns] if columns == ["a", "b"] else [x.mean(axis=0) for x in SETS]
    assert_allclose(found.iloc[:, :-1], means, atol=1e-12)
    assert found.iloc[:, -1].tolist() == list(range(24))


def test_the_index_follows_its_sets():
    index = pd.MultiIndex.from_product([list("abcd"), range(6)], names=["site", "day"])
    X = ElementTransformer("passthrough").fit_transform(pd.Series(SETS, index=index))
    assert X.index is index
    for chosen in ([5, 2, 2], slice(3, 9), slice(None, None, -2), np.arange(24) % 2 == 0):
        expected = index[chosen]
        assert X[chosen].index.equals(expected)
        again = pickle.loads(pickle.dumps(X[chosen]))
        assert again.index.equals(expected)
        assert again.index.names == ["site", "day"]
    assert X.astype(np.float32).index is index
    layer = ConvolutionalKernelLayer(2, filter_size=2, subsampling=2, random_state=0)
    assert layer.fit_transform(X).index is index
    assert SetCollection.from_sets(pd.Series(SETS, index=index)).index.equals(index)
    assert SetCollection.concatenate([X[:2], X[2:]]).index.equals(index)
    state = X.__reduce__()[2]
    with pytest.raises(ValueError, match="index is Index; expected a pandas.Index of 24"):
        X.__setstate__({**state, "index": pd.Index(NAMES[:3])})
