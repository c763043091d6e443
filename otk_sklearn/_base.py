"""What estimators have in common."""

from numbers import Integral, Real

from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

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


def publish(estimator, attributes):
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


class SetsOutMixin(TransformerMixin, auto_wrap_output_keys=None):
    """A transformer of sets whose output is a `SetCollection`."""

    def set_output(self, *, transform=None):
        """Do nothing: sets have no table for an output container.

        Parameters
        ----------
        transform : ignored

        Returns
        -------
        self : object
        """
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
