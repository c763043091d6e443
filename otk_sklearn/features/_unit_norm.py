"""Rows and elements divided by their norms, at any scale."""

from dataclasses import replace

import numpy as np
from sklearn.utils.extmath import row_norms


def unit_rows(rows):
    """Return the rows divided by their norms (0 stays 0), and the norms."""
    norms, extreme = _norms(rows)
    divisors = norms.copy()
    divisors[extreme] = 1
    unit = rows / divisors[:, np.newaxis]
    if len(extreme):  # divide by the largest first
        scaled = rows[extreme]
        largest = np.abs(scaled).max(axis=1)
        scaled /= np.where(largest > 0, largest, 1)[:, np.newaxis]
        scaled_norms = row_norms(scaled)
        unit[extreme] = scaled / np.where(scaled_norms > 0, scaled_norms, 1)[:, np.newaxis]
        norms[extreme] = scaled_norms * largest
    return unit, norms


def _norms(rows):
    """Norms of the rows, and which are 0 or had squares that left the range of floats."""
    norms = row_norms(rows)
    limits = np.finfo(rows.dtype)
    low, high = np.sqrt(limits.tiny) / limits.eps, np.sqrt(limits.max) / 2
    return norms, np.flatnonzero(~((norms > low) & (norms < high)))


def unit_elements(elements):
    """Make elements unit-norm, without those that are 0, and merge what becomes equal."""
    unit, norms = unit_rows(elements.rows)
    if not norms.any():  # nothing has a direction: any will do
        unit[:], norms[:] = unit_rows(np.ones_like(unit[:1]))[0], 1
    elements = replace(elements, rows=unit)
    if not norms.all():  # otherwise, it would be a copy
        elements = elements[norms > 0]
    return elements.merge_equal()
