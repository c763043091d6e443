"""Handwritten digits as sets of points
====================================

Each image becomes the set of its lit pixels, with row, column and intensity: 16 to 42
points, in no order. Which embedding of such sets is best for a linear classifier?
Three are compared by cross-validation, and a figure shows transport plans of
some digits. `make demo` runs this, or, from the repository's folder::

    python docs/examples/digits_point_sets.py [PICTURE.png]
"""

# %%
# The sets
# --------
# The points of all drawings are in one array, with the offset of each drawing.
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
# The cheapest are the mean of the points, and their mean and standard deviation. These few
# features are scaled again, to give them their best chance. Those of the embedding
# are centred, which only saves time: the classifier's solver then needs far
# fewer iterations.
embeddings = {
    "mean": make_pipeline(SetPooling(), StandardScaler()),
    "mean and deviation": make_pipeline(SetPooling(["mean", "std"]), StandardScaler()),
    "OTKEmbedding()": make_pipeline(
        OTKEmbedding(random_state=0), StandardScaler(with_std=False)
    ),
}

# %%
# Points are scaled first, by `StandardScaler`, as the embedding depends on distances
# between them. A logistic regression follows. Nothing is tuned.
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
# Transport makes far fewer errors than means and standard deviations, with more features
# and somewhat more time.
#
# Transport plans
# ---------------
# Two drawings each of five digits, and for each point the support that receives most of its
# mass. A reference of eight supports keeps the number of colours small.
n_supports, classes = 8, [0, 1, 3, 4, 7]
chosen = np.concatenate([np.flatnonzero(y == digit)[:2] for digit in classes])
scaled = ElementTransformer(StandardScaler()).fit_transform(X)
embedding = OTKEmbedding(n_supports, random_state=0).fit(scaled)
plans = embedding.transport_plan(scaled[chosen])
# The colour-blind-safe palette of Okabe and Ito.
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
# The same parts of a drawing go to the same support. So two drawings are compared not by
# their overall means, but by the means of corresponding points.
