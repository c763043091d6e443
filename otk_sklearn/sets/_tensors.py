"""Tensors of PyTorch as arrays of NumPy, without importing PyTorch."""

import sys

# Nesting of lists up to which they may hold tensors.
_MAX_DIMENSIONS = 5


def is_tensor(x):
    """Whether this is a tensor of PyTorch, which may be one of its subclasses."""
    return isinstance(x, getattr(sys.modules.get("torch"), "Tensor", ()))


def is_nested(x):
    """Whether this is a nested tensor of PyTorch: one tensor for each set."""
    return is_tensor(x) and x.is_nested


def with_numpy(x, depth=_MAX_DIMENSIONS):
    """Return what NumPy converts: tensors in its memory and in types that it has.

    No gradient leads through an array, so a tensor that requires one is detached. One on
    another device is copied; bfloat16 becomes float32, which holds it exactly.

    Parameters
    ----------
    x : object
        A tensor, or lists that hold tensors. Everything else is returned unchanged.
    depth : int
        How deeply lists may be nested.
    """
    if is_tensor(x):
        return _plain(x)
    if isinstance(x, list | tuple) and depth and "torch" in sys.modules:
        one_of_each_type = {type(item): item for item in x}.values()
        if any(
            is_tensor(item) or isinstance(item, list | tuple) for item in one_of_each_type
        ):
            return [with_numpy(item, depth - 1) for item in x]
    return x


def _plain(tensor):
    if tensor.device.type == "meta" or tensor.is_nested:  # an error says what to pass
        return tensor
    tensor = tensor.detach().cpu().resolve_neg()
    return tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
