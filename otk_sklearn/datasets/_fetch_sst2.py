"""SST-2: phrases of film reviews, positive or negative."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np
from sklearn.utils import Bunch

from otk_sklearn._utils.sklearn_compat import StrOptions, validate_params
from otk_sklearn.datasets._data_files import DataFiles

_FOLDERS = ("sst2", "SST-2")
_INSTRUCTIONS = """\
  curl -O https://dl.fbaipublicfiles.com/glue/data/SST-2.zip
  unzip SST-2.zip -d {data_home}"""

_DESCRIPTION = """\
SST-2, the Stanford Sentiment Treebank with two classes, as in the benchmark GLUE

Phrases of film reviews, each labelled as positive or negative. The training data has
67,349 phrases and sentences, the development data 872 sentences. Text is in lower case,
with spaces between tokens.

R. Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment
Treebank", EMNLP 2013.
"""


@validate_params(
    {"data_home": [str, os.PathLike], "subset": [StrOptions({"train", "dev"})]},
    prefer_skip_nested_validation=True,
)
def fetch_sst2(
    *, data_home: str | os.PathLike[str], subset: Literal["train", "dev"] = "train"
) -> Bunch:
    r"""Read SST-2, phrases of film reviews, from files of the benchmark GLUE.

    Nothing is downloaded: unpack https://dl.fbaipublicfiles.com/glue/data/SST-2.zip in the
    folder `data_home`.

    Parameters
    ----------
    data_home : str or path-like
        The folder that has a folder `SST-2` or `sst2` with `train.tsv` and `dev.tsv`. The
        files may be gzipped, as `train.tsv.gz`.
    subset : {"train", "dev"}, default="train"
        67,349 phrases and sentences for training, or the 872 sentences on which results
        are reported, as labels of the test set are not public.

    Returns
    -------
    data : Bunch
        Dictionary-like object, with the attributes

        data : list of str
            The phrases, as in the file: tokens separated by spaces.
        target : ndarray of int of shape (n_phrases,)
            1 for positive phrases, 0 for negative ones.
        target_names : ndarray of str of shape (2,)
            "negative" and "positive".
        filename : str
            The file that has been read.
        DESCR : str
            What the data are.

    Raises
    ------
    FileNotFoundError
        If there is no such file. The message tells how to get it.
    ValueError
        If the file is cut short within a row, or a gzipped one anywhere; if it has another
        number of columns, or other labels. The message tells the line. A plain file that is
        cut short between two rows reads as one of fewer phrases.

    See Also
    --------
    fetch_scop175 : Protein domains, as sets of residues.

    Notes
    -----
    To make sets of phrases, look up a vector of each token in a table of word vectors, or
    let an encoder compute them.

    Some phrases are repeated, and phrases of the training data are parts of its sentences.

    References
    ----------
    R. Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment
    Treebank", EMNLP 2013.

    A. Wang et al., "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
    Understanding", ICLR 2019.

    Examples
    --------
    A file of two phrases stands for the data:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from otk_sklearn.datasets import fetch_sst2
    >>> with TemporaryDirectory() as data_home:
    ...     path = Path(data_home, "SST-2", "dev.tsv")
    ...     path.parent.mkdir()
    ...     _ = path.write_text("sentence\tlabel\na fine film \t1\ntoo long \t0\n")
    ...     phrases = fetch_sst2(data_home=data_home, subset="dev")
    >>> phrases.data
    ['a fine film ', 'too long ']
    >>> phrases.target_names[phrases.target]
    array(['positive', 'negative'], dtype='<U8')
    """
    files = DataFiles("fetch_sst2", data_home, _FOLDERS, _INSTRUCTIONS)
    path = files.find(f"{subset}.tsv", f"{subset}.tsv.gz")
    phrases, target = [], []
    for line, (phrase, label) in files.rows(path, ["sentence", "label"]):
        phrases.append(phrase)
        target.append(files.integer(path, line, "label", label, ["0", "1"]))
    return Bunch(
        data=phrases,
        target=np.array(target),
        target_names=np.array(["negative", "positive"]),
        filename=str(path),
        DESCR=_DESCRIPTION,
    )
