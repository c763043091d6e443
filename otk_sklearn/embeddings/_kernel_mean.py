"""`KernelMeanEmbedding`: the mean of the kernel features of the elements of a set."""

import copy

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import check_memory

from otk_sklearn._compiled.pooling import pool
from otk_sklearn._utils.chunks import chunk_rows, map_chunks, rows_in_memory
from otk_sklearn._utils.estimators import (
    FEATURE_CONSTRAINTS,
    DocumentedMixin,
    VectorsOutMixin,
    check_sample_weight,
    set_fitted,
)
from otk_sklearn._utils.progress import Progress
from otk_sklearn._utils.sklearn_compat import CallbackSupportMixin, StrOptions, fit_context
from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.features._anchors import learn_feature_map
from otk_sklearn.features._feature_map import fitted_feature_map
from otk_sklearn.features._unit_norm import unit_elements
from otk_sklearn.sets._positions import positions_of
from otk_sklearn.sets._sampling import sample_elements
from otk_sklearn.sets._validation import (
    as_fitted_sets,
    as_sets,
    check_finite,
    check_finite_output,
    input_attributes,
)
from otk_sklearn.sets._windows import windows_of


class KernelMeanEmbedding(
    DocumentedMixin,
    ClassNamePrefixFeaturesOutMixin,
    VectorsOutMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
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
    max_elements : int, default=300_000
        Maximum number of elements that anchors are learned from. If there are more, they
        are sampled without replacement.
    memory : str or object with the joblib.Memory interface, default=None
        Used to cache the anchors; a string is the path of the cache directory. None means
        no caching. With the same integer `random_state` and parameters, an `OTKEmbedding`
        has the same anchors, and can share the cache. joblib stores pickles there: do not
        use a directory that untrusted users can write to.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors. Results do not depend on it.
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
        **FEATURE_CONSTRAINTS,
        "kernel": [StrOptions({"rbf", "homogeneous", "linear"})],
    }

    def __init__(
        self,
        n_components=64,
        *,
        kernel="rbf",
        gamma="median",
        damping=1e-2,
        filter_size=1,
        padding="valid",
        anchors="kmeans",
        max_elements=300_000,
        memory=None,
        n_jobs=None,
        random_state=None,
    ):
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.damping = damping
        self.filter_size = filter_size
        self.padding = padding
        self.anchors = anchors
        self.max_elements = max_elements
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn the anchors and the kernel coefficient.

        Parameters
        ----------
        X : sets
            Any input that `OTKEmbedding.fit` accepts.
        y : ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights. A set of weight 2 is equivalent to
            two copies of it, as long as there are at most `max_elements` windows.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not a valid collection of sets. The
            message identifies the invalid set. The estimator is then unchanged.
        """
        sets = as_sets(X)
        check_finite(sets)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(0, X, y, sample_weight)
        # An OTKEmbedding with the same random_state uses the same seeds for these steps.
        random = check_random_state(self.random_state)
        sample_seed, *seeds = (int(s) for s in random.randint(2**31 - 1, size=3))
        window_params = {"filter_size": self.filter_size, "padding": self.padding}
        windows = windows_of(sets, **window_params)
        no_positions = positions_of(windows, None)
        with single_threaded(), np.errstate(all="ignore"):
            elements = sample_elements(
                windows, no_positions, self.max_elements, sample_seed, weights
            )
            if self.kernel != "rbf":  # the other kernels learn from directions only
                elements = unit_elements(elements)
            feature_map = learn_feature_map(
                elements,
                kernel=self.kernel,
                gamma=self.gamma,
                n_components=self.n_components,
                anchors=self.anchors,
                damping=self.damping,
                memory=check_memory(self.memory),
                seeds=seeds,
            )
        attributes = {
            **input_attributes(X, sets),
            "anchors_": feature_map.anchors,
            "normalization_": feature_map.normalization,
            "gamma_": feature_map.gamma,
            # Parameters that the attributes depend on; `set_params` may change them later.
            "_kernel": self.kernel,
            "_windows": window_params,
        }
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self

    def transform(self, X):
        """Embed sets.

        Parameters
        ----------
        X : sets
            Any input that `OTKEmbedding.fit` accepts.

        Returns
        -------
        ndarray of shape (n_sets, n_components)
            In the dtype of X.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not a valid collection of sets, or does not match the input of `fit`.
        """
        model = copy.copy(self)  # attributes of one fit, even if another thread refits
        sets = as_fitted_sets(model, X)
        model._validate_params()
        check_finite(sets)
        windows = windows_of(sets, **model._windows)
        feature_map = fitted_feature_map(model, model._kernel)
        kappa_of = feature_map.kappa_in(sets.dtype)
        n_window, n_components = windows.values.shape[1], model._n_features_out
        out = np.empty((len(sets), n_components), sets.dtype)
        # Per element: its values and features, and a temporary copy of both.
        max_rows = rows_in_memory(8 * 2 * (n_window + n_components))
        max_rows = min(max_rows, chunk_rows(n_components))

        def embed(chunk):
            part = windows[chunk]
            masses = part.masses.astype(part.dtype)[np.newaxis]
            pooled = np.empty((len(part), 1, n_components), part.dtype)
            for rows in gen_batches(len(part.values), max_rows):  # splits long sets
                kappa, _ = kappa_of(part.values[rows])
                offsets = np.clip(part.offsets - rows.start, 0, len(kappa))
                pool(masses[:, rows], kappa, offsets, rows.start > 0, pooled)
            out[chunk] = feature_map.whiten(pooled[:, 0])

        map_chunks(
            embed, windows.lengths, rows_per_set=1, max_rows=max_rows, n_jobs=model.n_jobs
        )
        check_finite_output(out, "embedding")
        return out

    @property
    def _n_features_out(self):
        if self.anchors_ is None:
            return self.n_features_in_ * self._windows["filter_size"]
        return len(self.anchors_)
