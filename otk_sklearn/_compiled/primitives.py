"""Compiler options, and elementary functions that compiled functions inline."""

import contextlib
import hashlib
import math
from fractions import Fraction
from importlib import resources

import numba
import numpy as np
from numba.extending import overload

from otk_sklearn._compiled.numba_compat import FunctionCache, normalize_signature

# Reassociation lets sums vectorize. A loop that sums must not write to arrays: the order of
# summation would depend on their alignment, and results on the thread. Other "fast math"
# flags would remove the checks for infinities and NaN that the solver relies on.
_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"nsz", "arcp", "contract", "reassoc"},
    "no_cfunc_wrapper": True,
}

# For functions that only compiled ones call: their callers from Python are compiled, too,
# with copies of all that is inlined. That takes as long as compiling the functions.
_INLINED_OPTIONS = {**_OPTIONS, "forceinline": True, "no_cpython_wrapper": True}

_LOG_2 = Fraction("0.693147180559945309417232121458")

_FLOAT_LOG_2 = math.log(2)

_SQRT_2 = math.sqrt(2)


def _hash_sources():
    """Return a hash of all modules of compiled functions, as far as these are files."""
    digest = hashlib.blake2b(digest_size=16)
    # A frozen application has none; numba then goes by the date of its executable.
    with contextlib.suppress(FileNotFoundError):
        folder = resources.files(__package__).iterdir()
        modules = {module.name: module for module in folder}
        for name in sorted(modules):
            if name.endswith(".py"):
                digest.update(modules[name].read_bytes())
    return digest.hexdigest()


_SOURCES = _hash_sources()


class _Cache(FunctionCache):
    """numba's cache on disk, where an error leads to recompilation.

    The disk may be full, the folder missing or read-only, or a file truncated; and two
    processes that create a cache for different types may read each other's file.

    numba compiles a function anew when its own file has changed; here, also when another
    one has, whose functions it may call.
    """

    def __init__(self, function):
        super().__init__(function)
        file = self._cache_file
        file._source_stamp = file._source_stamp, _SOURCES

    def load_overload(self, sig, target_context):
        """Return the function compiled for these types, or None."""
        types, _ = normalize_signature(sig)
        try:
            found = super().load_overload(sig, target_context)
        except Exception:
            return None
        return found if found is not None and found.signature.args == types else None

    def save_overload(self, sig, data):
        """Save a compiled function, if possible."""
        try:
            super().save_overload(sig, data)
        except Exception:
            with contextlib.suppress(Exception):
                self.flush()  # replace an unreadable index


def jit(function):
    """Compile at the first call, and cache on disk if a folder is writable."""
    compiled = numba.njit(**_OPTIONS)(function)
    with contextlib.suppress(RuntimeError):  # no writable cache folder
        compiled._cache = _Cache(function)  # as `cache=True` does with its own
    return compiled


def inlined(function):
    """Inline into compiled callers.

    Calls with many arguments are slow. And if a function is not inlined, a caller that is
    compiled calls it as compiled on its own, one loaded from the cache as compiled with the
    caller: the last digits of results could differ.
    """
    return numba.njit(**_INLINED_OPTIONS)(function)


def by_type(functions, default=None):
    """Return a function that calls one of these, by the type of its first argument.

    Parameters
    ----------
    functions : dict
        By types that are subclasses of `NamedTuple`. In compiled code, the choice is made,
        and the function compiled, with its caller.
    default : function, default=None
        For all other types.
    """

    def function_for(type_of_first):
        function = functions.get(type_of_first, default)
        if function is None:
            names = [known.__name__ for known in functions]
            raise TypeError(f"no function for {type_of_first}; expected one of {names}")
        return getattr(function, "py_func", function)

    def dispatch(first, *others):
        return function_for(type(first))(first, *others)

    # Not strict: parameters of the functions have names of their own.
    @overload(dispatch, strict=False, jit_options=_INLINED_OPTIONS)
    def choose(first, *others):
        return function_for(first.instance_class)

    return dispatch


def exp(x):
    """`exp(x)` for an x without overflow, and 0 where that would be subnormal.

    Unlike calls of the math library, it vectorizes in loops.
    """
    return np.exp(x)


# No reordering here: it would undo the subtraction in two parts.
@overload(exp, jit_options={**_INLINED_OPTIONS, "fastmath": {"contract"}})
def _compiled_exp(x):
    # exp(x) = 2^n exp(r), where |r| <= log(2) / 2 makes Taylor's series short. Subtracting
    # n log(2) in two parts, of which the first is exact, keeps the digits of r.
    if x == numba.float32:
        kind, integer, exponent_bias, mantissa_bits = np.float32, np.int32, 127, 23
        log_2_high, n_terms = kind(0.693359375), 8
    else:
        kind, integer, exponent_bias, mantissa_bits = np.float64, np.int64, 1023, 52
        log_2_high, n_terms = kind(0.693145751953125), 14
    log_2_low = kind(_LOG_2 - Fraction(float(log_2_high)))
    per_log_2 = kind(1 / math.log(2))
    lowest = kind(math.log(np.finfo(kind).tiny))
    bias, bits = integer(exponent_bias), integer(mantissa_bits)
    terms = tuple(kind(1 / math.factorial(i)) for i in reversed(range(n_terms)))
    first, rest = terms[0], terms[1:]

    def exp(x):
        clipped = max(x, lowest)
        n = np.rint(clipped * per_log_2)
        r = clipped - n * log_2_high
        r -= n * log_2_low
        series = first
        for term in rest:
            series = series * r + term
        power = integer((integer(n) + bias) << bits).view(kind)
        return series * power if x >= lowest else kind(0.0)

    return exp


@inlined
def log(x):
    """`log(x)` of a normal float64, which vectorizes in loops."""
    bits = np.float64(x).view(np.int64)
    exponent = (bits >> np.int64(52)) - np.int64(1023)
    mantissa = bits & np.int64((1 << 52) - 1) | np.int64(1023 << 52)
    fraction = np.int64(mantissa).view(np.float64)
    if fraction > _SQRT_2:
        fraction *= 0.5
        exponent += 1
    # log(fraction) = 2 artanh(z), where |z| <= 0.172 makes its series short.
    z = (fraction - 1.0) / (fraction + 1.0)
    square = z * z
    series = 1.0 / 19.0
    for n in range(17, 0, -2):
        series = series * square + 1.0 / n
    return 2.0 * z * series + exponent * _FLOAT_LOG_2


@inlined
def copy(source, target):
    for i in range(len(source)):
        target[i] = source[i]


@inlined
def fill(target, value):
    for i in range(len(target)):
        target[i] = value
