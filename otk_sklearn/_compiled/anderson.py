"""Compiled functions of Anderson acceleration, which extrapolates fixed-point iterations.

Conventions are those of `features.py`.

References
----------
.. [1] H. F. Walker and P. Ni, "Anderson acceleration for fixed-point iterations", SIAM
       Journal on Numerical Analysis 49(4), 2011. https://doi.org/10.1137/10078356X
"""

from typing import NamedTuple

import numpy as np

from otk_sklearn._compiled.primitives import fill, inlined

# Largest root mean square by which extrapolation may change a step.
_MAX_STEP = 2.0


class Anderson(NamedTuple):
    """Work arrays of acceleration of depth 3."""

    step: np.ndarray  # (n,): the step taken
    last_residual: np.ndarray  # (n,): the residual before it
    residual_changes: np.ndarray  # (3, n): changes of the residual
    image_changes: np.ndarray  # (3, n): these plus the steps
    gram: np.ndarray  # (3, 3): Gram matrix of the residual changes
    factor: np.ndarray  # (3, 3): its Cholesky factor
    coefficients: np.ndarray  # (3,): of the residual on its changes


@inlined
def anderson_of(n):
    """Return the work arrays for n unknowns."""
    return Anderson(
        step=np.empty(n),
        last_residual=np.empty(n),
        residual_changes=np.empty((3, n)),
        image_changes=np.empty((3, n)),
        gram=np.empty((3, 3)),
        factor=np.empty((3, 3)),
        coefficients=np.empty(3),
    )


@inlined
def extrapolate(anderson, residual, n_steps):
    """Write the next step, given the residual and the number of steps before it.

    A plain iteration adds the residual. It is regressed on its changes over the last three
    steps, and the combination of steps that cancels the fitted part is added to the plain
    step.
    """
    step, gram, coefficients = anderson.step, anderson.gram, anderson.coefficients
    residual_changes, image_changes = anderson.residual_changes, anderson.image_changes
    newest = (n_steps - 1) % 3
    if n_steps == 0:
        fill(coefficients, 0.0)
        for k in range(3):
            fill(gram[k], 0.0)
            fill(residual_changes[k], 0.0)
            fill(image_changes[k], 0.0)
    else:
        for j in range(len(step)):
            residual_changes[newest, j] = residual[j] - anderson.last_residual[j]
            image_changes[newest, j] = residual_changes[newest, j] + step[j]
        for k in range(3):
            gram[k, newest] = gram[newest, k] = _dot(
                residual_changes[k], residual_changes[newest]
            )
            coefficients[k] = _dot(residual_changes[k], residual)
        _solve(gram, coefficients, anderson.factor)
    x_0, x_1, x_2 = coefficients
    for j in range(len(step)):
        step[j] = (
            x_0 * image_changes[0, j]
            + x_1 * image_changes[1, j]
            + x_2 * image_changes[2, j]
        )
    scale = min(1.0, _MAX_STEP * np.sqrt(len(step) / _dot(step, step)))
    for j in range(len(step)):
        step[j] = residual[j] - scale * step[j]
        anderson.last_residual[j] = residual[j]


@inlined
def _solve(gram, x, factor):
    """Solve `gram z = x` in place for three unknowns, by Cholesky.

    Unknowns with a negligible pivot are set to 0: they would be rounding noise.
    """
    for k in range(3):
        pivot = gram[k, k]
        for i in range(k):
            product = gram[k, i]
            for m in range(i):
                product -= factor[k, m] * factor[i, m]
            factor[k, i] = product * factor[i, i]
            pivot -= factor[k, i] ** 2
            x[k] -= factor[k, i] * x[i]
        # The diagonal stores reciprocals.
        factor[k, k] = 1.0 / np.sqrt(pivot) if pivot > 1e-14 * gram[k, k] else 0.0
        x[k] *= factor[k, k]
    for k in range(2, -1, -1):
        for m in range(k + 1, 3):
            x[k] -= factor[m, k] * x[m]
        x[k] *= factor[k, k]


@inlined
def _dot(x, y):
    total = 0.0
    for j in range(len(x)):
        total += x[j] * y[j]
    return total
