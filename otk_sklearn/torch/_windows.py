"""Sliding windows over the elements of sets, and their subsampling."""

from dataclasses import replace

import torch

from otk_sklearn.sets._windows import gaussian_taps
from otk_sklearn.torch._packed_sets import InputForm, packed_layout


def n_windows(lengths, filter_size, padding):
    """Return how many windows there are in sets of these lengths, a tensor or a number."""
    if filter_size == 1 or padding == "same":
        return lengths
    whole = lengths - filter_size + 1
    if isinstance(lengths, torch.Tensor):
        return whole.clamp(min=1).minimum(lengths)
    return torch.sym_min(torch.sym_max(whole, 1), lengths)


def n_kept(lengths, subsampling):
    """Return how many windows subsampling keeps."""
    return (lengths + subsampling - 1) // subsampling


def windows_of(sets, filter_size, padding):
    """Return windows of consecutive elements, flattened, as sets.

    Their weights and positions are means over their elements, without padding.
    """
    if filter_size == 1:
        return sets
    front = (filter_size - 1) // 2 if padding == "same" else 0
    windows = _Windows(
        sets,
        lambda lengths: n_windows(lengths, filter_size, padding),
        filter_size,
        front,
        1,
    )
    values = windows.take(sets.values).flatten(1)
    return windows.as_sets(values, torch.ones(filter_size))


def subsample(sets, subsampling):
    """Average neighbours by a Gaussian filter, and keep one of so many, as sets."""
    if subsampling == 1:
        return sets
    taps = torch.from_numpy(gaussian_taps(subsampling))
    windows = _Windows(
        sets,
        lambda lengths: n_kept(lengths, subsampling),
        len(taps),
        subsampling - 1,
        subsampling,
    )
    weights = taps.to(sets.values)
    values = torch.einsum("t,wtc->wc", weights, windows.take(sets.values))
    return windows.as_sets(values, taps)


class _Windows:
    """Locations of the windows of each set, padded with zeros at its ends.

    Parameters
    ----------
    sets : PackedSets
    lengths_of : callable
        Maps numbers of rows to those of windows.
    size, front, stride : int
        Rows of a window, rows of zeros in front of a set, and from a window to the next.
    """

    def __init__(self, sets, lengths_of, size, front, stride):
        self._sets, self._lengths_of = sets, lengths_of
        self._lengths = lengths_of(sets.lengths)
        self._offsets, self._set_of = packed_layout(sets, self._lengths)
        device = self._lengths.device
        places = torch.arange(self._set_of.shape[0], device=device)
        places = places - self._offsets[self._set_of]
        rows = (places * stride - front)[:, None] + torch.arange(size, device=device)
        self._real = (rows >= 0) & (rows < sets.lengths[self._set_of][:, None])
        rows = sets.offsets[self._set_of][:, None] + rows
        self._rows = torch.where(self._real, rows, 0)

    def take(self, values):
        """Return rows of shape (n_windows, size, n_columns), 0 for padding."""
        return torch.where(self._real[:, :, None], values[self._rows], 0)

    def as_sets(self, values, taps):
        """Return the windows with these values, as sets; taps weigh the rows of each."""
        sets = self._sets
        weights, positions = sets.weights, sets.positions
        if weights is not None:
            weights = self._means(sets.masses()[:, None], taps)[:, 0]
        if positions is not None:
            positions = self._means(positions, taps)
        length = sets.form.length
        if length is not None:
            length = self._lengths_of(length)
        return replace(
            sets,
            values=values,
            offsets=self._offsets,
            lengths=self._lengths,
            set_of=self._set_of,
            weights=weights,
            positions=positions,
            form=InputForm(length),
        )

    def _means(self, columns, taps):
        weights = self._real * taps.to(columns)
        total = weights.sum(dim=1, keepdim=True)
        weights = weights / torch.where(total > 0, total, 1)
        return torch.einsum("wt,wtc->wc", weights, self.take(columns))
