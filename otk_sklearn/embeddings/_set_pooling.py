"""`SetPooling`: means, sums, extremes and other statistics of the elements of sets."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from otk_sklearn._utils.chunks import batches_of
from otk_sklearn._utils.estimators import EMPTY_SETS_CONSTRAINT
from otk_sklearn._utils.sklearn_compat import (
    StrOptions,
    check_feature_names_in,
)
from otk_sklearn.embeddings._base import Pooling, SetEmbedding

_STATISTICS = ("mean", "std", "min", "max", "sum", "count")


class SetPooling(SetEmbedding):
    """Embed each set by statistics of its elements, feature by feature.

    The simplest embedding of sets, and a baseline for the others. Nothing is learned.

    Parameters
    ----------
    statistics : {"mean", "std", "min", "max", "sum", "count"}, or list or tuple of them, \
            default="mean"
        Statistics of each feature over the elements of a set, and how many elements it has,
        "count", which is one number. Several are concatenated, in the given order.
    empty_sets : {"error", "zero"}, default="error"
        What to do with a set without elements: raise an error, or embed it as zeros.

    Attributes
    ----------
    n_features_in_ : int
        Number of features of the elements seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names, as
        DataFrames do.

    See Also
    --------
    KernelMeanEmbedding : The mean of kernel features of the elements.
    OTKEmbedding : Pools kernel features by optimal transport to several supports.

    Notes
    -----
    For elements `x_i` of masses `a_i`, which sum to 1, "mean" is `m = sum_i a_i x_i` and
    "std" is `sqrt(sum_i a_i (x_i - m)^2)`. "min" and "max" ignore elements of weight zero.
    With weights, "count" is the sum of the weights, and "sum" that of the elements
    multiplied by them: an element of weight 2 counts as two. The embedding is ordered by
    statistic and then feature.

    Examples
    --------
    >>> from otk_sklearn import SetPooling
    >>> sets = [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0]]]
    >>> pooling = SetPooling(["mean", "max"])
    >>> pooling.fit_transform(sets)
    array([[1., 2., 2., 3.],
           [4., 5., 4., 5.]])
    >>> pooling.get_feature_names_out()
    array(['mean_x0', 'mean_x1', 'max_x0', 'max_x1'], dtype=object)
    """

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        **EMPTY_SETS_CONSTRAINT,
        "statistics": [StrOptions(set(_STATISTICS)), list, tuple],
    }

    _transform_parameters = ("statistics", "empty_sets")

    def __init__(
        self,
        statistics: str | Sequence[str] = "mean",
        *,
        empty_sets: Literal["error", "zero"] = "error",
    ) -> None:
        self.statistics = statistics
        self.empty_sets = empty_sets

    def _learn(self, sets, sample_weight):
        self._statistics()  # raises if they are not valid
        return {}

    def _pooling(self, sets):
        statistics = self._statistics()

        def embed(part, max_rows, out):
            pooled = _pool(part, statistics, max_rows)
            np.concatenate([pooled[name] for name in statistics], axis=1, out=out)

        return Pooling(
            sets,
            embed,
            row_bytes=8 * 4 * sets.n_features,  # float64: values, mean, and products
            width=sets.n_features,
            rows_per_set=len(statistics),  # at most
            n_jobs=1,  # bound by memory bandwidth: threads would not help
        )

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
        """Return the names of the output features, such as "mean_x0".

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features of elements. None, or a single name, that of a column of
            sets, means `feature_names_in_` if defined, or else "x0", "x1", ...

        Returns
        -------
        ndarray of str
            Names ordered by statistic and then feature; "count" is one of them.
        """
        model = copy.copy(self)
        check_is_fitted(model)
        is_column = input_features is not None and len(input_features) == 1
        features = check_feature_names_in(model, None if is_column else input_features)
        names = []
        for name in model._statistics():
            names += [name] if name == "count" else [f"{name}_{f}" for f in features]
        return np.array(names, dtype=object)

    @property
    def _n_features_out(self):
        names = self._statistics()
        return sum(1 if name == "count" else self.n_features_in_ for name in names)

    def _statistics(self):
        """Return the names of the statistics as a list, validated."""
        statistics = self.statistics
        names = [statistics] if isinstance(statistics, str) else list(statistics)
        known = all(isinstance(name, str) and name in _STATISTICS for name in names)
        if not names or not known or len(set(names)) < len(names):
            raise ValueError(
                f"statistics={statistics!r}; expected one of {list(_STATISTICS)}, or a "
                "list of some of them, each at most once."
            )
        return names


def _pool(sets, statistics, max_rows):
    """Return a dict of statistics in float64, with a row for each set."""
    shape = len(sets), sets.values.shape[1]
    masses = sets.masses[:, np.newaxis]
    pooled = {}
    if not {"sum", "count"}.isdisjoint(statistics):
        pooled["count"] = _total_weights(sets)[:, np.newaxis]
    if not {"mean", "std", "sum"}.isdisjoint(statistics):
        pooled["mean"] = mean = np.zeros(shape)
        for rows, set_range, starts, _ in _blocks(sets, max_rows):
            mean[set_range] += np.add.reduceat(masses[rows] * sets.values[rows], starts)
    if "sum" in statistics:
        pooled["sum"] = mean * pooled["count"]
    if "std" in statistics:
        # Corrected two-pass algorithm: deviations from the rounded mean do not sum to 0,
        # which matters far from the origin.
        pooled["std"], mean_deviation = np.zeros(shape), np.zeros(shape)
        for rows, set_range, starts, lengths in _blocks(sets, max_rows):
            centered = sets.values[rows] - np.repeat(mean[set_range], lengths, axis=0)
            weighted = centered * masses[rows]
            mean_deviation[set_range] += np.add.reduceat(weighted, starts)
            weighted *= centered
            pooled["std"][set_range] += np.add.reduceat(weighted, starts)
        pooled["std"] = np.sqrt(np.maximum(pooled["std"] - mean_deviation**2, 0.0))
    for name, reduce, limit in [("min", np.minimum, np.inf), ("max", np.maximum, -np.inf)]:
        if name in statistics:
            pooled[name] = extreme = np.full(shape, limit)
            for rows, set_range, starts, _ in _blocks(sets, max_rows):
                reduced = reduce.reduceat(sets.values[rows], starts)
                reduce(extreme[set_range], reduced, out=extreme[set_range])
    return pooled


def _total_weights(sets):
    """Return the sum of the weights of each set, which are 1 where there are none."""
    if sets.weights is None:
        return sets.lengths.astype(np.float64)
    return np.add.reduceat(sets.weights, sets.offsets[:-1], dtype=np.float64)


def _blocks(sets, max_rows):
    """Split the elements of the sets into blocks of at most `max_rows`.

    Yields
    ------
    rows : slice
        The elements of the block.
    set_range : slice
        The sets that they belong to.
    starts : ndarray of int
        Index in the block of the first element of each of these sets.
    lengths : ndarray of int
        Number of elements of each of these sets in the block.
    """
    offsets = sets.offsets
    for rows in batches_of(offsets[-1], max_rows):
        first = np.searchsorted(offsets, rows.start, side="right") - 1
        last = np.searchsorted(offsets, rows.stop, side="left")
        bounds = np.clip(offsets[first : last + 1], rows.start, rows.stop) - rows.start
        yield rows, slice(first, last), bounds[:-1], np.diff(bounds)
