"""Any scikit-learn transformer, applied to the elements of sets."""

import contextlib
import copy
from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from otk_sklearn._base import SetsOutMixin, publish
from otk_sklearn._validation import (
    as_fitted_sets,
    as_sets,
    check_finite,
    fit_input_of,
)


class ElementTransformer(SetsOutMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Apply a scikit-learn transformer to the elements of sets.

    The transformer is fitted on the elements of all sets stacked into one table, and
    applied to each element. Sets go in, and a `SetCollection` of the same sets comes out,
    with the same weights and positions.

    Parameters
    ----------
    transformer : estimator
        Any transformer of tables that keeps rows one to one, such as `StandardScaler()`
        or `PCA(50)`. It is cloned, not changed.
    max_elements : int, default=None
        Fit on at most this many elements, drawn without replacement. None means all.
    random_state : int, RandomState instance or None, default=None
        Decides which elements are drawn. See :term:`Glossary <random_state>`.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer.
    n_features_in_ : int
        Number of features of an element seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only if X was a DataFrame.

    See Also
    --------
    OTKEmbedding : Turns sets into fixed-size vectors.

    Notes
    -----
    Element weights play no part in `fit`. `set_output` does nothing, as the result is no
    table; it is there so that a Pipeline's `set_output` reaches the last step.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from otk_sklearn import ElementTransformer
    >>> sets = [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0]]]
    >>> scaled = ElementTransformer(StandardScaler()).fit_transform(sets)
    >>> scaled
    SetCollection(n_sets=2, n_elements=3, n_features=2, lengths 1 to 2, float64)
    >>> scaled.values.mean(axis=0)
    array([0., 0.])
    """

    _parameter_constraints: dict = {
        "transformer": [HasMethods(["fit", "transform"])],
        "max_elements": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(self, transformer, *, max_elements=None, random_state=None):
        self.transformer = transformer
        self.max_elements = max_elements
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Fit the transformer on the elements of all sets.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.
        y : array-like of shape (n_sets,) or (n_sets, n_outputs), default=None
            Targets. Each element is given that of its set.

        Returns
        -------
        self : object
        """
        sets = as_sets(X)
        n_elements = len(sets.values)
        rows = slice(None)  # no copy
        if self.max_elements is not None and n_elements > self.max_elements:
            random = check_random_state(self.random_state)
            rows = np.sort(random.choice(n_elements, self.max_elements, replace=False))
        if y is not None:
            check_consistent_length(sets, y)
            y = np.repeat(np.asarray(y), sets.lengths, axis=0)[rows]
        transformer = clone(self.transformer)
        with _naming_sets(sets):
            transformer.fit(sets.values[rows], y)
        publish(self, {**fit_input_of(X, sets), "transformer_": transformer})
        return self

    def transform(self, X):
        """Apply the fitted transformer to the elements.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.

        Returns
        -------
        SetCollection
        """
        model = copy.copy(self)  # whatever is fitted in another thread
        sets = as_fitted_sets(model, X)
        with _naming_sets(sets):
            values = model.transformer_.transform(sets.values)
        if issparse(values):
            raise TypeError(
                f"transformer={self.transformer!r} gave a sparse matrix; expected a dense "
                "array (many transformers take sparse_output=False)."
            )
        try:
            return sets.with_values(values)
        except ValueError as error:
            raise ValueError(
                f"transformer={self.transformer!r} must keep elements one to one: {error}"
            ) from error

    def get_feature_names_out(self, input_features=None):
        """Names of the features that the transformer gives each element.

        Parameters
        ----------
        input_features : array-like of str, default=None

        Returns
        -------
        ndarray of str
        """
        model = copy.copy(self)
        check_is_fitted(model)
        if input_features is None:
            input_features = getattr(model, "feature_names_in_", None)
        return model.transformer_.get_feature_names_out(input_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


@contextlib.contextmanager
def _naming_sets(sets):
    """NaN and infinity may be welcome, as to an imputer. If not, say where they are."""
    try:
        yield
    except ValueError as error:
        if "NaN" in str(error) or "infinity" in str(error):
            check_finite(sets)
        raise
