"""Kernels between elements and anchors, and their whitening, as torch operations."""

import torch
from torch import Tensor

from otk_sklearn.torch._packed_sets import wide_dtype


def unit_rows(rows):
    """Return L2-normalized rows; rows of zeros, and those of norm 1, stay as they are.

    Those of norm 1 up to rounding stay, so that normalizing twice is normalizing once.
    """
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    is_unit = (norms - 1).abs() <= 4 * torch.finfo(rows.dtype).eps
    one = norms + (1 - norms).detach()  # of the same gradient
    return rows / torch.where(norms == 0, 1, torch.where(is_unit, one, norms))


def rbf_kernel(elements, anchors, gamma):
    """`exp(-gamma ||x - w||^2)`, of shape (n_elements, n_anchors)."""
    # Squared norms and products cancel: centring reduces the loss of precision.
    center = anchors.detach().mean(dim=0)
    elements, anchors = elements - center, anchors - center
    # Where squares would overflow, the kernel is 0 as well as nearer by.
    largest = torch.finfo(elements.dtype).max ** 0.4
    elements = elements.clamp(-largest, largest)
    squares = elements.square().sum(dim=1, keepdim=True) + anchors.square().sum(dim=1)
    distances = torch.addmm(squares, elements, anchors.T, alpha=-2).clamp(min=0)
    return torch.exp(-gamma * distances)


def homogeneous_kernel(elements, anchors, gamma):
    """`||x|| exp(2 gamma (cos(x, w) - 1))`, 0 where x = 0, for anchors of norm 1."""
    # Divided by the largest number, so that no square overflows or underflows.
    scales = elements.detach().abs().amax(dim=1, keepdim=True)
    scales = torch.where(scales > 0, scales, 1)
    scaled = elements / scales
    scaled_norms = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    unit = scaled / scaled_norms.clamp(min=torch.finfo(elements.dtype).tiny)
    norms = scaled_norms * scales
    return norms * torch.exp(2 * gamma * (unit @ anchors.T - 1))


KERNELS = {"rbf": rbf_kernel, "homogeneous": homogeneous_kernel}


def whitening(kernel, anchors, gamma, damping):
    """Return `D = U diag(1 / (sqrt(lambda) + damping)) U^T`, in the dtype of the anchors.

    `lambda` and U are the eigenvalues and eigenvectors of the kernel between the anchors.
    """
    wide = wide_dtype(anchors.device)
    anchors_wide = anchors.to(wide)
    if kernel == "homogeneous":
        anchors_wide = unit_rows(anchors_wide)
    gram = KERNELS[kernel](anchors_wide, anchors_wide, gamma.to(wide))
    return _inverse_root(gram, float(damping))[0].to(anchors.dtype)


@torch.library.custom_op("otk_sklearn::inverse_root", mutates_args=())
def _inverse_root(gram: Tensor, damping: float) -> tuple[Tensor, Tensor, Tensor]:
    """`U diag(1 / (sqrt(lambda) + damping)) U^T` of a symmetric matrix.

    An operator, as `torch.linalg.eigh` has no gradient where eigenvalues are equal.
    Returned are also U and the square roots of lambda, for the gradient.
    """
    eigenvalues, U = torch.linalg.eigh((gram + gram.T) / 2)
    roots = eigenvalues.clamp(min=0).sqrt()
    return (U / (roots + damping)) @ U.T, U.contiguous(), roots


@_inverse_root.register_fake
def _(gram, damping):
    return torch.empty_like(gram), torch.empty_like(gram), torch.empty_like(gram[0])


def _set_up(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.damping = inputs[1]
    ctx.save_for_backward(*output[1:])


def _backward(ctx, gradient, *_):
    if gradient is None:
        return None, None
    U, roots = ctx.saved_tensors
    scale = 1 / (roots + ctx.damping)
    # Divided differences of the scale by lambda (Daleckii and Krein).
    sums = roots[:, None] + roots
    differences = torch.where(sums > 0, -torch.outer(scale, scale) / sums, 0)
    in_basis = U.T @ ((gradient + gradient.T) / 2) @ U
    return U @ (differences * in_basis) @ U.T, None


_inverse_root.register_autograd(_backward, setup_context=_set_up)
