"""The transport problem, and its solutions.

Arrays have the axes (reference, support, element), with the elements of all sets
concatenated: elements are many, and loops over contiguous memory are fast.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn.transport._penalties import (
    ElementPenalty,
    FixedMarginals,
    SupportPenalty,
)

_MIN_TOL = 1e-6


@dataclass(frozen=True)
class Transport:
    """The transport problem, and the stopping criteria of its solver.

    Parameters
    ----------
    solver : {"sinkhorn", "emd", "softmax"}
    epsilon : float
    relaxation : float or None
    max_iter : int
    tol : float
    support_relaxation : float or None, default=None
        As in `OTKEmbedding`. At most one marginal is relaxed.
    """

    solver: str
    epsilon: float
    relaxation: float | None
    max_iter: int
    tol: float
    support_relaxation: float | None = None

    @property
    def penalty(self):
        """What holds the marginals."""
        if self.relaxation is not None:
            return ElementPenalty(self.relaxation)
        if self.support_relaxation is not None:
            return SupportPenalty(self.support_relaxation)
        return FixedMarginals()

    @property
    def needs_float64(self):
        """Whether float32 is never accurate enough."""
        # Exact plans are discontinuous, and norms of features suffer from cancellation in
        # whitening.
        if self.solver == "emd" or self.penalty.needs_norms:
            return True
        return self.solver == "sinkhorn" and 0 < self.tol < _MIN_TOL


@compared_by_identity
class Plans(NamedTuple):
    """Plans of several sets.

    Parameters
    ----------
    plan : ndarray of shape (n_references, n_supports, n_elements)
        In the memory of the similarities, which callers may use again.
    n_iter : ndarray of int of shape (n_sets, n_references)
        Number of Sinkhorn iterations; 0 with the other solvers.
    residual : ndarray of float64 of shape (n_sets, n_references)
        Marginal error: the L1 distance between the masses and the implied masses, for which
        the plan would be optimal. In balanced transport, that is
        `sum_i |sum_j P_ij - a_i|`; with `support_relaxation`, masses are those of supports.
        0 with the other solvers.
    solved : ndarray of bool of shape (n_sets,)
        False where float32 is not accurate enough. Such plans are invalid until solved
        again in float64, where all are solved.
    potentials : ndarray of float64 of shape (n_sets, n_references, n_supports)
        Dual potentials `g_j` of the supports: after an update of the potentials `f_i` of
        elements, `P_ij = a_i exp((S_ij + f_i + g_j) / epsilon) / n_supports`. With
        relaxation, up to a constant, which converges more slowly than the plan. With
        "emd", mass is sent where `S_ij + g_j` is largest.
    value : ndarray of float64 of shape (n_sets, n_references) or None
        As from `plan_values`, if requested.
    """

    plan: np.ndarray
    n_iter: np.ndarray
    residual: np.ndarray
    solved: np.ndarray
    potentials: np.ndarray
    value: np.ndarray | None = None


def converged_plans(plan, n_sets):
    """`Plans` without iterations or residuals."""
    shape = (n_sets, len(plan))
    return Plans(
        plan,
        np.zeros(shape, np.int64),
        np.zeros(shape),
        np.ones(n_sets, bool),
        np.zeros((*shape, plan.shape[1])),
    )
