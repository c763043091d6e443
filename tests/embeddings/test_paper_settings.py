"""The settings of the paper, for proteins and for sentences, beside a version in NumPy.

Proteins are windows of 10 residues, one-hot, with sigma = 0.6, 512 anchors and epsilon =
0.5; sentences are vectors of tokens, with sigma = 0.4, 3 supports and epsilon = 0.5, or 3
with labels. Kernels are homogeneous. Embeddings have to agree with the plain version, whose
plans have converged. Anchors and references are those that have been learned.
"""

import numpy as np
import pytest
from scipy.special import logsumexp

from otk_sklearn import OTKEmbedding

FILTER_SIZE = 10
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
        epsilon=0.5,
        kernel="homogeneous",
        gamma=1 / (2 * 0.6**2),
        n_components=512,
        damping=DAMPING,
        filter_size=FILTER_SIZE,
        random_state=0,
    ).fit(one_hot)
    windows = [windows_of(rows.astype(np.float64)) for rows in one_hot]
    assert_equal_to_numpy(model, one_hot, windows, dtype, bound)


@pytest.mark.parametrize(
    ("n_components", "epsilon", "dtype", "bound"),
    [
        (256, 0.5, np.float64, 1e-9),
        (64, 3.0, np.float64, 1e-9),
        (64, 0.5, np.float32, 1e-4),
    ],
)
def test_the_published_pipeline_of_sentences(n_components, epsilon, dtype, bound):
    rng = np.random.default_rng(0)
    words = rng.normal(size=(80, 48))
    tokens = [
        (words[rng.integers(0, 80, n)] + 0.3 * rng.normal(size=(n, 48))).astype(dtype)
        for n in rng.integers(1, 40, 30)
    ]
    model = OTKEmbedding(
        3,
        epsilon=epsilon,
        kernel="homogeneous",
        gamma=1 / (2 * 0.4**2),
        n_components=n_components,
        damping=DAMPING,
        random_state=0,
    ).fit(tokens)
    assert_equal_to_numpy(model, tokens, tokens, dtype, bound)


def assert_equal_to_numpy(model, sets, elements, dtype, bound):
    found = model.set_params(tol=1e-11, max_iter=2000).transform(sets)
    expected = np.array([embedded(model, rows.astype(np.float64)) for rows in elements])
    assert found.dtype == dtype
    assert np.abs(found - expected).max() < bound * np.abs(expected).max()


def embedded(model, elements):
    """Embed one set as the formulas are written."""
    anchors = model.anchors_.astype(np.float64)
    features = nystroem_features(anchors, elements, 2 * model.gamma)
    pooled = [
        plan.shape[1] * plan.T @ features
        for plan in (
            sinkhorn_plan(features @ reference.T, model.epsilon)
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


def nystroem_features(anchors, elements, exponent):
    """Return kernel values, multiplied by the root of the inverse of those of anchors."""
    eigenvalues, vectors = np.linalg.eigh(kernel_of(anchors, anchors, exponent))
    roots = np.sqrt(np.clip(eigenvalues, 0, None)) + DAMPING
    return kernel_of(elements, anchors, exponent) @ (vectors / roots) @ vectors.T


def kernel_of(x, w, exponent):
    """Return the homogeneous kernel, whose first argument has any norm.

    The exponent is 1 / sigma^2.
    """
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    cosines = x @ w.T / norms / np.linalg.norm(w, axis=1)
    return norms * np.exp((cosines - 1) * exponent)


def sinkhorn_plan(similarities, epsilon):
    """Return the entropic plan, iterated in logarithms until it has converged."""
    n_elements, n_supports = similarities.shape
    log_kernel = similarities / epsilon - np.log(n_elements * n_supports)
    log_u, log_v = np.zeros((n_elements, 1)), np.zeros((1, n_supports))
    for _ in range(10_000):
        log_u = -np.log(n_elements) - logsumexp(log_kernel + log_v, axis=1, keepdims=True)
        log_v = -np.log(n_supports) - logsumexp(log_kernel + log_u, axis=0, keepdims=True)
        plan = np.exp(log_kernel + log_u + log_v)
        if np.abs(plan.sum(axis=1) - 1 / n_elements).sum() < 1e-13:
            return plan
    raise AssertionError("no convergence")
