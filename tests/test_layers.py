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
