"""What all threads of a process share, such as filters of warnings, is left alone."""

import ast
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sklearn
from helpers import make_sets
from sklearn.base import clone
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_info

import otk_sklearn
from otk_sklearn import (
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
)

PACKAGE = Path(otk_sklearn.__file__).parent

# They change the state of the process, and most of them restore what another thread may
# have changed since. `numpy.errstate`, `sklearn.config_context` and
# `joblib.parallel_config` are local to a thread.
CHANGE_THE_PROCESS = {
    "catch_warnings", "chdir", "environ", "filterwarnings",
    "parallel_backend", "printoptions", "putenv", "rcParams",
    "random.seed", "random.set_state", "rc_context", "register_parallel_backend",
    "resetwarnings", "set_config", "set_printoptions", "setcontext", "seterr",
    "setlocale", "setrecursionlimit", "setswitchinterval", "showwarning", "simplefilter",
    "threadpool_limits", "umask", "unsetenv",
}  # fmt: skip


def names_in(tree):
    """All names that a module reads or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
            yield ".".join(ast.unparse(node).split(".")[-2:])
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def test_nothing_changes_the_state_of_the_process():
    for path in PACKAGE.rglob("*.py"):
        assert not CHANGE_THE_PROCESS.intersection(names_in(ast.parse(path.read_text())))


@pytest.mark.parametrize(
    "code",
    [
        "with warnings.catch_warnings(): pass",
        "from warnings import catch_warnings as c",
        "os.environ['X'] = '1'",
        "np.random.seed(0)",
        "plt.rcParams.update(settings)",
    ],
)
def test_what_changes_the_state_of_the_process_is_found(code):
    assert CHANGE_THE_PROCESS.intersection(names_in(ast.parse(code)))


def state_of_process():
    return {
        "environment": dict(os.environ),
        "configuration of scikit-learn": sklearn.get_config(),
        "errors of NumPy": np.geterr(),
        "printing of NumPy": np.get_printoptions(),
        "random state of NumPy": str(check_random_state(None).get_state()),
        "recursion": sys.getrecursionlimit(),
        "threads": {x["filepath"]: x["num_threads"] for x in threadpool_info()},
    }


def test_fits_in_threads_leave_the_process_as_it_was():
    """Filters of warnings in threads: cpython#128384, scikit-learn#2755."""
    sets = make_sets(40, 3, 30)
    models = [
        OTKEmbedding(3, n_components=12, random_state=0),
        KernelMeanEmbedding(n_components=12, random_state=0),
        FisherVectorEmbedding(4, random_state=0),
        OTKClassifier(OTKEmbedding(2, n_components=6), max_epochs=2, random_state=0),
    ]
    y = np.arange(len(sets)) % 2
    for model in models:  # compiles, and loads libraries
        model.fit(sets, y).transform(sets)
    filters, before = set(warnings.filters), state_of_process()
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda m: clone(m).fit(sets, y).transform(sets), models * 8):
            pass
    added = set(warnings.filters) - filters
    # Those of `sklearn.utils.check_array` itself, which every estimator calls.
    assert not {f for f in added if f[2] is not np.exceptions.ComplexWarning}
    assert state_of_process() == before
