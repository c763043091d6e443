"""Linear discriminant analysis of many classes, for embeddings of any width.

The covariance within classes is shrunk towards the identity. scikit-learn's analysis needs
the covariance of features; here products of sets take its place where there are more
features than sets.
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

BLOCK = 2048  # features that are copied at once
PRIORS = 0.0, 0.5, 1.0, 1.5


class Discriminant:
    """Scores of classes, for all sets that will ever be asked for.

    With class means m_k, and the covariance S within classes, in a unit in which the
    variances of all features add up to 1, the scores of a set x are
    `x' W m_k - m_k' W m_k / 2 + prior log n_k` with `W = (S + alpha I)^-1`. A `prior` of 1
    is Bayes' rule.

    Parameters
    ----------
    Z : ndarray of shape (n_sets, n_features)
        Embeddings in float32 of sets for training and for test. They are centred in place.
    y : ndarray of shape (n_sets,)
        Classes.
    train : ndarray of int
        Which sets means and variances are those of.
    """

    def __init__(self, Z, y, train):
        self.y = y
        standardize(Z, train)
        self.is_wide = Z.shape[1] > len(train)
        self.values = kernel_matrix(Z) if self.is_wide else Z

    def scores(self, train, others, alphas):
        """Yield alpha, classes, logarithms of their sizes, and scores without prior."""
        classes, rows, counts = np.unique(
            self.y[train], return_inverse=True, return_counts=True
        )
        averages = averages_of(rows, counts)
        path = wide_path if self.is_wide else narrow_path
        for alpha, scores in path(self.values, train, others, rows, averages, alphas):
            yield alpha, classes, np.log(counts).astype(np.float32), scores


def standardize(Z, train):
    """Centre features in place, and divide them by the root of their total variance."""
    total = 0.0
    for block in blocks_of(Z):
        block -= block[train].mean(axis=0, dtype=np.float64).astype(np.float32)
        total += block[train].var(axis=0, dtype=np.float64).sum()
    Z /= np.float32(np.sqrt(total))


def kernel_matrix(Z):
    """Return the products of all sets."""
    products = np.zeros((len(Z), len(Z)), np.float32)
    for block in blocks_of(Z):
        contiguous = np.ascontiguousarray(block)
        products += contiguous @ contiguous.T
    return products


def blocks_of(Z):
    """Yield views of a few features at a time."""
    for start in range(0, Z.shape[1], BLOCK):
        yield Z[:, start : start + BLOCK]


def averages_of(rows, counts):
    """Return the sparse matrix that averages over the sets of each class."""
    entries = (1 / counts[rows]).astype(np.float32)
    return csr_array((entries, (rows, np.arange(len(rows)))), (len(counts), len(rows)))


def narrow_path(Z, train, others, rows, averages, alphas):
    """Yield scores by the covariance of features."""
    fitted = Z[train]
    means = averages @ fitted
    fitted -= means[rows]
    covariance = fitted.T @ fitted / len(fitted)
    for alpha in alphas:
        yield (
            alpha,
            linear_scores(Z[others], means, shrunk_solve(covariance, alpha, means.T)),
        )


def shrunk_solve(covariance, alpha, targets):
    """Solve with a covariance matrix plus alpha times the identity."""
    shrunk = covariance.copy()
    shrunk[np.diag_indices_from(shrunk)] += np.float32(alpha)
    factor = cho_factor(shrunk, overwrite_a=True, check_finite=False)
    return cho_solve(factor, targets, check_finite=False)


def linear_scores(Z, means, coef):
    """Return scores for coefficients of shape (n_features, n_classes)."""
    return Z @ coef - np.einsum("kj,jk->k", means, coef) / 2


def wide_path(products, train, others, rows, averages, alphas):
    """Yield scores by the products of sets.

    By the identity of Woodbury, with sets centred within their classes in the rows of R,
    `alpha W = I - R' (R R' + alpha n I)^-1 R`.
    """
    fitted = products[np.ix_(train, train)]
    with_means = (averages @ fitted).T  # sets by classes
    between = averages @ with_means
    centred = with_means - between[rows]
    fitted -= with_means.T[rows]
    fitted -= (averages @ fitted.T).T[:, rows]
    to_sets = products[np.ix_(others, train)]
    to_means = (averages @ to_sets.T).T
    for alpha in alphas:
        solved = shrunk_solve(fitted, alpha * len(train), centred)
        solved -= (averages @ solved)[rows]
        norms = np.diag(between) - np.einsum("ik,ik->k", centred, solved)
        yield alpha, (to_means - to_sets @ solved - norms / 2) / np.float32(alpha)


def ranks_of(scores, classes, y):
    """Return how many classes have larger scores than the true one has."""
    columns = np.searchsorted(classes, y)
    known = np.isin(y, classes)
    columns[~known] = 0
    ranks = (scores > scores[np.arange(len(y)), columns][:, np.newaxis]).sum(axis=1)
    return np.where(known, ranks, len(classes))
