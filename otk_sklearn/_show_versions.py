"""`show_versions`: what a report of a problem should tell."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

import joblib
import threadpoolctl

from otk_sklearn._compiled.numba_compat import cpu_target
from otk_sklearn._compiled.pooling import pool
from otk_sklearn._utils.version import __version__

_DEPENDENCIES = [
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "llvmlite",
    "pot",
    "joblib",
    "threadpoolctl",
]
_OPTIONAL = [
    "anndata",
    "awkward",
    "dask",
    "h5py",
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "pyspark",
    "ray",
    "skops",
    "torch",
]


def show_versions() -> None:
    """Print what a report of a problem should tell: versions, threads, numba's cache.

    Versions are those of Python, of this package and of what it uses. Besides, there are
    the libraries of linear algebra and of threads that are loaded, with their kernels and
    numbers of threads, and the processor that functions are compiled for, with the folder
    that they are cached in. No optional package is imported.

    See Also
    --------
    sklearn.show_versions : The same for scikit-learn.
    otk_sklearn.batches.compile_kernels : Fill the cache ahead of use.

    Examples
    --------
    >>> import otk_sklearn
    >>> otk_sklearn.show_versions()
    System:
           python: 3...
    """
    _print_section("System", _system())
    _print_section("Packages", _versions())
    for library in threadpoolctl.threadpool_info():
        _print_section("Threads", library)
    _print_section("Compiled functions", _compilation())


def _print_section(title, entries):
    print(f"{title}:")
    width = max(len(name) for name in entries)
    for name, value in entries.items():
        print(f"  {name:>{width}}: {value}")
    print()


def _system():
    return {
        "python": sys.version.replace("\n", " "),
        "executable": sys.executable,
        "machine": platform.platform(),
        "processors": joblib.cpu_count(),
    }


def _versions():
    """Return the version of each package, None for those that are missing."""
    versions = {"otk-sklearn": __version__}
    for name in [*_DEPENDENCIES, *_OPTIONAL]:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _compilation():
    triple, processor, _ = cpu_target.target_context.codegen().magic_tuple()
    return {
        "processor": f"{processor} ({triple})",
        "cache": pool.stats.cache_path or "no folder that numba can write to",
    }
