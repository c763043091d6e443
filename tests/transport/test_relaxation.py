"""Relaxed transport: POT's semi-unbalanced solver, its two limits, and outliers."""

import numpy as np
import ot
import pytest
from helpers import plain_embedding, plain_plan
from numpy.testing import assert_allclose
from scipy.special import logsumexp, softmax
from sklearn.base import clone
from test_transport import make_problem

from otk_sklearn import OTKEmbedding, SetCollection

KERNELS = ["rbf", "homogeneous", "linear"]
SHAPES = [(1, 1), (1, 7), (5, 50), (30, 10), (300, 20)]


def plan_of(x, z, masses, dtype=np.float64, **params):
    """Plan, and what `tol` bounds."""
    params = {"tol": 1e-12, "max_iter": 200_000, "epsilon": 0.1, **params}
    X = SetCollection(x.astype(dtype), [0, len(x)], weights=masses)
    model = OTKEmbedding(kernel="linear", references=z[None], **params).fit(X)
    return model.transport_plan(X)[0][0], model.sinkhorn_diagnostics(X)


def make_costs(n_elements, n_supports, weighted=True):
    """A problem with elements of different norms, and its shifted similarities."""
    x, z, masses = make_problem(n_elements, n_supports, weighted)
    x *= np.random.default_rng(1).uniform(0.5, 1.5, (n_elements, 1))
    return x, z, masses, x @ z.T - (x**2).sum(axis=1, keepdims=True) / 2


@pytest.mark.pairwise(
    ("shape", SHAPES),
    ("epsilon", [0.02, 0.1, 1.0, 10.0]),
    ("relaxation", [1e-3, 0.1, 1.0, 10.0]),
    ("weighted", [False, True]),
)
def test_it_is_the_semi_unbalanced_plan_of_pot(shape, epsilon, relaxation, weighted):
    x, z, masses, similarities = make_costs(*shape, weighted)
    plan, _ = plan_of(x, z, masses, epsilon=epsilon, relaxation=relaxation)
    # Costs of about 0 in every row: POT's plain iterations have no other defence. Adding
    # a constant changes nothing, as all mass of the supports is transported.
    pot = ot.unbalanced.sinkhorn_unbalanced(
        masses,
        np.full(len(z), 1 / len(z)),
        similarities.max() - similarities,
        epsilon,
        (relaxation, np.inf),
        reg_type="kl",
        numItermax=200_000,
        stopThr=1e-12,
    )
    assert_allclose(plan, pot, rtol=0, atol=1e-6 / len(z))
    assert_allclose(plan.sum(axis=0), 1 / len(z), rtol=1e-10)


@pytest.mark.pairwise(
    ("shape", SHAPES),
    ("epsilon", [1e-5, 1e-4, 1e-3, 0.1]),
    ("relaxation", [1e-3, 0.1, 1.0, 100.0]),
)
def test_plain_and_log_domain_are_the_formulas(shape, epsilon, relaxation):
    """The smaller epsilons underflow: those sets are solved in the log domain."""
    x, z, masses, similarities = make_costs(*shape)
    params = {"epsilon": epsilon, "relaxation": relaxation, "max_iter": 20}
    plan, found = plan_of(x, z, masses, tol=0, **params)
    expected = plain_plan(similarities, masses, solver="sinkhorn", **params)
    assert_allclose(plan, expected, rtol=0, atol=1e-8 / len(z))
    assert found.n_iter == 20
    exact_for = masses_of_exactness(similarities, masses, epsilon, relaxation)
    error = np.abs(exact_for - masses).sum()
    assert_allclose(found.residual, [[error]], rtol=1e-4, atol=1e-9)


def masses_of_exactness(similarities, masses, epsilon, relaxation, n_iter=20):
    """The masses that the plan after some plain iterations is exact for.

    It has row sums r and scalings u: `u = (K b v)^-power`, and `r = a u K b v` with some
    masses a. So these are `r u^(1 / power - 1)`, and as a factor of u goes into v, a
    multiple of that.
    """
    log_kernel, log_b = similarities / epsilon, -np.log(similarities.shape[1])
    power, log_v = relaxation / (relaxation + epsilon), np.zeros(similarities.shape[1])
    for _ in range(n_iter):
        log_u = -power * logsumexp(log_kernel + log_v + log_b, axis=1)
        log_v = -logsumexp(log_kernel + (log_u + np.log(masses))[:, None], axis=0)
    log_rows = np.log(masses) + log_u + logsumexp(log_kernel + log_v + log_b, axis=1)
    return softmax(log_rows + epsilon / relaxation * log_u)


@pytest.mark.parametrize("epsilon", [0.01, 0.05])
@pytest.mark.parametrize("relaxation", [0.1, 1.0, 10.0])
def test_tol_is_not_met_on_a_plateau(relaxation, epsilon):
    """Mass moves from group to group so slowly at first that its sums hardly change."""
    random = np.random.default_rng(0)
    X = [random.normal(size=(n, 3)) for _ in range(20) for n in (3, 5, 9, 17)]
    model = OTKEmbedding(3, n_components=4, epsilon=epsilon, relaxation=relaxation)
    model.set_params(max_iter=50_000, tol=1e-4, random_state=0).fit(X)
    found = model.transport_plan(X)
    for plan, exact in zip(found, model.set_params(tol=1e-10).transport_plan(X)):
        assert np.abs(plan - exact).sum() < 2e-3


def test_a_large_relaxation_is_balanced_transport():
    x, z, masses, _ = make_costs(40, 6)
    balanced, _ = plan_of(x, z, masses)
    errors = [
        np.abs(plan_of(x, z, masses, relaxation=relaxation)[0] - balanced).max()
        for relaxation in [1.0, 1e2, 1e4, 1e6, 1e17, 1e300]
    ]
    assert (np.diff(errors[:4]) < 0).all()
    assert max(errors[3:]) < 1e-7


def test_a_small_relaxation_is_softmax_of_the_shifted_similarity():
    x, z, masses, similarities = make_costs(40, 6)
    softmax = plain_plan(similarities, masses, solver="softmax", epsilon=0.1, max_iter=1)
    errors = [
        np.abs(plan_of(x, z, masses, relaxation=relaxation)[0] - softmax).max()
        for relaxation in [1.0, 1e-2, 1e-4, 1e-6, 1e-300]
    ]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-12


@pytest.mark.parametrize("kernel", KERNELS)
def test_outliers_lose_their_mass(kernel):
    """Elements far from all others; a tenth of each set."""
    rng = np.random.default_rng(0)
    directions = np.eye(4)[rng.integers(0, 3, 45)]
    X = [
        np.vstack([d, 8 * np.eye(4)[[3] * 5]]) + 0.1 * rng.normal(size=(50, 4))
        for d in np.array_split(np.tile(directions, (10, 1)), 10)
    ]
    clean = [x[:45] for x in X]
    model = OTKEmbedding(6, kernel=kernel, n_components=12, max_iter=10_000, tol=1e-4)
    model.set_params(random_state=0).fit(clean)

    def mass_of_outliers(relaxation):
        plans = clone_with(model, relaxation=relaxation).transport_plan(X)
        return np.mean([plan[0, 45:].sum() for plan in plans])

    masses = [mass_of_outliers(r) for r in [None, 10.0, 1.0, 0.3, 0.1, 0.03]]
    assert_allclose(masses[0], 0.1, atol=5e-3)
    assert (np.diff(masses) < 0).all()
    assert masses[-1] < 0.01
    # The embedding of what is left is closer to that without outliers.
    relaxed = clone_with(model, relaxation=0.03)
    change, change_relaxed = (
        np.abs(embedding.transform(X) - embedding.transform(clean)).max()
        for embedding in (model, relaxed)
    )
    assert change_relaxed < 0.05 < change


def clone_with(fitted, **params):
    """A copy of a fitted estimator, with parameters of the plan set anew."""
    copy = clone(fitted)
    vars(copy).update(vars(fitted))
    return copy.set_params(**params)


@pytest.mark.parametrize("kernel", KERNELS)
def test_embeddings_weights_and_float32(kernel, sets):
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.1, 1, len(x)) for x in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    model = OTKEmbedding(5, kernel=kernel, n_components=16, relaxation=0.2, tol=0)
    model.set_params(random_state=0).fit(X)
    expected = [plain_embedding(model, x, w / w.sum()) for x, w in zip(sets, weights)]
    assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-8)
    X32 = X.astype(np.float32)
    Xt = model.transform(X32)
    assert Xt.dtype == np.float32
    assert_allclose(Xt, model.transform(X32.astype(np.float64)), atol=1e-5)
    kernel_matrix = model.kernel_matrix(X)
    assert_allclose(kernel_matrix, model.transform(X) @ model.transform(X).T / 5)


@pytest.mark.pairwise(
    ("kernel", KERNELS),
    ("epsilon", [1e-300, 1e-3, 1.0, 1e300]),
    ("relaxation", [1e-300, 1e-3, 1.0, 1e300]),
)
@pytest.mark.filterwarnings("ignore:The embeddings of:UserWarning")
def test_no_nan_at_any_scale(kernel, epsilon, relaxation, sets):
    X = [*sets, np.zeros((3, 4)), 1e3 * sets[2], 1e30 * sets[3], np.repeat(sets[4], 2, 0)]
    model = OTKEmbedding(3, kernel=kernel, n_components=8, epsilon=epsilon, tol=0)
    model.set_params(relaxation=relaxation, random_state=0).fit(sets)
    for dtype in [np.float64, np.float32]:
        same = [x.astype(dtype) for x in X]
        assert np.isfinite(model.transform(same)).all()
        for plan in model.transport_plan(same):
            assert_allclose(plan.sum(axis=1), 1 / 3, rtol=1e-2)
    far = [*X, 1e150 * sets[2]]
    assert np.isfinite(model.transform(far)).all()
    zero = [w * np.ones(len(x)) for w, x in zip([0, *[1] * 3], far)]
    zero[0] = np.ones(1)
    zero[3][:-1] = 0
    weighted = SetCollection.from_sets(far[:4], weights=zero)
    assert np.isfinite(model.transform(weighted)).all()


@pytest.mark.parametrize("solver", ["emd", "softmax"])
def test_it_needs_sinkhorn(solver, sets):
    model = OTKEmbedding(3, n_components=8, solver=solver, relaxation=0.5)
    with pytest.raises(ValueError, match=f"relaxation=0.5 is given with solver='{solver}'"):
        model.fit(sets)
    model.set_params(solver="sinkhorn").fit(sets)
    with pytest.raises(ValueError, match="relaxation=0.5 is given with solver="):
        model.set_params(solver=solver).transform(sets)
