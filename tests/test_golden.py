"""The authors' code's numbers, through the public API."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline

from otk_sklearn import ConvolutionalKernelLayer, OTKEmbedding

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = {"rtol": 1e-6, "atol": 1e-12}


def load(name):
    """Return the arrays of a file, and the parameters that its numbers came from."""
    golden = np.load(GOLDEN / f"{name}.npz")
    params = {
        "references": golden["references"],
        "epsilon": float(golden["epsilon"]),
        "max_iter": int(golden["max_iter"]),
        "tol": 0,
    }
    return golden, params


@pytest.mark.parametrize("name", ["plan_basic", "plan_ragged", "position_gaussian"])
def test_plans_and_embeddings(name):
    golden, params = load(name)
    X = [x[:n] for x, n in zip(golden["X"], golden["lengths"])]
    model = OTKEmbedding(
        kernel="linear",
        position=str(golden["position"]) or None,
        position_sigma=float(golden["position_sigma"]),
        **params,
    ).fit(X)
    expected = golden["output"].reshape(len(X), -1)
    assert_allclose(model.transform(X), expected, **TOLERANCE)
    for plan, golden_plan in zip(model.transport_plan(X), golden["plan"]):
        golden_plan = golden_plan[:, : plan.shape[1]]
        assert_allclose(plan * plan.shape[2], golden_plan, **TOLERANCE)


def test_similarity():
    """`<P, S>`, from plans and from embeddings."""
    golden, params = load("similarity")
    X = golden["X"]
    model = OTKEmbedding(kernel="linear", **params).fit(X)
    similarities = np.einsum("snd,qpd->sqnp", X, model.references_)
    values = [
        np.sum(p * s, axis=(1, 2)) for p, s in zip(model.transport_plan(X), similarities)
    ]
    assert_allclose(values, golden["similarity"], **TOLERANCE)
    embeddings = model.transform(X).reshape(len(X), *model.references_.shape)
    values = (embeddings * model.references_).sum(axis=(2, 3)) / model.references_.shape[1]
    assert_allclose(values, golden["similarity"], **TOLERANCE)


def test_convolution():
    """A layer's features, and embeddings of windows: by one estimator, and by two."""
    golden, params = load("convolution")
    X, anchors = golden["X"], golden["anchors_0"]
    windows = {
        "anchors": anchors.reshape(len(anchors), -1),
        "filter_size": int(golden["filter_sizes"][0]),
        "gamma": 1 / (2 * golden["sigmas"][0] ** 2),
        "damping": float(golden["damping"]),
    }
    layer = ConvolutionalKernelLayer(**windows).fit(X)
    assert_allclose(np.stack(list(layer.transform(X))), golden["features"], **TOLERANCE)
    for model in [
        OTKEmbedding(kernel="homogeneous", **windows, **params),
        make_pipeline(layer, OTKEmbedding(kernel="linear", **params)),
    ]:
        expected = golden["output"].reshape(len(X), -1)
        assert_allclose(model.fit(X).transform(X), expected, **TOLERANCE)
