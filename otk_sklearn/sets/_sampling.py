"""Weighted samples of the elements of sets, and of sets.

Every set has the same total mass: the weight of an element is its mass within its set. So
fitted attributes don't depend on the order of sets or elements, on repeating all elements
of a set, or on the scale of weights, unless the sets exceed the size of the sample.
"""

import hashlib
import itertools
import math
from dataclasses import dataclass

import numpy as np

from otk_sklearn._utils.chunks import batches_of
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._offsets import offsets_of
from otk_sklearn.sets._positions import element_positions
from otk_sklearn.sets._positive_mass import rows_with_effect

# Elements sampled with `max_elements="auto"`: for each centre to learn, and at least. More
# are not worth their time (see docs/defaults.md).
_ELEMENTS_PER_CENTER = 256
_MIN_ELEMENTS = 20_000

# Rows compared at a time.
_MAX_COMPARED = 2**10


@dataclass(frozen=True, eq=False)
class Elements:
    """Elements without their sets.

    Parameters
    ----------
    rows : ndarray of shape (n_elements, n_features)
    masses : ndarray of shape (n_elements,)
    positions : ndarray of shape (n_elements, n_axes)
        With 0 axes if positions are ignored.
    """

    rows: np.ndarray
    masses: np.ndarray
    positions: np.ndarray

    def __getitem__(self, index):
        return Elements(self.rows[index], self.masses[index], self.positions[index])

    def merge_equal(self):
        """Return the distinct elements at mean positions; self if all are distinct."""
        first, label = group_equal_rows(self.rows)
        if len(first) == len(self.rows):
            return self
        merged = sum_groups(label, len(first), self.masses, self.positions)
        return Elements(self.rows[first], *merged)


def present_sets(sets, sample_weight):
    """Return the sets that are not empty and of positive weight, and their weights.

    Parameters
    ----------
    sets : SetCollection
    sample_weight : ndarray of shape (n_sets,) or None
    """
    present = present_indices(sets, sample_weight)
    if len(present) == len(sets):
        return sets, sample_weight
    return sets[present], None if sample_weight is None else sample_weight[present]


def present_indices(sets, sample_weight=None):
    """Return which sets are not empty and of positive weight; none is an error."""
    if not len(sets):
        raise ValueError("X is an empty collection; expected at least one set.")
    is_present = sets.lengths > 0
    if sample_weight is not None:
        is_present &= sample_weight > 0
    present = np.flatnonzero(is_present)
    if not len(present):
        raise ValueError(
            "set 0 of X is empty or has a weight of 0, as all others; expected at least "
            "one set with elements and a positive weight."
        )
    return present


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


def sum_groups(label, n_groups, masses, positions):
    """Return the mass of each group of elements, and its mean position by mass."""
    sums = [np.bincount(label, masses * s, n_groups) for s in positions.T]
    masses = np.bincount(label, masses, n_groups)
    return masses, np.reshape(sums, (-1, n_groups)).T / masses[:, np.newaxis]


def sample_size(max_elements, n_centers):
    """Return the number of elements to learn so many centres from, at most.

    Parameters
    ----------
    max_elements : int or "auto"
    n_centers : int
    """
    if max_elements == "auto":
        return max(_MIN_ELEMENTS, _ELEMENTS_PER_CENTER * n_centers)
    return max_elements


def sample_elements(sets, positions, max_elements, random_state, sample_weight=None):
    """Sample elements of the sets, and merge equal ones.

    With the same `random_state`, a smaller sample is a part of a larger one.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
    positions : ndarray of shape (n_elements, n_axes)
    max_elements : int
        If there are more elements, this many are drawn without replacement.
    random_state : int
    sample_weight : ndarray of shape (n_sets,), default=None
        Weights of the sets. None means equal ones.

    Returns
    -------
    Elements
        Distinct, of positive mass, in an order that depends on nothing but their contents.
    """
    masses = sets.masses
    if sample_weight is not None:
        masses = masses * np.repeat(sample_weight, sets.lengths)
    rows = np.flatnonzero(masses)
    if len(rows) > max_elements:
        random = np.random.RandomState(random_state)
        rows = np.sort(random.choice(rows, max_elements, replace=False))
    first, label = group_equal_rows(sets.values, rows)
    merged = sum_groups(label, len(first), masses[rows], positions[rows])
    return Elements(sets.values[rows[first]], *merged)


def sample_sets(sets, positions, max_elements, min_sets, random_state, sample_weight):
    """Sample sets, and elements of long sets.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
    positions : ndarray of shape (n_elements, n_axes)
    max_elements : int
        If there are more elements, sets are drawn with about this many in total.
    min_sets : int
        At least this many sets are drawn, with one element each if necessary.
    random_state : int
    sample_weight : ndarray of shape (n_sets,)

    Returns
    -------
    sets : SetCollection
        Of elements of positive mass, with their masses and positions.
    sample_weight : ndarray
        Their weights.
    """
    masses = sets.masses
    random = np.random.RandomState(random_state)
    lengths = np.add.reduceat(masses > 0, sets.offsets[:-1], dtype=np.int64)
    chosen = np.arange(len(sets))
    if lengths.sum() > max_elements:
        # A balance between the number of sets and the number of elements of each.
        longest = max(max_elements // len(sets), math.isqrt(max_elements))
        lengths = np.minimum(lengths, max(1, min(longest, max_elements // min_sets)))
        order = random.permutation(len(sets))
        n_chosen = np.searchsorted(np.cumsum(lengths[order]), max_elements, side="right")
        chosen = np.sort(order[: max(min_sets, n_chosen)])
    rows = []
    for s in chosen:
        start, stop = sets.offsets[s : s + 2]
        of_set = start + np.flatnonzero(masses[start:stop])
        if len(of_set) > lengths[s]:
            of_set = np.sort(random.choice(of_set, lengths[s], replace=False))
        rows.append(of_set)
    rows = np.concatenate(rows)
    sample = SetCollection(
        sets.values[rows],
        offsets_of(lengths[chosen]),
        weights=masses[rows],
        positions=positions[rows] if positions.shape[1] else None,
    )
    return sample, sample_weight[chosen]
