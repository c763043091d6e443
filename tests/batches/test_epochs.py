"""Training on batches: starts from a sample, like `partial_fit` and as well as `fit`."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from otk_sklearn import OTKClassifier, OTKEmbedding, OTKRegressor, SetCollection
from otk_sklearn.batches import SetSampler, fit_batches


def problem(n_sets, seed, noise=1.5):
    """Sets of two kinds of elements, in shares by class, as names and labels tell."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n_sets)
    lengths = rng.integers(20, 40, n_sets)
    kinds = rng.random(lengths.sum()) < np.repeat(0.25 + 0.25 * y, lengths)
    values = 2.0 * kinds[:, np.newaxis] + rng.standard_normal((len(kinds), 3)) * noise / 3
    return SetCollection(values, np.concatenate([[0], np.cumsum(lengths)])), y


def cut(X, y, size=30):
    return [(X[i : i + size], y[i : i + size]) for i in range(0, len(X), size)]


def estimator(**params):
    embedding = OTKEmbedding(n_supports=3, n_components=8)
    return OTKClassifier(embedding, random_state=0, **params)


def test_is_partial_fit_from_a_sample_on():
    X, y = problem(120, 0)
    batches, sample = cut(X, y), (X[:40], y[:40])
    trained = fit_batches(estimator(), batches, sample=sample, n_epochs=2)
    expected = estimator().partial_fit(*sample)
    for part in [*batches, *batches]:
        expected.partial_fit(*part)
    assert_array_equal(trained.coef_, expected.coef_)
    assert_array_equal(trained.embedding_.references_, expected.embedding_.references_)
    assert trained.n_iter_ == 9
    again = fit_batches(trained, batches, n_epochs=1)
    assert again is trained
    assert trained.n_iter_ == 13


def test_scores_as_fit_does():
    (X, y), test = problem(400, 0), problem(300, 1)
    X = SetCollection(X.values, X.offsets, names=range(len(X)))
    sampler = SetSampler(3000, random_state=0)
    for part, _ in cut(X, y):
        sampler.update(part)
    sample = sampler.sample()
    trained = fit_batches(
        estimator(), lambda: iter(cut(X, y)), sample=(sample, y[sample.names]), n_epochs=3
    )
    assert len(sample) < 110
    fitted = estimator().fit(X, y).score(*test)
    assert fitted > 0.6
    assert trained.score(*test) > fitted - 0.05


def test_the_best_state_on_other_batches_is_kept():
    X, y = problem(200, 0)
    train, rest = cut(X[:120], y[:120]), cut(X[120:], y[120:])
    clf = estimator(learning_rate_init=0.5)  # far too much
    sample, states = (X[:60], y[:60]), []

    def validation():
        states.append(None)
        return iter(rest)

    best = fit_batches(clf, train, sample=sample, n_epochs=4, validation=validation)
    scores = []
    for n_epochs in range(1, 5):
        other = estimator(learning_rate_init=0.5)
        fit_batches(other, train, sample=sample, n_epochs=n_epochs)
        scores.append(other.score(X[120:], y[120:]))
    scores.append(
        estimator(learning_rate_init=0.5).partial_fit(*sample).score(X[120:], y[120:])
    )
    assert len(set(scores)) > 1
    assert best.score(X[120:], y[120:]) == max(scores)
    assert len(states) == 5


def test_classes_that_are_not_in_the_sample():
    X, y = problem(120, 0)
    few = np.flatnonzero(y > 0)[:30]
    trained = fit_batches(
        estimator(), cut(X, y), sample=(X[few], y[few]), classes=[0, 1, 2], n_epochs=8
    )
    assert_array_equal(trained.classes_, [0, 1, 2])
    assert trained.score(X, y) > 0.5
    with pytest.raises(ValueError, match="previously unseen|y has|classes"):
        fit_batches(estimator(), cut(X, y), sample=(X[few], y[few]))


def test_regression():
    X, y = problem(150, 0)
    embedding = OTKEmbedding(n_supports=3, n_components=8)
    regressor = OTKRegressor(embedding, random_state=0)
    fit_batches(
        regressor, cut(X, y * 1.0), sample=(X[:60], y[:60] * 1.0), validation=[(X, y)]
    )
    assert regressor.score(X, y) > 0.6


def test_sorted_batches_are_noticed():
    X, y = problem(300, 0)
    order = np.argsort(y, kind="stable")
    batches, sample = cut(X[order], y[order]), (X[:100], y[:100])
    message = "All 30 sets of batch 0 have the label 0, and .*% of the sample"
    with pytest.warns(UserWarning, match=message) as caught:
        fit_batches(estimator(), batches, sample=sample, n_epochs=1)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_empty_batches_take_no_part():
    X, y = problem(60, 0)
    parts = cut(X, y)
    batches = [(X[:0], y[:0]), parts[0], (X[:0], y[:0]), parts[1]]
    a = fit_batches(estimator(), batches, sample=(X, y), n_epochs=1)
    b = fit_batches(estimator(), parts, sample=(X, y), n_epochs=1)
    assert_array_equal(a.coef_, b.coef_)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sample": None}, ValueError, "sample is None, and the estimator is not fitted"),
        (
            {"batches": "iterator"},
            TypeError,
            "batches is an iterator, list_it",
        ),
        (
            {"batches": "factory"},
            ValueError,
            "batches has none in epoch 1; expected",
        ),
        ({"batches": "sets"}, TypeError, r"batch 0 is SetCollection; expected a pair"),
        ({"sample": "sets"}, TypeError, r"sample is SetCollection; expected a pair"),
        ({"validation": []}, ValueError, "validation has no sets; expected a function"),
        ({"validation": "iterator"}, TypeError, "validation is an iterator"),
        ({"n_epochs": 0}, ValueError, "n_epochs == 0, must be >= 1"),
        ({"batches": "labels"}, ValueError, r"y has the classes \[7\]"),
    ],
)
def test_errors_leave_the_estimator_as_it_was(options, error, message):
    X, y = problem(60, 0)
    parts = cut(X, y)
    iterator = iter(parts)
    known = {
        "iterator": iterator,
        "factory": lambda: iterator,
        "sets": [X[:9]] if "batches" in options else X,
        "labels": [parts[0], (X[:3], [7, 0, 1])],
    }
    options = {
        key: known[value] if isinstance(value, str) else value
        for key, value in options.items()
    }
    options = {"batches": parts, "sample": (X, y), "n_epochs": 2} | options
    clf = estimator()
    before = copy.copy(vars(clf))
    with pytest.raises(error, match=message) as raised:
        fit_batches(clf, options.pop("batches"), **options)
    assert vars(clf) == before
    if "classes" in message:
        assert raised.value.__notes__ == ["In batch 1 of epoch 0."]


@pytest.mark.parametrize("wrap", [lambda clf: clf.embedding, make_pipeline])
def test_other_estimators_are_refused(wrap):
    X, y = problem(60, 0)
    expected = "estimator is .*; expected an OTKClassifier or an OTKRegressor, without"
    with pytest.raises(TypeError, match=expected):
        fit_batches(wrap(estimator()), cut(X, y), sample=(X, y))
