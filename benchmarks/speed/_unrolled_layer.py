"""Pooling layers of padded batches, as networks have them, for comparison.

All take a padded batch of shape (n_sets, length, n_features) and a mask of shape
(n_sets, length), True for elements.
"""

import math

import torch
from torch import nn


class UnrolledPooling(nn.Module):
    """Optimal transport to references, whose iterations are part of the graph.

    Parameters
    ----------
    references : Tensor of shape (n_supports, n_features)
    epsilon : float
    n_iter : int
        All iterations are taken, without a look at errors.
    log_domain : bool, default=False
        Whether to iterate over potentials, which is slower, and safe at any epsilon. By
        default over scalings, by products of matrices and vectors: of an iteration, the
        graph then keeps vectors only.
    position_weights : Tensor of shape (length, n_supports), default=None
        What similarities, and the plan, are multiplied by.
    """

    def __init__(
        self, references, epsilon, n_iter, log_domain=False, position_weights=None
    ):
        super().__init__()
        self.register_buffer("position_weights", position_weights)
        self.references = nn.Parameter(references.clone())
        self.epsilon = epsilon
        self.n_iter = n_iter
        self.log_domain = log_domain

    def forward(self, x, mask):
        """Pool sets: the result has the shape (n_sets, n_supports, n_features)."""
        log_kernel = x @ self.references.T / self.epsilon
        if self.position_weights is not None:
            log_kernel = log_kernel * self.position_weights
        masses = (mask / mask.sum(dim=1, keepdim=True)).to(x.dtype)[:, :, None]
        plans = (self._log_plan if self.log_domain else self._plan)(log_kernel, masses)
        if self.position_weights is not None:
            plans = plans * self.position_weights
        return len(self.references) * plans.transpose(1, 2) @ x

    def _plan(self, log_kernel, masses):
        n_sets, _, n_supports = log_kernel.shape
        shift = log_kernel.detach().amax(dim=2, keepdim=True)
        kernel = torch.exp(log_kernel - shift)
        transposed = kernel.transpose(1, 2)
        v = log_kernel.new_full((n_sets, n_supports, 1), 1 / n_supports)
        for _ in range(self.n_iter):
            u = masses / (kernel @ v)
            v = 1 / n_supports / (transposed @ u)
        return u * kernel * v.transpose(1, 2)

    def _log_plan(self, log_kernel, masses):
        n_sets, _, n_supports = log_kernel.shape
        log_masses, log_b = masses.log(), -math.log(n_supports)
        g = log_kernel.new_full((n_sets, 1, n_supports), log_b)
        for _ in range(self.n_iter):
            f = log_masses - torch.logsumexp(log_kernel + g, dim=2, keepdim=True)
            g = log_b - torch.logsumexp(log_kernel + f, dim=1, keepdim=True)
        return torch.exp(f + log_kernel + g)


class AttentionPooling(nn.Module):
    """Attention of learned queries to the elements, of which each head pools a part."""

    def __init__(self, n_features, n_supports, n_heads):
        super().__init__()
        queries = torch.randn(1, n_supports, n_features) / math.sqrt(n_features)
        self.queries = nn.Parameter(queries)
        self.attention = nn.MultiheadAttention(n_features, n_heads, batch_first=True)

    def forward(self, x, mask):
        """Pool sets: the result has the shape (n_sets, n_supports, n_features)."""
        queries = self.queries.expand(len(x), -1, -1)
        pooled, _ = self.attention(
            queries, x, x, key_padding_mask=~mask, need_weights=False
        )
        return pooled
