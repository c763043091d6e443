"""scikit-learn's dispatch to the namespaces of arrays: sets are split as without it."""

import contextlib

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils import resample, shuffle

from otk_sklearn import FisherVectorEmbedding, KernelMeanEmbedding, OTKEmbedding

LABELS = np.arange(12) % 2


@pytest.fixture
def dispatch(monkeypatch):
    """A context in which scikit-learn dispatches."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(sklearn.config_context(array_api_dispatch=True))
        except ImportError as error:  # of old versions of SciPy, or for array_api_compat
            pytest.skip(str(error))
    return sklearn.config_context(array_api_dispatch=True)


def assert_same(found, expected):
    """The same sets, in the same container, with the same weights."""
    assert type(found) is type(expected)
    assert_array_equal(found.offsets, expected.offsets)
    assert_array_equal(found.values, expected.values)
    assert_array_equal(found.weights, expected.weights)


@pytest.fixture
def weighted(collection):
    weights = np.random.default_rng(0).uniform(1, 2, len(collection.values))
    return type(collection)(collection.values, collection.offsets, weights=weights)


@pytest.mark.parametrize(
    "split",
    [
        lambda X: train_test_split(X, random_state=0),
        lambda X: train_test_split(X, LABELS, stratify=LABELS, random_state=0)[:2],
        lambda X: [shuffle(X, random_state=0), resample(X, random_state=0)],
    ],
)
def test_splits_are_those_without_dispatch(split, weighted, dispatch):
    expected = split(weighted)
    with dispatch:
        found = split(weighted)
    for part, of_part in zip(found, expected, strict=True):
        assert_same(part, of_part)


@pytest.mark.parametrize("form", [list, lambda X: X])
def test_cross_validation_is_that_without_dispatch(form, collection, dispatch):
    model = make_pipeline(
        OTKEmbedding(2, n_components=3, random_state=0), LogisticRegression()
    )
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 10]}, cv=2)
    expected = cross_val_predict(search, collection, LABELS, cv=3)
    with dispatch:
        found = cross_val_predict(search, form(collection), LABELS, cv=3)
    assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "model",
    [
        FisherVectorEmbedding(2, random_state=0),
        KernelMeanEmbedding(n_components=3, random_state=0),
    ],
)
def test_embeddings_are_those_without_dispatch(model, collection, dispatch):
    """K-means at the start of scikit-learn's mixture is refused with dispatch."""
    expected = model.fit_transform(collection)
    with dispatch:
        assert_array_equal(model.fit_transform(collection), expected)
