"""The training problem: sets with targets, weights and a loss."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._equality import group_equal_sets
from otk_sklearn.sets._long_tables import number_groups
from otk_sklearn.supervised._losses import Loss

# Number of folds of cross-validation.
_N_FOLDS = 3

# Largest number of parts that groups are divided into, of which some are held out.
_MAX_PARTS = 100

# A part larger than an equal one by this factor is held out last.
_LARGE_FOLD = 1.5


@compared_by_identity
class Problem(NamedTuple):
    """The sets, their targets and weights, and the loss to minimize.

    Parameters
    ----------
    sets : SetCollection
    targets : ndarray of shape (n_sets, n_outputs)
        Standardized: the original targets are `scale * targets + center`.
    weights : ndarray of shape (n_sets,)
        Positive.
    loss : Loss
    center, scale : ndarray of shape (n_outputs,) or float
    alpha : float or None
        Strength of the L2 penalty `alpha / 2 ||coef||^2` on the sum of losses.
    groups : ndarray of int of shape (n_sets,) or None
        Sets of a group stay together when sets are held out and in cross-validation.
    """

    sets: SetCollection
    targets: np.ndarray
    weights: np.ndarray
    loss: Loss
    center: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0
    alpha: float | None = None
    groups: np.ndarray | None = None

    def subset(self, index):
        """Return the problem restricted to some of the sets."""
        return self._replace(
            sets=self.sets[index],
            targets=self.targets[index],
            weights=self.weights[index],
            groups=None if self.groups is None else self.groups[index],
        )

    def distinct(self, filter_size, padding, position):
        """Return the problem with equal sets of equal targets merged, and sorted.

        The result then depends neither on the order of sets nor on whether a set is
        repeated or has a larger weight. Sets of different groups are not merged: each is
        needed on its side of a split. Parameters are as in `group_equal_sets`.
        """
        # Targets come after the sets: their scale must not change the order of these.
        _, kind = group_equal_sets(self.sets, filter_size, padding, position)
        groups = np.zeros(len(kind)) if self.groups is None else self.groups
        keys = np.column_stack([kind, self.targets, groups])
        _, first, label = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        weights = np.bincount(label.ravel(), self.weights)
        distinct = self.subset(first)._replace(weights=weights)
        if self.groups is None:
            return distinct
        groups, _ = number_groups(distinct.groups, len(first), "set")
        return distinct._replace(groups=groups)

    def split(self, fraction, random):
        """Return the indices of the sets to train on, and of those to hold out."""
        if self.groups is not None:
            return self._split_groups(fraction, random)
        index, strata = np.arange(len(self.weights)), self.strata
        n_held_out = max(round(fraction * len(index)), min(2, len(index) // 2))
        n_held_out = min(n_held_out, len(index) - 1)
        if strata is not None:
            sizes = np.unique(strata, return_counts=True)[1]
            if sizes.min() < 2 or len(sizes) > min(n_held_out, len(index) - n_held_out):
                strata = None  # there are classes too small to be on both sides
        return train_test_split(
            index, test_size=n_held_out, stratify=strata, random_state=random
        )

    def _split_groups(self, fraction, random):
        """Return the indices of the groups to train on, and of those to hold out."""
        n_groups = self._n_groups("sets are held out", "early_stopping=False")
        limit = min(n_groups, _MAX_PARTS)
        part = Fraction(float(fraction)).limit_denominator(limit)
        part = min(max(part, Fraction(1, limit)), Fraction(limit - 1, limit))
        folds = [test for _, test in self._group_folds(part.denominator, random)]
        random.shuffle(folds)  # which group comes to the first one is not random
        # A fold with a group that is larger than a fold should be is better trained on.
        largest = _LARGE_FOLD * len(self.weights) / len(folds)
        folds.sort(key=lambda fold: len(fold) > largest)
        held_out = np.sort(np.concatenate(folds[: part.numerator]))
        return np.setdiff1d(np.arange(len(self.weights)), held_out), held_out

    def _n_groups(self, reason, instead):
        """Return the number of groups, which has to be at least 2."""
        n_groups = len(np.unique(self.groups))
        if n_groups < 2:
            raise ValueError(
                f"groups has {n_groups} distinct label where {reason}; expected at least "
                f"2 (among sets of positive weight), or {instead}."
            )
        return n_groups

    def _group_folds(self, n_folds, random):
        """Return pairs of indices that part no group: even, and stratified if possible."""
        strata = np.zeros(len(self.weights), int) if self.strata is None else self.strata
        sizes = np.bincount(strata)
        # Classes of fewer sets than folds can't be divided: they join the most frequent.
        strata = np.where(sizes[strata] < n_folds, sizes.argmax(), strata)
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=random)
        return list(splitter.split(strata, strata, self.groups))

    @property
    def strata(self):
        """The class of each set; None if sets don't have exactly one class."""
        return self.loss.strata(self.targets)

    def fit_linear_model(self, embeddings, start=None):
        """Return coef and intercept of the best linear model of the sets' embeddings."""
        return self.loss.fit_linear_model(
            embeddings, self.targets, self.weights, self.alpha, start
        )

    def score(self, scores):
        """Return accuracy or R^2, and the mean loss."""
        losses, _ = self.loss(scores, self.targets)
        mean_loss = np.average(losses, weights=self.weights)
        return self.loss.score(scores, self.targets, self.weights), mean_loss

    def folds(self, random):
        """Return pairs of masks, or indices, of training and test sets, if enough."""
        n_sets = len(self.weights)
        if n_sets < 2 * _N_FOLDS:
            return []
        if self.groups is not None:
            n_groups = self._n_groups("alpha='cv' is cross-validated", "alpha as a number")
            return self._group_folds(min(_N_FOLDS, n_groups), random)
        fold_of = random.permutation(n_sets) % _N_FOLDS
        if self.strata is not None:  # the folds of each class are as even as can be
            order = random.permutation(n_sets)
            order = order[np.argsort(self.strata[order], kind="stable")]
            fold_of[order] = np.arange(n_sets) % _N_FOLDS
        return [(fold_of != fold, fold_of == fold) for fold in range(_N_FOLDS)]

    def choose_alpha(self, embeddings, splits, alphas):
        """Return the penalty with the smallest loss on the test sets of these splits.

        Parameters
        ----------
        embeddings : ndarray of shape (n_sets, n_features)
        splits : list of pairs of indices
            Training and test sets.
        alphas : sequence of float
            Candidates, the strongest first.
        """
        totals = np.zeros(len(alphas))
        for fitted_to, tested in splits:
            part, test, head = self.subset(fitted_to), self.subset(tested), None
            for i, alpha in enumerate(alphas):
                head = part._replace(alpha=alpha).fit_linear_model(
                    embeddings[fitted_to], head
                )
                _, loss = test.score(embeddings[tested] @ head[0].T + head[1])
                totals[i] += loss * test.weights.sum()
        return alphas[totals.argmin()]
