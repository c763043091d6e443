"""Cross-validated accuracy as parameters vary, one at a time around their defaults.

Only the sets that `problems.py` sets aside are touched, and no set that `accuracy.py` tests
on. Embeddings never see labels, so that the folds are those of the classifier that follows.
After `OTKEmbedding` (centred, for speed) that is a logistic regression with its own
defaults, as it should do well out of the box; after the others, whose scales differ, the
head of `accuracy.py`, with the best of its penalties and scalings. The defaults of the
library were chosen from the tables that this prints (see docs/defaults.md).

    python benchmarks/choose_defaults.py [--problems NAME ...] [--estimators NAME ...]
"""

import argparse
import tempfile
import time
import warnings

import numpy as np
from accuracy import FOLDS, tune_head
from problems import PROBLEMS
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score

from otk_sklearn import (
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SlicedWassersteinEmbedding,
)

GRIDS = {
    "OTKEmbedding": {
        "n_supports": [10, 20, 30, 50, 100],
        "n_components": [32, 64, 128, 256],
        "epsilon": [0.01, 0.02, 0.05, 0.1, 0.3, 1.0],
        "tol": [1e-1, 1e-2, 1e-3, 1e-4],
        "damping": [1e-3, 1e-2, 1e-1],
        "gamma": [0.5, 1, 2, 4, 8],  # times the median rule's
    },
    "KernelMeanEmbedding": {
        "n_components": [16, 32, 64, 128, 256, 512],
        "gamma": [0.5, 1, 2, 4, 8],
    },
    "SlicedWassersteinEmbedding": {
        "n_projections": [16, 32, 64, 128],
        "n_quantiles": [4, 8, 16, 32],
    },
    "FisherVectorEmbedding": {
        "n_components": [4, 8, 16, 32, 64],
        "power": [0.5, 1.0],
        "reg_covar": [1e-6, 1e-3, 0.02, 0.05, 0.1],
    },
    "OTKClassifier": {"n_supports": [3, 5, 10, 20]},
}


def make(name, params, memory):
    """Return the estimator. Sinkhorn may take as long as it needs, for every epsilon."""
    common = {"random_state": 0, **params}
    if name == "OTKEmbedding":
        return OTKEmbedding(**{"max_iter": 1000, "memory": memory, **common})
    if name == "KernelMeanEmbedding":
        return KernelMeanEmbedding(**{"memory": memory, **common})
    if name == "SlicedWassersteinEmbedding":
        return SlicedWassersteinEmbedding(**common)
    if name == "FisherVectorEmbedding":
        return FisherVectorEmbedding(**common)
    return OTKClassifier(OTKEmbedding(**{"n_supports": 10, **params}), random_state=0)


def accuracy(name, estimator, X, y):
    """Cross-validated accuracy, and the standard error of its mean over folds or NaN."""
    if name == "OTKClassifier":
        scores = cross_val_score(estimator, X, y, cv=FOLDS)
        return scores.mean(), scores.std(ddof=1) / np.sqrt(len(scores))
    Z = estimator.fit_transform(X)
    if name != "OTKEmbedding":
        return tune_head(Z, y)[0], np.nan
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
    scores = cross_val_score(
        LogisticRegression(max_iter=1000), Z - Z.mean(axis=0), y, cv=folds
    )
    return scores.mean(), scores.std() / np.sqrt(len(scores))


def compute(options, memory):
    """Return the accuracy of each setting on each problem; print it as it comes."""
    results = {}
    for problem in options.problems:
        sets = PROBLEMS[problem]()
        X, y = sets.X[sets.aside], sets.y[sets.aside]
        median = KernelMeanEmbedding(memory=memory, random_state=0).fit(X).gamma_
        print(f"\n{problem}: {X}", flush=True)
        for name in options.estimators:
            for parameter, value in settings(name):
                start = time.process_time()
                used = value * median if parameter == "gamma" else value
                mean, error = accuracy(name, make(name, {parameter: used}, memory), X, y)
                results[name, parameter, value, problem] = mean
                print(
                    f"{name:>26} {parameter:>13} {value:<6g} {mean:.4f} +- {error:.4f}"
                    f"  {time.process_time() - start:5.1f} s",
                    flush=True,
                )
    return results


def settings(name):
    """Each parameter of an estimator, and each of its values."""
    return [(parameter, v) for parameter, values in GRIDS[name].items() for v in values]


def print_table(results, name, problems):
    """Print an estimator's table in Markdown, its defaults in bold."""
    print(f"\n| {name} | | {' | '.join(problems)} |")
    print("|---" * (len(problems) + 2) + "|")
    estimator = make(name, {}, None)
    embedding = getattr(estimator, "embedding", estimator)  # the one that is trained
    defaults = {**embedding.get_params(), "gamma": 1}
    before = None
    for parameter, value in settings(name):
        shown = f"**{value:g}**" if value == defaults[parameter] else f"{value:g}"
        cells = [f"{results[name, parameter, value, p]:.3f}" for p in problems]
        label = "" if parameter == before else f"`{parameter}`"
        print(f"| {label} | {shown} | {' | '.join(cells)} |")
        before = parameter


def main():
    """Print every figure as it comes, and a table for each estimator at last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--estimators", nargs="+", default=list(GRIDS), choices=GRIDS)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", UserWarning)  # of fewer elements than components
    with tempfile.TemporaryDirectory() as memory:
        results = compute(options, memory)
    for name in options.estimators:
        print_table(results, name, options.problems)


if __name__ == "__main__":
    main()
