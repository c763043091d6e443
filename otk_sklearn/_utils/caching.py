"""Caching of what is learned, by joblib."""

import functools

from otk_sklearn._utils.version import __version__


def cached(function, memory, ignore=()):
    """Return the function with its results cached, for this version of the library alone.

    joblib computes results anew when the code of the function has changed, but not when
    that of functions which it calls has.

    Parameters
    ----------
    function : callable
        Is passed `version`, which becomes part of the key of its results.
    memory : joblib.Memory, or object with its interface
    ignore : sequence of str, default=()
        Arguments that decide nothing.
    """
    cached_function = memory.cache(function, ignore=list(ignore))
    return functools.partial(cached_function, version=__version__)
