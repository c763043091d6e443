"""Sequences of 101 bases, bound by a transcription factor or not.

`FOLDER/encode_tf` has the files that `_transcription_factors.py` describes. Here, all ten
factors are one problem with as many labels, in the form of DeepSEA's: peaks, and as many
shuffles, which keep the dinucleotides of each peak and have no label. A peak has the label
of each factor one of whose peaks shares `SHARED` bases with it. The test of a factor is its
own file, 500 peaks and 500 shuffles. Or the label is the one factor that a peak is from, as
in `accuracy/transcription_factors.py`, with its parts. `FOLDER/gue_dna` has two tasks of
GUE, with a label: tables with columns sequence and label, of training, development, test.

What shares `SHARED` bases with a sequence for test is left out of all others, and of those
for training, what shares as many with one for validation.

    python benchmarks/paper/_dna_problems.py --data-home FOLDER

counts these.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import _other_benchmarks  # noqa: F401
import _transcription_factors as peaks
import numpy as np
import pandas as pd
from _scaffold import data_file

N_SEQUENCES = 6_000


class Problem(NamedTuple):
    """Parts of bases (n, 4, length) and labels (n, n_labels), and the tests of labels.

    `tests` has the label that each sequence for test is scored for. It is None if each
    sequence has one of the labels, and is scored for all.
    """

    train: tuple
    validation: tuple
    test: tuple
    tests: np.ndarray | None

    @property
    def is_exclusive(self):
        """Whether each sequence has one of the labels."""
        return self.tests is None


def load_encode(data_home, n_sequences=N_SEQUENCES):
    """Return the problem of ten factors; half of the sequences are shuffles.

    A sequence for test is scored for the factor whose own file it is from.
    """
    tables = peaks.read_factors(data_home, "test")
    train, validation = map(with_shuffles, split_peaks(data_home, tables, n_sequences))
    table = pd.concat(tables, ignore_index=True)
    labels = np.eye(len(tables), dtype=np.uint8)[table["factor"]]
    labels *= table["Bound"].to_numpy(np.uint8)[:, None]
    test = encode(table["seq"]), labels
    return Problem(train, validation, test, table["factor"].to_numpy())


def split_peaks(data_home, tests, n_sequences=N_SEQUENCES):
    """Return sequences and labels of the peaks for training and for validation."""
    table = peaks.read_peaks(data_home, "train")
    of_test = peaks.stretches_of(
        t for part in tests for t in part["seq"][part["Bound"] == 1]
    )
    kept = table[~peaks.is_repeated(table["seq"])]
    kept = kept.groupby("factor").head(
        n_sequences // len(peaks.FACTORS)
    )  # some are lost next
    kept = kept[~peaks.has_any(kept["seq"], of_test)]
    kept = kept.groupby("factor").head(n_sequences // 2 // len(peaks.FACTORS))
    labels = pd.DataFrame(labels_of(kept, table), index=kept.index)
    validation = kept.groupby("factor").sample(frac=0.1, random_state=0)
    rest = kept.drop(validation.index)
    rest = rest[~peaks.has_any(rest["seq"], peaks.stretches_of(validation["seq"]))]
    return [
        (part["seq"].to_list(), labels.loc[part.index].to_numpy())
        for part in (rest, validation)
    ]


def labels_of(kept, table):
    """Return whether each peak shares bases with a peak of each factor."""
    labels = np.zeros((len(kept), len(peaks.FACTORS)), np.uint8)
    labels[np.arange(len(kept)), kept["factor"]] = 1
    rows = {}
    for row, text in enumerate(kept["seq"]):
        for stretch in peaks.stretches_of([text]):
            rows.setdefault(stretch, []).append(row)
    for text, factor in zip(table["seq"], table["factor"]):
        for stretch in peaks.windows(text):
            labels[rows.get(stretch, []), factor] = 1
    return labels


def with_shuffles(part):
    """Return bases and labels of sequences and of their shuffles."""
    texts, labels = part
    rng = np.random.default_rng(0)
    shuffled = [shuffle_dinucleotides(text, rng) for text in texts]
    bases = encode([*texts, *shuffled])
    return bases, np.concatenate([labels, np.zeros_like(labels)])


def shuffle_dinucleotides(text, rng):
    """Return a random sequence with the same ends and dinucleotides.

    A random walk through all pairs once (Altschul and Erickson, 1985): it gets to the end
    if the last exits of the letters lead there.
    """
    exits = {base: [] for base in peaks.BASES}
    for base, following in zip(text, text[1:]):
        exits[base].append(following)
    while True:
        for following in exits.values():
            rng.shuffle(following)
        if all(leads_to(text[-1], base, exits) for base in peaks.BASES if exits[base]):
            break
    used = dict.fromkeys(peaks.BASES, 0)
    walk = [text[0]]
    for _ in text[1:]:
        base = walk[-1]
        walk.append(exits[base][used[base]])
        used[base] += 1
    return "".join(walk)


def leads_to(end, base, exits):
    """Return whether the last exits lead from a base to the end."""
    for _ in peaks.BASES:
        if base == end:
            return True
        base = exits[base][-1]
    return base == end


def load_factors(data_home, n_per_factor=3_000):
    """Return the problem of which factor a peak is from."""
    one_hot = np.eye(len(peaks.FACTORS), dtype=np.uint8)
    parts = peaks.load_parts(data_home, n_per_factor)
    return Problem(*[(bases, one_hot[factors]) for bases, factors in parts], tests=None)


def load_gue(data_home, task, n_sequences=N_SEQUENCES):
    """Return a task of GUE, with a random sample for training."""
    train, validation, test = read_gue(data_home, task)
    train, validation = without_shared(train, validation, test)
    train = train.sample(min(n_sequences, len(train)), random_state=0)
    parts = [
        (encode(part["sequence"]), part["label"].to_numpy(np.uint8)[:, None])
        for part in (train, validation, test)
    ]
    return Problem(*parts, np.zeros(len(test), int))


def read_gue(data_home, task):
    """Return tables for training, validation and test."""
    return [
        pd.read_csv(data_file(data_home, f"gue_dna/{task}_{part}.csv.gz"))
        for part in ("train", "dev", "test")
    ]


def without_shared(train, validation, test):
    """Leave out what shares bases with sequences that are to be predicted."""
    of_test = peaks.stretches_of(test["sequence"])
    validation = validation[~peaks.has_any(validation["sequence"], of_test)]
    predicted = of_test | peaks.stretches_of(validation["sequence"])
    return train[~peaks.has_any(train["sequence"], predicted)], validation


def encode(texts):
    """Return bases as DeepSEA has them, of shape (n, 4, length)."""
    return peaks.encode(texts).astype(np.uint8)[:, [0, 2, 1, 3]]  # A, C, G, T to A, G, C, T


def main():
    """Count what is left out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-home", type=Path, required=True)
    data_home = parser.parse_args().data_home
    for task in ("tf_0", "tf_1"):
        train, validation, test = read_gue(data_home, task)
        kept = without_shared(train, validation, test)
        print(
            f"GUE {task}: of {len(train):,} and {len(validation):,} for training and "
            f"validation, {len(kept[0]):,} and {len(kept[1]):,} are kept; of {len(test):,} "
            f"for test, {peaks.is_repeated(test['sequence']).sum()} are repeated"
        )
    parts = split_peaks(data_home, peaks.read_factors(data_home, "test"))
    for name, (texts, labels) in zip(("training", "validation"), parts):
        rate = labels.sum() / len(labels)
        print(f"ENCODE, {name}: {len(texts):,} peaks, {rate:.2f} labels each")


if __name__ == "__main__":
    main()
