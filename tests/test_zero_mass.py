"""Elements of mass 0 and sets of weight 0 are absent, whatever their values.

Metamorphic tests: with elements of mass 0 among them, sets have the same embeddings, lead
to the same fits, and have the same plans and contributions, with zeros for these elements.
"""

import numpy as np
import pytest
from helpers import plain_features, plain_plan
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from strategies import ABSENT, with_absent_elements

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
from otk_sklearn.features._differentiable_feature_map import DifferentiableFeatureMap
from otk_sklearn.inspection import (
    element_contributions,
    element_plans,
    nearest_elements,
)
from otk_sklearn.matching._differentiable_matching import DifferentiableMatching
from otk_sklearn.matching._embedding_state import EmbeddingState
from otk_sklearn.sets._windows import windows_of
from otk_sklearn.transport._problem import Transport

N_SETS = 12


def make_pair(filter_size=1, dtype=np.float64, weighted=True, positions=True, n_added=4):
    """Sets, the same with elements of mass 0 added, and which of these are the former."""
    random = np.random.default_rng(0)
    lengths = [1, 2, *random.integers(3, 20, N_SETS - 2)]
    values = random.normal(size=(sum(lengths), 3)).astype(dtype)
    sets = SetCollection(
        values,
        np.cumsum([0, *lengths]),
        weights=random.uniform(0.5, 2, len(values)) if weighted else None,
        positions=random.random(len(values)) if positions else None,
    )
    return with_absent_elements(sets, n_added, filter_size, np.random.default_rng(1))


def assert_close(found, expected, dtype=np.float64):
    atol = np.abs(expected).max() * (2e-4 if dtype == np.float32 else 1e-9)
    assert_allclose(found, expected, rtol=0, atol=atol)


def assert_same_fit(model, other):
    """All fitted arrays are equal, bit by bit."""
    for name, value in vars(model).items():
        if name.endswith("_") and isinstance(value, (np.ndarray, float)):
            assert_array_equal(getattr(other, name), value, err_msg=name)


SOLVERS = [
    {"solver": "sinkhorn"},
    {"solver": "sinkhorn", "tol": 1e-6, "max_iter": 1000},
    {"solver": "sinkhorn", "relaxation": 0.3},
    {"solver": "sinkhorn", "support_relaxation": 0.3},
    {"solver": "sinkhorn", "epsilon": 1e-4},
    {"solver": "emd"},
    {"solver": "softmax"},
]


@pytest.mark.pairwise(
    ("kernel", ["rbf", "homogeneous", "linear"]),
    ("transport", SOLVERS),
    ("position", [None, "gaussian", "hard"]),
    (("filter_size", "padding"), [(1, "valid"), (3, "valid"), (3, "same"), (4, "same")]),
    ("dtype", [np.float64, np.float32]),
    (
        ("n_references", "references"),
        [(1, "kmeans"), (1, "barycenter"), (1, "random"), (3, "kmeans"), (2, "barycenter")],
    ),
    ("max_elements", [20, 300_000]),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_embedding(
    kernel,
    transport,
    position,
    filter_size,
    padding,
    dtype,
    n_references,
    references,
    max_elements,
):
    X, larger, _ = make_pair(filter_size, dtype)
    model = OTKEmbedding(
        n_supports=4,
        n_references=n_references,
        references=references,
        kernel=kernel,
        position=position,
        position_sigma=0.4,
        filter_size=filter_size,
        padding=padding,
        n_components=6,
        max_elements=max_elements,
        random_state=0,
        **{"tol": 0, "max_iter": 5, "epsilon": 0.1, **transport},
    )
    other = OTKEmbedding(**model.get_params()).fit(larger)
    assert_same_fit(model.fit(X), other)
    expected = model.transform(X)
    assert_close(model.transform(larger), expected, dtype)
    expected, found = model.sinkhorn_diagnostics(X), model.sinkhorn_diagnostics(larger)
    assert_array_equal(found.n_iter, expected.n_iter)
    assert_allclose(found.residual, expected.residual, atol=1e-5)
    compare_plans(model, X, larger, dtype)


def compare_plans(model, X, larger, dtype):
    """Plans of elements (or windows) of positive mass are equal, and all others 0."""
    plans, found = model.transport_plan(X), model.transport_plan(larger)
    masses = [
        windows_of(sets, model.filter_size, model.padding).masses for sets in (X, larger)
    ]
    plans, found = np.concatenate(plans, axis=1), np.concatenate(found, axis=1)
    assert plans.shape[1] == len(masses[0]) < len(masses[1]) == found.shape[1]
    assert found.dtype == dtype
    assert_close(found[:, masses[1] > 0], plans[:, masses[0] > 0], dtype)
    assert (found[:, masses[1] == 0] == 0).all()


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous", "linear"])
@pytest.mark.parametrize("penalty", [{}, {"relaxation": 0.3}, {"support_relaxation": 0.3}])
@pytest.mark.parametrize("filter_size", [1, 3])
def test_sets_longer_than_a_block_and_more_threads(kernel, penalty, filter_size):
    """Features of long sets are computed block by block, sets in threads."""
    X, larger, _ = make_pair(filter_size, np.float32, positions=False, n_added=300)
    model = OTKEmbedding(4, n_components=6, kernel=kernel, filter_size=filter_size)
    model.set_params(**penalty, tol=0, max_iter=5, random_state=0).fit(X)
    expected = model.transform(X)
    model.set_params(n_jobs=2)
    with config_context(working_memory=0.01):
        assert_close(model.transform(larger), expected, np.float32)
        compare_plans(model, X, larger, np.float32)


EMBEDDINGS = [
    KernelMeanEmbedding(6),
    KernelMeanEmbedding(6, kernel="homogeneous"),
    KernelMeanEmbedding(kernel="linear"),
    KernelMeanEmbedding(6, filter_size=3, padding="same"),
    KernelMeanEmbedding(6, filter_size=3, anchors="random"),
    SlicedWassersteinEmbedding(5, n_quantiles=4),
    FisherVectorEmbedding(3),
    FisherVectorEmbedding(3, power=1, normalize=False),
    SetPooling(["mean", "std", "min", "max", "sum", "count"]),
]


@pytest.mark.parametrize("model", EMBEDDINGS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("working_memory", [0.01, 64])
def test_other_embeddings(model, dtype, working_memory):
    parameters = model.get_params()
    if "random_state" in parameters:
        model = clone(model).set_params(random_state=0, max_elements=100)
    X, larger, _ = make_pair(parameters.get("filter_size", 1), dtype)
    other = clone(model).fit(larger)
    assert_same_fit(model.fit(X), other)
    expected = model.transform(X)
    with config_context(working_memory=working_memory):
        assert_close(model.transform(larger), expected, dtype)
    if isinstance(model, FisherVectorEmbedding):
        assert_array_equal(other.mixture_.means_, model.mixture_.means_)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_convolutional_kernel_layer(dtype):
    """Windows of positive mass have the same features, and others are finite."""
    X, larger, _ = make_pair(3, dtype)
    layer = ConvolutionalKernelLayer(5, filter_size=3, random_state=0).fit(X)
    other = ConvolutionalKernelLayer(5, filter_size=3, random_state=0).fit(larger)
    assert_same_fit(layer, other)
    expected, found = layer.transform(X), layer.transform(larger)
    assert np.isfinite(found.values).all()
    kept, kept_found = expected.masses > 0, found.masses > 0
    assert_close(found.values[kept_found], expected.values[kept], dtype)
    network = make_pipeline(layer, OTKEmbedding(3, kernel="linear", random_state=0))
    embeddings = network.fit_transform(X)
    assert_close(network.transform(larger), embeddings, dtype)


def test_windows_of_mass_0_are_part_of_averages_that_have_a_positive_mass():
    """As elements of mass 0 are of windows: an average that overflows is an error.

    This was found by random cases.
    """
    values = [[1.0, 1.0], [1.5e308, 1.5e308], [1.0, 0.0]]
    layer = ConvolutionalKernelLayer(1, filter_size=1, anchors=[[1.0, 1.0]])
    for weights in [[1, 0, 1], [1, 1e-9, 1]]:
        X = SetCollection(values, [0, 3], weights=weights)
        layer.set_params(subsampling=2).fit([values[:1]])
        with pytest.raises(ValueError, match="feature of set 0 of X leaves the range"):
            layer.transform(X)
    layer.set_params(subsampling=1)
    X = SetCollection(values, [0, 3], weights=[1, 0, 1])
    assert_array_equal(layer.transform(X).values[1], 0)


def split(column, sets):
    return np.split(column, sets.offsets[1:-1])


@pytest.mark.parametrize("max_elements", [None, 30])
def test_element_transformer(max_elements):
    """Elements of weight 0 have no part in its fit, and are transformed."""
    X, larger, _ = make_pair()
    larger = larger.with_values(np.clip(larger.values, -1e150, 1e150))  # squares are finite
    table = StandardScaler()
    model = ElementTransformer(table, max_elements=max_elements, random_state=0).fit(X)
    other = clone(model).fit(larger)
    assert_array_equal(other.transformer_.mean_, model.transformer_.mean_)
    assert_array_equal(other.transformer_.var_, model.transformer_.var_)
    expected = model.transformer_.transform(larger.values)
    assert_array_equal(other.transform(larger).values, expected)


def labels_and_numbers():
    return np.arange(N_SETS) % 3, np.random.default_rng(5).normal(size=N_SETS)


@pytest.mark.pairwise(
    ("estimator", [OTKClassifier, OTKRegressor]),
    ("kernel", ["rbf", "homogeneous", "linear"]),
    (
        "transport",
        [
            {"solver": "sinkhorn"},
            {"solver": "softmax"},
            {"solver": "emd"},
            {"relaxation": 0.5},
            {"support_relaxation": 0.5},
        ],
    ),
    ("position", [None, "gaussian"]),
    ("filter_size", [1, 3]),
    ("optimizer", ["lbfgs", "adam"]),
    ("weighted", [True, False]),
)
def test_training(estimator, kernel, transport, position, filter_size, optimizer, weighted):
    X, larger, _ = make_pair(filter_size, weighted=weighted)
    y = labels_and_numbers()[estimator is OTKRegressor]
    embedding = OTKEmbedding(3, n_components=5, kernel=kernel, position=position)
    embedding.set_params(filter_size=filter_size, epsilon=0.5, tol=0, **transport)
    embedding.set_params(max_iter=200, position_sigma=0.5)
    model = estimator(embedding, optimizer=optimizer, max_epochs=3, random_state=0)
    other = clone(model).fit(larger, y)
    model.fit(X, y)
    assert_allclose(other.loss_curve_, model.loss_curve_, rtol=1e-6)
    assert_allclose(other.coef_, model.coef_, atol=1e-6 * np.abs(model.coef_).max())
    scores = model.transform(X) @ model.coef_.T + model.intercept_
    found = other.transform(larger) @ other.coef_.T + other.intercept_
    assert_allclose(found, scores, atol=1e-5 * np.abs(scores).max())
    assert_array_equal(other.predict(larger), other.predict(X))
    if kernel == "rbf":
        model.partial_fit(X, y)
        other.partial_fit(larger, y)
        assert_allclose(other.coef_, model.coef_, atol=1e-5 * np.abs(model.coef_).max())


def test_sets_without_weights_are_those_of_equal_weights():
    """With elements of weight 0 besides, too: training takes sets in the same order."""
    X, larger, _ = make_pair(weighted=False, positions=False)
    plain, y = list(X), labels_and_numbers()[1]
    embedding = OTKEmbedding(3, n_components=5, n_references=2, random_state=0)
    sample_weight = np.linspace(1, 2, N_SETS)
    expected = embedding.fit(plain, sample_weight=sample_weight).references_
    for sets in (X, larger):
        model = clone(embedding).fit(sets, sample_weight=sample_weight)
        assert_array_equal(model.references_, expected)
    regressor = OTKRegressor(embedding, optimizer="adam", batch_size=4, max_epochs=2)
    regressor.set_params(random_state=0)
    expected = clone(regressor).fit(plain, y).coef_
    for sets in (X, larger):
        found = clone(regressor).fit(sets, y).coef_
        assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_merging_of_equal_sets_ignores_elements_of_mass_0():
    """A set repeated, with other elements of mass 0, is a set of weight 2."""
    X, larger, _ = make_pair(positions=False)
    _, other, _ = make_pair(positions=False, n_added=2)
    once = OTKEmbedding(3, n_components=5, n_references=2, random_state=0)
    twice = clone(once).fit(join(larger, other[:4]))
    once.fit(X, sample_weight=np.r_[np.full(4, 2.0), np.ones(N_SETS - 4)])
    assert_close(twice.references_, once.references_)


def join(first, second):
    return SetCollection.from_sets(
        [*first, *second],
        weights=[*split(first.weights, first), *split(second.weights, second)],
    )


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous", "linear"])
@pytest.mark.parametrize("relaxation", [None, 0.3])
def test_gradients(kernel, relaxation):
    X, larger, kept = make_pair(positions=False)
    kept, random = np.concatenate(kept), np.random.default_rng(0)
    anchors = random.normal(size=(5, 3))
    anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
    n_components = 3 if kernel == "linear" else 5
    gamma, anchors = (None, None) if kernel == "linear" else (0.5, anchors)
    feature_map = DifferentiableFeatureMap(kernel, gamma, anchors, 1e-2).feature_map
    references = random.normal(size=(2, 4, n_components))
    transport = Transport("sinkhorn", 0.5, relaxation, 300, 0.0)
    state = EmbeddingState(feature_map, references, transport)
    matching = DifferentiableMatching(state, np.float64, trains_kernel=True)
    direction = random.normal(size=(N_SETS, references.size))
    of_elements, of_larger = np.empty_like(X.values), np.full_like(larger.values, np.nan)
    expected = matching.gradients(X, lambda _: direction, of_elements)
    found = matching.gradients(larger, lambda _: direction, of_larger)
    for name, value in vars(expected).items():
        assert_allclose(getattr(found, name), value, rtol=1e-7, atol=1e-9)
    assert_close(of_larger[kept], of_elements)
    assert (of_larger[~kept] == 0).all()


@pytest.mark.parametrize("filter_size", [1, 3])
@pytest.mark.parametrize(
    "embedding", [OTKEmbedding(3, n_components=5), KernelMeanEmbedding(5)], ids=repr
)
@pytest.mark.parametrize("kernel", ["rbf", "homogeneous", "linear"])
def test_inspection(embedding, filter_size, kernel):
    X, larger, kept = make_pair(filter_size, positions=False)
    embedding = clone(embedding).set_params(filter_size=filter_size, kernel=kernel)
    embedding.set_params(random_state=0)
    model = make_pipeline(embedding, StandardScaler(), LogisticRegression())
    model.fit(X, labels_and_numbers()[0])
    expected = element_contributions(model, X).contributions
    found = element_contributions(model, larger).contributions
    results = [(expected, found)]
    if isinstance(embedding, OTKEmbedding):
        plans = [element_plans(model, sets) for sets in (X, larger)]
        results.append([[p.transpose(1, 0, 2) for p in plan] for plan in plans])
        nearest, other = (nearest_elements(model, sets, 4) for sets in (X, larger))
        assert_close(other.similarity, nearest.similarity)
        assert_array_equal(other.set_index, nearest.set_index)
        new_row = [np.flatnonzero(is_kept) for is_kept in kept]
        for i, row, moved in zip(
            nearest.set_index.flat, nearest.start.flat, other.start.flat
        ):
            assert new_row[i][row] == moved
    for expected, found in results:
        for of_set, of_larger, is_kept in zip(expected, found, kept):
            assert of_larger.shape[0] == len(is_kept)
            assert_close(of_larger[is_kept], of_set)
            assert (of_larger[~is_kept] == 0).all()


@pytest.mark.parametrize(
    "model",
    [
        OTKEmbedding(3, n_components=5),
        OTKEmbedding(3, n_components=5, n_references=2, references="barycenter"),
        OTKEmbedding(3, n_components=5, kernel="homogeneous", position="gaussian"),
        KernelMeanEmbedding(5),
        KernelMeanEmbedding(5, filter_size=3),
        SlicedWassersteinEmbedding(5, n_quantiles=4),
        ConvolutionalKernelLayer(5),
        ElementTransformer(StandardScaler()),
        OTKClassifier(OTKEmbedding(3, n_components=5), max_epochs=2),
        OTKRegressor(OTKEmbedding(3, n_components=5), max_epochs=2),
    ],
    ids=repr,
)
def test_sets_of_weight_0(model):
    """In `fit`, they are absent, whatever their elements."""
    X, _, _ = make_pair()
    random, limits = np.random.default_rng(0), np.finfo(X.dtype)
    sizes = [1, 3, 30]
    added = [
        make(random, (n, 3), limits, X.values[:n])
        for n, make in zip(sizes, list(ABSENT.values())[1:])
    ]
    sets = SetCollection.from_sets(
        [*added, *X],
        weights=[*map(np.ones, sizes), *split(X.weights, X)],
        positions=[*(np.zeros((n, 1)) for n in sizes), *split(X.positions, X)],
    )
    weights = random.uniform(1, 2, N_SETS)
    y = labels_and_numbers()[isinstance(model, OTKRegressor)]
    model = clone(model).set_params(random_state=0)
    other = clone(model).fit(sets, np.r_[0, 1, 0, y], np.r_[np.zeros(3), weights])
    model.fit(X, y, weights)
    if isinstance(model, ElementTransformer):
        model, other = model.transformer_, other.transformer_
        assert_close(other.mean_, model.mean_)
        assert_close(other.var_, model.var_)
        return
    assert_same_fit(model, other)
    if hasattr(model, "embedding_"):
        assert_same_fit(model.embedding_, other.embedding_)


def test_positions_of_elements_of_mass_0_are_not_warned_of():
    X, larger, _ = make_pair()
    assert larger.positions.max() > 1
    model = OTKEmbedding(3, n_components=5, position="gaussian", random_state=0)
    assert_close(model.fit(X).transform(larger), model.transform(X))


def test_an_element_of_mass_0_has_no_say_on_epsilon():
    """Its similarities, of 1e21, are not those that bound epsilon from below.

    This was found by random cases, where the plan was 1/4 everywhere.
    """
    x = np.array([[2.0], [-3.3e21], [0.5], [-1.0]])
    masses = np.array([0, 0, 0.5, 0.5])
    model = OTKEmbedding(2, kernel="homogeneous", epsilon=1.0, max_iter=1, tol=0)
    model.set_params(anchors=[[1.0], [-1.0]], references=[[[1.0, 0.0], [0.0, 1.0]]])
    X = SetCollection(x, [0, 4], weights=masses)
    (plan,) = model.fit(X).transport_plan(X)
    features = plain_features("homogeneous", model.gamma_, model.anchors_, 1e-2, x[2:])
    expected = plain_plan(features, masses[2:], solver="sinkhorn", epsilon=1.0, max_iter=1)
    assert_allclose(plan[0, 2:], expected, rtol=1e-10)
    assert_array_equal(plan[0, :2], 0)


def test_masses_too_small_for_float32_are_masses_all_the_same():
    """Attention to an element of mass 1e-60 that is most similar, in float32."""
    x = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    X = SetCollection(x, [0, 2], weights=[1.0, 1e-60])
    model = OTKEmbedding(kernel="linear", solver="softmax", epsilon=1 / 300)
    model.set_params(references=[[[1.0, 0.0], [0.0, 1.0]]]).fit(X)
    (plan,) = model.transport_plan(X)
    assert_allclose(plan[0], [[0.5, 0.0], [0.0, 0.5]], atol=1e-6)


def test_nan_in_an_element_of_mass_0_is_an_error():
    """What is no number is more likely a mistake than an element to ignore."""
    X = SetCollection([[0.0], [np.nan], [1.0]], [0, 3], weights=[1, 0, 1])
    with pytest.raises(ValueError, match=r"X contains NaN in set 0 \(element 1, feature 0"):
        SetPooling().fit(X)
