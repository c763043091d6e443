"""Speed of `fit`, and of its K-means beside that of faiss.

With faiss, on the same elements: times, and the inertia of both on all of them. The rest
is a fit with the defaults, and on many windows, a grid with `memory`, and nested
parallelism. Times of processors are those of all threads together, which other processes
hardly change.

    python benchmarks/speed/fit.py
"""

import tempfile
import time
import warnings

import _workloads
import faiss
import numpy as np
from _timing import once, seconds
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize

from otk_sklearn import OTKEmbedding
from otk_sklearn.features import _anchors
from otk_sklearn.features._clustering import kmeans_centers
from otk_sklearn.matching import _references

# Iterations of faiss, from a random start; it may stop before.
FAISS_ITERATIONS = 10


def faiss_centers(rows, n_clusters, seed):
    """K-means of faiss, of all rows."""
    kmeans = faiss.Kmeans(
        rows.shape[1],
        n_clusters,
        niter=FAISS_ITERATIONS,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(rows),
    )
    kmeans.train(rows)
    return kmeans.centroids


def own_centers(rows, n_clusters, seed):
    """K-means of the library."""
    return kmeans_centers(rows, np.ones(len(rows)), n_clusters, seed, n_jobs=-1)[0]


def mean_inertia(rows, centers):
    """Mean squared distance of rows to the nearest centre."""
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(np.ascontiguousarray(centers, np.float32))
    return index.search(rows, 1)[0].mean(dtype=np.float64)


def beside_faiss(name, rows, n_clusters, n_runs=3):
    """Run both in turns on a sample, as large as that of `max_elements="auto"`."""
    n_sampled = min(len(rows), max(20_000, 256 * n_clusters))
    sample = rows[np.random.default_rng(0).permutation(len(rows))[:n_sampled]]
    methods = {"faiss": faiss_centers, "own": own_centers}
    times, inertia = {m: [] for m in methods}, {m: [] for m in methods}
    for seed in range(n_runs):
        for method, centers_of in methods.items():
            start = time.process_time()
            took, centers = once(centers_of, sample, n_clusters, seed)
            times[method].append((took, time.process_time() - start))
            inertia[method].append(mean_inertia(rows, centers))
    took = {m: np.median(of_method, axis=0) for m, of_method in times.items()}
    figures = [
        f"{m} {took[m][0]:.2f} s ({took[m][1]:.2f} s of processors), inertia "
        f"{np.mean(inertia[m]):.4f}"
        for m in methods
    ]
    ratios = took["own"] / took["faiss"]
    print(
        f"K-means, {name}: {'; '.join(figures)}; {ratios[0]:.2f} of the time "
        f"({ratios[1]:.2f}), {np.mean(inertia['own']) / np.mean(inertia['faiss']):.3f} of "
        "the inertia",
        flush=True,
    )


def kmeans():
    """K-means beside faiss."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((400_000, 32), dtype=np.float32)
    beside_faiss("64 of 400,000 elements of 32", rows, 64)
    windows = random.standard_normal((300_000, 450), dtype=np.float32)
    beside_faiss("512 of 300,000 windows of 450", normalize(windows), 512)
    tokens = random.standard_normal((20_000, 768), dtype=np.float32)
    beside_faiss("2,048 of 20,000 tokens of 768", normalize(tokens), 2048)
    # Of very different sizes: a random start misses the small ones.
    means = random.standard_normal((64, 32), dtype=np.float32)
    label = random.choice(64, 20_000, p=random.dirichlet(np.ones(64)))
    noise = random.standard_normal((20_000, 32), dtype=np.float32)
    beside_faiss("64 clusters", means[label] + noise / 4, 64)


def defaults():
    """Fit with the defaults on 400,000 elements of 32."""
    sets = _workloads.normal_sets(np.full(4000, 100), 32, np.random.default_rng(0))
    took = seconds(OTKEmbedding(random_state=0).fit, sets, n_runs=3)
    print(f"default fit on 400,000 elements of 32: {took:.2f} s", flush=True)


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
    kmeans()
    defaults()
    many_windows()
    grid()
    nested()


if __name__ == "__main__":
    main()
