"""Kernels between elements and anchors, and their gradients."""

import copy

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils.extmath import row_norms

from otk_sklearn._compiled.features import center_rows, gaussian_rows
from otk_sklearn._utils.chunks import Buffers
from otk_sklearn.features._unit_norm import _norms, unit_rows

# Largest error of an exponent, which is the largest relative error of a kernel value.
_MAX_ROUNDING = 1e-6

# Largest rounding error of unit vectors, relative to the width of the kernel.
_MAX_DIRECTION_ROUNDING = 1e-5


class Kernel:
    """A kernel between elements and anchors.

    Parameters
    ----------
    anchors : ndarray of shape (n_components, n_features) or None
    gamma : float or None
    dtype : dtype
        Of the elements and of the result.

    Attributes
    ----------
    has_anchors : bool
        Of the class, as is the following. Without anchors, features are the elements.
    normalizes : bool
        Whether anchors and references are learned from L2-normalized elements, and anchors
        are L2-normalized.
    """

    has_anchors, normalizes = True, False

    def __init__(self, anchors, gamma, dtype):
        self.anchors, self.gamma, self.dtype = anchors, gamma, dtype

    def __call__(self, elements):
        """Return the kernel, of shape (n_elements, n_components), and norms of its rows.

        The next call in the same thread may overwrite the kernel.
        """
        raise NotImplementedError

    def with_own_buffers(self):
        """Return a copy whose calls overwrite nothing of this kernel's."""
        return copy.copy(self)

    def pull_back(self, products, out=None):
        """Pull gradients back through the last call in this thread, as `RbfKernel` does."""
        raise NotImplementedError(f"{type(self).__name__} can't be trained with labels.")


class RbfKernel(Kernel):
    """`exp(-gamma ||x - w||^2)` with the anchors w, by one matrix product.

    A call keeps its rows in thread-local buffers, for `pull_back`.

    Parameters
    ----------
    anchors : ndarray of shape (n_components, n_features)
    gamma : float
    dtype : dtype
        Of the elements x, of the product and of the result.
    """

    def __init__(self, anchors, gamma, dtype):
        super().__init__(anchors.astype(np.float64, copy=False), gamma, dtype)
        self.buffers = Buffers()
        # Squared norms and products cancel: centring reduces the loss of precision. Rows
        # that overflow or underflow in this dtype are recomputed exactly.
        with np.errstate(all="ignore"):
            self.center = self.anchors.mean(axis=0).astype(dtype)
            self.factor = np.sqrt(gamma).astype(dtype)
            centered = (self.anchors - self.center) * np.sqrt(gamma)
            centered = centered.astype(dtype, copy=False)
            self.squares = row_norms(centered, squared=True)
            self.twice_centered = 2 * centered

    def with_own_buffers(self):
        """Return a copy whose calls overwrite nothing of this kernel's."""
        copied = copy.copy(self)
        copied.buffers = Buffers()
        return copied

    def __call__(self, elements):
        """Return the kernel between elements and anchors, and the norms of its rows."""
        ones = np.ones(len(elements), elements.dtype)
        return self._scaled_rows(elements, elements, ones, ones)

    def pull_back(self, products, out=None):
        """Pull gradients back through the last call in this thread.

        Parameters
        ----------
        products : ndarray of shape (n_elements, n_components)
            Gradients with respect to kernel values, multiplied by those values.
        out : ndarray of shape (n_elements, n_features), default=None
            Filled with the gradient with respect to the elements.

        Returns
        -------
        anchors : ndarray of float64 of shape (n_components, n_features)
            The gradient with respect to anchors.
        log_gamma : float
            The gradient with respect to the logarithm of gamma.
        """
        x, squares = self.last_rows
        out_of_range = ~np.isfinite(squares)
        if out_of_range.any():  # so far away that their kernel is 0
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
        """Whether the kernel distinguishes elements that are equal after rounding."""
        return False  # the elements are not rounded

    @property
    def last_rows(self):
        """Centred rows of the last call in this thread, and their squared norms."""
        return self.buffers.last("x"), self.buffers.last("squares")

    def _scaled_rows(self, elements, rows, divisors, scales):
        """The kernel between `rows / divisors` and the anchors, times `scales`.

        `rows` are the elements, normalized or not, in this dtype.
        """
        if rows.shape[1] != len(self.center):  # which the compiled function doesn't check
            raise ValueError(
                f"anchors_ has shape {self.anchors.shape}; expected (n_components, "
                f"{rows.shape[1]}), with the features of the elements (or windows) of X."
            )
        x = self.buffers.empty("x", rows.shape, rows.dtype)
        squares = self.buffers.empty("squares", divisors.shape, rows.dtype)
        norms = np.empty_like(scales)
        center_rows(rows, divisors, self.center, self.factor, x, squares)
        shape = len(rows), len(self.anchors)
        kappa = self.buffers.empty("kappa", shape, rows.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(x, self.twice_centered.T, out=kappa)
        gaussian_rows(kappa, squares, self.squares, scales, norms)
        # Rows too far from the anchors for this precision, or whose squares overflowed.
        far = ~(squares <= _MAX_ROUNDING / np.finfo(rows.dtype).eps)
        far |= not np.isfinite(self.squares).all() or self.is_too_sharp
        if far.any():
            exact = self._exact_rows(elements[far].astype(np.float64))
            kappa[far] = exact * scales[far, np.newaxis]
            norms[far] = row_norms(kappa[far])
        return kappa, norms

    def _exact_rows(self, elements):
        if self.center.dtype == np.float32:
            return RbfKernel(self.anchors, self.gamma, np.float64)(elements)[0]
        return np.exp(-self.gamma * cdist(elements, self.anchors, "sqeuclidean"))


class HomogeneousKernel(RbfKernel):
    """`||x|| exp(2 gamma (cos(x, w) - 1))`, 0 for x = 0, with L2-normalized anchors w.

    For unit vectors `2 (cos - 1) = -||u - w||^2`, which is safe from cancellation.
    """

    normalizes = True

    def __call__(self, elements):
        """Return the kernel between elements and anchors, and the norms of its rows."""
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
        """Whether the kernel distinguishes unit vectors that are equal after rounding."""
        return self.factor * np.finfo(self.center.dtype).eps > _MAX_DIRECTION_ROUNDING

    def _exact_rows(self, elements):
        return super()._exact_rows(unit_rows(elements)[0])

    def pull_back(self, products, out=None):
        """Pull gradients back through the kernel of the last call, as `RbfKernel` does."""
        gradients = super().pull_back(products, out)
        if out is not None:  # tangential and radial parts
            x, _ = self.last_rows
            unit, norms = x / self.factor + self.center, self.buffers.norms
            radial = products.sum(axis=1) - np.einsum("ic,ic->i", out, unit)
            out += radial[:, np.newaxis] * unit
            out /= np.where(norms > 0, norms, np.inf)[:, np.newaxis]
        return gradients


class LinearKernel(Kernel):
    """The inner product: without anchors, the features are the elements themselves."""

    has_anchors, normalizes = False, True

    def __call__(self, elements):
        """Return the elements, and their norms."""
        return elements, row_norms(elements)


# By the parameter `kernel`.
KERNELS = {"rbf": RbfKernel, "homogeneous": HomogeneousKernel, "linear": LinearKernel}
