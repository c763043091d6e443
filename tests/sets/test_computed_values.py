"""Elements that are computed when they are read, and checks that read all elements."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from otk_sklearn import SetCollection, SetPooling
from otk_sklearn.sets._collection import on_demand, with_computed_values
from otk_sklearn.sets._computed_values import ComputedValues, first_not_finite
from otk_sklearn.sets._windows import WindowedSets


class Doubled:
    """A function of rows that remembers how many it was called with."""

    def __init__(self):
        self.n_rows = []

    def __call__(self, rows):
        self.n_rows.append(len(rows))
        return rows * 2


def make(n_rows=20_000, n_features=3):
    inputs = np.random.default_rng(0).normal(size=(n_rows, n_features))
    function = Doubled()
    return inputs, function, ComputedValues(inputs, function, n_features, inputs.dtype)


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(5, 9),
        slice(5, 4),
        slice(-3, None),
        slice(None, None, -7000),
        [3, 1, 3],
        np.arange(20_000) % 9999 == 0,
        np.empty(0, int),
        np.array([-1, 19_999]),
    ],
    ids=str,
)
def test_indexing_is_that_of_the_array(index):
    inputs, _, values = make()
    result = values[index]
    assert_array_equal(result, 2 * inputs[index])
    assert result.dtype == inputs.dtype
    assert result.flags.c_contiguous
    assert len(result) == 0 or not result.flags.writeable
    assert_array_equal(values.take(index), 2 * inputs[index])


def test_no_more_is_computed_at_a_time_than_a_block():
    _, function, values = make()
    assert values[:].shape == values.shape == (20_000, 3)
    assert len(values) == sum(function.n_rows) == 20_000
    assert max(function.n_rows) <= 8192


def test_short_sets_are_computed_many_at_a_time():
    inputs, function, values = make()
    offsets = np.arange(0, 20_001, 10)
    sets = with_computed_values(SetCollection(inputs, offsets), values, None)
    for i, elements in enumerate(sets):
        assert_array_equal(elements, 2 * inputs[10 * i : 10 * i + 10])
    assert len(function.n_rows) == 3
    for i in reversed(range(0, len(sets), 500)):  # in any order
        assert_array_equal(sets[i], 2 * inputs[10 * i : 10 * i + 10])


def test_threads_don_t_mix_their_blocks():
    inputs, _, values = make(100_000, 2)
    wrong = []

    def read(seed):
        random = np.random.default_rng(seed)
        for start in random.integers(0, 99_000, 200):
            if not np.array_equal(values[start : start + 7], 2 * inputs[start : start + 7]):
                wrong.append(start)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("filter_size", [2, 3, 5])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_windows_are_those_of_the_array(filter_size, padding):
    inputs, function, values = make(3000, 2)
    lengths = np.random.default_rng(1).integers(1, 9, 1000).cumsum()
    offsets = np.concatenate([[0, 0], lengths[lengths < 3000], [3000]])
    sets = SetCollection(inputs, offsets)
    lazy = on_demand(with_computed_values(sets, values, None))
    expected = WindowedSets(sets, filter_size, padding).values
    windows = WindowedSets(lazy, filter_size, padding).values
    scattered = np.random.default_rng(2).integers(0, len(expected), 500)
    for index in [slice(0, len(expected)), slice(70, 90), scattered, scattered[:0]]:
        assert_array_equal(windows[index], 2 * expected[index])


@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
def test_the_first_wrong_number_is_found_in_any_block(wrong, lazily):
    inputs, _, values = make()
    if not lazily:
        values = inputs
    assert first_not_finite(values) is None
    inputs[15_000:, 2] = wrong
    inputs[17_000, 0] = np.nan
    row, column, value = first_not_finite(values)
    assert (row, column) == (15_000, 2)
    assert_array_equal(value, wrong)
    inputs[15_000:] = 1e308  # the sum overflows
    inputs[17_000, 0] = 0
    assert first_not_finite(inputs) is None


def test_chosen_sets_that_are_together_are_views():
    """Without empty sets, for instance: those before and after them are together."""
    values = np.arange(20.0).reshape(10, 2)
    sets = SetCollection(values, [0, 0, 3, 3, 7, 10, 10], names=list("abcdef"))
    for chosen in [np.flatnonzero(sets.lengths), [1, 2, 3], [3, 4, 5], [0, 1], [4]]:
        part = sets[chosen]
        assert np.shares_memory(part.values, values)
        assert part.names.tolist() == [list("abcdef")[i] for i in chosen]
        assert [x.tolist() for x in part] == [sets[i].tolist() for i in chosen]
    for chosen in [[1, 4], [3, 1], [1, 1]]:
        assert not np.shares_memory(sets[chosen].values, values)
        assert [x.tolist() for x in sets[chosen]] == [sets[i].tolist() for i in chosen]
    assert sets[[0, 2, 5, 0]].lengths.tolist() == [0, 0, 0, 0]
    pooled = SetPooling(empty_sets="zero").fit_transform(sets)
    assert_array_equal(pooled[1], values[:3].mean(axis=0))


def test_array_namespace_computes_nothing():
    inputs, function, values = make()
    sets = with_computed_values(
        SetCollection(inputs, [0, len(inputs)]), values, list("abc")
    )
    sets.__array_namespace__()
    assert sets.n_features == 3
    assert (sets.dtype, sets.shape, len(sets)) == (np.float64, (1,), 1)
    assert "n_elements=20000" in repr(sets)
    assert sets.feature_names.tolist() == list("abc")
    assert function.n_rows == []
