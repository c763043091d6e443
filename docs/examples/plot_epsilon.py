"""Epsilon: from sharp plans to mean pooling
=========================================

`epsilon` controls how much a plan is blurred. With a small one, each element goes to few
supports; with a large one, all supports receive the same mean, and the embedding becomes
mean pooling. Which values between are best for accuracy, and what does a sharp plan
cost?
"""

# %%
# Plans of one set
# ----------------
# Plans between one digit, a set of points, and twelve supports. All have the same supports,
# as their learning doesn't depend on epsilon. Mind the scales: the sharper the plan, the
# larger its largest entries.
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, KernelMeanEmbedding, OTKEmbedding
from otk_sklearn.datasets import load_digit_points
from otk_sklearn.display import ConvergenceDisplay, TransportPlanDisplay

X, y = load_digit_points()
X, y = X[:800], y[:800]


def make_embedding(epsilon, n_supports):
    return make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKEmbedding(n_supports, epsilon=epsilon, max_iter=10_000, random_state=0),
    )


figure, axes = plt.subplots(2, 2, figsize=(7.5, 5), layout="constrained", sharex=True)
for epsilon, ax in zip([0.01, 0.05, 0.2, 1.0], axes.flat):
    embedding = make_embedding(epsilon, n_supports=12).fit(X)
    TransportPlanDisplay.from_estimator(embedding, X, index=0, kind="heatmap", ax=ax)
    ax.set_title(f"epsilon = {epsilon}")
    ax.set_xticks(range(0, len(X[0]), 5))
for ax in axes.flat:
    ax.label_outer()
plt.show()

# %%
# Accuracy
# --------
# As a function of epsilon, by cross-validation. Two lines are the limits: exact transport,
# by `solver="emd"`, and the mean of features. If all 30 supports hold this mean, the
# penalty of a linear model is a thirtieth; so the mean alone gets 30 times the `C`.
n_supports = 30
epsilons = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0]


def accuracy(embedding, C=10):
    center = StandardScaler(with_std=False)
    pipeline = make_pipeline(embedding, center, LogisticRegression(C=C, max_iter=1000))
    return cross_val_score(pipeline, X, y, cv=3).mean()


exact = make_embedding(0.05, n_supports).set_params(otkembedding__solver="emd")
mean = make_pipeline(
    ElementTransformer(StandardScaler()), KernelMeanEmbedding(random_state=0)
)
figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
scores = [accuracy(make_embedding(epsilon, n_supports)) for epsilon in epsilons]
ax.semilogx(epsilons, scores, "o-", label="entropic transport")
ax.axhline(accuracy(exact), color="black", ls="--", label="exact transport")
ax.axhline(accuracy(mean, C=10 * n_supports), color="0.5", ls=":", label="mean of features")
ax.set(xlabel="epsilon", ylabel="accuracy")
ax.legend()
plt.show()

# %%
# Accuracy hardly changes from 0.01 to 0.1, where supports still differ. Beyond, it
# falls, and ends near that of the mean. Exact transport is the limit at the other end, and
# a little blur does no harm. So `epsilon` is worth a search, but not a fine one.
#
# The cost of a sharp plan
# ------------------------
# Each dot is a set: the number of iterations until its plan reached `tol`, and its
# residual. The default is 100 iterations at most, with a warning about sets that
# don't reach `tol`.
figure, axes = plt.subplots(
    1, 3, figsize=(7.5, 3), layout="constrained", sharex=True, sharey=True
)
for epsilon, ax in zip([0.2, 0.05, 0.01], axes):
    embedding = make_embedding(epsilon, n_supports).fit(X)
    display = ConvergenceDisplay.from_estimator(embedding, X, ax=ax)
    ax.set_title(f"epsilon = {epsilon}")
    ax.label_outer()
    print(f"epsilon = {epsilon}: {display.n_iter.mean():.0f} iterations on average")
plt.show()
