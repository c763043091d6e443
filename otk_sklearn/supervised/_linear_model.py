"""The exact fit of the linear model of embeddings."""

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from otk_sklearn.supervised._losses import squared_loss

# The linear model is fitted until no entry of the mean gradient is larger than this, or
# than this part of the penalty's curvature: where that is small, far from the best one.
_MAX_ITER = 2000

_GRADIENT_TOL = 1e-5

_PART_OF_CURVATURE = 1e-2


def fit_linear_model(embeddings, targets, weights, alpha, loss, start=None):
    """Fit the linear model of the least loss: `sum_s w_s loss_s + alpha / 2 ||coef||^2`.

    Parameters
    ----------
    embeddings : ndarray of shape (n_sets, n_features)
    targets : ndarray of shape (n_sets, n_outputs)
    weights : ndarray of shape (n_sets,)
    alpha : float
    loss : callable
    start : tuple of coef and intercept, default=None
        Where to start from; 0 by default.

    Returns
    -------
    coef : ndarray of shape (n_outputs, n_features)
    intercept : ndarray of shape (n_outputs,)
    """
    shape = targets.shape[1], embeddings.shape[1]
    if loss is squared_loss:
        ridge = Ridge(alpha)
        ridge.fit(embeddings.astype(np.float64), targets, sample_weight=weights)
        return np.reshape(ridge.coef_, shape), np.reshape(ridge.intercept_, shape[0])
    # All embeddings share a large part, which would make the problem ill-conditioned.
    mean = (np.average(embeddings, axis=0, weights=weights)).astype(embeddings.dtype)
    centered = embeddings - mean
    total = weights.sum()

    def mean_loss(flat):
        coef, intercept = flat[shape[0] :].reshape(shape), flat[: shape[0]]
        scores = centered @ coef.T.astype(centered.dtype) + intercept
        losses, gradients = loss(scores, targets)
        gradients *= weights[:, np.newaxis]
        coef_gradient = gradients.T.astype(centered.dtype) @ centered + alpha * coef
        value = weights @ losses + alpha / 2 * np.vdot(coef, coef)
        gradient = np.concatenate([gradients.sum(axis=0), coef_gradient.ravel()])
        return value / total, gradient / total

    flat = np.zeros(shape[0] * (1 + shape[1]))
    if start is not None:
        flat[: shape[0]] = start[1] + start[0] @ mean
        flat[shape[0] :] = start[0].ravel()
    limits = np.finfo(embeddings.dtype)
    gradient_tol = max(min(_GRADIENT_TOL, _PART_OF_CURVATURE * alpha / total), limits.eps)
    options = {"maxiter": _MAX_ITER, "gtol": gradient_tol, "ftol": limits.eps}
    flat = minimize(mean_loss, flat, jac=True, method="L-BFGS-B", options=options).x
    coef = flat[shape[0] :].reshape(shape)
    return coef, flat[: shape[0]] - coef @ mean
