"""`OTKEmbedding`: its parameters, and what its methods do with sets."""

import copy
import math
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions

from otk_sklearn._utils.estimators import (
    FEATURE_CONSTRAINTS,
    DocumentedMixin,
    VectorsOutMixin,
    check_sample_weight,
    set_fitted,
)
from otk_sklearn._utils.progress import CallbackSupportMixin, Percentage, Progress
from otk_sklearn.embeddings._learning import learn_attributes
from otk_sklearn.features._feature_map import fitted_feature_map
from otk_sklearn.matching._matching import Matching
from otk_sklearn.sets._input import (
    as_fitted_sets,
    as_sets,
    check_finite,
    check_finite_output,
)
from otk_sklearn.sets._positions import PositionFilter, check_positions
from otk_sklearn.sets._windows import windows_of
from otk_sklearn.transport._problem import Transport


class OTKEmbedding(
    DocumentedMixin,
    ClassNamePrefixFeaturesOutMixin,
    VectorsOutMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Embed sets of vectors into fixed-size vectors by optimal transport.

    Each set is matched to a learned reference by (entropic) optimal transport, and its
    elements' features are pooled by the plan: the vector of a set holds, for each of the
    reference's supports, the weighted mean of the features of the elements sent to it.

    Parameters
    ----------
    n_supports : int, default=50
        Number of supports of a reference. Ignored if `references` is an array.
    n_references : int, default=1
        Number of references. Each set is matched to all of them. Ignored if `references`
        is an array.
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
        none is in the range of floats. A literature sigma is `gamma = 1 / (2 sigma^2)`.
    n_components : int, default=64
        Number of anchors, and so of features of an element. Ignored by the linear kernel,
        and if `anchors` is an array. With fewer distinct elements, there are that many.
    damping : float, default=1e-2
        Added to the square roots of the eigenvalues of the kernel between anchors before
        they are inverted.
    filter_size : int, default=1
        For ordered sets: elements, in all that follows, are windows of this many
        consecutive rows of a set, flattened row by row. A window's weight and given
        position are the means over its real rows. An image is one sequence of pixels here:
        its windows go on from the end of one row of pixels to the next.
    padding : {"valid", "same"}, default="valid"
        "valid" keeps the `n_elements - filter_size + 1` whole windows of a set, and pads
        a shorter set with zeros to one window. "same" pads the ends with zeros, so that
        there are as many windows as rows.
    position : {"gaussian", "hard"} or None, default=None
        Hold together elements and supports that lie at the same place, by a filter
        `f_ij = exp(-((s_i - t_j) / position_sigma)^2)` or `|s_i - t_j| < position_sigma`
        (on 2 axes, the product of both) that similarities are multiplied by, and the plan
        afterwards. Positions s_i are those of a `SetCollection`, in [0, 1], or of the grid
        of 4-D input, or else `i / n_elements`. Supports lie on a line or, on 2 axes, on a
        grid: `n_supports` must then be a square number. Supports that no element is near
        to are zeros in the embedding, and elements near no support are left out.
    position_sigma : float, default=0.1
        Width of the filter, as a part of the length of a set.
    anchors : {"kmeans", "random"} or array-like of shape \
            (n_components, filter_size * n_features), default="kmeans"
        How anchors are learned: K-means centres of sampled elements, elements drawn at
        random, or given. The homogeneous kernel makes them unit-norm.
    references : {"kmeans", "barycenter", "random"} or array-like of shape \
            (n_references, n_supports, n_components), default="kmeans"
        How references are learned. Supports are unit-norm.

        - "kmeans": K-means centres of sampled elements' features. Several by Wasserstein
          K-means: sets go to the one they are most similar to, and each is learned anew;
        - "barycenter": on from there, supports move to the mean embedding of their sets
          until the regularised similarity hardly grows, or 50 times;
        - "random": features of elements drawn at random;
        - an array is used as it is.
    solver : {"sinkhorn", "emd", "softmax"}, default="sinkhorn"
        "sinkhorn" is entropic optimal transport. "emd" is exact optimal transport, by
        POT. "softmax" is attention instead of transport: each support takes the mean of
        the elements with weights `exp(similarity / epsilon)`, whoever else takes them.
    relaxation : float or None, default=None
        Lets elements that fit no support, such as noise, give up their mass: the masses of
        elements are only held by a penalty `relaxation * KL(P 1 | a)`, and similarities
        become transport costs, `S_ij - ||psi(x_i)||^2 / 2` (with `position`, of the
        filtered similarities). Small values relax most. None holds masses. Only with
        `solver="sinkhorn"`.
    max_iter : int, default=100
        Maximal number of Sinkhorn iterations of a set; ten times as many while
        barycentres are learned, whose plans have to be good.
    tol : float, default=1e-2
        Sinkhorn stops for a set once the error `sum_i |sum_j P_ij - a_i|` of its plan is
        below; with `relaxation`, that of the masses `a_i` for which the plan is exact. 0
        runs exactly `max_iter` plain iterations for every set. Otherwise, below 1e-6, sets
        in float32 are solved in float64.
    max_elements : int, default=300_000
        Number of elements that anchors and references are learned from, drawn without
        replacement if there are more. Where references are learned from sets, as many sets
        are drawn as have this many elements, and some of the elements of long ones.
    memory : str or object with the joblib.Memory interface, default=None
        Caches what is learned and doesn't depend on all parameters. With an integer
        `random_state`, a grid search learns anchors once for each training fold. joblib
        keeps pickles there: name no folder that strangers can write to.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors. Results don't depend on it.
    random_state : int, RandomState instance or None, default=None
        Decides the draw of elements and sets, and K-means. See
        :term:`Glossary <random_state>`.
    verbose : bool or int, default=False
        Whether to print the stages of `fit` with the time that each took, what references
        have reached at each iteration, and every few seconds, how far `transform` is.

    Attributes
    ----------
    anchors_ : ndarray of shape (n_components, filter_size * n_features) or None
        Anchors of the kernel; None for the linear kernel.
    normalization_ : ndarray of shape (n_components, n_components) or None
        The matrix D that makes kernel values with the anchors into features; None for the
        linear kernel.
    references_ : ndarray of shape (n_references, n_supports, n_components)
        The references, in feature space.
    gamma_ : float or None
        Bandwidth used; None for the linear kernel.
    n_iter_ : int
        Iterations of reference learning; 1 where there is nothing to iterate.
    objective_history_ : ndarray of shape (`n_iter_`,) or (0,)
        What Wasserstein K-means or barycentres had reached at each iteration: the mean
        over sets of their similarity `<P, S>` to the nearest reference. It falls at times,
        and whenever K-means starts again with one reference swapped for another. With
        "barycenter", `<P, S> - epsilon KL(P | a b^T)` (and less `relaxation KL(P 1 | a)`),
        after K-means. It never falls, but for what `tol` leaves open: about `tol` times the
        range of similarities. The references are those of the largest value. Empty where
        nothing was iterated.
    n_features_in_ : int
        Number of features of an element seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only if X was a DataFrame.

    See Also
    --------
    ElementTransformer : Scales or otherwise transforms the elements of sets.
    ConvolutionalKernelLayer : Features of windows, to be stacked in front.
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

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        **FEATURE_CONSTRAINTS,
        "n_supports": [Interval(Integral, 1, None, closed="left")],
        "n_references": [Interval(Integral, 1, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "kernel": [StrOptions({"rbf", "homogeneous", "linear"})],
        "position": [StrOptions({"gaussian", "hard"}), None],
        "position_sigma": [Interval(Real, 0, None, closed="neither")],
        "references": [StrOptions({"kmeans", "barycenter", "random"}), "array-like"],
        "solver": [StrOptions({"sinkhorn", "emd", "softmax"})],
        "relaxation": [Interval(Real, 0, None, closed="neither"), None],
        "max_iter": [Interval(Integral, 1, 2**62, closed="both")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_supports=50,
        *,
        n_references=1,
        epsilon=0.05,
        kernel="rbf",
        gamma="median",
        n_components=64,
        damping=1e-2,
        filter_size=1,
        padding="valid",
        position=None,
        position_sigma=0.1,
        anchors="kmeans",
        references="kmeans",
        solver="sinkhorn",
        relaxation=None,
        max_iter=100,
        tol=1e-2,
        max_elements=300_000,
        memory=None,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.n_supports = n_supports
        self.n_references = n_references
        self.epsilon = epsilon
        self.kernel = kernel
        self.gamma = gamma
        self.n_components = n_components
        self.damping = damping
        self.filter_size = filter_size
        self.padding = padding
        self.position = position
        self.position_sigma = position_sigma
        self.anchors = anchors
        self.references = references
        self.solver = solver
        self.relaxation = relaxation
        self.max_iter = max_iter
        self.tol = tol
        self.max_elements = max_elements
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn anchors and references.

        Parameters
        ----------
        X : sets
            A list or tuple of arrays of shape (n_elements_i, n_features), a 1-D object
            array of them, a 3-D array (sets of equal length), a 4-D array (images of
            vectors: each a set of its pixels, row by row) or a `SetCollection`. 2-D input
            (array, nested list of numbers, DataFrame) means that each row is a set of one
            element.
        y : ignored
            Present for pipelines, which hand it over.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights. A set of weight 2 is the same as
            two of them, as long as the sets fit into the sample that is learned from.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not what is expected. The message
            names the set. The estimator stays as it was.

        Warns
        -----
        ConvergenceWarning
            If references were learned from sets of which some missed `tol`.
        """
        sets, model = as_sets(X), copy.copy(self)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(2, X, y, sample_weight)
        attributes, residual = learn_attributes(model, X, sets, weights, progress)
        self._warn_unconverged(residual, " that references were learned from")
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None, sample_weight=None):
        """Learn anchors and references, and embed the same sets.

        Parameters
        ----------
        X : sets
            As for `fit`.
        y : ignored
            Present for pipelines, which hand it over.
        sample_weight : array-like of shape (n_sets,), default=None
            As for `fit`. Sets of weight 0 are embedded, too.

        Returns
        -------
        ndarray of shape (n_sets, n_references * n_supports * n_components)
            As `transform` returns it.
        """
        sets, model = as_sets(X), copy.copy(self)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(3, X, y, sample_weight)
        attributes, _ = learn_attributes(model, X, sets, weights, progress)
        set_fitted(model, attributes)
        with progress.stage("transform"):
            out = model._transform(sets)
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return out

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
        model = copy.copy(self)  # of one fit, even if another thread fits meanwhile
        return model._transform(as_fitted_sets(model, X))

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
            The kernel between each set of X and each of Y.
        """
        model = copy.copy(self)
        phi_x, residual = model._embed(as_fitted_sets(model, X))
        phi_y = phi_x
        if Y is not None:
            phi_y, residual_y = model._embed(as_fitted_sets(model, Y))
            residual = np.concatenate([residual, residual_y])
        model._warn_unconverged(residual)
        with np.errstate(all="ignore"):
            kernel = phi_x @ phi_y.T / math.prod(model.references_.shape[:2])
        check_finite_output(kernel, "kernel")
        return kernel

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
            `tol` with Sinkhorn, exactly with "emd", not at all with "softmax" or
            `relaxation`. With `position`, the filter has been applied to such a plan. With
            `filter_size`, elements are windows.
        """
        model = copy.copy(self)
        windows, matching = model._matching(as_fitted_sets(model, X))

        def plans_of(chunk):
            plans = matching.plans(windows[chunk])
            starts = windows.offsets[chunk] - windows.offsets[chunk.start]
            by_set = np.split(plans.plan, starts[1:], axis=2)
            return plans.residual, [p.transpose(0, 2, 1).copy() for p in by_set]

        residuals, plans = zip(*matching.map(plans_of, windows))
        plans = [plan for chunk_plans in plans for plan in chunk_plans]
        check_finite_output(np.array([[plan.sum()] for plan in plans]), "transport problem")
        model._warn_unconverged(np.concatenate(residuals))
        return plans

    def sinkhorn_diagnostics(self, X):
        """Tell the iterations that Sinkhorn needs for each set, and the error it leaves.

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
              `sum_i |sum_j P_ij - a_i|` that `tol` bounds (with `relaxation`, those of the
              masses `a_i` for which the plan is exact).

            All are 0 with the other solvers.
        """
        model = copy.copy(self)
        windows, matching = model._matching(as_fitted_sets(model, X))

        def diagnose(chunk):
            plans = matching.plans(windows[chunk])
            return plans.n_iter, plans.residual

        n_iter, residual = map(np.concatenate, zip(*matching.map(diagnose, windows)))
        check_finite_output(residual, "transport problem")
        return Bunch(n_iter=n_iter, residual=residual)

    @property
    def _n_features_out(self):
        return self.references_.size

    def _transport(self):
        if self.relaxation is not None and self.solver != "sinkhorn":
            raise ValueError(
                f"relaxation={self.relaxation} is given with solver={self.solver!r}; "
                "expected solver='sinkhorn', or relaxation=None."
            )
        # Plain numbers: NumPy's would decide the precision of float32 arrays.
        return Transport(
            solver=self.solver,
            epsilon=float(self.epsilon),
            relaxation=None if self.relaxation is None else float(self.relaxation),
            max_iter=int(self.max_iter),
            tol=float(self.tol),
        )

    def _position_filter(self, n_supports):
        if self.position is None:
            return None
        return PositionFilter(self.position, float(self.position_sigma), n_supports)

    def _matching(self, sets):
        """Return the windows of the sets, and what is needed to match them."""
        self._validate_params()  # those of the plan may be set anew after fit
        check_finite(sets)
        if self.position is not None:
            check_positions(sets, self.references_.shape[1], self._n_axes)
        matching = Matching(
            fitted_feature_map(self, self._kernel),
            self.references_,
            self._transport(),
            sets.dtype,
            self._position_filter(self.references_.shape[1]),
            self.n_jobs,
        )
        return windows_of(sets, **self._windows), matching

    def _transform(self, sets):
        out, residual = self._embed(sets, Percentage.of(self, sets))
        self._warn_unconverged(residual)
        return out

    def _embed(self, sets, report=None):
        """Return the embeddings, and what Sinkhorn left of errors."""
        windows, matching = self._matching(sets)
        out = np.empty((len(sets), self.references_.size), sets.dtype)

        def embed(chunk):
            return matching.embed(windows[chunk], out[chunk]).residual

        residuals = matching.map(embed, windows, report)
        check_finite_output(out, "embedding")
        return out, np.concatenate(residuals)

    def _warn_unconverged(self, residual, which_sets=""):
        if self.solver != "sinkhorn" or self.tol == 0:
            return
        missed = (residual > self.tol).any(axis=1)
        if missed.any():
            warnings.warn(
                f"Sinkhorn missed tol={self.tol:g} for {missed.sum()} of {len(missed)} "
                f"sets{which_sets} (largest error {residual.max():.2g}). Increase "
                f"max_iter={self.max_iter} or epsilon={self.epsilon:g}.",
                ConvergenceWarning,
                stacklevel=2,
            )
