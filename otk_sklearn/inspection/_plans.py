"""Transport plans of the elements of input sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from otk_sklearn.inspection._pipeline_steps import ElementMapping, model_steps

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


def element_plans(estimator: BaseEstimator, X: SetsLike) -> list[NDArray[np.floating]]:
    """Transport plans of the elements of input sets.

    Plans refer to the input rows even if earlier steps transform them or the embedding
    pools windows.

    Parameters
    ----------
    estimator : estimator
        A fitted `OTKEmbedding`, `OTKClassifier` or `OTKRegressor`, or a Pipeline or search
        with one.
    X : sets
        As for the estimator.

    Returns
    -------
    list of ndarray of shape (n_references, n_elements_i, n_supports)
        As from `OTKEmbedding.transport_plan`, but with the mass of each window distributed
        evenly over its rows.

    See Also
    --------
    otk_sklearn.display.TransportPlanDisplay : Draws the plan of a set.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.inspection import element_plans
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35)]
    >>> embedding = OTKEmbedding(4, filter_size=3, n_components=8).fit(X)
    >>> [plan.shape for plan in element_plans(embedding, X)]
    [(1, 20, 4), (1, 35, 4)]
    """
    steps = model_steps(estimator)
    mapping = ElementMapping(steps, X)
    shape = steps.embedding.references_.shape[:2]
    plans = steps.embedding.transport_plan(mapping.X)
    width = np.prod(shape)  # not -1: sets may be empty
    by_element = [plan.transpose(1, 0, 2).reshape(-1, width) for plan in plans]
    by_row = mapping.distribute(np.concatenate([np.empty((0, width)), *by_element]))
    return [plan.reshape(-1, *shape).transpose(1, 0, 2) for plan in by_row]
