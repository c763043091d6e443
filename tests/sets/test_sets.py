"""`SetCollection`: packing, indexing, immutability, and what scikit-learn does with it."""

import pickle
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import resample, shuffle

from otk_sklearn import SetCollection
from otk_sklearn.sets._validation import as_sets


def assert_same_sets(collection, sets):
    assert len(collection) == len(sets)
    for elements, expected in zip(collection, sets):
        assert_array_equal(elements, expected)


@pytest.fixture
def full(sets):
    """A collection with weights, positions and names."""
    rng = np.random.default_rng(1)
    return SetCollection.from_sets(
        sets,
        weights=[rng.uniform(1, 2, len(x)) for x in sets],
        positions=[rng.uniform(size=(len(x), 2)) for x in sets],
        names=[f"set {i}" for i in range(len(sets))],
    )


def test_every_input_form_becomes_a_collection(sets):
    objects = np.empty(len(sets), dtype=object)
    objects[:] = sets
    forms = [
        sets,
        tuple(sets),
        objects,
        pd.Series(sets),
        [x.tolist() for x in sets],
        [pd.DataFrame(x) for x in sets],
        [np.asfortranarray(x) for x in sets],
        SetCollection.from_sets(sets),
    ]
    for form in forms:
        assert_same_sets(as_sets(form), sets)


class OnlyArray:
    """What libraries of their own arrays offer: `__array__`, and little else."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def test_foreign_arrays_and_collections(sets, full):
    assert_same_sets(as_sets([OnlyArray(x) for x in sets]), sets)
    assert_same_sets(as_sets(OnlyArray(np.ones((2, 4, 3)))), np.ones((2, 4, 3)))
    assert as_sets(full) is full
    assert SetCollection.from_sets(full) is full


@pytest.mark.parametrize("convert", [np.asarray, np.asfortranarray, np.int64])
@pytest.mark.parametrize("stack", [list, np.stack, np.asfortranarray])
def test_sets_are_copied_once(convert, stack):
    sets = stack([convert(np.ones((1000, 8))) for _ in range(100)])
    tracemalloc.start()
    packed = as_sets(sets)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * packed.values.nbytes


def test_equal_lengths_and_grids():
    X = np.arange(24.0).reshape(2, 4, 3)
    assert_same_sets(as_sets(X), X)
    assert np.shares_memory(as_sets(X).values, X)
    images = np.arange(48.0).reshape(2, 2, 4, 3)
    sets = as_sets(images)
    assert_same_sets(sets, images.reshape(2, 8, 3))
    assert np.shares_memory(sets.values, images)
    rows = [[0.5, 0.25], [0.5, 0.5], [0.5, 0.75], [0.5, 1], [1, 0.25], [1, 0.5]]
    assert_array_equal(sets.positions[:6], rows)
    assert_array_equal(sets.positions[8:], sets.positions[:8])


@pytest.mark.parametrize("table", [np.eye(3), np.eye(3).tolist(), pd.DataFrame(np.eye(3))])
def test_rows_of_a_table_are_sets_of_one_element(table):
    with pytest.warns(UserWarning, match="each of its rows .* set of one element"):
        sets = as_sets(table)
    assert_same_sets(sets, np.eye(3)[:, np.newaxis])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float32"),
        ("int8", "float64"),
        ("uint64", "float64"),
        ("bool", "float64"),
        ("object", "float64"),
        (">f8", "float64"),
    ],
)
def test_dtype(given, kept):
    X = np.ones((5, 2)).astype(given)
    for sets in [
        SetCollection(X, [0, 2, 5]),
        SetCollection.from_sets([X[:2], X[2:]]),
        as_sets(X.reshape(1, 5, 2)),
        SetCollection.from_groups(X, [0, 0, 1, 1, 1]),
    ]:
        assert sets.dtype == kept
        assert sets.values.flags.c_contiguous
        assert sets.values.dtype.isnative
    assert SetCollection.from_sets([X, np.ones((1, 2))]).dtype == np.float64


def test_arrays_cannot_be_written(full):
    for array in [full.values, full.offsets, full.weights, full.positions, full[0]]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for array in [full.offsets, full.weights, full.positions]:
        with pytest.raises(ValueError, match="WRITEABLE"):
            array[:1].flags.writeable = True
    with pytest.raises(AttributeError):
        full.values = 0


def test_the_callers_array_stays_writeable_and_offsets_are_copied():
    values, offsets = np.ones((3, 2)), np.array([0, 1, 3])
    sets = SetCollection(values, offsets)
    assert np.shares_memory(sets.values, values)
    values[:] = 2
    offsets[:] = 7
    assert_array_equal(sets.offsets, [0, 1, 3])


def test_indexing(full, sets):
    n_sets = len(sets)
    mask = np.arange(n_sets) % 3 == 0
    cases = [
        [2, 0, 2],
        [1, 3, 5],
        np.array([-1, 1]),
        slice(2, 5),
        slice(1, None, 2),
        slice(None, None, -1),
        slice(4, 4),
        [],
        mask,
        mask.tolist(),
    ]
    order = np.arange(n_sets)
    for index in cases:
        for part in [full[index], full[index, ...]]:
            chosen = order[index]
            assert_same_sets(part, [sets[i] for i in chosen])
            rows = [np.arange(full.offsets[i], full.offsets[i + 1]) for i in chosen]
            rows = np.concatenate([*rows, np.arange(0)])
            assert_array_equal(part.weights, full.weights[rows])
            assert_array_equal(part.positions, full.positions[rows])
    for i in [0, -1, np.int64(3), np.array(3)]:
        assert_array_equal(full[i], sets[i])
    for view in [full[2:5], full[[2, 3, 4]]]:
        assert np.shares_memory(view.values, full.values)
    assert full.shape == (n_sets,)
    for wrong in [n_sets, [n_sets], 1.0, "a", [[0]], (0, 1), (0, ..., 1), mask[:-1]]:
        with pytest.raises(IndexError):
            full[wrong]
    with pytest.raises(IndexError, match="^SetCollection has 1 dim.*; the index gave 2.$"):
        full[[[0]]]


def test_other_values_and_other_dtypes_keep_weights_and_positions(full):
    single = full.astype(np.float32)
    assert single.dtype == np.float32
    assert_array_equal(single.values, full.values.astype(np.float32))
    assert np.shares_memory(full.astype(np.float64).values, full.values)
    narrow = full.with_values(full.values[:, :1])
    assert_array_equal(narrow.values, full.values[:, :1])
    for sets in [single, narrow]:
        assert not sets.values.flags.writeable
        for name in ["offsets", "weights", "positions", "names"]:
            assert_array_equal(getattr(sets, name), getattr(full, name))
    other = full.with_values(np.eye(2), offsets=[0, 1, *[2] * (len(full) - 1)])
    assert_array_equal(other.names, full.names)
    n = len(full.values)
    message = f"^values has {n - 1} rows; expected one per element, {n}.$"
    with pytest.raises(ValueError, match=message):
        full.with_values(full.values[1:])


def test_weights_and_positions_are_float64():
    ones = np.ones(3, np.float32)
    sets = SetCollection(np.ones((3, 2), np.float32), [0, 3], weights=ones, positions=ones)
    assert sets.dtype == np.float32
    assert sets.weights.dtype == sets.positions.dtype == np.float64


def test_scikit_learn_splits_keep_weights_and_positions(full, sets):
    y = np.arange(len(sets))
    train, test, y_train, y_test = train_test_split(full, y, random_state=0)
    for part, labels in [(train, y_train), (test, y_test), shuffle(full, y)]:
        assert isinstance(part, SetCollection)
        assert_same_sets(part, [sets[i] for i in labels])
        for i, label in enumerate(labels):
            assert_array_equal(part[[i]].weights, full[[label]].weights)
            assert_array_equal(part[[i]].positions, full[[label]].positions)
    for train_index, _ in KFold(3).split(full):
        assert_same_sets(full[train_index], [sets[i] for i in train_index])
    assert len(resample(full, n_samples=30, random_state=0)) == 30


def test_pickle_and_joblib(full, tmp_path):
    joblib.dump(full, tmp_path / "sets.joblib")
    for copy in [
        pickle.loads(pickle.dumps(full)),
        joblib.load(tmp_path / "sets.joblib"),
        joblib.load(tmp_path / "sets.joblib", mmap_mode="r"),
    ]:
        for name in ["values", "offsets", "weights", "positions"]:
            assert_array_equal(getattr(copy, name), getattr(full, name))
            assert not getattr(copy, name).flags.writeable
    assert joblib.hash(full) == joblib.hash(pickle.loads(pickle.dumps(full)))
    none = pickle.loads(pickle.dumps(full[:0]))
    assert len(none) == len(none.weights) == len(none.positions) == 0
    assert none.n_features == full.n_features


def test_repr(full, collection):
    assert repr(collection) == (
        f"SetCollection(n_sets=12, n_elements={len(full.values)}, n_features=4, "
        f"lengths 1 to {max(full.lengths)}, float64)"
    )
    assert "weights, positions, names)" in repr(full)
    assert "n_sets=0" in repr(full[:0])


def test_masses():
    sets = SetCollection(np.ones((6, 1)), [0, 2, 3, 6])
    np.testing.assert_allclose(sets.masses, [1 / 2, 1 / 2, 1, 1 / 3, 1 / 3, 1 / 3])
    weights = [1e-300, 3e-300, 5, 1e308, 1e308, 0]
    sets = SetCollection(np.ones((6, 1)), [0, 2, 3, 6], weights=weights)
    np.testing.assert_allclose(sets.masses, [1 / 4, 3 / 4, 1, 1 / 2, 1 / 2, 0])


def test_from_padded():
    X = np.arange(24.0).reshape(2, 4, 3)
    expected = [X[0, :1], X[1, :3]]
    mask = np.array([[True, False, False, False], [True, True, True, False]])
    with_nan = np.where(mask[:, :, np.newaxis], X, np.nan)
    assert_same_sets(SetCollection.from_padded(X, lengths=[1, 3]), expected)
    assert_same_sets(SetCollection.from_padded(X, mask=mask), expected)
    assert_same_sets(SetCollection.from_padded(with_nan), expected)
    assert_same_sets(SetCollection.from_padded(X.astype(int), lengths=[1, 3]), expected)
    assert SetCollection.from_padded(X.astype(np.float32)).dtype == np.float32
    assert_same_sets(SetCollection.from_padded(X, lengths=[4, 1]), [X[0], X[1, :1]])
    holes = SetCollection.from_padded(X, mask=~mask[:, ::-1])
    assert_same_sets(holes, [X[0, :3], X[1, :1]])


def test_from_groups_keeps_the_order_of_appearance():
    values = np.arange(6.0)[:, np.newaxis]
    weights = np.arange(1.0, 7)
    positions = values / 6
    sets = SetCollection.from_groups(
        values, list("babcab"), weights=weights, positions=positions
    )
    assert_same_sets(sets, [[[0], [2], [5]], [[1], [4]], [[3]]])
    assert_array_equal(sets.weights, [1, 3, 6, 2, 5, 4])
    assert_array_equal(sets.positions[:, 0] * 6, [0, 2, 5, 1, 4, 3])
    table = pd.DataFrame({"patient": [3, 3, 1], "x": [1.0, 2.0, 3.0]})
    assert_same_sets(
        SetCollection.from_groups(table[["x"]], table["patient"]), [[[1], [2]], [[3]]]
    )
    together = np.ones((5, 2))
    sets = SetCollection.from_groups(together, [7, 7, 2, 2, 2])
    assert np.shares_memory(sets.values, together)


def test_rows_of_a_group_keep_their_order():
    """Also where there are many: NumPy's default sort keeps the order of a few rows."""
    groups = np.random.default_rng(0).integers(3, size=1000)
    rows = np.arange(1000.0)[:, np.newaxis]
    sets = SetCollection.from_groups(rows, groups)
    assert_same_sets(sets, [rows[groups == g] for g in pd.unique(groups)])


WRONG = {
    "offsets start": (([1, 3],), {}, "offsets runs from 1 to 3; expected from 0"),
    "offsets end": (([0, 4],), {}, "to the number of elements, 3"),
    "offsets fall": (
        ([0, 2, 1, 3],),
        {},
        "from 2 to 1 at set 1; expected offsets that don't",
    ),
    "offsets huge": (
        ([0, 2**63 + 5, 3],),
        {},
        "offsets is float64",
    ),
    "offsets wrap": (([0, 2**63 - 1, -(2**63) + 1, -1, 3],), {}, "at set 1; expected"),
    "offsets float": (([0.0, 3.0],), {}, "offsets is float64"),
    "offsets 2-D": (([[0, 3]],), {}, "offsets is int64 of shape"),
    "offsets none": (([],), {}, r"offsets is float64 of shape \(0,\)"),
    "weights short": (([0, 3],), {"weights": [1, 1]}, r"weights has shape \(2,\)"),
    "weights 2-D": (
        ([0, 1, 3],),
        {"weights": np.ones((3, 1))},
        r"^weights has shape \(3, 1\); expected \(3,\): one per element.$",
    ),
    "weights negative": (
        ([0, 1, 3],),
        {"weights": [1, 1, -1]},
        r"weights has -1.0 in set 1 \(element 1\)",
    ),
    "weights nan": (
        ([0, 1, 3],),
        {"weights": [np.nan, 1, 1]},
        "weights has nan in set 0",
    ),
    "weights zero": (
        ([0, 1, 3],),
        {"weights": [1, 0, 0]},
        "weights of set 1 are all zero",
    ),
    "weights text": (([0, 3],), {"weights": ["a", "b", "c"]}, "weights is <U1"),
    "weights complex": (([0, 3],), {"weights": [1j, 1, 1]}, "Complex data"),
    "weights ragged": (([0, 3],), {"weights": [[1], [1, 2], 1]}, "weights is a list of ar"),
    "offsets ragged": (([[0], [1, 2]],), {}, "offsets is no array"),
    "positions short": (([0, 3],), {"positions": [1, 2]}, "positions has shape"),
    "positions 3-D": (([0, 3],), {"positions": np.ones((3, 3))}, "positions has shape"),
    "positions nan": (
        ([0, 1, 3],),
        {"positions": [1, 1, np.nan]},
        r"positions has NaN or infinity in set 1 \(element 1\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_parts(case):
    args, kwargs, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        SetCollection(np.ones((3, 2)), *args, **kwargs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SetCollection.from_sets([]), "sets is an empty collection"),
        (
            lambda: SetCollection.from_sets([[[1]], [[2]]], weights=[[1]]),
            "weights is given for 1 of 2 sets",
        ),
        (
            lambda: SetCollection.from_sets([[[1]], [[2]]], weights=[[1], [1, 2]]),
            r"weights of set 1 has shape \(2,\)",
        ),
        (
            lambda: SetCollection.from_sets(SetCollection([[1]], [0, 1]), weights=[[1]]),
            "sets is a SetCollection, which has weights",
        ),
        (lambda: SetCollection.from_padded(np.ones((2, 3))), "X has shape"),
        (
            lambda: SetCollection.from_padded(
                np.ones((1, 2, 3)), lengths=[1], mask=[[True, False]]
            ),
            "Both lengths and mask",
        ),
        (
            lambda: SetCollection.from_padded(np.ones((2, 2, 3)), lengths=[1, 3]),
            "lengths of set 1 is 3; expected 0 to 2",
        ),
        (
            lambda: SetCollection.from_padded(np.ones((1, 2, 3)), lengths=[1.5]),
            r"^lengths is float64 of shape \(1,\); expected integers of shape \(1,\).$",
        ),
        (
            lambda: SetCollection.from_padded(np.ones((1, 2, 3)), mask=[[2, 0]]),
            r"^mask is int64 of shape \(1, 2\); expected bool, or 0 and 1, of sh",
        ),
        (
            lambda: SetCollection.from_padded(
                np.ones((1, 2, 3)), mask=np.ma.array([[True, True]], mask=[[0, 1]])
            ),
            "^mask has masked values",
        ),
        (
            lambda: SetCollection.from_padded(np.ma.masked_equal(np.eye(2)[None], 0)),
            "^X has masked values",
        ),
        (lambda: SetCollection.from_padded([[[1]], [[1, 2]]]), "^X is a list of 2-D"),
        (
            lambda: SetCollection.from_sets(
                [[[1], [2]]], weights=[np.ma.masked_equal([1, 0], 0)]
            ),
            "weights of set 0 has masked values",
        ),
        (
            lambda: SetCollection.from_sets([[[1]], [[2]]], positions=[[1], [[1, 2]]]),
            r"positions of set 1 has shape \(1, 2\), that of set 0 \(1,\)",
        ),
        (
            lambda: SetCollection.from_groups([[1], [2]], np.ma.array([0, 1], mask=[0, 1])),
            "groups has masked values",
        ),
        (
            lambda: SetCollection.from_padded(np.ones((2, 2, 1)), lengths=[[1], [1, 2]]),
            "lengths is no array",
        ),
        (lambda: SetCollection.from_groups([[1], [2]], [0]), "groups has shape"),
        (
            lambda: SetCollection.from_groups(
                [[1], [2], [3]], [0, 1, 0], weights=[1, 1, 1, 9]
            ),
            r"weights has shape \(4,\)",
        ),
        (
            lambda: SetCollection.from_groups([[1], [2], [3]], [0, 1, 0], positions=[1]),
            r"positions has shape \(1,\)",
        ),
        (
            lambda: SetCollection.from_groups([[1], [2]], ["a", None]),
            "groups has no label in row 1",
        ),
        (
            lambda: SetCollection.from_groups([[1], [2]], [0, np.nan]),
            "groups has no label in row 1",
        ),
    ],
)
def test_wrong_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
