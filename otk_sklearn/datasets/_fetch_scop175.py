"""SCOP 1.75: protein domains and their folds, as split for DeepSF."""

from __future__ import annotations

import os
import re
from itertools import chain
from typing import Literal

import numpy as np
from sklearn.utils import Bunch

from otk_sklearn._utils.sklearn_compat import StrOptions, validate_params
from otk_sklearn.datasets._data_files import DataFiles
from otk_sklearn.sets._collection import SetCollection

_LISTS = {
    "train": "Traindata",
    "test": "Testdata",
    "test_id70": "Testdata_id70againstTrain",
    "test_id40": "Testdata_id40againstTrain",
    "test_id25": "Testdata_id25againstTrain",
    "scop206": "SCOP206",
}
_FOLDERS = (
    "scop175",
    "scop175/D1_SimilarityReduction_dataset",
    "DeepSF/datasets",
    "DeepSF/datasets/D1_SimilarityReduction_dataset",
)
_LIST_COLUMNS = ["domain", "length", "family", "fold"]
_ALL_SEQUENCES = "PDB_SCOP95_seq_scop1.75.txt"
_FOLD_LABELS = "fold_label_relation2.txt"

# In the order of PSI-BLAST and of DeepSF: that of their three-letter codes.
_AMINO_ACIDS = "ARNDCQEGHILKMFPSTWYV"
_AMBIGUOUS = "BJOUXZ"

_PROFILE_NAMES = [f"pssm_{letter}" for letter in _AMINO_ACIDS]
_STRUCTURE_NAMES = ["ss_coil", "ss_strand", "ss_helix", "sa_exposed", "sa_buried"]
_FEATURE_FOLDERS = "Feature_aa_ss_sa", "PSSM_Fea"
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_LARGEST = float(np.finfo(np.float32).max)  # numbers above are infinite in sets

_GET_LISTS = """\
  git clone https://github.com/multicom-toolbox/DeepSF {data_home}/DeepSF"""
_GET_SEQUENCES = """\
  mkdir -p {data_home}/scop175
  cd {data_home}/scop175
  curl -O http://iris.rnet.missouri.edu/DeepSF/download/PDB_SCOP95_seq_scop1.75.txt"""
# DeepSF has none of these.
_GET_SCOP206_SEQUENCES = """\
  writing those of the list, from https://scop.berkeley.edu/astral/ver=2.06, to the file
  {data_home}/scop175/SCOP206.fasta
or take features="profile"."""
_FEATURES_ADDRESS = "http://sysbio.rnet.missouri.edu/bdm_download/DeepSF/datasets/features"
_GET_FEATURES = f"""\
  mkdir -p {{data_home}}/scop175/features
  cd {{data_home}}/scop175/features
  curl -O {_FEATURES_ADDRESS}/Feature_aa_ss_sa.tar.gz
  curl -O {_FEATURES_ADDRESS}/PSSM_Fea.tar.gz
  tar -xzf Feature_aa_ss_sa.tar.gz
  tar -xzf PSSM_Fea.tar.gz"""

_DESCRIPTION = """\
SCOP 1.75, protein domains and their folds, as split for DeepSF

The training data has 14,699 domains of 1,195 folds, of which no two are identical in more
than 95 % of their sequences. 2,013 other domains are for testing, of which 1,428, 893 and
711 are identical to no training domain in more than 70, 40 and 25 %; 2,533 domains are
those that were new in SCOP 2.06.

J. Hou, B. Adhikari and J. Cheng, "DeepSF: deep convolutional neural network for mapping
protein sequences to folds", Bioinformatics 34, 2018.
"""


@validate_params(
    {
        "data_home": [str, os.PathLike],
        "subset": [StrOptions(set(_LISTS))],
        "features": [StrOptions({"one_hot", "profile"})],
    },
    prefer_skip_nested_validation=True,
)
def fetch_scop175(
    *,
    data_home: str | os.PathLike[str],
    subset: str = "train",
    features: Literal["one_hot", "profile"] = "one_hot",
) -> Bunch:
    r"""Read protein domains of SCOP 1.75 as sets of residues, from files of DeepSF.

    Nothing is downloaded. Clone https://github.com/multicom-toolbox/DeepSF in the folder
    `data_home`: it has the lists of domains, and sequences of the smaller test sets. Other
    sequences and the profiles are separate files, for which errors tell the addresses.

    Parameters
    ----------
    data_home : str or path-like
        The folder that has a folder `scop175` or `DeepSF/datasets` with the files below.
    subset : str, default="train"
        The list of domains, one of:

        - "train": `Traindata.list`, 14,699 domains of 1,195 folds;
        - "test": `Testdata.list`, 2,013 domains, which are often used for validation;
        - "test_id70", "test_id40", "test_id25": those of them that are identical to no
          training domain in more than 70, 40 or 25 % of their sequences: 1,428, 893, 711;
        - "scop206": `SCOP206.list`, 2,533 domains that were new in SCOP 2.06.
    features : {"one_hot", "profile"}, default="one_hot"
        The features of a residue:

        - "one_hot": 20 numbers, the one-hot encoding of the amino acid, in the order
          of the letters ARNDCQEGHILKMFPSTWYV; zeros for the letters B, J, O, U, X, Z of
          ambiguous and rare ones. Sequences are read from the FASTA file of the same name
          as the list, such as `Traindata.fasta`, or from `PDB_SCOP95_seq_scop1.75.txt`,
          which has none of "scop206";
        - "profile": 45 numbers, read from the folders `features/Feature_aa_ss_sa` and
          `features/PSSM_Fea`: the one-hot encoding of the amino acid (20), its row of the
          position-specific scoring matrix, as in the file (20), and one-hot
          encodings of the predicted secondary structure (coil, strand, helix) and
          solvent accessibility (exposed, buried).

    Returns
    -------
    data : Bunch
        Dictionary-like object, with the attributes

        data : SetCollection
            A set for each domain, of its residues in their order, in float32, with names.
        target : ndarray of int of shape (n_domains,)
            The label of the fold of each domain, from 0 to 1195.
        target_names : ndarray of str of shape (1196,)
            The folds of the labels, such as "a.1", from `fold_label_relation2.txt`.
        names : ndarray of str of shape (n_domains,)
            The identifiers of the domains.
        filename : str
            The list that has been read.
        DESCR : str
            What the data are.

    Raises
    ------
    FileNotFoundError
        If there is no such file. The message tells how to get it.
    ValueError
        If a file is cut short within a line, or has other columns, letters or lengths than
        expected; if a domain has no sequence, or a fold no label. The message tells the
        line, or the domain. A list that is cut short between two lines reads as one of
        fewer domains.

    See Also
    --------
    load_peptides : Shorter sequences, which come with a package.

    Notes
    -----
    Scores of position-specific scoring matrices are mostly between -8 and 16. Bring all
    features to a common scale, for example by `ElementTransformer(MinMaxScaler())`.

    Sequences have to be of the length in the list. In `Testdata_id25againstTrain.list`,
    lengths are those of the first lines of sequences: those in `Testdata.list`, which has
    all of these domains, are read instead.

    The training data has some 2.6 million residues: 200 MB one-hot, 460 MB as profiles, and
    twice as much while they are put together.

    References
    ----------
    J. Hou, B. Adhikari and J. Cheng, "DeepSF: deep convolutional neural network for mapping
    protein sequences to folds", Bioinformatics 34, 2018.

    Examples
    --------
    A list of two short domains stands for the data:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from otk_sklearn.datasets import fetch_scop175
    >>> files = {
    ...     "Testdata.list": "d1aaa_\t4\ta.1.1.1\ta.1\nd2bbb_\t3\tb.2.1.1\tb.2\n",
    ...     "Testdata.fasta": ">d1aaa_ a.1.1.1\nACDE\n>d2bbb_ b.2.1.1\nGGX\n",
    ...     "fold_label_relation2.txt": "Fold\tLabel\na.1\t0\nb.2\t1\n",
    ... }
    >>> with TemporaryDirectory() as data_home:
    ...     Path(data_home, "scop175").mkdir()
    ...     for name, text in files.items():
    ...         _ = Path(data_home, "scop175", name).write_text(text)
    ...     domains = fetch_scop175(data_home=data_home, subset="test")
    >>> domains.data
    SetCollection(n_sets=2, n_elements=7, n_features=20, lengths 3 to 4, float32, names)
    >>> domains.target_names[domains.target]
    array(['a.1', 'b.2'], dtype='<U3')
    """
    files = DataFiles("fetch_scop175", data_home, _FOLDERS, _GET_LISTS)
    path = files.find(f"{_LISTS[subset]}.list")
    names, lengths, folds = _read_list(files, path)
    if subset == "test_id25":
        lengths = _lengths_of_all(files, path, names)
    fold_names, target = _read_labels(files, path, folds)
    if features == "one_hot":
        feature_names = list(_AMINO_ACIDS)
        residues, lengths = _one_hot(data_home, path, names, lengths)
    else:
        feature_names = [*_AMINO_ACIDS, *_PROFILE_NAMES, *_STRUCTURE_NAMES]
        residues, lengths = _profiles(data_home, names, lengths)
    X = SetCollection(
        residues, np.cumsum([0, *lengths]), names=names, feature_names=feature_names
    )
    return Bunch(
        data=X,
        target=target,
        target_names=fold_names,
        names=names,
        filename=str(path),
        DESCR=_DESCRIPTION,
    )


def _read_list(files, path):
    """Return names, lengths and folds of the domains of a list."""
    lines, lengths, folds = {}, [], []
    rows = files.rows(path, _LIST_COLUMNS, header=False)
    for line, (name, length, family, fold) in rows:
        if name in lines:
            message = f"domain {name} is in line {lines[name]}, too; expected it once."
            raise files.error(path, message, line)
        if not f"{family}.".startswith(f"{fold}."):
            message = f"family is {family!r}; expected one of fold {fold}."
            raise files.error(path, message, line)
        lines[name] = line
        lengths.append(files.integer(path, line, "length", length))
        folds.append(fold)
    return np.array(list(lines)), lengths, folds


def _lengths_of_all(files, list_path, names):
    """Return lengths of the domains of a list from that of all domains for testing."""
    path = files.find("Testdata.list")
    all_names, lengths, _ = _read_list(files, path)
    by_name = dict(zip(all_names, lengths))
    for line, name in enumerate(names, start=1):
        if name not in by_name:
            message = f"domain is {name}; expected one of those in {path}."
            raise files.error(list_path, message, line)
    return [by_name[name] for name in names]


def _read_labels(files, list_path, folds):
    """Return the names of all folds, in the order of their labels, and labels of these."""
    path = files.find(_FOLD_LABELS)
    labels = {}
    for line, (fold, label) in files.rows(path, ["Fold", "Label"]):
        label = files.integer(path, line, "Label", label)
        if label != len(labels) or fold in labels:
            message = f"{fold} has label {label}; expected a new fold, label {len(labels)}."
            raise files.error(path, message, line)
        labels[fold] = label
    for line, fold in enumerate(folds, start=1):
        if fold not in labels:
            message = f"fold is {fold!r}; expected one of those in {path}."
            raise files.error(list_path, message, line)
    return np.array(list(labels)), np.array([labels[fold] for fold in folds])


def _one_hot(data_home, list_path, names, lengths):
    """Return the one-hot encoding of all residues, and the number of each domain's."""
    is_later = list_path.stem == _LISTS["scop206"]
    instructions = _GET_SCOP206_SEQUENCES if is_later else _GET_SEQUENCES
    files = DataFiles("fetch_scop175", data_home, _FOLDERS, instructions)
    path = files.find(f"{list_path.stem}.fasta", *([] if is_later else [_ALL_SEQUENCES]))
    by_name = _read_fasta(files, path)
    missing = [name for name in names if not by_name.get(_key(name))]
    if missing:
        raise files.error(
            path,
            f"{len(missing)} of the {len(names)} domains of {list_path} have no sequence, "
            f"such as {missing[0]}; expected one of each.",
        )
    sequences = [by_name[_key(name)] for name in names]
    for name, sequence, length in zip(names, sequences, lengths):
        _check_length(files, path, name, len(sequence), length)
    letters = np.frombuffer("".join(sequences).encode(), np.uint8)
    codes = np.zeros((128, len(_AMINO_ACIDS)), np.float32)
    codes[list(_AMINO_ACIDS.encode()), range(len(_AMINO_ACIDS))] = 1
    return codes[letters], [len(sequence) for sequence in sequences]


def _read_fasta(files, path):
    """Return sequences in capitals, by what is left of their names in names of files."""
    parts, name = {}, None
    for line, text in files.lines(path):
        if text.startswith(">"):
            name = _key(text[1:].split(maxsplit=1)[0]) if text[1:].strip() else ""
            if not name or name in parts:
                message = f"{text[:40]!r} names no new domain; expected one after '>'."
                raise files.error(path, message, line)
            parts[name] = []
            continue
        if name is None:
            message = f"{text[:40]!r} comes first; expected '>' and the name of a domain."
            raise files.error(path, message, line)
        text = text.strip().upper()
        allowed = _AMINO_ACIDS + _AMBIGUOUS
        files.check_letters(path, line, f"the sequence of {name}", text, allowed)
        parts[name].append(text)
    return {name: "".join(lines) for name, lines in parts.items()}


def _key(name):
    """The name of a domain as in names of files, where `d1dan.1` is `d1dan_1`."""
    return name.replace(".", "_")


def _profiles(data_home, names, lengths):
    """Return 45 features of all residues, and the number of each domain's residues."""
    folders = [tuple(f"{x}/features/{name}" for x in _FOLDERS) for name in _FEATURE_FOLDERS]
    encodings, scores = (
        DataFiles("fetch_scop175", data_home, places, _GET_FEATURES) for places in folders
    )
    domains = []
    for name, length in zip(names, lengths):
        path = encodings.find(f"{_key(name)}.fea_aa_ss_sa")
        encoded = _read_features(encodings, path, name, 25, length)
        path = scores.find(f"{_key(name)}.pssm_fea")
        profile = _read_features(scores, path, name, 20, len(encoded))
        domains.append(np.hstack([encoded[:, :20], profile, encoded[:, 20:]]))
    return np.concatenate(domains), [len(domain) for domain in domains]


def _read_features(files, path, name, n_features, length):
    """Return the features of a domain, a row for each residue.

    The file has two lines: `>` and the name; a label, a tab, and all features, each as
    its number from 1, a colon, and its value, separated by spaces.
    """
    lines = [text for _, text in files.lines(path)]
    if len(lines) != 2 or not lines[0].startswith(">") or "\t" not in lines[1]:
        message = "expected two lines: '>' and the name, then a label, a tab, features."
        raise files.error(path, message)
    if _key(lines[0][1:].strip()) != _key(name):
        message = f"{lines[0][:40]!r} names another domain; expected '>{name}'."
        raise files.error(path, message, 1)
    text = lines[1].partition("\t")[2]
    values = _numbered_values(text)
    if values is None:
        number, pair = _first_wrong(text)
        message = f"feature {number} is {pair!r}; expected '{number}:' and a number."
        raise files.error(path, message, 2)
    if not len(values) or len(values) % n_features:
        message = f"there are {len(values)} features; expected {n_features} a residue."
        raise files.error(path, message, 2)
    _check_length(files, path, name, len(values) // n_features, length)
    return values.reshape(-1, n_features)


def _numbered_values(text):
    """The values of `1:0 2:1 3:0`; None if these are not numbered, or no numbers."""
    if "_" in text:  # NumPy reads 1_0 as 10
        return None
    pairs = text.split()
    words = list(chain.from_iterable(pair.partition(":")[::2] for pair in pairs))
    try:
        numbers = np.array(words, dtype=float).reshape(len(pairs), 2)
    except ValueError:
        return None
    are_numbered = np.array_equal(numbers[:, 0], np.arange(1, len(pairs) + 1))
    are_finite = (np.abs(numbers[:, 1]) <= _LARGEST).all()
    return numbers[:, 1].astype(np.float32) if are_numbered and are_finite else None


def _first_wrong(text):
    """The first pair that is not its number, a colon, and a number; and that number."""
    for number, pair in enumerate(text.split(), start=1):
        is_pair = re.fullmatch(rf"{number}:{_NUMBER}", pair)
        if not is_pair or abs(float(pair.partition(":")[2])) > _LARGEST:
            return number, pair


def _check_length(files, path, name, came, expected):
    if came != expected:
        message = f"domain {name} has {came} residues; expected {expected}."
        raise files.error(path, message)
