"""Public signatures have types, and mypy checks a program that uses all of them."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest
from test_docstrings import MODULES, own_members, public_names, public_objects

import otk_sklearn
from otk_sklearn.sets._types import SetsLike

PROGRAM = Path(__file__).parent / "typing" / "every_public_name.py"


def functions_of(value):
    """Functions of a public name: itself, or the constructor and the own methods."""
    if not inspect.isclass(value):
        return [value]
    functions = []
    for name in ["__init__", *own_members(value)]:
        member = inspect.getattr_static(value, name)
        if isinstance(member, property):
            member = member.fget
        member = getattr(member, "fn", member)  # of `available_if`
        functions.append(inspect.unwrap(getattr(member, "__func__", member)))
    return [f for f in functions if getattr(f, "__module__", "").startswith("otk_")]


@pytest.mark.parametrize(
    "value", [pytest.param(value, id=name) for name, value in public_objects()]
)
def test_every_parameter_and_return_value_has_a_type(value):
    for function in functions_of(value):
        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.name not in OWN]
        without = [p.name for p in parameters if p.annotation is p.empty]
        assert not without, function.__qualname__
        assert signature.return_annotation is not signature.empty, function.__qualname__


OWN = ("self", "cls")


def test_missing_types_would_be_found():
    def untyped(x: int, y=None): ...

    with pytest.raises(AssertionError):
        test_every_parameter_and_return_value_has_a_type(untyped)


def test_the_program_that_is_checked_uses_every_public_name():
    tree = ast.parse(PROGRAM.read_text())
    imported = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    for module in MODULES:
        for name in public_names(importlib.import_module(module)):
            assert (module, name) in imported, f"{module}.{name}"
            assert name in used, name


def test_type_checkers_are_told_that_there_are_types():
    assert (Path(otk_sklearn.__file__).parent / "py.typed").exists()


def test_sets_are_any_of_the_documented_forms():
    """The type can be imported, without the optional packages whose objects it covers."""
    assert otk_sklearn.SetCollection in SetsLike.__args__
