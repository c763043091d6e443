"""The embedding of packed elements as an operator of PyTorch, with its gradient.

It is one to compilers and exporters, which don't look into it, and has no graph inside:
what is kept for the gradient is the plan, whatever the number of iterations. The gradient
is that of implicit differentiation, and has none itself.
"""

import torch
from torch import Tensor

from otk_sklearn.torch import _batched_matching, _compiled_matching
from otk_sklearn.transport._problem import Transport

# Arguments that are tensors; the others are the fields of `Transport`.
_N_TENSORS = 5


def matching_on(device):
    """Return the module that matches sets on this type of device."""
    return _compiled_matching if device == "cpu" else _batched_matching


def embed(x, references, offsets, masses, position_weights, transport):
    """Match packed elements to references and pool them.

    Parameters and results are those of `_compiled_matching.embed`.
    """
    return _embed(x, references, offsets, masses, position_weights, *_fields(transport))


def _fields(transport):
    return (
        transport.solver,
        transport.epsilon,
        transport.relaxation,
        transport.max_iter,
        transport.tol,
        transport.support_relaxation,
    )


@torch.library.custom_op("otk_sklearn::embed", mutates_args=())
def _embed(
    x: Tensor,
    references: Tensor,
    offsets: Tensor,
    masses: Tensor,
    position_weights: Tensor | None,
    solver: str,
    epsilon: float,
    relaxation: float | None,
    max_iter: int,
    tol: float,
    support_relaxation: float | None,
) -> tuple[Tensor, Tensor]:
    transport = Transport(solver, epsilon, relaxation, max_iter, tol, support_relaxation)
    matching = matching_on(x.device.type)
    return matching.embed(x, references, offsets, masses, position_weights, transport)


@_embed.register_fake
def _(x, references, offsets, *others):
    n_references, n_supports, n_features = references.shape
    pooled = x.new_empty(offsets.shape[0] - 1, n_references * n_supports, n_features)
    return pooled, x.new_empty(n_references, n_supports, x.shape[0])


@torch.library.custom_op("otk_sklearn::embed_backward", mutates_args=())
def _embed_backward(
    x: Tensor,
    references: Tensor,
    offsets: Tensor,
    masses: Tensor,
    position_weights: Tensor | None,
    solver: str,
    epsilon: float,
    relaxation: float | None,
    max_iter: int,
    tol: float,
    support_relaxation: float | None,
    plan: Tensor,
    of_pooled: Tensor | None,
    of_plan: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    transport = Transport(solver, epsilon, relaxation, max_iter, tol, support_relaxation)
    matching = matching_on(x.device.type)
    return matching.pull_back(
        x,
        references,
        offsets,
        masses,
        position_weights,
        transport,
        plan,
        of_pooled,
        of_plan,
    )


@_embed_backward.register_fake
def _(x, references, offsets, masses, *others):
    return tuple(tensor.new_empty(tensor.shape) for tensor in (x, references, masses))


def _set_up(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:_N_TENSORS], output[1])
    ctx.transport = inputs[_N_TENSORS:]


def _backward(ctx, of_pooled, of_plan):
    nothing = (None,) * (1 + len(ctx.transport))
    if of_pooled is None and of_plan is None:
        return (None,) * 4 + nothing
    *inputs, plan = ctx.saved_tensors
    of_x, of_references, of_masses = _embed_backward(
        *inputs, *ctx.transport, plan, of_pooled, of_plan
    )
    return of_x, of_references, None, of_masses, *nothing


_embed.register_autograd(_backward, setup_context=_set_up)
