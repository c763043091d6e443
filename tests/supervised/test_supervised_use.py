"""`OTKClassifier` and `OTKRegressor` in use: where they once went wrong."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from helpers import make_supervised
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from strategies import RaggedSets

from otk_sklearn import ElementTransformer, OTKClassifier, OTKEmbedding, OTKRegressor
from otk_sklearn.datasets import load_digit_points

SMALL = {"n_supports": 3, "n_components": 8, "max_epochs": 4, "random_state": 0}


def make_data(n_sets=60):
    """Sets whose class, and a number, is their place."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n_sets)
    return [rng.normal(size=(rng.integers(2, 12), 2)) + c - 1.5 for c in y], y


@pytest.mark.parametrize("estimator", [OTKClassifier, OTKRegressor])
def test_predictions_are_arrays_whatever_the_output_container(estimator):
    X, y = make_data()
    model = make_supervised(estimator, **SMALL).fit(X, y)
    expected = model.predict(X)
    model.set_output(transform="pandas")
    assert_array_equal(model.predict(X), expected)
    assert list(model.transform(X).columns) == list(model.get_feature_names_out())
    with sklearn.config_context(transform_output="pandas"):
        assert_array_equal(
            make_supervised(estimator, **SMALL).fit(X, y).predict(X), expected
        )


def test_partial_fit_bears_the_penalty_once_however_it_is_cut():
    """The norm of the linear model is that of one call with all sets, about."""
    X, y = make_data()
    norms = []
    for size in [10, 60]:
        model = make_supervised(OTKClassifier, **SMALL, alpha=10.0, trainable=[])
        for _ in range(60):
            for start in range(0, 60, size):
                part = slice(start, start + size)
                model.partial_fit(X[part], y[part], classes=[0, 1, 2])
        norms.append(np.linalg.norm(model.coef_))
    assert norms[0] > 0.5 * norms[1]


@pytest.mark.parametrize("rate", [1e3, 1e10])
def test_partial_fit_that_diverges_leaves_the_state_before(rate):
    X, y = make_data()
    model = make_supervised(OTKClassifier, **SMALL).fit(X, y)
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
    model = make_supervised(
        OTKClassifier, **SMALL, optimizer="adam", learning_rate_init=1e10
    )
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
    model = make_supervised(estimator, **SMALL, optimizer="adam")
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
        model = make_supervised(OTKClassifier, **SMALL, **params, refit_head=True)
        model.set_callbacks(Recorder()).fit(X, y)
        assert begun.count("epoch") == ended.count("epoch") == model.n_iter_


def test_float32_targets_of_ill_conditioned_embeddings():
    """Features of the homogeneous kernel are nearly collinear; warnings are errors here."""
    X, y = load_digit_points()
    model = OTKRegressor(
        OTKEmbedding(5, kernel="homogeneous", epsilon=10.0), max_epochs=1, random_state=0
    )
    assert model.fit(X[:300].astype(np.float32), y[:300]).score(X[:300], y[:300]) > 0.5


@pytest.mark.parametrize("kernel", ["homogeneous", "linear"])
def test_embeddings_whose_squares_leave_the_range_are_an_error(kernel):
    X, y = make_data()
    huge = [(x * 1e30).astype(np.float32) for x in X]
    model = make_supervised(OTKClassifier, **SMALL, kernel=kernel)
    with pytest.raises(ValueError, match="leave the range of float32 .* smaller scale"):
        model.fit(huge, y)
    assert not hasattr(model, "embedding_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("last", [0, 1, 2])
def test_anchors_do_not_leave_the_range_of_float32(last):
    X = RaggedSets("at the limits", 1.0, (2, 1, 17), 1, "float32", "12 orders", None, 0)
    model = OTKClassifier(OTKEmbedding(1, n_components=2, epsilon=1.0, tol=0), max_epochs=1)
    model.set_params(trainable=["anchors"], random_state=0).fit(X.make(), [0, 1, last])
    assert np.isfinite(model.embedding_.anchors_).all()
    assert np.isfinite(model.predict_proba(X.make())).all()


def test_balanced_labels_count_sample_weights():
    X, y = make_data()
    labels = np.column_stack([y == 0, y > 0, y == 1]).astype(int)
    weights = np.random.default_rng(1).integers(1, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), weights)
    model = make_supervised(OTKClassifier, **SMALL, alpha=1.0, class_weight="balanced")
    weighted = model.fit(X, labels, weights).predict_proba(X)
    model.fit([X[i] for i in repeated], labels[repeated])
    assert_allclose(model.predict_proba(X), weighted, rtol=1e-6)


def test_another_number_of_labels_is_named():
    X, y = make_data()
    labels = np.column_stack([y == 0, y > 0]).astype(int)
    model = make_supervised(OTKClassifier, **SMALL, warm_start=True).fit(X, labels)
    with pytest.raises(ValueError, match=r"y has 3 labels; expected 2"):
        model.fit(X, labels[:, [0, 1, 1]])
    with pytest.raises(ValueError, match=r"y has 2 labels; expected 3"):
        make_supervised(OTKClassifier, **SMALL).partial_fit(X, labels, classes=[0, 1, 2])


@pytest.mark.parametrize("estimator", [OTKClassifier, OTKRegressor])
def test_parameters_of_the_embedding_are_parameters(estimator):
    model = estimator(OTKEmbedding(3, epsilon=0.2))
    assert model.get_params()["embedding__epsilon"] == 0.2
    copied = clone(model.set_params(embedding__epsilon=0.3))
    assert copied.embedding is not model.embedding
    assert copied.embedding.epsilon == 0.3
    own = set(model.get_params(deep=False)) - {"embedding"}
    shared = own & set(OTKEmbedding().get_params())
    assert shared == {"n_jobs", "random_state", "verbose"}


def test_the_embedding_given_is_not_changed():
    X, y = make_data()
    embedding = OTKEmbedding(3, n_components=8)
    before = pickle.dumps(vars(embedding))
    model = OTKClassifier(embedding, max_epochs=2, n_jobs=2, random_state=0).fit(X, y)
    assert pickle.dumps(vars(embedding)) == before
    assert model.embedding_.n_jobs == 2
    assert model.embedding_.random_state == 0


def test_grid_search_reaches_the_embedding():
    X, y = make_data()
    pipeline = make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKClassifier(OTKEmbedding(2, n_components=6), max_epochs=2, random_state=0),
    )
    grid = {"otkclassifier__embedding__n_supports": [1, 3]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    best = search.best_estimator_[-1].embedding_.references_.shape[1]
    assert best == search.best_params_["otkclassifier__embedding__n_supports"]


def test_a_random_state_of_its_own_decides_the_embedding():
    X, y = make_data()
    embedding = OTKEmbedding(3, n_components=8, n_jobs=1, random_state=1)
    expected = clone(embedding).fit(X)
    for random_state in [0, 1]:
        model = OTKClassifier(
            embedding, alpha=1.0, trainable=[], n_jobs=2, random_state=random_state
        ).fit(X, y)
        # The sets come in another order: sums differ in their last digits.
        assert_allclose(np.sort(model.embedding_.anchors_, axis=0),
                        np.sort(expected.anchors_, axis=0), rtol=1e-6)  # fmt: skip
        assert model.embedding_.random_state == 1
        assert model.embedding_.n_jobs == 1


@pytest.mark.parametrize("estimator", [OTKClassifier, OTKRegressor])
@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (OTKEmbedding(epsilon=-1), "'epsilon' parameter of OTKEmbedding"),
        (OTKEmbedding(n_supports=0), "'n_supports' parameter of OTKEmbedding"),
        (OTKEmbedding(solver="emd", relaxation=1.0), "relaxation=1.0 is given with"),
        (5, "'embedding' parameter of OTK"),
        (StandardScaler(), "'embedding' parameter of OTK"),
    ],
)
def test_errors_name_what_is_wrong_with_the_embedding(estimator, embedding, message):
    X, y = make_data()
    model = estimator(embedding)
    for fit in [model.fit, model.partial_fit]:
        with pytest.raises(ValueError, match=message):
            fit(X, y)
    assert not [name for name in vars(model) if name.endswith("_")]
