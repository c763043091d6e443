"""Tensors of PyTorch as sets: packed, nested and padded ones, and half precision."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection, SetPooling
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


def test_packed_tensors():
    sets = make_tensors()
    packed = torch.nn.utils.rnn.pack_sequence(sets, enforce_sorted=False)
    with pytest.raises(
        TypeError, match=r"expected torch.nn.utils.rnn.unpack_sequence\(X\)"
    ):
        OTKEmbedding().fit(packed)
    assert_same_sets(as_sets(torch.nn.utils.rnn.unpack_sequence(packed)), sets)


@pytest.fixture(params=[torch.strided, torch.jagged], ids=str)
def layout(request):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors")
        yield request.param


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_nested_tensors_are_sets(layout, dtype, requires_grad):
    sets = make_tensors(dtype)
    nested = torch.nested.nested_tensor(sets, layout=layout, requires_grad=requires_grad)
    sets = [x.float() if dtype == torch.bfloat16 else x for x in sets]
    for convert in [as_sets, SetCollection.from_sets]:
        assert_same_sets(convert(nested), sets)
    weights = torch.nested.nested_tensor([x[:, 0].abs() for x in sets], layout=layout)
    found = SetCollection.from_sets(nested, weights=weights, positions=weights)
    assert_array_equal(found.weights, torch.cat(sets)[:, 0].abs())
    assert_array_equal(found.positions[:, 0], found.weights)
    embedding = OTKEmbedding(2, n_components=2, epsilon=1, random_state=0)
    expected = embedding.fit_transform([x.numpy() for x in sets])
    assert_array_equal(embedding.fit(nested).transform(nested), expected)
    assert_array_equal(ElementTransformer("passthrough").fit_transform(nested)[1], sets[1])


def test_nested_tensors_in_place_of_arrays(layout):
    """`RuntimeError: NestedTensorImpl doesn't support sizes` was all that they gave."""
    sets = make_tensors()
    nested = torch.nested.nested_tensor(sets, layout=layout)
    message = r"set 0 of X .*expected \[x for nested in X for x in nested.unbind\(\)\]"
    for call in [as_sets, OTKEmbedding(2, n_components=2).fit(sets).transform]:
        with pytest.raises(TypeError, match=message):
            call([nested, nested])
    offsets = [0, 2, 7, 8, 12]
    masks = torch.nested.nested_tensor([x[:, 0] != 0 for x in sets], layout=layout)
    padded = torch.nn.utils.rnn.pad_sequence(sets, batch_first=True)
    for call, line in [
        (lambda: SetCollection.from_padded(nested), "SetCollection.from_sets(X)"),
        (lambda: SetCollection.from_padded([nested]), "[x for nested in X for x in nes"),
        (lambda: SetCollection(nested, offsets), "torch.cat(values.unbind())"),
        (
            lambda: SetCollection.from_padded(padded, mask=masks),
            "torch.nested.to_padded_tensor(mask, 0)",
        ),
    ]:
        with pytest.raises(TypeError, match=f"nested.*; expected {re.escape(line)}"):
            call()
    assert_same_sets(SetCollection(torch.cat(nested.unbind()), offsets), sets)
    mask = torch.nested.to_padded_tensor(masks.to(torch.uint8), 0)
    assert_same_sets(SetCollection.from_padded(padded, mask=mask), sets)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "make",
    [
        torch.Tensor.requires_grad_,
        torch.nn.Parameter,
        lambda x: x.clone().requires_grad_() * 1,  # the output of a network
        lambda x: torch.complex(x.float(), -x.float()).conj().imag,  # negated when read
    ],
)
def test_what_tensors_need_before_they_are_arrays(dtype, make):
    """`Can't call numpy() on Tensor that requires grad` was an error: no gradient leads
    through an embedding of arrays, which `OTKPooling` is for."""
    sets = [x.to(dtype) for x in make_tensors(torch.float32)]
    X = [make(x.clone()) for x in sets]
    for convert in [as_sets, SetCollection.from_sets]:
        assert_same_sets(convert(X), sets)
        assert_same_sets(convert([list(x) for x in X]), sets)  # a tensor for each element
    cube = torch.stack([sets[1], sets[1] + 1])
    mask = torch.tensor([[1, 1, 1, 0, 0], [1] * 5])
    for form in [make(cube.clone()), [make(x.clone()) for x in cube]]:
        assert_same_sets(as_sets(form), cube)
        found = SetCollection.from_padded(form, mask=mask)
        assert_same_sets(found, [cube[0, :3], cube[1]])
    weights = [make(x[:, 0].abs()) for x in sets]
    found = SetCollection.from_sets(X, weights=weights, positions=weights)
    assert_array_equal(found.weights, torch.cat(sets)[:, 0].abs().double())
    assert [x.requires_grad for x in X] == [make(sets[0].clone()).requires_grad] * 4
    expected = SetPooling().fit_transform([x.float().numpy() for x in sets])
    assert_array_equal(SetPooling().fit(X).transform(X), expected)


def test_references_of_a_network():
    z = torch.nn.functional.normalize(make_tensors(torch.bfloat16)[1].float(), dim=1)
    for form in [z.requires_grad_(), z.detach().bfloat16().requires_grad_()]:
        embedding = OTKEmbedding(references=form[None], kernel="linear")
        embedding.fit(make_tensors(torch.float32))
        assert_array_equal(embedding.references_[0], form.detach().float())


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda x: x.to_sparse(), "[x.to_dense() for x in X]"),
        (lambda x: x.to(torch.float8_e4m3fn), "[x.float() for x in X]"),
        (lambda x: x.to_sparse().requires_grad_(), "[x.to_dense() for x in X]"),
    ],
)
def test_the_calls_that_make_arrays_of_tensors(make, line):
    X = [make(torch.eye(3)), make(torch.ones(2, 3))]
    message = f"set 0 of X is no array of numbers: .*; expected {re.escape(line)}"
    with pytest.raises((TypeError, ValueError), match=message):
        as_sets(X)
    sets = eval(line, {"X": X})  # noqa: S307
    assert_same_sets(as_sets(sets), [torch.eye(3), torch.ones(2, 3)])
    weights = [make(torch.eye(3))[0], torch.ones(2)]
    message = re.escape(f"weights of set 0 {line.replace('X', 'weights')}")
    message = message.replace("0\\ ", "0 is no array of numbers: .*; expected ")
    with pytest.raises((TypeError, ValueError), match=message):
        SetCollection.from_sets(sets, weights=weights)


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
