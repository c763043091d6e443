"""Batches of sets for data loaders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import default_collate

if TYPE_CHECKING:
    from torch import Tensor


def collate_sets(batch: Sequence[Any]) -> dict[str, Tensor] | tuple[dict[str, Tensor], Any]:
    """Collate sets of different sizes into one batch of packed elements.

    The `collate_fn` of a `torch.utils.data.DataLoader`, or `iterator_train__collate_fn` of
    skorch, for sets that are arrays or tensors.

    Parameters
    ----------
    batch : list
        Of sets of shape (n_elements_i, n_features); or of dicts with such a set `x` and
        other arrays by element, `weights` or `positions`; or of tuples of either and
        anything else, such as a label, that `torch.utils.data.default_collate` stacks.

    Returns
    -------
    dict or tuple
        The arguments `x`, packed elements, `index`, the set of each, and others that were
        given, of a network such as `OTKPooling` or `SetSequential`; in a tuple with the
        rest, if that is given.

    Raises
    ------
    ValueError
        If a set is empty or of another shape: the message has its place in the batch.

    See Also
    --------
    OTKPooling : Takes what is returned.

    Examples
    --------
    >>> import torch
    >>> from otk_sklearn.torch import collate_sets
    >>> data = [(torch.zeros(3, 2), 0), (torch.ones(1, 2), 1)]
    >>> inputs, labels = collate_sets(data)
    >>> inputs["x"].shape, inputs["index"], labels
    (torch.Size([4, 2]), tensor([0, 0, 0, 1]), tensor([0, 1]))
    """
    if not len(batch):
        raise ValueError("The batch is empty; expected at least one set.")
    if isinstance(batch[0], tuple | list):
        sets, *others = zip(*batch)
        return _packed(sets), *(default_collate(list(other)) for other in others)
    return _packed(batch)


def _packed(sets):
    if not isinstance(sets[0], Mapping):
        sets = [{"x": elements} for elements in sets]
    sets = [{name: _as_tensor(values) for name, values in of.items()} for of in sets]
    for i, arguments in enumerate(sets):
        _check_set(i, arguments, sets[0]["x"])
    lengths = torch.tensor([len(arguments["x"]) for arguments in sets])
    packed = {name: torch.cat([of[name] for of in sets]) for name in sets[0]}
    return {**packed, "index": torch.arange(len(sets)).repeat_interleave(lengths)}


def _as_tensor(values):
    """Return values as a tensor; arrays are copied, as they may be read-only."""
    return values if isinstance(values, torch.Tensor) else torch.tensor(values)


def _check_set(i, arguments, first):
    shape = tuple(arguments["x"].shape)
    n_features = first.shape[-1] if first.ndim == 2 else "n_features"
    if len(shape) != 2 or shape[1] != n_features or not shape[0]:
        raise ValueError(
            f"Set {i} of the batch has shape {shape}; expected (n_elements, {n_features}), "
            "with at least one element."
        )
    for name, values in arguments.items():
        if len(values) != shape[0]:
            raise ValueError(
                f"{name} of set {i} of the batch has shape {tuple(values.shape)}; expected "
                f"({shape[0]}, ...), one for each element."
            )
