"""Point clouds: which points decide?
==================================

A point cloud is a set of points: coordinates, and perhaps a normal and a colour for each.
This example classifies clouds of 200 to 1,500 points by all of these, compares that with
coordinates alone, and colours the points of some clouds by what they add to the decision.
"""

# %%
# The clouds
# ----------
# :func:`~otk_sklearn.datasets.make_solids` draws points on spheres, cubes and cylinders,
# whose upper or lower half is red: six classes.
import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetPooling
from otk_sklearn.datasets import make_solids
from otk_sklearn.inspection import element_contributions

CLASSES = [
    *("sphere, red above", "sphere, red below"),
    *("cube, red above", "cube, red below"),
    *("cylinder, red above", "cylinder, red below"),
]
X, y = make_solids(240, random_state=0)
X_test, y_test = make_solids(240, random_state=1)
shown = [np.flatnonzero(y_test == label)[0] for label in range(6)]


def draw(**options):
    """Draw a cloud of each class, with colours for its points."""
    figure, axes = plt.subplots(
        2, 3, figsize=(7.5, 5.4), layout="constrained", subplot_kw={"projection": "3d"}
    )
    for ax, i, name in zip(axes.ravel(order="F"), shown, CLASSES):
        own = {key: values[i] for key, values in options.items()}
        drawn = ax.scatter(*X_test[i][:, :3].T, s=5, depthshade=False, **own)
        ax.set_box_aspect((1, 1, 1), zoom=1.4)
        ax.set(title=name)
        ax.set_axis_off()
    return figure, axes, drawn


draw(c={i: X_test[i][:, 6:].clip(0, 1) for i in shown})
plt.show()

# %%
# Coordinates, normals, colours
# -----------------------------
# Means say nothing: all classes have the same. Transport compares points by all their
# features at once, so it finds what is red *and* above, and faces that look the same way.
columns = {
    "coordinates": [0, 1, 2],
    "and normals": [0, 1, 2, 3, 4, 5],
    "and colours": [0, 1, 2, 6, 7, 8],
    "all": list(range(9)),
}
poolings = {
    "mean": SetPooling(),
    "mean and deviation": SetPooling(["mean", "std"]),
    "OTKEmbedding": OTKEmbedding(10, random_state=0),
}


def pipeline(embedding):
    """Scale features, embed clouds, and classify them."""
    scaler, center = ElementTransformer(StandardScaler()), StandardScaler(with_std=False)
    return make_pipeline(scaler, embedding, center, LogisticRegression(max_iter=1000))


accuracies = [
    [
        pipeline(embedding)
        .fit(X.with_values(X.values[:, own]), y)
        .score(X_test.with_values(X_test.values[:, own]), y_test)
        for own in columns.values()
    ]
    for embedding in poolings.values()
]
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for k, (name, row) in enumerate(zip(poolings, accuracies)):
    bars = ax.bar(np.arange(4) + 0.27 * (k - 1), row, 0.25, label=name)
    ax.bar_label(bars, fmt="%.2f")
ax.axhline(1 / 6, color="gray", linestyle=":", label="chance")
ax.set(ylabel="test accuracy", ylim=(0, 1.12), xticks=range(4))
ax.set_xticklabels(columns)
ax.legend(loc="upper left", fontsize="small")
plt.show()

# %%
# The points that decide
# ----------------------
# The decision is a sum over the points of a cloud and a constant. Points in green speak
# for the class that is predicted, those in purple against it. Each point's share is
# multiplied by the number of points, so that clouds of any size have the same scale. A cube
# shows by its upper and lower faces: these cylinders are open, and have none.
model = pipeline(OTKEmbedding(10, random_state=0)).fit(X, y)
found = element_contributions(model, X_test[shown])
predicted = model.predict(X_test[shown])
print([CLASSES[label] for label in predicted])
parts = {
    i: len(X_test[i]) * found.contributions[k][:, predicted[k]] for k, i in enumerate(shown)
}
limit = np.quantile(np.abs(np.concatenate(list(parts.values()))), 0.98)
norm = plt.Normalize(-limit, limit)
figure, axes, drawn = draw(
    c=parts, cmap=dict.fromkeys(shown, "PiYG"), norm=dict.fromkeys(shown, norm)
)
figure.colorbar(drawn, ax=axes, label="contribution x number of points", shrink=0.7)
# sphinx_gallery_thumbnail_number = 3
plt.show()
