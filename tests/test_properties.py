"""Random sets and parameters across all that is legal, against plain NumPy and POT.

`make fuzz` runs the same for as long as you like.
"""

import re
import warnings

import numpy as np
import ot
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from oracle import exponent_error, features_of, plan_of, problem_of, set_parts
from sklearn.exceptions import ConvergenceWarning
from strategies import cases, embedding_params

from otk_sklearn import OTKEmbedding
from otk_sklearn._positions import support_positions

# What may be said of sets whose embeddings no float can hold.
OUT_OF_RANGE = r"leaves the range of float(32|64); expected elements on a smaller scale"


def quietly(function, *args):
    """Call with the warnings that users may get ignored; all others are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        for message in ["n_components=", "X is 2-D", r"\d+ positions lie"]:
            warnings.filterwarnings("ignore", message)
        return function(*args)


def in_range(function, model, sets):
    """Call it with the sets; None if an error says that no float can hold the result."""
    try:
        return quietly(function, sets)
    except ValueError as error:
        if not re.search(OUT_OF_RANGE, str(error)):
            raise
        largest = np.abs(sets.values).max() / np.finfo(sets.dtype).max
        assert largest > 1e-9 * min(1.0, model.damping)
        return None


def check_embedding(case):
    """Embeddings, plans and diagnostics are those of the formulas."""
    params, X, Y = case.make()
    model = OTKEmbedding(**params)
    if in_range(model.fit, model, X) is None:
        return
    assert np.isfinite(model.references_).all()
    plans = in_range(model.transport_plan, model, Y)
    diagnostics = in_range(model.sinkhorn_diagnostics, model, Y)
    embeddings = in_range(model.transform, model, Y)
    if plans is None:
        assert embeddings is None
        return
    with np.errstate(all="ignore"):  # beyond the range of floats, budgets end
        for i, plan in enumerate(plans):
            features = check_plans(model, Y, i, plan, diagnostics)
            if embeddings is not None:
                check_pooling(model, embeddings[i], plan, features, Y.dtype)


def check_plans(model, sets, i, plans, diagnostics):
    """Check one set's plans, and return its `Features`."""
    windows, masses, positions = set_parts(model, sets, i)
    features = features_of(model, windows, sets.dtype)
    n_supports = model.references_.shape[1]
    supports = support_positions(n_supports, positions.shape[1])
    assert plans.shape == (len(model.references_), len(windows), n_supports)
    assert np.isfinite(plans).all()
    assert (plans >= 0).all()
    for r, plan in enumerate(plans):
        problem = problem_of(
            model,
            features,
            model.references_[r],
            masses,
            positions,
            supports,
            sets.dtype,
        )
        n_iter, residual = diagnostics.n_iter[i, r], diagnostics.residual[i, r]
        if model.solver == "emd":
            check_exact_plan(plan, problem)
            continue
        error = exponent_error(model, problem, n_iter, sets.dtype)
        if error is None:
            continue
        if model.solver == "sinkhorn":
            assert 1 <= n_iter <= model.max_iter
            assert residual <= model.tol or n_iter == model.max_iter, (residual, n_iter)
        is_plain = model.solver == "softmax" or model.tol == 0
        if is_plain or model.relaxation is not None or n_iter < 4:
            expected = problem.held * plan_of(model, problem, n_iter)
            in_filter = np.log1p(1 / problem.held) + model.position_sigma**-2
            in_filter *= 20 * np.finfo(plan.dtype).eps * np.ndim(problem.held)
            assert_close(plan, expected, expected * (error + in_filter))
        elif model.position is None:
            check_balanced_plan(model, plan, problem, residual, error)
    return features


def assert_close(found, expected, budget):
    """Assert that nothing is further off than its budget; what is denormal may be 0."""
    tiny = np.finfo(found.dtype).tiny
    excess = np.abs(found - expected) / (budget + tiny)
    excess[~np.isfinite(budget)] = 0
    worst = np.unravel_index(excess.argmax(), excess.shape)
    note_worst(excess[worst])
    assert excess[worst] <= 1, (worst, found[worst], expected[worst], budget[worst])


def check_exact_plan(plan, problem):
    """The plan has the marginals, and the similarity of POT's."""
    supports = np.full(plan.shape[1], 1 / plan.shape[1])
    if np.ndim(problem.held):
        return  # the filter has been applied
    assert_allclose(plan.sum(axis=1), problem.masses, rtol=0, atol=1e-6)
    assert_allclose(plan.sum(axis=0), supports, rtol=1e-5)
    cost = problem.similarities.max(axis=1, keepdims=True) - problem.similarities
    if not 0 < problem.error.max() < 0.1 * cost.max() < np.inf:
        return
    budget = 1e-5 + 2 * problem.error.max() / cost.max()
    cost /= cost.max()
    assert np.sum(plan * cost) <= ot.emd2(problem.masses, supports, cost) + budget


def check_balanced_plan(model, plan, problem, residual, error):
    """A plan with these marginals is the best of all if it is `a_i u_i K_ij v_j`."""
    unit = np.finfo(plan.dtype).eps
    atol = 50 * unit * np.sqrt(len(plan))
    missed = np.abs(plan.sum(axis=1) - problem.masses).sum()
    assert_allclose(residual, missed, rtol=1e-3, atol=atol)
    kept = problem.masses > 0
    if (plan[kept] < 1e3 * np.finfo(plan.dtype).tiny).any():
        return
    with np.errstate(divide="ignore"):
        logs = np.log(plan[kept].astype(np.float64) / problem.masses[kept, np.newaxis])
    rest = logs - problem.similarities[kept] / model.epsilon
    rest -= rest.mean(axis=1, keepdims=True)
    rest -= rest.mean(axis=0)
    assert_close(rest, np.zeros_like(rest), np.full(rest.shape, 4 * error))


def check_pooling(model, embedding, plans, features, dtype):
    """Each support has the weighted mean of the features sent to it."""
    n_supports = plans.shape[2]
    unit, shape = np.finfo(dtype).eps, model.references_.shape
    for found, plan in zip(embedding.reshape(shape), plans.astype(np.float64)):
        expected = n_supports * plan.T @ features.psi
        budget = n_supports * plan.T @ features.psi_error
        terms = plan.T @ np.abs(features.kappa) @ np.abs(features.D)
        budget += n_supports * (50 + np.sqrt(len(plan))) * unit * terms
        assert_close(found, expected, budget)


worst = {"excess": 0.0}


def note_worst(excess):
    worst["excess"] = max(worst["excess"], excess)
