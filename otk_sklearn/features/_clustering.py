"""K-means and random sampling of weighted rows."""

import warnings

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

# Multiplications of an iteration of Lloyd's algorithm. Above, it takes minutes where
# mini-batches take seconds, for slightly worse centres.
_MAX_PRODUCTS = 2_000_000_000


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
        kmeans = MiniBatchKMeans(n_clusters, n_init=1, batch_size=4096)
    else:
        kmeans = KMeans(n_clusters, n_init=1, max_iter=max_iter)
    kmeans.set_params(random_state=random_state)
    with warnings.catch_warnings():
        # Rows that differ only by rounding may give fewer distinct centres: harmless.
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(rows, sample_weight=masses)
    return kmeans.cluster_centers_, kmeans.labels_
