"""Labels of elements, such as types of cells, by which their contributions are summed."""

import numpy as np

from otk_sklearn.sets._names import as_labels, is_missing, shown
from otk_sklearn.sets._offsets import locate_element
from otk_sklearn.sets._row_index import row_index


def number_labels(by, sets):
    """Number the labels of elements, in sorted order.

    Parameters
    ----------
    by : array-like of shape (n_elements,), or list of one array-like for each set
    sets : SetCollection or FrameCollection

    Returns
    -------
    numbers : ndarray of int of shape (n_elements,)
    labels : ndarray of shape (n_labels,)
    """
    if isinstance(by, str):
        raise TypeError(
            f"by is {by!r}; expected the label of each element. Of a column of the table "
            f"that X was made of: table[{by!r}].to_numpy()[X.rows]."
        )
    _check_order(by, sets)
    if isinstance(by, list | tuple) and by and all(map(np.ndim, by)):
        by = _joined(by, sets.lengths)
    labels = as_labels(by, "by", "element")
    if len(labels) != sets.offsets[-1]:
        raise ValueError(
            f"by has {len(labels)} labels; expected {sets.offsets[-1]}, one for each "
            f"element of X, or a list of an array for each of its {len(sets)} sets"
            f"{_choice_of_rows(labels, sets)}."
        )
    _check_not_missing(labels, sets.offsets)
    try:
        labels, numbers = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"by has labels that can't be sorted: {error}; expected labels of one type: "
            "list(map(str, by)), say."
        ) from error
    return numbers, labels


def sum_by_label(contributions, offsets, numbers, n_labels):
    """Sum contributions of the elements of each set over those of each label.

    Parameters
    ----------
    contributions : ndarray of shape (n_elements, n_outputs)
    offsets : ndarray of int of shape (n_sets + 1,)
    numbers : ndarray of int of shape (n_elements,)
    n_labels : int

    Returns
    -------
    ndarray of shape (n_sets, n_labels, n_outputs)
    """
    lengths = np.diff(offsets)
    set_index = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.zeros((len(lengths), n_labels, contributions.shape[1]))
    np.add.at(sums, (set_index, numbers), contributions)
    return sums


def _joined(by, lengths):
    """Labels of all elements, of an array for each set."""
    if len(by) != len(lengths):
        raise ValueError(
            f"by has {len(by)} arrays of labels; expected {len(lengths)}, one for each set."
        )
    for i, (labels, length) in enumerate(zip(by, lengths)):
        if len(labels) != length:
            raise ValueError(
                f"by has {len(labels)} labels for set {i}; expected {length}, one for each "
                "of its elements."
            )
    return [label for labels in by for label in labels]


def _check_order(by, sets):
    """Raise an error for a column of the table that the sets were made of.

    It may be as long as there are elements, which are in another order: set by set.
    """
    rows = getattr(sets, "rows", None)
    if rows is None or row_index(by) is None or (np.diff(rows) == 1).all():
        return
    raise ValueError(
        "by is a Series, and the elements of X are not all rows of their table in its "
        "order; expected an array in the order of the elements: by.to_numpy()[X.rows], if "
        "by has a label for each row of the table, or by.to_numpy(), if it is by[X.rows] "
        "of such a column."
    )


def _choice_of_rows(labels, sets):
    """How to choose the labels of the elements out of those of their table, if they are."""
    rows = getattr(sets, "rows", None)
    are_of_table = rows is not None and len(labels) > rows.max(initial=-1)
    return ": np.asarray(by)[X.rows]" if are_of_table else ""


def _check_not_missing(labels, offsets):
    if labels.dtype == object:
        missing = np.flatnonzero(list(map(is_missing, labels)))
    else:
        missing = np.flatnonzero(labels != labels)
    if len(missing):
        i, element = locate_element(missing[0], offsets)
        raise ValueError(
            f"by has {shown(labels[missing[0]])} for element {element} of set {i}; "
            "expected a label for every element, such as 'unknown' for those without: "
            "np.where(pd.isna(by), 'unknown', by)."
        )
