"""Padded arrays: which of their rows are elements, and what looks like padding."""

import re
import warnings

import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from otk_sklearn import (
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    SetCollection,
    SetPooling,
)
from otk_sklearn.sets._padded_arrays import check_padded
from otk_sklearn.sets._validation import as_sets

NAN = np.nan


def assert_same_sets(collection, sets):
    assert [x.tolist() for x in collection] == [np.asarray(x).tolist() for x in sets]


# --- NaN


def test_a_row_of_nan_before_others_is_no_padding():
    """tslearn#62, tslearn#272: a gap in a series was taken for its end, or left out."""
    X = [[[0.0], [1], [2], [3], [NAN]], [[1], [2], [NAN], [4], [5]]]
    message = (
        r"row 2 of set 1 of X is all NaN, and rows after it are not; .* "
        r"Pass mask=~np.isnan\(X\).all\(axis=2\) to leave all rows of NaN out, .* lengths="
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.from_padded(X)
    sets = SetCollection.from_padded(X, mask=~np.isnan(X).all(axis=2))
    assert_same_sets(sets, [[[0], [1], [2], [3]], [[1], [2], [4], [5]]])
    sets = SetCollection.from_padded(X, lengths=[4, 5])
    assert_array_equal(sets.values.ravel(), [0, 1, 2, 3, 1, 2, NAN, 4, 5])
    mask = np.arange(5) < np.array([[4], [5]])
    again = SetCollection.from_padded(X, mask=mask)
    assert_array_equal(again.values, sets.values)


def test_padding_in_front_needs_a_mask():
    X = np.array([[[1.0], [2]], [[NAN], [3]]])
    message = r"row 0 of set 1 of X is all NaN.* Pass mask=.* also those in front"
    with pytest.raises(ValueError, match=message):
        SetCollection.from_padded(X)
    sets = SetCollection.from_padded(X, mask=~np.isnan(X).all(axis=2))
    assert_same_sets(sets, [[[1], [2]], [[3]]])


def test_nan_in_some_features_is_no_padding():
    X = np.array([[[1.0, NAN], [NAN, 2]], [[3, 4], [NAN, NAN]]])
    sets = SetCollection.from_padded(X)
    assert_array_equal(sets.lengths, [2, 1])
    assert_array_equal(sets.values, X.reshape(4, 2)[:3])


def test_a_set_of_nothing_but_padding_is_empty():
    X = np.array([[[1.0], [2]], [[NAN], [NAN]]])
    for kwargs in [{}, {"lengths": [2, 0]}, {"mask": [[1, 1], [0, 0]]}]:
        _, mask = check_padded(X, kwargs.get("lengths"), kwargs.get("mask"))
        assert mask.tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("side", ["end", "start"])
def test_estimators_name_the_constructor_for_padding(side):
    X = np.ones((3, 4, 2))
    rows = slice(2, None) if side == "end" else slice(2)
    X[1, rows] = NAN
    mask = r", mask=~np.isnan\(np.stack\(X\)\).all\(axis=2\)" * (side == "start")
    element = {"end": 2, "start": 0}[side]
    message = (
        rf"NaN in set 1 \(element {element}, feature 0\); .* \(padding: "
        rf"SetCollection.from_padded\(np.stack\(X\){mask}\)\)\.$"
    )
    for form in [X, list(X), X.tolist()]:
        with pytest.raises(ValueError, match=message) as caught:
            SetPooling().fit(form)
        code = str(caught.value).partition("padding: ")[2].removesuffix(").")
        sets = eval(code, {"SetCollection": SetCollection, "np": np, "X": form})
        assert sets.lengths.tolist() == [4, 2, 4]
    X[1, rows, 1] = 0  # single numbers, not the rows
    with pytest.raises(ValueError, match=r"expected finite values\.$"):
        SetPooling().fit(X)


# --- masks


@pytest.mark.parametrize("dtype", [bool, int, np.uint8, float, object])
def test_masks_of_0_and_1(dtype):
    X = np.arange(6.0).reshape(2, 3, 1)
    mask = np.array([[1, 1, 0], [0, 1, 1]]).astype(dtype)
    if dtype is object:
        with pytest.raises(ValueError, match="mask is object of shape"):
            SetCollection.from_padded(X, mask=mask)
        return
    for form in [mask, mask.tolist()]:
        assert_same_sets(SetCollection.from_padded(X, mask=form), [[[0], [1]], [[4], [5]]])
    wrong = mask.astype(float) * 2
    with pytest.raises(ValueError, match=r"expected bool, or 0 and 1, of shape \(2, 3\)"):
        SetCollection.from_padded(X, mask=wrong)
    with pytest.raises(ValueError, match="expected bool, or 0 and 1"):
        SetCollection.from_padded(X, mask=np.where(mask == 1, 1, NAN))


# --- zeros


MASK = r"mask= to SetCollection.from_padded, such as (SetCollection.from_padded\(.*\))\.$"


def test_an_inverted_mask_may_leave_a_set_empty():
    """True for padding, as torch's key_padding_mask: nothing of the longest set is left."""
    X, is_padding = np.ones((3, 4, 2)), np.arange(4) >= np.array([[2], [4], [3]])
    message = r"set 1 of X.* is empty; .*=.zero. \(of from_padded: mask is True for elem"
    for names in [None, list("abc")]:
        sets = SetCollection.from_padded(X, mask=is_padding, names=names)
        for model in [SetPooling(), OTKClassifier(OTKEmbedding(1))]:
            with pytest.raises(ValueError, match=message):
                model.fit(sets, [0, 1, 0])
    for others in [
        [x[mask] for x, mask in zip(X, is_padding)],
        SetCollection.from_sequences(["A", "", "A"], "AC"),
    ]:
        with pytest.raises(ValueError, match=r'set 1 of X is empty; .* .*="zero"\.$'):
            SetPooling().fit(others)


def padded(sets, side):
    X = np.zeros((len(sets), max(map(len, sets)), sets[0].shape[1]))
    for i, x in enumerate(sets):
        X[i, slice(len(x)) if side == "end" else slice(X.shape[1] - len(x), None)] = x
    return X


def with_code(warned, call, X):
    """Call with X, and evaluate the code of the warning."""
    match = r"\d+ of \d+ sets of (X|sets|array) .*" + MASK
    with pytest.warns(UserWarning, match=match) as caught:
        call(X)
    message = str(caught[0].message)
    assert message.startswith(warned), message
    names = {"SetCollection": SetCollection, "np": np, "X": X, "sets": X, "array": X}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same, of the array that is not yet padded
        return eval(re.search(MASK, message)[1], names)


@pytest.mark.parametrize("side", ["end", "start"])  # tokens of decoders are at the end
def test_rows_of_zeros_that_look_like_padding(side):
    random = np.random.default_rng(0)
    lengths = [2, 5, 1, 4]
    sets = [random.normal(size=(n, 3)) for n in lengths]
    X = padded(sets, side)
    model = SetPooling().fit(sets)
    looks = "{} of {} sets of {} " + side + " with rows of zeros, in differing numbers"
    for call in [
        as_sets,
        SetCollection.from_padded,
        SetCollection.from_sets,
        SetPooling().fit,
        model.transform,
        ElementTransformer("passthrough").fit,
    ]:
        name = "sets" if call == SetCollection.from_sets else "X"
        for form in [X, list(X), X.tolist(), pd.Series(list(X))]:
            if isinstance(form, pd.Series) and call == SetCollection.from_padded:
                continue
            assert_same_sets(with_code(looks.format(3, 4, name), call, form), sets)
        with pytest.warns(UserWarning, match=looks.format(3, 4, name)):
            call(X.astype(np.float32))
    with_empty = np.concatenate([X, np.zeros((1, 5, 3))])
    with pytest.warns(UserWarning, match=looks.format(4, 5, "X")):
        as_sets(with_empty)
    as_said = SetCollection.from_padded(X, mask=(X != 0).any(axis=2))
    assert_same_sets(as_said, sets)
    if side == "end":
        assert_same_sets(SetCollection.from_padded(X, lengths=lengths), sets)
    weights = (X != 0).any(axis=2)
    assert SetCollection.from_sets(X, weights=weights).lengths.tolist() == [5] * 4


@pytest.mark.parametrize("side", ["end", "start"])
@pytest.mark.parametrize(
    ("container", "constructor"),
    [
        (pa.array, SetCollection.from_arrow),
        (pl.Series, SetCollection.from_arrow),
        (ak.Array, SetCollection.from_awkward),
    ],
)
def test_lists_of_other_libraries_look_padded_too(container, constructor, side):
    sets = [np.arange(1.0, 1 + 2 * n).reshape(n, 2) for n in (2, 3, 1)]
    X = container(padded(sets, side).tolist())
    looks = "2 of 3 sets of {} " + side
    for call, name in [(constructor, "array"), (SetPooling().fit, "X")]:
        assert_same_sets(with_code(looks.format(name), call, X), sets)
    weights = container(np.ones((3, 3)).tolist())
    assert constructor(X, weights=weights).lengths.tolist() == [3] * 3


def test_zeros_that_are_elements_give_no_warning():
    random = np.random.default_rng(0)
    dense = random.normal(size=(6, 5, 3))
    one, equal, inside, images = dense.copy(), dense.copy(), dense.copy(), dense.copy()
    one[2, 3:] = 0
    equal[:, 4] = 0  # a sensor that is off in the last step
    inside[[0, 1], 3:], inside[2, 2:], inside[4, 1] = 0, 0, 0  # sparse elements
    images[:, 0], images[:3, 4], images[3:, 3:] = 0, 0, 0  # a black border on both sides
    counts = random.poisson(0.2, size=(20, 8, 3)).astype(float)
    for X in [dense, one, equal, inside, images, counts, np.zeros((4, 3, 2)), dense[:1]]:
        for seen in (X, X[:, ::-1]):
            as_sets(seen)
            as_sets(list(seen))
            SetCollection.from_sets(seen)
    grids = np.where(np.arange(4)[:, np.newaxis, np.newaxis] < 2, np.ones((6, 4, 4, 1)), 0)
    grids[0, 1:] = 0
    as_sets(grids)  # images


def test_sets_of_one_zero_and_single_rows():
    as_sets(np.zeros((3, 1, 2)))
    as_sets([np.zeros((1, 2)), np.ones((1, 2)), np.zeros((1, 2))])
