"""Inspection of fitted models: plans, contributions and nearest elements."""

from otk_sklearn.inspection._contributions import element_contributions
from otk_sklearn.inspection._nearest_elements import nearest_elements
from otk_sklearn.inspection._plans import element_plans

__all__ = ["element_contributions", "element_plans", "nearest_elements"]
