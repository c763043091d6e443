"""Coefficients of a linear model, pulled back through the affine steps before it."""

import functools

import numpy as np
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)


def pulled_back_linear_model(steps):
    """Return the coefficients with respect to embeddings, and the constant.

    Returns
    -------
    coef : ndarray of shape (n_outputs, n_references * n_supports * n_components)
    constant : ndarray of shape (n_outputs,)
    """
    name, model = steps.after[-1]
    if not (hasattr(model, "coef_") and hasattr(model, "intercept_")):
        raise ValueError(
            f"step {name!r} ({type(model).__name__}) has no coef_ and intercept_; expected "
            "a linear model after the embedding."
        )
    coef = np.atleast_2d(np.asarray(model.coef_, np.float64))
    constant = np.zeros(len(coef)) + model.intercept_
    for name, step in steps.after[-2:0:-1]:
        before = _pull_back(step, coef)
        if before is None:
            raise ValueError(
                f"step {name!r} ({type(step).__name__}) is not known to be affine, so that "
                "coefficients can't be pulled back through it; expected scalers, PCA or "
                "feature selection between the embedding and the model."
            )
        coef, added = before
        constant = constant + added
    return coef, constant


def subtracted_center(steps):
    """Return the centre subtracted from embeddings, if it can be attributed to elements."""
    if getattr(steps.embedding, "position", None) is not None:
        return 0.0
    before = []
    for _, step in steps.after[1:-1]:
        if isinstance(step, TruncatedSVD):  # its projection loses the centre
            break
        only_scales = isinstance(step, StandardScaler) and not step.with_mean
        center = getattr(step, "mean_", getattr(step, "center_", None))
        if center is not None and not only_scales:
            for earlier in reversed(before):
                center = earlier.inverse_transform(center[np.newaxis])[0]
            return center
        before.append(step)
    return 0.0


@functools.singledispatch
def _pull_back(step, coef):
    """Pull coefficients back through an affine step, and return its constant term too.

    Returns None if the step is not known to be affine.
    """
    return None


@_pull_back.register
def _(step: StandardScaler, coef):
    if step.with_std:
        coef = coef / step.scale_
    return coef, -coef @ step.mean_ if step.with_mean else 0.0


@_pull_back.register
def _(step: RobustScaler, coef):
    if step.with_scaling:
        coef = coef / step.scale_
    return coef, -coef @ step.center_ if step.with_centering else 0.0


@_pull_back.register
def _(step: MaxAbsScaler, coef):
    return None if getattr(step, "clip", False) else (coef / step.scale_, 0.0)


@_pull_back.register
def _(step: MinMaxScaler, coef):
    return None if step.clip else (coef * step.scale_, coef @ step.min_)


@_pull_back.register(PCA)
@_pull_back.register(IncrementalPCA)
def _(step, coef):
    if step.whiten:  # clipped as in scikit-learn
        scale = np.sqrt(step.explained_variance_)
        coef = coef / np.maximum(scale, np.finfo(scale.dtype).eps)
    coef = coef @ step.components_
    return coef, -coef @ step.mean_


@_pull_back.register
def _(step: TruncatedSVD, coef):
    return coef @ step.components_, 0.0


@_pull_back.register
def _(step: SelectorMixin, coef):
    support = step.get_support()
    before = np.zeros((len(coef), len(support)))
    before[:, support] = coef
    return before, 0.0


@_pull_back.register
def _(step: FunctionTransformer, coef):
    return (coef, 0.0) if step.func is None else None
