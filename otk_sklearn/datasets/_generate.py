"""Generated problems that simple pooling methods can't solve."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from otk_sklearn.sets._collection import SetCollection

# Fewest and most elements of a generated set.
LENGTHS = 20, 60

GENERATED = {
    "n_sets": [Interval(Integral, 1, None, closed="left")],
    "noise": [Interval(Real, 0, None, closed="left")],
    "random_state": ["random_state"],
}


@validate_params(GENERATED, prefer_skip_nested_validation=True)
def make_polygons(n_sets=600, *, noise=0.2, random_state=None):
    """Generate sets of points around the corners of a regular polygon.

    The polygons have 3, 4, 5 or 6 corners on the unit circle. All four have the same mean,
    0, and the same covariance, half the identity: pooling by means and deviations, or by
    means and covariances, can't distinguish them. The shape of the distribution can.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.2
        Standard deviation of the points around their corner, in either direction.
    random_state : int, RandomState instance or None, default=None
        Decides what is drawn. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 2 features.
    y : ndarray of int of shape (n_sets,)
        The number of corners.

    See Also
    --------
    make_cooccurrences : Means of any features fail.
    make_rare_elements : One element of each set decides.

    Examples
    --------
    >>> from otk_sklearn.datasets._generate import make_polygons
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


@validate_params(GENERATED, prefer_skip_nested_validation=True)
def make_cooccurrences(n_sets=600, *, noise=0.2, random_state=None):
    """Generate sets of two of four kinds of elements, where the combination matters.

    In class 0, sets have elements of the kinds A and B, or C and D; in class 1, of A and C,
    or B and D. All kinds are as frequent in both classes. So is the mean over the elements
    of any features of elements, however rich: the means of both classes are equal, and a
    linear model can't do better than to cut off one of the four combinations, which is
    right three times out of four. Pooling has to consider elements jointly.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.2
        Standard deviation of the elements around their kind, in each direction.
    random_state : int, RandomState instance or None, default=None
        Decides what is drawn. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 4 features: the indicator vector of the kind, and
        noise. About half of each set's elements are of either kind.
    y : ndarray of int of shape (n_sets,)
        The class, 0 or 1.

    See Also
    --------
    make_polygons : Means and deviations fail.
    make_rare_elements : One element of each set decides.

    Examples
    --------
    >>> from otk_sklearn.datasets._generate import make_cooccurrences
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


@validate_params(GENERATED, prefer_skip_nested_validation=True)
def make_rare_elements(n_sets=600, *, noise=0.1, random_state=None):
    """Generate sets of points on a circle, of which one may have a point in the middle.

    The first point of each set of class 1 lies at the centre of the unit circle, all other
    points around it. The effect of one point in 20 to 60 on means and deviations is small
    compared with the variation of the other points.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.1
        Standard deviation of the points around the circle or its centre, in either
        direction.
    random_state : int, RandomState instance or None, default=None
        Decides what is drawn. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 2 features.
    y : ndarray of int of shape (n_sets,)
        Whether there is a point in the middle, 0 or 1.

    See Also
    --------
    make_polygons : Means and deviations fail.
    make_cooccurrences : Means of any features fail.

    Examples
    --------
    >>> from otk_sklearn.datasets._generate import make_rare_elements
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


def _draw_offsets(n_sets, rng):
    """Draw the sizes of generated sets."""
    fewest, most = LENGTHS
    return np.r_[0, np.cumsum(rng.randint(fewest, most + 1, n_sets))]
