"""Token vectors pooled inside a network, in a grid search
=======================================================

Kernel features, transport and a linear layer, as one PyTorch network that skorch trains:
to scikit-learn, a classifier of sets of different sizes, in a pipeline and a grid search
like any other. How many supports does it need, and do its references need a good start?
"""

# %%
# Texts as sets of token vectors
# ------------------------------
# Token vectors are noisy copies of the meanings of four kinds of tokens, in 32 dimensions.
# A text has tokens of two kinds: in class 0, A and B, or C and D; in class 1, A and C, or B
# and D. Each kind is as frequent in both classes, so the mean of its tokens says little
# about a text.
import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from otk_sklearn import ElementTransformer, SetPooling
from otk_sklearn.datasets import make_cooccurrences
from otk_sklearn.torch import (
    KernelFeatures,
    OTKPooling,
    SetSequential,
    collate_sets,
    initialize,
)

rng = np.random.default_rng(0)
kinds, y = make_cooccurrences(400, noise=0, random_state=0)
meanings = rng.normal(size=(4, 32))
vectors = kinds.values @ meanings + 1.5 * rng.normal(size=(len(kinds.values), 32))
X = kinds.with_values(vectors.astype("float32"))
train, test = train_test_split(np.arange(400), test_size=0.4, random_state=0)
print(X)

mean = make_pipeline(SetPooling(), LogisticRegression()).fit(X[train], y[train])
print(f"accuracy of the mean: {mean.score(X[test], y[test]):.2f}")

# %%
# The network, and its start
# --------------------------
# The layers of a `SetSequential` get packed elements, here those of a batch that
# `collate_sets` has made of sets. Pooled sets are flattened for the linear layer.


def make_network(n_supports=2):
    return SetSequential(
        KernelFeatures(32, 64, gamma=1 / 64),
        OTKPooling(64, n_supports),
        nn.Flatten(),
        nn.Linear(n_supports * 64, 2),
    )


# %%
# Anchors and references are random at first. `initialize` learns them by K-means instead,
# without labels; as a callback of skorch, from the training sets of each fit.


class Initialize(Callback):
    def on_train_begin(self, net, X, y):
        batches = net.get_iterator(net.get_dataset(X))
        initialize(net.module_, batches, random_state=0)


torch.manual_seed(0)
classifier = NeuralNetClassifier(
    make_network,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    batch_size=20,
    max_epochs=6,
    train_split=None,
    callbacks=[("initialize", Initialize())],
    iterator_train__shuffle=True,
    iterator_train__collate_fn=collate_sets,
    iterator_valid__collate_fn=collate_sets,
    verbose=0,
)
model = make_pipeline(ElementTransformer(StandardScaler()), classifier)

# %%
# The search
# ----------
# Parameters of the network are `module__...`, and a callback set to None is left out.
name = "neuralnetclassifier"
supports = [1, 2, 4]
grid = {
    f"{name}__callbacks__initialize": [None, Initialize()],
    f"{name}__module__n_supports": supports,
}
search = GridSearchCV(model, grid, cv=3).fit(X[train], y[train])
print(f"chosen: {search.best_params_[f'{name}__module__n_supports']} supports")
print(f"accuracy on test texts: {search.score(X[test], y[test]):.2f}")

scores = search.cv_results_["mean_test_score"].reshape(2, -1)
figure, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
for start, of_start, style in zip(["random", "initialize"], scores, ["o--", "o-"]):
    ax.plot(range(len(supports)), of_start, style, label=start)
ax.set(xlabel="supports", ylabel="accuracy of cross-validation", ylim=(0, 1.05))
ax.set_xticks(range(len(supports)), supports)
ax.legend(title="start of references", loc="lower right")
plt.show()

# %%
# One support is the mean of all tokens, whatever its place, and fails. References that
# start well need fewer supports, or fewer epochs, which are six here.
#
# Which tokens go where
# ---------------------
# The layers of the chosen network can be called one by one. Here are the plans of all test
# texts, summed over tokens of one kind in the company of another: of whom is what a support
# receives?
scaler, classifier = search.best_estimator_
features, pooling = classifier.module_[:2]
inputs = collate_sets(list(scaler.transform(X[test])))
with torch.no_grad():
    plan = pooling.plan(features(inputs["x"]), inputs["index"])[0].numpy()

of_token = kinds[test].values.argmax(axis=1)
in_text = SetPooling("max").fit_transform(kinds[test])[inputs["index"]]  # which kinds are
rows = [(0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 3), (3, 1), (3, 2)]
masses = [plan[(of_token == k) & (in_text[:, other] == 1)].sum(axis=0) for k, other in rows]
share = masses / np.sum(masses, axis=0)

figure, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
image = ax.imshow(share, aspect="auto", cmap="Blues", vmin=0)
labels = [f"{'ABCD'[k]} with {'ABCD'[other]}" for k, other in rows]
ax.set(xlabel="support", ylabel="tokens of kind", xticks=range(share.shape[1]))
ax.set_yticks(range(len(rows)), labels)
figure.colorbar(image, label="share of what the support receives")
# sphinx_gallery_thumbnail_number = 2
plt.show()

# %%
# Where a token goes depends on its company, as all supports receive equal mass: the two
# kinds of a text divide them between each other. So what a support holds says which
# pair it is, and a linear layer can read that.
