"""One set whose elements come in blocks: as in memory, and errors of blocks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from otk_sklearn import OTKClassifier, OTKEmbedding, SetCollection
from otk_sklearn.batches import transform_blocks


def fitted(**params):
    sets = np.random.default_rng(1).standard_normal((10, 30, 3))
    defaults = {"n_supports": 4, "n_components": 12, "tol": 1e-10, "max_iter": 500}
    return OTKEmbedding(**defaults | {"random_state": 0, "epsilon": 0.3} | params).fit(sets)


def elements(n=2000, seed=0):
    return np.sort(np.random.default_rng(seed).standard_normal((n, 3)), axis=0)


def cut(values, *borders):
    return np.split(values, borders)


BORDERS = [(500, 1000), (1, 2, 3, 1999), (700, 700, 1500), ()]


@pytest.mark.slow
@pytest.mark.parametrize("borders", BORDERS, ids=str)
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"solver": "softmax"},
        {"relaxation": 0.5},
        {"support_relaxation": 0.5},
        {"position": "gaussian"},
        {"filter_size": 3},
        {"filter_size": 4, "padding": "same"},
        {"filter_size": 4, "position": "hard", "position_sigma": 0.6},
        {"n_references": 2},
    ],
    ids=str,
)
def test_is_transform_of_all_elements(params, borders):
    model, values = fitted(**params), elements()
    result = transform_blocks(model, cut(values, *borders))
    expected = model.transform([values])
    assert_allclose(result.embedding, expected, rtol=0, atol=1e-8)
    assert result.n_elements == 2000
    assert result.residual.shape == (params.get("n_references", 1),)
    assert (result.residual < 1e-10).all()
    by_function = transform_blocks(model, lambda: iter(cut(values, *borders)))
    assert_allclose(by_function.embedding, result.embedding, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:X has positions; the sets of fit had none")
def test_weights_and_positions_of_blocks():
    rng = np.random.default_rng(0)
    weights, positions = rng.integers(0, 3, 2000) * 1e-5, rng.random(2000)
    whole = SetCollection(elements(), [0, 2000], weights=weights, positions=positions)
    blocks = [
        SetCollection(
            elements()[rows],
            [0, len(weights[rows])],
            weights=weights[rows],
            positions=positions[rows],
        )
        for rows in (slice(0, 900), slice(900, 2000))
    ]
    model = fitted(position="gaussian")
    result = transform_blocks(model, blocks)
    assert_allclose(result.embedding, model.transform(whole), rtol=0, atol=1e-8)


def test_an_iterator_passes_once():
    model, values = fitted(tol=0.05), np.random.default_rng(0).permutation(elements())
    result = transform_blocks(model, iter(cut(values, 800)), max_passes=1)
    assert result.n_passes == 1
    assert_allclose(result.embedding, model.transform([values]), rtol=0, atol=0.05)


def test_a_missed_tolerance_is_told():
    model = fitted(epsilon=0.02)
    values = np.concatenate([np.full((200_000, 3), -1.0), np.ones((100, 3))])
    with pytest.warns(ConvergenceWarning, match="Sinkhorn missed tol=1e-10 in 1 passes"):
        result = transform_blocks(model, [values], max_passes=1)
    assert result.residual.max() > 1e-10


@pytest.mark.parametrize(
    ("blocks", "options", "error", "message"),
    [
        ([], {}, ValueError, "blocks has no element"),
        ([np.zeros((2, 2))], {}, ValueError, "block 0 has 2 features; expected 3"),
        (
            [np.zeros((2, 3)), [[0.0, np.nan, 0.0]]],
            {},
            ValueError,
            r"block 1 contains NaN in set 0 \(element 0, feature 1\)",
        ),
        (
            [np.zeros((2, 3)), np.zeros((2, 3), np.float32)],
            {},
            ValueError,
            "block 1 is float32, and the first is float64",
        ),
        (np.zeros((2, 3)), {}, TypeError, r"blocks is one ndarray.*\[blocks\]"),
        (iter([np.zeros((2, 3))]), {}, TypeError, "passes once; expected a callable"),
        (5, {}, TypeError, "blocks is int; expected a callable"),
        (
            [SetCollection(np.zeros((2, 3)), [0, 1, 2])],
            {},
            ValueError,
            "block 0 has 2 sets; expected one",
        ),
        (
            SetCollection(np.zeros((2, 3)), [0, 2]),
            {},
            TypeError,
            "blocks is a SetCollection, of whole sets",
        ),
        ([np.zeros((2, 3))], {"max_passes": 0}, ValueError, "max_passes is 0; exp"),
        (
            [np.zeros((2, 3))],
            {"n_elements": 3},
            ValueError,
            "n_elements=3, and there",
        ),
    ],
)
def test_bad_blocks(blocks, options, error, message):
    with pytest.raises(error, match=message):
        transform_blocks(fitted(), blocks, **options)


def test_bad_embeddings():
    with pytest.raises(ValueError, match="solver='emd', which needs all elements at once"):
        transform_blocks(fitted(solver="emd"), [np.zeros((2, 3))])
    with pytest.raises(TypeError, match="embedding is OTKClassifier; expected a fit"):
        transform_blocks(OTKClassifier(), [np.zeros((2, 3))])
    with pytest.raises(NotFittedError):
        transform_blocks(OTKEmbedding(), [np.zeros((2, 3))])


def test_blocks_that_change_between_passes():
    sizes = iter(range(1, 99))
    model = fitted(epsilon=0.05)
    with pytest.raises(ValueError, match="blocks had .* elements in the first pass, and"):
        transform_blocks(
            model,
            lambda: iter([elements(150_000), elements(1000 * next(sizes), seed=1) + 9]),
        )
