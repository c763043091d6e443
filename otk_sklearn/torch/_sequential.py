"""`SetSequential`: layers one after the other, the first of which act on sets."""

from torch import nn

from otk_sklearn.torch._packed_sets import PackedSets, packed_sets


class SetSequential(nn.Sequential):
    """Layers one after the other, on sets in any form that `OTKPooling` takes.

    Sets are packed once. :class:`KernelFeatures` and :class:`OTKPooling` know where each
    begins; all other layers before the pooling, such as `nn.Linear`, `nn.LayerNorm` or
    `nn.Dropout`, are applied to packed elements of shape (n_elements, n_features), and
    those behind it to its output.

    Parameters
    ----------
    *layers : nn.Module
        Or one ordered dict of them, as for `nn.Sequential`.

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
        x,
        index=None,
        ptr=None,
        dim_size=None,
        *,
        mask=None,
        lengths=None,
        weights=None,
        positions=None,
    ):
        """Apply the layers.

        Parameters
        ----------
        x, index, ptr, dim_size, mask, lengths, weights, positions
            As for :meth:`OTKPooling.forward`.

        Returns
        -------
        Tensor
            The output of the last layer. Without pooling, it is that of
            :meth:`KernelFeatures.forward`.
        """
        if isinstance(x, PackedSets):
            return self.forward_sets(x)
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
        out = self.forward_sets(sets)
        return out.in_input_form() if isinstance(out, PackedSets) else out

    def forward_sets(self, sets):
        """Apply the layers to `PackedSets`."""
        for layer in self:
            if isinstance(sets, PackedSets) and not hasattr(layer, "forward_sets"):
                sets = sets.with_values(layer(sets.values))
            else:
                sets = layer(sets)
        return sets
