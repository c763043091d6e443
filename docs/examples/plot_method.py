"""The method in pictures
======================

One handwritten digit, a set of points, is followed through every step: its features, the
reference, the transport plan, and the vector that comes out. Then one parameter is varied
at a time: what do epsilon, relaxation and position weights do to the plan?
"""

# %%
# From a set to a vector
# ----------------------
# A reference of six supports is learned from all digits. Lines are entries of the plan: the
# wider a line, the more mass a point sends to a support. Areas of supports are masses.
import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, KernelMeanEmbedding, OTKEmbedding
from otk_sklearn.datasets import load_digit_points

# sphinx_gallery_start_ignore
# Pictures for other pages, with text for light and for dark backgrounds.
# `python docs/examples/plot_method.py FOLDER` writes them into that folder.
DARK = dict.fromkeys(
    ["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"],
    "#ced6dd",
)
if "sphinx_gallery" in sys.modules:
    FOLDER = Path("../auto_examples/images")
else:
    FOLDER = Path([*sys.argv, "."][1])


def save_pictures(name, draw):
    for theme, colors in {"light": {}, "dark": DARK}.items():
        with plt.rc_context({**colors, "svg.hashsalt": name}):
            figure = draw()
            file = FOLDER / f"{name}_{theme}.svg"
            figure.savefig(file, transparent=True, metadata={"Date": None})
            plt.close(figure)


# sphinx_gallery_end_ignore
# The colour-blind-safe palette of Okabe and Ito.
COLORS = np.array("#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00".split())

X, y = load_digit_points()
scaler = ElementTransformer(StandardScaler()).fit(X)
digit = X[3]

learned = OTKEmbedding(6, n_components=16, random_state=0).fit(scaler.transform(X))
# A reference has no order. These supports are sorted from the top of the digit down.
sent = learned.transport_plan(scaler.transform([digit]))[0][0]
order = np.argsort(digit[:, 0] @ sent)
embedding = OTKEmbedding(
    anchors=learned.anchors_,
    gamma=learned.gamma_,
    references=learned.references_[:, order],
    max_iter=2000,
).fit(scaler.transform(X))


def plan_of(points, **parameters):
    """The transport plan of one set, with other parameters than those of `fit`."""
    defaults = {"epsilon": 0.05, "relaxation": None, "support_relaxation": None}
    embedding.set_params(**{**defaults, **parameters})
    return embedding.transport_plan(scaler.transform([points]))[0][0]


def draw_plan(ax, points, plan):
    """Points on the left, the supports on the right, and their plan as lines."""
    row, column, ink = points.T
    n_supports = plan.shape[1]
    right = np.column_stack([np.full(n_supports, 11.5), np.linspace(0, 7, n_supports)])
    element, support = np.nonzero(plan > 1e-3 / len(points))
    lines = np.stack([np.column_stack([column, row])[element], right[support]], axis=1)
    mass = plan[element, support] * len(points)
    colors = [to_rgba(COLORS[j], 0.6) for j in support]
    ax.add_collection(LineCollection(lines, linewidths=1.5 * mass, colors=colors, zorder=1))
    sizes = 2.2 * ink * plan.sum(axis=1) * len(points)
    ax.scatter(column, row, s=sizes, c=COLORS[plan.argmax(axis=1)], zorder=2)
    ax.scatter(*right.T, s=600 * plan.sum(axis=0), c=COLORS[:n_supports], zorder=2)
    ax.set(xlim=(-0.7, 12.6), ylim=(7.8, -0.8))
    ax.set_axis_off()


def draw_rows(ax, rows, colors=None):
    """Vectors as the rows of an image, with the colours of their supports beside them."""
    ax.imshow(rows, aspect="auto", cmap="coolwarm", vmin=-0.6, vmax=0.6)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if colors is not None:
        y = np.arange(len(rows))
        ax.scatter(np.full(len(rows), -1.5), y, c=colors, s=90, clip_on=False)


plan = plan_of(digit)
# The mean of the features of one point is those of the point.
points = scaler.transform([point[np.newaxis] for point in digit])
of_points = KernelMeanEmbedding(anchors=learned.anchors_, gamma=learned.gamma_)
features = of_points.fit_transform(points)
pooled = embedding.transform(scaler.transform([digit])).reshape(6, 16)
assert np.allclose(pooled, 6 * plan.T @ features)


def draw_method():
    figure, axes = plt.subplots(
        2, 3, figsize=(7.4, 5.4), layout="constrained", width_ratios=[1.4, 1, 1]
    )
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    ax_set, ax_features, ax_reference, ax_plan, ax_pooled, ax_vector = axes.flat

    row, column, ink = digit.T
    ax_set.scatter(column, row, s=4 * ink, color=plt.rcParams["text.color"])
    ax_set.set(xlim=(-3.5, 10.5), ylim=(7.8, -0.8))
    ax_set.set_axis_off()
    draw_rows(ax_features, features)
    draw_rows(ax_reference, embedding.references_[0], COLORS)
    draw_plan(ax_plan, digit, plan)
    draw_rows(ax_pooled, pooled, COLORS)
    ax_vector.bar(range(96), pooled.ravel(), width=1, color=np.repeat(COLORS, 16))
    ax_vector.set(xticks=[], yticks=[])
    ax_vector.spines[:].set_visible(False)

    texts = {
        "1. A set": f"{len(digit)} points with\nrow, column, ink",
        "2. Features": f"{len(digit)} vectors\nof 16 numbers",
        "3. Reference": "6 supports,\nlearned from all sets",
        "4. Transport plan": "each support gets\n1/6 of the mass",
        "5. Pooling": "means of what\neach support gets",
        "6. Embedding": "96 numbers,\nfor a set of any size",
    }
    for ax, (title, text) in zip(axes.flat, texts.items()):
        ax.set_title(title, fontsize=14, fontweight="bold")
        at_the_bottom = {"transform": ax.transAxes, "ha": "center", "va": "top"}
        ax.text(0.5, -0.06, text, fontsize=11.5, **at_the_bottom)
    return figure


draw_method()
plt.show()
# sphinx_gallery_start_ignore
save_pictures("method", draw_method)
# sphinx_gallery_end_ignore


# %%
# Epsilon
# -------
# With a small epsilon, a point goes to one support, or to two. With a large one, every
# support gets something of every point: all receive the same mean.
def draw_plans(points, settings):
    figure, axes = plt.subplots(
        1, len(settings), figsize=(7.4, 2.1), layout="constrained", sharex=True, sharey=True
    )
    for ax, (title, parameters) in zip(axes, settings.items()):
        draw_plan(ax, points, plan_of(points, **parameters))
        ax.set_title(title, fontsize=12)
    return figure


def draw_epsilon():
    settings = {f"epsilon={epsilon}": {"epsilon": epsilon} for epsilon in [0.01, 0.2, 1.0]}
    return draw_plans(digit, settings)


draw_epsilon()
plt.show()
# sphinx_gallery_start_ignore
save_pictures("method_epsilon", draw_epsilon)
# sphinx_gallery_end_ignore

# %%
# Relaxation on the side of the elements
# --------------------------------------
# Six points are added, where this digit has none (in circles). The areas of points are the
# masses that they send. Balanced, the added points send as much as the others. The smaller
# `relaxation`, the more of their mass they lose to points that are like some support.
clutter = np.array([[0, 0, 9], [2, 0, 9], [4, 7, 9], [5, 0, 9], [1, 7, 9], [7, 7, 9]])
cluttered = np.concatenate([digit, clutter])


def draw_relaxation():
    settings = {f"relaxation={rho}": {"relaxation": rho} for rho in [None, 0.1, 0.02]}
    figure = draw_plans(cluttered, settings)
    for ax in figure.axes:
        row, column = clutter.T[:2]
        ax.scatter(column, row, s=90, facecolors="none", edgecolors="0.6")
    return figure


draw_relaxation()
plt.show()
# sphinx_gallery_start_ignore
save_pictures("method_relaxation", draw_relaxation)
# sphinx_gallery_end_ignore

# %%
# Relaxation on the side of the supports
# --------------------------------------
# All points that go to one support (in a circle) are removed from the digit. Balanced, this
# support gets the same mass as before, from the nearest points that are left. With a small
# `support_relaxation`, it stays nearly empty: its mass follows how many points are like it.
removed = 4
kept = digit[plan.argmax(axis=1) != removed]


def draw_support_relaxation():
    figure, axes = plt.subplots(
        1, 3, figsize=(7.4, 2.1), layout="constrained", sharex=True, sharey=True
    )
    draw_plan(axes[0], digit, plan)
    draw_plan(axes[1], kept, plan_of(kept))
    draw_plan(axes[2], kept, plan_of(kept, support_relaxation=0.03))
    titles = ["all points, balanced", "without some, balanced", "support_relaxation=0.03"]
    for ax, title in zip(axes, titles):
        ax.scatter(11.5, 7 * removed / 5, s=260, facecolors="none", edgecolors="0.6")
        ax.set_title(title, fontsize=12)
    return figure


draw_support_relaxation()
plt.show()
# sphinx_gallery_start_ignore
save_pictures("method_support_relaxation", draw_support_relaxation)
# sphinx_gallery_end_ignore
for name, rho in {"balanced": None, "support_relaxation=0.03": 0.03}.items():
    mass = plan_of(kept, support_relaxation=rho).sum(axis=0)[removed]
    print(f"{name}: a mass of {mass:.3f}")

# %%
# Position weights
# ----------------
# Now the digit is an image of 8 x 8 pixels, each with its ink only, and the reference has
# 3 x 3 supports. What does the fifth get? Without positions, pixels of some ink, from
# anywhere. With them, pixels near the middle, from a wide or a narrow range.
images = load_digits().images[:, :, :, np.newaxis] / 16


def draw_position():
    figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.2), layout="constrained")
    axes[0].imshow(images[3], cmap="gray_r")
    axes[0].set_title("ink", fontsize=12)
    settings = {
        "position=None": {},
        "position_sigma=0.3": {"position": "gaussian", "position_sigma": 0.3},
        "position_sigma=0.1": {"position": "gaussian", "position_sigma": 0.1},
    }
    for ax, (title, parameters) in zip(axes[1:], settings.items()):
        on_grid = OTKEmbedding(
            9, n_components=16, max_iter=2000, random_state=0, **parameters
        ).fit(images)
        mass = on_grid.transport_plan(images[3:4])[0][0][:, 4]
        ax.imshow(mass.reshape(8, 8), vmin=0)
        ax.set_title(title, fontsize=12)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    return figure


draw_position()
plt.show()
# sphinx_gallery_start_ignore
save_pictures("method_position", draw_position)
# sphinx_gallery_end_ignore
