"""`FisherVectorEmbedding`: gradients of the log-likelihood of a Gaussian mixture."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from otk_sklearn._compiled.pooling import pool
from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn._utils.chunks import batches_of
from otk_sklearn._utils.estimators import (
    EMPTY_SETS_CONSTRAINT,
    FEATURE_CONSTRAINTS,
    draw_seeds,
    product_names,
)
from otk_sklearn._utils.sklearn_compat import Interval
from otk_sklearn.embeddings._base import Pooling, SetEmbedding
from otk_sklearn.embeddings._gaussian_mixture import fit_mixture, responsibilities
from otk_sklearn.features._unit_norm import unit_rows
from otk_sklearn.sets._arrays import as_fitted
from otk_sklearn.sets._equality import group_equal_rows
from otk_sklearn.sets._offsets import offsets_in
from otk_sklearn.sets._sampling import draw_rows, masses_unless_equal, sample_size


class FisherVectorEmbedding(SetEmbedding):
    """Embed each set by its Fisher vector with respect to a Gaussian mixture.

    A mixture with diagonal covariances is fitted to the elements of all sets. The Fisher
    vector of a set consists of the gradients of its mean log-likelihood with respect to the
    means and standard deviations of the mixture, normalized by the Fisher information [1]_.
    They describe how the mean and the spread of the elements differ from each Gaussian.

    Parameters
    ----------
    n_components : int, default=16
        Number of Gaussians. Reduced, with a warning, to the number of distinct elements if
        these are fewer.
    power : float, default=0.5
        Power normalization: each entry z of the vector becomes `sign(z) |z|^power`. Must be
        positive; 1 has no effect.
    normalize : bool, default=True
        Whether vectors are L2-normalized, after `power`.
    reg_covar : float, default=0.05
        Added to the variances of the Gaussians, relative to the variance of each feature.
        Must be positive.
    max_iter : int, default=100
        Maximum number of iterations of expectation-maximization.
    tol : float, default=1e-3
        Convergence threshold: expectation-maximization stops once the mean log-likelihood
        changes by less.
    max_elements : int or "auto", default="auto"
        Maximum number of elements that the mixture is fitted to. If there are more, they
        are sampled without replacement. "auto" is 256 for each Gaussian, and at least
        20,000.
    empty_sets : {"error", "zero"}, default="error"
        What to do with a set without elements: raise an error, or embed it as zeros, and
        ignore it in `fit`.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors, the most that are used. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Controls the random sampling of elements, and the initialization of the mixture. See
        :term:`Glossary <random_state>`.

    Attributes
    ----------
    scaler_ : StandardScaler
        Standardizes the elements before the mixture is fitted.
    mixture_ : GaussianMixture
        The mixture fitted to standardized elements.
    n_iter_ : int
        Number of iterations of expectation-maximization.
    n_features_in_ : int
        Number of features of the elements seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names, as
        DataFrames do.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The mixture model.
    OTKEmbedding : Pools elements by optimal transport instead of responsibilities.

    Notes
    -----
    Let `x_i` be the standardized elements of a set, of masses `a_i` that sum to 1; `w_k`,
    `mu_k` and `sigma_k` the weights, means and standard deviations of the mixture; and
    `gamma_ik` the responsibilities, the posterior probabilities of Gaussian k given element
    i. The vector is the concatenation of

    - `sum_i a_i gamma_ik (x_i - mu_k) / sigma_k / sqrt(w_k)` and
    - `sum_i a_i gamma_ik ((x_i - mu_k)^2 / sigma_k^2 - 1) / sqrt(2 w_k)`,

    each of `n_components * n_features` numbers, ordered by Gaussian and then feature.
    Gradients with respect to the weights are omitted, as in [1]_: they depend only on the
    responsibilities, and were found to add little [2]_. `power` and `normalize` are the
    improvements of [1]_.

    The mixture is fitted to the elements of all sets with equal weights, as
    `GaussianMixture` does not support sample weights. Elements of weight zero are ignored.
    As elements are standardized, the scale of features has no effect. `fit` warns
    (`ConvergenceWarning`) if the mixture has not converged within `max_iter` iterations.

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

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        **EMPTY_SETS_CONSTRAINT,
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

    _transform_parameters = ("power", "normalize", "empty_sets", "n_jobs")

    def __init__(
        self,
        n_components: int = 16,
        *,
        power: float = 0.5,
        normalize: bool = True,
        reg_covar: float = 0.05,
        max_iter: int = 100,
        tol: float = 1e-3,
        max_elements: int | Literal["auto"] = "auto",
        empty_sets: Literal["error", "zero"] = "error",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.power = power
        self.normalize = normalize
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.tol = tol
        self.max_elements = max_elements
        self.empty_sets = empty_sets
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _learn(self, sets, sample_weight):
        sample_seed, mixture_seed, *_ = draw_seeds(self.random_state)
        sample = self._sample_elements(sets, sample_seed)
        scaler = StandardScaler().fit(sample)
        elements = _standardized(scaler, sample)
        if not np.isfinite(elements).all():
            raise ValueError(
                "The variance of the elements of X leaves the range of float64; "
                "expected elements on a smaller scale (see ElementTransformer)."
            )
        mixture = fit_mixture(
            elements,
            self._n_gaussians(elements),
            reg_covar=self.reg_covar,
            max_iter=self.max_iter,
            tol=self.tol,
            random_state=mixture_seed,
        )
        if not mixture.converged_:
            warn_caller(
                f"The mixture has not converged within max_iter={self.max_iter} "
                f"iterations. Increase max_iter or tol={self.tol:g}.",
                ConvergenceWarning,
            )
        return {"scaler_": scaler, "mixture_": mixture, "n_iter_": mixture.n_iter_}

    def _sample_elements(self, sets, seed):
        """Return at most `max_elements` elements of positive weight, in float64."""
        max_elements = sample_size(self.max_elements, self.n_components)
        masses = masses_unless_equal(sets)
        rows = draw_rows(sets.offsets, masses, max_elements, seed)
        if len(rows) < 2:
            raise ValueError(
                "X has n_samples=1 element of positive weight to fit a mixture to, with "
                f"max_elements={self.max_elements}; expected at least 2."
            )
        return sets.values[rows].astype(np.float64)

    def _n_gaussians(self, elements):
        """Return `n_components`, or the number of distinct elements if that is smaller."""
        n_distinct = len(group_equal_rows(elements)[0])
        if n_distinct < self.n_components:
            warn_caller(
                f"n_components={self.n_components} is more than the {n_distinct} distinct "
                "elements to learn from; only that many Gaussians are fitted.",
                UserWarning,
            )
        return min(self.n_components, n_distinct)

    def _pooling(self, sets):
        scaler = _validated_scaler(self.scaler_, sets.n_features)
        mixture = _validated_mixture(self.mixture_, sets.n_features)
        n_components, n_features = mixture.means_.shape

        def embed(part, max_rows, out):
            masses = part.masses
            moments = np.empty((len(part), n_components, 1 + 2 * n_features))
            for rows in batches_of(len(part.values), max_rows):  # splits long sets
                x = _standardized(scaler, part.values[rows].astype(np.float64))
                shares = responsibilities(mixture, x).T * masses[rows]
                powers = np.concatenate([np.ones((len(x), 1)), x, x**2], axis=1)
                offsets = offsets_in(rows, part.offsets)
                pool(shares, powers, offsets, rows.start > 0, moments)
            vectors = _gradients(mixture, moments)
            if self.power != 1:
                vectors = np.sign(vectors) * np.abs(vectors) ** self.power
            out[:] = unit_rows(vectors)[0] if self.normalize else vectors

        return Pooling(
            sets,
            embed,
            # In float64: values, powers, and twice the responsibilities.
            row_bytes=8 * (4 * n_features + 2 * n_components),
            width=2 * n_features + n_components,
            rows_per_set=4 * n_components,  # moments, gradients and temporary arrays
            n_jobs=self.n_jobs,
        )

    @property
    def _n_features_out(self):
        return 2 * self.mixture_.means_.size

    def _component_names(self):
        n_components, n_features = self.mixture_.means_.shape
        names = product_names(component=n_components, feature=n_features)
        return [f"{of}_{name}" for of in ("mean", "deviation") for name in names]


def _standardized(scaler, elements):
    """As by `scaler.transform`, but an array, whatever scikit-learn's output container."""
    return (elements - scaler.mean_) / scaler.scale_


def _validated_scaler(scaler, n_features):
    """Check the shapes of its arrays, and return the scaler."""
    as_fitted(scaler.mean_, "scaler_.mean_", (n_features,))
    as_fitted(scaler.scale_, "scaler_.scale_", (n_features,))
    return scaler


def _validated_mixture(mixture, n_features):
    """Check the shapes of its arrays, on which compiled code relies; return the mixture."""
    n_components = len(as_fitted(mixture.weights_, "mixture_.weights_", (None,)))
    shape = n_components, n_features
    as_fitted(mixture.means_, "mixture_.means_", shape)
    as_fitted(mixture.precisions_cholesky_, "mixture_.precisions_cholesky_", shape)
    return mixture


def _gradients(mixture, moments):
    """Compute the normalized gradients with respect to means and standard deviations.

    Parameters
    ----------
    mixture : GaussianMixture
    moments : ndarray of shape (n_sets, n_components, 1 + 2 * n_features)
        `sum_i a_i gamma_ik [1, x_i, x_i^2]` of each set and Gaussian.

    Returns
    -------
    ndarray of shape (n_sets, 2 * n_components * n_features)
    """
    means, precisions = mixture.means_, mixture.precisions_cholesky_
    mass, first, second = np.split(moments, [1, 1 + means.shape[1]], axis=2)
    offset = (first - mass * means) * precisions
    spread = second - 2 * means * first + mass * means**2
    spread = (spread * precisions**2 - mass) / np.sqrt(2)
    gradients = np.stack([offset, spread], axis=1)
    gradients /= np.sqrt(mixture.weights_)[:, np.newaxis]
    return gradients.reshape(len(moments), -1)
