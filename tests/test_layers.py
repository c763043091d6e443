"""Packages import only from those below them, and a wheel contains all of them."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_ERROR, EXIT_STATUS_SUCCESS

import otk_sklearn

ROOT = Path(otk_sklearn.__file__).parents[1]


def lint_imports(folder):
    """Return the exit status of import-linter, and what it prints."""
    command = "from importlinter.cli import lint_imports_command as c; c()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path):
    """A copy of the package, to be changed."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "otk_sklearn", tmp_path / "otk_sklearn", ignore=ignored)
    for name in ["pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_imports_run_one_way():
    status, output = lint_imports(ROOT)
    assert status == EXIT_STATUS_SUCCESS, output


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("sets/_windows.py", "otk_sklearn.embeddings._otk"),  # upwards
        ("transport/_solvers.py", "otk_sklearn.features._anchors"),  # in one row
        ("extra/__init__.py", "otk_sklearn.sets._windows"),  # in no layer
    ],
)
def test_wrong_imports_are_found(copy, module, imported):
    path = copy / "otk_sklearn" / module
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"\nimport {imported}\n")
    status, output = lint_imports(copy)
    assert status == EXIT_STATUS_ERROR, output
    assert module.split("/")[0] in output


def imported_names(path):
    """Return all that a module imports, as "module.name"."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_private_names_of_scikit_learn_are_imported_in_one_module():
    importing = {
        path.name
        for path in (ROOT / "otk_sklearn").rglob("*.py")
        for name in imported_names(path)
        if name.startswith("sklearn.") and "._" in name
    }
    assert importing == {"sklearn_compat.py"}


def test_internal_names_of_numba_are_imported_in_one_module():
    importing = {
        path.name
        for path in (ROOT / "otk_sklearn").rglob("*.py")
        for name in imported_names(path)
        if name.startswith("numba.") and not name.startswith("numba.extending.")
    }
    assert importing == {"numba_compat.py"}


# Names with an underscore of scikit-learn, and of named tuples.
FOREIGN_NAMES = {
    "_estimate_log_prob_resp",
    "_init_callback_context",
    "_parameter_constraints",
    "_replace",
    "_validate_params",
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_names_of_others(tree):
    """Private attributes that a module reads of objects without defining them."""
    defined, read = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            defined.add(node.value)  # of a fitted attribute
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            is_inherited = isinstance(node.value, ast.Call)
            if isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
            elif not (is_own or is_inherited):
                read.add(node.attr)
    return read - defined - FOREIGN_NAMES


def test_no_module_knows_the_private_names_of_another():
    for path in (ROOT / "otk_sklearn").rglob("*.py"):
        assert not private_names_of_others(ast.parse(path.read_text())), path


def test_private_names_of_others_are_found():
    tree = ast.parse("def f(model):\n    self._own\n    return model._transport()")
    assert private_names_of_others(tree) == {"_transport"}


def test_a_wheel_holds_every_module(copy):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-q", "-w", "wheels"],
        cwd=copy,
        check=True,
        timeout=240,
    )
    (wheel,) = (copy / "wheels").glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    modules = (ROOT / "otk_sklearn").rglob("*.py")
    assert packed == {path.relative_to(ROOT).as_posix() for path in modules}
