"""`KernelMeanEmbedding`: the mean of the kernel features of a set's elements."""

import copy

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import StrOptions
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
from otk_sklearn._utils.progress import CallbackSupportMixin, Progress
from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.features._anchors import learn_feature_map
from otk_sklearn.features._feature_map import fitted_feature_map
from otk_sklearn.features._unit_norm import unit_elements
from otk_sklearn.sets._input import (
    as_fitted_sets,
    as_sets,
    check_finite,
    check_finite_output,
    input_attributes,
)
from otk_sklearn.sets._positions import positions_of
from otk_sklearn.sets._sampling import sample_elements
from otk_sklearn.sets._windows import windows_of


class KernelMeanEmbedding(
    DocumentedMixin,
    ClassNamePrefixFeaturesOutMixin,
    VectorsOutMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Embed each set by the mean of the kernel features of its elements.

    The mean map of a kernel, approximated by the Nyström method: mean pooling in feature
    space. These are the features that `OTKEmbedding` pools by transport, so what this
    embedding lacks against it is what transport brings.

    Parameters
    ----------
    n_components : int, default=64
        Number of anchors, and so of features. Ignored by the linear kernel, and if
        `anchors` is an array. With fewer distinct elements, there are that many.
    kernel : {"rbf", "homogeneous", "linear"}, default="rbf"
        Kernel between elements x and anchors w:

        - "rbf": `exp(-gamma ||x - w||^2)`;
        - "homogeneous": `||x|| exp(2 gamma (cos(x, w) - 1))`;
        - "linear": none, the embedding is the mean of the elements.
    gamma : float or "median", default="median"
        Bandwidth of the kernel. "median" is one over the median squared distance between
        sampled distinct elements (made unit-norm for the homogeneous kernel), or 1 where
        none is in the range of floats. A literature sigma is `gamma = 1 / (2 sigma^2)`.
    damping : float, default=1e-2
        Added to the square roots of the eigenvalues of the kernel between anchors before
        they are inverted.
    filter_size : int, default=1
        For ordered sets: elements, in all that follows, are windows of this many
        consecutive rows of a set, flattened row by row. A window's weight is the mean over
        its real rows.
    padding : {"valid", "same"}, default="valid"
        "valid" keeps the `n_elements - filter_size + 1` whole windows of a set, and pads
        a shorter set with zeros to one window. "same" pads the ends with zeros, so that
        there are as many windows as rows.
    anchors : {"kmeans", "random"} or array-like of shape \
            (n_components, filter_size * n_features), default="kmeans"
        How anchors are learned: K-means centres of sampled elements, elements drawn at
        random, or given. The homogeneous kernel makes them unit-norm.
    max_elements : int, default=300_000
        Number of elements that anchors are learned from, drawn without replacement if
        there are more.
    memory : str or object with the joblib.Memory interface, default=None
        Caches the anchors. With the same integer `random_state` and parameters, they are
        those of an `OTKEmbedding`, and found in the same cache. joblib keeps pickles there:
        name no folder that strangers can write to.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors. Results don't depend on it.
    random_state : int, RandomState instance or None, default=None
        Decides the draw of elements, and K-means. See :term:`Glossary <random_state>`.

    Attributes
    ----------
    anchors_ : ndarray of shape (n_components, filter_size * n_features) or None
        Anchors of the kernel; None for the linear kernel.
    normalization_ : ndarray of shape (n_components, n_components) or None
        The matrix D that makes kernel values with the anchors into features; None for the
        linear kernel.
    gamma_ : float or None
        Bandwidth used; None for the linear kernel.
    n_features_in_ : int
        Number of features of an element seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only if X was a DataFrame.

    See Also
    --------
    OTKEmbedding : Pools the same features by transport to several supports.
    SetPooling : The mean and other statistics of the elements themselves.
    sklearn.kernel_approximation.Nystroem : The features, for single vectors.

    Notes
    -----
    For a set with elements `x_i` of masses `a_i`, which sum to 1, the embedding is
    `Phi = sum_i a_i psi(x_i)`, with the Nyström features
    `psi(x) = D [kappa(w_1, x), .., kappa(w_k, x)]`. The inner product of two embeddings
    approximates the mean of the kernel over pairs of elements,
    `sum_ij a_i a'_j kappa(x_i, x'_j)`, and their Euclidean distance the maximum mean
    discrepancy. An `OTKEmbedding` with one support and the same anchors is this embedding.

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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn anchors.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.
        y : ignored
            Present for pipelines, which hand it over.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights. A set of weight 2 is the same as
            two of them, as long as the windows fit into the sample that is learned from.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not what is expected. The message
            names the set. The estimator stays as it was.
        """
        sets = as_sets(X)
        check_finite(sets)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(0, X, y, sample_weight)
        # The seeds that an OTKEmbedding of this random state uses for the same steps.
        random = check_random_state(self.random_state)
        sample_seed, *seeds = (int(s) for s in random.randint(2**31 - 1, size=3))
        of_windows = {"filter_size": self.filter_size, "padding": self.padding}
        windows = windows_of(sets, **of_windows)
        unplaced = positions_of(windows, None)
        with single_threaded(), np.errstate(all="ignore"):
            elements = sample_elements(
                windows, unplaced, self.max_elements, sample_seed, weights
            )
            if self.kernel != "rbf":  # features are learned from directions
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
            # What is learned is of use with these only, whatever the parameters become.
            "_kernel": self.kernel,
            "_windows": of_windows,
        }
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self

    def transform(self, X):
        """Embed sets.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.

        Returns
        -------
        ndarray of shape (n_sets, n_components)
            In the precision of X.
        """
        model = copy.copy(self)  # one fitted state, even if another thread refits
        sets = as_fitted_sets(model, X)
        model._validate_params()
        check_finite(sets)
        windows = windows_of(sets, **model._windows)
        feature_map = fitted_feature_map(model, model._kernel)
        kappa_of = feature_map.kappa_in(sets.dtype)
        n_window, n_components = windows.values.shape[1], model._n_features_out
        out = np.empty((len(sets), n_components), sets.dtype)
        # Of each element: its values, features, and the two copies that kernels need.
        max_rows = rows_in_memory(8 * 2 * (n_window + n_components))
        max_rows = min(max_rows, chunk_rows(n_components))

        def embed(chunk):
            part = windows[chunk]
            masses = part.masses.astype(part.dtype)[np.newaxis]
            pooled = np.empty((len(part), 1, n_components), part.dtype)
            for rows in gen_batches(len(part.values), max_rows):  # several for a long set
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
