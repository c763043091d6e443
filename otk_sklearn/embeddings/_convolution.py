"""`ConvolutionalKernelLayer`: kernel features of the windows of ordered sets."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from otk_sklearn._utils.chunks import batches_of, chunk_rows, map_chunks, rows_in_memory
from otk_sklearn._utils.estimators import (
    FEATURE_CONSTRAINTS,
    ComponentNamesMixin,
    SetsOutMixin,
    product_names,
)
from otk_sklearn._utils.sklearn_compat import Interval
from otk_sklearn.embeddings._base import SampleWeightMixin, SetTransformer, snapshot
from otk_sklearn.embeddings._kernel_features import learn_feature_attributes
from otk_sklearn.features._feature_map import fitted_feature_map
from otk_sklearn.sets._offsets import masses_of, offsets_of
from otk_sklearn.sets._positive_mass import without_empty_sets
from otk_sklearn.sets._validation import check_finite_output
from otk_sklearn.sets._windows import check_no_gaps, fitted_windows, subsampling_windows

if TYPE_CHECKING:
    from joblib import Memory

    from otk_sklearn.sets._collection import SetCollection
    from otk_sklearn.sets._types import SetsLike


class ConvolutionalKernelLayer(
    ComponentNamesMixin,
    SetsOutMixin,
    SampleWeightMixin,
    SetTransformer,
    auto_wrap_output_keys=None,
):
    """Replace the elements of ordered sets by kernel features of their windows.

    A layer of a convolutional kernel network [1]_: each window x of consecutive elements is
    replaced by its Nyström features of the homogeneous kernel,
    `||x|| exp(2 gamma (cos(x, w) - 1))` with anchors w. Input and output are sets, so that
    layers can be stacked, followed by an `OTKEmbedding`.

    Parameters
    ----------
    n_components : int, default=64
        Number of anchors, which is the number of features of the output. Ignored if
        `anchors` is an array. Reduced, with a warning, to the number of distinct windows
        if these are fewer.
    filter_size : int, default=5
        Number of consecutive elements in a window.
    gamma : float or "median", default="median"
        Kernel coefficient, positive. "median" is the inverse of the median squared distance
        between sampled distinct L2-normalized windows, or 1 if there is only one. A
        bandwidth sigma, as used in the literature, corresponds to
        `gamma = 1 / (2 sigma^2)`.
    subsampling : int, default=1
        Stride of Gaussian pooling, from 1 to 10,000: the features of neighbouring windows,
        whatever their weights, are averaged by a Gaussian filter of `2 subsampling - 1`
        taps, and one in `subsampling` of the averages is kept. 1 keeps the features of all
        windows.
    damping : float, default=1e-2
        Regularization of the inverse square root of the kernel matrix of the anchors:
        added to the square roots of its eigenvalues. Must be positive.
    padding : {"valid", "same"}, default="valid"
        "valid" keeps the `n_elements - filter_size + 1` windows that lie within a set; a
        set shorter than a window is padded with zeros to one window. "same" pads both ends
        with zeros, so that there are as many windows as elements.
    anchors : {"kmeans", "random"} or array-like of shape \
            (n_components, filter_size * n_features), default="kmeans"
        How anchors are learned: as K-means centres of sampled L2-normalized windows, or by
        drawing windows at random. An array is used as the anchors, each a window flattened
        row by row. They are L2-normalized.
    max_elements : int or "auto", default="auto"
        Maximum number of windows that anchors are learned from. If there are more, they are
        sampled without replacement. "auto" is 256 for each of `n_components`, and at least
        20,000.
    memory : str or object with the joblib.Memory interface, default=None
        Used to cache the anchors; a string is the path of the cache directory. None means
        no caching. joblib stores pickles there: do not use a directory that untrusted users
        can write to.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors, the most that are used. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Controls the random sampling of windows, and the initialization of K-means. See
        :term:`Glossary <random_state>`.

    Attributes
    ----------
    anchors_ : ndarray of shape (n_components, filter_size * n_features)
        Anchors of the Nyström approximation, L2-normalized.
    normalization_ : ndarray of shape (n_components, n_components)
        The matrix D that maps kernel values between a window and the anchors to Nyström
        features.
    gamma_ : float
        Kernel coefficient used.
    n_features_in_ : int
        Number of features of the elements seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names, as
        DataFrames do.

    See Also
    --------
    OTKEmbedding : Embeds the resulting sets. Its own `filter_size` is equivalent to one
        layer, without storing features.

    Notes
    -----
    The weight of a window, and its position if X has positions, are the means over its
    elements, without padding. Those of the output are their averages by the Gaussian
    filter. If X has no positions, neither has the output: an `OTKEmbedding` with `position`
    then derives positions from the order of the remaining windows.

    `set_output` has no effect, as the output is not tabular; it exists so that the
    `set_output` of a Pipeline reaches the last step.

    References
    ----------
    .. [1] J. Mairal, "End-to-End Kernel Learning with Supervised Convolutional Kernel
           Networks", NeurIPS 2016. https://arxiv.org/abs/1605.06265

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from otk_sklearn import ConvolutionalKernelLayer, OTKEmbedding
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35, 50)]
    >>> layer = ConvolutionalKernelLayer(8, filter_size=4, subsampling=2, random_state=0)
    >>> layer.fit_transform(X).lengths
    array([ 9, 16, 24])
    >>> network = make_pipeline(layer, OTKEmbedding(5, kernel="linear", random_state=0))
    >>> network.fit_transform(X).shape
    (3, 40)
    """

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        **FEATURE_CONSTRAINTS,
        "subsampling": [Interval(Integral, 1, 10_000, closed="both")],
    }

    _transform_parameters = ("subsampling", "n_jobs")

    _empty_sets = "zero"  # they stay empty

    def __init__(
        self,
        n_components: int = 64,
        *,
        filter_size: int = 5,
        gamma: float | Literal["median"] = "median",
        subsampling: int = 1,
        damping: float = 1e-2,
        padding: Literal["valid", "same"] = "valid",
        anchors: Literal["kmeans", "random"] | ArrayLike = "kmeans",
        max_elements: int | Literal["auto"] = "auto",
        memory: str | Memory | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.filter_size = filter_size
        self.gamma = gamma
        self.subsampling = subsampling
        self.damping = damping
        self.padding = padding
        self.anchors = anchors
        self.max_elements = max_elements
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _learn(self, sets, sample_weight):
        return learn_feature_attributes(self, "homogeneous", sets, sample_weight)

    def transform(self, X: SetsLike) -> SetCollection:
        """Replace elements by the kernel features of windows.

        Parameters
        ----------
        X : sets
            Any input that `OTKEmbedding.fit` accepts.

        Returns
        -------
        SetCollection
            In the dtype of X, with the weights and positions of the windows. Features of
            windows of weight zero are zeros where they would leave the range of floats.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not a valid collection of sets, or does not match the input of `fit`.
        """
        model, sets = snapshot(self, X)
        present, spread = without_empty_sets(sets)
        values, lengths, weights, positions = model._pooled_windows(present)
        offsets = offsets_of(spread(lengths))
        check_finite_output(values, "feature", offsets)
        return sets.with_values(
            values, offsets=offsets, weights=weights, positions=positions
        )

    def _pooled_windows(self, sets):
        """Values, lengths, weights and positions that replace those of nonempty sets."""
        if self.subsampling > 1:
            check_no_gaps(sets, "subsampling", self.subsampling)
        windows = fitted_windows(self, sets)
        kept, taps = subsampling_windows(windows.offsets, self.subsampling)
        feature_map = fitted_feature_map(self)
        kappa_of = feature_map.kappa_in(sets.dtype)
        n_components, n_window = feature_map.anchors.shape
        values = np.empty((kept.offsets[-1], n_components), sets.dtype)
        # Per output row: the windows that it averages, their features, and its own.
        row_bytes = 8 * self.subsampling * (n_window + 3 * n_components)
        max_rows = rows_in_memory(row_bytes)

        def write_features(chunk):
            part = windows[chunk]
            part_kept, _ = subsampling_windows(part.offsets, self.subsampling)
            out = values[kept.offsets[chunk.start] : kept.offsets[chunk.stop]]
            for rows in batches_of(len(out), max_rows):
                used, real = part_kept.rows(np.arange(rows.start, rows.stop))
                first, last = used[real].min(), used[real].max()
                kappa, _ = kappa_of(part.values[first : last + 1])
                out[rows] = feature_map.whiten(_average(kappa, used - first, real, taps))

        map_chunks(
            write_features,
            windows.lengths,
            rows_per_set=0,
            max_rows=min(max_rows, chunk_rows(n_components)),
            n_jobs=self.n_jobs,
        )
        weights, positions = None, windows.positions
        if sets.weights is not None:
            means = kept.means(windows.masses[:, np.newaxis], taps)
            weights = masses_of(means[:, 0], kept.offsets)
            values[(weights == 0) & ~np.isfinite(values).all(axis=1)] = 0
        if positions is not None:
            positions = kept.means(positions, taps)
        return values, np.diff(kept.offsets), weights, positions

    @property
    def _n_features_out(self):
        return len(self.anchors_)

    def _component_names(self):
        return product_names(component=self._n_features_out)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _average(kappa, rows, real, taps):
    """Sums of rows of `kappa` weighted by the taps, without padding (`real` is False)."""
    averages = np.zeros((len(rows), kappa.shape[1]), kappa.dtype)
    for row, is_real, tap in zip(rows.T, real.T, taps.astype(kappa.dtype)):
        averages[is_real] += tap * kappa[row[is_real]]
    return averages
