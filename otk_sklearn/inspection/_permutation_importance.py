"""Importance of each feature of the elements to the score of a fitted model."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from otk_sklearn._utils.estimators import FEATURE_CONSTRAINTS
from otk_sklearn._utils.sklearn_compat import Interval, validate_params
from otk_sklearn.sets._misalignment import warn_if_misaligned
from otk_sklearn.sets._validation import as_sets

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


@validate_params(
    {
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": FEATURE_CONSTRAINTS["n_jobs"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def permutation_importance(
    estimator: BaseEstimator,
    X: SetsLike,
    y: ArrayLike | None,
    *,
    scoring: str | Callable[..., float] | None = None,
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    sample_weight: ArrayLike | None = None,
) -> Bunch:
    """Permutation importance of the features of elements.

    What a score loses if the values of one feature are permuted among the elements of all
    sets [1]_: :func:`sklearn.inspection.permutation_importance` for sets, which it does not
    accept.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of sets, such as a Pipeline with an embedding, an `OTKClassifier`
        or `OTKRegressor`, or a search over one of these.
    X : sets
        As for the estimator: those that it was fitted to, or better, others.
    y : array-like of shape (n_sets,) or (n_sets, n_outputs), or None
        Targets; None for an estimator whose score needs none.
    scoring : str or callable, default=None
        The score, a single one: one of `sklearn.metrics.get_scorer_names()`, or a callable
        `scorer(estimator, X, y)`. None means `estimator.score`.
    n_repeats : int, default=5
        Number of permutations of each feature.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Controls the permutations. See :term:`Glossary <random_state>`.
    sample_weight : array-like of shape (n_sets,), default=None
        Weights of the sets in the score. None means equal weights.

    Returns
    -------
    Bunch
        With the attributes

        - importances_mean, ndarray of shape (n_features,): mean over the repetitions;
        - importances_std, ndarray of shape (n_features,): standard deviation;
        - importances, ndarray of shape (n_features, n_repeats): the score of X minus that
          with the permuted feature;
        - feature_names, ndarray of str of shape (n_features,), or None if X has no names.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If X is not a valid collection of sets, or a parameter is out of range.

    See Also
    --------
    element_contributions : What each element adds to the decision of a linear model.

    Notes
    -----
    Values are exchanged between any two elements, of the same or of different sets. So a
    feature keeps its distribution over all elements, and loses its relation to the sets, to
    the other features and to the order of the elements. A permutation within each set would
    keep the mean and spread of the feature in a set, which often decide, and find such a
    feature unimportant.

    The numbers of elements, their weights and positions stay as they are: what the model
    learns from them is not measured. Elements of weight 0 are left out. As with vectors, of
    features that tell the same, each may seem unimportant, as the others remain.

    References
    ----------
    .. [1] L. Breiman, "Random Forests", Machine Learning 45 (2001).

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKClassifier, OTKEmbedding
    >>> from otk_sklearn.inspection import permutation_importance
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(40) % 2
    >>> X = [rng.normal([4 * label, 0], 1, size=(rng.integers(3, 9), 2)) for label in y]
    >>> embedding = OTKEmbedding(2, n_components=8)
    >>> model = OTKClassifier(embedding, max_epochs=2, random_state=0).fit(X, y)
    >>> found = permutation_importance(model, X, y, random_state=0)
    >>> found.importances_mean.shape
    (2,)
    >>> bool(found.importances_mean[0] > 0.2 > found.importances_mean[1])
    True
    """
    check_is_fitted(estimator)
    scorer = check_scoring(estimator, scoring=scoring)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    sets = as_sets(X, explain_rows=False)
    warn_if_misaligned(X, y=y, sample_weight=sample_weight)
    present = np.flatnonzero(sets.masses)
    # The same permutations for all features, whatever the order of threads.
    seeds = check_random_state(random_state).randint(2**31 - 1, size=n_repeats)

    def permuted_score(feature, seed):
        values = sets.values[:].copy()
        chosen = np.random.RandomState(seed).permutation(present)
        values[present, feature] = values[chosen, feature]
        permuted = sets.with_values(values, feature_names=sets.feature_names)
        return scorer(estimator, permuted, y, **weights)

    score = scorer(estimator, sets, y, **weights)
    scores = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(permuted_score)(feature, seed)
        for feature in range(sets.n_features)
        for seed in seeds
    )
    importances = score - np.reshape(scores, (sets.n_features, n_repeats))
    return Bunch(
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
        importances=importances,
        feature_names=sets.feature_names,
    )
