"""Long tables, a row for each element: `SetCollection.from_groups` sorts them into sets."""

import numpy as np

from otk_sklearn.sets._arrays import (
    as_unmasked,
)


def check_no_group_column(values, groups):
    """Raise an error if a table of features contains the column of group labels."""
    name = getattr(groups, "name", None)
    if name is not None and hasattr(values, "dtypes") and name in list(values.columns):
        raise ValueError(
            f"values has the column {name!r}, which is that of groups; expected those of "
            "features only."
        )


def sort_by_group(groups, n_rows):
    """Return the stable sort of rows by group, in order of appearance.

    Returns
    -------
    order : ndarray of int of shape (n_rows,), or slice
    lengths : ndarray of int of shape (n_groups,)
        Number of rows of each group.
    names : ndarray of shape (n_groups,)
        The label of each group.
    """
    labels, groups = groups, as_unmasked(groups, "groups")
    if groups.dtype.kind in "SU" and isinstance(labels, (list, tuple)):
        # NumPy has converted nan and 1 to "nan" and "1".
        groups = np.array(labels, dtype=object)
    if groups.shape != (n_rows,):
        raise ValueError(
            f"groups has shape {groups.shape}; expected one label a row, ({n_rows},)."
        )
    try:
        if hasattr(labels, "levels"):  # a MultiIndex
            missing = np.min(labels.codes, axis=0) < 0
        elif hasattr(labels, "isna"):
            missing = np.asarray(labels.isna())  # pandas' NA can't be compared
        else:
            missing = np.equal(groups, None) | (groups != groups)
        if np.any(missing):
            raise ValueError(
                f"groups has no label in row {np.flatnonzero(missing)[0]}; expected one "
                "for every row."
            )
        _, first, label, lengths = np.unique(
            groups, return_index=True, return_inverse=True, return_counts=True
        )
    except TypeError as error:
        raise ValueError(
            f"groups holds labels that can't be compared: {error}; expected labels that "
            "can be sorted, and none missing."
        ) from error
    by_appearance = np.argsort(first)
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(first))
    rank, names = rank[label], groups[np.sort(first)]
    if (np.diff(rank) >= 0).all():
        return slice(None), lengths[by_appearance], names  # contiguous already: no copy
    return np.argsort(rank, kind="stable"), lengths[by_appearance], names
