"""Coefficients of a linear model, pulled back through the affine steps before it."""

import functools

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_regressor
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from otk_sklearn._utils.chunks import batches_of, chunk_rows, rows_in_memory

# Steps of which each output feature is made of one input feature.
_FEATUREWISE = StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, SelectorMixin

# Largest rounding error of decisions, relative to the terms that the model adds up.
_MAX_ROUNDING_ERROR = 1e-3


def pulled_back_linear_model(steps, X):
    """Return the coefficients with respect to embeddings, and the constant.

    Parameters
    ----------
    steps : ModelSteps
    X : sets
        Input of the embedding. The coefficients are checked against their decisions.

    Returns
    -------
    coef : ndarray of shape (n_outputs, n_references * n_supports * n_components)
    constant : ndarray of shape (n_outputs,)
    """
    name, model = steps.after[-1]
    decide = _decision_method(name, model)
    if model is steps.owner:
        return _own_linear_model(model)
    embeddings = steps.owner.transform(X)
    if not len(embeddings):  # scikit-learn's steps want at least one
        embeddings = _as_container_of(embeddings, np.ones((1, embeddings.shape[1])))
    inputs = [embeddings]  # of each step, in the containers they come in
    for _, step in steps.after[1:-1]:
        inputs.append(step.transform(inputs[-1]))
    decisions = _rows(decide(inputs[-1]))
    precision = np.finfo(_rows(inputs[0]).dtype).eps

    def is_affine(affine, data):
        return affine is not None and _gives(*affine, data, decisions, np.sqrt(precision))

    affine = _own_linear_model(model)
    if not is_affine(affine, inputs[-1]):  # no coef_, or that of something else
        affine = _from_values(decide, inputs[-1])
    if not is_affine(affine, inputs[-1]):
        raise _not_affine(decide.__name__, name, model)
    size = _size_of_terms(*affine, inputs[-1])
    for (name, step), data in zip(steps.after[-2:0:-1], inputs[-2::-1]):
        affine = _pull_back(step, *affine, data)
        if not is_affine(affine, data):
            raise _not_affine("transform", name, step)
        rounding_error = precision * _size_of_terms(*affine, data)
        if (rounding_error > _MAX_ROUNDING_ERROR * size).any():
            raise ValueError(
                f"step {name!r} ({type(step).__name__}) magnifies rounding errors of its "
                "input to the size of what is explained, as components of no variance do; "
                "expected fewer of them."
            )
    return affine


def _decision_method(name, model):
    """Return the method of a model whose values are to be explained."""
    decide = getattr(model, "predict" if is_regressor(model) else "decision_function", None)
    if decide is None:
        raise ValueError(
            f"step {name!r} ({type(model).__name__}) is no regressor, and has no "
            "decision_function; expected a linear model after the embedding."
        )
    return decide


def _not_affine(method, name, step):
    return ValueError(
        f"{method} of step {name!r} ({type(step).__name__}) is no affine function of its "
        "input, so that coefficients can't be pulled back through it; expected scalers, "
        "PCA, feature selection and other affine steps between the embedding and a linear "
        "model."
    )


def _own_linear_model(model):
    """Return `coef_` and `intercept_` of a model, or None if it doesn't have both."""
    coef, intercept = getattr(model, "coef_", None), getattr(model, "intercept_", None)
    if coef is None or intercept is None:
        return None
    coef = coef.toarray() if issparse(coef) else coef  # after `sparsify`
    coef = np.atleast_2d(np.asarray(coef, np.float64))
    return coef, np.zeros(len(coef)) + intercept


def _from_values(function, data):
    """Return coefficients and constant of an affine function from some of its values.

    Parameters
    ----------
    function : callable
        Maps rows to numbers. It is evaluated at 0 and at multiples of the unit vectors.
    data : array or DataFrame of shape (n_samples, n_features)
        Input that is typical of the function, in the container that it expects.

    Returns
    -------
    coef : ndarray of shape (n_outputs, n_features)
    constant : ndarray of shape (n_outputs,)
        Or None instead of both, if the function refuses such input.
    """
    n_features = data.shape[1]
    scale = float(np.abs(_rows(data)).max()) or 1.0
    n_rows = min(chunk_rows(n_features), rows_in_memory(16 * n_features))
    coef = []
    try:
        with np.errstate(all="ignore"):  # of functions that are not affine
            for batch in batches_of(n_features, n_rows):
                points = np.zeros((batch.stop - batch.start + 1, n_features))
                points[1:] = scale * np.eye(len(points) - 1, n_features, k=batch.start)
                values = _rows(function(_as_container_of(data, points)))
                coef.append((values[1:] - values[0]) / scale)
    except ValueError:  # such as that of steps for positive numbers
        return None
    return np.concatenate(coef).T, values[0]


def _gives(coef, constant, data, decisions, tolerance):
    """Whether an affine function has these values, up to rounding."""
    if coef.shape != (decisions.shape[1], data.shape[1]):
        return False
    difference = np.abs(_rows(data) @ coef.T + constant - decisions)
    allowed = tolerance * (np.abs(_rows(data)) @ np.abs(coef).T + np.abs(constant))
    return bool((difference <= allowed).all())


def _size_of_terms(coef, constant, data):
    """Largest sum of absolute terms of an affine function, for each output."""
    return np.abs(_rows(data)).max(axis=0) @ np.abs(coef).T + np.abs(constant)


def _rows(values):
    """Return an array, sparse matrix or DataFrame as a 2-D array of floats."""
    values = values.toarray() if issparse(values) else np.asarray(values)
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    return values[:, np.newaxis] if values.ndim == 1 else values


def _as_container_of(data, array):
    """Return an array, or the DataFrame of it that has the column names of the data."""
    if not hasattr(data, "columns"):
        return array
    table = type(data)(array)
    table.columns = data.columns
    return table


@functools.singledispatch
def _pull_back(step, coef, constant, data):
    """Return an affine function of the output of a step as one of its input.

    That of a common step has a formula, which takes no time; any other is evaluated.

    Parameters
    ----------
    step : transformer
    coef : ndarray of shape (n_outputs, n_features_out)
    constant : ndarray of shape (n_outputs,)
    data : array or DataFrame of shape (n_samples, n_features)
        Input of the step.

    Returns
    -------
    coef : ndarray of shape (n_outputs, n_features)
    constant : ndarray of shape (n_outputs,)
        Or None instead of both, if the step can't be affine.
    """
    return _pull_back_by_values(step, coef, constant, data)


def _pull_back_by_values(step, coef, constant, data):
    def decide(points):
        return _rows(step.transform(points)) @ coef.T + constant

    return _from_values(decide, data)


@_pull_back.register
def _(step: StandardScaler, coef, constant, data):
    if step.with_std:
        coef = coef / step.scale_
    return coef, constant - coef @ step.mean_ if step.with_mean else constant


@_pull_back.register
def _(step: RobustScaler, coef, constant, data):
    if step.with_scaling:
        coef = coef / step.scale_
    return coef, constant - coef @ step.center_ if step.with_centering else constant


@_pull_back.register
def _(step: MaxAbsScaler, coef, constant, data):
    return None if getattr(step, "clip", False) else (coef / step.scale_, constant)


@_pull_back.register
def _(step: MinMaxScaler, coef, constant, data):
    return None if step.clip else (coef * step.scale_, constant + coef @ step.min_)


@_pull_back.register(PCA)
@_pull_back.register(IncrementalPCA)
def _(step, coef, constant, data):
    if step.whiten:  # clipped as in scikit-learn
        scale = np.sqrt(step.explained_variance_)
        coef = coef / np.maximum(scale, np.finfo(scale.dtype).eps)
    coef = coef @ step.components_
    return coef, constant - coef @ step.mean_


@_pull_back.register
def _(step: TruncatedSVD, coef, constant, data):
    return coef @ step.components_, constant


@_pull_back.register
def _(step: SelectorMixin, coef, constant, data):
    support = step.get_support()
    before = np.zeros((len(coef), len(support)))
    before[:, support] = coef
    return before, constant


@_pull_back.register
def _(step: FunctionTransformer, coef, constant, data):
    if step.func is None:
        return coef, constant
    return _pull_back_by_values(step, coef, constant, data)


def subtracted_center(steps):
    """Return the centre subtracted from embeddings, if it can be attributed to elements."""
    # The masses that supports receive differ from set to set with either.
    parameters = ("position", "support_relaxation")
    if any(getattr(steps.embedding, name, None) is not None for name in parameters):
        return 0.0
    before = []
    for _, step in steps.after[1:-1]:
        only_scales = isinstance(step, StandardScaler) and not step.with_mean
        center = getattr(step, "mean_", getattr(step, "center_", None))
        if center is not None and not only_scales:
            for earlier in reversed(before):
                center = earlier.inverse_transform(center[np.newaxis])[0]
            return center
        if not _is_featurewise(step):  # such as a projection, which loses the centre
            return 0.0
        before.append(step)
    return 0.0


def _is_featurewise(step):
    """Whether each output feature is made of one input feature."""
    if isinstance(step, FunctionTransformer):
        return step.func is None
    return isinstance(step, _FEATUREWISE)
