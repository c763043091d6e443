"""Learning of anchors and references of a network from data, without labels."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.torch._estimators import (
    are_one_embedding,
    embedding_parameters,
    feature_parameters,
)
from otk_sklearn.torch._features import KernelFeatures, set_kernel
from otk_sklearn.torch._packed_sets import packed_sets
from otk_sklearn.torch._pooling import OTKPooling
from otk_sklearn.torch._sequential import SetSequential

if TYPE_CHECKING:
    from torch import nn


def initialize(
    network: nn.Module,
    loader: Iterable[Any],
    *,
    random_state: int | np.random.RandomState | None = None,
    max_elements: int | Literal["auto"] = "auto",
    n_jobs: int | None = None,
) -> nn.Module:
    """Learn the anchors, bandwidths and references of a network, without labels.

    As `OTKEmbedding.fit` does, from the elements that reach each layer: anchors and
    references are K-means centres. Layers are learned in the order in which the network
    calls them, each in one pass over the data. A :class:`KernelFeatures` with an
    :class:`OTKPooling` right behind it in a :class:`SetSequential` is learned as one
    `OTKEmbedding`.

    Parameters
    ----------
    network : nn.Module
        With layers `OTKPooling` or `KernelFeatures`, or itself one of them. It is changed
        in place, and evaluated in evaluation mode.
    loader : iterable
        Such as a `DataLoader` or a list, iterated over for each layer, whose elements of
        all batches are held in memory. Batches are what the network is called with: a
        tensor, or a dict of its arguments; or a tuple of that and of labels, which are
        ignored.
    random_state : int, RandomState instance or None, default=None
        As for `OTKEmbedding`.
    max_elements : int or "auto", default="auto"
        As for `OTKEmbedding`.
    n_jobs : int, default=None
        As for `OTKEmbedding`.

    Returns
    -------
    network : nn.Module
        The network itself.

    Raises
    ------
    ValueError
        If the network has no such layer, or the loader no batches, or no more after the
        first pass. The network is then unchanged.

    See Also
    --------
    from_estimator : Layers of an embedding that is fitted already.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from otk_sklearn.torch import OTKPooling, initialize
    >>> x = torch.randn(40, 30, 8)
    >>> pooling = OTKPooling(8, 4)
    >>> network = nn.Sequential(pooling, nn.Flatten(), nn.Linear(32, 2))
    >>> network = initialize(network, x.split(10), random_state=0)
    >>> bool(torch.allclose(pooling.references.norm(dim=2), torch.ones(1, 4)))
    True
    """
    options = {"random_state": random_state, "max_elements": max_elements, "n_jobs": n_jobs}
    before = copy.deepcopy(network.state_dict())
    modes = {module: module.training for module in network.modules()}
    network.train(False)
    try:
        _learn_all(network, loader, options)
    except BaseException:
        network.load_state_dict(before)
        raise
    finally:
        for module, mode in modes.items():
            module.training = mode
    return network


def _learn_all(network, loader, options):
    """Learn layer by layer, in the order in which they are called."""
    n_batches = None
    for n_done in itertools.count():
        layers, parts, n_now = _inputs_of(network, loader, n_done)
        if n_batches not in (None, n_now) or not n_now:
            raise ValueError(
                f"loader has {n_now} batches in pass {n_done + 1}, after {n_batches or 0} "
                "before; expected some to be iterated over several times, as those of "
                "a DataLoader or a list."
            )
        n_batches = n_now
        if layers is None and not n_done:
            raise ValueError(
                f"{type(network).__name__} calls no OTKPooling or KernelFeatures; expected "
                "a network that has such layers."
            )
        if layers is None:
            return
        _learn(layers, SetCollection.concatenate(parts), options)


def _units_of(network):
    """Map the first of layers that are learned together to all of them."""
    units = {
        module: (module,)
        for module in network.modules()
        if isinstance(module, KernelFeatures | OTKPooling)
    }
    for module in network.modules():
        if isinstance(module, SetSequential):
            for pair in itertools.pairwise(module):
                if are_one_embedding(*pair):
                    units[pair[0]] = pair
                    units.pop(pair[1], None)
    return units


def _inputs_of(network, loader, n_done):
    """Run the network on all batches, and record what reaches one of its layers.

    It is that called after `n_done` others. Returns the layers to learn, None if no more
    are called; the sets of each batch; and how many batches there are.
    """
    units, order, parts, n_batches = _units_of(network), [], [], 0

    def record(layer, args, kwargs):
        if layer not in order:
            order.append(layer)
        if order.index(layer) == n_done:
            parts.append(_as_collection(_packed(layer, *args, **kwargs)))

    hooks = [layer.register_forward_pre_hook(record, with_kwargs=True) for layer in units]
    try:
        with torch.no_grad():
            for batch in loader:
                _call(network, batch)
                n_batches += 1
    finally:
        for hook in hooks:
            hook.remove()
    layers = units[order[n_done]] if len(order) > n_done else None
    return layers, parts, n_batches


def _call(network, batch):
    inputs = batch[0] if isinstance(batch, tuple | list) else batch
    if isinstance(inputs, Mapping):
        network(**inputs)
    else:
        network(inputs)


def _packed(layer, x, *args, **kwargs):
    """Return the arguments that a layer is called with as `PackedSets`."""
    if isinstance(x, torch.Tensor) and x.ndim == 2 and not (args or kwargs):
        x = x[None]  # elements, whichever sets they are of
    return packed_sets(x, *args, n_features=layer.in_features, **kwargs)


def _as_collection(sets):
    """Packed sets without a graph, on the host."""
    values = sets.values.detach()
    if values.dtype != torch.float64:
        values = values.float()
    arrays = [
        None if tensor is None else tensor.detach().cpu().numpy()
        for tensor in (values, sets.offsets, sets.weights, sets.positions)
    ]
    values, offsets, weights, positions = arrays
    return SetCollection(values.copy(), offsets, weights=weights, positions=positions)


def _learn(layers, sets, options):
    """Learn layers from sets by an estimator with their parameters."""
    features, pooling = layers if len(layers) == 2 else (None, layers[0])
    if isinstance(pooling, KernelFeatures):
        features, pooling = pooling, None
        parameters = {"kernel": features.kernel, **feature_parameters(features)}
        # Anchors don't depend on how references are learned.
        parameters |= {"n_supports": 1, "references": "random"}
    else:
        parameters = embedding_parameters(features, pooling)
    embedding = OTKEmbedding(**parameters, empty_sets="zero", **options).fit(sets)
    if features is not None:
        if len(embedding.anchors_) != features.n_components:
            raise ValueError(
                f"There are {len(embedding.anchors_)} distinct elements; expected at least "
                f"n_components={features.n_components}, to be anchors."
            )
        set_kernel(features, embedding.anchors_, embedding.gamma_)
    if pooling is not None:
        with torch.no_grad():
            pooling.references.copy_(torch.from_numpy(embedding.references_))
