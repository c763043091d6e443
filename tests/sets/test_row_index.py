"""Tables and columns of pandas that are given together, with indices that differ.

pandas would align them; rows are taken by position. So it has to be clear which is meant.
"""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from otk_sklearn import SetCollection

TABLE = pd.DataFrame(
    {
        "id": [*"babcab"],
        "time": [0, 2, 1, 0, 1, 2],
        "x": np.arange(6.0),
        "w": np.arange(1, 7),
    }
)
BY_TIME = TABLE.sort_values("time", kind="stable")


def sets_of(X):
    return {name: x.ravel().tolist() for name, x in zip(X.names.tolist(), X)}


@pytest.mark.parametrize("argument", ["groups", "weights", "positions"])
def test_rows_in_another_order_are_an_error(argument):
    """The groups of a table that was sorted in the meantime: sets were mixed, silently."""
    columns = {"groups": BY_TIME["id"], "weights": BY_TIME["w"], "positions": BY_TIME["w"]}
    message = (
        rf"^{argument} has the index of values in another order: row 1 is 1, that of "
        rf"values 3; expected the same order, or none: {argument}.loc\[values.index\], or "
        rf"{argument}.to_numpy\(\) if rows belong together by position"
    )
    wrong = columns | {argument: TABLE[columns[argument].name]}
    with pytest.raises(ValueError, match=message):
        SetCollection.from_groups(BY_TIME[["x"]], **wrong)
    expected = SetCollection.from_groups(BY_TIME[["x"]], **columns)
    by_index = columns | {argument: wrong[argument].loc[BY_TIME.index]}
    found = SetCollection.from_groups(BY_TIME[["x"]], **by_index)
    for attribute in ["values", "offsets", "weights", "positions", "names"]:
        np.testing.assert_array_equal(
            getattr(found, attribute), getattr(expected, attribute)
        )
    assert sets_of(found) == {"b": [0, 2, 5], "c": [3], "a": [4, 1]}
    by_position = columns | {argument: wrong[argument].to_numpy()}
    SetCollection.from_groups(BY_TIME[["x"]], **by_position)


@pytest.mark.parametrize(
    "convert",
    [
        lambda table: table.set_axis([*"uvwxyz"]),
        lambda table: table.set_axis(pd.date_range("2024", periods=6)),
        lambda table: table.set_axis(pd.MultiIndex.from_product([["u", "v"], [0, 1, 2]])),
        lambda table: table.set_axis(pd.CategoricalIndex([*"uvwxyz"])),
        lambda table: table.set_axis([0, 0, 1, 1, 2, 2]),
    ],
)
def test_indices_of_any_type(convert):
    table = convert(TABLE)
    other = table[::-1]
    with pytest.raises(ValueError, match="groups has the index of values in another order"):
        SetCollection.from_groups(table[["x"]], other["id"])
    found = SetCollection.from_groups(table[["x"]], table["id"].copy())
    assert sets_of(found) == {"b": [0, 2, 5], "a": [1, 4], "c": [3]}


def test_repeated_labels_have_no_order_to_go_by():
    table = TABLE.set_axis([0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match=r"or none: groups.to_numpy\(\) if rows belong"):
        SetCollection.from_groups(table[["x"]], table["id"][::-1])


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (TABLE[["x"]].iloc[:4], TABLE["id"].iloc[1:5]),  # off by one
        (TABLE[["x"]].iloc[[0, 3, 5]], TABLE["id"].iloc[[0, 3, 4]]),
        (TABLE[["x"]].set_axis([*"uvwxyz"]), TABLE["id"].set_axis([*"abcxyz"])),
    ],
)
def test_rows_of_another_part_are_a_warning(values, groups):
    message = r"groups has an index that is that of values only in part.*groups.to_numpy"
    with pytest.warns(UserWarning, match=message) as caught:
        SetCollection.from_groups(values, groups)
    assert {w.filename for w in caught} == {__file__}
    SetCollection.from_groups(values, groups.to_numpy())


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (
            pd.DataFrame(TABLE[["x"]].iloc[[1, 3, 4]].to_numpy()),
            TABLE["id"].iloc[[1, 3, 4]],
        ),
        (TABLE[["x"]].iloc[[1, 3, 4]], TABLE["id"].iloc[[1, 3, 4]].reset_index(drop=True)),
        (TABLE.set_index("id")[["x"]], TABLE["id"]),
        (
            TABLE[["x"]].iloc[:2].set_axis(pd.Index([1, "a"], dtype=object)),
            TABLE["id"].iloc[:2].set_axis(pd.Index([True, "a"], dtype=object)),
        ),
        (TABLE.set_index(["id", "time"])[["x"]], TABLE["id"]),
        (TABLE[["x"]].to_numpy(), TABLE["id"][::-1]),
        (TABLE[["x"]], TABLE["id"].to_list()),
        (
            TABLE[["x"]].set_axis(["2024-01-01", *"vwxyz"]),
            TABLE["id"].set_axis([*BY_TIME.id]),
        ),
        (
            TABLE[["x"]].set_axis(pd.date_range("2024-01-01", periods=6)),
            TABLE["id"].set_axis(["2024-01-01", "2024-01-02", *"wxyz"]),
        ),
        (
            TABLE[["x"]].set_axis([*"uvwxyz"]),
            TABLE["id"].set_axis(pd.Index([*"uvwxyz"], dtype=object)),
        ),
        (
            TABLE[["x"]].set_axis(pd.Index([1, 2, 3, 4, 5, pd.NA], dtype="Int64")),
            TABLE["id"].set_axis(pd.Index([1, 2, 3, 4, 5, pd.NA], dtype="Int64")),
        ),
    ],
)
def test_indices_that_say_nothing(values, groups):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SetCollection.from_groups(values, groups)


def test_every_constructor():
    index = ["u", "v"]
    cells = pd.Series([np.ones((2, 1)), np.ones((1, 1))], index=index)
    weights = pd.Series([[1, 2], [3]], index=index)
    expected = [1, 2, 3]
    assert SetCollection.from_sets(cells, weights=weights).weights.tolist() == expected
    with pytest.raises(ValueError, match="weights has the index of sets in another order"):
        SetCollection.from_sets(cells, weights=weights[::-1])
    with pytest.raises(ValueError, match="names has the index of sets in another order"):
        SetCollection.from_sets(cells, names=pd.Series(["a", "b"], index=index[::-1]))
    lists = pd.ArrowDtype(pa.list_(pa.float64()))
    cells = pd.Series([[1.0, 2.0], [3.0]], index=index, dtype=lists)
    weights = pd.Series([[1.0, 2.0], [3.0]], index=index, dtype=lists)
    assert SetCollection.from_arrow(cells, weights=weights).weights.tolist() == expected
    with pytest.raises(ValueError, match="weights has the index of array in another order"):
        SetCollection.from_arrow(cells, weights=weights.set_axis(index[::-1]))
    with pytest.raises(
        ValueError, match="positions has the index of values in another ord"
    ):
        SetCollection(TABLE[["x"]], [0, 2, 6], positions=TABLE["w"][::-1])
