"""Speed of `transform`, against peers and against the matrix products alone.

    python benchmarks/speed/transform.py [protein] [sentence] [series] [cells]

Each workload runs in a process of its own; without arguments all do, one after the other.
Times are medians of several runs after a warm-up. The floor is the time of the matrix
products that no way around is known for, at the rate of a large one on all processors in
the same process. Peers are in `_peers.py`; "x 12" means 12 times our time.
"""

import functools
import subprocess
import sys
import warnings

import _peers
import _workloads
import numpy as np
from _peak_memory import peak_memory
from _timing import once, seconds
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning


def product_rate(size=2048):
    """Multiplications and additions per second of a large float32 matrix product."""
    a = np.random.default_rng(0).random((size, size), np.float32)
    out = np.empty_like(a)
    return 2 * size**3 / min(once(np.matmul, a, a, out=out)[0] for _ in range(10))


def floor(workload):
    """Time of the matrix products alone: kernel, similarities, pooling, whitening."""
    embedding = workload.embedding
    n_references, n_supports, n_components = embedding.references_.shape
    n_windows = np.maximum(workload.sets.lengths - embedding.filter_size + 1, 1).sum()
    per_window = embedding.anchors_.shape[1] + 2 * n_references * n_supports
    per_set = n_references * n_supports * n_components
    products = n_components * (n_windows * per_window + len(workload.sets) * per_set)
    return 2.0 * products / product_rate()


def clone_fitted(embedding, **params):
    """A copy that shares what was fitted."""
    copy = clone(embedding).set_params(**params)
    vars(copy).update({k: v for k, v in vars(embedding).items() if k not in params})
    return copy.set_params(**params)


def report(workload):
    """Print our time, the mean number of passes and the floor; return the time."""
    embedding, sets = workload.embedding, workload.sets
    passes = embedding.sinkhorn_diagnostics(sets).n_iter.mean()
    ours, least = seconds(embedding.transform, sets), floor(workload)
    one_thread = seconds(clone_fitted(embedding, n_jobs=1).transform, sets, n_runs=3)
    print(
        f"{workload.name}: {ours:.4f} s ({len(sets) / ours:,.0f} sets per second), "
        f"{passes:.1f} passes; floor {least:.4f} s, x {ours / least:.2f} of it; "
        f"one thread takes x {one_thread / ours:.2f}",
        flush=True,
    )
    return ours


def compare(workload, ours, batch_size=_peers.BATCH, with_pot=True):
    """Print how much longer peers take, and how far their 100 iterations are from ours."""
    embedding, sets = workload.embedding, workload.sets
    expected = clone_fitted(embedding, tol=0, max_iter=100).transform(sets)
    padded = functools.partial(_peers.torch_padded, batch_size=batch_size)
    padded(workload, max_iter=1)  # warm up
    iterative = {"padded PyTorch": padded}
    if with_pot:
        iterative["loop over ot.sinkhorn"] = _peers.pot_loop
        iterative["ot.batch, padded"] = _peers.pot_batch
    for name, peer in iterative.items():
        took, found = once(peer, workload, tol=None)
        error = np.abs(found - expected).max() / np.abs(expected).max()
        assert error < 1e-4 or workload.name.startswith("sentence"), error
        line = f"{took:.3f} s, x {took / ours:.1f}, relative difference {error:.0e}"
        print(f"  {name}, 100 iterations: {line}", flush=True)
        took, _ = once(peer, workload, tol=embedding.tol)
        print(f"  {name}, our tolerance: {took:.3f} s, x {took / ours:.1f}", flush=True)
    took, _ = once(_peers.nystroem_mean, workload)
    print(f"  Nystroem and mean: {took:.3f} s, x {took / ours:.1f}", flush=True)


def report_and_compare(workload, **kwargs):
    """Print all about a workload."""
    compare(workload, report(workload), **kwargs)


def series():
    """Compare on what is like many short series; ten times as many take how long?"""
    few, many = _workloads.series_like(2_000), _workloads.series_like(20_000)
    times = [report(few), report(many)]
    print(f"  20,000 sets take x {times[1] / times[0]:.1f} of 2,000")
    compare(few, times[0])
    compare(many, times[1])


def cells():
    """Compare on a few sets of a million elements, and measure memory."""
    workload = _workloads.cells_like()
    # Compiled before, so that the compiler's memory is not counted.
    workload.embedding.transform(workload.sets[:1][0][:20_000][np.newaxis])
    peaks = {}
    for n_jobs in [1, -1]:
        before = peak_memory()
        workload.embedding.set_params(n_jobs=n_jobs).transform(workload.sets)
        after = peak_memory()
        peaks[n_jobs] = (after - before) / 2**30
    peak = f"{sum(peaks.values()):.2f} GiB (one thread: {peaks[1]:.2f})"
    print(f"cells-like: peak above input {peak}")
    report_and_compare(workload, batch_size=1, with_pot=False)


WORKLOADS = {
    "protein": lambda: report_and_compare(_workloads.protein_like()),
    "sentence": lambda: report_and_compare(_workloads.sentence_like()),
    "series": series,
    "cells": cells,
}


def main(args):
    """Measure one workload here, or several in processes of their own."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    if len(args) == 1:
        WORKLOADS[args[0]]()
    else:
        for name in args or WORKLOADS:
            subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
