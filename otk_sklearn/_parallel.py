"""Chunks of sets, threads, and the memory limit."""

import contextlib
import functools
import math
import threading

import joblib
import numpy as np
import sklearn
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import ThreadpoolController

# Rows of features worked on at a time: few enough to stay in a core's cache.
CHUNK_ROWS = 4096

_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit = None


@functools.cache
def _controller():
    return ThreadpoolController()


@contextlib.contextmanager
def single_threaded():
    """Hold BLAS and OpenMP to one thread.

    Work is split over threads of our own; and one thread always adds up in one order, so
    that results don't depend on `n_jobs`.
    """
    # OpenMP's limit is the calling thread's own, but that of BLAS is the whole process's.
    with _single_threaded_blas(), _controller().limit(limits=1, user_api="openmp"):
        yield


@contextlib.contextmanager
def _single_threaded_blas():
    """Of threads that overlap, the last to leave restores what the first one found.

    Were each to restore what it found itself, one that came second and left last would
    "restore" the limit of 1, for good.
    """
    global _blas_users, _blas_limit
    with _blas_lock:
        if _blas_users == 0:
            _blas_limit = _controller().limit(limits=1, user_api="blas")
            _let_go()
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()
                _let_go()


def _let_go():
    """Let other threads change the limits.

    From version 3.8, threadpoolctl reserves the limits of OpenBLAS to the thread that set
    them last, until that thread leaves a limit's context; others are ignored, silently.
    """
    with _controller().limit(limits=None):
        pass


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
        return held[:size].reshape(shape)


def rows_in_memory(row_bytes):
    """Rows of so many bytes that each of as many workers as processors may hold.

    All together, they then keep to `working_memory`. However many there really are, chunks
    are the same: one that is cut elsewhere may differ in the last digit.
    """
    budget = sklearn.get_config()["working_memory"] * 2**20
    return max(1, int(budget / (row_bytes * joblib.cpu_count())))


def map_chunks(function, lengths, *, rows_per_set, max_rows, n_jobs):
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
        Largest number of rows in memory at a time, as `rows_in_memory` gives it.
    n_jobs : int or None

    Returns
    -------
    list
        What `function` returned, in the order of the sets.
    """
    chunks = _chunk_sets(lengths + rows_per_set, min(CHUNK_ROWS, max_rows))
    results = [None] * len(chunks)
    # Each worker takes chunk after chunk: to dispatch each of them would take longer than
    # some of them do.
    waiting = iter(range(len(chunks)))
    n_workers = min(effective_n_jobs(n_jobs), len(chunks))

    def work():
        # Overflow and underflow at extremes are looked after where they can occur.
        with np.errstate(all="ignore"):
            for i in waiting:
                results[i] = function(chunks[i])

    with single_threaded():
        Parallel(n_jobs=n_workers, require="sharedmem")(
            delayed(work)() for _ in range(n_workers)
        )
    return results


def _chunk_sets(rows, max_rows):
    """Cut the sets, in order, into slices of at most `max_rows` rows or of one set."""
    ends = np.cumsum(rows)
    slices = []
    start, done = 0, 0
    while start < len(ends):
        stop = int(np.searchsorted(ends, done + max_rows, side="right"))
        stop = max(stop, start + 1)
        slices.append(slice(start, stop))
        start, done = stop, ends[stop - 1]
    return slices
