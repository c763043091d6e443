"""`BatchTransformer`: a fitted estimator as a function from batches to batches."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import joblib
import numpy as np
from sklearn.utils.validation import check_is_fitted

from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.matching._embedding_state import is_trial
from otk_sklearn.sets._collection import SetCollection

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.base import BaseEstimator


# Methods, and the names of their outputs.
OUTPUTS = {
    "transform": "embedding",
    "predict": "prediction",
    "predict_proba": "probabilities",
    "predict_log_proba": "log_probabilities",
    "decision_function": "decision",
}

# Bytes of the output of a batch that `map` yields.
_MAX_BYTES = 2**26


class BatchTransformer:
    """Apply a fitted estimator of sets to batches of a table.

    A batch, with its sets in a column of lists or as a long table, becomes one of the same
    kind with the embeddings or predictions of its sets. So any engine that applies a
    function to batches computes them for data larger than memory, and on many machines:
    Dask, Spark, Ray, `pyarrow.dataset`, polars. Needs pyarrow;
    `pip install "otk-sklearn[arrow]"`.

    Parameters
    ----------
    estimator : estimator
        A fitted embedding, classifier or regressor of sets, or a pipeline that ends in
        one. It is not copied.
    column : str or list of str, default=None
        The column with a list of elements for each set, or several with features of the
        same elements, in any form that `SetCollection.from_arrow` reads. Each row is a
        set, and there is one row for it in the output. A missing list is an empty set:
        an error, or zeros with `empty_sets="zero"` of the embedding.
    groups : str, default=None
        The column with the label of each row's set, of a long table, in which each row is
        an element. The output has this column, and a row for each set, in the order in
        which they first appear. Either `column` or `groups` is needed.
    features : str or list of str, default=None
        The columns of features of a long table, or one of lists of fixed size. None means
        the names of features seen by `fit`, if the estimator knows them, and otherwise all
        other columns.
    weights : str, default=None
        The column of weights of elements: of numbers in a long table, or of lists.
    positions : str or list of str, default=None
        The columns of positions of elements, on 1 or 2 axes: likewise.
    method : {"transform", "predict", "predict_proba", "predict_log_proba", \
            "decision_function"}, default="transform"
        The method of the estimator that is applied.
    output : str, default=None
        Name of the column with its results, the last one. None means "embedding",
        "prediction", "probabilities", "log_probabilities" or "decision".
    keep : list of str, default=None
        The columns that the output has, too. Those of a long table must have one value in
        all rows of a set. None means all columns but those that sets are read from; none
        of a long table.
    fixed_size_lists : bool, default=True
        Whether embeddings and other outputs with several columns are lists of fixed size,
        whose number of columns is part of their type. False means plain lists, the only
        ones that Spark has.
    n_jobs : int, default=1
        Number of threads of each call. Engines process a batch on each processor, so that
        1 is best there: it also keeps steps with an `n_jobs` of their own, and BLAS, from
        starting more. With other numbers, it holds for steps whose `n_jobs` is None; -1
        means all processors, the most that are used. Results don't depend on it.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If parameters contradict each other, or the estimator has no such method.

    See Also
    --------
    transform_files : Applies it to Parquet files, and goes on where it was interrupted.
    transform_to : Writes embeddings of batches of sets to a file or array.

    Notes
    -----
    Embeddings are float32 if all elements of the sets are float32 or float16, and otherwise
    float64. This is decided by the type of their column, not by the batch, so that all
    batches have the same schema, also those without rows. A column of Python objects of
    pandas has no type, and its embeddings are float64. In pandas, lists are a column of
    `ArrowDtype`. The numbers of a column of Arrow are
    `column.combine_chunks().flatten().to_numpy().reshape(len(column), -1)`, without a copy
    where it has one chunk; of pandas, `pyarrow.Table.from_pandas(frame)` has it.

    A trial tells the type of the results before there are any: `map`, `schema` and batches
    without rows call the estimator on a set of two elements, of ones and of twos.

    It can be pickled, and is little larger than the estimator: an `OTKEmbedding()` of
    elements with 32 features takes 75 kB.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from otk_sklearn import SetPooling
    >>> from otk_sklearn.batches import BatchTransformer
    >>> embedding = SetPooling().fit([np.eye(2), np.ones((3, 2))])
    >>> batch = pa.table({"id": [7, 8], "points": [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]]})
    >>> transformer = BatchTransformer(embedding, column="points")
    >>> transformer(batch).to_pylist()
    [{'id': 7, 'embedding': [2.0, 3.0]}, {'id': 8, 'embedding': [5.0, 6.0]}]
    >>> transformer.schema(batch.schema).field("embedding").type
    FixedSizeListType(fixed_size_list<item: double>[2])

    Of a long table:

    >>> rows = pa.table({"id": [7, 7, 8], "x": [1.0, 3.0, 5.0], "y": [2.0, 4.0, 6.0]})
    >>> BatchTransformer(embedding, groups="id")(rows).to_pylist()
    [{'id': 7, 'embedding': [2.0, 3.0]}, {'id': 8, 'embedding': [5.0, 6.0]}]
    """

    __module__ = "otk_sklearn.batches"  # where users import it from
    # Of an instance, too: engines show the names of functions.
    __name__ = "BatchTransformer"

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        column: str | list[str] | None = None,
        groups: str | None = None,
        features: str | list[str] | None = None,
        weights: str | None = None,
        positions: str | list[str] | None = None,
        method: Literal[
            "transform",
            "predict",
            "predict_proba",
            "predict_log_proba",
            "decision_function",
        ] = "transform",
        output: str | None = None,
        keep: list[str] | None = None,
        fixed_size_lists: bool = True,
        n_jobs: int = 1,
    ) -> None:
        check_is_fitted(estimator)
        check_method(estimator, method)
        _check_n_jobs(n_jobs)
        self.estimator = estimator
        self.column = column
        self.groups = groups
        self.features = features
        self.weights = weights
        self.positions = positions
        self.method = method
        self.output = OUTPUTS[method] if output is None else output
        self.keep = keep
        self.fixed_size_lists = fixed_size_lists
        self.n_jobs = n_jobs
        self._check_columns()

    def __call__(self, batch: Any) -> Any:
        """Apply the estimator to a batch.

        Parameters
        ----------
        batch : RecordBatch or Table of pyarrow, or DataFrame of pandas or polars
            Of a long table, it has all rows of each of its sets, in any order.

        Returns
        -------
        batch
            Of the same kind: the columns that are kept, and the output. Without a set, it
            is empty, and has the same columns.

        Raises
        ------
        ValueError
            If columns are missing or hold no sets.
        """
        from otk_sklearn.batches._tables import as_batch

        batch = as_batch(batch)
        if self.groups is None:
            return self._transform_lists(batch)
        return self._transform_long_table(batch)

    def map(self, batches: Iterable[pa.RecordBatch | pa.Table]) -> Iterator[pa.RecordBatch]:
        """Apply the estimator to a stream of batches.

        This is what `mapInArrow` of Spark calls. Sets of a long table may go on from batch
        to batch, and are joined, if all rows of a set are side by side.

        Parameters
        ----------
        batches : iterable of RecordBatch or Table of pyarrow
            The columns that are needed are of the same types in all.

        Yields
        ------
        RecordBatch
            In the order of the sets. Of batches with lists, it has the rows of one, or of
            a part of it, if the output is larger than 64 MiB.

        Raises
        ------
        ValueError
            As from a call. A note tells the batch. Also if a set of a long table comes
            again after others.
        """
        from otk_sklearn.batches._joining import whole_sets
        from otk_sklearn.batches._tables import as_tables, check_schema, record_batches

        tables = as_tables(batches)
        if self.groups is not None:
            tables = whole_sets(map(self._needed, tables), self.groups)
        schema = None
        for i, table in enumerate(tables):
            if schema is None:
                schema = self.schema(table.schema)
                n_rows = max(1, _MAX_BYTES // self._row_bytes(table.schema))
            if self.groups is not None:  # one row of the output for each set
                n_rows = table.num_rows
            for start in range(0, table.num_rows, n_rows):
                with self._noted(table, i, start):
                    out = self(table.slice(start, n_rows))
                    check_schema(out.schema, schema)
                yield from record_batches(out)

    def _needed(self, table):
        """The columns of a long table that are needed, in the same order for all tables."""
        from otk_sklearn.batches._tables import as_batch

        batch = as_batch(table)
        needed = self.columns(batch.column_names)
        self._check_present(batch, needed)
        return batch.select(needed)

    @contextlib.contextmanager
    def _noted(self, table, i, start):
        """Add a note to an error that tells the batch, or the sets."""
        try:
            yield
        except Exception as error:
            note = f"In batch {i}, from row {start} on."
            if self.groups is not None:
                labels = table.column(self.groups)
                first, last = labels[0].as_py(), labels[-1].as_py()
                note = f"In the sets from {first!r} to {last!r}."
            error.add_note(note)
            raise

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema of the output.

        Parameters
        ----------
        schema : pyarrow.Schema
            Of the batches.

        Returns
        -------
        pyarrow.Schema
            Columns that are kept, and the output.
        """
        return self(schema.empty_table()).schema

    def _row_bytes(self, schema):
        """Approximate number of bytes of the output of a set."""
        from otk_sklearn.batches._outputs import row_bytes

        with_sizes = copy.copy(self)  # whose type tells the number of columns
        with_sizes.fixed_size_lists = True
        return row_bytes(with_sizes.schema(schema).field(self.output).type)

    def _transform_lists(self, batch):
        from otk_sklearn.batches._reading import noted_if_not_finite, read_list_columns

        read = [*_listed(self.column), *_listed(self.weights), *_listed(self.positions)]
        keep = _listed(self.keep)
        if self.keep is None:
            keep = [name for name in batch.column_names if name not in read]
        self._check_present(batch, read + keep)
        self._check_output(keep)
        sets, dtype = read_list_columns(
            batch, self.column, self.weights, self.positions, self._n_features
        )
        with noted_if_not_finite(sets, _listed(self.column), "row {0}".format):
            output = self._output_of(sets, dtype)
        return batch.with_column(keep, None, self.output, output)

    def _transform_long_table(self, batch):
        from otk_sklearn.batches._reading import (
            check_constant,
            noted_if_not_finite,
            number_rows,
            read_long_table,
        )

        keep = [name for name in _listed(self.keep) if name != self.groups]
        others = [self.groups, *_listed(self.weights), *_listed(self.positions), *keep]
        features = self._features_among(batch.column_names, others)
        self._check_present(batch, others + features)
        table = batch.select([*dict.fromkeys(others + features)])
        numbers, starts = number_rows(table, self.groups)
        check_constant(table, keep, self.groups, numbers, starts)
        positions = None if self.positions is None else _listed(self.positions)
        sets = read_long_table(
            table, numbers, features, self.weights, positions, self._n_features
        )
        labels = table.column(self.groups)
        with noted_if_not_finite(
            sets, features, lambda i: f"the set {labels[starts[i]].as_py()!r}"
        ):
            output = self._output_of(sets)
        return batch.with_column([self.groups, *keep], starts, self.output, output)

    def _features_among(self, names, others):
        """The columns of features of a long table."""
        if self.features is not None:
            return _listed(self.features)
        fitted = getattr(self.estimator, "feature_names_in_", None)
        if fitted is not None:
            return fitted.tolist()
        features = [name for name in names if name not in others]
        if not features:
            raise ValueError(
                f"batch has the columns {names}; expected features beside {others}."
            )
        return features

    def _check_present(self, batch, needed):
        """Raise an error if a column is missing, or its name ambiguous."""
        names = batch.column_names
        missing = [name for name in needed if name not in names]
        if missing:
            is_index = missing[0] in batch.index_names
            hint = " Expected batch.reset_index()." if is_index else ""
            raise ValueError(f"batch has no column {missing[0]!r}; it has {names}.{hint}")
        twice = [name for name in needed if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"batch has several columns {twice[0]!r}; expected one of each name."
            )

    def _check_output(self, kept):
        if self.output in kept:
            raise ValueError(
                f"batch has the column {self.output!r}, which is the name of the output; "
                f"expected another one, such as output={self.output + '_2'!r}, or keep "
                "without it."
            )

    @property
    def _n_features(self):
        return getattr(self.estimator, "n_features_in_", None)

    def _output_of(self, sets, dtype=None):
        """The results for these sets, as an Arrow array.

        Parameters
        ----------
        sets : SetCollection
        dtype : dtype, default=None
            What sets of this column have in all batches. None means the same as these.
        """
        import pyarrow as pa

        if not hasattr(self.estimator, "feature_names_in_"):
            sets = sets.with_values(sets.values)  # names would only lead to a warning
        dtype = sets.dtype if dtype is None else dtype
        if not len(sets):
            return pa.array([], self._type_for(sets, dtype))
        column = self._column_of(sets)
        return column if sets.dtype == dtype else column.cast(self._type_for(sets, dtype))

    def _type_for(self, sets, dtype):
        """The type of the results for sets like these, of a trial."""
        token = is_trial.set(True)
        try:
            return self._column_of(_one_like(sets, dtype)).type
        except Exception as error:
            error.add_note(
                "In a trial on a set of two elements, of ones and of twos: it tells the "
                "type of the results beforehand. Expected an estimator that takes this set."
            )
            raise
        finally:
            is_trial.reset(token)

    def _column_of(self, sets):
        from otk_sklearn.batches._outputs import as_column

        label = f"{self.method} of {type(self.estimator).__name__}"
        return as_column(self._call(sets), label, self.fixed_size_lists)

    def _call(self, sets):
        method = getattr(self.estimator, self.method)
        if self.n_jobs != 1:
            with joblib.parallel_config("threading", n_jobs=self.n_jobs):
                return method(sets)
        with joblib.parallel_config("sequential"), single_threaded():
            return method(sets)

    def _check_columns(self):
        if (self.column is None) == (self.groups is None):
            given = "neither" if self.column is None else "both"
            raise ValueError(
                f"column={self.column!r}, groups={self.groups!r}: {given} is given; "
                "expected column, that of lists, or groups, the labels of a long table."
            )
        if self.column is not None and self.features is not None:
            raise ValueError(
                f"features={self.features!r} is given with column={self.column!r}; "
                "expected it with groups, for a long table."
            )
        for name in ("groups", "weights", "output"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} is {value!r}; expected the name of one column.")
        keep = self.keep
        if isinstance(keep, str) or keep is not None and not isinstance(keep, list | tuple):
            expected = [keep] if isinstance(keep, str) else "a list of names"
            raise TypeError(f"keep is {keep!r}; expected {expected}.")
        if self.output in [self.groups, *_listed(keep)]:
            raise ValueError(
                f"output is {self.output!r}, the name of a column that is kept; expected "
                "another one."
            )

    def columns(self, names: Sequence[str]) -> list[str]:
        """Return the columns that are needed, for readers that can leave out others.

        Parameters
        ----------
        names : list of str
            The columns that there are, such as `schema.names`.

        Returns
        -------
        list of str
            Those that are read or kept.
        """
        needed = [*_listed(self.weights), *_listed(self.positions), *_listed(self.keep)]
        if self.column is not None:
            needed += _listed(self.column)
            return [*names] if self.keep is None else [*dict.fromkeys(needed)]
        needed = [self.groups, *needed]
        return [*dict.fromkeys(needed + self._features_among(names, needed))]

    def __repr__(self):
        source = "column" if self.groups is None else "groups"
        parts = [f"{source}={getattr(self, source)!r}", f"method={self.method!r}"]
        return f"BatchTransformer({type(self.estimator).__name__}, {', '.join(parts)})"


def _listed(names):
    """Names of columns as a list; none of None."""
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


def _one_like(sets, dtype):
    """A set of two elements that an estimator takes as it takes these sets.

    Only embeddings take no sets at all; classifiers of scikit-learn don't. The elements
    differ, and are not 0: users' functions divide by deviations, radii and norms.
    """
    values = np.ones((2, sets.n_features), dtype)
    values[1] = 2
    positions = sets.positions
    return SetCollection(
        values,
        [0, 2],
        weights=None if sets.weights is None else np.ones(2),
        positions=None if positions is None else np.zeros((2, positions.shape[1])),
        feature_names=sets.feature_names,
    )


def check_method(estimator, method):
    if method not in OUTPUTS:
        raise ValueError(f"method is {method!r}; expected one of {[*OUTPUTS]}.")
    if not hasattr(estimator, method):
        available = [f"method={name!r}" for name in OUTPUTS if hasattr(estimator, name)]
        raise ValueError(
            f"method is {method!r}, which {type(estimator).__name__} does not have; "
            f"expected one of {', '.join(available)}."
        )


def _check_n_jobs(n_jobs):
    is_integer = isinstance(n_jobs, Integral) and not isinstance(n_jobs, bool)
    if not is_integer or n_jobs == 0:
        raise ValueError(
            f"n_jobs is {n_jobs!r}; expected a number of threads, or -1 for all processors."
        )
