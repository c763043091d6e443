"""Inspection of fitted models: plans, contributions, nearest elements, importances."""

from otk_sklearn.inspection._contributions import element_contributions
from otk_sklearn.inspection._nearest_elements import nearest_elements
from otk_sklearn.inspection._permutation_importance import permutation_importance
from otk_sklearn.inspection._plans import element_plans

__all__ = [
    "element_contributions",
    "element_plans",
    "nearest_elements",
    "permutation_importance",
]
