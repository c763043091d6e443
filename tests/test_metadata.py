"""Weights of sets: what they mean, and how scikit-learn hands them on."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    SetCollection,
)
from otk_sklearn.features._feature_map import FeatureMap
from otk_sklearn.matching import _references
from otk_sklearn.transport._problem import Transport

METHODS = [
    {},
    {"n_references": 2},
    {"references": "barycenter"},
    {"references": "random"},
    {"kernel": "homogeneous", "n_references": 3, "references": "barycenter"},
    {"filter_size": 2, "position": "gaussian", "n_references": 2},
    {"kernel": "linear", "solver": "softmax", "n_references": 2},
]


def make_data(n_sets=30):
    """Sets whose elements have weights, their classes, and their own weights, some 0."""
    rng = np.random.default_rng(0)
    y = np.arange(n_sets) % 3
    X = [rng.normal(c, 1.0, size=(rng.integers(2, 12), 3)) for c in y]
    X = SetCollection.from_sets(X, weights=[rng.uniform(0.5, 2, len(x)) for x in X])
    return X, y, rng.integers(0, 4, size=n_sets)


def make(**params):
    return OTKEmbedding(3, n_components=6, random_state=0, tol=1e-6).set_params(**params)


@pytest.mark.parametrize("params", METHODS, ids=str)
def test_a_set_of_weight_two_is_two_and_of_weight_zero_is_none(params):
    X, _, weights = make_data()
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(X)), weights))
    weighted, repeated = make(**params).fit(X, None, weights), make(**params).fit(X[order])
    for name in ["anchors_", "gamma_", "references_", "objective_history_"]:
        of_weighted = getattr(weighted, name)
        if of_weighted is not None:
            assert_allclose(of_weighted, getattr(repeated, name), rtol=1e-7, atol=1e-9)
    unweighted = make(**params).fit(X)
    assert not np.allclose(weighted.references_, unweighted.references_, atol=1e-3)


@pytest.mark.parametrize("params", METHODS, ids=str)
def test_equal_weights_are_none_and_their_scale_plays_no_part(params):
    X, _, weights = make_data()
    plain, equal = make(**params).fit(X), make(**params).fit(X, None, np.full(len(X), 7))
    assert_allclose(equal.references_, plain.references_, rtol=1e-9, atol=1e-12)
    weighted = make(**params).fit(X, sample_weight=weights)
    scaled = make(**params).fit(X, sample_weight=list(weights * 2.0**-60))
    assert_array_equal(scaled.references_, weighted.references_)


@pytest.mark.parametrize("params", METHODS[:3], ids=str)
def test_fit_transform_takes_weights_and_embeds_all_sets(params):
    X, _, weights = make_data()
    model = make(**params).fit(X, sample_weight=weights)
    embedded = make(**params).fit_transform(X, sample_weight=weights)
    assert len(embedded) == len(X)
    assert_array_equal(embedded, model.transform(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_barycentres_and_objectives_are_weighted_means(dtype):
    """With one support, the plan is given, and all has a formula."""
    X, _, weights = make_data()
    X = X.astype(dtype)
    params = {"kernel": "linear", "n_supports": 1, "references": "barycenter"}
    model = make(**params).fit(X, sample_weight=weights)
    means = np.add.reduceat(X.masses[:, np.newaxis] * X.values, X.offsets[:-1])
    mean = np.average(means, axis=0, weights=weights)
    assert_allclose(model.references_[0, 0], mean / np.linalg.norm(mean), rtol=1e-5)
    assert model.objective_history_.max() == pytest.approx(np.linalg.norm(mean), rel=1e-5)


def test_wasserstein_kmeans_of_single_elements_is_that_of_their_directions():
    rng = np.random.default_rng(0)
    x = np.repeat(np.eye(3), 10, axis=0)[:, np.newaxis] + 0.2 * rng.normal(size=(30, 1, 3))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    weights = rng.uniform(0.1, 3, size=30)
    model = make(kernel="linear", n_supports=1, n_references=3)
    references = model.fit(x, sample_weight=weights).references_[:, 0]
    kmeans = KMeans(3, n_init=10, random_state=0).fit(x[:, 0], sample_weight=weights)
    centers = kmeans.cluster_centers_
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    assert_allclose(np.sort(references, axis=0), np.sort(centers, axis=0), rtol=1e-6)
    objective = np.average((x[:, 0] @ centers.T).max(axis=1), weights=weights)
    assert model.objective_history_.max() == pytest.approx(objective)


def make_features(X, weights):
    transport = Transport(
        solver="softmax", epsilon=1.0, relaxation=None, max_iter=1, tol=1.0
    )
    sets = SetCollection.from_sets(X)
    return _references._FeatureSets(
        FeatureMap("linear"), sets, transport, None, 1, np.array(weights)
    )


def test_references_are_drawn_from_sets_of_weight():
    X = np.repeat(np.eye(2), 10, axis=0)[:, np.newaxis]
    for heavy in [0, 1]:
        weights = np.where(np.arange(20) // 10 == heavy, 1.0, 1e-4)
        sets = make_features(X, weights)
        for seed in range(10):
            random = np.random.RandomState(seed)
            reference, _ = _references._draw_reference(
                sets, np.full(20, np.inf), 1, 1, random
            )
            assert_array_equal(reference, np.eye(2)[[heavy]])


@pytest.mark.parametrize("heavy", [0, 1])
def test_of_two_drawn_references_the_one_of_more_weight_is_taken(heavy):
    weights = np.where(np.arange(2) == heavy, 1.0, 0.6)
    sets = make_features(np.eye(2)[:, np.newaxis], weights)
    for seed in range(10):
        random = np.random.RandomState(seed)
        reference, _ = _references._draw_reference(sets, np.full(2, np.inf), 1, 1, random)
        assert_array_equal(reference, np.eye(2)[[heavy]])


def test_what_is_missed_of_a_reference_is_weighted():
    """Of three, that of the first sets is missed most, unless these weigh next to none."""
    X = np.array([[2, 0, 0], [2, 0, 0], [0, 1, 0.5], [0, 0.5, 1], [0, 0, 1]])
    references = np.eye(3)[:, np.newaxis]
    for weights, expected in [([1, 1, 1, 1, 1], 1), ([1e-3, 1e-3, 1, 1, 1], 0)]:
        sets = make_features(X[:, np.newaxis].astype(float), weights)
        run = _references._Run(references, sets.match(references), [0.0])
        swapped = _references._swap_reference(sets, run, np.random.RandomState(0))
        replaced = np.flatnonzero((swapped != references).any(axis=(1, 2)))
        assert_array_equal(replaced, [expected])


@pytest.mark.parametrize("others", [[], [np.ones((3, 2))]])
def test_few_distinct_sets_for_many_references(others):
    X = [np.eye(2)] * 5 + others
    model = make(kernel="linear", n_references=4, n_supports=2).fit(X)
    assert model.references_.shape == (4, 2, 2)
    assert np.isfinite(model.transform(X)).all()
    with pytest.raises(ValueError, match="X has n_samples=3 sets; expected at least"):
        make(kernel="linear", n_references=4).fit(X[:5], sample_weight=[1, 1, 1, 0, 0])


@pytest.mark.parametrize("filter_size", [1, 3])
def test_weights_of_a_convolutional_layer(filter_size):
    X, _, weights = make_data()
    layer = ConvolutionalKernelLayer(6, filter_size=filter_size, random_state=0)
    weighted = layer.fit(X, None, weights).anchors_
    gamma = layer.gamma_
    assert_allclose(weighted, layer.fit(X[np.repeat(np.arange(30), weights)]).anchors_)
    assert gamma == pytest.approx(layer.gamma_)
    assert not np.allclose(weighted, layer.fit(X).anchors_)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -1.0, 1.0], "[Nn]egative values .*sample_weight"),
        ([1.0, np.nan, 1.0], "sample_weight contains NaN"),
        ([1.0, np.inf, 1.0], "sample_weight contains infinity"),
        ([1.0, 1.0], r"sample_weight.shape == \(2,\), expected \(3,\)"),
        (np.ones((3, 1)), "[Ss]ample.?weights? must be 1D"),
        ([0.0, 0.0, 0.0], "[Ss]ample.weight.*(expected a sum of|non-zero)"),
        ([1e200, 0.0, 0.0], "sample_weight adds up to 1e[+]200; expected a sum of"),
    ],
)
@pytest.mark.parametrize(
    "estimator",
    [make(), ConvolutionalKernelLayer(), ElementTransformer(StandardScaler())],
    ids=lambda estimator: type(estimator).__name__,
)
def test_weights_that_are_none(estimator, weights, message):
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match=message):
        estimator.fit([np.eye(2)] * 3, sample_weight=weights)
    assert vars(estimator) == before


# --- elements ---


def test_each_element_weighs_as_its_set():
    X, _, weights = make_data()
    scaler = ElementTransformer(StandardScaler()).fit(X, None, weights).transformer_
    of_elements = np.repeat(weights, X.lengths)
    assert_allclose(scaler.mean_, np.average(X.values, axis=0, weights=of_elements))
    repeated = ElementTransformer(StandardScaler()).fit(
        X[np.repeat(np.arange(30), weights)]
    )
    assert_allclose(repeated.transformer_.var_, scaler.var_)
    equal = ElementTransformer(StandardScaler()).fit(X, sample_weight=np.ones(30))
    unweighted = ElementTransformer(StandardScaler()).fit(X)
    assert_allclose(equal.transformer_.mean_, unweighted.transformer_.mean_)


def test_elements_are_drawn_from_sets_of_weight():
    X = [np.full((50, 1), float(i)) for i in range(4)]
    step = ElementTransformer(StandardScaler(), max_elements=20, random_state=0)
    scaler = step.fit(X, sample_weight=[0, 2, 0, 0]).transformer_
    assert scaler.mean_ == [1.0]
    assert scaler.n_samples_seen_ == 40  # 20 elements, of weight 2


def test_a_transformer_that_takes_no_weights_is_named():
    X, _, weights = make_data()
    with pytest.raises(
        ValueError, match=r"sample_weight is given, but .*PCA\(\) does not accept"
    ):
        ElementTransformer(PCA()).fit(X, None, weights)
    with pytest.raises(ValueError, match=r"\[other\].*not supported|other"):
        ElementTransformer(StandardScaler()).fit(X, other=weights)


# --- as scikit-learn hands them on ---


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def fitted_by_hand(X, y, weights):
    scaled = ElementTransformer(StandardScaler()).fit(X, y, weights)
    embedding = make(n_references=2).fit(scaled.transform(X), y, weights)
    embedded = embedding.transform(scaled.transform(X))
    return embedding, LogisticRegression().fit(embedded, y, weights)


def make_steps():
    return [
        ("scale", ElementTransformer(StandardScaler())),
        ("otk", make(n_references=2)),
        ("clf", LogisticRegression()),
    ]


def test_weights_by_the_names_of_steps():
    X, y, weights = make_data()
    names = ["scale__sample_weight", "otk__sample_weight", "clf__sample_weight"]
    model = Pipeline(make_steps()).fit(X, y, **dict.fromkeys(names, weights))
    embedding, head = fitted_by_hand(X, y, weights)
    assert_array_equal(model["otk"].references_, embedding.references_)
    assert_array_equal(model["clf"].coef_, head.coef_)


def test_weights_are_routed_through_a_pipeline(routing):
    X, y, weights = make_data()
    scaler = StandardScaler().set_fit_request(sample_weight=True)
    model = Pipeline(make_steps()).set_params(scale__transformer=scaler)
    for name in ["otk", "clf"]:
        model[name].set_fit_request(sample_weight=True)
    model.fit(X, y, sample_weight=weights)
    with sklearn.config_context(enable_metadata_routing=False):
        embedding, head = fitted_by_hand(X, y, weights)
    assert_array_equal(model["otk"].references_, embedding.references_)
    assert_array_equal(model["clf"].coef_, head.coef_)


def test_weights_are_routed_through_a_search(routing):
    X, y, weights = make_data()
    scaler = StandardScaler().set_fit_request(sample_weight=True)
    small = OTKEmbedding(3, n_components=6)
    classifier = OTKClassifier(small, max_epochs=2, random_state=0)
    classifier.set_fit_request(sample_weight=True)
    accuracy = make_scorer(accuracy_score).set_score_request(sample_weight=True)
    model = make_pipeline(ElementTransformer(scaler), classifier)
    grid = {"otkclassifier__embedding__epsilon": [0.1, 1.0]}
    folds = StratifiedKFold(2)
    search = GridSearchCV(model, grid, cv=folds, scoring=accuracy)
    search.fit(X, y, sample_weight=weights)
    epsilon = search.best_params_["otkclassifier__embedding__epsilon"]
    train, test = next(folds.split(y, y))
    with sklearn.config_context(enable_metadata_routing=False):
        for rows, scored in [(slice(None), None), (train, test)]:
            scale = ElementTransformer(StandardScaler()).fit(X[rows], None, weights[rows])
            small = OTKEmbedding(3, n_components=6, epsilon=epsilon)
            by_hand = OTKClassifier(small, max_epochs=2, random_state=0)
            by_hand.fit(scale.transform(X[rows]), y[rows], weights[rows])
            if scored is None:
                assert_array_equal(by_hand.coef_, search.best_estimator_[-1].coef_)
            else:
                score = by_hand.score(
                    scale.transform(X[scored]), y[scored], weights[scored]
                )
                found = search.cv_results_["split0_test_score"][search.best_index_]
                assert score == pytest.approx(found)


def test_weights_of_other_names_are_routed_to_the_elements(routing):
    X, y, weights = make_data()
    scaler = StandardScaler().set_fit_request(sample_weight="of_scaling")
    step = ElementTransformer(scaler)
    model = make_pipeline(step, make().set_fit_request(sample_weight=False))
    model.fit(X, y, of_scaling=weights)
    mean = np.average(X.values, axis=0, weights=np.repeat(weights, X.lengths))
    assert_allclose(model[0].transformer_.mean_, mean)
    assert_allclose(step.fit(X, of_scaling=weights).transformer_.mean_, mean)


def test_weights_that_nobody_has_asked_for_are_an_error(routing):
    X, _, weights = make_data()
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        ElementTransformer(StandardScaler()).fit(X, sample_weight=weights)
    # It is for the transformer to ask.
    assert not hasattr(ElementTransformer(StandardScaler()), "set_fit_request")
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        make_pipeline(make()).fit(X, sample_weight=weights)
