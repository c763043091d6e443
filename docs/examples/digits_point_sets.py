"""Handwritten digits as sets of points
====================================

Each image becomes the set of its lit pixels, with row, column and intensity: 16 to 42
points, in no order. Which way to turn such a set into a vector serves a linear classifier
best? Three are compared by cross-validation, and a picture shows what transport makes of
some digits. `make demo` runs this, or, from the repository's folder::

    python docs/examples/digits_point_sets.py [PICTURE.png]
"""

# %%
# The sets
# --------
# The points of all drawings lie in one array, and offsets tell where each drawing starts.
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetPooling
from otk_sklearn.datasets import load_digit_points

X, y = load_digit_points()
print(f"{X}\n")

# %%
# Three ways to pool
# ------------------
# The cheapest ones are the mean of the points, and their mean and deviation. These few
# numbers are scaled once more, to give them their best chance. The many of the embedding
# are centred: it changes nothing but the time, as the classifier's solver then needs far
# fewer iterations.
embeddings = {
    "mean": make_pipeline(SetPooling(), StandardScaler()),
    "mean and deviation": make_pipeline(SetPooling(["mean", "std"]), StandardScaler()),
    "OTKEmbedding()": make_pipeline(
        OTKEmbedding(random_state=0), StandardScaler(with_std=False)
    ),
}

# %%
# Points are scaled first, by scikit-learn's own scaler, as distances between them decide
# what is similar. A logistic regression follows. Nothing is tuned.
folds = StratifiedKFold(5, shuffle=True, random_state=0)
print(f"{'pooling':<20} {'features':>8} {'accuracy':>18} {'fit':>8} {'predict':>8}")
for name, embedding in embeddings.items():
    pipeline = make_pipeline(
        ElementTransformer(StandardScaler()), embedding, LogisticRegression(max_iter=1000)
    )
    scores = cross_validate(pipeline, X, y, cv=folds, return_estimator=True)
    accuracy = scores["test_score"]
    n_features = scores["estimator"][0][-1].n_features_in_
    print(
        f"{name:<20} {n_features:>8} {accuracy.mean():>9.3f} +- {accuracy.std():.3f}"
        f" {scores['fit_time'].mean():>6.2f} s {scores['score_time'].mean():>6.2f} s",
        flush=True,
    )

# %%
# Transport makes far fewer mistakes than means and deviations do, for more features and
# some more time.
#
# What is matched to what
# -----------------------
# Two drawings each of five digits, and for each point the support that takes most of its
# mass. A reference of eight supports leaves few enough colours.
n_supports, classes = 8, [0, 1, 3, 4, 7]
chosen = np.concatenate([np.flatnonzero(y == digit)[:2] for digit in classes])
scaled = ElementTransformer(StandardScaler()).fit_transform(X)
embedding = OTKEmbedding(n_supports, random_state=0).fit(scaled)
plans = embedding.transport_plan(scaled[chosen])
# Okabe and Ito's colours, which the colour-blind tell apart.
colors = "#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00 #F0E442 #000000".split()

figure, axes = plt.subplots(
    2, len(classes), figsize=(9, 4.2), layout="constrained", sharex=True, sharey=True
)
for i, plan, ax in zip(chosen, plans, axes.T.flat):
    row, column, intensity = X[i].T
    support = plan[0].argmax(axis=1)
    ax.scatter(column, row, s=12 * intensity, c=[colors[j] for j in support])
    ax.set(aspect="equal", xlim=(-0.7, 7.7), ylim=(7.7, -0.7), xticks=[], yticks=[])
for digit, ax in zip(classes, axes[0]):
    ax.set_title(f"digit {digit}")
handles = [plt.Line2D([], [], marker="o", ls="", color=color) for color in colors]
figure.legend(
    handles, range(n_supports), title="support", loc="outside right center", frameon=False
)
figure.suptitle("Points of handwritten digits, by the support they are sent to")
# sphinx_gallery_start_ignore
if "sphinx_gallery" not in sys.modules:  # which shows the figure itself
    picture = Path([*sys.argv, "digits_point_sets.png"][1]).resolve()
    figure.savefig(picture, dpi=150)
    print(f"\nThe points of some digits, by the support they are sent to: {picture}")
# sphinx_gallery_end_ignore

# %%
# The same parts of a drawing go to the same support. So what is compared between two
# drawings is not their overall mean, but the mean of those points that play the same part.
