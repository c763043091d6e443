"""Random keys of sets and of their elements: hashes of what identifies them, and a seed.

A sample is what has the smallest keys. So it is the same whatever the order in which sets
are seen, on one machine or on many, and a smaller sample is a part of a larger one.
"""

import numpy as np

from otk_sklearn._utils.chunks import batches_of

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)

# Elements whose keys are computed at a time.
_MAX_KEYS = 2**17


def set_keys(ids, seed):
    """Return a random key for each set.

    Parameters
    ----------
    ids : ndarray of uint64 of shape (n_sets,)
        Distinct.
    seed : int

    Returns
    -------
    ndarray of uint64 of shape (n_sets,)
    """
    return _mix(_mix(ids + _GOLDEN) + _mix(np.array([seed], np.uint64)))


def element_keys(keys, numbers):
    """Return a random key for elements.

    Parameters
    ----------
    keys : ndarray of uint64 of shape (n_elements,) or (1,)
        Those of their sets.
    numbers : ndarray of int of shape (n_elements,)
        Of the elements in their sets, from 0. Those of mass 0 are not counted: they are
        absent.

    Returns
    -------
    ndarray of uint64 of shape (n_elements,)
    """
    return _mix(keys + (numbers.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def _mix(bits):
    """SplitMix64's finalizer [1]_: each bit that differs changes half of all bits.

    References
    ----------
    .. [1] G. Steele, D. Lea and C. Flood, "Fast Splittable Pseudorandom Number Generators",
           OOPSLA 2014.
    """
    bits = (bits ^ (bits >> _SHIFTS[0])) * _FACTORS[0]
    bits = (bits ^ (bits >> _SHIFTS[1])) * _FACTORS[1]
    return bits ^ (bits >> _SHIFTS[2])


def smallest_keys(keys, size):
    """Return the indices of the smallest keys, in increasing order; all if they are few."""
    if len(keys) <= size:
        return np.arange(len(keys))
    return np.sort(np.argpartition(keys, size - 1)[:size])


def rows_of_smallest_keys(offsets, size, seed):
    """Draw elements without replacement, each with the same probability.

    Takes memory for `size` elements, whatever the number of all.

    Parameters
    ----------
    offsets : ndarray of int of shape (n_sets + 1,)
    size : int
    seed : int

    Returns
    -------
    ndarray of int of shape (min(size, n_elements),)
        In increasing order.
    """
    keys_of_sets = set_keys(np.arange(len(offsets) - 1, dtype=np.uint64), seed)
    rows, keys, limit = np.empty(0, np.int64), np.empty(0, np.uint64), None
    for block in batches_of(offsets[-1], _MAX_KEYS):
        of_block = np.arange(block.start, block.stop)
        s = np.searchsorted(offsets, of_block, side="right") - 1
        of_elements = element_keys(keys_of_sets[s], of_block - offsets[s])
        if limit is not None:
            is_small = of_elements < limit
            of_block, of_elements = of_block[is_small], of_elements[is_small]
        rows, keys = np.append(rows, of_block), np.append(keys, of_elements)
        if len(rows) > 2 * size:
            kept = smallest_keys(keys, size)
            rows, keys = rows[kept], keys[kept]
            limit = keys.max()
    return rows[smallest_keys(keys, size)]
