"""Accuracy and times of every embedding of this library, and of others, on every problem.

Those of other libraries are these libraries' own code (`_peers.py`). Each embedding is
followed by the same logistic regression, whose penalty and scaling are chosen by
cross-validation on the sets that `_problems.py` sets aside from test. So are, in the rows
that say so, parameters of the embedding, six settings each (four statistics of
`SetPooling`, three widths of random ones), and for ordered sets whether elements are rows
or windows of five. Times are those of the processor, on one thread.

    python benchmarks/accuracy/compare_embeddings.py [--problems NAME ...]
        [--methods PATTERN ...] [--seeds N ...]
"""

import functools
import tempfile
import time

import numpy as np
from _peers import (
    AtolOfSets,
    FisherVectorOfImages,
    FourierSlicedWasserstein,
    LinearTransport,
    RandomDeepSets,
    SinkhornTransport,
)
from _problems import PROBLEMS, load_problem, windows_of
from _scaffold import print_table, print_tables, run, with_common
from _selection import make_classifier, median_gamma, tune_classifier
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from otk_sklearn import (
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SetCollection,
    SetPooling,
    SlicedWassersteinEmbedding,
)

FILTER_SIZE = 5

# `gamma` is given as a multiple of what "median" finds.
BANDWIDTHS = [1, 4]
# From few supports that share to many that don't.
PLANS = [
    {"n_supports": 20, "epsilon": 0.1},
    {"n_supports": 50, "epsilon": 0.05},
    {"n_supports": 100, "epsilon": 0.02},
]
TRANSPORT = [{"gamma": gamma, **plan} for gamma in BANDWIDTHS for plan in PLANS]
# Windows have many features, and so may want more anchors; the kernel mean has them anyway.
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
    "WassersteinVectorizer": (LinearTransport(), [{}]),
    "WassersteinVectorizer, tuned": (
        LinearTransport(),
        ParameterGrid(
            {"reference_scale": [0.1, 1.0, "kmeans"], "reference_size": [16, 48]}
        ),
    ),
    "SinkhornVectorizer": (SinkhornTransport(), [{}]),
    "SinkhornVectorizer, tuned": (
        SinkhornTransport(),
        ParameterGrid({"reference_scale": [0.1, 0.3, 1.0], "reference_size": [16, 48]}),
    ),
    "Atol": (AtolOfSets(), [{}]),
    "Atol, tuned": (
        AtolOfSets(),
        ParameterGrid({"n_clusters": [16, 64, 256], "contrast": ["gaussian", "laplacian"]}),
    ),
    "skimage's Fisher vector": (FisherVectorOfImages(), [{}]),
    "skimage's Fisher vector, tuned": (
        FisherVectorOfImages(),
        ParameterGrid({"n_modes": [4, 16, 64], "improved": [False, True]}),
    ),
    "FSWEmbedding": (FourierSlicedWasserstein(), [{}]),
    "FSWEmbedding, tuned": (
        FourierSlicedWasserstein(),
        ParameterGrid({"n_features": [256, 1024, 4096]}),
    ),
    "random Deep Sets": (RandomDeepSets(), [{}]),
    "random Deep Sets, tuned": (
        RandomDeepSets(),
        ParameterGrid({"n_features": [128, 512, 2048]}),
    ),
}
REFERENCE = "OTKEmbedding, tuned"
# Trained with the labels, a linear model with its own cross-validated penalty included.
CLASSIFIERS = ["OTKClassifier", "OTKClassifier, tuned"]
METHODS = [*EMBEDDINGS, *CLASSIFIERS]


@functools.cache
def choose(problem, method, memory):
    """Choose parameters of the "embedding" and of the "classifier", and "filter_size"."""
    if method in EMBEDDINGS:
        return tune(problem, *EMBEDDINGS[method], memory)
    if method == "OTKClassifier":
        return {"embedding": {}, "filter_size": 1}
    # Those of the tuned embedding, but for its size.
    tuned = choose(problem, REFERENCE, memory)
    params = {k: v for k, v in tuned["embedding"].items() if k != "n_supports"}
    return {"embedding": params, "filter_size": tuned["filter_size"]}


def tune(problem, base, settings, memory):
    """Choose the best setting. Embeddings never see labels, so need no folds."""
    data = load_problem(problem)
    X, y = data.X[data.aside], data.y[data.aside]
    best, chosen = -1.0, None
    for size in [1, FILTER_SIZE] if data.ordered and len(settings) > 1 else [1]:
        sets = windows_of(X, size)
        median = median_gamma(sets, memory)
        widened = MANY_ANCHORS if size > 1 and isinstance(base, OTKEmbedding) else []
        for setting in [*settings, *widened]:
            params = dict(setting)
            if "gamma" in params:
                params["gamma"] *= median
            embedding = with_common(base, random_state=0, memory=memory)
            embedding.set_params(**params)
            score, classifier = tune_classifier(embedding.fit_transform(sets), y)
            if score > best:
                best, chosen = score, (params, classifier, size)
    return dict(zip(["embedding", "classifier", "filter_size"], chosen))


def make_model(method, chosen, seed):
    """Return embedding and classifier, as one model."""
    params = chosen["embedding"]
    if method in EMBEDDINGS:
        embedding = with_common(EMBEDDINGS[method][0], random_state=seed)
        classifier = make_classifier(**chosen["classifier"])
        return make_pipeline(embedding.set_params(**params), classifier)
    return OTKClassifier(OTKEmbedding(**{"n_supports": 10, **params}), random_state=seed)


def evaluate(problem, method, seed, memory):
    """Fit to the sets for training, test, and take times."""
    warm_up()
    data, chosen = load_problem(problem), choose(problem, method, memory)
    train, test = data.split(seed)
    X, y = windows_of(data.X, chosen["filter_size"]), data.y
    X_train, X_test = X[train], X[test]
    model = make_model(method, chosen, seed)
    start = time.process_time()
    model.fit(X_train, y[train])
    fitted = time.process_time()
    embedding = model[0] if method in EMBEDDINGS else model.embedding_
    Z = embedding.transform(X_test)
    transformed = time.process_time()
    return {
        "accuracy": model.score(X_test, y[test]),
        "fit": fitted - start,
        "transform": (transformed - fitted) / len(test),
        "width": Z.shape[1],
        "chosen": chosen,
    }


@functools.cache
def warm_up():
    """Have everything compiled before times are taken."""
    elements = np.random.default_rng(0).normal(size=(40, 9, 2)).astype(np.float32)
    X, y = SetCollection.from_sets(list(elements)), [0, 1] * 20
    for base, _ in EMBEDDINGS.values():
        with_common(base, random_state=0).fit_transform(X)
    embedding = OTKEmbedding(2, n_components=4)
    OTKClassifier(embedding, max_epochs=2, random_state=0).fit(X, y).predict(X)


def print_summary(results):
    """Print mean accuracies of all problems, the best of each in bold."""
    means = results.pivot_table("accuracy", "method", "problem", sort=False).round(3)
    best = means.max()

    def cell(method, problem):
        text = f"{means.loc[method, problem]:.3f}"
        return f"**{text}**" if means.loc[method, problem] == best[problem] else text

    print_table(["", *means], [[m, *(cell(m, p) for p in means)] for m in means.index])


# What is printed besides accuracies.
COLUMNS = {
    "features": lambda rows, _: f"{rows['width'].iloc[0]:,}",
    "fit": lambda rows, _: f"{rows['fit'].median():.2f} s",
    "a set": lambda rows, _: f"{1e3 * rows['transform'].median():.2f} ms",
}


def main():
    """Compute what is missing; print a table for each problem."""
    methods = dict.fromkeys(PROBLEMS, METHODS)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as memory:
        with_memory = functools.partial(evaluate, memory=memory)
        results = run("compare_embeddings", __doc__, methods, with_memory)
    print_summary(results)
    print_tables(results, COLUMNS, reference=lambda method: REFERENCE)


if __name__ == "__main__":
    main()
