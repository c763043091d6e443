"""Accuracy on real data, with the library's defaults and nothing tuned.

JapaneseVowels on its own split, the digits' point sets on five random 70/30 splits;
elements are scaled, a logistic regression follows. Mean pooling, and mean and deviation,
stand beside it. Seed 0's training images of the digits are those that defaults were chosen
on (see docs/defaults.md): most test images of the other seeds are among them.

    python benchmarks/accuracy.py
"""

import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding
from otk_sklearn.datasets import load_digit_points, load_japanese_vowels

SEEDS = range(5)


def mean(sets):
    """Mean of the elements of each set."""
    return np.array([elements.mean(axis=0) for elements in sets])


def mean_and_deviation(sets):
    """Mean and standard deviation of the elements of each set."""
    return np.array([np.r_[x.mean(axis=0), x.std(axis=0)] for x in sets])


def make_embeddings(seed):
    """Return what stands between scaled elements and the classifier, by name."""
    return {
        "mean": make_pipeline(FunctionTransformer(mean), StandardScaler()),
        "mean and deviation": make_pipeline(
            FunctionTransformer(mean_and_deviation), StandardScaler()
        ),
        "OTKEmbedding()": OTKEmbedding(random_state=seed),
        "the same, centred": make_pipeline(
            OTKEmbedding(random_state=seed), StandardScaler(with_std=False)
        ),
    }


def splits():
    """Yield the name of a problem and its splits, one for each seed."""
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    yield "JapaneseVowels", [(X, X_test, y, y_test)] * len(SEEDS)
    X, y = load_digit_points()
    yield (
        "digits",
        [
            train_test_split(X, y, test_size=0.3, random_state=seed, stratify=y)
            for seed in SEEDS
        ],
    )


def main():
    """Print a row for each problem and embedding."""
    for problem, parts in splits():
        print(f"\n{problem}, accuracy of seeds {list(SEEDS)}", flush=True)
        for name in make_embeddings(0):
            start = time.perf_counter()
            scores = []
            for seed, (X, X_test, y, y_test) in zip(SEEDS, parts):
                pipeline = make_pipeline(
                    ElementTransformer(StandardScaler()),
                    make_embeddings(seed)[name],
                    LogisticRegression(max_iter=1000),
                )
                scores.append(pipeline.fit(X, y).score(X_test, y_test))
            seconds = (time.perf_counter() - start) / len(scores)
            print(
                f"{name:<20} mean {np.mean(scores):.4f}  {np.round(scores, 4)}  "
                f"{seconds:.2f} s each",
                flush=True,
            )


if __name__ == "__main__":
    main()
