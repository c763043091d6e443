"""`OTKClassifier`: an embedding that is trained with classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import label_binarize
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import (
    check_classification_targets,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import column_or_1d

from otk_sklearn._utils.sklearn_compat import StrOptions, fit_context
from otk_sklearn.sets._misalignment import warn_if_misaligned
from otk_sklearn.supervised._base import SupervisedEmbedding
from otk_sklearn.supervised._losses import LogisticLoss, SoftmaxLoss

if TYPE_CHECKING:
    from otk_sklearn.embeddings._otk import OTKEmbedding
    from otk_sklearn.sets._types import SetsLike


class OTKClassifier(ClassifierMixin, SupervisedEmbedding):
    """Classify sets of vectors by an embedding that is trained with the labels.

    References, anchors and bandwidth of an `OTKEmbedding` and a linear model of it are
    learned together, by the gradient of the loss: the softmax (several classes) or the
    logistic one (two classes; or several labels, each on its own).

    Parameters
    ----------
    embedding : OTKEmbedding, default=None
        The embedding to train. It is cloned, not modified, and first fitted without
        labels; parameters that are not trained stay as they are. Of a subclass, `fit` and
        `transform` are not called. None means `OTKEmbedding(n_supports=10)`: with labels,
        fewer supports are needed. To search over its parameters, as `embedding__epsilon`
        and so on, pass an embedding.
    alpha : float or "cv", default="cv"
        Strength of the L2 penalty on the linear model: `alpha / 2 ||coef||^2` is added to
        the sum of the losses of all sets, so that alpha is `1 / C` of scikit-learn's
        linear models. "cv" chooses by cross-validation of the linear model before
        training. If sets are held out, training uses ten times that value, as trained
        features need more regularization, and the final linear model uses 1, 10 or 100
        times that value, whichever gives the smallest loss on the sets held out. With
        fewer than 6 sets, it is 1.
    optimizer : {"auto", "adam", "lbfgs"}, default="auto"
        "adam" takes a step for each mini-batch; "lbfgs" uses all sets in each iteration,
        which is better for small data. "auto" is "lbfgs" for fewer than 200 sets, else
        "adam".
    learning_rate_init : float, default=0.2
        Learning rate of Adam. It is warmed up over the first hundred steps and decreases
        linearly to 0 at `max_epochs`. Steps are relative to the scale of each parameter
        (the norm of a support, the width of the kernel), so that they don't depend on the
        scale of the data. Ignored by "lbfgs".
    batch_size : int or "auto", default="auto"
        Approximate number of sets in a mini-batch. "auto" is a sixteenth of all sets, but
        at least 32 and at most 256. Ignored by "lbfgs".
    max_epochs : int, default=50
        Maximum number of passes of "adam" over the sets, or of iterations of "lbfgs".
    training_tol : float, default=1e-4
        Smallest change of the validation score or of the loss that counts as an
        improvement.
    early_stopping : bool or "auto", default="auto"
        Whether to hold out sets, whose score selects the best epoch and decides when to
        stop. Otherwise, the training loss does. "auto" is True from 200 sets on.
    validation_fraction : float, default=0.1
        Fraction of the sets to hold out; of whole groups, if `fit` is given `groups`. The
        final linear model is fitted to all sets.
    n_iter_no_change : int, default=20
        Training stops after this many consecutive epochs without an improvement.
    trainable : "all" or list of {"references", "anchors", "gamma"}, default="all"
        Parameters of the embedding to train. With an empty list, only the linear model is
        fitted.
    refit_head : bool, default=False
        Whether to alternate: the steps of an epoch change the embedding only, and the
        linear model is refitted exactly after each epoch. With "lbfgs", it is refitted in
        each evaluation of the objective.
    warm_start : bool, default=False
        Whether `fit` resumes training from `embedding_`. Parameters of `embedding` that
        have been changed since then have no effect. Validation scores are then optimistic
        if the embedding has been trained on sets that are now held out, or on others of
        their groups. See
        :term:`Glossary <warm_start>`.
    n_jobs : int, default=None
        Number of threads, used where `n_jobs` of the embedding is None. None means 1 unless
        in a :obj:`joblib.parallel_config` context, -1 means all processors. Results don't
        depend on it.
    random_state : int, RandomState instance or None, default=None
        Controls which sets are held out, the order of mini-batches and, where
        `random_state` of the embedding is None, the embedding that training starts from.
        See :term:`Glossary <random_state>`.
    verbose : bool, default=False
        Whether to print the loss and validation score of each epoch, and what a
        verbose `OTKEmbedding` prints.
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of classes, as elsewhere in scikit-learn. They multiply `sample_weight`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes; of several labels, their column numbers.
    embedding_ : OTKEmbedding
        The trained embedding, which can be used on its own. Its `n_iter_` and
        `objective_history_` are those of the embedding that training started from.
    coef_ : ndarray of shape (n_outputs, n_references * n_supports * n_components)
        Coefficients of the linear model of embeddings. For two classes, there is one
        output, positive for the second class.
    intercept_ : ndarray of shape (n_outputs,)
        Intercepts of the linear model.
    alpha_ : float
        Strength of the penalty that the final linear model was fitted with.
    loss_curve_ : list of float of length `n_iter_`
        Mean training loss, with the penalty, of each epoch (with Adam, the mean over its
        mini-batches).
    validation_scores_ : list of float of length `n_iter_`, or None
        Accuracy on the sets held out after each epoch; with several labels, subset
        accuracy.
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Number of features of an element seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only if X was a DataFrame.

    See Also
    --------
    OTKRegressor : The same for numbers.
    OTKEmbedding : The embedding, learned without labels.

    Notes
    -----
    Training starts from the embedding that is learned without labels and its best linear
    model, and follows the gradient of the loss through the transport plan. Plans are
    differentiated implicitly: the cost of a gradient doesn't depend on the number of
    Sinkhorn iterations, and it is exact for plans that have converged. Exact plans
    (`solver="emd"`) are treated as constants. The norms of references are kept fixed, and
    those of the anchors of the homogeneous kernel, which have no effect. Finally, the
    linear model is fitted exactly to all sets.

    Equal sets with equal targets are merged, their weights are added up, and the distinct
    ones are sorted: the result depends neither on the order of the sets nor on whether a
    set is repeated or has a larger weight.

    For scikit-learn's callbacks (from 1.9 on), each epoch is a task of `fit`. If a callback
    stops the fit, the best epoch so far is kept.

    References
    ----------
    .. [1] G. Mialon, D. Chen, A. d'Aspremont and J. Mairal, "A Trainable Optimal Transport
           Embedding for Feature Aggregation and its Relationship to Attention", ICLR 2021.
           https://arxiv.org/abs/2006.12065

    Examples
    --------
    >>> from otk_sklearn import OTKClassifier, OTKEmbedding
    >>> from otk_sklearn.datasets import load_digit_points
    >>> X, y = load_digit_points()
    >>> embedding = OTKEmbedding(5, n_components=16)
    >>> classifier = OTKClassifier(embedding, max_epochs=5, random_state=0)
    >>> classifier.fit(X[:500], y[:500]).score(X[500:], y[500:]) > 0.7
    True
    """

    __module__ = "otk_sklearn"  # where users import it from

    _parameter_constraints: dict = {
        **SupervisedEmbedding._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
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
        class_weight: dict[Any, float]
        | Literal["balanced"]
        | list[dict[Any, float]]
        | None = None,
    ) -> None:
        super().__init__(
            embedding=embedding,
            alpha=alpha,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            max_epochs=max_epochs,
            training_tol=training_tol,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            trainable=trainable,
            refit_head=refit_head,
            warm_start=warm_start,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: SetsLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these sets, by Adam at a constant learning rate.

        The first call initializes as `fit` does: the embedding is learned from these sets
        without labels, and its best linear model fitted; `alpha_` and the scales of the
        parameters are set. So it should get a representative part of the data. Callbacks
        and `verbose` are ignored.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.
        y : array-like of shape (n_sets,) or (n_sets, n_labels)
            Classes, or with several labels a column of zeros and ones for each.
        classes : array-like of shape (n_classes,), default=None
            All classes there are: needed in the first call, unless they are all in y.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set in the loss. None means equal weights.
        groups : array-like of shape (n_sets,), default=None
            As for `fit`: the first call keeps groups together in the folds of
            `alpha="cv"`; later ones don't need them.

        Returns
        -------
        self : object
            The estimator.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is given with partial_fit, which doesn't know all "
                "sets; expected weights of classes, or None."
            )
        return self._partial_fit(X, y, sample_weight, groups, classes)

    def score(
        self, X: SetsLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the accuracy of the predictions.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.
        y : array-like of shape (n_sets,) or (n_sets, n_labels)
            True classes, or labels.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights.

        Returns
        -------
        float
            The share of sets whose class is predicted; of several labels, all of them.
        """
        warn_if_misaligned(X, y=y, sample_weight=sample_weight)
        return super().score(X, y, sample_weight)

    def predict(self, X: SetsLike) -> NDArray[Any]:
        """Predict classes.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.

        Returns
        -------
        ndarray of shape (n_sets,) or (n_sets, n_labels)
            With several labels, 1 where a label is predicted and 0 elsewhere.
        """
        scores, model = self._scores(X)
        if model._multilabel:
            return (scores > 0).astype(int)
        if len(model.classes_) > 2:
            return model.classes_[scores.argmax(axis=1)]
        second = (scores[:, 0] > 0) & (len(model.classes_) == 2)
        return model.classes_[second.astype(int)]

    def decision_function(self, X: SetsLike) -> NDArray[np.floating]:
        """Compute the scores of the linear model.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.

        Returns
        -------
        ndarray of shape (n_sets,) or (n_sets, n_outputs)
            For two classes, positive where it is the second.
        """
        scores, model = self._scores(X)
        return scores if model._multilabel or scores.shape[1] > 1 else scores[:, 0]

    def predict_proba(self, X: SetsLike) -> NDArray[np.floating]:
        """Predict probabilities of classes.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.

        Returns
        -------
        ndarray of shape (n_sets, n_classes)
            With several labels, the probability of each.
        """
        return self._probabilities(X, softmax, expit)

    def predict_log_proba(self, X: SetsLike) -> NDArray[np.floating]:
        """Predict logarithms of probabilities of classes.

        They are finite where probabilities are too small for a float.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.

        Returns
        -------
        ndarray of shape (n_sets, n_classes)
            With several labels, of the probability of each.
        """
        return self._probabilities(X, log_softmax, log_expit)

    def _probabilities(self, X, of_classes, of_labels):
        """Apply the softmax, or the logistic function, to the scores of sets."""
        scores, model = self._scores(X)
        if model._multilabel:
            return of_labels(scores)
        if len(model.classes_) > 2:
            with np.errstate(over="ignore"):  # where scores are close to the largest float
                return of_classes(scores, axis=1)
        if len(model.classes_) == 1:
            return of_labels(np.full_like(scores, np.inf))
        return np.hstack([of_labels(-scores), of_labels(scores)])

    def _encode(self, y, classes, resuming):
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if y.ndim == 1 and y.dtype == object and any(label is None for label in y):
            i = y.tolist().index(None)
            raise ValueError(f"y is None for set {i}; expected a class for each set.")
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"y has shape {y.shape} and more than two values; expected classes, of "
                "shape (n_sets,), or labels that are 0 or 1, of shape (n_sets, n_labels)."
            )
        multilabel = kind == "multilabel-indicator"
        if resuming and multilabel != self._multilabel:
            raise ValueError(
                f"y is {kind}; expected {'labels' if self._multilabel else 'classes'}, as "
                "before."
            )
        known = self.classes_ if resuming else classes
        if multilabel and known is not None and len(known) != y.shape[1]:
            raise ValueError(f"y has {y.shape[1]} labels; expected {len(known)}: {known}.")
        found = np.arange(y.shape[1]) if multilabel else unique_labels(y)
        known = found if known is None else np.unique(known)
        unknown = np.setdiff1d(found, known)
        if len(unknown):
            raise ValueError(f"y has the classes {unknown}; expected some of {known}.")
        if (
            resuming
            and classes is not None
            and not np.array_equal(np.unique(classes), known)
        ):
            raise ValueError(f"classes is {classes}; expected {known}, as before.")
        targets = y.toarray() if issparse(y) else y
        if not multilabel:
            targets = label_binarize(y, classes=known)
        attributes = {"classes_": known, "_multilabel": multilabel}
        return attributes, y, np.asarray(targets, np.float64)

    def _loss(self, attributes):
        several = not attributes["_multilabel"] and len(attributes["classes_"]) > 2
        return SoftmaxLoss() if several else LogisticLoss()

    def _class_weight_of(self, y, weights, attributes):
        """The weight that each set has for its class."""
        class_weight, classes = self.class_weight, attributes["classes_"]
        if class_weight is None:
            return 1.0
        balanced = isinstance(class_weight, str)
        if attributes["_multilabel"]:
            if not balanced:
                return compute_sample_weight(class_weight, y)
            labels = y.toarray() if issparse(y) else y
            return np.prod([_balanced(label, weights) for label in labels.T], axis=0)
        label = np.searchsorted(classes, y)
        if balanced:
            return _balanced(label, weights)
        if not isinstance(class_weight, dict) or set(class_weight) - set(classes.tolist()):
            raise ValueError(
                f"class_weight is {class_weight}; expected weights of classes among "
                f"{classes} (a list of dicts is for several labels)."
            )
        of_class = np.array([class_weight.get(c, 1.0) for c in classes.tolist()], float)
        if not (np.isfinite(of_class) & (of_class >= 0)).all():
            raise ValueError(
                f"class_weight is {class_weight}; expected weights that are not negative."
            )
        return of_class[label]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _balanced(label, weights):
    """Weights of sets that make all classes weigh the same, on average 1."""
    label = label.astype(int)
    sizes = np.bincount(label, weights)
    total = weights.sum() / np.count_nonzero(sizes)
    return total / np.where(sizes > 0, sizes, np.inf)[label]
