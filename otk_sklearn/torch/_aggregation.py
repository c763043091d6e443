"""Pooling as an `Aggregation` of PyTorch Geometric."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_geometric.nn import Aggregation

    from otk_sklearn.torch._pooling import OTKPooling
    from otk_sklearn.torch._sequential import SetSequential


def as_aggregation(pooling: OTKPooling | SetSequential) -> Aggregation:
    """Return a pooling as an aggregation of PyTorch Geometric.

    That library is imported here for the first time.

    Parameters
    ----------
    pooling : OTKPooling or SetSequential
        Whose output has the shape (n_sets, ...): it is flattened from the second axis.

    Returns
    -------
    torch_geometric.nn.Aggregation
        With the pooling as its submodule `pooling`: for message passing layers such as
        `GraphConv`, or the nodes of a batch of graphs.

    Raises
    ------
    ImportError
        Without torch_geometric.

    See Also
    --------
    OTKPooling : Takes an index or a pointer itself.

    Examples
    --------
    >>> from otk_sklearn.torch import OTKPooling, as_aggregation
    >>> readout = as_aggregation(OTKPooling(16, 5))  # doctest: +SKIP
    >>> readout(data.x, data.batch)  # doctest: +SKIP
    """
    return _aggregation_class()(pooling)


@functools.cache
def _aggregation_class():
    from torch_geometric.nn import Aggregation

    class OTKAggregation(Aggregation):
        """Pool by optimal transport, as an aggregation."""

        def __init__(self, pooling):
            super().__init__()
            self.pooling = pooling

        def __reduce__(self):
            return as_aggregation, (self.pooling,)

        def forward(
            self,
            x,
            index=None,
            ptr=None,
            dim_size=None,
            dim=-2,
            max_num_elements=None,
        ):
            """Pool the rows of each index, or from pointer to pointer."""
            self.assert_two_dimensional_input(x, dim)
            if index is None:
                return self.pooling(x, ptr=ptr).flatten(1)
            # A pointer besides says the same.
            return self.pooling(x, index, dim_size=dim_size).flatten(1)

    return OTKAggregation
