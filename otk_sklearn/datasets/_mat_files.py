"""Arrays in MATLAB 5 files, read in pieces: SciPy reads an array as a whole only."""

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from otk_sklearn.datasets._data_files import open_binary

_HEADER_SIZE = 128
_PIECE_SIZE = 2**16

# Types of data elements, as the description of the format numbers them.
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_FULL_NUMERIC_CLASSES = range(6, 16)
_IS_COMPLEX = 0x800


class MatFileError(Exception):
    """A file is cut short, damaged or of another format."""


def is_hdf5(path):
    """Tell whether a file of MATLAB is one of HDF5 (version 7.3), or of version 5.

    Raises
    ------
    MatFileError
        If it is neither.
    """
    with open_binary(path) as file:
        header = file.read(_HEADER_SIZE)
    if header.startswith((b"\x89HDF\r\n\x1a\n", b"MATLAB 7.3")):
        return True
    if len(header) == _HEADER_SIZE and header[126:] in (b"IM", b"MI"):
        return False
    if header.startswith(b"MATLAB") and len(header) < _HEADER_SIZE:
        raise MatFileError(
            f"the file is cut short, at {len(header)} bytes; expected at least "
            f"{_HEADER_SIZE}."
        )
    came = f"starts with {header[:16]!r}" if header else "is empty"
    raise MatFileError(f"the file {came}; expected one of MATLAB.")


def has_changed(name, shape):
    """Return the error of an array that is not what it was when its file was opened."""
    return MatFileError(
        f"the file has changed since it was opened; expected {name} of shape {shape}."
    )


@dataclass(frozen=True, eq=False)
class MatArray:
    """An array of numbers in a MATLAB 5 file, compressed or not."""

    path: str
    name: str
    shape: tuple
    _start: int
    _size: int

    def rows(self, n_rows):
        """Yield arrays of this many rows or less, each of the length of the first axis.

        The first axis is the fastest: a row has the numbers of one index of all others, of
        which the second one is the next fastest.
        """
        length, *others = self.shape
        with open_binary(self.path) as file:
            order = _byte_order(file)
            stream, head = _open_array(file, self._start, self._size, order)
            if head is None or head[:2] != (self.name, self.shape):
                raise has_changed(self.name, self.shape)
            dtype = head[2]
            for start in range(0, math.prod(others), n_rows):
                count = length * min(n_rows, math.prod(others) - start)
                numbers = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
                yield numbers.reshape(-1, length)
            stream.finish()


def find_arrays(path):
    """Return the arrays of numbers in a MATLAB 5 file, by their names."""
    arrays = {}
    with open_binary(path) as file:
        order = _byte_order(file)
        file_size = file.seek(0, 2)
        start = _HEADER_SIZE
        while start < file_size:
            size = _read_tag(_Bytes(file, start, file_size - start), order)[1]
            if start + 8 + size > file_size:
                raise MatFileError(
                    f"the file is cut short, at {file_size} bytes; expected at least "
                    f"{start + 8 + size}."
                )
            head = _open_array(file, start, size, order)[1]
            if head is not None:
                name, shape, _ = head
                arrays[name] = MatArray(str(path), name, shape, start, size)
            start += 8 + size
    return arrays


def _byte_order(file):
    file.seek(_HEADER_SIZE - 2)
    return "<" if file.read(2) == b"IM" else ">"


def _open_array(file, start, size, order):
    """Decompressed bytes from the numbers on, and what `_read_head` returns.

    None instead of the latter if it's no array at all.
    """
    kind = _read_tag(_Bytes(file, start, 8), order)[0]
    stream = _Bytes(file, start + 8, size)
    if kind == _COMPRESSED:
        stream = _Decompressed(stream)
        kind = _read_tag(stream, order)[0]
    return stream, _read_head(stream, order) if kind == _MATRIX else None


def _read_head(stream, order):
    """Read a matrix up to its numbers; return its name, shape and the type of these.

    None if it is complex, sparse, or of something other than numbers.
    """
    flags = _read_integers(stream, order, "I")
    if len(flags) != 2:
        raise MatFileError(f"an array has flags of {4 * len(flags)} bytes; expected 8.")
    if flags[0] & 0xFF not in _FULL_NUMERIC_CLASSES or flags[0] & _IS_COMPLEX:
        return None
    shape = _read_integers(stream, order, "i")
    if not shape or min(shape) < 0:
        raise MatFileError(f"an array has the shape {shape}; expected lengths of its axes.")
    name = _read_small(stream, order).decode("latin-1")
    kind, size, _ = _read_tag(stream, order)
    dtype = np.dtype(_NUMBERS.get(kind, "V1")).newbyteorder(order)
    if kind not in _NUMBERS or size != math.prod(shape) * dtype.itemsize:
        raise MatFileError(
            f"{name} has {size} bytes of type {kind}; expected numbers of shape {shape}."
        )
    return name, shape, dtype


def _read_integers(stream, order, kind):
    """Read a data element of integers of 4 bytes."""
    data = _read_small(stream, order)
    if len(data) % 4:
        raise MatFileError(f"integers have {len(data)} bytes; expected 4 for each.")
    return struct.unpack(f"{order}{len(data) // 4}{kind}", data)


def _read_small(stream, order):
    """Read a data element, and the bytes that pad it to a multiple of 8."""
    _, size, is_small = _read_tag(stream, order)
    padded = 4 if is_small else -(-size // 8) * 8
    return stream.read(padded)[:size]


def _read_tag(stream, order):
    """Return the type and size of a data element, and whether it has 4 bytes at most."""
    first = struct.unpack(order + "I", stream.read(4))[0]
    if first >> 16:
        return first & 0xFFFF, first >> 16, True
    return first, struct.unpack(order + "I", stream.read(4))[0], False


class _Bytes:
    """A part of a file."""

    def __init__(self, file, start, size):
        self._file = file
        self._position = start
        self.left = size

    def read(self, size):
        """Return exactly this many bytes."""
        if size > self.left:
            raise MatFileError(f"{self.left} bytes are left; expected {size}.")
        self._file.seek(self._position)
        data = self._file.read(size)
        if len(data) < size:
            raise MatFileError(f"the file is cut short by {size - len(data)} bytes.")
        self._position += size
        self.left -= size
        return data

    def finish(self):
        """Nothing tells whether bytes that are not compressed are the right ones."""


class _Decompressed:
    """The content of compressed bytes."""

    def __init__(self, compressed):
        self._compressed = compressed
        self._decompressor = zlib.decompressobj()

    def read(self, size):
        """Return exactly this many bytes; no more than that are decompressed."""
        parts = []
        while size:
            part = self._next(size)
            if not part and self._decompressor.eof:
                raise MatFileError(f"an array is cut short by {size} bytes.")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def finish(self):
        """Read what pads the numbers, at whose end is a checksum of all that was read."""
        while not self._decompressor.eof:
            self._next(_PIECE_SIZE)

    def _next(self, size):
        data = self._decompressor.unconsumed_tail
        if not data:
            data = self._compressed.read(min(_PIECE_SIZE, self._compressed.left))
        try:
            part = self._decompressor.decompress(data, size)
        except zlib.error as error:
            raise MatFileError(f"{error}; expected an array compressed by zlib.") from error
        if not (data or part or self._decompressor.eof):
            raise MatFileError("an array is cut short; expected more compressed bytes.")
        return part
