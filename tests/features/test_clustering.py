"""K-means against scikit-learn's, and against what is known of its result."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.features import _clustering
from otk_sklearn.features._clustering import kmeans_centers, lloyd, sample_by_mass


def weighted_rows(n_rows, n_features, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    rows = 5 + rng.normal(size=(n_rows, n_features)).astype(dtype)
    return rows, rng.uniform(0.1, 2, n_rows)


def inertia(rows, masses, centers):
    return np.average(cdist(rows, centers, "sqeuclidean").min(axis=1), weights=masses)


@pytest.mark.parametrize(("n_clusters", "max_iter"), [(3, 1), (3, 100), (60, 10)])
def test_iterations_are_those_of_scikit_learn(n_clusters, max_iter, monkeypatch):
    monkeypatch.setattr(_clustering, "_MIN_GAIN", 1e-15)  # until nothing changes
    monkeypatch.setattr(_clustering, "_BATCH_SIZE", 2**13)
    monkeypatch.setattr(_clustering, "_MIN_BATCH_ROWS", 100)
    rows, masses = weighted_rows(5000, 3)
    start, mean = rows[:n_clusters], rows.mean(axis=0)
    kmeans = KMeans(n_clusters, init=start, n_init=1, max_iter=max_iter, tol=0)
    with single_threaded():
        kmeans.fit(rows, sample_weight=masses)
    centers, label = lloyd(rows, mean, masses, start - mean, max_iter)
    assert_allclose(centers + mean, kmeans.cluster_centers_, rtol=1e-10)
    means = [np.average(rows[label == c], 0, masses[label == c]) for c in range(n_clusters)]
    assert_allclose(centers + mean, means, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [2, 40])
@pytest.mark.parametrize("n_clusters", [5, 300])
def test_centers_are_as_good_as_those_of_scikit_learn(n_clusters, n_features, dtype):
    rows, masses = weighted_rows(6000, n_features, dtype)
    centers, _ = kmeans_centers(rows, masses, n_clusters, 0)
    assert centers.dtype == dtype
    kmeans = KMeans(n_clusters, n_init=1, max_iter=30, random_state=0)
    kmeans.fit(rows, sample_weight=masses)
    expected = inertia(rows, masses, kmeans.cluster_centers_)
    assert inertia(rows, masses, centers) < 1.06 * expected


def test_clusters_are_found_in_a_sample():
    """Also those of one row in a hundred, which a random start would miss."""
    rng = np.random.default_rng(0)
    means = 100 * rng.normal(size=(20, 5))
    label = rng.choice(20, 20_000, p=[0.01] * 10 + [0.09] * 10)
    rows = means[label] + rng.normal(size=(20_000, 5))
    centers, found = kmeans_centers(rows, np.ones(20_000), 20, 0)
    nearest = cdist(means, centers).argmin(axis=1)
    assert_allclose(centers[nearest], means, atol=0.5)
    assert_array_equal(nearest[label], found)


@pytest.mark.parametrize("n_drawn", [1, 10, 60])
def test_samples_by_mass(n_drawn):
    """Heavy rows are certain; on average, those drawn stand for all."""
    masses = np.concatenate([np.full(60, 1e-3), [50, 1, 1, 2, 1e-20]])
    random = np.random.RandomState(0)
    found = np.zeros(len(masses))
    for _ in range(2000):
        drawn, of_drawn = sample_by_mass(masses, n_drawn, random)
        assert len(np.unique(drawn)) == len(drawn) == len(of_drawn) == n_drawn
        assert_allclose(of_drawn.sum(), masses.sum())
        if n_drawn > 4:
            assert np.isin([60, 61, 62, 63], drawn).all()
            assert_allclose(of_drawn[np.isin(drawn, [60, 61, 62, 63])], [50, 1, 1, 2])
        found[drawn] += of_drawn / 2000
    assert_allclose(found, masses, rtol=0.3, atol=1e-19 if n_drawn > 1 else 10)


def test_a_crowd_of_light_rows_counts_by_mass():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(5000, 2)) + [10, 0], rng.normal(size=(400, 2))])
    masses = np.repeat([1 / 5000, 20 / 400], [5000, 400])
    centers, _ = kmeans_centers(rows, masses, 20, 0)
    assert np.count_nonzero(centers[:, 0] > 5) <= 5


def test_far_from_the_origin():
    rows, masses = weighted_rows(3000, 2, np.float32)
    near = inertia(rows, masses, kmeans_centers(rows, masses, 50, 0)[0])
    rows += np.float32(2048)  # rounded to 1e-4
    far = inertia(rows, masses, kmeans_centers(rows, masses, 50, 0)[0])
    assert abs(far - near) < 0.05 * near


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_no_bit(dtype):
    rows, masses = weighted_rows(9000, 20, dtype)
    results = [
        kmeans_centers(rows, masses, 30, 0, n_jobs) for n_jobs in [None, 1, 2, 3, -1]
    ]
    for centers, label in results[1:]:
        assert_array_equal(centers, results[0][0])
        assert_array_equal(label, results[0][1])


def test_clusters_without_rows_get_the_farthest_ones():
    rows, masses = weighted_rows(500, 3)
    rows[7] += 50
    mean = rows.mean(axis=0)
    start = np.repeat(rows[:1], 12, axis=0) - mean  # all coincide
    centers, label = lloyd(rows, mean, masses, start, 1)
    assert_array_equal(label, 0)
    assert_allclose(centers[0] + mean, np.average(rows, axis=0, weights=masses))
    farthest = np.argsort(-masses * cdist(rows, rows[:1], "sqeuclidean")[:, 0])[:11]
    assert_allclose(centers[1:] + mean, rows[farthest])
    centers, label = lloyd(rows, mean, masses, start, 100)
    assert len(np.unique(label)) == 12
    expected = inertia(rows, masses, kmeans_centers(rows, masses, 12, 0)[0])
    assert inertia(rows, masses, centers + mean) < 1.1 * expected


def test_rows_that_differ_by_rounding_are_not_warned_of():
    rng = np.random.default_rng(0)
    distinct = rng.normal(size=(4, 3))
    rows = np.repeat(distinct, 10, axis=0)
    rows += 1e-13 * rng.normal(size=rows.shape)
    kmeans = KMeans(9, n_init=1, random_state=0)
    with pytest.warns(ConvergenceWarning, match="Number of distinct clusters"):
        kmeans.fit(rows)
    centers, _ = kmeans_centers(rows, np.ones(len(rows)), 9, 0)
    assert_allclose(cdist(centers, distinct).min(axis=1), 0, atol=1e-12)


def test_equal_rows_may_be_fewer_than_clusters():
    rows = np.repeat(np.eye(3), 2000, axis=0)
    centers, label = kmeans_centers(rows, np.ones(len(rows)), 5, 0)
    assert np.isfinite(centers).all()
    assert_allclose(centers[label], rows, atol=1e-12)


@pytest.mark.parametrize("light", [1e-300, 1e-12])
def test_rows_of_hardly_any_mass_decide_nothing(light):
    """Nor do they divide by 0, in float32."""
    rows, masses = weighted_rows(3000, 2, np.float32)
    outliers = 100 * np.random.default_rng(1).normal(size=(2000, 2)).astype(np.float32)
    masses = np.concatenate([masses, np.full(2000, light)])
    centers, _ = kmeans_centers(np.vstack([rows, outliers]), masses, 20, 0)
    assert np.isfinite(centers).all()
    expected = inertia(rows, masses[:3000], kmeans_centers(rows, masses[:3000], 20, 0)[0])
    assert inertia(rows, masses[:3000], centers) < 1.1 * expected


def test_few_rows_are_the_centers():
    rows, masses = weighted_rows(4, 2)
    centers, label = kmeans_centers(rows, masses, 4, 0)
    assert centers is rows
    assert_array_equal(label, np.arange(4))
