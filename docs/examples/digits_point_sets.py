"""Handwritten digits as sets of points.
=====================================

Each image becomes the set of its lit pixels, with row, column and intensity: 16 to 42
points, in no order. Three ways to turn such a set into a vector for a linear classifier
are compared by cross-validation, and a picture shows what transport makes of some digits.

    python docs/examples/digits_point_sets.py [PICTURE.png]
"""

# %%
# The sets, and scaled elements: scikit-learn's scaler, applied to the points.
import sys
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding
from otk_sklearn.datasets import load_digit_points

matplotlib.use("Agg")  # the picture goes to a file, screen or no screen
from matplotlib import pyplot as plt

X, y = load_digit_points()
print(f"{X}\n")


# %%
# The cheapest ways to pool: the mean of the points, and their mean and deviation. These
# few numbers are scaled once more, to give them their best chance. The many of the
# embedding are centred: it changes nothing but the time, as the classifier's solver then
# needs far fewer iterations.
def mean(sets):
    return np.array([points.mean(axis=0) for points in sets])


def mean_and_deviation(sets):
    return np.array([np.r_[points.mean(axis=0), points.std(axis=0)] for points in sets])


embeddings = {
    "mean": make_pipeline(FunctionTransformer(mean), StandardScaler()),
    "mean and deviation": make_pipeline(
        FunctionTransformer(mean_and_deviation), StandardScaler()
    ),
    "OTKEmbedding()": make_pipeline(
        OTKEmbedding(random_state=0), StandardScaler(with_std=False)
    ),
}

# %%
# Each is followed by a logistic regression. Nothing is tuned.
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
# What is matched to what: two drawings each of five digits, and for each point the support
# that takes most of its mass. A reference of eight supports leaves few enough colours.
n_supports, classes = 8, [0, 1, 3, 4, 7]
chosen = np.concatenate([np.flatnonzero(y == digit)[:2] for digit in classes])
scaled = ElementTransformer(StandardScaler()).fit_transform(X)
embedding = OTKEmbedding(n_supports, random_state=0).fit(scaled)
plans = embedding.transport_plan(scaled[chosen])
colors = plt.get_cmap("tab10").colors[:n_supports]

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
figure.suptitle("Points of handwritten digits, coloured by the support they are sent to")

picture = Path(sys.argv[1] if len(sys.argv) > 1 else "digits_point_sets.png").resolve()
figure.savefig(picture, dpi=150)
print(f"\nThe points of some digits, by the support they are sent to: {picture}")
