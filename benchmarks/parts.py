"""What windows, positions, several references and relaxation add, on three problems.

Peptides of AMPvsUniProt (antimicrobial or not, residues as indicator vectors) and the
digits' point sets on random 70/30 splits, JapaneseVowels on its own. What comes out is
scaled; a logistic regression follows, with its C chosen by cross-validation in the training
part.

    python benchmarks/parts.py [--problems NAME ...] [--rows NAME ...] [--seeds N ...]
"""

import argparse
import time

import numpy as np
from problems import windows_of
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKEmbedding,
    SetPooling,
)
from otk_sklearn.datasets import (
    load_digit_points,
    load_japanese_vowels,
    load_peptides,
)

SIGMA = 0.6
FILTER_SIZE = 5
PEPTIDES = {
    "n_supports": 30,
    "n_components": 128,
    "kernel": "homogeneous",
    "gamma": 1 / (2 * SIGMA**2),
    "epsilon": 0.1,
    "filter_size": FILTER_SIZE,
    "padding": "same",
}
COMMON = {
    "one reference": {},
    "2 references": {"n_references": 2},
    "4 references": {"n_references": 4},
    "1 barycenter": {"references": "barycenter"},
    "4 barycenters": {"references": "barycenter", "n_references": 4},
    "softmax": {"solver": "softmax"},
    "relaxed by 1": {"relaxation": 1.0},
    "relaxed by 0.1": {"relaxation": 0.1},
}
ORDERED = {
    "position, 0.3": {"position": "gaussian", "position_sigma": 0.3},
    "position, 0.1": {"position": "gaussian", "position_sigma": 0.1},
}


def embeddings_of(base, variations, seed):
    """Return an `OTKEmbedding` for each variation of the base parameters."""
    return {
        name: OTKEmbedding(**{"max_iter": 1000, **base, **params}, random_state=seed)
        for name, params in variations.items()
    }


def peptide_embeddings(seed):
    """Return what stands before the classifier, by name."""
    layer = ConvolutionalKernelLayer(
        128,
        filter_size=FILTER_SIZE,
        padding="same",
        gamma=PEPTIDES["gamma"],
        random_state=seed,
    )
    variations = {
        "no windows": {"filter_size": 1, "n_components": 20},
        "valid": {"padding": "valid"},
        **COMMON,
        "2 references of 15": {"n_references": 2, "n_supports": 15},
        **ORDERED,
    }
    second = OTKEmbedding(**{**PEPTIDES, "filter_size": 3}, random_state=seed)
    return {
        "mean and deviation": make_pipeline(
            FunctionTransformer(windows_of, kw_args={"size": FILTER_SIZE}),
            SetPooling(["mean", "std"]),
        ),
        **embeddings_of(PEPTIDES, variations, seed),
        "two layers": make_pipeline(layer, second),
    }


def random_splits(X, y, seeds):
    """Stratified 70/30 splits."""
    return [
        train_test_split(X, y, test_size=0.3, random_state=s, stratify=y) for s in seeds
    ]


def peptide_splits(seeds):
    """Random splits of the peptides, in float32."""
    X, y, _ = load_peptides("AMPvsUniProt")
    return random_splits(X.astype(np.float32), y, seeds)


def digit_splits(seeds):
    """Random splits of the digits."""
    return random_splits(*load_digit_points(), seeds)


def vowel_splits(seeds):
    """The data set's own split, for every seed."""
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    return [(X, X_test, y, y_test)] * len(seeds)


def vowel_embeddings(seed):
    """Return what stands before the classifier, by name."""
    windows = {"windows of 3": {"filter_size": 3}, "windows of 5": {"filter_size": 5}}
    return embeddings_of({}, {**COMMON, **windows, **ORDERED}, seed)


def digit_embeddings(seed):
    """Return what stands before the classifier, by name."""
    return embeddings_of({}, COMMON, seed)


SCALER = ElementTransformer(StandardScaler())
PROBLEMS = {
    "JapaneseVowels": (vowel_splits, vowel_embeddings, SCALER),
    "digits": (digit_splits, digit_embeddings, SCALER),
    "peptides": (peptide_splits, peptide_embeddings, "passthrough"),
}


def main():
    """Print a row for each problem and embedding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--rows", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    options = parser.parse_args()
    for problem in options.problems:
        splits_of, embeddings, scaler = PROBLEMS[problem]
        print(f"\n{problem}, accuracy of seeds {list(options.seeds)}", flush=True)
        for name in options.rows or embeddings(0):
            start, scores = time.perf_counter(), []
            for seed, parts in zip(options.seeds, splits_of(options.seeds)):
                X, X_test, y, y_test = parts
                search = GridSearchCV(
                    LogisticRegression(max_iter=2000), {"C": np.logspace(-3, 0, 7)}
                )
                model = make_pipeline(
                    scaler, embeddings(seed)[name], StandardScaler(), search
                )
                scores.append(model.fit(X, y).score(X_test, y_test))
            seconds = (time.perf_counter() - start) / len(scores)
            print(
                f"{name:<20} mean {np.mean(scores):.4f}  {np.round(scores, 4)}  "
                f"{seconds:.0f} s each",
                flush=True,
            )


if __name__ == "__main__":
    main()
