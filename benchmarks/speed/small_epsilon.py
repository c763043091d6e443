"""Speed of plans at small epsilon on real sets, with and without extrapolated steps.

    python benchmarks/speed/small_epsilon.py

Both ways run in processes of their own, as they are compiled differently.
"""

import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import _peers
import _workloads
import numpy as np
from _timing import seconds

from otk_sklearn._compiled import sinkhorn
from otk_sklearn.transport._problem import Transport
from otk_sklearn.transport._solvers import solve_plans

TOL = 1e-4
MODES = ["plain", "extrapolated"]
CASES = [
    (epsilon, problem, n_supports)
    for epsilon in [0.01, 0.03, 0.1, 0.3]
    for problem in ["digits", "JapaneseVowels"]
    for n_supports in [10, 30]
]


def measure(mode):
    """Time of the plans, mean and most passes, and how many sets missed tol, by case."""
    if mode == "plain":
        sinkhorn._FIRST_EXTRAPOLATED = 10**9  # not yet compiled, and cached apart
    found = []
    for epsilon, problem, n_supports in CASES:
        workload = _workloads.real_sets(problem, n_supports, epsilon)
        sets, embedding = workload.sets.astype(np.float64), workload.embedding
        psi = np.concatenate([_peers.features(x, embedding) for x in sets])
        similarities = embedding.references_.astype(np.float64) @ psi.T
        transport = Transport("sinkhorn", epsilon, None, 100_000, TOL)
        rest = np.zeros(len(sets)), np.array(sets.offsets), sets.masses, transport

        def solve(similarities=similarities, rest=rest):
            return solve_plans(similarities.copy(), *rest)

        plans = solve()
        missed = (plans.residual > TOL).sum()
        took = seconds(solve, n_runs=5)
        found.append((took, plans.n_iter.mean(), plans.n_iter.max(), missed))
    return found


def measure_apart(mode):
    """Measure in a process of its own, with its own folder for compiled code."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NUMBA_CACHE_DIR"] = cache
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(measure, mode).result()


def main():
    """Print both ways side by side, and mean ratios of times by epsilon."""
    gains = {}
    for case, *rows in zip(CASES, *map(measure_apart, MODES)):
        epsilon, problem, n_supports = case
        plain, extrapolated = (
            f"{took:.4f} s, {mean:.0f} passes, at most {most:.0f}, {missed:.0f} missed tol"
            for took, mean, most, missed in rows
        )
        gain = rows[0][0] / rows[1][0]
        gains.setdefault(epsilon, []).append(gain)
        print(
            f"{problem}, epsilon {epsilon}, {n_supports} supports: plain {plain}; "
            f"extrapolated {extrapolated}; x {gain:.2f}"
        )
    for epsilon, of_epsilon in gains.items():
        print(f"epsilon {epsilon}: x {np.mean(of_epsilon):.2f} on average")


if __name__ == "__main__":
    main()
