"""Gradients of layers: finite differences, and autograd through unrolled iterations."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_layers import plain_pooling, ragged

from otk_sklearn.torch import KernelFeatures, OTKPooling, SetSequential

TRANSPORTS = {
    "balanced": {},
    "attention": {"solver": "softmax"},
    "relaxed": {"relaxation": 0.5},
    "supports relaxed": {"support_relaxation": 0.3},
}
POSITIONS = [None, "gaussian", "hard"]


def converged(n_features, n_supports, **options):
    """A pooling in float64 whose plans have converged to rounding."""
    torch.manual_seed(0)
    options = {"epsilon": 1.0, "tol": 1e-13, "max_iter": 300} | options
    return OTKPooling(n_features, n_supports, dtype=torch.float64, **options)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("n_references", [1, 2])
def test_finite_differences_of_pooling(transport, position, n_references, path):
    """With respect to elements, references and weights; also of plans."""
    x, index = ragged((1, 5, 3), n_features=2)
    pooling = converged(
        2, 3, n_references=n_references, position=position, **TRANSPORTS[transport]
    )
    pooling.position_sigma = 0.4
    weights = torch.rand(len(x), dtype=torch.float64) + 0.5

    def pool(x, references, weights):
        arguments = {"x": x, "index": index, "weights": weights}
        parameters = {"references": references}
        return torch.func.functional_call(pooling, parameters, (), arguments)

    def plan(x, weights):
        return pooling.plan(x, index, weights=weights)

    references = pooling.references.detach().clone().requires_grad_()
    inputs = x.requires_grad_(), references, weights.requires_grad_()
    assert torch.autograd.gradcheck(pool, inputs, atol=1e-6)
    assert torch.autograd.gradcheck(plan, (x, weights), atol=1e-6)


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
@pytest.mark.parametrize(
    ("filter_size", "padding", "subsampling"),
    [(1, "valid", 1), (2, "valid", 1), (3, "same", 2)],
)
def test_finite_differences_of_features(kernel, filter_size, padding, subsampling):
    """With respect to elements, anchors, bandwidth, and weights of windows."""
    x, index = ragged((1, 5, 3), n_features=2)
    torch.manual_seed(0)
    network = SetSequential(
        KernelFeatures(
            2,
            4,
            kernel=kernel,
            gamma=0.7,
            filter_size=filter_size,
            padding=padding,
            subsampling=subsampling,
            dtype=torch.float64,
        ),
        converged(4, 2),
    )
    names = [name for name, _ in network.named_parameters()]
    assert len(names) == 3

    def embed(x, weights, *parameters):
        values = dict(zip(names, parameters))
        return torch.func.functional_call(
            network, values, (x,), {"index": index, "weights": weights}
        )

    weights = (torch.rand(len(x), dtype=torch.float64) + 0.5).requires_grad_()
    parameters = [p.detach().clone().requires_grad_() for p in network.parameters()]
    inputs = x.requires_grad_(), weights, *parameters
    assert torch.autograd.gradcheck(embed, inputs, atol=1e-5)


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
def test_equal_anchors_have_gradients(kernel):
    """Where eigenvalues are equal, that of an eigendecomposition is not defined."""
    anchors = torch.eye(3, 4, dtype=torch.float64)[[0, 0, 1, 2]]
    features = KernelFeatures(4, 4, kernel=kernel, dtype=torch.float64)
    with torch.no_grad():
        features.raw_anchors.copy_(anchors)
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    features(x).square().sum().backward()
    assert features.raw_anchors.grad.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("position", [None, "gaussian"])
def test_autograd_through_unrolled_iterations(transport, position, path):
    lengths = (1, 9, 4)
    x, index = ragged(lengths)
    options = {"epsilon": 0.4, **TRANSPORTS[transport]}
    pooling = converged(3, 4, n_references=2, position=position, **options)
    pooling.position_sigma = 0.5
    weights = torch.rand(len(x), dtype=torch.float64) + 0.2
    slopes = torch.randn(3, 8, 3, dtype=torch.float64)
    inputs = x.requires_grad_(), pooling.references, weights.requires_grad_()
    actual = torch.autograd.grad(pooling(x, index, weights=weights), inputs, slopes)

    pooled, starts = [], itertools.accumulate((0, *lengths))
    for start, n in zip(starts, lengths):
        rows, masses = x[start : start + n], weights[start : start + n]
        filtered = 1.0
        if position:
            s = torch.arange(n, dtype=torch.float64)[:, None] / n
            t = torch.arange(4, dtype=torch.float64) / 4
            filtered = torch.exp(-(((s - t) / 0.5) ** 2))
        masses = masses / masses.sum()
        plain, _ = plain_pooling(
            rows, pooling.references, masses, filtered, n_iter=500, **options
        )
        pooled.append(plain)
    expected = torch.autograd.grad(torch.stack(pooled), inputs, slopes)
    for one, other in zip(actual, expected):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_exact_plans_are_constant(path):
    x, index = ragged((4, 4))
    pooling = converged(3, 2, solver="emd")
    plan = pooling.plan(x, index).detach()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(pooling(x, index).sum(), x)
    expected = 2 * plan.sum(dim=(0, 2))[:, None].expand_as(x)
    torch.testing.assert_close(gradient, expected)


def test_gradients_of_weights_in_float32(path):
    """Where similarities are large in units of epsilon, sums of the plan cancel."""
    x, index = ragged((40,) * 5, n_features=16)
    pooling = converged(16, 10, epsilon=0.1)
    x = 0.3 * x
    slopes, gradients = torch.randn(5, 10, 16, dtype=torch.float64), []
    for dtype in (torch.float64, torch.float32):
        weights = torch.ones(len(x), dtype=dtype, requires_grad=True)
        out = pooling.to(dtype)(x.to(dtype), index, weights=weights)
        gradients += torch.autograd.grad(out, weights, slopes.to(dtype))
    error = (gradients[1] - gradients[0]).abs().max() / gradients[0].abs().max()
    assert error < 1e-3


def test_weights_of_zero_have_no_gradient(path):
    x, index = ragged((5, 4))
    pooling = converged(3, 2)
    weights = torch.rand(9, dtype=torch.float64) + 0.1
    weights[[1, 6]] = 0
    out = pooling(x, index, weights=weights.requires_grad_())
    (gradient,) = torch.autograd.grad(out.square().sum(), weights)
    assert gradient[[1, 6]].abs().max() < 1e-12
    present = torch.tensor([0, 2, 3, 4, 5, 7, 8])
    kept = weights[present].detach().requires_grad_()
    out = pooling(x[present], index[present], weights=kept)
    (expected,) = torch.autograd.grad(out.square().sum(), kept)
    torch.testing.assert_close(gradient[present], expected)


def test_gradients_have_no_gradient(path):
    x, index = ragged()
    pooling = converged(3, 2)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(
        pooling(x, index).square().sum(), x, create_graph=True
    )
    with pytest.raises(RuntimeError):
        gradient.sum().backward()


def test_backward_is_only_as_far_as_needed(path):
    """Without gradients of elements, as where data come first."""
    x, index = ragged()
    pooling = converged(3, 2)
    pooling(x, index).sum().backward()
    assert x.grad is None
    assert pooling.references.grad.isfinite().all()
    with torch.no_grad():
        assert not pooling(x, index).requires_grad


EXTREMES = [0.0, 1e-30, 1e-3, 1.0, 30.0, 1e4]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("matching", ["_compiled_matching", "_batched_matching"])
def test_no_nan_in_float32(matching, data):
    """Nor infinity: small epsilon, one element, more supports, equal and zero elements."""
    import otk_sklearn.torch as layers
    from otk_sklearn.torch import _operators

    lengths = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    scale = data.draw(st.sampled_from(EXTREMES))
    options = {
        "epsilon": data.draw(st.sampled_from([1e-3, 1e-2, 1.0])),
        "tol": data.draw(st.sampled_from([0, 1e-3])),
        **data.draw(st.sampled_from(list(TRANSPORTS.values()))),
    }
    x, index = ragged(lengths, seed=data.draw(st.integers(0, 1000)), dtype=torch.float32)
    x = x * scale
    if data.draw(st.booleans()):  # repeated elements
        x = x[torch.zeros(len(x), dtype=torch.int64)]
    torch.manual_seed(0)
    pooling = layers.OTKPooling(3, data.draw(st.integers(1, 8)), **options)
    chosen, before = getattr(_operators, matching), _operators.matching_on
    _operators.matching_on = lambda device: chosen
    try:
        out = pooling(x.requires_grad_(), index)
        assert out.isfinite().all()
        out.sum().backward()
    finally:
        _operators.matching_on = before
    assert x.grad.isfinite().all()
    assert pooling.references.grad.isfinite().all()


def test_one_element_among_many_supports(path):
    """Its plan is given, and so is its gradient."""
    x = torch.randn(1, 3, requires_grad=True)
    pooling = OTKPooling(3, 20, epsilon=1e-3)
    out = pooling(x, ptr=torch.tensor([0, 1]))
    torch.testing.assert_close(out[0], x.expand(20, 3))
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.full((1, 3), 20.0))
    assert pooling.references.grad.abs().max() < 1e-5
