"""Sets matched block by block: against the ordinary way, and a plain version."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.embeddings._state import fitted_state
from otk_sklearn.matching import _streaming
from otk_sklearn.matching._streaming import StreamedMatching, is_streamed

N_ELEMENTS, N_FEATURES = 3000, 3


def one_set(seed=0, weighted=False, n_axes=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    # Sorted: the first elements are unlike the others.
    values = np.sort(rng.standard_normal((N_ELEMENTS, N_FEATURES)), axis=0).astype(dtype)
    weights = rng.integers(0, 4, N_ELEMENTS) * 1.0 if weighted else None
    positions = rng.random((N_ELEMENTS, n_axes)) if n_axes else None
    return SetCollection(values, [0, N_ELEMENTS], weights=weights, positions=positions)


@functools.cache
def fitted(n_axes=0, **params):
    rng = np.random.default_rng(1)
    values = rng.standard_normal((200, N_FEATURES))
    positions = rng.random((200, n_axes)) if n_axes else None
    sets = SetCollection(values, range(0, 201, 20), positions=positions)
    defaults = {"n_supports": 4, "n_components": 12, "epsilon": 0.3, "random_state": 0}
    defaults |= {"tol": 1e-12, "max_iter": 2000}
    return OTKEmbedding(**defaults | params).fit(sets)


def streamed(model, sets, monkeypatch, block_rows=300):
    """The embedding by blocks, and how the set was matched."""
    rows = property(lambda self: block_rows)
    monkeypatch.setattr(StreamedMatching, "_block_rows", rows)
    state = fitted_state(model)
    out = np.empty((1, state.references.size), sets.dtype)
    return out, state.embed_streamed(state.windows_of(sets), out)


CASES = [
    {},
    {"n_references": 2},
    {"kernel": "homogeneous"},
    {"kernel": "linear"},
    {"solver": "softmax"},
    {"relaxation": 0.2},
    {"relaxation": 20.0},
    {"support_relaxation": 0.2},
    {"support_relaxation": 20.0},
    {"position": "gaussian", "position_sigma": 0.5},
    {"position": "hard", "position_sigma": 0.4, "n_axes": 2},
    {"filter_size": 3},
    {"filter_size": 4, "padding": "same"},
    {"epsilon": 0.02},
    {"filter_size": 3, "position": "gaussian", "relaxation": 1.0},
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("params", CASES, ids=str)
def test_is_the_ordinary_embedding(params, weighted, monkeypatch):
    model = fitted(**params)
    sets = one_set(weighted=weighted, n_axes=params.get("n_axes", 0))
    expected = model.transform(sets)
    out, plan = streamed(model, sets, monkeypatch)
    assert_allclose(out, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    assert plan.residual.max() < 1e-12
    other, _ = streamed(model, sets, monkeypatch, block_rows=1111)
    assert_allclose(out, other, rtol=0, atol=1e-10 * np.abs(expected).max())


def plain_embedding(features, supports, epsilon, n_iter):
    """Sinkhorn in the log domain, of equal masses; ends with the supports."""
    n, p = len(features), len(supports)
    exponents = features @ supports.T / epsilon
    log_v = np.zeros(p)
    for _ in range(n_iter):
        log_u = -logsumexp(exponents + log_v - np.log(p), axis=1)
        log_v = -logsumexp(exponents + log_u[:, np.newaxis] - np.log(n), axis=0)
    plan = np.exp(exponents + log_u[:, np.newaxis] + log_v) / (n * p)
    return p * plan.T @ features


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.02, 0.3])
def test_is_a_plain_version(epsilon, monkeypatch):
    model = fitted(kernel="linear", epsilon=epsilon)
    sets = one_set()
    expected = plain_embedding(sets.values, model.references_[0], epsilon, 4000)
    out, _ = streamed(model, sets, monkeypatch)
    assert_allclose(out.reshape(expected.shape), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_sampled", [5, 50, 500])
def test_residual_is_a_bound_of_the_true_one(n_sampled, monkeypatch):
    """Of the plan after one pass, from scalings that are solved for few elements."""
    model, sets = fitted(kernel="linear"), one_set()
    scalings = []
    monkeypatch.setattr(_streaming, "_SAMPLE_ELEMENTS", n_sampled)
    update = _streaming.SupportScalings.update
    monkeypatch.setattr(
        _streaming.SupportScalings,
        "update",
        lambda self, *args: scalings.append(self.log_w.copy()) or update(self, *args),
    )
    state = fitted_state(model)
    state = replace(state, transport=replace(state.transport, max_iter=1))
    out = np.empty((1, state.references.size))
    bound = StreamedMatching(state, np.dtype(float)).embed_set(sets, out).residual
    exponents = sets.values @ model.references_[0].T / model.epsilon + scalings[0]
    plan = np.exp(exponents - logsumexp(exponents, axis=1, keepdims=True)) / N_ELEMENTS
    plan /= 4 * plan.sum(axis=0)
    residual = np.abs(plan.sum(axis=1) - 1 / N_ELEMENTS).sum()
    assert 1e-6 < residual <= bound[0, 0] < 3 * residual + 1e-12
    assert_allclose(out.reshape(4, 3), 4 * plan.T @ sets.values, rtol=0, atol=1e-12)


def test_starts_from_a_sample_and_takes_few_passes(monkeypatch):
    model, sets = fitted(tol=1e-6), one_set()
    _, plan = streamed(model, sets, monkeypatch)
    assert plan.n_passes == 1  # all elements are in the sample
    monkeypatch.setattr(_streaming, "_SAMPLE_ELEMENTS", 20)
    _, plan = streamed(model, sets, monkeypatch)
    assert 1 < plan.n_passes <= 4
    assert plan.residual.max() < 1e-6


@pytest.mark.parametrize("solver", ["softmax", "sinkhorn"])
def test_float32(solver, monkeypatch):
    model = fitted(solver=solver, tol=1e-4)
    expected = model.transform(one_set())
    out, _ = streamed(model, one_set(dtype=np.float32), monkeypatch)
    assert out.dtype == np.float32
    assert_allclose(out, expected, rtol=0, atol=3e-4 * np.abs(expected).max())


def test_threads_change_nothing(monkeypatch):
    results = []
    for n_jobs in (1, 2):
        model = sklearn.clone(fitted()).set_params(n_jobs=n_jobs)
        model.fit(one_set(seed=3).values.reshape(30, 100, 3))
        results.append(streamed(model, one_set(), monkeypatch)[0])
    assert_array_equal(*results)


def test_sets_that_exceed_the_working_memory_are_streamed(monkeypatch):
    monkeypatch.setattr(_streaming, "_SAMPLE_ELEMENTS", 200)
    model, large = fitted(), one_set()
    small = [x.copy() for x in np.split(large.values[:60], 6)]
    sets = SetCollection.from_sets([*small[:2], large.values, *small[2:]])
    expected = model.transform(sets)
    called = []
    embed_set = StreamedMatching.embed_set
    monkeypatch.setattr(
        StreamedMatching,
        "embed_set",
        lambda self, *args: called.append(1) or embed_set(self, *args),
    )
    assert not called
    with sklearn.config_context(working_memory=0.05):
        assert is_streamed(fitted_state(model), sets).tolist() == [0, 0, 1, 0, 0, 0, 0]
        embedded = model.transform(sets)
        diagnostics = model.sinkhorn_diagnostics(sets)
    assert len(called) == 2
    assert_allclose(embedded, expected, rtol=0, atol=1e-9)
    assert diagnostics.residual.shape == diagnostics.n_iter.shape == (7, 1)
    assert (diagnostics.residual < 1e-12).all()


def test_exact_plans_and_plain_iterations_are_not_streamed():
    sets = SetCollection(np.zeros((10**6, N_FEATURES), np.float32), [0, 10**6])
    with sklearn.config_context(working_memory=1):
        assert is_streamed(fitted_state(fitted()), sets).all()
        assert not is_streamed(fitted_state(fitted(solver="emd")), sets).any()
        assert not is_streamed(fitted_state(fitted(tol=0)), sets).any()
