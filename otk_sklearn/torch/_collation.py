"""Batches of sets for data loaders."""

import torch
from torch.utils.data import default_collate


def collate_sets(batch):
    """Collate sets of different sizes into one batch of packed elements.

    The `collate_fn` of a `torch.utils.data.DataLoader`, or `iterator_train__collate_fn` of
    skorch, for sets that are arrays or tensors.

    Parameters
    ----------
    batch : list
        Of sets of shape (n_elements_i, n_features), or of tuples of a set and anything
        else, such as a label, that `torch.utils.data.default_collate` stacks.

    Returns
    -------
    dict or tuple
        The arguments `x`, packed elements, and `index`, the set of each, of a network such
        as `OTKPooling` or `SetSequential`; in a tuple with the rest, if that is given.

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
    if isinstance(batch[0], tuple | list):
        sets, *others = zip(*batch)
        return _packed(sets), *(default_collate(list(other)) for other in others)
    return _packed(batch)


def _as_tensor(elements):
    """Return elements as a tensor; arrays are copied, as they may be read-only."""
    return elements if isinstance(elements, torch.Tensor) else torch.tensor(elements)


def _packed(sets):
    sets = [_as_tensor(elements) for elements in sets]
    for i, elements in enumerate(sets):
        if (
            elements.ndim != 2
            or elements.shape[1] != sets[0].shape[-1]
            or not len(elements)
        ):
            n_features = sets[0].shape[-1] if sets[0].ndim == 2 else "n_features"
            raise ValueError(
                f"Set {i} of the batch has shape {tuple(elements.shape)}; expected "
                f"(n_elements, {n_features}), with at least one element."
            )
    lengths = torch.tensor([len(elements) for elements in sets])
    index = torch.arange(len(sets)).repeat_interleave(lengths)
    return {"x": torch.cat(sets), "index": index}
