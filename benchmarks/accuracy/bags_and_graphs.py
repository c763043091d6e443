"""Accuracy on problems that come as sets: bags of multiple-instance learning, and graphs.

Bags are those of the package mil. Graphs, as sets of the features of their nodes, are read
from DATA_HOME, if there is such a folder (`fetch_tu_graphs` says what it has to contain).
As is usual for both: ten times 10-fold cross-validation, stratified; a seed is one of the
ten times, and draws both the folds and the embedding.

Elements are scaled by `StandardScaler`. Every embedding is followed by the same ridge
classifier after centring and scaling of all features by one factor. Its penalty, and the
parameters of the embedding, from the settings below, are chosen in each fold for training,
by the leave-one-out error of the ridge regression: embeddings see no labels. Embeddings of
other libraries are in `_peers.py`.

    python benchmarks/accuracy/bags_and_graphs.py [--data-home FOLDER]
        [--problems NAME ...] [--methods PATTERN ...] [--seeds N ...]
"""

import argparse
import functools
import time
from pathlib import Path

import numpy as np
from _peers import (
    AtolOfSets,
    FourierSlicedWasserstein,
    LinearTransport,
    RandomDeepSets,
    SinkhornTransport,
)
from _scaffold import mean_and_deviation, print_tables, run, with_common
from _selection import Scaler
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import ParameterGrid, StratifiedKFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from otk_sklearn import (
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKEmbedding,
    SetPooling,
    SlicedWassersteinEmbedding,
)
from otk_sklearn.datasets import fetch_tu_graphs, load_bags

BAGS = "musk1", "elephant", "birds_brown_creeper", "ucsb_breast_cancer"
GRAPHS = "MUTAG", "BZR", "ENZYMES"
N_FOLDS = 10
PENALTIES = np.logspace(-4, 4, 17)

KERNELS = ["rbf", "linear"]
STATISTICS = [["mean"], ["mean", "std"], ["mean", "max"], ["mean", "std", "min", "max"]]
TRANSPORT = {"n_supports": [5, 30], "kernel": KERNELS}
# The number of elements, on the scale of its deviation.
COUNT = make_pipeline(SetPooling("count"), StandardScaler(with_mean=False))
# Embeddings, and the settings that are tried.
METHODS = {
    "mean": (SetPooling("mean"), {}),
    "count": (SetPooling("count"), {}),
    "SetPooling": (SetPooling(), {"statistics": STATISTICS}),
    "KernelMean": (KernelMeanEmbedding(), {"n_components": [64, 256]}),
    "SlicedWasserstein": (SlicedWassersteinEmbedding(), {"n_quantiles": [4, 16]}),
    "FisherVector": (FisherVectorEmbedding(), {"n_components": [4, 16]}),
    "softmax": (OTKEmbedding(solver="softmax", epsilon=0.1), TRANSPORT),
    "OTKEmbedding": (OTKEmbedding(epsilon=0.1), TRANSPORT),
    "OTKEmbedding, supports relaxed": (
        OTKEmbedding(epsilon=0.1, support_relaxation=0.1),
        TRANSPORT,
    ),
    "OTKEmbedding, and count": (
        FeatureUnion([("otk", OTKEmbedding(epsilon=0.1)), ("count", COUNT)]),
        {f"otk__{name}": values for name, values in TRANSPORT.items()},
    ),
    "WassersteinVectorizer": (
        LinearTransport(reference_size=16),
        {"reference_scale": [0.1, 1.0, "kmeans"]},
    ),
    "SinkhornVectorizer": (SinkhornTransport(), {"reference_scale": [0.1, 1.0]}),
    "Atol": (AtolOfSets(), {"n_clusters": [16, 64]}),
    "FSWEmbedding": (FourierSlicedWasserstein(), {"n_features": [256, 1024]}),
    "random Deep Sets": (RandomDeepSets(), {"n_features": [128, 512]}),
}


class Selected(ClassifierMixin, BaseEstimator):
    """Scaler, embedding and classifier, of the best of these settings."""

    def __init__(self, embedding, settings, random_state=0):
        self.embedding = embedding
        self.settings = settings
        self.random_state = random_state

    def fit(self, X, y):
        """Choose by the leave-one-out error."""
        scaler = ElementTransformer(StandardScaler())
        sets = scaler.fit_transform(X).astype(np.float32)
        best = None
        for setting in ParameterGrid(self.settings):
            embedding = with_common(self.embedding, random_state=self.random_state)
            Z = embedding.set_params(**setting).fit_transform(sets)
            classifier = make_pipeline(Scaler(), RidgeClassifierCV(PENALTIES)).fit(Z, y)
            score = classifier[-1].best_score_
            if best is None or score > best:
                best, chosen = score, (embedding, classifier)
        self.scaler_, (self.embedding_, self.classifier_) = scaler, chosen
        self.classes_ = self.classifier_.classes_
        return self

    def decision_function(self, X):
        """Return the scores of classes."""
        sets = self.scaler_.transform(X).astype(np.float32)
        return self.classifier_.decision_function(self.embedding_.transform(sets))

    def predict(self, scores):
        """Return the classes of highest score, of what `decision_function` returns."""
        rows = scores > 0 if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[rows.astype(int)]


@functools.lru_cache(maxsize=1)
def load(problem, data_home):
    """Return sets and classes."""
    if problem in BAGS:
        return load_bags(problem)
    graphs = fetch_tu_graphs(data_home=data_home, name=problem)
    return graphs.data, graphs.target


def evaluate(data_home, problem, method, seed):
    """Cross-validate once."""
    X, y = load(problem, data_home)
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    model = Selected(*METHODS[method], random_state=seed)
    right, areas, start = 0, [], time.process_time()
    for train, test in folds.split(np.zeros(len(y)), y):
        scores = model.fit(X[train], y[train]).decision_function(X[test])
        right += np.sum(model.predict(scores) == y[test])
        if scores.ndim == 1:
            areas.append(roc_auc_score(y[test], scores))
    return {
        "accuracy": right / len(y),
        "auroc": np.mean(areas) if areas else np.nan,
        "seconds": (time.process_time() - start) / N_FOLDS,
    }


# What is printed besides accuracies.
COLUMNS = {
    "area under the ROC": lambda rows, _: mean_and_deviation(rows["auroc"]),
    "a fold": lambda rows, _: f"{rows['seconds'].median():.2f} s",
}


def main():
    """Compute what is missing; print a table for each problem."""
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--data-home", type=Path)
    data_home = own.parse_known_args()[0].data_home
    problems = BAGS
    if data_home and data_home.is_dir():
        problems += GRAPHS
    else:
        print(f"Graphs are left out: there is no folder {data_home}.")
    with threadpool_limits(1):
        results = run(
            "bags_and_graphs",
            __doc__,
            dict.fromkeys(problems, METHODS),
            functools.partial(evaluate, data_home),
            seeds=range(10),
            parents=[own],
        )
    print_tables(results, COLUMNS)


if __name__ == "__main__":
    main()
