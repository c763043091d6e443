"""Time series: does order matter?
===============================

The order of the elements of a set is ignored. Windows (`filter_size`) make an element
of several consecutive steps, and position weights match what happens at the same time. Both
are parameters of :class:`~otk_sklearn.OTKEmbedding`, so a grid search can show whether they
help: here on two problems with different answers.
"""

# %%
# Two problems
# ------------
# In *JapaneseVowels*, nine speakers utter two vowels: sets of 7 to 26 frames with 12
# coefficients each. *GunPoint* has one number per step, the position of an actor's right
# hand: they draw a gun, or only point. All of its series have 150 steps, in a 3-D array
# whose last axis is time. Both have a predefined test set.
import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sktime.datasets import load_gunpoint

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection
from otk_sklearn.datasets import load_japanese_vowels
from otk_sklearn.display import ImportanceDisplay

train, test = {}, {}
for part, split in [(train, "train"), (test, "test")]:
    part["JapaneseVowels"] = load_japanese_vowels(split)
    series, y = load_gunpoint(split, return_type="numpy3d")
    part["GunPoint"] = SetCollection.from_series(series, time_axis=-1), y

figure, axes = plt.subplots(2, 2, figsize=(7.5, 4.6), layout="constrained", sharey="row")
for (name, (X, y)), axes_row in zip(train.items(), axes):
    for label, ax in zip(np.unique(y), axes_row):
        ax.plot(X[np.flatnonzero(y == label)[0]])
        ax.set_title(f"{name}, class {label}")
figure.supxlabel("step")
plt.show()

# %%
# One pipeline, one search
# ------------------------
# Elements are scaled, embedded and classified. The grid has three window lengths,
# each without positions, and with small and large `position_sigma`.
pipeline = Pipeline(
    [
        ("scale", ElementTransformer(StandardScaler())),
        ("embed", OTKEmbedding(20, random_state=0)),
        ("center", StandardScaler(with_std=False)),
        ("classify", LogisticRegression(max_iter=1000)),
    ]
)
windows = {"JapaneseVowels": [1, 3, 5], "GunPoint": [1, 5, 15]}
searches = {}
for name, (X, y) in train.items():
    grid = [
        {"embed__filter_size": windows[name], "embed__position": [None]},
        {
            "embed__filter_size": windows[name],
            "embed__position": ["gaussian"],
            "embed__position_sigma": [0.3, 0.1],
        },
    ]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    searches[name] = GridSearchCV(pipeline, grid, cv=folds).fit(X, y)

# %%
# The accuracies, means over five folds, as heat maps of the grid:
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6), layout="constrained")
columns = ["none", "sigma 0.3", "sigma 0.1"]
for (name, search), ax in zip(searches.items(), axes):
    scores = search.cv_results_["mean_test_score"]
    scores = np.column_stack([scores[:3], scores[3:].reshape(3, 2)])
    image = ax.imshow(scores, vmin=0.75, vmax=1, cmap="cividis")
    for (row, column), score in np.ndenumerate(scores):
        color = "black" if score > 0.88 else "white"
        ax.text(column, row, f"{score:.3f}", ha="center", va="center", color=color)
    ax.set(title=name, xlabel="position", ylabel="filter_size")
    ax.set_xticks(range(3), columns)
    ax.set_yticks(range(3), windows[name])
figure.colorbar(image, ax=axes, label="cross-validated accuracy", shrink=0.8)
# sphinx_gallery_thumbnail_number = 2
plt.show()

# %%
# On GunPoint, a bag of hand positions is less informative than *when* the hand is
# where, which positions add. On JapaneseVowels, frames identify the speaker in any
# order. There are few training sets (270 and 50), so accuracies are uncertain by some
# points, and small differences are not significant.
#
# On the test sets
# ----------------
# The searches have refitted the best setting of each problem to all training sets.
# This is their accuracy on the test sets, next to the same pipeline without any order:
for name, search in searches.items():
    unordered = pipeline.fit(*train[name]).score(*test[name])
    print(f"{name}: without order {unordered:.3f}, best {search.score(*test[name]):.3f}")
    for parameter, value in search.best_params_.items():
        print(f"    {parameter} = {value}")

# %%
# Few errors remain on JapaneseVowels:
X, y = test["JapaneseVowels"]
figure, ax = plt.subplots(figsize=(5, 4.6), layout="constrained")
ConfusionMatrixDisplay.from_estimator(
    searches["JapaneseVowels"], X, y, cmap="Blues", colorbar=False, ax=ax
)
ax.set(xlabel="speaker that was predicted", ylabel="speaker")
plt.show()

# %%
# The steps that decide
# ---------------------
# The decision of a linear model is a sum over supports, each of which is a sum over the
# steps sent to it. So each step of a series has a contribution, and these and a constant
# add up to the decision. Here is the series of the test set whose class is predicted with
# the largest margin:
model = searches["GunPoint"].best_estimator_
X, y = test["GunPoint"]
i = np.abs(model.decision_function(X)).argmax()
figure, (series_ax, ax) = plt.subplots(
    2, 1, figsize=(7.5, 4.6), layout="constrained", sharex=True
)
series_ax.plot(X[i])
series_ax.set(ylabel="hand", title=f"GunPoint, test series {i}, class {y[i]}")
ImportanceDisplay.from_estimator(model, X, index=i, ax=ax)
ax.set_xticks(range(0, 150, 25), range(0, 150, 25))
plt.show()
