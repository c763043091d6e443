"""Stand-ins for DeepSEA's bundle: random sequences and labels in its format.

`FOLDER/deepsea` has three files. train.mat is HDF5 (MATLAB 7.3), with `trainxdata` of shape
(length, 4, n_sequences), one-hot, and `traindata` of shape (n_labels, n_sequences).
valid.mat and test.mat are MATLAB 5, with `validxdata` of shape (n_sequences, 4, length),
`validdata` of shape (n_sequences, n_labels), and the same for test. Channels are the bases
A, G, C, T, so that reversing both axes of a sequence gives its other strand.
"""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

# The bundle's own sizes.
N_SEQUENCES = {"train": 4_400_000, "valid": 8_000, "test": 455_024}
LENGTH = 1000
N_LABELS = 919
LABEL_RATE = 0.02
BASES = "AGCT"
# Sequences that are written, and compressed, together.
CHUNK = 100


def write_stand_in(data_home, n_sequences, length=LENGTH, n_labels=N_LABELS, seed=0):
    """Write random bases and labels in the bundle's format, all or nothing.

    Of the other files, as many sequences as in proportion to those for training, but at
    least 100. Where there are such files, in a folder whose name starts with "deepsea",
    nothing is written: they may be the bundle itself.
    """
    if any(Path(data_home).glob("deepsea*/*.mat")):
        print(f"{data_home} has data already: no stand-in is written", flush=True)
        return
    # Under another name until it is complete.
    folder = Path(data_home, "incomplete_stand_in")
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)

    def draw(n):
        bases = np.eye(len(BASES), dtype=np.uint8)[
            rng.integers(len(BASES), size=(n, length))
        ]
        labels = (rng.random((n, n_labels)) < LABEL_RATE).astype(np.uint8)
        return bases.transpose(0, 2, 1), labels

    sizes = (min(CHUNK, n_sequences - i) for i in range(0, n_sequences, CHUNK))
    write_train(folder / "train.mat", map(draw, sizes), n_sequences)
    for subset in ("valid", "test"):
        n = N_SEQUENCES[subset] * n_sequences // N_SEQUENCES["train"]
        write_matlab(folder, subset, *draw(max(n, 100)))
    folder.rename(folder.with_name("deepsea"))


def write_train(path, blocks, n_sequences):
    """Write train.mat from blocks of bases (n, 4, length) and labels (n, n_labels)."""
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


def write_matlab(folder, subset, bases, labels):
    """Write valid.mat or test.mat."""
    path = folder / f"{subset}.mat"
    values = {f"{subset}xdata": bases, f"{subset}data": labels}
    savemat(
        path, {name: v.astype(np.uint8) for name, v in values.items()}, do_compression=True
    )
