"""Position encoding: lines, grids, filters, and the order of supports."""

import numpy as np
import pytest
from helpers import make_sets, plain_embedding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from otk_sklearn import OTKEmbedding, SetCollection

SQUARE_GRID = [((i + 1) / 3, (j + 1) / 3) for i in range(3) for j in range(3)]


def make_model(**params):
    defaults = {
        "n_supports": 9,
        "n_components": 16,
        "position": "gaussian",
        "position_sigma": 0.2,
        "epsilon": 0.1,
        "tol": 0,
        "max_iter": 30,
        "random_state": 0,
    }
    return OTKEmbedding(**{**defaults, **params})


@pytest.mark.pairwise(
    ("position", ["gaussian", "hard"]),
    ("kernel", ["rbf", "homogeneous", "linear"]),
    ("solver", ["sinkhorn", "softmax"]),
)
def test_on_a_line_it_is_the_formulas(position, kernel, solver, sets):
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.1, 1, len(x)) for x in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    model = make_model(position=position, kernel=kernel, solver=solver).fit(X)
    line = [[j / 9] for j in range(9)]
    expected = [
        plain_embedding(model, x, w / w.sum(), [[i / len(x)] for i in range(len(x))], line)
        for x, w in zip(sets, weights)
    ]
    assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("position", ["gaussian", "hard"])
def test_on_a_grid_it_is_the_formulas(position):
    images = np.random.default_rng(0).normal(size=(5, 4, 6, 3))
    model = make_model(position=position).fit(images)
    pixels = [((row + 1) / 4, (column + 1) / 6) for row in range(4) for column in range(6)]
    expected = [
        plain_embedding(model, image.reshape(24, 3), None, pixels, SQUARE_GRID)
        for image in images
    ]
    assert_allclose(model.transform(images), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("n_axes", [1, 2])
def test_given_positions(n_axes, sets):
    rng = np.random.default_rng(0)
    positions = [rng.uniform(size=(len(x), n_axes)) for x in sets]
    X = SetCollection.from_sets(sets, positions=positions)
    model = make_model().fit(X)
    supports = SQUARE_GRID if n_axes == 2 else [[j / 9] for j in range(9)]
    expected = [
        plain_embedding(model, x, None, s, supports) for x, s in zip(sets, positions)
    ]
    assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-8)
    # Where an element stands in its set no longer plays a part.
    orders = [rng.permutation(len(x)) for x in sets]
    shuffled = SetCollection.from_sets(
        [x[order] for x, order in zip(sets, orders)],
        positions=[s[order] for s, order in zip(positions, orders)],
    )
    assert_allclose(model.transform(shuffled), model.transform(X), atol=1e-9)
    refitted = clone(model).fit(shuffled)
    assert_allclose(refitted.transform(X), model.transform(X), atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("references", "n_references"),
    [("kmeans", 1), ("kmeans", 2), ("barycenter", 1), ("barycenter", 2), ("random", 2)],
)
def test_supports_are_put_in_order(references, n_references):
    """Elements drift along the line: so must the supports."""
    rng = np.random.default_rng(0)
    s = np.sort(rng.uniform(size=(40, 200)), axis=1)
    X = [np.column_stack([t, 0.02 * rng.normal(size=200)]) for t in s]
    model = make_model(
        references=references, n_references=n_references, tol=1e-3, max_iter=1000
    ).fit(X)
    # Supports live among the features: ask each for the element most like it.
    probe = np.column_stack([np.linspace(0, 1, 101), np.zeros(101)])
    features = features_of(model, probe)
    for reference in model.references_:
        nearest = (features @ reference.T).argmax(axis=0)
        assert (np.diff(nearest) >= -6).all()
        margin = 40 if references == "random" else 20
        assert nearest[0] < margin
        assert nearest[-1] > 100 - margin


def test_supports_are_put_in_order_on_a_grid():
    rng = np.random.default_rng(0)
    places = np.array([((i + 1) / 12, (j + 1) / 12) for i in range(12) for j in range(12)])
    ninths = np.ceil(places * 3 - 1e-9) / 3 - 1 / 6  # the middle of each
    images = (ninths + 0.01 * rng.normal(size=(30, 144, 2))).reshape(30, 12, 12, 2)
    model = make_model().fit(images)
    nearest = places[(features_of(model, places) @ model.references_[0].T).argmax(axis=0)]
    # Each ninth of the image has the support of its place on the grid.
    assert_array_equal(np.ceil(nearest * 3 - 1e-9), np.array(SQUARE_GRID) * 3)


def features_of(model, elements):
    """Features of single elements: the linear way to see a support."""
    probe = OTKEmbedding(
        anchors=model.anchors_,
        gamma=model.gamma_,
        references=np.zeros((1, 1, len(model.anchors_))),
        n_components=len(model.anchors_),
    ).fit([elements])
    return probe.transform([[x] for x in elements])


@pytest.mark.pairwise(
    (("position", "sigma"), [("hard", 1e-3), ("gaussian", 1e-300)]),
    ("solver", ["sinkhorn", "softmax", "emd"]),
    ("dtype", [np.float32, np.float64]),
)
def test_without_partners(position, sigma, solver, dtype):
    """Supports that no element is near to hold zeros; elements near none are left out."""
    sets = make_sets(max_length=7, dtype=dtype)
    model = make_model(position=position, position_sigma=sigma, solver=solver).fit(sets)
    for x, row, plan in zip(sets, model.transform(sets), model.transport_plan(sets)):
        alone = np.array([[abs(i / len(x) - j / 9) >= 1e-3 for j in range(9)]
                          for i in range(len(x))])  # fmt: skip
        assert_array_equal(plan[0][alone], 0)
        assert_array_equal(row.reshape(9, -1)[alone.all(axis=0)], 0)
        assert np.isfinite(row).all()
        assert row.any()  # the first element and the first support are at 0


def test_everywhere_near_is_no_position(sets):
    plain = make_model(position=None, tol=1e-9, max_iter=10_000).fit(sets)
    wide = make_model(
        references=plain.references_, position_sigma=1e6, tol=1e-9, max_iter=10_000
    ).fit(sets)
    assert_allclose(wide.transform(sets), plain.transform(sets), atol=1e-7)
    hard = wide.set_params(position="hard", position_sigma=1.1)
    assert_allclose(hard.transform(sets), plain.transform(sets), atol=1e-7)


def test_float32_threads_and_chunks(sets):
    model = make_model(tol=1e-5, max_iter=10_000).fit(sets)
    sets32 = [x.astype(np.float32) for x in sets]
    exact = [x.astype(float) for x in sets32]
    Xt = model.transform(sets32)
    assert Xt.dtype == np.float32
    assert_allclose(Xt, model.transform(exact), atol=2e-4)
    threads = clone(model).set_params(n_jobs=2).fit(sets * 50)
    one = clone(model).fit(sets * 50)
    assert_array_equal(threads.transform(sets * 50), one.transform(sets * 50))
    alone = [model.transform([x])[0] for x in sets]
    assert_allclose(alone, model.transform(sets), atol=1e-10)


def make_sequences(n_sets, seed):
    """Sequences of the same four kinds of steps; classes differ only in their order."""
    rng = np.random.default_rng(seed)
    kinds = 2 * rng.normal(size=(4, 5))
    orders = [[0, 1, 2, 3], [2, 0, 3, 1]]
    y = np.arange(n_sets) % 2
    repeats = rng.integers(3, 8, n_sets)
    steps = [np.repeat(kinds[orders[label]], r, axis=0) for label, r in zip(y, repeats)]
    return [x + 0.3 * rng.normal(size=x.shape) for x in steps], y


def test_order_matters_where_it_should():
    X, y = make_sequences(120, seed=0)
    params = {"n_supports": 8, "n_components": 16, "random_state": 0}
    scores = {}
    for name, model in {
        "plain": OTKEmbedding(**params),
        "gaussian": OTKEmbedding(**params, position="gaussian"),
        "hard": OTKEmbedding(**params, position="hard", position_sigma=0.15),
        "windows": OTKEmbedding(**params, filter_size=3),
    }.items():
        pipeline = make_pipeline(model, LogisticRegression())
        scores[name] = cross_val_score(pipeline, X, y, cv=5).mean()
    assert scores["plain"] < 0.65
    assert min(scores["gaussian"], scores["hard"], scores["windows"]) > 0.95


def test_errors_and_warnings(sets):
    images = np.random.default_rng(0).normal(size=(5, 4, 6, 3))
    model = make_model(n_supports=10)
    with pytest.raises(
        ValueError, match="10 supports, and positions on 2 axes; expected a"
    ):
        model.fit(images)
    assert not hasattr(model, "references_")
    with pytest.raises(ValueError, match="There are 10 supports"):
        make_model(references=np.ones((1, 10, 16))).fit(images)
    model = make_model().fit(images)
    line = images.reshape(5, 24, 3)
    with pytest.raises(
        ValueError, match="X has positions on 1 axes; expected 2, as in fit"
    ):
        model.transform(line)
    model.set_params(position=None).transform(line)
    with pytest.raises(ValueError, match="X has positions on 2 axes; expected 1"):
        make_model().fit(line).transform(images)
    positions = [np.linspace(0, 1, len(x)) for x in sets]
    positions[3] = 100 * positions[3]
    far = SetCollection.from_sets(sets, positions=positions)
    with pytest.warns(UserWarning, match=r"outside of \[0, 1\].*in set 3 \(element 1\)"):
        make_model().fit(far)


def test_positions_given_only_here_or_only_in_fit(sets):
    counted = [np.arange(len(x)) / len(x) for x in sets]
    timed = SetCollection.from_sets(sets, positions=[np.sqrt(s) for s in counted])
    plain = SetCollection.from_sets(sets)
    model = make_model().fit(timed)
    model.transform(timed[:1])
    message = "X has no positions, .* counted, i / n; the sets of fit had positions. Expec"
    with pytest.warns(UserWarning, match=message) as caught:
        found = model.transform(plain)
    assert caught[0].filename == __file__
    assert not np.allclose(found, model.transform(timed))
    model._positions_given = None  # as of layers of PyTorch
    model.transform(plain)
    del model._positions_given  # as of models that earlier versions have stored
    model.transform(plain)
    ignored = make_model(position=None).fit(timed)
    ignored.transform(plain)
    empty = make_model(empty_sets="zero").fit(timed).transform([])
    assert empty.shape == (0, 9 * 16)
    model = make_model().fit(plain)
    with pytest.warns(UserWarning, match="X has positions; the sets of fit had none, whe"):
        model.transform(timed)
