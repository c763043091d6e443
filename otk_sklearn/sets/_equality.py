"""Groups of equal rows, and of equal sets, by hashes of their contents."""

import hashlib
import itertools

import numpy as np

from otk_sklearn._utils.chunks import batches_of
from otk_sklearn.sets._positions import element_positions
from otk_sklearn.sets._positive_mass import rows_with_effect

# Rows compared at a time.
_MAX_COMPARED = 2**10


def group_equal_rows(values, rows=None):
    """Group equal rows, in an order of groups that depends on nothing but their contents.

    Parameters
    ----------
    values : ndarray of shape (n_values, n_features), or windows
    rows : ndarray of int of shape (n_rows,), default=None
        Which rows to group: all by default.

    Returns
    -------
    first : ndarray of int of shape (n_groups,)
        The number of one row of each group, among those to group.
    label : ndarray of int of shape (n_rows,)
        The group of each row.
    """
    if rows is None:
        rows = np.arange(len(values))
    keys = _hash_rows(values, rows)
    order = np.argsort(keys, kind="stable")
    differs = np.ones(len(rows), bool)
    differs[1:] = np.diff(keys[order]) > 0
    same = np.flatnonzero(~differs)
    if not _are_equal(values, rows[order[same - 1]], rows[order[same]]):
        order, differs = _sort_rows(values[rows])
    label = np.empty_like(order)
    label[order] = np.cumsum(differs) - 1
    return order[differs], label


def _hash_rows(values, rows):
    """Return integers of 64 bits, equal for equal rows, and very likely for no others.

    In the sums of 32-bit words times random numbers of 64 bits, two different rows agree in
    the upper half with a probability of about 2^-32. There are two such sums.
    """
    n_words = values.shape[1] * (values[:0].itemsize // 4)
    factors = np.frombuffer(np.random.RandomState(0).bytes(16 * n_words), "<u8")
    factors = factors.astype(np.uint64).reshape(2, n_words)
    keys, half = np.empty(len(rows), np.uint64), np.uint64(32)
    for batch in batches_of(len(rows), _MAX_COMPARED):
        # -0.0 becomes 0.0: from here on, equal rows have equal bytes.
        words = (values[rows[batch]] + 0.0).view(np.uint32)
        high, low = (np.einsum("ij,j->i", words, f) >> half for f in factors)
        keys[batch] = high << half | low
    return keys


def _are_equal(values, first, second):
    """Whether rows with these indices are equal to those with the other ones."""
    return all(
        np.array_equal(
            values[first[start : start + _MAX_COMPARED]],
            values[second[start : start + _MAX_COMPARED]],
        )
        for start in range(0, len(first), _MAX_COMPARED)
    )


def _sort_rows(rows):
    """Sort rows by their bytes; return the order, and which differ from the one before."""
    rows = rows + 0.0
    as_bytes = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    # As np.unique does it, without its sorted copy of the rows.
    order = np.argsort(as_bytes, kind="stable")
    differs = np.ones(len(rows), bool)
    for batch in batches_of(len(rows) - 1, _MAX_COMPARED):
        before, after = order[:-1][batch], order[1:][batch]
        differs[1:][batch] = as_bytes[before] != as_bytes[after]
    return order, differs


def group_equal_sets(sets, filter_size, padding, position):
    """Return the index of one set of each group of equal sets, and the sets' labels.

    Sets are equal if they have the same elements (or windows) of positive mass. They are
    ordered by a hash of these.

    Parameters
    ----------
    sets : SetCollection
    filter_size, padding, position
        As in `OTKEmbedding`.
    """
    has_effect, positions_of_rest = rows_with_effect(sets, filter_size, padding), None
    if has_effect is not None:
        # Default positions count the rows that are left out.
        is_default = sets.positions is None and position is not None
        positions_of_rest = element_positions(sets) if is_default else sets.positions
    digests = []
    for start, stop in itertools.pairwise(sets.offsets):
        rows, positions = slice(start, stop), sets.positions
        if has_effect is not None and not has_effect[rows].all():
            rows, positions = start + np.flatnonzero(has_effect[rows]), positions_of_rest
        digests.append(_digest(sets, rows, positions))
    _, first, label = np.unique(digests, return_index=True, return_inverse=True)
    return first, label


def _digest(sets, rows, positions):
    """Hash of some rows of a set, their weights unless all are equal, and positions."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(sets.values[rows].tobytes())
    weights = None if sets.weights is None else sets.weights[rows]
    if weights is not None and (weights != weights[:1]).any():
        digest.update(weights.tobytes())
    if positions is not None:
        digest.update(positions[rows].tobytes())
    return digest.digest()


def merge_equal_sets(sets, sample_weight, filter_size, padding, position):
    """Return the distinct sets, sorted by a hash of their contents, and their weights.

    Fitting on them gives the same result for a repeated set as for one of larger weight.
    Sets that are all distinct and of equal weight keep their order.

    Parameters
    ----------
    sets : SetCollection
    sample_weight : ndarray of shape (n_sets,) or None
        Positive.
    filter_size, padding, position
        As in `OTKEmbedding`.
    """
    if sample_weight is None:
        sample_weight = np.ones(len(sets))
    first, label = group_equal_sets(sets, filter_size, padding, position)
    if len(first) == len(sets) and np.ptp(sample_weight) == 0:
        return sets, sample_weight
    return sets[first], np.bincount(label, sample_weight)
