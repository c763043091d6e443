"""Layers and estimators are the same functions, and change into each other."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from otk_sklearn import ConvolutionalKernelLayer, OTKEmbedding, SetCollection
from otk_sklearn.torch import (
    KernelFeatures,
    OTKPooling,
    SetSequential,
    from_estimator,
    initialize,
    to_estimator,
)

BOUNDS = {np.float64: 1e-10, np.float32: 1e-4}

FEATURES = [
    {"kernel": "linear"},
    {"kernel": "rbf", "n_components": 6},
    {"kernel": "homogeneous", "n_components": 6, "gamma": 0.7},
    {"kernel": "rbf", "n_components": 5, "filter_size": 3},
    {"kernel": "homogeneous", "n_components": 5, "filter_size": 4, "padding": "same"},
]
TRANSPORTS = [
    {},
    {"epsilon": 0.01},
    {"solver": "softmax"},
    {"solver": "emd"},
    {"relaxation": 0.5},
    {"support_relaxation": 0.2},
]
POSITIONS = [{}, {"position": "gaussian"}, {"position": "hard", "position_sigma": 0.3}]


def some_sets(forms, dtype, seed=0):
    """Sets of 1 to 20 elements with weights or positions or not."""
    rng = np.random.default_rng(seed)
    lengths = np.array([1, 20, 3, 11, 8])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.normal(size=(offsets[-1], 3)).astype(dtype)
    weights = rng.uniform(0.1, 1, offsets[-1]) if "weights" in forms else None
    if weights is not None and "zero" in forms:
        weights[[2, 5, 30]] = 0
    positions = rng.uniform(size=(offsets[-1], 2)) if "positions" in forms else None
    return SetCollection(values, offsets, weights=weights, positions=positions)


def layer_output(layer, sets):
    """Put a collection through a layer."""
    tensors = {"weights": sets.weights, "positions": sets.positions}
    tensors = {
        name: torch.tensor(array) for name, array in tensors.items() if array is not None
    }
    ptr = torch.tensor(sets.offsets)
    return layer(torch.tensor(sets.values), ptr=ptr, **tensors)


@pytest.mark.pairwise(
    ("features", FEATURES),
    ("transport", TRANSPORTS),
    ("position", POSITIONS),
    ("n_references", [1, 2]),
    ("forms", ["", "weights", "weights zero", "positions"]),
    ("dtype", list(BOUNDS)),
)
def test_a_layer_is_its_estimator(
    features, transport, position, n_references, forms, dtype, path
):
    sets = some_sets(forms, dtype)
    options = {"epsilon": 0.3, "tol": 0, "max_iter": 60} | transport
    embedding = OTKEmbedding(
        4,
        n_references=n_references,
        references="random",
        random_state=0,
        **features,
        **position,
        **options,
    )
    if features.get("filter_size") and features["kernel"] == "linear":
        pytest.skip("there is no layer of windows as they are")
    embedding.fit(sets)
    layer = from_estimator(embedding)
    assert {parameter.dtype for parameter in layer.parameters()} == {
        torch.float64 if dtype == np.float64 else torch.float32
    }
    expected = embedding.transform(sets)
    actual = layer_output(layer, sets).flatten(1).detach().numpy()
    assert actual.dtype == dtype
    assert np.abs(actual - expected).max() <= BOUNDS[dtype] * np.abs(expected).max()


def test_stopping_at_a_tolerance_gives_plans_within_it(path):
    sets = some_sets("", np.float64)
    embedding = OTKEmbedding(4, epsilon=0.3, kernel="linear", tol=1e-9, max_iter=5000)
    embedding.set_params(random_state=0).fit(sets)
    actual = layer_output(from_estimator(embedding), sets).flatten(1).detach().numpy()
    assert np.abs(actual - embedding.transform(sets)).max() < 1e-7


@pytest.mark.parametrize("subsampling", [1, 2, 3])
@pytest.mark.parametrize("forms", ["", "weights", "weights positions"])
def test_a_pipeline_of_layers(subsampling, forms, path):
    sets = some_sets(forms, np.float64)
    first = ConvolutionalKernelLayer(
        6, filter_size=3, subsampling=subsampling, padding="same", random_state=0
    )
    second = ConvolutionalKernelLayer(5, filter_size=2, random_state=0)
    embedding = OTKEmbedding(
        4, kernel="linear", epsilon=0.3, tol=0, position="gaussian", random_state=0
    )
    pipeline = make_pipeline(first, second, embedding).fit(sets)
    network = from_estimator(pipeline)
    assert [type(layer) for layer in network] == [KernelFeatures] * 2 + [OTKPooling]
    expected = pipeline.transform(sets)
    actual = layer_output(network, sets).flatten(1).detach().numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-10)
    again = to_estimator(network, n_axes=2 if "positions" in forms else 1)
    np.testing.assert_allclose(again.transform(sets), expected, atol=1e-10)


def test_features_of_windows_are_those_of_the_estimator():
    sets = some_sets("", np.float64)
    convolution = ConvolutionalKernelLayer(6, filter_size=3, subsampling=2, random_state=0)
    expected = convolution.fit_transform(sets)
    layer, ptr = from_estimator(convolution), torch.tensor(sets.offsets)
    actual = layer(torch.tensor(sets.values), ptr=ptr).detach().numpy()
    np.testing.assert_allclose(actual, expected.values, atol=1e-10)
    lengths = layer.output_lengths(ptr.diff())
    assert lengths.tolist() == expected.lengths.tolist()
    # as a batch, features come in front
    padded = torch.tensor(sets.to_padded())
    batch = layer(padded, lengths=ptr.diff()).detach()
    assert batch.shape[1] == lengths.max()
    for rows, n, features in zip(batch, lengths, expected):
        np.testing.assert_allclose(rows[:n], features, atol=1e-10)
        assert not rows[n:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kernel", ["linear", "rbf", "homogeneous"])
def test_round_trip_of_a_layer_has_equal_bits(kernel, dtype):
    torch.manual_seed(0)
    pooling = OTKPooling(5, 4, n_references=2, epsilon=0.2, tol=1e-5, dtype=dtype)
    layer, n_features = pooling, 5
    if kernel != "linear":
        n_features = 3
        features = KernelFeatures(3, 5, kernel=kernel, gamma=0.3, dtype=dtype)
        with torch.no_grad():  # as after a step of training
            features.raw_anchors.mul_(1.7)
            features.log_gamma_change.fill_(0.1)
        layer = SetSequential(features, pooling)
    again = from_estimator(to_estimator(layer))
    x = torch.randn(3, 7, n_features, dtype=dtype)
    assert torch.equal(layer(x), again(x))
    assert torch.equal(list(layer.modules())[-1].references, pooling.references)
    once_more = from_estimator(to_estimator(again))
    for name, value in again.state_dict().items():
        assert torch.equal(once_more.state_dict()[name], value), name


def test_an_estimator_of_a_layer_is_fitted_and_can_be_fitted_again():
    torch.manual_seed(0)
    layer = SetSequential(KernelFeatures(3, 6, filter_size=2), OTKPooling(6, 4))
    embedding = to_estimator(layer.double())
    sets = some_sets("", np.float64)
    before = embedding.transform(sets)
    assert before.shape == (5, 24)
    np.testing.assert_allclose(embedding.fit(sets).transform(sets), before, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            torch.nn.Linear(3, 2),
            "has a Linear; expected only KernelFeatures and OTKPooling",
        ),
        (KernelFeatures(3, 2), "kernel='rbf' that no OTKPooling follows"),
        (
            SetSequential(OTKPooling(3, 4), OTKPooling(3, 2)),
            "one of which is behind an OTK",
        ),
        (SetSequential(), "layer has no layers; expected"),
    ],
)
def test_layers_without_an_estimator(layer, message):
    with pytest.raises(TypeError, match=message):
        to_estimator(layer)


def test_estimators_without_a_layer():
    with pytest.raises(
        TypeError, match="estimator is of type PCA; expected an OTKEmbedding"
    ):
        from_estimator(PCA())
    windows = OTKEmbedding(2, kernel="linear", filter_size=2).fit([np.eye(3)])
    with pytest.raises(TypeError, match="kernel='linear' and filter_size=2"):
        from_estimator(windows)


@pytest.mark.parametrize("n_references", [1, 2])
@pytest.mark.parametrize("features", FEATURES[:4])
def test_initialization_is_that_of_fit(features, n_references):
    sets = some_sets("", np.float64)
    options = {"epsilon": 0.3, "tol": 1e-4}
    embedding = OTKEmbedding(
        4, n_references=n_references, random_state=0, **features, **options
    ).fit(sets)
    n_components = embedding.references_.shape[2]
    torch.manual_seed(0)
    pooling = OTKPooling(
        n_components, 4, n_references=n_references, dtype=torch.float64, **options
    )
    network = pooling
    if features["kernel"] != "linear":
        names = {"gamma"} & set(features)
        layer = KernelFeatures(
            3, **{k: v for k, v in features.items() if k not in names}, dtype=torch.float64
        )
        network = SetSequential(layer, pooling)
    batches = [
        ({"x": torch.tensor(np.concatenate(part)), "ptr": pointer(part)}, "labels")
        for part in (list(sets)[:2], list(sets)[2:])
    ]
    assert initialize(network, batches, random_state=0) is network
    if "gamma" not in features:
        np.testing.assert_array_equal(
            pooling.references.detach().numpy(), embedding.references_
        )
        if embedding.anchors_ is not None:
            np.testing.assert_array_equal(
                layer.anchors.detach().numpy(), embedding.anchors_
            )
            assert layer.gamma.item() == embedding.gamma_


def pointer(sets):
    """Offsets of sets in a list."""
    return torch.tensor([0, *map(len, sets)]).cumsum(0)


def test_initialization_of_layers_inside_a_network():
    torch.manual_seed(0)
    x = torch.randn(20, 9, 6)
    network = torch.nn.Sequential(
        torch.nn.Linear(6, 4),
        KernelFeatures(4, 8, kernel="homogeneous", filter_size=2),
        OTKPooling(8, 3),
        torch.nn.Flatten(),
    )
    initialize(network, x.split(5), random_state=0)
    _, features, pooling, _ = network
    assert torch.allclose(pooling.references.norm(dim=2), torch.ones(()))
    # Anchors are centres of what the linear layer makes of the data.
    elements = network[0](x).detach()
    windows = elements.unfold(1, 2, 1).transpose(2, 3).flatten(0, 1).flatten(1)
    nearest = torch.nn.functional.normalize(windows) @ features.anchors.detach().T
    assert nearest.max(dim=0).values.min() > 0.8
    counts = nearest.argmax(dim=1).bincount(minlength=8)
    assert counts.min() > 0


def test_initialization_needs_layers_and_enough_elements():
    x = [torch.randn(2, 2, 3)]
    with pytest.raises(ValueError, match="Linear calls no OTKPooling or KernelFeatures"):
        initialize(torch.nn.Linear(3, 2), x)
    with pytest.raises(ValueError, match="loader has 0 batches in pass 1"):
        initialize(OTKPooling(3, 2), [])
    two = torch.nn.Sequential(KernelFeatures(3, 2), KernelFeatures(2, 2))
    before = {name: value.clone() for name, value in two.state_dict().items()}
    with pytest.raises(ValueError, match="loader has 0 batches in pass 2, after 1 before"):
        initialize(two, (batch for batch in x))
    for name, value in two.state_dict().items():  # as it was
        assert torch.equal(value, before[name])
    assert two.training
    with pytest.warns(UserWarning, match="distinct"):
        with pytest.raises(
            ValueError, match="4 distinct elements; expected at least n_comp"
        ):
            initialize(KernelFeatures(3, 5), x)
