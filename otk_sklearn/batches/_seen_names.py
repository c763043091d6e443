"""Names of sets that have passed by, in 8 bytes a set."""

import numpy as np


class SeenNames:
    """Tells names that have come before, by 64-bit hashes of them.

    Hashes are kept in sorted arrays, each at least twice as long as the next, so that a
    name is moved only as often as the number of names doubles. Integers and dates are
    hashes themselves. Of n other names, two have the same hash with a probability of
    n**2 / 2**65, one in 4,000 for 1e8 names.
    """

    def __init__(self):
        self._arrays = []

    def first_seen(self, names):
        """Remember names, and return the index of the first that has come before, or None.

        Parameters
        ----------
        names : ndarray of shape (n_names,)
            All of one type, in every call.
        """
        hashes = _hashes(names)
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        is_seen = np.zeros(len(hashes), bool)
        is_seen[1:] = hashes[1:] == hashes[:-1]
        for array in self._arrays:
            places = np.searchsorted(array, hashes)
            is_seen |= array[np.minimum(places, len(array) - 1)] == hashes
        if is_seen.any():
            return order[is_seen].min()
        if len(hashes):
            self._add(hashes)
        return None

    def _add(self, hashes):
        while self._arrays and len(self._arrays[-1]) < 2 * len(hashes):
            hashes = np.sort(np.concatenate([self._arrays.pop(), hashes]), kind="stable")
        self._arrays.append(hashes)


def _hashes(names):
    if names.dtype.kind in "iumM":
        return names.astype(np.int64)
    return np.fromiter(map(_hash, names.tolist()), np.int64, len(names))


def _hash(name):
    # Python's own would be the same for -1 and -2, for 1 and True.
    return hash(name if isinstance(name, str) else ("not text", repr(name)))
