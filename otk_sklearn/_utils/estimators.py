"""What estimators share: parameter constraints, weights of sets, tags, fitted state."""

import functools
import importlib.metadata
from numbers import Integral, Real

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight

# Parameters of estimators that learn features of elements or windows.
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

# Sums of weights that can be squared.
_SUM_RANGE = 1e-100, 1e100


def check_sample_weight(sample_weight, sets):
    """Return the weights of sets as an array.

    Parameters
    ----------
    sample_weight : array-like of shape (n_sets,) or None
        None stays None.
    sets : SetCollection

    Returns
    -------
    ndarray of float64 of shape (n_sets,), or None
    """
    if sample_weight is None:
        return None
    weights = _check_sample_weight(
        sample_weight, sets.offsets[1:], dtype=np.float64, ensure_non_negative=True
    )
    check_sum_of_weights(weights, "sample_weight")
    return weights


def check_sum_of_weights(weights, name):
    """Raise an error where sums and products of weights would leave the range of floats."""
    total = weights.sum()
    if not _SUM_RANGE[0] <= total <= _SUM_RANGE[1]:
        raise ValueError(
            f"{name} adds up to {total:g}; expected a sum of {_SUM_RANGE[0]:g} to "
            f"{_SUM_RANGE[1]:g}."
        )


def set_fitted(estimator, attributes):
    """Give an estimator what a fit has learned, all of it at once.

    Whatever comes in between, an interrupt or a method in another thread, finds either the
    old fit or the new one. A method that reads several attributes takes them from one
    `copy.copy` of the estimator.
    """
    state = vars(estimator).copy()
    if "feature_names_in_" not in attributes:  # the one that not every fit learns
        state.pop("feature_names_in_", None)
    state.update(attributes)
    estimator.__dict__ = state


class DocumentedMixin:
    """An estimator whose HTML representation links to its page of the documentation."""

    _doc_link_module = "otk_sklearn"

    @property
    def _doc_link_template(self):
        url = _documentation_url()
        return url and url + "generated/{estimator_module}.{estimator_name}.html"


@functools.cache
def _documentation_url():
    """Where the documentation is, by the installed package; else an empty string."""
    try:
        urls = importlib.metadata.metadata("otk-sklearn").get_all("Project-URL", [])
    except importlib.metadata.PackageNotFoundError:
        return ""
    return dict(url.split(", ", 1) for url in urls).get("Documentation", "")


class VectorsOutMixin(TransformerMixin):
    """A transformer of sets into vectors, in the precision of the sets."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class SetsOutMixin(TransformerMixin, auto_wrap_output_keys=None):
    """A transformer of sets whose output is a `SetCollection`."""

    def set_output(self, *, transform=None):
        """Do nothing: sets have no table for an output container.

        Parameters
        ----------
        transform : ignored
            Sets are no tables: they come out as a `SetCollection` in any case.

        Returns
        -------
        self : object
            The estimator, as it was.
        """
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
