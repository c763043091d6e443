"""Base classes of transformers of sets: `fit`, and the skeleton of `transform`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from otk_sklearn._utils.chunks import chunk_rows, map_chunks, rows_in_memory
from otk_sklearn._utils.estimators import (
    DocumentedMixin,
    VectorsOutMixin,
    check_sample_weight,
    set_fitted,
)
from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn._utils.progress import Progress
from otk_sklearn._utils.sklearn_compat import (
    CallbackSupportMixin,
    fit_context,
    validate_parameters,
)
from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._misalignment import warn_if_misaligned
from otk_sklearn.sets._positive_mass import with_positive_mass, without_empty_sets
from otk_sklearn.sets._sampling import present_sets
from otk_sklearn.sets._validation import (
    as_fitted_sets,
    as_sets,
    check_finite,
    check_finite_output,
    check_not_empty,
    input_attributes,
)
from otk_sklearn.sets._windows import WindowedSets

if TYPE_CHECKING:
    from otk_sklearn.sets._types import SetsLike


def snapshot(estimator, X):
    """Return a copy of a fitted estimator, and X as sets that match its fit.

    The copy keeps the attributes of one fit, even if another thread refits the estimator.
    """
    model = copy.copy(estimator)
    sets = as_fitted_sets(model, X)
    validate_parameters(model, model._transform_parameters)
    check_not_empty(sets, model._empty_sets, X)
    check_finite(sets)
    return model, sets


class SetTransformer(DocumentedMixin, CallbackSupportMixin, BaseEstimator):
    """Base class of transformers that learn from sets without labels."""

    # Parameters that may be changed after `fit`: `transform` reads them.
    _transform_parameters: tuple = ("n_jobs",)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: SetsLike, y: ArrayLike | None = None) -> Self:
        """Learn the transformation from sets.

        Parameters
        ----------
        X : sets
            Any input that `OTKEmbedding.fit` accepts.
        y : ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not a valid collection of sets. The
            message identifies the invalid set. The estimator is then unchanged.
        """
        return self._fit(X, y)

    def _fit(self, X, y, sample_weight=None):
        sets = as_sets(X)
        check_not_empty(sets, self._empty_sets, X)
        check_finite(sets)
        warn_if_misaligned(X, y=y, sample_weight=sample_weight)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(0, X, y, sample_weight)
        # One thread: several would sum in another order, and give other last digits.
        with single_threaded(), np.errstate(all="ignore"):
            attributes = self._learn(*present_sets(sets, weights))
        attributes = {**input_attributes(sets), **attributes}
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self

    def _learn(self, sets, sample_weight):
        """Return a dict of the fitted attributes."""
        raise NotImplementedError

    @property
    def _empty_sets(self):
        """What to do with empty sets, as in `check_not_empty`."""
        return self.empty_sets


class SampleWeightMixin:
    """Mixin for transformers of sets whose `fit` accepts weights of the sets."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: SetsLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn the transformation from sets.

        Parameters
        ----------
        X : sets
            Any input that `OTKEmbedding.fit` accepts.
        y : ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights. A set of weight 2 is equivalent to
            two copies of it, as long as there are at most `max_elements` elements (or
            windows).

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not a valid collection of sets. The
            message identifies the invalid set. The estimator is then unchanged.
        """
        return self._fit(X, y, sample_weight)


@compared_by_identity
class Pooling(NamedTuple):
    """How an embedding pools the elements of sets, chunk by chunk.

    Parameters
    ----------
    sets : SetCollection or WindowedSets
        The pooled elements.
    embed : callable
        Called with a chunk of these sets, without elements of mass 0, the maximum number of
        rows to process at a time, and the array to write their embeddings to.
    row_bytes : int
        Bytes that each element takes.
    width : int
        Number of features of an element, for the size of chunks.
    rows_per_set : int
        Memory of each set, as a number of elements.
    n_jobs : int or None
    """

    sets: SetCollection | WindowedSets
    embed: Callable
    row_bytes: int
    width: int
    rows_per_set: int
    n_jobs: int | None


class SetEmbedding(VectorsOutMixin, SetTransformer):
    """Base class of embeddings that pool the elements of each set."""

    def transform(self, X: SetsLike) -> NDArray[np.floating]:
        """Embed sets.

        Parameters
        ----------
        X : sets
            Any input that `OTKEmbedding.fit` accepts.

        Returns
        -------
        ndarray of shape (n_sets, n_features_out)
            In the dtype of X.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not a valid collection of sets, or does not match the input of `fit`.
        """
        model, sets = snapshot(self, X)
        present, spread = without_empty_sets(sets)
        out = spread(model._embed(present))
        check_finite_output(out, "embedding")
        return self._as_output(out, sets)

    def _embed(self, sets):
        """Return the embeddings of sets that are not empty."""
        if not len(sets):
            return np.empty((0, self._n_features_out), sets.dtype)
        pooling = self._pooling(sets)  # which validates the fitted attributes
        out = np.empty((len(sets), self._n_features_out), sets.dtype)
        max_rows = min(rows_in_memory(pooling.row_bytes), chunk_rows(pooling.width))

        def embed(chunk):
            part, _ = with_positive_mass(pooling.sets[chunk])
            pooling.embed(part, max_rows, out[chunk])

        map_chunks(
            embed,
            pooling.sets.lengths,
            rows_per_set=pooling.rows_per_set,
            max_rows=max_rows,
            n_jobs=pooling.n_jobs,
        )
        return out

    def _pooling(self, sets):
        """Return the `Pooling` of these sets by the fitted attributes."""
        raise NotImplementedError

    @property
    def _n_features_out(self):
        raise NotImplementedError
