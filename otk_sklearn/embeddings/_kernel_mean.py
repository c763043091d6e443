"""`KernelMeanEmbedding`: the mean of the kernel features of the elements of a set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from otk_sklearn._compiled.pooling import pool
from otk_sklearn._utils.chunks import Buffers, batches_of
from otk_sklearn._utils.estimators import (
    EMPTY_SETS_CONSTRAINT,
    FEATURE_CONSTRAINTS,
    product_names,
)
from otk_sklearn._utils.sklearn_compat import StrOptions
from otk_sklearn.embeddings._base import Pooling, SampleWeightMixin, SetEmbedding
from otk_sklearn.embeddings._kernel_features import learn_feature_attributes
from otk_sklearn.features._feature_map import fitted_feature_map
from otk_sklearn.features._kernels import KERNELS
from otk_sklearn.sets._offsets import offsets_in
from otk_sklearn.sets._windows import fitted_windows, values_of, window_parameters

if TYPE_CHECKING:
    from joblib import Memory


class KernelMeanEmbedding(SampleWeightMixin, SetEmbedding):
    """Embed each set by the mean of the kernel features of its elements.

    The kernel mean embedding [1]_ [2]_, approximated by the Nyström method: mean pooling in
    feature space. `OTKEmbedding` pools the same features by optimal transport, so that a
    comparison of both shows the benefit of transport.

    Parameters
    ----------
    n_components : int, default=64
        Number of anchors, which is the number of features. Ignored by the linear kernel,
        and if `anchors` is an array. Reduced, with a warning, to the number of distinct
        elements if these are fewer.
    kernel : {"rbf", "homogeneous", "linear"}, default="rbf"
        Kernel between elements x and anchors w:

        - "rbf": `exp(-gamma ||x - w||^2)`;
        - "homogeneous": `||x|| exp(2 gamma (cos(x, w) - 1))`;
        - "linear": no kernel; the embedding is the mean of the elements.
    gamma : float or "median", default="median"
        Kernel coefficient, positive. "median" is the inverse of the median squared distance
        between sampled distinct elements (L2-normalized for the homogeneous kernel), or 1
        if that is not a positive finite number. A bandwidth sigma, as used in the
        literature, corresponds to `gamma = 1 / (2 sigma^2)`.
    damping : float, default=1e-2
        Regularization of the inverse square root of the kernel matrix of the anchors:
        added to the square roots of its eigenvalues. Must be positive.
    filter_size : int, default=1
        For ordered sets: with more than 1, the elements are windows of this many
        consecutive rows of a set, flattened row by row. The weight of a window is the mean
        over its rows, without padding.
    padding : {"valid", "same"}, default="valid"
        "valid" keeps the `n_elements - filter_size + 1` windows that lie within a set; a
        set shorter than a window is padded with zeros to one window. "same" pads both ends
        with zeros, so that there are as many windows as rows.
    anchors : {"kmeans", "random"} or array-like of shape \
            (n_components, filter_size * n_features), default="kmeans"
        How anchors are learned: as K-means centres of sampled elements, or by drawing
        elements at random. An array is used as the anchors. They are L2-normalized for the
        homogeneous kernel.
    max_elements : int or "auto", default="auto"
        Maximum number of elements that anchors are learned from. If there are more, they
        are sampled without replacement. "auto" is 256 for each of `n_components`, and at
        least 20,000.
    empty_sets : {"error", "zero"}, default="error"
        What to do with a set without elements: raise an error, or embed it as zeros, and
        ignore it in `fit`.
    memory : str or object with the joblib.Memory interface, default=None
        Used to cache the anchors; a string is the path of the cache directory. None means
        no caching. With the same integer `random_state` and parameters, an `OTKEmbedding`
        has the same anchors, and can share the cache. joblib stores pickles there: do not
        use a directory that untrusted users can write to.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors, the most that are used. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Controls the random sampling of elements, and the initialization of K-means. See
        :term:`Glossary <random_state>`.

    Attributes
    ----------
    anchors_ : ndarray of shape (n_components, filter_size * n_features) or None
        Anchors of the Nyström approximation; None for the linear kernel.
    normalization_ : ndarray of shape (n_components, n_components) or None
        The matrix D that maps kernel values between an element and the anchors to Nyström
        features; None for the linear kernel.
    gamma_ : float or None
        Kernel coefficient used; None for the linear kernel.
    n_features_in_ : int
        Number of features of the elements seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names, as
        DataFrames do.

    See Also
    --------
    OTKEmbedding : Pools the same features by optimal transport to several supports.
    SetPooling : The mean and other statistics of the elements themselves.
    sklearn.kernel_approximation.Nystroem : Nyström features of single vectors.

    Notes
    -----
    For a set with elements `x_i` of masses `a_i`, which sum to 1, the embedding is
    `Phi = sum_i a_i psi(x_i)`, with the Nyström features
    `psi(x) = D [kappa(w_1, x), .., kappa(w_k, x)]`. The inner product of two embeddings
    approximates the mean of the kernel over pairs of elements,
    `sum_ij a_i a'_j kappa(x_i, x'_j)`, and their Euclidean distance the maximum mean
    discrepancy. An `OTKEmbedding` with one support and the same anchors is equivalent.

    References
    ----------
    .. [1] A. Smola, A. Gretton, L. Song and B. Schölkopf, "A Hilbert Space Embedding for
           Distributions", ALT 2007.
    .. [2] K. Muandet, K. Fukumizu, B. Sriperumbudur and B. Schölkopf, "Kernel Mean
           Embedding of Distributions: A Review and Beyond", Foundations and Trends in
           Machine Learning 10 (2017). https://arxiv.org/abs/1605.09522

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import KernelMeanEmbedding
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35, 50)]
    >>> KernelMeanEmbedding(16, random_state=0).fit_transform(X).shape
    (3, 16)
    """

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        **EMPTY_SETS_CONSTRAINT,
        **FEATURE_CONSTRAINTS,
        "kernel": [StrOptions(set(KERNELS))],
    }

    def __init__(
        self,
        n_components: int = 64,
        *,
        kernel: Literal["rbf", "homogeneous", "linear"] = "rbf",
        gamma: float | Literal["median"] = "median",
        damping: float = 1e-2,
        filter_size: int = 1,
        padding: Literal["valid", "same"] = "valid",
        anchors: Literal["kmeans", "random"] | ArrayLike = "kmeans",
        max_elements: int | Literal["auto"] = "auto",
        empty_sets: Literal["error", "zero"] = "error",
        memory: str | Memory | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.damping = damping
        self.filter_size = filter_size
        self.padding = padding
        self.anchors = anchors
        self.max_elements = max_elements
        self.empty_sets = empty_sets
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state

    _transform_parameters = ("empty_sets", "n_jobs")

    def _learn(self, sets, sample_weight):
        return learn_feature_attributes(self, self.kernel, sets, sample_weight)

    def _pooling(self, sets):
        feature_map = fitted_feature_map(self)
        kappa_of, buffers = feature_map.kappa_in(sets.dtype), Buffers()
        n_components = self._n_features_out

        def embed(part, max_rows, out):
            masses = part.masses.astype(part.dtype)[np.newaxis]
            pooled = np.empty((len(part), 1, n_components), part.dtype)
            for rows in batches_of(part.offsets[-1], max_rows):  # splits long sets
                kappa, _ = kappa_of(values_of(part, rows, buffers))
                offsets = offsets_in(rows, part.offsets)
                pool(masses[:, rows], kappa, offsets, rows.start > 0, pooled)
            out[:] = feature_map.whiten(pooled[:, 0])

        windows = fitted_windows(self, sets)
        # Per element: its values and features, and a temporary copy of both.
        row_bytes = 8 * 2 * (windows.values.shape[1] + n_components)
        return Pooling(windows, embed, row_bytes, n_components, 1, self.n_jobs)

    @property
    def _n_features_out(self):
        if self.anchors_ is None:
            return self.n_features_in_ * window_parameters(self)["filter_size"]
        return len(self.anchors_)

    def _component_names(self):
        return product_names(component=self._n_features_out)
