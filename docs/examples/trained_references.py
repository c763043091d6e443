"""References before and after training with labels
================================================

Handwritten digits as sets of points again. A reference of only four supports is learned
without labels, by K-means, and then trained jointly with a linear classifier. How much does
accuracy gain, and what do the supports respond to, before and after?
"""

# %%
# Two halves
# ----------
# Points are scaled, and half of the sets are for training.
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKClassifier, OTKEmbedding
from otk_sklearn.datasets import load_digit_points

X, y = load_digit_points()
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, random_state=0, stratify=y
)
scaler = ElementTransformer(StandardScaler()).fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

# %%
# Accuracy
# --------
# Without labels: the embedding, and a logistic regression whose penalty is cross-validated.
# With labels: the same embedding is the starting point of training.
n_supports = 4
before = OTKEmbedding(n_supports, random_state=0).fit(X_train)
logistic = GridSearchCV(
    make_pipeline(StandardScaler(with_std=False), LogisticRegression(max_iter=1000)),
    {"logisticregression__C": [0.1, 1, 10, 100, 1000]},
    cv=3,
).fit(before.transform(X_train), y_train)
classifier = OTKClassifier(OTKEmbedding(n_supports), random_state=0)
classifier.fit(X_train, y_train)
after = classifier.embedding_
scores = {
    "before": logistic.score(before.transform(X_test), y_test),
    "after": classifier.score(X_test, y_test),
}
for name, score in scores.items():
    print(f"{n_supports} supports, {name} training: accuracy {score:.3f}")

# %%
# With so few supports, labels avoid many of the errors.
#
# What supports respond to
# ------------------------
# A support lies in feature space, which can't be plotted. But each point of the
# plane has features too, and so a similarity to each support: a map of its response.
# The third coordinate of the points is their darkness; the maps show the darkest.
side = np.linspace(-0.5, 7.5, 65)
row, column = np.meshgrid(side, side, indexing="ij")
points = np.column_stack([row.ravel(), column.ravel(), np.full(row.size, 16.0)])
scaled = scaler.transform([points])


def similarities(embedding):
    """Similarity of each point to each support: embeddings of single points hold psi."""
    alone = scaled.values[:, np.newaxis]
    features = embedding.transform(alone).reshape(len(points), n_supports, -1)[:, 0]
    return (features @ embedding.references_[0].T).T.reshape(n_supports, *row.shape)


figure, axes = plt.subplots(
    2, n_supports, figsize=(9, 4.9), layout="constrained", sharex=True, sharey=True
)
for (name, score), embedding, axes_row in zip(scores.items(), [before, after], axes):
    for support, (ax, values) in enumerate(zip(axes_row, similarities(embedding))):
        extent = (-0.5, 7.5, 7.5, -0.5)
        ax.imshow(values, extent=extent, cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[], title=f"support {support}")
    axes_row[0].set_ylabel(f"{name}: accuracy {score:.3f}")
figure.colorbar(axes[0, 0].images[0], ax=axes, label="similarity of a dark point")
figure.suptitle("What four supports look for, before and after training with labels")
# sphinx_gallery_start_ignore
if "sphinx_gallery" not in sys.modules:  # which shows the figure itself
    picture = Path([*sys.argv, "trained_references.png"][1]).resolve()
    figure.savefig(picture, dpi=150)
    print(f"\nMaps of the supports: {picture}")
# sphinx_gallery_end_ignore

# %%
# Before training, each support responds to points in one broad region. After it, to finer
# shapes, and also to the absence of points: blue is a negative response.
