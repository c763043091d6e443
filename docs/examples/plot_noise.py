"""Robustness to noise: relaxed transport
======================================

A transport plan sends every element of a set somewhere, so outliers contaminate
the supports that they are sent to. With `relaxation`, elements that resemble no support may
lose their mass. Here a classifier of handwritten digits is trained on clean drawings, and
tested on drawings with clutter around them. How much does relaxation help, and what does
it cost without clutter?
"""

# %%
# Drawings, and clutter
# ---------------------
# A digit is the set of its lit pixels: row, column and intensity. Clutter is random points
# in a wide frame around the drawing, of any intensity.
import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection
from otk_sklearn.datasets import load_digit_points


def with_clutter(X, n_points, random_state):
    """Append points in the frame around it to each drawing."""
    rng = np.random.default_rng(random_state)
    sets = []
    for points in X:
        # Points lie outside the drawing along one axis, and anywhere along the other.
        beyond = rng.choice([-1, 1], n_points) * rng.uniform(4.5, 7.5, n_points)
        places = np.column_stack([beyond, rng.uniform(-7.5, 7.5, n_points)])
        places = rng.permuted(places, axis=1) + 3.5
        intensity = rng.uniform(1, 16, n_points)
        sets.append(np.vstack([points, np.column_stack([places, intensity])]))
    return SetCollection.from_sets(sets)


X, y = load_digit_points()
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, random_state=0, stratify=y
)


def make_classifier(**params):
    return make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKEmbedding(max_iter=1000, random_state=0, **params),
        StandardScaler(with_std=False),
        LogisticRegression(max_iter=1000),
    )


# %%
# Row marginals of relaxed plans
# ------------------------------
# All points of a set have the same mass. The mass that the plan transports is the sum of
# their row. The three plots are of one drawing with ten points of clutter (rings);
# colours are a point's mass in the plan, relative to its original mass.
drawing = with_clutter(X_test[:1], n_points=10, random_state=0)
row, column, intensity = drawing[0].T
figure, axes = plt.subplots(1, 3, figsize=(7.5, 3.2), layout="constrained")
for ax, relaxation in zip(axes, [None, 0.3, 0.03]):
    scaler, embedding = make_classifier(relaxation=relaxation)[:2].fit(X_train)
    plan = embedding.transport_plan(scaler.transform(drawing))[0]
    mass = plan[0].sum(axis=1) * len(row)
    dots = ax.scatter(column, row, s=3 * intensity, c=mass, cmap="viridis", vmin=0, vmax=2)
    ax.scatter(column[-10:], row[-10:], s=120, facecolors="none", edgecolors="0.6")
    ax.set(title=f"relaxation={relaxation}", aspect="equal", xticks=[], yticks=[])
    ax.invert_yaxis()
    print(f"relaxation={relaxation}: clutter keeps {mass[-10:].mean():.0%} of its mass")
figure.colorbar(dots, ax=axes, label="mass in the plan", shrink=0.8)
plt.show()

# %%
# Accuracy
# --------
# Classifiers trained on clean drawings, for several values of `relaxation`, and
# test drawings with more and more clutter. Attention, `solver="softmax"`, is the limit
# of the scale, without any constraint on row marginals. One line is of classifiers
# with ten points of clutter in their training drawings, too.
settings = {str(value): {"relaxation": value} for value in [None, 1, 0.3, 0.1, 0.03]}
settings["attention"] = {"solver": "softmax"}
amounts = [0, 3, 10, 20]
tests = {n: with_clutter(X_test, n, random_state=n) for n in amounts}
X_cluttered = with_clutter(X_train, 10, random_state=1)
clean = [make_classifier(**params).fit(X_train, y_train) for params in settings.values()]
cluttered = [
    make_classifier(**params).fit(X_cluttered, y_train) for params in settings.values()
]

figure, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(amounts)))
for n, color in zip(amounts, colors):
    scores = [classifier.score(tests[n], y_test) for classifier in clean]
    ax.plot(list(settings), scores, "o-", color=color, label=f"{n} points of clutter")
scores = [classifier.score(tests[10], y_test) for classifier in cluttered]
ax.plot(list(settings), scores, "s:", color=colors[2], label="10, in training too")
ax.set(xlabel="relaxation", ylabel="accuracy on test drawings", ylim=(None, 1))
ax.legend()
plt.show()

# %%
# With much clutter, a small value of `relaxation` restores most of the accuracy. It isn't
# free: without clutter, points that distinguish digits lose mass as well, and some
# accuracy is lost. Attention does about as well as the smallest values; `relaxation`
# interpolates between it and balanced transport. It helps little if clutter is in
# the training drawings: some supports then represent the clutter, so it is no longer far
# from all supports. So train on clean sets if there are any.
