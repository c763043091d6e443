"""Arrays of zeros and ones in files of MATLAB: read in slabs, kept with a bit a number."""

import math

import numpy as np

from otk_sklearn.datasets._mat_files import MatFileError, find_arrays, has_changed

# Numbers that are read at a time, at least one row of them.
_N_AT_ONCE = 2**20
# Samples of a slab where nothing asks for another number, and at most: with 4,000 numbers
# each, 8 and 131 MB.
_SLAB_LENGTH = 2**14
_MAX_SLAB_LENGTH = 2**18


class PackedBits:
    """An array of zeros and ones, of which a slab of consecutive samples is in memory.

    Parameters
    ----------
    variable : MatVariable or Hdf5Variable
        What slabs are read from.
    """

    def __init__(self, variable):
        self.variable = variable
        self._slab = None

    def __getstate__(self):
        return {"variable": self.variable, "_slab": None}

    def read(self, start, stop):
        """Return samples from `start` to before `stop`, as columns of an array of uint8."""
        length = self.variable.slab_length
        parts = [
            self._read_part(i, max(start - i * length, 0), min(stop - i * length, length))
            for i in range(start // length, -(-stop // length))
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _read_part(self, i, start, stop):
        bits = self._read_slab(i)
        first = start // 8
        numbers = np.unpackbits(bits[:, first : -(-stop // 8)], axis=1)
        return numbers[:, start - 8 * first : stop - 8 * first]

    def _read_slab(self, i):
        slab = self._slab
        if slab is None or slab[0] != i:
            self._slab = slab = None  # before the next one takes memory
            self._slab = slab = i, self.variable.read_slab(i)
        return slab[1]


class MatVariable:
    """An array of a MATLAB 5 file.

    Its first axis is that of samples, and the fastest one: any sample is spread over all of
    the array, whose bytes often are compressed as a whole. So there is one slab.

    Parameters
    ----------
    path : path-like
    name : str
        The name of the array.
    """

    def __init__(self, path, name):
        arrays = find_arrays(path)
        _check_present(name, arrays)
        self.name = name
        self._array = arrays[name]
        self.n_samples, *others = self._array.shape
        self.shape_of_sample = tuple(others)
        self.slab_length = max(self.n_samples, 1)

    def read_slab(self, i):
        """Return all samples, as columns of bits."""
        n_rows = max(_N_AT_ONCE // self.slab_length, 1)
        rows = self._array.rows(n_rows)
        return _packed(rows, math.prod(self.shape_of_sample), self.n_samples, self.name)


class Hdf5Variable:
    """An array of an HDF5 file, as written by MATLAB 7.3: samples are along the last axis.

    Slabs are of whole chunks, as far as these are not too long: no chunk is decompressed
    for more than one slab.

    Parameters
    ----------
    path : path-like
    name : str
        The name of the array.
    batch_size : int
        The least number of samples that is read at a time.
    """

    def __init__(self, path, name, batch_size):
        self.name = name
        self._path = str(path)
        with _open_hdf5(self._path) as file:
            array = _find_dataset(file, name)
            self._shape = array.shape
            *others, self.n_samples = array.shape or (0,)
            self.shape_of_sample = tuple(others[::-1])
            chunks = array.chunks or (1,) * len(others) + (_SLAB_LENGTH,)
        self._chunk_length = chunks[0]
        n_chunks = -(-batch_size // chunks[-1])
        self.slab_length = min(n_chunks * chunks[-1], _MAX_SLAB_LENGTH)

    def read_slab(self, i):
        """Return the samples of a slab, as columns of bits."""
        start = i * self.slab_length
        stop = min(start + self.slab_length, self.n_samples)
        n_rows = math.prod(self.shape_of_sample)
        with _open_hdf5(self._path) as file:
            array = _find_dataset(file, self.name)
            if array.shape != self._shape:
                raise has_changed(self.name, self._shape)
            rows = self._rows(array, start, stop)
            return _packed(rows, n_rows, stop - start, self.name)

    def _rows(self, array, start, stop):
        for first in range(0, array.shape[0], self._chunk_length):
            try:
                part = array[first : first + self._chunk_length, ..., start:stop]
            except OSError as error:
                raise MatFileError(f"{self.name} can't be read: {error}.") from error
            yield part.reshape(-1, stop - start)


def _open_hdf5(path):
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise MatFileError(f"{error}; expected a complete HDF5 file.") from error


def _find_dataset(file, name):
    import h5py

    _check_present(name, {k for k, x in file.items() if isinstance(x, h5py.Dataset)})
    array = file[name]
    if array.dtype.kind not in "biuf":
        raise MatFileError(f"{name} is of type {array.dtype}; expected real numbers.")
    return array


def _check_present(name, names):
    if name not in names:
        there = ", ".join(sorted(names)) or "no array of numbers"
        raise MatFileError(f"it has {there}; expected {name}.")


def _packed(parts, n_rows, length, name):
    """Bits of all rows, each of which starts at a byte; only zeros and ones are allowed."""
    bits = np.empty((n_rows, -(-length // 8)), np.uint8)
    first = 0
    for part in parts:
        are_one = part == 1
        if np.count_nonzero(are_one) != np.count_nonzero(part):
            wrong = part[~are_one & (part != 0)][0]
            raise MatFileError(f"{name} has the value {wrong}; expected zeros and ones.")
        bits[first : first + len(part)] = np.packbits(are_one, axis=1)
        first += len(part)
    return bits
