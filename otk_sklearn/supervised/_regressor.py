"""`OTKRegressor`: an embedding that is trained with numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.validation import column_or_1d

from otk_sklearn._utils.sklearn_compat import fit_context
from otk_sklearn.sets._misalignment import warn_if_misaligned
from otk_sklearn.supervised._base import SupervisedEmbedding
from otk_sklearn.supervised._losses import SquaredLoss

if TYPE_CHECKING:
    from otk_sklearn.sets._types import SetsLike


class OTKRegressor(RegressorMixin, SupervisedEmbedding):
    """Predict numbers from sets of vectors, by an embedding that is trained with them.

    References, anchors and bandwidth of an `OTKEmbedding` and a linear model of it are
    learned together, by the gradient of the squared error.

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

    Attributes
    ----------
    embedding_ : OTKEmbedding
        The trained embedding, which can be used on its own. Its `n_iter_` and
        `objective_history_` are those of the embedding that training started from.
    coef_ : ndarray of shape (n_outputs, n_references * n_supports * n_components)
        Coefficients of the linear model of embeddings.
    intercept_ : ndarray of shape (n_outputs,)
        Intercepts of the linear model.
    alpha_ : float
        Strength of the penalty that the final linear model was fitted with.
    loss_curve_ : list of float of length `n_iter_`
        Mean training loss, with the penalty, of each epoch (with Adam, the mean over its
        mini-batches).
    validation_scores_ : list of float of length `n_iter_`, or None
        R^2 of the sets held out, after each epoch.
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Number of features of an element seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only if X was a DataFrame.

    See Also
    --------
    OTKClassifier : The same for classes.
    OTKEmbedding : The embedding, learned without targets.

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

    Each output is standardized for training, so that `alpha` and the learning rate don't
    depend on its scale.

    References
    ----------
    .. [1] G. Mialon, D. Chen, A. d'Aspremont and J. Mairal, "A Trainable Optimal Transport
           Embedding for Feature Aggregation and its Relationship to Attention", ICLR 2021.
           https://arxiv.org/abs/2006.12065

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKRegressor, OTKEmbedding
    >>> rng = np.random.default_rng(0)
    >>> spread = rng.uniform(1, 3, size=300)  # the mean of a set does not depend on it
    >>> X = [rng.normal(scale=s, size=(30, 1)) for s in spread]
    >>> embedding = OTKEmbedding(5, n_components=16)
    >>> regressor = OTKRegressor(embedding, max_epochs=5, random_state=0)
    >>> regressor.fit(X[:200], spread[:200]).score(X[200:], spread[200:]) > 0.8
    True
    """

    __module__ = "otk_sklearn"  # where users import it from

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: SetsLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on these sets, by Adam at a constant learning rate.

        The first call initializes as `fit` does: the embedding is learned from these sets
        without targets, and its best linear model fitted; `alpha_`, the scales of the
        parameters and the scale of targets are set. So it should get a representative part
        of the data. Callbacks and `verbose` are ignored.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.
        y : array-like of shape (n_sets,) or (n_sets, n_outputs)
            Targets.
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
        return self._partial_fit(X, y, sample_weight, groups)

    def score(
        self, X: SetsLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the coefficient of determination of the predictions, R^2.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.
        y : array-like of shape (n_sets,) or (n_sets, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set. None means equal weights.

        Returns
        -------
        float
            At most 1; 0 for the mean of y as constant prediction. Of several outputs, the
            mean.
        """
        warn_if_misaligned(X, y=y, sample_weight=sample_weight)
        return super().score(X, y, sample_weight)

    def predict(self, X: SetsLike) -> NDArray[np.floating]:
        """Predict targets.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.

        Returns
        -------
        ndarray of shape (n_sets,) or (n_sets, n_outputs)
            As y was in `fit`.
        """
        scores, model = self._scores(X)
        return scores[:, 0] if model._one_output else scores

    def _encode(self, y, classes, resuming):
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return {"_one_output": y.ndim == 1}, y, y.reshape(len(y), -1)

    def _loss(self, attributes):
        return SquaredLoss()

    def _standardize(self, problem, resuming):
        targets, weights = problem.targets, problem.weights
        if resuming:
            center, scale = self._target_scaling
        else:
            center = np.average(targets, axis=0, weights=weights)
            # By the largest first: squares of huge or tiny ones would leave their range.
            largest = np.abs(targets - center).max(axis=0)
            largest[largest == 0] = 1.0
            squares = ((targets - center) / largest) ** 2
            scale = largest * np.sqrt(np.average(squares, axis=0, weights=weights))
            scale[scale == 0] = 1.0
        targets = (targets - center) / scale
        return problem._replace(targets=targets, center=center, scale=scale)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
