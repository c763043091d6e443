"""What fitted models say of single elements: plans, contributions, nearest elements."""

import functools
from numbers import Integral

import numpy as np
from sklearn.base import is_regressor
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils import Bunch, gen_batches

from otk_sklearn._clustering import group_equal_rows
from otk_sklearn._features import fitted_map
from otk_sklearn._kernel_mean import KernelMeanEmbedding
from otk_sklearn._parallel import chunk_rows
from otk_sklearn._steps import Route, parts_of
from otk_sklearn._windows import windows_of

__all__ = ["element_contributions", "element_plans", "nearest_elements"]

# Sums of contributions that differ by more than this part of them from what the model says
# are not those of this model. Rounding, of float32 even, stays below.
_MAX_DIFFERENCE = 1e-3


def element_contributions(estimator, X):
    """What each element of each set adds to the decision of a linear model.

    The coefficients are carried back through what comes between the embedding and the
    model, and through the transport plan.

    Parameters
    ----------
    estimator : estimator
        A fitted Pipeline that has an `OTKEmbedding` or `KernelMeanEmbedding`, then any
        number of affine steps, and a linear model at its end; or an `OTKClassifier` or
        `OTKRegressor`, alone or at the end of a Pipeline; or a fitted search over one of
        these. Affine steps are
        `StandardScaler`, `MinMaxScaler`, `MaxAbsScaler`, `RobustScaler`, `PCA`,
        `IncrementalPCA`, `TruncatedSVD`, feature selection, and "passthrough". A linear
        model is one with `coef_` and `intercept_`, of which the decision is an affine
        function.
    X : sets
        As for `estimator.predict`.

    Returns
    -------
    Bunch
        With the attributes

        - contributions, list of ndarray of shape (n_elements_i, n_outputs): those of the
          elements of each set as they were handed over;
        - constant, ndarray of shape (n_outputs,): the rest, which is the same for all
          sets.

        `contributions[i].sum(axis=0) + constant` is `estimator.decision_function` (of a
        regressor, `predict`) of set i, up to rounding. For two classes there is one output,
        positive where it speaks for the second.

    Raises
    ------
    ValueError
        If a step between the embedding and the model is not known to be affine, or the
        decision is not that of a linear model. The message names the step.

    See Also
    --------
    otk_sklearn.display.ImportanceDisplay : Draws contributions.

    Notes
    -----
    The decision is `sum_ij n_supports P_ij <coef_j, psi(x_i)> + constant` (and summed over
    references): linear in the elements once the plan is given. Contributions are its parts
    for each i. They explain the decision for this plan; what an element does to the plan of
    the others is not in them. If embeddings are centred (by `StandardScaler`,
    `RobustScaler` or PCA), contributions are those of `psi(x_i) - m_j`, where the centre is
    made of the m_j: what an element adds against the average element of the same support.
    (Not with `position`: parts of the plan that are filtered out would have none.) Of a
    kernel mean, they are the `a_i <coef, psi(x_i)>` of elements with the masses a_i: of a
    plain mean with `kernel="linear"`.

    With `filter_size`, or a `ConvolutionalKernelLayer` in front, the contribution of each
    window is shared evenly among its rows (with subsampling, by the weights of its filter).

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
    >>> parts = element_contributions(model, X)
    >>> parts.contributions[0].shape
    (20, 1)
    >>> decision = [c.sum() + parts.constant[0] for c in parts.contributions]
    >>> np.allclose(decision, model.decision_function(X))
    True
    """
    parts = parts_of(estimator, by_plan=False)
    coef, constant = _linear_model(parts)
    of_center = coef * _center(parts)
    constant = constant + of_center.sum(axis=1)
    route = Route(parts, X)
    contributions = _contributions(parts.embedding, route.sets, coef, of_center)
    contributions = route.share_out(contributions)
    _check_sums(estimator, X, contributions, constant)
    return Bunch(contributions=contributions, constant=constant)


def element_plans(estimator, X):
    """Transport plans of the elements of sets as they were handed over.

    Whatever steps do to elements in front of the embedding, and whether it pools windows.

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
        As `OTKEmbedding.transport_plan` has them, but for windows: what a window sends to a
        support is shared evenly among its rows.

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
    parts = parts_of(estimator)
    route = Route(parts, X)
    shape = parts.embedding.references_.shape[:2]
    plans = parts.embedding.transport_plan(route.X)
    by_element = [plan.transpose(1, 0, 2).reshape(plan.shape[1], -1) for plan in plans]
    by_row = route.share_out(np.concatenate(by_element))
    return [plan.reshape(-1, *shape).transpose(1, 0, 2) for plan in by_row]


def nearest_elements(estimator, X, n_elements=5):
    """The elements of a collection that are most similar to each support.

    Supports lie in feature space, where there is nothing to look at; these elements show
    what they stand for.

    Parameters
    ----------
    estimator : estimator
        A fitted `OTKEmbedding`, `OTKClassifier` or `OTKRegressor`, or a Pipeline or search
        with one.
    X : sets
        As for the estimator.
    n_elements : int, default=5
        How many distinct ones. Where there are fewer, all of them.

    Returns
    -------
    Bunch
        With the attributes, each an ndarray of shape (n_references, n_supports,
        n_elements), the most similar element first,

        - similarity: `<psi(x), z_j>`;
        - set_index: the set that the element is in (the first one, if it is in several);
        - start, stop: rows `start` to before `stop` of that set, as it was handed over, are
          the element: several for a window, otherwise the one at `start`.

    See Also
    --------
    otk_sklearn.display.SupportsDisplay : Draws them.

    Notes
    -----
    With `position`, where elements and supports lie plays no part.

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
    parts = parts_of(estimator)
    route = Route(parts, X)
    elements, similarity = _nearest(parts.embedding, route.sets, n_elements)
    start, stop = route.span(elements.ravel())
    set_index = np.searchsorted(route.rows.offsets, start, side="right") - 1
    first = route.rows.offsets[set_index]
    shape = (*parts.embedding.references_.shape[:2], -1)
    return Bunch(
        similarity=similarity.reshape(shape),
        set_index=set_index.reshape(shape),
        start=(start - first).reshape(shape),
        stop=(stop - first).reshape(shape),
    )


def _linear_model(parts):
    """Return coefficients for embeddings, and the constant.

    Returns
    -------
    coef : ndarray of shape (n_outputs, n_references * n_supports * n_components)
    constant : ndarray of shape (n_outputs,)
    """
    name, model = parts.after[-1]
    if not (hasattr(model, "coef_") and hasattr(model, "intercept_")):
        raise ValueError(
            f"step {name!r} ({type(model).__name__}) has no coef_ and intercept_; expected "
            "a linear model after the embedding."
        )
    coef = np.atleast_2d(np.asarray(model.coef_, np.float64))
    constant = np.zeros(len(coef)) + model.intercept_
    for name, step in parts.after[-2:0:-1]:
        before = _carry_back(step, coef)
        if before is None:
            raise ValueError(
                f"step {name!r} ({type(step).__name__}) is not known to be affine, so that "
                "coefficients can't be carried back through it; expected scalers, PCA or "
                "feature selection between the embedding and the model."
            )
        coef, added = before
        constant = constant + added
    return coef, constant


def _center(parts):
    """Return what is taken off embeddings first, if each element bears a part of it."""
    if getattr(parts.embedding, "position", None) is not None:
        return 0.0
    before = []
    for _, step in parts.after[1:-1]:
        if isinstance(step, TruncatedSVD):  # the centre of embeddings is lost in it
            break
        only_scales = isinstance(step, StandardScaler) and not step.with_mean
        center = getattr(step, "mean_", getattr(step, "center_", None))
        if center is not None and not only_scales:
            for earlier in reversed(before):
                center = earlier.inverse_transform(center[np.newaxis])[0]
            return center
        before.append(step)
    return 0.0


@functools.singledispatch
def _carry_back(step, coef):
    """Return the coefficients before an affine step, and what it adds to the constant.

    None where the step is not known to be affine.
    """
    return None


@_carry_back.register
def _(step: StandardScaler, coef):
    if step.with_std:
        coef = coef / step.scale_
    return coef, -coef @ step.mean_ if step.with_mean else 0.0


@_carry_back.register
def _(step: RobustScaler, coef):
    if step.with_scaling:
        coef = coef / step.scale_
    return coef, -coef @ step.center_ if step.with_centering else 0.0


@_carry_back.register
def _(step: MaxAbsScaler, coef):
    return None if getattr(step, "clip", False) else (coef / step.scale_, 0.0)


@_carry_back.register
def _(step: MinMaxScaler, coef):
    return None if step.clip else (coef * step.scale_, coef @ step.min_)


@_carry_back.register(PCA)
@_carry_back.register(IncrementalPCA)
def _(step, coef):
    if step.whiten:  # as scikit-learn divides by it
        scale = np.sqrt(step.explained_variance_)
        coef = coef / np.maximum(scale, np.finfo(scale.dtype).eps)
    coef = coef @ step.components_
    return coef, -coef @ step.mean_


@_carry_back.register
def _(step: TruncatedSVD, coef):
    return coef @ step.components_, 0.0


@_carry_back.register
def _(step: SelectorMixin, coef):
    support = step.get_support()
    before = np.zeros((len(coef), len(support)))
    before[:, support] = coef
    return before, 0.0


@_carry_back.register
def _(step: FunctionTransformer, coef):
    return (coef, 0.0) if step.func is None else None


def _contributions(embedding, sets, coef, of_center):
    """`sum_j w_ji <coef_j, psi(x_i) - m_j>` of all elements, pooled by weights w.

    Parameters
    ----------
    embedding : OTKEmbedding or KernelMeanEmbedding
    sets : SetCollection
    coef : ndarray of shape (n_outputs, n_vectors * n_components)
    of_center : ndarray of the same shape
        Products of coefficients and the centre m, whose sums are those of weights 1.

    Returns
    -------
    ndarray of shape (n_elements, n_outputs)
    """
    windows, map_to_chunks, weights_of = _pooling(embedding, sets)
    feature_map = fitted_map(embedding, embedding._kernel)
    kappa_of = feature_map.kappa_in(np.float64)
    n_components = feature_map.n_components or windows.values.shape[1]
    # <coef_j, psi(x)> = <D coef_j, kappa(x)>, as D is symmetric.
    coef_of_kappa = feature_map.whiten(coef.reshape(-1, n_components))
    of_vectors = of_center.reshape(len(coef), -1, n_components).sum(axis=2)
    contributions = np.empty((windows.offsets[-1], len(coef)))

    def contribute(chunk):
        part, start = windows[chunk], windows.offsets[chunk.start]
        weights = weights_of(part)
        for rows in gen_batches(len(part.values), chunk_rows(len(coef_of_kappa))):
            kappa, _ = kappa_of(part.values[rows].astype(np.float64))
            scores = (kappa @ coef_of_kappa.T).reshape(-1, *of_vectors.shape) - of_vectors
            contributions[start + rows.start : start + rows.stop] = np.einsum(
                "ios,si->io", scores, weights[:, rows]
            )

    map_to_chunks(contribute)
    return contributions


def _pooling(embedding, sets):
    """How an embedding pools.

    Returns
    -------
    windows : SetCollection or WindowedSets
        What it pools.
    map_to_chunks : callable
        Calls a function with slices that together cover the sets.
    weights_of : callable
        Returns the weights of the elements of some of the windows, of shape (n_vectors,
        n_elements), if the embedding is so many vectors.
    """
    if isinstance(embedding, KernelMeanEmbedding):
        windows = windows_of(sets, **embedding._windows)
        return (
            windows,
            lambda function: function(slice(0, len(windows))),
            lambda part: part.masses[np.newaxis],
        )
    windows, matching = embedding._matching(sets)
    n_references, n_supports, _ = embedding.references_.shape

    def weights_of(part):
        plan = matching.plans(part).plan
        return n_supports * plan.reshape(n_references * n_supports, -1)

    return windows, lambda function: matching.map(function, windows), weights_of


def _check_sums(estimator, X, contributions, constant):
    """Raise an error where contributions are not those of the decisions."""
    decide = estimator.predict if is_regressor(estimator) else estimator.decision_function
    decisions = np.asarray(decide(X)).reshape(len(contributions), -1)
    sums = np.array([part.sum(axis=0) for part in contributions]) + constant
    sizes = np.array([np.abs(part).sum(axis=0) for part in contributions])
    allowed = _MAX_DIFFERENCE * (sizes + np.abs(constant))
    if decisions.shape != sums.shape or (np.abs(sums - decisions) > allowed).any():
        raise ValueError(
            f"{decide.__name__} of the {type(estimator).__name__} is no affine function of "
            "embeddings with its coef_ and intercept_; expected a linear model."
        )


def _nearest(embedding, sets, n_elements):
    """Return the distinct elements most similar to each support, and similarities.

    Returns
    -------
    elements : ndarray of int of shape (n_references * n_supports, n_elements)
    similarity : ndarray of shape (n_references * n_supports, n_elements)
    """
    windows = windows_of(sets, **embedding._windows)
    feature_map = fitted_map(embedding, embedding._kernel)
    kappa_of = feature_map.kappa_in(np.float64)
    n_components = embedding.references_.shape[2]
    supports = feature_map.whiten(embedding.references_.reshape(-1, n_components))
    candidates, similarities = [], []
    for batch in gen_batches(len(windows.values), chunk_rows(n_components)):
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
    return elements, np.take_along_axis(similarities, np.array(chosen), axis=1)


def _first_distinct(values, similarity, n_elements):
    """Return which of the rows are most similar, equal ones counted once."""
    order = np.argsort(-similarity, kind="stable")
    _, kind = group_equal_rows(values[order])
    _, first = np.unique(kind, return_index=True)
    return order[np.sort(first)[:n_elements]]
