"""The feature map, learned from sampled elements: bandwidth and anchors."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist

from otk_sklearn._utils.caching import cached
from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn.features._clustering import draw_rows, kmeans_centers
from otk_sklearn.features._feature_map import FeatureMap, make_feature_map
from otk_sklearn.features._kernels import KERNELS
from otk_sklearn.features._unit_norm import unit_elements, unit_rows
from otk_sklearn.sets._arrays import check_parameter_array
from otk_sklearn.sets._sampling import sample_elements

# Powers of two whose squares are well within the range of float32.
_MAX_EXPONENT = 30

# Elements sampled for the median of pairwise distances: half a million pairs.
_MEDIAN_ELEMENTS = 1000


@compared_by_identity
class FeatureParameters(NamedTuple):
    """Parameters of the feature map to learn, as in `OTKEmbedding`."""

    kernel: str
    gamma: str | float
    n_components: int
    anchors: str | np.ndarray
    damping: float

    @classmethod
    def of(cls, model, kernel):
        """Return those of an estimator, for this kernel."""
        return cls(kernel, model.gamma, model.n_components, model.anchors, model.damping)


def distinct_elements(kernel, sets, position, max_elements, random_state, sample_weight):
    """Sample elements of sets to learn from, with a kernel.

    Parameters
    ----------
    kernel : str
        One of `KERNELS`.
    sets, position, max_elements, random_state, sample_weight
        As in `sample_elements`.

    Returns
    -------
    Elements
        Distinct, and L2-normalized if the kernel normalizes them.
    """
    elements = sample_elements(sets, position, max_elements, random_state, sample_weight)
    if KERNELS[kernel].normalizes:
        return unit_elements(elements)
    return elements


def learn_feature_map(parameters, elements, memory, seeds, n_jobs=None):
    """Learn gamma and anchors unless they are fixed, and return the `FeatureMap`.

    Parameters
    ----------
    parameters : FeatureParameters
    elements : Elements
        As returned by `distinct_elements`.
    memory : joblib.Memory
    seeds : list of two int
        Of gamma and the anchors.
    n_jobs : int or None, default=None
    """
    kernel, gamma, n_components, anchors, damping = parameters
    if not KERNELS[kernel].has_anchors:
        return FeatureMap(kernel)
    gamma_seed, anchors_seed = seeds
    if isinstance(gamma, str):
        gamma = median_gamma(elements.rows, elements.masses, gamma_seed)
    if isinstance(anchors, str):
        learn = cached(learn_anchors, memory, ignore=["n_jobs"])
        anchors = learn(
            elements.rows,
            elements.masses,
            n_components,
            anchors,
            anchors_seed,
            n_jobs=n_jobs,
        )
        if len(anchors) < n_components:
            warn_caller(
                f"n_components={n_components} is more than the {len(anchors)} distinct "
                "elements to learn from; there are that many anchors.",
                UserWarning,
            )
    else:
        anchors = _check_anchors(anchors, kernel, elements.rows.shape[1])
    if KERNELS[kernel].normalizes:
        anchors, _ = unit_rows(anchors)
    return make_feature_map(kernel, float(gamma), anchors, float(damping))


def _check_anchors(anchors, kernel, n_features):
    anchors = check_parameter_array(anchors, "anchors")
    if anchors.ndim != 2 or anchors.shape[1] != n_features:
        raise ValueError(
            f"anchors has shape {anchors.shape}; expected (n_components, {n_features}), "
            "with the features of the elements of X (of a window of them, row by row, if "
            "filter_size > 1)."
        )
    zero = np.flatnonzero(~anchors.any(axis=1))
    if KERNELS[kernel].normalizes and len(zero):
        raise ValueError(
            f"anchors has a row of zeros, {zero[0]}; expected anchors with a direction for "
            f"the {kernel} kernel."
        )
    return anchors


def learn_anchors(
    elements, masses, n_components, method, random_state, *, n_jobs=None, version=None
):
    """Choose anchors for the elements.

    Parameters
    ----------
    elements : ndarray of shape (n_elements, n_features)
        Distinct.
    masses : ndarray of shape (n_elements,)
    n_components : int
    method : {"kmeans", "random"}
    random_state : int
    n_jobs : int or None, default=None
    version : str or None, default=None
        As in `cached`.

    Returns
    -------
    anchors : ndarray of shape (min(n_components, n_elements), n_features)
    """
    if method == "random":
        return elements[draw_rows(len(elements), masses, n_components, random_state)]
    # K-means squares its input: extreme values are scaled by a power of two, exactly.
    _, exponent = np.frexp(max(elements.max(), -elements.min()))
    if abs(exponent) < _MAX_EXPONENT:
        exponent = 0
    scaled = np.ldexp(elements, -exponent) if exponent else elements
    centers, _ = kmeans_centers(scaled, masses, n_components, random_state, n_jobs)
    return np.ldexp(centers, exponent)


def median_gamma(elements, masses, random_state):
    """Inverse of the median squared distance of distinct elements, weighted by mass.

    1 if there is no such distance, or if the inverse is not a positive finite float.
    """
    if len(elements) > _MEDIAN_ELEMENTS:
        # Half by mass, half uniformly: neither many light nor few heavy elements dominate.
        random = np.random.RandomState(random_state)
        masses = masses / masses.sum()
        p = (masses + 1 / len(masses)) / 2
        drawn = random.choice(len(elements), _MEDIAN_ELEMENTS, p=p)
        drawn, counts = np.unique(drawn, return_counts=True)
        elements, masses = elements[drawn], counts * masses[drawn] / p[drawn]
    if len(elements) < 2:
        return 1.0
    elements = elements.astype(np.float64)
    largest = np.abs(elements).max()
    distances = pdist(elements / largest, "sqeuclidean")
    first, second = np.triu_indices(len(elements), 1)
    order = np.argsort(distances)
    covered = np.cumsum((masses[first] * masses[second])[order])
    # Slightly above a half: rounding must not decide ties.
    middle = np.searchsorted(covered, (0.5 + 1e-9) * covered[-1])
    with np.errstate(all="ignore"):
        gamma = float(1.0 / largest / largest / distances[order[middle]])
    return gamma if 0.0 < gamma < np.inf else 1.0
