"""Several collections joined into one."""

import numpy as np

from otk_sklearn.sets._offsets import offsets_of
from otk_sklearn.sets._positions import element_positions


def concatenated(collections):
    """Return the arguments of the constructor for all these collections together."""
    for i, sets in enumerate(collections):
        if sets.n_features != collections[0].n_features:
            raise ValueError(
                f"collection {i} has {sets.n_features} features, collection 0 has "
                f"{collections[0].n_features}; expected the same number in each."
            )
        if (sets.names is None) != (collections[0].names is None):
            raise ValueError(
                f"names of collection {i if sets.names is None else 0} are missing; "
                "expected those of all collections, or of none."
            )
    named = [sets.feature_names for sets in collections if sets.feature_names is not None]
    for names in named[1:]:
        if names.tolist() != named[0].tolist():
            raise ValueError(
                f"collections have the feature names {named[0].tolist()} and "
                f"{names.tolist()}; expected the same in each."
            )
    joined = {
        "values": np.concatenate([sets.values for sets in collections]),
        "offsets": offsets_of(np.concatenate([sets.lengths for sets in collections])),
        "feature_names": named[0] if named else None,
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
    if collections[0].names is not None:
        joined["names"] = [name for sets in collections for name in sets.names.tolist()]
    return joined


def _weights_of(sets):
    return np.ones(len(sets.values)) if sets.weights is None else sets.weights
