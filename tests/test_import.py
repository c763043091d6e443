"""What importing the package does, and does not do."""

import os
import subprocess
import sys

import pytest

USE = """
import numpy as np
from otk_sklearn import OTKEmbedding
X = [np.random.default_rng(i).normal(size=(20, 2)) for i in range(3)]
print(OTKEmbedding(2, n_components=4, random_state=0).fit_transform(X).sum())
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def test_import_compiles_nothing_and_imports_no_optional_package():
    code = """
import sys, numba.core.registry
from otk_sklearn import _compiled, _kernels, _scaling
dispatcher = numba.core.registry.CPUDispatcher
compiled = [f for m in (_compiled, _kernels, _scaling)
            for f in vars(m).values() if isinstance(f, dispatcher)]
print(len(compiled) > 3, sum(len(f.signatures) for f in compiled))
print([m for m in ["ot", "torch", "matplotlib", "sktime"] if m in sys.modules])
"""
    assert run(code) == "True 0\n[]\n"


@pytest.mark.parametrize("cache", ["/dev/null/nowhere", ""])
def test_kernels_run_where_no_cache_can_be_written(cache):
    """numba raises at import if it finds no folder: see `_compiled.jit`."""
    code = f"""
import numba.core.caching as caching
if not {cache!r}:
    caching.CacheImpl._locator_classes = []  # as on a read-only file system
{USE}
"""
    environment = {"NUMBA_CACHE_DIR": cache} if cache else {}
    assert run(code, **environment) == run(USE)
