"""What windows, several references and positions add: antimicrobial peptides or not.

AMPvsUniProt of modlamp, residues as indicator vectors, five random 70/30 splits. Sets of
windows are pooled by mean and deviation, or embedded; what comes out is scaled; a logistic
regression follows, with its C chosen by cross-validation in the training part.

    python benchmarks/peptides.py [--rows NAME ...] [--seeds N ...]
"""

import argparse
import time

import numpy as np
from problems import peptides
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from otk_sklearn import ConvolutionalKernelLayer, OTKEmbedding

SIGMA = 0.6
WINDOWS = {"filter_size": 5, "padding": "same"}
PLAIN = {
    "n_supports": 30,
    "n_components": 128,
    "kernel": "homogeneous",
    "gamma": 1 / (2 * SIGMA**2),
    "epsilon": 0.1,
}


def mean_and_deviation_of_windows(sets):
    """Mean and standard deviation of the windows that `WINDOWS` makes of each set."""
    pooled = []
    for rows in sets:
        padded = np.pad(rows, ((2, 2), (0, 0)))
        windows = np.hstack([padded[i : i + len(rows)] for i in range(5)])
        pooled.append(np.r_[windows.mean(axis=0), windows.std(axis=0)])
    return np.array(pooled)


def make_embeddings(seed):
    """Return what stands before the classifier, by name."""

    def embedding(**params):
        return make_pipeline(
            OTKEmbedding(**{**PLAIN, **WINDOWS, **params}, random_state=seed),
            StandardScaler(),
        )

    def layer(**params):
        return ConvolutionalKernelLayer(
            gamma=PLAIN["gamma"], n_components=128, random_state=seed, **params
        )

    return {
        "mean and deviation of windows": make_pipeline(
            FunctionTransformer(mean_and_deviation_of_windows), StandardScaler()
        ),
        "no windows": embedding(filter_size=1),
        "windows, valid": embedding(padding="valid"),
        "windows, same": embedding(),
        "same, softmax": embedding(solver="softmax"),
        "same, relaxed by 0.1": embedding(relaxation=0.1),
        "same, position 0.3": embedding(position="gaussian", position_sigma=0.3),
        "same, position 0.1": embedding(position="gaussian", position_sigma=0.1),
        "same, 2 references": embedding(n_references=2),
        "same, 4 references": embedding(n_references=4),
        "same, 2 references of 15": embedding(n_references=2, n_supports=15),
        "same, barycenter": embedding(references="barycenter"),
        "same, 2 barycenters": embedding(references="barycenter", n_references=2),
        "two layers": make_pipeline(
            layer(**WINDOWS), embedding(filter_size=3, n_components=128)
        ),
    }


def classifier():
    """A logistic regression that chooses its C by cross-validation."""
    return GridSearchCV(LogisticRegression(max_iter=2000), {"C": np.logspace(-3, 0, 7)})


def main():
    """Print a row for each embedding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", default=list(make_embeddings(0)))
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    options = parser.parse_args()
    X, y = peptides()
    X = X.astype(np.float32)
    print(f"{X}\naccuracy of seeds {list(options.seeds)}", flush=True)
    for name in options.rows:
        start, scores = time.perf_counter(), []
        for seed in options.seeds:
            parts = train_test_split(X, y, train_size=0.7, random_state=seed, stratify=y)
            X_train, X_test, y_train, y_test = parts
            model = make_pipeline(make_embeddings(seed)[name], classifier())
            scores.append(model.fit(X_train, y_train).score(X_test, y_test))
        seconds = (time.perf_counter() - start) / len(scores)
        print(
            f"{name:<30} mean {np.mean(scores):.4f}  {np.round(scores, 4)}  "
            f"{seconds:.0f} s each",
            flush=True,
        )


if __name__ == "__main__":
    main()
