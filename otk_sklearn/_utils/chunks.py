"""Chunks of sets, processed in parallel by threads within `working_memory`."""

import collections
import functools
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import sklearn
from joblib import effective_n_jobs

from otk_sklearn._utils.thread_limits import single_threaded

# Number of feature values in a chunk, and bounds on its number of rows.
_CHUNK_SIZE = 2**20
_MIN_WIDE_ROWS = 2048
_MAX_NARROW_ROWS = 8192

# Below this, the overhead of a chunk exceeds its computation.
_MIN_CHUNK_ROWS = 512


# Cached: a look-up takes as long as embedding a small set.
n_processors = functools.cache(joblib.cpu_count)


class Buffers(threading.local):
    """Thread-local arrays that are reused from chunk to chunk.

    Newly allocated memory is mapped page by page, which takes longer than filling it, the
    more so with several threads.
    """

    def empty(self, name, shape, dtype):
        """Return an uninitialized array, in the memory of the last one of this name."""
        size = math.prod(shape)
        held = vars(self).get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = vars(self)[name] = np.empty(size, dtype)
        last = vars(self)["last " + name] = held[:size].reshape(shape)
        return last

    def last(self, name):
        """Return the array that `empty` last returned for this name."""
        return vars(self)["last " + name]


def chunk_rows(n_components):
    """Number of rows of a chunk with `n_components` features.

    Few enough that arrays read several times stay in a core's cache, and enough that matrix
    products run at full speed and outweigh the overhead of a chunk.
    """
    return min(max(_CHUNK_SIZE // n_components, _MIN_WIDE_ROWS), _MAX_NARROW_ROWS)


def rows_in_memory(row_bytes):
    """Number of rows of `row_bytes` bytes that fit into one worker's memory.

    It is `working_memory` divided by the number of processors, not of workers: chunks don't
    depend on `n_jobs`, as other chunks may change the last digit of results.
    """
    budget = sklearn.get_config()["working_memory"] * 2**20
    return max(1, int(budget / (row_bytes * n_processors())))


def batches_of(n_rows, max_rows):
    """Return slices of at most `max_rows` rows that together cover all; none of no rows.

    scikit-learn's `gen_batches` refuses to split no rows, and validates its arguments.
    """
    stops = range(max_rows, n_rows + max_rows, max_rows)
    return [slice(stop - max_rows, min(stop, n_rows)) for stop in stops]


def map_chunks(function, lengths, *, rows_per_set, max_rows, n_jobs, report=None):
    """Call `function` with slices of sets that together cover all of them.

    Parameters
    ----------
    function : callable
        Called with one slice, in several threads: it should release the GIL.
    lengths : ndarray of int of shape (n_sets,)
        Rows of each set.
    rows_per_set : int
        Additional rows of each set, for its pooled features.
    max_rows : int
        Maximum number of rows of a chunk of more than one set, at most `chunk_rows`.
    n_jobs : int or None
        As in joblib, but at most as many threads as processors are started.
    report : callable, default=None
        Called with the number of sets of each finished slice, in the worker's thread.

    Returns
    -------
    list
        Return values of `function`, in the order of the sets.
    """
    chunks = _chunk_sets(lengths + rows_per_set, max_rows)
    results = [None] * len(chunks)
    waiting = iter(range(len(chunks)))

    def work():
        # Overflow and underflow are handled where they can occur.
        with np.errstate(all="ignore"):
            for i in waiting:
                results[i] = function(chunks[i])
                if report is not None:
                    report(chunks[i].stop - chunks[i].start)

    n_workers = _n_workers(n_jobs, len(chunks))
    with single_threaded():
        if n_workers == 1:
            work()
            return results
        config = sklearn.get_config()  # which is local to each thread

        def work_in_thread():
            with sklearn.config_context(**config):
                work()

        # Each worker takes chunk after chunk, and so does this thread: were it to wait,
        # small calls would take 3 ms longer. joblib would dispatch each chunk, and poll for
        # its result only every hundredth of a second.
        with ThreadPoolExecutor(n_workers - 1) as pool:
            try:
                workers = [pool.submit(work_in_thread) for _ in range(n_workers - 1)]
                work()
                for worker in workers:
                    worker.result()
            finally:  # after an error or interrupt, workers stop
                collections.deque(waiting, maxlen=0)
    return results


def _n_workers(n_jobs, n_chunks):
    """Number of threads for these chunks.

    To backends of joblib that distribute work, such as dask's, `n_jobs=None` means the
    workers of a whole cluster. More threads than processors are no faster, and take more
    than `working_memory`.
    """
    if n_chunks == 1:
        return 1
    return min(effective_n_jobs(n_jobs), n_processors(), n_chunks)


def _chunk_sets(rows, max_rows):
    """Split the sets, in order, into slices of at most `max_rows` rows, or of one set.

    Slices have about the same number of rows, and their number is a multiple of that of
    processors: none is idle while another one processes the last slice.
    """
    if len(rows) < 2:
        return [slice(0, len(rows))]
    ends = np.cumsum(rows)
    n_slices = -(-ends[-1] // max_rows)
    n_slices += -n_slices % n_processors()
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
