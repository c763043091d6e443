"""Time and memory for as much data as SCOP 1.75 has, beside padded batches in PyTorch.

Residues are random numbers, 45 each, as many and as long as those of the complete data. The
network computes the same embedding of a part of the sequences, in padded batches of
sequences of like length, with all its iterations, and without gradients.
"""

import time

import numpy as np
import torch
from _discriminant import Discriminant
from _peak_memory import peak_memory
from _proteins import stand_in
from _unrolled_layer import UnrolledPooling

BATCH = 64
N_BATCHES = 10  # of the network
ALPHA = 1e-4


def measure(embedding, data_home, fraction):
    """Print seconds of the processor, and the peak of memory so far, after each step."""
    sets, folds, (train, test) = stand_in(data_home, fraction)
    print(f"{len(sets):,} sequences, {len(sets.values):,} residues")
    timed("fit", lambda: embedding.fit(sets[train]))
    Z = timed("transform", lambda: embedding.transform(sets))
    rows = batches_of(sets)
    n_residues = sum(sets[batch].lengths.sum() for batch in rows)
    torch.set_num_threads(1)
    network = Network(embedding)
    pooled = timed(
        f"network, 100 iterations, {n_residues:,} residues",
        lambda: [network(sets[batch]) for batch in rows],
    )
    expected, found = Z[np.concatenate(rows)], np.concatenate(pooled)
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"largest difference, relative to the largest entry: {difference:.1e}")
    discriminant = timed("products of all pairs", lambda: Discriminant(Z, folds, train))
    timed("classifier", lambda: list(discriminant.scores(train, test, [ALPHA])))


def timed(name, function):
    """Return the result of a function; print how long it takes."""
    start = time.process_time()
    result = function()
    seconds = time.process_time() - start
    print(f"{name}: {seconds:.0f} s, peak {peak_memory() / 2**30:.1f} GiB", flush=True)
    return result


def batches_of(sets):
    """Return sequences of like length, in batches of all lengths there are."""
    by_length = np.argsort(sets.lengths, kind="stable")
    batches = np.array_split(by_length, -(-len(sets) // BATCH))
    chosen = np.linspace(0, len(batches) - 1, min(N_BATCHES, len(batches)))
    return [batches[i] for i in chosen.round().astype(int)]


class Network:
    """The formulas of a fitted embedding in PyTorch, on padded batches."""

    def __init__(self, embedding):
        self.size, self.exponent = embedding.filter_size, 2 * embedding.gamma_
        anchors = torch.from_numpy(embedding.anchors_).double()
        anchors = anchors / anchors.norm(dim=1, keepdim=True)
        self.anchors = anchors.float()
        gram = torch.exp(self.exponent * (anchors @ anchors.T - 1))
        eigenvalues, vectors = torch.linalg.eigh(gram)
        roots = eigenvalues.clamp(min=0).sqrt() + embedding.damping
        self.inverse_root = ((vectors / roots) @ vectors.T).float()
        references = torch.from_numpy(embedding.references_[0])
        self.pooling = UnrolledPooling(references, embedding.epsilon, n_iter=100)

    @torch.inference_mode()
    def __call__(self, sets):
        """Return embeddings as an array."""
        x = torch.from_numpy(sets.to_padded(fill_value=0.0))
        lengths = torch.from_numpy(sets.lengths)
        windows = x.unfold(1, self.size, 1).transpose(2, 3).flatten(2)
        norms = windows.norm(dim=2, keepdim=True).clamp(min=1e-12)
        cosines = windows / norms @ self.anchors.T
        features = norms * torch.exp(self.exponent * (cosines - 1)) @ self.inverse_root
        places = torch.arange(windows.shape[1])
        is_window = places < (lengths - self.size + 1).clamp(min=1)[:, None]
        return self.pooling(features, is_window).flatten(1).numpy()
