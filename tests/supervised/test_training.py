"""The objective against differences, linear models against scikit-learn's, and Adam."""

import numpy as np
import pytest
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.embeddings._state import fitted_state
from otk_sklearn.supervised._losses import LogisticLoss, SoftmaxLoss, SquaredLoss
from otk_sklearn.supervised._objective import Objective, Parameters, parameter_scales
from otk_sklearn.supervised._optimizers import (
    Adam,
    minimize_by_batches,
    minimize_whole,
    run_epoch,
)
from otk_sklearn.supervised._problem import Problem
from otk_sklearn.supervised._training import Monitor, Start

LOSSES = {
    "softmax": (SoftmaxLoss(), 3),
    "binary": (LogisticLoss(), 1),
    "multilabel": (LogisticLoss(), 2),
    "squared": (SquaredLoss(), 2),
}
ALL = ("references", "anchors", "gamma")
WEIGHTS = np.array([1.0, 0.5, 3.0, 1.0, 2.0, 0.25, 1.0, 1.0, 1.5])


def make_targets(loss, n_sets):
    rng = np.random.default_rng(1)
    function, n_outputs = LOSSES[loss]
    if isinstance(function, SquaredLoss):
        return rng.normal(size=(n_sets, n_outputs))
    if isinstance(function, SoftmaxLoss):
        return np.eye(n_outputs)[np.arange(n_sets) % n_outputs]
    return (rng.uniform(size=(n_sets, n_outputs)) < 0.5).astype(float)


def make_objective(
    loss="softmax",
    trainable=ALL,
    refit_head=False,
    alpha=0.7,
    batch_weights=WEIGHTS,
    **params,
):
    """Return an objective whose iterations converge, and the embedding it starts from."""
    sets = SetCollection.from_sets(make_sets(n_sets=9, n_features=2, max_length=6))
    embedding = OTKEmbedding(
        **{
            "n_supports": 2,
            "n_components": 4,
            "epsilon": 0.5,
            "tol": 0,
            "max_iter": 300,
            "random_state": 0,
            **params,
        }
    ).fit(sets)
    targets = make_targets(loss, len(sets))
    problem = Problem(sets, targets, batch_weights, LOSSES[loss][0], alpha=alpha)
    rng = np.random.default_rng(0)
    start = Parameters(
        embedding.references_,
        embedding.anchors_,
        None if embedding.anchors_ is None else np.log(embedding.gamma_),
        rng.normal(size=(targets.shape[1], embedding.references_.size)),
        rng.normal(size=targets.shape[1]),
    )
    state = fitted_state(embedding)
    scales = parameter_scales(state, embedding.transform(sets))
    objective = Objective(state, start, problem, trainable, refit_head, scales)
    return objective, embedding


def plain_losses(loss, scores, targets):
    if loss == "softmax":
        return -np.log((softmax(scores, axis=1) * targets).sum(axis=1))
    if loss == "squared":
        return ((scores - targets) ** 2).sum(axis=1) / 2
    return -np.log(np.where(targets == 1, expit(scores), expit(-scores))).sum(axis=1)


def plain_objective(loss, objective, embedding, flat, batch):
    """Mean loss and penalty, from an embedding that is handed what it would learn."""
    parameters, problem = objective.parameters(flat), objective.problem
    params = {"references": parameters.references}
    if parameters.anchors is not None:
        params |= {"anchors": parameters.anchors, "gamma": np.exp(parameters.log_gamma)}
    sets = problem.sets[batch]
    model = OTKEmbedding(**embedding.get_params()).set_params(**params).fit(sets)
    scores = model.transform(sets) @ parameters.coef.T + parameters.intercept
    losses = plain_losses(loss, scores, problem.targets[batch])
    penalty = problem.alpha / 2 * np.sum(parameters.coef**2) / problem.weights.sum()
    return np.average(losses, weights=problem.weights[batch]) + penalty


def away_from(start):
    """A vector whose rows have left their spheres."""
    return start + 0.1 * np.random.default_rng(2).normal(size=len(start))


def differences(function, flat, step=1e-3):
    """The gradient by central differences of fourth order."""
    gradient = np.empty_like(flat)
    for i in range(len(flat)):
        shift = np.zeros_like(flat)
        shift[i] = step
        near = function(flat + shift) - function(flat - shift)
        far = function(flat + 2 * shift) - function(flat - 2 * shift)
        gradient[i] = (8 * near - far) / (12 * step)
    return gradient


@pytest.mark.pairwise(
    ("kernel", ["rbf", "homogeneous", "linear"]),
    ("batch", [slice(None), np.array([4, 1, 7])]),
    ("loss", LOSSES),
)
def test_loss_is_that_of_the_plain_embedding_and_a_linear_model(loss, batch, kernel):
    objective, embedding = make_objective(loss, kernel=kernel)
    for flat in [objective.start, away_from(objective.start)]:
        value, _ = objective(flat, batch)
        expected = plain_objective(loss, objective, embedding, flat, batch)
        assert_allclose(value, expected, rtol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_gradient_is_that_of_differences(loss, alpha):
    objective, _ = make_objective(loss, alpha=alpha)
    flat = away_from(objective.start)
    expected = differences(lambda f: objective(f)[0], flat)
    _, gradient = objective(flat)
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    "params",
    [
        {"kernel": "homogeneous"},
        {"kernel": "linear"},
        {"solver": "softmax"},
        {"relaxation": 0.5},
        {"support_relaxation": 0.5},
        {"n_references": 2},
        {"filter_size": 2, "padding": "same"},
        {"position": "gaussian", "position_sigma": 0.4},
    ],
    ids=str,
)
def test_gradient_is_that_of_differences_for_each_embedding(params):
    objective, _ = make_objective(**params)
    flat, batch = away_from(objective.start), np.array([0, 3, 5, 8])
    expected = differences(lambda f: objective(f, batch)[0], flat)
    _, gradient = objective(flat, batch)
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("refit_head", [False, True])
@pytest.mark.parametrize(
    "trainable",
    [ALL, (), ("references",), ("anchors",), ("gamma",), ("gamma", "references")],
)
def test_only_what_is_trained_is_in_the_vector(trainable, refit_head):
    objective, embedding = make_objective(trainable=trainable, refit_head=refit_head)
    if refit_head and not trainable:
        assert not len(objective.start)
        return
    sizes = {"references": 8, "anchors": 8, "gamma": 1}
    size = sum(sizes[name] for name in trainable) + (0 if refit_head else 3 * 8 + 3)
    assert objective.start.shape == (size,)
    flat = away_from(objective.start)
    before, after = objective.parameters(objective.start), objective.parameters(flat)
    names = {"references": "references", "anchors": "anchors", "log_gamma": "gamma"}
    for name, trained in names.items():
        same = np.array_equal(getattr(before, name), getattr(after, name))
        assert same == (trained not in trainable)
    assert np.array_equal(before.coef, after.coef) == refit_head
    expected = differences(lambda f: objective(f)[0], flat)
    _, gradient = objective(flat)
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_gradient_with_a_refitted_head_is_that_of_the_least_loss():
    """The linear model's own part is 0 where it is at its best."""
    objective, _ = make_objective("squared", refit_head=True)

    def least_loss(flat):
        return objective.refit(flat)(flat)[0]

    flat = away_from(objective.start)
    expected = differences(least_loss, flat)
    _, gradient = objective.refit(flat)(flat)
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
def test_rows_on_spheres_keep_their_norms(kernel):
    objective, embedding = make_objective(kernel=kernel)
    flat = away_from(objective.start)
    parameters = objective.parameters(flat)
    norms = np.linalg.norm(embedding.references_, axis=2)
    assert_allclose(np.linalg.norm(parameters.references, axis=2), norms, rtol=1e-12)
    if kernel == "homogeneous":
        assert_allclose(np.linalg.norm(parameters.anchors, axis=1), 1, rtol=1e-12)
    back = objective.restore_norms(flat)
    for one, other in zip(parameters, objective.parameters(back)):
        assert_allclose(one, other, rtol=1e-12)
    assert_allclose(objective(back)[0], objective(flat)[0], rtol=1e-12)


def test_a_vector_out_of_range_gives_nan_without_a_crash():
    objective, _ = make_objective()
    for value in [np.nan, np.inf, 1e300, -1e300]:
        with np.errstate(all="ignore"):
            loss, gradient = objective(np.full_like(objective.start, value))
        assert np.isnan(loss)
        assert np.isnan(gradient).all()


def make_table(n_classes, n_rows=120):
    """A table, classes, and weights."""
    rng = np.random.default_rng(0)
    X = 5 + rng.normal(size=(n_rows, 6))
    y = (X[:, :n_classes] + 0.7 * rng.normal(size=(n_rows, n_classes))).argmax(axis=1)
    return X, y, rng.uniform(0.2, 3, size=n_rows)


def logistic_regression(X, y, weights, alpha):
    model = LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=10_000)
    return model.fit(X, y, sample_weight=weights)


@pytest.mark.pairwise(
    ("n_classes", [2, 4]),
    ("alpha", [0.3, 5.0]),
    ("start", ["zero", "random"]),
)
def test_linear_model_is_logistic_regression(n_classes, alpha, start):
    X, y, weights = make_table(n_classes)
    expected = logistic_regression(X, y, weights, alpha)
    targets, loss = np.eye(n_classes)[y], SoftmaxLoss()
    if n_classes == 2:
        targets, loss = y[:, np.newaxis].astype(float), LogisticLoss()
    if start == "random":
        rng = np.random.default_rng(1)
        n_outputs = targets.shape[1]
        start = rng.normal(size=(n_outputs, X.shape[1])), rng.normal(size=n_outputs)
    else:
        start = None
    coef, intercept = loss.fit_linear_model(X, targets, weights, alpha, start)
    assert_allclose(coef, expected.coef_, atol=5e-3)
    scores = X @ coef.T + intercept
    probability = softmax(scores, axis=1) if n_classes > 2 else expit(scores[:, 0])
    expected = expected.predict_proba(X)
    expected = expected if n_classes > 2 else expected[:, 1]
    assert_allclose(probability, expected, atol=1e-3)


def test_linear_model_of_several_labels_is_one_for_each():
    X, y, weights = make_table(3)
    targets = np.column_stack([y == 0, y > 0, y == 2]).astype(float)
    coef, intercept = LogisticLoss().fit_linear_model(X, targets, weights, 0.5)
    for label in range(3):
        expected = logistic_regression(X, targets[:, label], weights, 0.5)
        assert_allclose(coef[label], expected.coef_[0], atol=5e-3)
        assert_allclose(
            X @ coef[label] + intercept[label], expected.decision_function(X), atol=1e-2
        )


def test_linear_model_of_numbers_is_ridge_regression():
    X, y, weights = make_table(3)
    targets = np.random.default_rng(1).normal(size=(len(X), 2)) + X[:, :2]
    coef, intercept = SquaredLoss().fit_linear_model(X, targets, weights, 2.0)
    # the normal equations of the weighted problem, with an unpenalised intercept
    design = np.column_stack([X, np.ones(len(X))])
    penalty = np.diag([2.0] * X.shape[1] + [0.0])
    gram = design.T @ (weights[:, np.newaxis] * design) + penalty
    expected = np.linalg.solve(gram, design.T @ (weights[:, np.newaxis] * targets))
    assert_allclose(coef, expected[:-1].T, rtol=1e-8, atol=1e-10)
    assert_allclose(intercept, expected[-1], rtol=1e-8, atol=1e-10)
    ridge = Ridge(2.0).fit(X, targets, sample_weight=weights)
    assert_allclose(coef, ridge.coef_, rtol=1e-8)


def test_linear_model_where_a_class_has_no_member():
    X, y, weights = make_table(2)
    coef, intercept = SoftmaxLoss().fit_linear_model(X, np.eye(3)[y], weights, 0.5)
    probability = softmax(X @ coef.T + intercept, axis=1)
    assert probability[:, 2].max() < 1e-2
    # A softmax of two classes has the penalty on two halves of one vector.
    expected = logistic_regression(X, y, weights, 0.25).predict_proba(X)
    assert_allclose(probability[:, :2], expected, atol=1e-2)


@pytest.mark.parametrize("loss", [SoftmaxLoss(), LogisticLoss(), SquaredLoss()])
def test_linear_model_of_a_single_class_is_its_intercept(loss):
    X, _, weights = make_table(2)
    coef, intercept = loss.fit_linear_model(X, np.ones((len(X), 1)), weights, 0.5)
    assert_allclose(coef, 0, atol=0.1)
    scores = X @ coef.T + intercept
    assert np.isfinite(scores).all()
    if isinstance(loss, LogisticLoss):
        assert expit(scores).min() > 0.99


def test_chosen_penalty_has_the_least_loss_in_cross_validation():
    X, y, weights = make_table(3)
    sets = SetCollection(X, np.arange(len(X) + 1))
    problem = Problem(sets, np.eye(3)[y], weights, SoftmaxLoss())
    alphas = (1000.0, 30.0, 3.0, 0.01)
    for splits in [problem.folds(np.random.RandomState(s)) for s in range(3)]:
        assert [test.sum() for _, test in splits] == [40, 40, 40]
        assert_array_equal(sum(test.astype(int) for _, test in splits), 1)
        expected = []
        for alpha in alphas:
            total = 0.0
            for train, test in splits:
                model = logistic_regression(X[train], y[train], weights[train], alpha)
                probability = model.predict_proba(X[test])
                total += log_loss(
                    y[test], probability, sample_weight=weights[test], normalize=False
                )
            expected.append(total)
        assert problem.choose_alpha(X, splits, alphas) == alphas[np.argmin(expected)]


def test_adam_is_its_formulas():
    rng = np.random.default_rng(0)
    gradients, adam = rng.normal(size=(120, 3)), Adam(3)
    for t in range(1, 121):
        powers = np.arange(t)[::-1, np.newaxis]
        mean = 0.1 * (0.9**powers * gradients[:t]).sum(axis=0) / (1 - 0.9**t)
        square = 0.001 * (0.999**powers * gradients[:t] ** 2).sum(axis=0) / (1 - 0.999**t)
        step = adam.step(gradients[t - 1])
        length = min(1, t / 100)  # the first steps are shorter
        assert_allclose(step, length * mean / (np.sqrt(square) + 1e-8), rtol=1e-9)


def test_an_epoch_ends_where_the_loss_is_not_finite():
    objective, _ = make_objective()
    far, adam = np.full_like(objective.start, 1e300), Adam(len(objective.start))
    with np.errstate(all="ignore"):
        flat, loss = run_epoch(
            objective, adam, far, 3, (0.1, 0.1), np.random.RandomState(0)
        )
    assert_array_equal(flat, far)
    assert np.isnan(loss)


@pytest.mark.parametrize("refit_head", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_both_optimisers_lower_the_loss(loss, refit_head):
    for optimizer in ["adam", "lbfgs"]:
        objective, embedding = make_objective(loss, refit_head=refit_head)
        if refit_head:
            objective = objective.refit(objective.start)
        first, _ = objective(objective.start)
        monitor = Monitor(make_start(None), None, 0.0, 100, never)
        if optimizer == "adam":
            random = np.random.RandomState(0)
            minimize_by_batches(objective, 0.3, 3, 20, random, monitor)
            assert len(monitor.losses) == 20
        else:
            minimize_whole(objective, 20, monitor)
            assert 1 <= len(monitor.losses) <= 20
            assert (np.diff(monitor.losses) <= 1e-12).all()
        assert loss_at(objective, monitor.best, embedding) < 0.98 * first


def loss_at(objective, parameters, embedding):
    """The objective of all parameters, also of a linear model that isn't in the vector."""
    state, problem = fitted_state(embedding), objective.problem
    whole = Objective(state, parameters, problem, ALL, False, objective.scales)
    return whole(whole.start)[0]


def make_start(parameters):
    return Start(None, slice(None), np.empty(0, int), parameters, {}, np.inf)


def never(monitor, is_last):
    """A report after which training goes on."""
    return False


def watch(losses, scores=None, *, tol=1e-4, n_iter_no_change=3):
    """Show epochs to a monitor, with their numbers as parameters; the start is number 0."""
    scores_of = None if scores is None else scores.__getitem__
    monitor = Monitor(make_start(0), scores_of, tol, n_iter_no_change, never)
    for epoch, loss in enumerate(losses, start=1):
        if monitor(epoch, loss):
            break
    return monitor.best, len(monitor.losses), monitor.diverged


@pytest.mark.parametrize(
    ("losses", "best", "n_epochs", "diverged"),
    [
        ([3, 2, 1], 3, 3, False),
        ([3, 1, 2, 2, 2, 2], 2, 5, False),  # three epochs without an improvement
        ([3, 3 - 1e-5, 3 - 2e-5, 3 - 3e-5, 1], 4, 4, False),  # too little of one
        ([3, 2, 1e3, 1], 2, 3, True),
        ([3, 2, np.nan, 1], 2, 2, True),  # an epoch that broke off is none
        ([np.nan], 0, 0, True),
        ([1e-9, 0.5, 0.5], 1, 3, False),  # many times more, but of nothing
    ],
)
def test_best_epoch_and_last_by_training_loss(losses, best, n_epochs, diverged):
    assert watch(losses) == (best, n_epochs, diverged)


@pytest.mark.parametrize(
    ("scores", "best", "n_epochs"),
    [
        ([(0.9, 1), (0.8, 0.5), (0.7, 0.4), (0.6, 0.3), (1, 0)], 0, 3),  # start was best
        ([(0.5, 1), (0.6, 2), (0.7, 3), (0.8, 4)], 3, 3),
        ([(0.5, 1), (0.5, 0.9), (0.5, 0.8), (0.5, 0.85)], 2, 3),  # the loss decides ties
    ],
)
def test_best_epoch_and_last_by_score(scores, best, n_epochs):
    losses = np.linspace(2, 1, len(scores) - 1)
    assert watch(losses, scores) == (best, n_epochs, False)
