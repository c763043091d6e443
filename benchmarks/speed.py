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
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from otk_sklearn import OTKEmbedding


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
    print(
        f"cells-like: peak above input {sum(peaks.values()):.2f} GiB (one thread: ", end=""
    )
    print(f"{peaks[1]:.2f})")
    compare(workload, report(workload), batch_size=1, with_pot=False)


SHARP = [
    (epsilon, problem, n_supports)
    for epsilon in [0.01, 0.03, 0.1, 0.3]
    for problem in ["digits", "vowels"]
    for n_supports in [10, 30]
]


def sharp():
    """Small epsilon on real sets, with and without extrapolated steps."""
    found = []
    for mode in ["sharp-plain", "sharp-extrapolated"]:
        with tempfile.TemporaryDirectory() as cache:
            lines = run([mode], NUMBA_CACHE_DIR=cache).splitlines()
        found.append([[float(x) for x in line.split()] for line in lines])
    gains = {}
    for (epsilon, problem, n_supports), plain, ours in zip(SHARP, *found):
        gains.setdefault(epsilon, []).append(plain[0] / ours[0])
        both = [
            f"{took:.4f} s, {mean:.0f} passes, at most {most:.0f}, {missed:.0f} missed tol"
            for took, mean, most, missed in [plain, ours]
        ]
        print(f"sharp, {problem}, epsilon {epsilon}, {n_supports} supports: ", end="")
        print(f"plain {both[0]}; extrapolated {both[1]}; x {gains[epsilon][-1]:.2f}")
    for epsilon, of_epsilon in gains.items():
        print(f"sharp, epsilon {epsilon}: x {np.mean(of_epsilon):.2f} on average")


def sharp_cases(mode):
    """Print the time of the plans, mean and most passes, and how many sets missed tol."""
    from otk_sklearn._compiled import sinkhorn
    from otk_sklearn.transport._plans import solve_plans
    from otk_sklearn.transport._problem import Transport

    if mode == "sharp-plain":
        sinkhorn._FIRST_EXTRAPOLATED = 10**9  # not yet compiled, and cached apart
    for epsilon, problem, n_supports in SHARP:
        workload = workloads.sharp(problem, n_supports, epsilon)
        sets, embedding = workload.sets.astype(np.float64), workload.embedding
        psi = np.concatenate([peers.features(x, embedding) for x in sets])
        similarities = embedding.references_.astype(np.float64) @ psi.T
        transport = Transport("sinkhorn", epsilon, None, 100_000, 1e-4)
        rest = np.zeros(len(sets)), np.array(sets.offsets), sets.masses, transport

        def solve(similarities=similarities, rest=rest):
            return solve_plans(similarities.copy(), *rest)

        plans = solve()
        missed = (plans.residual > 1e-4).sum()
        took = seconds(solve, n_runs=5)
        print(took, plans.n_iter.mean(), plans.n_iter.max(), missed, flush=True)


def start():
    """Import, and the first transform without and with compiled code."""
    with tempfile.TemporaryDirectory() as cache:
        for name in ["nothing compiled", "compiled before"]:
            added, first, again = run(["start-case"], NUMBA_CACHE_DIR=cache).split()
            print(
                f"start, {name}: import {added} s more than numba and scikit-learn, first "
                f"transform {first} s, second {again} s",
                flush=True,
            )


def start_case():
    # Modules that this script has imported are in the way: a bare process is timed.
    code = """
import time
import numba, sklearn.cluster, sklearn.kernel_approximation, scipy.linalg, numpy as np
start = time.perf_counter()
from otk_sklearn import OTKEmbedding
added = time.perf_counter() - start
random = np.random.default_rng(0)
X = [random.normal(size=(20, 12)).astype(np.float32) for _ in range(100)]
model = OTKEmbedding(5, anchors=X[0], references=np.ones((1, 5, 20), np.float32)).fit(X)
times = []
for _ in range(2):
    start = time.perf_counter()
    model.transform(X)
    times.append(time.perf_counter() - start)
print(f"{added:.2f} {times[0]:.2f} {times[1]:.4f}")
"""
    print(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout.decode())


def fit():
    """Fit on 300,000 windows; a grid with and without memory; nested parallelism."""
    from otk_sklearn.features import _anchors
    from otk_sklearn.matching import _references

    times = []

    def timed(*args, original=_anchors.kmeans_centers, **kwargs):
        took, result = once(original, *args, **kwargs)
        times.append(took)
        return result

    _anchors.kmeans_centers = _references.kmeans_centers = timed
    lengths = workloads.protein_lengths(2048, np.random.default_rng(1))
    sets = workloads.normal_sets(lengths, 45, np.random.default_rng(0))
    model = OTKEmbedding(
        100,
        epsilon=0.5,
        kernel="homogeneous",
        gamma=1 / (2 * 0.6**2),
        n_components=512,
        filter_size=10,
        n_jobs=-1,
        random_state=0,
    )
    whole, _ = once(model.fit, sets)
    print(
        f"fit on 300,000 windows: {whole:.1f} s, K-means {sum(times):.1f} s, everything "
        f"else {(whole - sum(times)) / sum(times):.0%} of that",
        flush=True,
    )
    grid()
    nested()


def grid():
    """Five epsilons times four numbers of supports."""
    sets = workloads.protein_like().sets[:256]
    cases = [(e, p) for e in [0.1, 0.2, 0.5, 1.0, 2.0] for p in [10, 20, 50, 100]]

    def fit_all(memory):
        for epsilon, n_supports in cases:
            OTKEmbedding(
                n_supports,
                epsilon=epsilon,
                n_components=256,
                filter_size=10,
                kernel="homogeneous",
                memory=memory,
                random_state=0,
            ).fit(sets)

    without, _ = once(fit_all, None)
    with tempfile.TemporaryDirectory() as folder:
        cached, _ = once(fit_all, folder)
    print(
        f"grid of 20 on {sets.lengths.sum():,} rows: {without:.1f} s, with memory "
        f"{cached:.1f} s, {cached / without:.2f} of it",
        flush=True,
    )


def nested():
    """A grid search of two processes with all threads each, and of one."""
    X = list(workloads.series_like(2_000).sets)
    y = np.arange(len(X)) % 2
    grid = {"otkembedding__epsilon": [0.05, 0.1, 0.2, 0.5]}
    for n_jobs in [1, 2]:
        pipeline = make_pipeline(OTKEmbedding(20, n_jobs=-1), RidgeClassifier())
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs)
        took = seconds(search.fit, X, y, n_runs=3)
        print(f"nested, grid search with n_jobs={n_jobs}: {took:.2f} s", flush=True)


def run(args, **environment):
    """Run a part in a process of its own, and return what it prints."""
    found = subprocess.run(
        [sys.executable, __file__, *args],
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return found.stdout


PARTS = {f.__name__: f for f in [protein, sentence, series, cells, sharp, start, fit]}


def main(args):
    warnings.simplefilter("ignore", ConvergenceWarning)
    if args in (["sharp-plain"], ["sharp-extrapolated"]):
        sharp_cases(*args)
    elif args == ["start-case"]:
        start_case()
    elif len(args) == 1:
        PARTS[args[0]]()
    else:
        for name in args or PARTS:
            subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
