"""Losses of linear models, and the linear model of the least loss."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

# The linear model is fitted until no entry of the mean gradient is larger than this, or
# than this part of the penalty's curvature: where that is small, far from the best one.
_GRADIENT_TOL = 1e-5
_PART_OF_CURVATURE = 1e-2
_MAX_ITER = 2000


class Loss:
    """A convex loss of the scores of a linear model.

    Called with scores and targets, both of shape (n_sets, n_outputs), it returns the loss
    of each set, and its gradient with respect to the scores, in an array that callers may
    overwrite.
    """

    def __call__(self, scores, targets):
        """Return losses of shape (n_sets,), and gradients of shape (n_sets, n_outputs)."""
        raise NotImplementedError

    def score(self, scores, targets, weights):
        """Return the score that users see: accuracy, or R^2."""
        raise NotImplementedError

    def strata(self, targets):
        """Return the class of each set; None if sets don't have exactly one class."""
        return None

    def fit_linear_model(self, embeddings, targets, weights, alpha, start=None):
        """Minimize `sum_s w_s loss_s + alpha / 2 ||coef||^2` by L-BFGS.

        Parameters
        ----------
        embeddings : ndarray of shape (n_sets, n_features)
        targets : ndarray of shape (n_sets, n_outputs)
        weights : ndarray of shape (n_sets,)
        alpha : float
        start : tuple of coef and intercept, default=None
            Where to start from; 0 by default.

        Returns
        -------
        coef : ndarray of shape (n_outputs, n_features)
        intercept : ndarray of shape (n_outputs,)
        """
        shape = targets.shape[1], embeddings.shape[1]
        # All embeddings share a large part, which would make the problem ill-conditioned.
        mean = (np.average(embeddings, axis=0, weights=weights)).astype(embeddings.dtype)
        centered = embeddings - mean
        total = weights.sum()

        def mean_loss(flat):
            coef, intercept = flat[shape[0] :].reshape(shape), flat[: shape[0]]
            scores = centered @ coef.T.astype(centered.dtype) + intercept
            losses, gradients = self(scores, targets)
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
        gradient_tol = max(
            min(_GRADIENT_TOL, _PART_OF_CURVATURE * alpha / total), limits.eps
        )
        options = {"maxiter": _MAX_ITER, "gtol": gradient_tol, "ftol": limits.eps}
        flat = minimize(mean_loss, flat, jac=True, method="L-BFGS-B", options=options).x
        coef = flat[shape[0] :].reshape(shape)
        return coef, flat[: shape[0]] - coef @ mean


class ClassificationLoss(Loss):
    """A loss of classes or labels."""

    def score(self, scores, targets, weights):
        """Return the accuracy, of all labels together."""
        return np.average(self.is_correct(scores, targets), weights=weights)

    def is_correct(self, scores, targets):
        """Return whether the prediction for each set is correct."""
        raise NotImplementedError


class SoftmaxLoss(ClassificationLoss):
    """Negative log-likelihood of one of several classes; targets are indicators."""

    def __call__(self, scores, targets):
        log_probabilities = log_softmax(scores, axis=1)
        losses = -np.einsum("so,so->s", targets, log_probabilities)
        return losses, np.exp(log_probabilities) - targets

    def is_correct(self, scores, targets):
        return scores.argmax(axis=1) == targets.argmax(axis=1)

    def strata(self, targets):
        return targets.argmax(axis=1)


class LogisticLoss(ClassificationLoss):
    """Negative log-likelihood of independent events; targets are 0 or 1."""

    def __call__(self, scores, targets):
        losses = np.logaddexp(0, scores) - targets * scores
        return losses.sum(axis=1), expit(scores) - targets

    def is_correct(self, scores, targets):
        return ((scores > 0) == targets).all(axis=1)

    def strata(self, targets):
        return targets[:, 0].astype(int) if targets.shape[1] == 1 else None


class RegressionLoss(Loss):
    """A loss of numbers."""

    def score(self, scores, targets, weights):
        """Return R^2; 0 for a single set, of which it is not defined."""
        if len(targets) < 2:
            return 0.0
        return r2_score(targets, scores, sample_weight=weights)


class SquaredLoss(RegressionLoss):
    """Half the squared error."""

    def __call__(self, scores, targets):
        errors = scores - targets
        return np.einsum("so,so->s", errors, errors) / 2, errors

    def fit_linear_model(self, embeddings, targets, weights, alpha, start=None):
        """Solve for the linear model: `start` is not needed."""
        ridge = Ridge(alpha)
        ridge.fit(embeddings.astype(np.float64), targets, sample_weight=weights)
        n_outputs = targets.shape[1]
        return np.reshape(ridge.coef_, (n_outputs, -1)), np.reshape(
            ridge.intercept_, n_outputs
        )
