"""Training with labels: its start, the best state on the way, and when to stop."""

import numpy as np

from otk_sklearn.supervised._objective import (
    Objective,
    embedding_of,
    parameter_scales,
    parameters_of,
)

# What cross-validation of the penalty chooses from, and what is taken where sets are few.
_ALPHAS = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)

_FIRST_ALPHA = 1.0

_ALPHA_STEP = 10.0

# A loss has diverged once it is so many times the lowest before, if that isn't small.
_DIVERGED = 100.0

_SMALL_LOSS = 0.1


class Training:
    """Training of an embedding and a linear model, up to the best state on the way.

    Parameters
    ----------
    embedding : OTKEmbedding
        Fitted.
    problem : Problem
    alpha : float or "cv"
    trainable, refit_head
        As in `Objective`.
    validation_fraction : float or None
        Part of the sets that are held out.
    random : RandomState

    Attributes
    ----------
    objective : Objective
    held_out : ndarray of int
        Indices of the sets that are held out.
    start_loss : float
        What the objective is at the start: the embedding as it is, and the best linear
        model of it.

    Raises
    ------
    ValueError
        If squares of the embeddings leave the range of floats.
    """

    def __init__(
        self,
        embedding,
        problem,
        alpha,
        trainable,
        refit_head,
        validation_fraction,
        random,
    ):
        embeddings, _ = embedding._embed(problem.sets)
        _check_squares(embeddings, "embeddings")
        self._embedding, self._chooses_alpha = embedding, alpha == "cv"
        self.trained_on, self.held_out = slice(None), np.empty(0, int)
        if validation_fraction is not None:
            self.trained_on, self.held_out = problem.split(validation_fraction, random)
        if self._chooses_alpha:
            alpha = _FIRST_ALPHA
            folds = problem.folds(random)
            if folds:
                alpha = problem.choose_alpha(embeddings, folds, _ALPHAS)
            if len(self.held_out):  # features that are trained do with less
                alpha *= _ALPHA_STEP
        self._problem = problem._replace(alpha=alpha)
        part = self._problem.subset(self.trained_on)
        coef, intercept = part.fit_linear_model(embeddings[self.trained_on])
        scores = embeddings[self.trained_on] @ coef.T + intercept
        self.start_loss = _penalized(part, part.score(scores)[1], coef)
        start = parameters_of(embedding, coef, intercept)
        scales = parameter_scales(embedding, embeddings)
        self.objective = Objective(embedding, start, part, trainable, refit_head, scales)
        _check_squares(self.objective.start, "elements")  # of which anchors are made

    def evaluate(self, flat):
        """Return the score and the mean loss of the sets that are held out.

        Where none are, 0 and the objective.
        """
        parameters, part = self.objective.parameters(flat), self._problem
        if len(self.held_out):
            part = part.subset(self.held_out)
        embeddings, _ = embedding_of(self._embedding, parameters)._embed(part.sets)
        scores = embeddings @ parameters.coef.T + parameters.intercept
        score, loss = part.score(scores)
        if len(self.held_out):
            return score, loss
        return 0.0, _penalized(part, loss, parameters.coef)

    def result(self, flat):
        """Return the embedding of this state, and the linear model that is best for it.

        Returns
        -------
        embedding : OTKEmbedding
        problem : Problem
            With the penalty of the linear model.
        head : tuple of coef and intercept
            Fitted to all sets, those held out included.
        """
        parameters, problem = self.objective.parameters(flat), self._problem
        trained = embedding_of(self._embedding, parameters)
        embeddings, _ = trained._embed(problem.sets)
        if self._chooses_alpha and len(self.held_out):
            splits = [(self.trained_on, self.held_out)]
            alphas = [problem.alpha * _ALPHA_STEP**power for power in (1, 0, -1)]
            alpha = problem.choose_alpha(embeddings, splits, alphas)
            problem = problem._replace(alpha=alpha)
        head = problem.fit_linear_model(embeddings, (parameters.coef, parameters.intercept))
        return trained, problem, head


def has_diverged(loss, lowest):
    """Whether a loss is out of all proportion to the lowest before."""
    return not loss <= _DIVERGED * max(lowest, _SMALL_LOSS)


def _check_squares(array, name):
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
    """Watches training: scores, the best state so far, and when it is time to stop.

    Parameters
    ----------
    start : ndarray
        The vector that training starts from.
    start_loss : float
        The objective there.
    evaluate : callable or None
        Turns a vector into the score and the loss that decide which state is best. Without,
        the loss that training reports does, which has to be that of the same vector.
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
    best : ndarray
        The best vector.
    diverged : bool
    """

    def __init__(self, start, start_loss, evaluate, tol, n_iter_no_change, report):
        self._evaluate, self._tol, self._lowest = evaluate, tol, start_loss
        self._n_iter_no_change, self._report = n_iter_no_change, report
        self.losses, self.scores = [], []
        self.best, self.diverged, self._n_without = start, False, 0
        self._best_score, self._best_loss = 0.0, start_loss
        if evaluate is not None:
            self._best_score, self._best_loss = evaluate(start)

    def __call__(self, flat, loss):
        """Take note of an epoch, and return whether to stop."""
        if not np.isfinite(loss):  # the epoch broke off
            self.diverged = True
            return True
        score, decisive_loss = 0.0, loss
        if self._evaluate is not None:
            score, decisive_loss = self._evaluate(flat)
        self.losses.append(float(loss))
        self.scores.append(float(score))
        gain, fall = score - self._best_score, self._best_loss - decisive_loss
        self._n_without += 1
        if gain > self._tol or (gain >= 0 and fall > self._tol):
            self._n_without = 0
        if gain > 0 or (gain == 0 and fall > 0):
            self.best = flat.copy()
            self._best_score, self._best_loss = score, decisive_loss
        self._lowest = min(self._lowest, loss)
        self.diverged = has_diverged(loss, self._lowest)
        is_last = self.diverged or self._n_without >= self._n_iter_no_change
        return self._report(self, is_last) or is_last
