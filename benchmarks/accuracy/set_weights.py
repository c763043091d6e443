"""How much each set should count when anchors and references are learned.

Three rules: every set counts the same, as in `fit` without `sample_weight`; every element
does, so that sets count by their lengths; and sets count by the effective number of their
distinct elements, `1 / sum a_k^2` with the masses a_k of distinct elements, which repeating
a set doesn't change. Cross-validated accuracies as in `defaults.py`, on the sets that are
set aside. The peptides of AMPvsUniProt are also embedded in windows, as in `parts.py`.

    python benchmarks/accuracy/set_weights.py [--problems NAME ...] [--methods PATTERN ...]
        [--seeds N ...]
"""

import time

import numpy as np
from _problems import PROBLEMS, load_problem, windows_of
from _scaffold import print_tables, run, with_common
from parts import PEPTIDES
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import OTKEmbedding

WINDOWED = "AMPvsUniProt, windows"


def effective_number(elements):
    """Return the effective number of distinct elements of a set."""
    _, counts = np.unique(elements, axis=0, return_counts=True)
    return len(elements) ** 2 / np.sum(counts**2)


RULES = {
    "every set alike": lambda X: None,
    "every element alike": lambda X: X.lengths,
    "effective numbers": lambda X: np.array([effective_number(x) for x in X]),
}


def evaluate(problem, method, seed):
    """Cross-validated accuracy, and the standard error of its mean over folds."""
    windowed = problem == WINDOWED
    data = load_problem("AMPvsUniProt" if windowed else problem)
    X, y = data.X[data.aside], data.y[data.aside]
    embedding = clone(PEPTIDES) if windowed else OTKEmbedding(max_iter=1000)
    embedding = with_common(embedding, random_state=seed)
    weights = RULES[method](windows_of(X, embedding.filter_size))
    start = time.process_time()
    Z = embedding.fit(X, sample_weight=weights).transform(X)
    model = make_pipeline(
        StandardScaler(with_std=windowed), LogisticRegression(C=0.01 if windowed else 1.0)
    )
    model[-1].set_params(max_iter=2000)
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
    scores = cross_val_score(model, Z, y, cv=folds)
    seconds = time.process_time() - start
    return {"accuracy": scores.mean(), "seconds": seconds}


def main():
    """Print a table for each problem."""
    methods = dict.fromkeys([*PROBLEMS, WINDOWED], list(RULES))
    results = run("set_weights", __doc__, methods, evaluate)
    print_tables(results, {"time": lambda rows, _: f"{rows['seconds'].mean():.0f} s"})


if __name__ == "__main__":
    main()
