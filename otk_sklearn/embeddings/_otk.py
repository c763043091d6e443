"""`OTKEmbedding`: the embedding of sets by optimal transport to references."""

from __future__ import annotations

import copy
import itertools
import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch

from otk_sklearn._utils.estimators import (
    EMPTY_SETS_CONSTRAINT,
    FEATURE_CONSTRAINTS,
    VectorsOutMixin,
    check_sample_weight,
    set_fitted,
)
from otk_sklearn._utils.progress import Percentage, Progress
from otk_sklearn._utils.sklearn_compat import Interval, StrOptions, fit_context
from otk_sklearn.embeddings._base import SetTransformer
from otk_sklearn.embeddings._learning import learn_attributes
from otk_sklearn.embeddings._state import (
    component_names,
    fitted_state,
    state_and_sets,
    transport_of,
)
from otk_sklearn.features._kernels import KERNELS
from otk_sklearn.matching._embedding_state import warn_if_far, warn_unconverged
from otk_sklearn.matching._matching import Matching
from otk_sklearn.sets._misalignment import warn_if_misaligned
from otk_sklearn.sets._validation import (
    as_sets,
    check_finite_output,
    check_not_empty,
)

if TYPE_CHECKING:
    from joblib import Memory

    from otk_sklearn.sets._types import SetsLike


class OTKEmbedding(VectorsOutMixin, SetTransformer):
    """Embed sets of vectors into fixed-size vectors by optimal transport.

    Each set is matched to a learned reference by (entropic) optimal transport, and the
    kernel features of its elements are pooled with the transport plan as weights [1]_: the
    embedding of a set consists, for each support of the reference, of the weighted mean of
    the features of the elements transported to it.

    Parameters
    ----------
    n_supports : int, default=50
        Number of supports of a reference. Ignored if `references` is an array.
    n_references : int, default=1
        Number of references. Each set is matched to each of them. Ignored if `references`
        is an array.
    epsilon : float, default=0.05
        Strength of the entropic regularization, relative to similarities (at most 1 for the
        rbf kernel). Must be positive. With small values, each element is transported to few
        supports. Ignored by `solver="emd"`.
    kernel : {"rbf", "homogeneous", "linear"}, default="rbf"
        Kernel between elements x and anchors w:

        - "rbf": `exp(-gamma ||x - w||^2)`;
        - "homogeneous": `||x|| exp(2 gamma (cos(x, w) - 1))`, for elements whose direction
          represents a kind and whose norm represents an amount;
        - "linear": no kernel; the features are the elements themselves. As learned supports
          are L2-normalized, they do not depend on the magnitude of elements.
    gamma : float or "median", default="median"
        Kernel coefficient, positive. "median" is the inverse of the median squared distance
        between sampled distinct elements (L2-normalized for the homogeneous kernel), or 1
        if that is not a positive finite number. A bandwidth sigma, as used in the
        literature, corresponds to `gamma = 1 / (2 sigma^2)`.
    n_components : int, default=64
        Number of anchors, which is the number of features of an element. Ignored by the
        linear kernel, and if `anchors` is an array. Reduced, with a warning, to the number
        of distinct elements if these are fewer.
    damping : float, default=1e-2
        Regularization of the inverse square root of the kernel matrix of the anchors:
        added to the square roots of its eigenvalues. Must be positive.
    filter_size : int, default=1
        For ordered sets: with more than 1, the elements are windows of this many
        consecutive rows of a set, flattened row by row. The weight of a window, and its
        position if X has positions, are the means over its rows, without padding. An image
        is treated as one sequence of pixels: windows may extend from the end of one row of
        pixels to the start of the next.
    padding : {"valid", "same"}, default="valid"
        "valid" keeps the `n_elements - filter_size + 1` windows that lie within a set; a
        set shorter than a window is padded with zeros to one window. "same" pads both ends
        with zeros, so that there are as many windows as rows.
    position : {"gaussian", "hard"} or None, default=None
        Restricts transport to elements and supports at similar positions. Similarities, and
        afterwards the plan, are multiplied by a filter: for "gaussian",
        `f_ij = exp(-((s_i - t_j) / position_sigma)^2)`; for "hard", 1 if
        `|s_i - t_j| < position_sigma` and 0 otherwise; on 2 axes, the product over both.
        The positions `s_i` are those of a `SetCollection`, in [0, 1], or of the grid of 4-D
        input, or else `i / n_elements`. The positions `t_j` of supports lie on a line or,
        on 2 axes, on a grid: `n_supports` must then be a square number. Supports far from
        all elements are zero in the embedding, and elements far from all supports are
        ignored. None means that positions are ignored.
    position_sigma : float, default=0.1
        Width of the position filter, relative to the range [0, 1] of positions. Must be
        positive.
    anchors : {"kmeans", "random"} or array-like of shape \
            (n_components, filter_size * n_features), default="kmeans"
        How anchors are learned: as K-means centres of sampled elements, or by drawing
        elements at random. An array is used as the anchors. They are L2-normalized for the
        homogeneous kernel.
    references : {"kmeans", "barycenter", "random"} or array-like of shape \
            (n_references, n_supports, n_components), default="kmeans"
        How references are learned. Learned supports are L2-normalized.

        - "kmeans": K-means centres of the features of sampled elements. Several references
          are learned by Wasserstein K-means, which alternates between assigning each set to
          the reference it is most similar to, and learning each reference from its sets;
        - "barycenter": references of "kmeans", then refined by moving the supports to the
          mean embedding of their sets, which maximizes the regularized similarity, until
          the objective converges, or for at most 50 iterations;
        - "random": features of elements drawn at random.

        An array is used as the references, without normalization.
    solver : {"sinkhorn", "emd", "softmax"}, default="sinkhorn"
        "sinkhorn" is entropic optimal transport. "emd" is exact optimal transport, solved
        by POT. "softmax" is attention instead of transport: each support receives the mean
        of the elements with weights proportional to `a_i exp(S_ij / epsilon)`,
        independently of the other supports, where `a_i` are masses and `S_ij` similarities.
    relaxation : float or None, default=None
        Unbalanced transport: the row marginals are enforced only by a penalty
        `relaxation * KL(P 1 | a)`, so that elements that are similar to no support, such as
        noise, can lose mass. Similarities are replaced by negative transport costs,
        `S_ij - ||psi(x_i)||^2 / 2` (with `position`, from the filtered similarities). The
        smaller the value, the weaker the penalty; None enforces the marginals. Only with
        `solver="sinkhorn"`.
    support_relaxation : float or None, default=None
        Unbalanced transport on the other side: the masses of supports are enforced only by
        a penalty `support_relaxation * KL(P^T 1 | b)`, so that a support's mass follows how
        many elements are similar to it. Its part of the embedding, a sum over elements,
        grows with its mass. Towards 0, each element is distributed over supports by the
        softmax of its own similarities, whatever the other elements are, as in a soft bag
        of words; None enforces the masses. Only with `solver="sinkhorn"`, and not together
        with `relaxation`.
    max_iter : int, default=100
        Maximum number of Sinkhorn iterations for each set; ten times as many while
        barycentres are learned, which requires accurate plans.
    tol : float, default=1e-2
        Sinkhorn iterations for a set stop once the residual `sum_i |sum_j P_ij - a_i|` of
        its plan is below `tol`. With `relaxation`, the residual is the L1 distance between
        the masses and those for which the plan would be optimal; with `support_relaxation`,
        the masses are those of supports. 0 runs exactly `max_iter` plain iterations for
        every set. With a positive `tol` below 1e-6, sets in float32 are solved in float64.
    max_elements : int or "auto", default="auto"
        Maximum number of elements that anchors and references are learned from. If there
        are more, they are sampled without replacement. Barycentres and several references
        by K-means are learned from a random sample of sets with about this many elements in
        total, where long sets are subsampled, too. "auto" is 256 for each anchor, and 256
        for each support of all references, but at least 20,000 for either.
    empty_sets : {"error", "zero"}, default="error"
        What to do with a set without elements: raise an error, or embed it as zeros, and
        ignore it in `fit`.
    memory : str or object with the joblib.Memory interface, default=None
        Used to cache the anchors and references; a string is the path of the cache
        directory. None means no caching. With an integer `random_state`, a grid search over
        parameters that anchors do not depend on learns them once for each training fold.
        joblib stores pickles there: do not use a directory that untrusted users can write
        to.
    n_jobs : int, default=None
        Number of threads. None means 1 unless in a :obj:`joblib.parallel_config` context,
        -1 means all processors, the most that are used. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Controls the random sampling of elements and sets, and the initialization of
        K-means. See :term:`Glossary <random_state>`.
    verbose : bool or int, default=False
        Whether to print the time that each stage of `fit` takes, the objective after each
        iteration of reference learning, and the progress of `transform` every few seconds.

    Attributes
    ----------
    anchors_ : ndarray of shape (n_components, filter_size * n_features) or None
        Anchors of the Nyström approximation; None for the linear kernel.
    normalization_ : ndarray of shape (n_components, n_components) or None
        The matrix D that maps kernel values between an element and the anchors to Nyström
        features; None for the linear kernel.
    references_ : ndarray of shape (n_references, n_supports, n_components)
        The references, in feature space.
    gamma_ : float or None
        Kernel coefficient used; None for the linear kernel.
    n_iter_ : int
        Number of iterations of reference learning; 1 if it is not iterative.
    objective_history_ : ndarray of shape (`n_iter_`,) or (0,)
        Objective of Wasserstein K-means in each iteration: the mean over sets of the
        similarity `<P, S>` to the most similar reference. It may decrease, in particular
        when K-means restarts with one reference swapped for another. With "barycenter", the
        objective of the iterations after K-means, which is the mean of
        `<P, S> - epsilon KL(P | a b^T)`, minus the penalty with `relaxation` or
        `support_relaxation`.
        It does not decrease beyond the accuracy of the plans, about `tol` times the range
        of similarities. The references are those of the maximum. Empty if reference
        learning is not iterative.
    n_features_in_ : int
        Number of features of the elements seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names, as
        DataFrames do.

    See Also
    --------
    ElementTransformer : Applies a transformer, such as a scaler, to the elements of sets.
    ConvolutionalKernelLayer : Kernel features of windows, as layers before an embedding.
    SetCollection : Sets packed into one array, with weights and positions.
    sklearn.kernel_approximation.Nystroem : Nyström features of single vectors.

    Notes
    -----
    For a set with elements `x_i` of masses `a_i` and a reference with supports `z_j` of
    masses `b_j = 1 / n_supports`, the plan P maximizes
    `sum_ij P_ij <psi(x_i), z_j> - epsilon KL(P | a b^T)` among plans with these marginals,
    and the embedding is `Phi_j = n_supports sum_i P_ij psi(x_i)`, where `psi` are Nyström
    features. `transform` flattens the axes (reference, support, component) in this order;
    `transform(X).reshape(-1, *references_.shape)` restores them.

    After `fit`, `epsilon`, `solver`, `relaxation`, `support_relaxation`, `max_iter`, `tol`,
    `position`, `position_sigma`, `n_jobs` and `verbose` may be changed: `transform` and the
    other methods use their current values. All other parameters are frozen until the next
    `fit`.

    Embeddings have the dtype of the input. Sets for which float32 is not precise enough are
    solved in float64, and if necessary in the log domain.

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
        **EMPTY_SETS_CONSTRAINT,
        **FEATURE_CONSTRAINTS,
        "n_supports": [Interval(Integral, 1, None, closed="left")],
        "n_references": [Interval(Integral, 1, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "kernel": [StrOptions(set(KERNELS))],
        "position": [StrOptions({"gaussian", "hard"}), None],
        "position_sigma": [Interval(Real, 0, None, closed="neither")],
        "references": [StrOptions({"kmeans", "barycenter", "random"}), "array-like"],
        "solver": [StrOptions({"sinkhorn", "emd", "softmax"})],
        "relaxation": [Interval(Real, 0, None, closed="neither"), None],
        "support_relaxation": [Interval(Real, 0, None, closed="neither"), None],
        "max_iter": [Interval(Integral, 1, 2**62, closed="both")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    _transform_parameters = (
        "epsilon",
        "solver",
        "relaxation",
        "support_relaxation",
        "max_iter",
        "tol",
        "position",
        "position_sigma",
        "empty_sets",
        "n_jobs",
        "verbose",
    )

    def __init__(
        self,
        n_supports: int = 50,
        *,
        n_references: int = 1,
        epsilon: float = 0.05,
        kernel: Literal["rbf", "homogeneous", "linear"] = "rbf",
        gamma: float | Literal["median"] = "median",
        n_components: int = 64,
        damping: float = 1e-2,
        filter_size: int = 1,
        padding: Literal["valid", "same"] = "valid",
        position: Literal["gaussian", "hard"] | None = None,
        position_sigma: float = 0.1,
        anchors: Literal["kmeans", "random"] | ArrayLike = "kmeans",
        references: Literal["kmeans", "barycenter", "random"] | ArrayLike = "kmeans",
        solver: Literal["sinkhorn", "emd", "softmax"] = "sinkhorn",
        relaxation: float | None = None,
        support_relaxation: float | None = None,
        max_iter: int = 100,
        tol: float = 1e-2,
        max_elements: int | Literal["auto"] = "auto",
        empty_sets: Literal["error", "zero"] = "error",
        memory: str | Memory | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
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
        self.support_relaxation = support_relaxation
        self.max_iter = max_iter
        self.tol = tol
        self.max_elements = max_elements
        self.empty_sets = empty_sets
        self.memory = memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: SetsLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn anchors and references.

        Parameters
        ----------
        X : sets
            A list or tuple of arrays of shape (n_elements_i, n_features), a 1-D object
            array of them, a 3-D array (sets of equal length), a 4-D array (images, each the
            set of its pixels, row by row) or a `SetCollection`. Each row of 2-D input
            (array, nested list of numbers, DataFrame) is a set of one element.
        y : ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights. A set of weight 2 is equivalent to
            two copies of it, as long as there are at most `max_elements` elements.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, or X is not a valid collection of sets. The
            message identifies the invalid set. The estimator is then unchanged.

        Warns
        -----
        ConvergenceWarning
            If Sinkhorn did not reach `tol` for some sets that references were learned from.
        """
        sets, model = as_sets(X), copy.copy(self)
        check_not_empty(sets, model.empty_sets, X)
        warn_if_misaligned(X, y=y, sample_weight=sample_weight)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(2, X, y, sample_weight)
        attributes, residual = learn_attributes(model, sets, weights, progress)
        warn_unconverged(
            transport_of(model), residual, " that references were learned from"
        )
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self,
        X: SetsLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> NDArray[np.floating]:
        """Learn anchors and references, and embed the same sets.

        Parameters
        ----------
        X : sets
            As for `fit`.
        y : ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_sets,), default=None
            As for `fit`. Sets of weight 0 do not affect the fit, but are embedded.

        Returns
        -------
        ndarray of shape (n_sets, n_references * n_supports * n_components)
            As returned by `transform`.
        """
        sets, model = as_sets(X), copy.copy(self)
        check_not_empty(sets, model.empty_sets, X)
        warn_if_misaligned(X, y=y, sample_weight=sample_weight)
        weights = check_sample_weight(sample_weight, sets)
        progress = Progress(self).begin_fit(3, X, y, sample_weight)
        attributes, _ = learn_attributes(model, sets, weights, progress)
        set_fitted(model, attributes)
        with progress.stage("transform"):
            state = fitted_state(model)
            out, residual = state.embed(sets, Percentage.of(model, sets))
        warn_unconverged(state.transport, residual)
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self._as_output(out, sets)

    def transform(self, X: SetsLike) -> NDArray[np.floating]:
        """Embed sets.

        Parameters
        ----------
        X : sets
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_sets, n_references * n_supports * n_components)
            In the dtype of X, ordered by reference, then support, then component.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not a valid collection of sets, or does not match the input of `fit`.

        Warns
        -----
        ConvergenceWarning
            If Sinkhorn did not reach `tol` within `max_iter` iterations for some sets.
        UserWarning
            If elements are so far from those of `fit` that the embedding of a set is 0.
            With `position`: if positions were given in `fit` and are not here, or the
            reverse, or lie outside of [0, 1].
        """
        state, sets = state_and_sets(self, X)
        out, residual = state.embed(sets, Percentage.of(self, sets))
        warn_unconverged(state.transport, residual)
        warn_if_far(state, sets, out)
        return self._as_output(out, sets)

    def kernel_matrix(self, X: SetsLike, Y: SetsLike | None = None) -> NDArray[np.floating]:
        """Compute the kernel matrix between sets: scaled inner products of embeddings.

        `K(x, y) = <Phi(x), Phi(y)> / (n_references n_supports)`, as in Mialon et al.
        (2021). It can be passed to estimators such as `SVC(kernel="precomputed")`.

        Parameters
        ----------
        X : sets
            As for `fit`.
        Y : sets, default=None
            As for `fit`. None means X.

        Returns
        -------
        ndarray of shape (n_sets_X, n_sets_Y)
            The kernel between each set of X and each set of Y.
        """
        model = copy.copy(self)  # one fit for both, even if another thread refits
        state, sets = state_and_sets(model, X)
        phi_x, residual = state.embed(sets)
        phi_y = phi_x
        if Y is not None:
            _, sets = state_and_sets(model, Y)
            phi_y, residual_y = state.embed(sets)
            residual = np.concatenate([residual, residual_y])
        warn_unconverged(state.transport, residual)
        with np.errstate(all="ignore"):
            kernel = phi_x @ phi_y.T / math.prod(state.references.shape[:2])
        check_finite_output(kernel, "kernel")
        return kernel

    def transport_plan(self, X: SetsLike) -> list[NDArray[np.floating]]:
        """Compute the transport plans between sets and references.

        Parameters
        ----------
        X : sets
            As for `fit`.

        Returns
        -------
        list of ndarray of shape (n_references, n_elements_i, n_supports)
            The plans of each set. Columns sum to `1 / n_supports`, except as below. Rows
            sum to the masses of the elements: approximately (see `tol`) with Sinkhorn, and
            exactly with "emd"; they are not constrained with "softmax", and only penalized
            with `relaxation`. With `support_relaxation`, rows sum to the masses exactly,
            and sums of columns are penalized. With `position`, plans are multiplied by the
            filter and no longer have these marginals. With `filter_size` above 1, elements
            are windows.
        """
        state, sets = state_and_sets(self, X)
        windows, matching = state.windows_of(sets), Matching(state, sets.dtype)

        def plans_of(chunk):
            plans = matching.plans(windows[chunk])
            bounds = windows[chunk].offsets
            by_set = [plans.plan[:, :, a:b] for a, b in itertools.pairwise(bounds)]
            return plans.residual, [p.transpose(0, 2, 1).copy() for p in by_set]

        residuals, of_chunks = zip(*matching.map(plans_of, windows))
        plans = [plan for of_chunk in of_chunks for plan in of_chunk]
        sums = np.reshape([plan.sum() for plan in plans], (-1, 1))
        check_finite_output(sums, "transport problem")
        warn_unconverged(state.transport, np.concatenate(residuals))
        return plans

    def sinkhorn_diagnostics(self, X: SetsLike) -> Bunch:
        """Return the number of Sinkhorn iterations and the residual of each set.

        Parameters
        ----------
        X : sets
            As for `fit`.

        Returns
        -------
        Bunch
            With the attributes

            - n_iter : ndarray of int of shape (n_sets, n_references), the number of
              Sinkhorn iterations;
            - residual : ndarray of float of shape (n_sets, n_references), the residual that
              is compared with `tol`.

            Both are 0 with the other solvers.
        """
        state, sets = state_and_sets(self, X)
        n_iter, residual = state.diagnose(sets)
        check_finite_output(residual, "transport problem")
        return Bunch(n_iter=n_iter, residual=residual)

    @property
    def _n_features_out(self):
        return self.references_.size

    def _component_names(self):
        return component_names(self.references_)
