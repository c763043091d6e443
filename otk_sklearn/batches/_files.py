"""`transform_files`: Parquet files to as many others, and on from where a run stopped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from otk_sklearn._utils.progress import Percentage
from otk_sklearn.batches._transformer import BatchTransformer
from otk_sklearn.batches._whole_files import written_whole


def transform_files(
    transformer: BatchTransformer,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    destination: str | os.PathLike[str],
    *,
    verbose: bool = False,
) -> list[Path]:
    """Apply a `BatchTransformer` to Parquet files, and write one file for each.

    Files that are already there are not computed again: after an interruption, the same
    call goes on where the last one stopped. A file is there once it is complete. Needs
    pyarrow; `pip install "otk-sklearn[arrow]"`.

    Parameters
    ----------
    transformer : BatchTransformer
        Runs in this process: `n_jobs=-1` uses all its processors.
    source : str, Path, or list of them
        A folder, with all Parquet files in it and in its folders, or files. Names that
        start with a dot or an underscore are left out. The order of files is that of their
        names, or of the list.
    destination : str or Path
        A folder, which is made if it is missing. Files have the names that they have in
        the source folder, or in the folder that files of a list have in common.
    verbose : bool, default=False
        Whether to print every few seconds how many files there are.

    Returns
    -------
    list of Path
        The files in `destination`, in the order of the source.

    Raises
    ------
    ValueError
        If a file in `destination` was written by another model, with other parameters of
        the transformer or of another source than now; if a file is no complete Parquet
        file; or as from the transformer. A note tells the file of the source.
    RuntimeError
        If another process writes the same file at the same time.

    See Also
    --------
    BatchTransformer : The function that is applied.

    Notes
    -----
    Files are read in parts of about 64 MiB. In a long table, sets may go on from file to
    file, where all rows of a set are side by side in the order of the files: a set is
    written to the file that belongs to the one in which it starts. Columns whose values are
    in names of folders, such as "year=2024", are no columns of files: the names of folders
    in `destination` keep them.

    The metadata of each file say what it was made of: hashes of the fitted estimator and
    the parameters, but for numbers of threads, and of the footer of its source, which has
    the sizes of columns and the range of their values; of a long table, also of the files
    in which its last set goes on. Change none of the source while this runs, and have one
    process at a time write a file. Several can share the work by different lists of files,
    of columns of lists.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from pyarrow import parquet
    >>> from otk_sklearn import SetPooling
    >>> from otk_sklearn.batches import BatchTransformer, transform_files
    >>> folder = tempfile.TemporaryDirectory()
    >>> source, destination = Path(folder.name, "sets"), Path(folder.name, "embeddings")
    >>> source.mkdir()
    >>> table = pa.table({"id": [7, 8], "points": [[[1.0, 2.0]], [[3.0, 4.0]]]})
    >>> parquet.write_table(table, source / "part-0.parquet")
    >>> embedding = SetPooling().fit([np.eye(2)])
    >>> transformer = BatchTransformer(embedding, column="points")
    >>> [file] = transform_files(transformer, source, destination)
    >>> parquet.read_table(file).to_pylist()
    [{'id': 7, 'embedding': [1.0, 2.0]}, {'id': 8, 'embedding': [3.0, 4.0]}]
    >>> folder.cleanup()
    """
    from otk_sklearn.batches._parquet import ParquetSource, check_written, fingerprint

    if not isinstance(transformer, BatchTransformer):
        raise TypeError(
            f"transformer is {type(transformer).__name__}; expected a BatchTransformer."
        )
    files = _files_of(source)
    targets = _targets(files, source, Path(destination))
    parts = ParquetSource(transformer, files)
    of_transformer = fingerprint(transformer)
    progress = Percentage("transform_files", len(files), "files") if verbose else None
    for i, target in enumerate(targets):
        try:
            made_of = {"transformer": of_transformer, "source": parts.fingerprint(i)}
            if target.exists():
                check_written(target, made_of)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(target) as temporary:
                    parts.write(i, temporary, made_of)
        except Exception as error:
            error.add_note(f"In the file {os.fspath(files[i])!r}.")
            raise
        if progress is not None:
            progress(1)
    return targets


def _files_of(source):
    """The source files, as a list of paths."""
    if isinstance(source, str | os.PathLike):
        source = Path(source)
        files = sorted(_in_folder(source)) if source.is_dir() else [source]
    elif isinstance(source, list | tuple):
        files = [Path(file) for file in source]
    else:
        raise TypeError(
            f"source is {type(source).__name__}; expected the name of a folder, or a list "
            "of files."
        )
    if not files:
        raise ValueError(f"source is {source!r}, without a Parquet file.")
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(f"source has no file {os.fspath(missing[0])!r}.")
    return files


def _in_folder(folder):
    for file in folder.rglob("*.parquet"):
        names = file.relative_to(folder).parts
        if not any(name.startswith((".", "_")) for name in names):
            yield file


def _targets(files, source, destination):
    """The file that is written for each source file."""
    paths = [Path(os.path.abspath(file)) for file in files]  # without ".."
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        folder = Path(os.path.abspath(source))
        are_sources = Path(os.path.abspath(destination)).is_relative_to(folder)
    else:
        are_sources = Path(os.path.abspath(destination)) == folder
    if are_sources:
        raise ValueError(
            f"destination is {os.fspath(destination)!r}, in the folder of the source; "
            "expected another folder, as its files would be sources."
        )
    targets = [destination / path.relative_to(folder) for path in paths]
    if len(set(targets)) < len(targets):
        raise ValueError("source has a file twice; expected each of them once.")
    return targets
