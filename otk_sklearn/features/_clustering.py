"""K-means and random sampling of weighted rows."""

import numpy as np
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus

from otk_sklearn._utils.sklearn_compat import lloyd_iterations

# Multiplications of an iteration of Lloyd's algorithm. Above, it takes minutes where
# mini-batches take seconds, for slightly worse centres.
_MAX_PRODUCTS = 2_000_000_000

# Lloyd's algorithm stops once centres move less, relative to the variance of the rows.
_RELATIVE_TOLERANCE = 1e-4


def draw_rows(n_rows, masses, n_drawn, random_state):
    """Sample indices of rows without replacement, by mass; all if there are not enough."""
    if n_rows <= n_drawn:
        return np.arange(n_rows)
    p = np.maximum(masses / masses.sum(), np.finfo(np.float64).tiny)
    return np.random.RandomState(random_state).choice(n_rows, n_drawn, replace=False, p=p)


def kmeans_centers(rows, masses, n_clusters, random_state, max_iter=100):
    """Weighted K-means centres, or the rows if there are at most `n_clusters`.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Distinct, and of a size whose square is in the range of floats.
    masses : ndarray of shape (n_rows,)
    n_clusters : int
    random_state : int
    max_iter : int, default=100
        Maximum number of iterations of Lloyd's algorithm.

    Returns
    -------
    centers : ndarray of shape (min(n_clusters, n_rows), n_features)
    label : ndarray of int of shape (n_rows,)
        The centre of each row.
    """
    if len(rows) <= n_clusters:
        return rows, np.arange(len(rows))
    if rows.size * n_clusters > _MAX_PRODUCTS:
        kmeans = MiniBatchKMeans(
            n_clusters, n_init=1, batch_size=4096, random_state=random_state
        )
        kmeans.fit(rows, sample_weight=masses)
        return kmeans.cluster_centers_, kmeans.labels_
    return lloyd(rows, masses, n_clusters, random_state, max_iter)


def lloyd(rows, masses, n_clusters, random_state, max_iter):
    """Lloyd's algorithm from k-means++, bit for bit as in `KMeans(n_init=1)`.

    `KMeans` also warns where some centres coincide, which is harmless: rows may differ by
    rounding only. That can't be silenced in one thread alone.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        More than `n_clusters`.
    masses : ndarray of shape (n_rows,)
    n_clusters : int
    random_state : int or RandomState instance
    max_iter : int

    Returns
    -------
    centers : ndarray of shape (n_clusters, n_features)
    label : ndarray of int of shape (n_rows,)
        The centre of each row.
    """
    mean = rows.mean(axis=0)
    centered = np.subtract(rows, mean, order="C")  # distances are more accurate
    masses = masses.astype(rows.dtype)
    centers, _ = kmeans_plusplus(
        centered, n_clusters, sample_weight=masses, random_state=random_state
    )
    label, _, centers, _ = lloyd_iterations(
        centered,
        masses,
        centers,
        max_iter=max_iter,
        tol=_RELATIVE_TOLERANCE * np.var(rows, axis=0).mean(),
    )
    return centers + mean, label
