"""Compiled functions against NumPy, and the extrapolated iterations against plain ones."""

import ast
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
import pytest
from helpers import plain_features, plain_plan
from numba.core.caching import CacheImpl
from numpy.testing import assert_allclose, assert_array_equal

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn._compiled import pooling, primitives
from otk_sklearn.datasets import load_digit_points
from otk_sklearn.sets._equality import group_equal_rows
from otk_sklearn.transport._problem import Transport
from otk_sklearn.transport._solvers import solve_plans

COMPILED = Path(primitives.__file__).parent


@numba.njit
def exp_of(values, out):
    for i in range(len(values)):
        out[i] = primitives.exp(values[i])


@numba.njit
def log_of(values, out):
    for i in range(len(values)):
        out[i] = primitives.log(values[i])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential(dtype):
    lowest = dtype(np.log(np.finfo(dtype).tiny))
    x = np.concatenate([np.linspace(lowest * dtype(0.9999), 4, 100_001), [0, -1e-9, 1e-9]])
    x = x.astype(dtype)
    found = np.empty_like(x)
    exp_of(x, found)
    expected = np.exp(x.astype(np.longdouble))
    assert_allclose(found / expected, 1, rtol=0, atol=1.3 * np.finfo(dtype).eps)
    gone = np.array([lowest * dtype(1.001), -1e30, -np.inf], dtype)
    exp_of(gone, found)
    assert_array_equal(found[:3], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_of_the_exponential(dtype):
    """What is compiled, one value at a time in Python."""
    exp = primitives._compiled_exp(numba.from_dtype(np.dtype(dtype)))
    lowest = dtype(np.log(np.finfo(dtype).tiny))
    x = np.linspace(lowest * dtype(0.9999), 4, 1001).astype(dtype)
    found = np.array([exp(value) for value in x])
    assert found.dtype == dtype
    expected = np.exp(x.astype(np.longdouble))
    assert_allclose(found / expected, 1, rtol=0, atol=1.3 * np.finfo(dtype).eps)
    assert exp(lowest * dtype(1.001)) == 0


def test_logarithm():
    x = np.exp(np.linspace(-700, 700, 100_001))
    x = np.concatenate([x, 1 + np.linspace(-1e-3, 1e-3, 1001), [1.0]])
    found = np.empty_like(x)
    log_of(x, found)
    assert_allclose(found, np.log(x), rtol=1e-15, atol=3e-16)
    assert found[-1] == 0


def test_functions_are_compiled_where_no_cache_can_be_written(monkeypatch):
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    double = primitives.jit(lambda x: 2 * x)
    assert double(3) == 6
    assert len(double.signatures) == 1


def random_similarities(random):
    """Similarities of one set, of any size and make, and its masses."""
    n = random.choice([1, 2, 3, 5, 8, 15, 40, 150, 300])
    p = random.choice([1, 2, 3, 5, 10, 30])
    kind = random.integers(4)
    if kind == 0:
        S = 0.3 * random.normal(size=(n, p))
    elif kind == 1:
        x, z = random.normal(size=(n, 1, 3)), random.normal(size=(p, 3))
        S = np.exp(-((x - z) ** 2).sum(axis=2))
    elif kind == 2:
        S = random.integers(0, 3, size=(n, p)) * 0.5  # ties
    else:
        groups = random.normal(size=(max(2, p // 2), 8))
        x = groups[random.integers(len(groups), size=n)] + 0.1 * random.normal(size=(n, 8))
        z = groups[random.integers(len(groups), size=p)] + 0.1 * random.normal(size=(p, 8))
        S = x @ z.T / np.sqrt((x**2).sum(axis=1)[:, np.newaxis] * (z**2).sum(axis=1))
    masses = random.exponential(size=n) + 1e-3 if random.random() < 0.5 else np.ones(n)
    return S, masses / masses.sum()


def plain_passes(S, masses, epsilon, tol, max_iter):
    """Sinkhorn's passes until the error is below tol, in NumPy, and whether it ever was."""
    K = np.exp((S - S.max(axis=1, keepdims=True)) / epsilon)
    w = np.full(S.shape[1], 1 / S.shape[1])
    for n_passes in range(1, max_iter + 1):
        shares = masses / (K @ w)
        w = 1 / S.shape[1] / (K.T @ shares)
        if np.abs(shares * (K @ w) - masses).sum() < tol:
            return n_passes, True
    return max_iter, False


def solve(S, masses, epsilon, tol, max_iter, dtype=np.float64, relaxation=None):
    similarities = np.ascontiguousarray(S.T[np.newaxis]).astype(dtype)
    offsets = np.array([0, len(S)])
    transport = Transport("sinkhorn", epsilon, relaxation, max_iter, tol)
    return solve_plans(similarities, np.zeros(1), offsets, masses, transport)


@pytest.mark.parametrize("epsilon", [0.003, 0.01, 0.03, 0.1, 0.3])
def test_extrapolation_is_never_worse_than_plain_iterations(epsilon):
    """No set is left that plain iterations solve, and hardly one takes more of them."""
    random = np.random.default_rng(0)
    passes = []
    for _ in range(150):
        S, masses = random_similarities(random)
        tol, max_iter = random.choice([1e-2, 1e-4]), random.choice([100, 2000])
        n_plain, converged = plain_passes(S, masses, epsilon, tol, max_iter)
        found = solve(S, masses, epsilon, tol, int(max_iter))
        passes.append([n_plain, found.n_iter[0, 0]])
        error = np.abs(found.plan[0].sum(axis=0) - masses).sum()
        assert_allclose(found.residual, error, rtol=1e-6, atol=1e-14)
        assert_allclose(found.plan[0].sum(axis=1), 1 / S.shape[1], rtol=1e-12)
        if converged:
            assert error < tol
            assert found.n_iter[0, 0] <= 1.5 * n_plain + 5
    plain, ours = np.mean(passes, axis=0)
    assert ours <= plain + 0.5  # which stops on an error that is known half a pass later
    if epsilon <= 0.01:
        assert ours < plain / 3


@pytest.mark.slow
@pytest.mark.parametrize("n_supports", [10, 30])
def test_extrapolation_on_digits(n_supports):
    X = [(x - x.mean(axis=0)) / x.std(axis=0) for x in load_digit_points()[0][:200]]
    X = [np.ascontiguousarray(x) for x in X]
    model = OTKEmbedding(n_supports, n_components=100, epsilon=0.01, random_state=0)
    model.set_params(tol=1e-4, max_iter=100_000).fit(X)
    found = model.sinkhorn_diagnostics(X)
    assert (found.residual < 1e-4).all()
    passes = []
    for x in X[:40]:
        psi = plain_features("rbf", model.gamma_, model.anchors_, model.damping, x)
        masses = np.full(len(x), 1 / len(x))
        S = psi @ model.references_[0].T
        passes.append(plain_passes(S, masses, 0.01, 1e-4, 10_000)[0])
    assert found.n_iter[:40].mean() < np.mean(passes) / 3


@pytest.mark.pairwise(
    ("n_supports", [1, 3, 4, 7]),
    ("n_elements", [1, 15, 16, 17, 255, 256, 257, 700]),
    (("dtype", "atol"), [(np.float32, 1e-5), (np.float64, 1e-12)]),
)
def test_plans_of_sets_on_the_edges_of_blocks(n_elements, n_supports, dtype, atol):
    random = np.random.default_rng(0)
    S = random.normal(size=(n_elements, n_supports))
    masses = random.uniform(0.1, 1, size=n_elements)
    masses /= masses.sum()
    found = solve(S, masses, 0.5, 0.0, 7, dtype)
    expected = plain_plan(S, masses, solver="sinkhorn", epsilon=0.5, max_iter=7)
    assert_allclose(found.plan[0].T, expected, rtol=0, atol=atol / n_supports)
    assert found.n_iter == 7


@pytest.mark.parametrize("relaxation", [None, 0.1])
def test_scalings_that_leave_the_range_are_found_in_logarithms(relaxation):
    """Every exponent is a normal number, and yet one support gets next to nothing."""
    random = np.random.default_rng(0)
    S = random.uniform(-1, 0, size=(20, 3))
    S[:, 2] -= 60
    masses = np.full(20, 1 / 20)
    params = {"epsilon": 0.1, "max_iter": 30, "relaxation": relaxation}
    found = solve(S, masses, tol=0.0, **params)
    expected = plain_plan(S, masses, solver="sinkhorn", **params)
    assert_allclose(found.plan[0].T, expected, rtol=1e-8, atol=1e-12)
    assert found.solved.all()
    # float32 leaves them to float64.
    S[:, 2] += 10
    assert not solve(S / 10, masses, tol=0.0, dtype=np.float32, **params).solved.any()


def test_extrapolation_in_logarithms():
    """Exponents down to -1,000: plain iterations are far from done when it is."""
    random = np.random.default_rng(0)
    S, masses = 3 * random.normal(size=(30, 4)), random.exponential(size=30)
    masses /= masses.sum()
    found = solve(S, masses, epsilon=0.01, tol=1e-9, max_iter=1000)
    assert found.residual < 1e-9
    params = {"solver": "sinkhorn", "epsilon": 0.01}
    expected = plain_plan(S, masses, max_iter=4000, **params)
    assert np.abs(expected.sum(axis=1) - masses).sum() < 1e-12
    assert_allclose(found.plan[0].T, expected, rtol=0, atol=1e-9)
    plain = plain_plan(S, masses, max_iter=2 * found.n_iter[0, 0], **params)
    assert np.abs(plain.sum(axis=1) - masses).sum() > 0.1


@pytest.mark.pairwise(
    ("n_components", [3, 200]),
    ("adding", [False, True]),
    ("dtype", [np.float32, np.float64]),
)
def test_pooling_is_a_matrix_product(n_components, adding, dtype):
    """Of each set; the large ones are left to BLAS."""
    random = np.random.default_rng(0)
    offsets = np.array([0, 1, 100, 130])
    plan = random.uniform(size=(5, 130)).astype(dtype)
    features = random.normal(size=(130, n_components)).astype(dtype)
    pooled = random.normal(size=(3, 5, n_components)).astype(dtype)
    before = pooled if adding else np.zeros_like(pooled)
    expected = before + np.stack(
        [plan[:, start:stop] @ features[start:stop] for start, stop in pairwise(offsets)]
    )
    pooling.pool(plan, features, offsets, adding, pooled)
    assert_allclose(pooled, expected, rtol=0, atol=200 * np.finfo(dtype).eps)


def test_plans_of_one_chunk_outlive_the_next():
    """Workers use their arrays again."""
    random = np.random.default_rng(0)
    lengths = random.integers(1, 40, size=2000)
    values = random.normal(size=(lengths.sum(), 3))
    X = SetCollection(values, np.concatenate([[0], np.cumsum(lengths)]))
    model = OTKEmbedding(4, n_components=8, random_state=0).fit(X)
    plans, out = model.transport_plan(X), model.transform(X)
    for i in [0, 7, 999, 1999]:
        assert_allclose(model.transport_plan([X[i]])[0], plans[i], rtol=1e-10, atol=1e-14)
        assert_allclose(model.transform([X[i]])[0], out[i], rtol=1e-10)


@pytest.mark.pairwise(
    ("values", [3, 10**6]),
    ("n_columns", [1, 2, 3]),
    ("dtype", [np.float32, np.float64]),
)
def test_equal_rows_are_grouped(values, n_columns, dtype):
    """With few values, the first bytes of rows don't tell them apart."""
    random = np.random.default_rng(0)
    rows = random.integers(-values, values, size=(300, n_columns)).astype(dtype)
    rows[rows == 0] *= random.choice([-1, 1], size=(rows == 0).sum())  # zeros of both signs
    first, label = group_equal_rows(rows)
    assert_array_equal(rows[first][label], rows)
    assert len(first) == len(np.unique(rows, axis=0))
    # The order depends on the rows alone.
    shuffled = random.permutation(rows)
    assert_array_equal(shuffled[group_equal_rows(shuffled)[0]], rows[first])


def test_entry_points_are_called_by_no_other_compiled_function():
    """Others are inlined: not inlined, results would depend on what was compiled before."""
    trees = [ast.parse(path.read_text()) for path in COMPILED.glob("*.py")]
    functions = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    entry_points = {
        function.name
        for function in functions
        if any(getattr(d, "id", None) == "jit" for d in function.decorator_list)
    }
    called = {
        call.func.id
        for function in functions
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    assert entry_points
    assert not entry_points & called
