"""Ragged data, and a plain version of the embedding: no kernel of ours, nothing packed."""

import numpy as np
from scipy.linalg import eigh


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


def plain_kappa(kernel, gamma, anchors, elements):
    """Kernel between elements and anchors, one value at a time."""
    return np.array(
        [[plain_kernel(kernel, gamma, x, w) for w in anchors] for x in elements]
    )


def plain_normalization(kernel, gamma, anchors, damping):
    """The matrix D."""
    eigenvalues, U = eigh(plain_kappa(kernel, gamma, anchors, anchors))
    scale = 1 / (np.sqrt(np.clip(eigenvalues, 0, None)) + damping)
    return U * scale @ U.T


def plain_features(kernel, gamma, anchors, damping, elements):
    """Nyström features of elements."""
    if kernel == "linear":
        return elements
    kappa = plain_kappa(kernel, gamma, anchors, elements)
    return kappa @ plain_normalization(kernel, gamma, anchors, damping)


def plain_windows(rows, filter_size, padding):
    """Windows of the rows of a set, and the real rows that each has."""
    n, front = len(rows), 0
    n_windows = max(n - filter_size + 1, 1)
    if padding == "same":
        n_windows, front = n, (filter_size - 1) // 2
    windows, real = [], []
    for i in range(n_windows):
        taken = range(i - front, i - front + filter_size)
        zero = np.zeros(rows.shape[1])
        windows.append(np.concatenate([rows[t] if 0 <= t < n else zero for t in taken]))
        real.append([t for t in taken if 0 <= t < n])
    return np.array(windows), real


def means_over(values, real):
    """Means of the values of the real rows of each window."""
    return np.array([values[rows].mean(axis=0) for rows in real])


def subsampled(values, subsampling, taps, divide):
    """Weighted sums over neighbours, of one in so many; divided by the taps inside."""
    result = []
    for center in range(0, len(values), subsampling):
        total, weight = 0.0, 0.0
        for t, tap in zip(range(1 - subsampling, subsampling), taps):
            if 0 <= center + t < len(values):
                total, weight = total + tap * values[center + t], weight + tap
        result.append(total / weight if divide else total)
    return np.array(result)


def gaussian_taps(subsampling):
    """The filter that subsampling averages by."""
    if subsampling == 1:
        return np.ones(1)
    deviation = (2 * subsampling - 2) / (2 * np.sqrt(2))
    taps = np.exp(-(np.arange(1 - subsampling, subsampling) ** 2) / (2 * deviation**2))
    return taps / taps.sum()


def plain_filter(kind, sigma, positions, supports):
    """The position filter, one value at a time."""
    position_weights = np.ones((len(positions), len(supports)))
    for i, s in enumerate(positions):
        for j, t in enumerate(supports):
            for a, b in zip(s, t):
                near = abs(a - b) < sigma
                position_weights[i, j] *= (
                    near if kind == "hard" else np.exp(-(((a - b) / sigma) ** 2))
                )
    return position_weights


def plain_embedding(model, elements, masses=None, positions=None, supports=None):
    """What a fitted `OTKEmbedding` with `tol=0` should say of one set.

    With `position`, positions of elements and supports are needed.
    """
    psi, plans = plain_match(model, elements, masses, positions, supports)
    return np.ravel([plan.shape[1] * plan.T @ psi for plan in plans])


def plain_match(model, elements, masses=None, positions=None, supports=None):
    """Features of the elements of one set, and its plans, of shape (q, n, p)."""
    if masses is None:
        masses = np.full(len(elements), 1 / len(elements))
    psi = plain_features(
        model.kernel, model.gamma_, model.anchors_, model.damping, elements
    )
    position_weights = 1.0
    if model.position is not None:
        position_weights = plain_filter(
            model.position, model.position_sigma, positions, supports
        )
    plans = []
    for reference in model.references_:
        similarities = position_weights * (psi @ reference.T)
        if model.relaxation is not None:
            similarities -= np.sum(psi**2, axis=1, keepdims=True) / 2
        plan = plain_plan(
            similarities,
            masses,
            solver=model.solver,
            epsilon=model.epsilon,
            relaxation=model.relaxation,
            support_relaxation=model.support_relaxation,
            max_iter=model.max_iter,
        )
        plans.append(position_weights * plan)
    return psi, np.array(plans)


def plain_plan(
    similarities,
    masses,
    *,
    solver,
    epsilon,
    max_iter,
    relaxation=None,
    support_relaxation=None,
):
    """Solve for one set's plan to one reference as the formulas are written.

    Parameters
    ----------
    similarities : ndarray of shape (n_elements, n_supports)
    masses : ndarray of shape (n_elements,)
    solver : {"sinkhorn", "softmax"}
    epsilon : float
    max_iter : int
        Sinkhorn iterations: each updates element potentials, then support potentials. With
        `support_relaxation`, those of elements are updated once more in the end.
    relaxation, support_relaxation : float or None

    Returns
    -------
    plan : ndarray of shape (n_elements, n_supports)
    """
    with np.errstate(divide="ignore"):
        log_a = np.log(masses)[:, np.newaxis]
    log_b = -np.log(similarities.shape[1])
    power, support_power = (
        1.0 if penalty is None else penalty / (penalty + epsilon)
        for penalty in (relaxation, support_relaxation)
    )
    log_kernel = similarities / epsilon
    log_u, log_v = 0.0, np.zeros((1, similarities.shape[1]))
    for _ in range(max_iter if solver == "sinkhorn" else 0):
        log_u = -power * log_sum_exp(log_kernel + log_v + log_b, axis=1)
        log_v = -support_power * log_sum_exp(log_kernel + log_u + log_a, axis=0)
    if solver == "softmax":
        log_v = -log_sum_exp(log_kernel + log_a, axis=0)
    if support_relaxation is not None:
        log_u = -log_sum_exp(log_kernel + log_v + log_b, axis=1)
    return np.exp(log_a + log_u + log_kernel + log_v + log_b)


def log_sum_exp(x, axis):
    highest = x.max(axis=axis, keepdims=True)
    return highest + np.log(np.exp(x - highest).sum(axis=axis, keepdims=True))


def plain_support_positions(n_supports, n_axes):
    """Positions of supports on a line, counted from 0, or on a square grid, from 1."""
    if n_axes == 1:
        return np.array([[j / n_supports] for j in range(n_supports)])
    side = round(n_supports**0.5)
    return np.array(
        [
            [row / side, column / side]
            for row in range(1, side + 1)
            for column in range(1, side + 1)
        ]
    )
