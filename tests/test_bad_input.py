"""Rubbish gets an error that names what is wrong, and the estimator stays as it was."""

import collections
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from helpers import make_sets
from scipy.sparse import coo_array, csr_array
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKEmbedding,
    SetCollection,
    SetPooling,
)

GOOD = make_sets(n_sets=4)


def changed(index, *, value=None, array=None):
    """The good sets, with one element or one set changed."""
    sets = [x.copy() for x in GOOD]
    if array is not None:
        sets[index] = array
    else:
        sets[index][-1, 2] = value
    return sets


BAD_SETS = {
    "no sets": ([], "empty collection"),
    "no sets in an array": (np.empty((0, 3, 4)), "empty collection"),
    "empty lists": ([[], []], "set 0 of X is empty"),
    "an empty list among sets": (changed(2, array=[]), "set 2 of X is empty"),
    "no features in 3-D": (np.empty((2, 3, 0)), "X has shape .* 0 features"),
    "complex 3-D": (1j * np.ones((2, 3, 4)), "Complex data not supported: X"),
    "numbers as text": ([["1", "2"], ["3", "4"]], "it is <U1; expected real numbers"),
    "1-D sparse": ([coo_array(np.ones(3))], "set 0 of X is a sparse"),
    "empty set": (changed(2, array=np.empty((0, 4))), "set 2 of X is empty"),
    "sets of length 0": (np.empty((3, 0, 4)), "set 0 of X is empty"),
    "no features": ([np.empty((2, 0))], "set 0 of X has 0 features"),
    "different features": (
        changed(1, array=np.ones((3, 5))),
        "set 1 of X has 5 features, set 0 has 4",
    ),
    "nan": (
        changed(3, value=np.nan),
        r"X contains NaN in set 3 \(element \d+, feature 2\)",
    ),
    "infinity": (changed(2, value=-np.inf), r"X contains infinity \(inf\) in set 2"),
    "text": (["spam", "eggs"], "set 0 of X is str, 'spam'; expected a 2-D array of numb"),
    "an array of text": (np.array(["spam"]), "set 0 of X is str, 'spam'; .*one-hot vect"),
    "a path": (
        [Path("a.npy"), "b.npy"],
        r"set 0 of X is pathlib.\w+, 'a.npy'; .*: \[np.load\(path\) for path in X\]\)",
    ),
    "one path": ("a.npy", "X is str, 'a.npy'; expected a 2-D array of numbers"),
    "text in a set": (changed(1, array=[["a", "b"]]), "set 1 of X is <U1; expected real"),
    "objects in a set": (
        changed(1, array=np.array([[{}, 1, 2, 3]])),
        "set 1 of X must hold real numbers",
    ),
    "dates": (
        changed(1, array=np.ones((2, 4), "datetime64[s]")),
        "set 1 of X is datetime64",
    ),
    "complex": (
        changed(1, array=1j * np.ones((2, 4))),
        "Complex data not supported: set 1",
    ),
    "complex table": (1j * np.ones((2, 4)), "Complex data not supported"),
    "masked": (
        changed(1, array=np.ma.masked_equal(np.eye(4), 0)),
        "set 1 of X has masked values",
    ),
    "masked table": (np.ma.masked_equal(np.eye(3), 0), "X has masked values"),
    "masked sets": (
        np.ma.masked_equal(np.ones((2, 3, 4)), 1),
        "X has masked values",
    ),
    "1-D set": (
        changed(1, array=np.ones(4)),
        r"set 1 of X has shape \(4,\); expected a 2-D",
    ),
    "1-D sets": ([np.ones(3), np.ones(4)], r"set 0 of X has shape \(3,\)"),
    "3-D set": (changed(1, array=np.ones((2, 2, 4))), r"set 1 of X has shape \(2, 2, 4\)"),
    "ragged set": (
        changed(1, array=[[1, 2, 3, 4], [1]]),
        "element 1 of set 1 of X has 1 features, the first has 4; expected the same numb",
    ),
    "no set at all": ([GOOD[0], 1.0], "set 1 of X is float; expected a 2-D array"),
    "no set in an array": (
        np.array([GOOD[0], 1.0], object),
        "set 1 of X is float; expected a 2-D array",
    ),
    "numbers": ([1.0, 2.0], r"set 0 of X is float; expected a 2-D array"),
    "5-D": (np.ones((1, 2, 3, 4, 5)), r"X has shape \(1, 2, 3, 4, 5\); expected a list"),
    "huge integers": ([[[10**400, 1]]], "set 0 of X must hold real numbers"),
    "a generator": ((x for x in GOOD), r"X is generator; expected list\(X\)"),
    "a dictionary": ({"a": 1}, r"X is dict; expected list\(X.values\(\)\)"),
    "views of a dictionary": ({"a": 1}.values(), r"X is dict_values; expected list\(X\)"),
    "dictionaries": (
        [{"a": [1, 2]}],
        r"set 0 of X is dict; .* in place of each: \[pd.DataFrame\(x\) for x in X\]",
    ),
    "generators": (
        [GOOD[0], (x for x in GOOD)],
        r"set 1 of X is generator; .*: \[np.array\(list\(x\)\) for x in X\]",
    ),
    "groups of pandas": (
        pd.DataFrame({"a": [1, 2]}).groupby("a"),
        r"X is pandas.DataFrameGroupBy; expected SetCollection.from_groups\(table",
    ),
    "groups of polars": (
        pl.DataFrame({"a": [1, 2]}).group_by("a"),
        r"X is polars.GroupBy; expected SetCollection.from_groups\(table, \"id\"\)",
    ),
    "lazy": (pl.LazyFrame({"a": [1]}), r"X is polars.LazyFrame; expected X.collect\(\)"),
    "lazy sets": (
        [pl.LazyFrame({"a": [1]})],
        r"set 0 of X is polars.LazyFrame; .* each: \[x.collect\(\) for x in X\]",
    ),
    "channels first": (
        [np.ones((3, 4)), np.ones((3, 7))],
        "set 1 of X has 7 features, set 0 has 4; .* but it is the number of rows that is: "
        r"to swap the axes, \[x.T for x in X\]",
    ),
    "series in cells": (
        pd.DataFrame({"a": [pd.Series([1, 2])], "b": [pd.Series([3, 4])], "c": 5}),
        r"arrays in the cells of its columns \['a', 'b'\]; expected a set for each row: "
        r"\[np.column_stack\(row\) for row in X\[\['a', 'b'\]\].to_numpy\(\)\]",
    ),
    "text beside missing numbers": (
        pd.DataFrame({"a": pd.array([None, 1.0]), "b": ["u", "v"]}),
        r"X has columns that don't hold numbers, \['b'\]; expected those of features only",
    ),
    "ragged elements": (
        [np.array([[1, 2], [3]], object)],
        "element 1 of set 0 of X has 1 features, the first has 2; expected the same number",
    ),
    "a number": (3.0, "X is float; expected a list of 2-D arrays"),
    "a 1-D array": (
        np.ones(5),
        r"X has shape \(5,\); .* Reshape your data: \[X.reshape\(-1, 1\)\] is one set",
    ),
    "records": (
        np.zeros(3, [("a", float), ("b", float)]),
        r"X is an array of records, \('a', 'b'\); .* a table: pd.DataFrame\(X\)",
    ),
}


@pytest.mark.parametrize("case", BAD_SETS)
@pytest.mark.parametrize(
    "make",
    [
        OTKEmbedding,
        lambda: OTKEmbedding(3, n_references=2, filter_size=2, position="hard"),
        lambda: ElementTransformer(StandardScaler()),
        ConvolutionalKernelLayer,
    ],
)
@pytest.mark.filterwarnings("ignore:n_components=64", "ignore:X is 2-D")
def test_bad_sets(make, case):
    X, message = BAD_SETS[case]
    estimator = make()
    keeps_empty_sets = isinstance(estimator, ElementTransformer | ConvolutionalKernelLayer)
    if keeps_empty_sets and case in ("empty set", "an empty list among sets"):
        assert estimator.fit_transform(X).lengths[2] == 0
        return
    if isinstance(estimator, ElementTransformer) and case.startswith("nan"):
        estimator.fit(X).transform(X)  # StandardScaler passes NaN on, as to an imputer
        return
    for call in [estimator.fit, estimator.fit_transform]:
        with pytest.raises((TypeError, ValueError), match=message):
            call(X)
    assert not [name for name in vars(estimator) if name.endswith("_")]
    estimator.fit(GOOD)
    before = pickle.dumps(vars(estimator))
    calls = [estimator.fit, estimator.fit_transform, estimator.transform]
    accepts = case.startswith("no sets") or (
        keeps_empty_sets and case in ("empty lists", "sets of length 0")
    )
    for call in calls[:2] if accepts else calls:
        with pytest.raises((TypeError, ValueError), match=message):
            call(X)
    assert pickle.dumps(vars(estimator)) == before


@pytest.mark.filterwarnings("ignore:n_components=64", "ignore:X is 2-D")
def test_nan_in_a_table():
    table = [[0.0, 1, 2, 3], [np.nan, 1, 2, 3]]
    with pytest.raises(ValueError, match="X contains NaN in set 1"):
        OTKEmbedding().fit(table)
    model = OTKEmbedding().fit(table[:1])
    with pytest.raises(ValueError, match="X contains NaN in set 1"):
        model.transform(table)


def test_text_in_a_column_of_a_set():
    sets = [pd.DataFrame({"a": [1.0], "b": [2]}), pd.DataFrame({"a": [1.0], "b": ["u"]})]
    message = r"set 1 of X has columns that don't hold numbers, \['b'\]; expected numbers"
    with pytest.raises(ValueError, match=message):
        OTKEmbedding().fit(sets)


@pytest.mark.filterwarnings("ignore:n_components=64")
def test_sparse_matrices():
    model = OTKEmbedding().fit(GOOD)
    with pytest.raises(TypeError, match="(?i)sparse"):
        model.fit(csr_array(np.eye(4)))
    message = r"set 1 of X is a sparse matrix; .* \[x.toarray\(\) for x in X\]"
    with pytest.raises(TypeError, match=message):
        model.fit(changed(1, array=csr_array(np.eye(4))))


@pytest.mark.filterwarnings("ignore:n_components=64")
def test_wrong_number_of_features_and_not_fitted():
    for estimator in [OTKEmbedding(), ElementTransformer(StandardScaler())]:
        with pytest.raises(NotFittedError):
            estimator.transform(GOOD)
        estimator.fit(GOOD)
        with pytest.raises(ValueError, match="X has 3 features, but .* expecting 4"):
            estimator.transform([np.ones((2, 3))])


@pytest.mark.filterwarnings("ignore:n_components=64")
@pytest.mark.parametrize(
    "make", [OTKEmbedding, lambda: ElementTransformer(StandardScaler())]
)
def test_one_set_in_place_of_a_list_is_explained_once(make):
    model = make()
    with pytest.warns(UserWarning, match="each of its rows is taken as a set") as caught:
        model.fit(GOOD[1]).transform(GOOD[1])
    assert sum("each of its rows" in str(w.message) for w in caught) == 1


@pytest.mark.filterwarnings("ignore:n_components=64")
@pytest.mark.parametrize(
    "make",
    [OTKEmbedding, SetPooling, lambda: ElementTransformer(StandardScaler())],
)
def test_one_set_in_place_of_a_list_after_a_fit_on_sets(make):
    """28 predictions for a sentence of 28 words are no answer."""
    model = make().fit(GOOD)
    message = (
        r"X is 2-D, and \w+ was fitted on sets of several elements; .*: \[X\] for one set"
    )
    for X in [GOOD[1], GOOD[1].tolist(), pd.DataFrame(GOOD[1])]:
        with pytest.raises(ValueError, match=message):
            model.transform(X)
        with pytest.raises(
            ValueError, match=r"or np.asarray\(X\)\[:, np.newaxis\] for a set"
        ):
            model.transform(X)
        assert len(model.transform([X])) == 1
        assert len(model.transform(np.asarray(X)[:, np.newaxis])) == len(GOOD[1])


@pytest.mark.filterwarnings("ignore:n_components=64", "ignore:X is 2-D")
def test_rows_after_a_fit_on_rows_are_sets_of_one_element():
    model = OTKEmbedding().fit(GOOD[1])
    assert len(model.transform(GOOD[1])) == len(GOOD[1])
    assert len(model.transform([GOOD[1]])) == 1


@pytest.mark.filterwarnings("ignore:n_components=64", "ignore:X is 2-D")
def test_feature_names_of_tables():
    table = pd.DataFrame(np.eye(3), columns=["a", "b", "c"])
    model = OTKEmbedding().fit(table)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(table[["b", "a", "c"]])


@pytest.mark.filterwarnings("ignore:n_components=64")
def test_data_frames_of_different_columns():
    first = pd.DataFrame({"a": [1.0], "b": [2.0]})
    model = OTKEmbedding().fit([first, first])
    assert model.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform([first[["b", "a"]]])
    message = r"set 1 of X has the columns \['b', 'a'\], the first set has \['a', 'b'\]"
    with pytest.raises(ValueError, match=message):
        OTKEmbedding().fit([first, first[["b", "a"]]])
    with pytest.raises(ValueError, match=r"\['a', 'b'\], the first set has \[\]"):
        OTKEmbedding().fit([first.to_numpy(), first])
    tables = [pa.table({"a": [1.0], "b": [2.0]}), pa.table({"b": [1.0], "a": [2.0]})]
    with pytest.raises(ValueError, match=message):
        OTKEmbedding().fit(tables)
    assert OTKEmbedding().fit(tables[:1]).feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(tables[1:])


def objects(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.mark.filterwarnings("ignore:n_components=2")
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        collections.deque,
        objects,
        lambda tables: objects(tables)[:, np.newaxis],
        pd.Series,
        lambda tables: pd.Series(tables, index=[7, 8, 9]),
    ],
)
def test_swapped_columns_in_any_sequence_of_tables(frame, form):
    tables = [frame({"a": x[:, 0], "b": x[:, 1]}) for x in GOOD[1:]]
    swapped = [table[["b", "a"]] for table in tables]
    model = OTKEmbedding(2, n_components=2, random_state=0).fit(form(tables))
    assert model.feature_names_in_.tolist() == ["a", "b"]
    expected = model.transform(tables)
    np.testing.assert_array_equal(model.transform(form(tables)), expected)
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(form(swapped))


@pytest.mark.filterwarnings("ignore:n_components=64")
def test_channels_first_after_a_fit():
    model = OTKEmbedding().fit(GOOD)
    message = (
        "X has 7 features, but OTKEmbedding is expecting 4 features as input, and each set "
        r"has 4 elements: to swap the axes, \[x.T for x in X\]"
    )
    for X in [np.ones((2, 4, 7)), [np.ones((4, 7))]]:
        with pytest.raises(ValueError, match=message):
            model.transform(X)
    with pytest.raises(ValueError, match="expecting 4 features as input.$"):
        model.transform([np.ones((4, 7)), np.ones((3, 7))])


# --- objects that NumPy would index for ever


class Subset:
    """As AnnData: an item of it is another of its kind, of one row, and so on."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        raise AssertionError("it is indexed")


def annotated(package="anndata", name="AnnData"):
    return type(name, (Subset,), {"__module__": f"{package}._core.{package}"})()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: OTKEmbedding().fit(x),
        lambda x: OTKEmbedding().fit([GOOD[0], x]),
        lambda x: OTKEmbedding().fit([[[1.0, 2], x]]),
        lambda x: OTKEmbedding().fit([[1.0, x], [2.0, 3.0]]),
        lambda x: OTKEmbedding(anchors=x).fit(GOOD),
        lambda x: OTKEmbedding(references=x).fit(GOOD),
        lambda x: SetCollection(x, [0, 5]),
        lambda x: SetCollection([[x, 1]], [0, 1]),
        lambda x: SetCollection(np.ones((5, 1)), x),
        lambda x: SetCollection(np.ones((5, 1)), [0, 5], weights=x),
        lambda x: SetCollection(np.ones((5, 1)), [0, 5], positions=x),
        lambda x: SetCollection.from_sets(x),
        lambda x: SetCollection.from_sets([x]),
        lambda x: SetCollection.from_sets([np.ones((5, 1))], weights=x),
        lambda x: SetCollection.from_sets([np.ones((5, 1))], weights=[x]),
        lambda x: SetCollection.from_padded(x),
        lambda x: SetCollection.from_padded(np.ones((1, 5, 1)), mask=x),
        lambda x: SetCollection.from_padded(np.ones((1, 5, 1)), lengths=x),
        lambda x: SetCollection.from_groups(x, "patient"),
        lambda x: SetCollection.from_groups(x, [0] * 5),
        lambda x: SetCollection.from_groups(np.ones((5, 1)), x),
        lambda x: SetCollection.from_sets([np.ones((5, 1))]).with_values(x),
    ],
)
@pytest.mark.parametrize("x", [Subset(), annotated()], ids=["any", "AnnData"])
def test_objects_whose_items_are_of_their_own_kind_are_refused_at_once(call, x):
    with pytest.raises(
        TypeError, match="(is|holds) (anndata.AnnData|test_bad_input.Subset)"
    ):
        call(x)


def test_what_to_pass_in_place_of_annotated_data():
    by_group = r"SetCollection.from_anndata\({0}, \"patient\", obsm=\"X_pca\"\), or"
    with pytest.raises(
        TypeError, match="X is anndata.AnnData; exp.*" + by_group.format("X")
    ):
        OTKEmbedding().fit(annotated())
    with pytest.raises(TypeError, match="values is .*" + by_group.format("values")):
        SetCollection.from_groups(annotated(), "patient")
    of_each = r"set 0 of X is anndata.AnnData; .*: \[x.obsm\[\"X_pca\"\] for x in X\]"
    with pytest.raises(TypeError, match=of_each):
        OTKEmbedding().fit([annotated(), annotated()])
    with pytest.raises(TypeError, match="weights is .*; expected an array or a list"):
        SetCollection([[1.0]], [0, 1], weights=annotated())
    with pytest.raises(TypeError, match="X is torch.Subset; expected an array or a list"):
        OTKEmbedding().fit(annotated("torch", "Subset"))


def test_sequences_of_sets_that_are_something_else():
    table = pd.DataFrame({"a": [1.0, 2.0]})
    message = r"sets is pandas.DataFrame; .* \(of one set: \[sets\]; a long table: SetC"
    with pytest.raises(TypeError, match=message):
        SetCollection.from_sets(table)
    with pytest.raises(TypeError, match=r"sets is dict; expected list\(sets.values\(\)\)"):
        SetCollection.from_sets({"a": GOOD[0]})
    with pytest.raises(TypeError, match="sets is str, 'a.npy'; expected a 2-D array"):
        SetCollection.from_sets("a.npy")
    expected = SetCollection.from_sets(GOOD).values
    for sets in [(x for x in GOOD), dict(enumerate(GOOD)).values(), map(np.asarray, GOOD)]:
        np.testing.assert_array_equal(SetCollection.from_sets(sets).values, expected)


@pytest.mark.parametrize(
    "params",
    [
        {"n_supports": 0},
        {"n_supports": 2.5},
        {"n_references": 0},
        {"filter_size": 0},
        {"padding": "full"},
        {"position": "line"},
        {"position_sigma": 0},
        {"relaxation": 0},
        {"relaxation": np.inf},
        {"epsilon": 0},
        {"epsilon": -1},
        {"epsilon": np.inf},
        {"epsilon": np.nan},
        {"kernel": "gaussian"},
        {"gamma": 0},
        {"gamma": "mean"},
        {"n_components": 0},
        {"damping": 0},
        {"anchors": "best"},
        {"references": "best"},
        {"solver": "simplex"},
        {"max_iter": 0},
        {"tol": -1e-9},
        {"max_elements": 0},
        {"memory": 3},
        {"n_jobs": 1.5},
        {"n_jobs": 0},
        {"random_state": "seed"},
    ],
)
def test_parameters_out_of_range(params):
    (name,) = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter of OTKEmbedding must be"):
        OTKEmbedding(**params).fit(GOOD)


def test_parameters_out_of_range_after_fit():
    model = OTKEmbedding(n_components=8).fit(GOOD)
    for params in [
        {"epsilon": 0},
        {"solver": "x"},
        {"max_iter": 0},
        {"tol": -1},
        {"relaxation": 0},
        {"position": "x"},
        {"position_sigma": 0},
    ]:
        (name,) = params
        with pytest.raises(ValueError, match=f"The '{name}' parameter"):
            clone_fitted(model).set_params(**params).transform(GOOD)
    expected = model.transform(GOOD)
    np.testing.assert_array_equal(
        clone_fitted(model).set_params(kernel="linear").transform(GOOD), expected
    )


def clone_fitted(model):
    return pickle.loads(pickle.dumps(model))


def test_embeddings_beyond_the_range_of_floats():
    model = OTKEmbedding(
        n_supports=2, n_components=8, kernel="homogeneous", gamma=1e-3, damping=1e-6
    ).fit(GOOD)
    X = [GOOD[0], np.full((3, 4), 1e308)]
    message = "embedding of set 1 of X leaves the range of float64"
    with pytest.raises(ValueError, match=message):
        model.transform(X)
    before = pickle.dumps(vars(model))
    with pytest.raises(ValueError, match="embedding of set . of X leaves the range of fl"):
        model.fit_transform([np.full((3, 4), 1e308), *(1e307 * x for x in GOOD)])
    assert pickle.dumps(vars(model)) == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"anchors": np.ones((5, 3))},
            r"anchors has shape \(5, 3\); expected \(n_components, 4\)",
        ),
        (
            {"anchors": np.full((5, 4), np.nan)},
            "anchors is no array of finite numbers: .* NaN",
        ),
        (
            {"anchors": np.eye(4) - np.eye(4)[0], "kernel": "homogeneous"},
            "anchors has a row of zeros, 0",
        ),
        ({"anchors": np.ones(4)}, r"anchors has shape \(4,\)"),
        (
            {"anchors": np.ones((0, 4))},
            "anchors is no array of finite numbers: .* 0 sample",
        ),
        ({"anchors": 1j * np.ones((2, 4))}, "anchors is no array of finite .* Complex"),
        ({"references": np.ones((2, 4))}, r"references has shape \(2, 4\); expected"),
        (
            {"references": np.ones((1, 2, 4)), "n_components": 8},
            r"references has shape \(1, 2, 4\); expected \(n_references, n_supports, 8\)",
        ),
        (
            {"references": np.ones((1, 0, 4)), "kernel": "linear"},
            r"references has shape \(1, 0, 4\)",
        ),
        (
            {"references": np.full((1, 2, 8), np.inf)},
            "references is no array of finite numbers: .* inf",
        ),
    ],
)
def test_arrays_that_do_not_fit(params, message):
    model = OTKEmbedding(n_components=8).fit(GOOD)
    before = pickle.dumps({k: v for k, v in vars(model).items() if k.endswith("_")})
    with pytest.raises(ValueError, match=message):
        model.set_params(**params).fit(GOOD)
    after = pickle.dumps({k: v for k, v in vars(model).items() if k.endswith("_")})
    assert after == before


@pytest.mark.parametrize(
    "params",
    [
        {"n_components": 0},
        {"filter_size": 0},
        {"gamma": -1},
        {"subsampling": 0},
        {"damping": 0},
        {"padding": "full"},
        {"anchors": "best"},
        {"max_elements": 0},
        {"memory": 3},
        {"n_jobs": 0},
        {"random_state": "seed"},
    ],
)
def test_convolutional_kernel_layer_parameters(params):
    (name,) = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter of Convolutional"):
        ConvolutionalKernelLayer(**params).fit(GOOD)


def test_element_transformer_parameters():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ElementTransformer(StandardScaler()).fit(GOOD, [0, 1])
    repr(ElementTransformer("scale"))
    with pytest.raises(ValueError, match="The 'transformer' parameter"):
        ElementTransformer("scale").fit(GOOD)
    with pytest.raises(ValueError, match="The 'max_elements' parameter"):
        ElementTransformer(StandardScaler(), max_elements=0).fit(GOOD)
