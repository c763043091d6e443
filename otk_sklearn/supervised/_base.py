"""Base class of `OTKClassifier` and `OTKRegressor`: the training of an embedding."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length, check_random_state

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn._utils.estimators import (
    FEATURE_CONSTRAINTS,
    DocumentedMixin,
    VectorsOutMixin,
    check_sample_weight,
    check_sum_of_weights,
    set_fitted,
)
from otk_sklearn._utils.progress import Percentage, Progress
from otk_sklearn._utils.sklearn_compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
    validate_parameters,
)
from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.embeddings._learning import learn_attributes
from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.embeddings._state import (
    component_names,
    fitted_state,
    state_and_sets,
    transport_of,
    with_state,
)
from otk_sklearn.matching._embedding_state import warn_if_far, warn_unconverged
from otk_sklearn.sets._arrays import as_fitted
from otk_sklearn.sets._long_tables import number_groups
from otk_sklearn.sets._misalignment import warn_if_misaligned
from otk_sklearn.sets._validation import (
    as_fitted_sets,
    as_sets,
    check_finite,
    check_finite_output,
    check_not_empty,
)
from otk_sklearn.sets._windows import window_parameters
from otk_sklearn.supervised._objective import Objective, parameters_of, state_at
from otk_sklearn.supervised._optimizers import (
    Adam,
    minimize_by_batches,
    minimize_whole,
    run_epoch,
)
from otk_sklearn.supervised._problem import Problem
from otk_sklearn.supervised._training import (
    Monitor,
    Start,
    check_squares,
    evaluate,
    finish,
    has_diverged,
    initialize,
)

if TYPE_CHECKING:
    from otk_sklearn.sets._types import SetsLike


# Fewer sets than this are few enough for L-BFGS, and too few to hold some of them out.
_FEW_SETS = 200

# Number of batches in an epoch, as long as their sizes stay within these bounds. Small data
# needs small batches to get enough steps; large batches take less time for each set.
_BATCHES = 16
_BATCH_SIZES = 32, 256

_TRAINABLE = ("references", "anchors", "gamma")


def _check_not_by_element(targets, sets):
    """Raise an error for targets of the elements, in place of those of the sets."""
    if len(targets) == sets.offsets[-1] != len(sets):
        raise ValueError(
            f"y has {len(targets)} entries, the number of elements of X; expected one for "
            f"each of the {len(sets)} sets."
        )


class SupervisedEmbedding(
    DocumentedMixin,
    VectorsOutMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Base class: the embedding, its training, and the linear model."""

    _parameter_constraints: dict = {
        "embedding": [OTKEmbedding, None],
        "alpha": [Interval(Real, 0, None, closed="left"), StrOptions({"cv"})],
        "optimizer": [StrOptions({"auto", "adam", "lbfgs"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "training_tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "trainable": [StrOptions({"all"}), "array-like"],
        "refit_head": ["boolean"],
        "warm_start": ["boolean"],
        "n_jobs": FEATURE_CONSTRAINTS["n_jobs"],
        "random_state": FEATURE_CONSTRAINTS["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        embedding: OTKEmbedding | None = None,
        *,
        alpha: float | Literal["cv"] = "cv",
        optimizer: Literal["auto", "adam", "lbfgs"] = "auto",
        learning_rate_init: float = 0.2,
        batch_size: int | Literal["auto"] = "auto",
        max_epochs: int = 50,
        training_tol: float = 1e-4,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 20,
        trainable: Literal["all"]
        | Sequence[Literal["references", "anchors", "gamma"]] = "all",
        refit_head: bool = False,
        warm_start: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.embedding = embedding
        self.alpha = alpha
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.training_tol = training_tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.trainable = trainable
        self.refit_head = refit_head
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: SetsLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn the embedding and the linear model with the labels.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.
        y : array-like of shape (n_sets,) or (n_sets, n_outputs)
            Classes, labels or numbers, one or several for each set.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights. A set of weight 2 is the same as
            two of them.
        groups : array-like of shape (n_sets,), default=None
            Label of the group of each set, such as its patient or speaker. Groups are held
            out as a whole for `early_stopping`, and stay together in the folds of
            `alpha="cv"`, so that sets are not judged by a model that was trained on others
            of their group. None means that each set is on its own.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        model = copy.copy(self)  # one fitted state, even if another thread refits
        resuming = model.warm_start and hasattr(model, "embedding_")
        n_stages = 1 if resuming else 3
        progress = Progress(self).begin_fit(n_stages, X, y, sample_weight)
        sets = as_fitted_sets(model, X) if resuming else as_sets(X)
        warn_if_misaligned(X, y=y, sample_weight=sample_weight, groups=groups)
        with single_threaded(), np.errstate(all="ignore"):
            embedding = model._embedding_to_train(resuming)
            check_not_empty(sets, embedding.empty_sets, X)
            targets = model._problem(
                embedding, sets, y, sample_weight, groups, None, resuming
            )
            attributes = model._fit_attributes(embedding, *targets, resuming, progress)
        progress.end_fit(attributes)
        set_fitted(self, attributes)
        return self

    def _partial_fit(self, X, y, sample_weight, groups, classes=None):
        if self.early_stopping not in (False, "auto"):
            raise ValueError(
                "early_stopping=True is given with partial_fit, which holds no sets out; "
                "expected 'auto' or False."
            )
        model = copy.copy(self)
        resuming = hasattr(model, "embedding_")
        sets = as_fitted_sets(model, X) if resuming else as_sets(X)
        warn_if_misaligned(X, y=y, sample_weight=sample_weight, groups=groups)
        with single_threaded(), np.errstate(all="ignore"):
            embedding = model._embedding_to_train(resuming)
            check_not_empty(sets, embedding.empty_sets, X)
            targets = model._problem(
                embedding, sets, y, sample_weight, groups, classes, resuming
            )
            attributes = model._partial_fit_attributes(embedding, *targets, resuming)
        set_fitted(self, attributes)
        return self

    def transform(self, X: SetsLike) -> NDArray[np.floating]:
        """Embed sets.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.

        Returns
        -------
        ndarray of shape (n_sets, n_references * n_supports * n_components)
            In the order reference, support, component.
        """
        embeddings, sets = copy.copy(self)._embeddings(X)
        return self._as_output(embeddings, sets)

    @property
    def _n_features_out(self):
        return self.embedding_.references_.size

    def _component_names(self):
        return component_names(self.embedding_.references_)

    def _fit_attributes(self, embedding, target_attributes, problem, resuming, progress):
        """Train, and return the fitted attributes."""
        trainable = self._check_trainable()
        random = check_random_state(self.random_state)
        if not resuming:
            self._fit_unsupervised(embedding, problem, random, progress)
        with progress.stage("epochs", self.max_epochs):
            state = self._state(embedding, problem, resuming)
            return self._train(
                embedding, state, problem, trainable, random, progress, target_attributes
            )

    def _train(
        self, embedding, state, problem, trainable, random, progress, target_attributes
    ):
        """Train from this embedding on, and return the fitted attributes."""
        fraction = self._validation_fraction(problem)
        start = initialize(state, problem, self.alpha, fraction, random)
        part, holds_out = start.problem.subset(start.trained_on), len(start.held_out) > 0
        objective = Objective(
            state, start.parameters, part, trainable, self.refit_head, start.scales
        )
        check_squares(objective.start, "elements")  # of which anchors are made
        uses_adam = self._uses_adam(problem)

        def attributes_of(monitor):
            trained = finish(state, start, monitor.best, self.alpha == "cv")
            return {
                **target_attributes,
                **self._attributes(embedding, *trained, start.scales),
                "loss_curve_": list(monitor.losses),
                "validation_scores_": list(monitor.scores) if holds_out else None,
                "n_iter_": len(monitor.losses),
                "_adam_state": None,
                "_weight_seen": problem.weights.sum(),
                "_start_loss": start.loss,
            }

        def report(monitor, is_last):
            scores = monitor.scores if holds_out else []
            is_last = is_last or len(monitor.losses) == self.max_epochs
            stop = progress.end_epoch(
                monitor.losses, scores, lambda: attributes_of(monitor)
            )
            if not (stop or is_last):
                progress.begin_iteration("epoch")
            return stop

        monitor = Monitor(
            start,
            partial(evaluate, state, start) if holds_out or uses_adam else None,
            self.training_tol,
            self.n_iter_no_change,
            report,
        )
        if len(objective.start):  # otherwise there is only the linear model to fit
            progress.begin_iteration("epoch")
            if uses_adam:
                rate, batch_size = self.learning_rate_init, self._batch_size(problem)
                minimize_by_batches(
                    objective, rate, batch_size, self.max_epochs, random, monitor
                )
            else:
                minimize_whole(objective, self.max_epochs, monitor)
        if monitor.diverged:
            self._warn_diverged()
        return attributes_of(monitor)

    def _partial_fit_attributes(self, embedding, target_attributes, problem, resuming):
        """Train for one epoch, and return the fitted attributes."""
        trainable = self._check_trainable()
        random = check_random_state(self.random_state)
        if not resuming:
            self._fit_unsupervised(embedding, problem, random, Progress(self))
        state = self._state(embedding, problem, resuming)
        if resuming:
            start = self._resumed_start(state, problem)
        else:
            start = initialize(state, problem, self.alpha, None, random)
        # The penalty is scaled by the share of these sets among all seen so far.
        weight = problem.weights.sum()
        weight_seen = getattr(self, "_weight_seen", 0.0) + weight
        part = start.problem._replace(alpha=start.problem.alpha * weight / weight_seen)
        objective = Objective(
            state, start.parameters, part, trainable, self.refit_head, start.scales
        )
        adam = Adam(len(objective.start), getattr(self, "_adam_state", None))
        rates = self.learning_rate_init, self.learning_rate_init
        flat, loss = run_epoch(
            objective, adam, objective.start, self._batch_size(problem), rates, random
        )
        losses = list(getattr(self, "loss_curve_", []))
        if has_diverged(loss, min([start.loss, *losses])):
            self._warn_diverged()
            flat, adam_state = objective.start, None
        else:
            adam_state = adam.state
            losses.append(float(loss))
            if self.refit_head:
                objective = objective.refit(flat)
        parameters = objective.parameters(flat)
        head = parameters.coef, parameters.intercept
        trained = state_at(state, parameters), start.problem, head
        return {
            **target_attributes,
            **self._attributes(embedding, *trained, start.scales),
            "loss_curve_": losses,
            "validation_scores_": None,
            "n_iter_": len(losses),
            "_adam_state": adam_state,
            "_weight_seen": weight_seen,
            "_start_loss": start.loss,
        }

    def _warn_diverged(self):
        warn_caller(
            "The loss has diverged; the best state so far is kept. Decrease "
            f"learning_rate_init={self.learning_rate_init:g}.",
            ConvergenceWarning,
        )

    def _check_trainable(self):
        if isinstance(self.trainable, str):
            return _TRAINABLE
        unknown = [name for name in self.trainable if name not in _TRAINABLE]
        if unknown:
            raise ValueError(
                f"trainable has {unknown}; expected 'all', or some of {list(_TRAINABLE)}."
            )
        return tuple(self.trainable)

    def _problem(self, embedding, sets, y, sample_weight, groups, classes, resuming):
        """Return the fitted attributes of the targets, and the `Problem`."""
        check_finite(sets)
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the "
                "target y is None."
            )
        attributes, y, targets = self._encode(y, classes, resuming)
        _check_not_by_element(targets, sets)
        check_consistent_length(sets, targets)
        if resuming and targets.shape[1] != len(self._head[0]):
            raise ValueError(
                f"y has {targets.shape[1]} outputs; expected {len(self._head[0])}, as "
                "before."
            )
        weights = check_sample_weight(sample_weight, sets)
        if weights is None:
            weights = np.ones(len(sets))
        weights = weights * self._class_weight_of(y, weights, attributes)
        check_sum_of_weights(weights, "sample_weight, times class_weight if there is one,")
        if groups is not None:
            groups, _ = number_groups(groups, len(sets), "set")
        problem = Problem(sets, targets, weights, self._loss(attributes), groups=groups)
        windows = {"filter_size": embedding.filter_size, "padding": embedding.padding}
        if resuming:
            windows = window_parameters(embedding)
        problem = problem.subset(np.flatnonzero(weights * sets.lengths))
        problem = problem.distinct(**windows, position=embedding.position)
        return attributes, self._standardize(problem, resuming)

    def _embedding_to_train(self, resuming):
        return self.embedding_ if resuming else self._unfitted_embedding()

    def _unfitted_embedding(self):
        """Return the embedding to train, unfitted, with its parameters validated."""
        given = self.embedding
        embedding = OTKEmbedding(n_supports=10) if given is None else clone(given)
        if embedding.n_jobs is None:
            embedding.n_jobs = self.n_jobs
        embedding.verbose = embedding.verbose or self.verbose
        validate_parameters(embedding)
        return embedding

    def _fit_unsupervised(self, embedding, problem, random, progress):
        """Fit the embedding without labels."""
        has_no_random_state = embedding.random_state is None
        if has_no_random_state:
            embedding.random_state = random
        progress.verbose = embedding.verbose
        attributes, residual = learn_attributes(
            embedding, problem.sets, problem.weights, progress
        )
        progress.verbose = self.verbose
        set_fitted(embedding, attributes)
        which_sets = " that references were learned from"
        warn_unconverged(transport_of(embedding), residual, which_sets)
        if has_no_random_state:
            embedding.random_state = self.random_state

    def _state(self, embedding, problem, resuming):
        """Return the `EmbeddingState` to train."""
        if resuming:  # sets may not match those of the first fit
            return state_and_sets(embedding, problem.sets)[0]
        return fitted_state(embedding)

    @property
    def _head(self):
        """The linear model, its shapes checked against the embedding."""
        coef = as_fitted(self.coef_, "coef_", (None, self._n_features_out))
        return coef, as_fitted(self.intercept_, "intercept_", (len(coef),))

    def _resumed_start(self, state, problem):
        """The `Start` that continues from what has been learned so far."""
        coef, intercept = self._head
        scale = np.broadcast_to(problem.scale, intercept.shape)
        coef = coef / scale[:, np.newaxis]
        intercept = (intercept - problem.center) / scale
        return Start(
            problem._replace(alpha=self.alpha_),
            trained_on=slice(None),
            held_out=np.empty(0, int),
            parameters=parameters_of(state, coef, intercept),
            scales=self._parameter_scales,
            loss=self._start_loss,
        )

    def _attributes(self, embedding, state, problem, head, scales):
        embedding = with_state(embedding, state)
        coef, intercept = head
        scale = np.broadcast_to(problem.scale, intercept.shape)
        names = (
            "n_features_in_",
            "feature_names_in_",
            "_column_labels",
            "_single_elements",
        )
        return {
            "embedding_": embedding,
            "coef_": coef * scale[:, np.newaxis],
            "intercept_": intercept * scale + problem.center,
            "alpha_": problem.alpha,
            "_target_scaling": (problem.center, problem.scale),
            "_parameter_scales": scales,
            **{name: vars(embedding)[name] for name in names if name in vars(embedding)},
        }

    def _uses_adam(self, problem):
        if self.optimizer == "auto":
            return len(problem.weights) >= _FEW_SETS
        return self.optimizer == "adam"

    def _batch_size(self, problem):
        if self.batch_size == "auto":
            smallest, largest = _BATCH_SIZES
            return min(max(len(problem.weights) // _BATCHES, smallest), largest)
        return self.batch_size

    def _validation_fraction(self, problem):
        """The part of the sets to hold out, or None."""
        early_stopping = self.early_stopping
        if early_stopping == "auto":
            early_stopping = len(problem.weights) >= _FEW_SETS
        if early_stopping and len(problem.weights) < 2:
            raise ValueError(
                "early_stopping=True holds sets out; expected at least 2 distinct ones, "
                f"got n_samples={len(problem.weights)}."
            )
        return self.validation_fraction if early_stopping else None

    def _standardize(self, problem, resuming):
        return problem

    def _class_weight_of(self, y, weights, attributes):
        return 1.0

    def _scores(self, X):
        """Return the scores of sets, and the copy of the estimator that they are from.

        Another thread may refit the estimator itself.

        Returns
        -------
        scores : ndarray of shape (n_sets, n_outputs)
        model : estimator
        """
        model = copy.copy(self)
        embeddings, _ = model._embeddings(X)
        coef, intercept = model._head
        with single_threaded(), np.errstate(all="ignore"):
            scores = embeddings @ coef.T + intercept
        check_finite_output(scores, "score")
        return scores, model

    def _embeddings(self, X):
        """Return the embeddings as an array, whatever `set_output`, and X as sets."""
        sets = as_fitted_sets(self, X)
        check_not_empty(sets, self.embedding_.empty_sets, X)
        state, sets = state_and_sets(self.embedding_, sets)
        embeddings, residual = state.embed(sets, Percentage.of(self.embedding_, sets))
        warn_unconverged(state.transport, residual)
        warn_if_far(state, sets, embeddings)
        return embeddings, sets
