"""Batches of every form, one after the other, and what error messages call them."""

import os
import sys
from collections.abc import Iterable

from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._unreadable import type_name

# Rows of a table that are converted at a time.
_MAX_ROWS = 2**16

_INSTEAD = {
    "dask.DataFrame": "(part.compute() for part in batches.partitions)",
    "dask_expr.DataFrame": "(part.compute() for part in batches.partitions)",
    "pyarrow.ParquetDataset": "pyarrow.dataset.dataset(batches.files)",
    "pyarrow.RecordBatchFileReader": (
        "(batches.get_batch(i) for i in range(batches.num_record_batches))"
    ),
}


def open_batches(batches, columns):
    """Return an iterator of batches, each after its label and the number of its first row.

    Tables of Arrow come as record batches, and long tables in parts. Nothing is read yet.

    Parameters
    ----------
    batches : any form that `iter_sets` accepts, without offsets
    columns : Columns
        Only these are read from files.
    """
    parts = _parts_of_one(batches, columns, "batches")
    if parts is not None:
        return parts
    _check_no_path(batches, "batches")
    if _is_array(batches):
        raise TypeError(
            f"batches has shape {tuple(batches.shape)}; expected offsets with it, where "
            "each set starts and the last one ends: iter_sets(values, offsets=offsets)."
        )
    name = type_name(batches)
    if name in _INSTEAD or not isinstance(batches, Iterable):
        expected = _INSTEAD.get(name, "an iterable of tables or of lists of arrays")
        raise TypeError(f"batches is {name}; expected {expected}.")
    return _parts_of_all(batches, columns)


def _parts_of_all(batches, columns):
    for i, batch in enumerate(batches):
        label = f"batch {i}"
        _check_no_path(batch, label)
        parts = _parts_of_one(batch, columns, label)
        yield from [(label, 0, batch)] if parts is None else parts


def _check_no_path(source, label):
    if isinstance(source, str | bytes | os.PathLike):
        raise TypeError(
            f"{label} is {source!r}; expected data, such as "
            f"pyarrow.dataset.dataset({os.fspath(source)!r})."
        )


def _parts_of_one(source, columns, label):
    """The batches of one table, file, data set or stream; None if it is something else."""
    if isinstance(source, SetCollection):
        return iter([(label, 0, source)])
    if is_a(source, "pandas", "DataFrame"):
        return _slices(source, label, lambda rows: source.iloc[rows])
    if is_a(source, "polars", "DataFrame"):
        return _slices(source, label, lambda rows: source[rows])
    if is_a(source, "pyarrow", "RecordBatch"):
        return _slices(source, label, lambda rows: source.slice(rows.start, _MAX_ROWS))
    if is_a(source, "pyarrow", "Table"):
        return _record_batches(source.to_batches(), label)
    stream = _stream(source, columns)
    if stream is None:
        return None
    prefix = "" if label == "batches" else f"{label}, "
    return _numbered(stream, prefix)


def _numbered(stream, prefix):
    for i, batch in enumerate(stream):
        yield from _parts_of_one(batch, None, f"{prefix}batch {i}")


def _record_batches(batches, label):
    start = 0
    for batch in batches:
        yield from _slices(
            batch, label, lambda rows, x=batch: x.slice(rows.start, _MAX_ROWS), start
        )
        start += batch.num_rows


def _slices(table, label, take, start=0):
    """Yield parts of a table: its conversion needs no more memory than one of them."""
    for first in range(0, len(table), _MAX_ROWS):
        yield label, start + first, take(slice(first, first + _MAX_ROWS))


def _stream(source, columns):
    """What iterates over the tables of a source that reads them when asked."""
    if is_a(source, "pyarrow.dataset", "Dataset"):
        names = columns.needed(source.schema.names)
        # Files are read ahead one batch at a time: memory doesn't grow with their number.
        return source.to_batches(columns=names, batch_readahead=1, fragment_readahead=1)
    if is_a(source, "pyarrow.dataset", "Fragment"):
        names = columns.needed(source.physical_schema.names)
        return source.to_batches(columns=names, batch_readahead=1, fragment_readahead=1)
    if is_a(source, "pyarrow.dataset", "Scanner"):
        return source.to_batches()
    if is_a(source, "pyarrow.parquet", "ParquetFile"):
        return source.iter_batches(columns=columns.needed(source.schema_arrow.names))
    if is_a(source, "polars", "LazyFrame"):
        return _collected(source, columns)
    if is_a(source, "pyarrow", "RecordBatchReader"):
        return source
    if hasattr(source, "__arrow_c_stream__") and hasattr(source, "columns"):
        from pyarrow import RecordBatchReader

        return RecordBatchReader.from_stream(source)  # of DuckDB, for example
    return None


def _collected(frame, columns):
    if not hasattr(frame, "collect_batches"):
        raise TypeError(
            "batches is polars.LazyFrame, which this version of polars can't collect in "
            "batches; expected a newer one, or batches.collect()."
        )
    names = columns.needed(frame.collect_schema().names())
    return (frame if names is None else frame.select(names)).collect_batches()


def _is_array(x):
    """Whether this is one array of numbers, not a sequence of sets."""
    shape = getattr(x, "shape", None)
    return isinstance(shape, tuple) and len(shape) >= 2 and not hasattr(x, "columns")


def is_a(x, module, name):
    """Whether an object is of a class of an optional package, without importing it."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(x, getattr(loaded, name))
