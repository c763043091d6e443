"""What else computes the same embedding, or replaces it: one function per peer.

Each takes a `Workload` and returns the embeddings, of shape (n_sets, n_supports *
n_components); `nystroem_mean` alone returns something else, mean features.
"""

import functools

import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.preprocessing import normalize

BATCH = 128


def windows(elements, filter_size):
    """Windows of consecutive elements of one set, flattened."""
    view = np.lib.stride_tricks.sliding_window_view(elements, filter_size, axis=0)
    return view.swapaxes(1, 2).reshape(len(view), -1)


def features(elements, embedding):
    """Nyström features `psi` of the elements of one set, in NumPy."""
    x = windows(elements, embedding.filter_size)
    if embedding.kernel == "homogeneous":
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        cosines = (x / norms) @ embedding.anchors_.T
        kappa = norms * np.exp(2 * embedding.gamma_ * (cosines - 1))
    else:
        anchors = embedding.anchors_
        distances = (x**2).sum(axis=1)[:, np.newaxis] + (anchors**2).sum(axis=1)
        distances -= 2 * x @ anchors.T
        kappa = np.exp(-embedding.gamma_ * np.maximum(distances, 0))
    return kappa @ embedding.normalization_


def pot_loop(workload, max_iter=100, tol=None):
    """A loop over sets with `ot.sinkhorn`, which looks at its error every 10 iterations."""
    import ot

    embedding = workload.embedding
    reference = embedding.references_[0]
    n_supports = len(reference)
    b = np.full(n_supports, 1 / n_supports, np.float32)
    out = np.empty((len(workload.sets), reference.size), np.float32)
    for row, elements in zip(out, workload.sets):
        psi = features(elements, embedding)
        plan = ot.sinkhorn(
            np.full(len(psi), 1 / len(psi), np.float32),
            b,
            -psi @ reference.T,
            reg=embedding.epsilon,
            numItermax=max_iter,
            stopThr=0 if tol is None else tol,
            warn=False,
        )
        row[:] = n_supports * (plan.T @ psi).ravel()
    return out


def pot_batch(workload, max_iter=100, tol=None):
    """POT's batched Sinkhorn on sets padded with elements without mass."""
    from ot.batch import solve_batch

    embedding = workload.embedding
    reference = embedding.references_[0]
    n_supports, n_components = reference.shape
    out = []
    for start in range(0, len(workload.sets), BATCH):
        psi = [features(x, embedding) for x in workload.sets[start : start + BATCH]]
        longest = max(len(x) for x in psi)
        padded = np.zeros((len(psi), longest, n_components), np.float32)
        masses = np.full((len(psi), longest), 1e-30, np.float32)
        for i, x in enumerate(psi):
            padded[i, : len(x)] = x
            masses[i, : len(x)] = 1 / len(x)
        plan = solve_batch(
            -padded @ reference.T,
            reg=embedding.epsilon,
            a=masses,
            b=np.full((len(psi), n_supports), 1 / n_supports, np.float32),
            max_iter=max_iter,
            tol=0 if tol is None else tol,
            method="log_sinkhorn",
            grad="detach",
        ).plan
        pooled = n_supports * plan.swapaxes(1, 2) @ padded
        out.append(pooled.reshape(len(psi), -1))
    return np.concatenate(out)


def torch_padded(workload, max_iter=100, tol=None, batch_size=BATCH):
    """A network layer in PyTorch: batches padded to their longest set, and masks.

    Parameters
    ----------
    workload : Workload
    max_iter : int
    tol : float or None
        Stop a batch once the error of all of its sets is below. None never stops.
    batch_size : int
    """
    import torch

    embedding, sets = workload.embedding, workload.sets
    layer = _torch_layer(workload)
    f, d = embedding.filter_size, sets.values.shape[1]
    out = []
    with torch.inference_mode():
        for start in range(0, len(sets), batch_size):
            batch = sets[start : start + batch_size]
            lengths = torch.from_numpy(np.maximum(batch.lengths - f + 1, 1))
            padded = torch.zeros(len(batch), int(max(batch.lengths.max(), f)), d)
            for i, x in enumerate(batch):
                padded[i, : len(x)] = torch.tensor(x)
            embedded = layer(padded, lengths, max_iter, tol)
            out.append(embedded.reshape(len(batch), -1).numpy())
    return np.concatenate(out)


def _torch_layer(workload):
    import torch

    embedding = workload.embedding
    f, epsilon, gamma = embedding.filter_size, embedding.epsilon, embedding.gamma_
    anchors = torch.from_numpy(embedding.anchors_)
    normalization = torch.from_numpy(embedding.normalization_)
    reference = torch.from_numpy(embedding.references_[0])
    n_supports = len(reference)

    def kappa(x):
        d = x.shape[2]
        squares = (x**2).sum(dim=2)
        if f == 1:
            products = x @ anchors.T
        else:
            filters = anchors.reshape(-1, f, d).permute(0, 2, 1)
            products = torch.conv1d(x.transpose(1, 2), filters).transpose(1, 2)
            squares = squares.unfold(1, f, 1).sum(dim=2)
        if embedding.kernel == "homogeneous":
            norms = squares.sqrt().unsqueeze(2)
            cosines = products / norms.clamp(min=1e-6)
            return norms * torch.exp(2 * gamma * (cosines - 1))
        distances = squares.unsqueeze(2) + (anchors**2).sum(dim=1) - 2 * products
        return torch.exp(-gamma * distances.clamp(min=0))

    def layer(x, lengths, max_iter, tol):
        psi = kappa(x) @ normalization
        real = torch.arange(psi.shape[1]) < lengths.unsqueeze(1)
        masses = (real / lengths.unsqueeze(1)).unsqueeze(2)
        similarity = psi @ reference.T
        shift = similarity.amax(dim=2, keepdim=True)
        gibbs = torch.exp((similarity - shift) / epsilon)
        v = torch.full((len(x), n_supports, 1), 1 / n_supports)
        u = torch.zeros_like(masses)
        for iteration in range(max_iter):
            row = gibbs @ v
            if tol is not None and iteration:
                error = (masses * (u * row - 1)).abs().sum(dim=1)
                if bool((error < tol).all()):
                    break
            u = 1 / row
            v = (1 / n_supports) / (gibbs.transpose(1, 2) @ (masses * u))
        plan = masses * u * gibbs * v.transpose(1, 2)
        return n_supports * plan.transpose(1, 2) @ psi

    return layer


def nystroem_mean(workload):
    """Scikit-learn's `Nystroem` on all elements, and the mean over each set."""
    embedding, sets = workload.embedding, workload.sets
    nystroem = _fitted_nystroem(workload)
    if embedding.filter_size == 1:
        elements, lengths = sets.values, sets.lengths
    else:
        elements = [windows(x, embedding.filter_size) for x in sets]
        lengths = np.array([len(x) for x in elements])
        elements = np.concatenate(elements)
    if embedding.kernel == "homogeneous":
        elements = normalize(elements)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    sums = np.add.reduceat(nystroem.transform(elements), starts)
    return sums / lengths[:, np.newaxis]


@functools.cache
def _fitted_nystroem(workload):
    anchors, gamma = workload.embedding.anchors_, workload.embedding.gamma_
    return Nystroem(kernel="rbf", gamma=gamma, n_components=len(anchors)).fit(anchors)
