"""Sets as tables, and fitted models, for the tests of engines."""

import numpy as np
import pyarrow as pa
from helpers import make_sets
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
    SlicedWassersteinEmbedding,
)

FEATURES = ["x", "y", "z"]
COLUMNS = {"groups": "id", "features": FEATURES}
NAMES = [f"set {i:02}" for i in range(24)]
ILL = np.arange(24) % 2

SETS = SetCollection.from_sets(
    make_sets(24, n_features=3), names=NAMES, feature_names=FEATURES
)
EMBEDDING = OTKEmbedding(3, n_components=4, random_state=0).fit(SETS)

# A row for each set; and a row for each element.
LISTS = pa.table(
    {"id": NAMES, "sets": SETS.to_arrow().cast(pa.list_(pa.list_(pa.float64())))}
)
ROWS = pa.table(
    {
        "id": np.repeat(NAMES, SETS.lengths),
        "order": np.concatenate([np.arange(n) for n in SETS.lengths]),
        **dict(zip(FEATURES, SETS.values.T)),
        "ill": np.repeat(ILL, SETS.lengths),
    }
)


def shuffled_rows():
    """The long table, with the rows of all sets mixed."""
    return ROWS.take(np.random.default_rng(0).permutation(len(ROWS)))


def fitted_models():
    """Yield an estimator of each kind, and the method that is applied."""
    sets = SETS.with_values(SETS.values)  # columns of lists have no names of features
    windows = OTKEmbedding(2, filter_size=2, position="gaussian", n_components=3)
    embeddings = [
        OTKEmbedding(2, n_references=2, n_components=3, random_state=0),
        windows.set_params(random_state=0),
        SetPooling(),
        KernelMeanEmbedding(n_components=4, random_state=0),
        SlicedWassersteinEmbedding(4, n_quantiles=3, random_state=0),
        FisherVectorEmbedding(2, random_state=0),
    ]
    for model in embeddings:
        yield model.fit(sets), "transform"
    training = {"alpha": 1.0, "max_epochs": 2, "random_state": 0}
    small = OTKEmbedding(2, n_components=3)
    classifier = OTKClassifier(small, **training).fit(sets, np.where(ILL, "ill", "well"))
    yield classifier, "predict"
    yield classifier, "predict_proba"
    yield OTKRegressor(small, **training).fit(sets, ILL), "predict"
    steps = [ElementTransformer(StandardScaler()), SetPooling(), LogisticRegression()]
    yield make_pipeline(*steps).fit(sets, ILL), "decision_function"


def in_order(table, output="embedding"):
    """The output as an array in the order of `NAMES`, each of which is there once."""
    table = table.sort_by("id")
    assert table["id"].to_pylist() == NAMES
    return np.array(table[output].to_pylist())
