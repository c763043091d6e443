"""Kernels, anchors and whitening: the Nyström features of an element.

With anchors `w_1..w_k`, an element x has the features `psi(x) = D kappa_W(x)`, where
`kappa_W(x) = [kappa(w_1, x), .., kappa(w_k, x)]`. Pooling is linear, so `D` can be applied
to what has been pooled: elements themselves only ever meet `kappa_W`.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import pdist
from sklearn.utils import gen_batches

from otk_sklearn._clustering import draw_rows, kmeans_centers, merge_equal_rows
from otk_sklearn._parallel import CHUNK_ROWS

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
        return draw_rows(elements, masses, n_components, random_state)
    # K-means squares its input. Scaling by a power of two is exact.
    _, exponent = np.frexp(np.abs(elements).max())
    scaled = np.ldexp(elements, -exponent)
    return np.ldexp(kmeans_centers(scaled, masses, n_components, random_state), exponent)


def median_gamma(elements, masses, random_state):
    """One over the median squared distance between distinct elements drawn by mass.

    1 where there is no such distance, or where it leaves the range of floats.
    """
    if len(elements) > _MEDIAN_ELEMENTS:
        random = np.random.RandomState(random_state)
        p = masses / masses.sum()
        drawn = random.choice(len(elements), _MEDIAN_ELEMENTS, p=p)
        drawn, masses = np.unique(drawn, return_counts=True)
        elements = elements[drawn]
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
    with np.errstate(all="ignore"):
        gamma = float(1.0 / largest / largest / distances[order[middle]])
    return gamma if 0.0 < gamma < np.inf else 1.0


def unit_elements(elements, masses):
    """Make elements unit-norm, without those that are 0, and merge what becomes equal."""
    unit, norms = unit_rows(elements)
    unit, masses = unit[norms > 0], masses[norms > 0]
    if not len(unit):  # nothing has a direction: any will do
        return unit_rows(np.ones_like(elements[:1]))[0], np.ones(1)
    return merge_equal_rows(unit, masses)


def unit_rows(rows):
    """Return the rows divided by their norms (0 stays 0), and the norms."""
    with np.errstate(over="ignore", under="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    limits = np.finfo(rows.dtype)
    low, high = np.sqrt(limits.tiny) / limits.eps, np.sqrt(limits.max) / 2
    scale = np.ones_like(norms)
    extreme = np.flatnonzero(~((norms > low) & (norms < high)))
    if len(extreme):  # the squares leave the range of floats: divide by the largest first
        largest = np.abs(rows[extreme]).max(axis=1)
        scale[extreme] = np.where(largest > 0, largest, 1)
        shrunk = rows[extreme] / scale[extreme, np.newaxis]
        norms[extreme] = np.sqrt(np.einsum("ij,ij->i", shrunk, shrunk))
    divisor = np.where(norms > 0, norms, 1)
    unit = rows / scale[:, np.newaxis]
    unit /= divisor[:, np.newaxis]
    with np.errstate(over="ignore"):
        return unit, np.minimum(norms * scale, limits.max)


def _rbf(elements, anchors, gamma):
    """`exp(-gamma ||x - w||^2)`, by one matrix product."""
    # Squared norms and products cancel: the smaller the vectors, the less is lost.
    center = anchors.mean(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        w = ((anchors - center) * np.sqrt(gamma)).astype(elements.dtype, copy=False)
        x = elements - center.astype(elements.dtype, copy=False)
        x *= np.sqrt(gamma)
        kappa = x @ w.T
        kappa *= 2
        x_norms = np.einsum("ij,ij->i", x, x)
        kappa -= x_norms[:, np.newaxis]
        w_norms = np.einsum("ij,ij->i", w, w)
        kappa -= w_norms
    if not (np.isfinite(x_norms).all() and np.isfinite(w_norms).all()):
        # Squares left the range of floats, and with them any finite distance.
        kappa[np.isnan(kappa)] = -np.inf
    np.minimum(kappa, 0, out=kappa)
    with np.errstate(under="ignore"):
        return np.exp(kappa, out=kappa)


def _homogeneous(elements, anchors, gamma):
    """`||x|| exp(2 gamma (cos(x, w) - 1))` for unit-norm anchors; 0 where x is 0."""
    # For unit vectors 2 (cos - 1) = -||u - w||^2, which is safe from cancellation.
    unit, norms = unit_rows(elements)
    kappa = _rbf(unit, anchors, gamma)
    with np.errstate(under="ignore"):
        kappa *= norms[:, np.newaxis]
    return kappa
