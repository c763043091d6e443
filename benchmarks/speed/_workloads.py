"""The workloads that speed is measured on: generated, or real sets at small epsilon.

Elements are standard normal, anchors are drawn from them, and so are the elements whose
features make the references: both are given as arrays, so that every peer computes the
same embedding.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import StandardScaler, normalize

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection
from otk_sklearn.datasets import load_digit_points, load_japanese_vowels


@dataclass(frozen=True)
class Workload:
    """Sets, and a fitted embedding of them.

    Parameters
    ----------
    name : str
    sets : SetCollection
        In float32.
    embedding : OTKEmbedding
        Fitted, with all processors.
    """

    name: str
    sets: SetCollection
    embedding: OTKEmbedding


def protein_lengths(n_sets, random):
    """Lengths of proteins: log-normal, with a mean near 170."""
    lengths = np.exp(random.normal(5.0, 0.5, size=n_sets))
    return np.clip(np.rint(lengths), 40, 1100).astype(int)


def normal_sets(lengths, n_features, random):
    """Sets of these lengths with standard normal elements, in float32."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = random.standard_normal((offsets[-1], n_features), dtype=np.float32)
    return SetCollection(values, offsets)


def make_workload(name, lengths, n_features, n_components, n_supports, **parameters):
    """Return a generated workload whose anchors and references come from the data."""
    random = np.random.default_rng(0)
    sets = normal_sets(lengths, n_features, random)
    filter_size = parameters.get("filter_size", 1)
    if parameters["kernel"] == "rbf":
        parameters["gamma"] = 1 / (2 * n_features)
    # Anchors and supports are different windows, all drawn at random.
    drawn = [
        sets[i][start : start + filter_size].ravel()
        for i in random.integers(len(sets), size=n_components + n_supports)
        for start in [random.integers(len(sets[i]) - filter_size + 1)]
    ]
    drawn = np.array(drawn, np.float32)
    anchors, supports = drawn[:n_components], drawn[n_components:]
    if parameters["kernel"] == "homogeneous":
        anchors = normalize(anchors)
    embedding = OTKEmbedding(
        anchors=anchors, n_jobs=-1, max_elements=1000, random_state=0, **parameters
    )
    # A set of one window sends all to a single support: its embedding is its psi.
    windows = SetCollection(
        supports.reshape(-1, n_features),
        np.arange(n_supports + 1) * filter_size,
    )
    embedding.set_params(references=np.ones((1, 1, n_components), np.float32))
    features = embedding.fit(sets).transform(windows)
    embedding.set_params(references=normalize(features)[np.newaxis])
    return Workload(name, sets, embedding.fit(sets))


def protein_like():
    """1,024 sets of about 170 elements, in windows of 10, 512 anchors, 100 supports."""
    lengths = protein_lengths(1024, np.random.default_rng(1))
    return make_workload(
        "protein-like",
        lengths,
        n_features=45,
        filter_size=10,
        n_components=512,
        n_supports=100,
        kernel="homogeneous",
        gamma=1 / (2 * 0.6**2),
        epsilon=0.5,
    )


def sentence_like():
    """1,024 sets of 5 to 30 elements of 768 features, 2,048 anchors, 3 supports."""
    return make_workload(
        "sentence-like",
        np.random.default_rng(1).integers(5, 31, size=1024),
        n_features=768,
        n_components=2048,
        n_supports=3,
        kernel="homogeneous",
        gamma=1 / (2 * 0.4**2),
        epsilon=1.0,
    )


def series_like(n_sets=20_000):
    """Many sets of 7 to 29 elements of 12 features, 64 anchors, 5 supports."""
    return make_workload(
        f"series-like {n_sets}",
        np.random.default_rng(1).integers(7, 30, size=n_sets),
        n_features=12,
        n_components=64,
        n_supports=5,
        kernel="rbf",
        epsilon=0.1,
    )


def cells_like():
    """4 sets of a million elements of 32 features, 128 anchors, 64 supports."""
    return make_workload(
        "cells-like",
        np.full(4, 1_000_000),
        n_features=32,
        n_components=128,
        n_supports=64,
        kernel="rbf",
        epsilon=0.1,
    )


def real_sets(problem, n_supports, epsilon):
    """Real sets, at an epsilon that sends each element to few supports."""
    if problem == "digits":
        X, _ = load_digit_points()
    else:
        X = [*load_japanese_vowels("train")[0], *load_japanese_vowels("test")[0]]
    sets = ElementTransformer(StandardScaler()).fit_transform(X).astype(np.float32)
    embedding = OTKEmbedding(
        n_supports,
        n_components=100,
        epsilon=epsilon,
        tol=1e-4,
        max_iter=100_000,
        n_jobs=-1,
        random_state=0,
    ).fit(sets)
    return Workload(f"{problem}, p={n_supports}, epsilon={epsilon}", sets, embedding)
