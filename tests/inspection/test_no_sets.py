"""Inspection of no sets at all, and of sets without elements: results without rows."""

import numpy as np
import pandas as pd
import pytest
from helpers import make_sets
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
)
from otk_sklearn.inspection import element_contributions, element_plans, nearest_elements

SETS = make_sets(n_sets=12, max_length=8)
N_FEATURES = SETS[0].shape[1]
Y = np.arange(12) % 3
OTK = OTKEmbedding(
    3, n_components=4, n_references=2, empty_sets="zero", random_state=0, max_iter=20, tol=1
)
WINDOWS = clone(OTK).set_params(filter_size=2, position="gaussian")
LAYER = ConvolutionalKernelLayer(3, filter_size=2, subsampling=2, random_state=0)
SCALE = ElementTransformer(StandardScaler())

MODELS = {
    "classifier": OTKClassifier(OTK, max_epochs=1, random_state=0),
    "regressor": OTKRegressor(WINDOWS, max_epochs=1, random_state=0),
    "pipeline": make_pipeline(SCALE, OTK, StandardScaler(), LogisticRegression()),
    "tables": make_pipeline(OTK, StandardScaler(), PCA(4), Ridge()).set_output(
        transform="pandas"
    ),
    "layer": make_pipeline(LAYER, WINDOWS, Ridge()),
    "kernel mean": make_pipeline(
        KernelMeanEmbedding(5, filter_size=2, empty_sets="zero", random_state=0), Ridge()
    ),
}
NO_SETS = {
    "list": [],
    "collection": SetCollection.from_sets(SETS)[:0],
    "Series": pd.Series(SETS)[:0],
    "table": pd.DataFrame({"sets": SETS})[:0],
    "3-D": np.empty((0, 4, N_FEATURES)),
    "rows": np.empty((0, N_FEATURES)),
}


@pytest.mark.parametrize("form", NO_SETS)
@pytest.mark.parametrize("name", MODELS)
def test_no_sets(name, form):
    model, X = clone(MODELS[name]).fit(SETS, Y), NO_SETS[form]
    found = element_contributions(model, X)
    assert found.contributions == []
    # The constant is that of the model, whatever the sets are.
    assert_allclose(found.constant, element_contributions(model, SETS).constant)
    if name == "kernel mean":
        return
    assert element_plans(model, X) == []
    nearest = nearest_elements(model, X)
    for values in nearest.values():
        assert values.shape == (2, 3, 0)
    assert nearest.start.dtype == nearest_elements(model, SETS).start.dtype


@pytest.mark.parametrize("name", MODELS)
def test_sets_without_elements(name):
    model = clone(MODELS[name]).fit(SETS, Y)
    n_outputs = len(element_contributions(model, SETS).constant)
    for X in ([[], []], [None, np.empty((0, N_FEATURES))]):
        found = element_contributions(model, X).contributions
        assert [part.shape for part in found] == [(0, n_outputs)] * 2
        if name != "kernel mean":
            assert [plan.shape for plan in element_plans(model, X)] == [(2, 0, 3)] * 2
            assert nearest_elements(model, X).similarity.shape == (2, 3, 0)


def test_plans_and_diagnostics_of_no_sets():
    model = clone(OTK).fit(SETS)
    for X in NO_SETS.values():
        assert model.transport_plan(X) == []
        diagnostics = model.sinkhorn_diagnostics(X)
        assert diagnostics.n_iter.shape == diagnostics.residual.shape == (0, 2)
        assert model.kernel_matrix(X).shape == (0, 0)
        assert model.kernel_matrix(SETS, X).shape == (12, 0)


def test_a_model_that_is_not_affine_is_an_error_without_sets_too():
    model = make_pipeline(OTK, Normalizer(), Ridge()).fit(SETS, Y)
    for X in (SETS, SETS[:0]):
        with pytest.raises(ValueError, match="transform of step 'normalizer' .* no affine"):
            element_contributions(model, X)


def test_the_frame_of_elements_may_have_no_sets():
    frames = [pd.DataFrame(x) for x in SETS]
    model = make_pipeline(SCALE, OTK).fit(pd.Series(frames))
    assert element_plans(model, pd.Series(frames)[:0]) == []
