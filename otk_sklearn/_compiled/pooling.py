"""Compiled functions that pool elements, and their gradients.

Conventions are those of `features.py`.
"""

import numpy as np

from otk_sklearn._compiled.primitives import copy, fill, jit

# Number of multiplications from which calling BLAS for a matrix product pays off.
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
        Whether to add to the values of `pooled`, rather than overwrite them.
    pooled : ndarray of shape (n_sets, n_supports, n_components)
    """
    _, n_supports, n_components = pooled.shape
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        if (stop - start) * n_supports * n_components >= _BLAS_PRODUCTS:
            set_plan = np.empty((n_supports, stop - start), plan.dtype)
            for j in range(n_supports):
                copy(plan[j, start:stop], set_plan[j])
            product = np.dot(set_plan, features[start:stop])
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
                weight, row = plan[j, i], features[i]
                for c in range(n_components):
                    total[c] += weight * row[c]


@jit
def pooling_to_plans(features, pooled_gradients, offsets, gradients):
    """Pull gradients of each set's `P^T features` back to its plan.

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
    """Pull gradients of each set's `P^T features` back to features, and add them.

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
            set_plan = np.empty((n_supports, stop - start), plan.dtype)
            for j in range(n_supports):
                copy(plan[j, start:stop], set_plan[j])
            product = np.dot(set_plan.T, pooled_gradients[s])
            for i in range(start, stop):
                row = gradients[i]
                for c in range(n_components):
                    row[c] += product[i - start, c]
            continue
        for i in range(start, stop):
            row = gradients[i]
            for j in range(n_supports):
                weight, pooled = plan[j, i], pooled_gradients[s, j]
                for c in range(n_components):
                    row[c] += weight * pooled[c]


@jit
def quantile_means(projected, masses, offsets, quantiles):
    """Write means of each set's quantile functions over bins of equal mass.

    Parameters
    ----------
    projected : ndarray of shape (n_projections, n_elements)
        The projections of elements.
    masses : ndarray of shape (n_elements,)
        Sum to 1 in each set.
    offsets : ndarray of int of shape (n_sets + 1,)
    quantiles : ndarray of shape (n_projections, n_sets, n_bins)
    """
    n_bins = quantiles.shape[2]
    for s in range(len(offsets) - 1):
        start, stop = offsets[s], offsets[s + 1]
        set_masses = masses[start:stop]
        for p in range(len(projected)):
            values, bins = projected[p, start:stop], quantiles[p, s]
            order = np.argsort(values)
            assigned, i = 0.0, 0  # mass assigned to bins, and the current element
            remaining = set_masses[order[0]]
            for b in range(n_bins):
                # Fill the bin with the remaining mass of the elements in order.
                total, bin_mass, end = 0.0, 0.0, (b + 1) / n_bins
                while i < len(order) - 1 and assigned + remaining <= end:
                    total += remaining * values[order[i]]
                    bin_mass += remaining
                    assigned += remaining
                    i += 1
                    remaining = set_masses[order[i]]
                mass = min(remaining, max(end - assigned, 0.0))
                if bin_mass == 0.0 and mass == 0.0:  # by rounding, at the very end
                    mass = 1.0
                total += mass * values[order[i]]
                bins[b] = total / (bin_mass + mass)
                assigned += mass
                remaining -= mass
