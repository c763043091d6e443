"""Shared by estimators: parameter constraints, sample weights, tags, fitted attributes."""

import functools
import importlib.metadata
from numbers import Integral, Real

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import check_random_state

from otk_sklearn._utils import sklearn_compat
from otk_sklearn._utils.sklearn_compat import HasMethods, Interval, StrOptions

# Constraints on the parameters of estimators that learn features of elements or windows.
FEATURE_CONSTRAINTS = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "gamma": [StrOptions({"median"}), Interval(Real, 0, None, closed="neither")],
    "damping": [Interval(Real, 0, None, closed="neither")],
    "filter_size": [Interval(Integral, 1, None, closed="left")],
    "padding": [StrOptions({"valid", "same"})],
    "anchors": [StrOptions({"kmeans", "random"}), "array-like"],
    "max_elements": [Interval(Integral, 1, None, closed="left")],
    "memory": [None, str, HasMethods(["cache"])],
    "n_jobs": [
        None,
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
    ],
    "random_state": ["random_state"],
}

_N_SEEDS = 5

# Smallest and largest sum of weights: its square stays in the range of floats.
_SUM_RANGE = 1e-100, 1e100


def check_sample_weight(sample_weight, sets):
    """Validate sample weights, one for each set.

    Parameters
    ----------
    sample_weight : array-like of shape (n_sets,) or None
        None is returned as None.
    sets : SetCollection

    Returns
    -------
    ndarray of float64 of shape (n_sets,), or None
    """
    if sample_weight is None:
        return None
    weights = sklearn_compat.check_sample_weight(
        sample_weight, sets.offsets[1:], dtype=np.float64, ensure_non_negative=True
    )
    check_sum_of_weights(weights, "sample_weight")
    return weights


def check_sum_of_weights(weights, name):
    """Raise an error if sums or products of the weights could overflow or underflow."""
    total = weights.sum()
    if not _SUM_RANGE[0] <= total <= _SUM_RANGE[1]:
        raise ValueError(
            f"{name} adds up to {total:g}; expected a sum of {_SUM_RANGE[0]:g} to "
            f"{_SUM_RANGE[1]:g}."
        )


def draw_seeds(random_state):
    """Draw the seeds of all steps that an embedding may have.

    They are drawn at once, so that a step that is skipped or cached changes no other seed,
    and estimators of equal `random_state` use the same ones for the steps that they share.

    Returns
    -------
    list of int
        Of the sampled elements, gamma, the anchors, the references and the sampled sets.
    """
    random = check_random_state(random_state)
    return [int(seed) for seed in random.randint(2**31 - 1, size=_N_SEEDS)]


def set_fitted(estimator, attributes):
    """Set the fitted attributes of an estimator atomically.

    After an interrupt, and in other threads, the estimator has the attributes of either the
    previous fit or the new one, never a mixture. A method that reads several attributes
    should read them from one `copy.copy` of the estimator.
    """
    state = vars(estimator).copy()
    if "feature_names_in_" not in attributes:  # set only by some fits
        state.pop("feature_names_in_", None)
    state.update(attributes)
    estimator.__dict__ = state


class DocumentedMixin:
    """Mixin for estimators whose HTML representation links to their documentation."""

    _doc_link_module = "otk_sklearn"

    @property
    def _doc_link_template(self):
        url = _documentation_url()
        return url and url + "generated/{estimator_module}.{estimator_name}.html"


@functools.cache
def _documentation_url():
    """URL of the documentation from the package metadata, or an empty string."""
    try:
        urls = importlib.metadata.metadata("otk-sklearn").get_all("Project-URL", [])
    except importlib.metadata.PackageNotFoundError:
        return ""
    return dict(url.split(", ", 1) for url in urls).get("Documentation", "")


class VectorsOutMixin(TransformerMixin):
    """Mixin for transformers of sets into vectors of the same dtype."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class SetsOutMixin(TransformerMixin, auto_wrap_output_keys=None):
    """Mixin for transformers of sets whose output is a `SetCollection`."""

    def set_output(self, *, transform=None):
        """Do nothing: sets are not tabular, and the output container is always the same.

        Parameters
        ----------
        transform : ignored
            The output is a `SetCollection` in any case.

        Returns
        -------
        self : object
            The unchanged estimator.
        """
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
