"""Models of every kind, and the script that stores those of this version for later ones.

`python tests/make_models.py`, on the lowest versions that are declared (whose files all
later ones read), writes to `tests/models/<version>` a file of each model, and the sets that
they are given with what they make of them. It does so once for a version: what is there
already stays as it is.
"""

import zipfile
from pathlib import Path

import numpy as np
from helpers import make_sets
from sklearn.preprocessing import StandardScaler

import otk_sklearn
from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
)

FOLDER = Path(__file__).parent / "models"

# With a tolerance, a faster solver would stop elsewhere.
PLAIN = {"tol": 0.0, "max_iter": 20}
SMALL = {"n_supports": 4, "n_components": 5, "random_state": 0, **PLAIN}


def data(n_sets=24):
    """Sets with weights and positions, classes, and numbers."""
    sets = SetCollection.from_sets(make_sets(n_sets, n_features=3, max_length=8))
    weights = np.linspace(1, 2, len(sets.values))
    positions = np.concatenate([np.linspace(0, 1, n) for n in sets.lengths])
    X = SetCollection(sets.values, sets.offsets, weights=weights, positions=positions)
    targets = np.array([[x.mean(), x.std()] for x in X])
    return X, np.arange(n_sets) % 3, targets


def supervised(estimator, **params):
    embedding = OTKEmbedding(2, n_components=4, **PLAIN)
    return estimator(embedding, max_epochs=2, random_state=0, **params)


def fitted_models():
    """Fitted models by name: each estimator, and of `OTKEmbedding`, each kind of state."""
    X, classes, numbers = data()
    single = X.astype(np.float32)
    windows = {"filter_size": 3, "padding": "same"}
    models = {
        "embedding": OTKEmbedding(**SMALL).fit(X),
        "linear": OTKEmbedding(
            2, n_references=2, kernel="linear", solver="softmax", random_state=0
        ).fit(X),
        "windows": OTKEmbedding(**SMALL, kernel="homogeneous", **windows).fit(single),
        "positions": OTKEmbedding(
            **SMALL, n_references=2, references="barycenter", position="gaussian"
        ).fit(X),
        "relaxed": OTKEmbedding(**SMALL, relaxation=0.5).fit(X),
        "layer": ConvolutionalKernelLayer(
            4, filter_size=2, subsampling=2, random_state=0
        ).fit(X),
        "elements": ElementTransformer(StandardScaler()).fit(X),
        "classifier": supervised(OTKClassifier).fit(X, classes),
        "regressor": supervised(OTKRegressor, optimizer="adam").fit(X, numbers),
        "classifier_partial": supervised(OTKClassifier),
        "regressor_partial": supervised(OTKRegressor),
    }
    for _ in range(2):
        models["classifier_partial"].partial_fit(X, classes)
        models["regressor_partial"].partial_fit(X, numbers[:, 0])
    return models


def output_of(model, X):
    """What a model makes of sets, as an array."""
    for name in ["predict_proba", "predict", "transform"]:
        if hasattr(model, name):
            out = getattr(model, name)(X)
            return out.values if isinstance(out, SetCollection) else out
    raise AssertionError(model)


def store(folder):
    """Write the models, the sets, and what they make of them."""
    import skops.io

    folder.mkdir(parents=True)
    X, _, _ = data()
    outputs = {}
    for name, model in fitted_models().items():
        path = folder / f"{name}.skops"
        skops.io.dump(model, path, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
        outputs[name] = output_of(model, X)
    arrays = {n: getattr(X, n) for n in ["values", "offsets", "weights", "positions"]}
    np.savez_compressed(folder / "sets.npz", **arrays)
    np.savez_compressed(folder / "outputs.npz", **outputs)


if __name__ == "__main__":
    store(FOLDER / otk_sklearn.__version__)
