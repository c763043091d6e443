"""`KernelMeanEmbedding` against double sums of the kernel, and against transport."""

import numpy as np
import pytest
from helpers import make_sets, plain_features, plain_kernel, plain_windows
from joblib import Memory
from numpy.testing import assert_allclose, assert_array_equal

from otk_sklearn import KernelMeanEmbedding, OTKEmbedding, SetCollection, SetPooling


def weighted(sets):
    rng = np.random.default_rng(0)
    return [rng.uniform(0.1, 1, len(x)) for x in sets]


def mean_over_pairs(kernel, gamma, sets, weights):
    """`sum_ij a_i b_j kappa(x_i, y_j)` for each two sets."""
    masses = [w / w.sum() for w in weights]

    def value(x, y):  # symmetric, by the norms of both
        norm = np.linalg.norm(y) if kernel == "homogeneous" else 1.0
        return plain_kernel(kernel, gamma, x, y) * norm

    def mean(s, t):
        kappa = [[value(x, y) for y in sets[t]] for x in sets[s]]
        return masses[s] @ np.array(kappa) @ masses[t]

    return [[mean(s, t) for t in range(len(sets))] for s in range(len(sets))]


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
def test_products_are_means_of_the_kernel_over_pairs(kernel):
    """Exactly so where every element is an anchor."""
    sets = make_sets(n_sets=5, max_length=6, n_features=3)
    weights = weighted(sets)
    model = KernelMeanEmbedding(
        kernel=kernel, gamma=0.7, damping=1e-9, anchors=np.concatenate(sets)
    )
    phi = model.fit_transform(SetCollection.from_sets(sets, weights=weights))
    expected = mean_over_pairs(kernel, 0.7, sets, weights)
    assert_allclose(phi @ phi.T, expected, atol=1e-6)


def test_anchors_for_every_distinct_element_give_the_kernel_as_well():
    sets = make_sets(n_sets=5, max_length=6, n_features=3)
    model = KernelMeanEmbedding(1000, gamma=0.7, damping=1e-9)
    with pytest.warns(UserWarning, match="n_components=1000 is more than the"):
        phi = model.fit_transform(sets)
    expected = mean_over_pairs("rbf", 0.7, sets, [np.ones(len(x)) for x in sets])
    assert_allclose(phi @ phi.T, expected, atol=1e-6)


def test_distances_are_maximum_mean_discrepancies():
    sets = make_sets(n_sets=4, max_length=6, n_features=3)
    K = np.array(mean_over_pairs("rbf", 0.7, sets, [np.ones(len(x)) for x in sets]))
    model = KernelMeanEmbedding(gamma=0.7, damping=1e-9, anchors=np.concatenate(sets))
    phi = model.fit_transform(sets)
    distances = np.sum((phi[:, np.newaxis] - phi) ** 2, axis=2)
    assert_allclose(distances, np.diag(K) + np.diag(K)[:, np.newaxis] - 2 * K, atol=1e-6)


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous", "linear"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_features_are_those_of_windows(kernel, padding, sets):
    model = KernelMeanEmbedding(
        8, kernel=kernel, filter_size=3, padding=padding, random_state=0
    ).fit(sets)
    expected = []
    for x in sets:
        windows, _ = plain_windows(x, 3, padding)
        psi = plain_features(kernel, model.gamma_, model.anchors_, 1e-2, windows)
        expected.append(psi.mean(axis=0))
    assert_allclose(model.transform(sets), expected, atol=1e-8)
    assert len(model.get_feature_names_out()) == len(expected[0])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"kernel": "homogeneous"},
        {"kernel": "linear"},
        {"filter_size": 2, "padding": "same"},
        {"anchors": "random"},
        {"max_elements": 50},
    ],
    ids=str,
)
def test_it_is_transport_to_one_support(params, sets):
    """Same random state, same anchors: one support takes all of the mass."""
    X = SetCollection.from_sets(sets, weights=weighted(sets))
    params = {"n_components": 8, "random_state": 3, **params}
    mean, transport = KernelMeanEmbedding(**params), OTKEmbedding(1, **params)
    assert_allclose(mean.fit_transform(X), transport.fit_transform(X), atol=1e-12)
    assert_array_equal(mean.gamma_, transport.gamma_)
    if params.get("kernel") != "linear":
        assert_array_equal(mean.anchors_, transport.anchors_)


def test_the_linear_kernel_is_mean_pooling(sets):
    X = SetCollection.from_sets(sets, weights=weighted(sets))
    found = KernelMeanEmbedding(kernel="linear").fit_transform(X)
    assert_allclose(found, SetPooling().fit_transform(X), rtol=1e-12)


def test_anchors_come_from_the_cache_of_the_embedding(sets, tmp_path, monkeypatch):
    memory = Memory(tmp_path, verbose=0)
    transport = OTKEmbedding(3, n_components=8, memory=memory, random_state=0).fit(sets)

    def learn(*args):
        raise AssertionError("anchors are learned, although they are in the cache")

    monkeypatch.setattr("otk_sklearn.features._clustering.lloyd", learn)
    mean = KernelMeanEmbedding(8, memory=memory, random_state=0).fit(sets)
    assert_array_equal(mean.anchors_, transport.anchors_)
