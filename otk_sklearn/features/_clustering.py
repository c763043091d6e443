"""K-means and random sampling of weighted rows."""

import numpy as np
from scipy.sparse import csc_array
from sklearn.utils import check_random_state, gen_even_slices
from sklearn.utils.extmath import row_norms

from otk_sklearn._utils.chunks import map_chunks
from otk_sklearn._utils.thread_limits import single_threaded

# k-means++ draws the first centres from a sample of this many rows for each cluster, within
# these bounds: the distances between them take 64 MiB in float32 at most.
_START_ROWS_PER_CLUSTER = 8
_MIN_START_ROWS, _MAX_START_ROWS = 1024, 4096

# Lloyd's algorithm stops once an iteration lowers the inertia by a smaller part than this.
_MIN_GAIN = 1e-3

# Sums of rows are added up in so many parts, in parallel, and each needs memory for all
# centres. They don't depend on the number of threads, so that results don't either.
_N_PARTS = 16
_MIN_PART_ROWS = 2048

# Rows are compared with the centres in batches of this many values, so that these stay in
# the cache of a core, within bounds for the number of rows.
_BATCH_SIZE = 2**20
_MIN_BATCH_ROWS, _MAX_BATCH_ROWS = 512, 8192

# Smallest mass of a row, relative to the largest.
_MIN_MASS = 1e-20


def draw_rows(n_rows, masses, n_drawn, random_state):
    """Sample indices of rows without replacement, by mass; all if there are not enough."""
    if n_rows <= n_drawn:
        return np.arange(n_rows)
    p = np.maximum(masses / masses.sum(), np.finfo(np.float64).tiny)
    return np.random.RandomState(random_state).choice(n_rows, n_drawn, replace=False, p=p)


def sample_by_mass(masses, n_drawn, random):
    """Sample rows systematically: each with a probability proportional to its mass.

    Those whose probability would exceed 1 are certain to be drawn.

    Parameters
    ----------
    masses : ndarray of shape (n_rows,)
        Positive.
    n_drawn : int
        Less than `n_rows`.
    random : RandomState instance

    Returns
    -------
    drawn : ndarray of int of shape (n_drawn,)
    masses : ndarray of shape (n_drawn,)
        With which those drawn stand for all: masses over probabilities.
    """
    is_certain, above = np.zeros(len(masses), bool), True
    while np.any(above):
        rest = np.where(is_certain, 0, masses)
        n_rest = n_drawn - np.count_nonzero(is_certain)
        above = rest * n_rest >= rest.sum()
        is_certain |= above
    covered = np.cumsum(rest)
    grid = (np.arange(n_rest) + random.uniform()) / max(n_rest, 1) * covered[-1]
    of_rest = np.minimum(np.searchsorted(covered, grid, side="right"), len(masses) - 1)
    certain = np.flatnonzero(is_certain)
    shares = np.full(n_rest, covered[-1] / max(n_rest, 1))
    return np.concatenate([certain, of_rest]), np.concatenate([masses[certain], shares])


def kmeans_centers(rows, masses, n_clusters, random_state, n_jobs=None, max_iter=100):
    """Weighted K-means centres, or the rows if there are at most `n_clusters`.

    K-means of scikit-learn takes several times as long: k-means++ compares each new centre
    with all rows, and Lloyd's algorithm gives the same bits with one thread only.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Of a size whose square is in the range of floats.
    masses : ndarray of shape (n_rows,)
        Positive.
    n_clusters : int
    random_state : int or RandomState instance
    n_jobs : int or None, default=None
        The result does not depend on it.
    max_iter : int, default=100
        Maximum number of iterations of Lloyd's algorithm.

    Returns
    -------
    centers : ndarray of shape (min(n_clusters, n_rows), n_features)
    label : ndarray of int of shape (n_rows,)
        The cluster of each row: its centre is the mean of its rows, if it has any.
    """
    if len(rows) <= n_clusters:
        return rows, np.arange(len(rows))
    mean = rows.mean(axis=0)
    masses = np.maximum(masses / masses.max(), _MIN_MASS)
    centers = _first_centers(rows, mean, masses, n_clusters, random_state)
    masses = masses.astype(rows.dtype)
    centers, label = lloyd(rows, mean, masses, centers, max_iter, n_jobs)
    return centers + mean, label


def _first_centers(rows, mean, masses, n_clusters, random_state):
    """Draw the centres that Lloyd's algorithm starts from; they are relative to `mean`."""
    random = check_random_state(random_state)
    n_drawn = max(_START_ROWS_PER_CLUSTER * n_clusters, _MIN_START_ROWS)
    n_drawn = max(min(n_drawn, _MAX_START_ROWS), n_clusters)
    if n_drawn < len(rows):
        drawn, masses = sample_by_mass(masses, n_drawn, random)
        rows = rows[drawn]
    rows = rows - mean
    if len(rows) > n_clusters:
        rows = rows[_kmeans_plusplus(rows, masses, n_clusters, random)]
    return rows


def _kmeans_plusplus(rows, masses, n_clusters, random):
    """Greedy k-means++, as in scikit-learn, with all products of few rows at once.

    Returns
    -------
    list of int
        The chosen rows.
    """
    with single_threaded():
        products = rows @ rows.T
    squares = row_norms(rows, squared=True)
    n_trials = 2 + int(np.log(n_clusters))
    chosen, costs = [], masses / masses.max()  # the first one is drawn by mass
    weights, nearest = costs, np.inf
    while len(chosen) < n_clusters:
        covered = np.cumsum(costs if costs.any() else weights, dtype=np.float64)
        drawn = random.uniform(high=covered[-1], size=n_trials if chosen else 1)
        drawn = np.searchsorted(covered, drawn, side="right")
        drawn = np.minimum(drawn, len(rows) - 1)
        distances = -2 * products[drawn]
        distances += squares
        distances += squares[drawn, np.newaxis]
        np.maximum(distances, 0, out=distances)
        distances[np.arange(len(drawn)), drawn] = 0
        candidates = np.minimum(distances, nearest)
        best = (candidates @ weights).argmin()
        chosen.append(drawn[best])
        nearest = candidates[best]
        costs = nearest * weights
    return chosen


def lloyd(rows, mean, masses, centers, max_iter, n_jobs=None):
    """Lloyd's algorithm.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    mean : ndarray of shape (n_features,)
        Subtracted from rows: distances are more accurate.
    masses : ndarray of shape (n_rows,)
        Positive, in the dtype of the rows.
    centers : ndarray of shape (n_clusters, n_features)
        To start from, relative to `mean`.
    max_iter : int
        At least 1.
    n_jobs : int or None, default=None

    Returns
    -------
    centers : ndarray of shape (n_clusters, n_features)
        Relative to `mean`.
    label : ndarray of int of shape (n_rows,)
    """
    clusters, before = _Clusters(rows, mean, masses, len(centers), n_jobs), np.inf
    for _ in range(max_iter):
        centers = clusters.move(centers)
        inertia = np.average(clusters.costs, weights=masses)
        if not inertia < (1 - _MIN_GAIN) * before:
            break
        before = inertia
    return centers, clusters.label


class _Clusters:
    """Assignment of rows to the nearest centres, which then move to the means of theirs.

    Parameters
    ----------
    rows, mean, masses, n_jobs
        As in `lloyd`.
    n_clusters : int

    Attributes
    ----------
    label : ndarray of int of shape (n_rows,)
    costs : ndarray of shape (n_rows,)
        Squared distances of the rows to the centres before these moved.
    """

    def __init__(self, rows, mean, masses, n_clusters, n_jobs):
        self._rows, self._mean, self._masses, self._n_jobs = rows, mean, masses, n_jobs
        n_rows, n_features = rows.shape
        self.label = np.empty(n_rows, np.int32)
        self.costs = np.empty(n_rows, rows.dtype)
        n_parts = min(_N_PARTS, -(-n_rows // _MIN_PART_ROWS))
        self._parts = list(gen_even_slices(n_rows, n_parts))
        self._sums = np.empty((n_parts, n_clusters, n_features), rows.dtype)
        self._sum_of_masses = np.empty((n_parts, n_clusters))
        most_rows = _BATCH_SIZE // max(n_clusters, n_features)
        self._batch_rows = min(max(most_rows, _MIN_BATCH_ROWS), _MAX_BATCH_ROWS)
        self._free_buffers = []  # not one for each thread: threads end with each iteration

    def move(self, centers):
        """Assign all rows, and return the means of those assigned to each centre."""
        halves = row_norms(centers, squared=True) / 2
        map_chunks(
            lambda part: self._add_up(part.start, centers, halves),
            np.ones(len(self._parts), np.int64),
            rows_per_set=0,
            max_rows=1,  # one part at a time
            n_jobs=self._n_jobs,
        )
        masses = self._sum_of_masses.sum(axis=0)
        is_empty = masses == 0
        moved = self._sums.sum(axis=0, dtype=np.float64)
        moved /= np.where(is_empty, 1, masses)[:, np.newaxis]
        moved = moved.astype(centers.dtype, copy=False)
        if is_empty.any():
            moved[is_empty] = centers[is_empty]
            self._relocate(moved, np.flatnonzero(is_empty))
        return moved

    def _relocate(self, centers, empty):
        """Move centres without rows to the rows that contribute most to the inertia."""
        shares = self.costs * self._masses.astype(np.float64)
        farthest = np.argsort(-shares, kind="stable")[: len(empty)]
        farthest = farthest[shares[farthest] > 0]
        centers[empty[: len(farthest)]] = self._rows[farthest] - self._mean

    def _add_up(self, part, centers, halves):
        """Assign a part of the rows, and add up their masses and themselves by cluster."""
        rows, sums, masses = self._parts[part], self._sums[part], self._sum_of_masses[part]
        sums[:], masses[:] = 0, 0
        try:
            buffers = self._free_buffers.pop()
        except IndexError:
            buffers = [
                np.empty((self._batch_rows, width), self._rows.dtype)
                for width in centers.shape[::-1]
            ]
        for start in range(rows.start, rows.stop, self._batch_rows):
            batch = slice(start, min(start + self._batch_rows, rows.stop))
            centered = self._assign(batch, centers, halves, *buffers)
            label, of_rows = self.label[batch], self._masses[batch]
            of_clusters = np.bincount(label, of_rows, len(centers))
            masses += of_clusters
            present = np.flatnonzero(of_clusters)
            number = np.empty(len(centers), np.int32)
            number[present] = np.arange(len(present))
            members = csc_array(
                (of_rows, number[label], np.arange(len(label) + 1, dtype=np.int32)),
                shape=(len(present), len(label)),
            )
            sums[present] += members @ centered
        self._free_buffers.append(buffers)

    def _assign(self, batch, centers, halves, rows, scores):
        """Assign rows to the nearest centres; return the rows, relative to the mean."""
        n_rows = batch.stop - batch.start
        rows = np.subtract(self._rows[batch], self._mean, out=rows[:n_rows])
        scores = np.matmul(rows, centers.T, out=scores[:n_rows])
        scores -= halves
        label = self.label[batch] = scores.argmax(axis=1)
        highest = np.take_along_axis(scores, label[:, np.newaxis], axis=1)[:, 0]
        costs = row_norms(rows, squared=True) - 2 * highest
        np.maximum(costs, 0, out=self.costs[batch])
        return rows
