"""Learning of references."""

import numpy as np

from otk_sklearn._clustering import draw_rows, kmeans_centers
from otk_sklearn._features import unit_rows


def learn_reference(feature_map, elements, masses, n_supports, method, random_state):
    """Learn one reference: unit-norm centres of the elements' unit-norm features.

    Parameters
    ----------
    feature_map : FeatureMap
    elements : ndarray of shape (n_elements, n_features)
        Distinct; unit-norm, unless the kernel is rbf.
    masses : ndarray of shape (n_elements,)
    n_supports : int
    method : {"kmeans", "random"}
    random_state : int

    Returns
    -------
    reference : ndarray of shape (n_supports, n_components)
        With fewer elements than `n_supports`, supports repeat cyclically.
    """
    features, norms = unit_rows(feature_map.features(elements))
    if not norms.all() and norms.any():  # elements that no anchor knows
        features, masses = features[norms > 0], masses[norms > 0]
    if method == "random":
        supports = features[draw_rows(len(features), masses, n_supports, random_state)]
    else:
        supports = kmeans_centers(features, masses, n_supports, random_state)
    supports, _ = unit_rows(supports)
    return np.resize(supports, (n_supports, supports.shape[1]))
