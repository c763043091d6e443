"""Sets without elements, and collections without sets."""

import numpy as np
import pandas as pd
import pytest
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
from otk_sklearn.inspection import element_contributions

EMBEDDINGS = [
    OTKEmbedding(3, n_components=8, random_state=0),
    OTKEmbedding(
        2,
        n_components=8,
        n_references=2,
        kernel="homogeneous",
        filter_size=3,
        position="gaussian",
        random_state=0,
    ),
    OTKEmbedding(
        3, n_components=8, solver="emd", padding="same", filter_size=2, random_state=0
    ),
    KernelMeanEmbedding(8, random_state=0),
    KernelMeanEmbedding(8, filter_size=2, random_state=0),
    SetPooling(["mean", "std", "min", "max"]),
    SlicedWassersteinEmbedding(4, random_state=0),
    FisherVectorEmbedding(2, random_state=0),
]
FULL = make_sets(n_sets=12, max_length=9)
EMPTY = [0, 5, 6, 14]  # at both ends, and side by side
NONE = np.empty((0, FULL[0].shape[1]))


def with_empty(sets=FULL):
    sets = list(sets)
    for i in EMPTY:
        sets.insert(i, NONE)
    return sets


def forms(sets):
    """The same sets as a list, with lists for empty ones, and as collections."""
    collection = SetCollection.from_sets(sets)
    weighted = SetCollection(
        collection.values, collection.offsets, weights=np.ones(len(collection.values))
    )
    return [sets, [[] if not len(x) else x for x in sets], collection, weighted]


@pytest.mark.parametrize("model", EMBEDDINGS)
def test_zero_vectors(model):
    """`fit` ignores empty sets; `transform` embeds them as zeros."""
    model.set_params(empty_sets="zero")
    expected = model.fit(FULL).transform(FULL)
    kept = np.setdiff1d(np.arange(16), EMPTY)
    for X in forms(with_empty()):
        fitted = clone(model).fit(X)
        for found in (model.transform(X), fitted.transform(X), fitted.fit_transform(X)):
            assert_allclose(found[kept], expected, rtol=0, atol=1e-12)
            assert_array_equal(found[EMPTY], 0)
    assert_array_equal(model.transform([[], []]), np.zeros((2, expected.shape[1])))


@pytest.mark.parametrize("model", EMBEDDINGS)
def test_errors_by_default(model):
    model.set_params(empty_sets="error").fit(FULL)
    message = 'set 0 of X is empty; expected at least one element, or .* empty_sets="zero"'
    for X in forms(with_empty()):
        for method in (model.fit, model.transform, model.fit_transform):
            with pytest.raises(ValueError, match=message):
                method(X)
    model.set_params(empty_sets="zero")
    with pytest.raises(ValueError, match="set 0 of X is empty"):
        model.fit([NONE, NONE])


@pytest.mark.parametrize("model", [SetPooling(["std"], empty_sets="zero")])
def test_errors_count_empty_sets(model):
    huge = 1e300 * np.array([np.ones_like(FULL[0][0]), -np.ones_like(FULL[0][0])])
    with pytest.raises(ValueError, match="embedding of set 2 of X leaves the range"):
        model.fit(FULL).transform([FULL[0], NONE, huge])


def test_features_beyond_the_range_count_empty_sets():
    layer = ConvolutionalKernelLayer(4, filter_size=2, damping=1e-6, random_state=0)
    layer.fit(FULL)
    with pytest.raises(ValueError, match="feature of set 3 of X leaves the range of fl"):
        layer.transform([NONE, FULL[0], NONE, np.full((3, FULL[0].shape[1]), 1e308)])


def test_layers_of_nothing_but_empty_sets_keep_weights_and_positions():
    layer = ConvolutionalKernelLayer(4, filter_size=2, subsampling=2, random_state=0)
    nothing = SetCollection(
        NONE, [0, 0, 0], weights=[], positions=np.empty((0, 2)), names=["a", "b"]
    )
    found = layer.fit(FULL).transform(nothing)
    assert found.values.shape == (0, 4)
    assert found.weights.shape == (0,)
    assert found.positions.shape == (0, 2)
    assert found.names.tolist() == ["a", "b"]


@pytest.mark.parametrize("model", EMBEDDINGS)
def test_no_sets(model):
    """A filtered partition has no sets: an array without rows is the right value."""
    model.fit(FULL)
    width = model.transform(FULL).shape[1]
    none_3d = np.empty((0, 4, FULL[0].shape[1]))
    nones = [[], (), none_3d, SetCollection.from_sets(FULL)[:0], pd.Series(FULL)[:0]]
    nones += [pd.DataFrame({"cells": FULL})[:0], np.empty(0, object)]
    for none in nones:
        assert model.transform(none).shape == (0, width)
        with pytest.raises(ValueError, match="empty collection|0 sample"):
            model.fit(none)
    pipeline = make_pipeline(model, StandardScaler()).fit(FULL)
    assert pipeline[:-1].transform([]).shape == (0, width)


@pytest.mark.parametrize(
    "layer",
    [
        ElementTransformer(StandardScaler()),
        ConvolutionalKernelLayer(4, filter_size=2, random_state=0),
        ConvolutionalKernelLayer(4, filter_size=2, subsampling=2, padding="same"),
    ],
)
def test_layers_keep_empty_sets(layer):
    layer.set_params(random_state=0)
    expected = layer.fit(FULL).transform(FULL)
    kept = np.setdiff1d(np.arange(16), EMPTY)
    for X in forms(with_empty()):
        found = layer.fit(X).transform(X)
        assert_array_equal(found.lengths[EMPTY], 0)
        assert_array_equal(found.lengths[kept], expected.lengths)
        assert_allclose(found.values, expected.values, rtol=0, atol=1e-12)
    assert layer.transform([[]]).lengths.tolist() == [0]
    assert len(layer.transform([])) == 0


@pytest.mark.parametrize("estimator", [OTKClassifier, OTKRegressor])
def test_predictions(estimator):
    """wmd#9: one empty set failed a whole batch. Its decision is the intercept."""
    embedding = OTKEmbedding(2, n_components=6, empty_sets="zero")
    model = estimator(embedding, max_epochs=2, random_state=0)
    y = np.arange(12) % 2
    model.fit(FULL, y)
    decide = getattr(model, "decision_function", model.predict)
    kept = np.setdiff1d(np.arange(16), EMPTY)
    for X in forms(with_empty()):
        assert_allclose(decide(X)[kept], decide(FULL), rtol=0, atol=1e-12)
        assert_allclose(decide(X)[EMPTY], model.intercept_[0])
    assert model.predict([]).shape == (0,)
    expected = decide(FULL)
    with_targets = np.insert(y, np.array(EMPTY) - np.arange(4), 1)
    model.fit(with_empty(), with_targets)
    assert_allclose(decide(FULL), expected, rtol=1e-6)
    strict = estimator(OTKEmbedding(2, n_components=6), max_epochs=2)
    with pytest.raises(ValueError, match='empty_sets="zero"'):
        strict.fit(with_empty(), with_targets)
    with pytest.raises(ValueError, match="set 1 of X is empty"):
        strict.fit(FULL, y).predict([FULL[0], []])


def test_plans_and_contributions():
    model = OTKEmbedding(3, n_components=8, empty_sets="zero", random_state=0).fit(FULL)
    X = with_empty()
    plans, expected = model.transport_plan(X), model.transport_plan(FULL)
    assert [plans[i].shape for i in EMPTY] == [(1, 0, 3)] * 4
    kept = np.setdiff1d(np.arange(16), EMPTY)
    for i, plan in zip(kept, expected):
        assert_allclose(plans[i], plan, atol=1e-12)
    diagnostics = model.sinkhorn_diagnostics(X)
    assert_array_equal(diagnostics.n_iter[EMPTY], 0)
    assert_array_equal(diagnostics.n_iter[kept], model.sinkhorn_diagnostics(FULL).n_iter)
    assert_array_equal(model.kernel_matrix(X)[EMPTY], 0)
    assert model.transport_plan([]) == []
    assert model.sinkhorn_diagnostics([]).residual.shape == (0, 1)
    assert model.kernel_matrix([], FULL).shape == (0, 12)
    pipeline = make_pipeline(model, LogisticRegression()).fit(X, np.arange(16) % 2)
    contributions = element_contributions(pipeline, X)
    assert [len(part) for part in contributions.contributions] == [len(x) for x in X]
    sums = np.array([part.sum() for part in contributions.contributions])
    assert_allclose(sums + contributions.constant, pipeline.decision_function(X))


def test_collections_with_empty_sets():
    X = SetCollection.from_sets(with_empty())
    assert X.lengths[EMPTY].tolist() == [0] * 4
    assert X[5].shape == NONE.shape
    assert len(X.masses) == len(X.values)
    assert_allclose(np.add.reduceat(X.masses, X.offsets[:-1][X.lengths > 0]), 1)
    assert X[[0, 1]].lengths.tolist() == [0, len(FULL[0])]
    assert_array_equal(X.to_padded()[EMPTY], np.nan)
    back = SetCollection.from_padded(np.nan_to_num(X.to_padded()), lengths=X.lengths)
    assert_array_equal(back.lengths, X.lengths)
    weights = np.ones(len(X.values))
    weights[: len(FULL[0])] = 0
    with pytest.raises(ValueError, match="weights of set 1 are all zero"):
        SetCollection(X.values, X.offsets, weights=weights)
