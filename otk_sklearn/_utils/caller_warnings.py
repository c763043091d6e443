"""Warnings that point at the line of the caller's own code."""

import inspect
import warnings

# Top-level packages between the caller's code and ours: decorators and pipelines of
# scikit-learn, joblib, and what runs at the bottom of threads and worker processes.
_OURS = __name__.partition(".")[0]
_PACKAGES_BETWEEN = {
    "sklearn",
    "joblib",
    "concurrent",
    "multiprocessing",
    "runpy",
    "threading",
}


def warn_caller(message, category):
    """Warn as from the innermost line outside this library and those that call it.

    In a thread or process that runs nothing else, it is where this library was entered.
    A fixed `stacklevel` would depend on decorators and on how an estimator is called, and
    `skip_file_prefixes` needs Python 3.12.

    Parameters
    ----------
    message : str
    category : type of Warning
    """
    packages = _packages_of_callers()
    outside = [i for i, package in enumerate(packages) if package != _OURS]
    of_caller = [i for i in outside if packages[i] not in _PACKAGES_BETWEEN]
    level = next(iter(of_caller + outside), 0)
    warnings.warn(message, category, stacklevel=level + 2)


def _packages_of_callers():
    """Top-level packages of the functions that run, from that which warns outwards."""
    packages, frame = [], inspect.currentframe().f_back.f_back
    while frame is not None:
        packages.append(str(frame.f_globals.get("__name__")).partition(".")[0])
        frame = frame.f_back
    return packages
