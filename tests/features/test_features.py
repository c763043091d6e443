"""Kernels, whitening and bandwidth against plain formulas and scikit-learn."""

import numpy as np
import pytest
from helpers import plain_features, plain_kappa, plain_kernel
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist, pdist
from sklearn.base import clone
from sklearn.metrics.pairwise import rbf_kernel

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.features._anchors import learn_anchors, median_gamma
from otk_sklearn.features._feature_map import FeatureMap, make_feature_map
from otk_sklearn.features._unit_norm import unit_elements, unit_rows
from otk_sklearn.sets._sampling import Elements

RNG = np.random.default_rng(0)
ELEMENTS = RNG.normal(size=(50, 4))
ANCHORS = RNG.normal(size=(12, 4))
ANCHORS /= np.linalg.norm(ANCHORS, axis=1, keepdims=True)


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
@pytest.mark.parametrize("gamma", [1e-3, 0.5, 30.0])
def test_kernels_and_features_are_the_formulas(kernel, gamma):
    elements = np.vstack([ELEMENTS, np.zeros(4), ANCHORS[0]])
    feature_map = make_feature_map(kernel, gamma, ANCHORS, 1e-2)
    kappa = [[plain_kernel(kernel, gamma, x, w) for w in ANCHORS] for x in elements]
    assert_allclose(feature_map.kappa_in(elements.dtype)(elements)[0], kappa, rtol=1e-10)
    features = plain_features(kernel, gamma, ANCHORS, 1e-2, elements)
    assert_allclose(feature_map.features(elements), features, rtol=1e-7, atol=1e-9)
    if kernel == "homogeneous":
        assert_allclose(feature_map.kappa_in(elements.dtype)(elements)[0][-2], 0, atol=0)


@pytest.mark.pairwise(
    ("kernel", ["rbf", "homogeneous"]),
    ("gamma", [1e-3, 0.5, 30.0]),
    (("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-12)]),
)
def test_kernel_values_and_their_norms(kernel, gamma, dtype, rtol):
    """With the larger gamma, rows are far from the anchors' mean, and looked after."""
    elements, anchors = ELEMENTS.astype(dtype), ANCHORS.astype(dtype)
    kappa, norms = FeatureMap(kernel, gamma, anchors).kappa_in(dtype)(elements)
    assert kappa.dtype == norms.dtype == dtype
    expected = plain_kappa(kernel, gamma, anchors.astype(float), elements.astype(float))
    assert_allclose(kappa, expected, rtol=0, atol=rtol * np.abs(expected).max())
    norm = np.linalg.norm(kappa.astype(float), axis=1)
    assert_allclose(norms, norm, rtol=rtol, atol=np.sqrt(np.finfo(dtype).tiny))


def test_anchors_whose_squares_leave_the_range_of_floats():
    anchors = np.array([[1e305], [-1e305], [0.0]])
    elements = np.array([[1e4], [0.0], [1.0]])
    kappa, norms = FeatureMap("rbf", 1.0, anchors).kappa_in(np.float64)(elements)
    assert_allclose(kappa, [[0, 0, 0], [0, 0, 1], [0, 0, np.exp(-1)]])
    assert_allclose(norms, [0, 1, np.exp(-1)])


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
def test_features_of_float32_are_float32_for_any_number_of_threads(kernel):
    elements = np.tile(ELEMENTS, (200, 1)).astype(np.float32)
    feature_map = make_feature_map(kernel, 0.5, ANCHORS, 1e-2)
    features = feature_map.features(elements)
    assert features.dtype == np.float32
    expected = plain_features(kernel, 0.5, ANCHORS, 1e-2, ELEMENTS)
    assert_allclose(features, np.tile(expected, (200, 1)), rtol=0, atol=1e-4)
    assert np.array_equal(feature_map.features(elements, n_jobs=2), features)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("anchors", ["kmeans", "random"])
def test_what_is_learned_has_the_dtype_of_the_elements(anchors, dtype):
    model = OTKEmbedding(2, n_components=6, anchors=anchors, random_state=0)
    model.fit([ELEMENTS.astype(dtype)])
    assert model.anchors_.dtype == model.normalization_.dtype == dtype


def test_all_elements_as_anchors_give_the_exact_kernel():
    X = [ELEMENTS[:20], ELEMENTS[20:]]
    model = OTKEmbedding(n_components=50, damping=1e-9, gamma=0.3, random_state=0).fit(X)
    feature_map = FeatureMap("rbf", 0.3, model.anchors_, model.normalization_)
    features = feature_map.features(ELEMENTS)
    assert_allclose(features @ features.T, rbf_kernel(ELEMENTS, gamma=0.3), atol=1e-6)


def test_the_error_falls_as_anchors_grow():
    exact = rbf_kernel(ELEMENTS, gamma=0.1)
    errors = []
    for n_components in [2, 5, 10, 20, 50]:
        model = OTKEmbedding(
            n_components=n_components, damping=1e-6, gamma=0.1, random_state=0
        ).fit([ELEMENTS])
        feature_map = FeatureMap("rbf", 0.1, model.anchors_, model.normalization_)
        features = feature_map.features(ELEMENTS)
        errors.append(np.abs(features @ features.T - exact).max())
    assert np.all(np.diff(errors) < 0)
    assert errors[-1] < 1e-4


def test_float32_far_from_the_origin():
    x, w = 1000 + ELEMENTS, 1000 + ANCHORS
    x, w = x.astype(np.float32).astype(float), w.astype(np.float32).astype(float)
    kappa = FeatureMap("rbf", 0.5, w.astype(np.float32)).kappa_in(np.float32)(
        x.astype(np.float32)
    )[0]
    assert kappa.dtype == np.float32
    assert_allclose(kappa, rbf_kernel(x, w, gamma=0.5), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [1e1, 1e3, 1e6])
def test_clusters_far_apart(offset, dtype):
    """Far from the anchors' mean, squared norms and products cancel."""
    apart = offset * np.array([-1, 1, 1, 1])[RNG.integers(0, 4, (60, 1))]
    x, w = (ELEMENTS[0] + apart), (ANCHORS[0] + apart[:12])
    x = (x + 0.5 * RNG.normal(size=x.shape)).astype(dtype)
    w = (w + 0.5 * RNG.normal(size=w.shape)).astype(dtype)
    kappa = FeatureMap("rbf", 0.5, w).kappa_in(x.dtype)(x)[0]
    exact = np.exp(-0.5 * cdist(x.astype(float), w.astype(float), "sqeuclidean"))
    assert exact.max() > 0.1
    assert_allclose(kappa, exact, rtol=0, atol=2e-5)


def test_median_gamma_of_one_heavy_element():
    heavy = [np.vstack([np.zeros(4), RNG.normal(size=(30, 4))]) for _ in range(60)]
    weights = [np.r_[1e9, np.ones(30)]] * 60
    X = SetCollection.from_sets(heavy, weights=weights)
    model = OTKEmbedding(n_supports=3, n_components=8, random_state=0).fit(X)
    from_zero = np.vstack([x[1:] for x in heavy])
    expected = 1 / np.median((from_zero**2).sum(axis=1))
    assert_allclose(model.gamma_, expected, rtol=0.2)


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
def test_median_gamma(kernel):
    elements = ELEMENTS
    if kernel == "homogeneous":
        elements = ELEMENTS / np.linalg.norm(ELEMENTS, axis=1, keepdims=True)
    model = OTKEmbedding(kernel=kernel, n_components=10, random_state=0)
    expected = 1 / np.median(pdist(elements) ** 2)
    assert_allclose(model.fit([ELEMENTS]).gamma_, expected)
    # A crowd in one set, or far outliers of little weight, don't decide.
    crowd = 1e-3 * RNG.normal(size=(3000, 4))
    halves = [ELEMENTS[:25], ELEMENTS[25:]]
    assert_allclose(model.fit([*halves * 10, crowd]).gamma_, expected, rtol=0.5)
    outliers = np.vstack([ELEMENTS, 1e4 * RNG.normal(size=(100, 4))])
    X = SetCollection(outliers, [0, 150], weights=[1.0] * 50 + [1e-9] * 100)
    assert_allclose(model.fit(X).gamma_, expected, rtol=1e-2 if kernel == "rbf" else 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_rows_over_the_range_of_floats(dtype):
    limits = np.finfo(dtype)
    rows = np.array([[3, -4], [0, 0], [1, 0]], dtype)
    small = np.sqrt(limits.tiny) / 1024  # squares are denormal
    for scale in [limits.tiny, small, 1e-30, 1, 1e30, limits.max / 16]:
        unit, norms = unit_rows(rows * dtype(scale))
        assert unit.dtype == dtype
        assert_allclose(unit, [[0.6, -0.8], [0, 0], [1, 0]], rtol=4 * limits.eps)
        assert_allclose(norms / dtype(scale), [5, 0, 1], rtol=4 * limits.eps)


def test_elements_of_no_direction_are_dropped():
    rows = np.array([[0.0, 0.0], [3.0, 4.0], [0.6, 0.8], [0.0, -2.0]])
    none = np.empty((4, 0))
    unit = unit_elements(Elements(rows, np.array([8.0, 1.0, 2.0, 4.0]), none))
    order = np.argsort(unit.masses)
    assert_allclose(unit.rows[order], [[0.6, 0.8], [0, -1]], rtol=1e-15)
    assert_allclose(unit.masses[order], [3, 4])
    # Nothing but zeros: any direction will do.
    unit = unit_elements(Elements(np.zeros((3, 2)), np.array([1.0, 2.0, 4.0]), none[:3]))
    assert_allclose(np.linalg.norm(unit.rows, axis=1), [1])
    assert_allclose(unit.masses, [7])


def test_merging_equal_rows():
    rows = np.array([[0.0, 1.7e18, 1], [-0.0, 1.7e18, 1], [0, 1.7e18, 2], [5, 0, 0]])
    masses = np.array([1.0, 2.0, 4.0, 8.0])
    positions = np.array([[0.0], [3.0], [0.0], [1.0]])
    for order in [[0, 1, 2, 3], [3, 2, 1, 0]]:
        merged = Elements(rows, masses, positions)[order].merge_equal()
        found = {
            tuple(row): (mass, *position)
            for row, mass, position in zip(
                merged.rows.tolist(), merged.masses, merged.positions.tolist()
            )
        }
        assert found == {
            (0, 1.7e18, 1): (3, 2.0),
            (0, 1.7e18, 2): (4, 0.0),
            (5, 0, 0): (8, 1.0),
        }


def weighted_median(values, weights):
    """The first value that more than half of the weight doesn't exceed."""
    order = np.argsort(values)
    covered = np.cumsum(weights[order])
    return values[order][covered > covered[-1] / 2][0]


def squared_distances(elements, masses):
    first, second = np.triu_indices(len(elements), 1)
    squares = ((elements[first] - elements[second]) ** 2).sum(axis=1)
    return squares, masses[first] * masses[second]


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1.0, 1e30, 1e150])
def test_median_gamma_counts_pairs_by_mass(scale):
    masses = np.arange(1.0, 51)[::-1]
    expected = 1 / weighted_median(*squared_distances(ELEMENTS, masses)) / scale / scale
    assert_allclose(median_gamma(scale * ELEMENTS, masses, 0), expected, rtol=1e-10)
    line = scale * np.array([[0.0], [1.0], [3.0], [7.0]])  # distances 1, 2, 3, 4, 6, 7
    gamma = median_gamma(line, np.ones(4), 0)
    assert_allclose(gamma * scale * scale, 1 / 4**2, rtol=1e-10)
    assert_allclose(median_gamma(line[2:], np.ones(2), 0) * scale * scale, 1 / 4**2)


def test_median_gamma_of_float32_is_that_of_the_same_numbers():
    single = ELEMENTS.astype(np.float32)
    exact = median_gamma(single.astype(np.float64), np.ones(50), 0)
    assert_allclose(median_gamma(single, np.ones(50), 0), exact, rtol=1e-14)


def test_median_gamma_of_a_sample_counts_pairs_by_mass():
    rng = np.random.default_rng(0)
    spread = np.repeat([1.0, 10.0], [300, 2700])[:, np.newaxis]
    elements = spread * rng.normal(size=(3000, 2))
    masses = np.repeat([90.0, 1.0], [300, 2700])
    expected = 1 / weighted_median(*squared_distances(elements, masses))
    found = [median_gamma(elements, masses, seed) for seed in range(20)]
    assert_allclose(np.median(found), expected, rtol=0.05)
    assert len(set(found)) == 20
    assert median_gamma(elements, masses, 7) == found[7]


def test_median_gamma_where_there_is_none():
    far = np.vstack([1e-200 * ELEMENTS, np.ones(4)])  # differences whose squares are 0
    for elements in [ELEMENTS[:1], 1e-200 * ELEMENTS, 1e200 * ELEMENTS, far]:
        assert median_gamma(elements, np.ones(len(elements)), 0) == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [-100, -40, 40, 100])
def test_anchors_of_extreme_elements_are_scaled(exponent, dtype):
    """By powers of two, bit by bit, though squares leave the range of float32."""
    elements = -np.abs(ELEMENTS).astype(dtype)
    elements[0] = 0
    masses = np.arange(1.0, 51)
    anchors = learn_anchors(elements, masses, 5, "kmeans", 0)
    scaled = learn_anchors(np.ldexp(elements, exponent), masses, 5, "kmeans", 0)
    assert scaled.dtype == dtype
    assert np.array_equal(scaled, np.ldexp(anchors, exponent))


@pytest.mark.parametrize("anchors", ["kmeans", "random"])
def test_equal_seeds_give_equal_bandwidths_and_anchors(anchors):
    X = [np.random.default_rng(0).normal(size=(1500, 2))]
    model = OTKEmbedding(2, n_components=6, anchors=anchors)
    fits = [clone(model).set_params(random_state=seed).fit(X) for seed in [0, 0, 1]]
    assert fits[0].gamma_ == fits[1].gamma_ != fits[2].gamma_
    assert np.array_equal(fits[0].anchors_, fits[1].anchors_)
    drawn = cdist(fits[0].anchors_, X[0]).min(axis=1) == 0
    assert drawn.all() == (anchors == "random")


@pytest.mark.parametrize("method", ["kmeans", "random"])
def test_anchors_depend_on_the_seed_alone(method):
    masses = np.ones(50)
    first = [learn_anchors(ELEMENTS, masses, 5, method, seed) for seed in [0, 1]]
    again = [learn_anchors(ELEMENTS, masses, 5, method, seed) for seed in [0, 1]]
    assert np.array_equal(first, again)
    assert not np.array_equal(*first)
    drawn = cdist(first[0], ELEMENTS).min(axis=1) == 0
    assert drawn.all() == (method == "random")


def test_anchors_are_weighted_means_of_clusters():
    rng = np.random.default_rng(0)
    label = rng.integers(3, size=600)
    elements = 100 * np.eye(4)[label] + rng.normal(size=(600, 4))
    weights = rng.uniform(0.1, 2, size=600)
    X = SetCollection(elements, [0, 600], weights=weights)
    model = OTKEmbedding(2, n_components=3, gamma=1e-3, random_state=0).fit(X)
    means = [
        np.average(elements[label == c], axis=0, weights=weights[label == c])
        for c in range(3)
    ]
    nearest = cdist(means, model.anchors_).argmin(axis=1)
    assert sorted(nearest) == [0, 1, 2]
    assert_allclose(model.anchors_[nearest], means, rtol=0, atol=1e-9)


def test_few_elements_are_all_random_anchors():
    model = OTKEmbedding(2, n_components=20, anchors="random", random_state=0)
    with pytest.warns(UserWarning, match="n_components=20 is more than the 5 distinct"):
        model.fit([ELEMENTS[:5], ELEMENTS[2:4]])
    assert model.anchors_.shape == (5, 4)
    assert (cdist(model.anchors_, ELEMENTS[:5]).min(axis=0) == 0).all()


def test_anchors_of_the_homogeneous_kernel_are_unit_norm():
    X = [ELEMENTS[:20], np.vstack([ELEMENTS[20:], np.zeros(4)])]
    for anchors in ["kmeans", "random", 5 * ANCHORS]:
        model = OTKEmbedding(
            kernel="homogeneous", anchors=anchors, n_components=12, random_state=0
        ).fit(X)
        assert model.anchors_.shape == (12, 4)
        assert_allclose(np.linalg.norm(model.anchors_, axis=1), 1)
    assert_allclose(model.anchors_, ANCHORS)
