"""Peptides: which motifs make them antimicrobial?
===============================================

Antimicrobial peptides are short proteins that kill bacteria. Here a linear classifier of
:class:`~otk_sklearn.OTKEmbedding` learns to tell them from other peptides, and is then
asked what it has learned: what do supports stand for, and which residues of a peptide speak
for its class?
"""

# %%
# Sequences as sets of windows
# ----------------------------
# Each residue is an indicator vector, and each element a window of five residues in a row.
# The homogeneous kernel compares windows by the directions of these vectors: by how many
# letters they share, place by place. Half of the 5,200 sequences are for training.
# Sequences that come more than once are taken once, so that none is in both halves.
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
# With each embedding, the penalty that is best by cross-validation in the training half.
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
# The composition of a peptide, how often each residue comes, says a lot already. Which come
# together says more, and transport more than the mean of all windows.
#
# What supports stand for
# -----------------------
# Supports are points in a space of features; the windows that come closest to one, over
# many peptides, tell what it collects.
pipeline = pipelines["transport of windows"]
display = SupportsDisplay.from_estimator(
    pipeline, X[test], element_names=sequences[test], n_elements=4
)
plt.show()

# %%
# Residues that decide
# --------------------
# The decision of a linear model is a sum over supports, and a support's part is a sum over
# the elements that it was sent. So each residue has a share of the decision, and all shares
# and a constant add up to it. These are the two short peptides of the test half that the
# classifier is surest of: one that it takes for antimicrobial, and one that it doesn't.
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
# A window shares its part among its five residues, so neighbours have similar bars: it is
# motifs that speak, not letters. In the first peptide, two stretches that end in a cysteine
# (C) speak loudest, one of them with two lysines (K): their charge is indeed what draws
# such peptides to the membranes of bacteria. In the second, it is the start that speaks
# against it, and that is worth a second look:
begins = np.array([sequence.startswith("M") for sequence in sequences[train]])
for label, name in [(1, "antimicrobial"), (0, "other")]:
    print(f"{name}: {begins[y[train] == label].mean():.0%} begin with M")

# %%
# Proteins are made with a methionine (M) in front, which is cut off from many peptides that
# do something. So the classifier has learned in part from how the collection was made, and
# its accuracy on other data may be worse: an explanation can say so where a score can't.
