"""Fitted estimators as layers, and layers as fitted estimators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from otk_sklearn.embeddings._convolution import ConvolutionalKernelLayer
from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.embeddings._state import fitted_state
from otk_sklearn.features._feature_map import (
    FeatureMap,
    feature_attributes,
    fitted_feature_map,
    make_feature_map,
)
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._windows import window_parameters
from otk_sklearn.torch._features import KernelFeatures, set_kernel
from otk_sklearn.torch._pooling import TRANSPORT_PARAMETERS, OTKPooling
from otk_sklearn.torch._sequential import SetSequential

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def from_estimator(estimator: BaseEstimator) -> OTKPooling | KernelFeatures | SetSequential:
    """Return a fitted embedding as a layer.

    The layer computes the same function, and can be trained further in a network.

    Parameters
    ----------
    estimator : OTKEmbedding, ConvolutionalKernelLayer or Pipeline of these
        Fitted. Of a trained `OTKClassifier` or `OTKRegressor`, take `embedding_`.

    Returns
    -------
    OTKPooling, KernelFeatures or SetSequential
        In the dtype of the fitted attributes, on the CPU. What `transform` returns is its
        output, flattened from the second axis.

    Raises
    ------
    TypeError
        If there is no such layer.

    See Also
    --------
    to_estimator : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.torch import from_estimator
    >>> X = np.random.default_rng(0).normal(size=(20, 9, 4))
    >>> embedding = OTKEmbedding(5, n_components=16, tol=1e-9, random_state=0).fit(X)
    >>> layer = from_estimator(embedding)
    >>> out = layer(torch.from_numpy(X)).flatten(1)
    >>> np.allclose(out.detach().numpy(), embedding.transform(X), atol=1e-7)
    True
    """
    if isinstance(estimator, Pipeline):
        layers = [from_estimator(step) for _, step in estimator.steps]
        return SetSequential(*(part for layer in layers for part in _parts_of(layer)))
    if isinstance(estimator, ConvolutionalKernelLayer):
        check_is_fitted(estimator)
        return _features_of(estimator, estimator.subsampling)
    if not isinstance(estimator, OTKEmbedding):
        raise TypeError(
            f"estimator is of type {type(estimator).__name__}; expected an OTKEmbedding, a "
            "ConvolutionalKernelLayer, or a Pipeline of these."
        )
    check_is_fitted(estimator)
    state = fitted_state(estimator)
    n_references, n_supports, n_components = state.references.shape
    references = torch.tensor(state.references)
    options = {name: getattr(estimator, name) for name in TRANSPORT_PARAMETERS}
    pooling = OTKPooling(
        n_components,
        n_supports,
        n_references=n_references,
        dtype=references.dtype,
        **options,
    )
    with torch.no_grad():
        pooling.references.copy_(references)
    if state.feature_map.anchors is not None:
        return SetSequential(_features_of(estimator, subsampling=1), pooling)
    if state.filter_size > 1:
        raise TypeError(
            f"estimator has kernel='linear' and filter_size={state.filter_size}; expected "
            "filter_size=1, or another kernel: there is no layer of windows as they are."
        )
    return pooling


def _parts_of(layer):
    if not isinstance(layer, SetSequential):
        return [layer]
    return [part for child in layer for part in _parts_of(child)]


def _features_of(estimator, subsampling):
    feature_map = fitted_feature_map(estimator)
    windows = window_parameters(estimator)
    anchors = torch.tensor(feature_map.anchors)
    features = KernelFeatures(
        anchors.shape[1] // windows["filter_size"],
        len(anchors),
        kernel=feature_map.kernel,
        damping=feature_map.damping,
        subsampling=subsampling,
        dtype=anchors.dtype,
        **windows,
    )
    set_kernel(features, feature_map.anchors, feature_map.gamma)
    return features


def to_estimator(
    layer: OTKPooling | KernelFeatures | SetSequential, *, n_axes: Literal[1, 2] = 1
) -> OTKEmbedding | ConvolutionalKernelLayer | Pipeline:
    """Return a layer as a fitted estimator.

    The estimator computes the same function, without PyTorch.

    Parameters
    ----------
    layer : OTKPooling, KernelFeatures or SetSequential of these
        On any device.
    n_axes : {1, 2}, default=1
        Axes of the positions of elements, for a pooling with `position`.

    Returns
    -------
    OTKEmbedding, ConvolutionalKernelLayer or Pipeline of these
        Its parameters are those of the layer, with anchors and references as arrays, so
        that `fit` changes nothing but the number of features.

    Raises
    ------
    TypeError
        If there is no such estimator.

    See Also
    --------
    from_estimator : The way back.

    Examples
    --------
    >>> from otk_sklearn.torch import OTKPooling, to_estimator
    >>> to_estimator(OTKPooling(16, 5)).references_.shape
    (1, 5, 16)
    """
    layers = _parts_of(layer)
    for part in layers:
        if not isinstance(part, KernelFeatures | OTKPooling):
            raise TypeError(
                f"layer has a {type(part).__name__}; expected only KernelFeatures and "
                "OTKPooling."
            )
    if not layers:
        raise TypeError("layer has no layers; expected KernelFeatures or OTKPooling.")
    if any(isinstance(part, OTKPooling) for part in layers[:-1]):
        raise TypeError(
            f"layer has {len(layers)} layers, one of which is behind an OTKPooling; "
            "expected this to be the last one."
        )
    steps = []
    while layers:
        if len(layers) > 1 and are_one_embedding(*layers[:2]):
            steps.append(_embedding_of(*layers[:2], n_axes))
            del layers[:2]
        elif isinstance(layers[0], OTKPooling):
            steps.append(_embedding_of(None, layers.pop(0), n_axes))
        else:
            steps.append(_convolution_of(layers.pop(0)))
    if len(steps) == 1:
        return steps[0]
    names = [f"layer{i}" for i in range(len(steps))]
    if isinstance(steps[-1], OTKEmbedding):
        names[-1] = "embedding"
    return Pipeline(list(zip(names, steps)))


def are_one_embedding(first, second):
    """Whether two layers, one after the other, are one `OTKEmbedding`."""
    is_pair = isinstance(first, KernelFeatures) and isinstance(second, OTKPooling)
    return is_pair and first.subsampling == 1


def embedding_parameters(features, pooling):
    """Return the parameters of the `OTKEmbedding` of two layers, but what is learned.

    Parameters
    ----------
    features : KernelFeatures or None
    pooling : OTKPooling
    """
    parameters = {name: getattr(pooling, name) for name in TRANSPORT_PARAMETERS}
    parameters |= {"n_supports": pooling.n_supports, "n_references": pooling.n_references}
    if features is None:
        return {"kernel": "linear", **parameters}
    return {"kernel": features.kernel, **feature_parameters(features), **parameters}


def feature_parameters(features):
    """Return the parameters of an estimator with these features, but what is learned."""
    names = "n_components", "damping", "filter_size", "padding"
    return {name: getattr(features, name) for name in names}


def feature_map_of(features):
    """Return the `FeatureMap` of a layer; without, that of elements as they are."""
    if features is None:
        return FeatureMap("linear")
    gamma, anchors = features.gamma.item(), _array(features.anchors)
    return make_feature_map(features.kernel, gamma, anchors, features.damping)


def _embedding_of(features, pooling, n_axes):
    feature_map, references = feature_map_of(features), _array(pooling.references)
    learned = {"references": references}
    if features is not None:
        learned |= {"anchors": feature_map.anchors, "gamma": feature_map.gamma}
    parameters = embedding_parameters(features, pooling)
    embedding = OTKEmbedding(**parameters, **learned, empty_sets="zero")
    n_features = pooling.in_features if features is None else features.in_features
    embedding.fit(_some_set(n_features, n_axes))
    embedding._positions_given = None  # those of training are not known
    return _with_features(embedding, feature_map)


def _convolution_of(features):
    if features.kernel != "homogeneous":
        raise TypeError(
            f"layer has KernelFeatures with kernel={features.kernel!r} that no OTKPooling "
            "follows at once; expected kernel='homogeneous'."
        )
    feature_map = feature_map_of(features)
    convolution = ConvolutionalKernelLayer(
        subsampling=features.subsampling,
        anchors=feature_map.anchors,
        gamma=feature_map.gamma,
        **feature_parameters(features),
    )
    convolution.fit(_some_set(features.in_features, n_axes=1))
    return _with_features(convolution, feature_map)


def _some_set(n_features, n_axes):
    """A set to fit estimators to that learn nothing from it."""
    positions = None if n_axes == 1 else np.zeros((2, n_axes))
    values = np.zeros((2, n_features))
    return SetCollection(values, np.array([0, 2]), positions=positions)


def _with_features(estimator, feature_map):
    """Set the fitted features to the last digit: `fit` would normalize anchors again."""
    for name, value in feature_attributes(feature_map).items():
        setattr(estimator, name, value)
    return estimator


def _array(tensor):
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return tensor.detach().cpu().numpy().copy()
