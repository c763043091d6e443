"""Frequencies: relaxed masses of supports
==========================================

Balanced transport gives all supports the same mass: a set without elements of some kind
still fills its support, with the nearest elements that it has. How *frequent* kinds
are only shows in what spills over. With `support_relaxation`, masses of supports follow the
elements. When does that help, and what does it cost?
"""

# %%
# The same set under three plans
# ------------------------------
# Elements are of three kinds, as cells of a sample may be, and the reference is learned from
# samples in which all are equally frequent. In the sample drawn here, three quarters of the
# elements are of one kind. Each has the colour of the support that receives most of it; the
# bars are the masses of the supports.
import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetPooling
from otk_sklearn.datasets import load_digit_points

centers = np.array([[0.0, 0.0], [3.0, 0.5], [1.2, 2.6]])


def draw_sample(shares, n_elements, rng):
    kinds = rng.choice(3, n_elements, p=shares)
    return centers[kinds] + 0.5 * rng.normal(size=(n_elements, 2))


rng = np.random.default_rng(0)
even = [draw_sample(np.ones(3) / 3, 60, rng) for _ in range(20)]
embedding = OTKEmbedding(3, n_components=20, max_iter=1000, random_state=0).fit(even)
sample = draw_sample([0.75, 0.2, 0.05], 80, rng)

figure, axes = plt.subplots(
    2, 3, figsize=(7.5, 3.9), layout="constrained", height_ratios=[3, 1]
)
colors = np.array(["C0", "C1", "C2"])
titles = {None: "None: balanced", 0.1: "0.1", 1e-6: "1e-6: each by itself"}
for (ax, bars), (relaxation, title) in zip(axes.T, titles.items()):
    plan = embedding.set_params(support_relaxation=relaxation).transport_plan([sample])[0][0]
    ax.scatter(*sample.T, s=12, c=colors[plan.argmax(axis=1)])
    ax.set(title=title, aspect="equal", xticks=[], yticks=[])
    bars.bar(range(3), plan.sum(axis=0), color=colors)
    bars.set(ylim=(0, 0.8), xticks=[], yticks=[0, 1 / 3, 0.75])
    bars.set_yticklabels(["0", "1/3", "3/4"])
figure.suptitle("support_relaxation")
plt.savefig(f"/tmp/freq{plt.gcf().number}.png", dpi=80)

# %%
# Balanced plans send a part of the frequent kind to the supports of the other two. Without
# any penalty, each element goes by its own similarities alone: a soft bag of words. In
# between, each support receives most of its own kind, and rare kinds count more than by
# their frequency.
#
# Where frequencies decide, and where they don't
# ----------------------------------------------
# In the first problem, two classes differ in the shares of the kinds, which vary from sample
# to sample. The second are handwritten digits as sets of points: there, which point goes
# where tells more than how many there are.
def make_shares(n_sets, rng):
    labels = np.arange(n_sets) % 2
    means = np.array([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]])
    shares = [rng.dirichlet(60 * means[label]) for label in labels]
    return [draw_sample(share, rng.integers(100, 200), rng) for share in shares], labels


digits, digit_labels = load_digit_points()
problems = {
    "shares of kinds": make_shares(400, np.random.default_rng(1)),
    "digits": (digits[:900], digit_labels[:900]),
}
relaxations = [None, 10, 1, 0.1, 0.01, 1e-6]
folds = StratifiedKFold(5, shuffle=True, random_state=0)


def accuracy_of(embedding, X, y):
    pipeline = make_pipeline(
        ElementTransformer(StandardScaler()),
        embedding,
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),
    )
    return cross_val_score(pipeline, X, y, cv=folds).mean()


figure, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for color, (name, (X, y)) in zip(["C0", "C1"], problems.items()):
    scores = [
        accuracy_of(
            OTKEmbedding(10, max_iter=1000, support_relaxation=relaxation, random_state=0),
            X,
            y,
        )
        for relaxation in relaxations
    ]
    mean = accuracy_of(SetPooling(), X, y)
    ax.plot([str(relaxation) for relaxation in relaxations], scores, "o-", color=color)
    ax.axhline(mean, color=color, linestyle=":")
    ax.text(0.02, scores[0], name, color=color, va="bottom")
    print(f"{name}: {dict(zip(relaxations, np.round(scores, 3)))}, mean {mean:.3f}")
ax.set(xlabel="support_relaxation (dotted: mean pooling)", ylabel="accuracy")
plt.savefig(f"/tmp/freq{plt.gcf().number}.png", dpi=80)
