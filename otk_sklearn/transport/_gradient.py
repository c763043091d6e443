"""The gradient of plans: implicit differentiation of their marginals."""

import numpy as np

from otk_sklearn._compiled.implicit_gradient import plans_to_similarities


def pull_back_plans(plan, offsets, transport, gradients):
    """Pull gradients with respect to plans back to similarities, in place.

    Exact for plans that have converged. Exact plans (`solver="emd"`) count as constant.

    Parameters
    ----------
    plan, gradients : ndarray of shape (n_references, n_supports, n_elements)
    offsets : ndarray of int of shape (n_sets + 1,)
    transport : Transport

    Returns
    -------
    of_masses : ndarray of float64 of shape (n_references, n_elements)
        The gradients with respect to the masses of elements, each multiplied by the mass.
        Only their differences within a set have a meaning, as masses sum to 1.
    """
    of_masses = np.zeros((len(plan), plan.shape[2]))
    if transport.solver == "emd":
        gradients[:] = 0
        return of_masses
    # How far marginals are held: wholly, by a penalty, or not at all.
    powers = 0.0, 1.0
    if transport.solver == "sinkhorn":
        powers = transport.penalty.powers(transport.epsilon)
    # As where plans are solved for, epsilon is in the range of the dtype.
    epsilon = max(transport.epsilon, np.finfo(plan.dtype).tiny)
    inverse_epsilon = plan.dtype.type(1 / epsilon)
    plans_to_similarities(plan, offsets, powers, inverse_epsilon, gradients, of_masses)
    return of_masses
