"""Proteins as sets of residues, with their folds: SCOP 1.75, and TAPE's remote homology.

The folder of the data has

- `scop175/d1_joined.tsv`, domains in the split of DeepSF (columns id, split, fold, join,
  seq): those whose `join` is "swap_cross" or "scope208", which may be in the other part, or
  have another sequence, are left out; the lists `Testdata_id70againstTrain.list` and so on
  of the domains for test that are not more alike to a domain for training; and
  `scop206_joined.tsv`, domains that were new in SCOP 2.06;
- `tape_remote_homology/remote_homology.train.csv`, `.valid.csv` and `.test.csv`, columns
  seq and label: superfamilies of the test part are not in the training part.

Nothing is downloaded, and nothing of it comes with this repository.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from otk_sklearn import SetCollection

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
LISTS = {"70 %": 70, "40 %": 40, "25 %": 25}
N_LARGE = 50  # domains of a large fold in the training part

# BLOSUM62 (Henikoff and Henikoff, PNAS 1992), its lower triangle, in the order of LETTERS.
BLOSUM62 = """
4
0 9
-2 -3 6
-1 -4 2 5
-2 -2 -3 -3 6
0 -3 -1 -2 -3 6
-2 -3 -1 0 -1 -2 8
-1 -1 -3 -3 0 -4 -3 4
-1 -3 -1 1 -3 -2 -1 -3 5
-1 -1 -4 -3 0 -4 -3 2 -2 4
-1 -1 -3 -2 0 -3 -2 1 -1 2 5
-2 -3 1 0 -3 0 1 -3 0 -3 -2 6
-1 -3 -1 -1 -4 -2 -2 -3 -1 -3 -2 -2 7
-1 -3 0 2 -3 -2 0 -3 1 -2 0 0 -1 5
-1 -3 -2 0 -3 -2 0 -3 2 -2 -1 0 -2 1 5
1 -1 0 0 -2 0 -1 -2 0 -2 -1 1 -1 0 -1 4
0 -1 -1 -1 -2 -2 -2 -1 -1 -1 -1 0 -1 -1 -1 1 5
0 -1 -3 -2 -1 -3 -3 3 -2 1 1 -3 -2 -2 -3 -2 0 4
-3 -2 -4 -3 1 -2 -2 -3 -3 -2 -1 -4 -4 -2 -3 -3 -2 -3 11
-2 -2 -3 -2 3 -3 2 -1 -2 -1 -1 -2 -3 -1 -2 -2 -2 -1 2 7
"""


class Proteins(NamedTuple):
    """Sequences, their classes, and which of them are for what.

    Parameters
    ----------
    sequences : list of str
    folds : ndarray of shape (n_sequences,)
    train, validation : ndarray of int
        The former are trained on, and the classifier is chosen on the latter.
    tests : dict of ndarray of int
        The sequences of each test set.
    is_held_out : bool
        Whether the validation set is of the training set, and so is trained on in the end.
    """

    sequences: list
    folds: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    tests: dict
    is_held_out: bool


def load_scop(data_home, only_large=False):
    """Return SCOP 1.75 in DeepSF's split: all folds, or those with 50 domains and more."""
    folder = Path(data_home, "scop175")
    domains = pd.read_csv(folder / "d1_joined.tsv", sep="\t")
    domains = domains[~domains["join"].isin(["swap_cross", "scope208"])]
    new = pd.read_csv(folder / "scop206_joined.tsv", sep="\t").assign(split="new")
    domains = pd.concat([domains, new], ignore_index=True)
    sizes = domains.loc[domains["split"] == "train", "fold"].value_counts()
    known = sizes.index[sizes >= (N_LARGE if only_large else 1)]
    domains = domains[domains["fold"].isin(known)].reset_index(drop=True)
    part = domains["split"].to_numpy()
    tests = {"test": np.flatnonzero(part == "test")}
    for name, identity in LISTS.items():
        path = folder / f"Testdata_id{identity}againstTrain.list"
        listed = pd.read_csv(path, sep="\t", header=None)[0]
        tests[name] = np.flatnonzero((part == "test") & domains["id"].isin(listed))
    tests["SCOP 2.06"] = np.flatnonzero(part == "new")
    train, validation = hold_out(np.flatnonzero(part == "train"), domains["fold"])
    folds = domains["fold"].to_numpy(str)
    return Proteins(domains["seq"].tolist(), folds, train, validation, tests, True)


def hold_out(rows, folds, fraction=0.1):
    """Return rows to train on, and others to validate on, of folds that stay known."""
    shuffled = np.random.default_rng(0).permutation(rows)
    place = folds.iloc[shuffled].groupby(folds.iloc[shuffled]).cumcount().to_numpy()
    # the first of each fold stays, and then nine of ten
    is_held_out = np.zeros(len(rows), bool)
    is_held_out[place > 0] = np.random.default_rng(1).random((place > 0).sum()) < fraction
    return np.sort(shuffled[~is_held_out]), np.sort(shuffled[is_held_out])


def load_tape(data_home):
    """Return TAPE's remote homology, with the test set whose superfamilies are new."""
    folder = Path(data_home, "tape_remote_homology")
    parts = [
        pd.read_csv(folder / f"remote_homology.{part}.csv")
        for part in ("train", "valid", "test")
    ]
    table = pd.concat(parts, ignore_index=True)
    bounds = np.cumsum([len(part) for part in parts])
    train, validation, test = np.split(np.arange(len(table)), bounds[:-1])
    folds = table["label"].to_numpy()
    return Proteins(table["seq"].tolist(), folds, train, validation, {"test": test}, False)


def residues(sequences, features="one_hot"):
    """Return sequences as sets of residues, in float32; unknown letters are zeros.

    Features are 20 numbers, 1 for the letter, or those whose products are the scores of
    BLOSUM62, as nearly as can be, divided by their norms.
    """
    vectors = np.zeros((256, len(LETTERS)), np.float32)
    codes = np.frombuffer(LETTERS.encode(), np.uint8)
    vectors[codes] = substitution_vectors() if features == "blosum62" else np.eye(20)
    letters = np.frombuffer("".join(sequences).encode(), np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])])
    return SetCollection(vectors[letters], offsets)


def substitution_vectors():
    """Return a unit vector for each letter, from the eigenvectors of BLOSUM62."""
    triangle = np.zeros((20, 20))
    triangle[np.tril_indices(20)] = np.array(BLOSUM62.split(), float)
    scores = triangle + np.tril(triangle, -1).T
    eigenvalues, vectors = np.linalg.eigh(scores)
    vectors = vectors * np.sqrt(np.clip(eigenvalues, 0, None))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def stand_in(data_home, fraction=1.0):
    """Return sets of random residues with 45 features, of the lengths of DeepSF's lists.

    As many as the complete data has for training and for test, or one in so many.
    """
    folder = Path(data_home, "scop175")
    lists = [
        pd.read_csv(folder / f"{name}.list", sep="\t", header=None)[:: round(1 / fraction)]
        for name in ("Traindata", "Testdata")
    ]
    table = pd.concat(lists, ignore_index=True)
    lengths, folds = table[1].to_numpy(), table[3].to_numpy(str)
    values = np.random.default_rng(0).random((lengths.sum(), 45), np.float32)
    sets = SetCollection(values, np.concatenate([[0], np.cumsum(lengths)]))
    return sets, folds, np.split(np.arange(len(table)), [len(lists[0])])
