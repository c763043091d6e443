"""Series beside sets: a warning where their index says that they are in another order.

scikit-learn takes y by position. In a part of the data, its index has other names than the
sets of that part, and is no permutation of them any more.
"""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import resample, shuffle

from otk_sklearn import (
    ElementTransformer,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
)
from otk_sklearn.inspection import permutation_importance
from otk_sklearn.sets._misalignment import names_of, warn_if_misaligned
from otk_sklearn.sets._validation import as_sets

MESSAGE = r"y has names of sets in its index, in another order"
SMALL = OTKEmbedding(2, n_components=4, random_state=0)
LINEAR = make_pipeline(SetPooling(), StandardScaler(), LogisticRegression())


def cohort(names, seed=0):
    """Sets in the order of these names, and labels in the order of sorted names."""
    random = np.random.default_rng(seed)
    is_ill = {name: i % 2 for i, name in enumerate(sorted(names))}
    values = random.normal(size=(4 * len(names), 2))
    values += 9.0 * np.repeat([is_ill[name] for name in names], 4)[:, np.newaxis]
    X = SetCollection.from_groups(values, np.repeat(np.asarray(names), 4))
    return X, pd.Series([*is_ill.values()], index=[*is_ill])


def shuffled(names):
    return np.random.default_rng(1).permutation(names).tolist()


TEXT = shuffled([f"patient {i:02}" for i in range(40)])
NUMBERS = shuffled(np.arange(1001, 1041))
FROM_0 = shuffled(np.arange(40))


def heard(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught]


def split_and_fit(X, y):
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    return LINEAR.fit(X_train, y_train).score(X_test, y_test)


@pytest.mark.parametrize("names", [TEXT, NUMBERS, FROM_0], ids=["text", "1001", "0"])
@pytest.mark.parametrize(
    "learn",
    [
        lambda X, y: LINEAR.fit(X, y).score(X, y),
        lambda X, y: cross_val_score(LINEAR, X, y).mean(),
        lambda X, y: cross_val_score(LINEAR, X, y, cv=KFold(3, shuffle=True)).mean(),
        lambda X, y: cross_validate(LINEAR, X, y, cv=2)["test_score"].mean(),
        lambda X, y: (
            GridSearchCV(LINEAR, {"setpooling__statistics": [["mean"]]}, cv=2)
            .fit(X, y)
            .best_score_
        ),
        split_and_fit,
        lambda X, y: LINEAR.fit(X[5:25], y[5:25]).score(X, y),
    ],
)
def test_labels_in_another_order_are_noticed_in_every_part(names, learn):
    """The score is that of chance, and 1 in the order that the warning asks for."""
    X, y = cohort(names)
    with pytest.warns(UserWarning, match=MESSAGE + r".*X.align\(y\) .* before any split"):
        assert learn(X, y) < 0.8
    assert learn(X, X.align(y)) == 1
    assert learn(X, y.loc[X.names]) == 1
    assert learn(X, y.loc[X.names].to_numpy()) == 1


def test_the_warning_names_a_set_and_says_how_to_silence_it():
    X, y = cohort(["b", "c", "a"])
    expected = (
        "y has names of sets in its index, in another order: its entry 0 is that of "
        "'a', set 0 of X is 'b'. It is taken by position; X.align(y) has the order of the "
        "sets, to be used before any split. If the order is right already, pass "
        "y.to_numpy()."
    )
    assert heard(lambda: warn_if_misaligned(X, y=y)) == [expected]
    assert heard(lambda: warn_if_misaligned(X, y=y.to_numpy())) == []
    cells = pd.Series(list(X), index=X.names)
    (message,) = heard(lambda: warn_if_misaligned(cells, y=y))
    assert "y.loc[X.index] has the order of the sets" in message
    assert heard(lambda: warn_if_misaligned(cells, y=y.loc[cells.index])) == []


def named(names):
    return SetCollection(np.ones((len(names), 1)), np.arange(len(names) + 1), names=names)


DAYS = pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-03"])


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (["a", "b", "c"], ["b", "c", "d"]),  # one set lost in front, one at the end
        (["a", "b", "c"], ["a", "b", "d"]),
        (["b", "a", "c"], ["x", "y", "b"]),
        ([3, 1, 2], [1, 2, 3]),
        ([3, 1, 2], [1.0, 2.0, 3.0]),
        ([3, 1, 2, 5], [1, 2, 3, 4]),
        (["1001A", 1001, 7], [7, "1001A", 1001]),
        ([("a", 1), ("b", 1)], pd.MultiIndex.from_tuples([("b", 1), ("a", 1)])),
        (DAYS, DAYS.sort_values()),
        (DAYS.astype("datetime64[ns]"), DAYS.sort_values().astype("datetime64[ns]")),
        (DAYS.tz_localize("UTC"), DAYS.tz_localize("UTC").sort_values()),
        (pd.Categorical(["b", "a"]), pd.CategoricalIndex(["a", "b"])),
        ([True, False], [False, True]),
        ([2, 0, 1], pd.RangeIndex(3)),  # pandas makes one of sorted names, too
        ([7, 5, 6, 8], pd.RangeIndex(5, 9)),
    ],
)
def test_labels_that_are_names(names, index):
    y = pd.Series(np.arange(len(names)), index=index)
    for values in [y, y.to_frame()]:
        with pytest.warns(UserWarning, match=MESSAGE):
            warn_if_misaligned(named(names), y=values)


@pytest.mark.parametrize(
    ("names", "index"),
    [
        (["a", "b", "c"], pd.RangeIndex(3)),
        (["a", "b", "c"], ["u", "v", "w"]),
        (["a", "b", "c"], [7, 3, 5]),
        (["a", "b", "c"], ["a", "b", "c"]),
        (["a", "b", "c"], pd.CategoricalIndex(["a", "b", "c"])),
        (["1", "2", "0"], [0, 1, 2]),
        ([True, False, 2], [1, 0, 3]),
        ([3, 2, 1], pd.RangeIndex(3)),  # which counts rows
        ([7, 5, 6, 9], pd.RangeIndex(5, 9)),
        ([1, 2, 3], [0, 1, 2]),  # row numbers, and names in the same order
        ([1, 2, 3, 4], [2, 3, 5, 8]),
        ([2, 9, 7, 8], [0, 3, 6, 9]),  # of `drop_duplicates`: equal by chance
        ([2, 9, 7], [np.nan, 1, 5]),
        (["a", "b"], pd.Index(["b", pd.NA], dtype=object)[[1, 1]]),
        ([3, 1, 2], pd.Index([pd.NA, 4, 5], dtype="Int64")),
        (["a", "b"], pd.Index([["a"], ["b"]])),  # can't be hashed
        ([3.5, 1.5], [1j, 1.5]),
        (["a", "b"], ["b", "a", "c"]),  # another length is another error
    ],
)
def test_labels_that_are_no_names(names, index):
    y = pd.Series(0, index=index)
    assert heard(lambda: warn_if_misaligned(named(names), y=y, weights=None)) == []


def test_what_has_no_index():
    X, y = cohort(TEXT[:6])
    for values in [y.to_list(), y.to_numpy(), pl.Series(y.to_list()), None, 3]:
        assert heard(lambda values=values: warn_if_misaligned(X, y=values)) == []
    assert heard(lambda: warn_if_misaligned(list(X), y=y)) == []
    assert heard(lambda: warn_if_misaligned(X.values, y=y)) == []
    assert heard(lambda: warn_if_misaligned(pd.DataFrame(X.values), y=y)) == []


@pytest.mark.parametrize("names", [TEXT, NUMBERS, sorted(FROM_0)])
def test_no_false_alarm_in_parts_of_labels_by_position(names):
    """Labels in the order of the sets, with an index that only counts or means others."""
    X, y = cohort(names)
    labels = X.align(y)
    indices = [None, [f"sample {i}" for i in range(40)], np.arange(40) * 4]
    for index in indices:
        y = pd.Series(labels, index=index)
        assert heard(lambda y=y: cross_val_score(LINEAR, X, y)) == []
        assert heard(lambda y=y: split_and_fit(X, y)) == []
        assert heard(lambda y=y: LINEAR.fit(*shuffle(X, y, random_state=0))) == []


def test_sets_drawn_repeatedly():
    X, y = cohort(TEXT)
    drawn = resample(X, y.loc[X.names], random_state=0)
    assert heard(lambda: LINEAR.fit(*drawn)) == []
    with pytest.warns(UserWarning, match=MESSAGE):
        LINEAR.fit(*resample(X, y, random_state=0))


@pytest.mark.parametrize(
    "model",
    [
        OTKClassifier(SMALL, max_epochs=1, alpha=1.0),
        OTKRegressor(SMALL, max_epochs=1, alpha=1.0),
    ],
)
def test_every_argument_of_models_that_train(model):
    X, y = cohort(TEXT[:12])
    right, weights = X.align(y), pd.Series(1.0, index=y.index)
    model.fit(X, right, sample_weight=weights.loc[X.names], groups=y.loc[X.names])
    for method in [model.fit, model.partial_fit, model.score]:
        with pytest.warns(UserWarning, match=MESSAGE):
            method(X, y)
        with pytest.warns(UserWarning, match=r"^sample_weight has .* X.align\(sample_wei"):
            method(X, right, sample_weight=weights)
    for method in [model.fit, model.partial_fit]:
        with pytest.warns(UserWarning, match=r"^groups has .* X.align\(groups\)"):
            method(X, right, groups=weights)


def test_scores_are_those_of_scikit_learn():
    X, y = cohort(TEXT[:12])
    y, weights = X.align(y).copy(), np.arange(1.0, 13)
    classifier = OTKClassifier(SMALL, max_epochs=1, alpha=1.0).fit(X, y)
    y[:3] = 1 - y[:3]
    is_right = classifier.predict(X) == y
    assert classifier.score(X, y) == is_right.mean()
    assert classifier.score(X, y, weights) == np.average(is_right, weights=weights)
    regressor = OTKRegressor(SMALL, max_epochs=1, alpha=1.0).fit(X, y)
    errors = (regressor.predict(X) - y) ** 2
    around_mean = (y - np.average(y, weights=weights)) ** 2
    expected = 1 - errors @ weights / (around_mean @ weights)
    assert regressor.score(X, y, sample_weight=weights) == pytest.approx(expected)


@pytest.mark.parametrize(
    "model",
    [
        SMALL,
        KernelMeanEmbedding(2, random_state=0),
        ElementTransformer(StandardScaler()),
    ],
)
def test_weights_and_labels_of_transformers(model):
    X, y = cohort(TEXT[:12])
    weights = pd.Series(1.0, index=y.index)
    for method in [model.fit, model.fit_transform]:
        with pytest.warns(UserWarning, match=r"^sample_weight has names of sets"):
            method(X, sample_weight=weights)
        with pytest.warns(UserWarning, match=MESSAGE):
            method(X, y)
        method(X, X.align(y), sample_weight=X.align(weights))


def test_tables_of_text():
    tables = pd.Series({name: pd.DataFrame({"x": [1.0, 2]}) for name in "bca"})
    y = pd.Series([0, 1, 1], index=["a", "b", "c"])
    with pytest.warns(UserWarning, match=r"y.loc\[X.index\] has the order"):
        ElementTransformer(StandardScaler()).fit(tables, y)
    ElementTransformer(StandardScaler()).fit(tables, y.loc[tables.index])


def test_importance_of_features():
    X, y = cohort(TEXT[:12])
    for model in [LINEAR, OTKClassifier(SMALL, max_epochs=1, alpha=1.0)]:
        model.fit(X, X.align(y))
        with pytest.warns(UserWarning, match=MESSAGE):
            permutation_importance(model, X, y, n_repeats=1, random_state=0)
        permutation_importance(model, X, X.align(y), n_repeats=1, random_state=0)


def test_the_warning_points_at_the_caller():
    X, y = cohort(TEXT[:12])
    model = OTKClassifier(SMALL, max_epochs=1, alpha=1.0).fit(X, X.align(y))
    for call in [
        lambda: model.fit(X, y),
        lambda: model.score(X, y),
        lambda: cross_val_score(model, X, y, cv=2),
        lambda: permutation_importance(model, X, y, n_repeats=1),
    ]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert {w.filename for w in caught} == {__file__}


@pytest.mark.parametrize(
    "X",
    [
        named(["b", "a"]),
        [np.ones((2, 1)), np.ones((1, 1))],
        np.ones((2, 3, 1)),
        pd.Series([np.ones((2, 1)), np.ones((1, 1))], index=["b", "a"]),
        pd.DataFrame({"cells": [np.ones((2, 1)), np.ones((1, 1))]}, index=["b", "a"]),
        pd.DataFrame({"x": [[1, 2], [3]], "y": [[1, 2], [3]]}, index=["b", "a"]),
        pl.Series([[[1.0], [2.0]], [[3.0]]]),
        pd.Series([np.ones((2, 1)), np.ones((1, 1))], index=["a", "a"]),
    ],
    ids=["collection", "list", "array", "Series", "column", "columns", "polars", "twice"],
)
def test_names_are_known_without_a_conversion(X):
    converted = as_sets(X).names
    names = names_of(X)
    assert (names is None) == (converted is None)
    assert names is None or names.tolist() == converted.tolist()


def test_dates_of_any_unit_are_compared():
    """NumPy's lists of dates in nanoseconds are integers."""
    index = pd.date_range("2026-01-01", periods=5).as_unit("ns")
    sets = pd.Series([np.eye(2)] * 5, index=index)
    y = pd.Series(range(5), index=index[::-1])
    with pytest.warns(UserWarning, match=MESSAGE):
        SetPooling().fit(sets, y)
