"""Batches of pyarrow, pandas and polars: their columns, and batches of the same kind.

Imported lazily, as it needs pyarrow.
"""

import sys

import numpy as np

try:
    import pyarrow as pa
except ImportError as error:
    raise ImportError(
        'Batches of columns need pyarrow: pip install "otk-sklearn[arrow]"'
    ) from error


def as_batch(batch):
    """Return a batch of any kind with one interface, that of `ArrowBatch`."""
    if isinstance(batch, pa.Table | pa.RecordBatch):
        return ArrowBatch(batch)
    for library, kind in (("pandas", PandasBatch), ("polars", PolarsBatch)):
        module = sys.modules.get(library)
        if module is not None and isinstance(batch, module.DataFrame):
            return kind(batch)
    raise TypeError(
        f"batch is {_class_name(batch)}; expected a RecordBatch or Table of pyarrow, or a "
        f"DataFrame of pandas or polars{_hint(batch)}."
    )


def _class_name(x):
    return f"{type(x).__module__.partition('.')[0]}.{type(x).__name__}"


def _hint(batch):
    """What to call instead, where it is known."""
    name = _class_name(batch)
    if name == "polars.LazyFrame":
        return ": transformer(batch.collect())"
    if hasattr(batch, "map_partitions"):
        return ": batch.map_partitions(transformer, meta=transformer(batch._meta))"
    if hasattr(batch, "to_batches"):
        return ": transformer.map(batch.to_batches())"
    if name == "otk_sklearn.SetCollection":
        return " (the estimator itself takes a SetCollection)"
    if isinstance(batch, list) or hasattr(batch, "__next__"):
        return ": transformer.map(batch), for several batches"
    return ""


class ArrowBatch:
    """A RecordBatch or Table of pyarrow.

    Parameters
    ----------
    batch : RecordBatch or Table

    Attributes
    ----------
    index_names : tuple of str
        Names of the index, which has no columns.
    """

    index_names = ()

    def __init__(self, batch):
        self._batch = batch

    @property
    def column_names(self):
        """Names of the columns, as a list."""
        return list(self._batch.schema.names)

    def cells(self, name):
        """Cells of a column of Python objects, as a list; None if it is no such column."""
        return None

    def select(self, names):
        """Return these columns as a `pyarrow.Table`."""
        is_table = isinstance(self._batch, pa.Table)
        table = self._batch if is_table else pa.Table.from_batches([self._batch])
        return _without_views(table.select(names))

    def with_column(self, names, rows, name, array):
        """Return a batch of the same kind: columns of this one, and another.

        Parameters
        ----------
        names : list of str
            The columns.
        rows : ndarray of int of shape (n_rows,) or None
            Their rows; None means all.
        name : str
            Name of the other column, the last one.
        array : pyarrow.Array of shape (n_rows,)
        """
        table = self.select(names)
        if rows is not None:
            table = table.take(pa.array(rows))
        # A table of no columns does not know how many rows it has.
        schema = table.schema.append(pa.field(name, array.type))
        columns = [*table.columns, array]
        if isinstance(self._batch, pa.Table):
            return pa.Table.from_arrays(columns, schema=schema)
        columns = [_one_chunk(column) for column in columns]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _without_views(table):
    """Return a table whose strings are not views, from which rows can't be taken."""
    plain = {"string_view": pa.string(), "binary_view": pa.binary()}
    fields = [x.with_type(plain.get(str(x.type), x.type)) for x in table.schema]
    schema = pa.schema(fields, table.schema.metadata)
    return table if schema.equals(table.schema) else table.cast(schema)


def _one_chunk(column):
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class PandasBatch:
    """A DataFrame of pandas: as `ArrowBatch`. Columns that are kept are not converted."""

    def __init__(self, frame):
        self._frame, self.index_names = frame, tuple(frame.index.names)

    @property
    def column_names(self):
        return self._frame.columns.tolist()

    def cells(self, name):
        column = self._frame[name]
        return column.tolist() if column.dtype == np.dtype(object) else None

    def select(self, names):
        return pa.Table.from_pandas(self._frame[names], preserve_index=False)

    def with_column(self, names, rows, name, array):
        import pandas as pd

        frame = self._frame[names]
        if rows is not None:
            frame = frame.iloc[rows].reset_index(drop=True)
        if array.type.num_fields:  # lists, which would otherwise become objects
            values = pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))
        else:
            values = array.to_pandas().array
        return frame.assign(**{name: pd.Series(values, index=frame.index)})


class PolarsBatch:
    """A DataFrame of polars: as `ArrowBatch`."""

    index_names = ()

    def __init__(self, frame):
        self._frame = frame

    @property
    def column_names(self):
        return self._frame.columns

    def cells(self, name):
        is_object = str(self._frame.schema[name]) == "Object"
        return self._frame[name].to_list() if is_object else None

    def select(self, names):
        return self._frame.select(names).to_arrow()

    def with_column(self, names, rows, name, array):
        import polars as pl

        frame = self._frame.select(names)
        if rows is not None:
            frame = frame[rows]
        return frame.with_columns(pl.from_arrow(array).alias(name))


def as_tables(batches):
    """Yield batches of Arrow as tables.

    Parameters
    ----------
    batches : iterable of RecordBatch or Table
    """
    if isinstance(batches, pa.Table | pa.RecordBatch) or not hasattr(batches, "__iter__"):
        raise TypeError(
            f"batches is {_class_name(batches)}; expected an iterable of RecordBatch or "
            "Table of pyarrow: [batch], for one."
        )
    for i, batch in enumerate(batches):
        if isinstance(batch, pa.RecordBatch):
            yield pa.Table.from_batches([batch])
        elif isinstance(batch, pa.Table):
            yield batch
        else:
            hint = ": pyarrow.Table.from_pandas(batch)" if hasattr(batch, "iloc") else ""
            raise TypeError(
                f"batches has {_class_name(batch)} at {i}; expected a RecordBatch or Table "
                f"of pyarrow{hint}."
            )


def record_batches(table):
    """Return a table as record batches: one, unless a column is too large for it."""
    return table.combine_chunks().to_batches()


def check_schema(schema, expected):
    """Raise an error that names the first column of another type than before."""
    for field, before in zip(schema, expected):
        if not field.equals(before):
            raise ValueError(
                f"column {field.name!r} is {field.type}; expected {before.name!r} of type "
                f"{before.type}, as in the first batch."
            )
    if len(schema) != len(expected):
        raise ValueError(
            f"there are the columns {schema.names}; expected {expected.names}, as in the "
            "first batch."
        )
