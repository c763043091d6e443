"""Bandwidths and classifiers, chosen on the sets that `_problems.py` sets aside."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline

from otk_sklearn import KernelMeanEmbedding

PENALTIES = {"C": [1e-2, 1e-1, 1, 10, 100, 1000]}
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


class Scaler(TransformerMixin, BaseEstimator):
    """Centre features, and divide each by its deviation, or all by the root mean square.

    Either way, a penalty means the same for all embeddings.
    """

    def __init__(self, each=False):
        self.each = each

    def fit(self, X, y=None):
        """Learn means and deviations."""
        self.mean_, deviation = X.mean(axis=0), X.std(axis=0)
        if not self.each:
            deviation[:] = np.sqrt((deviation**2).mean())
        self.scale_ = np.where(deviation > 0, deviation, 1)
        return self

    def transform(self, X):
        """Centre and scale."""
        return (X - self.mean_) / self.scale_


def make_classifier(each=False, C=1.0):
    """Return the linear classifier that follows an embedding."""
    return make_pipeline(Scaler(each), LogisticRegression(C=C, max_iter=200))


def tune_classifier(Z, y):
    """Return the best cross-validated accuracy, and parameters for `make_classifier`.

    Those are the strongest penalty within a standard error of the best: the curve is flat,
    and its maximum as often as not far out.
    """
    tried = []
    for each in (False, True):
        scaled = Scaler(each).fit_transform(Z)
        if scaled.shape[1] > len(scaled):  # rotated, which changes nothing, and is faster
            scaled = PCA(svd_solver="full").fit_transform(scaled)
        model = LogisticRegression(max_iter=200)
        search = GridSearchCV(model, PENALTIES, cv=FOLDS).fit(scaled, y)
        means = search.cv_results_["mean_test_score"]
        errors = search.cv_results_["std_test_score"] / np.sqrt(FOLDS.get_n_splits())
        tried += [*zip(means, errors, PENALTIES["C"], [each] * len(means))]
    best, error, *_ = max(tried)
    good = [(C, -mean, each) for mean, _, C, each in tried if mean >= best - error]
    C, _, each = min(good)
    return best, {"each": each, "C": C}


def median_gamma(sets, memory):
    """Return the `gamma` of the median rule, of which those tried are multiples."""
    return KernelMeanEmbedding(memory=memory, random_state=0).fit(sets).gamma_
