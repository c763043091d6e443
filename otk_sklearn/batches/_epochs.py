"""Training with labels on batches that come again and again, epoch by epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_scalar

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.supervised._base import SupervisedEmbedding

if TYPE_CHECKING:
    from otk_sklearn.sets._types import SetsLike


# Probability of a batch of one class, below which it's taken for a sign of sorted sets.
_BY_CHANCE = 1e-6


def fit_batches(
    estimator: SupervisedEmbedding,
    batches: Callable[[], Iterable[Any]] | Iterable[Any],
    *,
    sample: tuple[SetsLike, ArrayLike] | None = None,
    n_epochs: int = 10,
    classes: ArrayLike | None = None,
    validation: Callable[[], Iterable[Any]] | Iterable[Any] | None = None,
) -> Any:
    """Train an estimator on batches of sets with labels, in several passes over the data.

    The estimator starts from a sample of all data: the embedding is learned from it without
    labels, and `alpha` chosen on it. It is never the first batch that decides, which in
    files sorted by label or by date has some of the labels only. Then each batch is an
    epoch of `partial_fit`.

    Parameters
    ----------
    estimator : OTKClassifier or OTKRegressor
        Fitted in place. If it is fitted already, training goes on from its state.
    batches : callable or iterable
        Called without arguments for each epoch, it returns a fresh iterator of pairs
        `(X, y)`: `lambda: iter_sets(dataset, groups="id", target="label")`, say. Or an
        iterable that can be iterated over again, such as a list. Sets should come in random
        order.
    sample : tuple of sets and array-like, default=None
        A pair `(X, y)` to start from, as drawn by a `SetSampler`. Needed unless the
        estimator is fitted. To start from an embedding that has been learned already, let
        it be that of the estimator with its anchors and references:
        `OTKEmbedding(anchors=fitted.anchors_, gamma=fitted.gamma_,
        references=fitted.references_)`.
    n_epochs : int, default=10
        Number of passes over the batches.
    classes : array-like of shape (n_classes,), default=None
        All classes there are: needed if some are not in the sample.
    validation : callable or iterable, default=None
        Batches of other sets, as `batches`. The state is kept that has the best `score` on
        them, of those after each epoch and before the first one. None means the last state.

    Returns
    -------
    estimator : object
        The same estimator, fitted.

    Raises
    ------
    ValueError
        If there is no sample to start from, or an iterator has no batches left in a later
        epoch. After any error, the estimator is as it was; a note tells the batch.

    Warns
    -----
    UserWarning
        If all sets of a batch have the same class, which by the shares of the sample is
        improbable: sets are then sorted, and those trained on last count most.

    See Also
    --------
    SetSampler : Draws a sample.
    iter_sets : Reads batches with labels.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKClassifier
    >>> from otk_sklearn.batches import fit_batches
    >>> rng = np.random.default_rng(0)
    >>> def draw(n_sets):
    ...     y = rng.integers(2, size=n_sets)
    ...     return [rng.normal(size=(rng.integers(5, 30), 3)) + c for c in y], y
    >>> batches = [draw(50) for _ in range(4)]
    >>> clf = OTKClassifier(random_state=0)
    >>> clf = fit_batches(clf, batches, sample=draw(60), n_epochs=2, validation=[draw(50)])
    >>> clf.score(*draw(100))
    1.0
    """
    check_scalar(n_epochs, "n_epochs", Integral, min_val=1)
    if not isinstance(estimator, SupervisedEmbedding):
        raise TypeError(
            f"estimator is {type(estimator).__name__}; expected an OTKClassifier or an "
            "OTKRegressor, without steps before it: batches may come out of these."
        )
    is_fitted = hasattr(estimator, "embedding_")
    if sample is None and not is_fitted:
        raise ValueError(
            "sample is None, and the estimator is not fitted; expected sample=(X, y) to "
            "start from, drawn by a SetSampler. The first batch need not be like the rest."
        )
    model = copy.copy(estimator)
    mixture = _Mixture(None)
    if sample is not None:
        X, y = _pair(sample, "sample")
        if is_classifier(model) and np.ndim(y) == 1:
            mixture = _Mixture(y)
        options = {} if is_fitted or classes is None else {"classes": classes}
        model.partial_fit(X, y, **options)
    best = _Best(validation)
    best.update(model)
    for epoch in range(n_epochs):
        n_batches = 0
        for n_batches, batch in enumerate(_fresh(batches, "batches"), 1):
            X, y = _pair(batch, f"batch {n_batches - 1}")
            if not len(y):
                continue
            mixture.check(y, n_batches - 1)
            try:
                model.partial_fit(X, y)
            except Exception as error:
                error.add_note(f"In batch {n_batches - 1} of epoch {epoch}.")
                raise
        if not n_batches:
            raise ValueError(
                f"batches has none in epoch {epoch}; expected a function that returns a "
                "fresh iterator each time it is called, or a list."
            )
        best.update(model)
    estimator.__dict__ = vars(best.model)
    return estimator


class _Best:
    """The best state so far by its score on validation batches; without, the last one."""

    def __init__(self, validation):
        self._validation, self._score, self.model = validation, -np.inf, None

    def update(self, model):
        """Keep a copy of the model if it is the best."""
        if self._validation is not None:
            score = _score(model, _fresh(self._validation, "validation"))
            if score <= self._score:
                return
            self._score = score
        self.model = copy.copy(model)  # `partial_fit` replaces attributes, as `fit` does


def _score(model, batches):
    """Return the accuracy, or R^2, on all batches together, one in memory at a time."""
    truth, predicted = [], []
    for i, batch in enumerate(batches):
        X, y = _pair(batch, f"validation batch {i}")
        if len(y):
            truth.append(np.asarray(y))
            predicted.append(model.predict(X))
    if not truth:
        raise ValueError(
            "validation has no sets; expected a function that returns a fresh iterator of "
            "pairs (X, y) each time it is called, or a list of them."
        )
    score = accuracy_score if is_classifier(model) else r2_score
    return score(np.concatenate(truth), np.concatenate(predicted))


def _fresh(batches, name):
    """Return an iterator over all batches, from the first one on."""
    if callable(batches):
        return iter(batches())
    if isinstance(batches, Iterator):
        raise TypeError(
            f"{name} is an iterator, {type(batches).__name__}, which can be iterated over "
            f"once; expected a function that returns a fresh one: {name}=lambda: ..., or a "
            "list."
        )
    return iter(batches)


def _pair(batch, name):
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise TypeError(
            f"{name} is {type(batch).__name__}; expected a pair (X, y) of sets and labels."
        )
    return batch


class _Mixture:
    """Warns, once, if a batch has a single label that it can't have by chance.

    Parameters
    ----------
    labels : array-like or None
        Those of a sample; None knows nothing, and never warns.
    """

    def __init__(self, labels):
        self._labels = None if labels is None else np.asarray(labels)

    def check(self, labels, number):
        """Warn if all labels of this batch are the same one."""
        if self._labels is None:
            return
        labels = np.asarray(labels)
        share = (self._labels == labels[0]).mean()
        if (labels == labels[0]).all() and share ** len(labels) < _BY_CHANCE:
            self._labels = None
            warn_caller(
                f"All {len(labels)} sets of batch {number} have the label {labels[0]}, and "
                f"{share:.0%} of the sample. If sets are sorted by label, those trained on "
                "last count most: shuffle them beforehand.",
                UserWarning,
            )
