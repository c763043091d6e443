"""The elements of a collection that are nearest to each support."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

from otk_sklearn._utils.chunks import batches_of, chunk_rows
from otk_sklearn.features._feature_map import fitted_feature_map
from otk_sklearn.inspection._pipeline_steps import ElementMapping, model_steps
from otk_sklearn.sets._equality import group_equal_rows
from otk_sklearn.sets._positive_mass import with_positive_mass
from otk_sklearn.sets._windows import fitted_windows

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


def nearest_elements(estimator: BaseEstimator, X: SetsLike, n_elements: int = 5) -> Bunch:
    """The elements of a collection that are most similar to each support.

    Supports lie in feature space, and can't be displayed; these elements represent them.

    Parameters
    ----------
    estimator : estimator
        A fitted `OTKEmbedding`, `OTKClassifier` or `OTKRegressor`, or a Pipeline or search
        with one.
    X : sets
        As for the estimator.
    n_elements : int, default=5
        Number of distinct elements, of positive weight. If there are fewer, all of them.

    Returns
    -------
    Bunch
        With the attributes, each an ndarray of shape (n_references, n_supports,
        n_elements), the most similar element first,

        - similarity: `<psi(x), z_j>`;
        - set_index: the set that the element is in (the first one, if it is in several);
        - start, stop: the element is `X[set_index][start:stop]`: several rows for a window,
          otherwise one.

    See Also
    --------
    otk_sklearn.display.SupportsDisplay : Draws them.

    Notes
    -----
    With `position`, the positions of elements and supports are ignored.

    If X was made by `SetCollection.from_groups`, the elements are the rows
    `X.rows[X.offsets[set_index] + start]` of its table (the first one of a window).

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.inspection import nearest_elements
    >>> X = [[[0.0], [1.0]], [[1.0], [5.0], [6.0]]]
    >>> embedding = OTKEmbedding(2, gamma=0.1, n_components=4, random_state=0).fit(X)
    >>> nearest = nearest_elements(embedding, X, n_elements=2)
    >>> for sets, rows in zip(nearest.set_index[0], nearest.start[0]):
    ...     print([X[i][row] for i, row in zip(sets, rows)])
    [[5.0], [6.0]]
    [[1.0], [0.0]]
    """
    if not isinstance(n_elements, Integral) or n_elements < 1:
        raise ValueError(f"n_elements is {n_elements!r}; expected an integer, 1 or more.")
    steps = model_steps(estimator)
    mapping = ElementMapping(steps, X)
    elements, similarity = _nearest(steps.embedding, mapping.sets, n_elements)
    start, stop = mapping.span(elements.ravel())
    set_index = np.searchsorted(mapping.rows.offsets, start, side="right") - 1
    first = mapping.rows.offsets[set_index]
    shape = (*steps.embedding.references_.shape[:2], -1)
    return Bunch(
        similarity=similarity.reshape(shape),
        set_index=set_index.reshape(shape),
        start=(start - first).reshape(shape),
        stop=(stop - first).reshape(shape),
    )


def _nearest(embedding, sets, n_elements):
    """Return the distinct elements most similar to each support, and the similarities.

    Returns
    -------
    elements : ndarray of int of shape (n_references * n_supports, n_elements)
    similarity : ndarray of shape (n_references * n_supports, n_elements)
    """
    all_windows = fitted_windows(embedding, sets)
    windows, kept = with_positive_mass(all_windows)
    feature_map = fitted_feature_map(embedding)
    kappa_of = feature_map.kappa_in(np.float64)
    n_components = embedding.references_.shape[2]
    supports = feature_map.whiten(embedding.references_.reshape(-1, n_components))
    none = np.empty((len(supports), 0))  # there may be no element
    candidates, similarities = [none.astype(int)], [none]
    for batch in batches_of(len(windows.values), chunk_rows(n_components)):
        values = windows.values[batch].astype(np.float64)
        distinct, _ = group_equal_rows(values)
        kappa, _ = kappa_of(values[distinct])
        similarity = supports @ kappa.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :n_elements]
        candidates.append(batch.start + distinct[nearest])
        similarities.append(np.take_along_axis(similarity, nearest, axis=1))
    candidates, similarities = np.hstack(candidates), np.hstack(similarities)
    chosen = [
        _first_distinct(windows.values[elements], similarity, n_elements)
        for elements, similarity in zip(candidates, similarities)
    ]
    elements = np.take_along_axis(candidates, np.array(chosen), axis=1)
    elements = np.arange(len(all_windows.values))[kept][elements]
    return elements, np.take_along_axis(similarities, np.array(chosen), axis=1)


def _first_distinct(values, similarity, n_elements):
    """Return the indices of the most similar rows, without duplicates."""
    order = np.argsort(-similarity, kind="stable")
    _, kind = group_equal_rows(values[order])
    _, first = np.unique(kind, return_index=True)
    return order[np.sort(first)[:n_elements]]
