"""Windows, in `OTKEmbedding` and in layers, against windows cut by hand."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from helpers import (
    gaussian_taps,
    means_over,
    plain_embedding,
    plain_kappa,
    plain_normalization,
    plain_windows,
    subsampled,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from otk_sklearn import ConvolutionalKernelLayer, OTKEmbedding, SetCollection

PADDINGS = ["valid", "same"]
every_padding_and_size = pytest.mark.parametrize(
    ("padding", "filter_size"), [(p, f) for p in PADDINGS for f in [2, 3, 4, 7]]
)


def make_model(**params):
    defaults = {
        "n_supports": 5,
        "n_components": 16,
        "epsilon": 0.1,
        "tol": 0,
        "max_iter": 30,
        "random_state": 0,
    }
    return OTKEmbedding(**{**defaults, **params})


def make_weighted(sets, seed=0):
    """The sets with weights and positions on two axes, as lists and as a collection."""
    rng = np.random.default_rng(seed)
    weights = [rng.uniform(0.1, 1, len(x)) for x in sets]
    positions = [rng.uniform(size=(len(x), 2)) for x in sets]
    X = SetCollection.from_sets(sets, weights=weights, positions=positions)
    return X, [w / w.sum() for w in weights], positions


@every_padding_and_size
@pytest.mark.parametrize("kernel", ["rbf", "homogeneous", "linear"])
def test_embedding_of_windows(kernel, padding, filter_size, sets):
    X, masses, _ = make_weighted(sets)
    model = make_model(kernel=kernel, filter_size=filter_size, padding=padding).fit(X)
    expected = []
    for x, a in zip(sets, masses):
        windows, real = plain_windows(x, filter_size, padding)
        mass = means_over(a, real)
        expected.append(plain_embedding(model, windows, mass / mass.sum()))
    assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("padding", PADDINGS)
def test_it_is_the_embedding_of_windows_made_beforehand(padding, sets):
    """Fit and all: windows are sets like any other."""
    windows = [plain_windows(x, 3, padding)[0] for x in sets]
    model = make_model(filter_size=3, padding=padding).fit(sets)
    beforehand = make_model().fit(windows)
    assert_allclose(model.anchors_, beforehand.anchors_, atol=1e-10)
    assert model.n_features_in_ == 4
    Xt = model.transform(sets)
    assert_allclose(Xt, beforehand.transform(windows), atol=1e-8)
    for plan, expected in zip(
        model.transport_plan(sets), beforehand.transport_plan(windows)
    ):
        assert plan.shape == expected.shape
        assert_allclose(plan, expected, atol=1e-9)
    assert_allclose(model.kernel_matrix(sets), Xt @ Xt.T / 5)


@pytest.mark.parametrize("padding", PADDINGS)
def test_positions_of_windows(padding, sets):
    params = {"filter_size": 3, "padding": padding, "n_supports": 4}
    params |= {"position": "gaussian", "position_sigma": 0.3}
    X, masses, positions = make_weighted(sets)
    model = make_model(**params).fit(X)
    line = make_model(**params).fit(sets)
    grid = [(0.5, 0.5), (0.5, 1), (1, 0.5), (1, 1)]
    expected, on_line = [], []
    for x, a, s in zip(sets, masses, positions):
        windows, real = plain_windows(x, 3, padding)
        mass = means_over(a, real)
        given = means_over(s, real)
        expected.append(plain_embedding(model, windows, mass / mass.sum(), given, grid))
        counted = [[i / len(windows)] for i in range(len(windows))]
        quarters = [[0], [0.25], [0.5], [0.75]]
        on_line.append(plain_embedding(line, windows, None, counted, quarters))
    assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-8)
    assert_allclose(line.transform(sets), on_line, rtol=1e-6, atol=1e-8)


@every_padding_and_size
@pytest.mark.parametrize("subsampling", [1, 2, 3, 5])
def test_layer(subsampling, padding, filter_size, sets):
    X, masses, positions = make_weighted(sets)
    layer = ConvolutionalKernelLayer(
        8,
        filter_size=filter_size,
        padding=padding,
        subsampling=subsampling,
        random_state=0,
    )
    result = layer.fit_transform(X)
    assert_allclose(np.linalg.norm(layer.anchors_, axis=1), 1)
    kernel = ("homogeneous", layer.gamma_, layer.anchors_)
    whiten, taps = plain_normalization(*kernel, layer.damping), gaussian_taps(subsampling)
    for i, (x, a, s) in enumerate(zip(sets, masses, positions)):
        windows, real = plain_windows(x, filter_size, padding)
        kappa = subsampled(plain_kappa(*kernel, windows), subsampling, taps, False)
        assert_allclose(result[i], kappa @ whiten, rtol=1e-6, atol=1e-8)
        mass = subsampled(means_over(a, real), subsampling, taps, True)
        rows = slice(*result.offsets[i : i + 2])
        assert_allclose(result.weights[rows], mass / mass.sum())
        means = subsampled(means_over(s, real), subsampling, taps, True)
        assert_allclose(result.positions[rows], means)
    plain = layer.transform(sets)
    assert plain.weights is None
    assert plain.positions is None
    assert_array_equal(plain.values, result.values)


def test_two_layers_and_an_embedding(sets):
    first = ConvolutionalKernelLayer(8, filter_size=3, subsampling=2, random_state=0)
    second = ConvolutionalKernelLayer(6, filter_size=2, padding="same", random_state=0)
    embedding = make_model(kernel="linear", n_supports=3)
    network = make_pipeline(first, second, embedding).fit(sets)
    expected = []
    for x in sets:
        for layer in (first, second):
            windows, _ = plain_windows(x, layer.filter_size, layer.padding)
            kernel = ("homogeneous", layer.gamma_, layer.anchors_)
            s = layer.subsampling
            kappa = subsampled(plain_kappa(*kernel, windows), s, gaussian_taps(s), False)
            x = kappa @ plain_normalization(*kernel, layer.damping)
        expected.append(plain_embedding(embedding, x))
    assert_allclose(network.transform(sets), expected, rtol=1e-6, atol=1e-8)
    names = network.get_feature_names_out()
    assert len(names) == len(set(names)) == 18


@pytest.mark.parametrize("padding", PADDINGS)
def test_one_layer_is_the_embedding_of_windows(padding, sets):
    """Features of windows, stored or not."""
    windows = {"filter_size": 3, "padding": padding, "random_state": 0}
    layer = ConvolutionalKernelLayer(8, **windows)
    stored = make_pipeline(layer, make_model(kernel="linear", epsilon=0.2)).fit(sets)
    direct = make_model(
        kernel="homogeneous",
        anchors=layer.anchors_,
        gamma=layer.gamma_,
        references=stored[-1].references_,
        epsilon=0.2,
        **windows,
    )
    assert_allclose(direct.fit(sets).transform(sets), stored.transform(sets), atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["rbf", "homogeneous", "linear"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_float32_chunks_and_threads(padding, kernel, sets):
    model = make_model(kernel=kernel, filter_size=4, padding=padding, tol=1e-5)
    model.set_params(max_iter=10_000).fit(sets)
    sets32 = [x.astype(np.float32) for x in sets]
    exact = [x.astype(float) for x in sets32]
    Xt = model.transform(sets32)
    assert Xt.dtype == np.float32
    assert_allclose(Xt, model.transform(exact), atol=2e-4)
    layer = ConvolutionalKernelLayer(8, subsampling=2, padding=padding, random_state=0)
    many, alone = layer.fit(sets).transform(sets * 200), layer.transform(sets32)
    assert alone.dtype == np.float32
    assert_allclose(alone.values, layer.transform(exact).values, atol=1e-4)
    for working_memory in [1e-3, 1e-2, 1024]:
        with config_context(working_memory=working_memory):
            Xt = model.transform(sets)
            again = layer.transform(sets).values
        assert_allclose(Xt, model.transform(sets), atol=1e-10)
        assert_allclose(again, many.values[: len(again)], atol=1e-10)
    for estimator in [model, layer]:
        one, two = clone(estimator), clone(estimator).set_params(n_jobs=2)
        one, two = one.fit_transform(sets * 200), two.fit_transform(sets * 200)
        assert_array_equal(getattr(one, "values", one), getattr(two, "values", two))


@pytest.mark.slow
def test_windows_of_a_long_set_are_never_all_stored():
    """A million rows: the windows alone would take 64 times the rows."""
    x = np.random.default_rng(0).normal(size=(1_000_000, 2)).astype(np.float32)
    model = make_model(filter_size=64, max_elements=2000, n_supports=3, tol=1e-2)
    small = [x[i : i + 1000] for i in range(0, 10_000, 1000)]
    model.set_params(n_components=4).fit(small).transform(small)
    layer = ConvolutionalKernelLayer(2, filter_size=64, subsampling=4, max_elements=2000)
    layer.set_params(random_state=0).fit(small).transform(small)
    for estimator in [model, layer]:
        tracemalloc.start()
        with config_context(working_memory=16):
            estimator.transform([x])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 25 * x.nbytes  # among them n x p similarities and plans


def test_means_over_long_windows_take_little_memory():
    x = np.random.default_rng(0).normal(size=(20_000, 2))
    X = SetCollection(x, [0, 20_000], weights=np.arange(1.0, 20_001))
    layer = ConvolutionalKernelLayer(2, filter_size=5000, anchors=np.eye(2, 10_000))
    with config_context(working_memory=16):
        layer.fit([x[:10]])
        tracemalloc.start()
        weights = layer.transform(X).weights
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 100e6
    expected = np.convolve(X.weights, np.ones(5000), "valid")
    assert_allclose(weights, expected / expected.sum())


@pytest.mark.filterwarnings("ignore:n_components")
def test_weights_of_zero_and_single_rows():
    sets = [np.ones((1, 2)), np.zeros((4, 2)), np.arange(12.0).reshape(6, 2)]
    X = SetCollection.from_sets(sets, weights=[[1.0], [0, 0, 0, 1.0], [0, 0, 0, 0, 0, 2.0]])
    for padding in PADDINGS:
        for kernel in ["rbf", "homogeneous", "linear"]:
            model = make_model(kernel=kernel, filter_size=2, padding=padding)
            model.set_params(n_components=3)
            assert np.isfinite(model.fit_transform(X)).all()
        layer = ConvolutionalKernelLayer(3, filter_size=2, subsampling=3, padding=padding)
        result = layer.fit(X).transform(X)
        assert np.isfinite(result.values).all()
        assert_allclose(np.add.reduceat(result.weights, result.offsets[:-1]), 1)


def test_grid_search_memory_and_names(sets, tmp_path):
    y = np.arange(len(sets)) % 2
    pipeline = make_pipeline(
        ConvolutionalKernelLayer(4, random_state=0, memory=str(tmp_path)),
        OTKEmbedding(3, n_components=8, random_state=0, memory=str(tmp_path)),
        LogisticRegression(),
    )
    grid = {
        "convolutionalkernellayer__filter_size": [1, 2],
        "convolutionalkernellayer__subsampling": [1, 2],
        "otkembedding__filter_size": [1, 3],
        "otkembedding__padding": PADDINGS,
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(sets, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    layer = ConvolutionalKernelLayer(4, random_state=0).fit(sets)
    assert layer.get_feature_names_out().tolist() == [
        f"convolutionalkernellayer_component{i}" for i in range(4)
    ]
    assert layer.set_output(transform="pandas") is layer
    with config_context(transform_output="pandas"):
        assert isinstance(layer.transform(sets), SetCollection)
        network = make_pipeline(layer, make_model(n_supports=2)).fit(sets)
        assert isinstance(network.transform(sets), pd.DataFrame)


def test_errors(sets):
    with pytest.raises(ValueError, match=r"anchors has shape \(5, 4\); expected .*, 12\)"):
        make_model(filter_size=3, anchors=np.ones((5, 4))).fit(sets)
    with pytest.raises(ValueError, match=r"anchors has shape \(5, 4\); expected .*, 12\)"):
        ConvolutionalKernelLayer(filter_size=3, anchors=np.ones((5, 4))).fit(sets)
    layer = ConvolutionalKernelLayer(4, gamma=1e-3, damping=1e-6).fit(sets)
    with pytest.raises(ValueError, match="feature of set 1 of X leaves the range"):
        layer.transform([sets[0], np.full((9, 4), 1e308)])
    model = make_model(filter_size=3).fit(sets)  # anchors have the size of its windows
    expected = model.transform(sets)
    model.set_params(filter_size=2, padding="same")
    assert_array_equal(model.transform(sets), expected)
