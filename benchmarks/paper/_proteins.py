"""Proteins as sets of residues, with their folds: SCOP 1.75, and TAPE's remote homology.

The folder of the data has

- `scop175/d1_joined.tsv`, domains in the split of DeepSF, a table with the columns id,
  split ("train" or "test"), fold, join and seq. DeepSF has few of the sequences: others are
  those of TAPE with the same fold and length. Where `join` is "swap_cross" or "scope208",
  the domain may be of the other part, or the sequence another: these are left out.
  `scop206_joined.tsv` is such a table of domains that were new in SCOP 2.06, with sequences
  of SCOPe 2.08. `Testdata_id70againstTrain.list` and so on are DeepSF's lists of domains
  for test that are not more alike to a domain for training, and `Traindata.list` and
  `Testdata.list`, which `--stand-in` takes lengths from, those of all;
- `tape_remote_homology/remote_homology.train.csv`, `.valid.csv` and `.test.csv`, columns
  seq and label: superfamilies of the test part are not in the training part;
- for "SCOP 1.75, profiles", the original data, as `fetch_scop175` describes it: all domains
  in DeepSF's split, with 45 features a residue.

Nothing is downloaded, and nothing of it comes with this repository.
"""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from _scaffold import data_file

from otk_sklearn import SetCollection
from otk_sklearn.datasets import fetch_scop175

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
    sequences : list of str or SetCollection
        Letters, or residues with features.
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
    domains = pd.read_csv(data_file(data_home, "scop175/d1_joined.tsv"), sep="\t")
    domains = domains[~domains["join"].isin(["swap_cross", "scope208"])]
    new = pd.read_csv(data_file(data_home, "scop175/scop206_joined.tsv"), sep="\t")
    domains = pd.concat([domains, new.assign(split="new")], ignore_index=True)
    sizes = domains.loc[domains["split"] == "train", "fold"].value_counts()
    known = sizes.index[sizes >= (N_LARGE if only_large else 1)]
    domains = domains[domains["fold"].isin(known)].reset_index(drop=True)
    paths = [
        data_file(data_home, f"scop175/Testdata_id{identity}againstTrain.list")
        for identity in LISTS.values()
    ]
    listed = [pd.read_csv(path, sep="\t", header=None)[0] for path in paths]
    return split_domains(domains["seq"].tolist(), domains, listed)


def load_profiles(data_home):
    """Return SCOP 1.75 as the paper has it: all domains, with 45 features a residue."""
    fetch = functools.partial(fetch_scop175, data_home=data_home, features="profile")
    splits = {"train": "train", "test": "test", "new": "scop206"}
    parts = {split: fetch(subset=subset) for split, subset in splits.items()}
    tables = [
        pd.DataFrame(
            {"id": part.names, "fold": part.target_names[part.target], "split": split}
        )
        for split, part in parts.items()
    ]
    sets = SetCollection.concatenate([part.data for part in parts.values()])
    # Of these only names are wanted: one-hot, they take a file, not two for each domain.
    listed = [
        fetch(subset=f"test_id{identity}", features="one_hot").names
        for identity in LISTS.values()
    ]
    return split_domains(sets, pd.concat(tables, ignore_index=True), listed)


def split_domains(sequences, domains, listed):
    """Return the parts of sequences, by the table of their domains and lists for tests."""
    split = domains["split"].to_numpy()
    tests = {"test": np.flatnonzero(split == "test")}
    for name, ids in zip(LISTS, listed):
        tests[name] = np.flatnonzero((split == "test") & domains["id"].isin(ids))
    tests["SCOP 2.06"] = np.flatnonzero(split == "new")
    train, validation = hold_out(np.flatnonzero(split == "train"), domains["fold"])
    return Proteins(
        sequences, domains["fold"].to_numpy(str), train, validation, tests, True
    )


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
    parts = [
        pd.read_csv(
            data_file(data_home, f"tape_remote_homology/remote_homology.{part}.csv")
        )
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
    BLOSUM62, as nearly as can be, divided by their norms. What has features keeps them.
    """
    if isinstance(sequences, SetCollection):
        return sequences
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
    paths = [data_file(data_home, f"scop175/{name}data.list") for name in ("Train", "Test")]
    step = round(1 / fraction)
    lists = [pd.read_csv(path, sep="\t", header=None)[::step] for path in paths]
    table = pd.concat(lists, ignore_index=True)
    lengths, folds = table[1].to_numpy(), table[3].to_numpy(str)
    values = np.random.default_rng(0).random((lengths.sum(), 45), np.float32)
    sets = SetCollection(values, np.concatenate([[0], np.cumsum(lengths)]))
    return sets, folds, np.split(np.arange(len(table)), [len(lists[0])])
