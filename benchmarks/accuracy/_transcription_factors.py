"""Sequences around binding sites of ten transcription factors, and what they share.

`FOLDER/encode_tf` has two files a factor, 101 bases around the peaks of a ChIP-seq
experiment of ENCODE: `NAME_AC.seq.gz` for training, `NAME_B.seq.gz` for test, tables with
columns seq and Bound, which is 0 for shuffled sequences.

Experiments are of one genome, so that peaks of several factors overlap. A sequence that
occurs more than once in its part, on either strand, is left out there. Then sequences for
training are left out if they share `SHARED` consecutive bases with one for test.

    python benchmarks/accuracy/_transcription_factors.py --data-home FOLDER

counts all of these.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from otk_sklearn.datasets import fetch_deepbind

BASES = "ACGT"
FACTORS = (
    "ARID3A",
    "CTCFL",
    "ELK1",
    "FOXA1",
    "GABPA",
    "MYC",
    "REST",
    "SP1",
    "USF1",
    "ZBTB7A",
)
SHARED = 40
COMPLEMENT = str.maketrans(BASES, BASES[::-1])


class Part(NamedTuple):
    """Encoded sequences, of shape (n_sequences, 4, length), and their factors."""

    sequences: np.ndarray
    factors: np.ndarray


def load_parts(data_home, n_per_factor):
    """Return parts for training, validation and test.

    The first sequences of each factor that are not left out; a random tenth of them is for
    validation.
    """
    train, test = kept_peaks(*(read_peaks(data_home, part) for part in ("train", "test")))
    train = train.groupby("factor").head(n_per_factor)
    n_kept = train["factor"].value_counts()
    if n_kept.min() < n_per_factor:
        raise ValueError(
            f"There are {n_kept.min()} sequences of {FACTORS[n_kept.idxmin()]}; expected "
            f"{n_per_factor} of each factor."
        )
    validated = train.groupby("factor").sample(frac=0.1, random_state=0).index
    parts = train.drop(validated), train.loc[validated], test
    return [Part(encode(part["seq"]), part["factor"].to_numpy()) for part in parts]


def read_peaks(data_home, subset):
    """Return the bound sequences of all factors, and the index of the factor of each."""
    tables = [
        table.loc[table["Bound"] == 1, ["seq", "factor"]]
        for table in read_factors(data_home, subset)
    ]
    return pd.concat(tables, ignore_index=True)


def read_factors(data_home, subset):
    """Return a table for each factor: all sequences, bound or not, and its index."""
    tables = []
    for k, name in enumerate(FACTORS):
        dna = fetch_deepbind(data_home=data_home, name=name, subset=subset)
        tables.append(pd.DataFrame({"seq": dna.data, "Bound": dna.target, "factor": k}))
    return tables


def kept_peaks(train, test):
    """Return peaks without those that occur repeatedly, or are of both parts."""
    train, test = (part[~is_repeated(part["seq"])] for part in (train, test))
    stretches = stretches_of(test["seq"])
    return train[~has_any(train["seq"], stretches)], test


def is_repeated(sequences):
    """Return whether a sequence or its reverse complement occurs elsewhere."""
    either = [min(text, reverse_complement(text)) for text in sequences]
    counts = Counter(either)
    return np.array([counts[text] > 1 for text in either])


def stretches_of(sequences):
    """Return all that consists of `SHARED` consecutive bases, on both strands."""
    both = (strand for text in sequences for strand in (text, reverse_complement(text)))
    return {stretch for text in both for stretch in windows(text)}


def has_any(sequences, stretches):
    """Return whether each sequence contains one of the stretches."""
    return np.array([not stretches.isdisjoint(windows(text)) for text in sequences])


def windows(text):
    """Yield all windows of `SHARED` bases."""
    return (text[i : i + SHARED] for i in range(len(text) - SHARED + 1))


def reverse_complement(text):
    """Return the other strand."""
    return text[::-1].translate(COMPLEMENT)


def encode(sequences):
    """Return one-hot vectors in float32, of shape (n_sequences, 4, length)."""
    letters = np.array([list(text) for text in sequences])
    return np.stack([letters == base for base in BASES], axis=1).astype(np.float32)


def main():
    """Count the sequences that are shared."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-home", type=Path, required=True)
    data_home = parser.parse_args().data_home
    train, test = (read_peaks(data_home, part) for part in ("train", "test"))
    for name, part in {"training": train, "test": test}.items():
        print(f"{name}: {len(part):,}, {is_repeated(part['seq']).sum():,} repeated")
    stretches = stretches_of(test["seq"])
    overlap = has_any(train["seq"], stretches)
    print(f"{overlap.sum():,} for training share {SHARED} bases with one for test")
    kept, _ = kept_peaks(train, test)
    print(f"kept for training: {len(kept):,}")
    print(*kept["factor"].map(FACTORS.__getitem__).value_counts().items(), sep=", ")
    of_factor = [
        test["factor"].eq(k) & has_any(test["seq"], stretches_of(of_train["seq"]))
        for k, of_train in train[overlap].groupby("factor")
    ]
    of_any = has_any(test["seq"], stretches_of(train[overlap]["seq"]))
    print(
        f"{of_any.sum():,} for test share {SHARED} bases with one for training, "
        f"{np.any(of_factor, axis=0).sum():,} of them with one of their own factor"
    )


if __name__ == "__main__":
    main()
