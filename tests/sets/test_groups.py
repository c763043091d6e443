"""Labels of `from_groups`: which rows make a set, against a dict of Python or pandas."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from otk_sklearn import SetCollection

BIG = 2**63


def rows_of(groups):
    """The rows of each set, of a table whose only feature is the number of the row."""
    values = np.arange(float(len(groups)))[:, np.newaxis]
    return [x.ravel().tolist() for x in SetCollection.from_groups(values, groups)]


def objects(labels):
    array = np.empty(len(labels), object)
    array[:] = labels
    return array


DAY = datetime.date(2024, 1, 1)
DIFFERENT = {
    "beyond int64 and below 0": [BIG + 1, BIG, -1],  # numpy#18557
    "integers that floats can't hold": [2**53 + 1, 2**53, 0.5],
    "huge": [10**30, 10**30 + 1, 1],
    "True and 1": [True, 1, False, 0],
    "True and 1 of NumPy": [np.bool_(True), np.int64(1), np.uint64(BIG + 1), np.int64(-1)],
    "True and 1 in tuples": [("a", True), ("a", 1), ("a", ("b", 1)), ("a", ("b", True))],
    "text and number": ["1", 1, "1001A", 1001],
    "text and bytes": ["a", b"a", "a ", b"a\0"],
    "text and nan in text": ["nan", "None", "NaT", ""],
    "dates": [DAY, datetime.datetime(2024, 1, 1, 1), "2024-01-01", 2024],
    "tuples": [("a", 1), ("a", 2), ("a",), "a"],
    "decimals": [decimal.Decimal("1.10"), decimal.Decimal("1.11"), 1, "1.10"],
    "intervals": [pd.Interval(0, 1), pd.Interval(1, 2), pd.Timestamp(2024, 1, 1)],
}


@pytest.mark.parametrize("case", DIFFERENT)
@pytest.mark.parametrize(
    "form", [list, tuple, objects, lambda labels: pd.Series(objects(labels))]
)
def test_labels_are_not_converted_into_each_other(case, form):
    labels = DIFFERENT[case]
    n = len(labels)
    assert rows_of(form([*labels, *labels])) == [[i, n + i] for i in range(n)]


@pytest.mark.parametrize("case", ["text and number", "huge", "tuples", "intervals"])
def test_categories_of_several_types(case):
    categories = pd.Index(objects(DIFFERENT[case]), tupleize_cols=False)
    n = len(categories)
    for convert in [pd.Series, pd.Index, lambda x: x]:
        groups = convert(pd.Categorical.from_codes([*range(n), *range(n)], categories))
        assert rows_of(groups) == [[i, n + i] for i in range(n)]


def test_labels_that_are_equal_are_one_group():
    """Numbers as in Python: a zero has no sign, and 1 of any type is 1."""
    assert rows_of([0.0, -0.0, 1, 1.0, np.int8(1), decimal.Decimal(1)]) == [
        [0, 1],
        [2, 3, 4, 5],
    ]
    assert rows_of(np.array([0.0, -0.0, 1.0])) == [[0, 1], [2]]
    assert rows_of([np.str_("a"), "a", True, np.bool_(True)]) == [[0, 1], [2, 3]]


EXACT = {
    "uint64": lambda x: np.array(x, np.uint64),
    "uint64 Series": lambda x: pd.Series(x, dtype="uint64"),
    "UInt64 Series": lambda x: pd.Series(x, dtype="UInt64"),
    "uint64[pyarrow]": lambda x: pd.Series(x, dtype="uint64[pyarrow]"),
    "categorical": lambda x: pd.Categorical(x),
    "Index": pd.Index,
    "polars": lambda x: pl.Series(x, dtype=pl.UInt64),
    "arrow": lambda x: pa.array(x, pa.uint64()),
    "arrow chunks": lambda x: pa.chunked_array([x[:2], x[2:]], pa.uint64()),
    "arrow dictionary": lambda x: pa.array(x, pa.uint64()).dictionary_encode(),
    "levels": lambda x: pd.MultiIndex.from_arrays([["a"] * len(x), x]),
    "records": lambda x: np.array([(i, 0) for i in x], [("a", np.uint64), ("b", int)]),
}


@pytest.mark.parametrize("form", EXACT)
def test_neighbouring_integers_stay_apart(form):
    groups = EXACT[form]([BIG + 1, BIG, BIG + 2, BIG])
    assert rows_of(groups) == [[0], [1, 3], [2]]


@pytest.mark.parametrize(
    "groups",
    [
        range(3),
        np.array([b"b", b"a", b"c"]),
        np.array(["2024-01", "2023-01", "2025-01"], "datetime64[M]"),
        np.array([3, 1, 2], "timedelta64[s]"),
        np.array([1j, 1, 2]),
        pd.Series(
            pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-03"]).tz_localize("UTC")
        ),
        pd.period_range("2024", periods=3, freq="M"),
        pl.Series(["1.10", "1.11", "1.12"]).cast(pl.Decimal(10, 2)),
        pl.Series([DAY, datetime.date(2023, 1, 1), datetime.date(2022, 1, 1)]),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:groups is an index")
def test_labels_of_other_types(groups):
    assert rows_of(groups) == [[0], [1], [2]]


def test_many_labels_against_pandas():
    random = np.random.default_rng(0)
    groups = random.integers(50, size=2000).astype(str).astype(object)
    values = np.arange(2000.0)[:, np.newaxis]
    table = pd.DataFrame({"group": groups, "row": values.ravel()})
    expected = [x.tolist() for _, x in table.groupby("group", sort=False)["row"]]
    for form in [list, np.asarray, pd.Series, pd.Categorical, lambda x: x.astype("U")]:
        assert rows_of(form(groups)) == expected


@pytest.mark.parametrize(
    "labels",
    [["b", 1, ("a", 2), True], [BIG, -1], [True, 1], [("a", 1), ("b", 2)], ["b", "a"]],
)
def test_labels_are_the_names_of_the_sets(labels):
    values = np.zeros((2 * len(labels), 1))
    for form in [list, objects, lambda x: pd.Series(objects(x))]:
        names = SetCollection.from_groups(values, form([*labels, *labels])).names
        assert names.tolist() == labels
        assert [*map(type, names.tolist())] == [*map(type, labels)]
    with pytest.raises(ValueError, match="names has .*; expected unique names"):
        SetCollection(values[:3], [0, 1, 2, 3], names=[*labels[:1], *labels[:1], "c"])


@pytest.mark.parametrize(
    "missing",
    [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT", "s"), decimal.Decimal("nan")],
)
@pytest.mark.parametrize("others", [["a", 1], ["a", "b"], [("a", 1), ("a", 2)], [DAY, 2]])
def test_the_row_of_a_missing_label_is_named(missing, others):
    message = "groups has no label in row 1; expected one for every row"
    labels = [others[0], missing, others[1]]
    for groups in [labels, objects(labels), [("c", 1), ("c", missing), ("d", 2)]]:
        with pytest.raises(ValueError, match=message):
            SetCollection.from_groups([[1], [2], [3]], groups)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["a"], ["b"]], "labels that can't be told apart: .*list.*; expected strings"),
        (objects([{}, {}]), "labels that can't be told apart: .*dict"),
        (pd.DataFrame({"id": [0, 1]}), r"shape \(2, 1\); .*: one column, groups\['id'\]"),
        ([0], r"groups has shape \(1,\); expected one label a row, \(2,\)"),
        ({"a": 0, "b": 1}, r"groups is dict; expected list\(groups.values\(\)\)"),
        (iter([0, 1]), r"groups is list_iterator; expected list\(groups\)"),
    ],
)
def test_wrong_groups(groups, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SetCollection.from_groups([[1], [2]], groups)


# --- names of columns and levels


TABLE = pd.DataFrame({"id": ["b", "a", "b"], "x": [1.0, 2.0, 3.0], "y": [4.0, 5.0, 6.0]})
SETS = [[[1, 4], [3, 6]], [[2, 5]]]


@pytest.mark.parametrize(
    "values",
    [
        TABLE,
        TABLE[["x", "id", "y"]],
        TABLE.set_index("id"),
        TABLE.assign(time=[0, 0, 1]).set_index(["id", "time"]),
        TABLE.assign(time=[0, 0, 1]).set_index(["time", "id"]),
        TABLE.astype({"id": "category", "x": "Float64"}),
        pl.DataFrame(TABLE.to_dict("list")),
        pa.table(TABLE.to_dict("list")),
    ],
    ids=lambda values: type(values).__module__[:6],
)
def test_groups_by_the_name_of_a_column_or_level(values):
    sets = SetCollection.from_groups(values, "id")
    assert [x.tolist() for x in sets] == SETS
    assert sets.names.tolist() == ["b", "a"]
    assert sets.feature_names.tolist() == ["x", "y"]


def test_names_that_are_not_there_or_twice():
    message = (
        r"groups is 'patient'; expected one label a row, or the name of a column of "
        r"values, \['id', 'x', 'y'\], or of a level of its index, \[None\]"
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.from_groups(TABLE, "patient")
    with pytest.raises(
        ValueError, match=r"name of a column of values, \[\], or of a level"
    ):
        SetCollection.from_groups(TABLE[["x"]].to_numpy(), "id")
    twice = TABLE.set_index("id", drop=False)
    message = r"of a column and of a level .* values.index.get_level_values\('id'\)"
    with pytest.raises(ValueError, match=message):
        SetCollection.from_groups(twice, "id")
    sets = SetCollection.from_groups(twice[["x"]], twice.index.get_level_values("id"))
    assert_array_equal(sets.lengths, [2, 1])
    with pytest.raises(ValueError, match="features only, or groups='id'"):
        SetCollection.from_groups(TABLE, TABLE["id"])


def test_an_index_that_tells_rows_apart():
    """As of sktime's panels, whose rows are known by instance and time."""
    panel = TABLE.assign(time=[0, 0, 1]).set_index(["id", "time"])
    message = (
        r"own for each of the 3 rows: each .*, such as groups.get_level_values\('id'\)"
    )
    with pytest.warns(UserWarning, match=message):
        SetCollection.from_groups(panel, panel.index)
    with pytest.warns(UserWarning, match="each row is a set. Expected labels that rows of"):
        SetCollection.from_groups(panel, pd.RangeIndex(3))
    for groups in [panel.index[[0, 1, 0]], [0, 1, 2], pd.Series([0, 1, 2])]:
        SetCollection.from_groups(panel, groups)
    SetCollection.from_groups(panel[:1], panel.index[:1])
