"""Importances of features, against scores computed by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ElementTransformer,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SetCollection,
    SetPooling,
)
from otk_sklearn.inspection import permutation_importance

LABELS = np.arange(60) % 2


def labelled_sets(seed=0):
    """Sets whose first feature tells the label, the second one nothing."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 9, len(LABELS))
    return [random.normal([3.0 * y, 0.0], size=(n, 2)) for y, n in zip(LABELS, lengths)]


OF_SETS = OTKEmbedding(2, n_components=8, random_state=0)
MODELS = {
    "pipeline": make_pipeline(
        ElementTransformer(StandardScaler()),
        OF_SETS,
        StandardScaler(),
        LogisticRegression(),
    ),
    "classifier": OTKClassifier(OF_SETS, alpha=1.0, max_epochs=2, random_state=0),
    "search": GridSearchCV(
        make_pipeline(OF_SETS, LogisticRegression()), {"otkembedding__epsilon": [0.1]}, cv=2
    ),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_feature_that_decides_is_important_and_the_other_is_not(model):
    model = clone(model).fit(labelled_sets(), LABELS)
    found = permutation_importance(model, labelled_sets(1), LABELS, random_state=0)
    assert found.importances.shape == (2, 5)
    assert found.importances_mean[0] > 0.2
    assert abs(found.importances_mean[1]) < 0.05
    assert_array_equal(found.importances_mean, found.importances.mean(axis=1))
    assert_array_equal(found.importances_std, found.importances.std(axis=1))


def test_scores_are_those_of_all_permutations_of_three_values():
    """A linear model of the means of two sets, of three elements together."""
    X = [[[1.0, 5.0], [2.0, 5.0]], [[6.0, 5.0]]]
    y = np.array([1.5, 6.0])
    model = make_pipeline(SetPooling("mean"), LinearRegression()).fit(X, y)
    coef, intercept = model[-1].coef_[0], model[-1].intercept_
    losses = []
    for a, b, c in itertools.permutations([1.0, 2.0, 6.0]):
        predicted = coef * np.array([(a + b) / 2, c]) + intercept
        residual, total = ((predicted - y) ** 2).sum(), ((y - y.mean()) ** 2).sum()
        losses.append(residual / total)  # 1 minus R^2, of which the model's own is 1
    found = permutation_importance(model, X, y, n_repeats=300, random_state=0)
    distance = np.abs(found.importances[0][:, np.newaxis] - losses).min(axis=1)
    assert distance.max() < 1e-9
    error = np.std(losses) / np.sqrt(300)
    assert abs(found.importances_mean[0] - np.mean(losses)) < 4 * error
    assert_allclose(found.importances[1], 0, atol=1e-12)  # all values are equal


def test_only_one_feature_changes_and_keeps_its_values(sets):
    """Those of weight 0 stay where they are: such elements are absent."""
    random = np.random.default_rng(0)
    weights = [random.integers(0, 3, len(x)) + (np.arange(len(x)) == 0) for x in sets]
    X = SetCollection.from_sets(
        sets, weights=weights, positions=[random.uniform(size=len(x)) for x in sets]
    )
    present = X.weights > 0
    seen = []

    def scorer(estimator, X, y, sample_weight):
        assert y is LABELS
        assert sample_weight == [1, 2]
        seen.append(X)
        return float(len(seen))

    model = SetPooling("mean").fit(X)
    found = permutation_importance(
        model, X, LABELS, scoring=scorer, n_repeats=2, sample_weight=[1, 2]
    )
    assert_array_equal(found.importances, 1.0 - np.arange(2, 10).reshape(4, 2))
    assert_array_equal(seen[0].values, X.values)
    for call, permuted in enumerate(seen[1:]):
        feature, others = call // 2, np.arange(4) != call // 2
        assert_array_equal(permuted.values[:, others], X.values[:, others])
        assert_array_equal(permuted.values[~present], X.values[~present])
        before, after = X.values[present, feature], permuted.values[present, feature]
        assert_array_equal(np.sort(after), np.sort(before))
        assert (before != after).mean() > 0.8
        for name in ("offsets", "weights", "positions"):
            assert_array_equal(getattr(permuted, name), getattr(X, name))


def test_scores_are_weighted_and_chosen():
    X, sample_weight = labelled_sets(), np.arange(60) % 3
    model = make_pipeline(KernelMeanEmbedding(4, random_state=0), LogisticRegression())
    model.fit(X, LABELS)
    options = {"random_state": 1, "n_repeats": 2, "sample_weight": sample_weight}
    found = permutation_importance(model, X, LABELS, scoring="balanced_accuracy", **options)

    def score(estimator, X, y, sample_weight):
        predicted = estimator.predict(X)
        return balanced_accuracy_score(y, predicted, sample_weight=sample_weight)

    expected = permutation_importance(model, X, LABELS, scoring=score, **options)
    assert_array_equal(found.importances, expected.importances)
    assert np.ptp(found.importances) > 0


def test_equal_seeds_give_equal_bits_for_any_number_of_threads():
    X = labelled_sets()
    model = make_pipeline(SetPooling(), Ridge()).fit(X, LABELS)
    expected = permutation_importance(model, X, LABELS, random_state=3).importances
    for n_jobs in (1, 2, -1):
        found = permutation_importance(model, X, LABELS, random_state=3, n_jobs=n_jobs)
        assert_array_equal(found.importances, expected)
    other = permutation_importance(model, X, LABELS, random_state=4).importances
    assert (other != expected).any()


def test_wrong_arguments_are_named():
    X = labelled_sets()
    model = make_pipeline(SetPooling(), Ridge())
    with pytest.raises(NotFittedError):
        permutation_importance(model, X, LABELS)
    model.fit(X, LABELS)
    with pytest.raises(ValueError, match="'n_repeats' parameter of permutation_importance"):
        permutation_importance(model, X, LABELS, n_repeats=0)
    with pytest.raises(ValueError, match="scoring"):
        permutation_importance(model, X, LABELS, scoring="no score")
    with pytest.raises(ValueError, match="X has 3 features, but SetPooling is expecting 2"):
        permutation_importance(model, [np.ones((4, 3))] * 60, LABELS)


def test_features_have_the_names_of_a_table():
    """Which the estimator finds in the permuted sets, too: it would warn without them."""
    tables = [pd.DataFrame(x, columns=["tells", "noise"]) for x in labelled_sets()]
    model = make_pipeline(SetPooling(), LogisticRegression()).fit(tables, LABELS)
    found = permutation_importance(model, tables, LABELS, random_state=0)
    assert found.feature_names.tolist() == ["tells", "noise"]
    model.fit(labelled_sets(), LABELS)
    expected = permutation_importance(model, labelled_sets(), LABELS, random_state=0)
    assert expected.feature_names is None
    assert_array_equal(found.importances, expected.importances)
