"""Embeddings of sets that other libraries ship, with the interface of scikit-learn.

Each class hands sets over in the form its library takes, and leaves the computation to it.
"""

import numpy as np
import scipy.sparse
import torch
from fswlib import FSWEmbedding
from gudhi.representations import Atol
from skimage.feature import fisher_vector, learn_gmm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch_geometric.nn.aggr import DeepSetsAggregation
from vectorizers import SinkhornVectorizer, WassersteinVectorizer

# Sets that are padded together, sorted by length.
BATCH = 256


class LinearTransport(TransformerMixin, BaseEstimator):
    """Exact linear optimal transport to a reference, reduced by an SVD, of `vectorizers`.

    It is fitted to generators, and transforms a matrix. Its version 0.2.3 can also fit a
    list, but not transform one, and compiles for minutes for each number of sets; it can't
    fit a matrix with given references. So references are drawn here as it draws them.

    Parameters
    ----------
    n_components : int
        Of the SVD.
    reference_size : int or None
        By default the median of the numbers of elements.
    reference_scale : float or "kmeans"
        Deviation of random references around the mean of all elements; or K-means of them.
    random_state : int
    """

    def __init__(
        self, n_components=128, reference_size=None, reference_scale=0.01, random_state=0
    ):
        self.n_components = n_components
        self.reference_size = reference_size
        self.reference_scale = reference_scale
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn the reference and the SVD."""
        self.vectorizer_ = WassersteinVectorizer(
            input_method="generator",
            generator_vector_dim=X.n_features,
            generator_n_distributions=len(X),
            n_components=self.n_components,
            metric="euclidean",
            random_state=self.random_state,
        )
        self.vectorizer_.fit(
            (np.full(n, 1 / n) for n in X.lengths),
            vectors=(rows for rows in arrays_of(X)),
            reference_vectors=self._reference(X),
        )
        self.vectorizer_.set_params(input_method="spmatrix")
        return self

    def transform(self, X):
        """Embed."""
        return self.vectorizer_.transform(membership(X), vectors=X.values.astype(float))

    def _reference(self, X):
        size = self.reference_size or int(np.median(X.lengths))
        values = X.values.astype(float)
        if self.reference_scale == "kmeans":
            kmeans = KMeans(size, n_init=1, random_state=self.random_state)
            return kmeans.fit(values).cluster_centers_
        rng = np.random.default_rng(self.random_state)
        noise = rng.normal(scale=self.reference_scale, size=(size, X.n_features))
        return values.mean(axis=0) + noise


class SinkhornTransport(TransformerMixin, BaseEstimator):
    """Entropic transport to a random reference, reduced by an SVD, of `vectorizers`.

    Its plans underflow to NaN for elements that are far from the reference, which is taken
    as 0 here.
    """

    def __init__(
        self, n_components=128, reference_size=None, reference_scale=0.1, random_state=0
    ):
        self.n_components = n_components
        self.reference_size = reference_size
        self.reference_scale = reference_scale
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn the reference and the SVD."""
        self.vectorizer_ = SinkhornVectorizer(metric="euclidean", **self.get_params())
        self.vectorizer_.fit(membership(X), vectors=X.values.astype(float))
        return self

    def transform(self, X):
        """Embed."""
        Z = self.vectorizer_.transform(membership(X), vectors=X.values.astype(float))
        return np.nan_to_num(Z, posinf=0, neginf=0)


def membership(X):
    """Return a matrix (n_sets, n_elements): the masses of the elements of each set."""
    masses = np.repeat(1 / X.lengths, X.lengths)
    shape = len(X), len(X.values)
    return scipy.sparse.csr_matrix((masses, np.arange(shape[1]), X.offsets), shape=shape)


class AtolOfSets(TransformerMixin, BaseEstimator):
    """Sums of contrast functions of the distances to centres of K-means, of gudhi."""

    def __init__(self, n_clusters=2, contrast="gaussian", random_state=0):
        self.n_clusters = n_clusters
        self.contrast = contrast
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn the centres."""
        kmeans = KMeans(self.n_clusters, n_init=1, random_state=self.random_state)
        self.atol_ = Atol(kmeans, contrast=self.contrast).fit(arrays_of(X))
        return self

    def transform(self, X):
        """Embed."""
        return self.atol_.transform(arrays_of(X))


def arrays_of(X):
    """Return the sets as a list of arrays in float64."""
    return [rows.astype(float) for rows in X]


class FisherVectorOfImages(TransformerMixin, BaseEstimator):
    """Fisher vectors with respect to a Gaussian mixture, of scikit-image."""

    def __init__(self, n_modes=32, improved=False, random_state=0):
        self.n_modes = n_modes
        self.improved = improved
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn the mixture."""
        options = {"covariance_type": "diag", "random_state": self.random_state}
        self.gmm_ = learn_gmm(arrays_of(X), n_modes=self.n_modes, gm_args=options)
        return self

    def transform(self, X):
        """Embed."""
        rows = (fisher_vector(x, self.gmm_, improved=self.improved) for x in arrays_of(X))
        return np.stack(list(rows))


class FourierSlicedWasserstein(TransformerMixin, BaseEstimator):
    """Fourier coefficients of the quantiles of random projections, of fswlib."""

    def __init__(self, n_features=1024, random_state=0):
        self.n_features = n_features
        self.random_state = random_state

    def fit(self, X, y=None):
        """Draw directions and frequencies."""
        torch.manual_seed(self.random_state)
        self.embedding_ = FSWEmbedding(X.n_features, self.n_features)
        return self

    @torch.inference_mode()
    def transform(self, X):
        """Embed, sets of like length together."""
        Z = np.empty((len(X), self.n_features), np.float32)
        order = np.argsort(X.lengths)
        for rows in np.split(order, range(BATCH, len(order), BATCH)):
            elements = [torch.from_numpy(x.astype(np.float32)) for x in X[rows]]
            masses = [torch.full((len(x),), 1 / len(x)) for x in elements]
            parts = (pad_sequence(part, batch_first=True) for part in (elements, masses))
            Z[rows] = self.embedding_(*parts).numpy()
        return Z


class RandomDeepSets(TransformerMixin, BaseEstimator):
    """Sums of a network of two layers that is not trained, by PyTorch Geometric."""

    def __init__(self, n_features=1024, random_state=0):
        self.n_features = n_features
        self.random_state = random_state

    def fit(self, X, y=None):
        """Draw the weights."""
        torch.manual_seed(self.random_state)
        width = self.n_features
        layers = (
            nn.Linear(X.n_features, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )
        self.aggregation_ = DeepSetsAggregation(nn.Sequential(*layers))
        return self

    @torch.inference_mode()
    def transform(self, X):
        """Embed."""
        Z = []
        for start in range(0, len(X), BATCH):
            part = X[start : start + BATCH]
            elements = torch.from_numpy(part.values.astype(np.float32))
            index = torch.from_numpy(np.repeat(np.arange(len(part)), part.lengths))
            Z.append(self.aggregation_(elements, index, dim_size=len(part)).numpy())
        return np.concatenate(Z)
