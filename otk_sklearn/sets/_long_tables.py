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
    number = number_groups(groups, n_rows, "row")
    lengths = np.bincount(number)
    names = as_unmasked(groups, "groups")[np.unique(number, return_index=True)[1]]
    if (np.diff(number) >= 0).all():
        return slice(None), lengths, names  # already contiguous: no copy
    return np.argsort(number, kind="stable"), lengths, names


def number_groups(groups, n_labels, item):
    """Return the number of each label's group, in order of first appearance.

    Parameters
    ----------
    groups : array-like of shape (n_labels,)
    n_labels : int
    item : str
        What has a label: "row" or "set".
    """
    labels, groups = groups, as_unmasked(groups, "groups")
    if groups.dtype.kind in "SU" and isinstance(labels, (list, tuple)):
        # NumPy has converted nan and 1 to "nan" and "1".
        groups = np.array(labels, dtype=object)
    if groups.shape != (n_labels,):
        raise ValueError(
            f"groups has shape {groups.shape}; expected one label a {item}, ({n_labels},)."
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
                f"groups has no label in {item} {np.flatnonzero(missing)[0]}; expected one "
                f"for every {item}."
            )
        _, first, label = np.unique(groups, return_index=True, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"groups holds labels that can't be compared: {error}; expected labels that "
            "can be sorted, and none missing."
        ) from error
    return np.argsort(np.argsort(first))[label]
