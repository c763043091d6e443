"""Columns of DataFrames whose labels are not strings: no names, but an order."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
)

VALUES = np.random.default_rng(0).normal(size=(12, 3))
IDS = np.repeat(list("abcd"), 3)
LABELS = {
    "integers": [10, 20, 30],
    "default": [0, 1, 2],
    "not in order": [2, 0, 1],
    "tuples": [("f", "x"), ("f", "y"), ("g", "x")],
    "floats": [0.5, 1.5, 2.5],
}


def frame(labels):
    columns = labels
    if isinstance(labels[0], tuple):
        columns = pd.MultiIndex.from_tuples(labels)
    return pd.DataFrame(VALUES, columns=columns)


def by_id(table):
    return [table.iloc[3 * i : 3 * i + 3] for i in range(4)]


# How tables become input.
FORMS = {
    "groups": lambda table: SetCollection.from_groups(table, IDS),
    "a list of tables": by_id,
    "a Series of tables": lambda table: pd.Series(by_id(table)),
    "from_sets": lambda table: SetCollection.from_sets(by_id(table)),
    "packed": lambda table: SetCollection(table, [0, 3, 6, 9, 12]),
    "a table of rows": lambda table: table,
    "chosen": lambda table: SetCollection.from_groups(table, IDS)[[0, 1, 2, 3]],
    "stored": lambda table: pickle.loads(
        pickle.dumps(SetCollection.from_groups(table, IDS))
    ),
    "copied": lambda table: copy.deepcopy(SetCollection.from_groups(table, IDS)),
    "joined": lambda table: SetCollection.concatenate(
        [SetCollection(table, [0, 6, 12]), SetCollection(table, [0, 12])]
    ),
}


@pytest.mark.filterwarnings("ignore:X is 2-D")
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("form", FORMS)
def test_columns_in_another_order_are_an_error(form, labels):
    """They were taken in the order in which they came, silently."""
    table, make = frame(LABELS[labels]), FORMS[form]
    swapped = table.iloc[:, [0, 2, 1]]
    model = SetPooling().fit(make(table))
    expected = model.transform(make(table))
    assert not hasattr(model, "feature_names_in_")  # as in scikit-learn
    was, now = LABELS[labels][1:]
    message = f"column 1 of X is {now!r}, and was {was!r} in fit; expected the columns"
    with pytest.raises(ValueError, match=re.escape(message)):
        model.transform(make(swapped))
    assert_array_equal(model.transform(make(swapped[LABELS[labels]])), expected)
    # Arrays, and other labels, are taken as they come: scikit-learn does not look at them.
    others = frame([7, 8, 9])
    for X in (make(others), make(pd.DataFrame(VALUES))):
        if labels != "not in order":
            assert_array_equal(model.transform(X), expected)
    if form != "a table of rows":
        assert len(model.transform(list(VALUES.reshape(4, 3, 3)))) == 4


@pytest.mark.parametrize(
    "model",
    [
        OTKEmbedding(2, n_components=2, random_state=0),
        KernelMeanEmbedding(2, random_state=0),
        ElementTransformer(StandardScaler()),
        ConvolutionalKernelLayer(2, random_state=0),
        OTKClassifier(OTKEmbedding(2, n_components=2), max_epochs=1, random_state=0),
        OTKRegressor(OTKEmbedding(2, n_components=2), max_epochs=1, random_state=0),
        make_pipeline(ElementTransformer(StandardScaler()), SetPooling()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_model_looks_at_the_order(model):
    tables = by_id(frame([10, 20, 30]))
    model.fit(tables, [0, 1, 0, 1])
    swapped = [x[[20, 10, 30]] for x in tables]
    with pytest.raises(ValueError, match="column 0 of X is 20, and was 10 in fit"):
        model.transform(swapped)
    refitted = model.fit(swapped, [0, 1, 0, 1])
    refitted.transform(swapped)
    again = model.fit([x.to_numpy() for x in tables], [0, 1, 0, 1])
    again.transform(swapped)  # fitted to arrays, whose columns have no labels


def test_labels_and_names():
    sets = SetCollection.from_groups(frame([10, 20, 30]), IDS)
    assert sets.feature_names is None
    assert sets.column_labels.tolist() == [10, 20, 30]
    named = SetCollection.from_groups(frame(["x", "y", "z"]), IDS)
    assert named.column_labels.tolist() == named.feature_names.tolist() == ["x", "y", "z"]
    assert SetCollection(VALUES, [0, 12]).column_labels is None
    tuples = SetCollection.from_groups(frame(LABELS["tuples"]), IDS)
    assert tuples.column_labels.tolist() == LABELS["tuples"]
    with pytest.raises(TypeError, match="feature_names has 10; expected strings"):
        SetCollection(VALUES, [0, 12], feature_names=[10, 20, 30])
    swapped = SetCollection.from_groups(frame([20, 10, 30]), IDS)
    with pytest.raises(ValueError, match=r"\[10, 20, 30\] and \[20, 10, 30\]"):
        SetCollection.concatenate([sets, swapped])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        SetPooling().fit(named).transform(sets)


@pytest.mark.parametrize(
    ("groups", "labels"),
    [
        (("id", ""), [("f", "x"), ("f", "y"), ("g", "x")]),
        (("f", "x"), [("id", ""), ("f", "y"), ("g", "x")]),
        (0, [10, 20, 30]),
        (20, [0, 10, 30]),
    ],
)
def test_groups_by_the_label_of_a_column(groups, labels):
    table = frame(labels)
    table.insert(1, groups, IDS)
    sets = SetCollection.from_groups(table, groups)
    assert sets.names.tolist() == list("abcd")
    assert sets.column_labels.tolist() == labels
    assert_array_equal(sets.values, VALUES)
    same = SetCollection.from_groups(frame(labels), table[groups].to_numpy())
    assert same.names.tolist() == sets.names.tolist()
    assert_array_equal(same.values, sets.values)


def test_a_tuple_that_is_no_label_holds_the_groups():
    sets = SetCollection.from_groups(frame(["x", "y", "z"]), tuple(IDS))
    assert sets.names.tolist() == list("abcd")
    with pytest.raises(ValueError, match=r"groups has shape \(2,\)"):
        SetCollection.from_groups(frame(["x", "y", "z"]), ("f", "x"))
