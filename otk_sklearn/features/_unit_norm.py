"""L2 normalization of rows and elements, without overflow or underflow."""

from dataclasses import replace

import numpy as np
from sklearn.utils.extmath import row_norms


def unit_rows(rows, out=None):
    """Return the L2-normalized rows (rows of zeros are unchanged), and their norms.

    They are written to `out`, if that is given, which may be the rows themselves.
    """
    norms, extreme = _norms(rows)
    divisors = norms.copy()
    divisors[extreme] = 1
    scaled = rows[extreme]
    unit = np.divide(rows, divisors[:, np.newaxis], out=out)
    if len(extreme):  # divide by the largest absolute value first
        largest = np.abs(scaled).max(axis=1)
        scaled /= np.where(largest > 0, largest, 1)[:, np.newaxis]
        scaled_norms = row_norms(scaled)
        unit[extreme] = scaled / np.where(scaled_norms > 0, scaled_norms, 1)[:, np.newaxis]
        norms[extreme] = scaled_norms * largest
    return unit, norms


def _norms(rows):
    """L2 norms of the rows, and the indices of those that are 0 or may be inexact."""
    norms = row_norms(rows)
    limits = np.finfo(rows.dtype)
    low, high = np.sqrt(limits.tiny) / limits.eps, np.sqrt(limits.max) / 2
    return norms, np.flatnonzero(~((norms > low) & (norms < high)))


def unit_elements(elements):
    """L2-normalize elements, drop those that are 0, and merge those that become equal.

    The rows of `elements` are overwritten, unless they are read-only.
    """
    out = elements.rows if elements.rows.flags.writeable else None
    unit, norms = unit_rows(elements.rows, out=out)
    if not norms.any():  # all elements are 0: use an arbitrary direction
        unit[:], norms[:] = unit_rows(np.ones_like(unit[:1]))[0], 1
    elements = replace(elements, rows=unit)
    if not norms.all():  # avoid a copy
        elements = elements[norms > 0]
    return elements.merge_equal()
