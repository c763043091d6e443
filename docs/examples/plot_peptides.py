"""Peptides: which motifs make them antimicrobial?
===============================================

Antimicrobial peptides are short proteins that kill bacteria. Here a linear classifier of
:class:`~otk_sklearn.OTKEmbedding` learns to distinguish them from other peptides, and is
then interpreted: what do supports represent, and which residues of a peptide are evidence
for its class?
"""

# %%
# Sequences as sets of windows
# ----------------------------
# Each residue is a one-hot vector, and each element a window of five consecutive residues.
# The homogeneous kernel compares windows by the directions of these vectors: by how many
# letters they share, position by position. Half of the 5,200 sequences are for training.
# Duplicate sequences are removed, so that none is in both halves.
import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import KernelMeanEmbedding, OTKEmbedding, SetPooling
from otk_sklearn.datasets import load_peptides
from otk_sklearn.display import ImportanceDisplay, SupportsDisplay

X, y, sequences = load_peptides()
_, first = np.unique(sequences, return_index=True)
train, test = train_test_split(first, random_state=0, test_size=0.5, stratify=y[first])

windows = {"filter_size": 5, "padding": "same", "kernel": "homogeneous", "gamma": 1.4}
# For each embedding, the penalty is chosen by cross-validation in the training half.
embeddings = {
    "composition": (SetPooling(), 1),
    "mean of windows": (KernelMeanEmbedding(128, random_state=0, **windows), 1),
    "transport of windows": (
        OTKEmbedding(20, n_components=128, epsilon=0.1, random_state=0, **windows),
        0.01,
    ),
}
figure, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
ax.set_prop_cycle(color=["tab:blue", "tab:orange", "tab:green"], linestyle=[":", "--", "-"])
pipelines = {}
for name, (embedding, C) in embeddings.items():
    pipeline = make_pipeline(
        embedding, StandardScaler(), LogisticRegression(C=C, max_iter=1000)
    )
    pipelines[name] = pipeline.fit(X[train], y[train])
    print(f"{name:<22} accuracy {pipeline.score(X[test], y[test]):.3f}")
    RocCurveDisplay.from_estimator(pipeline, X[test], y[test], name=name, ax=ax)
plt.show()

# %%
# The composition of a peptide, the frequencies of residues, is already informative. Windows
# are more so, and transport more than the mean of all windows.
#
# Interpreting supports
# ---------------------
# Supports are points in feature space; the windows nearest to one, over
# many peptides, show what it represents.
pipeline = pipelines["transport of windows"]
display = SupportsDisplay.from_estimator(
    pipeline, X[test], element_names=sequences[test], n_elements=4
)
plt.show()

# %%
# Residues that decide
# --------------------
# The decision of a linear model is a sum over supports, each of which is a sum over
# the elements sent to it. So each residue has a contribution, and the contributions
# and a constant add up to the decision. These are the most confident predictions for short
# peptides of the test half: one predicted to be antimicrobial, and one not.
decision = pipeline.decision_function(X[test])
decision[X.lengths[test] > 40] = 0  # short ones, to be legible
extremes = test[[decision.argmax(), decision.argmin()]]
figure, axes = plt.subplots(2, 1, figsize=(7.5, 5.5), layout="constrained", sharey=True)
for i, ax in zip(extremes, axes):
    print(f"{sequences[i]}: {'antimicrobial' if y[i] else 'not antimicrobial'}")
    ImportanceDisplay.from_estimator(
        pipeline, X, index=i, element_names=sequences[i], ax=ax
    )
# sphinx_gallery_thumbnail_number = 3
plt.show()

# %%
# The contribution of a window is divided among its five residues, so neighbours have
# similar bars: they show motifs, not letters. In the first peptide, two segments ending in
# a cysteine (C) contribute most, one of them with two lysines (K): their charge is indeed
# what attracts such peptides to bacterial membranes. In the second, the start is evidence
# against it, which is worth a second look:
begins = np.array([sequence.startswith("M") for sequence in sequences[train]])
for label, name in [(1, "antimicrobial"), (0, "other")]:
    print(f"{name}: {begins[y[train] == label].mean():.0%} begin with M")

# %%
# Proteins are synthesized with an initial methionine (M), which is cut off from many active
# peptides. So the classifier has in part learned how the collection was made, and
# its accuracy on other data may be worse: an explanation can show this, a score can't.
