"""Speed of training: an epoch against `transform`, and against padded PyTorch.

    python benchmarks/speed/training.py

An epoch takes a step of Adam for each batch of 70 % of the peptides, with respect to
references, anchors, bandwidth and linear model. All that is compared runs in turns: times
are the best of the rounds, ratios the medians over the rounds. Of one batch, loss and
gradients of both are compared, by plans that have converged.

PyTorch, in `_torch_training.py`, takes as many iterations as our tolerance leads to on
average. Batches of sets of about the same length need least padding, but are always the
same.

Where other programs run at the same time, two threads of PyTorch wait for each other
and take up to ten times as long: only single-thread times are meaningful there.
"""

import functools
import os
import platform
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from _timing import once

from otk_sklearn import OTKClassifier, OTKEmbedding
from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.datasets import load_peptides
from otk_sklearn.supervised._losses import logistic_loss
from otk_sklearn.supervised._objective import Objective, parameter_scales, parameters_of
from otk_sklearn.supervised._optimizers import Adam, run_epoch
from otk_sklearn.supervised._problem import Problem

N_THREADS = 2
N_ROUNDS = 3
FILTER_SIZE = 5
SIZES = [(10, 128), (50, 64)]  # n_supports, n_components

# The number of Sinkhorn iterations that the paper trains with.
PAPER_ITERATIONS = 10

# What makes plans of the batch that gradients are compared on converge.
CONVERGED = {"tol": 1e-6, "max_iter": 10_000}
CONVERGED_ITERATIONS = 300
MAX_DEVIATION = 1e-2

# Weight of the penalty: it has no influence on times.
ALPHA = 1.0

CLASSIFIER = OTKClassifier()
TRAINABLE = "references", "anchors", "gamma"


class Case(NamedTuple):
    """A fitted embedding, and what is trained from there.

    Parameters
    ----------
    embedding : OTKEmbedding
    start : Parameters
    problem : Problem
    scales : dict
    batch_size : int
    learning_rate : float
    """

    embedding: OTKEmbedding
    start: tuple
    problem: Problem
    scales: dict
    batch_size: int
    learning_rate: float = CLASSIFIER.learning_rate_init

    def objective(self, scales=None):
        """Return the `Objective` that `OTKClassifier` minimises."""
        scales = self.scales if scales is None else scales
        return Objective(self.embedding, self.start, self.problem, TRAINABLE, False, scales)

    def epoch(self, n_jobs=N_THREADS):
        """Train for one epoch from the start, and return the loss."""
        objective = self.objective()
        self.embedding.set_params(n_jobs=n_jobs)
        adam, rates = Adam(len(objective.start)), (self.learning_rate, self.learning_rate)
        random = np.random.RandomState(0)
        with single_threaded(), np.errstate(all="ignore"):
            _, loss = run_epoch(
                objective, adam, objective.start, self.batch_size, rates, random
            )
        self.embedding.set_params(n_jobs=N_THREADS)
        return loss

    def gradient(self):
        """Compute the gradient of all sets at once."""
        objective = self.objective()
        with single_threaded(), np.errstate(all="ignore"):
            loss, _ = objective(objective.start)
        return loss

    def transform(self):
        """Embed the sets."""
        return self.embedding.transform(self.problem.sets)


def make_case(n_supports, n_components):
    """Fit what training starts from."""
    X, y, _ = load_peptides("AMPvsUniProt")
    n_sets = int(0.7 * len(X))
    sets = X[:n_sets].astype(np.float32)
    targets = y[:n_sets, np.newaxis].astype(np.float64)
    problem = Problem(sets, targets, np.ones(n_sets), logistic_loss, alpha=ALPHA)
    embedding = OTKEmbedding(
        n_supports,
        n_components=n_components,
        filter_size=FILTER_SIZE,
        n_jobs=N_THREADS,
        random_state=0,
    ).fit(sets)
    embeddings = embedding.transform(sets)
    start = parameters_of(embedding, *problem.fit_linear_model(embeddings))
    scales = parameter_scales(embedding, embeddings)
    return Case(embedding, start, problem, scales, CLASSIFIER._batch_size(problem))


def batches_of(problem, batch_size, is_sorted):
    """Return the indices of the sets in each batch: of about one length, or at random."""
    order = np.random.RandomState(0).permutation(len(problem.sets))
    if is_sorted:
        order = np.argsort(problem.sets.lengths, kind="stable")
    batches = np.array_split(order, round(len(order) / batch_size))
    # Sorted ones in any order, so that steps don't go from short sets to long ones.
    return [batches[i] for i in np.random.RandomState(1).permutation(len(batches))]


def largest_deviation(case):
    """Compare loss and gradients of one batch, and return how far they are apart."""
    import _torch_training

    given = case.embedding.get_params()
    case.embedding.set_params(**CONVERGED)
    index = batches_of(case.problem, case.batch_size, is_sorted=False)[0]
    objective = case.objective(dict.fromkeys(case.scales, 1.0))
    loss, gradient = objective(objective.start, index)
    case.embedding.set_params(**{name: given[name] for name in CONVERGED})

    parameters, start = _torch_training.tensors_of(case), 0
    batch = _torch_training.padded(case.problem, index, FILTER_SIZE)
    found = _torch_training.mean_loss(parameters, batch, CONVERGED_ITERATIONS, case)
    found.backward()
    deviations = {"loss": abs(found.item() - loss) / loss}
    for name, parameter in parameters.items():
        expected = gradient[start : start + parameter.numel()]
        start += parameter.numel()
        error = np.linalg.norm(parameter.grad.numpy().ravel() - expected)
        deviations[name] = error / np.linalg.norm(expected)
    assert start == len(gradient)
    name = max(deviations, key=deviations.get)
    if not deviations[name] <= MAX_DEVIATION:
        raise AssertionError(f"Relative deviations of loss and gradients: {deviations}")
    return deviations[name], name


def in_turns(functions):
    """Times of functions of these names, of shape (n_rounds,), after a warm-up."""
    times = {name: [] for name in functions}
    for _ in range(1 + N_ROUNDS):
        for name, function in functions.items():
            took, result = once(function)
            times[name].append(took)
            assert np.isfinite(result).all(), name
    return {name: np.array(taken[1:]) for name, taken in times.items()}


def peers_of(case, n_iter):
    """Return the epochs of PyTorch, by name."""
    import _torch_training

    functions = {}
    for is_sorted, kind in [(False, "random"), (True, "sorted")]:
        indices = batches_of(case.problem, case.batch_size, is_sorted)
        batches = [_torch_training.padded(case.problem, i, FILTER_SIZE) for i in indices]
        filled = np.mean(np.concatenate([b.masses.numpy().ravel() > 0 for b in batches]))
        settings = {(n_iter, N_THREADS), (n_iter, 1)}
        if is_sorted:
            settings.add((PAPER_ITERATIONS, N_THREADS))
        for n, n_threads in sorted(settings):
            name = f"PyTorch, {kind} batches ({filled:.0%} real), {n} iterations"
            name += ", one thread" if n_threads == 1 else ""
            functions[name] = functools.partial(
                _torch_training.epoch, case, batches, n, n_threads
            )
    return functions


def report(n_supports, n_components):
    """Print a table for embeddings of this size."""
    case = make_case(n_supports, n_components)
    sets, embedding = case.problem.sets, case.embedding
    n_iter = embedding.sinkhorn_diagnostics(sets).n_iter
    print(
        f"\nn_supports={n_supports}, n_components={n_components}, {len(sets):,} sets, "
        f"batches of {case.batch_size}; on average {n_iter.mean():.2f} iterations",
        flush=True,
    )
    ours = {
        "transform": case.transform,
        "gradient of all sets at once": case.gradient,
        "epoch": case.epoch,
        "epoch, one thread": functools.partial(case.epoch, n_jobs=1),
    }
    for function in ours.values():  # before PyTorch is imported, and its threads with it
        function()
    times = in_turns({**ours, **peers_of(case, max(1, round(n_iter.mean())))})
    for name, taken in times.items():
        of_transform = np.median(taken / times["transform"])
        of_epoch = np.median(taken / times["epoch"])
        print(
            f"  {name:<64} {taken.min():7.3f} s, x {of_transform:5.2f} of transform, "
            f"x {of_epoch:5.2f} of our epoch",
            flush=True,
        )
    theirs, our = (
        min(taken.min() for name, taken in times.items() if word in name)
        for word in ["PyTorch", "epoch"]
    )
    print(f"  the fastest of PyTorch takes x {theirs / our:.2f} of our fastest")
    deviation, name = largest_deviation(case)
    print(f"  largest relative deviation: {deviation:.0e}, of {name}", flush=True)


def main():
    """Print versions, and a table for each size."""
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, PyTorch "
        f"{version('torch')}; {N_THREADS} threads unless one; load average before: "
        f"{os.getloadavg()[0]:.1f}"
    )
    for size in SIZES:
        report(*size)


if __name__ == "__main__":
    main()
