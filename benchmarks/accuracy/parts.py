"""What windows, positions, several references and relaxation add, on three problems.

Peptides of AMPvsUniProt (antimicrobial or not, residues as indicator vectors) and the
digits' point sets on random 70/30 splits, JapaneseVowels on its own. What comes out is
scaled; a logistic regression follows, with its C chosen by cross-validation in the training
part.

    python benchmarks/accuracy/parts.py [--problems NAME ...] [--methods PATTERN ...]
        [--seeds N ...]
"""

import time

import numpy as np
from _problems import random_split, windows_of
from _scaffold import print_tables, run, with_common
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKEmbedding,
    SetPooling,
)
from otk_sklearn.datasets import load_japanese_vowels

SIGMA = 0.6
FILTER_SIZE = 5
LAYER = {"filter_size": FILTER_SIZE, "padding": "same", "gamma": 1 / (2 * SIGMA**2)}
PEPTIDES = OTKEmbedding(
    30, n_components=128, kernel="homogeneous", epsilon=0.1, max_iter=1000, **LAYER
)
DEFAULTS = OTKEmbedding(max_iter=1000)

# Parameters that are changed.
COMMON = {
    "one reference": {},
    "2 references": {"n_references": 2},
    "4 references": {"n_references": 4},
    "1 barycenter": {"references": "barycenter"},
    "4 barycenters": {"references": "barycenter", "n_references": 4},
    "softmax": {"solver": "softmax"},
    "relaxed by 1": {"relaxation": 1.0},
    "relaxed by 0.1": {"relaxation": 0.1},
    "supports relaxed by 1": {"support_relaxation": 1.0},
    "supports relaxed by 0.1": {"support_relaxation": 0.1},
    "supports relaxed by 0.01": {"support_relaxation": 0.01},
}
WINDOWS = {"windows of 3": {"filter_size": 3}, "windows of 5": {"filter_size": 5}}
POSITIONS = {
    "position, 0.3": {"position": "gaussian", "position_sigma": 0.3},
    "position, 0.1": {"position": "gaussian", "position_sigma": 0.1},
}
OF_PEPTIDES = {
    "no windows": {"filter_size": 1, "n_components": 20},
    "valid": {"padding": "valid"},
    **COMMON,
    "2 references of 15": {"n_references": 2, "n_supports": 15},
    **POSITIONS,
}


def vary(base, variations):
    """Return an embedding for each variation of the base."""
    return {name: clone(base).set_params(**params) for name, params in variations.items()}


EMBEDDINGS = {
    "JapaneseVowels": vary(DEFAULTS, COMMON | WINDOWS | POSITIONS),
    "digits": vary(DEFAULTS, COMMON),
    "peptides": {
        "mean and deviation": make_pipeline(
            FunctionTransformer(windows_of, kw_args={"size": FILTER_SIZE}),
            SetPooling(["mean", "std"]),
        ),
        **vary(PEPTIDES, OF_PEPTIDES),
        "two layers": make_pipeline(
            ConvolutionalKernelLayer(128, **LAYER),
            clone(PEPTIDES).set_params(filter_size=3, max_iter=100),
        ),
    },
}


def split(problem, seed):
    """Return sets for training, for test, and classes of both."""
    if problem != "JapaneseVowels":
        return random_split(problem, seed)
    (X, y), (X_test, y_test) = load_japanese_vowels("train"), load_japanese_vowels("test")
    return X, X_test, y, y_test


def evaluate(problem, method, seed):
    """Fit, and test."""
    X, X_test, y, y_test = split(problem, seed)
    if problem == "peptides":  # indicator vectors are not scaled
        X, X_test, scaler = X.astype(np.float32), X_test.astype(np.float32), "passthrough"
    else:
        scaler = ElementTransformer(StandardScaler())
    model = make_pipeline(
        scaler,
        with_common(EMBEDDINGS[problem][method], random_state=seed),
        StandardScaler(),
        GridSearchCV(LogisticRegression(max_iter=2000), {"C": np.logspace(-3, 0, 7)}),
    )
    start = time.perf_counter()
    accuracy = model.fit(X, y).score(X_test, y_test)
    return {"accuracy": accuracy, "seconds": time.perf_counter() - start}


def main():
    """Print a table for each problem."""
    results = run("parts", __doc__, EMBEDDINGS, evaluate)
    print_tables(results, {"time": lambda rows, _: f"{rows['seconds'].mean():.0f} s"})


if __name__ == "__main__":
    main()
