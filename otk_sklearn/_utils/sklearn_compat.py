"""All imports of private names of scikit-learn, and a fallback for versions before 1.9."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sklearn.utils._array_api import get_namespace
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils._user_interface import _print_elapsed_time as print_elapsed_time
from sklearn.utils.metadata_routing import _raise_for_params as raise_for_params
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

if TYPE_CHECKING:
    # They have no types: type checkers would know nothing of what they decorate.
    F = TypeVar("F", bound=Callable[..., Any])

    def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[F], F]: ...

    def validate_params(
        parameter_constraints: dict[str, Any], *, prefer_skip_nested_validation: bool
    ) -> Callable[[F], F]: ...
else:
    from sklearn.base import _fit_context as fit_context
    from sklearn.utils._param_validation import validate_params

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # pragma: no cover - scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """An estimator without callbacks."""


def validate_parameters(estimator, names=None):
    """Raise an error if a parameter of the estimator is of a wrong type or out of range.

    Parameters
    ----------
    estimator : estimator
    names : sequence of str, default=None
        The parameters to validate; all by default.
    """
    if names is None:
        estimator._validate_params()
        return
    values = [getattr(estimator, name) for name in names]
    try:
        _validate_once(type(estimator), tuple(names), *values)
    except TypeError:  # a value that is not hashable
        _validate(type(estimator), names, *values)


def _validate(estimator_class, names, *values):
    constraints = estimator_class._parameter_constraints
    validate_parameter_constraints(
        {name: constraints[name] for name in names},
        dict(zip(names, values)),
        caller_name=estimator_class.__name__,
    )


# Of valid values, by value and type: errors are not cached. Otherwise this takes a fifth of
# the time of embedding a small set.
_validate_once = functools.lru_cache(maxsize=256, typed=True)(_validate)


def output_container(transformer):
    """Return the kind of output of a transformer: "default", "pandas" or "polars"."""
    return _get_output_config("transform", transformer)["dense"]


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_feature_names_in",
    "check_sample_weight",
    "fit_context",
    "get_namespace",
    "output_container",
    "print_elapsed_time",
    "raise_for_params",
    "routing_enabled",
    "validate_parameters",
    "validate_params",
]
