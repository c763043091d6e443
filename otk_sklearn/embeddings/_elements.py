"""Any scikit-learn transformer, applied to the elements of sets."""

import contextlib
import copy
from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    has_fit_parameter,
)

from otk_sklearn._utils.estimators import (
    DocumentedMixin,
    SetsOutMixin,
    check_sample_weight,
    set_fitted,
)
from otk_sklearn._utils.progress import CallbackSupportMixin, Progress
from otk_sklearn.sets._input import as_fitted_sets, as_sets, check_finite, input_attributes


class ElementTransformer(
    DocumentedMixin,
    SetsOutMixin,
    CallbackSupportMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,
):
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
    In `fit`, an element weighs as much as its set: `sample_weight`, or else all the same.
    Weights of elements within their sets play no part.

    Metadata is routed to the transformer, such as `sample_weight` to an
    `ElementTransformer(StandardScaler().set_fit_request(sample_weight=True))`.

    `set_output` does nothing, as the result is no table; it is there so that a Pipeline's
    `set_output` reaches the last step.

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

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        "transformer": [HasMethods(["fit", "transform"])],
        "max_elements": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    # What there is to request, the transformer requests.
    __metadata_request__fit = {"sample_weight": UNUSED}

    def __init__(self, transformer, *, max_elements=None, random_state=None):
        self.transformer = transformer
        self.max_elements = max_elements
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, sample_weight=None, **params):
        """Fit the transformer on the elements of all sets.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.
        y : array-like of shape (n_sets,) or (n_sets, n_outputs), default=None
            Targets. Each element is given that of its set.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set, and of each of its elements, for a transformer whose `fit`
            takes `sample_weight`. A set of weight 2 is the same as two of them. None means
            equal weights.
        **params : dict
            Other metadata of sets that the transformer requests, with metadata routing
            enabled. Each element is given that of its set.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If there are weights, and the transformer takes none.
        """
        sets = as_sets(X)
        progress = Progress(self).begin_fit(0, X, y, sample_weight)
        metadata = self._metadata(sets, sample_weight, params)
        rows = self._drawn_rows(sets, metadata.get("sample_weight"))

        def of_elements(of_sets):
            check_consistent_length(sets, of_sets)
            return np.repeat(np.asarray(of_sets), sets.lengths, axis=0)[rows]

        transformer = clone(self.transformer)
        with _naming_sets(sets):
            transformer.fit(
                sets.values[rows],
                None if y is None else of_elements(y),
                **{name: of_elements(value) for name, value in metadata.items()},
            )
        attributes = {**input_attributes(X, sets), "transformer_": transformer}
        progress.end_fit(attributes)
        set_fitted(self, attributes)
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
            Sets of the same lengths, of transformed elements.
        """
        model = copy.copy(self)  # one fitted state, even if another thread refits
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
        """Return the names of the features that the transformer gives each element.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features of an element. None means those seen during `fit`, if
            there were any.

        Returns
        -------
        ndarray of str
            Names as the transformer has them.
        """
        model = copy.copy(self)
        check_is_fitted(model)
        if input_features is None:
            input_features = getattr(model, "feature_names_in_", None)
        return model.transformer_.get_feature_names_out(input_features)

    def get_metadata_routing(self):
        """Return how metadata is routed to the transformer.

        Returns
        -------
        MetadataRouter
            What `fit` hands over.
        """
        return MetadataRouter(owner=type(self).__name__).add(
            transformer=self.transformer,
            method_mapping=MethodMapping()
            .add(caller="fit", callee="fit")
            .add(caller="fit_transform", callee="fit"),
        )

    def _metadata(self, sets, sample_weight, params):
        """Return the metadata of sets that the transformer takes."""
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        if _routing_enabled():
            routed = process_routing(self, "fit", **metadata, **params)
            metadata = dict(routed.transformer.fit)
        else:
            _raise_for_params(params, self, "fit")
            if metadata and not has_fit_parameter(self.transformer, "sample_weight"):
                raise ValueError(
                    f"sample_weight is given, and transformer={self.transformer!r} takes "
                    "none; expected a transformer whose fit does."
                )
        if "sample_weight" in metadata:
            metadata["sample_weight"] = check_sample_weight(metadata["sample_weight"], sets)
        return metadata

    def _drawn_rows(self, sets, sample_weight):
        """Return the rows of the elements to fit on: those of weight, if not too many."""
        if sample_weight is None:
            sample_weight = np.ones(len(sets))
        rows = np.flatnonzero(np.repeat(sample_weight > 0, sets.lengths))
        if self.max_elements is not None and len(rows) > self.max_elements:
            random = check_random_state(self.random_state)
            return np.sort(random.choice(rows, self.max_elements, replace=False))
        return rows if len(rows) < len(sets.values) else slice(None)  # no copy

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
