"""`OTKClassifier`: an embedding that is trained with classes."""

import copy

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import label_binarize
from sklearn.utils import check_array
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import (
    check_classification_targets,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import column_or_1d

from otk_sklearn.supervised._base import SupervisedEmbedding
from otk_sklearn.supervised._losses import logistic_loss, softmax_loss


class OTKClassifier(ClassifierMixin, SupervisedEmbedding):
    """Classify sets of vectors by an embedding that is trained with the labels.

    References, anchors and bandwidth of an `OTKEmbedding` and a linear model of it are
    learned together, by the gradient of the loss: the softmax (several classes) or the
    logistic one (two classes; or several labels, each on its own).

    Parameters
    ----------
    embedding : OTKEmbedding, default=None
        The embedding to train: which one training starts from, and all of it that isn't
        trained. It is cloned, not changed. None means `OTKEmbedding(n_supports=10)`: fewer
        supports are needed than without labels. Its parameters are set and searched by
        `embedding__epsilon` and so on.
    alpha : float or "cv", default="cv"
        Strength of the L2 penalty on the linear model: `alpha / 2 ||coef||^2` is added to
        the sum of the losses of all sets, so that alpha is `1 / C` of scikit-learn's
        linear models. "cv" chooses by cross-validation of the linear model before
        training. If sets are held out, training takes ten times that, as features that are
        trained do with less, and the last linear model takes 1, 10 or 100 times it,
        whatever is best on the sets held out. With fewer than 6 sets, it is 1.
    optimizer : {"auto", "adam", "lbfgs"}, default="auto"
        "adam" takes a step for each of many small batches, "lbfgs" looks at all sets in
        each of its iterations: for small data. "auto" is "lbfgs" for fewer than 200 sets.
    learning_rate_init : float, default=0.2
        Size of Adam's steps. It grows over the first hundred, and shrinks linearly, to
        nothing after `max_epochs`. Each parameter has a unit of its own (a support's norm,
        the kernel's width), so that the scale of the data plays no part. Not used by
        "lbfgs".
    batch_size : int or "auto", default="auto"
        Sets in a batch, about. "auto" is a sixteenth of all sets, but at least 32 and at
        most 256. Not used by "lbfgs".
    max_epochs : int, default=50
        Most times that Adam goes over all sets, or most iterations of "lbfgs".
    training_tol : float, default=1e-4
        What counts as an improvement, of the score or of the loss.
    early_stopping : bool or "auto", default="auto"
        Whether sets are held out, whose score decides on the best state, and on when to
        stop. Otherwise, the training loss does. "auto" is True from 200 sets on.
    validation_fraction : float, default=0.1
        The part of the sets to hold out. The linear model is at last fitted to all sets.
    n_iter_no_change : int, default=20
        Training stops after this many epochs in a row without an improvement.
    trainable : "all" or list of {"references", "anchors", "gamma"}, default="all"
        What of the embedding is trained. With an empty list, only the linear model is.
    refit_head : bool, default=False
        Trains in turns: the linear model is fitted exactly after each epoch, whose steps
        change the embedding only. With "lbfgs", it is fitted in each evaluation.
    warm_start : bool, default=False
        Whether `fit` goes on from the embedding that has been learned before, as it is:
        parameters of the embedding that have been changed since are of no effect. Scores of
        sets held out then flatter, where it has been trained on them. See
        :term:`Glossary <warm_start>`.
    n_jobs : int, default=None
        Number of threads, where the embedding's own `n_jobs` is None. None means 1 unless
        in a :obj:`joblib.parallel_config` context, -1 means all processors. Results don't
        depend on it.
    random_state : int, RandomState instance or None, default=None
        Decides the sets that are held out, the order of batches and, where the embedding's
        own `random_state` is None, what training starts from. See
        :term:`Glossary <random_state>`.
    verbose : bool, default=False
        Print loss and score of each epoch; besides, what `OTKEmbedding` prints.
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of classes, as elsewhere in scikit-learn. They multiply `sample_weight`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes; of several labels, their column numbers.
    embedding_ : OTKEmbedding
        The trained embedding. It can be used on its own. (Its `n_iter_` and
        `objective_history_` are of what training started from.)
    coef_ : ndarray of shape (n_outputs, n_references * n_supports * n_components)
        Coefficients of the linear model of embeddings. For two classes, there is one
        output, which speaks for the second.
    intercept_ : ndarray of shape (n_outputs,)
        Its intercepts.
    alpha_ : float
        The penalty that the linear model was fitted with.
    loss_curve_ : list of float of length `n_iter_`
        Mean training loss with penalty, of each epoch (with Adam, on the way).
    validation_scores_ : list of float of length `n_iter_`, or None
        Accuracy (of several labels, of all together) on the sets held out, by epoch.
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
    Training starts from what `OTKEmbedding` learns without labels, and from the best linear
    model of that. It then follows the gradient of the loss through the plan, which is
    differentiated implicitly: the gradient takes as long whatever Sinkhorn's iterations,
    and is exact for plans that have converged. The exact plan of `solver="emd"` counts as
    constant. References keep their norms, and so do the anchors of the homogeneous kernel,
    whose norms play no part. At last, the linear model is fitted exactly to all sets.

    Sets with equal elements and targets count as one of their weights' sum, in an order of
    their own: what is learned depends neither on the order of sets nor on whether they are
    repeated or weighted.

    scikit-learn's callbacks (from 1.9 on) see each epoch as a task of `fit`, and may stop
    it: the best state so far is kept.

    References
    ----------
    .. [1] G. Mialon, D. Chen, A. d'Aspremont and J. Mairal, "A Trainable Optimal Transport
           Embedding for Feature Aggregation and its Relationship to Attention", ICLR 2021.
           https://arxiv.org/abs/2006.12065

    Examples
    --------
    >>> from otk_sklearn import OTKClassifier, OTKEmbedding
    >>> from otk_sklearn.datasets._load import load_digit_points
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
        embedding=None,
        *,
        alpha="cv",
        optimizer="auto",
        learning_rate_init=0.2,
        batch_size="auto",
        max_epochs=50,
        training_tol=1e-4,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=20,
        trainable="all",
        refit_head=False,
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=False,
        class_weight=None,
    ):
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

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go over these sets once, with Adam, at a constant learning rate.

        The first call should have a good part of the data. It starts as `fit` does, from an
        embedding learned from these sets without labels, and the best linear model of it;
        and it decides on `alpha_` and the scales of parameters. Callbacks and
        `verbose` play no part.

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

        Returns
        -------
        self : object
            The estimator, one step further.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is given with partial_fit, which doesn't know all "
                "sets; expected weights of classes, or None."
            )
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X):
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
        model = copy.copy(self)  # of one fit, even if another thread fits meanwhile
        scores = model._scores(X)
        if model._multilabel:
            return (scores > 0).astype(int)
        if len(model.classes_) > 2:
            return model.classes_[scores.argmax(axis=1)]
        second = (scores[:, 0] > 0) & (len(model.classes_) == 2)
        return model.classes_[second.astype(int)]

    def decision_function(self, X):
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
        model = copy.copy(self)
        scores = model._scores(X)
        return scores if model._multilabel or scores.shape[1] > 1 else scores[:, 0]

    def predict_proba(self, X):
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
        model = copy.copy(self)
        scores = model._scores(X)
        if model._multilabel:
            return expit(scores)
        if len(model.classes_) > 2:
            with np.errstate(over="ignore"):  # where scores are close to the largest float
                return softmax(scores, axis=1)
        both = np.hstack([expit(-scores), expit(scores)])
        return both if len(model.classes_) == 2 else np.ones_like(scores)

    def _encode(self, y, classes, resuming):
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
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
        return softmax_loss if several else logistic_loss

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
                f"{classes} (a list of such is for several labels)."
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
