"""`FisherVectorEmbedding`: gradients of a Gaussian mixture's log-likelihood."""

import copy
import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import softmax
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import Interval

from otk_sklearn import _kernels
from otk_sklearn._arrays import as_fitted
from otk_sklearn._base import FEATURE_CONSTRAINTS, publish
from otk_sklearn._clustering import sample_elements
from otk_sklearn._features import unit_rows
from otk_sklearn._parallel import chunk_rows, map_chunks, rows_in_memory, single_threaded
from otk_sklearn._positions import positions_of
from otk_sklearn._validation import (
    as_fitted_sets,
    as_sets,
    check_finite,
    check_finite_output,
    check_sample_weight,
    fit_input_of,
)


class FisherVectorEmbedding(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
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
    reg_covar : float, default=1e-6
        Added to the variances of the Gaussians, as a part of those of each feature.
    max_iter : int, default=100
        Maximal number of iterations of expectation-maximisation.
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

    The mixture is fitted on a systematic sample of the elements, each drawn as often as its
    mass says. The scale of features plays no part.

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
        reg_covar=1e-6,
        max_iter=100,
        max_elements=300_000,
        n_jobs=None,
        random_state=None,
    ):
        self.n_components = n_components
        self.power = power
        self.normalize = normalize
        self.reg_covar = reg_covar
        self.max_iter = max_iter
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
        sample_weight : array-like of shape (n_sets,), default=None
            Weights of the sets: how much the elements of each count for the mixture. None
            means equal ones.

        Returns
        -------
        self : object

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
        sample_weight = check_sample_weight(sample_weight, sets)
        random = check_random_state(self.random_state)
        seeds = [int(seed) for seed in random.randint(2**31 - 1, size=3)]
        elements = sample_elements(
            sets, positions_of(sets, None), self.max_elements, seeds[0], sample_weight
        )
        if len(elements.rows) < self.n_components:
            warnings.warn(
                f"n_components={self.n_components} is more than the {len(elements.rows)} "
                "distinct elements to learn from; there are that many Gaussians.",
                UserWarning,
                stacklevel=2,
            )
        with single_threaded(), np.errstate(all="ignore"):
            mixture = self._fit_mixture(elements, seeds[1:])
        attributes = {
            **fit_input_of(X, sets),
            "mixture_": mixture,
            "n_iter_": mixture.n_iter_,
        }
        publish(self, attributes)
        return self

    def _fit_mixture(self, elements, seeds):
        """Fit the mixture to elements in units in which every feature has variance 1."""
        rows = elements.rows.astype(np.float64)
        masses = elements.masses / elements.masses.sum()
        largest = np.abs(rows).max(axis=0)  # whose squares may leave the range of floats
        unit = np.where(largest > 0, largest, 1.0)
        mean = masses @ (rows / unit)
        deviation = np.sqrt(masses @ (rows / unit - mean) ** 2)
        deviation[deviation <= 10 * np.finfo(np.float64).eps] = 1.0
        rows = (rows / unit - mean) / deviation
        mixture = GaussianMixture(
            min(self.n_components, len(rows)),
            covariance_type="diag",
            reg_covar=float(self.reg_covar),
            max_iter=self.max_iter,
            random_state=seeds[1],
        )
        mixture.fit(rows[_systematic_sample(masses, seeds[0])])
        scale = deviation * unit
        mixture.means_ = mixture.means_ * scale + mean * unit
        mixture.precisions_cholesky_ = mixture.precisions_cholesky_ / scale
        mixture.covariances_ = mixture.covariances_ * scale**2
        mixture.precisions_ = mixture.precisions_cholesky_**2
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
        gradients = _Gradients(model.mixture_, sets.n_features)
        out = np.empty((len(sets), gradients.size), sets.dtype)
        # Of each element, in float64: its values, their squares, and responsibilities.
        max_rows = rows_in_memory(8 * 4 * (2 * sets.n_features + len(gradients.means)))
        max_rows = min(max_rows, chunk_rows(2 * sets.n_features + len(gradients.means)))

        def embed(chunk):
            vectors = gradients(sets[chunk], max_rows)
            if model.power != 1:
                vectors = np.sign(vectors) * np.abs(vectors) ** model.power
            out[chunk] = unit_rows(vectors)[0] if model.normalize else vectors

        map_chunks(
            embed,
            sets.lengths,
            rows_per_set=2 * len(gradients.means),
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


class _Gradients:
    """Normalised gradients of sets' mean log-likelihood, in float64.

    Parameters
    ----------
    mixture : GaussianMixture
    n_features : int
    """

    def __init__(self, mixture, n_features):
        self.weights = as_fitted(mixture.weights_, "mixture_.weights_", (None,))
        shape = len(self.weights), n_features
        means = as_fitted(mixture.means_, "mixture_.means_", shape)
        covariances = as_fitted(mixture.covariances_, "mixture_.covariances_", shape)
        # In units of the whole mixture, about its mean: expanded squares cancel little.
        self.center = self.weights @ means
        self.unit = np.sqrt(self.weights @ (covariances + (means - self.center) ** 2))
        self.means = (means - self.center) / self.unit
        self.deviations = np.sqrt(covariances) / self.unit
        self.size = 2 * means.size

    def __call__(self, sets, max_rows):
        """Return the gradients of each set, in blocks of so many elements.

        Returns
        -------
        ndarray of shape (n_sets, 2 * n_components * n_features)
        """
        n_components, n_features = self.means.shape
        masses = sets.masses
        pooled = np.empty((len(sets), n_components, 1 + 2 * n_features))
        for rows in gen_batches(len(sets.values), max_rows):  # several for a long set
            x = (sets.values[rows] - self.center) / self.unit
            moments = np.concatenate([np.ones((len(x), 1)), x, x**2], axis=1)
            shares = (self._responsibilities(x) * masses[rows, np.newaxis]).T
            offsets = np.clip(sets.offsets - rows.start, 0, len(x))
            shares = np.ascontiguousarray(shares)
            _kernels.pool(shares, moments, offsets, rows.start > 0, pooled)
        return self._normalised(pooled).reshape(len(sets), -1)

    def _responsibilities(self, x):
        """Probabilities of the components, of shape (n_elements, n_components)."""
        precisions = self.deviations**-2.0
        constant = np.log(self.weights) - np.log(self.deviations).sum(axis=1)
        constant -= (self.means**2 * precisions).sum(axis=1) / 2
        logits = x @ (self.means * precisions).T - x**2 @ precisions.T / 2 + constant
        return softmax(logits, axis=1)

    def _normalised(self, pooled):
        """Gradients from sums of responsibilities times `1, x, x^2`."""
        mass, first, second = np.split(pooled, [1, 1 + self.means.shape[1]], axis=2)
        root = np.sqrt(self.weights)[:, np.newaxis]
        off = (first - mass * self.means) / self.deviations
        spread = (second - 2 * first * self.means + mass * self.means**2) / (
            self.deviations**2
        ) - mass
        return np.stack([off / root, spread / (np.sqrt(2) * root)], axis=1)


def _systematic_sample(masses, seed):
    """Indices of rows, each drawn as often as its mass says, but for rounding.

    Parameters
    ----------
    masses : ndarray of shape (n_rows,)
        Sum to 1.
    seed : int

    Returns
    -------
    ndarray of int of shape (max(2, n_rows),)
    """
    n_drawn = max(2, len(masses))  # GaussianMixture takes no fewer
    start = np.random.RandomState(seed).uniform()
    levels = (np.arange(n_drawn) + start) / n_drawn
    drawn = np.searchsorted(np.cumsum(masses), levels)
    return np.minimum(drawn, len(masses) - 1)
