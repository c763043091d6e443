"""Generators of classification problems that simple pooling methods cannot solve."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from otk_sklearn._utils.sklearn_compat import Interval, validate_params
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._offsets import offsets_of

# Minimum and maximum number of elements of a generated set.
_LENGTH_RANGE = 20, 60
_CLOUD_LENGTH_RANGE = 200, 1500
_COLORS = np.array([[0.2, 0.3, 0.8], [0.8, 0.2, 0.2]])  # blue and red
_POINT_FEATURES = [
    *("x", "y", "z", "normal_x", "normal_y", "normal_z"),
    *("red", "green", "blue"),
]

_PARAMETER_CONSTRAINTS = {
    "n_sets": [Interval(Integral, 1, None, closed="left")],
    "noise": [Interval(Real, 0, None, closed="left")],
    "random_state": ["random_state"],
}


@validate_params(_PARAMETER_CONSTRAINTS, prefer_skip_nested_validation=True)
def make_polygons(
    n_sets: int = 600,
    *,
    noise: float = 0.2,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[SetCollection, NDArray[np.int64]]:
    """Generate sets of points around the corners of a regular polygon.

    The polygons have 3, 4, 5 or 6 corners on the unit circle. The distributions of all four
    have mean 0 and the same covariance, a multiple of the identity: pooling by means and
    standard deviations, or by means and covariances, cannot distinguish them. Their shapes
    differ.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.2
        Standard deviation of the Gaussian noise added to each coordinate of the corners.
    random_state : int, RandomState instance or None, default=None
        Controls the random generation of the sets. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 2 features.
    y : ndarray of int of shape (n_sets,)
        The number of corners.

    See Also
    --------
    make_cooccurrences : A problem that means of features of elements cannot solve.
    make_rare_elements : A problem where one element of a set determines the class.

    Examples
    --------
    >>> from otk_sklearn.datasets import make_polygons
    >>> X, y = make_polygons(random_state=0)
    >>> X
    SetCollection(n_sets=600, n_elements=2..., n_features=2, lengths 20 to 60, float64)
    """
    rng = check_random_state(random_state)
    y = rng.randint(3, 7, n_sets)
    offsets = _draw_offsets(n_sets, rng)
    corners = np.repeat(y, np.diff(offsets))
    angle = 2 * np.pi * (rng.uniform(size=len(corners)) * corners).astype(int) / corners
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    return SetCollection(points + noise * rng.normal(size=points.shape), offsets), y


@validate_params(_PARAMETER_CONSTRAINTS, prefer_skip_nested_validation=True)
def make_cooccurrences(
    n_sets: int = 600,
    *,
    noise: float = 0.2,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[SetCollection, NDArray[np.int64]]:
    """Generate sets with two of four kinds of elements, whose combination matters.

    In class 0, sets have elements of the kinds A and B, or C and D; in class 1, of A and C,
    or B and D. Each kind is equally frequent in both classes. Hence the expected mean over
    the elements of a set, of any features of elements, is the same for both classes. A
    linear model of such means can at best separate one of the four combinations from the
    others, with an accuracy of 3/4. Pooling has to consider elements jointly.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.2
        Standard deviation of the Gaussian noise added to each feature.
    random_state : int, RandomState instance or None, default=None
        Controls the random generation of the sets. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 4 features: the one-hot encoding of the kind, plus
        noise. About half of the elements of a set are of each of its two kinds.
    y : ndarray of int of shape (n_sets,)
        The class, 0 or 1.

    See Also
    --------
    make_polygons : A problem that means and standard deviations cannot solve.
    make_rare_elements : A problem where one element of a set determines the class.

    Examples
    --------
    >>> from otk_sklearn.datasets import make_cooccurrences
    >>> X, y = make_cooccurrences(random_state=0)
    >>> X
    SetCollection(n_sets=600, n_elements=2..., n_features=4, lengths 20 to 60, float64)
    """
    rng = check_random_state(random_state)
    combinations = np.array([[0, 1], [2, 3], [0, 2], [1, 3]])
    combination = rng.randint(4, size=n_sets)
    offsets = _draw_offsets(n_sets, rng)
    kinds = combinations[np.repeat(combination, np.diff(offsets))]
    kind = np.where(rng.randint(2, size=len(kinds)), kinds[:, 0], kinds[:, 1])
    elements = np.eye(4)[kind] + noise * rng.normal(size=(len(kind), 4))
    return SetCollection(elements, offsets), combination // 2


@validate_params(_PARAMETER_CONSTRAINTS, prefer_skip_nested_validation=True)
def make_rare_elements(
    n_sets: int = 600,
    *,
    noise: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[SetCollection, NDArray[np.int64]]:
    """Generate sets of points on a circle, one of which may be at its centre instead.

    The first point of each set of class 1 is at the centre of the unit circle, all other
    points are on the circle. The effect of one of 20 to 60 points on means and standard
    deviations is small compared with their variation due to the other points.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.1
        Standard deviation of the Gaussian noise added to each coordinate.
    random_state : int, RandomState instance or None, default=None
        Controls the random generation of the sets. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 2 features.
    y : ndarray of int of shape (n_sets,)
        1 if a point of the set is at the centre, else 0.

    See Also
    --------
    make_polygons : A problem that means and standard deviations cannot solve.
    make_cooccurrences : A problem that means of features of elements cannot solve.

    Examples
    --------
    >>> from otk_sklearn.datasets import make_rare_elements
    >>> X, y = make_rare_elements(random_state=0)
    >>> X
    SetCollection(n_sets=600, n_elements=2..., n_features=2, lengths 20 to 60, float64)
    """
    rng = check_random_state(random_state)
    y = rng.randint(2, size=n_sets)
    offsets = _draw_offsets(n_sets, rng)
    angle = 2 * np.pi * rng.uniform(size=offsets[-1])
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    points[offsets[:-1][y == 1]] = 0.0
    return SetCollection(points + noise * rng.normal(size=points.shape), offsets), y


@validate_params(_PARAMETER_CONSTRAINTS, prefer_skip_nested_validation=True)
def make_solids(
    n_sets: int = 200,
    *,
    noise: float = 0.25,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[SetCollection, NDArray[np.int64]]:
    """Generate point clouds of solids: coordinates, normals and colours.

    Points are drawn on the surface of a sphere, a cube or an open cylinder, whose extent
    along each axis is multiplied by a number from 0.7 to 1.3, and which is turned around
    the vertical axis. Points of the upper half are red and the others blue, or the other
    way round. All classes have the same expected mean. Colours alone say nothing, nor do
    coordinates without them tell what is red.

    Parameters
    ----------
    n_sets : int, default=200
        Number of sets.
    noise : float, default=0.25
        Standard deviation of the Gaussian noise added to coordinates; that of normals is
        1.6 times as large. That of colours is 0.15.
    random_state : int, RandomState instance or None, default=None
        Controls the random generation of the sets. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 200 to 1,500 points with 9 named features: x, y and z, the normal, and
        red, green and blue.
    y : ndarray of int of shape (n_sets,)
        0 and 1 are spheres, 2 and 3 cubes, 4 and 5 cylinders; the even ones are red above,
        the others below.

    See Also
    --------
    make_polygons : Points on a plane.

    Examples
    --------
    >>> from otk_sklearn.datasets import make_solids
    >>> X, y = make_solids(random_state=0)
    >>> X.feature_names[:4].tolist()
    ['x', 'y', 'z', 'normal_x']
    """
    rng = check_random_state(random_state)
    y = rng.randint(6, size=n_sets)
    offsets = _draw_offsets(n_sets, rng, _CLOUD_LENGTH_RANGE)
    sets = np.repeat(np.arange(n_sets), np.diff(offsets))
    points, normals = _draw_solids(y[sets] // 2, rng)
    is_red = (points[:, 2] > 0) == (y[sets] % 2 == 0)
    points *= rng.uniform(0.7, 1.3, size=(n_sets, 3))[sets]
    angles = rng.uniform(0, 2 * np.pi, size=n_sets)[sets]
    points, normals = _turned(points, angles), _turned(normals, angles)
    elements = np.hstack([points, normals, _COLORS[is_red.astype(int)]])
    deviations = np.repeat([noise, 1.6 * noise, 0.15], 3)
    elements += deviations * rng.normal(size=elements.shape)
    return SetCollection(elements, offsets, feature_names=_POINT_FEATURES), y


def _draw_solids(kinds, rng):
    """Return a point on each solid, a sphere, cube or cylinder, and its normal."""
    normals = rng.normal(size=(len(kinds), 3))
    is_round, is_cube, is_cylinder = (kinds == kind for kind in range(3))
    faces = np.abs(normals[is_cube]).argmax(axis=1)[:, np.newaxis] == np.arange(3)
    normals[is_cube] = np.sign(normals[is_cube]) * faces
    normals[is_cylinder, 2] = 0
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # what the normal leaves open: all of a face, or the height
    points = rng.uniform(-1, 1, size=normals.shape)
    is_free = (normals == 0) & ~is_round[:, np.newaxis]
    return np.where(is_free, points, normals), normals


def _turned(vectors, angles):
    """Turn vectors around the vertical axis."""
    x, y, z = vectors.T
    cosines, sines = np.cos(angles), np.sin(angles)
    return np.column_stack([cosines * x - sines * y, sines * x + cosines * y, z])


def _draw_offsets(n_sets, rng, length_range=_LENGTH_RANGE):
    """Draw random lengths of sets, and return their offsets."""
    shortest, longest = length_range
    return offsets_of(rng.randint(shortest, longest + 1, n_sets))
