"""Parquet files of sets, each with what its sets go on with in others. Needs pyarrow."""

import copy
import functools
import itertools
import json

import joblib
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from otk_sklearn._utils.version import __version__
from otk_sklearn.batches._joining import is_label

# Bytes of a file, before compression, that are read at a time; and rows.
_MAX_BYTES = 2**26
_MAX_ROWS = 2**17

# The key of metadata that say what a file was made of.
_KEY = b"otk_sklearn"

# Parameters that don't change results.
_WITHOUT_EFFECT = {"n_jobs": None, "verbose": False, "memory": None}


def fingerprint(transformer):
    """Return a hash of a `BatchTransformer`, the same in other processes."""
    settings = {name: x for name, x in vars(transformer).items() if name != "n_jobs"}
    estimator = copy.deepcopy(settings.pop("estimator"))
    neutral = {
        name: _WITHOUT_EFFECT[parameter]
        for name in estimator.get_params()
        if (parameter := name.rpartition("__")[2]) in _WITHOUT_EFFECT
    }
    return joblib.hash([__version__, settings, estimator.set_params(**neutral)])


def check_written(path, made_of):
    """Raise an error if a file was not made of this.

    Parameters
    ----------
    path : Path
    made_of : dict of str
    """
    with _opened(path) as file:
        metadata = file.schema_arrow.metadata or {}
    found = json.JSONDecoder().decode(metadata.get(_KEY, b"{}").decode())
    changed = [name for name, value in made_of.items() if found.get(name) != value]
    if changed:
        what = {
            "transformer": "by another model, or with other parameters of the transformer",
            "source": "of another source",
        }
        why = what[changed[0]] if found else "by something else"
        raise ValueError(
            f"{str(path)!r} was written {why}; expected another destination, or that it "
            "is removed."
        )


class ParquetSource:
    """Parquet files whose sets a `BatchTransformer` is applied to.

    Parameters
    ----------
    transformer : BatchTransformer
    files : list of Path
    """

    def __init__(self, transformer, files):
        self._transformer, self._files = transformer, files
        self._ends = functools.cache(self._read_ends)

    def fingerprint(self, i):
        """Return a hash of what the output of a file depends on."""
        if self._transformer.groups is None:
            return joblib.hash(_footer(self._files[i]))
        footers = [_footer(self._files[j]) for j in (i, *self._following(i))]
        return joblib.hash([self._skipped(i), *footers])

    def write(self, i, path, made_of):
        """Write the output of a file.

        Parameters
        ----------
        i : int
        path : Path
        made_of : dict of str
            For the metadata.
        """
        with _opened(self._files[i]) as file:
            schema = self._transformer.schema(file.schema_arrow)
        described = {_KEY: json.JSONEncoder().encode(made_of)}
        schema = schema.with_metadata({**(schema.metadata or {}), **described})
        with parquet.ParquetWriter(path, schema) as writer:
            for batch in self._transformer.map(self._batches(i)):
                writer.write_batch(batch)

    def _batches(self, i):
        """All rows of the sets that start in a file."""
        if self._transformer.groups is None:
            return self._read(i)
        return itertools.chain(self._started(i), self._continued(i))

    def _started(self, i):
        """The batches of a file without the set that started before it."""
        label, skipping = self._skipped(i), True
        for batch in self._read(i):
            if label is not None and skipping:
                batch = batch.slice(self._n_leading(batch, label))
                skipping = not batch.num_rows
            yield batch

    def _continued(self, i):
        """What the last set of a file goes on with in the next files."""
        for j in self._following(i):
            label = self._ends(i)[1]
            for batch in self._read(j):
                n_leading = self._n_leading(batch, label)
                yield batch.slice(0, n_leading)
                if n_leading < batch.num_rows:
                    break

    def _following(self, i):
        """The next files that the last set of a file goes on in, as a list."""
        found = []
        if self._ends(i) is None or self._ends(i) == (self._skipped(i),) * 2:
            return found
        label = self._ends(i)[1]
        for j in range(i + 1, len(self._files)):
            if self._ends(j) is None:
                continue
            if self._ends(j)[0] != label:
                break
            found.append(j)
            if self._ends(j)[1] != label:
                break
        return found

    def _skipped(self, i):
        """The label of the last set before a file; None if there is none."""
        for j in reversed(range(i)):
            if self._ends(j) is not None:
                return self._ends(j)[1]
        return None

    def _read_ends(self, i):
        """The labels of the first and the last row of a file; None without rows."""
        groups = self._transformer.groups
        with _opened(self._files[i]) as file:
            names = file.schema_arrow.names
            if groups not in names:
                raise ValueError(
                    f"{str(self._files[i])!r} has no column {groups!r}; it has {names}."
                )
            filled = [
                k for k in range(file.num_row_groups) if file.metadata.row_group(k).num_rows
            ]
            if not filled:
                return None
            first, last = (
                file.read_row_group(k, columns=[groups]).column(0)
                for k in (filled[0], filled[-1])
            )
        return first[0].as_py(), last[-1].as_py()

    def _n_leading(self, batch, label):
        """How many of the first rows of a batch have this label."""
        others = ~is_label(pa.Table.from_batches([batch]), self._transformer.groups, label)
        return int(np.argmax(others)) if others.any() else len(others)

    def _read(self, i):
        with _opened(self._files[i]) as file:
            columns = self._transformer.columns(file.schema_arrow.names)
            yield from file.iter_batches(_batch_rows(file.metadata), columns=columns)


def _opened(path):
    """A file that is read as it is needed; pyarrow would keep all that it has read."""
    try:
        return parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{str(path)!r} is no complete Parquet file; expected one, or that it is "
            "removed."
        ) from error


def _footer(path):
    """Sizes of a file's columns and ranges of their values, without its name."""
    with _opened(path) as file:
        return file.metadata.to_dict()


def _batch_rows(metadata):
    """Rows of a file that are read at a time."""
    sizes = (metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    row_bytes = sum(sizes) / max(1, metadata.num_rows)
    return int(min(max(_MAX_BYTES // max(row_bytes, 1), 1), _MAX_ROWS))
