"""Pictures of plans, supports, contributions and convergence, as scikit-learn's displays.

They need matplotlib, which is imported when something is drawn.
"""

from otk_sklearn._display_model import ConvergenceDisplay, SupportsDisplay
from otk_sklearn._display_set import ImportanceDisplay, TransportPlanDisplay

__all__ = [
    "ConvergenceDisplay",
    "ImportanceDisplay",
    "SupportsDisplay",
    "TransportPlanDisplay",
]
