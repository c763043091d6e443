"""All imports of names of numba that may change: its documentation doesn't have them."""

from numba.core.caching import FunctionCache
from numba.core.registry import cpu_target
from numba.core.sigutils import normalize_signature

__all__ = ["FunctionCache", "cpu_target", "normalize_signature"]
