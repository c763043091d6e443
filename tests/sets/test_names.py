"""Who the sets of a collection are, what its columns mean, and which rows they were."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import resample

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    SetCollection,
    SetPooling,
)

NAMES = ["p3", "p1", "p2"]


def named(**changes):
    parts = {"names": NAMES, "feature_names": ["x", "y"]} | changes
    return SetCollection(np.arange(12.0).reshape(6, 2), [0, 3, 5, 6], **parts)


def table():
    """A long table whose groups come in the order b, a, c, and not side by side."""
    return pd.DataFrame(
        {"id": list("babcab"), "x": [0.0, 1, 2, 3, 4, 5], "y": [5.0, 4, 3, 2, 1, 0]}
    )


def of_table():
    return SetCollection.from_groups(table()[["x", "y"]], table()["id"])


@pytest.mark.parametrize(
    "change",
    [
        copy.copy,
        copy.deepcopy,
        lambda X: pickle.loads(pickle.dumps(X)),
        lambda X: X.astype(np.float32),
        lambda X: X[:],
        lambda X: X[[0, 1, 2]],
        lambda X: X[np.ones(3, bool)],
        lambda X: SetCollection.concatenate([X[:1], X[1:]]),
        lambda X: ElementTransformer(StandardScaler()).fit_transform(X),
    ],
)
def test_names_are_kept(change):
    changed = change(named())
    assert changed.names.tolist() == NAMES
    assert changed.feature_names.tolist() == ["x", "y"]
    assert "names" in repr(changed)


def test_names_follow_their_sets():
    X = named()
    assert X[[2, 0]].names.tolist() == ["p2", "p3"]
    assert X[1:].names.tolist() == ["p1", "p2"]
    assert X[X.lengths > 1].names.tolist() == ["p3", "p1"]
    repeated = X[[1, 1]]
    assert pickle.loads(pickle.dumps(repeated)).names.tolist() == ["p1", "p1"]
    assert ConvolutionalKernelLayer(2).fit(X).transform(repeated).names.tolist() == [
        "p1",
        "p1",
    ]
    _, test = train_test_split(X, random_state=0, test_size=1)
    assert X.names.tolist().index(test.names[0]) == np.flatnonzero(
        [np.array_equal(x, test[0]) for x in X]
    )
    sample = resample(X, random_state=0)
    for name, x in zip(sample.names, sample):
        assert_array_equal(x, X[X.names.tolist().index(name)])


def test_names_are_as_given():
    """Labels are never converted into each other."""
    mixed = [1001, "1001A", (1, "b")]
    assert named(names=mixed).names.tolist() == mixed
    assert named(names=np.array([3, 1, 2])).names.dtype == np.int64
    big = [2**63 + 1, 2**63, -1]
    assert named(names=big).names.tolist() == big
    assert named(names=[True, 1, (True, 1)]).names.tolist() == [True, 1, (True, 1)]
    assert named(names=pd.Index(NAMES)).names.tolist() == NAMES
    assert named(names=pd.Categorical(NAMES)).names.tolist() == NAMES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ["a", "b"]}, "names has 2 entries; expected one a set, 3"),
        ({"names": ["a", "b", "a"]}, "names has 'a' for sets 0 and 2; expected unique"),
        ({"names": ["a", None, "b"]}, "names has None for set 1; expected a name"),
        ({"names": [1.0, 2.0, np.nan]}, "names has nan for set 2"),
        ({"names": "abc"}, "names is str; expected an array of labels"),
        ({"names": np.eye(3)}, r"names has shape \(3, 3\)"),
        ({"feature_names": ["x"]}, "feature_names has 1 entries; expected one a feature"),
        ({"feature_names": ["x", 1]}, "feature_names has 1; expected strings"),
    ],
)
def test_wrong_names(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        named(**changes)


def test_names_of_groups_columns_and_an_index():
    X = of_table()
    assert X.names.tolist() == ["b", "a", "c"]
    assert X.feature_names.tolist() == ["x", "y"]
    cells = pd.Series([np.eye(2), np.ones((3, 2))], index=["u", "v"])
    assert SetCollection.from_sets(cells).names.tolist() == ["u", "v"]
    frames = [group[["x", "y"]] for _, group in table().groupby("id")]
    assert SetCollection.from_sets(frames).feature_names.tolist() == ["x", "y"]


def test_targets_by_name():
    """tsfresh#713: labels sorted by name, sets in order of appearance."""
    y = pd.Series({"a": 1, "b": 2, "c": 3, "d": 4})
    X = of_table()
    assert X.align(y).tolist() == X.align(y.to_dict()).tolist() == [2, 1, 3]
    frame = pd.DataFrame({"u": y, "v": -y})
    assert X.align(frame).tolist() == [[2, -2], [1, -1], [3, -3]]
    assert X[::-1].align(y).tolist() == [3, 1, 2]
    with pytest.raises(ValueError, match="for 2 of the names of sets: 'b', 'c'"):
        X.align({"a": 1})
    with pytest.raises(ValueError, match="for 3 .* is 0.; of a .*: table.set_index"):
        X.align(pd.Series([1, 2, 3]))
    repeated = pd.Series([1, 2], index=["a", "a"])
    line = r"y has 'a' more than once; .*: y.groupby\(level=0, observed=True\).first\(\)\."
    with pytest.raises(ValueError, match=line):
        X.align(repeated)
    repeated.index = pd.MultiIndex.from_tuples([("a", 1), ("a", 1)])
    with pytest.raises(ValueError, match=r"groupby\(level=\[0, 1\], observed"):
        X.align(repeated)
    with pytest.raises(TypeError, match="y is list; expected a pandas Series"):
        X.align([1, 2, 3])


def test_labels_of_rows_are_not_those_of_sets_named_by_numbers():
    X = SetCollection.from_groups(np.zeros((6, 1)), [0, 0, 1, 1, 1, 2])
    labels = pd.Series(list("aabbbc"))
    message = r"y has an entry for each of 6 rows, .* (\d) sets, by its name: (y\.\S*),"
    for sets in [X, X[1:]]:
        for y in [labels, labels.to_frame()]:
            with pytest.raises(ValueError, match=message) as caught:
                sets.align(y)
        line = re.search(message, str(caught.value))[2]
        by_name = eval(line, {"y": labels, "groups": [0, 0, 1, 1, 1, 2]})
        assert sets.align(by_name).tolist() == list("abc")[3 - len(sets) :]
    assert X.align(labels[:3]).tolist() == ["a", "a", "b"]
    assert X.align(pd.Series(range(9))).tolist() == [0, 1, 2]


def test_targets_of_sets_without_names():
    y = pd.Series({"a": 1})
    with pytest.raises(ValueError, match="These sets have no names"):
        SetCollection([[1.0]], [0, 1]).align(y)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_targets_that_are_missing(missing):
    X = of_table()
    for y in [
        {"b": "u", "a": missing, "c": "v"},
        pd.Series({"a": missing, "b": "u", "c": "v", "d": missing}, dtype=object),
        pd.Series({"a": missing, "b": "u", "c": "v"}, dtype="category"),
        pd.DataFrame({"x": {"a": missing, "b": "u", "c": "v"}}),
    ]:
        message = "y has nothing, or NaN, for 1 .*: 'a'; .*To leave .*: X = (.*)\\.$"
        with pytest.raises(ValueError, match=message) as caught:
            X.align(y)
        line = re.search(message, str(caught.value))[1]
        kept = eval(line, {"X": X, "y": y, "pd": pd})  # noqa: S307
        assert kept.names.tolist() == ["b", "c"]
        assert kept.align(y).ravel().tolist() == ["u", "v"]
    message = r"for 3 of .* \(its first name is 'd'\);.*table\.set_index\(column\)\.$"
    with pytest.raises(ValueError, match=message):
        X.align(pd.Series({"d": 1, "a": missing}))


def test_rows_with_some_missing_values_are_kept():
    columns = {"age": [1.0, np.nan, 3], "n": [4.0, 5, np.nan]}
    frame = pd.DataFrame(columns, index=list("abc"))
    assert_array_equal(of_table().align(frame), frame.loc[["b", "a", "c"]])


def test_errors_name_sets_whose_name_is_not_their_number():
    for names, shown in [([7, 5], ", named 5"), ([0, 1], ""), (["0", "1"], ", named '1'")]:
        X = SetCollection([[1.0], [np.nan]], [0, 1, 2], names=names)
        with pytest.raises(ValueError, match=rf"contains NaN in set 1{shown} \(element 0"):
            SetPooling().fit(X)
        series = pd.Series([[[1.0]], []], index=names)
        with pytest.raises(ValueError, match=rf"^set 1 of X{shown},? is empty"):
            SetPooling().fit(series)


@pytest.mark.parametrize(
    "model",
    [
        OTKEmbedding(2, n_components=2),
        SetPooling(),
        OTKClassifier(OTKEmbedding(2, n_components=2), max_epochs=1),
    ],
)
def test_a_permuted_index_is_a_warning(model):
    X, y = of_table(), table().assign(ill=[1, 0, 1, 0, 0, 1]).groupby("id")["ill"].first()
    assert y.index.tolist() == ["a", "b", "c"]
    with pytest.warns(UserWarning, match=r"X.align\(y\) has the order of the sets"):
        model.fit(X, y)
    model.fit(X, X.align(y))
    if isinstance(model, OTKClassifier):
        with pytest.warns(UserWarning, match=r"groups has .* X.align\(groups\) has"):
            model.set_params(alpha=1.0).fit(X, X.align(y), groups=y)
    model.fit(X, y.loc[X.names])  # the same order: no warning
    model.fit(X, y.reset_index(drop=True))  # other names: they are not those of the sets


def test_aligned_targets_can_be_learned():
    """The score of labels taken by position was 0.43."""
    rng = np.random.default_rng(0)
    patients = rng.permutation(60)
    table = pd.DataFrame({"id": np.repeat(patients, 8)})
    table["x"] = rng.normal(size=len(table)) + 4 * (table["id"] % 2)
    y = table.groupby("id")["id"].first() % 2
    X = SetCollection.from_groups(table[["x"]], table["id"])
    model = make_pipeline(OTKEmbedding(2, n_components=8), LogisticRegression())
    assert cross_val_score(model, X, X.align(y)).mean() == 1.0


def test_rows_go_back_to_the_table():
    X = of_table()
    assert X.rows.tolist() == [0, 2, 5, 1, 4, 3]
    assert_array_equal(table()[["x", "y"]].to_numpy()[X.rows], X.values)
    assert_array_equal(X.to_rows(X.values), table()[["x", "y"]])
    assert_array_equal(X.to_rows(list(X)), table()[["x", "y"]])
    assert X.to_rows(X.rows).dtype == X.rows.dtype
    part = pickle.loads(pickle.dumps(X[[2, 1]]))
    assert_array_equal(part.to_rows(part.values[:, 0]), [np.nan, 1, np.nan, 3, 4, np.nan])
    assert_array_equal(part.to_rows(part.rows), [np.nan, 1, np.nan, 3, 4, np.nan])
    twice = X[[0, 0, 2]]  # as many elements as the table has rows, and not all of them
    assert_array_equal(twice.to_rows(twice.values[:, 0]), [0, np.nan, 2, 3, np.nan, 5])
    dates = np.arange(6).astype("datetime64[D]")
    assert_array_equal(np.isnat(part.to_rows(dates[part.rows])), [1, 0, 1, 0, 0, 1])
    assert part.to_rows(np.array(["u", "v", "w"])).tolist()[3] == "u"
    singles = X[[2]]
    assert singles.to_rows([7.0])[3] == 7
    with pytest.raises(ValueError, match=r"values has shape \(2,\); expected one entry an"):
        X.to_rows([1, 2])
    with pytest.raises(ValueError, match="expected sets made of a table, by from_g"):
        named().to_rows(np.ones(6))


def test_swapped_columns_are_an_error():
    """tsfresh#946: fitted on columns a, b and handed b, a."""
    model = OTKEmbedding(2, n_components=3).fit(of_table())
    assert model.feature_names_in_.tolist() == ["x", "y"]
    swapped = SetCollection.from_groups(table()[["y", "x"]], table()["id"])
    with pytest.raises(ValueError, match="must be in the same order"):
        model.transform(swapped)
    other = SetCollection.from_groups(table()[["x"]].assign(z=1.0), table()["id"])
    with pytest.raises(ValueError, match="(?s)unseen at fit time:.*- z.*now missing:.*- y"):
        model.transform(other)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.transform(list(of_table()))
    unnamed = OTKEmbedding(2, n_components=3).fit(list(of_table()))
    with pytest.warns(UserWarning, match="X has feature names, but OTKEmbedding was"):
        unnamed.transform(of_table())


def test_concatenation():
    X = named(weights=np.arange(1.0, 7), positions=np.arange(6) / 6)
    joined = SetCollection.concatenate([X[2:], X[:2]])
    assert_array_equal(joined.values, np.vstack([X.values[5:], X.values[:5]]))
    assert joined.weights.tolist() == [6, 1, 2, 3, 4, 5]
    assert joined.positions.ravel().tolist() == [5 / 6, 0, 1 / 6, 2 / 6, 3 / 6, 4 / 6]
    assert joined.names.tolist() == ["p2", "p3", "p1"]
    assert joined.lengths.tolist() == [1, 3, 2]
    assert SetCollection.concatenate([X.astype("float32")] * 1).dtype == np.float32


@pytest.mark.filterwarnings("ignore:X has positions; the sets of fit had none")
def test_concatenation_with_default_weights_and_positions():
    """The embedding of each set is that in its own collection."""
    rng = np.random.default_rng(0)
    plain = SetCollection(rng.normal(size=(9, 2)), [0, 4, 9])
    weighted = SetCollection(
        rng.normal(size=(7, 2)), [0, 7], weights=rng.random(7), positions=rng.random(7)
    )
    model = OTKEmbedding(3, n_components=4, position="gaussian", random_state=0).fit(plain)
    joined = SetCollection.concatenate([plain, weighted])
    expected = np.vstack([model.transform(plain), model.transform(weighted)])
    np.testing.assert_allclose(model.transform(joined), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("others", "error", "message"),
    [
        ([], ValueError, "collections is empty"),
        ([named(), np.eye(2)], TypeError, "collections has ndarray at 1; expected .SetCol"),
        ([named(), named()], ValueError, "names has 'p3' twice, in collections 0 and 1"),
        ([named()[[1, 1]]], ValueError, "names has 'p1' twice, in collections 0 and 0"),
        ([named(), named(names=None)], ValueError, "names of collection 1 are missing"),
        (
            [named(names=None), named(names=None, feature_names=["y", "x"])],
            ValueError,
            r"feature names \['x', 'y'\] and \['y', 'x'\]; expected the same",
        ),
        (
            [named(), SetCollection([[1.0]], [0, 1])],
            ValueError,
            "collection 1 has 1 features, collection 0 has 2",
        ),
        (
            [named(positions=np.ones((6, 2))), named(names=["a", "b", "c"])],
            ValueError,
            r"positions on \[2, 1\] axes",
        ),
    ],
)
def test_what_can_not_be_concatenated(others, error, message):
    with pytest.raises(error, match=message):
        SetCollection.concatenate(others)


def test_repeated_names_are_dropped_or_replaced():
    """A bootstrap sample joined with the sets that it is drawn from."""
    X = named(weights=np.arange(1.0, 7))
    both = [X, X[[1, 1]]]
    message = (
        r"expected unique names\. If that set was cut in two, between files or "
        r"partitions, join their tables first: SetCollection\.from_groups\(pd\.concat\("
        r'tables\), "id"\).* '
        r"different sets: SetCollection\.concatenate\(collections, names=None\), or new"
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.concatenate(both)
    joined = SetCollection.concatenate(both, names=None)
    assert joined.names is None
    assert joined.weights.tolist() == [1, 2, 3, 4, 5, 6, 4, 5, 4, 5]
    assert joined.feature_names.tolist() == ["x", "y"]
    new = ["a", "b", "c", "d", "e"]
    for names in [new, np.array(new), pd.Series(new), [*X.names, "d", "e"]]:
        joined = SetCollection.concatenate(both, names=names)
        assert joined.names.tolist() == list(names)
        assert_array_equal(joined.lengths, [3, 2, 1, 2, 2])
    assert SetCollection.concatenate([X, named(names=None)], names=None).names is None
    with pytest.raises(ValueError, match="names has 'a' for sets 0 and 4; expected unique"):
        SetCollection.concatenate(both, names=[*"abcda"])
    with pytest.raises(ValueError, match="names has 3 entries; expected one a set, 5"):
        SetCollection.concatenate(both, names=X.names)
    with pytest.raises(
        ValueError, match="names is 'drop'; expected 'keep', None, or an ar"
    ):
        SetCollection.concatenate(both, names="drop")


def test_a_set_that_was_cut_between_two_tables():
    parts = [table()[:3], table()[3:]]
    each = [SetCollection.from_groups(part, "id") for part in parts]
    with pytest.raises(ValueError, match="names has 'a' twice, in collections 0 and 1"):
        SetCollection.concatenate(each)
    whole = SetCollection.from_groups(pd.concat(parts), "id")
    assert_array_equal(whole.values, of_table().values)


@pytest.mark.parametrize(
    "names", [["a", "a\0", "b"], ["a\0", "b\0", "c\0"], ["\0", "", "a"]]
)
def test_names_that_end_with_nul_stay_apart(names):
    """NumPy cuts NUL off the end of text of a fixed width."""
    for given in [names, tuple(names), pd.Series(names, dtype=object)]:
        X = named(names=given)
        assert X.names.tolist() == names
        assert pickle.loads(pickle.dumps(X)).names.tolist() == names
        joined = SetCollection.concatenate([X[:1], X[1:]])
        assert joined.names.tolist() == X[[0, 1, 2]].names.tolist() == names
        assert X.align(dict(zip(names, "abc"))).tolist() == [*"abc"]
    grouped = SetCollection.from_groups(np.ones((6, 1)), [*names, *names])
    assert grouped.names.tolist() == names


def test_values_of_a_mapping_are_not_converted():
    X = named()
    for values in [["u", "u\0", "v"], [1, "1", 2], ["u", b"u", "v"]]:
        assert X.align(dict(zip(NAMES, values))).tolist() == values
    assert X.align(dict(zip(NAMES, "uvw"))).dtype.kind == "U"
    assert X.align(dict(zip(NAMES, [1, 2.5, 3]))).dtype == np.float64


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_names_that_are_dates(unit):
    """NumPy makes integers of those that are counted in nanoseconds."""
    days = pd.Series(pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-02"]))
    days = days.astype(f"datetime64[{unit}]")
    X = SetCollection.from_groups([[1.0], [2.0], [3.0]], days)
    y = pd.Series([5, 6]).set_axis(days[[1, 0]])
    assert X.align(y).tolist() == X.align(y.to_dict()).tolist() == [6, 5]
    means = SetPooling().set_output(transform="pandas").fit_transform(X)
    assert means.index.tolist() == days[:2].tolist()
    spans = (days - days[1])[:2].to_numpy()
    X = SetCollection([[1.0], [2.0]], [0, 1, 2], names=spans)
    assert X.align(pd.Series([5, 6], index=spans[::-1])).tolist() == [6, 5]
    exact = np.array([1, 2], "datetime64[ns]")  # no whole number of microseconds
    X = SetCollection([[1.0], [2.0]], [0, 1, 2], names=exact)
    assert X.names.tolist() == list(exact)


def test_take_is_that_of_numpy():
    X = named()
    for indices, mode in [([2, 0], "raise"), ([-1, 5], "wrap"), ([-1, 5], "clip")]:
        expected = np.take(np.array(NAMES), indices, mode=mode)
        assert_array_equal(np.take(X, indices, mode=mode).names, expected)
    for axis in (0, -1, None):
        assert np.take(X, [2, 0], axis=axis).names.tolist() == ["p2", "p3"]
    with pytest.raises(
        ValueError, match=r"axis is 1; .* X.with_values\(X.values\[:, indic"
    ):
        np.take(X, [1, 0], axis=1)
    assert_array_equal(X.with_values(X.values[:, [1, 0]])[1], [[7, 6], [9, 8]])
    with pytest.raises(ValueError, match="out is ndarray; expected None"):
        np.take(X, [1], out=np.empty(1))
    with pytest.raises(IndexError, match="out of bounds"):
        np.take(X, [3])


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.from_dlpack,
        pd.DataFrame,
        pd.Series,
        np.random.default_rng(0).permutation,
        np.random.permutation,
        lambda X: np.concatenate([X, X]),
        lambda X: np.array([X, X]),
        lambda X: LogisticRegression().fit(X, [0, 1, 1]),
    ],
)
def test_a_collection_is_no_array(convert):
    """numpy#26669: weights and positions were gone, silently."""
    equal = SetCollection(np.ones((6, 2)), [0, 2, 4, 6], weights=np.arange(1, 7))
    with pytest.raises(TypeError, match=r"not an array: .* X.values .* X.to_padded\(\)"):
        convert(equal)
    assert np.take(equal, [2, 0]).weights.tolist() == [5, 6, 1, 2]


def test_single_sets():
    X = named()
    for i in (0, np.int64(1), -1, np.array(2)):
        assert_array_equal(X[i], list(X)[int(i)])
    for i in (3, -4):
        with pytest.raises(IndexError, match=f"index {i} of 3 sets is out of range"):
            X[i]


def test_tuples_with_a_missing_part_and_tuples_of_equal_length():
    names = [("a", 1), ("b", 2), ("a", 2)]
    sets = SetCollection(np.ones((3, 1)), [0, 1, 2, 3], names=names)
    assert sets.names.tolist() == names
    with pytest.raises(ValueError, match=r"names has \('a', nan\) for set 1; expected a n"):
        SetCollection(np.ones((2, 1)), [0, 1, 2], names=[("a", 1), ("a", np.nan)])
