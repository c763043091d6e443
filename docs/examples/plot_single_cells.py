"""Single cells: which type of cell tells that a patient is ill?
=============================================================

A patient is a set of cells, and the label is one of patients. Types of cells are more or
less frequent from patient to patient, whether ill or not; in those who are ill, the cells
of one type are in another state. Which pooling finds that, and what does one prediction
rest on?
"""

# %%
# Cells of 60 patients
# --------------------
# Generated, in place of principal components of genes: 20 numbers a cell. The cells of a
# site are shifted together, and so are those of a patient: what differs from site to site
# is no sign of illness. Of an AnnData,
# `SetCollection.from_anndata(adata, "patient", obsm="X_pca")` makes the same sets.
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import OTKEmbedding, SetCollection, SetPooling
from otk_sklearn.display import ImportanceDisplay
from otk_sklearn.inspection import element_contributions, element_plans

TYPES = np.array(["CD4 T", "CD8 T", "NK", "Mono", "B", "DC", "Plasma", "Platelet"])
SHARES = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.04, 0.03])

rng = np.random.default_rng(3)
centers = np.linspace(4, 1, 20) * rng.normal(size=(8, 20))
shift = rng.normal(size=20)
shift *= 3 / np.linalg.norm(shift)  # of monocytes, in patients who are ill
of_site = 0.3 * rng.normal(size=(6, 20))

patients = []
for i in range(60):
    n_cells = rng.integers(100, 301)
    types = rng.choice(8, n_cells, p=rng.dirichlet(15 * SHARES))
    cells = centers[types] + rng.normal(size=(n_cells, 20))
    cells[types == 3] += i % 2 * shift
    cells = cells + of_site[i // 10] + 0.3 * rng.normal(size=20)
    disease = "ill" if i % 2 else "healthy"
    obs = {"patient": f"P{i:02d}", "site": i // 10, "disease": disease}
    patients.append(pd.DataFrame(cells).assign(cell_type=TYPES[types], **obs))
table = pd.concat(patients, ignore_index=True)

X = SetCollection.from_groups(table[list(range(20))].to_numpy(), table["patient"])
of_patient = table.groupby("patient")
y = X.align(of_patient["disease"].first())
sites = X.align(of_patient["site"].first())
print(X)
shares = pd.crosstab(table["patient"], table["cell_type"], normalize="index")
print(shares.agg(["mean", "min", "max"]).round(2))

# %%
# A score for new sites
# ---------------------
# Patients of a site are kept together: scores are those of sites that a model hasn't seen.
# Balanced transport sends the same mass to every support, so that a support for monocytes
# gets other cells, too, where these are few. With `relaxation`, it takes those that are
# like it, and the others give up their mass.
embeddings = {
    "mean": SetPooling(),
    "mean and deviation": SetPooling(["mean", "std"]),
    "balanced transport": OTKEmbedding(20, random_state=0),
    "transport, relaxed": OTKEmbedding(20, relaxation=0.1, random_state=0),
}
scores = {}
for name, embedding in embeddings.items():
    model = make_pipeline(
        embedding, StandardScaler(with_std=False), LogisticRegression(C=10, max_iter=1000)
    )
    scores[name] = cross_val_score(model, X, y, groups=sites, cv=GroupKFold(6))
    print(f"{name:<20} accuracy {scores[name].mean():.2f}")
model.fit(X, y)

# %%
# A map of patients
# -----------------
# The first two principal components of embeddings, which know no labels, show what differs
# most from patient to patient: of means, the shares of CD4 T cells and of monocytes; of the
# relaxed embedding, which patients have hardly any cells of some type. Who is ill is
# no matter of the largest variation; it takes labels to find it.
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6), layout="constrained")
for ax, name in zip(axes, ["mean", "transport, relaxed"]):
    places = PCA(2).fit_transform(embeddings[name].fit_transform(X))
    for label, color in [("healthy", "tab:blue"), ("ill", "tab:red")]:
        ax.scatter(*places[y == label].T, s=18, c=color, label=label)
    ax.set(title=name, xticks=[], yticks=[])
axes[1].legend()
plt.show()

# %%
# One prediction, by type of cell
# -------------------------------
# Contributions of the cells of a patient sum to the decision. With `by`, they are summed
# over cells of a type. Types are those of the table, in the order of the cells in the sets.
cell_type = table["cell_type"].to_numpy()[X.rows]
figure, axes = plt.subplots(2, 1, figsize=(6.5, 5.6), layout="constrained", sharey=True)
for ax, patient in zip(axes, ["P31", "P30"]):
    index = X.names.tolist().index(patient)
    ImportanceDisplay.from_estimator(model, X, index=index, by=cell_type, ax=ax)
# sphinx_gallery_thumbnail_number = 2
plt.show()

# %%
# Over all patients, which types tell those who are ill from those who are not?
found = element_contributions(model, X, by=cell_type)
sums = pd.DataFrame(found.sums[:, :, 0], index=X.names, columns=found.labels)
print(sums.groupby(y).mean().round(2))

# %%
# A patient without B cells
# -------------------------
# The cells of one patient, of which 4 % are B cells, and all but these. Three of the 20
# supports are for B cells: which cells do they get? Balanced, and relaxed on the side of
# cells, their mass is always the same, and without B cells, others fill them. With
# `support_relaxation`, their mass is the share of B cells: next to nothing without any.
index = X.names.tolist().index("P30")
cells, types = X[index], cell_type[X.offsets[index] : X.offsets[index + 1]]
plans = {
    "balanced": OTKEmbedding(20, random_state=0),
    "relaxation=0.1": OTKEmbedding(20, relaxation=0.1, random_state=0),
    "support_relaxation=0.03": OTKEmbedding(20, support_relaxation=0.03, random_state=0),
}
rows = {}
for name, embedding in plans.items():
    embedding.fit(X)
    mass = np.concatenate([plan[0] for plan in element_plans(embedding, X)])
    supports = mass[cell_type == "B"].sum(axis=0) > 0.5 * mass.sum(axis=0)
    for who, kept in [("with B cells", types != ""), ("without", types != "B")]:
        mass = element_plans(embedding, [cells[kept]])[0][0][:, supports].sum(axis=1)
        rows[name, who] = pd.Series(mass).groupby(types[kept]).sum()
table_of_masses = pd.DataFrame(rows).T.reindex(columns=TYPES).fillna(0)
print(table_of_masses.round(3).to_string())

ax = table_of_masses.plot.barh(stacked=True, figsize=(7, 3.4), width=0.75, cmap="tab10")
ax.set(xlabel="mass of the supports of B cells, by the cells that they get", ylabel="")
ax.set_yticks(ax.get_yticks(), [f"{name}\n{who}" for name, who in rows])
ax.invert_yaxis()
ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
ax.figure.set_layout_engine("constrained")
plt.show()
