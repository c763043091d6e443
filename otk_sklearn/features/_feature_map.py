"""Kernels, anchors and whitening: the Nyström features of an element.

With anchors `w_1..w_k`, an element x has the features `psi(x) = D kappa_W(x)`, where
`kappa_W(x) = [kappa(w_1, x), .., kappa(w_k, x)]`. Pooling is linear, so `D` can be applied
after pooling: for single elements, only `kappa_W` is computed.
"""

from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from otk_sklearn._utils.chunks import chunk_rows, map_chunks
from otk_sklearn.features._kernels import KERNELS
from otk_sklearn.sets._arrays import as_fitted


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """The map from elements to features, computed in the dtype of its input.

    Parameters
    ----------
    kernel : str
        One of `KERNELS`.
    gamma : float or None
        Bandwidth; None for the linear kernel, as are the following.
    anchors : ndarray of shape (n_components, n_features) or None
    normalization : ndarray of shape (n_components, n_components) or None
        The symmetric matrix D.
    damping : float or None
        As in `make_feature_map`.
    """

    kernel: str
    gamma: float | None = None
    anchors: np.ndarray | None = None
    normalization: np.ndarray | None = None
    damping: float | None = None

    @property
    def n_features(self):
        """Number of features of an element; None for any number."""
        return None if self.anchors is None else self.anchors.shape[1]

    @property
    def n_components(self):
        """Number of output features; None if equal to that of the elements."""
        return None if self.anchors is None else self.anchors.shape[0]

    def kappa_in(self, dtype):
        """Return the function that maps elements of this dtype to `kappa_W`.

        It returns the kernel between elements and anchors, of shape (n_elements,
        n_components), and the norms of its rows. The next call in the same thread
        overwrites the kernel. Except for the linear kernel, its method `pull_back` is the
        vector-Jacobian product.
        """
        return KERNELS[self.kernel](self.anchors, self.gamma, dtype)

    def whiten(self, rows):
        """Multiply rows, which are values of `kappa_W` or sums of them, by D."""
        if self.normalization is None:
            return rows
        return rows @ self.normalization.astype(rows.dtype, copy=False)

    def features(self, elements, n_jobs=None):
        """`psi` of the elements, of shape (n_elements, n_components)."""
        if self.anchors is None:
            return elements
        features = np.empty((len(elements), len(self.anchors)), elements.dtype)
        kappa_of = self.kappa_in(elements.dtype)

        def write_features(rows):
            features[rows] = self.whiten(kappa_of(elements[rows])[0])

        map_chunks(
            write_features,
            np.ones(len(elements), np.int64),
            rows_per_set=0,
            max_rows=chunk_rows(len(self.anchors)),
            n_jobs=n_jobs,
        )
        return features


def feature_attributes(feature_map):
    """Return the fitted attributes of an estimator that has this `FeatureMap`."""
    return {
        "anchors_": feature_map.anchors,
        "normalization_": feature_map.normalization,
        "gamma_": feature_map.gamma,
        # Parameters that these depend on, which `set_params` may change later.
        "_kernel": feature_map.kernel,
        "_damping": feature_map.damping,
    }


def fitted_feature_map(model):
    """Validate the attributes of a fitted estimator, and return its `FeatureMap`."""
    kernel, damping = model._kernel, model._damping
    if not KERNELS[kernel].has_anchors:
        return FeatureMap(kernel)
    anchors, gamma = as_fitted(model.anchors_, "anchors_", (None, None)), model.gamma_
    shape = len(anchors), len(anchors)
    normalization = as_fitted(model.normalization_, "normalization_", shape)
    if not (isinstance(gamma, Real) and 0.0 < gamma < np.inf):
        raise ValueError(f"gamma_ is {gamma!r}; expected a positive number.")
    return FeatureMap(kernel, float(gamma), anchors, normalization, damping)


def make_feature_map(kernel, gamma, anchors, damping):
    """Return the `FeatureMap` of these anchors, in their dtype.

    Parameters
    ----------
    kernel : str
        One of `KERNELS` that has anchors.
    gamma : float
    anchors : ndarray of shape (n_components, n_features)
    damping : float
        `D = U diag(1 / (sqrt(lambda) + damping)) U^T` with the eigenvalues `lambda` and
        eigenvectors U of the kernel between the anchors.
    """
    exact = FeatureMap(kernel, gamma, anchors.astype(np.float64), damping=damping)
    gram, _ = exact.kappa_in(np.float64)(exact.anchors)
    normalization, _ = inverse_root(gram, damping)
    normalization = normalization.astype(anchors.dtype, copy=False)
    return replace(exact, anchors=anchors, normalization=normalization)


def inverse_root(gram, damping):
    """Return `U diag(1 / (sqrt(lambda) + damping)) U^T` and its vector-Jacobian product.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
        Symmetric up to rounding, with the eigenvalues `lambda` (0 where they are
        negative) and eigenvectors U.
    damping : float

    Returns
    -------
    root : ndarray of shape (n, n)
    pull_back : callable
        Maps the gradient with respect to the root to that with respect to `gram`.
    """
    eigenvalues, U = np.linalg.eigh((gram + gram.T) / 2)
    roots = np.sqrt(np.maximum(eigenvalues, 0.0))
    scale = 1.0 / (roots + damping)

    def pull_back(gradient):
        # Divided differences of `scale` by `lambda` (Daleckii and Krein).
        sums = roots[:, np.newaxis] + roots
        differences = -np.outer(scale, scale) / np.where(sums > 0, sums, np.inf)
        in_basis = U.T @ ((gradient + gradient.T) / 2) @ U
        return U @ (differences * in_basis) @ U.T

    half = U * np.sqrt(scale)
    return half @ half.T, pull_back  # half of the work for a symmetric product
