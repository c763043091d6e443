"""Speed of `fit`: on many windows, over a grid with `memory`, and in nested parallelism.

python benchmarks/speed/fit.py
"""

import tempfile
import warnings

import _workloads
import numpy as np
from _timing import once, seconds
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from otk_sklearn import OTKEmbedding
from otk_sklearn.features import _anchors
from otk_sklearn.matching import _references


def timed_kmeans():
    """Have the library's K-means timed from now on, and return the list of times."""
    times = []

    def timed(*args, original=_anchors.kmeans_centers, **kwargs):
        took, result = once(original, *args, **kwargs)
        times.append(took)
        return result

    _anchors.kmeans_centers = _references.kmeans_centers = timed
    return times


def many_windows():
    """Fit on 300,000 windows, and tell how much of the time is K-means."""
    times = timed_kmeans()
    lengths = _workloads.protein_lengths(2048, np.random.default_rng(1))
    sets = _workloads.normal_sets(lengths, 45, np.random.default_rng(0))
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


def grid():
    """Five epsilons times four numbers of supports."""
    sets = _workloads.protein_like().sets[:256]
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
    X = list(_workloads.series_like(2_000).sets)
    y = np.arange(len(X)) % 2
    grid = {"otkembedding__epsilon": [0.05, 0.1, 0.2, 0.5]}
    for n_jobs in [1, 2]:
        pipeline = make_pipeline(OTKEmbedding(20, n_jobs=-1), RidgeClassifier())
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs)
        took = seconds(search.fit, X, y, n_runs=3)
        print(f"nested, grid search with n_jobs={n_jobs}: {took:.2f} s", flush=True)


def main():
    """Measure all."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    many_windows()
    grid()
    nested()


if __name__ == "__main__":
    main()
