"""Tensors of PyTorch as sets: packed, nested and padded ones, and half precision."""

import re

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection
from otk_sklearn.sets._validation import as_sets

torch = pytest.importorskip("torch")


def assert_same_sets(collection, sets):
    assert [x.tolist() for x in collection] == [x.tolist() for x in sets]


def make_tensors(dtype=torch.float64):
    random = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, generator=random, dtype=dtype) for n in (2, 5, 1, 4)]


def test_padded_tensors():
    sets = make_tensors()
    X = torch.nn.utils.rnn.pad_sequence(sets, batch_first=True)
    with pytest.warns(UserWarning, match="3 of 4 sets of X end with rows of zeros"):
        as_sets(X)
    for mask in [(X != 0).any(axis=2), (X != 0).any(axis=2).long()]:
        assert_same_sets(SetCollection.from_padded(X, mask=mask), sets)
    lengths = torch.tensor([2, 5, 1, 4])
    assert_same_sets(SetCollection.from_padded(X, lengths=lengths), sets)


@pytest.mark.parametrize("lengths", [[2, 2], [1, 3]])
@pytest.mark.parametrize(
    "convert", [torch.as_tensor, torch.tensor, torch.asarray, torch.Tensor]
)
def test_a_collection_is_no_tensor(convert, lengths):
    """Sets of equal lengths were stacked without their weights."""
    sets = [np.ones((n, 3)) for n in lengths]
    X = SetCollection.from_sets(sets, weights=[np.arange(1, n + 1) for n in lengths])
    with pytest.raises(TypeError, match=r"not an array: .* X.values .* X.to_padded\(\)"):
        convert(X)
    assert convert(X.to_padded()).shape == (2, max(lengths), 3)
    assert_same_sets(torch.tensor(X.values).split(lengths), sets)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_packed_and_nested_tensors():
    sets = make_tensors()
    packed = torch.nn.utils.rnn.pack_sequence(sets, enforce_sorted=False)
    with pytest.raises(
        TypeError, match=r"expected torch.nn.utils.rnn.unpack_sequence\(X\)"
    ):
        OTKEmbedding().fit(packed)
    assert_same_sets(as_sets(torch.nn.utils.rnn.unpack_sequence(packed)), sets)
    for layout in [torch.strided, torch.jagged]:
        nested = torch.nested.nested_tensor(sets, layout=layout)
        with pytest.raises(TypeError, match=r"expected X.unbind\(\)"):
            OTKEmbedding().fit(nested)
        with pytest.raises(TypeError, match=r"expected sets.unbind\(\)"):
            SetCollection.from_sets(nested)
        message = r"set 0 of X .*expected \[x for nested in X for x in nested.unbind\(\)\]"
        for call in [as_sets, OTKEmbedding(2, n_components=2).fit(sets).transform]:
            with pytest.raises(TypeError, match=message):
                call([nested, nested])
        assert_same_sets(as_sets(nested.unbind()), sets)


def test_tensors_that_need_a_gradient_are_named():
    X = [*make_tensors()[:2], make_tensors()[2].requires_grad_()]
    message = r"set 2 of X is no array .*; expected \[x.detach\(\) for x in X\]\.$"
    with pytest.raises(ValueError, match=message):
        as_sets(X)
    assert_same_sets(as_sets([x.detach() for x in X]), [x.detach() for x in X])
    with pytest.raises(ValueError, match=r"X is no array .*; expected X.detach\(\)\.$"):
        as_sets(torch.ones(2, 3, 4, requires_grad=True))
    with pytest.raises(ValueError, match="set 0 of X is no array of numbers: .*detach"):
        as_sets([[torch.ones(3, requires_grad=True)] * 2])


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda x: x.to_sparse(), "[x.to_dense() for x in X]"),
        (lambda x: x.to(torch.float8_e4m3fn), "[x.float() for x in X]"),
        (lambda x: x.to_sparse().requires_grad_(), "[x.detach().to_dense() for x in X]"),
    ],
)
def test_the_calls_that_make_arrays_of_tensors(make, line):
    X = [make(torch.eye(3)), make(torch.ones(2, 3))]
    message = f"set 0 of X is no array of numbers: .*; expected {re.escape(line)}"
    with pytest.raises((TypeError, ValueError), match=message):
        as_sets(X)
    sets = eval(line, {"X": X})  # noqa: S307
    assert_same_sets(as_sets(sets), [torch.eye(3), torch.ones(2, 3)])


def test_tensors_without_data():
    with pytest.raises(TypeError, match="set 1 of X is a tensor on the meta device; exp"):
        as_sets([torch.ones(2, 3), torch.ones(2, 3, device="meta")])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_becomes_float32(dtype):
    """As it is exact there; numbers of another type in the same sets are as precise."""
    sets = [x.to(dtype) for x in make_tensors()]
    expected = [x.float().numpy() for x in sets]
    cube = torch.stack([sets[1], sets[1] + 1])
    groups = [0, 1, 1, 0, 1]
    for result, arrays in [
        (as_sets(sets), expected),
        (as_sets(cube), cube.float().numpy()),
        (SetCollection(torch.cat(sets), [0, 2, 7, 8, 12]), expected),
        (SetCollection.from_padded(cube, lengths=[5, 5]), cube.float().numpy()),
        (
            SetCollection.from_groups(sets[1], groups),
            [expected[1][[0, 3]], expected[1][[1, 2, 4]]],
        ),
    ]:
        assert result.dtype == np.float32
        assert_same_sets(result, arrays)
    assert as_sets([sets[0], make_tensors()[1]]).dtype == np.float64
    assert as_sets([sets[0], make_tensors(torch.float32)[1]]).dtype == np.float32
    with pytest.warns(UserWarning, match="X is 2-D"):
        rows = as_sets(sets[1])
    assert rows.dtype == np.float32
    weights = torch.ones(5, dtype=dtype)
    sets = SetCollection(sets[1], [0, 5], weights=weights, positions=weights)
    assert sets.weights.dtype == sets.positions.dtype == np.float64
    assert ElementTransformer(StandardScaler()).fit_transform(sets).dtype == np.float32
