"""Kernels, anchors and whitening: the Nyström features of an element.

With anchors `w_1..w_k`, an element x has the features `psi(x) = D kappa_W(x)`, where
`kappa_W(x) = [kappa(w_1, x), .., kappa(w_k, x)]`. Pooling is linear, so `D` can be applied
to what has been pooled: elements themselves only ever meet `kappa_W`.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist, pdist
from sklearn.utils import gen_batches
from sklearn.utils.extmath import row_norms

from otk_sklearn._clustering import draw_rows, kmeans_centers
from otk_sklearn._parallel import CHUNK_ROWS
from otk_sklearn._validation import check_parameter_array

# Largest error of an exponent, and so largest relative error of a kernel value.
_MAX_ROUNDING = 1e-6

# Elements whose pairwise distances give the median: half a million pairs.
_MEDIAN_ELEMENTS = 1000


@dataclass(frozen=True)
class FeatureMap:
    """The map from elements to features. It computes in the precision of its input.

    Parameters
    ----------
    kernel : {"rbf", "homogeneous", "linear"}
    gamma : float or None
        Bandwidth; None for the linear kernel, as are the following.
    anchors : ndarray of shape (n_components, n_features) or None
    normalization : ndarray of shape (n_components, n_components) or None
        The symmetric matrix D.
    """

    kernel: str
    gamma: float | None = None
    anchors: np.ndarray | None = None
    normalization: np.ndarray | None = None

    @property
    def n_features(self):
        """Length of an element; None if any."""
        return None if self.anchors is None else self.anchors.shape[1]

    @property
    def n_components(self):
        """Number of features; None if as many as an element has."""
        return None if self.anchors is None else self.anchors.shape[0]

    def kappa(self, elements):
        """Kernel between elements and anchors, of shape (n_elements, n_components)."""
        if self.kernel == "rbf":
            return _rbf(elements, self.anchors, self.gamma)
        if self.kernel == "homogeneous":
            return _homogeneous(elements, self.anchors, self.gamma)
        return elements

    def whiten(self, rows):
        """Apply D to each of the rows: what `kappa` gave, or sums of it."""
        if self.kernel == "linear":
            return rows
        return rows @ self.normalization.astype(rows.dtype, copy=False)

    def features(self, elements):
        """`psi` of the elements, of shape (n_elements, n_components)."""
        if self.kernel == "linear":
            return elements
        features = np.empty((len(elements), len(self.anchors)), elements.dtype)
        for rows in gen_batches(len(elements), CHUNK_ROWS):
            features[rows] = self.whiten(self.kappa(elements[rows]))
        return features


def learn_feature_map(
    elements, *, kernel, gamma, n_components, anchors, damping, memory, seeds
):
    """Learn what of the parameters is to be learned, and return the `FeatureMap`.

    Parameters
    ----------
    elements : Elements
        Distinct; unit-norm, unless the kernel is rbf.
    kernel, gamma, n_components, anchors, damping
        As in `OTKEmbedding`.
    memory : joblib.Memory
    seeds : pair of int
    """
    if kernel == "linear":
        return FeatureMap("linear")
    gamma_seed, anchors_seed = seeds
    if isinstance(gamma, str):
        gamma = median_gamma(elements.rows, elements.masses, gamma_seed)
    if isinstance(anchors, str):
        anchors = memory.cache(learn_anchors)(
            elements.rows, elements.masses, n_components, anchors, anchors_seed
        )
        if len(anchors) < n_components:
            warnings.warn(
                f"n_components={n_components} is more than the {len(anchors)} distinct "
                "elements to learn from; there are that many anchors.",
                UserWarning,
                stacklevel=2,
            )
    else:
        anchors = _check_anchors(anchors, kernel, elements.rows.shape[1])
    if kernel == "homogeneous":
        anchors, _ = unit_rows(anchors)
    return make_feature_map(kernel, float(gamma), anchors, damping)


def _check_anchors(anchors, kernel, n_features):
    anchors = check_parameter_array(anchors, "anchors")
    if anchors.ndim != 2 or anchors.shape[1] != n_features:
        raise ValueError(
            f"anchors has shape {anchors.shape}; expected (n_components, {n_features}), "
            "with the features of the elements of X (of a window of them, row by row, if "
            "filter_size > 1)."
        )
    zero = np.flatnonzero(~anchors.any(axis=1))
    if kernel == "homogeneous" and len(zero):
        raise ValueError(
            f"anchors has a row of zeros, {zero[0]}; expected anchors with a direction for "
            "the homogeneous kernel."
        )
    return anchors


def make_feature_map(kernel, gamma, anchors, damping):
    """Return the `FeatureMap` of these anchors, in their dtype.

    Parameters
    ----------
    kernel : {"rbf", "homogeneous"}
    gamma : float
    anchors : ndarray of shape (n_components, n_features)
    damping : float
        `D = U diag(1 / (sqrt(lambda) + damping)) U^T` with the eigenvalues `lambda` and
        eigenvectors U of the kernel between the anchors.
    """
    exact = FeatureMap(kernel, gamma, anchors.astype(np.float64))
    gram = exact.kappa(exact.anchors)
    eigenvalues, U = eigh((gram + gram.T) / 2)
    scale = 1.0 / (np.sqrt(np.maximum(eigenvalues, 0.0)) + damping)
    normalization = ((U * scale) @ U.T).astype(anchors.dtype, copy=False)
    return replace(exact, anchors=anchors, normalization=normalization)


def learn_anchors(elements, masses, n_components, method, random_state):
    """Choose anchors for the elements.

    Parameters
    ----------
    elements : ndarray of shape (n_elements, n_features)
        Distinct.
    masses : ndarray of shape (n_elements,)
    n_components : int
    method : {"kmeans", "random"}
    random_state : int

    Returns
    -------
    anchors : ndarray of shape (min(n_components, n_elements), n_features)
    """
    if method == "random":
        return elements[draw_rows(len(elements), masses, n_components, random_state)]
    # K-means squares its input. Scaling by a power of two is exact.
    _, exponent = np.frexp(np.abs(elements).max())
    scaled = np.ldexp(elements, -exponent)
    centers, _ = kmeans_centers(scaled, masses, n_components, random_state)
    return np.ldexp(centers, exponent)


def median_gamma(elements, masses, random_state):
    """One over the median squared distance between distinct elements, pairs by their mass.

    1 where there is no such distance, or where it leaves the range of floats.
    """
    if len(elements) > _MEDIAN_ELEMENTS:
        # Half by mass, half evenly: neither a crowd nor one heavy element takes all draws.
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
    # Just above a half: rounding is not to decide between the two sides of a tie.
    middle = np.searchsorted(covered, (0.5 + 1e-9) * covered[-1])
    gamma = float(1.0 / largest / largest / distances[order[middle]])
    return gamma if 0.0 < gamma < np.inf else 1.0


def unit_elements(elements):
    """Make elements unit-norm, without those that are 0, and merge what becomes equal."""
    unit, norms = unit_rows(elements.rows)
    if not norms.any():  # nothing has a direction: any will do
        unit[:], norms[:] = unit_rows(np.ones_like(unit[:1]))[0], 1
    return replace(elements, rows=unit)[norms > 0].merge_equal()


def unit_rows(rows):
    """Return the rows divided by their norms (0 stays 0), and the norms."""
    norms = row_norms(rows)
    limits = np.finfo(rows.dtype)
    low, high = np.sqrt(limits.tiny) / limits.eps, np.sqrt(limits.max) / 2
    scale = np.ones_like(norms)
    extreme = np.flatnonzero(~((norms > low) & (norms < high)))
    if len(extreme):  # the squares leave the range of floats: divide by the largest first
        largest = np.abs(rows[extreme]).max(axis=1)
        scale[extreme] = np.where(largest > 0, largest, 1)
        norms[extreme] = row_norms(rows[extreme] / scale[extreme, np.newaxis])
    unit = rows / scale[:, np.newaxis]
    unit /= np.where(norms > 0, norms, 1)[:, np.newaxis]
    return unit, np.minimum(norms * scale, limits.max)


def _rbf(elements, anchors, gamma):
    """`exp(-gamma ||x - w||^2)`, by one matrix product."""
    # Squared norms and products cancel: the smaller the vectors, the less is lost.
    dtype = elements.dtype
    anchors = anchors.astype(np.float64, copy=False)
    center = anchors.mean(axis=0).astype(dtype, copy=False)
    w = ((anchors - center) * np.sqrt(gamma)).astype(dtype, copy=False)
    x = elements - center
    x *= np.sqrt(gamma)
    x_norms = row_norms(x, squared=True)
    kappa = x @ w.T
    kappa *= 2
    kappa -= x_norms[:, np.newaxis]
    w_norms = row_norms(w, squared=True)
    kappa -= w_norms
    np.minimum(kappa, 0, out=kappa)
    np.exp(kappa, out=kappa)
    # Elements too far out for this precision, or whose squares left the range of floats.
    far = ~(x_norms <= _MAX_ROUNDING / np.finfo(dtype).eps)
    far |= not np.isfinite(w_norms).all()
    if far.any() and dtype == np.float32:
        kappa[far] = _rbf(elements[far].astype(np.float64), anchors, gamma)
    elif far.any():
        kappa[far] = np.exp(-gamma * cdist(elements[far], anchors, "sqeuclidean"))
    return kappa


def _homogeneous(elements, anchors, gamma):
    """`||x|| exp(2 gamma (cos(x, w) - 1))` for unit-norm anchors; 0 where x is 0."""
    # For unit vectors 2 (cos - 1) = -||u - w||^2, which is safe from cancellation.
    unit, norms = unit_rows(elements)
    kappa = _rbf(unit, anchors, gamma)
    kappa *= norms[:, np.newaxis]
    return kappa
