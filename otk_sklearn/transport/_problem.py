"""The transport problem that plans solve, and the plans.

Arrays have the axes (reference, support, element), with the elements of all sets one set
after the other: elements are many, and loops over what lies side by side are fast. What a
plan sends to each support sums to `1 / n_supports`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_MIN_TOL = 1e-6


@dataclass(frozen=True)
class Transport:
    """The problem that plans solve, and how far it is solved.

    Parameters
    ----------
    solver : {"sinkhorn", "emd", "softmax"}
    epsilon : float
    relaxation : float or None
    max_iter : int
    tol : float
        As in `OTKEmbedding`.
    """

    solver: str
    epsilon: float
    relaxation: float | None
    max_iter: int
    tol: float

    @property
    def needs_float64(self):
        """Whether float32 is out of the question."""
        # An exact plan may change altogether with the last digit, and so may a relaxed one
        # with the norms of features, in which whitening cancels.
        if self.solver == "emd" or self.relaxation is not None:
            return True
        return self.solver == "sinkhorn" and 0 < self.tol < _MIN_TOL


class Plans(NamedTuple):
    """Plans of several sets.

    Parameters
    ----------
    plan : ndarray of shape (n_references, n_supports, n_elements)
    n_iter : ndarray of int of shape (n_sets, n_references)
        Sinkhorn's iterations; 0 with the other solvers.
    residual : ndarray of float64 of shape (n_sets, n_references)
        L1 distance between the masses and those that the plan would be exact for. Balanced,
        that is `sum_i |sum_j P_ij - a_i|`; 0 with the other solvers.
    solved : ndarray of bool of shape (n_sets,)
        False where float32 is not enough. Such plans mean nothing until they are solved
        again in float64, where all are solved.
    value : ndarray of float64 of shape (n_sets, n_references) or None
        Where it was asked for, as `plan_values` gives it.
    """

    plan: np.ndarray
    n_iter: np.ndarray
    residual: np.ndarray
    solved: np.ndarray
    value: np.ndarray | None = None


def converged_plans(plan, n_sets):
    """Plans that no iteration was needed for."""
    shape = (n_sets, len(plan))
    return Plans(plan, np.zeros(shape, np.int64), np.zeros(shape), np.ones(n_sets, bool))
