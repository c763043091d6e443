"""Kinds of sets: clustering without labels
========================================

Clustering algorithms take vectors, so sets have to be embedded first. Which embedding
groups sets of the same kind? Here K-means clusters three collections with five
embeddings, and is evaluated with labels, which were not used.
"""

# %%
# Five embeddings
# ---------------
# Three kinds of means, and transport to one reference or to several. Several references
# are learned by K-means of whole sets: each set is assigned to the most similar
# reference, so one reference per expected kind seems natural.
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ElementTransformer,
    KernelMeanEmbedding,
    OTKEmbedding,
    SetPooling,
)
from otk_sklearn.datasets import (
    load_basic_motions,
    load_digit_points,
    load_japanese_vowels,
)

digits, y_digits = load_digit_points()
problems = {
    "digits": (digits[:600], y_digits[:600]),
    "vowels": load_japanese_vowels("train"),
    "motions": load_basic_motions("train"),
}


def make_embeddings(n_kinds):
    return {
        "mean": make_pipeline(SetPooling(), StandardScaler()),
        "mean and deviation": make_pipeline(SetPooling(["mean", "std"]), StandardScaler()),
        "mean of kernel features": KernelMeanEmbedding(random_state=0),
        "transport": OTKEmbedding(random_state=0),
        "transport, several references": OTKEmbedding(
            10, n_references=n_kinds, random_state=0
        ),
    }


# %%
# Agreement with labels
# ---------------------
# There are as many clusters as classes: ten digits, nine speakers, four motions. The
# adjusted Rand index is 1 if clusters equal the classes, and 0 on average if they are
# random.
clusters, agreement = {}, pd.DataFrame()
for name, (X, y) in problems.items():
    n_kinds = len(np.unique(y))
    for embedding_name, embedding in make_embeddings(n_kinds).items():
        pipeline = make_pipeline(
            ElementTransformer(StandardScaler()),
            embedding,
            KMeans(n_kinds, n_init=10, random_state=0),
        )
        found = clusters[name, embedding_name] = pipeline.fit_predict(X)
        agreement.loc[embedding_name, name] = adjusted_rand_score(y, found)
print(agreement.round(2))

ax = agreement.T.plot.bar(figsize=(7.5, 4.2), rot=0, width=0.8, colormap="viridis")
ax.set(ylabel="adjusted Rand index", ylim=(0, 1.05))
ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
ax.get_legend().remove()
ax.figure.set_layout_engine("constrained")
plt.show()

# %%
# Transport finds the classes better than any mean, on all three collections, most clearly
# on the digits, whose means are hardly informative. A reference for each kind adds little
# or loses: one reference with more supports does about as well.
#
# The clusters
# ------------
# Each column shows drawings from one of the clusters that transport finds among the digits,
# with the most frequent digit and its share above.
X, y = problems["digits"]
found = clusters["digits", "transport"]
figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
labels = []
for cluster in range(10):
    members = np.flatnonzero(found == cluster)
    counts = np.bincount(y[members])
    labels.append(f"{counts.argmax()}\n{counts.max() / len(members):.0%}")
    for place, i in enumerate(members[:5]):
        row, column, intensity = X[i].T
        ax.scatter(10 * cluster + column, 10 * place + row, s=0.7 * intensity, c="C0")
ax.set_xticks(10 * np.arange(10) + 3.5, labels)
ax.set(aspect="equal", yticks=[], xlim=(-2, 99))
ax.tick_params(top=False, labeltop=True, bottom=False, labelbottom=False, length=0)
ax.invert_yaxis()
ax.spines[:].set_visible(False)
# sphinx_gallery_thumbnail_number = 2
plt.show()
