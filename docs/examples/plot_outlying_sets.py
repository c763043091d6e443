"""Outlier detection: drawings of another digit
============================================

Which samples of a collection don't belong there? scikit-learn's outlier detectors take
vectors, so sets are embedded first. Here a few drawings of other digits are mixed with
many of one digit, and an :class:`~sklearn.ensemble.IsolationForest` has to find them
without labels.
"""

# %%
# A collection of each digit
# --------------------------
# MNIST's digits as sets of points: row, column and intensity of their pixels. For each
# digit there is a collection of 200 drawings of it and ten of other digits.
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ElementTransformer,
    KernelMeanEmbedding,
    OTKEmbedding,
    SetPooling,
)
from otk_sklearn.datasets import load_mnist_points

X, y = load_mnist_points()
rng = np.random.default_rng(0)
collections = {}
for digit in range(10):
    own = rng.choice(np.flatnonzero(y == digit), 200, replace=False)
    strange = rng.choice(np.flatnonzero(y != digit), 10, replace=False)
    collections[digit] = np.concatenate([own, strange])

# %%
# Embeddings only learn the elements of drawings, so they are fitted once, to all
# collections. The forest is then fitted to one collection at a time, and scores each
# drawing. The area under the ROC curve is the probability that an outlier has a higher
# score than an inlier: 0.5 for random scores.
embeddings = {
    "mean and deviation": SetPooling(["mean", "std"]),
    "mean of kernel features": KernelMeanEmbedding(random_state=0),
    "transport": OTKEmbedding(random_state=0),
}
seen = np.unique(np.concatenate(list(collections.values())))
areas, scores = pd.DataFrame(index=range(10), dtype=float), {}
for name, embedding in embeddings.items():
    pipeline = make_pipeline(ElementTransformer(StandardScaler()), embedding).fit(X[seen])
    for digit, members in collections.items():
        vectors = pipeline.transform(X[members])
        forest = IsolationForest(n_estimators=300, random_state=0).fit(vectors)
        scores[name, digit] = -forest.score_samples(vectors)
        areas.loc[digit, name] = roc_auc_score(y[members] != digit, scores[name, digit])
print(areas.mean().round(3).to_string())

ax = areas.plot(style=["s:", "^--", "o-"], figsize=(7, 4), xticks=range(10))
ax.set(xlabel="digit that the collection is of", ylabel="area under the ROC curve")
ax.figure.set_layout_engine("constrained")
plt.show()

# %%
# Transport detects outliers best, here for every digit. Outliers often differ by their
# strokes rather than by how much ink is where, which means don't capture.
#
# The detected outliers
# ---------------------
# These are the twelve drawings with the highest scores in four of the collections, by
# transport. Those of other digits are orange; the others are at least unusual.
figure, axes = plt.subplots(4, 1, figsize=(7.5, 3.2), layout="constrained")
for digit, ax in zip([0, 2, 4, 7], axes):
    members = collections[digit]
    highest = members[np.argsort(-scores["transport", digit])[:12]]
    for place, i in enumerate(highest):
        row, column, intensity = X[i].T
        color = "C0" if y[i] == digit else "C1"
        ax.scatter(28 * place + column, row, s=intensity / 100, c=color)
    ax.set(aspect="equal", xticks=[], yticks=[], xlim=(0, 28 * 12), ylim=(28, 0))
    ax.set_ylabel(digit, rotation=0, labelpad=12, va="center", fontsize="large")
    ax.spines[:].set_visible(False)
# sphinx_gallery_thumbnail_number = 2
plt.show()
