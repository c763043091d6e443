"""Compiled functions that differentiate transport plans implicitly.

Conventions are those of `features.py`.
"""

from typing import NamedTuple

import numpy as np

from otk_sklearn._compiled.primitives import fill, inlined, jit

# Pivots below this fraction of their diagonal entry are rounding noise.
_MIN_PIVOT = 1e-13


@jit
def plans_to_similarities(plan, offsets, powers, inverse_epsilon, gradients, of_masses):
    """Vector-Jacobian products of plans with respect to similarities, in place.

    A plan has the form `P_ij = exp(S_ij / epsilon + alpha_i + beta_j)`, where the marginal
    constraints determine alpha and beta. By implicit differentiation, a gradient W becomes
    `P_ij (W_ij - lambda_i - mu_j) / epsilon`. Its rows and columns sum to 0 in balanced
    transport; where a marginal has a penalty, or in attention, its sums don't. mu solves a
    linear system with one unknown per support. With respect to masses, the gradient is
    `sum_j P_ij (W_ij - mu_j) / a_i`, up to a constant, as masses sum to 1.

    Parameters
    ----------
    plan : ndarray of shape (n_references, n_supports, n_elements)
    offsets : ndarray of shape (n_sets + 1,)
    powers : tuple of 2 float
        How far the marginals of elements and those of supports are held: 1 where they are
        fixed, `relaxation / (relaxation + epsilon)` for a penalty, 0 for elements in
        attention. That of supports is positive.
    inverse_epsilon : float
        In the dtype of the plan.
    gradients : ndarray of shape (n_references, n_supports, n_elements)
    of_masses : ndarray of float64 of shape (n_references, n_elements)
        Filled with the gradient with respect to masses, each multiplied by the mass.
    """
    n_references, n_supports, _ = plan.shape
    longest = 1
    for s in range(len(offsets) - 1):
        longest = max(longest, offsets[s + 1] - offsets[s])
    # Sums are in float64: if supports share hardly any mass, mu is large and cancels.
    scratch = _Scratch(
        scaled=np.empty((n_supports, longest), plan.dtype),
        rows=np.empty(longest),
        row_means=np.empty(longest),
        columns=np.empty(n_supports),
        mu=np.empty(n_supports),
        system=np.empty((n_supports, n_supports)),
    )
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        for r in range(n_references):
            set_gradients = gradients[r, :, start:stop]
            if stop - start == 1 and powers[1] == 1.0:  # its plan is constant
                for j in range(n_supports):
                    set_gradients[j, 0] = 0
                of_masses[r, start] = 0
                continue
            set_plan = plan[r, :, start:stop]
            _subtract_means(set_plan, set_gradients, powers, scratch)
            _mass_gradients(set_plan, set_gradients, scratch, of_masses[r, start:stop])
            for j in range(n_supports):
                row = set_gradients[j]
                for i in range(stop - start):
                    row[i] *= inverse_epsilon


class _Scratch(NamedTuple):
    """Work arrays, reused from set to set."""

    scaled: np.ndarray  # (n_supports, n_elements): the plan, its rows scaled
    rows: np.ndarray  # (n_elements,): row sums of the plan
    row_means: np.ndarray  # (n_elements,): lambda
    columns: np.ndarray  # (n_supports,): column sums of the plan
    mu: np.ndarray  # (n_supports,)
    system: np.ndarray  # (n_supports, n_supports)


@inlined
def _subtract_means(plan, gradients, powers, scratch):
    """Turn gradients into `P_ij (W_ij - lambda_i - mu_j)`, in place, for one plan."""
    n_supports, size = plan.shape
    power, excess = powers[0], 1.0 / powers[1] - powers[0]
    rows, row_means = scratch.rows[:size], scratch.row_means[:size]
    columns, mu = scratch.columns, scratch.mu
    fill(rows, 0)
    fill(row_means, 0)
    for j in range(n_supports):
        plan_j, gradients_j = plan[j], gradients[j]
        for i in range(size):
            rows[i] += plan_j[i]
            row_means[i] += plan_j[i] * gradients_j[i]
    for i in range(size):
        row_means[i] = power * row_means[i] / rows[i] if rows[i] > 0 else 0.0
    # Column sums of the gradient after subtracting the row means.
    for j in range(n_supports):
        plan_j, gradients_j = plan[j], gradients[j]
        mass, total = 0.0, 0.0
        for i in range(size):
            mass += plan_j[i]
            total += plan_j[i] * (gradients_j[i] - row_means[i])
        columns[j], mu[j] = mass, total
    if power > 0.0:
        for i in range(size):
            rows[i] = np.sqrt(power / rows[i]) if rows[i] > 0 else 0.0
        scaled = scratch.scaled[:, :size]
        _scale_rows(plan, rows, scaled)
        _solve_columns(_gram(scaled), columns, excess, scratch.system, mu)
        # rows[i] ** 2 is power / (P 1)_i
        _subtract_row_means(plan, rows, mu, row_means)
    else:
        for j in range(n_supports):
            mu[j] = mu[j] / columns[j] if columns[j] > 0 else 0.0
    for j in range(n_supports):
        plan_j, gradients_j, mu_j = plan[j], gradients[j], mu[j]
        for i in range(size):
            gradients_j[i] = plan_j[i] * (gradients_j[i] - (row_means[i] + mu_j))


@inlined
def _mass_gradients(plan, gradients, scratch, of_masses):
    """Write `sum_j P_ij (W_ij - mu_j)`, given `P_ij (W_ij - lambda_i - mu_j)`."""
    row_means = scratch.row_means
    fill(of_masses, 0)
    for j in range(len(plan)):
        plan_j, gradients_j = plan[j], gradients[j]
        for i in range(len(of_masses)):
            of_masses[i] += gradients_j[i] + plan_j[i] * row_means[i]


@inlined
def _scale_rows(plan, factors, scaled):
    for j in range(len(scaled)):
        plan_j, row = plan[j], scaled[j]
        for i in range(len(row)):
            row[i] = plan_j[i] * factors[i]


@inlined
def _gram(rows):
    """`rows rows^T`."""
    contiguous = rows.copy()
    return np.dot(contiguous, contiguous.T)


@inlined
def _subtract_row_means(plan, factors, mu, row_means):
    """Subtract the row means of mu from those of the gradient, which gives lambda."""
    for j in range(len(mu)):
        plan_j, mu_j = plan[j], mu[j]
        for i in range(len(factors)):
            row_means[i] -= factors[i] * factors[i] * plan_j[i] * mu_j


@inlined
def _solve_columns(products, columns, excess, system, x):
    """Solve `(diag(columns / column power) - products) mu = x` in place, by Cholesky.

    `products` is `row power P^T diag(1 / P 1) P`: its rows sum to `row power columns`.
    Diagonal entries are computed from off-diagonal sums and the excess, `1 / column power -
    row power`, without cancellation. In balanced transport, mu is determined up to a
    constant, which a rank-one term fixes.
    """
    n = len(x)
    for j in range(n):
        # From the lower triangle alone: in float32, products need not be symmetric.
        total = 0.0
        for k in range(n):
            if k != j:
                total += products[max(j, k), min(j, k)]
        system[j, j] = total + excess * columns[j]
        for k in range(j):
            system[j, k] = -products[j, k]
    if excess == 0.0:
        rank_one = 1.0 / n / n
        for j in range(n):
            for k in range(j + 1):
                system[j, k] += rank_one
    for j in range(n):
        row = system[j]
        for k in range(j + 1):
            other, total = system[k], 0.0
            for m in range(k):
                total += row[m] * other[m]
            reduced = row[k] - total
            if k < j:
                row[k] = reduced * other[k]
            else:  # the diagonal stores reciprocals
                row[k] = 1.0 / np.sqrt(reduced) if reduced > _MIN_PIVOT * row[k] else 0.0
        total = 0.0
        for m in range(j):
            total += row[m] * x[m]
        x[j] = (x[j] - total) * row[j]
    for j in range(n - 1, -1, -1):
        x[j] *= system[j, j]
        for m in range(j):
            x[m] -= system[j, m] * x[j]
