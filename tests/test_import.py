"""What importing the package does, and does not do."""

import compileall
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import otk_sklearn


def test_import_compiles_nothing_and_imports_no_optional_package():
    code = """
import sys, numba.core.registry
from otk_sklearn import display
from otk_sklearn._compiled import features, implicit_gradient, pooling, primitives, sinkhorn
dispatcher = numba.core.registry.CPUDispatcher
compiled = [f for m in (features, implicit_gradient, pooling, primitives, sinkhorn)
            for f in vars(m).values() if isinstance(f, dispatcher)]
print(len(compiled) > 3, sum(len(f.signatures) for f in compiled))
optional = ["ot", "torch", "matplotlib", "sktime", "awkward", "polars"]
print([m for m in optional if m in sys.modules])
"""
    process = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert process.stdout == "True 0\n[]\n"


# Run with a folder or an archive as argument: the package is in there, but not installed.
USE_UNINSTALLED = """
import importlib.metadata, importlib.resources, sys
from pathlib import Path

place, kind = sys.argv[1:]
sys.path.insert(0, place)
distribution = importlib.metadata.Distribution.from_name

def not_installed(name):
    if name.replace("_", "-") == "otk-sklearn":
        raise importlib.metadata.PackageNotFoundError(name)
    return distribution(name)

importlib.metadata.Distribution.from_name = not_installed
files = importlib.resources.files

def no_files(package):
    is_ours = str(package).startswith("otk_sklearn")
    return Path(place, "missing") if is_ours else files(package)

if kind == "frozen":  # modules come without files
    importlib.resources.files = no_files
    sys.frozen = True

import numpy as np
import otk_sklearn
from otk_sklearn import FisherVectorEmbedding, OTKEmbedding

assert otk_sklearn.__file__.startswith(place)
model = FisherVectorEmbedding(2, random_state=0)  # few of its functions are compiled
assert model.fit_transform([np.eye(3), np.ones((2, 3))]).shape == (2, 12)
assert "<" in OTKEmbedding()._repr_html_()
print(otk_sklearn.__version__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "zip", "frozen"])
def test_package_that_is_not_installed(kind, tmp_path):
    """Its version is right; numba compiles without a cache where it knows no folder."""
    place = tmp_path / "packages"
    package = place / "otk_sklearn"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(otk_sklearn.__file__).parent, package, ignore=ignored)
    if kind == "zip":
        place = shutil.make_archive(str(place), "zip", place)
    elif kind == "frozen":
        compileall.compile_dir(package, quiet=1, legacy=True)
        for source in package.rglob("*.py"):
            source.unlink()
    (tmp_path / "home").write_text("")  # no cache there, either
    cache = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    process = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", USE_UNINSTALLED, place, kind],
        cwd=tmp_path,
        env={**os.environ, **cache},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == f"{otk_sklearn.__version__}\n"


def test_version_is_that_of_the_distribution():
    assert otk_sklearn.__version__ == importlib.metadata.version("otk-sklearn")
