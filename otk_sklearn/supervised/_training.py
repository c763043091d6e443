"""Training with labels: its start, the best state on the way, and the final fit."""

from typing import NamedTuple

import numpy as np

from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn.supervised._objective import (
    Parameters,
    parameter_scales,
    parameters_of,
    state_at,
)
from otk_sklearn.supervised._problem import Problem

# Penalties that cross-validation chooses from, and the one for too few sets.
_ALPHAS = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
_FIRST_ALPHA = 1.0

# Factor of the penalty in training, where sets are held out.
_ALPHA_STEP = 10.0

# A loss has diverged if it exceeds the lowest one so far, or this loss, by this factor.
_SMALL_LOSS = 0.1
_DIVERGED = 100.0


@compared_by_identity
class Start(NamedTuple):
    """Where training starts: the embedding as it is, and its best linear model.

    Parameters
    ----------
    problem : Problem
        With all sets, and the penalty.
    trained_on, held_out : slice or ndarray of int
        Indices of the sets to train on, and of those that are held out.
    parameters : Parameters
    scales : dict
        As from `parameter_scales`.
    loss : float
        The objective.
    """

    problem: Problem
    trained_on: slice | np.ndarray
    held_out: np.ndarray
    parameters: Parameters
    scales: dict
    loss: float


def initialize(state, problem, alpha, validation_fraction, random):
    """Split the sets, choose the penalty, and fit the linear model.

    Parameters
    ----------
    state : EmbeddingState
    problem : Problem
    alpha : float or "cv"
    validation_fraction : float or None
        Part of the sets that are held out.
    random : RandomState

    Returns
    -------
    Start

    Raises
    ------
    ValueError
        If squares of the embeddings leave the range of floats.
    """
    embeddings, _ = state.embed(problem.sets)
    check_squares(embeddings, "embeddings")
    trained_on, held_out = slice(None), np.empty(0, int)
    if validation_fraction is not None:
        trained_on, held_out = problem.split(validation_fraction, random)
    if alpha == "cv":
        alpha, folds = _FIRST_ALPHA, problem.folds(random)
        if folds:
            alpha = problem.choose_alpha(embeddings, folds, _ALPHAS)
        if len(held_out):  # trained features need more regularization
            alpha *= _ALPHA_STEP
    problem = problem._replace(alpha=alpha)
    part, embeddings_of_part = problem.subset(trained_on), embeddings[trained_on]
    coef, intercept = part.fit_linear_model(embeddings_of_part)
    _, loss = part.score(embeddings_of_part @ coef.T + intercept)
    parameters = parameters_of(state, coef, intercept)
    scales, loss = parameter_scales(state, embeddings), _penalized(part, loss, coef)
    return Start(problem, trained_on, held_out, parameters, scales, loss)


def evaluate(state, start, parameters):
    """Return the score and the mean loss of the sets that are held out.

    Where none are, 0 and the objective.
    """
    part = start.problem
    if len(start.held_out):
        part = part.subset(start.held_out)
    embeddings, _ = state_at(state, parameters).embed(part.sets)
    scores = embeddings @ parameters.coef.T + parameters.intercept
    score, loss = part.score(scores)
    if len(start.held_out):
        return score, loss
    return 0.0, _penalized(part, loss, parameters.coef)


def finish(state, start, parameters, chooses_alpha):
    """Return the trained embedding, and the linear model that is best for it.

    Returns
    -------
    state : EmbeddingState
    problem : Problem
        With the penalty of the linear model.
    head : tuple of coef and intercept
        Fitted to all sets, those held out included.
    """
    state, problem = state_at(state, parameters), start.problem
    embeddings, _ = state.embed(problem.sets)
    if chooses_alpha and len(start.held_out):
        splits = [(start.trained_on, start.held_out)]
        alphas = [problem.alpha * _ALPHA_STEP**power for power in (1, 0, -1)]
        alpha = problem.choose_alpha(embeddings, splits, alphas)
        problem = problem._replace(alpha=alpha)
    head = problem.fit_linear_model(embeddings, (parameters.coef, parameters.intercept))
    return state, problem, head


def has_diverged(loss, lowest):
    """Whether a loss exceeds the lowest one before by a large factor."""
    return not loss <= _DIVERGED * max(lowest, _SMALL_LOSS)


def check_squares(array, name):
    """Raise an error where sums of squares would leave the range of floats."""
    limit = np.sqrt(np.finfo(array.dtype).max / max(1, array.size))
    if not np.abs(array).max(initial=0) < limit:
        raise ValueError(
            f"The {name} of X leave the range of {array.dtype} when they are "
            "squared; expected elements on a smaller scale (see ElementTransformer)."
        )


def _penalized(problem, loss, coef):
    return loss + problem.alpha / 2 * np.vdot(coef, coef) / problem.weights.sum()


class Monitor:
    """Tracks scores and the best parameters, and decides when to stop.

    Parameters
    ----------
    start : Start
    evaluate : callable or None
        Returns the score and the loss of parameters, which decide which are best. Without,
        the loss that training reports does, which has to be that of the same parameters.
    tol : float
    n_iter_no_change : int
        Stop after this many epochs in a row without an improvement by `tol`.
    report : callable
        Called after each epoch with this monitor, and whether it was the last; returns
        whether to stop.

    Attributes
    ----------
    losses, scores : list of float
        Of each epoch. Scores are all 0 without `evaluate`.
    best : Parameters
    diverged : bool
    """

    def __init__(self, start, evaluate, tol, n_iter_no_change, report):
        self._evaluate, self._tol, self._lowest = evaluate, tol, start.loss
        self._n_iter_no_change, self._report = n_iter_no_change, report
        self.losses, self.scores = [], []
        self.best, self.diverged, self._n_without = start.parameters, False, 0
        self._best_score, self._best_loss = 0.0, start.loss
        if evaluate is not None:
            self._best_score, self._best_loss = evaluate(start.parameters)

    def __call__(self, parameters, loss):
        """Take note of an epoch, and return whether to stop."""
        if not np.isfinite(loss):  # the epoch was aborted
            self.diverged = True
            return True
        score, decisive_loss = 0.0, loss
        if self._evaluate is not None:
            score, decisive_loss = self._evaluate(parameters)
        self.losses.append(float(loss))
        self.scores.append(float(score))
        gain, fall = score - self._best_score, self._best_loss - decisive_loss
        self._n_without += 1
        if gain > self._tol or (gain >= 0 and fall > self._tol):
            self._n_without = 0
        if gain > 0 or (gain == 0 and fall > 0):
            self.best = parameters
            self._best_score, self._best_loss = score, decisive_loss
        self._lowest = min(self._lowest, loss)
        self.diverged = has_diverged(loss, self._lowest)
        is_last = self.diverged or self._n_without >= self._n_iter_no_change
        return self._report(self, is_last) or is_last
