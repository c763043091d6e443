"""`SlicedWassersteinEmbedding` against POT's sliced distances, and plain quantiles."""

import itertools

import numpy as np
import ot
import pytest
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal

from otk_sklearn import SetCollection, SlicedWassersteinEmbedding
from otk_sklearn.embeddings._sliced_wasserstein import random_projections


def distances(phi):
    return [np.linalg.norm(a - b) for a, b in itertools.combinations(phi, 2)]


def pot_distances(model, sets, weights=None):
    """Of each two sets, along the same directions."""
    weights = [None] * len(sets) if weights is None else weights
    masses = [None if w is None else w / w.sum() for w in weights]
    return [
        ot.sliced_wasserstein_distance(x, y, a, b, projections=model.projections_)
        for (x, a), (y, b) in itertools.combinations(zip(sets, masses), 2)
    ]


def plain_quantile_means(values, masses, n_bins):
    """Means of the quantile function over bins, by integrating each of its steps."""
    order = np.argsort(values)
    ends = np.cumsum(masses[order] / masses.sum())
    starts = np.concatenate([[0], ends[:-1]])
    edges = np.arange(n_bins + 1) / n_bins
    overlaps = np.minimum(ends, edges[1:, None]) - np.maximum(starts, edges[:-1, None])
    return n_bins * np.maximum(overlaps, 0) @ values[order]


@pytest.mark.parametrize("length", [12, 6, 1])
def test_distances_are_those_of_pot(length):
    """Exactly, where the bins have no more than one element each."""
    sets = list(np.random.default_rng(0).normal(size=(6, length, 3)))
    model = SlicedWassersteinEmbedding(10, n_quantiles=12, random_state=0)
    assert_allclose(
        distances(model.fit_transform(sets)), pot_distances(model, sets), rtol=1e-12
    )


def test_distances_are_exact_where_masses_are_whole_bins():
    rng = np.random.default_rng(0)
    weights = [np.array([1.0, 3, 4]), np.array([2.0, 6]), np.array([1.0] * 8)]
    sets = [rng.normal(size=(len(w), 3)) for w in weights]
    model = SlicedWassersteinEmbedding(10, n_quantiles=8, random_state=0)
    X = SetCollection.from_sets(sets, weights=weights)
    expected = pot_distances(model.fit(X), sets, weights)
    assert_allclose(distances(model.transform(X)), expected, rtol=1e-12)


def test_distances_come_near_from_below_as_bins_get_finer(sets):
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.1, 1, len(x)) for x in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    errors = []
    for n_quantiles in [8, 32, 128, 2048]:
        model = SlicedWassersteinEmbedding(10, n_quantiles=n_quantiles, random_state=0)
        found = np.array(distances(model.fit_transform(X)))
        expected = np.array(pot_distances(model, sets, weights))
        assert (found <= expected * (1 + 1e-12)).all()
        errors.append((1 - found / expected).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.01  # that is, bins matter
    assert errors[-1] < 0.002


@pytest.mark.parametrize("weighted", [False, True])
def test_embeddings_are_means_over_bins_less_those_of_all_elements(weighted, sets):
    weights = [np.ones(len(x)) for x in sets]
    if weighted:
        rng = np.random.default_rng(1)
        weights = [rng.integers(0, 3, len(x)) + 1e-3 for x in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    model = SlicedWassersteinEmbedding(5, n_quantiles=7, random_state=0).fit(X)
    everything = np.concatenate(sets), np.concatenate([w / w.sum() for w in weights])

    def quantiles(x, w):
        along = (x @ model.projections_).T
        return np.array([plain_quantile_means(values, w, 7) for values in along])

    assert_allclose(model.reference_, quantiles(*everything), atol=1e-12)
    expected = [(quantiles(x, w) - model.reference_).ravel() for x, w in zip(sets, weights)]
    assert_allclose(model.transform(X), np.array(expected) / np.sqrt(35), atol=1e-12)


def test_directions_are_those_of_pot(sets):
    model = SlicedWassersteinEmbedding(20, random_state=0).fit(sets)
    assert_allclose(np.linalg.norm(model.projections_, axis=0), 1)
    expected = ot.sliced.get_random_projections(4, 20, np.random.RandomState(7))
    assert_array_equal(random_projections(4, 20, 7), expected)


def test_an_offset_of_all_sets_changes_nothing(sets):
    model = SlicedWassersteinEmbedding(10, random_state=0)
    near = model.fit_transform(sets)
    for dtype, offset, atol in [(np.float32, 2.0**13, 1e-3), (np.float64, 2.0**20, 1e-8)]:
        far = [(x + offset).astype(dtype) for x in sets]
        assert_allclose(model.fit_transform(far), near, atol=atol)


def test_one_feature_is_sorted_once(sets):
    """In one dimension, the distance is Wasserstein's own."""
    sets = [x[:8, :1] for x in make_sets(max_length=8) if len(x) >= 4]
    model = SlicedWassersteinEmbedding(1, n_quantiles=840, random_state=0)
    expected = [
        np.sqrt(ot.wasserstein_1d(x[:, 0], y[:, 0], p=2))
        for x, y in itertools.combinations(sets, 2)
    ]
    assert len(expected) > 5
    assert_allclose(distances(model.fit_transform(sets)), expected, rtol=1e-10)


def test_fitted_attributes_that_do_not_fit_are_refused(sets):
    model = SlicedWassersteinEmbedding(5, n_quantiles=7, random_state=0).fit(sets)
    for name in ["projections_", "reference_"]:
        value = getattr(model, name)
        for wrong in [value[:-1], value[0], value * np.nan, None]:
            setattr(model, name, wrong)
            with pytest.raises((TypeError, ValueError), match=name):
                model.transform(sets)
        setattr(model, name, value)
    model.projections_ = model.projections_[:, :-1]
    with pytest.raises(ValueError, match="reference_"):
        model.transform(sets)
