"""Contributions of single elements to the decision of a linear model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from otk_sklearn._utils.chunks import batches_of, chunk_rows
from otk_sklearn.embeddings._base import snapshot
from otk_sklearn.embeddings._kernel_mean import KernelMeanEmbedding
from otk_sklearn.embeddings._state import state_and_sets
from otk_sklearn.features._feature_map import fitted_feature_map
from otk_sklearn.inspection._affine_steps import pulled_back_linear_model, subtracted_center
from otk_sklearn.inspection._element_labels import number_labels, sum_by_label
from otk_sklearn.inspection._pipeline_steps import ElementMapping, model_steps
from otk_sklearn.matching._matching import Matching
from otk_sklearn.sets._positive_mass import with_positive_mass
from otk_sklearn.sets._windows import fitted_windows

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


def element_contributions(
    estimator: BaseEstimator,
    X: SetsLike,
    *,
    by: ArrayLike | Sequence[ArrayLike] | None = None,
) -> Bunch:
    """Compute what each element adds to the decision of a linear model.

    The coefficients are pulled back through the steps between the embedding and the model,
    and through the transport plan.

    Parameters
    ----------
    estimator : estimator
        A fitted Pipeline that has an `OTKEmbedding` or `KernelMeanEmbedding`, then any
        number of affine steps, and a linear model at its end; or an `OTKClassifier` or
        `OTKRegressor`, alone or at the end of a Pipeline; or a fitted search over one of
        these. Any step may be affine, such as scalers, PCA, random projections, feature
        selection, or a ColumnTransformer or FeatureUnion of these. A linear model is
        one whose `decision_function` (of a regressor, `predict`) is an affine function of
        its input, such as `LogisticRegression`, `LinearSVC`, `Ridge`, `PLSRegression`, or a
        TransformedTargetRegressor of one of these.
    X : sets
        As for `estimator.predict`.
    by : array-like of shape (n_elements,), or list of one array-like of shape \
            (n_elements_i,) for each set, default=None
        A label of each element, such as the type of a cell, over which contributions are
        summed: set by set, in the order of the elements. Of a column of the table that
        `SetCollection.from_groups` made X of, that is `column.to_numpy()[X.rows]`. An array
        in the order of such a table is not noticed; a Series in another order is an error.

    Returns
    -------
    Bunch
        With the attributes

        - contributions, list of ndarray of shape (n_elements_i, n_outputs): those of the
          elements of each input set;
        - constant, ndarray of shape (n_outputs,): the rest, which is the same for all
          sets;
        - labels, ndarray of shape (n_labels,), only with `by`: its distinct labels, sorted;
        - sums, ndarray of shape (n_sets, n_labels, n_outputs), only with `by`: sums of the
          contributions of a set over its elements of a label; 0 if it has none.

        `contributions[i].sum(axis=0) + constant` is `estimator.decision_function` (of a
        regressor, `predict`) of set i, up to rounding, unless it is empty and embeddings
        are centred. For two classes there is one output, positive in favour of the second.

    Raises
    ------
    ValueError
        If a step between the embedding and the model is not affine, or the decision is not
        that of a linear model, on X. The message names the step. If `by` doesn't have one
        label for each element.

    See Also
    --------
    otk_sklearn.display.ImportanceDisplay : Draws contributions.

    Notes
    -----
    The decision is `sum_ij n_supports P_ij <coef_j, psi(x_i)> + constant` (and summed over
    references): linear in the elements once the plan is given. Contributions are its terms
    for each i. They explain the decision for this plan, and ignore the effect of an element
    on the plan of the others. The coefficients of steps that are not among the most common
    ones are found from their output for unit vectors, which takes longer the more features
    an embedding has.

    If embeddings are centred (by `StandardScaler`, `RobustScaler`, PCA or another step with
    a `mean_`), contributions are those of `psi(x_i) - m_j`, where the centre is made of the
    m_j: the contribution relative to the average element of the same support. (Not with
    `position` or `support_relaxation`, as masses of supports differ from set to set.) Of a
    kernel mean, they are the `a_i <coef, psi(x_i)>` of elements with the masses a_i: of a
    plain mean with `kernel="linear"`.

    With `filter_size`, or a `ConvolutionalKernelLayer` in front, the contribution of each
    window is distributed evenly over its rows (with subsampling, by the weights of its
    filter).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.inspection import element_contributions
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35, 50, 15)]
    >>> model = make_pipeline(OTKEmbedding(4, n_components=8), LogisticRegression())
    >>> model = model.fit(X, [0, 1, 1, 0])
    >>> found = element_contributions(model, X)
    >>> found.contributions[0].shape
    (20, 1)
    >>> decision = [c.sum() + found.constant[0] for c in found.contributions]
    >>> np.allclose(decision, model.decision_function(X))
    True

    By the sign of their first feature:

    >>> signs = [np.where(x[:, 0] > 0, "positive", "negative") for x in X]
    >>> found = element_contributions(model, X, by=signs)
    >>> found.labels.tolist(), found.sums.shape
    (['negative', 'positive'], (4, 2, 1))
    """
    steps = model_steps(estimator, requires_plan=False)
    mapping = ElementMapping(steps, X)
    labelled = None if by is None else number_labels(by, mapping.rows)
    coef, constant = pulled_back_linear_model(steps, mapping.X)
    of_center = coef * subtracted_center(steps)
    contributions = _contributions(steps.embedding, mapping.sets, coef, of_center)
    found = Bunch(
        contributions=mapping.distribute(contributions),
        constant=constant + of_center.sum(axis=1),
    )
    if labelled is not None:
        numbers, found.labels = labelled
        by_row = np.concatenate([np.empty((0, len(coef))), *found.contributions])
        offsets, n_labels = mapping.rows.offsets, len(found.labels)
        found.sums = sum_by_label(by_row, offsets, numbers, n_labels)
    return found


def _contributions(embedding, sets, coef, of_center):
    """`sum_j w_ji <coef_j, psi(x_i) - m_j>` of all elements, with pooling weights w.

    Parameters
    ----------
    embedding : OTKEmbedding or KernelMeanEmbedding
    sets : SetCollection
    coef : ndarray of shape (n_outputs, n_vectors * n_components)
    of_center : ndarray of the same shape
        Products of the coefficients and the centre m.

    Returns
    -------
    ndarray of shape (n_elements, n_outputs)
    """
    windows, feature_map, map_to_chunks, weights_of = _pooling(embedding, sets)
    kappa_of = feature_map.kappa_in(np.float64)
    n_components = feature_map.n_components or windows.values.shape[1]
    # <coef_j, psi(x)> = <D coef_j, kappa(x)>, as D is symmetric.
    coef_of_kappa = feature_map.whiten(coef.reshape(-1, n_components))
    of_vectors = of_center.reshape(len(coef), -1, n_components).sum(axis=2)
    contributions = np.zeros((windows.offsets[-1], len(coef)))

    def contribute(chunk):
        part, kept = with_positive_mass(windows[chunk])
        weights, start = weights_of(part), windows.offsets[chunk.start]
        elements = np.arange(start, windows.offsets[chunk.stop])[kept]
        for rows in batches_of(len(part.values), chunk_rows(len(coef_of_kappa))):
            kappa, _ = kappa_of(part.values[rows].astype(np.float64))
            scores = (kappa @ coef_of_kappa.T).reshape(-1, *of_vectors.shape) - of_vectors
            contributions[elements[rows]] = np.einsum(
                "ios,si->io", scores, weights[:, rows]
            )

    map_to_chunks(contribute)
    return contributions


def _pooling(embedding, sets):
    """Return how an embedding pools the features of which elements.

    Returns
    -------
    windows : SetCollection or WindowedSets
        The pooled elements.
    feature_map : FeatureMap
    map_to_chunks : callable
        Calls a function with slices that together cover the sets.
    weights_of : callable
        Returns the pooling weights of the elements of some of the windows, of shape
        (n_vectors, n_elements), one row for each vector of the embedding.
    """
    if isinstance(embedding, KernelMeanEmbedding):
        model, sets = snapshot(embedding, sets)
        windows = fitted_windows(model, sets)
        return (
            windows,
            fitted_feature_map(model),
            lambda function: function(slice(0, len(windows))),
            lambda part: part.masses[np.newaxis],
        )
    state, sets = state_and_sets(embedding, sets)
    windows, matching = state.windows_of(sets), Matching(state, sets.dtype)
    n_references, n_supports, _ = state.references.shape

    def weights_of(part):
        plan = matching.plans(part).plan
        return n_supports * plan.reshape(n_references * n_supports, plan.shape[2])

    return (
        windows,
        state.feature_map,
        lambda function: matching.map(function, windows),
        weights_of,
    )
