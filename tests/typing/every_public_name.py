"""A program of a user that names everything public, for a type checker: it is not run.

Lines with `type: ignore` are mistakes that have to be found: mypy reports those that it has
no reason to ignore.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import otk_sklearn
from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
    SlicedWassersteinEmbedding,
    show_versions,
)
from otk_sklearn.batches import (
    BatchTransformer,
    SetSampler,
    compile_kernels,
    fit_batches,
    iter_sets,
    transform_blocks,
    transform_files,
    transform_to,
)
from otk_sklearn.datasets import (
    fetch_deepbind,
    fetch_deepsea,
    fetch_scop175,
    fetch_sst2,
    fetch_tu_graphs,
    load_bags,
    load_basic_motions,
    load_digit_points,
    load_japanese_vowels,
    load_mnist_points,
    load_peptides,
    make_cooccurrences,
    make_polygons,
    make_rare_elements,
    make_solids,
)
from otk_sklearn.display import (
    ConvergenceDisplay,
    ImportanceDisplay,
    SupportsDisplay,
    TransportPlanDisplay,
)
from otk_sklearn.inspection import (
    element_contributions,
    element_plans,
    nearest_elements,
    permutation_importance,
)
from otk_sklearn.torch import (
    KernelFeatures,
    OTKPooling,
    SetSequential,
    as_aggregation,
    collate_sets,
    from_estimator,
    initialize,
    to_estimator,
)

Floats = npt.NDArray[np.floating]


def collections(table: pd.DataFrame, y: pd.Series) -> SetCollection:
    arrays = [np.ones((3, 2)), np.zeros((1, 2))]
    X = SetCollection.from_sets(arrays, weights=[[1, 2, 1], [1]], names=["a", "b"])
    assert_type(SetCollection(np.ones((4, 2)), [0, 3, 4], weights=None), SetCollection)
    assert_type(X[0], Floats)
    assert_type(X[:1], SetCollection)
    assert_type(X[[1, 0]], SetCollection)
    assert_type([x.shape for x in X], list[tuple[Any, ...]])
    assert_type(X.astype("float32").values, Floats)
    assert_type(len(X) + X.n_features, int)
    assert_type(SetCollection.concatenate([X, X], names=None), SetCollection)
    assert_type(X.with_values(X.values[:, :1]).to_padded(0.0), Floats)
    SetCollection.from_padded(np.ones((2, 3, 4)), lengths=[3, 1])
    SetCollection.from_series([np.ones((5, 2))], time_axis=-2)
    SetCollection.from_sequences(["ACGT", "AC"], "ACGT")
    SetCollection.from_arrow(X.to_arrow()), SetCollection.from_awkward(X.to_awkward())
    SetCollection.from_series([np.ones((5, 2))], time_axis=1)  # type: ignore[arg-type]
    X.values = np.ones((4, 2))  # type: ignore[misc]
    grouped = SetCollection.from_groups(table[["x", "y"]], table["patient"])
    assert_type(grouped.align(y), npt.NDArray[Any])
    return grouped


def embeddings(X: SetCollection, y: npt.NDArray[np.int64]) -> None:
    embedding = OTKEmbedding(10, kernel="homogeneous", gamma="median", random_state=0)
    assert_type(embedding.fit(X), OTKEmbedding)
    assert_type(embedding.fit(X, sample_weight=np.ones(len(X))).transform(X), Floats)
    assert_type(embedding.fit_transform([np.ones((3, 2)), np.ones((1, 2))]), Floats)
    assert_type(embedding.transport_plan(X), list[Floats])
    assert_type(embedding.kernel_matrix(X, X), Floats)
    embedding.sinkhorn_diagnostics(X)
    for other in [
        KernelMeanEmbedding(kernel="linear"),
        FisherVectorEmbedding(4, power=1.0),
        SlicedWassersteinEmbedding(8, n_quantiles=4),
        SetPooling(["mean", "std"], empty_sets="zero"),
    ]:
        clone(other).fit(X).transform(X)
    layer = ConvolutionalKernelLayer(8, filter_size=3, padding="same").fit(X)
    assert_type(layer.transform(X), SetCollection)
    elements = ElementTransformer(StandardScaler()).fit(X)
    assert_type(elements.transform(X).values, Floats)
    pipeline = make_pipeline(elements, embedding, LogisticRegression())
    GridSearchCV(pipeline, {"otkembedding__epsilon": [0.1]}).fit(X, y)
    OTKEmbedding(kernel="gaussian")  # type: ignore[arg-type]
    OTKEmbedding(10, 5)  # type: ignore[call-arg]
    OTKEmbedding(n_suports=5)  # type: ignore[call-arg]
    embedding.fit(None)  # type: ignore[arg-type]


def supervised(X: SetCollection, y: npt.NDArray[np.int64]) -> None:
    classifier = OTKClassifier(OTKEmbedding(5), alpha=1e-3, optimizer="adam")
    assert_type(classifier.fit(X, y, groups=y).score(X, y), float)
    assert_type(classifier.predict_proba(X), Floats)
    assert_type(classifier.partial_fit(X, y, classes=[0, 1]), OTKClassifier)
    assert_type(OTKRegressor(early_stopping=True).fit(X, y).predict(X), Floats)
    OTKClassifier(alpha="auto")  # type: ignore[arg-type]
    classifier.fit(X)  # type: ignore[call-arg]


def inspected(model: OTKClassifier, X: SetCollection, y: npt.NDArray[np.int64]) -> None:
    assert_type(element_plans(model, X), list[Floats])
    element_contributions(model, X), nearest_elements(model, X, n_elements=3)
    permutation_importance(model, X, y, n_repeats=2, random_state=0)
    assert_type(TransportPlanDisplay.from_estimator(model, X), TransportPlanDisplay)
    ImportanceDisplay.from_estimator(model, X, index=0, kind="bars", columns=(1, 0))
    SupportsDisplay.from_estimator(model, X, kind="points").plot(colorbar=False)
    assert_type(ConvergenceDisplay.from_estimator(model).plot(), ConvergenceDisplay)


def data(home: Path) -> SetCollection:
    X, y = load_digit_points()
    assert_type(y, npt.NDArray[np.int64])
    X, labels = load_japanese_vowels("train")
    X, y, sequences = load_peptides()
    load_mnist_points(), load_basic_motions("test"), load_peptides("AMPvsTM")
    X, y = load_bags("musk1")
    for make in (make_polygons, make_cooccurrences, make_rare_elements, make_solids):
        X, y = make(100, random_state=0)
    fetch_sst2(data_home=home, subset="dev"), fetch_scop175(data_home=str(home))
    fetch_tu_graphs(data_home=home, name="ENZYMES")
    fetch_deepsea(data_home=home, subset="valid"), fetch_deepbind(data_home=home, name="A")
    load_basic_motions("all")  # type: ignore[arg-type]
    return X


def batches(tables: Iterator[Any], folder: Path, huge: list[Floats]) -> None:
    compile_kernels()
    sampler = SetSampler(10_000, random_state=0)
    for sets in iter_sets(tables, groups="patient", features=["x", "y"]):
        assert_type(sampler.update(sets), SetSampler)
    sample = sampler.merge(SetSampler()).sample()
    embedding = OTKEmbedding(10).fit(sample)
    transformer = BatchTransformer(embedding, groups="patient", method="transform")
    assert_type(transform_files(transformer, folder, folder / "out"), list[Path])
    assert_type(transform_to(embedding, [sample], folder / "out.npy"), int)
    transform_blocks(embedding, huge, n_elements=100)
    fit_batches(OTKClassifier(), lambda: [(sample, [0, 1])], n_epochs=2, classes=[0, 1])
    BatchTransformer(embedding, method="fit")  # type: ignore[arg-type]


def networks(x: torch.Tensor, index: torch.Tensor, embedding: OTKEmbedding) -> None:
    pooling = OTKPooling(16, 5, epsilon=0.1, position="gaussian")
    assert_type(pooling.plan(x, index), torch.Tensor)
    network = SetSequential(KernelFeatures(4, 16, filter_size=3), pooling)
    network(x, index).sum().backward()
    initialize(network, [collate_sets([(x, 0), (x, 1)])], random_state=0)
    to_estimator(from_estimator(embedding))
    as_aggregation(pooling)
    OTKPooling(16, 5, solver="lp")  # type: ignore[arg-type]


if __name__ == "__main__":
    show_versions()
    print(otk_sklearn.__version__)
