"""Compiled functions for windows, features and pooling. Sinkhorn's are in `_scaling.py`.

Kernels are serial and release the GIL; parallelism is the caller's, over chunks of sets.
They check no bounds: offsets and shapes have been proved by `SetCollection` before they
come here, and no index is ever computed from the values of elements.
"""

import numpy as np

from otk_sklearn._compiled import copy, exp, fill, jit

# Multiplications of a matrix product from which BLAS is worth its call.
_BLAS_PRODUCTS = 50_000


@jit
def copy_windows(rows, first, starts, stops, windows):
    """Copy windows of consecutive rows, with zeros for rows outside of a window's set.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    first : ndarray of int of shape (n_windows,)
        First row of each window.
    starts, stops : ndarray of int of shape (n_windows,)
        Where the rows of each window's set start and stop.
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
    """Write `(rows / divisors - center) * factor`, and the squared norms of that.

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
        `||x||^2`, and what the row is multiplied by.
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


@jit
def pool(plan, features, offsets, adding, pooled):
    """Write each set's `P^T features` to its block of `pooled`, or add it.

    Parameters
    ----------
    plan : ndarray of shape (n_supports, n_elements)
    features : ndarray of shape (n_elements, n_components)
    offsets : ndarray of shape (n_sets + 1,)
    adding : bool
        Add to what is there.
    pooled : ndarray of shape (n_sets, n_supports, n_components)
    """
    _, n_supports, n_components = pooled.shape
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        if (stop - start) * n_supports * n_components >= _BLAS_PRODUCTS:
            shares = np.empty((n_supports, stop - start), plan.dtype)
            for j in range(n_supports):
                copy(plan[j, start:stop], shares[j])
            product = np.dot(shares, features[start:stop])
            for j in range(n_supports):
                total = pooled[s, j]
                if not adding:
                    fill(total, 0)
                for c in range(n_components):
                    total[c] += product[j, c]
            continue
        for j in range(n_supports):
            total = pooled[s, j]
            if not adding:
                fill(total, 0)
            for i in range(start, stop):
                share, row = plan[j, i], features[i]
                for c in range(n_components):
                    total[c] += share * row[c]


@jit
def quantile_means(projected, masses, offsets, quantiles):
    """Write means of each set's quantile functions over bins of equal mass.

    Parameters
    ----------
    projected : ndarray of shape (n_projections, n_elements)
        Elements, by one coordinate after the other.
    masses : ndarray of shape (n_elements,)
        Sum to 1 in each set.
    offsets : ndarray of int of shape (n_sets + 1,)
    quantiles : ndarray of shape (n_projections, n_sets, n_bins)
    """
    n_bins = quantiles.shape[2]
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        of_set = masses[start:stop]
        for p in range(len(projected)):
            values, bins = projected[p, start:stop], quantiles[p, s]
            order = np.argsort(values)
            done, i = 0.0, 0  # mass of the elements that are used up, and the next one
            left = of_set[order[0]]
            for b in range(n_bins):
                # What is left open of the bin takes of one element after the other.
                total, taken, end = 0.0, 0.0, (b + 1) / n_bins
                while i < len(order) - 1 and done + left <= end:
                    total += left * values[order[i]]
                    taken += left
                    done += left
                    i += 1
                    left = of_set[order[i]]
                share = min(left, max(end - done, 0.0))
                if taken == 0.0 and share == 0.0:  # by rounding, at the very end
                    share = 1.0
                total += share * values[order[i]]
                bins[b] = total / (taken + share)
                done += share
                left -= share
