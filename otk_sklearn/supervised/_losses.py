"""Losses of linear models, and the scores that users see.

A loss turns scores and targets, both of shape (n_sets, n_outputs), into the loss of each
set and its gradient with respect to the scores.
"""

import numpy as np
from scipy.special import expit, log_softmax
from sklearn.metrics import r2_score


def softmax_loss(scores, targets):
    """Negative log-likelihood of one of several classes; targets are indicators."""
    log_probabilities = log_softmax(scores, axis=1)
    losses = -np.einsum("so,so->s", targets, log_probabilities)
    return losses, np.exp(log_probabilities) - targets


def logistic_loss(scores, targets):
    """Negative log-likelihood of independent events; targets are 0 or 1."""
    losses = np.logaddexp(0, scores) - targets * scores
    return losses.sum(axis=1), expit(scores) - targets


def squared_loss(scores, targets):
    """Half the squared error."""
    errors = scores - targets
    return np.einsum("so,so->s", errors, errors) / 2, errors


def score_of(loss, scores, targets, weights):
    """R^2 for the squared loss; for others, the accuracy (of all labels together)."""
    if loss is squared_loss:
        if len(targets) < 2:  # it is not defined
            return 0.0
        return r2_score(targets, scores, sample_weight=weights)
    if loss is softmax_loss:
        right = scores.argmax(axis=1) == targets.argmax(axis=1)
    else:
        right = ((scores > 0) == targets).all(axis=1)
    return np.average(right, weights=weights)
