"""Positions of elements and supports, and the position filter between them."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn._utils.chunks import batches_of
from otk_sklearn.sets._arrays import as_rows
from otk_sklearn.sets._offsets import locate_element, read_only

# Elements for which the filter is computed at a time.
_MAX_FILTERED = 2**13

# Largest coordinate of a mean position, up to which squared distances are finite.
_MAX_COORDINATE = 1e100


def n_axes_of(sets):
    """Number of axes of the positions: 1 (the order of elements) if there are none."""
    return 1 if sets.positions is None else sets.positions.shape[1]


def check_positions(positions, offsets):
    n_elements = offsets[-1]
    positions = np.array(as_rows(positions, n_elements, "positions"), dtype=np.float64)
    if positions.ndim == 1:
        positions = positions[:, np.newaxis]
    if positions.ndim != 2 or positions.shape[1] not in (1, 2):
        raise ValueError(
            f"positions has shape {positions.shape}; expected ({n_elements}, n_axes), on "
            "1 or 2 axes."
        )
    wrong = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(wrong):
        i, element = locate_element(wrong[0], offsets)
        raise ValueError(
            f"positions has NaN or infinity in set {i} (element {element}); expected "
            "finite coordinates."
        )
    return read_only(positions)


def positions_at(sets, rows, position):
    """Positions of some elements, with 0 axes if `position` is None.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
    rows : ndarray of int of shape (n_rows,)
    position : str or None

    Returns
    -------
    ndarray of shape (n_rows, n_axes)
    """
    if position is None:
        return np.empty((len(rows), 0))
    if sets.positions is not None:
        return sets.positions[rows]
    s = np.searchsorted(sets.offsets, rows, side="right") - 1
    return ((rows - sets.offsets[s]) / sets.lengths[s])[:, np.newaxis]


def element_positions(sets):
    """Positions of the elements, by default `i / n` for the i-th of n, counted from 0.

    Returns
    -------
    ndarray of shape (n_elements, n_axes)
    """
    if sets.positions is not None:
        return sets.positions
    starts, lengths = sets.offsets[:-1], sets.lengths
    index = np.arange(sets.offsets[-1]) - np.repeat(starts, lengths)
    return (index / np.repeat(lengths, lengths))[:, np.newaxis]


def support_positions(n_supports, n_axes):
    """Positions of supports on a line, counted from 0, or on a square grid, from 1.

    Returns
    -------
    ndarray of shape (n_supports, n_axes)
    """
    if n_axes == 1:
        return np.arange(n_supports)[:, np.newaxis] / n_supports
    side = math.isqrt(n_supports)
    return (np.indices((side, side)).reshape(2, -1).T + 1) / side


def order_supports(positions):
    """Return the permutation that assigns supports to the nearest points of their grid.

    On a line, this sorts them by position; on a square grid, it is the linear assignment
    with the least sum of squared distances (which doesn't depend on the mean and the scale
    of positions).

    Parameters
    ----------
    positions : ndarray of shape (n_supports, n_axes)
        Mean position of each support's elements; with 0 axes, the order is unchanged.
    """
    n_supports, n_axes = positions.shape
    if n_axes == 0:
        return np.arange(n_supports)
    grid = support_positions(n_supports, n_axes)
    # So that squares are finite.
    positions = np.clip(positions, -_MAX_COORDINATE, _MAX_COORDINATE)
    _, order = linear_sum_assignment(cdist(grid, positions, "sqeuclidean"))
    return order


@dataclass(frozen=True)
class PositionFilter:
    """Factor of the similarity of an element and a support, by their positions.

    Parameters
    ----------
    method : {"gaussian", "hard"}
    sigma : float
    n_supports : int
    n_axes : int
        Axes of the positions in `fit`.
    are_given : bool or None, default=None
        Whether positions were given in `fit`, or counted. None means that this is unknown,
        as of models stored by earlier versions.
    """

    method: str
    sigma: float
    n_supports: int
    n_axes: int
    are_given: bool | None = None

    def check_axes(self, sets):
        """Raise an error if positions don't match the number of supports and axes.

        Warns if they are given here and were not in `fit`, or the reverse, or lie outside
        of [0, 1], the range of those of the supports.
        """
        if n_axes_of(sets) != self.n_axes:
            raise ValueError(
                f"X has positions on {n_axes_of(sets)} axes; expected {self.n_axes}, as in "
                "fit (sets without positions have one: the order of their elements)."
            )
        side = math.isqrt(self.n_supports)
        if self.n_axes == 2 and side**2 != self.n_supports:
            raise ValueError(
                f"There are {self.n_supports} supports, and positions on 2 axes; expected "
                f"a square number of supports (n_supports={side**2}, say), as they lie on "
                "a grid."
            )
        self._warn_unless_given_as_in_fit(sets)
        if sets.positions is None:
            return
        outside = ((sets.positions < 0) | (sets.positions > 1)).any(axis=1)
        if outside.any():
            outside &= sets.masses > 0
        if outside.any():
            row = outside.argmax()
            i, element = locate_element(row, sets.offsets)
            warn_caller(
                f"{outside.sum()} positions lie outside of [0, 1], where the supports are: "
                f"the first is {sets.positions[row]} in set {i} (element {element}).",
                UserWarning,
            )

    def _warn_unless_given_as_in_fit(self, sets):
        if self.are_given in (None, sets.positions_given) or not len(sets.values):
            return
        here, in_fit = "positions", "none, where elements were counted: i / n"
        if self.are_given:
            here, in_fit = "no positions, and its elements are counted, i / n", "positions"
        warn_caller(
            f"X has {here}; the sets of fit had {in_fit}. Expected positions in both, "
            "SetCollection.from_sets(X, positions=...), or in none.",
            UserWarning,
        )

    def __call__(self, sets):
        """Return the filter of the elements, in their dtype.

        Returns
        -------
        ndarray of shape (n_supports, n_elements)
        """
        positions = element_positions(sets)
        supports = support_positions(self.n_supports, positions.shape[1])
        product = np.ones((self.n_supports, len(positions)), sets.dtype)
        # In batches: no temporary is as large as the filter.
        for rows in batches_of(len(positions), _MAX_FILTERED):
            for s, t in zip(positions[rows].T, supports.T):
                distances = np.abs(s - t[:, np.newaxis])
                if self.method == "hard":
                    product[:, rows] *= distances < self.sigma
                else:
                    distances /= self.sigma
                    product[:, rows] *= np.exp(-(distances**2))
        return product
