"""`ElementTransformer`: any transformer, on the elements of sets."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection


@pytest.mark.parametrize("transformer", [StandardScaler(), PCA(2), "passthrough pipeline"])
def test_elements_are_those_of_the_stacked_table(transformer, sets):
    if isinstance(transformer, str):
        transformer = make_pipeline(StandardScaler(), PCA(3))
    stacked = np.vstack(sets)
    expected = clone(transformer).fit_transform(stacked)
    result = ElementTransformer(transformer).fit(sets).transform(sets)
    assert isinstance(result, SetCollection)
    assert_array_equal(result.lengths, [len(x) for x in sets])
    assert_allclose(result.values, expected, atol=1e-12)
    assert not hasattr(transformer, "n_features_in_")


def test_weights_positions_and_dtype_are_kept(collection):
    full = SetCollection(
        collection.values.astype(np.float32),
        collection.offsets,
        weights=np.arange(1.0, 1 + len(collection.values)),
        positions=np.linspace(0, 1, len(collection.values)),
    )
    result = ElementTransformer(StandardScaler()).fit_transform(full)
    assert result.dtype == np.float32
    assert_array_equal(result.weights, full.weights)
    assert_array_equal(result.positions, full.positions)


def test_fit_on_a_sample(collection):
    sampled = ElementTransformer(StandardScaler(), max_elements=10, random_state=0)
    assert sampled.fit(collection).transformer_.n_samples_seen_ == 10
    assert_array_equal(
        clone(sampled).fit(collection).transformer_.mean_, sampled.transformer_.mean_
    )


def test_labels_reach_the_elements(sets):
    y = np.arange(len(sets)) % 3
    labels = np.repeat(y, [len(x) for x in sets])
    expected = LinearDiscriminantAnalysis().fit(np.vstack(sets), labels)
    for given in [y, y.tolist(), pd.Series(y)]:
        model = ElementTransformer(LinearDiscriminantAnalysis()).fit(sets, given)
        assert_allclose(model.transformer_.scalings_, expected.scalings_)


def test_nan_may_pass_to_an_imputer(sets):
    sets[2][0, 1] = np.nan
    for imputer in [SimpleImputer(), make_pipeline(SimpleImputer(), StandardScaler())]:
        imputed = ElementTransformer(imputer).fit_transform(sets)
        assert np.isfinite(imputed.values).all()
    wrong = make_pipeline(SimpleImputer(), PCA(10))  # more than there are features
    with pytest.raises(ValueError, match="n_components=10 must be"):
        ElementTransformer(wrong).fit(sets)
    with pytest.raises(ValueError, match="X contains NaN in set 2"):
        ElementTransformer(PCA(2)).fit(sets)


def test_transformers_that_do_not_fit(sets):
    class DropRows(StandardScaler):
        def transform(self, X):
            return super().transform(X)[1:]

    scalar = FunctionTransformer(lambda values: 3)
    with pytest.raises(ValueError, match="return numbers: its output is int"):
        ElementTransformer(scalar).fit_transform(sets)
    with pytest.raises(ValueError, match="DropRows.* returned 138 rows; .* element, 139"):
        ElementTransformer(DropRows()).fit_transform(sets)


def test_sparse_output_becomes_dense(sets):
    rounded = [x.round() for x in sets]
    expected = OneHotEncoder(sparse_output=False).fit_transform(np.vstack(rounded))
    for encoder in [OneHotEncoder(dtype=np.float32), OneHotEncoder(dtype=np.uint8)]:
        encoded = ElementTransformer(encoder).fit_transform(rounded)
        assert_array_equal(encoded.values, expected)
        assert encoded.dtype == (np.float32 if encoder.dtype == np.float32 else np.float64)


def test_passthrough_leaves_elements_as_they_are(collection):
    step = ElementTransformer("passthrough")
    result = step.fit_transform(collection)
    assert np.shares_memory(result.values, collection.values)
    assert_array_equal(result.values, collection.values)
    assert step.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3"]
    assert "passthrough" in step._repr_html_()
    # It learns nothing from weights.
    step.fit(collection, sample_weight=np.ones(len(collection)))
    grid = GridSearchCV(
        make_pipeline(step, OTKEmbedding(2, n_components=8), StandardScaler()),
        {"elementtransformer__transformer": ["passthrough", StandardScaler()]},
        scoring=lambda model, X, y=None: abs(model[0].transform(X).values.mean()),
        cv=2,
    ).fit(collection, elementtransformer__sample_weight=np.ones(len(collection)))
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()


def test_names_and_set_output(sets):
    model = ElementTransformer(PCA(2)).fit(sets)
    assert model.get_feature_names_out().tolist() == ["pca0", "pca1"]
    scaled = ElementTransformer(StandardScaler()).fit(sets)
    assert scaled.get_feature_names_out(list("abcd")).tolist() == list("abcd")
    assert model.set_output(transform="pandas") is model
    assert isinstance(model.transform(sets), SetCollection)
    with config_context(transform_output="pandas"):
        assert isinstance(model.fit_transform(sets), SetCollection)
    table = pd.DataFrame(np.eye(3), columns=["a", "b", "c"])
    scaler = ElementTransformer(StandardScaler())
    with pytest.warns(UserWarning, match="X is 2-D"):
        scaler.fit(table)
    assert scaler.get_feature_names_out().tolist() == ["a", "b", "c"]
    inner = StandardScaler().set_output(transform="pandas")
    assert isinstance(ElementTransformer(inner).fit_transform(sets), SetCollection)


def test_grid_search_over_the_inner_transformer(sets):
    pipeline = make_pipeline(
        ElementTransformer(PCA()), OTKEmbedding(2, n_components=8), StandardScaler()
    )
    pipeline.set_params(elementtransformer__transformer__n_components=3).fit(sets)
    assert pipeline[0].transformer_.n_components_ == 3
    grid = GridSearchCV(
        ElementTransformer(PCA()),
        {"transformer__n_components": [1, 2]},
        scoring=lambda model, X, y=None: model.transformer_.explained_variance_.sum(),
        cv=2,
    ).fit(sets)
    assert grid.best_params_ == {"transformer__n_components": 2}
