"""`OTKEmbedding`: parameters, validation, and the order of the steps."""

import math
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch, assert_all_finite, check_array, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_memory

from otk_sklearn._clustering import sample_elements
from otk_sklearn._features import (
    FeatureMap,
    learn_anchors,
    make_feature_map,
    median_gamma,
    unit_elements,
    unit_rows,
)
from otk_sklearn._matching import Matching
from otk_sklearn._parallel import map_chunks, rows_in_memory, single_threaded
from otk_sklearn._references import learn_reference
from otk_sklearn._validation import (
    as_fitted_sets,
    as_sets,
    check_finite,
    record_fit_input,
)


class OTKEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embed sets of vectors into fixed-size vectors by optimal transport.

    Each set is matched to a learned reference by (entropic) optimal transport, and its
    elements' features are pooled by the plan: the vector of a set holds, for each of the
    reference's supports, the weighted mean of the features of the elements sent to it.

    Parameters
    ----------
    n_supports : int, default=50
        Number of supports of the reference. Ignored if `references` is an array.
    epsilon : float, default=0.05
        Strength of the entropic regularisation, on the scale of similarities (at most 1
        for the rbf kernel). Small values send each element to few supports. The exact
        solver has no use for it.
    kernel : {"rbf", "homogeneous", "linear"}, default="rbf"
        Kernel between elements x and anchors w:

        - "rbf": `exp(-gamma ||x - w||^2)`;
        - "homogeneous": `||x|| exp(2 gamma (cos(x, w) - 1))`, for elements whose
          direction tells what they are and whose norm tells how much;
        - "linear": none, elements are their own features. Supports are unit-norm, and so
          lose their magnitude.
    gamma : float or "median", default="median"
        Bandwidth of the kernel. "median" is one over the median squared distance between
        sampled distinct elements (made unit-norm for the homogeneous kernel), or 1 where
        there is none. A bandwidth sigma of the literature is `gamma = 1 / (2 sigma^2)`.
    n_components : int, default=64
        Number of anchors, and so of features of an element. Ignored by the linear kernel,
        and if `anchors` is an array. With fewer distinct elements, there are that many.
    damping : float, default=1e-2
        Added to the square roots of the eigenvalues of the kernel between anchors before
        they are inverted.
    anchors : {"kmeans", "random"} or array-like of shape (n_components, n_features), \
            default="kmeans"
        How anchors are learned: K-means centres of sampled elements, elements drawn at
        random, or given. The homogeneous kernel makes them unit-norm.
    references : {"kmeans", "random"} or array-like of shape \
            (n_references, n_supports, n_components), default="kmeans"
        How the reference is learned: K-means centres of sampled elements' features, made
        unit-norm; features drawn at random; or given, to be used as it is.
    solver : {"sinkhorn", "emd", "softmax"}, default="sinkhorn"
        "sinkhorn" is entropic optimal transport. "emd" is exact optimal transport, by
        POT. "softmax" is attention instead of transport: each support takes the mean of
        the elements with weights `exp(similarity / epsilon)`, whoever else takes them.
    max_iter : int, default=100
        Maximal number of Sinkhorn iterations of a set.
    tol : float, default=1e-2
        Sinkhorn stops for a set once the error `sum_i |sum_j P_ij - a_i|` of its plan is
        below. 0 runs exactly `max_iter` iterations for every set. Otherwise, below 1e-6,
        sets in float32 are solved in float64.
    max_elements : int, default=300_000
        Number of elements that anchors and references are learned from, drawn without
        replacement if there are more.
    memory : str or object with the joblib.Memory interface, default=None
        Caches what is learned and doesn't depend on all parameters. With an integer
        `random_state`, a grid search over `epsilon` and `n_supports` learns anchors once
        for each training fold.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors. Results don't depend on it.
    random_state : int, RandomState instance or None, default=None
        Decides the draw of elements, and K-means. See :term:`Glossary <random_state>`.

    Attributes
    ----------
    anchors_ : ndarray of shape (n_components, n_features) or None
        Anchors of the kernel; None for the linear kernel.
    normalization_ : ndarray of shape (n_components, n_components) or None
        The matrix D that makes kernel values with the anchors into features; None for the
        linear kernel.
    references_ : ndarray of shape (n_references, n_supports, n_components)
        The references, in feature space.
    gamma_ : float or None
        Bandwidth used; None for the linear kernel.
    n_iter_ : int
        Iterations of reference learning; 1 for a single reference.
    n_features_in_ : int
        Number of features of an element seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only if X was a DataFrame.

    See Also
    --------
    ElementTransformer : Scales or otherwise transforms the elements of sets.
    SetCollection : Sets packed into one array, with weights.
    sklearn.kernel_approximation.Nystroem : The features, for single vectors.

    Notes
    -----
    For a set with elements `x_i` of masses `a_i` and a reference with supports `z_j` of
    masses `b_j = 1 / n_supports`, the plan P maximises
    `sum_ij P_ij <psi(x_i), z_j> - epsilon KL(P | a b^T)` among plans with these marginals,
    and the embedding is `Phi_j = n_supports sum_i P_ij psi(x_i)`, where `psi` are Nyström
    features. `transform` concatenates references, supports and components, in this
    order: `transform(X).reshape(-1, *references_.shape)` has them apart.

    Embeddings have the precision of the input. A set for which float32 is not enough is
    solved in float64, and if need be in the log domain.

    References
    ----------
    .. [1] G. Mialon, D. Chen, A. d'Aspremont and J. Mairal, "A Trainable Optimal Transport
           Embedding for Feature Aggregation and its Relationship to Attention", ICLR 2021.
           https://arxiv.org/abs/2006.12065

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKEmbedding
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35, 50)]
    >>> embedding = OTKEmbedding(n_supports=4, n_components=16, random_state=0)
    >>> embedding.fit_transform(X).shape
    (3, 64)
    """

    _parameter_constraints: dict = {
        "n_supports": [Interval(Integral, 1, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "kernel": [StrOptions({"rbf", "homogeneous", "linear"})],
        "gamma": [StrOptions({"median"}), Interval(Real, 0, None, closed="neither")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "damping": [Interval(Real, 0, None, closed="neither")],
        "anchors": [StrOptions({"kmeans", "random"}), "array-like"],
        "references": [StrOptions({"kmeans", "random"}), "array-like"],
        "solver": [StrOptions({"sinkhorn", "emd", "softmax"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_elements": [Interval(Integral, 1, None, closed="left")],
        "memory": [None, str, HasMethods(["cache"])],
        "n_jobs": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
        ],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_supports=50,
        *,
        epsilon=0.05,
        kernel="rbf",
        gamma="median",
        n_components=64,
        damping=1e-2,
        anchors="kmeans",
        references="kmeans",
        solver="sinkhorn",
        max_iter=100,
        tol=1e-2,
        max_elements=300_000,
        memory=None,
        n_jobs=None,
        random_state=None,
    ):
        self.n_supports = n_supports
        self.epsilon = epsilon
        self.kernel = kernel
        self.gamma = gamma
        self.n_components = n_components
        self.damping = damping
        self.anchors = anchors
        self.references = references
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.max_elements = max_elements
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn anchors and the reference.

        Parameters
        ----------
        X : sets
            A list or tuple of arrays of shape (n_elements_i, n_features), a 1-D object
            array of them, a 3-D array (sets of equal length), a 4-D array (images of
            vectors: each a set of its pixels) or a `SetCollection`. 2-D input (array,
            nested list of numbers, DataFrame) means that each row is a set of one element.
        y : ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not what is expected. The message
            names the set. The estimator stays as it was.
        """
        self._fit(X, as_sets(X))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn anchors and the reference, and embed the same sets.

        Parameters
        ----------
        X : sets
            As for `fit`.
        y : ignored

        Returns
        -------
        ndarray of shape (n_sets, n_references * n_supports * n_components)
        """
        sets = as_sets(X)
        before = vars(self).copy()
        try:
            self._fit(X, sets)
            return self._transform(sets)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def transform(self, X):
        """Embed sets.

        Parameters
        ----------
        X : sets
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_sets, n_references * n_supports * n_components)
            In the precision of X. In the order reference, support, component.

        Warns
        -----
        ConvergenceWarning
            If sets missed `tol` within `max_iter` iterations: once, with their number.
        """
        return self._transform(as_fitted_sets(self, X))

    def kernel_matrix(self, X, Y=None):
        """Kernel between sets: the mean over supports of inner products of embeddings.

        `K(x, y) = <Phi(x), Phi(y)> / (n_references n_supports)`, as in the paper. It can
        be handed to `SVC(kernel="precomputed")`.

        Parameters
        ----------
        X : sets
            As for `fit`.
        Y : sets, default=None
            None means X.

        Returns
        -------
        ndarray of shape (n_sets_X, n_sets_Y)
        """
        phi_x, residual = self._embed(as_fitted_sets(self, X))
        phi_y = phi_x
        if Y is not None:
            phi_y, residual_y = self._embed(as_fitted_sets(self, Y))
            residual = np.concatenate([residual, residual_y])
        self._warn_unconverged(residual)
        return phi_x @ phi_y.T / math.prod(self.references_.shape[:2])

    def transport_plan(self, X):
        """Transport plans between sets and references.

        Parameters
        ----------
        X : sets
            As for `fit`.

        Returns
        -------
        list of ndarray of shape (n_references, n_elements_i, n_supports)
            Columns sum to `1 / n_supports`. Rows sum to the masses of the elements: up to
            `tol` with Sinkhorn, exactly with "emd", not at all with "softmax".
        """
        sets = as_fitted_sets(self, X)
        matching = self._matching()

        def plans_of(chunk):
            plans = matching.plans(sets[chunk])
            starts = sets.offsets[chunk] - sets.offsets[chunk.start]
            by_set = np.split(plans.plan, starts[1:])
            return plans.residual, [p.transpose(1, 0, 2).copy() for p in by_set]

        residuals, plans = zip(*self._map_chunks(plans_of, sets, matching))
        self._warn_unconverged(np.concatenate(residuals))
        return [plan for chunk_plans in plans for plan in chunk_plans]

    def sinkhorn_diagnostics(self, X):
        """Iterations that Sinkhorn needs for each set, and the error that it leaves.

        Parameters
        ----------
        X : sets
            As for `fit`.

        Returns
        -------
        Bunch
            With the attributes

            - n_iter, ndarray of int of shape (n_sets, n_references);
            - residual, ndarray of float of shape (n_sets, n_references): the errors
              `sum_i |sum_j P_ij - a_i|` that `tol` bounds.

            All are 0 with the other solvers.
        """
        sets = as_fitted_sets(self, X)
        matching = self._matching()

        def diagnose(chunk):
            plans = matching.plans(sets[chunk])
            return plans.n_iter, plans.residual

        n_iter, residual = zip(*self._map_chunks(diagnose, sets, matching))
        return Bunch(n_iter=np.concatenate(n_iter), residual=np.concatenate(residual))

    @property
    def _n_features_out(self):
        return self.references_.size

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _fit(self, X, sets):
        check_finite(sets)
        # All seeds are drawn at once: a cache hit then changes no later draw.
        random = check_random_state(self.random_state)
        seeds = [int(seed) for seed in random.randint(2**31 - 1, size=4)]
        sample_seed, gamma_seed, anchors_seed, references_seed = seeds
        memory = check_memory(self.memory)
        elements, masses = sample_elements(sets, self.max_elements, sample_seed)
        # K-means would amplify the last digit, and threads add up in an order of their own.
        with single_threaded(), np.errstate(all="ignore"):
            if self.kernel != "rbf":  # features are learned from directions
                elements, masses = unit_elements(elements, masses)
            feature_map = self._learn_feature_map(
                elements, masses, memory, gamma_seed, anchors_seed
            )
            references = self._learn_references(
                feature_map, elements, masses, memory, references_seed
            )
        record_fit_input(self, X, sets)
        self.anchors_ = feature_map.anchors
        self.normalization_ = feature_map.normalization
        self.gamma_ = feature_map.gamma
        self.references_ = references
        self.n_iter_ = 1
        self._kernel = self.kernel

    def _learn_feature_map(self, elements, masses, memory, gamma_seed, anchors_seed):
        if self.kernel == "linear":
            return FeatureMap("linear")
        gamma = self.gamma
        if isinstance(gamma, str):
            gamma = median_gamma(elements, masses, gamma_seed)
        if isinstance(self.anchors, str):
            anchors = memory.cache(learn_anchors)(
                elements, masses, self.n_components, self.anchors, anchors_seed
            )
            if len(anchors) < self.n_components:
                warnings.warn(
                    f"n_components={self.n_components} is more than the {len(anchors)} "
                    "distinct elements to learn from; there are that many anchors.",
                    UserWarning,
                    stacklevel=2,
                )
        else:
            anchors = self._check_anchors(elements)
        if self.kernel == "homogeneous":
            anchors, _ = unit_rows(anchors)
        return make_feature_map(self.kernel, float(gamma), anchors, self.damping)

    def _learn_references(self, feature_map, elements, masses, memory, seed):
        if not isinstance(self.references, str):
            n_components = elements.shape[1]
            if feature_map.anchors is not None:
                n_components = len(feature_map.anchors)
            return self._check_references(n_components)
        reference = memory.cache(learn_reference)(
            feature_map, elements, masses, self.n_supports, self.references, seed
        )
        return reference[np.newaxis]

    def _check_anchors(self, elements):
        anchors = self._check_parameter_array("anchors")
        if anchors.ndim != 2 or anchors.shape[1] != elements.shape[1]:
            raise ValueError(
                f"anchors has shape {anchors.shape}; expected (n_components, "
                f"{elements.shape[1]}), with the features of the elements of X."
            )
        zero = np.flatnonzero(~anchors.any(axis=1))
        if self.kernel == "homogeneous" and len(zero):
            raise ValueError(
                f"anchors has a row of zeros, {zero[0]}; expected anchors with a direction "
                "for the homogeneous kernel."
            )
        return anchors

    def _check_parameter_array(self, name):
        try:
            return check_array(
                getattr(self, name),
                dtype=[np.float64, np.float32],
                copy=True,
                ensure_2d=False,
                allow_nd=True,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} is no array of finite numbers: {error}") from error

    def _check_references(self, n_components):
        references = self._check_parameter_array("references")
        if references.ndim != 3 or references.shape[2] != n_components:
            raise ValueError(
                f"references has shape {references.shape}; expected (n_references, "
                f"n_supports, {n_components})."
            )
        if not references.size:
            raise ValueError(f"references has shape {references.shape}; it is empty.")
        return references

    def _matching(self):
        """What is needed to match sets."""
        self._validate_params()  # those of the plan may be set anew after fit
        feature_map = FeatureMap(
            self._kernel, self.gamma_, self.anchors_, self.normalization_
        )
        # In float64, whatever the sets: D has large entries that cancel.
        supports = feature_map.whiten(self.references_.astype(np.float64))
        # Plain numbers: NumPy's would decide the precision of float32 arrays.
        transport = {
            "solver": self.solver,
            "epsilon": float(self.epsilon),
            "max_iter": int(self.max_iter),
            "tol": float(self.tol),
        }
        # Per element: its values, features, similarities and plan, in float64 at most.
        n_references, n_supports, n_components = supports.shape
        row_bytes = 8 * (self.n_features_in_ + n_components + 2 * n_references * n_supports)
        max_rows = rows_in_memory(row_bytes, self.n_jobs)
        return Matching(feature_map, supports, transport, max_rows)

    def _map_chunks(self, function, sets, matching):
        """Call `function` with slices that together cover the sets, in threads."""
        check_finite(sets)
        n_references, n_supports, _ = self.references_.shape
        return map_chunks(
            function,
            sets.lengths,
            rows_per_set=n_references * n_supports,
            max_rows=matching.max_rows,
            n_jobs=self.n_jobs,
        )

    def _transform(self, sets):
        out, residual = self._embed(sets)
        self._warn_unconverged(residual)
        return out

    def _embed(self, sets):
        """Return the embeddings, and what Sinkhorn left of errors."""
        matching = self._matching()
        out = np.empty((len(sets), self.references_.size), sets.dtype)

        def embed(chunk):
            return matching.embed(sets[chunk], out[chunk]).residual

        residuals = self._map_chunks(embed, sets, matching)
        try:
            assert_all_finite(out)
        except ValueError:
            i = np.argmin(np.isfinite(out).all(axis=1))
            raise ValueError(
                f"The embedding of set {i} of X leaves the range of {out.dtype}; expected "
                "elements on a smaller scale (see ElementTransformer)."
            ) from None
        return out, np.concatenate(residuals)

    def _warn_unconverged(self, residual):
        if self.solver != "sinkhorn" or self.tol == 0:
            return
        missed = (residual > self.tol).any(axis=1)
        if missed.any():
            warnings.warn(
                f"Sinkhorn missed tol={self.tol:g} within max_iter={self.max_iter} "
                f"iterations for {missed.sum()} of {len(missed)} sets (largest error "
                f"{residual.max():.2g}). Increase max_iter or epsilon.",
                ConvergenceWarning,
                stacklevel=2,
            )
