"""Shared by estimators: parameter constraints, sample weights, tags, fitted attributes."""

from __future__ import annotations

import copy
import functools
import importlib.metadata
import inspect
import itertools
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from otk_sklearn._utils import sklearn_compat
from otk_sklearn._utils.sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    output_container,
)

# Constraints on the parameters of estimators that learn features of elements or windows.
FEATURE_CONSTRAINTS = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "gamma": [StrOptions({"median"}), Interval(Real, 0, None, closed="neither")],
    "damping": [Interval(Real, 0, None, closed="neither")],
    "filter_size": [Interval(Integral, 1, None, closed="left")],
    "padding": [StrOptions({"valid", "same"})],
    "anchors": [StrOptions({"kmeans", "random"}), "array-like"],
    "max_elements": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "memory": [None, str, HasMethods(["cache"])],
    "n_jobs": [
        None,
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
    ],
    "random_state": ["random_state"],
}

# Constraint on the parameter of estimators that embed sets.
EMPTY_SETS_CONSTRAINT = {"empty_sets": [StrOptions({"error", "zero"})]}

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


def check_input_features(model, input_features):
    """Raise an error unless these may be the names of features, or of a column of sets."""
    if input_features is None or len(input_features) != 1:
        sklearn_compat.check_feature_names_in(model, input_features, generate_names=False)


def product_names(**n_values):
    """Names of all combinations of indices, such as "support0_component1" for 2 axes."""
    indices = itertools.product(*map(range, n_values.values()))
    return ["_".join(map("{}{}".format, n_values, index)) for index in indices]


class DocumentedMixin:
    """Mixin for estimators whose HTML representation links to their documentation.

    Those that were stored before a parameter was added are loaded with its default.
    """

    def __setstate__(self, state):
        defaults = _default_parameters(type(self)).items()
        missing = {name: value for name, value in defaults if name not in state}
        super().__setstate__({**state, **missing})

    _doc_link_module = "otk_sklearn"

    @property
    def _doc_link_template(self):
        url = _documentation_url()
        return url and url + "generated/{estimator_module}.{estimator_name}.html"


@functools.cache
def _default_parameters(estimator_class):
    parameters = inspect.signature(estimator_class.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@functools.cache
def _documentation_url():
    """URL of the documentation from the package metadata, or an empty string."""
    try:
        urls = importlib.metadata.metadata("otk-sklearn").get_all("Project-URL", [])
    except importlib.metadata.PackageNotFoundError:
        return ""
    return dict(url.split(", ", 1) for url in urls).get("Documentation", "")


class ComponentNamesMixin:
    """Mixin for transformers of sets that name each component of their output.

    The name is that of the class, and the component's own.
    """

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
        """Return the names of the output features.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored, but for its length: that of the features of elements, or 1, the name
            of a column of sets.

        Returns
        -------
        ndarray of str objects
            Such as "otkembedding_support3_component12".
        """
        model = copy.copy(self)  # one fit, even if another thread refits the estimator
        check_is_fitted(model)
        check_input_features(model, input_features)
        prefix = type(self).__name__.lower()
        names = [f"{prefix}_{name}" for name in model._component_names()]
        return np.array(names, dtype=object)

    def _component_names(self):
        """Return the names of the components, as a list."""
        raise NotImplementedError


class VectorsOutMixin(ComponentNamesMixin, TransformerMixin):
    """Mixin for transformers of sets into vectors of the same dtype."""

    def _as_output(self, embeddings, sets):
        """Return embeddings with the index of the sets, if pandas is the output.

        scikit-learn then names the columns.
        """
        if output_container(self) != "pandas" or sets.index is None:
            return embeddings
        import pandas as pd

        return pd.DataFrame(embeddings, index=sets.index)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class SetsOutMixin(TransformerMixin, auto_wrap_output_keys=None):
    """Mixin for transformers of sets whose output is a `SetCollection`."""

    def set_output(
        self, *, transform: Literal["default", "pandas", "polars"] | None = None
    ) -> Self:
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
