"""`SlicedWassersteinEmbedding`: quantile functions of projected elements."""

from __future__ import annotations

from numbers import Integral
from typing import Literal

import numpy as np

from otk_sklearn._compiled.pooling import quantile_means
from otk_sklearn._utils.chunks import batches_of, rows_in_memory
from otk_sklearn._utils.estimators import (
    EMPTY_SETS_CONSTRAINT,
    FEATURE_CONSTRAINTS,
    draw_seeds,
    product_names,
)
from otk_sklearn._utils.sklearn_compat import Interval
from otk_sklearn.embeddings._base import Pooling, SampleWeightMixin, SetEmbedding
from otk_sklearn.sets._arrays import as_fitted
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._sampling import sample_elements, sample_size


class SlicedWassersteinEmbedding(SampleWeightMixin, SetEmbedding):
    """Embed each set by the quantiles of random projections of its elements.

    For each random direction, the quantile function of the projected elements of a set is
    averaged over bins of equal mass, and that of a reference, the union of all training
    sets, is subtracted [1]_ [2]_. Euclidean distances between embeddings approximate sliced
    2-Wasserstein distances between sets.

    Parameters
    ----------
    n_projections : int, default=64
        Number of random directions.
    n_quantiles : int, default=16
        Number of bins of equal mass. For these directions, distances never exceed the
        sliced distance, and equal it between sets of elements of equal mass whose numbers
        divide `n_quantiles`.
    max_elements : int or "auto", default="auto"
        Maximum number of elements of the reference. If there are more, they are sampled
        without replacement. "auto" is 256 for each quantile, and at least 20,000.
    empty_sets : {"error", "zero"}, default="error"
        What to do with a set without elements: raise an error, or embed it as zeros, and
        ignore it in `fit`.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors, the most that are used. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Controls the random directions, and the random sampling of elements. See
        :term:`Glossary <random_state>`.

    Attributes
    ----------
    projections_ : ndarray of shape (n_features, n_projections)
        The directions: its columns are unit vectors.
    reference_ : ndarray of shape (n_projections, n_quantiles)
        The quantile functions of the reference, averaged over bins.
    n_features_in_ : int
        Number of features of the elements seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names, as
        DataFrames do.

    See Also
    --------
    ElementTransformer : Scales elements beforehand. As directions are drawn uniformly,
        features on a large scale would dominate.
    OTKEmbedding : Optimal transport to learned supports, in feature space.
    sklearn.preprocessing.StandardScaler : Scales embeddings afterwards, for linear models
        that expect features of unit variance.

    Notes
    -----
    With L directions `theta_l`, the quantile functions `F_l^-1` of the projected elements
    `<theta_l, x_i>` of masses `a_i`, and m bins `B_q = [(q - 1) / m, q / m]`, the embedding
    is `Phi_lq = (m integral_{B_q} F_l^-1(t) dt - r_lq) / sqrt(L m)`, where `r_lq` is the
    average over the same bin for the reference. It is ordered by direction and then bin. As
    m grows, squared Euclidean distances converge to `SW_2(x, x')^2 = 1/L sum_l integral
    (F_l^-1(t) - F'_l^-1(t))^2 dt` from below: averages over bins are the orthogonal
    projection of quantile functions onto step functions. Unlike quantiles at m levels, they
    depend on all of the mass. The reference only centres the embeddings; distances do not
    depend on it.

    References
    ----------
    .. [1] N. Naderializadeh, J. F. Comer, R. Andrews, H. Hoffmann and S. Kolouri, "Pooling
           by Sliced-Wasserstein Embedding", NeurIPS 2021.
    .. [2] S. Kolouri, N. Naderializadeh, G. K. Rohde and H. Hoffmann, "Wasserstein
           Embedding for Graph Learning", ICLR 2021. https://arxiv.org/abs/2006.09430

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import SlicedWassersteinEmbedding
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35, 50)]
    >>> embedding = SlicedWassersteinEmbedding(8, n_quantiles=10, random_state=0)
    >>> embedding.fit_transform(X).shape
    (3, 80)
    """

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        **EMPTY_SETS_CONSTRAINT,
        "n_projections": [Interval(Integral, 1, None, closed="left")],
        "n_quantiles": [Interval(Integral, 1, None, closed="left")],
        "max_elements": FEATURE_CONSTRAINTS["max_elements"],
        "n_jobs": FEATURE_CONSTRAINTS["n_jobs"],
        "random_state": FEATURE_CONSTRAINTS["random_state"],
    }

    def __init__(
        self,
        n_projections: int = 64,
        *,
        n_quantiles: int = 16,
        max_elements: int | Literal["auto"] = "auto",
        empty_sets: Literal["error", "zero"] = "error",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_projections = n_projections
        self.n_quantiles = n_quantiles
        self.max_elements = max_elements
        self.empty_sets = empty_sets
        self.n_jobs = n_jobs
        self.random_state = random_state

    _transform_parameters = ("empty_sets", "n_jobs")

    def _learn(self, sets, sample_weight):
        sample_seed, projections_seed, *_ = draw_seeds(self.random_state)
        elements = sample_elements(
            sets,
            None,
            sample_size(self.max_elements, self.n_quantiles),
            sample_seed,
            sample_weight,
        )
        union = SetCollection(
            elements.rows, [0, len(elements.rows)], weights=elements.masses
        )
        projections = random_projections(
            sets.n_features, self.n_projections, projections_seed
        )
        reference = np.empty((self.n_projections, 1, self.n_quantiles))
        _write_quantiles(union, projections, reference)
        return {"projections_": projections, "reference_": reference[:, 0]}

    def _pooling(self, sets):
        shape = sets.n_features, None
        projections = as_fitted(self.projections_, "projections_", shape)
        projections = projections.astype(np.float64, copy=False)
        n_features, n_projections = projections.shape
        reference = as_fitted(self.reference_, "reference_", (n_projections, None))
        reference = reference.astype(np.float64, copy=False)

        def embed(part, max_rows, out):
            quantiles = np.empty((n_projections, len(part), reference.shape[1]))
            _write_quantiles(part, projections, quantiles)
            quantiles -= reference[:, np.newaxis]
            quantiles /= np.sqrt(reference.size)
            out[:] = quantiles.swapaxes(0, 1).reshape(len(part), -1)

        return Pooling(
            sets,
            embed,
            row_bytes=8 * (n_features + 3 * n_projections),  # values and projections
            width=n_projections,
            rows_per_set=-(-reference.size // n_projections),  # quantiles
            n_jobs=self.n_jobs,
        )

    @property
    def _n_features_out(self):
        return self.reference_.size

    def _component_names(self):
        n_projections, n_quantiles = self.reference_.shape
        return product_names(projection=n_projections, quantile=n_quantiles)


def random_projections(n_features, n_projections, seed):
    """Directions drawn uniformly from the unit sphere, as columns.

    The same as `ot.sliced.get_random_projections` returns for `RandomState(seed)`, without
    importing POT, which takes seconds.
    """
    directions = np.random.RandomState(seed).randn(n_features, n_projections)
    return directions / np.linalg.norm(directions, axis=0)


def _write_quantiles(sets, projections, quantiles):
    """Write the quantile functions of projected sets, averaged over bins, to `quantiles`.

    Parameters
    ----------
    sets : SetCollection
    projections : ndarray of float64 of shape (n_features, n_projections)
    quantiles : ndarray of float64 of shape (n_projections, n_sets, n_quantiles)
    """
    # Always in float64: far from the origin, float32 is not precise enough.
    values, masses = sets.values[:].astype(np.float64, copy=False), sets.masses
    # In batches of projections, to limit the memory for a long set.
    n_projections = projections.shape[1]
    batch_size = max(1, rows_in_memory(8 * 3 * len(values)))
    for batch in batches_of(n_projections, batch_size):
        projected = projections.T[batch] @ values.T
        quantile_means(projected, masses, sets.offsets, quantiles[batch])
