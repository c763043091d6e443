"""Objects that hold arrays can be compared and hashed, as members of lists and keys are."""

import dataclasses
import importlib.util
import pkgutil
import typing
from types import NoneType

import numpy as np
import pytest

import otk_sklearn
from otk_sklearn import SetCollection

SCALARS = {bool, int, float, str, NoneType}


def defined_classes():
    """Dataclasses and named tuples of all packages but that of compiled functions.

    In there, named tuples are numba's, which compares them by their items.
    """
    left_out = ["otk_sklearn._compiled"]
    if not importlib.util.find_spec("torch"):
        left_out.append("otk_sklearn.torch")
    for found in pkgutil.walk_packages(otk_sklearn.__path__, "otk_sklearn."):
        if found.name.startswith(tuple(left_out)):
            continue
        for value in vars(importlib.import_module(found.name)).values():
            is_own = isinstance(value, type) and value.__module__ == found.name
            if is_own and (dataclasses.is_dataclass(value) or hasattr(value, "_fields")):
                yield value


def holds_scalars_only(cls):
    hints = typing.get_type_hints(cls).values()
    return all({*(typing.get_args(hint) or [hint])} <= SCALARS for hint in hints)


CLASSES = {cls.__name__: cls for cls in defined_classes()}


def test_classes_are_found():
    assert len(CLASSES) > 15
    of_scalars = {name for name, cls in CLASSES.items() if holds_scalars_only(cls)}
    assert {"PositionFilter", "Transport"} <= of_scalars  # these are compared by value
    of_arrays = {*CLASSES} - of_scalars
    assert {"FeatureMap", "EmbeddingState", "Elements", "Windows", "Plans"} <= of_arrays


@pytest.mark.parametrize("name", CLASSES)
def test_comparison_and_hash_do_not_fail(name):
    cls = CLASSES[name]
    names = getattr(cls, "_fields", None) or [f.name for f in dataclasses.fields(cls)]
    by_value = holds_scalars_only(cls)
    value = 1 if by_value else np.arange(3.0)
    one, other = (cls(**dict.fromkeys(names, value)) for _ in range(2))
    assert one == one
    assert (one == other) == by_value
    assert (one != other) != by_value
    assert one != tuple(names)
    assert len({one, other}) == 2 - by_value
    assert [other, one].index(one) == 1 - by_value


def test_sets_are_compared_by_identity():
    one, other = (SetCollection(np.ones((3, 2)), [0, 1, 3]) for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2
