"""Where the rows of results go: .npy and Parquet files, and arrays that take slices."""

import contextlib
import os
from pathlib import Path

import numpy as np

from otk_sklearn.batches._whole_files import written_whole


@contextlib.contextmanager
def open_destination(destination, output):
    """Yield a writer, whose method `write` takes results and the names of their sets.

    Parameters
    ----------
    destination : str, Path, or array
    output : str
        Name of the results.
    """
    if not isinstance(destination, str | os.PathLike):
        writer = _ArrayWriter(destination)
        yield writer
        writer.finish()
        return
    path = Path(destination)
    writers = {".npy": _NpyWriter, ".parquet": _ParquetWriter}
    if path.suffix not in writers:
        raise ValueError(
            f"destination is {str(destination)!r}; expected the name of a file with one of "
            f"the endings {', '.join(writers)}, or an array."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"destination is {str(destination)!r}, in a folder that is missing; expected "
            f"one that there is: Path({str(path.parent)!r}).mkdir(parents=True)."
        )
    with written_whole(path) as temporary:
        writer = writers[path.suffix](temporary, output)
        with contextlib.closing(writer):
            yield writer
            writer.finish()


def _check_like(array, first):
    """Raise an error if results are of another dtype or width than the first ones."""
    if array.dtype != first.dtype or array.shape[1:] != first.shape[1:]:
        raise ValueError(
            f"the results are {array.dtype} of shape {array.shape}, those of the first "
            f"batch {first.dtype} of shape {first.shape}; expected the same dtype and "
            f"width: sets.astype({str(first.dtype)!r}), say."
        )


class _NpyWriter:
    """Writes a .npy file, whose number of rows is only known at the end.

    Parameters
    ----------
    path : Path
    output : str
        Ignored.
    """

    def __init__(self, path, output):
        self._file = open(path, "wb")
        self._n_rows, self._first = 0, None

    def write(self, rows, names):
        if self._first is None:
            if rows.dtype.hasobject:
                raise TypeError(
                    "the results are Python objects, which a .npy file can't hold without "
                    "pickles; expected a .parquet file."
                )
            self._first = rows[:0].copy()
            self._write_header()
        _check_like(rows, self._first)
        self._file.write(np.ascontiguousarray(rows).ravel().view(np.uint8).data)
        self._n_rows += len(rows)

    def finish(self):
        self._file.seek(0)
        self._write_header()  # which has room for any number of rows

    def close(self):
        self._file.close()

    def _write_header(self):
        header = {
            "descr": np.lib.format.dtype_to_descr(self._first.dtype),
            "fortran_order": False,
            "shape": (self._n_rows, *self._first.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


class _ParquetWriter:
    """Writes a Parquet file: names, if the sets have any, and results.

    Parameters
    ----------
    path : Path
    output : str
        Name of the column of results.
    """

    def __init__(self, path, output):
        self._path, self._output = path, output
        self._writer, self._first = None, None

    def write(self, rows, names):
        from otk_sklearn.batches._outputs import as_column, as_table

        self._first = rows[:0].copy() if self._first is None else self._first
        _check_like(rows, self._first)
        schema = None if self._writer is None else self._writer.schema
        table = as_table(as_column(rows, self._output), self._output, names, schema)
        if self._writer is None:
            from pyarrow import parquet

            self._writer = parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def finish(self):
        self._writer.close()

    def close(self):
        if self._writer is not None:
            self._writer.close()


class _ArrayWriter:
    """Writes to an array that is assigned to by slices, and grows if it can.

    Parameters
    ----------
    array : ndarray, or dataset of h5py, array of zarr, or the like
    """

    def __init__(self, array):
        if not hasattr(array, "__setitem__") or not hasattr(array, "shape"):
            raise TypeError(
                f"destination is {type(array).__name__}; expected the name of a file, or "
                "an array."
            )
        self._array, self._n_rows = array, 0
        is_fixed = isinstance(array, np.ndarray) or getattr(array, "chunks", True) is None
        self._grows = hasattr(array, "resize") and not is_fixed

    def write(self, rows, names):
        shape, stop = tuple(self._array.shape), self._n_rows + len(rows)
        if shape[1:] != rows.shape[1:]:
            raise ValueError(
                f"destination has shape {shape}; expected "
                f"{('n_sets', *rows.shape[1:])}".replace("'", "")
                + "."
            )
        dtype = np.dtype(getattr(self._array, "dtype", rows.dtype))
        if not np.can_cast(rows.dtype, dtype, "same_kind"):
            raise ValueError(
                f"destination is {dtype}, which can't hold results of {rows.dtype}; "
                f"expected {rows.dtype}."
            )
        if stop > shape[0]:
            if not self._grows:
                raise ValueError(
                    f"destination has shape {shape}, and there are at least {stop} sets; "
                    "expected a row for each."
                )
            self._array.resize((stop, *shape[1:]))
        self._array[self._n_rows : stop] = rows
        self._n_rows = stop

    def finish(self):
        shape = tuple(self._array.shape)
        if self._n_rows < shape[0]:
            if not self._grows:
                raise ValueError(
                    f"destination has shape {shape}, and there are {self._n_rows} sets, "
                    f"which are written; expected destination[:{self._n_rows}]."
                )
            self._array.resize((self._n_rows, *shape[1:]))
        if hasattr(self._array, "flush"):
            self._array.flush()
