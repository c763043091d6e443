"""Optimizers of the objective: Adam on batches, and L-BFGS on all sets."""

import itertools

import numpy as np
from scipy.optimize import minimize

# Largest entry of the gradient at which L-BFGS is done.
_GRADIENT_TOL = 1e-6


class Adam:
    """Adam: gradients divided by a running root mean square.

    The first hundred steps are shorter: the running means are not reliable yet, and
    training starts from a linear model whose gradient is noise.

    Parameters
    ----------
    size : int
        Length of gradients.
    state : tuple, default=None
        `state` of a previous instance, to resume from; ignored for another size.

    Attributes
    ----------
    state : tuple of ndarray of shape (size,), ndarray of shape (size,) and int
        Means of gradients and of their squares, and the number of steps.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
           https://arxiv.org/abs/1412.6980
    """

    _DECAY, _SQUARE_DECAY, _SMALLEST = 0.9, 0.999, 1e-8
    _N_SHORT_STEPS = 100

    def __init__(self, size, state=None):
        if state is None or len(state[0]) != size:
            state = np.zeros(size), np.zeros(size), 0
        self.state = state

    def step(self, gradient):
        """Return the step against this gradient, for a learning rate of 1."""
        mean, square, n_steps = self.state
        n_steps += 1
        mean = mean + (1 - self._DECAY) * (gradient - mean)
        square = square + (1 - self._SQUARE_DECAY) * (gradient**2 - square)
        self.state = mean, square, n_steps
        mean = mean / (1 - self._DECAY**n_steps)
        square = square / (1 - self._SQUARE_DECAY**n_steps)
        length = min(1.0, n_steps / self._N_SHORT_STEPS)
        return length * mean / (np.sqrt(square) + self._SMALLEST)


def minimize_by_batches(objective, learning_rate, batch_size, max_epochs, random, monitor):
    """Take a step of Adam for each batch of sets, epoch after epoch.

    The learning rate decreases linearly, to 0 after the last epoch.

    Parameters
    ----------
    objective : Objective
    learning_rate : float
        Of the first step.
    batch_size : int
    max_epochs : int
    random : RandomState
        Draws the order of the sets in each epoch.
    monitor : callable
        Called with the `Parameters` and the mean loss after each epoch; returns whether to
        stop.
    """
    flat, adam = objective.start, Adam(len(objective.start))
    rates = np.linspace(learning_rate, 0.0, max_epochs + 1)
    for first_and_last in itertools.pairwise(rates):
        flat, loss = run_epoch(objective, adam, flat, batch_size, first_and_last, random)
        if objective.refits_head and np.isfinite(loss):
            objective = objective.refit(flat)
        if monitor(objective.parameters(flat), loss):
            break


def run_epoch(objective, adam, flat, batch_size, rates, random):
    """Take a step of Adam for each batch of sets.

    Parameters
    ----------
    objective : Objective
    adam : Adam
    batch_size, random
        As in `minimize_by_batches`.
    flat : ndarray
        The vector to start from.
    rates : pair of float
        The learning rates of the first step, and of one after the last.

    Returns
    -------
    flat : ndarray
    loss : float
        Mean over the batches, each at the time of its step. Where it is NaN, the vector is
        the last before that.
    """
    weights, losses = objective.problem.weights, []
    order = random.permutation(len(weights))
    n_batches = max(1, round(len(weights) / batch_size))
    for i, batch in enumerate(np.array_split(order, n_batches)):
        loss, gradient = objective(flat, batch)
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            return flat, np.nan
        rate = rates[0] + (rates[1] - rates[0]) * i / n_batches
        stepped = objective.restore_norms(flat - rate * adam.step(gradient))
        if not objective.is_in_range(stepped):
            return flat, np.nan
        flat = stepped
        losses.append(loss * weights[batch].sum())
    return flat, sum(losses) / weights.sum()


def minimize_whole(objective, max_epochs, monitor):
    """Minimize by L-BFGS, which sees all sets in each of its iterations.

    Parameters
    ----------
    objective : Objective
    max_epochs : int
        Maximum number of iterations.
    monitor : callable
        As in `minimize_by_batches`.
    """

    def function(flat):
        nonlocal objective
        if objective.refits_head and objective.is_in_range(flat):
            # At the best linear model, the other gradients are the whole gradient.
            objective = objective.refit(flat)
        return objective(flat)

    def callback(intermediate_result):
        parameters = objective.parameters(intermediate_result.x)
        if monitor(parameters, intermediate_result.fun):
            raise StopIteration

    result = minimize(
        function,
        objective.start,
        jac=True,
        method="L-BFGS-B",
        callback=callback,
        options={"maxiter": max_epochs, "gtol": _GRADIENT_TOL},
    )
    if result.nit == 0:  # there was nothing to gain
        monitor(objective.parameters(result.x), result.fun)
