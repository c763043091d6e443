"""Public names are on the API page; their docstrings are complete, and the examples run."""

import doctest
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from numpydoc.validate import validate

import otk_sklearn

HAS_TORCH = importlib.util.find_spec("torch") is not None
MODULES = [
    "otk_sklearn",
    "otk_sklearn.batches",
    "otk_sklearn.datasets",
    "otk_sklearn.display",
    "otk_sklearn.inspection",
    *(["otk_sklearn.torch"] if HAS_TORCH else []),
]
API_PAGE = Path(__file__).parents[1] / "docs" / "api.rst"

# What scikit-learn doesn't ask for either:
NOT_FOLLOWED = {
    "GL01",  # the summary starts on the line of the quotes
    "GL02",  # and so do the closing quotes of one-line docstrings
    "RT02",  # what is returned has a name
}
NOT_ASKED_OF_METHODS = {
    "ES01",  # extended summary
    "EX01",  # an example: that of the class uses its methods
    "SA01",  # see also
}


def public_names(module):
    """Names that a module offers: its `__all__`, or else what is defined in it."""
    contents = vars(module)
    defined = [
        name
        for name, value in contents.items()
        if getattr(value, "__module__", None) == module.__name__
        and not name.startswith("_")
    ]
    return contents.get("__all__", defined)


def own_members(cls):
    """Public methods and properties that are written in this package."""
    for name in dir(cls):
        owner = next(base for base in cls.__mro__ if name in vars(base))
        written_here = owner.__module__.startswith("otk_sklearn")
        by_metadata_routing = re.fullmatch("set_.*_request", name)
        if written_here and not name.startswith("_") and not by_metadata_routing:
            yield name


def public_objects():
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in public_names(module):
            yield f"{module_name}.{name}", getattr(module, name)


def examples_of(value):
    """Examples of a function, or of a class and its methods, also those it inherits."""
    owners = [value]
    if inspect.isclass(value):
        owners = [base for base in value.__mro__ if base.__module__.startswith("otk_")]
    # Without a module: classes say that they are from the package users import them from.
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [
        test
        for owner in owners
        for test in finder.find(owner, owner.__name__, module=False, globs={})
    ]


def documented():
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in public_names(module):
            yield f"{module_name}.{name}", False
            value = getattr(module, name)
            if inspect.isclass(value):
                for member in own_members(value):
                    yield f"{module_name}.{name}.{member}", True


@pytest.mark.parametrize(("name", "is_method"), list(documented()))
def test_docstring_is_complete(name, is_method, monkeypatch):
    # Python 3.13 looks for the line of a class in the file of its `__module__`, which is
    # that where users import it from.
    value = pkgutil.resolve_name(name)
    if "__firstlineno__" in getattr(value, "__dict__", {}):
        monkeypatch.delattr(value, "__firstlineno__")
    ignored = NOT_FOLLOWED | (NOT_ASKED_OF_METHODS if is_method else set())
    errors = [f"{code}: {text}" for code, text in validate(name)["errors"]
              if code not in ignored]  # fmt: skip
    assert not errors, "\n".join(errors)


@pytest.mark.parametrize(
    "value", [pytest.param(value, id=name) for name, value in public_objects()]
)
def test_examples_run(value):
    examples = examples_of(value)
    assert any(test.name == value.__name__ for test in examples)
    runner = doctest.DocTestRunner(
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    for test in examples:
        runner.run(test)
    assert runner.failures == 0


def test_every_example_belongs_to_a_public_name():
    """Examples elsewhere would not be run."""
    paths = Path(otk_sklearn.__file__).parent.rglob("*.py")
    texts = [path.read_text() for path in paths if HAS_TORCH or path.parent.name != "torch"]
    written = sum(len(re.findall("^ *>>> ", text, re.MULTILINE)) for text in texts)
    found = [test for _, value in public_objects() for test in examples_of(value)]
    assert sum(len(test.examples) for test in found) == written > 50


def test_examples_import_public_modules_only():
    """Names of modules with an underscore may change, and users copy the examples."""
    examples = [
        example.source
        for _, value in public_objects()
        for test in examples_of(value)
        for example in test.examples
    ]
    assert not [source for source in examples if re.search(r"otk_sklearn\S*\._", source)]


def test_public_classes_say_where_they_are_imported_from():
    for name, value in public_objects():
        if inspect.isclass(value):
            assert f"{value.__module__}.{value.__name__}" == name


def test_api_page_has_every_public_name_and_no_other():
    listed, module = [], None
    for line in API_PAGE.read_text().splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split(":: ")[1]
        elif re.fullmatch(r"   \w+", line) and (HAS_TORCH or module != "otk_sklearn.torch"):
            listed.append(f"{module}.{line.strip()}")
    assert sorted(listed) == sorted(
        name for name, is_method in documented() if not is_method
    )
