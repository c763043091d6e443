"""`ElementTransformer`: a scikit-learn transformer applied to the elements of sets."""

from __future__ import annotations

import contextlib
import copy
import inspect
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from otk_sklearn._utils.chunks import batches_of
from otk_sklearn._utils.estimators import (
    DocumentedMixin,
    SetsOutMixin,
    check_sample_weight,
    set_fitted,
)
from otk_sklearn._utils.progress import Progress
from otk_sklearn._utils.sklearn_compat import (
    CallbackSupportMixin,
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    raise_for_params,
    routing_enabled,
)
from otk_sklearn.embeddings._row_by_row import learns_from_parts, treats_rows_alone
from otk_sklearn.sets._arrays import (
    as_floats,
    check_elements,
    columns_of_no_numbers,
)
from otk_sklearn.sets._collection import with_computed_values
from otk_sklearn.sets._computed_values import (
    MAX_COMPUTED_BYTES,
    ComputedValues,
    all_finite,
)
from otk_sklearn.sets._frames import as_frame, check_finite_columns, take_rows
from otk_sklearn.sets._misalignment import warn_if_misaligned
from otk_sklearn.sets._names import feature_names_of
from otk_sklearn.sets._sampling import present_indices
from otk_sklearn.sets._validation import (
    as_fitted_sets,
    as_sets,
    check_finite,
    input_attributes,
)

if TYPE_CHECKING:
    from otk_sklearn.sets._collection import SetCollection
    from otk_sklearn.sets._types import SetsLike


# Bytes of elements that are fitted on, or tried out, at a time.
_PART_BYTES = 2**22
_N_TRIED = 16


def _can_learn_in_batches(self):
    return hasattr(self.transformer, "partial_fit")


class ElementTransformer(
    DocumentedMixin,
    SetsOutMixin,
    CallbackSupportMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,
):
    """Apply a scikit-learn transformer to the elements of sets.

    The transformer is fitted on the elements of all sets, stacked into one 2-D array or
    DataFrame, and applied to each element. The output is a `SetCollection` of the same
    sets, with the same weights and positions.

    Sets may be DataFrames of pandas or polars, with columns of text, categories or dates.
    The transformer makes numbers of them: a `ColumnTransformer` selects columns by name, or
    by dtype.

    Parameters
    ----------
    transformer : estimator or "passthrough"
        Any transformer of 2-D arrays or DataFrames that returns one row per sample, such
        as `StandardScaler()` or `PCA(50)`. It is cloned before it is fitted.
        "passthrough" leaves elements as they are.
    max_elements : int, default=None
        Maximum number of elements to fit on. If there are more, they are sampled without
        replacement. None means no limit.
    random_state : int, RandomState instance or None, default=None
        Controls the random sampling of elements. See :term:`Glossary <random_state>`.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer; for "passthrough", a `FunctionTransformer`.
    n_features_in_ : int
        Number of features of the elements seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names that
        are all strings, as the columns of DataFrames.

    See Also
    --------
    OTKEmbedding : Embeds sets into fixed-size vectors.

    Notes
    -----
    In `fit`, each element has the `sample_weight` of its set, or all have equal weights.
    The weights of elements within their sets are ignored, except that elements of weight
    zero are left out of the fit (and transformed like all others).

    With metadata routing enabled, metadata is routed to the transformer, such as
    `sample_weight` by
    `ElementTransformer(StandardScaler().set_fit_request(sample_weight=True))`.

    Elements whose features have names reach the transformer as a DataFrame (of numbers in
    a `SetCollection`: of pandas, if it is installed; otherwise as an array). Its output
    has names, too, if it returns a DataFrame or tells them by `get_feature_names_out`. A
    sparse output, such as that of `OneHotEncoder`, becomes dense.

    Elements of more than 16 MiB stay as they are, and are transformed in blocks, each time
    that the next step reads them: a map of a file is not copied into memory. That is done
    if the transformer is known to treat each element on its own, and all elements are
    finite, so that no error comes late. Known are `StandardScaler`, `MinMaxScaler`,
    `MaxAbsScaler`, `RobustScaler`, `Normalizer`, `PCA`, `IncrementalPCA`, `TruncatedSVD`,
    `GaussianRandomProjection` of scikit-learn, and each `Pipeline` of them; subclasses are
    not. To at most half of the size, these transform at once, in blocks. A
    collection keeps its values once they have been read as `values`, and a pickle has
    them. The first three are also fitted in blocks, to the same result up to rounding;
    the others take as much memory as their `fit`, which `max_elements` bounds.

    `set_output` has no effect, as the output is not tabular; it exists so that the
    `set_output` of a Pipeline reaches the last step. The global `transform_output` does not
    reach the transformer either, only `set_output` of its own.

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

    From a long table, with a column of text:

    >>> import pandas as pd
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> table = pd.DataFrame(
    ...     {"id": ["b", "b", "a"], "kind": ["x", "y", "x"], "size": [1.0, 3.0, 2.0]}
    ... )
    >>> frames = [rows for _, rows in table.groupby("id", sort=False)]
    >>> encoder = make_column_transformer(
    ...     (OneHotEncoder(handle_unknown="ignore"), ["kind"]), (StandardScaler(), ["size"])
    ... )
    >>> encoded = ElementTransformer(encoder).fit_transform(frames)
    >>> encoded.feature_names.tolist()
    ['onehotencoder__kind_x', 'onehotencoder__kind_y', 'standardscaler__size']
    >>> encoded[1]
    array([[1., 0., 0.]])

    In batches, if the transformer has `partial_fit`. With `IncrementalPCA`, which needs at
    least as many elements as components in each, embeddings can be compressed likewise:

    >>> import numpy as np
    >>> from sklearn.decomposition import IncrementalPCA
    >>> from otk_sklearn import OTKEmbedding
    >>> rng = np.random.default_rng(0)
    >>> batches = [[rng.normal(size=(5, 2)) for _ in range(20)] for _ in range(3)]
    >>> scaler, pca = ElementTransformer(StandardScaler()), IncrementalPCA(4)
    >>> for batch in batches:
    ...     scaler = scaler.partial_fit(batch)
    >>> embedding = OTKEmbedding(2, n_components=8, random_state=0)
    >>> embedding = embedding.fit(scaler.transform(batches[0]))
    >>> for batch in batches:
    ...     pca = pca.partial_fit(embedding.transform(scaler.transform(batch)))
    >>> pca.transform(embedding.transform(scaler.transform(batches[2]))).shape
    (20, 4)
    """

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        "transformer": [HasMethods(["fit", "transform"]), StrOptions({"passthrough"})],
        "max_elements": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    # Metadata is requested by the transformer, not by this router.
    __metadata_request__fit = {"sample_weight": UNUSED}
    __metadata_request__partial_fit = {"sample_weight": UNUSED}

    def __init__(
        self,
        transformer: BaseEstimator | Literal["passthrough"],
        *,
        max_elements: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.transformer = transformer
        self.max_elements = max_elements
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: SetsLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Fit the transformer on the elements of all sets.

        Parameters
        ----------
        X : sets
            Any input that `OTKEmbedding.fit` accepts, and sequences of DataFrames with
            columns of any dtype, the same in every set.
        y : array-like of shape (n_sets,) or (n_sets, n_outputs), default=None
            Targets. Each element has the target of its set.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set, and of each of its elements, for a transformer whose `fit`
            accepts `sample_weight`. A set of weight 2 is equivalent to two copies of it.
            None means equal weights.
        **params : dict
            Other metadata of the sets that the transformer requests, with metadata routing
            enabled. Each element has the metadata of its set.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If `sample_weight` is given, and the transformer does not accept it.
        """
        sets = as_sets(X, keep_frames=True)
        present_indices(sets)  # raises if there are none
        warn_if_misaligned(X, y=y, sample_weight=sample_weight, **params)
        progress = Progress(self).begin_fit(0, X, y, sample_weight)
        metadata = self._fit_metadata("fit", sets, sample_weight, params)
        transformer = clone(self._inner_transformer())
        self._learn(transformer, "fit", sets, y, metadata)
        attributes = {**input_attributes(sets), "transformer_": transformer}
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self

    @available_if(_can_learn_in_batches)
    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self,
        X: SetsLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Go on fitting the transformer, on the elements of a batch of sets.

        Available if the transformer has `partial_fit`, such as `StandardScaler` and
        `IncrementalPCA`. The first call is a start; after `fit`, it goes on from there.

        Parameters
        ----------
        X : sets
            Any input that `fit` accepts, with the features of earlier batches.
        y : array-like of shape (n_sets,) or (n_sets, n_outputs), default=None
            Targets. Each element has the target of its set.
        sample_weight : array-like of shape (n_sets,), default=None
            As in `fit`, for a transformer whose `partial_fit` accepts `sample_weight`.
        **params : dict
            Other metadata, as in `fit`.

        Returns
        -------
        self : object
            The fitted estimator. Collections that it has returned before don't change.

        Raises
        ------
        ValueError
            If X does not match earlier batches, or `sample_weight` is given, and the
            transformer does not accept it. The estimator is then unchanged, as after any
            other error.

        Notes
        -----
        At most `max_elements` of the elements of each batch are used.

        Examples
        --------
        >>> from sklearn.preprocessing import StandardScaler
        >>> from otk_sklearn import ElementTransformer
        >>> scaler = ElementTransformer(StandardScaler())
        >>> for batch in [[[[0.0], [2.0]]], [[[4.0]], [[6.0]]]]:
        ...     scaler = scaler.partial_fit(batch)
        >>> scaler.transformer_.mean_
        array([3.])
        """
        model = copy.copy(self)  # attributes of one fit, even if another thread refits
        if hasattr(model, "transformer_"):
            sets = as_fitted_sets(model, X, keep_frames=True)
            transformer = copy.deepcopy(model.transformer_)
            attributes = model._input_attributes_with(sets)
        else:
            sets = as_sets(X, keep_frames=True)
            transformer = clone(model._inner_transformer())
            attributes = input_attributes(sets)
        present_indices(sets)  # raises if there are none
        warn_if_misaligned(X, y=y, sample_weight=sample_weight, **params)
        metadata = model._fit_metadata("partial_fit", sets, sample_weight, params)
        model._learn(transformer, "partial_fit", sets, y, metadata)
        set_fitted(self, {**attributes, "transformer_": transformer})
        return self

    def transform(self, X: SetsLike) -> SetCollection:
        """Apply the fitted transformer to the elements of sets.

        Parameters
        ----------
        X : sets
            Any input that `OTKEmbedding.fit` accepts, and sequences of DataFrames with
            columns of any dtype, the same in every set.

        Returns
        -------
        SetCollection
            Sets of the transformed elements, of the same lengths. See the notes for when
            these are computed.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not a valid collection of sets, or does not match the input of `fit`; or
            if the transformer does not return one row of numbers per element.
        """
        model = copy.copy(self)  # attributes of one fit, even if another thread refits
        sets = as_fitted_sets(model, X, keep_frames=True)
        if model._can_wait(sets.values):
            return model._transform_later(sets)
        elements = take_rows(sets.values, slice(None))
        with _locating_nonfinite_values(sets):
            output = model._output_of(elements)
        values = model._as_values(output, len(elements))
        return sets.with_values(values, feature_names=model._names_of(output))

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
        """Return the names of the output features of the transformer.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the input features. None, or the name of a column of sets, means
            `feature_names_in_`, if defined.

        Returns
        -------
        ndarray of str
            Names of the features of the transformed elements.
        """
        model = copy.copy(self)
        check_is_fitted(model)
        if input_features is None or len(input_features) == 1 < model.n_features_in_:
            input_features = getattr(model, "feature_names_in_", None)
        return model.transformer_.get_feature_names_out(input_features)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return the routing of metadata to the transformer.

        Returns
        -------
        MetadataRouter
            The metadata that `fit` passes to the transformer.
        """
        return MetadataRouter(owner=type(self).__name__).add(
            transformer=self._inner_transformer(),
            method_mapping=MethodMapping()
            .add(caller="fit", callee="fit")
            .add(caller="partial_fit", callee="partial_fit")
            .add(caller="fit_transform", callee="fit"),
        )

    def _inner_transformer(self):
        """Return the transformer, or for "passthrough" one that changes nothing."""
        if self.transformer == "passthrough":
            return FunctionTransformer(feature_names_out="one-to-one")
        return self.transformer

    def _learn(self, transformer, method, sets, y, metadata):
        """Call a method of the transformer with elements, or with parts if they are many.

        Parameters
        ----------
        transformer : transformer
        method : {"fit", "partial_fit"}
        sets : SetCollection or FrameCollection
        y : array-like of shape (n_sets,) or (n_sets, n_outputs) or None
        metadata : dict of array-like of shape (n_sets,)
        """
        rows = self._sampled_rows(sets, metadata.get("sample_weight"))

        def of_elements(values):
            check_consistent_length(sets, values)
            return np.repeat(np.asarray(values), sets.lengths, axis=0)[rows]

        y = None if y is None else of_elements(y)
        metadata = {name: of_elements(value) for name, value in metadata.items()}
        is_all = isinstance(rows, slice)
        parts = [slice(None)]
        if learns_from_parts(transformer) and _are_many_and_finite(sets.values):
            row_bytes = sets.values.nbytes // len(sets.values)
            n_rows = len(sets.values) if is_all else len(rows)
            if n_rows * row_bytes > MAX_COMPUTED_BYTES:
                max_rows = max(1, _PART_BYTES // row_bytes)
                method, parts = "partial_fit", batches_of(n_rows, max_rows)
        with _locating_nonfinite_values(sets), _arrays_by_default():
            for part in parts:
                elements = take_rows(sets.values, part if is_all else rows[part])
                getattr(transformer, method)(
                    as_frame(elements, sets.feature_names),
                    None if y is None else y[part],
                    **{name: value[part] for name, value in metadata.items()},
                )

    def _can_wait(self, values):
        """Whether the result for elements may be computed later: it will not fail then."""
        if self.transformer == "passthrough" and not isinstance(values, ComputedValues):
            return False  # nothing is copied
        return treats_rows_alone(self.transformer_) and _are_many_and_finite(values)

    def _transform_later(self, sets):
        """Return sets whose elements are computed when they are needed.

        If the new elements take at most half of the memory, they are computed now, block by
        block: by a projection that takes more time than it would save memory.
        """
        self.transformer_ = copy.deepcopy(self.transformer_)  # which users may change

        def function(elements):
            return self._as_values(self._output_of(elements), len(elements))

        first = sets.values[:_N_TRIED]
        output = self._output_of(first)
        tried = self._as_values(output, len(first))
        values = ComputedValues(sets.values, function, tried.shape[1], tried.dtype)
        if 2 * values.nbytes <= sets.values.nbytes:
            values = values[:]
        return with_computed_values(sets, values, self._names_of(output))

    def _output_of(self, elements):
        """Return the output of the fitted transformer, which may refuse to have no rows."""
        names = None if len(elements) else self._told_names()
        if names is not None:
            return np.empty((0, len(names)))
        elements = as_frame(elements, getattr(self, "feature_names_in_", None))
        with _arrays_by_default():
            return self.transformer_.transform(elements)

    def _as_values(self, output, n_elements):
        """Return the output of the transformer as a dense array of floats."""
        if issparse(output):
            output = output.toarray(order="C")
        try:
            values = as_floats(check_elements(output, "its output"), "its output")
        except ValueError as error:
            columns = columns_of_no_numbers(output)
            where = f" in the columns {columns}" if columns else ""
            raise ValueError(
                f"transformer={self.transformer!r} must return numbers{where}: {error}"
            ) from error
        if len(values) != n_elements:
            raise ValueError(
                f"transformer={self.transformer!r} returned {len(values)} rows; expected "
                f"one per element, {n_elements}."
            )
        return values

    def _names_of(self, output):
        """Return the names of the features in the output of the transformer, or None."""
        if hasattr(output, "columns"):
            return feature_names_of(output)
        return self._told_names() if hasattr(self, "feature_names_in_") else None

    def _told_names(self):
        """Return the names that the transformer tells, or None."""
        try:
            return self.get_feature_names_out()
        except Exception:  # some can't tell; scikit-learn's set_output does likewise
            return None

    def _input_attributes_with(self, sets):
        """Return the fitted attributes that describe the input, with another batch."""
        before = {"feature_names_in_", "_column_labels", "n_features_in_"}
        are_single = self._single_elements and bool((sets.lengths == 1).all())
        return {
            **{name: value for name, value in vars(self).items() if name in before},
            "_single_elements": are_single,
        }

    def _fit_metadata(self, method, sets, sample_weight, params):
        """Return the metadata of the sets to pass to this method of the transformer."""
        if self.transformer == "passthrough":  # ignored as by a Pipeline
            return {}
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        if routing_enabled():
            routed = process_routing(self, method, **metadata, **params)
            metadata = dict(getattr(routed.transformer, method))
        else:
            raise_for_params(params, self, method)
            accepted = inspect.signature(getattr(self.transformer, method)).parameters
            if metadata and "sample_weight" not in accepted:
                raise ValueError(
                    f"sample_weight is given, but transformer={self.transformer!r} does "
                    f"not accept it; expected a transformer whose {method} does."
                )
        if "sample_weight" in metadata:
            metadata["sample_weight"] = check_sample_weight(metadata["sample_weight"], sets)
        return metadata

    def _sampled_rows(self, sets, sample_weight):
        """Return the rows to fit on: at most `max_elements`, of positive weight."""
        if sample_weight is None:
            sample_weight = np.ones(len(sets))
        has_weight = np.repeat(sample_weight > 0, sets.lengths)
        if sets.weights is not None:
            has_weight &= sets.masses > 0
        rows = np.flatnonzero(has_weight)
        if self.max_elements is not None and len(rows) > self.max_elements:
            random = check_random_state(self.random_state)
            return np.sort(random.choice(rows, self.max_elements, replace=False))
        return rows if len(rows) < len(sets.values) else slice(None)  # no copy

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _are_many_and_finite(values):
    """Whether elements are worth to be gone through in blocks, and fit for it.

    Parameters
    ----------
    values : ndarray, ComputedValues or DataFrame of shape (n_elements, n_features)
    """
    if hasattr(values, "columns") or values.nbytes <= MAX_COMPUTED_BYTES:
        return False
    return all_finite(values)


def _arrays_by_default():
    """Let steps of a transformer exchange arrays whatever the global output container.

    Otherwise, steps fitted under one global setting would warn about feature names under
    another. The context is that of this thread only.
    """
    return config_context(transform_output="default")


@contextlib.contextmanager
def _locating_nonfinite_values(sets):
    """Make errors about NaN or infinity, which some transformers accept, name the set."""
    try:
        yield
    except ValueError as error:
        if "NaN" in str(error) or "infinity" in str(error):
            if hasattr(sets.values, "columns"):
                check_finite_columns(sets.values, sets.offsets)
            else:
                check_finite(sets)
        raise
