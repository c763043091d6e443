"""From sets to a weighted sample of their elements, and to its K-means centres.

Every set counts the same: an element weighs its mass within its set. So what is learned
doesn't depend on the order of sets or elements, on repeating all elements of a set, or on
the scale of weights, as long as the sets fit into the sample whole.
"""

import warnings

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

# Above this many rows, Lloyd's iterations take minutes where mini-batches take seconds.
_MINI_BATCH_ROWS = 50_000


def sample_elements(sets, max_elements, random_state):
    """Draw elements of the sets, and merge those that are equal.

    Parameters
    ----------
    sets : SetCollection
    max_elements : int
        If there are more elements, this many are drawn without replacement.
    random_state : int

    Returns
    -------
    elements : ndarray of shape (n_distinct, n_features)
    masses : ndarray of shape (n_distinct,)
        All positive.
    """
    masses = sets.masses
    rows = np.flatnonzero(masses)
    if len(rows) > max_elements:
        random = np.random.RandomState(random_state)
        rows = np.sort(random.choice(rows, max_elements, replace=False))
    elif len(rows) == len(masses):
        rows = slice(None)  # no copy
    return merge_equal_rows(sets.values[rows], masses[rows])


def merge_equal_rows(rows, masses):
    """Return the distinct rows, in an order of their own, and each one's sum of masses."""
    rows = rows + 0.0  # -0.0 becomes 0.0: from here on, equal rows have equal bytes
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, label = np.unique(as_bytes, return_index=True, return_inverse=True)
    return rows[first], np.bincount(label, weights=masses)


def draw_rows(n_rows, masses, n_drawn, random_state):
    """Draw indices of rows without replacement, by mass; all where there are no more."""
    if n_rows <= n_drawn:
        return np.arange(n_rows)
    p = np.maximum(masses / masses.sum(), np.finfo(np.float64).tiny)
    return np.random.RandomState(random_state).choice(n_rows, n_drawn, replace=False, p=p)


def kmeans_centers(rows, masses, n_clusters, random_state):
    """Weighted K-means centres, or the rows where there are no more than asked for.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Distinct, and of a size whose square is in the range of floats.
    masses : ndarray of shape (n_rows,)
    n_clusters : int
    random_state : int

    Returns
    -------
    centers : ndarray of shape (min(n_clusters, n_rows), n_features)
    """
    if len(rows) <= n_clusters:
        return rows
    if len(rows) > _MINI_BATCH_ROWS:
        kmeans = MiniBatchKMeans(n_clusters, n_init=1, batch_size=4096)
    else:
        kmeans = KMeans(n_clusters, n_init=1)
    kmeans.set_params(random_state=random_state)
    with warnings.catch_warnings():
        # Rows that differ by rounding alone may give fewer distinct centres: no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kmeans.fit(rows, sample_weight=masses).cluster_centers_
