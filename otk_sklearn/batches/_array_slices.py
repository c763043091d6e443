"""One array larger than memory, with offsets of its sets, in slices."""

import numpy as np

from otk_sklearn.batches._blocks import borders
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._names import check_names
from otk_sklearn.sets._offsets import check_offsets
from otk_sklearn.sets._unreadable import type_name


def slices_of(
    values,
    offsets,
    max_elements,
    *,
    weights,
    positions,
    names,
    feature_names,
    target,
):
    """Return an iterator of collections of slices of an array, or of pairs with a target.

    Parameters
    ----------
    values : array of shape (n_elements, n_features)
        Of NumPy, HDF5, Zarr, or whatever has a shape and can be sliced.
    offsets : array-like of int of shape (n_sets + 1,)
    max_elements : int
    weights, positions : arrays with an entry for each element, or None
    names, target : arrays with an entry for each set, or None
    feature_names : list of str or None
    """
    shape = getattr(values, "shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2:
        what = type_name(values) if shape is None else f"of shape {shape}"
        raise TypeError(
            f"batches is {what}, with offsets; expected an array of shape (n_elements, "
            "n_features)."
        )
    offsets = check_offsets(offsets, shape[0])
    n_sets = len(offsets) - 1
    if names is not None:
        names = check_names(names, n_sets)
    of_elements = {"values": values, "weights": weights, "positions": positions}
    for name in ("weights", "positions"):
        _check_length(of_elements[name], shape[0], name, "for each element")
    if target is not None:
        target = target if hasattr(target, "shape") else np.asarray(target)
        _check_length(target, n_sets, "target", "for each set")
    return _slices(offsets, max_elements, of_elements, names, feature_names, target)


def _slices(offsets, max_elements, of_elements, names, feature_names, target):
    starts = borders(np.maximum(np.diff(offsets), 1), max_elements)
    for start, stop in zip(starts[:-1], starts[1:]):
        rows = slice(int(offsets[start]), int(offsets[stop]))
        parts = {k: _slice(x, rows) for k, x in of_elements.items() if x is not None}
        try:
            sets = SetCollection(
                **parts,
                offsets=offsets[start : stop + 1] - offsets[start],
                names=None if names is None else names[start:stop],
                feature_names=feature_names,
            )
        except (TypeError, ValueError) as error:
            error_type = TypeError if isinstance(error, TypeError) else ValueError
            raise error_type(f"sets from {start} to {stop - 1}: {error}") from error
        if target is None:
            yield sets
        else:
            yield sets, np.asarray(_slice(target, slice(start, stop)))


def _slice(array, rows):
    """Rows by their numbers: pandas might take those of an index instead."""
    return getattr(array, "iloc", array)[rows]


def _check_length(array, n, name, item):
    if array is None:
        return
    shape = getattr(array, "shape", None)
    length = shape[0] if isinstance(shape, tuple) and shape else None
    if length != n:
        what = f"has shape {shape}" if shape is not None else f"is {type_name(array)}"
        raise ValueError(f"{name} {what}; expected an array of {n} entries, one {item}.")
