"""When does transport help?
=========================

All embeddings have the same interface, so a grid search over the embedding step of
a pipeline can find out. Here it is on three synthetic problems, each designed so that
some kind of pooling fails, and on a real one.
"""

# %%
# Problems
# --------
# - *Polygons*: points around the corners of a regular polygon, with three to six corners.
#   Means and covariances are all the same.
# - *Co-occurrences*: each set has two of four kinds of elements, and the class depends on
#   which two. The mean of *any* features of elements is the same in both classes.
# - *Rare elements*: points on a circle; in one class, one of them lies in its middle.
# - *Vowels*: utterances by nine speakers, as frames of speech.
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKEmbedding,
    SetPooling,
    SlicedWassersteinEmbedding,
)
from otk_sklearn.datasets import (
    load_japanese_vowels,
    make_cooccurrences,
    make_polygons,
    make_rare_elements,
)

problems = {
    "polygons": make_polygons(300, random_state=0),
    "co-occurrences": make_cooccurrences(300, random_state=0),
    "rare elements": make_rare_elements(300, random_state=0),
    "vowels": load_japanese_vowels("train"),
}
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), layout="constrained")
for (name, (X, y)), columns, ax in zip(problems.items(), [(0, 1), (0, 3), (0, 1)], axes):
    for label, marker in zip(np.unique(y)[-2:], "ox"):
        points = X[np.flatnonzero(y == label)[0]]
        ax.plot(*points[:, columns].T, marker, markersize=4, label=f"class {label}")
    ax.set(title=name, xticks=[], yticks=[])
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0))
plt.show()

# %%
# Seven ways to pool, one search
# ------------------------------
# `pool` is a step like any other. Its output is scaled, for a fair comparison,
# and the penalty of the classifier is searched as well.
poolings = {
    "mean": SetPooling(),
    "mean, std, min, max": SetPooling(["mean", "std", "min", "max"]),
    "Fisher vector": FisherVectorEmbedding(8, random_state=0),
    "sliced Wasserstein": SlicedWassersteinEmbedding(32, random_state=0),
    "kernel mean": KernelMeanEmbedding(random_state=0),
    "attention": OTKEmbedding(10, solver="softmax", random_state=0),
    "transport": OTKEmbedding(10, random_state=0),
}
pipeline = Pipeline(
    [
        ("scale", ElementTransformer(StandardScaler())),
        ("pool", None),
        ("standardise", StandardScaler()),
        ("classify", LogisticRegression(max_iter=1000)),
    ]
)
grid = {"pool": list(poolings.values()), "classify__C": [0.01, 1]}
accuracy = pd.DataFrame(index=list(poolings), dtype=float)
for name, (X, y) in problems.items():
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, grid, cv=folds, refit=False).fit(X, y)
    # A grid's last parameter by name, which is "pool", changes fastest.
    scores = search.cv_results_["mean_test_score"].reshape(2, len(poolings))
    accuracy[name] = scores.max(axis=0)

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
image = ax.imshow(accuracy, cmap="cividis", vmin=0, vmax=1, aspect="auto")
for (row, column), score in np.ndenumerate(accuracy.to_numpy()):
    color = "black" if score > 0.6 else "white"
    ax.text(column, row, f"{score:.3f}", ha="center", va="center", color=color)
ax.set_xticks(range(accuracy.shape[1]), accuracy.columns.str.replace(" ", "\n"))
ax.set_yticks(range(accuracy.shape[0]), accuracy.index)
figure.colorbar(image, label="cross-validated accuracy")
# sphinx_gallery_thumbnail_number = 2
plt.show()

# %%
# All kinds of pooling but one are little better than chance on some synthetic problem, and
# many are close to perfect on another. Means of kernel features and Fisher vectors
# distinguish distributions, the latter better than transport, but not co-occurrences.
# Attention detects these, but misses the one outlying element. Only transport does
# well on all four: every element has to be sent somewhere, and elements sent to different
# supports are not averaged.
#
# The real problem is easier: all do well there, and most of the differences are
# within the error of a cross-validation with 270 sets. So try the means first. If kernel
# means and transport don't beat them, the mean of a set is informative enough.
