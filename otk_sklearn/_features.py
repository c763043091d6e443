"""Kernels, anchors and whitening: the Nyström features of an element.

With anchors `w_1..w_k`, an element x has the features `psi(x) = D kappa_W(x)`, where
`kappa_W(x) = [kappa(w_1, x), .., kappa(w_k, x)]`. Pooling is linear, so `D` can be applied
to what has been pooled: elements themselves only ever meet `kappa_W`.
"""

import warnings
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from scipy.spatial.distance import cdist, pdist
from sklearn.utils.extmath import row_norms

from otk_sklearn import _kernels
from otk_sklearn._arrays import as_fitted
from otk_sklearn._clustering import draw_rows, kmeans_centers
from otk_sklearn._parallel import Buffers, chunk_rows, map_chunks
from otk_sklearn._validation import check_parameter_array

# Largest error of an exponent, and so largest relative error of a kernel value.
_MAX_ROUNDING = 1e-6

# Largest rounding of unit vectors, as a part of the width of the kernel.
_MAX_DIRECTION_ROUNDING = 1e-5

# Powers of two whose squares are well within the range of float32.
_MAX_EXPONENT = 30

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

    def kappa_in(self, dtype):
        """Return the function that maps elements of this precision to `kappa_W`.

        It returns the kernel between elements and anchors, of shape (n_elements,
        n_components), and the norms of its rows. The next call in the same thread
        overwrites the kernel. But for the linear kernel, its `pull_back` is the gradients'
        way back.
        """
        if self.kernel == "linear":
            return lambda elements: (elements, row_norms(elements))
        kernel = _Rbf if self.kernel == "rbf" else _Homogeneous
        return kernel(self.anchors, self.gamma, dtype)

    def whiten(self, rows):
        """Apply D to each of the rows: what `kappa_in` gave, or sums of it."""
        if self.kernel == "linear":
            return rows
        return rows @ self.normalization.astype(rows.dtype, copy=False)

    def features(self, elements, n_jobs=None):
        """`psi` of the elements, of shape (n_elements, n_components)."""
        if self.kernel == "linear":
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


def fitted_map(model, kernel):
    """Return the `FeatureMap` of a fitted estimator, whose attributes are proved to fit."""
    if kernel == "linear":
        return FeatureMap("linear")
    anchors, gamma = as_fitted(model.anchors_, "anchors_", (None, None)), model.gamma_
    shape = len(anchors), len(anchors)
    normalization = as_fitted(model.normalization_, "normalization_", shape)
    if not (isinstance(gamma, Real) and 0.0 < gamma < np.inf):
        raise ValueError(f"gamma_ is {gamma!r}; expected a positive number.")
    return FeatureMap(kernel, float(gamma), anchors, normalization)


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
    gram, _ = exact.kappa_in(np.float64)(exact.anchors)
    normalization, _ = inverse_root(gram, damping)
    normalization = normalization.astype(anchors.dtype, copy=False)
    return replace(exact, anchors=anchors, normalization=normalization)


def inverse_root(gram, damping):
    """Return `U diag(1 / (sqrt(lambda) + damping)) U^T`, and its gradient's way back.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
        Symmetric but for rounding, with the eigenvalues `lambda` (0 where they are
        negative) and eigenvectors U.
    damping : float

    Returns
    -------
    root : ndarray of shape (n, n)
    pull_back : callable
        Turns a gradient with respect to the root into that with respect to `gram`.
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

    return (U * scale) @ U.T, pull_back


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
    # K-means squares its input: extreme ones are scaled by a power of two, which is exact.
    _, exponent = np.frexp(max(elements.max(), -elements.min()))
    if abs(exponent) < _MAX_EXPONENT:
        exponent = 0
    scaled = np.ldexp(elements, -exponent) if exponent else elements
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
    with np.errstate(all="ignore"):
        gamma = float(1.0 / largest / largest / distances[order[middle]])
    return gamma if 0.0 < gamma < np.inf else 1.0


def unit_elements(elements):
    """Make elements unit-norm, without those that are 0, and merge what becomes equal."""
    unit, norms = unit_rows(elements.rows)
    if not norms.any():  # nothing has a direction: any will do
        unit[:], norms[:] = unit_rows(np.ones_like(unit[:1]))[0], 1
    elements = replace(elements, rows=unit)
    if not norms.all():  # otherwise, it would be a copy
        elements = elements[norms > 0]
    return elements.merge_equal()


def unit_rows(rows):
    """Return the rows divided by their norms (0 stays 0), and the norms."""
    norms, extreme = _norms(rows)
    divisors = norms.copy()
    divisors[extreme] = 1
    unit = rows / divisors[:, np.newaxis]
    if len(extreme):  # divide by the largest first
        scaled = rows[extreme]
        largest = np.abs(scaled).max(axis=1)
        scaled /= np.where(largest > 0, largest, 1)[:, np.newaxis]
        scaled_norms = row_norms(scaled)
        unit[extreme] = scaled / np.where(scaled_norms > 0, scaled_norms, 1)[:, np.newaxis]
        norms[extreme] = scaled_norms * largest
    return unit, norms


def _norms(rows):
    """Norms of the rows, and which are 0 or had squares that left the range of floats."""
    norms = row_norms(rows)
    limits = np.finfo(rows.dtype)
    low, high = np.sqrt(limits.tiny) / limits.eps, np.sqrt(limits.max) / 2
    return norms, np.flatnonzero(~((norms > low) & (norms < high)))


class _Rbf:
    """`exp(-gamma ||x - w||^2)` with the anchors w, by one matrix product.

    A call leaves its rows in the thread's buffers, for `pull_back`.

    Parameters
    ----------
    anchors : ndarray of shape (n_components, n_features)
    gamma : float
    dtype : dtype
        Of the elements x, of the product and of the result.
    """

    def __init__(self, anchors, gamma, dtype):
        self.anchors = anchors.astype(np.float64, copy=False)
        self.gamma = gamma
        self.buffers = Buffers()
        # Squared norms and products cancel: the smaller the vectors, the less is lost. What
        # leaves the range of this precision is looked after row by row.
        with np.errstate(all="ignore"):
            self.center = self.anchors.mean(axis=0).astype(dtype)
            self.factor = np.sqrt(gamma).astype(dtype)
            centered = (self.anchors - self.center) * np.sqrt(gamma)
            centered = centered.astype(dtype, copy=False)
            self.squares = row_norms(centered, squared=True)
            self.twice_centered = 2 * centered

    def __call__(self, elements):
        """Return the kernel between the elements and the anchors, and its rows' norms."""
        ones = np.ones(len(elements), elements.dtype)
        return self._scaled_rows(elements, elements, ones, ones)

    def pull_back(self, products, out=None):
        """Take gradients back through the kernel of this thread's last call.

        Parameters
        ----------
        products : ndarray of shape (n_elements, n_components)
            Gradients with respect to kernel values, times these.
        out : ndarray of shape (n_elements, n_features), default=None
            Filled with the gradient with respect to the elements.

        Returns
        -------
        anchors : ndarray of float64 of shape (n_components, n_features)
            The gradient with respect to anchors.
        log_gamma : float
            That with respect to the logarithm of gamma.
        """
        x, squares = self.last_rows
        out_of_range = ~np.isfinite(squares)
        if out_of_range.any():  # so far out that their kernel is 0
            x[out_of_range], squares[out_of_range] = 0, 0
        centered = self.twice_centered / 2
        row_sums, column_sums = products.sum(axis=1), products.sum(axis=0)
        moments = products.T @ x
        distances = row_sums @ squares + column_sums @ self.squares
        distances -= 2 * np.vdot(moments, centered)
        if out is not None:
            np.matmul(products, centered, out=out)
            out -= row_sums[:, np.newaxis] * x
            out *= 2 * self.factor
        moments -= column_sums[:, np.newaxis] * centered
        return 2 * self.factor * moments.astype(np.float64), -float(distances)

    @property
    def is_too_sharp(self):
        """Whether the kernel tells apart what is equal in this precision."""
        return False  # the elements are what they are

    @property
    def last_rows(self):
        """Centred rows that this thread was last called with, and their squared norms."""
        return self.buffers.last("x"), self.buffers.last("squares")

    def _scaled_rows(self, elements, rows, divisors, scales):
        """The kernel between `rows / divisors` and the anchors, times `scales`.

        The rows are what came of the elements in this precision.
        """
        if rows.shape[1] != len(self.center):  # which the compiled function would not see
            raise ValueError(
                f"anchors_ has shape {self.anchors.shape}; expected (n_components, "
                f"{rows.shape[1]}), with the features of the elements (or windows) of X."
            )
        x = self.buffers.empty("x", rows.shape, rows.dtype)
        squares = self.buffers.empty("squares", divisors.shape, rows.dtype)
        norms = np.empty_like(scales)
        _kernels.center_rows(rows, divisors, self.center, self.factor, x, squares)
        shape = len(rows), len(self.anchors)
        kappa = self.buffers.empty("kappa", shape, rows.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(x, self.twice_centered.T, out=kappa)
        _kernels.gaussian_rows(kappa, squares, self.squares, scales, norms)
        # Rows too far out for this precision, or whose squares left the range of floats.
        far = ~(squares <= _MAX_ROUNDING / np.finfo(rows.dtype).eps)
        far |= not np.isfinite(self.squares).all() or self.is_too_sharp
        if far.any():
            exact = self._exact_rows(elements[far].astype(np.float64))
            kappa[far] = exact * scales[far, np.newaxis]
            norms[far] = row_norms(kappa[far])
        return kappa, norms

    def _exact_rows(self, elements):
        if self.center.dtype == np.float32:
            return _Rbf(self.anchors, self.gamma, np.float64)(elements)[0]
        return np.exp(-self.gamma * cdist(elements, self.anchors, "sqeuclidean"))


class _Homogeneous(_Rbf):
    """`||x|| exp(2 gamma (cos(x, w) - 1))`, 0 where x is, with unit-norm anchors w.

    For unit vectors `2 (cos - 1) = -||u - w||^2`, which is safe from cancellation.
    """

    def __call__(self, elements):
        """Return the kernel between the elements and the anchors, and its rows' norms."""
        norms, extreme = _norms(elements)
        if len(extreme):
            unit, norms = unit_rows(elements)
            kappa = self._scaled_rows(elements, unit, np.ones_like(norms), norms)
        else:
            kappa = self._scaled_rows(elements, elements, norms, norms)
        self.buffers.norms = norms
        return kappa

    @property
    def is_too_sharp(self):
        """Whether the kernel tells apart unit vectors that are equal in this precision."""
        return self.factor * np.finfo(self.center.dtype).eps > _MAX_DIRECTION_ROUNDING

    def _exact_rows(self, elements):
        return super()._exact_rows(unit_rows(elements)[0])

    def pull_back(self, products, out=None):
        """Take gradients back through the kernel of this thread's last call, as `_Rbf`."""
        gradients = super().pull_back(products, out)
        if out is not None:  # along the sphere, and outwards
            x, _ = self.last_rows
            unit, norms = x / self.factor + self.center, self.buffers.norms
            outwards = products.sum(axis=1) - np.einsum("ic,ic->i", out, unit)
            out += outwards[:, np.newaxis] * unit
            out /= np.where(norms > 0, norms, np.inf)[:, np.newaxis]
        return gradients
