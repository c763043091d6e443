"""Relaxed masses of supports: POT's semi-unbalanced solver, formulas, two limits."""

import re

import numpy as np
import ot
import pytest
from helpers import plain_embedding, plain_plan
from numpy.testing import assert_allclose
from scipy.special import rel_entr, softmax
from test_relaxation import KERNELS, SHAPES, plan_of
from test_transport import make_problem

from otk_sklearn import OTKClassifier, OTKEmbedding, SetCollection
from otk_sklearn.transport._problem import Transport
from otk_sklearn.transport._solvers import plan_values, solve_plans


@pytest.mark.pairwise(
    ("shape", SHAPES),
    ("epsilon", [0.02, 0.1, 1.0, 10.0]),
    ("relaxation", [1e-3, 0.1, 1.0, 10.0]),
    ("weighted", [False, True]),
)
def test_it_is_the_semi_unbalanced_plan_of_pot(shape, epsilon, relaxation, weighted):
    x, z, masses = make_problem(*shape, weighted)
    similarities = x @ z.T
    plan, _ = plan_of(x, z, masses, epsilon=epsilon, support_relaxation=relaxation)
    # Adding a constant changes nothing, as all mass of the elements is transported.
    pot = ot.unbalanced.sinkhorn_unbalanced(
        masses,
        np.full(len(z), 1 / len(z)),
        similarities.max() - similarities,
        epsilon,
        (np.inf, relaxation),
        reg_type="kl",
        numItermax=200_000,
        stopThr=1e-14,
    )
    assert_allclose(plan, pot, rtol=0, atol=1e-6 / len(z))
    assert_allclose(plan.sum(axis=1), masses, rtol=1e-12)


@pytest.mark.pairwise(
    ("shape", SHAPES),
    ("epsilon", [1e-5, 1e-4, 1e-3, 0.1]),
    ("relaxation", [1e-3, 0.1, 1.0, 100.0]),
    (("dtype", "tolerance"), [(np.float64, 1e-8), (np.float32, 1e-4)]),
)
def test_plain_and_log_domain_are_the_formulas(
    shape, epsilon, relaxation, dtype, tolerance
):
    """The smaller epsilons underflow: those sets are solved in the log domain."""
    x, z, masses = (a.astype(dtype).astype(float) for a in make_problem(*shape, True))
    masses /= masses.sum()
    params = {"epsilon": epsilon, "support_relaxation": relaxation, "max_iter": 20}
    plan, found = plan_of(x, z, masses, dtype, tol=0, **params)
    expected = plain_plan(x @ z.T, masses, solver="sinkhorn", **params)
    assert_allclose(plan, expected, rtol=0, atol=tolerance / len(z))
    assert_allclose(plan.sum(axis=1), masses, rtol=1e-10 if dtype == np.float64 else 1e-5)
    assert found.n_iter == 20
    exact_for = masses_of_exactness(x @ z.T, masses, epsilon, relaxation)
    error = np.abs(exact_for - 1 / len(z)).sum()
    assert_allclose(found.residual, [[error]], rtol=2e-3, atol=10 * tolerance)


def masses_of_exactness(similarities, masses, epsilon, relaxation, n_iter=20):
    """The masses b that the plan after some plain iterations is exact for.

    It has column sums c and scalings `b v`: `c = b v^(1 - 1 / power)` at the optimum. A
    factor of b changes nothing.
    """
    log_kernel, log_b = similarities / epsilon, -np.log(similarities.shape[1])
    power, log_a = relaxation / (relaxation + epsilon), np.log(masses)[:, None]
    log_w = np.full(similarities.shape[1], log_b)
    for n in range(n_iter + 1):
        log_u = -np.logaddexp.reduce(log_kernel + log_w, axis=1)[:, None]
        log_columns = np.logaddexp.reduce(log_kernel + log_u + log_a, axis=0)
        if n < n_iter:
            log_w = log_b - power * log_columns
    return softmax(log_w + power * log_columns)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("relaxation", [0.01, 1.0, 100.0])
def test_extrapolation_ends_at_the_plan_of_many_plain_iterations(epsilon, relaxation):
    x, z, masses = make_problem(60, 12, weighted=True)
    params = {"epsilon": epsilon, "support_relaxation": relaxation}
    plan, found = plan_of(x, z, masses, tol=1e-10, **params)
    expected = plain_plan(x @ z.T, masses, solver="sinkhorn", max_iter=20_000, **params)
    assert found.residual < 1e-10
    assert_allclose(plan, expected, rtol=0, atol=1e-8)
    n_plain = next(
        n
        for n in range(1, 20_000)
        if n > 1e4
        or np.abs(
            masses_of_exactness(x @ z.T, masses, epsilon, relaxation, n) - 1 / 12
        ).sum()
        < 1e-10
    )
    assert found.n_iter <= 1.5 * n_plain + 5


@pytest.mark.filterwarnings("ignore:Sinkhorn missed")
@pytest.mark.parametrize("epsilon", [1e-6, 0.0237, 0.5])
@pytest.mark.parametrize("tol", [0.5, 0.1, 1e-2, 1e-4])
def test_iterations_end_on_a_plan_that_meets_the_tolerance(epsilon, tol):
    """Not on the one after it, which may miss it again."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        n, p = rng.integers(1, 40), rng.integers(1, 8)
        x = rng.normal(size=(n, 3))
        x[:, 0] = 1.0
        z, masses = rng.normal(size=(p, 3)), np.full(n, 1 / n)
        params = {"epsilon": epsilon, "support_relaxation": 1.0, "max_iter": 30}
        plan, found = plan_of(x, z, masses, tol=tol, **params)
        assert found.residual[0, 0] < tol or found.n_iter[0, 0] == 30
        assert_allclose(plan.sum(axis=1), masses, rtol=1e-10)
        if found.n_iter[0, 0] < 4:  # plain ones
            params["max_iter"] = found.n_iter[0, 0]
            expected = plain_plan(x @ z.T, masses, solver="sinkhorn", **params)
            assert_allclose(plan, expected, atol=1e-10)


def test_a_large_relaxation_is_balanced_transport():
    x, z, masses = make_problem(40, 6, weighted=True)
    balanced, _ = plan_of(x, z, masses)
    errors = [
        np.abs(plan_of(x, z, masses, support_relaxation=relaxation)[0] - balanced).max()
        for relaxation in [1.0, 1e2, 1e4, 1e6, 1e17, 1e300]
    ]
    assert (np.diff(errors[:4]) < 0).all()
    assert max(errors[3:]) < 1e-7


def test_a_small_relaxation_assigns_each_element_by_itself():
    x, z, masses = make_problem(40, 6, weighted=True)
    assigned = masses[:, None] * softmax(x @ z.T / 0.1, axis=1)
    errors = [
        np.abs(plan_of(x, z, masses, support_relaxation=relaxation)[0] - assigned).max()
        for relaxation in [1.0, 1e-2, 1e-4, 1e-6, 1e-300]
    ]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-12


@pytest.mark.parametrize("kernel", KERNELS)
def test_masses_of_supports_follow_frequencies(kernel):
    """Nine tenths of a set are of one kind; balanced plans give all supports the same."""
    rng = np.random.default_rng(0)

    def make(*counts):
        kinds = np.repeat(np.eye(4)[:3], counts, axis=0)
        return [kinds + 0.05 * rng.normal(size=kinds.shape) for _ in range(10)]

    model = OTKEmbedding(3, kernel=kernel, n_components=6, max_iter=10_000, tol=1e-6)
    model.set_params(random_state=0).fit(make(10, 10, 10))
    X = make(36, 2, 2)
    masses = []
    for relaxation in [None, 1.0, 0.1, 0.01]:
        plans = model.set_params(support_relaxation=relaxation).transport_plan(X)
        masses.append(np.sort(np.mean([plan[0].sum(axis=0) for plan in plans], axis=0)))
    assert_allclose(masses[0], 1 / 3, rtol=1e-5)
    assert (np.diff([m[-1] for m in masses]) > 0).all()
    assert_allclose(masses[-1], [0.05, 0.05, 0.9], atol=0.02)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n_references", [1, 2])
def test_embeddings_weights_positions_and_float32(kernel, n_references, sets):
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.1, 1, len(x)) for x in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    model = OTKEmbedding(5, kernel=kernel, n_components=16, n_references=n_references)
    model.set_params(support_relaxation=0.2, tol=0, random_state=0).fit(X)
    for position in [None, "gaussian"]:
        model.set_params(position=position)
        supports = np.arange(5)[:, None] / 5
        expected = [
            plain_embedding(
                model, x, w / w.sum(), np.arange(len(x))[:, None] / len(x), supports
            )
            for x, w in zip(sets, weights)
        ]
        assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-8)
        X32 = X.astype(np.float32)
        Xt = model.transform(X32)
        assert Xt.dtype == np.float32
        assert_allclose(Xt, model.transform(X32.astype(np.float64)), atol=2e-4)


@pytest.mark.pairwise(
    ("kernel", KERNELS),
    ("epsilon", [1e-300, 1e-3, 1.0, 1e300]),
    ("relaxation", [1e-300, 1e-3, 1.0, 1e300]),
)
@pytest.mark.filterwarnings("ignore:The embeddings of:UserWarning")
def test_no_nan_at_any_scale(kernel, epsilon, relaxation, sets):
    X = [*sets, np.zeros((3, 4)), 1e3 * sets[2], 1e30 * sets[3], np.repeat(sets[4], 2, 0)]
    model = OTKEmbedding(3, kernel=kernel, n_components=8, epsilon=epsilon, tol=0)
    model.set_params(support_relaxation=relaxation, random_state=0).fit(sets)
    for dtype in [np.float64, np.float32]:
        same = [x.astype(dtype) for x in X]
        assert np.isfinite(model.transform(same)).all()
        for x, plan in zip(same, model.transport_plan(same)):
            assert_allclose(plan.sum(axis=2), 1 / len(x), rtol=1e-4)


@pytest.mark.parametrize("domain", ["plain", "log"])
@pytest.mark.parametrize("relaxation", [1e-3, 0.5, 1e3])
def test_values_and_potentials(domain, relaxation):
    """The plan is optimal: its value is that of the dual problem at its potentials."""
    x, z, masses = make_problem(12, 4, weighted=True)
    S, epsilon = 3 * x @ z.T, 0.2 if domain == "plain" else 1e-3
    transport = Transport("sinkhorn", epsilon, None, 50_000, 1e-12, relaxation)
    packed, offsets = S.T[np.newaxis].copy(), np.array([0, 12])
    plans = solve_plans(packed.copy(), np.zeros(1), offsets, masses, transport)
    P, g = plans.plan[0].T, plans.potentials[0, 0]
    exponents = (S + g) / epsilon - np.log(4)
    f = -np.logaddexp.reduce(exponents, axis=1)[:, None]
    assert_allclose(masses[:, None] * np.exp(exponents + f), P, rtol=1e-6, atol=1e-300)
    # The constant is that of the optimum: supports of mass 1 / 4 are as likely as elements.
    assert_allclose(P.sum(axis=0), np.exp(-g / relaxation) / 4, rtol=1e-5)
    value = plan_values(packed, plans.plan, offsets, masses, transport)
    expected = np.sum(P * S) - epsilon * rel_entr(P, masses[:, None] / 4).sum()
    expected -= relaxation * rel_entr(P.sum(axis=0), 1 / 4).sum()
    assert_allclose(value, expected, rtol=1e-10)
    dual = np.sum(-epsilon * masses * f[:, 0])
    dual -= relaxation * np.mean(np.exp(-g / relaxation) - 1)
    assert_allclose(value, dual, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["emd", "softmax"])
def test_it_needs_sinkhorn(solver, sets):
    model = OTKEmbedding(3, n_components=8, solver=solver, support_relaxation=0.5)
    message = f"support_relaxation=0.5 is given with solver='{solver}'; expected"
    with pytest.raises(ValueError, match=message):
        model.fit(sets)
    model.set_params(solver="sinkhorn").fit(sets)
    with pytest.raises(ValueError, match=message):
        model.set_params(solver=solver).transform(sets)


def test_only_one_side_is_relaxed(sets):
    model = OTKEmbedding(3, n_components=8, relaxation=1.0, support_relaxation=0.5)
    message = "relaxation=1.0 and support_relaxation=0.5 are both given; expected one of"
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(sets)


@pytest.mark.parametrize("references", ["kmeans", "barycenter"])
def test_references_are_learned(references, sets):
    model = OTKEmbedding(3, n_components=8, n_references=2, references=references)
    model.set_params(support_relaxation=0.5, tol=1e-8, max_iter=5000, random_state=0)
    model.fit(sets)
    history = model.objective_history_
    assert len(history) > 0
    if references == "barycenter":
        assert (np.diff(history) > -1e-6).all()


def test_training_lowers_the_loss(sets):
    labels = np.arange(len(sets)) % 2
    embedding = OTKEmbedding(3, n_components=8, support_relaxation=0.2, random_state=0)
    model = OTKClassifier(embedding, max_epochs=20, early_stopping=False, alpha=1e-3)
    model.fit(sets, labels)
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]
