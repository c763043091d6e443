"""`SlicedWassersteinEmbedding`: quantiles of projected elements against a reference's."""

import copy
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import Interval

from otk_sklearn._compiled.pooling import quantile_means
from otk_sklearn._utils.chunks import chunk_rows, map_chunks, rows_in_memory
from otk_sklearn._utils.estimators import (
    FEATURE_CONSTRAINTS,
    DocumentedMixin,
    VectorsOutMixin,
    check_sample_weight,
    set_fitted,
)
from otk_sklearn._utils.progress import CallbackSupportMixin, Progress
from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.sets._arrays import as_fitted
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._input import (
    as_fitted_sets,
    as_sets,
    check_finite,
    check_finite_output,
    input_attributes,
)
from otk_sklearn.sets._positions import positions_of
from otk_sklearn.sets._sampling import sample_elements


class SlicedWassersteinEmbedding(
    DocumentedMixin,
    ClassNamePrefixFeaturesOutMixin,
    VectorsOutMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Embed each set by the quantiles of its elements along random directions.

    Along each direction, the quantile function of a set's projected elements is averaged
    over bins of equal mass, and the same of a reference, all training elements together, is
    taken off. Euclidean distances between embeddings are sliced 2-Wasserstein distances
    between sets, but for what bins average out.

    Parameters
    ----------
    n_projections : int, default=64
        Number of random directions.
    n_quantiles : int, default=16
        Number of bins of equal mass. Distances are exact between sets of so many elements
        (or a divisor) of equal mass, and never larger than the sliced distance.
    max_elements : int, default=300_000
        Number of elements that the reference is made of, drawn without replacement if
        there are more.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors. Results don't depend on it.
    random_state : int, RandomState instance or None, default=None
        Decides the directions, and the draw of elements. See
        :term:`Glossary <random_state>`.

    Attributes
    ----------
    projections_ : ndarray of shape (n_features, n_projections)
        The directions, as unit vectors in columns.
    reference_ : ndarray of shape (n_projections, n_quantiles)
        The reference's quantile functions, averaged over bins.
    n_features_in_ : int
        Number of features of an element seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only if X was a DataFrame.

    See Also
    --------
    ElementTransformer : Scales elements. Directions are drawn evenly, so that a feature on
        a large scale would decide alone.
    OTKEmbedding : Optimal transport in feature space, to supports that are learned.
    sklearn.preprocessing.StandardScaler : To follow, where linear models expect features of
        unit variance.

    Notes
    -----
    With directions `theta_l` of L, the quantile function `F_l^-1` of the projected elements
    `<theta_l, x_i>` of masses `a_i`, and bins `B_q = [(q - 1) / m, q / m]` of m, the
    embedding is
    `Phi_lq = (m integral_{B_q} F_l^-1(t) dt - r_lq) / sqrt(L m)`, where `r` is the same of
    the reference. Euclidean distances approach
    `SW_2(x, x')^2 = 1/L sum_l integral (F_l^-1(t) - F'_l^-1(t))^2 dt` from below as m
    grows: averages over bins are the projection of quantile functions onto step functions.
    No mass is left out, as it would be if they were evaluated at m levels. The reference
    centres embeddings, and changes no distance.

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
        "n_projections": [Interval(Integral, 1, None, closed="left")],
        "n_quantiles": [Interval(Integral, 1, None, closed="left")],
        "max_elements": FEATURE_CONSTRAINTS["max_elements"],
        "n_jobs": FEATURE_CONSTRAINTS["n_jobs"],
        "random_state": FEATURE_CONSTRAINTS["random_state"],
    }

    def __init__(
        self,
        n_projections=64,
        *,
        n_quantiles=16,
        max_elements=300_000,
        n_jobs=None,
        random_state=None,
    ):
        self.n_projections = n_projections
        self.n_quantiles = n_quantiles
        self.max_elements = max_elements
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Draw directions, and learn the reference's quantiles along them.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.
        y : ignored
            Present for pipelines, which hand it over.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights. A set of weight 2 is the same as
            two of them, as long as the elements fit into the sample that is learned from.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not what is expected. The message
            names the set. The estimator stays as it was.
        """
        sets = as_sets(X)
        check_finite(sets)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(0, X, y, sample_weight)
        random = check_random_state(self.random_state)
        sample_seed, seed = (int(s) for s in random.randint(2**31 - 1, size=2))
        elements = sample_elements(
            sets, positions_of(sets, None), self.max_elements, sample_seed, weights
        )
        pooled = SetCollection(
            elements.rows, [0, len(elements.rows)], weights=elements.masses
        )
        projections = random_projections(sets.n_features, self.n_projections, seed)
        reference = np.empty((self.n_projections, 1, self.n_quantiles))
        with single_threaded(), np.errstate(all="ignore"):
            _write_quantiles(pooled, projections, reference)
        attributes = {
            **input_attributes(X, sets),
            "projections_": projections,
            "reference_": reference[:, 0],
        }
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self

    def transform(self, X):
        """Embed sets.

        Parameters
        ----------
        X : sets
            Anything that `OTKEmbedding` takes.

        Returns
        -------
        ndarray of shape (n_sets, n_projections * n_quantiles)
            In the precision of X. In the order projection, quantile.
        """
        model = copy.copy(self)  # one fitted state, even if another thread refits
        sets = as_fitted_sets(model, X)
        model._validate_params()
        check_finite(sets)
        projections = as_fitted(
            model.projections_, "projections_", (sets.n_features, None)
        ).astype(np.float64, copy=False)
        reference = as_fitted(
            model.reference_, "reference_", (projections.shape[1], None)
        ).astype(np.float64, copy=False)
        out = np.empty((len(sets), reference.size), sets.dtype)

        def embed(chunk):
            part = sets[chunk]
            quantiles = np.empty((len(reference), len(part), reference.shape[1]))
            _write_quantiles(part, projections, quantiles)
            quantiles -= reference[:, np.newaxis]
            quantiles /= np.sqrt(reference.size)
            out[chunk] = quantiles.swapaxes(0, 1).reshape(len(part), -1)

        # Of each element: its values and projections; of each set: its quantiles.
        n_features, n_projections = projections.shape
        max_rows = rows_in_memory(8 * (n_features + 3 * n_projections))
        map_chunks(
            embed,
            sets.lengths,
            rows_per_set=-(-reference.size // n_projections),
            max_rows=min(max_rows, chunk_rows(n_projections)),
            n_jobs=model.n_jobs,
        )
        check_finite_output(out, "embedding")
        return out

    @property
    def _n_features_out(self):
        return self.reference_.size


def random_projections(n_features, n_projections, seed):
    """Directions drawn evenly from the unit sphere, in columns.

    Those of `ot.sliced.get_random_projections` with `RandomState(seed)`: POT is not worth
    its import, which takes seconds, for two lines.
    """
    directions = np.random.RandomState(seed).randn(n_features, n_projections)
    return directions / np.linalg.norm(directions, axis=0)


def _write_quantiles(sets, projections, quantiles):
    """Write the quantile functions of projected sets, averaged over bins.

    Parameters
    ----------
    sets : SetCollection
    projections : ndarray of float64 of shape (n_features, n_projections)
    quantiles : ndarray of float64 of shape (n_projections, n_sets, n_quantiles)
    """
    # In float64, whatever the elements: far from the origin, float32 has few digits left.
    values, masses = sets.values.astype(np.float64, copy=False), sets.masses
    # Of a long set, some projections at a time.
    n_projections = projections.shape[1]
    batch_size = max(1, rows_in_memory(8 * 3 * len(values)))
    for batch in gen_batches(n_projections, batch_size):
        projected = projections.T[batch] @ values.T
        quantile_means(projected, masses, sets.offsets, quantiles[batch])
