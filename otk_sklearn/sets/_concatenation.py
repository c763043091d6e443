"""Several collections joined into one."""

import numpy as np

from otk_sklearn.sets._names import ColumnLabels, key_of, shown
from otk_sklearn.sets._offsets import offsets_of
from otk_sklearn.sets._positions import element_positions


def concatenated(collections, names="keep"):
    """Return the arguments of the constructor for all these collections together.

    Parameters
    ----------
    collections : list of SetCollection
        As `on_demand` returns them.
    names : "keep", array-like of shape (n_sets,) or None
        Those of the result; "keep" means the names that the sets have.
    """
    if isinstance(names, str) and names != "keep":
        raise ValueError(
            f"names is {names!r}; expected 'keep', None, or an array with one name a set."
        )
    for i, sets in enumerate(collections):
        if sets.n_features != collections[0].n_features:
            raise ValueError(
                f"collection {i} has {sets.n_features} features, collection 0 has "
                f"{collections[0].n_features}; expected the same number in each."
            )
    labelled = [
        ColumnLabels(sets.column_labels)
        for sets in collections
        if sets.column_labels is not None
    ]
    for others in labelled[1:]:
        if others != labelled[0]:
            raise ValueError(
                f"collections have the feature names {labelled[0]} and {others}; expected "
                "the same in each."
            )
    joined = {
        "values": np.concatenate([sets.values[:] for sets in collections]),
        "offsets": offsets_of(np.concatenate([sets.lengths for sets in collections])),
        "feature_names": labelled[0] if labelled else None,
        "names": _kept_names(collections) if isinstance(names, str) else names,
    }
    if any(sets.weights is not None for sets in collections):
        joined["weights"] = np.concatenate([_weights_of(sets) for sets in collections])
    if any(sets.positions is not None for sets in collections):
        positions = [element_positions(sets) for sets in collections]
        n_axes = [part.shape[1] for part in positions]
        if len(set(n_axes)) > 1:
            raise ValueError(
                f"collections have positions on {n_axes} axes; expected the same number."
            )
        joined["positions"] = np.concatenate(positions)
    return joined


def _kept_names(collections):
    """The names of all sets; None if none has one."""
    are_missing = [sets.names is None for sets in collections]
    if all(are_missing):
        return None
    if any(are_missing):
        raise ValueError(
            f"names of collection {are_missing.index(True)} are missing; expected those of "
            "all collections, or of none, or names=None to drop them."
        )
    collection_of = {}
    for i, sets in enumerate(collections):
        for name in sets.names.tolist():
            if key_of(name) in collection_of:
                first = collection_of[key_of(name)]
                raise ValueError(
                    f"names has {shown(name)} twice, in collections {first} and {i}; "
                    "expected unique names. If that set was cut in two, between files or "
                    "partitions, join their tables first: "
                    'SetCollection.from_groups(pd.concat(tables), "id"), say. If these are '
                    "different sets: SetCollection.concatenate(collections, names=None), "
                    "or new names."
                )
            collection_of[key_of(name)] = i
    return [name for sets in collections for name in sets.names.tolist()]


def _weights_of(sets):
    return np.ones(len(sets.values)) if sets.weights is None else sets.weights
