"""What training with labels adds, on real data and at its defaults.

The digits' point sets, JapaneseVowels (both parts pooled) and peptides, each on five random
stratified 70/30 splits. `OTKClassifier` stands beside `OTKEmbedding` of the same size with
a logistic regression whose penalty is cross-validated.

    python benchmarks/labels.py [digits vowels peptides]
"""

import sys
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKClassifier, OTKEmbedding, SetCollection
from otk_sklearn.datasets import (
    load_digit_points,
    load_japanese_vowels,
    load_peptides,
)

SEEDS = range(5)


def vowels():
    """Both parts of JapaneseVowels together: its own split leaves too few errors."""
    (X, y), (X_test, y_test) = load_japanese_vowels("train"), load_japanese_vowels("test")
    return SetCollection.from_sets([*X, *X_test]), np.concatenate([y, y_test])


def digits():
    """Digits as sets of points."""
    return load_digit_points()


def peptides():
    """Peptides of AMPvsUniProt."""
    return load_peptides("AMPvsUniProt")[:2]


# What is loaded, and the sizes and windows of the embedding.
SIZES = [{"n_supports": n} for n in (3, 5, 10, 50)]
PEPTIDES = {"n_components": 128, "filter_size": 5}
PROBLEMS = {
    "digits": (digits, SIZES),
    "vowels": (vowels, SIZES),
    "peptides": (peptides, [PEPTIDES | {"n_supports": n} for n in (3, 5, 10)]),
}


def unsupervised(seed, size):
    """The embedding without labels, and a logistic regression of cross-validated C."""
    head = make_pipeline(StandardScaler(with_std=False), LogisticRegression(max_iter=1000))
    grid = {"logisticregression__C": 10.0 ** np.arange(-2, 4)}
    return make_pipeline(
        OTKEmbedding(random_state=seed, n_jobs=-1, **size), GridSearchCV(head, grid, cv=3)
    )


def trained(seed, size):
    """The classifier that trains the same embedding."""
    return OTKClassifier(OTKEmbedding(**size), random_state=seed, n_jobs=-1)


def compare(X, y, size):
    """Print accuracies, their paired differences, and seconds to fit."""
    scores, seconds = np.zeros((2, len(SEEDS))), np.zeros((2, len(SEEDS)))
    for seed in SEEDS:
        split = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)
        X_train, X_test, y_train, y_test = split
        scaler = ElementTransformer(StandardScaler()).fit(X_train)
        X_train = scaler.transform(X_train).astype(np.float32)
        X_test = scaler.transform(X_test).astype(np.float32)
        for i, make in enumerate([unsupervised, trained]):
            start = time.perf_counter()
            model = make(seed, size).fit(X_train, y_train)
            seconds[i, seed] = time.perf_counter() - start
            scores[i, seed] = model.score(X_test, y_test)
    before, after = scores.mean(axis=1)
    gains = scores[1] - scores[0]
    print(
        f"{size['n_supports']:>8} {before:>10.4f} {after:>10.4f}"
        f" {(before - after) / (1 - before):>+10.0%}"
        f" {gains.mean():>+9.4f} +- {gains.std(ddof=1):.4f}"
        f" {seconds[0].mean():>8.1f} s {seconds[1].mean():>6.1f} s",
        flush=True,
    )


def main():
    """Print a table for each problem."""
    for name in sys.argv[1:] or PROBLEMS:
        load, sizes = PROBLEMS[name]
        X, y = load()
        print(f"\n{name}: {len(X)} sets")
        print(
            f"{'supports':>8} {'without':>10} {'with':>10} {'errors':>10}"
            f" {'gain, and its spread':>19} {'fit without':>10} {'with':>8}"
        )
        for size in sizes:
            compare(X, y, size)


if __name__ == "__main__":
    main()
