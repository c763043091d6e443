"""How narrow an embedding can become: `IncrementalPCA`, learned batch by batch.

Embeddings at their defaults, projected on principal components that `partial_fit` learns
from batches of the training sets, as for data that are never in memory at once; then the
linear classifier of `compare_embeddings.py`.

    python benchmarks/accuracy/compressed.py [--problems NAME ...] [--methods PATTERN ...]
        [--seeds N ...]
"""

import functools

import numpy as np
from _problems import PROBLEMS, load_problem
from _scaffold import print_tables, run
from _selection import make_classifier
from sklearn.decomposition import IncrementalPCA
from sklearn.utils import gen_batches

from otk_sklearn import OTKEmbedding

ALL = "all"
WIDTHS = [256, 128, 64, 32, 16, 8]
SETS_IN_BATCH = 300
TOO_SMALL = "BasicMotions"  # 40 sets for training


def evaluate(problem, method, seed):
    """Accuracy on the sets for test."""
    Z, y, Z_test, y_test = embed(problem, seed)
    if method != ALL:
        pca = learn_components(Z, int(method))
        Z, Z_test = pca.transform(Z), pca.transform(Z_test)
    accuracy = make_classifier().fit(Z, y).score(Z_test, y_test)
    return {"accuracy": accuracy, "width": Z.shape[1]}


@functools.lru_cache(maxsize=3)  # for the seeds
def embed(problem, seed):
    """Embeddings and classes, for training and for test."""
    data = load_problem(problem)
    train, test = data.split(seed)
    embedding = OTKEmbedding(random_state=seed).fit(data.X[train])
    Z, Z_test = embedding.transform(data.X[train]), embedding.transform(data.X[test])
    return Z, data.y[train], Z_test, data.y[test]


def learn_components(Z, n_components):
    """Principal components of rows that come in batches, in random order."""
    pca = IncrementalPCA(n_components)
    Z = np.random.default_rng(0).permutation(Z)
    for batch in gen_batches(len(Z), SETS_IN_BATCH, min_batch_size=n_components):
        pca.partial_fit(Z[batch])
    return pca


def main():
    """Compute what is missing; print a table for each problem."""
    problems = [name for name in PROBLEMS if name != TOO_SMALL]
    methods = dict.fromkeys(problems, [ALL, *map(str, WIDTHS)])
    results = run("compressed", __doc__, methods, evaluate, range(3))
    print_tables(results, {"width": lambda rows, _: f"{rows['width'].iloc[0]:,}"})


if __name__ == "__main__":
    main()
