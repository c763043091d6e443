"""What training with labels adds, on real data and at its defaults.

The digits' point sets, JapaneseVowels (both parts pooled: its own split leaves too few
errors) and peptides, each on five random stratified 70/30 splits. `OTKClassifier` stands
beside `OTKEmbedding` of the same size with a logistic regression whose penalty is
cross-validated.

    python benchmarks/accuracy/labels.py [--problems NAME ...] [--methods PATTERN ...]
        [--seeds N ...]
"""

import time

import numpy as np
from _problems import random_split
from _scaffold import print_tables, run
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKClassifier, OTKEmbedding

N_SUPPORTS = {
    "digits": [3, 5, 10, 50],
    "JapaneseVowels": [3, 5, 10, 50],
    "peptides": [3, 5, 10],
}
WINDOWS = {"n_components": 128, "filter_size": 5}
WITHOUT, WITH = " supports, without labels", " supports, with labels"


def make_model(method, seed, **params):
    """Return the classifier that trains an embedding, or what stands beside it."""
    embedding = OTKEmbedding(int(method.split()[0]), **params)
    if method.endswith(WITH):
        return OTKClassifier(embedding, random_state=seed, n_jobs=-1)
    embedding.set_params(random_state=seed, n_jobs=-1)
    classifier = make_pipeline(
        StandardScaler(with_std=False), LogisticRegression(max_iter=1000)
    )
    grid = {"logisticregression__C": 10.0 ** np.arange(-2, 4)}
    return make_pipeline(embedding, GridSearchCV(classifier, grid, cv=3))


def evaluate(problem, method, seed):
    """Fit to scaled elements, test, and take times."""
    X_train, X_test, y_train, y_test = random_split(problem, seed)
    scaler = ElementTransformer(StandardScaler()).fit(X_train)
    X_train = scaler.transform(X_train).astype(np.float32)
    X_test = scaler.transform(X_test).astype(np.float32)
    model = make_model(method, seed, **(WINDOWS if problem == "peptides" else {}))
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    return {"accuracy": model.score(X_test, y_test), "fit": seconds}


def change_of_errors(rows, other):
    """How many errors more there are, relative to the other method."""
    return f"{(1 - rows['accuracy']).mean() / (1 - other['accuracy']).mean() - 1:+.0%}"


def main():
    """Print a table for each problem."""
    methods = {
        problem: [f"{n}{kind}" for n in sizes for kind in (WITHOUT, WITH)]
        for problem, sizes in N_SUPPORTS.items()
    }
    results = run("labels", __doc__, methods, evaluate)
    columns = {
        "errors": change_of_errors,
        "fit": lambda rows, _: f"{rows['fit'].mean():.1f} s",
    }
    print_tables(results, columns, reference=lambda method: method.replace(WITH, WITHOUT))


if __name__ == "__main__":
    main()
