"""Weighted samples of the elements of sets, and of sets.

Every set has the same total mass: the weight of an element is its mass within its set. So
fitted attributes don't depend on the order of sets or elements, on repeating all elements
of a set, or on the scale of weights, unless the sets exceed the size of the sample.
"""

import math
from dataclasses import dataclass

import numpy as np

from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._equality import group_equal_rows
from otk_sklearn.sets._offsets import offsets_of
from otk_sklearn.sets._positions import positions_at
from otk_sklearn.sets._random_keys import (
    element_keys,
    rows_of_smallest_keys,
    set_keys,
    smallest_keys,
)
from otk_sklearn.sets._windows import WindowedSets

# Elements sampled with `max_elements="auto"`: for each centre to learn, and at least. More
# are not worth their time (see docs/defaults.md).
_ELEMENTS_PER_CENTER = 256
_MIN_ELEMENTS = 20_000


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


def masses_unless_equal(sets):
    """Return the mass of each element, or None if those of each set have equal masses.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
    """
    weights = (sets.rows if isinstance(sets, WindowedSets) else sets).weights
    return None if weights is None else sets.masses


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


def sample_elements(sets, position, max_elements, random_state, sample_weight=None):
    """Sample elements of the sets, and merge equal ones.

    With the same `random_state`, a smaller sample is a part of a larger one.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
    position : str or None
        None ignores positions.
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
    masses = masses_unless_equal(sets)
    rows = draw_rows(sets.offsets, masses, max_elements, random_state)
    s = np.searchsorted(sets.offsets, rows, side="right") - 1
    masses = 1.0 / sets.lengths[s] if masses is None else masses[rows]
    if sample_weight is not None:
        masses = masses * sample_weight[s]
        if not masses.all():  # underflow
            rows, masses = rows[masses > 0], masses[masses > 0]
    first, label = group_equal_rows(sets.values, rows)
    merged = sum_groups(label, len(first), masses, positions_at(sets, rows, position))
    return Elements(sets.values[rows[first]], *merged)


def draw_rows(offsets, masses, max_elements, random_state):
    """Draw elements of positive mass without replacement, at most `max_elements`.

    Parameters
    ----------
    offsets : ndarray of int of shape (n_sets + 1,)
    masses : ndarray of shape (n_elements,) or None
        As returned by `masses_unless_equal`.
    max_elements : int
    random_state : int

    Returns
    -------
    ndarray of int
        In increasing order.
    """
    if masses is None or masses.all():
        return rows_of_smallest_keys(offsets, max_elements, random_state)
    present = np.flatnonzero(masses)
    offsets = np.searchsorted(present, offsets)
    return present[rows_of_smallest_keys(offsets, max_elements, random_state)]


def sample_sets(sets, position, max_elements, min_sets, random_state, sample_weight):
    """Sample sets, and elements of long sets.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
    position : str or None
        None ignores positions.
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
    masses, lengths, chosen = masses_unless_equal(sets), sets.lengths, np.arange(len(sets))
    keys = set_keys(chosen.astype(np.uint64), random_state)
    if masses is not None:
        lengths = np.add.reduceat(masses > 0, sets.offsets[:-1], dtype=np.int64)
    if lengths.sum() > max_elements:
        longest = longest_sampled(max_elements, len(sets))
        lengths = np.minimum(lengths, max(1, min(longest, max_elements // min_sets)))
        order = np.argsort(keys, kind="stable")
        chosen = np.sort(order[: max(min_sets, n_sampled(lengths[order], max_elements))])
    rows = []
    for s in chosen:
        start, stop = sets.offsets[s : s + 2]
        present = np.arange(start, stop)
        if masses is not None:
            present = start + np.flatnonzero(masses[start:stop])
        of_elements = element_keys(keys[s : s + 1], np.arange(len(present)))
        rows.append(present[smallest_keys(of_elements, lengths[s])])
    rows = np.concatenate(rows)
    sample = SetCollection(
        sets.values[rows],
        offsets_of(lengths[chosen]),
        weights=None if masses is None else masses[rows],
        positions=positions_at(sets, rows, position) if position is not None else None,
    )
    return sample, sample_weight[chosen]


def longest_sampled(max_elements, n_sets):
    """Return how many elements to sample of a set, at most, if so many sets are known.

    It is a balance between the number of sets and the number of elements of each.
    """
    return max(max_elements // n_sets, math.isqrt(max_elements))


def n_sampled(lengths, max_elements):
    """Return how many sets, of these lengths, have `max_elements` elements at most."""
    return int(np.searchsorted(np.cumsum(lengths), max_elements, side="right"))
