"""`SetPooling` against NumPy, set by set."""

import numpy as np
import pandas as pd
import pytest
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal

from otk_sklearn import SetCollection, SetPooling

STATISTICS = ["mean", "std", "min", "max", "sum", "count"]


def plain_statistics(x, weights):
    """As NumPy has them: weights of the mean, and elements of weight zero left out."""
    mean = np.average(x, axis=0, weights=weights)
    std = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
    kept = x[weights > 0]
    return {
        "mean": mean,
        "std": std,
        "min": kept.min(axis=0),
        "max": kept.max(axis=0),
        "sum": weights @ x,
        "count": [weights.sum()],
    }


@pytest.mark.parametrize("statistics", [*STATISTICS, STATISTICS, ("max", "mean")], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_are_those_of_numpy(statistics, weighted, sets):
    weights = [np.ones(len(x)) for x in sets]
    if weighted:
        rng = np.random.default_rng(1)
        weights = [rng.integers(0, 3, len(x)).astype(float) for x in sets]
        for w in weights:
            w[rng.integers(len(w))] = 5.0
    X = SetCollection.from_sets(sets, weights=weights if weighted else None)
    names = [statistics] if isinstance(statistics, str) else statistics
    expected = [
        np.concatenate([plain_statistics(x, w)[name] for name in names])
        for x, w in zip(sets, weights)
    ]
    assert_allclose(SetPooling(statistics).fit_transform(X), expected, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deviations_are_exact_far_from_the_origin(dtype):
    x = np.random.default_rng(0).integers(0, 8, (5000, 2)).astype(dtype)
    far = x + dtype(2**20 if dtype == np.float32 else 2**48)
    pooling = SetPooling("std").fit([x])
    assert_allclose(pooling.transform([far]), pooling.transform([x]), rtol=1e-6)


def test_long_sets_of_float32_are_summed_in_float64():
    x = np.random.default_rng(0).uniform(size=(300_000, 1)).astype(np.float32) + 1000
    mean = SetPooling().fit_transform([x])
    assert mean.dtype == np.float32
    assert_allclose(mean[0], x.astype(np.float64).mean(axis=0), rtol=1e-7)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_all_of_a_long_set_counts(statistic):
    x = np.random.default_rng(0).normal(size=(30_000, 1))
    x[0], x[1] = -10.0, 10.0
    expected = plain_statistics(x, np.ones(len(x)))[statistic]
    assert_allclose(SetPooling(statistic).fit_transform([x])[0], expected, atol=1e-12)


def test_a_set_without_elements_counts_none():
    pooling = SetPooling(["count", "sum"], empty_sets="zero").fit(make_sets(n_features=2))
    assert_array_equal(pooling.transform([np.ones((3, 2)), np.empty((0, 2))])[:, 0], [3, 0])


def test_names_are_of_statistics_and_features():
    X = [pd.DataFrame(x, columns=["a", "b"]) for x in make_sets(n_features=2)]
    pooling = SetPooling(["std", "count", "mean"]).fit(X)
    names = ["std_a", "std_b", "count", "mean_a", "mean_b"]
    assert_array_equal(pooling.get_feature_names_out(), names)
    table = pooling.set_output(transform="pandas").transform(X)
    assert list(table.columns) == names


@pytest.mark.parametrize(
    "statistics", ["median", [], ["mean", "mean"], ["mean", "median"], [3], 3], ids=str
)
def test_unknown_statistics_are_named(statistics, sets):
    with pytest.raises(ValueError, match="statistics"):
        SetPooling(statistics).fit(sets)
    pooling = SetPooling().fit(sets).set_params(statistics=statistics)
    with pytest.raises(ValueError, match="statistics"):
        pooling.transform(sets)
