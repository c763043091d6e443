"""From a pandas table to an explained error
=========================================

Sets often come as a long table: one row per measurement, and a column that identifies the
sample it belongs to. This example goes from such a table to a cross-validated
score, and then explains the worst error. The samples are handwritten digits,
but rows might as well be cells of patients, or purchases of customers.
"""

# %%
# A long table, and labels
# ------------------------
# A row is a dot of ink: its drawing, its coordinates, and its darkness. A second
# table has one label per drawing. Rows may be in any order, so these are shuffled.
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection
from otk_sklearn.display import ImportanceDisplay

digits = load_digits()
drawing, row, column = np.nonzero(digits.images)
dots = pd.DataFrame(
    {
        "drawing": [f"drawing-{i:04d}" for i in drawing],
        "column": column,
        "row": row,
        "ink": digits.images[drawing, row, column],
    }
).sample(frac=1, random_state=0)
labels = pd.Series(
    digits.target, index=[f"drawing-{i:04d}" for i in range(len(digits.images))]
)
print(dots.head())
print(dots.groupby("drawing").size().describe().round(1).to_string())

# %%
# Sets of rows
# ------------
# `from_groups` makes a set of the rows of each drawing. Sets are in the order in which the
# drawings first appear in the table; `align` puts labels in the same order, by name.
X = SetCollection.from_groups(dots[["column", "row", "ink"]], dots["drawing"])
y = X.align(labels)
print(X)

# %%
# A score
# -------
# Columns are scaled, sets embedded, embeddings centred (so that the
# classifier converges faster), and classified. All steps are fitted in each fold.
pipeline = make_pipeline(
    ElementTransformer(StandardScaler()),
    OTKEmbedding(20, random_state=0),
    StandardScaler(with_std=False),
    LogisticRegression(max_iter=1000),
)
scores = cross_val_score(pipeline, X, y, cv=3)
print(f"accuracy {scores.mean():.3f}, folds {scores.round(3)}")

# %%
# One error, explained
# --------------------
# Here each drawing is classified by a model that wasn't trained on it, and the most
# confident error is selected. What is evidence for the predicted label, and what for the
# true one? The decision of a linear classifier is a sum of contributions of the dots of a
# drawing.
probability = cross_val_predict(pipeline, X, y, cv=3, method="predict_proba")
doubt = probability.max(axis=1) - probability[np.arange(len(y)), y]
worst = doubt.argmax()
predicted = probability[worst].argmax()
print(f"{X.names[worst]} is a {y[worst]}, and was taken for a {predicted}")

others = np.arange(len(y)) != worst
pipeline.fit(X[others], y[others])
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6), layout="constrained")
for target, ax in zip([predicted, y[worst]], axes):
    display = ImportanceDisplay.from_estimator(
        pipeline, X, index=worst, target=target, columns=(0, 1), ax=ax
    )
    decision = display.contributions.sum() + display.constant
    ax.set_title(f"for a {target}: {decision:+.2f}")
    ax.set(aspect="equal", xlabel="column", ylabel="row")
    ax.invert_yaxis()
plt.show()

# %%
# Red dots are evidence for the digit, blue ones against it; titles show their sum
# with a constant. Dots at the upper left are evidence for both digits. Those at the
# upper right are evidence against the five, but hardly for the nine, and those in the
# middle against the nine: the loop of this one is open.
