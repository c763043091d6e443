"""Compiled functions for windows of rows and for kernels between elements.

They are serial and release the GIL; callers parallelize over chunks of sets. Bounds are
not checked: `SetCollection` has validated offsets and shapes, and no index is computed from
the values of elements.
"""

import numpy as np

from otk_sklearn._compiled.primitives import exp, jit


@jit
def copy_windows(rows, first, starts, stops, windows):
    """Copy windows of consecutive rows, zero-padded outside of each window's set.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    first : ndarray of int of shape (n_windows,)
        First row of each window.
    starts, stops : ndarray of int of shape (n_windows,)
        First row of each window's set, and one past its last row.
    windows : ndarray of shape (n_windows, size, n_features)
    """
    n_windows, size, n_features = windows.shape
    for w in range(n_windows):
        for t in range(size):
            row = first[w] + t
            if starts[w] <= row < stops[w]:
                for c in range(n_features):
                    windows[w, t, c] = rows[row, c]
            else:
                for c in range(n_features):
                    windows[w, t, c] = 0


@jit
def center_rows(rows, divisors, center, factor, centered, squares):
    """Write `(rows / divisors - center) * factor` and its squared row norms.

    Parameters
    ----------
    rows, centered : ndarray of shape (n_rows, n_features)
    divisors, squares : ndarray of shape (n_rows,)
    center : ndarray of shape (n_features,)
    factor : float
        In the dtype of the arrays.
    """
    for i in range(len(rows)):
        divisor = divisors[i]
        square = rows.dtype.type(0.0)
        for c in range(rows.shape[1]):
            centered[i, c] = (rows[i, c] / divisor - center[c]) * factor
        for c in range(rows.shape[1]):
            square += centered[i, c] * centered[i, c]
        squares[i] = square


@jit
def gaussian_rows(products, squares, anchor_squares, scales, norms):
    """Turn `2 <x, w>` into `scale_x exp(-||x - w||^2)`, in place.

    Parameters
    ----------
    products : ndarray of shape (n_rows, n_anchors)
    squares, scales : ndarray of shape (n_rows,)
        `||x||^2`, and the factor of each row.
    anchor_squares : ndarray of shape (n_anchors,)
    norms : ndarray of shape (n_rows,)
        Filled with the norms of the rows of the result.
    """
    zero = products.dtype.type(0.0)
    for i in range(len(products)):
        square, scale, total = squares[i], scales[i], zero
        for c in range(products.shape[1]):
            value = exp(min(products[i, c] - square - anchor_squares[c], zero))
            products[i, c] = value * scale
        for c in range(products.shape[1]):
            total += products[i, c] * products[i, c]
        norms[i] = np.sqrt(total)
