"""scikit-learn's other tools: what they make of sets is what the guide says."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import resample, shuffle

from otk_sklearn import (
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
)

CLASS = np.random.default_rng(1).permutation(np.arange(36) % 3)
TWO = (CLASS > 0).astype(int)
LABELS = np.column_stack([CLASS == 0, CLASS == 1]).astype(int)
NUMBERS = CLASS + 0.5
EMBEDDING = OTKEmbedding(3, n_components=5, random_state=0, max_iter=2000)

# Trained with labels, and the fastest pipeline that heeds weights of elements.
TRAINED = OTKClassifier(EMBEDDING, max_epochs=1, alpha=1.0, random_state=0)
POOLED = make_pipeline(SetPooling(), LogisticRegression())
REGRESSOR = OTKRegressor(EMBEDDING, max_epochs=1, alpha=1.0, random_state=0)


def make_sets(length=None):
    """Sets of 2 to 7 elements, or all of one length."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 8, len(CLASS)) if length is None else [length] * len(CLASS)
    return [rng.normal(c, 1.0, size=(n, 2)) for c, n in zip(CLASS, lengths)]


def as_array(sets):
    array = np.empty(len(sets), object)
    array[:] = sets
    return array


def probabilities(tool, y=CLASS):
    def outcome(X):
        return np.array(clone(tool).fit(X, y).predict_proba(X))

    return outcome


def numbers(tool, y=NUMBERS):
    return lambda X: clone(tool).fit(X, y).predict(X)


def search(tool, *grid, **params):
    def outcome(X):
        found = tool(POOLED, *grid, cv=2, **params).fit(X, CLASS)
        return found.predict_proba(X)

    return outcome


BOTH = [("trained", TRAINED), ("pooled", POOLED)]
BOTH_REGRESSORS = [("a", REGRESSOR), ("b", make_pipeline(SetPooling(), Ridge()))]
GRID = {"logisticregression__C": [0.1, 1.0]}
NEGATIVE_LOSS = {"cv": 2, "scoring": "neg_log_loss"}
TAKE_SETS = {
    "OneVsRestClassifier": probabilities(OneVsRestClassifier(TRAINED)),
    "MultiOutputClassifier": probabilities(MultiOutputClassifier(TRAINED), LABELS),
    "MultiOutputRegressor": numbers(MultiOutputRegressor(REGRESSOR), LABELS + 0.5),
    "VotingClassifier": probabilities(VotingClassifier(BOTH, voting="soft")),
    "VotingRegressor": numbers(VotingRegressor(BOTH_REGRESSORS)),
    "StackingClassifier": probabilities(StackingClassifier(BOTH, cv=2)),
    "StackingRegressor": numbers(StackingRegressor(BOTH_REGRESSORS, cv=2)),
    "CalibratedClassifierCV": probabilities(CalibratedClassifierCV(TRAINED, cv=2)),
    "TunedThresholdClassifierCV": probabilities(
        TunedThresholdClassifierCV(TRAINED, cv=2), TWO
    ),
    "FixedThresholdClassifier": probabilities(FixedThresholdClassifier(TRAINED), TWO),
    "FrozenEstimator": lambda X: probabilities(
        CalibratedClassifierCV(FrozenEstimator(clone(POOLED).fit(X, CLASS)), cv=2)
    )(X),
    "TransformedTargetRegressor": numbers(
        TransformedTargetRegressor(REGRESSOR, func=np.log, inverse_func=np.exp)
    ),
    "GridSearchCV": search(GridSearchCV, GRID),
    "RandomizedSearchCV": search(RandomizedSearchCV, GRID, n_iter=2, random_state=0),
    "HalvingGridSearchCV": search(
        HalvingGridSearchCV, GRID, min_resources=12, random_state=0
    ),
    "cross_validate": lambda X: cross_validate(POOLED, X, CLASS, **NEGATIVE_LOSS)[
        "test_score"
    ],
    "cross_val_predict": lambda X: cross_val_predict(
        TRAINED, X, CLASS, cv=2, method="predict_log_proba"
    ),
    "learning_curve": lambda X: learning_curve(
        POOLED, X, CLASS, train_sizes=[0.5, 1.0], **NEGATIVE_LOSS
    )[2],
    "validation_curve": lambda X: validation_curve(
        POOLED,
        X,
        CLASS,
        param_name="logisticregression__C",
        param_range=[0.1, 1.0],
        **NEGATIVE_LOSS,
    )[1],
    "permutation_test_score": lambda X: permutation_test_score(
        POOLED, X, CLASS, n_permutations=2, random_state=0, **NEGATIVE_LOSS
    )[1],
    "train_test_split": lambda X: SetPooling().fit_transform(
        train_test_split(X, random_state=0)[0]
    ),
    "resample": lambda X: SetPooling().fit_transform(resample(X, random_state=0)),
    "shuffle": lambda X: SetPooling().fit_transform(shuffle(X, random_state=0)),
    "FeatureUnion": make_union(EMBEDDING, SetPooling()).fit_transform,
    "FunctionTransformer": make_pipeline(FunctionTransformer(), POOLED[0]).fit_transform,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TAKE_SETS)
def test_what_takes_sets_takes_all_kinds(name):
    """With the same result, and with the weights of elements."""
    X, outcome = make_sets(), TAKE_SETS[name]
    expected = outcome(X)
    collection = SetCollection.from_sets(X)
    for same in [collection, as_array(X)]:
        assert_allclose(outcome(same), expected, rtol=1e-12, atol=1e-12)
    rng = np.random.default_rng(2)
    weights = [rng.uniform(0.1, 2, size=len(x)) for x in X]
    weighted = outcome(SetCollection.from_sets(X, weights=weights))
    assert weighted.shape == expected.shape
    assert not np.allclose(weighted, expected, rtol=1e-6)


CLASSIFIERS = {
    "BaggingClassifier": BaggingClassifier(n_estimators=3, random_state=0),
    "AdaBoostClassifier": AdaBoostClassifier(n_estimators=3, random_state=0),
    "OneVsOneClassifier": OneVsOneClassifier(LogisticRegression()),
    "StackingClassifier": StackingClassifier(
        [("a", LogisticRegression())], passthrough=True, cv=2
    ),
    "RFE": RFE(LogisticRegression(), n_features_to_select=3),
}
REGRESSORS = {
    "BaggingRegressor": BaggingRegressor(n_estimators=3, random_state=0),
    "AdaBoostRegressor": AdaBoostRegressor(n_estimators=3, random_state=0),
}
CHAINS = {
    "ClassifierChain": (ClassifierChain(LogisticRegression()), LABELS),
    "RegressorChain": (RegressorChain(Ridge()), LABELS + 0.5),
}
SELECTORS = {
    "SequentialFeatureSelector": SequentialFeatureSelector(
        LogisticRegression(), n_features_to_select=2, cv=2
    ),
    "SelectFromModel": SelectFromModel(LogisticRegression()),
}
PARTLY_LABELLED = np.where(np.arange(36) % 4, CLASS, -1)
WANT_TABLES = {
    "SelfTrainingClassifier": (
        SelfTrainingClassifier(LogisticRegression()),
        PARTLY_LABELLED,
    ),
    **{name: (tool, CLASS) for name, tool in CLASSIFIERS.items()},
    **{name: (tool, NUMBERS) for name, tool in REGRESSORS.items()},
    **CHAINS,
    **{name: (tool, CLASS) for name, tool in SELECTORS.items()},
}


@pytest.mark.parametrize("name", WANT_TABLES)
def test_what_wants_a_table_comes_after_the_embedding(name):
    tool, y = WANT_TABLES[name]
    X = make_sets()
    collection = SetCollection.from_sets(X, weights=[np.arange(1.0, len(x) + 1) for x in X])
    for sets in [X, collection, as_array(X)]:
        with pytest.raises((TypeError, ValueError)):
            clone(tool).fit(sets, y)
    with pytest.raises(TypeError, match=r"not an array.*make_pipeline\(OTKEmbedding\(\)"):
        clone(tool).fit(collection, y)
    outputs = "transform" if name in SELECTORS else "predict"
    model = make_pipeline(clone(EMBEDDING), clone(tool)).fit(collection, y)
    alone = clone(tool).fit(clone(EMBEDDING).fit_transform(collection), y)
    embedded = EMBEDDING.fit(collection).transform(collection)
    assert_array_equal(
        getattr(model, outputs)(collection), getattr(alone, outputs)(embedded)
    )


@pytest.mark.parametrize("inspect", [permutation_importance, partial_dependence])
def test_inspection_is_of_columns_of_the_embedding(inspect):
    X = make_sets()
    model = make_pipeline(clone(EMBEDDING), LogisticRegression()).fit(X, TWO)
    of = {"features": [0]} if inspect is partial_dependence else {"y": TWO}
    for sets in [X, SetCollection.from_sets(X)]:
        with pytest.raises((TypeError, ValueError, IndexError)):
            inspect(model, sets, **of)
    inspect(model[-1], model[:-1].transform(X), **of)


@pytest.mark.parametrize(
    "tool", [AdaBoostClassifier(TRAINED), AdaBoostRegressor(REGRESSOR)]
)
def test_boosting_takes_an_array_of_sets_of_one_size_but_no_collection(tool):
    """It would take its sets for arrays, without their weights and positions."""
    X = make_sets(length=4)
    tool = clone(tool).set_params(n_estimators=2, random_state=0)
    y = CLASS if isinstance(tool, AdaBoostClassifier) else NUMBERS
    assert len(tool.fit(X, y).predict(X)) == len(X)
    collection = SetCollection.from_sets(X, weights=[np.arange(1.0, 5)] * len(X))
    with pytest.raises(TypeError, match="not an array"):
        clone(tool).fit(collection, y)


def test_a_label_of_all_sets_wants_a_table():
    """scikit-learn's constant classifier does; ours doesn't."""
    X = make_sets()
    labels = np.column_stack([np.ones(36), TWO]).astype(int)
    with (
        pytest.warns(UserWarning, match="Label 0 is present in all"),
        pytest.raises(ValueError, match="inhomogeneous"),
    ):
        OneVsRestClassifier(TRAINED).fit(X, labels)
    assert clone(TRAINED).fit(X, labels).predict(X)[:, 0].all()


def test_a_function_of_arrays_does_not_get_a_collection():
    X = make_sets(length=4)
    with pytest.raises(TypeError, match="not an array"):
        FunctionTransformer(np.log1p).fit_transform(SetCollection.from_sets(X))


def test_a_dummy_takes_anything():
    assert DummyClassifier().fit(make_sets(), CLASS).score(make_sets(), CLASS) == 1 / 3
