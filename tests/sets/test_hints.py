"""Errors about input of a wrong form: the lines that they suggest run, and are right."""

import re
import sys
from collections import OrderedDict

import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from otk_sklearn import ElementTransformer, SetCollection, SetPooling

A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0], [9.0, 0.0]])
TABLE = pd.DataFrame({"id": ["b", "b", "a"], "x": [1.0, 2.0, 3.0], "y": [4.0, 5.0, 6.0]})
POLARS = pl.DataFrame(TABLE.to_dict("list"))
OF_TABLE = [[[1, 4], [2, 5]], [[3, 6]]]


class Tensor:
    """A tensor with a method `numpy`, and without an interface of NumPy."""

    def __init__(self, array):
        self.array = array

    def numpy(self):
        return self.array

    def __iter__(self):
        return map(Tensor, self.array)


def collection(**parts):
    return SetCollection.from_sets([A, B], **parts)


# A wrong list of A and B; the message, and the line in it that gives the sets.
LISTS = {
    "dict": (
        {"a": A, "b": B},
        "(X|sets) is dict; .* or {}",
        "SetCollection.from_sets(X.values(), names=list(X))",
    ),
    "groups of pandas": (
        list(pd.DataFrame(np.vstack([A, B])).groupby(np.array([0, 0, 1, 1, 1]))),
        "set 0 of X is a pair of int and pandas.DataFrame; expected a 2-D array in place "
        "of each: {}, or with names",
        "[x for _, x in X]",
    ),
    "items of a dict": (
        list({"a": A, "b": B}.items()),
        "set 0 of X is a pair of str and numpy.ndarray; .* or with names {}",
        "SetCollection.from_sets([x for _, x in X], names=[name for name, _ in X])",
    ),
    "sets with labels": (
        [(A, 0), (B, 1)],
        "set 0 of X is a pair of numpy.ndarray and int; .* of each: {}",
        "[x for x, _ in X]",
    ),
    "collections": (
        [SetCollection.from_sets([A]), SetCollection.from_sets([B])],
        "set 0 of X is otk_sklearn.SetCollection; expected {}",
        "SetCollection.concatenate(X)",
    ),
    "sparse": (
        [csr_array(A), csr_array(B)],
        "set 0 of X is a sparse matrix; expected a dense array: {}",
        "[x.toarray() for x in X]",
    ),
    "tensors without an interface": (
        [Tensor(A), Tensor(B)],
        "set 0 of X is test_hints.Tensor; expected a 2-D array in place of each: {}",
        "[x.numpy() for x in X]",
    ),
    "a list of batches": (
        [[A], [B]],
        r"set 0 of X has shape \(1, 2, 2\); .*; of a list of batches of sets: {}",
        "[x for batch in X for x in batch]",
    ),
    "a list of ragged batches": (
        [[A, B]],
        "set 0 of X is a list of 2-D arrays; expected one: {}, if X is a list of batches",
        "[x for batch in X for x in batch]",
    ),
    "records": (
        [pd.DataFrame(x, columns=["a", "b"]).to_records(index=False) for x in (A, B)],
        r"set 0 of X is an array of records, \('a', 'b'\); expected .*: {}",
        "[pd.DataFrame(x) for x in X]",
    ),
    "lists of dicts": (
        [pd.DataFrame(x, columns=["a", "b"]).to_dict("records") for x in (A, B)],
        "set 0 of X holds dict; expected numbers: {}",
        "[pd.DataFrame(x) for x in X]",
    ),
    "dicts of columns": (
        [{"a": x[:, 0], "b": x[:, 1]} for x in (A, B)],
        "set 0 of X is dict; expected a 2-D array in place of each: {}",
        "[pd.DataFrame(x) for x in X]",
    ),
    "dicts of arrays": (
        [{"a": x[:, :1], "b": x[:, 1]} for x in (A, B)],
        "set 0 of X is dict; expected a 2-D array in place of each: {}",
        "[np.column_stack([*x.values()]) for x in X]",
    ),
}


def raised(call, message, line=""):
    """Check the error of a call, and that it suggests a line."""
    with pytest.raises(
        (TypeError, ValueError), match=message.replace("{}", re.escape(line))
    ):
        call()


@pytest.mark.parametrize("case", LISTS)
def test_lists_of_something_else(case):
    X, message, line = LISTS[case]
    raised(lambda: SetPooling().fit(X), message, line)
    raised(lambda: SetPooling().fit([A, B]).transform(X), message, line)
    of_sets = message.replace(" of X", " of sets").replace(" X ", " sets ")
    sets_line = (
        line.replace("(X)", "(sets)").replace(" X", " sets").replace("(X.", "(sets.")
    )
    raised(lambda: SetCollection.from_sets(X), of_sets, sets_line)
    for code, values in [(line, {"X": X}), (sets_line, {"sets": X})]:
        names = {"SetCollection": SetCollection, "np": np, "pd": pd, **values}
        right = eval(code, names)  # noqa: S307
        sets = SetCollection.from_sets(right)
        assert_array_equal(sets.values, np.vstack([A, B]))
        assert sets.lengths.tolist() == [2, 3]


def test_a_dict_of_scalars_is_one_element():
    X = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    line = "[pd.DataFrame([x]) for x in X]"
    raised(lambda: SetPooling().fit(X), "set 0 of X is dict; .* of each: {}", line)
    sets = SetCollection.from_sets([pd.DataFrame([x]) for x in X])
    assert_array_equal(sets.values, [[1, 2], [3, 4]])


def test_groups_of_tables_with_text():
    message = "set 0 of X is a pair of .*; of a table that was grouped: {}"
    line = 'SetCollection.from_groups(table, "id")'
    for X in [list(TABLE.groupby("id")), list(POLARS.group_by("id"))]:
        raised(lambda X=X: SetPooling().fit(X), message, line)
        raised(lambda X=X: ElementTransformer("passthrough").fit(X), message, line)


# Wrong groups, and the right ones.
GROUPS = {
    "grouped": (
        TABLE,
        TABLE.groupby("id"),
        "groups is pandas.DataFrameGroupBy",
        "SetCollection.from_groups(values, 'id')",
    ),
    "grouped, without the column": (
        TABLE[["x", "y"]],
        TABLE.groupby("id"),
        "groups is pandas.DataFrameGroupBy",
        "SetCollection.from_groups(values, 'id')",
    ),
    "grouped by polars": (
        POLARS,
        POLARS.group_by("id"),
        "groups is polars.GroupBy",
        'SetCollection.from_groups(values, "id")',
    ),
    "a list of one name": (TABLE, ["id"], r"groups is list, \['id'\]", "groups='id'"),
    "a tuple of one name": (TABLE, ("id",), r"groups is tuple, \('id',\)", "groups='id'"),
    "a position": (TABLE, 0, "groups is int, 0", "groups='id'"),
    "a position from NumPy": (
        TABLE,
        np.int64(0),
        "groups is numpy.int64, 0",
        "groups='id'",
    ),
    "an expression": (POLARS, pl.col("id"), "groups is polars.Expr", "groups='id'"),
    "several names": (
        TABLE,
        ["id", "x"],
        r"groups is list, \['id', 'x'\]",
        "SetCollection.from_groups(values[['y']], list(zip(values['id'], values['x'])))",
    ),
    "a column of an array": (
        np.array([[0.0, 1, 4], [0, 2, 5], [1, 3, 6]]),
        0,
        "groups is int, 0",
        "SetCollection.from_groups(np.delete(values, 0, axis=1), values[:, 0])",
    ),
    "nothing": (TABLE, None, "groups is NoneType", "one label a row, or the name of a"),
}


@pytest.mark.parametrize("case", GROUPS)
def test_columns_in_place_of_labels(case):
    values, groups, message, line = GROUPS[case]
    raised(
        lambda: SetCollection.from_groups(values, groups), f"{message}; expected {{}}", line
    )
    if "without" in case and "grouped" in case or case == "nothing":
        return
    if line.startswith("groups="):
        line = f"SetCollection.from_groups(values, {line})"
    names = {"SetCollection": SetCollection, "np": np, "values": values}
    sets = eval(line, names)  # noqa: S307
    if case == "several names":
        assert sets.names.tolist() == [("b", 1.0), ("b", 2.0), ("a", 3.0)]
    else:
        assert [x.tolist() for x in sets] == OF_TABLE


def test_tables_in_place_of_lists():
    message = (
        r"of one set: \[sets\]; a long table: SetCollection.from_groups\(sets, column\), wi"
    )
    for table in [TABLE, POLARS]:
        with pytest.raises(TypeError, match=message):
            SetCollection.from_sets(table)
    with pytest.raises(
        ValueError, match=r"a long table: .*from_groups\(X, 'id'\)\); X has"
    ):
        SetPooling().fit(TABLE)
    series = pd.DataFrame({"a": [pd.Series([1.0, 2.0])], "b": [pd.Series([3.0, 4.0])]})
    message = "sets is pandas.DataFrame; expected {}, if cells are time series"
    line = "SetCollection.from_series(sets)"
    raised(lambda: SetCollection.from_sets(series), message, line)
    raised(
        lambda: SetPooling().fit(series),
        "in the cells of its columns .*, or of time series {}",
        "SetCollection.from_series(X[['a', 'b']])",
    )


def test_labels_beside_features():
    table = TABLE.assign(part=["leg", "seat", "leg"])
    with pytest.raises(ValueError, match=r"\['part'\]; .* Leave out labels to be pred"):
        SetCollection.from_groups(table, "id")
    with pytest.raises(ValueError, match=r"\['part'\]; .*, without labels to be pred"):
        SetCollection.from_sets([table.drop(columns="id")])
    for values in [TABLE.groupby("id"), TABLE.groupby("id")["x"]]:
        with pytest.raises(TypeError, match=r"expected .*from_groups\(table, 'id'\)"):
            SetCollection.from_groups(values, "id")


def test_names_of_columns_in_place_of_numbers():
    with pytest.raises(
        TypeError, match=r"weights is 'x'; expected .*: values\['x'\], which"
    ):
        SetCollection.from_groups(TABLE, "id", weights="x")
    with pytest.raises(TypeError, match=r"positions is \['x'\]; .*: values\[\['x'\]\], "):
        SetCollection.from_groups(TABLE, "id", positions=["x"])
    found = SetCollection.from_groups(TABLE[["y"]], TABLE["id"], weights=[0, 1, 1])
    assert found.weights.tolist() == [0, 1, 1]


# --- outputs of encoders


@pytest.mark.parametrize(
    ("output", "states"),
    [
        ({"last_hidden_state": [A, A], "hidden_states": ([B, B],)}, "last_hidden_state"),
        ({"logits": [[0.0], [1.0]], "hidden_states": ([B, B], [A, A])}, "hidden_states"),
    ],
)
def test_outputs_of_transformers(output, states):
    """They are mappings, of which from_padded takes the states of tokens, and a mask."""
    outputs, attention_mask = OrderedDict(output), np.array([[1, 1], [1, 0]])
    key = f'["{states}"]' + "[-1]" * (states == "hidden_states")
    line = f"SetCollection.from_padded(X{key}, mask=special_tokens_mask == 0)"
    batches = (
        f"SetCollection.concatenate([SetCollection.from_padded(x{key}, mask=mask) for x, "
        "mask in zip(X, masks)])"
    )
    for X, code, message in [
        (output, line, "X is dict; expected {}"),
        (outputs, line, "X is collections.OrderedDict; expected {}"),
        ([outputs], batches, "set 0 of X is collections.OrderedDict; expected {}"),
    ]:
        for call in [SetPooling().fit, SetCollection.from_padded]:
            raised(lambda: call(X), message, code)  # noqa: B023
        names = {"SetCollection": SetCollection, "X": X, "masks": [attention_mask]}
        names["special_tokens_mask"] = 1 - attention_mask
        sets = eval(code, names)  # noqa: S307
        assert sets.lengths.tolist() == [2, 1]
        assert_array_equal(sets.values, np.vstack([A, A[:1]]))
    raised(
        lambda: SetCollection.from_sets(outputs),
        "sets is .*; expected {}",
        line.replace("(X", "(sets"),
    )


def test_tokens_that_no_model_has_read():
    tokens = {"input_ids": [[1, 2], [3, 0]], "attention_mask": [[1, 1], [1, 0]]}
    message = r"X is dict; .* SetCollection\.from_padded\(encoder\(\*\*X\)\.last_hidden"
    for call in [SetPooling().fit, SetCollection.from_padded]:
        with pytest.raises(TypeError, match=message):
            call(tokens)


def test_columns_of_sets_beside_others_where_arrow_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "otk_sklearn.sets._arrow", None)
    table = pd.DataFrame({"text": ["a", "b"], "tokens": [np.ones((2, 3)), np.ones((1, 3))]})
    with pytest.raises(ValueError, match=r"columns of sets, \['tokens'\], beside others"):
        SetPooling().fit(table)


# --- numbers of another form


def test_text():
    """Of letters and of words, in any container: one-hot vectors."""
    letters = ["ABA", "CB"]
    expected = [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    line = "SetCollection.from_sequences(X, sorted({s for x in X for s in x}))"
    forms = [letters, np.array(letters), pd.Series(letters), [list(x) for x in letters]]
    for X in forms:
        raised(
            lambda X=X: SetPooling().fit(X), "set 0 of X .*one-hot vectors of .* {}", line
        )
        sets = eval(line, {"SetCollection": SetCollection, "X": X})  # noqa: S307
        assert_array_equal(sets.values, expected)
    raised(lambda: SetPooling().fit([list("AB"), list("BC")]), "it is <U1; .* {}", line)
    raised(
        lambda: SetPooling().fit("ABA"),
        r"X is str, 'ABA'; .* for x in \[X\] for s in x\}\)\)",
    )
    model = SetPooling().fit(sets)
    line = "SetCollection.from_sequences(X, letters)"
    raised(lambda: model.transform(["AC"]), "a fitted model, {}, with the letters of", line)
    names = {"SetCollection": SetCollection, "X": ["AC"], "letters": "ABC"}
    assert_array_equal(model.transform(eval(line, names)), [[0.5, 0, 0.5]])  # noqa: S307
    with pytest.raises(
        TypeError, match=r"set 0 of X is bytes, \"b'AB'\"; .* of numbers\.$"
    ):
        SetPooling().fit([b"AB"])
    for paths in [["a.npy"], np.array(["a.npy"]), ["folder/a"]]:
        with pytest.raises(TypeError, match=r"\[np.load\(path\) for path in X\]"):
            SetPooling().fit(paths)
    for sentences in [["A good film. I liked it", "Bad."], ["Hot and/or cold", "ACD"]]:
        with pytest.raises(TypeError, match="one-hot vectors of letters or words"):
            SetPooling().fit(sentences)
    with pytest.raises(TypeError, match=r"X is str, 'a.npy'; .*: \[np.load\(X\)\]\)"):
        SetPooling().fit("a.npy")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [[1, 2], [3]],
            "element 1 of {} has 1 features, the first has 2; expected the same",
        ),
        (
            [[1, 2], [3, [4]]],
            "element 1 of {} is ragged; expected a list of numbers, as ma",
        ),
        ([[1, 2], None], "element 1 of {} is None; expected a list of numbers"),
        ([None, [1, 2]], "element 0 of {} is None; expected a list of numbers"),
        ([[1, 2], 3], "element 1 of {} is int, '3'; expected a list of numbers"),
    ],
)
def test_ragged_rows(rows, message):
    for call, name in [
        (lambda: SetPooling().fit([[[1, 2]], rows]), "set 1 of X"),
        (lambda: SetCollection.from_sets([[[1, 2]], rows]), "set 1 of sets"),
        (lambda: SetCollection.from_groups(rows, [0, 1]), "values"),
    ]:
        with pytest.raises(ValueError, match=message.format(name)):
            call()


def test_sets_in_place_of_one_array():
    line = r"values is a list of 2-D arrays; expected SetCollection.from_sets\(values\)"
    with pytest.raises(ValueError, match=line):
        SetCollection([A, B], [0, 2, 5])
    with pytest.raises(ValueError, match=line):
        SetCollection.from_groups([A, B], [0, 1])
    with pytest.raises(
        ValueError, match=r"X is a list of .*; expected SetC.*from_sets\(X\)"
    ):
        SetCollection.from_padded([A, B])
    with pytest.raises(ValueError, match=r"expected one: np.concatenate\(weights\)"):
        SetCollection(np.vstack([A, B]), [0, 2, 5], weights=[[1, 1], [1, 1, 1]])


def test_weights_and_offsets_of_another_form():
    sets, weights = [A, B], np.arange(1.0, 6)
    line = "np.split(weights, np.cumsum([len(x) for x in sets])[:-1])"
    raised(
        lambda: SetCollection.from_sets(sets, weights=weights),
        "weights is given for 5 of 2 sets; expected an array for each: {}",
        line,
    )
    parts = np.split(weights, np.cumsum([len(x) for x in sets])[:-1])
    assert_array_equal(collection(weights=parts).weights, weights)
    line = "np.concatenate([[0], np.cumsum(lengths)])"
    lengths = [2, 3]
    raised(lambda: SetCollection(np.vstack(sets), lengths), "offsets runs .*: {}", line)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    assert SetCollection(np.vstack(sets), offsets).lengths.tolist() == lengths


@pytest.mark.parametrize("x", [3.0, None, len, SetPooling()])
def test_no_sequence_at_all(x):
    name = type(x).__name__
    with pytest.raises(
        TypeError, match=rf"^X is (otk_sklearn.)?{name}; expected a list of"
    ):
        SetPooling().fit(x)
    with pytest.raises(
        TypeError, match=rf"^sets is (otk_sklearn.)?{name}; expected a list"
    ):
        SetCollection.from_sets(x)


def test_numbers_of_one_set():
    message = r"X has shape \(3,\); .* \[X.reshape\(-1, 1\)\] is one set of scalar elements"
    with pytest.raises(ValueError, match=message):
        SetPooling().fit(np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(3,\); .*: \[sets.reshape\(-1, 1\)\]\)"):
        SetCollection.from_sets(np.ones(3))
    with pytest.raises(
        ValueError, match=r"sets has shape \(3, 2\); .* one set: \[sets\]\)"
    ):
        SetCollection.from_sets(np.ones((3, 2)))
    assert len(SetCollection.from_sets(np.ones((4, 3, 2)))) == 4
    message = r"set 0 of X has shape \(3,\); .*: \[np.reshape\(x, \(-1, 1\)\) for x in X\]"
    with pytest.raises(ValueError, match=message):
        SetPooling().fit([np.ones(3), np.ones(4)])


def test_one_collection_in_place_of_several():
    message = r"collections is a SetCollection; expected a list of them: \[collections\]"
    with pytest.raises(TypeError, match=message):
        SetCollection.concatenate(collection())
    message = r"collections has list at 0; expected \[SetCollection.from_sets\(x\) for x in"
    with pytest.raises(TypeError, match=message):
        SetCollection.concatenate([[A], [B]])


def test_dates_and_complex_numbers_are_no_categories():
    dates = pd.DataFrame({"t": pd.date_range("2024", periods=2), "x": [1.0, 2.0]})
    for frame in [dates, pl.DataFrame(dates.to_dict("list")), dates[["x"]].astype(complex)]:
        with pytest.raises(ValueError, match=r"hold numbers, \['.'\]; expected real numb"):
            SetPooling().fit([frame])


def test_dates_beside_numbers_are_not_converted():
    """polars makes floats of both: microseconds among the features."""
    dates = pd.DataFrame({"t": pd.date_range("2024", periods=2), "x": [1.0, 2.0]})
    table = pl.DataFrame(dates.to_dict("list"))
    assert table.to_numpy().dtype == np.float64
    for call in [
        lambda: SetPooling().fit(table),
        lambda: SetPooling().fit([table]),
        lambda: SetCollection(table, [0, 2]),
        lambda: SetCollection.from_groups(table, [0, 1]),
        lambda: SetPooling().fit([table.select("x", pl.col("t") - pl.col("t").min())]),
    ]:
        with pytest.raises(ValueError, match=r"columns that don't hold numbers, \['t'\]"):
            call()
    with pytest.raises(TypeError, match="set 0 of X is no array of numbers: .*DateTime64"):
        SetPooling().fit([pa.table(dates)])
    SetPooling().fit([table.select("x")])


# --- NaN, and names


def test_nan_that_is_no_padding():
    nan = np.array([[1.0, 2.0], [np.nan, np.nan]])
    hint = r"padding: SetCollection.from_padded\(np.stack\(X\)\)"
    with pytest.raises(ValueError, match=f"NaN in set 1 .*{hint}"):
        SetPooling().fit([A, nan])
    named = pd.DataFrame(nan, columns=["a", "b"])
    for X in [
        [nan],
        SetCollection.from_sets([A, nan], weights=[[1, 1], [1, 1]]),
        SetCollection.from_sets([A, nan], names=["u", "v"]),
        SetCollection.from_groups(np.vstack([A, nan]), [0, 0, 1, 1]),
    ]:
        with pytest.raises(ValueError, match=r"NaN in set \d.*; expected finite values\.$"):
            SetPooling().fit(X)
    with pytest.raises(ValueError, match=r"in set 0 \(element 1, feature 'a'\); expected"):
        SetPooling().fit([named])


def test_names_are_shown_as_text():
    """NumPy 2 shows its scalars as np.str_('n0')."""
    names = np.empty(2, object)
    names[:] = [np.str_("n0"), np.str_("n0")]
    with pytest.raises(ValueError, match="names has 'n0' for sets 0 and 1"):
        collection(names=names)
    names[1] = np.str_("n1")
    with pytest.raises(ValueError, match=r"names of sets: 'n1'; .*first name is 'n0'\)"):
        collection(names=names).align({np.str_("n0"): 1})
    y = pd.Series([0, 1], index=pd.Index(names[::-1], dtype=object))
    with pytest.warns(UserWarning, match="entry 0 is that of 'n1', set 0 of X is 'n0'"):
        SetPooling().fit(collection(names=names), y)
    names[:] = [("a", np.int64(1)), ("a", np.int64(1))]
    with pytest.raises(ValueError, match=r"names has \('a', 1\) for sets 0 and 1"):
        collection(names=names)
    with pytest.raises(ValueError, match="groups is 'patient'; expected"):
        SetCollection.from_groups(TABLE, np.str_("patient"))
    with pytest.raises(ValueError, match="has the column 'id', .* or groups='id'"):
        SetCollection.from_groups(TABLE, pd.Series([0, 0, 1], name=np.str_("id")))
    columns = pd.Index(np.array([np.str_("a"), np.str_("b")], object), dtype=object)
    frames = [pd.DataFrame(A, columns=columns), pd.DataFrame(A, columns=["b", "a"])]
    with pytest.raises(ValueError, match=r"\['b', 'a'\], the first set has \['a', 'b'\]"):
        SetPooling().fit(frames)


def test_awkward_records_of_different_fields():
    parts = [ak.Array([[{"x": 1.0, "y": 2.0}]]), ak.Array([[{"x": 1.0, "z": 3.0}]])]
    message = (
        "set 1 of X is a list of records of 'x', 'z', the first is a list of records of "
        "'x', 'y'"
    )
    with pytest.raises(ValueError, match=message):
        SetPooling().fit(ak.concatenate(parts))


def test_a_set_by_its_name():
    X = collection(names=["a", "b"])
    with pytest.raises(IndexError, match=r"index is 'b'; .* name: (X.*)\.$") as caught:
        X["b"]
    chosen = eval(re.search(r"name: (X.*)\.$", str(caught.value))[1])  # noqa: S307
    assert chosen.names.tolist() == ["b"]


def test_errors_of_python_name_the_class_that_users_know():
    with pytest.raises(
        TypeError, match=r"^SetCollection.from_series\(\) got an unexpected"
    ):
        SetCollection.from_series([A], axis=1)


def test_padding_of_channels_before_time():
    X = np.ones((2, 3, 8))
    X[0, :, 6:] = np.nan
    hint = r"if time is last: (SetCollection.*)\)\.$"
    with pytest.raises(ValueError, match=hint) as caught:
        SetPooling().fit(X)
    line = re.search(hint, str(caught.value))[1]
    sets = eval(line, {"X": X, "SetCollection": SetCollection})  # noqa: S307
    assert sets.lengths.tolist() == [6, 8]
