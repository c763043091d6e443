"""Chunks of sets, worked on by threads within the memory limit."""

import collections
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import sklearn
from joblib import effective_n_jobs

from otk_sklearn._utils.thread_limits import single_threaded

# Numbers in the features of a chunk, and the fewest and most rows that this comes to.
_CHUNK_SIZE = 2**20

_MIN_WIDE_ROWS = 2048

_MAX_NARROW_ROWS = 8192

# What is cut into smaller pieces than this takes longer to hand out than to do.
_MIN_CHUNK_ROWS = 512


class Buffers(threading.local):
    """Arrays that a thread uses again for chunk after chunk.

    Fresh memory of megabytes comes from the system page by page, which takes longer than
    filling it, the more so with several threads.
    """

    def empty(self, name, shape, dtype):
        """Return an array whose content is that of the array of this name before it."""
        size = math.prod(shape)
        held = vars(self).get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = vars(self)[name] = np.empty(size, dtype)
        last = vars(self)["last " + name] = held[:size].reshape(shape)
        return last

    def last(self, name):
        """Return the array of this name that was given out last."""
        return vars(self)["last " + name]


def chunk_rows(n_components):
    """Rows of so many features to work on at a time.

    Few enough that a core's cache holds what is gone through several times, and enough that
    matrix products run at full rate, and longer than it takes to start on them.
    """
    return min(max(_CHUNK_SIZE // n_components, _MIN_WIDE_ROWS), _MAX_NARROW_ROWS)


def rows_in_memory(row_bytes):
    """Rows of so many bytes that each of as many workers as processors may hold.

    All together, they then keep to `working_memory`. However many there really are, chunks
    are the same: one that is cut elsewhere may differ in the last digit.
    """
    budget = sklearn.get_config()["working_memory"] * 2**20
    return max(1, int(budget / (row_bytes * joblib.cpu_count())))


def map_chunks(function, lengths, *, rows_per_set, max_rows, n_jobs, report=None):
    """Call `function` with slices of sets that together cover all of them.

    Parameters
    ----------
    function : callable
        Called with one slice. Runs in threads: it should spend its time without the GIL.
    lengths : ndarray of int of shape (n_sets,)
        Rows of each set.
    rows_per_set : int
        Rows that each set needs besides, for what is pooled.
    max_rows : int
        Rows of a chunk, but for one of a single set: as `chunk_rows` gives it, or less.
    n_jobs : int or None
    report : callable, default=None
        Called with the number of sets of a slice once it is done, in whichever thread.

    Returns
    -------
    list
        What `function` returned, in the order of the sets.
    """
    chunks = _chunk_sets(lengths + rows_per_set, max_rows)
    results = [None] * len(chunks)
    waiting = iter(range(len(chunks)))

    config = sklearn.get_config()  # which is each thread's own

    def work():
        # Overflow and underflow at extremes are looked after where they can occur.
        with sklearn.config_context(**config), np.errstate(all="ignore"):
            for i in waiting:
                results[i] = function(chunks[i])
                if report is not None:
                    report(chunks[i].stop - chunks[i].start)

    n_workers = min(effective_n_jobs(n_jobs), len(chunks))
    with single_threaded():
        if n_workers == 1:
            work()
            return results
        # Each worker takes chunk after chunk. joblib would hand out each of them, and only
        # look every hundredth of a second whether it is done.
        with ThreadPoolExecutor(n_workers) as pool:
            try:
                for worker in [pool.submit(work) for _ in range(n_workers)]:
                    worker.result()
            finally:  # after an error or interrupt, nothing is left to be taken
                collections.deque(waiting, maxlen=0)
    return results


def _chunk_sets(rows, max_rows):
    """Cut the sets, in order, into slices of at most `max_rows` rows, or of one set.

    Slices are of about as many rows each, and as many for each processor: none works on
    the last one while the others wait.
    """
    ends = np.cumsum(rows)
    n_slices = -(-ends[-1] // max_rows)
    n_slices += -n_slices % joblib.cpu_count()
    slices = []
    start, done = 0, 0
    while start < len(ends):
        even = (ends[-1] - done) / max(1, n_slices - len(slices))
        stop = int(np.searchsorted(ends, done + max(even, _MIN_CHUNK_ROWS))) + 1
        stop = min(stop, int(np.searchsorted(ends, done + max_rows, side="right")))
        stop = max(stop, start + 1)
        slices.append(slice(start, stop))
        start, done = stop, ends[stop - 1]
    return slices
