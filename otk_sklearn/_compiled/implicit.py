"""Compiled functions for gradients through plans, by implicit differentiation.

They keep to the rules of `features.py`.
"""

from typing import NamedTuple

import numpy as np

from otk_sklearn._compiled.primitives import fill, jit

# Part of a diagonal entry below which what is left of it in elimination is rounding.
_MIN_PIVOT = 1e-13


@jit
def plans_to_similarities(plan, offsets, power, inverse_epsilon, gradients):
    """From gradients with respect to plans to those of similarities, in place.

    A plan has the form `P_ij = exp(S_ij / epsilon + alpha_i + beta_j)`, where its marginals
    decide on alpha and beta. By implicit differentiation, a gradient W becomes
    `P_ij (W_ij - lambda_i - mu_j) / epsilon`. What is taken off makes its columns sum to
    0, and rows too (balanced transport), or none of them (attention), or in between. It
    solves a linear system of as many unknowns as there are supports.

    Parameters
    ----------
    plan : ndarray of shape (n_references, n_supports, n_elements)
    offsets : ndarray of shape (n_sets + 1,)
    power : float
        1 for balanced transport, `relaxation / (relaxation + epsilon)` for relaxed, 0 for
        attention.
    inverse_epsilon : float
        In the dtype of the plan.
    gradients : ndarray of shape (n_references, n_supports, n_elements)
    """
    n_references, n_supports, _ = plan.shape
    longest = 1
    for s in range(len(offsets) - 1):
        longest = max(longest, offsets[s + 1] - offsets[s])
    # Sums are in float64: where supports share next to nothing, mu is large and cancels.
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
            slopes = gradients[r, :, start:stop]
            if stop - start == 1:  # there is no other plan
                for j in range(n_supports):
                    slopes[j, 0] = 0
                continue
            _subtract_means(plan[r, :, start:stop], slopes, power, scratch)
            for j in range(n_supports):
                row = slopes[j]
                for i in range(stop - start):
                    row[i] *= inverse_epsilon


class _Scratch(NamedTuple):
    """Arrays used for one set after the other."""

    scaled: np.ndarray  # (n_supports, n_elements): the plan, its rows scaled
    rows: np.ndarray  # (n_elements,): row sums of the plan
    row_means: np.ndarray  # (n_elements,): lambda
    columns: np.ndarray  # (n_supports,): column sums of the plan
    mu: np.ndarray  # (n_supports,)
    system: np.ndarray  # (n_supports, n_supports)


@jit
def _subtract_means(plan, gradients, power, scratch):
    """Turn gradients into `P_ij (W_ij - lambda_i - mu_j)`, in place, for one plan."""
    n_supports, size = plan.shape
    rows, row_means = scratch.rows[:size], scratch.row_means[:size]
    columns, mu = scratch.columns, scratch.mu
    fill(rows, 0)
    fill(row_means, 0)
    for j in range(n_supports):
        shares, slopes = plan[j], gradients[j]
        for i in range(size):
            rows[i] += shares[i]
            row_means[i] += shares[i] * slopes[i]
    for i in range(size):
        row_means[i] = power * row_means[i] / rows[i] if rows[i] > 0 else 0.0
    # What is left of the columns' sums once row means are taken off.
    for j in range(n_supports):
        shares, slopes = plan[j], gradients[j]
        mass, total = 0.0, 0.0
        for i in range(size):
            mass += shares[i]
            total += shares[i] * (slopes[i] - row_means[i])
        columns[j], mu[j] = mass, total
    if power > 0.0:
        for i in range(size):
            rows[i] = np.sqrt(power / rows[i]) if rows[i] > 0 else 0.0
        scaled = scratch.scaled[:, :size]
        _scale_rows(plan, rows, scaled)
        _solve_columns(_gram(scaled), columns, power, scratch.system, mu)
        # rows[i] ** 2 is power / (P 1)_i
        _subtract_row_means(plan, rows, mu, row_means)
    else:
        for j in range(n_supports):
            mu[j] = mu[j] / columns[j] if columns[j] > 0 else 0.0
    for j in range(n_supports):
        shares, slopes, mu_j = plan[j], gradients[j], mu[j]
        for i in range(size):
            slopes[i] = shares[i] * (slopes[i] - (row_means[i] + mu_j))


@jit
def _scale_rows(plan, factors, scaled):
    for j in range(len(scaled)):
        shares, row = plan[j], scaled[j]
        for i in range(len(row)):
            row[i] = shares[i] * factors[i]


@jit
def _gram(rows):
    """`rows rows^T`."""
    contiguous = rows.copy()
    return np.dot(contiguous, contiguous.T)


@jit
def _subtract_row_means(plan, factors, mu, row_means):
    """Write `lambda`: row means less those of mu."""
    for j in range(len(mu)):
        shares, mu_j = plan[j], mu[j]
        for i in range(len(factors)):
            row_means[i] -= factors[i] * factors[i] * shares[i] * mu_j


@jit
def _solve_columns(products, columns, power, system, x):
    """Solve `(diag(columns) - products) mu = x` in place, by Cholesky.

    `products` is `power P^T diag(1 / P 1) P`: its rows sum to `power columns`. Diagonals
    are what is left of these, rather than differences of what is nearly equal. Without
    relaxation, a constant is free, and one is added to the system to fix it.
    """
    n = len(x)
    for j in range(n):
        total = 0.0
        for k in range(n):
            if k != j:
                total += products[j, k]
        system[j, j] = total + (1.0 - power) * columns[j]
        for k in range(j):
            system[j, k] = -products[j, k]
    if power == 1.0:
        free = 1.0 / n / n
        for j in range(n):
            for k in range(j + 1):
                system[j, k] += free
    for j in range(n):
        row = system[j]
        for k in range(j + 1):
            other, total = system[k], 0.0
            for m in range(k):
                total += row[m] * other[m]
            left = row[k] - total
            if k < j:
                row[k] = left * other[k]
            else:  # the diagonal is kept inverted
                row[k] = 1.0 / np.sqrt(left) if left > _MIN_PIVOT * row[k] else 0.0
        total = 0.0
        for m in range(j):
            total += row[m] * x[m]
        x[j] = (x[j] - total) * row[j]
    for j in range(n - 1, -1, -1):
        x[j] *= system[j, j]
        for m in range(j):
            x[m] -= system[j, m] * x[j]
