"""Sets of the cells of an AnnData, against masks of NumPy.

Where anndata is missing, an object with the same attributes stands for it.
"""

import doctest
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_matrix

from otk_sklearn import OTKEmbedding, SetCollection

try:
    from anndata import AnnData, read_h5ad
except ImportError:
    AnnData = None

needs_anndata = pytest.mark.skipif(AnnData is None, reason="anndata is not installed")
GENES = ["CD3E", "MS4A1", "NKG7", "LYZ"]


class StandIn(SimpleNamespace):
    """What is read of an AnnData."""

    def __init__(self, X=None, obs=None, var=None, obsm=None):
        names = None if var is None else var.index
        super().__init__(X=X, obs=obs, var_names=names, obsm=obsm or {})

    def to_df(self):
        return pd.DataFrame(self.X.toarray(), self.obs.index, self.var_names)


@pytest.fixture(
    params=[
        pytest.param(StandIn, id="stand-in"),
        pytest.param(AnnData, id="anndata", marks=needs_anndata),
    ]
)
def kind(request):
    return request.param


def cells(kind=AnnData, X=True, **columns):
    """40 cells of three patients that are not together; a category has no cell."""
    rng = np.random.default_rng(0)
    patient = np.array(["p2", "p10", "p1"])[rng.integers(3, size=40)]
    obs = pd.DataFrame(
        {
            "patient": pd.Categorical(patient, ["p1", "p2", "p3", "p10"]),
            "disease": pd.Categorical(np.where(patient == "p10", "ill", "well")),
            "visit": rng.integers(2, size=40),
            **columns,
        },
        index=[f"cell-{i}" for i in range(40)],
    )
    counts = rng.poisson(1, size=(40, 4)).astype(np.float32) if X is True else X
    var = pd.DataFrame(index=GENES)
    table = pd.DataFrame(rng.normal(size=(40, 2)), obs.index, ["u", "v"])
    obsm = {"X_umap": table, "X_pca": rng.normal(size=(40, 3))}
    return kind(X=counts, obs=obs, var=var if X is not None else None, obsm=obsm)


def assert_sets_of_cells(sets, values, labels):
    labels = np.asarray(labels)
    assert sets.names.tolist() == list(dict.fromkeys(labels.tolist()))  # by appearance
    for name, elements in zip(sets.names, sets):
        assert_array_equal(elements, values[labels == name])


def test_cells_of_a_patient_are_a_set_in_the_order_of_obs(kind):
    adata = cells(kind)
    sets = SetCollection.from_anndata(adata, "patient", obsm="X_pca")
    assert_sets_of_cells(sets, adata.obsm["X_pca"], adata.obs["patient"])
    assert sorted(sets.names) == ["p1", "p10", "p2"]  # p3 has no cell
    assert sets.feature_names is None
    assert_array_equal(sets.to_rows(sets.values), adata.obsm["X_pca"])


def test_features_are_named_by_genes_and_by_columns(kind):
    adata = cells(kind)
    sets = SetCollection.from_anndata(adata, groups="patient", obsm=None)
    assert_sets_of_cells(sets, adata.X, adata.obs["patient"])
    assert sets.dtype == np.float32
    assert sets.feature_names.tolist() == GENES
    assert_array_equal(sets.to_rows(sets.values), adata.X)
    sets = SetCollection.from_anndata(adata, "patient", obsm="X_umap")
    assert sets.feature_names.tolist() == ["u", "v"]
    embedding = OTKEmbedding(2, n_components=3, random_state=0)
    embedding.fit(SetCollection.from_anndata(adata, "patient", obsm=None))
    other = cells(kind)
    other.var_names = GENES[::-1]
    with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
        embedding.transform(SetCollection.from_anndata(other, "patient", obsm=None))


def test_genes_are_never_taken_without_saying_so(kind):
    """scanpy takes components by default, where there are many genes."""
    message = r"^SetCollection.from_anndata\(\) missing 1 required .* argument: 'obsm'"
    with pytest.raises(TypeError, match=message):
        SetCollection.from_anndata(cells(kind), "patient")


def test_labels_may_be_given_as_they_are(kind):
    adata = cells(kind)
    both = list(zip(adata.obs["patient"], adata.obs["visit"]))
    sets = SetCollection.from_anndata(adata, both, obsm="X_pca")
    assert sets.names.tolist() == list(dict.fromkeys(both))
    by_series = SetCollection.from_anndata(adata, adata.obs["visit"], obsm="X_pca")
    assert_sets_of_cells(by_series, adata.obsm["X_pca"], adata.obs["visit"])


@pytest.mark.parametrize("observed", [True, False])
def test_what_is_known_of_patients_is_aligned_by_name(kind, observed):
    adata = cells(kind)
    sets = SetCollection.from_anndata(adata, "patient", obsm="X_pca")
    y = sets.align(adata.obs.groupby("patient", observed=observed)["disease"].first())
    assert y.tolist() == ["ill" if name == "p10" else "well" for name in sets.names]
    by_cell = adata.obs.set_index("patient")["disease"]
    with pytest.raises(ValueError, match=r"'p1?\d' more than once; .*: y\.g") as error:
        sets.align(by_cell)
    line = re.search(r"(y\.groupby.*)\.$", str(error.value)).group(1)
    assert_array_equal(sets.align(eval(line, {"y": by_cell})), y)
    visits = adata.obs.groupby("patient", observed=observed)[["visit"]].max()
    expected = [[adata.obs["visit"][adata.obs["patient"] == p].max()] for p in sets.names]
    assert_array_equal(sets.align(visits), expected)


def test_a_cell_without_a_patient_is_named(kind):
    adata = cells(kind)
    adata.obs.loc["cell-7", "patient"] = np.nan
    message = (
        r"adata.obs\['patient'\] has no label for 1 of 40 cells, the first of them cell 7, "
        r"'cell-7'; .*: adata\[adata.obs\['patient'\].notna\(\)\] are"
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.from_anndata(adata, "patient", obsm="X_pca")
    labels = adata.obs["patient"].to_numpy()
    with pytest.raises(ValueError, match="groups has no label in row 7"):
        SetCollection.from_anndata(adata, labels, obsm="X_pca")


@pytest.mark.parametrize(
    ("groups", "obsm", "message"),
    [
        (
            "donor",
            "X_pca",
            r"groups is 'donor'; expected a column of adata.obs, \['patient', 'disease', "
            r"'visit'\], or one label a cell",
        ),
        (None, "X_pca", r"groups is None; expected a column of adata.obs, \['patient', "),
        (
            ["patient", "visit"],
            "X_pca",
            r": groups=list\(zip\(adata.obs\['patient'\], adata.obs\['visit'\]\)\)\.",
        ),
        (["patient"], "X_pca", "expected one column, .*: groups='patient'"),
        ([0] * 39, "X_pca", r"groups has shape \(39,\); expected one label a row"),
        (
            "patient",
            "X_scvi",
            r"obsm is 'X_scvi', and adata.obsm has \['X_umap', 'X_pca'\]; expected .* New "
            r"data .* fitted to, adata.obsm\['X_scvi'\] = pca.transform\(adata.X\)",
        ),
        (
            "patient",
            np.ones((40, 3)),
            r"obsm is numpy.ndarray; expected the name of an array in adata.obsm, one of",
        ),
    ],
)
def test_wrong_names_are_answered_by_those_there_are(kind, groups, obsm, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SetCollection.from_anndata(cells(kind), groups, obsm=obsm)


def test_a_column_in_another_order_is_refused(kind):
    adata = cells(kind)
    with pytest.raises(ValueError, match=r": groups.loc\[adata.obs.index\], or") as error:
        SetCollection.from_anndata(adata, adata.obs["patient"][::-1], obsm="X_pca")
    groups = adata.obs["patient"][::-1]
    line = re.search(r": (groups\.loc\S*),", str(error.value)).group(1)
    right = eval(line, {"groups": groups, "adata": adata})
    sets = SetCollection.from_anndata(adata, right, obsm="X_pca")
    assert_sets_of_cells(sets, adata.obsm["X_pca"], adata.obs["patient"])


def test_genes_that_are_sparse_are_refused_with_a_line_that_makes_them_dense(kind):
    counts = np.random.default_rng(0).poisson(0.3, size=(40, 4)).astype(np.float32)
    adata = cells(kind, X=csr_matrix(counts))
    message = r"adata.X is a sparse matrix of shape \(40, 4\); expected obsm='X_pca', or "
    with pytest.raises(TypeError, match=message) as error:
        SetCollection.from_anndata(adata, "patient", obsm=None)
    sets = pasted(error, adata)
    assert_sets_of_cells(sets, counts, adata.obs["patient"])
    assert sets.feature_names.tolist() == GENES
    adata.obsm["X_topics"] = csr_matrix(counts)
    message = r"adata.obsm\['X_topics'\] is a sparse matrix; expected a dense array: Set"
    with pytest.raises(TypeError, match=message) as error:
        SetCollection.from_anndata(adata, "patient", obsm="X_topics")
    assert_sets_of_cells(pasted(error, adata), counts, adata.obs["patient"])


def pasted(error, adata):
    """The value of the last line that an error message suggests."""
    line = re.search(r"(SetCollection\.from_groups\(.*\))\.$", str(error.value)).group(1)
    return eval(line, {"adata": adata, "SetCollection": SetCollection})


def test_no_elements_at_all(kind):
    adata = cells(kind, X=None)
    with pytest.raises(ValueError, match="adata.X is None; expected obsm='X_pca', or an"):
        SetCollection.from_anndata(adata, "patient", obsm=None)
    adata.obsm.clear()
    message = r"obsm is 'X_pca', and adata.obsm has no array; .* = pca.transform\(adata.X"
    with pytest.raises(ValueError, match=message):
        SetCollection.from_anndata(adata, "patient", obsm="X_pca")
    with pytest.raises(ValueError, match="adata.X is None; .* has none so far: those of"):
        SetCollection.from_anndata(adata, "patient", obsm=None)
    with pytest.raises(TypeError, match="adata is pandas.DataFrame; expected an AnnData"):
        SetCollection.from_anndata(adata.obs, "patient", obsm=None)


@needs_anndata
def test_a_view_is_read_as_its_copy():
    adata = cells()
    view = adata[5:30, [2, 0]]
    assert view.is_view
    labels = adata.obs["patient"].to_numpy()[5:30]
    sets = SetCollection.from_anndata(view, "patient", obsm="X_pca")
    assert_sets_of_cells(sets, adata.obsm["X_pca"][5:30], labels)
    sets = SetCollection.from_anndata(view, "patient", obsm=None)
    assert_sets_of_cells(sets, adata.X[5:30][:, [2, 0]], labels)
    assert sets.feature_names.tolist() == ["NKG7", "CD3E"]
    assert view.is_view


@needs_anndata
@pytest.mark.parametrize("form", [np.asarray, csr_matrix], ids=["dense", "sparse"])
def test_backed_by_a_file(tmp_path, form):
    values = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    cells(X=form(values)).write_h5ad(tmp_path / "cells.h5ad")
    adata = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    labels = adata.obs["patient"].to_numpy()
    try:
        sets = SetCollection.from_anndata(adata, "patient", obsm="X_pca")
        assert_sets_of_cells(sets, adata.obsm["X_pca"], labels)
        part = SetCollection.from_anndata(adata[5:30], "patient", obsm="X_pca")
        assert_sets_of_cells(part, adata.obsm["X_pca"][5:30], labels[5:30])
        if form is csr_matrix:
            with pytest.raises(TypeError, match="is a sparse matrix of shape") as error:
                SetCollection.from_anndata(adata, "patient", obsm=None)
            sets = pasted(error, adata)
        else:
            sets = SetCollection.from_anndata(adata, "patient", obsm=None)
        assert_sets_of_cells(sets, values, labels)
        assert sets.feature_names.tolist() == GENES
    finally:
        adata.file.close()


@needs_anndata
def test_what_is_suggested_for_annotated_data_runs():
    adata = cells()
    with pytest.raises(TypeError, match="X is anndata.AnnData; expected Set") as error:
        OTKEmbedding().fit(adata)
    line = re.search(r"expected (SetCollection\..*?\)), or", str(error.value)).group(1)
    sets = eval(line, {"X": adata, "SetCollection": SetCollection})
    assert_sets_of_cells(sets, adata.obsm["X_pca"], adata.obs["patient"])


@needs_anndata
def test_the_example_of_the_docstring_runs():
    text = SetCollection.from_anndata.__doc__.replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {}, "from_anndata", None, None)
    assert doctest.DocTestRunner().run(example).failed == 0
