"""Times of functions."""

import time

import numpy as np


def seconds(function, *args, n_runs=7, **kwargs):
    """Median time of several runs, after one that is not counted."""
    function(*args, **kwargs)
    return np.median([once(function, *args, **kwargs)[0] for _ in range(n_runs)])


def once(function, *args, **kwargs):
    """Time of one run, and what it returned."""
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return time.perf_counter() - start, result
