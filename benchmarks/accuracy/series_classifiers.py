"""Classifiers of aeon that take series of different lengths, on the series of this library.

In an environment of its own, as aeon needs an older numba; the series are those that aeon
ships, with the split for training and test that they come with. Classifiers are at their
defaults, on one thread; times are those of the processor, of fitting and of predicting.

    python benchmarks/accuracy/series_classifiers.py [--problems NAME ...]
        [--methods PATTERN ...] [--seeds N ...]
"""

import functools
import time

from _scaffold import print_tables, run, with_common
from aeon.classification.convolution_based import MultiRocketClassifier
from aeon.classification.distance_based import (
    KNeighborsTimeSeriesClassifier,
    ProximityForest,
)
from aeon.classification.feature_based import Catch22Classifier
from aeon.classification.shapelet_based import RDSTClassifier
from aeon.datasets import load_basic_motions, load_japanese_vowels
from threadpoolctl import threadpool_limits

PROBLEMS = {"JapaneseVowels": load_japanese_vowels, "BasicMotions": load_basic_motions}
METHODS = {
    "nearest neighbour, dynamic time warping": KNeighborsTimeSeriesClassifier(),
    "Catch22": Catch22Classifier(),
    "ProximityForest": ProximityForest(),
    "RDST": RDSTClassifier(),
}
# For series of one length.
OF_EQUAL_LENGTH = {"MultiRocket": MultiRocketClassifier()}


def evaluate(problem, method, seed):
    """Fit to the series for training, test, and take times."""
    X, y = PROBLEMS[problem]("train")
    X_test, y_test = PROBLEMS[problem]("test")
    compile_for(problem, method)
    classifier = with_common((METHODS | OF_EQUAL_LENGTH)[method], random_state=seed)
    start = time.process_time()
    classifier.fit(X, y)
    fitted = time.process_time()
    accuracy = classifier.score(X_test, y_test)
    seconds = time.process_time() - fitted
    return {"accuracy": accuracy, "fit": fitted - start, "predict": seconds / len(y_test)}


@functools.cache
def compile_for(problem, method):
    """Have everything compiled before times are taken."""
    X, y = PROBLEMS[problem]("train")
    classes = sorted(set(y))[:2]
    some = [i for label in classes for i in [*(y == label).nonzero()[0]][:10]]
    X = X[some] if hasattr(X, "shape") else [X[i] for i in some]
    classifier = with_common((METHODS | OF_EQUAL_LENGTH)[method], random_state=0)
    classifier.fit(X, y[some]).predict(X)


# What is printed besides accuracies.
COLUMNS = {
    "fit": lambda rows, _: f"{rows['fit'].median():.1f} s",
    "a series": lambda rows, _: f"{1e3 * rows['predict'].median():.1f} ms",
}


def main():
    """Compute what is missing; print a table for each problem."""
    methods = {"JapaneseVowels": METHODS, "BasicMotions": METHODS | OF_EQUAL_LENGTH}
    with threadpool_limits(1):
        results = run("series_classifiers", __doc__, methods, evaluate)
    print_tables(results, COLUMNS)


if __name__ == "__main__":
    main()
