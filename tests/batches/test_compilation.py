"""`compile_kernels`: what is called later finds its functions in numba's cache."""

import os
import subprocess
import sys

import numpy as np
import pytest

from otk_sklearn import (
    ConvolutionalKernelLayer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SlicedWassersteinEmbedding,
)
from otk_sklearn._compiled import features, implicit_gradient, pooling, sinkhorn

COMPILE = "from otk_sklearn.batches import compile_kernels; compile_kernels()"


def use_all():
    """Print the functions that are compiled by use of every estimator."""
    random = np.random.default_rng(0)
    lengths = random.integers(30, 90, 40)
    y = np.arange(40) % 3
    for dtype in (np.float32, np.float64):
        X = [random.normal(size=(n, 3)).astype(dtype) for n in lengths]
        weighted = SetCollection.from_sets(X, weights=[np.ones(n) for n in lengths])
        for model in (
            OTKEmbedding(),  # with its defaults
            OTKEmbedding(4, n_references=2, n_jobs=2),
            OTKEmbedding(4, references="barycenter", epsilon=0.5),
            OTKEmbedding(4, epsilon=1e-3, tol=1e-8),  # in float64, and in logarithms
            OTKEmbedding(4, kernel="homogeneous", support_relaxation=0.5),
            OTKEmbedding(4, kernel="linear", relaxation=0.5),
            OTKEmbedding(4, filter_size=3, padding="same", position="hard"),
            OTKEmbedding(4, solver="emd"),
            ConvolutionalKernelLayer(4, filter_size=3, subsampling=2),
            KernelMeanEmbedding(),
            FisherVectorEmbedding(2),
            SlicedWassersteinEmbedding(3),
        ):
            model.set_params(random_state=0).fit(X).transform(X)
            model.fit(weighted).transform(weighted)
        for optimizer in ("adam", "lbfgs"):
            options = {"optimizer": optimizer, "max_epochs": 2, "random_state": 0}
            for parameters in (
                {},
                {"kernel": "homogeneous", "relaxation": 0.5},
                {"kernel": "linear", "support_relaxation": 0.5},
                {"filter_size": 2, "position": "gaussian", "n_references": 2},
            ):
                model = OTKClassifier(OTKEmbedding(4, **parameters), **options)
                model.fit(X, y).predict_proba(X)
            OTKRegressor(OTKEmbedding(4), refit_head=True, **options).fit(X, y).predict(X)
    for module in (features, implicit_gradient, pooling, sinkhorn):
        for name, function in vars(module).items():
            misses = function.stats.cache_misses if hasattr(function, "stats") else {}
            if misses and function.stats.cache_path is not None:
                print(name, dict(misses))


def run(code, folder, **environment):
    path = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": folder, **environment},
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.mark.slow
def test_nothing_is_compiled_afterwards(tmp_path):
    done = run("import warnings; warnings.simplefilter('error'); " + COMPILE, str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    functions = [path for path in files if path.suffix == ".nbc"]
    assert lines[0].startswith(f"Compiled {len(functions)} functions in ")
    assert lines[1] == f"Cache: {functions[0].parent}"
    assert lines[2].startswith("Valid for the processor ")
    done = run("import test_compilation; test_compilation.use_all()", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == files
    again = run(COMPILE, str(tmp_path))
    assert again.stdout.startswith("Compiled 0 functions in ")


NOWHERE = """
from otk_sklearn.batches import _compilation
_compilation._functions = lambda: []
"""


def test_no_folder_to_write_to(tmp_path):
    done = run(NOWHERE + COMPILE, str(tmp_path))
    assert "expected one, such as NUMBA_CACHE_DIR=/var/cache/numba" in done.stderr
