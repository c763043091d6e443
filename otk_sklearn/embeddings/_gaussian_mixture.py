"""scikit-learn's Gaussian mixture, without what is not safe in threads.

`GaussianMixture.fit` warns where it can't be silenced in one thread alone, and
`predict_proba` validates its input within `warnings.catch_warnings`, which changes the
filters of the whole process.
"""

import numpy as np
from sklearn.mixture import GaussianMixture

from otk_sklearn.features._clustering import kmeans_centers


class _UnwarnedMixture(GaussianMixture):
    """A mixture whose `fit` does not warn, but sets `has_converged`."""

    @property
    def converged_(self):
        """What `fit` looks at before it warns."""
        return True

    @converged_.setter
    def converged_(self, has_converged):
        self.has_converged = has_converged

    def _initialize_parameters(self, X, random_state, **namespace):
        rows = np.ldexp(X, -np.frexp(np.abs(X).max())[1])  # squares must not overflow
        _, label = kmeans_centers(rows, np.ones(len(X)), self.n_components, random_state)
        self._initialize(X, np.eye(self.n_components)[label], **namespace)


def fit_mixture(elements, n_components, **params):
    """Fit a mixture with diagonal covariances, as `GaussianMixture.fit` does.

    Parameters
    ----------
    elements : ndarray of float64 of shape (n_elements, n_features)
    n_components : int
    **params
        Other parameters of `GaussianMixture`.

    Returns
    -------
    GaussianMixture
        The caller is to warn unless it is `converged_`.
    """
    params = {"n_components": n_components, "covariance_type": "diag", **params}
    # Not "kmeans", which is refused with `array_api_dispatch`; it decides nothing here.
    fitted = _UnwarnedMixture(init_params="random", **params).fit(elements)
    mixture = GaussianMixture(**params)
    own = {**mixture.get_params(), "converged_": fitted.has_converged}
    vars(mixture).update({**vars(fitted), **own})
    del mixture.has_converged
    return mixture


def responsibilities(mixture, elements):
    """Posterior probabilities of the Gaussians, of shape (n_elements, n_components)."""
    _, log_responsibilities = mixture._estimate_log_prob_resp(elements)
    return np.exp(log_responsibilities)
