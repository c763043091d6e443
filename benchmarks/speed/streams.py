"""Data larger than memory: accuracy of fits on a sample, and peaks of memory.

Elements are generated batch by batch, and written nowhere.

    python benchmarks/speed/streams.py [--elements 1e8] [--gigabytes 20] [--seeds 5]
"""

import argparse
import time

import numpy as np
from _peak_memory import peak_memory
from sklearn.linear_model import LogisticRegression

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.batches import SetSampler
from otk_sklearn.datasets import make_polygons

# Sets of polygons have 40 elements on average.
SETS_IN_BATCH = 25_000
N_LABELLED = 1_000

# Elements of the second part, 128 MB in float32.
BATCH_SHAPE = 1_000_000, 32
SET_LENGTH = 100


def main():
    """Print both parts, as rows of tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=float, default=1e8)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    compare_fits(arguments.elements, range(arguments.seeds))
    measure_peak(arguments.gigabytes)


def compare_fits(n_elements, seeds):
    """Accuracy after a fit on a sample of many elements, and on 1e6 in memory."""
    start, samplers = time.perf_counter(), {s: SetSampler(random_state=s) for s in seeds}
    n_batches = int(np.ceil(n_elements / (40 * SETS_IN_BATCH)))
    for batch in range(n_batches):
        X, _ = make_polygons(SETS_IN_BATCH, noise=0.5, random_state=1_000 + batch)
        ids = np.arange(batch * SETS_IN_BATCH, (batch + 1) * SETS_IN_BATCH)
        for sampler in samplers.values():
            sampler.update(X, ids)
    took = time.perf_counter() - start
    print(f"{samplers[0].n_elements:.2e} elements, {took:.0f} s with their generation")
    in_memory, _ = make_polygons(SETS_IN_BATCH, noise=0.5, random_state=0)
    train = make_polygons(N_LABELLED, noise=0.5, random_state=1)
    test = make_polygons(4 * N_LABELLED, noise=0.5, random_state=2)
    for name, learned_from in [
        ("all 1e6 in memory", lambda seed: in_memory),
        ("the sample", lambda seed: samplers[seed].sample()),
    ]:
        scores = [accuracy(learned_from(seed), seed, train, test) for seed in seeds]
        print(f"learned from {name}: {np.mean(scores):.4f} +- {np.std(scores, ddof=1):.4f}")


def accuracy(sets, seed, train, test):
    """Accuracy of a linear classifier of embeddings that are learned from these sets."""
    embedding = OTKEmbedding(n_supports=10, random_state=seed).fit(sets)
    classifier = LogisticRegression(max_iter=1000)
    classifier.fit(embedding.transform(train[0]), train[1])
    return classifier.score(embedding.transform(test[0]), test[1])


def batches(n_batches):
    """Yield sets of Gaussian elements, and their ids."""
    for batch in range(n_batches):
        values = np.random.default_rng(batch).standard_normal(BATCH_SHAPE, np.float32)
        X = SetCollection(values, np.arange(0, len(values) + 1, SET_LENGTH))
        yield X, batch * len(X) + np.arange(len(X))


def measure_peak(gigabytes):
    """Peak of resident memory of a pass that samples, and one that embeds."""
    few = np.random.default_rng(0).standard_normal((9, 64, BATCH_SHAPE[1]), np.float32)
    OTKEmbedding(random_state=0).fit_transform(few)  # what is imported and compiled
    before, start = peak_memory(), time.perf_counter()
    n_batches = int(np.ceil(gigabytes * 1e9 / (4 * np.prod(BATCH_SHAPE))))
    sampler = SetSampler(random_state=0)
    for X, ids in batches(n_batches):
        sampler.update(X, ids)
    sampled = time.perf_counter()
    embedding = OTKEmbedding(random_state=0).fit(sampler.sample())
    fitted, total, n_sets = time.perf_counter(), 0.0, 0
    for X, _ in batches(n_batches):
        total, n_sets = total + embedding.transform(X).sum(axis=0), n_sets + len(X)
    end = time.perf_counter()
    print(
        f"{gigabytes:g} GB, {sampler.n_elements:.2e} elements, {n_sets} sets: peak "
        f"{(peak_memory() - before) / 2**20:.0f} MiB above the interpreter; sampled in "
        f"{sampled - start:.0f} s, fitted in {fitted - sampled:.1f} s, embedded in "
        f"{end - fitted:.0f} s, generation included twice"
    )


if __name__ == "__main__":
    main()
