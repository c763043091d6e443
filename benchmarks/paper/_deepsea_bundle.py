"""DeepSEA's bundle: its sequences and labels in blocks, and stand-ins in its format.

`FOLDER/deepsea` has three files. train.mat is HDF5 (MATLAB 7.3), with `trainxdata` of shape
(length, 4, n_sequences), one-hot, and `traindata` of shape (n_labels, n_sequences).
valid.mat and test.mat are MATLAB 5, with `validxdata` of shape (n_sequences, 4, length),
`validdata` of shape (n_sequences, n_labels), and the same for test. Channels are the bases
A, G, C, T, so that reversing both axes of a sequence gives its other strand.
"""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import loadmat, savemat

# The bundle's own sizes.
N_SEQUENCES = {"train": 4_400_000, "valid": 8_000, "test": 455_024}
LENGTH = 1000
N_LABELS = 919
LABEL_RATE = 0.02
BASES = "AGCT"
# Sequences that are written, and compressed, together.
CHUNK = 100


def fetch_deepsea(*, data_home, subset="train", batch_size=1000):
    """Return blocks of the bundle, of sequences of any length with any number of labels."""
    path = Path(data_home, "deepsea", f"{subset}.mat")
    if not path.exists():
        raise FileNotFoundError(
            f"There is no {path}: unpack DeepSEA's bundle there, or write a stand-in with "
            "--stand-in 440."
        )
    return Blocks(path, f"{subset}xdata", f"{subset}data", batch_size)


class Blocks:
    """Blocks of one-hot vectors (n, length, 4) in float32, and of labels (n, n_labels).

    Blocks of HDF5 are read from the disk; MATLAB 5 is read whole, once.
    """

    def __init__(self, path, bases, labels, batch_size):
        self.batch_size = batch_size
        if h5py.is_hdf5(path):
            file = h5py.File(path)
            self._bases, self._labels = file[bases], file[labels]
            self._read = lambda part, rows: np.moveaxis(part[..., rows], -1, 0)
            self._axes = 0, 1, 2
            self.n_sequences = self._bases.shape[-1]
        else:
            values = loadmat(path, variable_names=[bases, labels])
            self._bases, self._labels = values[bases], values[labels]
            self._read = lambda part, rows: part[rows]
            self._axes = 0, 2, 1
            self.n_sequences = len(self._bases)

    def __len__(self):
        return -(-self.n_sequences // self.batch_size)

    def __getitem__(self, i):
        start = range(len(self))[i] * self.batch_size
        rows = slice(start, min(start + self.batch_size, self.n_sequences))
        bases = self._read(self._bases, rows).transpose(self._axes)
        labels = self._read(self._labels, rows)
        return bases.astype(np.float32, order="C"), np.ascontiguousarray(labels)

    def __iter__(self):
        return (self[i] for i in range(len(self)))


def write_stand_in(data_home, n_sequences, length=LENGTH, n_labels=N_LABELS, seed=0):
    """Write random bases and labels in the bundle's format.

    Of the other files, as many sequences as in proportion to those for training, but at
    least 100. Files that are there already are an error: they may be the bundle itself.
    """
    for subset in N_SEQUENCES:
        path = Path(data_home, "deepsea", f"{subset}.mat")
        if path.exists():
            raise FileExistsError(
                f"{path} exists: leave --stand-in out to use it, or name another folder."
            )
    rng = np.random.default_rng(seed)

    def draw(n):
        bases = np.eye(len(BASES), dtype=np.uint8)[
            rng.integers(len(BASES), size=(n, length))
        ]
        labels = (rng.random((n, n_labels)) < LABEL_RATE).astype(np.uint8)
        return bases.transpose(0, 2, 1), labels

    sizes = (min(CHUNK, n_sequences - i) for i in range(0, n_sequences, CHUNK))
    write_train(data_home, map(draw, sizes), n_sequences)
    for subset in ("valid", "test"):
        n = N_SEQUENCES[subset] * n_sequences // N_SEQUENCES["train"]
        write_matlab(data_home, subset, *draw(max(n, 100)))


def write_train(data_home, blocks, n_sequences):
    """Write train.mat from blocks of bases (n, 4, length) and labels (n, n_labels)."""
    path = Path(data_home, "deepsea", "train.mat")
    path.parent.mkdir(parents=True, exist_ok=True)
    stop = 0
    with h5py.File(path, "w") as file:
        for bases, labels in blocks:
            if stop == 0:
                for name, part in {"trainxdata": bases, "traindata": labels}.items():
                    shape = part.shape[:0:-1]
                    file.create_dataset(
                        name,
                        (*shape, n_sequences),
                        np.uint8,
                        chunks=(*shape, min(CHUNK, n_sequences)),
                        compression="gzip",
                        compression_opts=1,
                    )
            start, stop = stop, stop + len(bases)
            file["trainxdata"][..., start:stop] = bases.transpose(2, 1, 0)
            file["traindata"][..., start:stop] = labels.T


def write_matlab(data_home, subset, bases, labels):
    """Write valid.mat or test.mat."""
    path = Path(data_home, "deepsea", f"{subset}.mat")
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {f"{subset}xdata": bases, f"{subset}data": labels}
    savemat(
        path, {name: v.astype(np.uint8) for name, v in values.items()}, do_compression=True
    )
