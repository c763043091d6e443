"""The paper's first experiment: folds of proteins, SCOP 1.75, and remote homology.

Sets are the windows of 10 residues of a domain, residues one-hot. Settings are those of the
paper: the homogeneous kernel with sigma = 0.6, 512 anchors, 100 supports and epsilon = 0.5
without labels; the options, named as parameters of `OTKEmbedding`, change them. What the
paper had beside, profiles of residues, is only in "SCOP 1.75, profiles": figures of other
problems can't be compared with the paper's. These are SCOP 1.75 in DeepSF's split, all
folds or those with 50 domains and more for training, and TAPE's remote homology, whose test
set is of superfamilies that are not in training.

All embeddings are followed by the same linear discriminant analysis (`_discriminant.py`).
Its shrinkage and prior are chosen by the mean reciprocal rank of the true fold on the
validation set: a tenth of the training set, which is then trained on, too, or TAPE's own.
"with length" adds the logarithm of the length of a sequence, its square and its cube.
Methods with labels train references, anchors and the linear model together; with as many
supports as in the paper, on large folds and of profiles only. Seeds are of the embedding.
Times are of the processor, on one thread.

    python benchmarks/paper/scop175.py --data-home FOLDER
        [--problems NAME ...] [--methods PATTERN ...] [--seeds N ...]
        [--n-supports N] [--n-references N] [--epsilon X] [--n-components N] ...
    python benchmarks/paper/scop175.py --data-home FOLDER --stand-in [FRACTION]

The latter takes random residues with 45 features, as many and as long as those of the whole
data, or of a fraction of it, and prints times and memory (`_scop_stand_in.py`).
"""

import argparse
import functools
import time
from pathlib import Path
from typing import NamedTuple

import _other_benchmarks  # noqa: F401
import _proteins
import numpy as np
from _discriminant import PRIORS, Discriminant, ranks_of, standardize
from _options import describe, given_parameters, parser_of_parameters
from _scaffold import mean_and_deviation, print_table, run, with_common
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from otk_sklearn import (
    ConvolutionalKernelLayer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SetPooling,
    SlicedWassersteinEmbedding,
)

PROBLEMS = {
    "SCOP 1.75": _proteins.load_scop,
    "SCOP 1.75, large folds": functools.partial(_proteins.load_scop, only_large=True),
    "SCOP 1.75, profiles": _proteins.load_profiles,
    "remote homology": _proteins.load_tape,
}
# sigma = 0.6; more elements than that change nothing but the time
WINDOWS = {
    "kernel": "homogeneous",
    "gamma": 1 / (2 * 0.6**2),
    "n_components": 512,
    "filter_size": 10,
    "max_elements": 50_000,
}
ALPHAS = 1e-3, 1e-4, 1e-5


class Method(NamedTuple):
    """How sequences become vectors: embeddings side by side, and what they are of."""

    embeddings: list[BaseEstimator]
    features: str = "one_hot"
    with_length: bool = False


def transport(**params):
    """Return the embedding with the settings of the paper, or others."""
    return OTKEmbedding(**{"n_supports": 100, "epsilon": 0.5, **WINDOWS, **params})


def kernel_mean(**params):
    """Return the mean of the features that this embedding has."""
    return KernelMeanEmbedding(**{**WINDOWS, **params})


def positions(n_supports=5, **params):
    """Return the embedding with supports at positions along the sequence."""
    place = {"position": "gaussian", "position_sigma": 0.3, "n_components": 256}
    return transport(**{"n_supports": n_supports, **place, **params})


def of_features(embedding):
    """Embed sets of 64 kernel features of the same windows."""
    settings = {name: v for name, v in WINDOWS.items() if name != "kernel"}
    layer = ConvolutionalKernelLayer(**{**settings, "n_components": 64})
    return make_pipeline(layer, embedding)


def with_labels(embedding):
    """Return the embedding, trained with the folds."""
    return OTKClassifier(embedding, max_epochs=10, refit_head=True)


def methods_of(settings):
    """Return methods by name; "softmax" and "transport" have these settings."""
    changes = describe(settings)
    methods = {
        "mean": Method([SetPooling()]),
        "SlicedWasserstein": Method([of_features(SlicedWassersteinEmbedding())]),
        "FisherVector": Method([of_features(FisherVectorEmbedding())]),
        "KernelMean": Method([kernel_mean()]),
        "softmax" + changes: Method([transport(solver="softmax", **settings)]),
        "transport" + changes: Method([transport(**settings)]),
        "softmax, 10 supports": Method([transport(n_supports=10, solver="softmax")]),
        "transport, 10 supports": Method([transport(n_supports=10)]),
        "softmax, positions": Method([positions(solver="softmax")]),
        "transport, positions": Method([positions()]),
    }
    lengths = {
        f"{name}, length": m._replace(with_length=True) for name, m in methods.items()
    }
    blosum = {
        f"{name}, BLOSUM62": m._replace(features="blosum62") for name, m in lengths.items()
    }
    return methods | lengths | blosum


def labelled_methods():
    """Return methods that are trained with labels, and what one of them starts from."""
    small = transport(n_supports=10, n_components=64)
    return {
        "transport, 10 x 64": Method([small]),
        "transport, 10 x 64, labels": Method([with_labels(small)]),
        "transport, positions, length, BLOSUM62, labels": Method(
            [with_labels(positions())], "blosum62", with_length=True
        ),
    }


def labelled_methods_of_the_paper():
    """Return those with the settings of the paper."""
    several = transport(n_supports=10, n_references=5)
    return {
        "transport, labels": Method([with_labels(transport(n_supports=50))]),
        "transport, 5 references, labels": Method([with_labels(several)]),
    }


def methods_by_problem(settings):
    """Return the methods of each problem: of profiles, those without other features."""
    methods = methods_of(settings) | labelled_methods()
    more = methods | labelled_methods_of_the_paper()
    of_profiles = {name: one for name, one in more.items() if one.features == "one_hot"}
    return {
        "SCOP 1.75": methods,
        "SCOP 1.75, large folds": more,
        "SCOP 1.75, profiles": of_profiles,
        "remote homology": methods,
    }


@functools.lru_cache(maxsize=1)
def load(problem, data_home):
    """Return the sequences of a problem."""
    return PROBLEMS[problem](data_home)


def evaluate(methods, problem, method, seed, data_home):
    """Embed, choose the classifier, and test."""
    warm_up()
    proteins, method = load(problem, data_home), methods[problem][method]
    start = time.process_time()
    Z = embed(method, proteins, seed)
    embedded, width = time.process_time(), Z.shape[1]
    scores = classify(Z, proteins)
    return {
        **scores,
        "width": width,
        "seconds_embedding": embedded - start,
        "seconds_classifier": time.process_time() - embedded,
    }


def embed(method, proteins, seed):
    """Return the embeddings of all sequences, learned from those for training.

    Labels of the validation set are left out, as the classifier is chosen on it.
    """
    sets = _proteins.residues(proteins.sequences, method.features)
    rows, train = training_rows(proteins), proteins.train
    parts = []
    for embedding in method.embeddings:
        embedding = with_common(embedding, random_state=seed)
        if isinstance(embedding, OTKClassifier):
            embedding = embedding.fit(sets[train], proteins.folds[train]).embedding_
        else:
            embedding.fit(sets[rows])
        parts.append(embedding.transform(sets))
    if method.with_length:
        lengths = np.log(sets.lengths)[:, np.newaxis].astype(np.float32)
        parts.append(lengths ** [1, 2, 3])
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        standardize(part, rows)
    return np.hstack(parts)


def training_rows(proteins):
    """Return all that may be trained on in the end."""
    if not proteins.is_held_out:
        return proteins.train
    return np.sort(np.concatenate([proteins.train, proteins.validation]))


def classify(Z, proteins):
    """Choose shrinkage and prior on the validation set, and test."""
    discriminant = Discriminant(Z, proteins.folds, training_rows(proteins))
    parts = {"validation": proteins.validation, **proteins.tests}
    everything = np.concatenate(list(parts.values()))
    best = {"validation_mrr": -1.0}
    for found in discriminant.scores(proteins.train, everything, ALPHAS):
        alpha, classes, log_counts, scores = found
        known = scores[: len(proteins.validation)]
        for prior in PRIORS:
            shifted = known + np.float32(prior) * log_counts
            ranks = ranks_of(shifted, classes, proteins.folds[proteins.validation])
            mrr = np.mean(1 / (1 + ranks))
            if mrr > best["validation_mrr"]:
                best = {"validation_mrr": mrr, "alpha": alpha, "prior": prior}
                chosen = classes, scores + np.float32(prior) * log_counts
        if best["alpha"] != alpha:
            break  # it only gets worse
    row = best | accuracies(*chosen, proteins.folds, parts)
    if proteins.is_held_out:  # once more, with the validation set
        rows = training_rows(proteins)
        (found,) = discriminant.scores(rows, everything, [best["alpha"]])
        _, classes, log_counts, scores = found
        chosen = scores + np.float32(best["prior"]) * log_counts
        later = accuracies(classes, chosen, proteins.folds, parts)
        row |= {name: v for name, v in later.items() if not name.startswith("valid")}
    return row | {"accuracy": row["test, top 1"]}


def accuracies(classes, scores, folds, parts):
    """Return how often the true fold is among the first 1, 5 and 10, by set."""
    bounds = np.cumsum([len(rows) for rows in parts.values()])
    row = {}
    for (name, rows), of_part in zip(parts.items(), np.split(scores, bounds[:-1])):
        ranks = ranks_of(of_part, classes, folds[rows])
        row |= {f"{name}, top {k}": np.mean(ranks < k) for k in (1, 5, 10)}
    return row


@functools.cache
def warm_up():
    """Have everything compiled before times are taken."""
    sets = _proteins.residues(
        ["ACDEFGHIKLMNPQRSTVWY" * 3] * 3 + ["YWVTSRQPNMLKIHGFEDCA"] * 3
    )
    methods = [*(methods_of({}) | labelled_methods()).values()]
    small = {"n_components": 3, "n_supports": 2, "max_epochs": 2, "random_state": 0}
    for embedding in (method.embeddings[0] for method in methods):
        if isinstance(embedding, OTKClassifier):
            inner = with_common(embedding.embedding, **small)
            embedding = embedding.set_params(embedding=inner, max_epochs=2)
            embedding.fit(sets, [0, 1, 2] * 2)
        else:
            with_common(embedding, **small).fit_transform(sets)


def print_accuracies(results):
    """Print a table for each problem."""
    for problem, rows in results.groupby("problem", sort=False):
        rows = rows.dropna(axis=1, how="all")
        tests = [name.removesuffix(", top 1") for name in rows if name.endswith(", top 1")]
        table = []
        for method, of_method in rows.groupby("method", sort=False):
            cells = [
                " / ".join(
                    mean_and_deviation(100 * of_method[f"{test}, top {k}"], digits=1)
                    for k in (1, 5, 10)
                )
                for test in tests
            ]
            times = of_method[["seconds_embedding", "seconds_classifier"]].median()
            width = f"{of_method['width'].iloc[0]:,}"
            table.append([method, *cells, width, *(f"{t:.0f} s" for t in times)])
        print_table([problem, *tests, "features", "embedding", "classifier"], table)


def fraction_of(text):
    """Return the fraction that is on the command line."""
    fraction = float(text)
    if not 0 < fraction <= 1:
        raise argparse.ArgumentTypeError(f"expected above 0 and at most 1, got {text}")
    return fraction


def main():
    """Compute what is missing; print a table for each problem."""
    own = parser_of_parameters()
    own.add_argument(
        "--stand-in", type=fraction_of, nargs="?", const=1.0, metavar="FRACTION"
    )
    settings, fraction = given_parameters(own), own.parse_known_args()[0].stand_in
    with threadpool_limits(1):
        if fraction is not None:
            own.add_argument("--data-home", type=Path, required=True)
            warm_up()
            import _scop_stand_in  # it needs PyTorch

            embedding = transport(random_state=0, **settings)
            return _scop_stand_in.measure(embedding, own.parse_args().data_home, fraction)
        methods = methods_by_problem(settings)
        results = run(
            "scop175",
            f"{__doc__}\n{_proteins.__doc__}",
            methods,
            functools.partial(evaluate, methods),
            seeds=range(3),
            folders=["data_home"],
            parents=[own],
        )
    print_accuracies(results)


if __name__ == "__main__":
    main()
