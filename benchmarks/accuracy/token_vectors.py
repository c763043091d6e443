"""Sets of vectors of a neural network: which settings suit them, and what transport adds.

Sentences of the Stanford Sentiment Treebank as sets of token vectors of a frozen encoder
(`_token_vectors.py`), positive or negative: 10,000 or all 67,349 phrases of GLUE's SST-2
for training, its development set of 872 sentences for test; and whole sentences, 6,920 and
1,821. Another problem is tweets, sentences of product reviews and of editorials, two thirds
of the documents and one. Vectors are the states after the last layer, or after the last
three, side by side. Every embedding is followed by the same logistic regression of centred
features in one common unit, whose C is chosen on whole sentences of the training set. Seeds
are of the embedding. Times are of the processor, on one thread, for both parts.

    python benchmarks/accuracy/token_vectors.py --data-home FOLDER --cache FOLDER
        [--problems NAME ...] [--methods PATTERN ...] [--seeds N ...]
"""

import functools
import time

import numpy as np
from _scaffold import mean_and_deviation, print_tables, run, with_common
from _selection import Scaler, make_classifier
from _token_vectors import (
    N_LAYERS,
    PROBLEMS,
    held_out_sentences,
    load_tokens,
    read_sentences,
)
from sklearn.base import is_classifier
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from threadpoolctl import threadpool_limits

from otk_sklearn import (
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SetPooling,
    SlicedWassersteinEmbedding,
)

# sigma = 0.6, the bandwidth of the paper for this data
GAMMA = 1 / (2 * 0.6**2)
PENALTIES = 10.0 ** np.arange(-1, 2.5, 0.5)
# What all embeddings with anchors have in common; more elements than that change nothing.
ELEMENTS = {"max_elements": 50_000}


def homogeneous(n_components, n_supports=3, epsilon=0.5, **params):
    """Return an embedding with the homogeneous kernel, by default as in the paper."""
    return OTKEmbedding(
        n_supports,
        epsilon=epsilon,
        kernel="homogeneous",
        n_components=n_components,
        **{"gamma": GAMMA, **ELEMENTS, **params},
    )


def rbf(n_components, n_supports=3, epsilon=0.1, **params):
    """Return an embedding with the rbf kernel."""
    return OTKEmbedding(
        n_supports, epsilon=epsilon, n_components=n_components, **ELEMENTS, **params
    )


def linear(n_supports, epsilon=0.5, **params):
    """Return an embedding of the elements themselves."""
    return OTKEmbedding(n_supports, epsilon=epsilon, kernel="linear", **ELEMENTS, **params)


def kernel_mean(n_components, **params):
    """Return the mean of the features that OTKEmbedding has."""
    return KernelMeanEmbedding(n_components, **ELEMENTS, **params)


def scaled(embedding):
    """Divide each feature of elements by its deviation before."""
    return make_pipeline(ElementTransformer(StandardScaler()), embedding)


def reduced(n_features, embedding):
    """Project elements on their principal components before."""
    return make_pipeline(ElementTransformer(PCA(n_features, random_state=0)), embedding)


def unit_norm(embedding):
    """Divide elements by their norms before."""
    return make_pipeline(ElementTransformer(Normalizer()), embedding)


class SamplePCA(PCA):
    """Principal components of 50,000 elements: more of them change nothing but the time."""

    def fit(self, X, y=None):
        rows = np.random.default_rng(0).permutation(len(X))[:50_000]
        return super().fit(X[np.sort(rows)])

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)


def unit_norm_reduced(n_features, embedding):
    """Divide elements by their norms, then project them on principal components."""
    return make_pipeline(
        ElementTransformer(Normalizer()),
        ElementTransformer(SamplePCA(n_features, random_state=0)),
        embedding,
    )


HOMOGENEOUS = {"kernel": "homogeneous", "gamma": GAMMA}
BASELINES = {
    "mean": SetPooling("mean"),
    "mean, max": SetPooling(["mean", "max"]),
    "mean, std": SetPooling(["mean", "std"]),
    "SlicedWasserstein": SlicedWassersteinEmbedding(),
    "SlicedWasserstein, 256 x 8": SlicedWassersteinEmbedding(256, n_quantiles=8),
    "FisherVector, 4": FisherVectorEmbedding(4),
    "KernelMean": KernelMeanEmbedding(),
    "softmax": OTKEmbedding(solver="softmax"),
    "OTKEmbedding": OTKEmbedding(),
    "OTKEmbedding, scaled": scaled(OTKEmbedding()),
}
# the elements themselves, no anchors: supports, epsilon, attention, fewer features
LINEAR = {
    "linear, 3": linear(3),
    "linear, 10": linear(10),
    "linear, 30": linear(30),
    "linear, 3, scaled": scaled(linear(3)),
    "linear, 10, scaled": scaled(linear(10)),
    "linear, 10, unit norm, epsilon=0.05": unit_norm(linear(10, 0.05)),
    "linear, 10, epsilon=0.1": linear(10, 0.1),
    "linear, 10, epsilon=0.2": linear(10, 0.2),
    "linear, 10, epsilon=1": linear(10, 1.0),
    "linear, 10, epsilon=2": linear(10, 2.0),
    "linear, 10, softmax": linear(10, solver="softmax"),
    "linear, 10, softmax, epsilon=2": linear(10, 2.0, solver="softmax"),
    "linear, 30, softmax": linear(30, solver="softmax"),
    "PCA 64, mean": reduced(64, SetPooling("mean")),
    "PCA 64, linear, 3": reduced(64, linear(3)),
    "PCA 64, linear, 10": reduced(64, linear(10)),
    "PCA 64, linear, 30": reduced(64, linear(30)),
    "PCA 64, linear, 30, softmax": reduced(64, linear(30, solver="softmax")),
    "PCA 64, linear, 100": reduced(64, linear(100)),
    "PCA 32, linear, 30": reduced(32, linear(30)),
    "PCA 32, linear, 100": reduced(32, linear(100)),
    "PCA 128, linear, 10": reduced(128, linear(10)),
    "PCA 128, linear, 30": reduced(128, linear(30)),
}
# kernels, each with as many features of elements
KERNELS = {
    "rbf 256, mean": kernel_mean(256),
    "rbf 256, mean, scaled": scaled(kernel_mean(256)),
    "rbf 256, 3": rbf(256),
    "rbf 256, 3, scaled": scaled(rbf(256)),
    "rbf 256, 3, unit norm": unit_norm(rbf(256)),
    "homogeneous 256, mean": kernel_mean(256, **HOMOGENEOUS),
    "homogeneous 256, 3": homogeneous(256),
    "homogeneous 256, 3, scaled": scaled(homogeneous(256)),
    "homogeneous 256, 3, gamma=median": homogeneous(256, gamma="median"),
}
# of the rbf kernel, one at a time
SETTINGS = {
    "rbf 256, 3, softmax": rbf(256, solver="softmax"),
    "rbf 256, 3, epsilon=0.02": rbf(256, epsilon=0.02),
    "rbf 256, 3, epsilon=0.5": rbf(256, epsilon=0.5),
    "rbf 256, 10": rbf(256, 10),
    "rbf 256, 30": rbf(256, 30),
    "rbf 256, 3, softmax, epsilon=0.5": rbf(256, epsilon=0.5, solver="softmax"),
    "homogeneous 256, 3, softmax": homogeneous(256, solver="softmax"),
    "homogeneous 256, 3, epsilon=0.1": homogeneous(256, epsilon=0.1),
    "homogeneous 256, 3, epsilon=2": homogeneous(256, epsilon=2.0),
    "homogeneous 256, 3, softmax, epsilon=2": homogeneous(
        256, epsilon=2.0, solver="softmax"
    ),
    "homogeneous 256, 10": homogeneous(256, 10),
    "homogeneous 256, 30": homogeneous(256, 30),
    "rbf 64, 3": rbf(64),
    "rbf 512, 3": rbf(512),
    "rbf 256, 3, random anchors": rbf(256, anchors="random"),
}
# means of features, and transport of the same
ANCHORS = {
    "rbf 1024, mean": kernel_mean(1024),
    "rbf 1024, 3": rbf(1024),
    "rbf 2048, mean": kernel_mean(2048, anchors="random"),
    "rbf 2048, 3": rbf(2048, anchors="random"),
    "homogeneous 1024, mean": kernel_mean(1024, **HOMOGENEOUS),
    "homogeneous 1024, 3": homogeneous(1024),
    "homogeneous 2048, mean": kernel_mean(2048, anchors="random", **HOMOGENEOUS),
    "homogeneous 2048, 3": homogeneous(2048, anchors="random"),
    "homogeneous 2048, 3, softmax": homogeneous(2048, anchors="random", solver="softmax"),
}
CLASSIFIERS = {
    "OTKClassifier": OTKClassifier(),
    "OTKClassifier, rbf 64, 3": OTKClassifier(rbf(64), max_epochs=10),
    "OTKClassifier, rbf 256, 3": OTKClassifier(rbf(256), max_epochs=10),
}
# on the states after three layers; supports have other norms, so epsilon is another one
LAYERS = {
    "mean": SetPooling("mean"),
    "mean, unit norm": unit_norm(SetPooling("mean")),
    "mean, max, unit norm": unit_norm(SetPooling(["mean", "max"])),
    "mean, std, unit norm": unit_norm(SetPooling(["mean", "std"])),
    "SlicedWasserstein, 256 x 8, unit norm": unit_norm(
        SlicedWassersteinEmbedding(256, n_quantiles=8)
    ),
    "PCA 64, unit norm, mean": unit_norm_reduced(64, SetPooling("mean")),
    "PCA 64, unit norm, linear, 3": unit_norm_reduced(64, linear(3, 0.1)),
    "PCA 64, unit norm, linear, 10": unit_norm_reduced(64, linear(10, 0.1)),
    "PCA 64, unit norm, linear, 30": unit_norm_reduced(64, linear(30, 0.1)),
    "PCA 64, unit norm, linear, 30, softmax": unit_norm_reduced(
        64, linear(30, 0.1, solver="softmax")
    ),
    "PCA 64, unit norm, linear, 30, softmax, epsilon=0.02": unit_norm_reduced(
        64, linear(30, 0.02, solver="softmax")
    ),
    "PCA 64, unit norm, linear, 30, softmax, epsilon=0.3": unit_norm_reduced(
        64, linear(30, 0.3, solver="softmax")
    ),
    "PCA 32, unit norm, linear, 20": unit_norm_reduced(32, linear(20, 0.1)),
    "PCA 128, unit norm, linear, 3": unit_norm_reduced(128, linear(3, 0.1)),
    "PCA 128, unit norm, linear, 5": unit_norm_reduced(128, linear(5, 0.1)),
    "PCA 128, unit norm, linear, 10": unit_norm_reduced(128, linear(10, 0.1)),
    "PCA 128, unit norm, linear, 30": unit_norm_reduced(128, linear(30, 0.1)),
    "PCA 128, unit norm, linear, 30, softmax": unit_norm_reduced(
        128, linear(30, 0.1, solver="softmax")
    ),
    "linear, 10, unit norm": unit_norm(linear(10, 0.1)),
    "PCA 128, unit norm, FisherVector, 4": unit_norm_reduced(128, FisherVectorEmbedding(4)),
    "rbf 256, mean, unit norm": unit_norm(kernel_mean(256)),
    "rbf 256, 3, unit norm": unit_norm(rbf(256)),
    "homogeneous 2048, mean": kernel_mean(2048, anchors="random", **HOMOGENEOUS),
    "homogeneous 2048, 3": homogeneous(2048, anchors="random"),
    "OTKClassifier": OTKClassifier(),
    "PCA 64, unit norm, OTKClassifier, linear, 10": unit_norm_reduced(
        64, OTKClassifier(linear(10, 0.1))
    ),
}
LAYERS = {f"three layers: {name}": embedding for name, embedding in LAYERS.items()}
METHODS = BASELINES | LINEAR | KERNELS | SETTINGS | ANCHORS | LAYERS | CLASSIFIERS


@functools.lru_cache(maxsize=1)
def load_problem(problem, n_layers, data_home, cache):
    """Return sets and labels, for training and for test, and rows to hold out or not."""
    parts = PROBLEMS[problem]
    X, X_test = (load_tokens(data_home, cache, part, n_layers) for part in parts)
    y, y_test = (read_sentences(data_home, part)[1] for part in parts)
    return X, y, X_test, y_test, held_out_sentences(data_home, parts[0])


def evaluate(problem, method, seed, data_home, cache):
    """Fit, test, and take times."""
    n_layers = N_LAYERS if method in LAYERS else 1
    return score(problem, METHODS[method], seed, n_layers, data_home, cache)


def score(problem, embedding, seed, n_layers, data_home, cache):
    """Fit an embedding and the classifier, test, and take times."""
    warm_up()
    X, y, X_test, y_test, rows = load_problem(problem, n_layers, data_home, cache)
    embedding = with_common(embedding, random_state=seed)
    start = time.process_time()
    if is_classifier(embedding):
        model, held_out_loss = embedding.fit(X, y), np.nan
        Z_test = X_test
        last = model[-1] if isinstance(model, Pipeline) else model
        width = last.coef_.shape[1]
    else:
        Z, Z_test = embedding.fit_transform(X), embedding.transform(X_test)
        width = Z.shape[1]
    seconds = time.process_time() - start
    if not is_classifier(embedding):
        C, held_out_loss = choose_penalty(Z, y, *rows)
        model = make_classifier(C=C).fit(Z, y)
    return {
        "accuracy": model.score(Z_test, y_test),
        "loss": log_loss(y_test, model.predict_proba(Z_test)),
        "held_out_loss": held_out_loss,
        "width": width,
        "seconds": seconds,
    }


def choose_penalty(Z, y, held_out, others):
    """Return the C with the smallest loss on what is held out, and that loss.

    Those tried are relative to the number of features, so that they mean the same for all.
    """
    scaler = Scaler().fit(Z)
    fitted, validated = scaler.transform(Z[others]), scaler.transform(Z[held_out])
    classifier = LogisticRegression(warm_start=True, max_iter=200)
    losses = []
    for C in PENALTIES / Z.shape[1]:
        classifier.set_params(C=C).fit(fitted, y[others])
        losses.append(log_loss(y[held_out], classifier.predict_proba(validated)))
    best = np.argmin(losses)
    return PENALTIES[best] / Z.shape[1], losses[best]


@functools.cache
def warm_up():
    """Have everything compiled before times are taken."""
    X = np.random.default_rng(0).normal(size=(40, 9, 8)).astype(np.float32)
    for base in (*BASELINES.values(), linear(2), homogeneous(8), rbf(8, solver="softmax")):
        with_common(base, random_state=0).fit_transform(X)
    OTKClassifier(rbf(8), max_epochs=2, random_state=0).fit(X, [0, 1] * 20).predict(X)


COLUMNS = {
    "loss, held out": lambda rows, _: f"{rows['held_out_loss'].mean():.3f}",
    "loss, test": lambda rows, _: mean_and_deviation(rows["loss"]),
    "features": lambda rows, _: f"{rows['width'].iloc[0]:,}",
    "fit and transform": lambda rows, _: f"{rows['seconds'].median():.0f} s",
}


def main():
    """Compute what is missing; print a table for each problem."""
    methods = dict.fromkeys(PROBLEMS, METHODS)
    folders = ["data_home", "cache"]
    with threadpool_limits(1):
        results = run("token_vectors", __doc__, methods, evaluate, range(3), folders)
    print_tables(results, COLUMNS)


if __name__ == "__main__":
    main()
