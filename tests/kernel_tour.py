"""A tour of the compiled functions: each of them, on every branch, against plain results.

`test_safety.py` runs it in a process in which numba checks the bounds of arrays.
"""

import itertools

import numba
import numpy as np
import pytest
import sklearn
from helpers import make_sets, plain_embedding, plain_plan, plain_support_positions
from numpy.testing import assert_allclose

from otk_sklearn import (
    OTKEmbedding,
    SetCollection,
    SlicedWassersteinEmbedding,
)
from otk_sklearn._compiled import features, implicit_gradient, pooling, sinkhorn
from otk_sklearn._compiled.primitives import jit
from otk_sklearn.embeddings._state import fitted_state
from otk_sklearn.supervised._losses import SoftmaxLoss
from otk_sklearn.supervised._objective import Objective, parameter_scales, parameters_of
from otk_sklearn.supervised._problem import Problem
from otk_sklearn.transport._problem import Transport
from otk_sklearn.transport._solvers import solve_plans

# On the edges of blocks and vectors, and beyond where BLAS takes over.
LENGTHS = [1, 15, 16, 17, 255, 256, 257, 700]


@jit
def item(values, i):
    return values[i]


def check_that_bounds_are_checked():
    assert item(np.ones(3), 2) == 1
    with pytest.raises(IndexError):
        item(np.ones(3), 3)
    rows, one = np.ones((3, 4)), np.ones(3)
    with pytest.raises(IndexError):  # in the package's own, too
        features.center_rows(rows, one, np.ones(3), 1.0, rows.copy(), one.copy())


def solved(similarities, transport, dtype):
    """Plans of sets of all lengths, to as many references, side by side with plain ones."""
    random = np.random.default_rng(0)
    masses = [random.uniform(0.1, 1, n) for n in LENGTHS]
    masses = np.concatenate([m / m.sum() for m in masses])
    offsets = SetCollection(masses[:, np.newaxis], np.cumsum([0, *LENGTHS])).offsets
    plans = solve_plans(
        similarities.astype(dtype), np.zeros(len(LENGTHS)), offsets, masses, transport
    )
    for s, (start, stop) in enumerate(itertools.pairwise(offsets)):
        for r in range(len(similarities)):
            plan, of_set = plans.plan[r, :, start:stop].T, masses[start:stop]
            yield plan, similarities[r, :, start:stop].T, of_set, plans, (s, r)


def check_plans(dtype, n_supports):
    random = np.random.default_rng(n_supports)
    similarities = random.normal(size=(2, n_supports, sum(LENGTHS)))
    exact = {"rtol": 0, "atol": (1e-5 if dtype == np.float32 else 1e-12) / n_supports}
    for penalty in [{}, {"relaxation": 0.3}, {"support_relaxation": 0.3}]:
        for scale in [1.0, 100.0, 400.0]:  # the last ones need the log domain
            params = {"solver": "sinkhorn", "epsilon": 0.5, "max_iter": 7, **penalty}
            transport = Transport(**{"relaxation": None, "tol": 0.0, **params})
            for plan, S, masses, plans, (s, _) in solved(
                scale * similarities, transport, dtype
            ):
                if plans.solved[s]:
                    expected = plain_plan(S, masses, **params)
                    assert_allclose(plan, expected, **exact)
                else:
                    assert dtype == np.float32
    # Easy and hard ones until they have converged, some of them by extrapolation.
    for epsilon in [0.5, 0.05, 0.002]:
        transport = Transport("sinkhorn", epsilon, None, 300, 1e-5)
        for plan, _, masses, plans, (s, r) in solved(similarities, transport, dtype):
            if plans.solved[s]:
                assert_allclose(plan.sum(axis=0), 1 / n_supports, rtol=1e-4)
                error = np.abs(plan.sum(axis=1) - masses).sum()
                assert_allclose(plans.residual[s, r], error, rtol=0.02, atol=1e-5)
                assert error < 2e-5 or plans.n_iter[s, r] == 300


def check_embeddings(**params):
    """Of sets that are worked on in one piece, and in many."""
    model = OTKEmbedding(
        **{
            "n_supports": 9,
            "n_components": 10,
            "epsilon": 0.5,
            "max_iter": 7,
            "tol": 0,
            "random_state": 0,
            **params,
        }
    )
    random = np.random.default_rng(0)
    X = SetCollection.from_sets([random.normal(size=(n, 3)) for n in LENGTHS])
    model.fit(X)
    supports = plain_support_positions(model.n_supports, 1)
    expected = [
        plain_embedding(model, x, None, np.arange(len(x))[:, None] / len(x), supports)
        for x in X
    ]
    for dtype, tolerance in [(np.float64, 1e-9), (np.float32, 1e-3)]:
        for working_memory in [1024, 0.01]:
            with sklearn.config_context(working_memory=working_memory):
                found = model.transform(X.astype(dtype))
            scale = np.abs(expected).max()
            assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def check_pool(dtype):
    """To what is there, or anew; by loops, and by BLAS."""
    random = np.random.default_rng(0)
    plan = random.normal(size=(9, sum(LENGTHS))).astype(dtype)
    features = random.normal(size=(sum(LENGTHS), 10)).astype(dtype)
    offsets = np.cumsum([0, *LENGTHS])
    products = [
        plan[:, start:stop] @ features[start:stop]
        for start, stop in itertools.pairwise(offsets)
    ]
    for adding in [False, True]:
        pooled = np.ones((len(LENGTHS), 9, 10), dtype)
        pooling.pool(plan, features, offsets, adding, pooled)
        assert_allclose(pooled, np.array(products) + adding, rtol=0, atol=1e-3)


def check_windows():
    """Features of windows are those of elements that have been put together by hand."""
    X = make_sets(5, n_features=2, max_length=9)
    for padding, front in [("same", 1), ("valid", 0)]:
        windows = []
        for x in X:
            n = len(x) if padding == "same" else max(len(x) - 3, 1)
            rows = np.concatenate([np.zeros((front, 2)), x, np.zeros((4, 2))])
            windows.append(np.array([rows[i : i + 4].ravel() for i in range(n)]))
        model = OTKEmbedding(3, n_components=4, max_iter=20, tol=0, random_state=0)
        expected = model.fit(windows).transform(windows)
        given = {"anchors": model.anchors_, "references": model.references_}
        model.set_params(filter_size=4, padding=padding, gamma=model.gamma_, **given)
        assert_allclose(model.fit(X).transform(X), expected, rtol=1e-9, atol=1e-12)


def check_gradients(dtype, **params):
    """Slopes along a line."""
    random = np.random.default_rng(0)
    values = [random.normal(size=(n, 2)) for n in [1, 3, 17, 30, 700]]
    sets = SetCollection.from_sets([x.astype(dtype) for x in values])
    embedding = OTKEmbedding(
        **{
            "n_supports": 9,
            "n_components": 10,
            "epsilon": 0.5,
            "max_iter": 200,
            "tol": 0,
            "random_state": 0,
            **params,
        }
    ).fit(sets)
    targets = np.eye(3)[[0, 1, 2, 0, 1]]
    problem = Problem(sets, targets, np.ones(5), SoftmaxLoss(), alpha=0.1)
    coef = random.normal(size=(3, embedding.references_.size))
    state = fitted_state(embedding)
    start = parameters_of(state, coef, np.zeros(3))
    scales = parameter_scales(state, embedding.transform(sets))
    trainable = ("references", "anchors", "gamma")
    objective = Objective(state, start, problem, trainable, False, scales)
    flat = objective.start
    direction = random.normal(size=len(flat))
    step = 1e-4 if dtype == np.float64 else 1e-2
    ahead, _ = objective(flat + step * direction)
    back, _ = objective(flat - step * direction)
    _, gradient = objective(flat)
    slope = (ahead - back) / (2 * step)
    assert_allclose(gradient @ direction, slope, rtol=1e-4 if step == 1e-4 else 0.05)


def check_quantiles():
    """Bins that divide the lengths, and bins finer and coarser than these."""
    sets = [x[:, :1] for x in make_sets(n_sets=3)] + [
        np.arange(n)[:, None] for n in LENGTHS
    ]
    for n_bins in [1, 16, 1000]:
        model = SlicedWassersteinEmbedding(1, n_quantiles=n_bins, random_state=0).fit(sets)
        sign = model.projections_[0, 0]
        expected = []
        for x in sets:
            # Elements repeated until each bin has as many.
            values = np.repeat(np.sort(sign * x[:, 0]), n_bins).reshape(n_bins, -1)
            expected.append((values.mean(axis=1) - model.reference_[0]) / np.sqrt(n_bins))
        assert_allclose(model.transform(sets), expected, atol=1e-9)


def check_that_all_were_called():
    for module in [features, implicit_gradient, pooling, sinkhorn]:
        for name, function in vars(module).items():
            if isinstance(function, numba.core.registry.CPUDispatcher):
                assert function.signatures, name


def run():
    check_that_bounds_are_checked()
    for dtype in [np.float32, np.float64]:
        for n_supports in range(1, 10):
            check_plans(dtype, n_supports)
        check_pool(dtype)
    for params in [
        {},
        {"kernel": "homogeneous", "n_references": 2, "references": "random"},
        {"kernel": "linear", "position": "hard", "position_sigma": 0.3},
        {"position": "gaussian", "relaxation": 0.5},
        {"solver": "softmax"},
    ]:
        check_embeddings(**params)
    check_windows()
    check_quantiles()
    for dtype in [np.float32, np.float64]:
        check_gradients(dtype)
        check_gradients(dtype, kernel="homogeneous", solver="softmax", filter_size=2)
        check_gradients(dtype, relaxation=0.5, position="gaussian")
    check_that_all_were_called()


if __name__ == "__main__":
    run()
