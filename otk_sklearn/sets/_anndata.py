"""AnnData, whose cells are elements: `SetCollection.from_anndata` makes sets of them.

No library is imported: pandas and SciPy made what an AnnData holds.
"""

import numpy as np
from scipy.sparse import issparse

from otk_sklearn.sets._row_index import check_same_rows
from otk_sklearn.sets._unreadable import type_name


def read_anndata(adata, groups, obsm):
    """Return the elements, their labels, and the names of their features.

    Parameters
    ----------
    adata : AnnData
    groups : str or array-like of shape (n_obs,)
    obsm : str or None

    Returns
    -------
    values : array-like or DataFrame of shape (n_obs, n_features)
    labels : array-like of shape (n_obs,)
    feature_names : Index of shape (n_features,) or None
        Of an array that has none of its own.
    """
    if not (hasattr(adata, "obs") and hasattr(adata, "obsm")):
        raise TypeError(
            f"adata is {type_name(adata)}; expected an AnnData. Of a table and a column "
            "of labels: SetCollection.from_groups(values, groups)."
        )
    labels = _labels(adata.obs, groups)
    of_labels = f"adata.obs[{groups!r}]" if isinstance(groups, str) else "groups"
    if obsm is None:
        return _dense_x(adata, of_labels), labels, adata.var_names
    return _embedding(adata, obsm, of_labels), labels, None


def _labels(obs, groups):
    """The labels of cells, by the name of their column or as given."""
    columns = list(obs.columns)
    if isinstance(groups, str):
        if groups not in columns:
            raise ValueError(
                f"groups is {groups!r}; expected a column of adata.obs, {columns}, or one "
                "label a cell."
            )
        _check_labelled(obs[groups], groups)
        return obs[groups]
    if not (hasattr(groups, "__len__") or hasattr(groups, "__array__")):
        raise TypeError(
            f"groups is {groups!r}; expected a column of adata.obs, {columns}, or one "
            "label a cell."
        )
    are_columns = isinstance(groups, list | tuple) and len(groups) != len(obs)
    if are_columns and groups and all(name in columns for name in groups):
        together = ", ".join(f"adata.obs[{name!r}]" for name in groups)
        expected = f"list(zip({together}))" if len(groups) > 1 else repr(groups[0])
        raise TypeError(
            f"groups is {groups!r}, columns of adata.obs; expected one column, or one "
            f"label a cell: groups={expected}."
        )
    check_same_rows(**{"adata.obs": obs, "groups": groups})
    return groups


def _check_labelled(labels, name):
    missing = np.flatnonzero(labels.isna())
    if len(missing):
        raise ValueError(
            f"adata.obs[{name!r}] has no label for {len(missing)} of {len(labels)} cells, "
            f"the first of them cell {missing[0]}, {labels.index[missing[0]]!r}; expected "
            f"one for every cell: adata[adata.obs[{name!r}].notna()] are those with one."
        )


def _dense_x(adata, of_labels):
    """`adata.X`, unless it is sparse: all genes, as floats, may not fit into memory."""
    x = adata.X
    if x is None:
        raise ValueError(f"adata.X is None; expected {_expected_key(adata.obsm)}.")
    is_backed = hasattr(x, "to_memory")  # a sparse matrix in a file
    if issparse(x) or is_backed:
        in_memory = "adata.to_memory()" if is_backed else "adata"
        raise TypeError(
            f"adata.X is a sparse matrix of shape {x.shape}; expected "
            f"{_expected_key(adata.obsm)}; or, to make all of it dense, "
            f"SetCollection.from_groups({in_memory}.to_df(), {of_labels})."
        )
    return x


def _embedding(adata, obsm, of_labels):
    """The array, or DataFrame, of this name in `adata.obsm`."""
    if not isinstance(obsm, str):
        raise TypeError(
            f"obsm is {type_name(obsm)}; expected the name of an array in adata.obsm, one "
            f"of {list(adata.obsm)}, or None for adata.X."
        )
    if obsm not in adata.obsm:
        known = list(adata.obsm) or "no array"
        raise ValueError(
            f"obsm is {obsm!r}, and adata.obsm has {known}; expected the name of one of "
            "its arrays, or None for adata.X. New data of a fitted model need the "
            f"components that it was fitted to, adata.obsm[{obsm!r}] = pca.transform("
            "adata.X): a PCA of new data has others."
        )
    values = adata.obsm[obsm]
    if issparse(values):
        raise TypeError(
            f"adata.obsm[{obsm!r}] is a sparse matrix; expected a dense array: "
            f"SetCollection.from_groups(adata.obsm[{obsm!r}].toarray(), {of_labels})."
        )
    return values


def _expected_key(obsm):
    keys = list(obsm)
    if not keys:
        return (
            "the name of an array in adata.obsm, which has none so far: those of "
            "scanpy.pp.pca(adata), say, or, for new data of a fitted model, "
            "adata.obsm['X_pca'] = pca.transform(adata.X)"
        )
    first = "X_pca" if "X_pca" in keys else keys[0]
    others = f", or another one of {keys}" if len(keys) > 1 else ""
    return f"obsm={first!r}{others}"
