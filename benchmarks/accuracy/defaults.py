"""Cross-validated accuracy as parameters vary, one at a time around their defaults.

Only the sets that `_problems.py` sets aside are touched, and no set that
`compare_embeddings.py` tests on. Embeddings never see labels, so that the folds are those
of the classifier that follows. After `OTKEmbedding` (centred, for speed) that is a logistic
regression with its own defaults, as it should do well out of the box; after the others,
whose scales differ, the classifier of `compare_embeddings.py`, with the best of its
penalties and scalings. The defaults of the library were chosen from the tables that this
prints (see docs/defaults.md).

    python benchmarks/accuracy/defaults.py [--problems NAME ...] [--methods PATTERN ...]
"""

import functools
import tempfile
import time

import numpy as np
from _problems import PROBLEMS, load_problem
from _scaffold import print_table, run, with_common
from _selection import FOLDS, median_gamma, tune_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score

from otk_sklearn import (
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SlicedWassersteinEmbedding,
)

# Sinkhorn may take as long as it needs, for every epsilon.
ESTIMATORS = {
    "OTKEmbedding": OTKEmbedding(max_iter=1000),
    "KernelMeanEmbedding": KernelMeanEmbedding(),
    "SlicedWassersteinEmbedding": SlicedWassersteinEmbedding(),
    "FisherVectorEmbedding": FisherVectorEmbedding(),
    "OTKClassifier": OTKClassifier(OTKEmbedding(10)),
}
GRIDS = {
    "OTKEmbedding": {
        "n_supports": [10, 20, 30, 50, 100],
        "n_components": [32, 64, 128, 256],
        "epsilon": [0.01, 0.02, 0.05, 0.1, 0.3, 1.0],
        "tol": [1e-1, 1e-2, 1e-3, 1e-4],
        "damping": [1e-3, 1e-2, 1e-1],
        "gamma": [0.5, 1, 2, 4, 8],  # times the median rule's
        "max_elements": [2000, 5000, 10_000, 20_000, 50_000, 300_000],
        "kernel": ["rbf", "homogeneous", "linear"],
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
    "OTKClassifier": {"embedding__n_supports": [3, 5, 10, 20]},
}
# Elements that `max_elements="auto"` takes at the other defaults.
AUTOMATIC = 20_000


def shown(value):
    """Return a value of a parameter as in the tables."""
    return value if isinstance(value, str) else f"{value:g}"


# By method: the estimator, and the one parameter that isn't at its default.
SETTINGS = {
    f"{estimator}, {parameter}={shown(value)}": (estimator, parameter, value)
    for estimator, grid in GRIDS.items()
    for parameter, values in grid.items()
    for value in values
}


def cross_validate(estimator, X, y):
    """Return the accuracies of all folds, or the mean alone where a classifier is tuned."""
    if isinstance(estimator, OTKClassifier):
        return cross_val_score(estimator, X, y, cv=FOLDS)
    Z = estimator.fit_transform(X)
    if not isinstance(estimator, OTKEmbedding):
        return np.array([tune_classifier(Z, y)[0]])
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
    return cross_val_score(
        LogisticRegression(max_iter=1000), Z - Z.mean(axis=0), y, cv=folds
    )


def evaluate(problem, method, seed, memory):
    """Cross-validated accuracy, and the standard error of its mean over folds or NaN."""
    name, parameter, value = SETTINGS[method]
    data = load_problem(problem)
    X, y = data.X[data.aside], data.y[data.aside]
    start = time.process_time()
    estimator = with_common(ESTIMATORS[name], random_state=seed, memory=memory)
    if parameter == "gamma":
        value = value * median_gamma(X, memory)
    estimator.set_params(**{parameter: value})
    scores = cross_validate(estimator, X, y)
    error = scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
    seconds = time.process_time() - start
    return {"accuracy": scores.mean(), "error": error, "seconds": seconds}


def print_estimator(name, means):
    """Print an estimator's table, its defaults in bold."""
    defaults = {**ESTIMATORS[name].get_params(), "gamma": 1, "max_elements": AUTOMATIC}
    rows, before = [], None
    for method, accuracies in means.iterrows():
        _, parameter, value = SETTINGS[method]
        cell = f"**{shown(value)}**" if value == defaults[parameter] else shown(value)
        label = "" if parameter == before else f"`{parameter.split('__')[-1]}`"
        rows.append([label, cell, *(f"{a:.3f}" for a in accuracies)])
        before = parameter
    print_table([name, "", *means.columns], rows)


def main():
    """Print every figure as it comes, and a table for each estimator at last."""
    methods = dict.fromkeys(PROBLEMS, list(SETTINGS))
    with tempfile.TemporaryDirectory() as memory:
        with_memory = functools.partial(evaluate, memory=memory)
        results = run("defaults", __doc__, methods, with_memory, seeds=[0])
    means = results.pivot_table("accuracy", "method", "problem", sort=False)
    for name, of_name in means.groupby(lambda method: SETTINGS[method][0], sort=False):
        print_estimator(name, of_name)


if __name__ == "__main__":
    main()
