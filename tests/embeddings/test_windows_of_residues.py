"""Folds of proteins as in the paper, whose settings are those of the tests here.

Windows of 10 residues, one-hot, the homogeneous kernel with sigma = 0.6, 512 anchors, and
references for epsilon = 0.5: embeddings have to agree with a plain version in NumPy, with
plans that have converged. Anchors and references are those that have been learned.
"""

import numpy as np
import pytest
from scipy.special import logsumexp

from otk_sklearn import OTKEmbedding

SIGMA = 0.6
FILTER_SIZE = 10
EPSILON = 0.5
DAMPING = 1e-2


@pytest.fixture(scope="module")
def sequences():
    """Residues as numbers below 20: parts of three domains, with mutations."""
    rng = np.random.default_rng(0)
    domains = rng.integers(0, 20, (3, 150))
    cut = []
    for i in range(20):
        domain = np.where(rng.random(150) < 0.3, rng.integers(0, 20, 150), domains[i % 3])
        start = rng.integers(0, 100)
        cut.append(domain[start : start + rng.integers(FILTER_SIZE, 80)])
    return [*cut, domains[0][: FILTER_SIZE - 3]]  # shorter than a window


@pytest.mark.parametrize(
    ("n_references", "n_supports", "dtype", "bound"),
    [(1, 100, np.float64, 1e-9), (5, 10, np.float64, 1e-9), (1, 50, np.float32, 1e-4)],
)
def test_the_published_pipeline_in_numpy(sequences, n_references, n_supports, dtype, bound):
    one_hot = [np.eye(20, dtype=dtype)[sequence] for sequence in sequences]
    model = OTKEmbedding(
        n_supports,
        n_references=n_references,
        epsilon=EPSILON,
        kernel="homogeneous",
        gamma=1 / (2 * SIGMA**2),
        n_components=512,
        damping=DAMPING,
        filter_size=FILTER_SIZE,
        random_state=0,
    ).fit(one_hot)
    found = model.set_params(tol=1e-11, max_iter=2000).transform(one_hot)
    expected = np.array([embedded(model, rows.astype(np.float64)) for rows in one_hot])
    assert found.dtype == dtype
    assert np.abs(found - expected).max() < bound * np.abs(expected).max()


def embedded(model, residues):
    """Embed one sequence as the formulas are written."""
    features = nystroem_features(model.anchors_.astype(np.float64), windows_of(residues))
    pooled = [
        plan.shape[1] * plan.T @ features
        for plan in (
            sinkhorn_plan(features @ reference.T)
            for reference in model.references_.astype(np.float64)
        )
    ]
    return np.ravel(pooled)


def windows_of(residues):
    """Return windows one below the other, each flattened row by row."""
    missing = max(FILTER_SIZE - len(residues), 0)
    padded = np.vstack([residues, np.zeros((missing, residues.shape[1]))])
    starts = range(len(padded) - FILTER_SIZE + 1)
    return np.array([padded[start : start + FILTER_SIZE].ravel() for start in starts])


def nystroem_features(anchors, windows):
    """Return kernel values, multiplied by the root of the inverse of those of anchors."""
    eigenvalues, vectors = np.linalg.eigh(kernel_of(anchors, anchors))
    roots = np.sqrt(np.clip(eigenvalues, 0, None)) + DAMPING
    return kernel_of(windows, anchors) @ (vectors / roots) @ vectors.T


def kernel_of(x, w):
    """Return the homogeneous kernel, whose first argument has any norm."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    cosines = x @ w.T / norms / np.linalg.norm(w, axis=1)
    return norms * np.exp((cosines - 1) / SIGMA**2)


def sinkhorn_plan(similarities):
    """Return the entropic plan, iterated in logarithms until it has converged."""
    n_elements, n_supports = similarities.shape
    log_kernel = similarities / EPSILON - np.log(n_elements * n_supports)
    log_u, log_v = np.zeros((n_elements, 1)), np.zeros((1, n_supports))
    for _ in range(10_000):
        log_u = -np.log(n_elements) - logsumexp(log_kernel + log_v, axis=1, keepdims=True)
        log_v = -np.log(n_supports) - logsumexp(log_kernel + log_u, axis=0, keepdims=True)
        plan = np.exp(log_kernel + log_u + log_v)
        if np.abs(plan.sum(axis=1) - 1 / n_elements).sum() < 1e-13:
            return plan
    raise AssertionError("no convergence")
