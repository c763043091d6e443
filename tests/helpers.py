"""Ragged data, and a plain version of the embedding: no kernel of ours, nothing packed."""

import numpy as np
from scipy.linalg import eigh

from otk_sklearn._transport import plain_plan


def make_sets(n_sets=12, n_features=4, max_length=30, seed=0, dtype=np.float64):
    """Sets of 1 to `max_length` standard normal elements; the first has one element."""
    rng = np.random.default_rng(seed)
    lengths = np.concatenate([[1], rng.integers(1, max_length + 1, n_sets - 1)])
    return [rng.normal(size=(n, n_features)).astype(dtype) for n in lengths]


def plain_kernel(kernel, gamma, x, w):
    """Kernel between two vectors, as the formulas are written."""
    if kernel == "rbf":
        return np.exp(-gamma * np.sum((x - w) ** 2))
    norm = np.linalg.norm(x)
    if norm == 0:
        return 0.0
    return norm * np.exp(2 * gamma * (x @ w / norm / np.linalg.norm(w) - 1))


def plain_features(kernel, gamma, anchors, damping, elements):
    """Nyström features of elements, one kernel value at a time."""
    if kernel == "linear":
        return elements
    gram = [[plain_kernel(kernel, gamma, v, w) for w in anchors] for v in anchors]
    eigenvalues, U = eigh(np.array(gram))
    scale = 1 / (np.sqrt(np.clip(eigenvalues, 0, None)) + damping)
    kappa = [[plain_kernel(kernel, gamma, x, w) for w in anchors] for x in elements]
    return np.array(kappa) @ (U * scale @ U.T)


def plain_embedding(model, elements, masses=None):
    """What a fitted `OTKEmbedding` with `tol=0` should say of one set."""
    if masses is None:
        masses = np.full(len(elements), 1 / len(elements))
    psi = plain_features(
        model.kernel, model.gamma_, model.anchors_, model.damping, elements
    )
    blocks = []
    for reference in model.references_:
        plan = plain_plan(
            psi @ reference.T,
            masses,
            solver=model.solver,
            epsilon=model.epsilon,
            max_iter=model.max_iter,
        )
        blocks.append(len(reference) * plan.T @ psi)
    return np.ravel(blocks)
