"""`OTKRegressor`: an embedding that is trained with numbers."""

import copy

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import check_array
from sklearn.utils.validation import column_or_1d

from otk_sklearn.supervised._base import SupervisedEmbedding
from otk_sklearn.supervised._losses import squared_loss


class OTKRegressor(RegressorMixin, SupervisedEmbedding):
    """Predict numbers from sets of vectors, by an embedding that is trained with them.

    References, anchors and bandwidth of an `OTKEmbedding` and a linear model of it are
    learned together, by the gradient of the squared error.

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

    Attributes
    ----------
    embedding_ : OTKEmbedding
        The trained embedding. It can be used on its own. (Its `n_iter_` and
        `objective_history_` are of what training started from.)
    coef_ : ndarray of shape (n_outputs, n_references * n_supports * n_components)
        Coefficients of the linear model of embeddings.
    intercept_ : ndarray of shape (n_outputs,)
        Its intercepts.
    alpha_ : float
        The penalty that the linear model was fitted with.
    loss_curve_ : list of float of length `n_iter_`
        Mean training loss with penalty, of each epoch (with Adam, on the way).
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

    Targets are standardized for training, each output by itself: `alpha` and learning
    rate don't depend on their scale.

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
    >>> spread = rng.uniform(1, 3, size=300)  # which the mean of a set knows nothing of
    >>> X = [rng.normal(scale=s, size=(30, 1)) for s in spread]
    >>> embedding = OTKEmbedding(5, n_components=16)
    >>> regressor = OTKRegressor(embedding, max_epochs=5, random_state=0)
    >>> regressor.fit(X[:200], spread[:200]).score(X[200:], spread[200:]) > 0.8
    True
    """

    __module__ = "otk_sklearn"  # where users import it from

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Go over these sets once, with Adam, at a constant learning rate.

        The first call should have a good part of the data. It starts as `fit` does, from an
        embedding learned from these sets without targets, and the best linear model of it;
        and it decides on `alpha_`, the scales of parameters and the scale of targets.
        Callbacks and `verbose` play no part.

        Parameters
        ----------
        X : sets
            As for `OTKEmbedding.fit`.
        y : array-like of shape (n_sets,) or (n_sets, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_sets,), default=None
            Weight of each set in the loss. None means equal weights.

        Returns
        -------
        self : object
            The estimator, one step further.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X):
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
        model = copy.copy(self)  # of one fit, even if another thread fits meanwhile
        scores = model._scores(X)
        return scores[:, 0] if model._one_output else scores

    def _encode(self, y, classes, resuming):
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return {"_one_output": y.ndim == 1}, y, y.reshape(len(y), -1)

    def _loss(self, attributes):
        return squared_loss

    def _standardize(self, problem, resuming):
        targets, weights = problem.targets, problem.weights
        if resuming:
            center, scale = self._scaling
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
