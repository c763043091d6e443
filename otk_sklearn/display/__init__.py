"""Plots of fitted models, with matplotlib."""

from otk_sklearn.display._convergence import ConvergenceDisplay
from otk_sklearn.display._importance import ImportanceDisplay
from otk_sklearn.display._supports import SupportsDisplay
from otk_sklearn.display._transport_plan import TransportPlanDisplay

__all__ = [
    "ConvergenceDisplay",
    "ImportanceDisplay",
    "SupportsDisplay",
    "TransportPlanDisplay",
]
