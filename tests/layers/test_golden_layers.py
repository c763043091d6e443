"""The numbers of the authors' code through the layers, on both paths."""

from pathlib import Path

import numpy as np
import pytest
import torch

from otk_sklearn.torch import KernelFeatures, OTKPooling, SetSequential

GOLDEN = Path(__file__).parents[1] / "golden"
BOUNDS = {torch.float64: 1e-10, torch.float32: 1e-4}
pytestmark = pytest.mark.parametrize("dtype", BOUNDS)


def close(actual, expected, dtype):
    """Whether these are equal, relative to the largest."""
    difference = np.abs(actual.detach().numpy() - expected).max()
    return difference <= BOUNDS[dtype] * np.abs(expected).max()


def pooling_of(golden, dtype, **options):
    """A pooling with the references and parameters of a file."""
    references = golden["references"]
    n_references, n_supports, n_features = references.shape
    pooling = OTKPooling(
        n_features,
        n_supports,
        n_references=n_references,
        epsilon=float(golden["epsilon"]),
        max_iter=int(golden["max_iter"]),
        tol=0,
        dtype=dtype,
        **options,
    )
    with torch.no_grad():
        pooling.references.copy_(torch.from_numpy(references))
    return pooling


@pytest.mark.parametrize("name", ["plan_basic", "plan_ragged", "position_gaussian"])
def test_plans_and_embeddings(name, dtype, path):
    golden = np.load(GOLDEN / f"{name}.npz")
    pooling = pooling_of(
        golden,
        dtype,
        position=str(golden["position"]) or None,
        position_sigma=float(golden["position_sigma"]),
    )
    x = torch.tensor(golden["X"], dtype=dtype)
    lengths = torch.tensor(golden["lengths"])
    expected = golden["output"].reshape(len(x), -1, x.shape[2])
    assert close(pooling(x, lengths=lengths), expected, dtype)
    plan = pooling.n_supports * pooling.plan(x, lengths=lengths)
    for i, n in enumerate(lengths):
        assert close(plan[i, :, :n], golden["plan"][i, :, :n], dtype)
        assert not plan[i, :, n:].any()


def test_similarity(dtype, path):
    golden = np.load(GOLDEN / "similarity.npz")
    pooling, x = pooling_of(golden, dtype), torch.tensor(golden["X"], dtype=dtype)
    similarities = torch.einsum("bic,rjc->brij", x, pooling.references)
    values = (pooling.plan(x) * similarities).sum(dim=(2, 3))
    assert close(values, golden["similarity"], dtype)


def test_convolution(dtype, path):
    golden = np.load(GOLDEN / "convolution.npz")
    anchors = golden["anchors_0"]
    n_components, filter_size, n_features = anchors.shape
    features = KernelFeatures(
        n_features,
        n_components,
        kernel="homogeneous",
        gamma=1 / (2 * float(golden["sigmas"][0]) ** 2),
        damping=float(golden["damping"]),
        filter_size=filter_size,
        dtype=dtype,
    )
    with torch.no_grad():
        features.raw_anchors.copy_(torch.from_numpy(anchors).flatten(1))
    x = torch.tensor(golden["X"], dtype=dtype)
    assert close(features(x), golden["features"], dtype)
    network = SetSequential(features, pooling_of(golden, dtype))
    expected = golden["output"].reshape(len(x), -1, n_components)
    assert close(network(x), expected, dtype)
