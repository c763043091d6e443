"""`OTKClassifier` and `OTKRegressor`: what they learn, and what must not matter."""

import copy
import pickle
import warnings
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
)
from otk_sklearn._utils import chunks

ESTIMATORS = [OTKClassifier, OTKRegressor]
OPTIMISERS = ["adam", "lbfgs"]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
every_optimiser = pytest.mark.parametrize("optimizer", OPTIMISERS)


def make_data(n_sets=60, n_classes=3, seed=0, dtype=np.float64):
    """Sets of 1 to 12 elements, classes that differ by place and spread, and numbers."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_sets) % n_classes
    lengths = rng.integers(1, 13, n_sets)
    X = [rng.normal(0.5 * c, 1 + 0.7 * c, size=(n, 2)) for n, c in zip(lengths, y)]
    numbers = np.array([np.abs(x).mean() for x in X]) + 0.1 * rng.normal(size=n_sets)
    return [x.astype(dtype) for x in X], y, numbers


def targets_for(estimator, data):
    return data[1] if estimator is OTKClassifier else data[2]


def make(estimator, **params):
    """A small estimator. Iterations are plenty: no warning is expected."""
    small = estimator(
        OTKEmbedding(3, n_components=8, epsilon=0.1, max_iter=2000),
        max_epochs=4,
        learning_rate_init=0.1,
        batch_size=16,
        alpha=1.0,
        random_state=0,
    )
    return small.set_params(**params)


def fitted_arrays(model):
    embedding = model.embedding_
    return {
        "references": embedding.references_,
        "anchors": embedding.anchors_,
        "gamma": embedding.gamma_,
        "coef": model.coef_,
        "intercept": model.intercept_,
        "alpha": model.alpha_,
        "losses": model.loss_curve_,
        "scores": model.validation_scores_,
    }


def assert_same_fit(one, other):
    """Bit by bit."""
    for name, array in fitted_arrays(one).items():
        assert_array_equal(fitted_arrays(other)[name], array, err_msg=name)


def mean_loss(model, X, y):
    """Without the penalty."""
    if isinstance(model, OTKClassifier):
        return log_loss(y, model.predict_proba(X), labels=model.classes_)
    return np.mean((model.predict(X) - y) ** 2)


# --- the linear model ---


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@every_optimiser
def test_last_linear_model_is_logistic_regression(optimizer, n_classes, early_stopping):
    """alpha is 1 / C, and the linear model is fitted to all sets, with their weights."""
    X, y, _ = make_data(n_classes=n_classes)
    weights = np.random.default_rng(0).uniform(0.2, 2, size=len(X))
    model = make(
        OTKClassifier, alpha=0.4, optimizer=optimizer, early_stopping=early_stopping
    ).fit(X, y, weights)
    assert model.alpha_ == 0.4
    expected = LogisticRegression(C=1 / 0.4, tol=1e-9, max_iter=10_000)
    expected.fit(model.transform(X), y, weights)
    assert_allclose(model.coef_, expected.coef_, atol=0.02)
    assert_allclose(
        model.predict_proba(X), expected.predict_proba(model.transform(X)), atol=2e-3
    )


@every_optimiser
def test_last_linear_model_is_ridge_regression(optimizer):
    """Of standardized targets: scikit-learn's, of targets with a scale, is the same."""
    X, _, y = make_data()
    y = np.column_stack([y, 30 * y**2 - 7])
    weights = np.random.default_rng(0).uniform(0.2, 2, size=len(X))
    model = make(OTKRegressor, alpha=0.4, optimizer=optimizer).fit(X, y, weights)
    expected = Ridge(0.4).fit(model.transform(X), y, weights)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-8)
    assert_allclose(model.predict(X), expected.predict(model.transform(X)), rtol=1e-8)


@pytest.mark.parametrize(("noise", "expected"), [(0.0, [1e-3, 1e-2]), (1.0, [100.0])])
def test_chosen_penalty_is_weak_for_what_is_clear_and_strong_for_noise(noise, expected):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, size=240)
    X = [rng.normal(3 * c, 0.5, size=(8, 2)) for c in y]
    if noise:
        y = rng.permutation(y)
    model = make(OTKClassifier, alpha="cv", trainable=[], early_stopping=False)
    assert model.fit(X, y).alpha_ in expected


# --- the embedding ---


@every_estimator
def test_embedding_can_be_used_alone(estimator):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    model = make(estimator).fit(X, y)
    embedding = model.embedding_
    assert type(embedding) is OTKEmbedding
    Xt = model.transform(X)
    assert Xt.shape == (len(X), 3 * 8)
    assert_array_equal(embedding.transform(X), Xt)
    assert_array_equal(pickle.loads(pickle.dumps(embedding)).transform(X), Xt)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    of_both = ["n_jobs", "random_state", "verbose"]  # what it has not, it is given
    expected = model.embedding.get_params()
    expected |= {name: getattr(model, name) for name in of_both}
    assert clone(embedding).get_params() == expected
    params = {
        "anchors": embedding.anchors_,
        "gamma": embedding.gamma_,
        "references": embedding.references_,
    }
    given = clone(embedding).set_params(**params).fit(X)
    assert_allclose(given.transform(X), Xt, rtol=1e-12, atol=1e-12)
    assert model.get_feature_names_out().tolist()[-1] == (
        f"{estimator.__name__.lower()}_support2_component7"
    )


@every_estimator
@every_optimiser
def test_what_is_not_trained_is_what_is_learned_without_labels(estimator, optimizer):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    # Training sees the sets in an order of its own, and so do the random numbers.
    model = make(estimator, trainable=[], optimizer=optimizer).fit(X, y)
    expected = clone(model.embedding).set_params(random_state=model.random_state).fit(X)
    for name in ["references_", "anchors_", "gamma_", "normalization_"]:
        assert_allclose(
            getattr(model.embedding_, name), getattr(expected, name), rtol=1e-9, atol=1e-9
        )
    assert_allclose(model.transform(X), expected.transform(X), rtol=1e-7, atol=1e-9)


@every_optimiser
@pytest.mark.parametrize("refit_head", [False, True])
@pytest.mark.parametrize(
    "trainable", [[], ["references"], ["anchors"], ["gamma"], ["gamma", "anchors"], "all"]
)
def test_training_changes_what_is_trainable_only(trainable, refit_head, optimizer):
    X, y, _ = make_data()
    params = {"refit_head": refit_head, "optimizer": optimizer, "early_stopping": False}
    before = make(OTKClassifier, trainable=[], early_stopping=False).fit(X, y).embedding_
    after = make(OTKClassifier, trainable=trainable, **params).fit(X, y).embedding_
    for name in ["references", "anchors", "gamma"]:
        one, other = (getattr(embedding, name + "_") for embedding in (before, after))
        changes = trainable == "all" or name in trainable
        assert np.array_equal(one, other) != changes


@pytest.mark.parametrize(
    ("optimizer", "refit_head"), [("adam", False), ("adam", True), ("lbfgs", False)]
)
@pytest.mark.parametrize(
    "params",
    [
        {"embedding__kernel": "homogeneous"},
        {"embedding__kernel": "linear"},
        {"embedding__kernel": "linear", "trainable": ["anchors"]},
        {"embedding__solver": "softmax"},
        {"embedding__solver": "emd"},
        {"embedding__relaxation": 1.0},
        {"embedding__n_references": 2},
        {"embedding__filter_size": 2, "embedding__padding": "same"},
        {"embedding__position": "gaussian", "embedding__position_sigma": 0.4},
    ],
    ids=str,
)
def test_every_kind_of_embedding_can_be_trained(params, optimizer, refit_head):
    X, y, _ = make_data()
    params = {"optimizer": optimizer, "refit_head": refit_head, "max_epochs": 3, **params}
    model = make(OTKClassifier, early_stopping=False, **params).fit(X, y)
    params |= {"trainable": [], "refit_head": False}
    start = make(OTKClassifier, early_stopping=False, **params).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert mean_loss(model, X, y) <= mean_loss(start, X, y) + 1e-2
    norms = [np.linalg.norm(m.embedding_.references_, axis=2) for m in (start, model)]
    assert_allclose(*norms, rtol=1e-9)
    if model.embedding.kernel == "homogeneous":
        assert_allclose(np.linalg.norm(model.embedding_.anchors_, axis=1), 1, rtol=1e-9)


# --- targets ---


@pytest.mark.parametrize("names", [["ham", "spam"], ["a", "b", "c"], [3, 7], [-1.0, 5.0]])
def test_classes_have_any_names(names):
    X, y, _ = make_data(n_classes=len(names))
    named = np.array(names)[y]
    plain, model = make(OTKClassifier).fit(X, y), make(OTKClassifier).fit(X, named)
    assert_array_equal(model.classes_, names)
    assert_array_equal(model.predict(X), np.array(names)[plain.predict(X)])
    assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.score(X, named) > 1.3 / len(names)
    assert_array_equal(make(OTKClassifier).fit(X, list(named)).predict(X), model.predict(X))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_scores_and_predictions_agree(n_classes):
    X, y, _ = make_data(n_classes=n_classes)
    model = make(OTKClassifier).fit(X, y)
    scores, probability = model.decision_function(X), model.predict_proba(X)
    assert probability.shape == (len(X), n_classes)
    assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(
        scores, np.squeeze(model.transform(X) @ model.coef_.T + model.intercept_)
    )
    if n_classes == 2:
        assert scores.shape == (len(X),)
        assert_allclose(probability[:, 1], expit(scores), rtol=1e-12)
        assert_array_equal(model.predict(X), scores > 0)
    else:
        assert_allclose(probability, softmax(scores, axis=1), rtol=1e-12)
        assert_array_equal(model.predict(X), scores.argmax(axis=1))


@pytest.mark.parametrize("n_classes", [1, 2, 3, "labels"])
def test_logarithms_of_probabilities(n_classes):
    X, y, _ = make_data(n_classes=3 if n_classes == "labels" else n_classes)
    if n_classes == "labels":
        y = np.column_stack([y == 0, y > 0]).astype(int)
    model = make(OTKClassifier).fit(X, y)
    logarithms = model.predict_log_proba(X)
    assert_allclose(logarithms, np.log(model.predict_proba(X)), rtol=1e-10, atol=1e-14)
    with localcontext(Context(prec=50)):
        for row, scores in zip(logarithms, model.decision_function(X)):
            expected = decimal_log_proba(np.atleast_1d(scores), n_classes)
            assert_allclose(row, expected, rtol=1e-13, atol=1e-15)


def decimal_log_proba(scores, n_classes):
    scores = [Decimal(float(score)) for score in scores]
    if n_classes == 1:
        return [0.0]
    if n_classes == "labels":
        return [float(-(1 + (-score).exp()).ln()) for score in scores]
    if n_classes == 2:
        scores.insert(0, Decimal(0))
    total = sum(score.exp() for score in scores)
    return [float(score - total.ln()) for score in scores]


@pytest.mark.parametrize("n_classes", [2, 3, "labels"])
def test_logarithms_are_finite_where_probabilities_underflow(n_classes):
    X, y, _ = make_data(n_classes=2 if n_classes == 2 else 3)
    if n_classes == "labels":
        y = np.column_stack([y == 0, y > 0]).astype(int)
    model = make(OTKClassifier).fit(X, y)
    model.coef_, model.intercept_ = model.coef_ * 1e6, model.intercept_ * 1e6
    assert (model.predict_proba(X) == 0).any()
    logarithms, scores = model.predict_log_proba(X), model.decision_function(X)
    assert np.isfinite(logarithms).all()
    if n_classes == "labels":
        assert_allclose(logarithms, np.minimum(scores, 0), atol=1e-3)
    else:  # the differences are those of scores
        differences = logarithms[:, 1] - logarithms[:, 0]
        expected = scores if n_classes == 2 else scores[:, 1] - scores[:, 0]
        assert_allclose(differences, expected, rtol=1e-9)


@every_optimiser
def test_several_labels(optimizer):
    X, y, _ = make_data()
    labels = np.column_stack([y == 0, y > 0, np.arange(len(X)) % 2]).astype(int)
    model = make(OTKClassifier, optimizer=optimizer).fit(X, labels)
    probability = model.predict_proba(X)
    assert probability.shape == labels.shape
    assert_allclose(probability, expit(model.decision_function(X)), rtol=1e-12)
    assert_array_equal(model.predict(X), probability > 0.5)
    assert model.predict(X).dtype.kind == "i"
    assert_array_equal(model.classes_, [0, 1, 2])
    for same in [csr_array(labels), labels.astype(bool), labels.tolist()]:
        assert_same_fit(model, make(OTKClassifier, optimizer=optimizer).fit(X, same))
    logistic = LogisticRegression(tol=1e-9, max_iter=10_000)
    each = MultiOutputClassifier(logistic).fit(model.transform(X), labels)
    expected = np.column_stack([p[:, 1] for p in each.predict_proba(model.transform(X))])
    assert_allclose(probability, expected, atol=2e-3)
    assert model.score(X, labels) == accuracy_score(labels, model.predict(X))


def test_a_label_that_all_or_no_sets_have():
    X, y, _ = make_data()
    labels = np.column_stack([np.zeros(len(X)), y == 1, np.ones(len(X))]).astype(int)
    model = make(OTKClassifier, early_stopping=True).fit(X, labels)
    predicted = model.predict(X)
    assert not predicted[:, 0].any()
    assert predicted[:, 2].all()


@every_optimiser
def test_a_single_class(optimizer):
    X, _, _ = make_data(n_sets=12)
    for early_stopping in [False, True]:
        model = make(OTKClassifier, optimizer=optimizer, early_stopping=early_stopping)
        model.fit(X, ["only"] * 12)
        assert_array_equal(model.predict(X), ["only"] * 12)
        assert_array_equal(model.predict_proba(X), np.ones((12, 1)))
        assert np.isfinite(model.decision_function(X)).all()


@every_optimiser
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("alpha", [1.0, "cv"])
def test_a_class_with_one_member(optimizer, early_stopping, alpha):
    X, y, _ = make_data()
    y = np.where(np.arange(len(y)) == 17, 9, y)
    for seed in range(3):
        model = make(
            OTKClassifier,
            optimizer=optimizer,
            early_stopping=early_stopping,
            alpha=alpha,
            random_state=seed,
        ).fit(X, y)
        assert_array_equal(model.classes_, [0, 1, 2, 9])
        assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("n_sets", [1, 2, 3, 5])
@every_estimator
@every_optimiser
@pytest.mark.filterwarnings("ignore:n_components=8 is more than")
def test_few_sets(n_sets, estimator, optimizer):
    data = make_data(n_sets)
    X, y = data[0], targets_for(estimator, data)
    model = make(estimator, alpha="cv", optimizer=optimizer).fit(X, y)
    assert np.isfinite(model.transform(X)).all()
    assert len(model.predict(X)) == n_sets
    if n_sets > 2:
        model.set_params(early_stopping=True).fit(X, y)
        assert np.isfinite(model.validation_scores_).all()


@every_optimiser
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_predictions_follow_the_scale_of_targets(optimizer, early_stopping, n_outputs):
    """Each output has its own."""
    X, _, y = make_data()
    scale, shift = 1000.0, 7.0
    if n_outputs == 2:
        y = np.column_stack([y, np.sin(5 * y)])
        scale, shift = np.array([1000, 0.01]), np.array([7, -3])
    params = {"optimizer": optimizer, "early_stopping": early_stopping}
    model = make(OTKRegressor, **params).fit(X, y)
    scaled = make(OTKRegressor, **params).fit(X, scale * y + shift)
    assert model.predict(X).shape == y.shape
    assert_allclose(scaled.loss_curve_, model.loss_curve_, rtol=1e-6)
    expected = scale * model.predict(X) + shift
    assert_allclose(scaled.predict(X), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-200, 1e150, 1e200])
def test_targets_of_any_size(scale):
    X, _, y = make_data()
    expected = make(OTKRegressor).fit(X, y).score(X, y)
    model = make(OTKRegressor).fit(X, scale * y)
    assert np.isfinite(model.predict(X)).all()
    assert r2_score(y, model.predict(X) / scale) > expected - 0.1


def test_a_constant_target():
    X, _, y = make_data()
    model = make(OTKRegressor).fit(X, np.full(len(X), 3.5))
    assert_allclose(model.predict(X), 3.5)
    both = make(OTKRegressor).fit(X, np.column_stack([y, np.full(len(X), -2.0)]))
    assert_allclose(both.predict(X)[:, 1], -2)


# --- weights, order, threads ---


@pytest.mark.slow
@every_estimator
@every_optimiser
def test_a_weight_is_a_repetition_and_order_plays_no_part(estimator, optimizer):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, size=len(X))
    repeated = rng.permutation(np.repeat(np.arange(len(X)), counts))
    kept = np.flatnonzero(counts)
    params = {"optimizer": optimizer, "early_stopping": True, "alpha": "cv"}
    model = make(estimator, **params).fit(X, y, sample_weight=counts)
    for X_same, y_same, weights in [
        ([X[i] for i in repeated], y[repeated], None),
        ([X[i] for i in kept], y[kept], counts[kept]),
        (X[::-1], y[::-1], counts[::-1]),
        (SetCollection.from_sets(X), y.tolist(), counts.astype(float)),
    ]:
        assert_same_fit(model, make(estimator, **params).fit(X_same, y_same, weights))
    alike = make(estimator, **params).fit(X, y, sample_weight=np.full(len(X), 2.0))
    unweighted = make(estimator, **params).fit(X, y)
    assert np.abs(alike.coef_ - model.coef_).max() > 1e-3
    assert np.abs(unweighted.coef_ - model.coef_).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"refit_head": True},
        {"embedding__n_references": 2, "embedding__references": "random"},
    ],
    ids=str,
)
@every_estimator
@every_optimiser
def test_threads_and_runs_give_equal_bits(estimator, optimizer, params, monkeypatch):
    # Pieces so small that there are several to hand out.
    monkeypatch.setattr(chunks, "_MAX_NARROW_ROWS", 256)
    monkeypatch.setattr(chunks, "_MIN_CHUNK_ROWS", 64)
    data = make_data(n_sets=200)
    X, y = data[0], targets_for(estimator, data)
    params = {"optimizer": optimizer, "max_epochs": 2, "batch_size": 100, **params}
    model = make(estimator, **params).fit(X, y)
    assert_same_fit(model, make(estimator, **params).fit(X, y))
    threads = make(estimator, n_jobs=2, **params).fit(X, y)
    assert_same_fit(model, threads)
    assert_array_equal(threads.predict(X), model.predict(X))
    other = make(estimator, **{**params, "random_state": 1}).fit(X, y)
    assert np.abs(other.coef_ - model.coef_).max() > 1e-6


@every_estimator
def test_precision_of_the_input_is_that_of_the_output(estimator):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    X32 = [x.astype(np.float32) for x in X]
    for optimizer in OPTIMISERS:
        model = make(estimator, optimizer=optimizer).fit(X, y)
        model32 = make(estimator, optimizer=optimizer).fit(X32, y)
        assert model.transform(X).dtype == np.float64
        assert model32.transform(X32).dtype == np.float32
        assert model32.embedding_.references_.dtype == np.float32
        assert abs(mean_loss(model32, X, y) - mean_loss(model, X, y)) < 0.1


def test_class_weights_are_the_sample_weights_that_they_stand_for():
    X, y, _ = make_data()
    y = np.where(np.arange(len(y)) % 5 == 0, 0, y)
    model = make(OTKClassifier, class_weight={0: 0.5, 2: 3.0}).fit(X, y)
    weights = np.array([0.5, 1.0, 3.0])[y]
    assert_same_fit(model, make(OTKClassifier).fit(X, y, weights))
    both = make(OTKClassifier, class_weight={0: 0.5, 2: 3.0}).fit(X, y, 2 * weights)
    assert_same_fit(both, make(OTKClassifier).fit(X, y, 2 * weights**2))
    balanced = make(OTKClassifier, class_weight="balanced").fit(X, y)
    weights = (len(y) / (3 * np.bincount(y)))[y]
    assert_same_fit(balanced, make(OTKClassifier).fit(X, y, weights))
    labels = np.column_stack([y == 0, y == 1]).astype(int)
    several = make(OTKClassifier, class_weight=[{0: 1, 1: 2}, {0: 1, 1: 3}]).fit(X, labels)
    weights = (1.0 + labels[:, 0]) * (1 + 2 * labels[:, 1])
    assert_same_fit(several, make(OTKClassifier).fit(X, labels, weights))


def test_fit_leaves_its_input_alone():
    X, y, _ = make_data()
    X_before, y_before, weights = copy.deepcopy(X), y.copy(), np.ones(len(X))
    model = make(OTKClassifier)
    params = model.get_params()
    assert model.fit(X, y, weights).get_params() == params
    assert_array_equal(y, y_before)
    assert_array_equal(weights, 1)
    for x, before in zip(X, X_before):
        assert_array_equal(x, before)


# --- training ---


@every_estimator
@every_optimiser
@pytest.mark.parametrize("refit_head", [False, True])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_is_told_of_training(estimator, optimizer, refit_head, early_stopping):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    model = make(
        estimator,
        optimizer=optimizer,
        refit_head=refit_head,
        early_stopping=early_stopping,
        max_epochs=6,
    ).fit(X, y)
    assert 1 <= model.n_iter_ <= 6
    assert len(model.loss_curve_) == model.n_iter_
    assert all(type(loss) is float and np.isfinite(loss) for loss in model.loss_curve_)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    if early_stopping:
        assert len(model.validation_scores_) == model.n_iter_
        assert max(model.validation_scores_) <= 1
    else:
        assert model.validation_scores_ is None


@pytest.mark.parametrize(("n_sets", "adam"), [(199, False), (200, True)])
def test_few_sets_are_for_lbfgs_and_all_of_them_for_training(n_sets, adam):
    X, y, _ = make_data(n_sets)
    model = make(OTKClassifier, max_epochs=2).fit(X, y)
    assert (model.validation_scores_ is not None) == adam
    params = {"optimizer": "adam" if adam else "lbfgs", "early_stopping": adam}
    assert_same_fit(model, make(OTKClassifier, max_epochs=2, **params).fit(X, y))


@every_optimiser
def test_training_stops_without_improvement(optimizer):
    X, y, _ = make_data()
    model = make(
        OTKClassifier,
        optimizer=optimizer,
        early_stopping=True,
        training_tol=10.0,
        n_iter_no_change=2,
        max_epochs=50,
    ).fit(X, y)
    assert model.n_iter_ == 2


@every_estimator
@pytest.mark.filterwarnings("ignore:The loss has diverged", "ignore:Sinkhorn missed tol")
def test_best_state_is_kept_when_training_makes_things_worse(estimator):
    """Steps so large that epochs only get worse: what is left is where it started."""
    rng = np.random.default_rng(0)
    y = np.arange(150) % 2
    X = [rng.normal(4 * c, 1, size=(6, 2)) for c in y]
    y = y if estimator is OTKClassifier else 2 * y + 0.1 * rng.normal(size=len(y))
    params = {"optimizer": "adam", "early_stopping": True, "batch_size": 10}
    start = make(estimator, trainable=[], learning_rate_init=1e-12, **params).fit(X, y)
    model = make(estimator, learning_rate_init=30.0, max_epochs=8, **params).fit(X, y)
    assert max(model.validation_scores_, default=-np.inf) <= start.validation_scores_[0]
    assert model.score(X, y) >= start.score(X, y) - 1e-3


@pytest.mark.filterwarnings("ignore:Sinkhorn missed tol", "ignore:The loss has diverged")
@every_estimator
@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [("lbfgs", 0.1), *(("adam", rate) for rate in (1e-6, 10.0, 1e3, 1e10))],
)
@pytest.mark.parametrize(
    ("dtype", "epsilon"), [(np.float32, 0.01), (np.float32, 0.1), (np.float64, 0.01)]
)
def test_training_never_leaves_the_finite_range(estimator, optimizer, rate, dtype, epsilon):
    data = make_data(n_sets=40, dtype=dtype)
    X, y = data[0], targets_for(estimator, data).copy()
    X[:3] = [x[:1] for x in X[:3]]
    y[0] = 9
    for refit_head in [False, True]:
        model = make(
            estimator,
            optimizer=optimizer,
            embedding__epsilon=epsilon,
            learning_rate_init=rate,
            refit_head=refit_head,
            embedding__max_iter=200,
            batch_size=8,
        ).fit(X, y)
        for name, array in fitted_arrays(model).items():
            if name not in ("losses", "scores"):
                assert np.isfinite(array).all(), name
        assert np.isfinite(model.transform(X)).all()
        scores = model.predict(X) if estimator is OTKRegressor else model.predict_proba(X)
        assert np.isfinite(scores).all()
        assert np.isfinite(model.score(X, y))


@pytest.mark.slow
@every_estimator
@every_optimiser
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.float32, 1e-6), (np.float32, 1e6), (np.float64, 1e-30), (np.float64, 1e30)],
)
def test_the_scale_of_elements_plays_no_part(estimator, optimizer, dtype, scale):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    scaled = [(scale * x).astype(dtype) for x in X]
    params = {"optimizer": optimizer, "early_stopping": False, "max_epochs": 10}
    model = make(estimator, **params).fit(scaled, y)
    assert model.n_iter_ == 10
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.score(scaled, y) > make(estimator, **params).fit(X, y).score(X, y) - 0.1


@every_estimator
def test_only_the_penalty_relative_to_weights_matters(estimator):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    weights = np.random.default_rng(0).uniform(0.5, 2, size=len(X))
    model = make(estimator, alpha=0.5).fit(X, y, weights)
    heavier = make(estimator, alpha=0.5 * 2**20).fit(X, y, 2**20 * weights)
    assert_allclose(heavier.predict(X), model.predict(X), rtol=1e-5)


@every_estimator
@every_optimiser
@pytest.mark.parametrize("kernel", ["rbf", "homogeneous", "linear"])
@pytest.mark.filterwarnings("ignore:n_components=8 is more than")
def test_equal_and_empty_looking_sets(estimator, optimizer, kernel):
    """Elements that are all the same, all 0, or one a set: there is nothing to learn."""
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    params = {"optimizer": optimizer, "early_stopping": True, "embedding__kernel": kernel}
    for same in [[np.ones((3, 2))] * 60, [np.zeros((2, 2))] * 60, [x[:1] for x in X]]:
        model = make(estimator, **params).fit(same, y)
        scores = model.predict(same)
        assert np.isfinite(scores).all()
        assert len(model.loss_curve_) == model.n_iter_


@every_estimator
@pytest.mark.pairwise(
    ("batch_size", [8, 1000]),
    ("refit_head", [False, True]),
    ("early_stopping", [False, True]),
)
def test_a_diverging_loss_is_told_and_leaves_what_was_before(
    estimator, early_stopping, refit_head, batch_size
):
    """With one batch an epoch, its loss is that of the state before its only step."""
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    params = {"early_stopping": early_stopping, "optimizer": "adam", "max_epochs": 20}
    start = make(estimator, learning_rate_init=1e-12, **params).fit(X, y)
    params |= {"learning_rate_init": 1e12, "batch_size": batch_size}
    model = make(estimator, refit_head=refit_head, **params)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(X, y)
    told = [str(w.message) for w in caught if "loss has diverged" in str(w.message)]
    # A linear model that is fitted anew keeps the loss of any state within bounds.
    assert len(told) <= 1 if refit_head else len(told) == 1
    if told:
        assert "Decrease learning_rate_init=1e+12" in told[0]
        assert model.n_iter_ <= 2
    assert len(model.loss_curve_) == model.n_iter_
    best_is_start = True
    if early_stopping:
        assert len(model.validation_scores_) == model.n_iter_
        # NaN, where there is no score, is no better either.
        best_is_start = not np.nanmax([-9, *model.validation_scores_]) > max(
            start.validation_scores_
        )
    if best_is_start:
        assert mean_loss(model, X, y) <= mean_loss(start, X, y) + 1e-6


# --- going on ---


@every_estimator
def test_partial_fit_lowers_the_loss_and_goes_on(estimator):
    data = make_data(n_sets=120)
    X, y = data[0], targets_for(estimator, data)
    model = make(estimator, learning_rate_init=0.02)
    for n_calls in range(1, 9):
        assert model.partial_fit(X, y) is model
        assert len(model.loss_curve_) == model.n_iter_ == n_calls
        if n_calls == 1:
            first = mean_loss(model, X, y)
    assert mean_loss(model, X, y) < first
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.validation_scores_ is None
    fitted = make(estimator, learning_rate_init=1e-3, early_stopping=False).fit(X, y)
    before = mean_loss(fitted, X, y)
    n_epochs = fitted.n_iter_
    fitted.partial_fit(X[:60], y[:60]).partial_fit(X[60:], y[60:])
    assert fitted.n_iter_ == n_epochs + 2
    assert_allclose(mean_loss(fitted, X, y), before, rtol=0.1)


def test_partial_fit_and_classes():
    X, y, _ = make_data()
    two = np.flatnonzero(y < 2)
    model = make(OTKClassifier).partial_fit([X[i] for i in two], y[two], classes=[2, 0, 1])
    assert_array_equal(model.classes_, [0, 1, 2])
    assert model.predict_proba(X).shape == (len(X), 3)
    model.partial_fit(X, y).partial_fit(X[:1], y[:1]).partial_fit(X, y, classes=[0, 1, 2])
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match=r"y has the classes \[5\]; expected some of"):
        model.partial_fit(X[:2], [0, 5])
    with pytest.raises(ValueError, match=r"classes is \[0, 1\]; expected \[0 1 2\]"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="X has 3 features, but .* expecting 2"):
        model.partial_fit([np.ones((2, 3))], [0])
    with pytest.raises(ValueError, match="early_stopping=True is given with partial_fit"):
        copy.deepcopy(model).set_params(early_stopping=True).partial_fit(X, y)
    assert pickle.dumps(vars(model)) == before
    with pytest.raises(ValueError, match=r"y has the classes \[2\]"):
        make(OTKClassifier).partial_fit(X, y, classes=[0, 1])


def test_partial_fit_may_refit_the_linear_model():
    X, _, y = make_data()
    model = make(OTKRegressor, refit_head=True, alpha=0.4).partial_fit(X, y)
    expected = Ridge(0.4).fit(model.transform(X), y)
    assert_allclose(model.coef_, expected.coef_[np.newaxis], rtol=1e-6, atol=1e-8)
    assert_allclose(model.predict(X), expected.predict(model.transform(X)), rtol=1e-8)


def test_partial_fit_does_not_balance_classes():
    X, y, _ = make_data()
    model = make(OTKClassifier, class_weight="balanced")
    with pytest.raises(
        ValueError, match="class_weight='balanced' is given with partial_fit"
    ):
        model.partial_fit(X, y)
    assert not hasattr(model, "embedding_")


def test_partial_fit_with_class_weights_and_a_batch_without_that_class():
    X, y, _ = make_data()
    model = make(OTKClassifier, class_weight={0: 2.0})
    model.partial_fit(X, y)
    later = np.flatnonzero(y > 0)
    model.partial_fit([X[i] for i in later], y[later])
    plain = make(OTKClassifier).partial_fit(X, y, sample_weight=1.0 + (y == 0))
    plain.partial_fit([X[i] for i in later], y[later])
    assert_array_equal(model.coef_, plain.coef_)


def test_partial_fit_with_labels_outputs_and_weights():
    X, y, numbers = make_data()
    labels = np.column_stack([y == 0, y == 1]).astype(int)
    model = make(OTKClassifier).partial_fit(X, labels).partial_fit(X, csr_array(labels))
    assert model.predict(X).shape == labels.shape
    with pytest.raises(ValueError, match="y "):
        model.partial_fit(X, labels[:, [0, 1, 1]])
    with pytest.raises(ValueError, match="y "):
        model.partial_fit(X, y)
    regressor = make(OTKRegressor).partial_fit(X, numbers)
    with pytest.raises(ValueError, match="y has 2 outputs; expected 1"):
        regressor.partial_fit(X, np.column_stack([numbers, numbers]))
    weights = (np.arange(len(X)) < 40).astype(float)
    one = make(OTKRegressor).partial_fit(X, numbers, weights)
    other = make(OTKRegressor).partial_fit(X[:40], numbers[:40])
    assert_array_equal(one.coef_, other.coef_)


def test_one_kind_of_targets_does_not_turn_into_another():
    """Classes of one output and labels have different losses."""
    X, y, _ = make_data()
    labels = np.column_stack([y == 0, y == 1, y == 2]).astype(int)
    classes = make(OTKClassifier, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="y "):
        classes.fit(X, labels)
    several = make(OTKClassifier, warm_start=True).fit(X, labels)
    with pytest.raises(ValueError, match="y "):
        several.fit(X, y)
    with pytest.raises(ValueError, match="y "):
        several.partial_fit(X, y)


@every_estimator
@every_optimiser
def test_warm_start_goes_on_where_it_stopped(estimator, optimizer):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    params = {"optimizer": optimizer, "learning_rate_init": 0.03, "early_stopping": False}
    model = make(estimator, warm_start=True, max_epochs=15, **params).fit(X, y)
    last, references = model.loss_curve_[-1], model.embedding_.references_
    loss = mean_loss(model, X, y)
    model.set_params(max_epochs=1, learning_rate_init=1e-6).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 1
    assert model.loss_curve_[0] < last + 0.02
    assert mean_loss(model, X, y) < loss + 0.02
    again = make(estimator, warm_start=False, max_epochs=1, **params).fit(X, y)
    assert model.loss_curve_[0] < again.loss_curve_[0]
    assert np.abs(model.embedding_.references_ - references).max() < 0.2


def test_warm_start_refuses_other_classes_and_features():
    X, y, _ = make_data()
    model = make(OTKClassifier, warm_start=True).fit(X, y)
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match=r"y has the classes \[3\]; expected some of"):
        model.fit(X, y + 1)
    with pytest.raises(ValueError, match="X has 3 features, but .* expecting 2"):
        model.fit([np.ones((2, 3))] * 3, [0, 1, 2])
    assert pickle.dumps(vars(model)) == before
    some = np.flatnonzero(y < 2)
    model.fit([X[i] for i in some], y[some])
    assert_array_equal(model.classes_, [0, 1, 2])
    regressor = make(OTKRegressor, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="y has 2 outputs; expected 1"):
        regressor.fit(X, np.column_stack([y, y]))
    cold = make(OTKClassifier).fit(X, y)
    assert_array_equal(cold.fit(X, y + 1).classes_, [1, 2, 3])


def test_warm_start_with_nothing_to_go_on_from_is_a_cold_one():
    X, y, _ = make_data()
    warm = make(OTKClassifier, warm_start=True).fit(X, y)
    assert_same_fit(warm, make(OTKClassifier).fit(X, y))


# --- bad input ---

X_GOOD, Y_GOOD, NUMBERS_GOOD = make_data(n_sets=12)


@every_estimator
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"trainable": ["nonsense"]}, r"trainable has \['nonsense'\]; expected 'all', or"),
        ({"trainable": [3, "gamma"]}, r"trainable has \[3\]; expected"),
        ({"trainable": [["gamma"]]}, r"trainable has \[\['gamma'\]\]; expected"),
        ({"trainable": "references"}, "The 'trainable' parameter of OTK"),
        ({"trainable": None}, "The 'trainable' parameter of OTK"),
        ({"alpha": -1}, "The 'alpha' parameter of OTK.* Got -1"),
        ({"alpha": np.nan}, "The 'alpha' parameter of OTK.* Got nan"),
        ({"alpha": np.inf}, "The 'alpha' parameter of OTK.* Got inf"),
        ({"alpha": "best"}, "The 'alpha' parameter of OTK"),
        ({"optimizer": "sgd"}, "The 'optimizer' parameter of OTK"),
        ({"learning_rate_init": 0}, "The 'learning_rate_init' parameter of OTK"),
        ({"learning_rate_init": np.inf}, "The 'learning_rate_init' parameter of OTK"),
        ({"batch_size": 0}, "The 'batch_size' parameter of OTK"),
        ({"batch_size": 2.5}, "The 'batch_size' parameter of OTK"),
        ({"max_epochs": 0}, "The 'max_epochs' parameter of OTK"),
        ({"training_tol": -1}, "The 'training_tol' parameter of OTK"),
        ({"early_stopping": "yes"}, "The 'early_stopping' parameter of OTK"),
        ({"validation_fraction": 0}, "The 'validation_fraction' parameter of OTK"),
        ({"validation_fraction": 1.0}, "The 'validation_fraction' parameter of OTK"),
        ({"n_iter_no_change": 0}, "The 'n_iter_no_change' parameter of OTK"),
        ({"refit_head": "yes"}, "The 'refit_head' parameter of OTK"),
        ({"warm_start": None}, "The 'warm_start' parameter of OTK"),
        ({"verbose": -1}, "The 'verbose' parameter of OTK"),
        ({"embedding__epsilon": 0}, "The 'epsilon' parameter of OTK"),
        ({"embedding__n_supports": 0}, "The 'n_supports' parameter of OTK"),
        (
            {"embedding__solver": "emd", "embedding__relaxation": 1.0},
            "relaxation=1.0 is given with solver='emd'",
        ),
        (
            {"embedding__references": np.ones((1, 2, 5))},
            r"references has shape \(1, 2, 5\)",
        ),
        ({"embedding__anchors": np.ones((5, 3))}, r"anchors has shape \(5, 3\)"),
    ],
    ids=str,
)
def test_parameters_out_of_range(estimator, params, message):
    y = Y_GOOD if estimator is OTKClassifier else NUMBERS_GOOD
    model = make(estimator).fit(X_GOOD, y)
    before = pickle.dumps(vars(model))
    old = {name: model.get_params()[name] for name in params}
    model.set_params(**params)
    for method in [model.fit, make(estimator).set_params(**params).partial_fit]:
        with pytest.raises(ValueError, match=message):
            method(X_GOOD, y)
    assert pickle.dumps(vars(model.set_params(**old))) == before


@pytest.mark.parametrize(
    "class_weight",
    ["even", 3, {7: 1.0}, [{0: 1}], {0: -1.0}, {0: np.nan}],
    ids=str,
)
def test_class_weights_out_of_range(class_weight):
    model = make(OTKClassifier, class_weight=class_weight)
    with pytest.raises(ValueError, match="(?i)class_?.?weight"):
        model.fit(X_GOOD, Y_GOOD)
    assert not hasattr(model, "embedding_")


def test_class_weights_that_leave_nothing():
    model = make(OTKClassifier, class_weight={0: 0.0})
    no_weight = (np.asarray(Y_GOOD) != 0).astype(float)
    for method in [model.fit, model.partial_fit]:
        with pytest.raises(ValueError, match="times class_weight .* adds up to 0;"):
            method(X_GOOD, Y_GOOD, sample_weight=1 - no_weight)
    assert not hasattr(model, "embedding_")


def with_nan(values):
    values = np.array(values, float)
    values[4] = np.nan
    return values


BAD = {
    "no y": ((X_GOOD, None), "requires y to be passed, but the target y is None"),
    "short y": ((X_GOOD, Y_GOOD[:5]), r"inconsistent numbers of samples: \[12, 5\]"),
    "y of elements": (
        (X_GOOD, np.zeros(sum(map(len, X_GOOD)))),
        r"y has \d\d entries, the number of elements of X; .* each of the 12 sets",
    ),
    "nan in y": ((X_GOOD, with_nan(Y_GOOD)), "y contains NaN"),
    "infinite y": ((X_GOOD, np.where(Y_GOOD == 1, np.inf, 0)), "y contains infinity"),
    "3-D y": ((X_GOOD, np.zeros((12, 2, 2))), "dim 3"),
    "nan in X": (
        ([*X_GOOD[:5], np.array([[0, 1], [np.nan, 1]]), *X_GOOD[6:]], Y_GOOD),
        r"X contains NaN in set 5 \(element 1, feature 0\)",
    ),
    "empty set": (
        ([*X_GOOD[:5], np.empty((0, 2)), *X_GOOD[6:]], Y_GOOD),
        "set 5 of X is empty",
    ),
    "no sets": (([], []), "empty collection|0 sample"),
    "negative weight": ((X_GOOD, Y_GOOD, -np.ones(12)), "(?i)negative .*sample_weight"),
    "no weight": ((X_GOOD, Y_GOOD, np.zeros(12)), "(?i)sample.?weight.* (0|non-zero)"),
    "short weights": ((X_GOOD, Y_GOOD, np.ones(7)), r"sample_weight.*\(7,\).*\(12,\)"),
    "nan weight": ((X_GOOD, Y_GOOD, with_nan(Y_GOOD)), "sample_weight contains NaN"),
    "2-D weights": ((X_GOOD, Y_GOOD, np.ones((12, 1))), "Sample weights must be 1D"),
}


@pytest.mark.parametrize("classes", [list("aabbabab"), ["yes", "no"] * 4])
def test_sets_without_a_class(classes):
    model = make(OTKClassifier)
    with pytest.raises(ValueError, match=r"y is None for set 3; expected a class for each"):
        model.fit(X_GOOD[:8], [*classes[:3], None, *classes[4:]])
    assert not hasattr(model, "embedding_")


@every_estimator
@pytest.mark.parametrize("case", BAD)
def test_bad_input(estimator, case):
    args, message = BAD[case]
    model = make(estimator)
    for method in [model.fit, model.partial_fit]:
        names = ("X", "y", "sample_weight")
        with pytest.raises((TypeError, ValueError), match=message):
            method(**dict(zip(names, args)))
    assert not [name for name in vars(model) if name.endswith("_")]
    model.fit(X_GOOD, Y_GOOD)
    before = pickle.dumps(vars(model))
    for method in [model.fit, model.partial_fit]:
        with pytest.raises((TypeError, ValueError), match=message):
            method(**dict(zip(names, args)))
    assert pickle.dumps(vars(model)) == before


@every_estimator
def test_at_least_one_set_is_left_to_train_on(estimator):
    model = make(estimator, early_stopping=True, validation_fraction=0.99)
    assert np.isfinite(model.fit(X_GOOD, Y_GOOD).coef_).all()


def test_targets_that_are_no_classes():
    model = make(OTKClassifier)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        model.fit(X_GOOD, NUMBERS_GOOD)
    with pytest.raises(ValueError, match=r"y has shape \(12, 2\) .* expected classes"):
        model.fit(X_GOOD, np.column_stack([Y_GOOD, Y_GOOD]))
    with pytest.raises(ValueError, match="could not convert string to float"):
        make(OTKRegressor).fit(X_GOOD, ["a"] * 12)
    with pytest.raises(ValueError, match="early_stopping=True .* at least 2 distinct"):
        make(OTKClassifier, early_stopping=True).fit(X_GOOD[:1] * 4, [0] * 4)


@every_estimator
def test_not_fitted_and_other_features(estimator):
    model = make(estimator)
    for name in ["predict", "transform"]:
        with pytest.raises(NotFittedError):
            getattr(model, name)(X_GOOD)
    model.fit(X_GOOD, Y_GOOD)
    for name in ["predict", "transform"]:
        with pytest.raises(ValueError, match="X has 3 features, but .* expecting 2"):
            getattr(model, name)([np.ones((2, 3))])
        with pytest.raises(ValueError, match="X contains NaN in set 1"):
            getattr(model, name)([np.ones((2, 2)), np.full((1, 2), np.nan)])


# --- callbacks ---


class Recorder:
    """A callback that writes down what it sees."""

    def __init__(self, stop_after=None):
        self.events, self.fitted, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.events.append(f"end {context.task_name}")
        if fitted_estimator is not None:
            self.fitted.append((context.task_name, fitted_estimator.predict(X)))
        return context.task_name == "epoch" and len(self.fitted) == self.stop_after


@pytest.fixture
def callbacks():
    return pytest.importorskip("sklearn.callback")


@every_estimator
@every_optimiser
@pytest.mark.parametrize("max_epochs", [1, 3])
def test_callbacks_see_each_epoch(callbacks, estimator, optimizer, max_epochs):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    recorder = Recorder()
    params = {"optimizer": optimizer, "max_epochs": max_epochs}
    model = make(estimator, **params).set_callbacks(recorder).fit(X, y)
    assert model.n_iter_ == max_epochs
    assert recorder.events == [
        "setup",
        "begin fit",
        *["begin anchors", "end anchors", "begin references", "end references"],
        "begin epochs",
        *(["begin epoch", "end epoch"] * max_epochs),
        "end epochs",
        "end fit",
        "teardown",
    ]
    assert [name for name, _ in recorder.fitted] == ["epoch"] * max_epochs + ["fit"]
    assert_array_equal(recorder.fitted[-1][1], model.predict(X))
    assert_same_fit(model, make(estimator, **params).fit(X, y))


@every_optimiser
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_callback_may_stop_training(callbacks, optimizer, stop_after):
    X, y, _ = make_data()
    recorder = Recorder(stop_after)
    params = {"optimizer": optimizer, "max_epochs": 20, "early_stopping": False}
    model = make(OTKClassifier, **params).set_callbacks(recorder).fit(X, y)
    assert model.n_iter_ == stop_after
    assert recorder.events.count("begin epoch") == stop_after
    assert recorder.events[-4:] == ["end epoch", "end epochs", "end fit", "teardown"]
    assert model.score(X, y) > 0.4


@pytest.mark.filterwarnings("ignore:The loss has diverged", "ignore:Sinkhorn missed")
@pytest.mark.parametrize(
    "params",
    [
        {"optimizer": "adam", "learning_rate_init": 1e10},
        {"optimizer": "adam", "n_iter_no_change": 1, "training_tol": 10.0},
        {"optimizer": "lbfgs", "n_iter_no_change": 1, "training_tol": 10.0},
        {"optimizer": "lbfgs", "trainable": [], "max_epochs": 1000},
    ],
    ids=str,
)
def test_each_task_that_begins_ends_however_training_ends(callbacks, params):
    X, y, _ = make_data()
    recorder = Recorder()
    model = make(OTKClassifier, **{"max_epochs": 20, "embedding__max_iter": 100, **params})
    model.set_callbacks(recorder).fit(X, y)
    assert model.n_iter_ < model.max_epochs
    for task in ["fit", "epochs", "epoch"]:
        begun = recorder.events.count(f"begin {task}")
        assert begun == recorder.events.count(f"end {task}")
    assert recorder.events[-2:] == ["end fit", "teardown"]


def test_callbacks_are_torn_down_when_fit_fails(callbacks):
    recorder = Recorder()
    model = make(OTKClassifier).set_callbacks(recorder)
    before = set(vars(model))
    with pytest.raises(ValueError, match="inconsistent numbers"):
        model.fit(X_GOOD, Y_GOOD[:5])
    assert recorder.events[-1] == "teardown"
    assert set(vars(model)) == before
    assert model.fit(X_GOOD, Y_GOOD).n_iter_


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_of_each_epoch_by_scikit_learn(callbacks, weighted):
    X, y, _ = make_data()
    weights = np.arange(1.0, len(X) + 1) if weighted else None
    monitor = callbacks.ScoringMonitor(scoring="accuracy")
    model = make(OTKClassifier, max_epochs=3, early_stopping=False).set_callbacks(monitor)
    model.fit(X, y, sample_weight=weights)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit"] + ["epoch"] * 3
    assert rows[0]["accuracy"] == pytest.approx(model.score(X, y, weights))


class Propagated(Recorder):
    """A callback that is handed on by whatever the estimator is part of."""

    max_propagation_depth = None

    def on_fit_task_end(self, estimator, context):
        self.events.append(f"end {context.task_name}")


@pytest.mark.parametrize("searches", [False, True])
def test_callbacks_reach_a_step_of_a_pipeline(callbacks, searches):
    X, y, _ = make_data()
    recorder = Propagated()
    model = make_pipeline(ElementTransformer(StandardScaler()), make(OTKClassifier))
    if searches:
        model = GridSearchCV(model, {"otkclassifier__embedding__epsilon": [0.1, 1.0]}, cv=2)
    model.set_callbacks(recorder).fit(X, y)
    n_fits = 2 * 2 + 1 if searches else 1
    assert recorder.events.count("begin epoch") == n_fits * 4
    assert recorder.events.count("end epoch") == n_fits * 4
    assert recorder.events.count("setup") == recorder.events.count("teardown") == 1
    assert recorder.events[-1] == "teardown"


@pytest.mark.parametrize("early_stopping", [False, True])
@every_optimiser
def test_verbose_prints_a_line_for_each_epoch(capsys, optimizer, early_stopping):
    X, y, _ = make_data()
    params = {"optimizer": optimizer, "early_stopping": early_stopping}
    model = make(OTKClassifier, verbose=True, **params).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    for line, stage in zip([*lines[:2], lines[-1]], ["anchors", "references", "epochs"]):
        assert line.startswith("[OTKClassifier] ....")
        assert f". {stage}, total=" in line
    lines = lines[2:-1]
    assert len(lines) == model.n_iter_
    for epoch, line in enumerate(lines):
        expected = f"Epoch {epoch + 1}, loss = {model.loss_curve_[epoch]:.6f}"
        if early_stopping:
            expected += f", validation score = {model.validation_scores_[epoch]:.6f}"
        assert line == expected
    make(OTKClassifier, **params).fit(X, y)
    assert capsys.readouterr().out == ""


# --- what it is good for ---


def rare_elements(rng, y):
    """One element of some twenty tells the class; the mean of each set is 0."""
    X = []
    for c in y:
        x = rng.normal(size=(rng.integers(15, 30), 3))
        x[0], x[1] = (1.5, -1.5, 0) if c else (-1.5, 1.5, 0), 0
        X.append(x - x.mean(axis=0))
    return X


def means(X):
    return np.array([x.mean(axis=0) for x in X])


def test_labels_help_where_the_mean_says_nothing():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, size=600)
    X = rare_elements(rng, y)
    X, y, X_test, y_test = X[:300], y[:300], X[300:], y[300:]
    pooled = LogisticRegression().fit(means(X), y).score(means(X_test), y_test)
    embedding = OTKEmbedding(3, n_components=16, random_state=0)
    unsupervised = make_pipeline(embedding, LogisticRegression(max_iter=1000)).fit(X, y)
    embedding = OTKEmbedding(3, n_components=16)
    trained = OTKClassifier(embedding, max_epochs=20, random_state=0).fit(X, y)
    assert pooled < 0.6
    assert trained.score(X_test, y_test) > unsupervised.score(X_test, y_test) + 0.1


def normals(rng):
    """Normal in 2-D, turned anyhow; the entropy up to a constant."""
    scales, angle = rng.uniform(0.3, 2, size=2), rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return rng.normal(size=(60, 2)) * scales @ turn.T, np.log(scales).sum()


def skewed(rng):
    """Of mean about 0, with tails of different lengths; the 0.9 quantile."""
    x = rng.normal(size=(60, 1))
    x *= np.where(x > 0, *rng.uniform(0.3, 2, size=2))
    x += 0.1 * rng.normal() - x.mean()
    return x, np.quantile(x, 0.9)


def mixtures(rng):
    """A narrow mode, and a wide one that takes the mean to 0; the place of the first."""
    place = rng.uniform(-2, 2)
    parts = rng.normal(place, 0.3, (40, 1)), rng.normal(-2 * place, 0.6, (20, 1))
    return np.concatenate(parts), place


@pytest.mark.parametrize("draw", [normals, skewed, mixtures])
def test_regression_of_what_distributions_are_like(draw):
    rng = np.random.default_rng(0)
    X, y = zip(*[draw(rng) for _ in range(600)])
    X, y, X_test, y_test = X[:400], np.array(y[:400]), X[400:], np.array(y[400:])
    assert RidgeCV().fit(means(X), y).score(means(X_test), y_test) < 0.3
    embedding = OTKEmbedding(5, n_components=16)
    model = OTKRegressor(embedding, max_epochs=10, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > 0.9


# --- with the rest of scikit-learn ---


def test_grid_search_in_a_pipeline():
    X, y, _ = make_data()
    scale = ElementTransformer(StandardScaler())
    pipeline = Pipeline([("scale", scale), ("clf", make(OTKClassifier, max_epochs=2))])
    grid = {"clf__embedding__epsilon": [0.1, 1.0], "clf__alpha": [0.1, "cv"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(SetCollection.from_sets(X), y)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert_array_equal(search.predict(X), search.best_estimator_.predict(X))


@every_estimator
def test_weights_of_elements_go_through_cross_validation(estimator):
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    counts = [np.arange(1, len(x) + 1) for x in X]
    weighted = SetCollection.from_sets(X, weights=counts)
    repeated = [np.repeat(x, c, axis=0) for x, c in zip(X, counts)]
    scores = cross_val_score(make(estimator, max_epochs=2), weighted, y, cv=3)
    assert_allclose(
        scores, cross_val_score(make(estimator, max_epochs=2), repeated, y, cv=3), atol=0.11
    )
    first = weighted[:40], y[:40]
    model = make(estimator, max_epochs=2, embedding__tol=1e-9).fit(*first)
    same = make(estimator, max_epochs=2, embedding__tol=1e-9).fit(repeated[:40], y[:40])
    assert_allclose(same.transform(repeated), model.transform(weighted), atol=1e-4)


@every_estimator
def test_step_of_a_pipeline_and_pandas_output(estimator):
    pytest.importorskip("pandas")
    data = make_data()
    X, y = data[0], targets_for(estimator, data)
    with sklearn.config_context(transform_output="pandas"):
        table = make(estimator, max_epochs=2).fit_transform(X, y)
    assert table.shape == (len(X), 24)
    final = LogisticRegression(max_iter=1000) if estimator is OTKClassifier else Ridge()
    pipeline = make_pipeline(make(estimator, max_epochs=2), final).fit(X, y)
    assert pipeline.score(X, y) > 0.3
