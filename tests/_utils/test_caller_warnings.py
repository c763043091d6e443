"""Every warning points at the line of the caller, however an estimator is called."""

import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
from helpers import make_sets
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline

from otk_sklearn import (
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
)

SETS = make_sets(12, 3, 10)
LABELS = np.arange(12) % 2
TABLE = np.random.default_rng(0).normal(size=(12, 3))
FAR = SetCollection.from_sets(SETS, positions=[np.arange(len(x)) for x in SETS])
FEW = [TABLE[:3], TABLE[1:3]] * 6
NAMED = SetCollection.from_sets(SETS, names=[*"abcdefghijkl"])
ZEROS = np.where(
    np.arange(5)[:, np.newaxis] < 3 + LABELS[:, np.newaxis, np.newaxis], 1.0, 0.0
)
UNLIKE = [x + 3 * label for x, label in zip(SETS, LABELS)]

SMALL = OTKEmbedding(2, n_components=3, random_state=0)
ADAM = {"optimizer": "adam", "learning_rate_init": 1e10, "random_state": 0}

# An estimator, its input, and the warning of both `fit` and `fit_transform`.
CASES = {
    "rows": (SMALL, TABLE, UserWarning, "each of its rows is taken as a set"),
    "positions": (
        clone(SMALL).set_params(position="gaussian"),
        FAR,
        UserWarning,
        "positions lie outside",
    ),
    "zeros": (SMALL, ZEROS * TABLE[:, np.newaxis], UserWarning, "end with rows of zeros"),
    "anchors": (
        clone(SMALL).set_params(n_components=9),
        FEW,
        UserWarning,
        "n_components=9 is more than the 3 distinct",
    ),
    "anchors of windows": (
        KernelMeanEmbedding(n_components=9, filter_size=2),
        FEW,
        UserWarning,
        "n_components=9 is more than",
    ),
    "references": (
        clone(SMALL).set_params(n_references=2, max_iter=1, tol=1e-9),
        SETS,
        ConvergenceWarning,
        "Sinkhorn missed tol",
    ),
    "Gaussians": (
        FisherVectorEmbedding(9, random_state=0),
        FEW,
        UserWarning,
        "n_components=9 is more than the 3 distinct",
    ),
    "mixture": (
        FisherVectorEmbedding(3, max_iter=1, random_state=0),
        SETS,
        ConvergenceWarning,
        "The mixture has not converged within max_iter=1",
    ),
    "classifier": (
        OTKClassifier(SMALL, **ADAM),
        UNLIKE,
        ConvergenceWarning,
        "The loss has diverged",
    ),
    "regressor": (
        OTKRegressor(SMALL, **ADAM),
        UNLIKE,
        ConvergenceWarning,
        "The loss has diverged",
    ),
}

UNCONVERGED = clone(SMALL).set_params(max_iter=1, tol=1e-9)


def heard(call):
    """The warnings of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return caught


def check(call, category, message):
    """A call warns at least once, and each time at a line of this file."""
    caught = [w for w in heard(call) if message in str(w.message)]
    assert caught
    assert {(w.category, w.filename) for w in caught} == {(category, __file__)}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_warnings_of_fit_point_at_the_caller(name):
    model, X, category, message = CASES[name]
    model = clone(model)
    pipeline = make_pipeline(model)
    for call in [
        lambda: model.fit(X, LABELS),
        lambda: model.fit_transform(X, LABELS),
        lambda: pipeline.fit(X, LABELS),
        lambda: pipeline.fit_transform(X, LABELS),
        lambda: cross_validate(pipeline, X, LABELS, cv=2, scoring=lambda *_: 0.0),
    ]:
        check(call, category, message)


@pytest.mark.parametrize(
    "method", ["transform", "kernel_matrix", "transport_plan", "fit_transform"]
)
def test_warnings_of_transform_point_at_the_caller(method):
    model = clone(UNCONVERGED).fit(SETS)
    check(lambda: getattr(model, method)(SETS), ConvergenceWarning, "Sinkhorn missed tol")


def test_warnings_of_names_point_at_the_caller():
    y = pd.Series(LABELS, [*"bacdefghijkl"])
    for call in [clone(SMALL).fit, clone(SMALL).fit_transform, make_pipeline(SMALL).fit]:
        check(lambda call=call: call(NAMED, y), UserWarning, "in another order")
    index = pd.Index(range(12))
    check(
        lambda: SetCollection.from_groups(TABLE, index), UserWarning, "groups is an index"
    )
    frames = [pd.DataFrame(x, columns=["a", "b", "c"]) for x in SETS]
    for fitted_to, X, message in [
        (SETS, frames, "X has feature names, but OTKEmbedding"),
        (frames, SETS, "X does not have valid feature names"),
    ]:
        model = clone(SMALL).fit(fitted_to)
        check(lambda X=X, model=model: model.transform(X), UserWarning, message)
        pipeline = make_pipeline(model)
        check(lambda X=X, model=pipeline: model.transform(X), UserWarning, message)


def test_warnings_of_predictions_point_at_the_caller():
    model = OTKClassifier(UNCONVERGED, max_epochs=1, random_state=0).fit(SETS, LABELS)
    expected = ConvergenceWarning, "Sinkhorn missed tol"
    for method in ["transform", "predict", "predict_proba", "decision_function"]:
        check(lambda method=method: getattr(model, method)(SETS), *expected)
    check(lambda: model.score(SETS, LABELS), *expected)
    check(lambda: make_pipeline(model).predict(SETS), *expected)
    check(lambda: cross_val_predict(model, SETS, LABELS, cv=2), *expected)


def test_warnings_of_partial_fit_point_at_the_caller():
    model = OTKClassifier(SMALL, max_epochs=1, random_state=0).fit(UNLIKE, LABELS)
    model.set_params(learning_rate_init=1e10)
    check(
        lambda: model.partial_fit(UNLIKE, LABELS),
        ConvergenceWarning,
        "The loss has diverged",
    )


def fit_here():
    clone(SMALL).fit(TABLE)


def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def in_pool(function):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function).result()


def in_joblib(function):
    joblib.Parallel(n_jobs=2, backend="threading")([joblib.delayed(function)()] * 2)


@pytest.mark.parametrize("run", [in_thread, in_pool, in_joblib])
def test_warnings_in_threads_point_at_the_function_that_runs_there(run):
    check(lambda: run(fit_here), UserWarning, "each of its rows")


@pytest.mark.parametrize("run", [in_thread, in_pool, in_joblib])
def test_warnings_in_threads_without_a_function_of_the_caller(run):
    """They are told once a call, and from outside this library."""
    caught = heard(lambda: run(partial(clone(SMALL).fit, TABLE)))
    assert {w.category for w in caught} == {UserWarning}
    assert not [w for w in caught if "otk_sklearn" in w.filename]


def test_filters_match_the_module_of_the_caller():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=re.escape(__name__))
        make_pipeline(clone(SMALL)).fit(TABLE)
