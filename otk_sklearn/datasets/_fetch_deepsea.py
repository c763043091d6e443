"""DeepSEA: sequences of DNA with 919 labels, more than fit in memory, in blocks."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Literal

import numpy as np

from otk_sklearn._utils.sklearn_compat import Interval, StrOptions, validate_params
from otk_sklearn.datasets._data_files import DataFiles
from otk_sklearn.datasets._mat_files import MatFileError, is_hdf5
from otk_sklearn.datasets._packed_bits import Hdf5Variable, MatVariable, PackedBits

_FOLDERS = ("deepsea", "deepsea_train")
_BUNDLE = "deepsea_train_bundle.v0.9.tar.gz"
_INSTRUCTIONS = f"""\
  curl -O http://deepsea.princeton.edu/media/code/{_BUNDLE}
  tar -xzf {_BUNDLE} -C {{data_home}}"""

# In the order of axes of MATLAB, after that of samples.
_SHAPE_OF_SEQUENCE = 4, 1000
_SHAPE_OF_LABELS = (919,)


@validate_params(
    {
        "data_home": [str, os.PathLike],
        "subset": [StrOptions({"train", "valid", "test"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def fetch_deepsea(
    *,
    data_home: str | os.PathLike[str],
    subset: Literal["train", "valid", "test"] = "train",
    batch_size: int = 1000,
) -> DeepSEABlocks:
    """Read DNA with chromatin profiles in blocks, from the files of DeepSEA.

    Nothing is downloaded: unpack
    http://deepsea.princeton.edu/media/code/deepsea_train_bundle.v0.9.tar.gz in the folder
    `data_home`. The training data requires h5py: `pip install "otk-sklearn[deepsea]"`.

    Parameters
    ----------
    data_home : str or path-like
        The folder that has a folder `deepsea_train` or `deepsea` with `train.mat`,
        `valid.mat` and `test.mat`.
    subset : {"train", "valid", "test"}, default="train"
        4,400,000 sequences for training, 8,000 for validation, or 455,024 for testing.
    batch_size : int, default=1000
        Number of sequences of a block; the last one may have less.

    Returns
    -------
    blocks : sequence of tuple (X, y)
        Iterated over, as often as needed, it reads one block after the other;
        `blocks[i]` reads one, and `len(blocks)` is their number. It is a data set for a
        `torch.utils.data.DataLoader` with `batch_size=None`. A block has

        X : ndarray of shape (n_sequences, 1000, 4)
            The one-hot encoding of each base, in float32, in the order A, G, C, T; zeros
            for an unknown base.
        y : ndarray of shape (n_sequences, 919)
            Labels in uint8: 1 for each of 125 kinds of accessible chromatin, 690 of
            binding of transcription factors, and 104 of marks of histones, that a
            sequence has, else 0.

        The attribute `n_sequences` is their number in all blocks, `filename` the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file. The message tells how to get it.
    ImportError
        If the file is one of HDF5, and h5py is not installed.
    ValueError
        If the file is cut short, or has arrays of other shapes or types. When a block is
        read: if it is damaged, or has other numbers than zeros and ones, or several ones
        for a base.

    See Also
    --------
    fetch_deepbind : Shorter sequences, with one label each.
    otk_sklearn.batches.iter_sets : Takes `(X for X, y in blocks)`.

    Notes
    -----
    Files store all first bases, then all second ones, and so on, such that a sequence is
    spread over all of the file. Memory holds a slab of them with one bit a number, and one
    block. Of `valid.mat` and `test.mat`, which are of MATLAB's version 5, the slab has all
    sequences: 280 MB for testing, which in float32 would be 9 GB. They are read when the
    first block is. Of `train.mat`, which is HDF5, it has as many sequences as a chunk of
    the file, or a block if that is more, and at most 262,144: 160 MB. Blocks that are
    read in random order then take longer than in their own.

    Half of the sequences are the reverse complements of the others.

    References
    ----------
    J. Zhou and O. G. Troyanskaya, "Predicting effects of noncoding variants with deep
    learning-based sequence model", Nature Methods 12, 2015.

    Examples
    --------
    A file of five random sequences stands for the data:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from scipy.io import savemat
    >>> from otk_sklearn.datasets import fetch_deepsea
    >>> rng = np.random.default_rng(0)
    >>> bases = np.eye(4, dtype=np.uint8)[rng.integers(4, size=(5, 1000))]
    >>> arrays = {
    ...     "validxdata": bases.transpose(0, 2, 1),
    ...     "validdata": rng.integers(2, size=(5, 919), dtype=np.uint8),
    ... }
    >>> with TemporaryDirectory() as data_home:
    ...     Path(data_home, "deepsea_train").mkdir()
    ...     savemat(Path(data_home, "deepsea_train", "valid.mat"), arrays)
    ...     blocks = fetch_deepsea(data_home=data_home, subset="valid", batch_size=3)
    ...     for X, y in blocks:
    ...         print(X.shape, y.shape)
    (3, 1000, 4) (3, 919)
    (2, 1000, 4) (2, 919)
    """
    files = DataFiles("fetch_deepsea", data_home, _FOLDERS, _INSTRUCTIONS)
    path = files.find(f"{subset}.mat")
    names = f"{subset}xdata", f"{subset}data"
    try:
        sequences, labels = _open_variables(path, names, batch_size)
        _check_shapes(sequences, labels)
    except MatFileError as error:
        raise files.error(path, str(error)) from error
    return DeepSEABlocks(files, path, sequences, labels, int(batch_size))


class DeepSEABlocks:
    """Blocks of one-hot encoded sequences with their labels, read when they are asked for.

    Parameters
    ----------
    files : DataFiles
    path : path-like
    sequences, labels : MatVariable or Hdf5Variable
    batch_size : int
    """

    def __init__(self, files, path, sequences, labels, batch_size):
        self.filename = str(path)
        self.batch_size = batch_size
        self.n_sequences = sequences.n_samples
        self._files = files
        self._sequences = PackedBits(sequences)
        self._labels = PackedBits(labels)

    def __len__(self):
        return -(-self.n_sequences // self.batch_size)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i):
        if isinstance(i, slice):
            raise TypeError(f"i is {i}; expected an integer: blocks are read one by one.")
        i = range(len(self))[i]  # which raises IndexError
        start = i * self.batch_size
        stop = min(start + self.batch_size, self.n_sequences)
        try:
            X = self._read_bases(start, stop)
            labels = self._labels.read(start, stop)
        except MatFileError as error:
            raise self._files.error(self.filename, str(error)) from error
        X = X.transpose(2, 0, 1)
        return X.astype(np.float32, order="C"), np.ascontiguousarray(labels.T)

    def _read_bases(self, start, stop):
        """Return an array of positions, kinds of bases, and sequences."""
        n_bases, length = _SHAPE_OF_SEQUENCE
        bases = self._sequences.read(start, stop).reshape(length, n_bases, stop - start)
        n_ones = bases.sum(axis=1, dtype=np.uint8)
        if n_ones.max() > 1:
            position, i = np.argwhere(n_ones > 1)[0]
            raise MatFileError(
                f"sequence {start + i} has {n_ones[position, i]} ones at position "
                f"{position}, counted from 0; expected one at most."
            )
        return bases

    def __repr__(self):
        return (
            f"DeepSEABlocks(filename={self.filename!r}, n_sequences={self.n_sequences}, "
            f"batch_size={self.batch_size})"
        )


def _open_variables(path, names, batch_size):
    if not is_hdf5(path):
        return [MatVariable(path, name) for name in names]
    try:
        return [Hdf5Variable(path, name, batch_size) for name in names]
    except ImportError as error:
        raise ImportError(
            f'fetch_deepsea needs h5py to read {path}: pip install "otk-sklearn[deepsea]"'
        ) from error


def _check_shapes(sequences, labels):
    """Raise an error, in the order of axes of MATLAB."""
    expected = {sequences: _SHAPE_OF_SEQUENCE, labels: _SHAPE_OF_LABELS}
    for variable, shape in expected.items():
        came = variable.n_samples, *variable.shape_of_sample
        if variable.shape_of_sample != shape or not variable.n_samples:
            raise MatFileError(
                f"{variable.name} has the shape {came}, in MATLAB's order of axes; "
                f"expected (n_sequences, {', '.join(map(str, shape))})."
            )
    if sequences.n_samples != labels.n_samples:
        raise MatFileError(
            f"{sequences.name} has {sequences.n_samples} sequences, and {labels.name} has "
            f"{labels.n_samples}; expected the same number."
        )
