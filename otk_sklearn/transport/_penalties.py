"""What holds the marginals of plans: both are fixed, or one of them has a penalty.

Each class has all that is particular to its transport problem; a new penalty is a new
class, and an update rule in `_compiled/marginals.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import rel_entr

from otk_sklearn._compiled.marginals import Balanced, relaxed, supports_relaxed

# Largest exponents: beyond, even float64 potentials retain few significant digits.
MAX_EXPONENT = 1e13

# At this part of an exact update, marginals of supports are as good as free.
_MIN_POWER = 1e-100


@dataclass(frozen=True)
class FixedMarginals:
    """Both marginals are fixed: balanced transport, `P 1 = a` and `P^T 1 = b`."""

    # Whether similarities have to be transport costs: less half the squared norms of the
    # elements, which cancel where the mass of each element is fixed.
    needs_norms: ClassVar[bool] = False

    def powers(self, epsilon):
        """Return the parts of the exact updates of element and support potentials."""
        return 1.0, 1.0

    def shifts(self, similarities, offsets, masses):
        """Return what the update rule has to know of the largest similarity of each row.

        It is subtracted from the row, and row scalings absorb that where they are free.

        Returns
        -------
        shifts : ndarray of shape (n_references, n_elements) or None
        overall : ndarray of shape (n_sets, n_references) or float
            What the potentials of the supports have to be reduced by.
        """
        return None, 0.0

    def rule(self, masses, shifts, epsilon, n_supports):
        """Return the update rule of the iterations."""
        return Balanced(masses)

    def normalized(self, log_v, epsilon):
        """Return the logarithms of support scalings of a plan, which need not be unique."""
        return log_v

    def values(self, plan, offsets, masses):
        """Return the penalties to pay, of shape (n_sets, n_references), or 0."""
        return 0.0


@dataclass(frozen=True)
class ElementPenalty(FixedMarginals):
    """The marginal of elements has a penalty: `relaxation KL(P 1 | a)`."""

    relaxation: float
    needs_norms: ClassVar[bool] = True

    def powers(self, epsilon):
        return 1.0 / (1.0 + epsilon / self.relaxation), 1.0

    def shifts(self, similarities, offsets, masses):
        highest = similarities.max(axis=1)
        highest[:, masses == 0] = -np.inf
        overall = np.maximum.reduceat(highest, offsets[:-1], axis=1)
        return highest - np.repeat(overall, np.diff(offsets), axis=1), overall.T

    def rule(self, masses, shifts, epsilon, n_supports):
        log_correction = np.maximum(shifts / (self.relaxation + epsilon), -MAX_EXPONENT)
        return relaxed(masses, log_correction, self.powers(epsilon)[0])

    def values(self, plan, offsets, masses):
        values = self.relaxation * rel_entr(plan.sum(axis=1), masses)
        return np.add.reduceat(values, offsets[:-1], axis=1).T


@dataclass(frozen=True)
class SupportPenalty(FixedMarginals):
    """The marginal of supports has a penalty: `support_relaxation KL(P^T 1 | b)`."""

    relaxation: float

    def powers(self, epsilon):
        return 1.0, max(1.0 / (1.0 + epsilon / self.relaxation), _MIN_POWER)

    def rule(self, masses, shifts, epsilon, n_supports):
        return supports_relaxed(masses, n_supports, self.powers(epsilon)[1])

    def normalized(self, log_v, epsilon):
        # Iterations leave a constant open. At the optimum, the masses of supports that the
        # scalings stand for sum to 1.
        exponent = min(epsilon / self.relaxation, 1 / _MIN_POWER)
        above = log_v - log_v.min(axis=-1, keepdims=True)
        missing = np.expm1(-exponent * above).mean(axis=-1, keepdims=True)
        return above + (np.log1p(missing) / exponent if exponent > 0 else 0.0)

    def values(self, plan, offsets, masses):
        columns = np.add.reduceat(plan, offsets[:-1], axis=2)
        return self.relaxation * rel_entr(columns, 1 / plan.shape[1]).sum(axis=1).T
