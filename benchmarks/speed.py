"""Speed of `transform` and `fit`, against peers and against the matrix products alone.

    python benchmarks/speed.py [protein] [sentence] [series] [cells] [sharp] [start] [fit]

Each part runs in a process of its own; without arguments all do, one after the other.
Times are medians of several runs after a warm-up. The floor is the time of the matrix
products that no way around is known for, at the rate of a large one on all processors in
the same process. Peers are in `peers.py`; "x 12" means 12 times our time.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import peers
import workloads
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from otk_sklearn import SetCollection


def seconds(function, *args, n_runs=7, **kwargs):
    """Median time of several runs, after one that is not counted."""
    function(*args, **kwargs)
    times = []
    for _ in range(n_runs):
        start = time.perf_counter()
        function(*args, **kwargs)
        times.append(time.perf_counter() - start)
    return np.median(times)


def once(function, *args, **kwargs):
    """Time of one run, and what it returned."""
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return time.perf_counter() - start, result


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


def clone_fitted(embedding, **params):
    """A copy that shares what was fitted."""
    copy = clone(embedding).set_params(**params)
    vars(copy).update({k: v for k, v in vars(embedding).items() if k not in params})
    return copy.set_params(**params)


def compare(workload, ours, batch_size=peers.BATCH, with_pot=True):
    """Print how much longer peers take, and how far their 100 iterations are from ours."""
    embedding, sets = workload.embedding, workload.sets
    expected = clone_fitted(embedding, tol=0, max_iter=100).transform(sets)
    tol = embedding.tol
    rows = [
        ("padded PyTorch, 100 iterations", peers.torch_padded, {"tol": None}),
        ("padded PyTorch, our stopping rule", peers.torch_padded, {"tol": tol}),
        ("Nystroem and mean", peers.nystroem_mean, {}),
    ]
    if with_pot:
        rows += [
            ("loop over ot.sinkhorn, 100 iterations", peers.pot_loop, {"tol": None}),
            ("loop over ot.sinkhorn, our tolerance", peers.pot_loop, {"tol": tol}),
            ("ot.batch, padded, 100 iterations", peers.pot_batch, {"tol": None}),
            ("ot.batch, padded, our tolerance", peers.pot_batch, {"tol": tol}),
        ]
    for name, peer, params in rows:
        if peer is peers.torch_padded:
            params["batch_size"] = batch_size
            peer(workload, max_iter=1, batch_size=batch_size)  # warm up
        took, found = once(peer, workload, **params)
        line = f"  {name}: {took:.3f} s, x {took / ours:.1f}"
        if params.get("tol", tol) is None:
            error = np.abs(found - expected).max() / np.abs(expected).max()
            line += f", relative difference {error:.0e}"
            assert error < 1e-4 or workload.name.startswith("sentence"), error
        print(line, flush=True)


def protein():
    workload = workloads.protein_like()
    compare(workload, report(workload))


def sentence():
    workload = workloads.sentence_like()
    compare(workload, report(workload))


def series():
    few, many = workloads.series_like(2_000), workloads.series_like(20_000)
    times = [report(few), report(many)]
    print(f"  20,000 sets take x {times[1] / times[0]:.1f} of 2,000")
    compare(few, times[0])
    compare(many, times[1])


def cells():
    workload = workloads.cells_like()
    # Compiled before, so that the compiler's memory is not counted.
    workload.embedding.transform(workload.sets[:1][0][:20_000][np.newaxis])
    peaks = {}
    for n_jobs in [1, -1]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        workload.embedding.set_params(n_jobs=n_jobs).transform(workload.sets)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peaks[n_jobs] = (after - before) / 2**20
    print(f"cells-like: peak above input {sum(peaks.values()):.2f} GiB (one thread: ", end="")
    print(f"{peaks[1]:.2f})")
    compare(workload, report(workload), batch_size=1, with_pot=False)


def sharp():
    """Small epsilon on real sets, with and without extrapolated steps."""
    for epsilon in [0.01, 0.03, 0.1, 0.3]:
        gains = []
        for problem in ["digits", "vowels"]:
            for n_supports in [10, 30]:
                both = []
                for mode in ["sharp-plain", "sharp-extrapolated"]:
                    case = [mode, problem, str(n_supports), str(epsilon)]
                    both.append([float(x) for x in run(case).split()])
                (plain, passes, most, missed), (ours, fewer, at_most, ours_missed) = both
                gains.append(plain / ours)
                print(
                    f"{problem}, epsilon {epsilon}, {n_supports} supports: plain {plain:.4f}"
                    f" s, {passes:.0f} passes (at most {most:.0f}, {missed:.0f} sets missed"
                    f" tol); extrapolated {ours:.4f} s, {fewer:.0f} passes (at most "
                    f"{at_most:.0f}, {ours_missed:.0f} missed); x {plain / ours:.2f}",
                    flush=True,
                )
        print(f"epsilon {epsilon}: x {np.mean(gains):.2f} on average", flush=True)


def sharp_case(mode, problem, n_supports, epsilon):
    """Print time, mean and largest number of passes, and sets that missed tol."""
    from otk_sklearn import _kernels
    from otk_sklearn._transport import Transport, solve_plans

    if mode == "sharp-plain":
        _kernels._FIRST_EXTRAPOLATED = 10**9  # not yet compiled, and not to be cached
    workload = workloads.sharp(problem, int(n_supports), float(epsilon))
    sets, embedding = workload.sets.astype(np.float64), workload.embedding
    # Features have unit norm but for damping; the plans alone are solved here.
    kwargs = {"references": np.eye(100)[np.newaxis], "anchors": embedding.anchors_}
    psi = SetCollection(
        np.concatenate([peers.features(x, embedding) for x in sets]), sets.offsets
    )
    del kwargs
    similarities = embedding.references_.astype(np.float64) @ psi.values.T
    transport = Transport("sinkhorn", float(epsilon), None, 100_000, 1e-4)
    offsets, masses = np.array(sets.offsets), sets.masses

    def solve():
        return solve_plans(
            similarities.copy(), np.zeros(len(sets)), offsets, masses, transport
        )

    plans = solve()
    took = seconds(solve, n_runs=5)
    print(took, plans.n_iter.mean(), plans.n_iter.max(), (plans.residual > 1e-4).sum())
