"""`OTKClassifier` and `OTKRegressor` in use: where they once went wrong."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from strategies import ILLEGAL, RaggedSets

from otk_sklearn import ElementTransformer, OTKClassifier, OTKEmbedding, OTKRegressor
from otk_sklearn.datasets import load_digit_points


def make(estimator, **params):
    small = estimator(OTKEmbedding(3, n_components=8), max_epochs=4, random_state=0)
    return small.set_params(**params)


def make_data(n_sets=60):
    """Sets whose class, and a number, is their place."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n_sets)
    return [rng.normal(size=(rng.integers(2, 12), 2)) + c - 1.5 for c in y], y


@pytest.mark.parametrize("estimator", [OTKClassifier, OTKRegressor])
def test_predictions_are_arrays_whatever_the_output_container(estimator):
    X, y = make_data()
    model = make(estimator).fit(X, y)
    expected = model.predict(X)
    model.set_output(transform="pandas")
    assert_array_equal(model.predict(X), expected)
    assert list(model.transform(X).columns) == list(model.get_feature_names_out())
    with sklearn.config_context(transform_output="pandas"):
        assert_array_equal(make(estimator).fit(X, y).predict(X), expected)


def test_partial_fit_bears_the_penalty_once_however_it_is_cut():
    """The norm of the linear model is that of one call with all sets, about."""
    X, y = make_data()
    norms = []
    for size in [10, 60]:
        model = make(OTKClassifier, alpha=10.0, trainable=[])
        for _ in range(60):
            for start in range(0, 60, size):
                part = slice(start, start + size)
                model.partial_fit(X[part], y[part], classes=[0, 1, 2])
        norms.append(np.linalg.norm(model.coef_))
    assert norms[0] > 0.5 * norms[1]


@pytest.mark.parametrize("rate", [1e3, 1e10])
def test_partial_fit_that_diverges_leaves_the_state_before(rate):
    X, y = make_data()
    model = make(OTKClassifier).fit(X, y)
    expected, n_iter = model.predict_proba(X), model.n_iter_
    model.set_params(learning_rate_init=rate)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.partial_fit(X, y)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert caught[0].filename == __file__  # it points at who called
    assert_allclose(model.predict_proba(X), expected, rtol=1e-9)
    assert model.n_iter_ == n_iter
    assert np.isfinite(model.loss_curve_).all()


def test_warning_of_fit_points_at_its_caller():
    X, y = make_data()
    model = make(OTKClassifier, optimizer="adam", learning_rate_init=1e10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("estimator", [OTKClassifier, OTKRegressor])
def test_sets_that_hardly_differ(estimator):
    """Steps are measured by how much embeddings differ, but not if that is nothing."""
    x = np.random.default_rng(0).normal(size=(5, 2))
    X = [x + 1e-9 * i * (i % 7) for i in range(60)]
    y = np.arange(60) % 3
    model = make(estimator, optimizer="adam")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert max(model.loss_curve_, default=0) < 200


def test_warm_start_scores_no_set_that_the_linear_model_was_fitted_to():
    """Its first score is that of the features, not of what it knows by heart."""
    rng = np.random.default_rng(0)
    X, y = [rng.normal(size=(6, 2)) for _ in range(120)], rng.integers(0, 2, 120)
    model = OTKClassifier(
        OTKEmbedding(20, n_components=30),
        alpha=1e-6,
        early_stopping=True,
        trainable=[],
        warm_start=True,
    ).set_params(max_epochs=1, validation_fraction=0.4, random_state=0)
    model.fit(X, y)
    assert model.score(X, y) > 0.9  # by heart: there is nothing to learn
    assert model.fit(X, y).validation_scores_[0] < 0.75


def test_callbacks_see_as_many_epochs_as_there_are():
    pytest.importorskip("sklearn.callback")
    begun, ended = [], []

    class Recorder:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            begun.append(context.task_name)

        def on_fit_task_end(self, estimator, context):
            ended.append(context.task_name)

        def teardown(self, estimator, context):
            pass

    X, y = make_data()
    for params in [{"n_iter_no_change": 1, "training_tol": 10.0}, {"trainable": []}]:
        begun.clear(), ended.clear()
        model = make(OTKClassifier, **params, refit_head=True)
        model.set_callbacks(Recorder()).fit(X, y)
        assert begun.count("epoch") == ended.count("epoch") == model.n_iter_


def test_float32_targets_of_ill_conditioned_embeddings():
    """Features of the homogeneous kernel are nearly collinear; warnings are errors here."""
    X, y = load_digit_points()
    embedding = OTKEmbedding(5, kernel="homogeneous", epsilon=10.0)
    model = OTKRegressor(embedding, max_epochs=1, random_state=0)
    assert model.fit(X[:300].astype(np.float32), y[:300]).score(X[:300], y[:300]) > 0.5


@pytest.mark.parametrize("kernel", ["homogeneous", "linear"])
def test_embeddings_whose_squares_leave_the_range_are_an_error(kernel):
    X, y = make_data()
    huge = [(x * 1e30).astype(np.float32) for x in X]
    model = make(OTKClassifier, embedding__kernel=kernel)
    with pytest.raises(ValueError, match="leave the range of float32 .* smaller scale"):
        model.fit(huge, y)
    assert not hasattr(model, "embedding_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("last", [0, 1, 2])
def test_anchors_do_not_leave_the_range_of_float32(last):
    X = RaggedSets("at the limits", 1.0, (2, 1, 17), 1, "float32", "12 orders", None, 0)
    embedding = OTKEmbedding(1, n_components=2, epsilon=1.0, tol=0)
    model = OTKClassifier(embedding, max_epochs=1)
    model.set_params(trainable=["anchors"], random_state=0).fit(X.make(), [0, 1, last])
    assert np.isfinite(model.embedding_.anchors_).all()
    assert np.isfinite(model.predict_proba(X.make())).all()


def test_balanced_labels_count_sample_weights():
    X, y = make_data()
    labels = np.column_stack([y == 0, y > 0, y == 1]).astype(int)
    weights = np.random.default_rng(1).integers(1, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), weights)
    model = make(OTKClassifier, alpha=1.0, class_weight="balanced")
    weighted = model.fit(X, labels, weights).predict_proba(X)
    model.fit([X[i] for i in repeated], labels[repeated])
    assert_allclose(model.predict_proba(X), weighted, rtol=1e-6)


def test_another_number_of_labels_is_named():
    X, y = make_data()
    labels = np.column_stack([y == 0, y > 0]).astype(int)
    model = make(OTKClassifier, warm_start=True).fit(X, labels)
    with pytest.raises(ValueError, match=r"y has 3 labels; expected 2"):
        model.fit(X, labels[:, [0, 1, 1]])
    with pytest.raises(ValueError, match=r"y has 2 labels; expected 3"):
        make(OTKClassifier).partial_fit(X, labels, classes=[0, 1, 2])


# --- the embedding that is handed in ---

every_estimator = pytest.mark.parametrize("estimator", [OTKClassifier, OTKRegressor])


@every_estimator
def test_parameters_of_the_embedding_are_reached_through_it(estimator):
    model = make(estimator, embedding__epsilon=0.3)
    assert model.embedding.epsilon == 0.3
    copied = clone(model)
    assert copied.embedding is not model.embedding
    params, of_copy = model.get_params(deep=True), copied.get_params(deep=True)
    assert params["embedding__epsilon"] == of_copy["embedding__epsilon"] == 0.3
    of_embedding = {f"embedding__{name}" for name in OTKEmbedding().get_params()}
    assert params.keys() - model.get_params(deep=False).keys() == of_embedding
    assert not estimator().get_params().keys() & of_embedding
    copied.set_params(embedding__epsilon=0.7)
    assert (model.embedding.epsilon, copied.embedding.epsilon) == (0.3, 0.7)
    X, y = make_data()
    assert copied.fit(X, y).embedding_.epsilon == 0.7


@every_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_the_embedding_handed_in_stays_as_it_was(estimator, method):
    X, y = make_data()
    model = make(estimator)
    embedding, before = model.embedding, pickle.dumps(vars(model.embedding))
    for _ in range(2):
        getattr(model, method)(X, y)
        assert model.embedding is embedding
        assert model.embedding_ is not embedding
        assert pickle.dumps(vars(embedding)) == before
    with pytest.raises(NotFittedError):
        embedding.transform(X)


@every_estimator
def test_no_embedding_is_one_of_ten_supports(estimator):
    X, y = make_data()
    model = estimator(max_epochs=2, random_state=0).fit(X, y)
    assert model.embedding is None
    assert model.embedding_.n_supports == 10
    embedding = OTKEmbedding(n_supports=10)
    given = estimator(embedding, max_epochs=2, random_state=0).fit(X, y)
    assert_array_equal(given.transform(X), model.transform(X))
    assert_array_equal(given.coef_, model.coef_)


def test_search_over_a_parameter_of_the_embedding():
    X, y = make_data()
    model = make_pipeline(ElementTransformer(StandardScaler()), make(OTKClassifier))
    grid = {"otkclassifier__embedding__epsilon": [0.1, 1.0]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    best = search.best_estimator_[-1]
    expected = search.best_params_["otkclassifier__embedding__epsilon"]
    assert best.embedding.epsilon == best.embedding_.epsilon == expected
    assert model[-1].embedding.epsilon == OTKEmbedding().epsilon
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@every_estimator
def test_an_embedding_with_a_seed_of_its_own_keeps_it(estimator):
    X, y = make_data()
    params = {"trainable": [], "embedding__random_state": 7}
    model = make(estimator, **params).fit(X, y)
    expected = OTKEmbedding(3, n_components=8, random_state=7).fit(X)
    for name in ["anchors_", "references_"]:
        found = getattr(model.embedding_, name)
        assert_allclose(found, getattr(expected, name), rtol=1e-9, atol=1e-9)
    assert model.embedding_.random_state == 7
    other = make(estimator, **params, random_state=1).fit(X, y)
    assert_array_equal(other.embedding_.references_, model.embedding_.references_)
    without = make(estimator, trainable=[]).fit(X, y)
    assert not np.array_equal(without.embedding_.references_, expected.references_)


@every_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("embedding", ["x", 5, OTKEmbedding, StandardScaler()], ids=str)
def test_what_is_no_embedding_is_named(estimator, method, embedding):
    X, y = make_data()
    model = estimator(embedding, max_epochs=1)
    with pytest.raises(ValueError, match="The 'embedding' parameter of OTK"):
        getattr(model, method)(X, y)
    assert not [name for name in vars(model) if name.endswith("_")]


@every_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("name", ILLEGAL)
def test_a_bad_parameter_of_the_embedding_is_named(estimator, method, name):
    X, y = make_data()
    for value in ILLEGAL[name]:
        model = estimator(OTKEmbedding(3).set_params(**{name: value}), max_epochs=1)
        with pytest.raises((TypeError, ValueError), match=name):
            getattr(model, method)(X, y)
        assert not [name for name in vars(model) if name.endswith("_")]
