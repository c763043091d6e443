"""Memory that pipelines take beside their input: processes, folds, caches, scalers.

    python benchmarks/speed/pipeline_memory.py --mebibytes 128

Each line is a process of its own, with its workers. Memory is the peak of what all of them
hold, without pages of files, which the system can drop, above what they held before, when
everything had run once with a few sets. It is given in multiples of the input; "disk" is
what a cache has written. Needs Linux.
"""

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
from joblib import parallel_config
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection

LENGTH, N_FEATURES = 100, 32
N_FEW = 20
SECONDS_BETWEEN = 0.02

SCALER, ROTATION = StandardScaler(), PCA(N_FEATURES, random_state=0)


def pipeline(*transformers, memory=None):
    """Elements transformed, sets embedded and classified."""
    steps = [ElementTransformer(transformer) for transformer in transformers]
    embedding = OTKEmbedding(4, n_components=16, max_elements=5000, random_state=0)
    steps += [embedding, LogisticRegression(max_iter=1000)]
    return Pipeline([(f"step{i}", step) for i, step in enumerate(steps)], memory=memory)


def fit(X, y, folder, *transformers):
    pipeline(*transformers).fit(X, y)


def fit_and_predict(X, y, folder, *transformers):
    pipeline(*transformers).fit(X, y).predict(X)


def search(X, y, folder, n_jobs, backend="loky", shuffle=False, caches=False):
    model = pipeline(SCALER, memory=folder if caches else None)
    folds = KFold(5, shuffle=shuffle, random_state=0 if shuffle else None)
    grid = {"step2__C": [0.1, 1.0]}
    with parallel_config(backend):
        GridSearchCV(model, grid, cv=folds, n_jobs=n_jobs).fit(X, y)


# What runs, with which arguments, and whether the input is mapped from a file.
CASES = {
    "fit, no scaler": (fit, (), False),
    "fit, scaler": (fit, (SCALER,), False),
    "fit and predict, scaler": (fit_and_predict, (SCALER,), False),
    "fit and predict, scaler, file": (fit_and_predict, (SCALER,), True),
    "fit and predict, scaler and PCA": (fit_and_predict, (SCALER, ROTATION), False),
    "search, n_jobs=1": (search, (1,), False),
    "search, n_jobs=1, file": (search, (1,), True),
    "search, n_jobs=2": (search, (2,), False),
    "search, n_jobs=2, file": (search, (2,), True),
    "search, n_jobs=2, shuffled folds": (search, (2, "loky", True), False),
    "search, n_jobs=2, threads": (search, (2, "threading"), False),
    "search, n_jobs=1, memory=folder": (search, (1, "loky", False, True), False),
}


def run(name, path, pipe):
    """Run a case: first with a few sets, and with all after a message."""
    function, arguments, is_file = CASES[name]
    values = np.load(path, mmap_mode="r" if is_file else None)
    X = SetCollection(values, np.arange(0, len(values) + 1, LENGTH))
    y = np.arange(len(X)) % 2
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        function(X[:N_FEW], y[:N_FEW], folder, *arguments)
        pipe.send("ready")
        pipe.recv()
        start = time.perf_counter()
        function(X, y, folder, *arguments)
        seconds = time.perf_counter() - start
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        pipe.send((seconds, sum(file.stat().st_size for file in files)))
        pipe.recv()


def held(pid):
    """Bytes that a process and its children hold, without pages of files."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(map(held, children.read_text().split()))
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        pass
    return total


def measure(name, path):
    """Return the peak above the start, the seconds, and bytes on disk."""
    pipe, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=run, args=(name, path, other)
    )
    process.start()
    pipe.recv()
    before = peak = held(process.pid)
    pipe.send("go")
    while not pipe.poll(SECONDS_BETWEEN):
        peak = max(peak, held(process.pid))
    seconds, on_disk = pipe.recv()
    pipe.send("end")
    process.join()
    return peak - before, seconds, on_disk


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=128)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    arguments = parser.parse_args()
    n_sets = arguments.mebibytes * 2**20 // (LENGTH * N_FEATURES * 8)
    shape = n_sets * LENGTH, N_FEATURES
    print(f"input: {n_sets} sets of {LENGTH} elements, {arguments.mebibytes} MiB")
    print("| | memory | disk | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "values.npy")
        np.save(path, np.random.default_rng(0).normal(size=shape))
        size = np.prod(shape) * 8
        for name in arguments.cases:
            peak, seconds, on_disk = measure(name, path)
            disk = f"{on_disk / size:.1f}" if on_disk else "-"
            print(f"| {name} | {peak / size:.1f} | {disk} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
