"""
Ten-minute tutorial
===================

From a table to a cross-validated score, and from there to an explained prediction.

The table is in long format: each row is an *element* (here a dark spot on paper),
some columns are its features, and one identifies the *set* it belongs to (here a drawing).
Each set has one label (here the digit that was drawn).
"""

# %%
# A table
# -------
# Drawings of threes and eights are in a long table, and their labels in a separate
# Series. Read your own from a file with `pandas.read_csv` or `pandas.read_parquet`.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection, SetPooling
from otk_sklearn.datasets import load_digit_points
from otk_sklearn.display import ImportanceDisplay
from otk_sklearn.inspection import element_contributions

points, digits = load_digit_points()
chosen = np.flatnonzero(np.isin(digits, [3, 8]))
points, digits = points[chosen], digits[chosen]

table = pd.DataFrame(points.values, columns=["row", "column", "ink"])
table.insert(0, "drawing", np.repeat(chosen, points.lengths))
labels = pd.Series(digits, index=pd.Index(chosen, name="drawing"), name="digit")
table.head()

# %%
# From the table to sets
# ----------------------
# `from_groups` makes a set of the rows of each drawing. Sets are in the order in which
# drawings first appear in the table; `align` puts labels into the same order, by name.
X = SetCollection.from_groups(table[["row", "column", "ink"]], table["drawing"])
y = X.align(labels)
print(X)
print(f"{len(y)} labels: {np.sum(y == 3)} threes, {np.sum(y == 8)} eights")

# %%
# From here on, everything is scikit-learn. Some sets are held out for the end.
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)

# %%
# A pipeline and its score
# ------------------------
# Three steps before the classifier: scaling of elements, as the embedding depends on
# distances between them; the embedding; and centring, which saves the classifier time.
pipeline = make_pipeline(
    ElementTransformer(StandardScaler()),
    OTKEmbedding(random_state=0),
    StandardScaler(with_std=False),
    LogisticRegression(max_iter=1000),
)
folds = StratifiedKFold(5, shuffle=True, random_state=0)
scores = cross_val_score(pipeline, X_train, y_train, cv=folds)
print(f"accuracy {scores.mean():.3f} +- {scores.std():.3f}")

# %%
# Is it worth it? The same pipeline with the mean and standard deviation of each column:
simple = make_pipeline(
    SetPooling(["mean", "std"]), StandardScaler(), LogisticRegression(max_iter=1000)
)
scores = cross_val_score(simple, X_train, y_train, cv=folds)
print(f"accuracy {scores.mean():.3f} +- {scores.std():.3f}")

# %%
# Better parameters
# -----------------
# The most important are the sharpness of plans (`epsilon`) and the number of supports.
grid = {
    "otkembedding__epsilon": [0.02, 0.05, 0.2],
    "otkembedding__n_supports": [10, 50],
}
search = GridSearchCV(pipeline, grid, cv=folds).fit(X_train, y_train)
print(search.best_params_, f"{search.best_score_:.3f}")
print(f"on drawings that were kept aside: {search.score(X_test, y_test):.3f}")

# %%
# One prediction, explained
# -------------------------
# A linear classifier is a weighted sum of the embedding's components, and each component is
# a sum over elements. So a decision is a sum over elements. This is the contribution of
# each spot of one drawing to "eight", positive or negative:
model = search.best_estimator_
eight = np.flatnonzero(y_test == 8)[0]
display = ImportanceDisplay.from_estimator(model, X_test, index=eight, columns=(1, 0))
display.ax_.set(xlabel="column", ylabel="row", aspect="equal", title="Why an eight?")
display.ax_.invert_yaxis()
plt.show()

# %%
# The contributions are available as numbers. With a constant, they sum to the decision:
explained = element_contributions(model, X_test[eight : eight + 1])
total = explained.contributions[0].sum() + explained.constant
print(total, model.decision_function(X_test[eight : eight + 1]))

# %%
# Next steps
# ----------
# - The :doc:`user guide </guide/index>`: other kinds of data, and what to use when.
# - :doc:`Examples </auto_examples/index>` on proteins, speech and motion.
# - :doc:`Pitfalls </guide/pitfalls>`, if a score is not what you expected.
