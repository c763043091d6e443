"""Contributions summed by labels of elements, against plain loops and pandas."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.inspection import element_contributions

LABELS = np.arange(12) % 3
NUMBERS = np.linspace(-1, 2, 12)


def embedding(**parameters):
    return OTKEmbedding(4, n_components=6, random_state=0, **parameters)


def labels_of(sets):
    """One of three labels for each element, the first of which set 4 has none of."""
    random = np.random.default_rng(1)
    labels = [random.choice(["B", "NK", "T"], len(x)) for x in sets]
    labels[4] = np.where(labels[4] == "B", "T", labels[4])
    return labels


def plain_sums(contributions, by):
    names = sorted(set().union(*map(set, by)))
    return np.array(
        [
            [
                np.sum([c for c, label in zip(part, labels) if label == name], axis=0)
                + np.zeros(part.shape[1])
                for name in names
            ]
            for part, labels in zip(contributions, by)
        ]
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda by: by,
        lambda by: tuple(map(list, by)),
        lambda by: [pd.Series(labels, dtype="category") for labels in by],
        np.concatenate,
        lambda by: np.concatenate(by).tolist(),
        lambda by: pd.Series(np.concatenate(by)),
        lambda by: pd.Categorical(np.concatenate(by), ["T", "NK", "none", "B"]),
        lambda by: pd.Series(np.concatenate(by), dtype="string"),
    ],
)
def test_sums_by_label_are_those_of_its_elements(sets, form):
    by = labels_of(sets)
    model = make_pipeline(embedding(), StandardScaler(), LogisticRegression())
    model.fit(sets, LABELS)
    found = element_contributions(model, sets, by=form(by))
    assert found.labels.tolist() == ["B", "NK", "T"]
    expected = plain_sums(element_contributions(model, sets).contributions, by)
    np.testing.assert_allclose(found.sums, expected, atol=1e-12)
    assert (found.sums[4, 0] == 0).all()
    decisions = found.sums.sum(axis=1) + found.constant
    np.testing.assert_allclose(decisions, model.decision_function(sets), atol=1e-9)


def test_labels_may_be_numbers_and_come_with_windows_or_no_sets(sets):
    by = [np.arange(len(x)) % 2 for x in sets]
    model = make_pipeline(embedding(filter_size=3, padding="same"), Ridge())
    model.fit(sets, NUMBERS)
    found = element_contributions(model, sets, by=by)
    assert found.labels.tolist() == [0, 1]
    expected = plain_sums(element_contributions(model, sets).contributions, by)
    np.testing.assert_allclose(found.sums, expected, atol=1e-12)
    none = element_contributions(model, [], by=[])
    assert none.sums.shape == (0, 0, 1)
    assert not hasattr(element_contributions(model, sets), "sums")


def test_labels_of_a_table_are_brought_into_the_order_of_the_elements(sets):
    """A column of it is as long as there are elements, which are in another order."""
    random = np.random.default_rng(0)
    rows = np.concatenate(sets)
    table = pd.DataFrame({"set": np.repeat(np.arange(12), [len(x) for x in sets])})
    table["label"] = random.choice(["B", "NK", "T"], len(table))
    order = random.permutation(len(table))
    table = table.iloc[order].reset_index(drop=True)
    X = SetCollection.from_groups(rows[order], table["set"])
    model = make_pipeline(embedding(), Ridge()).fit(X, NUMBERS)
    for chosen in (X, X[:5]):
        with pytest.raises(ValueError, match="by is a Series, and the elements") as error:
            element_contributions(model, chosen, by=table["label"])
        line = re.search(r"elements: (by\S*),", str(error.value)).group(1)
        right = eval(line, {"by": table["label"], "X": chosen})
        found = element_contributions(model, chosen, by=right)
        of_rows = chosen.to_rows(found.contributions)[:, 0]
        sums = pd.Series(of_rows).groupby([table["set"], table["label"]]).sum()
        expected = sums.unstack(fill_value=0.0).loc[chosen.names, found.labels]
        np.testing.assert_allclose(found.sums[:, :, 0], expected, atol=1e-12)
    with pytest.raises(ValueError, match=r": np.asarray\(by\)\[X.rows\]\.$") as error:
        element_contributions(model, X[:5], by=table["label"].tolist())
    line = re.search(r": (np\..*)\.$", str(error.value)).group(1)
    right = eval(line, {"by": table["label"].tolist(), "X": X[:5], "np": np})
    again = element_contributions(model, X[:5], by=right)
    np.testing.assert_array_equal(again.sums, found.sums)
    sorted_table = table.sort_values("set", kind="stable")
    X = SetCollection.from_groups(rows[order][sorted_table.index], sorted_table["set"])
    found = element_contributions(model, X, by=sorted_table["label"])
    assert found.sums.shape == (12, 3, 1)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (["B"] * 5, "by has 5 labels; expected 139, one for each element of X, or a list"),
        (
            "B",
            r"by is 'B'; expected the label of each element\. .*: "
            r"table\['B'\]\.to_numpy\(\)\[X\.rows\]\.",
        ),
        (np.ones((139, 2)), r"by has shape \(139, 2\); .* one label for each element"),
        ([["B"]] * 11, "by has 11 arrays of labels; expected 12, one for each set"),
        ([["B"]] * 12, "by has 1 labels for set 1; expected 26, one for each of its"),
        ([None] * 139, r"by has None for element 0 of set 0; .*: np.where\(pd.isna\(by\)"),
        (
            ["B"] * 138 + [np.nan],
            r"by has nan for element \d+ of set 11; expected a label for every element",
        ),
        (np.r_[np.ones(138), np.nan], "by has nan for element"),
        (["B"] * 138 + [1], r"by has labels that can't be sorted: .*: list\(map\(str, by"),
    ],
)
def test_wrong_labels_are_named(sets, by, message):
    assert sum(map(len, sets)) == 139
    model = make_pipeline(embedding(), Ridge()).fit(sets, NUMBERS)
    with pytest.raises((TypeError, ValueError), match=message):
        element_contributions(model, sets, by=by)
