"""Why an object makes no array of numbers, and what to pass instead, for error messages."""

import os
import re

import numpy as np

from otk_sklearn.sets._tensors import is_tensor
from otk_sklearn.sets._unreadable import instead_of, sets_with, type_name

_MAX_SHOWN = 40

# Names of arguments whose ragged lists are explained, besides single sets.
_EXPLAINED = ("X", "values", "weights", "positions")


def check_not_text(x, name):
    """Raise an error for a string or a path: it may be that of a file, or a sequence."""
    if isinstance(x, np.ndarray) or not isinstance(x, (str, bytes, os.PathLike)):
        return
    sets, hint = sets_with(name), ""
    if isinstance(x, os.PathLike) or _is_path(os.fsdecode(x)):
        code = f"[np.load(path) for path in {sets}]" if sets else f"[np.load({name})]"
        hint = f" (of a file, by its reader: {code})"
    elif isinstance(x, str):
        hint = f" ({one_hot(sets or f'[{name}]')})"
    raise TypeError(
        f"{name} is {type_name(x)}, {str(x)[:_MAX_SHOWN]!r}; expected a 2-D array of "
        f"numbers{hint}."
    )


def _is_path(text):
    has_space = any(character.isspace() for character in text)
    return not has_space and (os.sep in text or re.search(r"\.\w{1,8}$", text) is not None)


def one_hot(sets):
    """What makes numbers of sequences of letters or words."""
    return (
        "states of a language model: SetCollection.from_padded(hidden, mask=mask); or "
        "one-hot vectors of letters or words: for fit, "
        f"SetCollection.from_sequences({sets}, sorted({{s for x in {sets} for s in x}})); "
        f"for a fitted model, SetCollection.from_sequences({sets}, letters), with the "
        "letters of fit"
    )


def explain_no_array(x, name, error):
    """Why NumPy could not convert an object, and what to pass instead.

    Parameters
    ----------
    x : object
    name : str
        Name of the object in the error message.
    error : Exception
        That of NumPy, or of the library of the object.
    """
    if is_tensor(x):
        if x.device.type == "meta":
            return f"{name} is a tensor on the meta device; expected one with data."
        reason = str(error).rstrip(".")
        return f"{name} is no array of numbers: {reason}{_tensor_hint(x, name)}."
    explanation = ""
    if isinstance(x, list | tuple) and (name in _EXPLAINED or sets_with(name)):
        explanation = _explain_ragged(x, name)
    return explanation or f"{name} is no array of numbers: {error}"


def _tensor_hint(x, name):
    """What makes an array of a tensor of torch: a hint, or nothing."""
    calls = {
        "to_dense": "strided" not in str(x.layout),
        "dequantize": x.is_quantized,
        "resolve_conj": x.is_conj(),
        "float": "float8" in str(x.dtype),
    }
    code = "".join(f".{method}()" for method, is_needed in calls.items() if is_needed)
    return f"; expected {instead_of(name, '{0}' + code)}" if code else ""


def _explain_ragged(items, name):
    """What is wrong with a list whose items have different shapes, or nothing."""
    if name in ("weights", "positions"):
        return f"{name} is a list of arrays; expected one: np.concatenate({name})."
    shapes = [_shape_of(item) for item in items]
    if all(shape is not None and len(shape) == 2 for shape in shapes):
        return _explain_nested_sets(name)
    wrong = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if wrong is None:
        return ""
    if len(shapes[0] or ()) == len(shapes[wrong] or ()) == 1:
        return (
            f"element {wrong} of {name} has {shapes[wrong][0]} features, the first has "
            f"{shapes[0][0]}; expected the same number in every element."
        )
    odd = wrong if shapes[0] and len(shapes[0]) == 1 else 0
    return (
        f"element {odd} of {name} is {_shown(items[odd], shapes[odd])}; expected a list of "
        "numbers, as many as in every other element."
    )


def _explain_nested_sets(name):
    """A list of sets in place of one set, or of one table."""
    sets = sets_with(name)
    if sets:
        return (
            f"{name} is a list of 2-D arrays; expected one: [x for batch in {sets} for x "
            f"in batch], if {sets} is a list of batches of sets."
        )
    expected = f"SetCollection.from_sets({name})" if name in ("X", "values") else "one"
    return f"{name} is a list of 2-D arrays; expected {expected}."


def _shape_of(x):
    """The shape of an item; None if it is ragged itself."""
    try:
        return np.shape(x)
    except (TypeError, ValueError, RuntimeError):
        return None


def _shown(x, shape):
    if shape == ():
        return f"{type_name(x)}, {str(x)[:_MAX_SHOWN]!r}" if x is not None else "None"
    return "ragged" if shape is None else f"of shape {shape}"
