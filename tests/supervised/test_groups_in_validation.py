"""`groups`: sets of one patient or speaker are not both trained on and judged."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
)
from otk_sklearn.supervised._losses import LogisticLoss, SoftmaxLoss, SquaredLoss
from otk_sklearn.supervised._problem import Problem

every_estimator = pytest.mark.parametrize("estimator", [OTKClassifier, OTKRegressor])


def make(estimator, **params):
    embedding = OTKEmbedding(8, n_components=24, max_iter=2000)
    small = estimator(embedding, max_epochs=3, random_state=0, early_stopping=True)
    return small.set_params(**params)


def make_patients(n_patients=40, n_sets=6, seed=0):
    """Noisy sets of each patient, who has a place, and an outcome that means nothing."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), n_sets)
    places = 3 * rng.normal(size=(n_patients, 3))
    outcomes = np.arange(n_patients) % 2
    X = [places[patient] + 0.2 * rng.normal(size=(8, 3)) for patient in patients]
    return X, outcomes[patients], patients


# --- the leak, and its cure ---


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["classes", "labels", "numbers"])
def test_patients_that_are_known_by_heart_are_not_validated_on(targets):
    """Scores of sets whose patient was trained on are those of memory."""
    X, y, patients = make_patients(60, 4)
    estimator, chance = OTKClassifier, 0.5
    if targets == "labels":
        y = np.column_stack([y, y])
    if targets == "numbers":
        estimator, chance = OTKRegressor, 0.0
    model = make(estimator, validation_fraction=0.5)
    leaking = model.fit(X, y).validation_scores_
    penalty = model.alpha_
    scores = model.fit(X, y, groups=patients).validation_scores_
    assert max(leaking) > chance + 0.3
    assert max(scores) < chance + 0.25
    assert model.alpha_ > 10 * penalty  # the folds know: there is nothing to learn
    honest = cross_val_score(model, X, y, groups=patients, cv=GroupKFold(3))
    assert honest.mean() < chance + 0.25


def test_penalty_is_that_of_cross_validation_without_one_group():
    rng = np.random.default_rng(0)
    X, y, _ = make_patients()
    groups = rng.permutation(np.repeat(["a", "b", "c"], 80))
    model = make(OTKClassifier, trainable=[], early_stopping=False)
    Xt = model.fit(X, y, groups=groups).transform(X)
    alphas = [100.0, 10.0, 1.0, 0.1, 0.01, 0.001]
    losses = np.zeros(len(alphas))
    for train, test in LeaveOneGroupOut().split(Xt, y, groups):
        for i, alpha in enumerate(alphas):
            linear = LogisticRegression(C=1 / alpha, tol=1e-6, max_iter=100_000)
            probability = linear.fit(Xt[train], y[train]).predict_proba(Xt[test])
            losses[i] += log_loss(y[test], probability, normalize=False)
    assert model.alpha_ == alphas[losses.argmin()]


@every_estimator
def test_penalty_of_partial_fit_respects_groups(estimator):
    X, y, patients = make_patients(20)
    model = make(estimator, early_stopping=False, trainable=[]).fit(X, y, groups=patients)
    first = make(estimator, early_stopping="auto").partial_fit(X, y, groups=patients)
    assert first.alpha_ == model.alpha_
    assert (
        first.alpha_ > 10 * make(estimator, early_stopping="auto").partial_fit(X, y).alpha_
    )
    first.partial_fit(X, y)


# --- splits ---


def make_problem(loss, groups, seed=0):
    rng = np.random.default_rng(seed)
    n_sets = len(groups)
    sets = SetCollection(rng.normal(size=(n_sets, 2)), np.arange(n_sets + 1))
    if isinstance(loss, SquaredLoss):
        targets = rng.normal(size=(n_sets, 2))
    elif isinstance(loss, SoftmaxLoss):
        targets = np.eye(3)[rng.integers(0, 3, n_sets)]
    else:
        targets = rng.integers(0, 2, (n_sets, 1))
    return Problem(sets, targets, np.ones(n_sets), loss, groups=np.asarray(groups))


@pytest.mark.slow
@pytest.mark.parametrize("loss", [SoftmaxLoss(), LogisticLoss(), SquaredLoss()])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.4, 0.9, 0.999])
@pytest.mark.parametrize("n_groups", [2, 3, 17, 60])
def test_whole_groups_are_held_out(n_groups, fraction, loss):
    groups = np.arange(240) % n_groups
    problem = make_problem(loss, groups)
    held = set()
    for seed in range(20):
        train, test = problem.split(fraction, np.random.RandomState(seed))
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(240))
        assert 0 < len(test) < 240
        assert not set(groups[train]) & set(groups[test])
        nearest = np.clip(round(fraction * n_groups), 1, n_groups - 1)
        assert abs(len(np.unique(groups[test])) - nearest) <= max(1, n_groups // 20)
        held.add(tuple(test))
    assert len(held) > 1  # random_state decides


@pytest.mark.parametrize("loss", [SoftmaxLoss(), LogisticLoss(), SquaredLoss()])
@pytest.mark.parametrize("n_groups", [2, 3, 17])
def test_folds_part_no_group(n_groups, loss):
    groups = np.random.default_rng(0).permutation(np.arange(120) % n_groups)
    folds = make_problem(loss, groups).folds(np.random.RandomState(0))
    assert len(folds) == min(3, n_groups)
    assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(120))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(120))
        assert len(test) >= 120 // len(folds) - 12


def test_held_out_groups_are_stratified():
    """Of 40 patients, of whom 10 are ill: 4 are held out, and 1 of them is ill."""
    groups = np.repeat(np.arange(40), 6)
    problem = make_problem(LogisticLoss(), groups)
    problem = problem._replace(targets=(groups % 4 == 0)[:, np.newaxis].astype(float))
    for seed in range(5):
        _, test = problem.split(0.1, np.random.RandomState(seed))
        assert len(test) == 24
        assert problem.targets[test].sum() in (0, 6, 12)


def test_a_group_of_most_sets_is_trained_on():
    groups = np.repeat(np.arange(21), [200, *[5] * 20])
    for loss in [LogisticLoss(), SquaredLoss(), SoftmaxLoss()]:
        problem = make_problem(loss, groups)
        for seed in range(5):
            _, test = problem.split(0.1, np.random.RandomState(seed))
            assert 0 not in groups[test]


def test_classes_of_few_sets_are_no_obstacle():
    """scikit-learn's splitters warn of classes with fewer members than folds."""
    groups = np.arange(60) % 20
    problem = make_problem(SoftmaxLoss(), groups)
    rare = np.eye(4)[[3, *[0] * 30, *[1] * 25, *[2] * 4]]
    problem = problem._replace(targets=rare)
    problem.split(0.1, np.random.RandomState(0))
    problem.folds(np.random.RandomState(0))
    singles = problem._replace(targets=np.eye(60))
    singles.split(0.1, np.random.RandomState(0))
    singles.folds(np.random.RandomState(0))


# --- what must not matter, and what must ---


@every_estimator
def test_neither_names_of_groups_nor_the_order_of_sets_matter(estimator):
    X, y, patients = make_patients(12)
    model = make(estimator, max_epochs=1).fit(X, y, groups=patients)
    expected, coef = model.validation_scores_, model.coef_
    names = np.array([f"patient {100 - i}" for i in patients])
    order = np.random.default_rng(0).permutation(len(X))
    pandas = pytest.importorskip("pandas")
    for groups in [
        names,
        names.tolist(),
        pandas.Series(names, dtype="category"),
        7.5 - patients,
    ]:
        model.fit(X, y, groups=groups)
        assert_array_equal(model.validation_scores_, expected)
        assert_array_equal(model.coef_, coef)
    model.fit([X[i] for i in order], y[order], groups=names[order])
    assert_array_equal(model.validation_scores_, expected)


def test_equal_sets_of_different_groups_stay_apart():
    sets = SetCollection(np.zeros((6, 1)), np.arange(7))
    groups = np.array([5, 5, 1, 1, 1, 9])
    problem = Problem(
        sets, np.ones((6, 1)), np.arange(1.0, 7), SquaredLoss(), groups=groups
    )
    windows = {"filter_size": 1, "padding": "valid", "position": None}
    distinct = problem.distinct(**windows)
    assert len(distinct.sets) == 3
    assert_array_equal(np.sort(distinct.weights), [3, 6, 12])
    assert_array_equal(np.sort(distinct.groups), [0, 1, 2])
    assert len(problem._replace(groups=None).distinct(**windows).sets) == 1


def test_sets_of_weight_zero_are_in_no_group():
    X, y, patients = make_patients(8)
    weights = (patients < 6).astype(float)
    model = make(OTKClassifier, max_epochs=1).fit(X, y, weights, patients)
    kept = 36
    alone = make(OTKClassifier, max_epochs=1).fit(X[:kept], y[:kept], None, patients[:kept])
    assert_array_equal(alone.coef_, model.coef_)
    assert alone.validation_scores_ == model.validation_scores_
    with pytest.raises(ValueError, match="groups has 1 distinct label"):
        model.fit(X, y, (patients == 3).astype(float), patients)


def test_warm_start_takes_groups_again():
    X, y, patients = make_patients(12)
    model = make(OTKClassifier, warm_start=True).fit(X, y, groups=patients)
    model.fit(X, y, groups=patients)
    assert max(model.validation_scores_) <= 1.0
    with pytest.raises(ValueError, match="groups has shape"):
        model.fit(X, y, groups=patients[1:])


# --- errors ---


@every_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(11), r"groups has shape \(11,\); expected one label a set, \(12,\)"),
        (np.ones((12, 1)), r"groups has shape \(12, 1\); expected one label a set"),
        ([*range(11), np.nan], "groups has no label in set 11; expected one for every set"),
        ([*"abcdefghijk", None], "groups has no label in set 11"),
        ([*range(11), {}], "groups has labels that can't be told apart"),
        ("patient", r"groups has shape \(\)"),
        ([0] * 12, r"groups has 1 distinct label where .*; expected at least 2 .*, or"),
    ],
    ids=str,
)
def test_groups_that_are_none(estimator, method, groups, message):
    X, y, _ = make_patients(2)
    model = make(estimator, early_stopping="auto")
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X, y, groups=groups)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_one_group_needs_neither_folds_nor_sets_held_out():
    X, y, _ = make_patients(2)
    one = ["only"] * len(X)
    with pytest.raises(ValueError, match="where sets are held out.*early_stopping=False"):
        make(OTKClassifier).fit(X, y, groups=one)
    model = make(OTKClassifier, early_stopping=False)
    with pytest.raises(
        ValueError, match="where alpha='cv' is cross-val.*alpha as a number"
    ):
        model.fit(X, y, groups=one)
    model.set_params(alpha=1.0).fit(X, y, groups=one)


# --- as scikit-learn hands them on ---


@every_estimator
def test_groups_are_routed_to_the_splitter_and_to_fit(estimator):
    X, y, patients = make_patients(9)
    folds = GroupKFold(3)
    by_hand = []
    for train, test in folds.split(X, y, patients):
        model = make(estimator, max_epochs=1)
        model.fit([X[i] for i in train], y[train], groups=patients[train])
        by_hand.append(model.score([X[i] for i in test], y[test]))
    with sklearn.config_context(enable_metadata_routing=True):
        model = make(estimator, max_epochs=1).set_fit_request(groups=True)
        model.set_partial_fit_request(groups=True)
        params = {"groups": patients}
        assert_array_equal(cross_val_score(model, X, y, cv=folds, params=params), by_hand)
        scaled = make_pipeline(ElementTransformer(StandardScaler()), model)
        scores = cross_validate(
            scaled, X, y, cv=folds, params=params, return_estimator=True
        )
        for (train, _), fitted in zip(folds.split(X, y, patients), scores["estimator"]):
            parts = [X[i] for i in train]
            scaled.fit(parts, y[train], groups=patients[train])
            assert_array_equal(fitted[-1].coef_, scaled[-1].coef_)


def test_groups_are_passed_by_the_name_of_the_step():
    X, y, patients = make_patients(9)
    model = make(OTKClassifier, max_epochs=1)
    expected = model.fit(X, y, groups=patients).coef_
    pipeline = make_pipeline(model).fit(X, y, otkclassifier__groups=patients)
    assert_array_equal(pipeline[-1].coef_, expected)
    result = cross_validate(
        model, X, y, cv=KFold(2), params={"groups": patients}, return_estimator=True
    )
    train, _ = next(KFold(2).split(X))
    part = [X[i] for i in train]
    expected = model.fit(part, y[train], groups=patients[train]).coef_
    assert_array_equal(result["estimator"][0].coef_, expected)


def test_scores_of_callbacks_take_no_groups():
    """The monitor passes on what it is told to the scorer, which knows no groups."""
    callback = pytest.importorskip("sklearn.callback")
    X, y, patients = make_patients(9)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = make(OTKClassifier, max_epochs=1).set_callbacks(monitor)
    model.fit(X, y, np.ones(len(X)), patients)
