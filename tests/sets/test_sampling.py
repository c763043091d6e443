"""Samples of elements, and groups of equal ones, against plain NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from otk_sklearn import SetCollection
from otk_sklearn.sets import _equality
from otk_sklearn.sets._equality import group_equal_rows
from otk_sklearn.sets._sampling import sample_elements, sample_size
from otk_sklearn.sets._windows import windows_of


def rows_with_ties(n_features=40, dtype=np.float32):
    """Rows of two values, a third of them repeated, which start alike."""
    rng = np.random.default_rng(0)
    rows = rng.integers(2, size=(3000, n_features)).astype(dtype)
    rows[:, :4] = 1
    rows[2000:] = rows[rng.integers(2000, size=1000)]
    return rng.permutation(rows)


@pytest.mark.parametrize("hashes", ["as they are", "some collide", "all collide"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_rows_are_grouped_whatever_their_hashes(hashes, dtype, monkeypatch):
    if hashes != "as they are":
        n_keys, hash_rows = 1 if hashes == "all collide" else 5, _equality._hash_rows
        monkeypatch.setattr(
            _equality, "_hash_rows", lambda *args: hash_rows(*args) % np.uint64(n_keys)
        )
    rows = rows_with_ties(dtype=dtype)
    first, label = group_equal_rows(rows)
    assert len(first) == len(np.unique(rows, axis=0)) == 2000
    assert_array_equal(rows[first][label], rows)
    shuffled = np.random.default_rng(1).permutation(rows)
    assert_array_equal(shuffled[group_equal_rows(shuffled)[0]], rows[first])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hashes_distinguish_rows(dtype):
    """Among these, a sum of 64 bits of the words times factors would find equal ones."""
    rows = np.eye(300, dtype=dtype)
    rows = np.concatenate([rows, 2 * rows, rows * 2.0**-10, rows[::-1] + rows])
    keys = _equality._hash_rows(rows, np.arange(len(rows)))
    assert len(np.unique(keys)) == len(np.unique(rows, axis=0)) == 1050


def test_windows_are_grouped_without_all_of_them():
    rng = np.random.default_rng(0)
    sets = SetCollection(rng.integers(2, size=(400, 1)).astype(float), [0, 150, 400])
    windows = windows_of(sets, 5, "same")
    chosen = np.sort(rng.choice(400, 300, replace=False))
    first, label = group_equal_rows(windows.values, chosen)
    rows = windows.values[chosen]
    assert len(first) == len(np.unique(rows, axis=0))
    assert_array_equal(rows[first][label], rows)


def test_sampled_elements_are_distinct_and_keep_their_mass():
    sets = SetCollection(rows_with_ties(), [0, 1000, 3000])
    sample = sample_elements(sets, None, 10_000, 0)
    expected, label = np.unique(sets.values, axis=0, return_inverse=True)
    order = np.lexsort(sample.rows.T[::-1])
    assert_array_equal(sample.rows[order], expected)
    masses = np.bincount(label.ravel(), np.repeat([1 / 1000, 1 / 2000], [1000, 2000]))
    assert_allclose(sample.masses[order], masses)
    assert len(np.unique(sample_elements(sets, None, 500, 0).rows, axis=0)) <= 500


def test_smaller_samples_are_parts_of_larger_ones():
    sets = SetCollection(np.arange(1000.0)[:, np.newaxis], [0, 1000])
    small, large = (sample_elements(sets, None, n, 0) for n in [50, 300])
    assert len(small.rows) == 50
    assert len(large.rows) == 300
    assert np.isin(small.rows, large.rows).all()


def test_sizes_of_samples():
    assert sample_size("auto", 3) == sample_size("auto", 78) == 20_000
    assert sample_size("auto", 1000) == 256_000
    assert sample_size(7, 1000) == 7
