"""Sets in the memory of tensors: every form of input becomes one of packed elements."""

import contextlib
import math
from dataclasses import dataclass, replace
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor

from otk_sklearn._utils.named_tuples import compared_by_identity


@compared_by_identity
class InputForm(NamedTuple):
    """The form of input that packed sets come from.

    Parameters
    ----------
    length : int or None
        Number of rows of each set in a batch; None for packed elements.
    to_rows : Tensor of int64 or None
        The row of each row of the input, -1 for padding. None if they are in order, or
        others have taken their place.
    """

    length: int | None = None
    to_rows: Tensor | None = None


PACKED = InputForm()


@dataclass(frozen=True, eq=False)
class PackedSets:
    """Sets whose elements are packed into one tensor, one set after the other.

    Parameters
    ----------
    values : Tensor of shape (n_rows, n_features)
    offsets : Tensor of int64 of shape (n_sets + 1,)
        Where the rows of each set start.
    lengths : Tensor of int64 of shape (n_sets,)
        Number of elements of each set: the first of its rows.
    set_of : Tensor of int64 of shape (n_rows,)
        The set of each row.
    weights : Tensor of shape (n_rows,) or None, default=None
        Weights of elements, on any scale; None if they are equal.
    positions : Tensor of shape (n_rows, n_axes) or None, default=None
        None for the order of the elements.
    is_padded : bool, default=False
        Whether other rows than elements are left, as when a network is compiled, where
        shapes must not depend on data.
    form : InputForm, default=PACKED
    """

    values: Tensor
    offsets: Tensor
    lengths: Tensor
    set_of: Tensor
    weights: Tensor | None = None
    positions: Tensor | None = None
    is_padded: bool = False
    form: InputForm = PACKED

    @property
    def index_in_set(self):
        """The place of each row in its set, counted from 0."""
        rows = torch.arange(self.set_of.shape[0], device=self.set_of.device)
        return rows - self.offsets[self.set_of]

    @property
    def is_element(self):
        """Whether each row is an element, and no padding."""
        return self.index_in_set < self.lengths[self.set_of]

    def with_values(self, values):
        """Return sets of as many rows with these values."""
        return replace(self, values=values)

    def masses(self):
        """Return weights that sum to 1 in each set, and are 0 for padding.

        In a set without weight, or of nothing but padding, they are equal: there, values
        are 0.
        """
        dtype = wide_dtype(self.set_of.device)
        counts, is_empty = self.lengths, self.lengths == 0
        if self.is_padded:
            counts = torch.where(is_empty, self.offsets.diff(), counts)
        uniform = 1 / counts.clamp(min=1).to(dtype)[self.set_of]
        if self.is_padded:
            counted = self.is_element | is_empty[self.set_of]
            uniform = torch.where(counted, uniform, 0)
        if self.weights is None:
            return uniform
        weights = self.weights.to(dtype)
        if self.is_padded:
            weights = torch.where(self.is_element, weights, 0)
        totals = weights.new_zeros(self.lengths.shape[0]).index_add(0, self.set_of, weights)
        totals = totals[self.set_of]
        has_weight = totals > 0
        return torch.where(
            has_weight, weights / torch.where(has_weight, totals, 1), uniform
        )

    def present_values(self):
        """Return the values, with 0 for padding and elements of weight 0."""
        present = self.is_element if self.is_padded else None
        if self.weights is not None:
            has_weight = self.weights > 0
            present = has_weight if present is None else present & has_weight
        return self.values if present is None else where_rows(present, self.values)

    def element_positions(self):
        """Return positions of rows, by default `i / n` for the i-th of n elements."""
        if self.positions is not None:
            return self.positions
        lengths = self.lengths.clamp(min=1).to(wide_dtype(self.set_of.device))
        return (self.index_in_set / lengths[self.set_of])[:, None]

    def in_input_form(self):
        """Return values in the form of the input, with 0 for padding.

        Where windows have taken the place of elements, they come first in each set.
        """
        length, to_rows = self.form
        if to_rows is not None:
            values = self.values
            if values.shape[0]:
                values = where_rows(to_rows >= 0, values[to_rows.clamp(min=0)])
            else:
                values = values.new_zeros(to_rows.shape[0], values.shape[1])
        elif length is None or self.is_padded:
            values = self.present_rows()
        else:
            shape = self.lengths.shape[0] * length, self.values.shape[1]
            rows = self.set_of * length + self.index_in_set
            values = self.values.new_zeros(shape).index_copy(0, rows, self.values)
        if length is None:
            return values
        n_sets = self.lengths.shape[0]
        rows_of_set = values.shape[0] // n_sets if n_sets else length
        return values.unflatten(0, (n_sets, rows_of_set))[:, :length]

    def present_rows(self):
        """Return the values, with 0 for padding."""
        return where_rows(self.is_element, self.values) if self.is_padded else self.values


def where_rows(chosen, rows):
    """Return rows, with 0 in place of those that are not chosen, even of NaN."""
    return torch.where(chosen[:, None], rows, 0)


def packed_layout(sets, lengths):
    """Return offsets, and the set of each row, for sets of these lengths."""
    if sets.is_padded:  # these are at most as long
        return sets.offsets, sets.set_of
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    return offsets, _repeated_index(lengths, int(offsets[-1]))


def _repeated_index(lengths, n_rows):
    index = torch.arange(lengths.shape[0], device=lengths.device)
    return index.repeat_interleave(lengths, output_size=n_rows)


def wide_dtype(device):
    """Return float64 where there is such a type."""
    return torch.float32 if device.type == "mps" else torch.float64


def without_autocast(device):
    """Return a context in which operations on this device keep their dtypes."""
    if device.type == "meta":
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def working_dtype(values, parameter):
    """Return the dtype to compute in: at least float32."""
    dtype = torch.promote_types(values.dtype, parameter.dtype)
    return torch.promote_types(dtype, torch.float32)


def packed_sets(
    x,
    index=None,
    ptr=None,
    dim_size=None,
    *,
    mask=None,
    lengths=None,
    weights=None,
    positions=None,
    n_features=None,
):
    """Pack elements in any form that `OTKPooling` takes, after checks.

    Sets that are packed are returned as they are.
    """
    if isinstance(x, PackedSets):
        _check_values(x.values, n_features)
        return x
    _check_values(x, n_features)
    if x.is_nested:
        _check_absent("a nested tensor", index=index, ptr=ptr, mask=mask, lengths=lengths)
        if x.lengths() is not None:  # there are gaps
            x = x.contiguous()
        x, ptr = x.values(), x.offsets()
    weights, positions = _checked_weights(weights, x), _checked_positions(positions, x)
    if weights is not None:  # of absent elements, not even NaN may have an effect
        present = (weights > 0).view(x.shape[:-1])[..., None]
        x = torch.where(present | x.isfinite(), x, 0)
    if x.ndim > 2:
        form = f"x of shape {tuple(x.shape)}"
        _check_absent(form, index=index, ptr=ptr, dim_size=dim_size)
        return _of_batch(x, _checked_mask(x, mask, lengths), weights, positions)
    form = "packed elements, of shape (n_elements, in_features)"
    _check_absent(form, mask=mask, lengths=lengths)
    if (index is None) == (ptr is None):
        given = "neither index nor ptr is" if index is None else "both index and ptr are"
        raise ValueError(
            f"x has shape {tuple(x.shape)}, and {given} given; expected one of them, or "
            "x[None] for one set."
        )
    if index is not None:
        return _of_index(x, index, dim_size, weights, positions)
    _check_absent("ptr", dim_size=dim_size)
    return _of_offsets(x, _checked_offsets(ptr, x), weights, positions)


def _check_values(x, n_features):
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}; expected a tensor.")
    if not x.is_floating_point():
        raise TypeError(f"x has dtype {x.dtype}; expected floating-point numbers.")
    if x.is_nested and x.layout != torch.jagged:
        raise TypeError(f"x is nested with layout {x.layout}; expected torch.jagged.")
    if x.ndim not in (2, 3, 4) or n_features not in (None, x.shape[-1]):
        last = "n_features" if n_features is None else n_features
        raise ValueError(
            f"x has shape {tuple(x.shape)}; expected (n_elements, {last}) with index or "
            f"ptr, (batch, length, {last}) or (batch, height, width, {last})."
        )


def _check_absent(form, **arguments):
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} is given with {form}; expected None.")


def _checked_weights(weights, x):
    if weights is None:
        return None
    if not isinstance(weights, Tensor) or weights.shape != x.shape[:-1]:
        shape = getattr(weights, "shape", None)
        came = type(weights).__name__ if shape is None else f"of shape {tuple(shape)}"
        raise ValueError(
            f"weights is {came}; expected a tensor of shape {tuple(x.shape[:-1])}."
        )
    if _can_check(x) and not (weights.isfinite() & (weights >= 0)).all():
        wrong = weights[~(weights.isfinite() & (weights >= 0))][0].item()
        raise ValueError(
            f"weights contains {wrong:g}; expected finite numbers, at least 0."
        )
    return weights.reshape(-1)


def _checked_positions(positions, x):
    if positions is None:
        return None
    shapes = [(*x.shape[:-1], n_axes) for n_axes in (1, 2)]
    if not isinstance(positions, Tensor) or tuple(positions.shape) not in shapes:
        came = getattr(positions, "shape", type(positions).__name__)
        raise ValueError(
            f"positions is {came}; expected a tensor of shape {shapes[0]} or {shapes[1]}."
        )
    if not positions.is_floating_point():
        raise TypeError(
            f"positions has dtype {positions.dtype}; expected floating-point numbers."
        )
    if _can_check(x) and not positions.isfinite().all():
        raise ValueError("positions has NaN or infinity; expected finite coordinates.")
    # They are data: there is no gradient with respect to them.
    return positions.detach().flatten(0, -2).to(wide_dtype(x.device))


def _can_check(x):
    """Whether values can be checked: on other devices, that would wait for the device."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


_INTEGERS = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64


def _checked_index(name, index, x, shape):
    """Check an argument that has integers, and return it in int64."""
    if not isinstance(index, Tensor) or index.dtype not in _INTEGERS:
        came = getattr(index, "dtype", type(index).__name__)
        raise TypeError(f"{name} is {came}; expected a tensor of integers.")
    if index.ndim != 1 or (shape is not None and index.shape[0] != shape):
        expected = "(n_sets + 1,)" if shape is None else f"({shape},)"
        raise ValueError(f"{name} has shape {tuple(index.shape)}; expected {expected}.")
    if index.device != x.device:
        raise ValueError(f"{name} is on {index.device}; expected {x.device}, as x is.")
    return index.long()


def _checked_offsets(ptr, x):
    offsets = _checked_index("ptr", ptr, x, None)
    if offsets.shape[0] < 1:
        raise ValueError("ptr is empty; expected the offsets of sets, starting with 0.")
    if _can_check(x):
        steps = offsets.diff()
        if offsets[0] != 0 or offsets[-1] != x.shape[0] or (steps < 0).any():
            raise ValueError(
                f"ptr goes from {offsets[0]} to {offsets[-1]}"
                f"{', and decreases' if (steps < 0).any() else ''}; expected offsets that "
                f"don't decrease, from 0 to {x.shape[0]}, the number of elements."
            )
    return offsets


def _of_offsets(values, offsets, weights, positions, form=PACKED):
    lengths = offsets.diff()
    set_of = _repeated_index(lengths, values.shape[0])
    return PackedSets(values, offsets, lengths, set_of, weights, positions, form=form)


def _of_index(x, index, dim_size, weights, positions):
    index = _checked_index("index", index, x, x.shape[0])
    if dim_size is None:
        dim_size = int(index.max()) + 1 if index.shape[0] else 0
    elif not isinstance(dim_size, Integral | torch.SymInt) or dim_size < 0:
        raise ValueError(f"dim_size is {dim_size!r}; expected an integer, at least 0.")
    if _can_check(x) and index.shape[0] and not 0 <= index.min() <= index.max() < dim_size:
        raise ValueError(
            f"index goes from {index.min()} to {index.max()}; expected sets from 0 to "
            f"{dim_size - 1}."
        )
    form, rows = PACKED, (x, weights, positions)
    if torch.compiler.is_compiling() or (index[1:] < index[:-1]).any():
        index, order = index.sort(stable=True)
        form = InputForm(to_rows=order.argsort())
        rows = _taken(order, *rows)
    lengths = index.new_zeros(dim_size).index_add(0, index, torch.ones_like(index))
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    values, weights, positions = rows
    return PackedSets(values, offsets, lengths, index, weights, positions, form=form)


def _of_batch(x, mask, weights, positions):
    """Pack a batch of sets of as many rows, not all of which need be elements."""
    if x.ndim == 4 and positions is None:
        positions = _grid_positions(x)
    n_sets, length = x.shape[0], math.prod(x.shape[1:-1])
    rows = x.reshape(n_sets * length, x.shape[-1]), weights, positions
    offsets = torch.arange(n_sets + 1, device=x.device) * length
    if mask is None:
        return _of_offsets(rows[0], offsets, *rows[1:], form=InputForm(length))
    kept, lengths = mask.reshape(-1), mask.sum(1)
    if torch.compiler.is_compiling():  # elements first, and then the padding
        place = mask.logical_not().to(torch.uint8).argsort(dim=1, stable=True)
        order = (offsets[:-1, None] + place).reshape(-1)
        form = InputForm(length, torch.where(kept, order.argsort(), -1))
        sets = _of_offsets(*_taken(order, rows[0]), offsets, *_taken(order, *rows[1:]))
        sets = replace(sets, lengths=lengths, is_padded=True, form=form)
        return sets.with_values(sets.present_rows())
    form = InputForm(length, torch.where(kept, kept.cumsum(0) - 1, -1))
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    return _of_offsets(*_taken(kept, rows[0]), offsets, *_taken(kept, *rows[1:]), form=form)


def _taken(rows, *tensors):
    return [None if tensor is None else tensor[rows] for tensor in tensors]


def _checked_mask(x, mask, lengths):
    """Return a mask of shape (n_sets, length), or None if all rows are elements."""
    if lengths is not None:
        _check_absent("lengths", mask=mask)
        if x.ndim == 4:
            _check_absent("grids", lengths=lengths)
        lengths = _checked_index("lengths", lengths, x, x.shape[0])
        if (
            _can_check(x)
            and x.shape[0]
            and not 0 <= lengths.min() <= lengths.max() <= x.shape[1]
        ):
            raise ValueError(
                f"lengths goes from {lengths.min()} to {lengths.max()}; expected 0 to "
                f"{x.shape[1]}, the length of the batch."
            )
        return torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        came = getattr(mask, "dtype", type(mask).__name__)
        raise TypeError(f"mask is {came}; expected torch.bool, True for elements.")
    if mask.shape != x.shape[:-1]:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; expected {tuple(x.shape[:-1])}."
        )
    return mask.reshape(x.shape[0], math.prod(x.shape[1:-1]))


def _grid_positions(x):
    """Positions of pixels, row by row, counted from 1."""
    n_sets, height, width, _ = x.shape
    dtype = wide_dtype(x.device)
    rows = torch.arange(1, height + 1, device=x.device, dtype=dtype) / height
    columns = torch.arange(1, width + 1, device=x.device, dtype=dtype) / width
    return torch.cartesian_prod(rows, columns).repeat(n_sets, 1)
