"""Accuracy and times of every embedding of this library, on every problem it has.

Each embedding is followed by the same head, a logistic regression, whose penalty and
scaling are chosen by cross-validation on the sets that `problems.py` sets aside from test.
So are, in the rows that say so, two or three parameters of the embedding, six settings each
(four statistics of `SetPooling`), and for ordered sets whether elements are rows or windows
of five. Times are those of the processor, on one thread.

    python benchmarks/accuracy.py [--problems NAME ...] [--methods NAME ...] [--seeds N ...]

Each figure is added to the file of results once it is there, and what is there isn't
computed again; the table in Markdown is made from the file.
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from problems import PROBLEMS, windows_of
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from otk_sklearn import (
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SetPooling,
    SlicedWassersteinEmbedding,
)

FILTER_SIZE = 5
PENALTIES = {"C": [1e-2, 1e-1, 1, 10, 100, 1000]}
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)

# `gamma` is given as a multiple of what "median" finds.
BANDWIDTHS = [1, 4]
# From few supports that share to many that don't.
PLANS = [
    {"n_supports": 20, "epsilon": 0.1},
    {"n_supports": 50, "epsilon": 0.05},
    {"n_supports": 100, "epsilon": 0.02},
]
TRANSPORT = [{"gamma": gamma, **plan} for gamma in BANDWIDTHS for plan in PLANS]
# Windows have many features, and so may want more anchors.
MANY_ANCHORS = [{"gamma": g, "n_components": 256, **PLANS[0]} for g in BANDWIDTHS]
STATISTICS = [["mean"], ["mean", "std"], ["mean", "max"], ["mean", "std", "min", "max"]]

# What is compared, and the settings that are tried. One setting: nothing is tuned.
EMBEDDINGS = {
    "mean": (SetPooling("mean"), [{}]),
    "mean, std": (SetPooling(["mean", "std"]), [{}]),
    "SetPooling, tuned": (SetPooling(), ParameterGrid({"statistics": STATISTICS})),
    "KernelMean": (KernelMeanEmbedding(), [{}]),
    "KernelMean, tuned": (
        KernelMeanEmbedding(),
        ParameterGrid({"gamma": BANDWIDTHS, "n_components": [64, 256, 512]}),
    ),
    "SlicedWasserstein": (SlicedWassersteinEmbedding(), [{}]),
    "SlicedWasserstein, tuned": (
        SlicedWassersteinEmbedding(),
        ParameterGrid({"n_projections": [32, 128], "n_quantiles": [4, 16, 32]}),
    ),
    "FisherVector": (FisherVectorEmbedding(), [{}]),
    "FisherVector, tuned": (
        FisherVectorEmbedding(),
        ParameterGrid({"n_components": [4, 16, 64], "reg_covar": [0.01, 0.1]}),
    ),
    "softmax": (OTKEmbedding(solver="softmax"), [{}]),
    "softmax, tuned": (OTKEmbedding(solver="softmax"), TRANSPORT),
    "OTKEmbedding": (OTKEmbedding(), [{}]),
    "OTKEmbedding, tuned": (OTKEmbedding(), TRANSPORT),
}
# Trained with the labels, a linear model with its own cross-validated penalty included.
CLASSIFIERS = ["OTKClassifier", "OTKClassifier, tuned"]
METHODS = [*EMBEDDINGS, *CLASSIFIERS]


class Scaler(TransformerMixin, BaseEstimator):
    """Centre features, and divide each by its deviation, or all by the root mean square.

    Either way, a penalty means the same for all embeddings.
    """

    def __init__(self, each=False):
        self.each = each

    def fit(self, X, y=None):
        """Learn means and deviations."""
        self.mean_, deviation = X.mean(axis=0), X.std(axis=0)
        if not self.each:
            deviation[:] = np.sqrt((deviation**2).mean())
        self.scale_ = np.where(deviation > 0, deviation, 1)
        return self

    def transform(self, X):
        """Centre and scale."""
        return (X - self.mean_) / self.scale_


def make_head(each=False, C=1.0):
    """What follows an embedding."""
    return make_pipeline(Scaler(each), LogisticRegression(C=C, max_iter=200))


def tune_head(Z, y):
    """Return the best cross-validated accuracy of the head, and parameters to go with it.

    Those are the strongest penalty within a standard error of the best: the curve is flat,
    and its maximum as often as not far out.
    """
    tried = []
    for each in (False, True):
        scaled = Scaler(each).fit_transform(Z)
        if scaled.shape[1] > len(scaled):  # rotated, which changes nothing, and is faster
            scaled = PCA(svd_solver="full").fit_transform(scaled)
        model = LogisticRegression(max_iter=200)
        search = GridSearchCV(model, PENALTIES, cv=FOLDS).fit(scaled, y)
        means = search.cv_results_["mean_test_score"]
        errors = search.cv_results_["std_test_score"] / np.sqrt(FOLDS.get_n_splits())
        tried += [*zip(means, errors, PENALTIES["C"], [each] * len(means))]
    best, error, *_ = max(tried)
    good = [(C, -mean, each) for mean, _, C, each in tried if mean >= best - error]
    C, _, each = min(good)
    return best, {"each": each, "C": C}


def tune(method, problem, memory):
    """Choose all parameters of a method. Embeddings never see labels, so need no folds.

    Returns
    -------
    dict
        Parameters of the "embedding" and of the "head", and the "filter_size".
    """
    base, settings = EMBEDDINGS[method]
    X, y = problem.X[problem.aside], problem.y[problem.aside]
    sizes = [1, FILTER_SIZE] if problem.ordered and len(settings) > 1 else [1]
    best, chosen = -1.0, None
    for size in sizes:
        sets = windows_of(X, size)
        median = KernelMeanEmbedding(memory=memory, random_state=0).fit(sets).gamma_
        tried = [*settings, *MANY_ANCHORS] if widens(base, size) else settings
        for setting in tried:
            params = dict(setting)
            if "gamma" in params:
                params["gamma"] *= median
            embedding = make_embedding(base, params, 0, memory)
            score, head = tune_head(embedding.fit_transform(sets), y)
            if score > best:
                best = score
                chosen = {"embedding": params, "head": head, "filter_size": size}
    return chosen


def widens(base, filter_size):
    """Whether more anchors are tried, as they are in any case for the kernel mean."""
    return filter_size > 1 and isinstance(base, OTKEmbedding)


def make_embedding(base, params, seed, memory):
    """Return the embedding with such parameters, as far as it has them."""
    embedding = base.__class__(**{**base.get_params(), **params})
    common = {"random_state": seed, "memory": memory}
    known = embedding.get_params()
    return embedding.set_params(**{k: v for k, v in common.items() if k in known})


def evaluate(method, chosen, problem, seed):
    """Fit to the sets for training, test, and take times; return a row of results."""
    train, test = problem.split(seed)
    X, y = windows_of(problem.X, chosen["filter_size"]), problem.y
    X_train, X_test = X[train], X[test]
    start = time.process_time()
    if method in CLASSIFIERS:
        embedding = OTKEmbedding(**{"n_supports": 10, **chosen["embedding"]})
        model = OTKClassifier(embedding, random_state=seed)
        model.fit(X_train, y[train])
        fitted = time.process_time()
        predicted = model.predict(X_test)
        transformed, width = time.process_time(), model.coef_.shape[1]
    else:
        embedding = make_embedding(EMBEDDINGS[method][0], chosen["embedding"], seed, None)
        head = make_head(**chosen["head"])
        Z = embedding.fit_transform(X_train)
        head.fit(Z, y[train])
        fitted = time.process_time()
        Z = embedding.transform(X_test)
        transformed, width = time.process_time(), Z.shape[1]
        predicted = head.predict(Z)
    return {
        "accuracy": float(np.mean(predicted == y[test])),
        "fit": fitted - start,
        "transform": (transformed - fitted) / len(test),
        "width": width,
    }


def parameters_of_classifier(method, results, name):
    """Those of the tuned embedding, but for its size; or the defaults."""
    if method == "OTKClassifier":
        return {"embedding": {}, "filter_size": 1}
    tuned = chosen_before(results, name, "OTKEmbedding, tuned")
    params = {k: v for k, v in tuned["embedding"].items() if k != "n_supports"}
    return {"embedding": params, "filter_size": tuned["filter_size"]}


def chosen_before(results, name, method):
    """What was chosen for an earlier seed, if there was one."""
    rows = rows_of(results, name, method)
    return next(iter(rows.values()))["chosen"] if rows else None


def run(options, results, memory):
    """Compute what is not among the results yet, and add it to them and their file."""
    done = {(row["problem"], row["method"], row["seed"]) for row in results}
    for name in options.problems:
        problem = PROBLEMS[name]()
        for method in options.methods:
            chosen = chosen_before(results, name, method)
            for seed in options.seeds:
                if (name, method, seed) in done:
                    continue
                if chosen is None and method in CLASSIFIERS:
                    chosen = parameters_of_classifier(method, results, name)
                elif chosen is None:
                    chosen = tune(method, problem, memory)
                row = {"problem": name, "method": method, "seed": seed, "chosen": chosen}
                row |= evaluate(method, chosen, problem, seed)
                results.append(row)
                with options.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(name, method, seed, f"{row['accuracy']:.4f}", flush=True)


def print_summary(results, names):
    """Print mean accuracies of all problems, the best of each in bold."""
    print(f"| | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    means = {(n, m): mean_of(results, n, m) for n in names for m in METHODS}
    best = {n: max(means[n, m] for m in METHODS) for n in names}
    for method in METHODS:
        cells = []
        for name in names:
            cell = f"{means[name, method]:.3f}"
            cells.append(f"**{cell}**" if cell == f"{best[name]:.3f}" else cell)
        print(f"| {method} | {' | '.join(cells)} |")


def print_table(results, name):
    """Print a problem's table in Markdown."""
    print(f"\n| {name} | accuracy | to OTKEmbedding, tuned | features | fit | a set |")
    print("|---|---|---|---|---|---|")
    reference = rows_of(results, name, "OTKEmbedding, tuned")
    for method in METHODS:
        rows = rows_of(results, name, method)
        if not rows:
            continue
        paired = [
            row["accuracy"] - reference[seed]["accuracy"]
            for seed, row in rows.items()
            if seed in reference
        ]
        fit, transform = (
            np.median([row[time] for row in rows.values()]) for time in ("fit", "transform")
        )
        print(
            f"| {method} | {spread([row['accuracy'] for row in rows.values()])}"
            f" | {spread(paired, sign='+')} | {next(iter(rows.values()))['width']:,}"
            f" | {fit:.2f} s | {1e3 * transform:.2f} ms |"
        )


def rows_of(results, name, method):
    """Results by seed."""
    return {
        row["seed"]: row
        for row in results
        if (row["problem"], row["method"]) == (name, method)
    }


def mean_of(results, name, method):
    """Mean accuracy, or NaN without results."""
    rows = rows_of(results, name, method).values()
    return np.mean([row["accuracy"] for row in rows]) if rows else np.nan


def spread(values, sign=""):
    """Mean and standard deviation."""
    text = f"{np.mean(values):{sign}.3f}" if values else ""
    return f"{text} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else text


def warm_up():
    """Have everything compiled before times are taken."""
    X, y = np.random.default_rng(0).normal(size=(40, 9, 2)).astype(np.float32), [0, 1] * 20
    for base, _ in EMBEDDINGS.values():
        make_embedding(base, {}, 0, None).fit_transform(X)
    embedding = OTKEmbedding(2, n_components=4)
    OTKClassifier(embedding, max_epochs=2, random_state=0).fit(X, y).predict(X)


def main():
    """Compute what is missing; print a table for each problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    parser.add_argument("--results", type=Path, default=Path("accuracy.jsonl"))
    options = parser.parse_args()
    results = []
    if options.results.exists():
        results = [json.loads(line) for line in options.results.read_text().splitlines()]
    with threadpool_limits(1), tempfile.TemporaryDirectory() as memory:
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)  # of fewer elements than components
        warm_up()
        run(options, results, memory)
    print_summary(results, options.problems)
    for name in options.problems:
        print_table(results, name)


if __name__ == "__main__":
    main()
