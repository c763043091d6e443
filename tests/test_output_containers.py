"""Results under each global output container of scikit-learn (scikit-learn#25365)."""

import contextlib
import inspect

import matplotlib

matplotlib.use("Agg")  # before pyplot: there may be no screen

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

import otk_sklearn
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
from otk_sklearn.display import ImportanceDisplay
from otk_sklearn.inspection import element_contributions, element_plans, nearest_elements

LABELS = np.arange(12) % 2
CONTAINERS = {"default": np.ndarray, "pandas": pd.DataFrame, "polars": pl.DataFrame}

ESTIMATORS = [
    ConvolutionalKernelLayer(4, random_state=0),
    ElementTransformer(make_pipeline(StandardScaler(), PCA(2), StandardScaler())),
    FisherVectorEmbedding(2, random_state=0),
    KernelMeanEmbedding(4, random_state=0),
    OTKClassifier(OTKEmbedding(2, n_components=4), max_epochs=2, random_state=0),
    OTKEmbedding(2, n_components=4, random_state=0),
    OTKRegressor(OTKEmbedding(2, n_components=4), max_epochs=2, random_state=0),
    SetPooling(),
    SlicedWassersteinEmbedding(2, random_state=0),
]


def test_every_estimator_is_here():
    public = [getattr(otk_sklearn, name) for name in otk_sklearn.__all__]
    public = [p for p in public if inspect.isclass(p) and issubclass(p, BaseEstimator)]
    assert {type(model) for model in ESTIMATORS} == set(public)


@pytest.fixture(params=["before", "under"])
def fit_in(request):
    """Fit a model before the output container is set, or under it."""

    def fit(model, container, *data):
        under = config_context(transform_output=container)
        with under if request.param == "under" else contextlib.nullcontext():
            return clone(model).fit(*data)

    return fit


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("model", ESTIMATORS, ids=lambda model: type(model).__name__)
def test_values_are_the_same_in_each_container(model, container, fit_in, sets):
    expected = clone(model).fit(sets, LABELS)
    fitted = fit_in(model, container, sets, LABELS)
    for used_under in (container, "default"):
        with config_context(transform_output=used_under):
            output = fitted.transform(sets)
        if isinstance(output, SetCollection):
            assert_array_equal(output.values, expected.transform(sets).values)
            continue
        assert isinstance(output, CONTAINERS[used_under])
        assert_array_equal(np.asarray(output), expected.transform(sets))
        if used_under != "default":
            assert list(output.columns) == list(fitted.get_feature_names_out())
    if hasattr(model, "predict"):
        with config_context(transform_output=container):
            assert_array_equal(fitted.predict(sets), expected.predict(sets))


@pytest.mark.parametrize("container", CONTAINERS)
def test_inspection_gives_arrays_in_each_container(container, sets):
    """The union is evaluated at unit vectors, in the container that its steps expect."""
    model = make_pipeline(
        ElementTransformer(make_pipeline(StandardScaler(), PCA(2))),
        OTKEmbedding(2, n_components=4, random_state=0),
        StandardScaler(),
        FeatureUnion([("components", PCA(2)), ("scaled", StandardScaler())]),
        Ridge(),
    )
    expected = clone(model).fit(sets, LABELS)
    with config_context(transform_output=container):
        fitted = clone(model).fit(sets, LABELS)
        parts = element_contributions(fitted, sets)
        plans, nearest = element_plans(fitted, sets), nearest_elements(fitted, sets)
        display = ImportanceDisplay.from_estimator(fitted, sets, index=3)
    plt.close("all")
    of_arrays = element_contributions(expected, sets)
    for part, other in zip(parts.contributions, of_arrays.contributions):
        np.testing.assert_allclose(part, other, atol=1e-12)
    np.testing.assert_allclose(display.contributions, parts.contributions[3][:, 0])
    for plan, other in zip(plans, element_plans(expected, sets)):
        assert_array_equal(plan, other)
    assert_array_equal(nearest.start, nearest_elements(expected, sets).start)
