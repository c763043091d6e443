"""`FisherVectorEmbedding`: gradients of a Gaussian mixture's log-likelihood."""

import copy
import math
import warnings
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import Interval

from otk_sklearn import _kernels
from otk_sklearn._arrays import as_fitted
from otk_sklearn._base import (
    FEATURE_CONSTRAINTS,
    DocumentedMixin,
    check_sample_weight,
    publish,
)
from otk_sklearn._clustering import kmeans_centers, sample_elements
from otk_sklearn._features import unit_rows
from otk_sklearn._parallel import chunk_rows, map_chunks, rows_in_memory, single_threaded
from otk_sklearn._positions import positions_of
from otk_sklearn._progress import CallbackSupportMixin, Progress
from otk_sklearn._validation import (
    as_fitted_sets,
    as_sets,
    check_finite,
    check_finite_output,
    fit_input_of,
)

# Below, features are 0 for all that matters: the inverse of their unit is no float.
_SMALLEST = 1e-280


class FisherVectorEmbedding(
    DocumentedMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Embed each set by how its elements would change a Gaussian mixture.

    A mixture with diagonal covariances is fitted to elements. The vector of a set holds the
    gradients of its mean log-likelihood with respect to the mixture's means and standard
    deviations, in units of their Fisher information: where elements lie off each Gaussian,
    and how they spread.

    Parameters
    ----------
    n_components : int, default=16
        Number of Gaussians. With fewer distinct elements, there are that many.
    power : float, default=0.5
        Each entry z of the vector becomes `sign(z) |z|^power`. 1 leaves them as they are.
    normalize : bool, default=True
        Whether vectors are made unit-norm, after `power`.
    reg_covar : float, default=0.05
        Added to the variances of the Gaussians, as a part of those of each feature.
    max_iter : int, default=100
        Maximal number of iterations of expectation-maximisation.
    tol : float, default=1e-3
        The mixture has settled once its mean log-likelihood changes by less.
    max_elements : int, default=300_000
        Number of elements that the mixture is fitted to, drawn if there are more.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors. Results don't depend on it.
    random_state : int, RandomState instance or None, default=None
        Decides the draw of elements, and the mixture's start. See
        :term:`Glossary <random_state>`.

    Attributes
    ----------
    mixture_ : GaussianMixture
        The fitted mixture.
    n_iter_ : int
        Iterations of expectation-maximisation.
    n_features_in_ : int
        Number of features of an element seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only if X was a DataFrame.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The mixture.
    OTKEmbedding : Pools elements by optimal transport, rather than by responsibilities.

    Notes
    -----
    For a set with elements `x_i` of masses `a_i`, which sum to 1, and a mixture with
    weights `w_k`, means `mu_k` and standard deviations `sigma_k`, with `gamma_ik` the
    probability that element i is of Gaussian k, the vector holds

    - `sum_i a_i gamma_ik (x_i - mu_k) / sigma_k / sqrt(w_k)`, and then
    - `sum_i a_i gamma_ik ((x_i - mu_k)^2 / sigma_k^2 - 1) / sqrt(2 w_k)`,

    each by Gaussian and feature. Gradients with respect to the weights are left out, as in
    [1]_: they only count elements, and were found to add little [2]_. `power` and
    `normalize` are the improvements of [1]_.

    The mixture is that of expectation-maximisation from K-means, as scikit-learn's
    `GaussianMixture` fits it, with elements weighted by their masses. The scale of features
    plays no part. `mixture_` is a `GaussianMixture` with all its methods for prediction.

    References
    ----------
    .. [1] F. Perronnin, J. Sánchez and T. Mensink, "Improving the Fisher Kernel for
           Large-Scale Image Classification", ECCV 2010.
    .. [2] J. Sánchez, F. Perronnin, T. Mensink and J. Verbeek, "Image Classification with
           the Fisher Vector: Theory and Practice", International Journal of Computer
           Vision 105 (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import FisherVectorEmbedding
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35, 50)]
    >>> FisherVectorEmbedding(4, random_state=0).fit_transform(X).shape
    (3, 24)
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "power": [Interval(Real, 0, None, closed="neither")],
        "normalize": ["boolean"],
        "reg_covar": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_elements": FEATURE_CONSTRAINTS["max_elements"],
        "n_jobs": FEATURE_CONSTRAINTS["n_jobs"],
        "random_state": FEATURE_CONSTRAINTS["random_state"],
    }

    def __init__(
        self,
        n_components=16,
        *,
        power=0.5,
        normalize=True,
        reg_covar=0.05,
        max_iter=100,
        tol=1e-3,
        max_elements=300_000,
        n_jobs=None,
        random_state=None,
    ):
        self.n_components = n_components
        self.power = power
        self.normalize = normalize
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.tol = tol
        self.max_elements = max_elements
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the mixture to elements.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.
        y : ignored
            Present for pipelines, which hand it over.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights. A set of weight 2 is the same as
            two of them, as long as the elements fit into the sample that is learned from.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not what is expected. The message
            names the set. The estimator stays as it was.

        Warns
        -----
        ConvergenceWarning
            If the mixture has not settled within `max_iter` iterations.
        """
        sets = as_sets(X)
        check_finite(sets)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(0, X, y, sample_weight)
        random = check_random_state(self.random_state)
        sample_seed, seed = (int(s) for s in random.randint(2**31 - 1, size=2))
        elements = sample_elements(
            sets, positions_of(sets, None), self.max_elements, sample_seed, weights
        )
        if len(elements.rows) < self.n_components:
            warnings.warn(
                f"n_components={self.n_components} is more than the {len(elements.rows)} "
                "distinct elements to learn from; there are that many Gaussians.",
                UserWarning,
                stacklevel=2,
            )
        with single_threaded(), np.errstate(all="ignore"):
            mixture = self._fit_mixture(elements, seed)
        if not mixture.converged_:
            warnings.warn(
                f"The mixture has not settled within max_iter={self.max_iter} iterations; "
                f"its log-likelihood still changes by more than tol={self.tol:g}.",
                ConvergenceWarning,
                stacklevel=2,
            )
        attributes = {
            **fit_input_of(X, sets),
            "mixture_": mixture,
            "n_iter_": mixture.n_iter_,
        }
        progress.end_fit(attributes)
        publish(self, attributes)
        return self

    def _fit_mixture(self, elements, seed):
        """Return the mixture as scikit-learn's, in the units of the elements."""
        rows, masses = elements.rows.astype(np.float64), elements.masses
        masses = masses / masses.sum()
        mean, unit = _units_of(rows, masses)
        gaussians, history = _fit_gaussians(
            (rows - mean) / unit,
            masses,
            n_components=self.n_components,
            reg_covar=float(self.reg_covar),
            max_iter=self.max_iter,
            tol=float(self.tol),
            random_state=seed,
        )
        mixture = GaussianMixture(
            len(gaussians.weights),
            covariance_type="diag",
            tol=self.tol,
            reg_covar=self.reg_covar,
            max_iter=self.max_iter,
        )
        deviations = gaussians.deviations * unit
        mixture.weights_ = gaussians.weights
        mixture.means_ = gaussians.means * unit + mean
        mixture.covariances_ = deviations**2
        mixture.precisions_cholesky_ = 1 / deviations
        mixture.precisions_ = mixture.precisions_cholesky_**2
        mixture.n_features_in_ = rows.shape[1]
        mixture.n_iter_ = len(history)
        mixture.lower_bound_ = history[-1] - np.log(unit).sum()
        mixture.converged_ = len(history) > 1 and abs(history[-1] - history[-2]) < self.tol
        return mixture

    def transform(self, X):
        """Embed sets.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.

        Returns
        -------
        ndarray of shape (n_sets, 2 * n_components * n_features)
            In the precision of X. First the gradients with respect to means, in the order
            component, feature; then those with respect to deviations.
        """
        model = copy.copy(self)  # whatever is fitted in another thread
        sets = as_fitted_sets(model, X)
        model._validate_params()
        check_finite(sets)
        gaussians, center, unit = _fitted_gaussians(model.mixture_, sets.n_features)
        n_components, n_features = gaussians.means.shape
        out = np.empty((len(sets), 2 * n_components * n_features), sets.dtype)
        max_rows = _max_rows(n_components, n_features)

        def embed(chunk):
            part = sets[chunk]
            masses = part.masses
            pooled = np.empty((len(part), n_components, 1 + 2 * n_features))
            for rows in gen_batches(len(part.values), max_rows):  # several for a long set
                x = (part.values[rows] - center) / unit
                offsets = np.clip(part.offsets - rows.start, 0, len(x))
                gaussians.pool(x, masses[rows], offsets, rows.start > 0, pooled)
            vectors = gaussians.gradients(pooled)
            if model.power != 1:
                vectors = np.sign(vectors) * np.abs(vectors) ** model.power
            out[chunk] = unit_rows(vectors)[0] if model.normalize else vectors

        map_chunks(
            embed,
            sets.lengths,
            rows_per_set=4 * n_components,  # moments, gradients and what comes in between
            max_rows=max_rows,
            n_jobs=model.n_jobs,
        )
        check_finite_output(out, "embedding")
        return out

    @property
    def _n_features_out(self):
        return 2 * self.mixture_.means_.size

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass(frozen=True)
class _Gaussians:
    """A mixture with diagonal covariances, in units in which elements have variance 1.

    Squares of elements in these units can be expanded without losing digits.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
    means, deviations : ndarray of shape (n_components, n_features)
    """

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    def pool(self, x, masses, offsets, adding, pooled):
        """Write each set's moments by Gaussian, `sum_i a_i gamma_ik [1, x_i, x_i^2]`.

        Parameters
        ----------
        x : ndarray of shape (n_elements, n_features)
        masses : ndarray of shape (n_elements,)
        offsets : ndarray of int of shape (n_sets + 1,)
        adding : bool
            Add to what is there.
        pooled : ndarray of shape (n_sets, n_components, 1 + 2 * n_features)

        Returns
        -------
        float
            The log-likelihood of all elements, by their masses.
        """
        precisions = self.deviations**-2.0
        constants = np.log(self.weights) - np.log(self.deviations).sum(axis=1)
        constants -= np.sum(self.means**2 * precisions + math.log(2 * math.pi), axis=1) / 2
        terms = [constants[:, np.newaxis], self.means * precisions, -precisions / 2]
        moments = np.concatenate([np.ones((len(x), 1)), x, x**2], axis=1)
        logits = np.concatenate(terms, axis=1) @ moments.T
        largest = logits.max(axis=0)
        shares = np.exp(logits - largest)
        totals = shares.sum(axis=0)
        shares *= masses / totals
        _kernels.pool(shares, moments, offsets, adding, pooled)
        return masses @ (largest + np.log(totals))

    def gradients(self, pooled):
        """Turn moments into gradients with respect to means and deviations, normalised.

        Parameters
        ----------
        pooled : ndarray of shape (n_sets, n_components, 1 + 2 * n_features)

        Returns
        -------
        ndarray of shape (n_sets, 2 * n_components * n_features)
        """
        mass, first, second = np.split(pooled, [1, 1 + self.means.shape[1]], axis=2)
        offset = (first - mass * self.means) / self.deviations
        spread = second - 2 * self.means * first + mass * self.means**2
        spread = (spread / self.deviations**2 - mass) / math.sqrt(2)
        gradients = np.stack([offset, spread], axis=1)
        gradients /= np.sqrt(self.weights)[:, np.newaxis]
        return gradients.reshape(len(pooled), -1)


def _max_rows(n_components, n_features):
    """Elements to work on at a time."""
    # Of each, in float64: values, moments, and twice the responsibilities.
    in_memory = rows_in_memory(8 * (4 * n_features + 2 * n_components))
    return min(in_memory, chunk_rows(2 * n_features + n_components))


def _fitted_gaussians(mixture, n_features):
    """Return the `_Gaussians` of a mixture, and the centre and units of its features."""
    weights = as_fitted(mixture.weights_, "mixture_.weights_", (None,))
    shape = len(weights), n_features
    means = as_fitted(mixture.means_, "mixture_.means_", shape)
    roots = as_fitted(mixture.precisions_cholesky_, "mixture_.precisions_cholesky_", shape)
    center = weights @ means
    off, deviations = means - center, 1 / roots
    # By the largest first: squares may leave the range of floats.
    largest = np.maximum(np.abs(off), deviations).max(axis=0)
    variances = weights @ ((off / largest) ** 2 + (deviations / largest) ** 2)
    unit = largest * np.sqrt(variances)
    return _Gaussians(weights, off / unit, deviations / unit), center, unit


def _units_of(rows, masses):
    """Mean and standard deviation of each feature; where it is constant, its size, or 1."""
    largest = np.abs(rows).max(axis=0)
    largest[largest < _SMALLEST] = 1.0
    scaled = rows / largest  # squares may leave the range of floats
    mean = masses @ scaled
    deviation = np.sqrt(masses @ (scaled - mean) ** 2)
    deviation[deviation <= 10 * np.finfo(np.float64).eps] = 1.0
    return mean * largest, deviation * largest


def _fit_gaussians(x, masses, n_components, reg_covar, max_iter, tol, random_state):
    """Fit a mixture by expectation-maximisation, from K-means.

    That of scikit-learn's `GaussianMixture`, which takes no weights of samples.

    Parameters
    ----------
    x : ndarray of shape (n_elements, n_features)
    masses : ndarray of shape (n_elements,)
        Sum to 1.
    n_components, reg_covar, max_iter, tol
        As in `GaussianMixture`.
    random_state : int

    Returns
    -------
    gaussians : _Gaussians
    history : list of float
        Mean log-likelihood at each iteration.
    """
    _, label = kmeans_centers(x, masses, n_components, random_state)
    n_components = min(n_components, len(x))
    n_features = x.shape[1]
    pooled = np.zeros((1, n_components, 1 + 2 * n_features))
    for k in range(n_components):
        of_cluster = label == k
        shares, members = masses[of_cluster], x[of_cluster]
        pooled[0, k] = np.concatenate(
            [[shares.sum()], shares @ members, shares @ members**2]
        )
    history = [-np.inf]
    max_rows = _max_rows(n_components, n_features)
    while True:
        gaussians = _most_likely(pooled[0], reg_covar)
        if len(history) > max_iter or (
            len(history) > 1 and abs(history[-1] - history[-2]) < tol
        ):
            return gaussians, history[1:]
        total = 0.0
        for rows in gen_batches(len(x), max_rows):
            offsets = np.array([0, rows.stop - rows.start])
            total += gaussians.pool(x[rows], masses[rows], offsets, rows.start > 0, pooled)
        history.append(total)


def _most_likely(moments, reg_covar):
    """The `_Gaussians` of largest likelihood for given moments."""
    n_features = moments.shape[1] // 2
    weights = moments[:, 0] + 10 * np.finfo(np.float64).eps  # some may have no elements
    means = moments[:, 1 : 1 + n_features] / weights[:, np.newaxis]
    squares = moments[:, 1 + n_features :] / weights[:, np.newaxis]
    variances = np.maximum(squares - means**2, 0.0) + reg_covar
    return _Gaussians(weights / weights.sum(), means, np.sqrt(variances))
