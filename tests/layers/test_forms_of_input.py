"""Every form of input is the same sets."""

import numpy as np
import pytest
import torch
from plain_layers import plain_pooling, ragged

from otk_sklearn.torch import KernelFeatures, OTKPooling, SetSequential

LENGTHS = (2, 7, 1, 4)


@pytest.fixture
def pooling():
    torch.manual_seed(0)
    return OTKPooling(
        3, 4, n_references=2, epsilon=0.3, position="gaussian", dtype=torch.float64
    )


@pytest.fixture(params=["eager", "compiling"])
def shapes(request, monkeypatch):
    """Shapes that depend on data, or don't, as in a network that is compiled."""
    if request.param == "compiling":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)


def padded(x, filler=float("nan")):
    """A batch, with anything for padding, and its mask."""
    batch = torch.full((len(LENGTHS), max(LENGTHS), 3), filler, dtype=x.dtype)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    batch[mask] = x
    return batch, mask


@pytest.fixture
def expected(pooling):
    """Plain versions of the embeddings of the sets."""
    x, _ = ragged(LENGTHS)
    t = torch.arange(4, dtype=torch.float64) / 4
    return torch.stack(
        [
            plain_pooling(
                rows,
                pooling.references.detach(),
                position_weights=torch.exp(
                    -(((torch.arange(len(rows))[:, None] / len(rows) - t) / 0.1) ** 2)
                ),
                epsilon=0.3,
                n_iter=1000,
            )[0]
            for rows in x.split(LENGTHS)
        ]
    )


def close(out, expected):
    torch.testing.assert_close(out, expected, rtol=1e-2, atol=1e-3)
    return True


def test_packed_elements(pooling, expected, shapes):
    x, index = ragged(LENGTHS)
    ptr = torch.tensor([0, *LENGTHS]).cumsum(0)
    out = pooling(x, index)
    assert close(out, expected)
    assert torch.equal(pooling(x, ptr=ptr), out)
    assert torch.equal(pooling(x, ptr=ptr.int()), out)
    # in another order; positions are by the order in each set, which stays
    order = torch.argsort(torch.rand(len(x)))
    for i in range(len(LENGTHS)):
        of_set = (index[order] == i).nonzero().flatten()
        order[of_set] = order[of_set].sort().values
    assert torch.equal(pooling(x[order], index[order]), out)
    plan = pooling.plan(x, index)
    assert plan.shape == (2, len(x), 4)
    assert torch.equal(pooling.plan(x[order], index[order]), plan[:, order])


@pytest.mark.parametrize("filler", [float("nan"), float("inf"), 1e300, 0.0])
def test_padding_has_no_effect(pooling, filler, shapes, path):
    x, index = ragged(LENGTHS)
    batch, mask = padded(x, filler)
    lengths = torch.tensor(LENGTHS)
    expected = pooling(x, index)
    batch.requires_grad_()
    for arguments in [{"mask": mask}, {"lengths": lengths}]:
        out = pooling(batch, **arguments)
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-14)
    (gradient,) = torch.autograd.grad(out.square().sum(), batch)
    assert gradient.isfinite().all()
    assert not gradient[~mask].any()
    plan = pooling.plan(batch, mask=mask)
    assert plan.shape == (4, 2, 7, 4)
    assert not plan.transpose(1, 2)[~mask].any()
    torch.testing.assert_close(
        plan.transpose(1, 2)[mask].transpose(0, 1), pooling.plan(x, index)
    )


def test_padding_may_lie_anywhere(pooling, shapes):
    x, index = ragged(LENGTHS)
    batch, mask = padded(x)
    places = torch.stack([torch.randperm(7) for _ in LENGTHS])
    for i, row in enumerate(places):  # elements stay in order
        elements = (row < LENGTHS[i]).nonzero().flatten()
        moved = torch.full_like(batch[i], float("nan"))
        moved[elements] = batch[i, : LENGTHS[i]].clone()
        batch[i], mask[i] = moved, False
        mask[i, elements] = True
    out = pooling(batch, mask=mask)
    torch.testing.assert_close(out, pooling(x, index), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("filter_size", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_padding_has_no_effect_on_windows(filter_size, padding, shapes):
    x, index = ragged(LENGTHS)
    batch, mask = padded(x)
    torch.manual_seed(0)
    features = KernelFeatures(
        3, 5, filter_size=filter_size, padding=padding, subsampling=2, dtype=x.dtype
    )
    network = SetSequential(features, OTKPooling(5, 2, dtype=x.dtype))
    out, expected = network(batch, mask=mask), network(x, index)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-14)
    out.sum().backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()
    lengths = features.output_lengths(torch.tensor(LENGTHS))
    of_batch = features(batch, mask=mask)
    of_packed = features(x, index).split(lengths.tolist())
    for rows, n, packed in zip(of_batch, lengths, of_packed):
        torch.testing.assert_close(rows[:n], packed)
        assert not rows[n:].any()


def test_a_batch_without_padding(pooling, shapes):
    x = torch.randn(3, 5, 3, dtype=torch.float64)
    index = torch.arange(3).repeat_interleave(5)
    expected = pooling(x.flatten(0, 1), index)
    assert torch.equal(pooling(x), expected)
    assert torch.equal(pooling(x, mask=torch.ones(3, 5, dtype=bool)), expected)


def test_nested_tensors(pooling):
    x, index = ragged(LENGTHS)
    offsets = torch.tensor([0, *LENGTHS]).cumsum(0)
    nested = torch.nested.nested_tensor_from_jagged(x, offsets)
    assert torch.equal(pooling(nested), pooling(x, index))
    gaps = torch.nested.nested_tensor_from_jagged(
        x, offsets, lengths=torch.tensor([1, 7, 1, 2])
    )
    kept = torch.tensor([0, *range(2, 12)])
    assert torch.equal(pooling(gaps), pooling(x[kept], index[kept]))


def test_grids():
    """Pixels have their place for a position, counted from 1; a mask leaves some out."""
    torch.manual_seed(0)
    pooling = OTKPooling(3, 4, epsilon=0.3, position="gaussian", dtype=torch.float64)
    x = torch.randn(2, 3, 5, 3, dtype=torch.float64)
    out = pooling(x)
    rows = (torch.arange(3, dtype=x.dtype) + 1) / 3
    columns = (torch.arange(5, dtype=x.dtype) + 1) / 5
    positions = torch.cartesian_prod(rows, columns)
    given = pooling(x.flatten(1, 2), positions=positions.expand(2, 15, 2))
    assert torch.equal(out, given)
    supports = torch.cartesian_prod(*[torch.tensor([0.5, 1.0], dtype=x.dtype)] * 2)
    distances = positions[:, None] - supports
    position_weights = torch.exp(-((distances / 0.1) ** 2).sum(dim=2))
    expected, _ = plain_pooling(
        x[0].flatten(0, 1),
        pooling.references.detach(),
        position_weights=position_weights,
        epsilon=0.3,
        n_iter=1000,
    )
    assert close(out[0], expected)
    mask = torch.rand(2, 3, 5) < 0.5
    mask[:, 0] = True
    kept = x[0][mask[0]]
    alone = pooling(kept[None], positions=positions[mask[0].flatten()][None])
    torch.testing.assert_close(pooling(x, mask=mask)[:1], alone)


def test_weights(pooling, shapes, path):
    """They are on any scale; an element of weight 0 is absent, whatever it is."""
    x, index = ragged(LENGTHS)
    weights = torch.rand(len(x), dtype=x.dtype) + 0.1
    out = pooling(x, index, weights=weights)
    scales = torch.tensor([1.0, 1e-3, 50.0, 7.0], dtype=x.dtype)[index]
    torch.testing.assert_close(pooling(x, index, weights=weights * scales), out)
    assert not torch.allclose(out, pooling(x, index))
    positions = torch.rand(len(x), 1, dtype=x.dtype)
    with_more = torch.cat([x, torch.full((2, 3), float("nan"), dtype=x.dtype)])
    out = pooling(x, index, weights=weights, positions=positions)
    more = pooling(
        with_more,
        torch.cat([index, torch.tensor([1, 3])]),
        weights=torch.cat([weights, torch.zeros(2, dtype=x.dtype)]),
        positions=torch.cat([positions, torch.tensor([[0.2], [0.9]], dtype=x.dtype)]),
    )
    torch.testing.assert_close(more, out)


def test_a_batch_may_have_sets_of_padding_only(pooling, shapes, path):
    x = torch.randn(3, 5, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([3, 0, 5])
    out = pooling(x, lengths=lengths)
    assert not out[1].any()
    assert torch.allclose(out[2], pooling(x[2:])[0])
    out.sum().backward()
    assert x.grad.isfinite().all()
    assert not x.grad[1].any()


def test_a_batch_of_no_sets(pooling):
    x = torch.zeros(0, 5, 3, dtype=torch.float64)
    assert pooling(x).shape == (0, 8, 3)
    assert pooling(x, mask=torch.ones(0, 5, dtype=bool)).shape == (0, 8, 3)
    assert pooling.plan(x).shape == (0, 2, 5, 4)
    assert KernelFeatures(3, 4, filter_size=2)(x.float()).shape == (0, 4, 4)


def test_sets_without_elements_are_zero(pooling, path):
    x, index = ragged(LENGTHS)
    ptr = torch.tensor([0, 0, 2, 2, 9, 10, 14, 14])
    out = pooling(x, ptr=ptr)
    there = torch.tensor([1, 3, 4, 5])
    assert torch.equal(out[there], pooling(x, index))
    assert not out[[0, 2, 6]].any()
    assert torch.equal(pooling(x, there[index], dim_size=7), out)
    nothing = pooling(x[:0], ptr=torch.tensor([0, 0, 0]))
    assert nothing.shape == (2, 8, 3)
    assert not nothing.any()
    assert pooling(x[:0], index[:0]).shape == (0, 8, 3)
    # all of weight 0, or masked
    out = pooling(x, index, weights=(index != 2).double())
    assert not out[2].any()
    batch, mask = padded(x)
    mask[1] = False
    out = pooling(batch, mask=mask)
    assert not out[1].any()
    assert torch.allclose(out[0], pooling(x, index)[0])


def test_an_empty_set_has_no_gradient(pooling, path):
    x, index = ragged(LENGTHS)
    pooling(x.requires_grad_(), index, dim_size=9).sum().backward()
    expected = x.grad.clone()
    x.grad = None
    pooling(x, index).sum().backward()
    assert torch.equal(x.grad, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_solved_in_float32(pooling, dtype):
    x, index = ragged(LENGTHS)
    half = pooling.to(dtype)
    out = half(x.to(dtype), index)
    assert out.dtype == dtype
    exact = pooling.float()(x.to(dtype).float(), index)
    torch.testing.assert_close(out.float(), exact, rtol=2e-2, atol=2e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        in_autocast = pooling(x.to(dtype), index)
    assert in_autocast.dtype == torch.float32
    assert torch.equal(in_autocast, pooling(x.to(dtype), index))


X = torch.zeros(5, 3)
BATCH = torch.zeros(2, 4, 3)
INDEX = torch.tensor([0, 0, 1, 1, 1])

WRONG = [
    ((np.zeros((5, 3)),), {}, "x is a ndarray; expected a tensor"),
    ((X.long(), INDEX), {}, "x has dtype torch.int64; expected floating-point"),
    ((X,), {}, r"x has shape \(5, 3\), and neither index nor ptr is given.*x\[None\]"),
    ((X, INDEX, INDEX), {}, "both index and ptr are given; expected one of them"),
    ((X[:, :2], INDEX), {}, r"x has shape \(5, 2\); expected \(n_elements, 3\) with index"),
    ((X[0],), {}, r"x has shape \(3,\); expected"),
    ((X, INDEX[:3]), {}, r"index has shape \(3,\); expected \(5,\)"),
    ((X, INDEX.float()), {}, "index is torch.float32; expected a tensor of integers"),
    ((X, INDEX - 1), {}, "index goes from -1 to 0; expected sets from 0"),
    ((X, INDEX, None, 1), {}, "index goes from 0 to 1; expected sets from 0 to 0"),
    ((X, None, torch.tensor([0, 3])), {}, "ptr goes from 0 to 3; expected.*from 0 to 5"),
    ((X, None, torch.tensor([0, 4, 2, 5])), {}, "from 0 to 5, and decreases; expected"),
    ((X, None, torch.tensor([], dtype=int)), {}, "ptr is empty; expected"),
    ((X, None, torch.tensor([0, 5]), 3), {}, "dim_size is given with ptr; expected None"),
    ((X, INDEX), {"mask": torch.ones(5, dtype=bool)}, "mask is given with packed elements"),
    ((BATCH, INDEX), {}, r"index is given with x of shape \(2, 4, 3\); expected None"),
    (
        (BATCH,),
        {"mask": torch.ones(2, 3, dtype=bool)},
        r"mask has shape \(2, 3\); expected",
    ),
    ((BATCH,), {"mask": torch.ones(2, 4)}, "mask is torch.float32; expected torch.bool"),
    (
        (BATCH,),
        {"lengths": torch.tensor([2, 5])},
        "lengths goes from 2 to 5; expected 0 to 4",
    ),
    (
        (BATCH,),
        {"lengths": torch.tensor([2])},
        r"lengths has shape \(1,\); expected \(2,\)",
    ),
    (
        (BATCH,),
        {"lengths": torch.tensor([2, 2]), "mask": torch.ones(2, 4, dtype=bool)},
        "mask is given with lengths; expected None",
    ),
    ((BATCH[None],), {"lengths": torch.tensor([2])}, "lengths is given with grids"),
    ((BATCH,), {"weights": torch.ones(2, 3)}, r"weights is of shape \(2, 3\); expected"),
    ((BATCH,), {"weights": -torch.ones(2, 4)}, "weights contains -1; expected finite"),
    ((BATCH,), {"positions": torch.ones(2, 4, 3)}, "positions is.*expected a tensor"),
    (
        (BATCH,),
        {"positions": torch.ones(2, 4, 1).long()},
        "positions has dtype torch.int64",
    ),
    ((BATCH,), {"positions": torch.full((2, 4, 1), torch.nan)}, "positions has NaN"),
    ((X, INDEX, None, -1), {}, "dim_size is -1; expected an integer, at least 0"),
    ((X, INDEX > 0), {}, "index is torch.bool; expected a tensor of integers"),
]


@pytest.mark.parametrize(("args", "kwargs", "message"), WRONG)
def test_wrong_arguments(args, kwargs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        OTKPooling(3, 2)(*args, **kwargs)


def test_wrong_parameters():
    with pytest.raises(
        ValueError, match="'epsilon' parameter of OTKPooling must be a float"
    ):
        OTKPooling(3, 2, epsilon=0)
    with pytest.raises(ValueError, match="are both given; expected one of them to be None"):
        OTKPooling(3, 2, relaxation=1.0, support_relaxation=1.0)
    with pytest.raises(ValueError, match="solver='emd'; expected solver='sinkhorn'"):
        OTKPooling(3, 2, relaxation=1.0, solver="emd")
    with pytest.raises(ValueError, match="'kernel' parameter of KernelFeatures must be"):
        KernelFeatures(3, 2, kernel="linear")
    with pytest.raises(ValueError, match="gamma is 0; expected a positive number"):
        KernelFeatures(3, 2, gamma=0)
    with pytest.raises(ValueError, match="3 supports, and positions on 2 axes"):
        OTKPooling(3, 3, position="hard")(torch.zeros(1, 2, 2, 3))
    with pytest.raises(
        ValueError, match=r"x has shape \(5, 4\); expected \(n_elements, 3\)"
    ):
        SetSequential(torch.nn.Linear(3, 4), OTKPooling(3, 2))(X, INDEX)
    with pytest.raises(
        ValueError, match=r"Flatten turns packed elements of shape \(5, 3\)"
    ):
        SetSequential(torch.nn.Flatten(0), OTKPooling(3, 2))(X, INDEX)


def test_absent_elements_may_be_anything_in_any_layer():
    x, index = ragged(LENGTHS, dtype=torch.float32)
    weights = torch.rand(len(x)) + 0.1
    weights[[2, 9]] = 0
    torch.manual_seed(0)
    network = SetSequential(
        torch.nn.Linear(3, 3), KernelFeatures(3, 4, filter_size=2), OTKPooling(4, 2)
    )
    x[[2, 9]] = 0
    expected = network(x, index, weights=weights)
    x[2], x[9] = torch.nan, torch.inf
    out = network(x, index, weights=weights)
    assert torch.equal(out, expected)
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
@pytest.mark.parametrize("scale", [0, 1e-38, 1e-25, 1e-22, 1e20, 1e25, 1e37])
def test_features_are_finite_at_any_scale(kernel, scale):
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    features = KernelFeatures(3, 4, kernel=kernel)
    inputs = (x * scale).requires_grad_()
    out = features(inputs)
    out.sum().backward()
    assert out.isfinite().all()
    assert inputs.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in features.parameters())
    if kernel == "homogeneous" and scale > 1e-30:  # of degree one
        torch.testing.assert_close(out / scale, features(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"x has shape \(2, 4\); expected \(..., 3\)"):
        KernelFeatures(3, 2)(torch.zeros(2, 4))
