"""`transform_to`: results of batch after batch of sets, without all of them in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from otk_sklearn._utils.progress import Percentage
from otk_sklearn.batches._destinations import open_destination
from otk_sklearn.batches._transformer import OUTPUTS, check_method
from otk_sklearn.sets._collection import SetCollection

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


def transform_to(
    estimator: BaseEstimator,
    batches: Iterable[SetsLike],
    destination: str | os.PathLike[str] | NDArray[Any],
    *,
    method: Literal[
        "transform", "predict", "predict_proba", "predict_log_proba", "decision_function"
    ] = "transform",
    verbose: bool = False,
) -> int:
    """Apply an estimator to batches of sets, and write the results to a file or array.

    Only one batch and its results are in memory at a time.

    Parameters
    ----------
    estimator : estimator
        A fitted embedding, classifier or regressor of sets, or a pipeline that ends in
        one. Its own `n_jobs` says how many threads there are.
    batches : iterable of sets
        Such as of `SetCollection`; each is passed to the estimator.
    destination : str, Path, or array
        Rows are in the order of the sets.

        - The name of a .npy file. `numpy.load(..., mmap_mode="r")` opens it without
          reading it into memory. It has no names of sets.
        - The name of a .parquet file: a column of lists of fixed size, called "embedding",
          or as in `BatchTransformer`; and "name", if the sets have names. Names that are
          tuples are structs.
        - An array that is assigned to by slices. One of NumPy, such as `numpy.memmap`,
          has a row for each set. Those with a method `resize`, of h5py and zarr, get as
          many: start with `shape=(0, width)`.

        A file is there once it is complete; until then it has another name, and after an
        error it is removed. An existing file is replaced.
    method : {"transform", "predict", "predict_proba", "predict_log_proba", \
            "decision_function"}, default="transform"
        The method of the estimator that is applied.
    verbose : bool, default=False
        Whether to print every few seconds how many sets have been processed.

    Returns
    -------
    int
        Number of sets.

    Raises
    ------
    ValueError
        If there is no set, results differ in their dtype or width, names in their type, or
        results don't fit the array. A note tells the batch.

    See Also
    --------
    BatchTransformer : Applies an estimator to batches of tables.
    transform_files : Applies it to Parquet files, and goes on where it was interrupted.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import SetCollection, SetPooling
    >>> from otk_sklearn.batches import transform_to
    >>> first, second = [np.eye(2)], [[[3, 4]]]
    >>> embedding = SetPooling().fit(first)
    >>> batches = (SetCollection.from_sets(sets) for sets in [first, second])
    >>> embeddings = np.empty((2, 2))
    >>> transform_to(embedding, batches, embeddings)
    2
    >>> embeddings
    array([[0.5, 0.5],
           [3. , 4. ]])
    """
    check_method(estimator, method)
    _check_batches(batches)
    n_sets, progress = 0, None
    if verbose:
        is_array = isinstance(destination, np.ndarray)
        progress = Percentage("transform_to", len(destination) if is_array else None)
    with open_destination(destination, OUTPUTS[method]) as writer:
        for i, batch in enumerate(batches):
            if not _n_sets(batch, i):
                continue
            try:
                out = np.asarray(getattr(estimator, method)(batch))
                writer.write(out, batch.names if _is_collection(batch) else None)
            except Exception as error:
                error.add_note(f"In batch {i}, after {n_sets:,} sets.")
                raise
            n_sets += len(out)
            if progress is not None:
                progress(len(out))
        if not n_sets:
            raise ValueError("batches has no sets; expected at least one.")
    return n_sets


def _is_collection(batch):
    return isinstance(batch, SetCollection)


def _check_batches(batches):
    if _is_collection(batches):
        raise TypeError(
            "batches is a SetCollection; expected an iterable of them: [batches]."
        )
    if isinstance(batches, str | os.PathLike) or not hasattr(batches, "__iter__"):
        raise TypeError(
            f"batches is {type(batches).__name__}; expected an iterable of sets, such as "
            "of SetCollection."
        )


def _n_sets(batch, i):
    if isinstance(batch, tuple):
        raise TypeError(
            f"batches has a tuple at {i}; expected sets: (sets for sets, y in batches)."
        )
    return len(batch)
