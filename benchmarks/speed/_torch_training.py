"""The same training in PyTorch, written such that it is fast.

Batches are padded before time is taken; whitening comes after pooling, as ours does;
scalings instead of logarithms; and as many iterations as is asked for, without a look at
errors.
"""

from typing import NamedTuple

import numpy as np
import torch
from _peers import windows
from torch.nn import functional


class Batch(NamedTuple):
    """Sets padded to the longest, as tensors.

    Parameters
    ----------
    x : tensor of shape (n_sets, n_windows, n_features)
    squares : tensor of shape (n_sets, n_windows, 1)
        Squared norms of the windows.
    masses : tensor of shape (n_sets, n_windows, 1)
        0 where there is only padding.
    targets : tensor of shape (n_sets, 1)
    """

    x: torch.Tensor
    squares: torch.Tensor
    masses: torch.Tensor
    targets: torch.Tensor


def padded(problem, index, filter_size):
    """Return a `Batch` of some of the sets."""
    rows = [windows(x, filter_size) for x in problem.sets[index]]
    shape = len(rows), max(len(w) for w in rows)
    x = np.zeros((*shape, rows[0].shape[1]), np.float32)
    masses = np.zeros((*shape, 1), np.float32)
    for i, w in enumerate(rows):
        x[i, : len(w)], masses[i, : len(w)] = w, 1 / len(w)
    squares = (x**2).sum(axis=2, keepdims=True)
    targets = problem.targets[index].astype(np.float32)
    return Batch(*map(torch.from_numpy, [x, squares, masses, targets]))


def tensors_of(case):
    """Return what is trained, by name."""
    values = case.start._asdict()
    values["references"] = values["references"][0]
    return {
        name: torch.tensor(value, dtype=torch.float32, requires_grad=True)
        for name, value in values.items()
    }


def mean_loss(parameters, batch, n_iter, case):
    """Mean loss of a batch, with the penalty, all of it to be differentiated."""
    epsilon, damping = case.embedding.epsilon, case.embedding.damping
    x, squares, masses, targets = batch
    anchors, gamma = parameters["anchors"], parameters["log_gamma"].exp()
    references = functional.normalize(parameters["references"], dim=1)
    n_supports = len(references)

    anchor_squares = (anchors**2).sum(dim=1)

    def kappa_of(x, squares):
        distances = squares + anchor_squares - 2 * (x @ anchors.T)
        return torch.exp(-gamma * distances.clamp(min=0))

    gram = kappa_of(anchors, anchor_squares.unsqueeze(1))
    eigenvalues, U = torch.linalg.eigh(gram)
    normalization = (U / (eigenvalues.clamp(min=0).sqrt() + damping)) @ U.T
    kappa = kappa_of(x, squares)

    similarity = kappa @ (references @ normalization).T
    shift = similarity.detach().amax(dim=2, keepdim=True)
    gibbs = torch.exp((similarity - shift) / epsilon)
    transposed = gibbs.transpose(1, 2)
    v = torch.full((len(x), n_supports, 1), 1 / n_supports)
    for _ in range(n_iter):
        u = masses / (gibbs @ v)
        v = (1 / n_supports) / (transposed @ u)
    plan = u * gibbs * v.transpose(1, 2)
    embeddings = n_supports * (plan.transpose(1, 2) @ kappa) @ normalization

    coef = parameters["coef"]
    scores = embeddings.flatten(start_dim=1) @ coef.T + parameters["intercept"]
    loss = functional.binary_cross_entropy_with_logits(scores, targets)
    penalty = case.problem.alpha / len(case.problem.sets)
    return loss + penalty / 2 * (coef**2).sum()


def epoch(case, batches, n_iter, n_threads):
    """Train for one epoch from the start, and return the loss."""
    torch.set_num_threads(n_threads)
    parameters = tensors_of(case)
    groups = [
        {"params": [parameter], "lr": case.learning_rate * case.scales[name]}
        for name, parameter in parameters.items()
    ]
    adam, losses = torch.optim.Adam(groups, fused=True), []
    for batch in batches:
        adam.zero_grad()
        loss = mean_loss(parameters, batch, n_iter, case)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return np.mean(losses)
