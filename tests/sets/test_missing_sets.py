"""Cells without a set, as after a join: each is an empty set, whatever holds the cells."""

import itertools

import awkward as ak
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from otk_sklearn import (
    ElementTransformer,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
)

A = np.array([[1.0, 2.0], [3.0, 6.0]])
B = np.array([[5.0, 5.0]])
ROWS = pa.list_(pa.list_(pa.float64()))

MISSING = {
    "None": None,
    "nan": np.nan,
    "float32": np.float32(np.nan),
    "NA": pd.NA,
    "NaT": pd.NaT,
}


def cells_of(kind, missing, place):
    """Three cells, with an array, a list of rows, or a DataFrame for each set."""
    convert = {"arrays": np.asarray, "lists": np.ndarray.tolist, "frames": pd.DataFrame}
    cells = [convert[kind](A), convert[kind](B)]
    cells.insert(place, missing)
    return cells


def object_array(cells):
    array = np.empty(len(cells), object)
    array[:] = cells
    return array


# What holds cells of any kind.
HOLDERS = {
    "list": list,
    "tuple": tuple,
    "object array": object_array,
    "column of objects": lambda cells: object_array(cells)[:, np.newaxis],
    "Series": pd.Series,
    "table": lambda cells: pd.DataFrame({"cells": pd.Series(cells, dtype=object)}),
}
# What holds None only, in the place of lists.
LIST_HOLDERS = {
    "polars": pl.Series,
    "polars table": lambda rows: pl.DataFrame({"cells": rows}),
    "polars objects": lambda rows: pl.Series(rows, dtype=pl.Object),
    "Arrow": pa.array,
    "Arrow table": lambda rows: pa.table({"cells": rows}),
    "pandas Arrow": lambda rows: pd.Series(rows, dtype=pd.ArrowDtype(ROWS)),
    "awkward": ak.Array,
}


def expected_means(place):
    return np.insert([[2.0, 4.0], [5.0, 5.0]], place, 0, axis=0)


def check_missing_set(X, place, shown):
    model = SetPooling(empty_sets="zero").fit([A, B])
    assert_array_equal(model.transform(X), expected_means(place))
    assert_array_equal(
        SetPooling(empty_sets="zero").fit_transform(X), expected_means(place)
    )
    lengths = np.insert([2, 1], place, 0)
    same = ElementTransformer("passthrough").fit(X).transform(X)
    assert same.lengths.tolist() == lengths.tolist()
    assert_array_equal(same.values, np.vstack([A, B]))
    message = rf"set {place} of X is missing \({shown}\); .* empty_sets=\"zero\"\.$"
    strict = SetPooling()
    for method in (strict.fit, strict.fit_transform, strict.fit([A, B]).transform):
        with pytest.raises(ValueError, match=message):
            method(X)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize(
    ("holder", "kind"), [*itertools.product(HOLDERS, ["arrays", "lists", "frames"])]
)
def test_a_missing_set_is_empty(holder, kind, missing, place):
    cells = cells_of(kind, MISSING[missing], place)
    shown = {"float32": "nan", "NA": "<NA>"}.get(missing, missing)
    if holder in ("Series", "table") and missing == "None":
        shown = "None|nan"  # of pandas 3
    check_missing_set(HOLDERS[holder](cells), place, shown)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("holder", LIST_HOLDERS)
def test_a_null_is_empty(holder, place):
    X = LIST_HOLDERS[holder](cells_of("lists", None, place))
    check_missing_set(X, place, "<NA>" if holder == "pandas Arrow" else "None")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_column_of_numbers_with_a_missing_set_first(place):
    """The first list tells that these are numbers: sets of one feature."""
    for missing in (None, np.nan, []):
        lists = [[1.0, 2.0], [3.0]]
        lists.insert(place, missing)
        X = pd.DataFrame({"size": pd.Series(lists, dtype=object)})
        found = SetPooling(empty_sets="zero").fit_transform(X)
        assert found.ravel().tolist() == np.insert([1.5, 3.0], place, 0).tolist()
        both = X.assign(other=X["size"])
        assert SetPooling(empty_sets="zero").fit_transform(both).shape == (3, 2)


NONE_AT_ALL = {
    "list": [None, np.nan],
    "Series": pd.Series([None, None], dtype=object),
    "empty lists in a Series": pd.Series([[], None]),
    "table": pd.DataFrame({"cells": pd.Series([None, None], dtype=object)}),
    "polars": pl.Series([None, None]),
    "polars table": pl.DataFrame({"cells": [None, None]}),
    "Arrow": pa.nulls(2),
    "Arrow table": pa.table({"cells": pa.nulls(2)}),
}


@pytest.mark.parametrize("form", NONE_AT_ALL)
def test_a_batch_of_nothing_but_missing_sets(form):
    X = NONE_AT_ALL[form]
    names = SetCollection.from_sets([A, B], feature_names=["x", "y"])
    for data in ([A, B], names):  # no warning about names that no element has
        model = SetPooling(empty_sets="zero").fit(data)
        assert_array_equal(model.transform(X), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="set 0 of X is (missing|empty)"):
        SetPooling().fit([A, B]).transform(X)
    with pytest.raises(ValueError, match="expected (an|at least one) element"):
        model.fit(X)


def test_every_kind_of_model_says_which_set_is_missing():
    """In fit, and in what comes after it."""
    sets, y = [A, B, A + 1, B + 2], [0, 1, 0, 1]
    with_missing, message = [A, None, A + 1, B + 2], r"set 1 of X is missing \(None\)"
    embedding = OTKEmbedding(2, n_components=3, random_state=0)
    models = [
        embedding,
        KernelMeanEmbedding(2, random_state=0),
        OTKClassifier(embedding, max_epochs=1),
        OTKRegressor(embedding, max_epochs=1),
    ]
    for model in models:
        model.fit(sets, y)
        methods = ["transform", "fit_transform", "transport_plan", "predict", "score"]
        for name in {"fit", *methods} & set(dir(model)):
            arguments = (with_missing, y)[: 1 + (name in ("fit", "fit_transform", "score"))]
            with pytest.raises(ValueError, match=message):
                getattr(model, name)(*arguments)


@pytest.mark.parametrize("nothing", [None, []])
def test_weights_and_positions_beside_a_missing_set(nothing):
    for place in range(3):
        sets, weights, positions = [A, B], [[1.0, 3], [2.0]], [[[0, 1], [1, 0]], [[1, 1]]]
        for parts in (sets, weights, positions):
            parts.insert(place, nothing)
        X = SetCollection.from_sets(sets, weights=weights, positions=positions)
        assert X.lengths.tolist() == np.insert([2, 1], place, 0).tolist()
        assert X.weights.tolist() == [1, 3, 2]
        assert X.positions.tolist() == [[0, 1], [1, 0], [1, 1]]
    with pytest.raises(ValueError, match="weights has nan in set 1"):
        SetCollection.from_sets([A, B], weights=[[1, 1], None])


def test_a_join_without_a_partner():
    """What a left join of pandas leaves in the column."""
    patients = pd.DataFrame({"id": ["a", "b", "c"], "age": [40, 50, 60]})
    cells = pd.DataFrame({"id": ["c", "b"], "cells": [A, B]})
    table = patients.merge(cells, how="left", on="id")
    found = SetPooling(empty_sets="zero").fit_transform(table["cells"])
    assert_array_equal(found, [[0, 0], [5, 5], [2, 4]])
