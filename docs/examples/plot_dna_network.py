"""A convolutional network for DNA: which motif, and where
=======================================================

Whether a stretch of DNA is a promoter depends on short motifs, and on where they are. A
convolution finds motifs; what pools its output over the sequence has to remember the rough
place. Here :class:`~otk_sklearn.torch.OTKPooling` with Gaussian positions does, trained
together with the convolution, and is compared with the usual poolings, which forget it.
"""

# %%
# Sequences
# ---------
# Random bases, 40 to 80 of them, with two motifs. In class 1, TATAAT is in the first half
# and GGCCAC in the second. In class 0, they have changed places, or one occurs twice and
# the other is missing.
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from otk_sklearn.torch import OTKPooling

FIRST, SECOND = "TATAAT", "GGCCAC"


def make_sequences(n_sequences, random_state):
    rng = np.random.default_rng(random_state)
    sequences, labels = [], rng.integers(2, size=n_sequences)
    for label in labels:
        wrong = [(SECOND, FIRST), (FIRST, FIRST), (SECOND, SECOND)]
        motifs = (FIRST, SECOND) if label else wrong[rng.integers(3)]
        bases = rng.choice(list("ACGT"), size=rng.integers(40, 81))
        for motif, (low, high) in zip(motifs, [(0.1, 0.35), (0.6, 0.85)]):
            start = int(rng.uniform(low, high) * len(bases))
            bases[start : start + len(motif)] = list(motif)
        sequences.append("".join(bases))
    return sequences, labels


sequences, labels = make_sequences(600, random_state=0)
test_sequences, test_labels = make_sequences(400, random_state=1)
for sequence, label in list(zip(sequences, labels))[:4]:
    print(label, sequence)

# %%
# A batch is padded one-hot vectors, with the lengths of its sequences.


def collate(batch):
    sequences, labels = zip(*batch)
    codes = [torch.tensor(["ACGT".index(base) for base in s]) for s in sequences]
    one_hot = [nn.functional.one_hot(code, 4).float() for code in codes]
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return pad_sequence(one_hot, batch_first=True), lengths, torch.tensor(labels)


# %%
# The network
# -----------
# A convolution with 16 filters, a ReLU, pooling, and a linear layer. The lengths say which
# rows are padding. All poolings map (batch, length, 16) to a row for each sequence.


class MaxPooling(nn.Module):
    def forward(self, x, lengths):
        is_padding = torch.arange(x.shape[1]) >= lengths[:, None]
        return x.masked_fill(is_padding[:, :, None], -torch.inf).amax(dim=1)


class MeanPooling(nn.Module):
    def forward(self, x, lengths):
        is_element = torch.arange(x.shape[1]) < lengths[:, None]
        return (x * is_element[:, :, None]).sum(dim=1) / lengths[:, None]


class Network(nn.Module):
    def __init__(self, pooling, n_pooled):
        super().__init__()
        self.convolution = nn.Conv1d(4, 16, kernel_size=7, padding="same")
        self.pooling = pooling
        self.classifier = nn.Linear(n_pooled, 2)

    def elements(self, x):
        return self.convolution(x.transpose(1, 2)).relu().transpose(1, 2)

    def forward(self, x, lengths):
        pooled = self.pooling(self.elements(x), lengths=lengths)
        return self.classifier(pooled.flatten(1))


# %%
# A plain training loop, the same for all poolings.


def train(network, n_epochs=15):
    data = list(zip(sequences, labels))
    loader = DataLoader(data, batch_size=30, shuffle=True, collate_fn=collate)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(n_epochs):
        for x, lengths, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x, lengths), y)
            loss.backward()
            optimizer.step()
    return network


x_test, test_lengths, y_test = collate(list(zip(test_sequences, test_labels)))


def accuracy(network):
    with torch.no_grad():
        predicted = network(x_test, test_lengths).argmax(dim=1)
    return (predicted == y_test).float().mean().item()


# %%
# Positions and place
# -------------------
# Positions of elements are counted along each sequence, from 0 to 1, whatever its length,
# and supports lie at even distances. A support receives the mean of what the convolution
# finds near it.
torch.manual_seed(0)
options = {"in_features": 16, "n_supports": 8, "epsilon": 0.3}
poolings = {
    "mean": MeanPooling(),
    "maximum": MaxPooling(),
    "transport": OTKPooling(**options),
    "transport,\nwith positions": OTKPooling(**options, position="gaussian"),
}
networks = {}
for name, pooling in poolings.items():
    n_pooled = 8 * 16 if isinstance(pooling, OTKPooling) else 16
    networks[name] = train(Network(pooling, n_pooled))

figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
bars = ax.barh(list(networks), [accuracy(network) for network in networks.values()])
ax.bar_label(bars, fmt="{:.2f}", padding=3)
ax.set(xlabel="accuracy on test sequences", xlim=(0, 1.1))
ax.invert_yaxis()
plt.show()

# %%
# The mean is that of all filters over dozens of bases, in which a motif drowns. The maximum
# shows which motifs there are, but not where: at best, it is right for five sequences in
# six. Transport alone ignores places, too. With positions, few errors are left.
#
# Where supports look
# -------------------
# `plan` returns the transport plans. This is that of a sequence of class 1: supports, from
# the start of the sequence to its end, take the bases at their places, and among these
# rather those that their own filters respond to.
network = networks["transport,\nwith positions"]
i = int(y_test.argmax())
sequence = test_sequences[i]
with torch.no_grad():
    elements = network.elements(x_test[i : i + 1, : len(sequence)])
    plan = network.pooling.plan(elements)[0, 0]

figure, axes = plt.subplots(
    2, 1, figsize=(8, 4), layout="constrained", sharex=True, height_ratios=[1, 2]
)
axes[0].bar(range(len(sequence)), elements[0].amax(dim=1), width=1, color="0.6")
axes[0].set(ylabel="strongest\nfilter", yticks=[])
image = axes[1].imshow(plan.T, aspect="auto", cmap="Blues")
axes[1].set(ylabel="support", xticks=range(len(sequence)), xticklabels=sequence)
axes[1].tick_params(axis="x", labelsize=7, length=0)
for motif in (FIRST, SECOND):
    start = sequence.find(motif) - 0.5
    for ax in axes:
        for end in (start, start + len(motif)):
            ax.axvline(end, color="C1")
    middle = start + len(motif) / 2
    axes[0].set_title(" ")
    axes[0].annotate(
        motif, (middle, 1.03), xycoords=("data", "axes fraction"), ha="center", color="C1"
    )
figure.colorbar(image, ax=axes[1], label="mass")
# sphinx_gallery_thumbnail_number = 2
plt.show()

# %%
# The sequence, and so the motif, may be a little longer or shorter: places are relative to
# the length. Maxima over eight parts of a sequence would know the place, too, but the parts
# have hard edges, which cut motifs; `position_sigma` is the width of a support's view.
