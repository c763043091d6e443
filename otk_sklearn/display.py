"""Pictures of plans, supports, contributions and convergence, as scikit-learn's displays.

They need matplotlib, which is imported when something is drawn.
"""

from otk_sklearn._display_convergence import ConvergenceDisplay
from otk_sklearn._display_set import ImportanceDisplay, TransportPlanDisplay
from otk_sklearn._display_supports import SupportsDisplay

__all__ = [
    "ConvergenceDisplay",
    "ImportanceDisplay",
    "SupportsDisplay",
    "TransportPlanDisplay",
]
