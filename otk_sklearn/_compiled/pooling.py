"""Compiled functions that pool elements, and their gradients.

They keep to the rules of `features.py`.
"""

import numpy as np

from otk_sklearn._compiled.primitives import copy, fill, jit

# Multiplications of a matrix product from which BLAS is worth its call.
_BLAS_PRODUCTS = 50_000


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
def pooling_to_plans(features, pooled_gradients, offsets, gradients):
    """From gradients with respect to each set's `P^T features` to those of its plan.

    Parameters
    ----------
    features : ndarray of shape (n_elements, n_components)
    pooled_gradients : ndarray of shape (n_sets, n_supports, n_components)
    offsets : ndarray of shape (n_sets + 1,)
    gradients : ndarray of shape (n_supports, n_elements)
        Filled.
    """
    _, n_supports, n_components = pooled_gradients.shape
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        if (stop - start) * n_supports * n_components >= _BLAS_PRODUCTS:
            product = np.dot(pooled_gradients[s], features[start:stop].T)
            for j in range(n_supports):
                copy(product[j], gradients[j, start:stop])
            continue
        for i in range(start, stop):
            row = features[i]
            for j in range(n_supports):
                pooled, total = pooled_gradients[s, j], features.dtype.type(0.0)
                for c in range(n_components):
                    total += row[c] * pooled[c]
                gradients[j, i] = total


@jit
def pooling_to_features(plan, pooled_gradients, offsets, gradients):
    """Add, to the gradients of features, what they are to each set's `P^T features`.

    Parameters
    ----------
    plan : ndarray of shape (n_supports, n_elements)
    pooled_gradients : ndarray of shape (n_sets, n_supports, n_components)
    offsets : ndarray of shape (n_sets + 1,)
    gradients : ndarray of shape (n_elements, n_components)
    """
    _, n_supports, n_components = pooled_gradients.shape
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        if (stop - start) * n_supports * n_components >= _BLAS_PRODUCTS:
            shares = np.empty((n_supports, stop - start), plan.dtype)
            for j in range(n_supports):
                copy(plan[j, start:stop], shares[j])
            product = np.dot(shares.T, pooled_gradients[s])
            for i in range(start, stop):
                row = gradients[i]
                for c in range(n_components):
                    row[c] += product[i - start, c]
            continue
        for i in range(start, stop):
            row = gradients[i]
            for j in range(n_supports):
                share, pooled = plan[j, i], pooled_gradients[s, j]
                for c in range(n_components):
                    row[c] += share * pooled[c]


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
