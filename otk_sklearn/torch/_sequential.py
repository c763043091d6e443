"""`SetSequential`: layers one after the other, the first of which act on sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from otk_sklearn.torch._features import KernelFeatures
from otk_sklearn.torch._packed_sets import PackedSets, packed_sets
from otk_sklearn.torch._pooling import OTKPooling

if TYPE_CHECKING:
    from torch import Tensor


class SetSequential(nn.Sequential):
    """Layers one after the other, on sets in any form that `OTKPooling` takes.

    Sets are packed once. :class:`KernelFeatures` and :class:`OTKPooling` know where each
    begins; all other layers before the pooling, such as `nn.Linear`, `nn.LayerNorm` or
    `nn.Dropout`, are applied to packed elements of shape (n_elements, n_features), and
    those behind it to its output. Layers that mix elements, as convolutions and attention
    do, would mix those of different sets: they need padded batches, before.

    Parameters
    ----------
    *args : nn.Module
        The layers, or one ordered dict of them, as for `nn.Sequential`.

    See Also
    --------
    OTKPooling : Pools sets; describes the forms of input.
    KernelFeatures : Kernel features of elements, or of windows.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from otk_sklearn.torch import KernelFeatures, OTKPooling, SetSequential
    >>> network = SetSequential(
    ...     nn.Linear(16, 8), KernelFeatures(8, 32), OTKPooling(32, 5), nn.Flatten()
    ... )
    >>> x = torch.randn(6, 16)
    >>> network(x, index=torch.tensor([0, 0, 1, 1, 1, 0])).shape
    torch.Size([2, 160])
    """

    __module__ = "otk_sklearn.torch"  # where users import it from

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        weights: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Apply the layers.

        Parameters
        ----------
        x : Tensor
            As for :meth:`OTKPooling.forward`, as are the others.
        index, ptr : Tensor, default=None
            Sets of packed elements.
        dim_size : int, default=None
            Number of sets.
        mask, lengths : Tensor, default=None
            Elements of a batch that are no padding.
        weights, positions : Tensor, default=None
            Those of elements.

        Returns
        -------
        Tensor
            The output of the last layer. Without pooling, it is that of
            :meth:`KernelFeatures.forward`.
        """
        sets = packed_sets(
            x,
            index,
            ptr,
            dim_size,
            mask=mask,
            lengths=lengths,
            weights=weights,
            positions=positions,
        )
        out = sets
        for layer in self:
            if isinstance(out, PackedSets) and not isinstance(layer, _OF_SETS):
                values = layer(out.values)
                _check_elements(layer, values, out.values)
                out = out.with_values(values)
            else:
                out = layer(out)
        is_inner = x is sets
        return out.in_input_form() if isinstance(out, PackedSets) and not is_inner else out


def _check_elements(layer, values, before):
    if values.ndim != 2 or values.shape[0] != before.shape[0]:
        raise ValueError(
            f"{type(layer).__name__} turns packed elements of shape {tuple(before.shape)} "
            f"into {tuple(values.shape)}; expected a layer that is applied to each element."
        )


# Layers that take `PackedSets`.
_OF_SETS = KernelFeatures, OTKPooling, SetSequential
