"""DNA around binding sites of transcription factors, as prepared for DeepBind."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
from sklearn.utils import Bunch

from otk_sklearn._utils.sklearn_compat import StrOptions, validate_params
from otk_sklearn.datasets._data_files import DataFiles

_FOLDERS = ("encode_tf", "DeepBind/data/encode")
_INSTRUCTIONS = """\
  git clone https://github.com/jisraeli/DeepBind {data_home}/DeepBind"""
_ENDINGS = {"train": "_AC.seq.gz", "test": "_B.seq.gz"}
_COLUMNS = ["FoldID", "EventID", "seq", "Bound"]
_NAMES_SHOWN = 10

_DESCRIPTION = """\
DNA around peaks of ENCODE's ChIP-seq experiments, as prepared for DeepBind

Sequences of 101 bases. Those for training are around peaks, where a transcription factor
was bound; those for testing are 500 peaks, and 500 shuffles of them that keep the
frequencies of dinucleotides.

B. Alipanahi, A. Delong, M. T. Weirauch and B. J. Frey, "Predicting the sequence
specificities of DNA- and RNA-binding proteins by deep learning", Nature Biotechnology 33,
2015.
"""


@validate_params(
    {
        "data_home": [str, os.PathLike],
        "name": [str],
        "subset": [StrOptions(set(_ENDINGS))],
    },
    prefer_skip_nested_validation=True,
)
def fetch_deepbind(
    *,
    data_home: str | os.PathLike[str],
    name: str,
    subset: Literal["train", "test"] = "train",
) -> Bunch:
    r"""Read sequences of DNA that a transcription factor binds to, from files of DeepBind.

    Nothing is downloaded: clone https://github.com/jisraeli/DeepBind in the folder
    `data_home`, which has the files of ENCODE in `data/encode`.

    Parameters
    ----------
    data_home : str or path-like
        The folder that has a folder `encode_tf` or `DeepBind/data/encode` with
        the files `*_AC.seq.gz` and `*_B.seq.gz`.
    name : str
        What comes before `_AC.seq.gz` in the name of a file: that of the experiment, or of
        the transcription factor. If there is none of this name, the error lists those
        there are.
    subset : {"train", "test"}, default="train"
        `_AC.seq.gz`, which has bound sequences only, or `_B.seq.gz`, with 500 bound
        ones and 500 shuffles of them.

    Returns
    -------
    data : Bunch
        Dictionary-like object, with the attributes

        data : list of str
            The sequences, of the letters A, C, G, T, and N for an unknown base.
        target : ndarray of int of shape (n_sequences,)
            1 for bound sequences, 0 for others.
        names : ndarray of str of shape (n_sequences,)
            The column `EventID` of the file.
        filename : str
            The file that has been read.
        DESCR : str
            What the data are.

    Raises
    ------
    FileNotFoundError
        If there is no such file. The message tells which there are, or how to get them.
    ValueError
        If the gzipped file is cut short or damaged; if it has other columns, letters or
        labels. The message tells the line.

    See Also
    --------
    fetch_deepsea : Longer sequences, with 919 labels each.

    Notes
    -----
    Negatives for training are to be made by shuffling bound sequences such that
    frequencies of dinucleotides stay.

    References
    ----------
    B. Alipanahi, A. Delong, M. T. Weirauch and B. J. Frey, "Predicting the sequence
    specificities of DNA- and RNA-binding proteins by deep learning", Nature Biotechnology
    33, 2015.

    Examples
    --------
    A file of two short sequences stands for the data:

    >>> import gzip
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from otk_sklearn.datasets import fetch_deepbind
    >>> with TemporaryDirectory() as data_home:
    ...     path = Path(data_home, "encode_tf", "MYC_B.seq.gz")
    ...     path.parent.mkdir()
    ...     with gzip.open(path, "wt") as file:
    ...         _ = file.write("FoldID\tEventID\tseq\tBound\n")
    ...         _ = file.write("A\tseq_1_peak\tCACGTG\t1\nA\tseq_1_shuf\tCGTGAC\t0\n")
    ...     dna = fetch_deepbind(data_home=data_home, name="MYC", subset="test")
    >>> dna.data, dna.target
    (['CACGTG', 'CGTGAC'], array([1, 0]))
    """
    files = DataFiles("fetch_deepbind", data_home, _FOLDERS, _INSTRUCTIONS)
    path = _find(files, name, subset)
    names, sequences, target = [], [], []
    for line, (_, event, sequence, bound) in files.rows(path, _COLUMNS):
        files.check_letters(path, line, "seq", sequence, "ACGTN")
        target.append(files.integer(path, line, "Bound", bound, ["0", "1"]))
        sequences.append(sequence)
        names.append(event)
    return Bunch(
        data=sequences,
        target=np.array(target),
        names=np.array(names),
        filename=str(path),
        DESCR=_DESCRIPTION,
    )


def _find(files, name, subset):
    """The path of a file; if others are there, the error lists their names."""
    ending = _ENDINGS[subset]
    names = {x: _names(files, end) for x, end in _ENDINGS.items()}
    others = names.pop(subset)
    for other, there in names.items():
        if name in there - others:
            raise files.missing(
                f"subset is {subset!r}, and {name} is there for {other!r} only; expected "
                f"{name + ending}."
            )
    if not others or name in others:
        return files.find(name + ending)
    shown = ", ".join(map(repr, sorted(others)[:_NAMES_SHOWN]))
    more = len(others) - _NAMES_SHOWN
    raise FileNotFoundError(
        f"name is {name!r}, and there is no {name + ending}; expected one of {shown}"
        + (f", or {more} more." if more > 0 else ".")
    )


def _names(files, ending):
    """What comes before this ending, in names of files that are there."""
    return {path.name.removesuffix(ending) for path in files.find_all(f"*{ending}")}
