"""Plans against POT and plain NumPy."""

from itertools import pairwise

import numpy as np
import ot
import pytest
from helpers import log_sum_exp, plain_plan
from numpy.testing import assert_allclose

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.transport._problem import Transport
from otk_sklearn.transport._solvers import plan_values, solve_plans

EPSILONS = [1e-3, 1e-2, 0.1, 1.0, 10.0]
SHAPES = [(1, 1), (1, 7), (5, 50), (30, 10), (500, 3), (500, 50)]


def make_problem(n_elements, n_supports, weighted, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_elements, 5))
    z = rng.normal(size=(n_supports, 5))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    masses = rng.uniform(0.1, 1, n_elements) if weighted else np.ones(n_elements)
    return x, z, masses / masses.sum()


def plan_of(x, z, masses, dtype=np.float64, **params):
    model = OTKEmbedding(kernel="linear", references=z[None], **params)
    X = SetCollection(x.astype(dtype), [0, len(x)], weights=masses)
    return model.fit(X).transport_plan(X)[0][0]


def pot_plan(x, z, masses, epsilon, n_iter, tol=0):
    """POT's log-domain Sinkhorn on the transposed problem: it ends on the first side."""
    supports = np.full(len(z), 1 / len(z))
    plan = ot.bregman.sinkhorn_log(
        supports, masses, -z @ x.T, epsilon, numItermax=n_iter, stopThr=tol, warn=False
    )
    return plan.T


@pytest.mark.pairwise(
    ("epsilon", EPSILONS),
    ("shape", SHAPES),
    ("weighted", [False, True]),
)
def test_sinkhorn_is_that_of_pot_at_equal_iterations(epsilon, shape, weighted):
    x, z, masses = make_problem(*shape, weighted)
    pot = pot_plan(x, z, masses, epsilon, 20)
    ours = plan_of(x, z, masses, epsilon=epsilon, max_iter=20, tol=0)
    plain = plain_plan(x @ z.T, masses, solver="sinkhorn", epsilon=epsilon, max_iter=20)
    assert_allclose(ours, pot, rtol=0, atol=1e-8 / shape[1])
    assert_allclose(plain, pot, rtol=0, atol=1e-8 / shape[1])


# Equal masses make ties, at which Sinkhorn takes forever where epsilon is small.
CONVERGENT = [
    (epsilon, shape, weighted)
    for epsilon in EPSILONS
    for shape in SHAPES
    for weighted in [False, True]
    if epsilon >= 0.1 or (weighted and (epsilon > 1e-3 or shape not in SHAPES[3::2]))
]


@pytest.mark.parametrize(("epsilon", "shape", "weighted"), CONVERGENT)
def test_sinkhorn_is_that_of_pot_at_convergence(epsilon, shape, weighted):
    x, z, masses = make_problem(*shape, weighted)
    pot = pot_plan(x, z, masses, epsilon, n_iter=int(max(100, 12 / epsilon)), tol=1e-12)
    assert np.abs(pot.sum(axis=1) - masses).sum() < 1e-10
    ours = plan_of(x, z, masses, epsilon=epsilon, max_iter=100_000, tol=1e-11)
    assert_allclose(ours, pot, rtol=0, atol=1e-8 / shape[1])
    assert_allclose(ours.sum(axis=0), 1 / shape[1], rtol=1e-10)
    assert np.abs(ours.sum(axis=1) - masses).sum() <= 1e-11


@pytest.mark.pairwise(
    ("epsilon", EPSILONS),
    ("shape", SHAPES),
    ("weighted", [False, True]),
)
def test_float32_keeps_to_a_support_mass(epsilon, shape, weighted):
    x, z, masses = make_problem(*shape, weighted)
    # Both sides are given the same numbers: those that float32 holds.
    x, z = x.astype(np.float32).astype(float), z.astype(np.float32).astype(float)
    pot = pot_plan(x, z, masses, epsilon, 100)
    ours = plan_of(x, z, masses, np.float32, epsilon=epsilon, max_iter=100, tol=0)
    assert ours.dtype == np.float32
    assert_allclose(ours, pot, rtol=0, atol=1e-4 / shape[1])


@pytest.mark.pairwise(
    ("solver", ["sinkhorn", "softmax"]),
    ("epsilon", EPSILONS),
    ("spread", [1e-2, 1.0]),
    ("offset", [0, 100]),
)
def test_float32_sees_when_similarities_are_rounded(solver, epsilon, spread, offset):
    """Similarities large and alike: nothing underflows, yet float32 has no digits left."""
    rng = np.random.default_rng(0)
    params = {"solver": solver, "epsilon": epsilon, "max_iter": 50}
    x = (offset + spread * rng.normal(size=(40, 5))).astype(np.float32)
    z = (1 + spread * rng.normal(size=(4, 5))).astype(np.float32).astype(float)
    masses = np.full(40, 1 / 40)
    expected = plain_plan(x.astype(float) @ z.T, masses, **params)
    ours = plan_of(x, z, masses, np.float32, tol=0, **params)
    assert_allclose(ours, expected, rtol=0, atol=1e-4 / len(z))


@pytest.mark.parametrize("seed", range(5))
def test_exact_plans_of_float32_are_those_of_float64(seed):
    """Rounded similarities would change the plan altogether."""
    rng = np.random.default_rng(seed)
    x = (100 + 0.01 * rng.normal(size=(40, 5))).astype(np.float32)
    z, masses = rng.normal(size=(4, 5)), np.full(40, 1 / 40)
    plan = plan_of(x, z, masses, np.float32, solver="emd")
    exact = plan_of(x.astype(float), z, masses, solver="emd")
    assert_allclose(plan, exact, atol=1e-7)


def make_chunk(dtype=np.float64):
    """Similarities of three sets to two references, and their masses, some of them 0."""
    rng = np.random.default_rng(0)
    offsets = np.array([0, 1, 20, 32])
    similarities = rng.normal(size=(2, 4, 32))
    similarities[:, :, :1] *= 0.01
    masses = rng.uniform(0.1, 1, 32)
    masses[[5, 31]] = 0
    masses /= np.repeat(np.add.reduceat(masses, offsets[:-1]), np.diff(offsets))
    return similarities.astype(dtype), offsets, masses


PROBLEMS = [("sinkhorn", None), ("sinkhorn", 0.3), ("softmax", None), ("emd", None)]


@pytest.mark.slow
@pytest.mark.pairwise(
    (("solver", "relaxation"), PROBLEMS),
    ("epsilon", [0.002, 0.5]),
    (("dtype", "atol"), [(np.float32, 1e-6), (np.float64, 1e-12)]),
)
def test_sets_and_references_of_a_chunk_are_apart(solver, relaxation, epsilon, dtype, atol):
    similarities, offsets, masses = make_chunk(dtype)
    transport = Transport(solver, epsilon, relaxation, max_iter=8, tol=0)
    found = solve_plans(similarities.copy(), np.zeros(3), offsets, masses, transport)
    assert found.plan.dtype == dtype
    assert found.n_iter.dtype.kind == "i"
    for s, (start, stop) in enumerate(pairwise(offsets)):
        # At the smaller epsilon, exponents of all sets but the first are too low.
        exact = solver != "sinkhorn" or epsilon == 0.5 or s == 0
        assert found.solved[s] == (dtype == np.float64 or exact)
        for r in range(2) if found.solved[s] else []:
            S, a = similarities[r, :, start:stop].T.astype(float), masses[start:stop]
            if solver == "emd":
                expected = ot.emd(a, np.full(4, 1 / 4), -S)
            else:
                params = {"solver": solver, "epsilon": epsilon, "relaxation": relaxation}
                expected = plain_plan(S, a, max_iter=8, **params)
            assert_allclose(found.plan[r, :, start:stop].T, expected, rtol=0, atol=atol)
            assert found.n_iter[s, r] == (8 if solver == "sinkhorn" else 0)
            if solver != "sinkhorn":
                assert found.residual[s, r] == 0
            elif relaxation is None:
                error = np.abs(expected.sum(axis=1) - a).sum()
                assert_allclose(found.residual[s, r], error, rtol=1e-4, atol=10 * atol)


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "relaxation"), PROBLEMS)
def test_values_are_what_plans_maximise(solver, relaxation):
    similarities, offsets, masses = make_chunk()
    transport = Transport(solver, 0.5, relaxation, max_iter=500, tol=0)
    plan = solve_plans(similarities.copy(), np.zeros(3), offsets, masses, transport).plan
    linear = plan_values(similarities, plan, offsets, masses)
    values = plan_values(similarities, plan, offsets, masses, transport)
    assert linear.shape == values.shape == (3, 2)
    single = plan_values(
        *(x.astype(np.float32) for x in (similarities, plan)), offsets, masses
    )
    assert single.dtype == np.float64
    for s, (start, stop) in enumerate(pairwise(offsets)):
        a = masses[start:stop]
        kept = a > 0
        for r in range(2):
            P = plan[r, :, start:stop].T
            expected = np.sum(P * similarities[r, :, start:stop].T)
            assert_allclose(linear[s, r], expected, rtol=1e-12)
            assert_allclose(single[s, r], expected, rtol=1e-5)
            if solver != "emd":
                P, a_kept = P[kept], a[kept]
                expected -= 0.5 * np.sum(P * np.log(P / (a_kept[:, np.newaxis] / 4)))
            if relaxation is not None:
                rows = P.sum(axis=1)
                expected -= relaxation * np.sum(rows * np.log(rows / a_kept))
            assert_allclose(values[s, r], expected, rtol=1e-10)


@pytest.mark.pairwise(
    ("solver", ["sinkhorn", "softmax"]),
    ("factor", [0.999, 1.001]),
    ("dtype", [np.float32, np.float64]),
)
def test_float32_is_trusted_with_little_rounding_only(solver, factor, dtype):
    similarities, offsets, masses = make_chunk(dtype)
    transport = Transport(solver, 0.5, None, max_iter=8, tol=0)
    rounding = np.array([0, factor * 5e-5 * 0.5, 0])
    found = solve_plans(similarities, rounding, offsets, masses, transport)
    assert found.solved.tolist() == [True, dtype == np.float64 or factor < 1, True]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_exact_plans_depend_neither_on_scales_nor_on_shifts(scale):
    """POT's solver compares costs with tolerances of its own."""
    similarities, offsets, masses = make_chunk()
    transport = Transport("emd", 1.0, None, max_iter=1, tol=0)

    def plan_of(similarities):
        return solve_plans(similarities, np.zeros(3), offsets, masses, transport).plan

    similarities = np.round(1000 * similarities)  # to which shifts are added exactly
    expected = plan_of(similarities.copy())
    shifts = 1e12 * np.random.default_rng(1).integers(-9, 9, 32)
    shifted = similarities + shifts
    shifted[:, 0, masses == 0] *= 1e200  # of no weight, however far
    assert_allclose(plan_of(scale * shifted), expected, rtol=0, atol=1e-12)


def test_zero_masses_take_no_part():
    x, z, masses = make_problem(20, 4, weighted=True)
    masses[[0, 7]] = 0
    x[7] *= 1e12  # however far
    kept = masses > 0
    for solver in ["sinkhorn", "softmax", "emd"]:
        plan = plan_of(x, z, masses, solver=solver, epsilon=0.1)
        assert_allclose(plan[~kept], 0, atol=0)
        expected = plan_of(x[kept], z, masses[kept], solver=solver, epsilon=0.1)
        assert_allclose(plan[kept], expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_exact_plan_has_the_cost_of_pot(shape, weighted):
    x, z, masses = make_problem(*shape, weighted)
    plan = plan_of(x, z, masses, solver="emd")
    expected = ot.emd2(masses, np.full(shape[1], 1 / shape[1]), -x @ z.T)
    assert_allclose(np.sum(-x @ z.T * plan), expected, rtol=1e-10)
    assert_allclose(plan.sum(axis=0), 1 / shape[1], rtol=1e-10)
    assert_allclose(plan.sum(axis=1), masses, rtol=1e-10)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_softmax_is_attention(epsilon):
    x, z, masses = make_problem(40, 6, weighted=True)
    plan = plan_of(x, z, masses, solver="softmax", epsilon=epsilon)
    for j, support in enumerate(z):
        scores = x @ support / epsilon
        attention = masses * np.exp(scores - scores.max())
        assert_allclose(plan[:, j], attention / attention.sum() / 6, rtol=1e-9, atol=1e-300)


def test_sinkhorn_goes_to_the_exact_plan():
    x, z, masses = make_problem(12, 4, weighted=True)
    exact = plan_of(x, z, masses, solver="emd")
    sharp = plan_of(x, z, masses, epsilon=1e-3, max_iter=5000, tol=0)
    assert_allclose(sharp, exact, atol=1e-4)


def test_tolerance_bounds_the_error_and_zero_runs_every_iteration():
    x, z, masses = make_problem(60, 8, weighted=True)
    X = SetCollection(x, [0, len(x)], weights=masses)
    model = OTKEmbedding(kernel="linear", references=z[None], epsilon=0.05).fit(X)
    for tol in [1e-2, 1e-4, 1e-6]:
        model.set_params(tol=tol, max_iter=10_000)
        plan, found = model.transport_plan(X)[0][0], model.sinkhorn_diagnostics(X)
        error = np.abs(plan.sum(axis=1) - masses).sum()
        assert 0 < error <= tol
        assert_allclose(found.residual, [[error]], rtol=1e-6, atol=1e-15)
        # One iteration less would not have done: no iteration is wasted but the last.
        shorter = plain_plan(
            x @ z.T,
            masses,
            solver="sinkhorn",
            epsilon=0.05,
            max_iter=found.n_iter[0, 0] - 2,
        )
        assert np.abs(shorter.sum(axis=1) - masses).sum() > tol
    model.set_params(tol=0, max_iter=123)
    assert model.sinkhorn_diagnostics(X).n_iter == 123


@pytest.mark.pairwise(
    (
        "params",
        [
            {"solver": "sinkhorn", "epsilon": 0.2},
            {"solver": "sinkhorn", "epsilon": 1e-3},  # in the log domain
            {"solver": "sinkhorn", "epsilon": 0.2, "relaxation": 0.5},
            {"solver": "sinkhorn", "epsilon": 1e-3, "relaxation": 0.5},
            {"solver": "softmax", "epsilon": 0.2},
            {"solver": "emd", "epsilon": 0.2},
        ],
    ),
    ("weighted", [False, True]),
)
def test_potentials_are_those_of_the_plan(params, weighted):
    x, z, masses = make_problem(12, 4, weighted)
    S, p = 3 * x @ z.T, len(z)
    transport = Transport(
        **{"relaxation": None, "max_iter": 50_000, "tol": 1e-11, **params}
    )
    packed = S.T[np.newaxis].copy()
    plans = solve_plans(packed, np.zeros(1), np.array([0, 12]), masses, transport)
    plan, g = plans.plan[0].T, plans.potentials[0, 0]
    if transport.solver == "emd":
        sent = S + g
        lost = sent.max(axis=1, keepdims=True) - sent
        assert lost[plan > 0].max() < 1e-12
        return
    exponents = (S + g) / transport.epsilon - np.log(p)
    f = 0.0
    if transport.solver == "sinkhorn":
        power = 1.0
        if transport.relaxation is not None:
            power = transport.relaxation / (transport.relaxation + transport.epsilon)
        f = -power * log_sum_exp(exponents, axis=1)
    assert_allclose(masses[:, np.newaxis] * np.exp(exponents + f), plan, rtol=1e-6)
