"""Cross-validated accuracy of `OTKEmbedding` as its parameters vary, one at a time.

Only training parts are touched. Elements are scaled, embeddings centred (for speed), and a
logistic regression follows. `max_iter` is large enough for every epsilon. The defaults of
the library were chosen from the tables that this prints (see docs/defaults.md).

    python benchmarks/choose_defaults.py
"""

import argparse
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    RepeatedStratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding
from otk_sklearn.datasets import (
    load_basic_motions,
    load_digit_points,
    load_japanese_vowels,
    load_peptides,
)

START = {"n_supports": 50, "n_components": 64, "epsilon": 0.05, "tol": 1e-2}
GRID = {
    "n_supports": [10, 20, 30, 50, 100],
    "n_components": [32, 64, 128, 256],
    "epsilon": [0.01, 0.02, 0.05, 0.1, 0.3, 1.0],
    "tol": [1e-1, 1e-2, 1e-3, 1e-4],
    "damping": [1e-3, 1e-2, 1e-1],
    "gamma": [0.5, 1, 2, 4],  # times the median rule's
}


def digits():
    """Training part (70 %) of the digits' point sets."""
    X, y = load_digit_points()
    X, _, y, _ = train_test_split(X, y, train_size=0.7, random_state=0, stratify=y)
    return X, y


def japanese_vowels():
    """Training part of the JapaneseVowels utterances."""
    return load_japanese_vowels("train")


def basic_motions():
    """Training part of the BasicMotions recordings: 40 of 100 steps, 6 channels."""
    return load_basic_motions("train")


def peptides():
    """Training part (70 %) of AMPvsUniProt, residues as indicator vectors."""
    X, y, _ = load_peptides("AMPvsUniProt")
    X, _, y, _ = train_test_split(X, y, train_size=0.7, random_state=0, stratify=y)
    return X, y


def accuracy(X, y, **params):
    """Mean and standard error of the cross-validated accuracy."""
    pipeline = make_pipeline(
        OTKEmbedding(random_state=0, max_iter=1000, **params),
        StandardScaler(with_std=False),
        LogisticRegression(max_iter=1000),
    )
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0)
    scores = cross_val_score(pipeline, X, y, cv=folds)
    return scores.mean(), scores.std() / np.sqrt(len(scores))


def main():
    """Print a table for each problem."""
    loaders = [japanese_vowels, digits, basic_motions, peptides]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=[p.__name__ for p in loaders])
    chosen = parser.parse_args().problems
    for problem in loaders:
        if problem.__name__ not in chosen:
            continue
        X, y = problem()
        X = ElementTransformer(StandardScaler()).fit_transform(X)
        median = OTKEmbedding(random_state=0).fit(X).gamma_
        print(f"\n{problem.__name__}: {X}", flush=True)
        for name, values in GRID.items():
            for value in values:
                start = time.perf_counter()
                used = value * median if name == "gamma" else value
                mean, error = accuracy(X, y, **{**START, name: used})
                seconds = time.perf_counter() - start
                print(
                    f"{name:>14} {value:<8g} {mean:.4f} +- {error:.4f}  {seconds:5.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
