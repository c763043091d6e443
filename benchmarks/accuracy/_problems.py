"""Problems, as data sets are called here: what is set aside, for training and for test."""

import functools
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, SetCollection
from otk_sklearn.datasets import (
    load_basic_motions,
    load_digit_points,
    load_japanese_vowels,
    load_mnist_points,
    load_peptides,
    make_cooccurrences,
    make_polygons,
    make_rare_elements,
)

# No more sets than this are set aside.
MAX_ASIDE = 1000
TEST_SIZE = 0.3


class Problem(NamedTuple):
    """Sets and their classes, split such that what is chosen on is never tested on.

    Parameters
    ----------
    X : SetCollection
    y : ndarray of shape (n_sets,)
    ordered : bool
        Whether the elements of sets are in an order that means something.
    aside : ndarray of int
        The sets that parameters and defaults are chosen on: those for training of a problem
        with a split of its own, and otherwise sets that are for training with every seed.
    own_test : ndarray of int or None
        The sets for test of a problem with a split of its own.
    """

    X: SetCollection
    y: np.ndarray
    ordered: bool
    aside: np.ndarray
    own_test: np.ndarray | None

    def split(self, seed):
        """Return the sets for training and those for test, as indices."""
        others = np.setdiff1d(np.arange(len(self.y)), self.aside)
        if self.own_test is not None:
            return self.aside, self.own_test
        train, test = train_test_split(
            others,
            test_size=round(TEST_SIZE * len(self.y)),
            random_state=seed,
            stratify=self.y[others],
        )
        return np.concatenate([self.aside, train]), test


def both_parts(load):
    """Join the parts of data that come with a split; return the size of the first, too."""
    (X, y), (X_test, y_test) = load("train"), load("test")
    return SetCollection.from_sets([*X, *X_test]), np.concatenate([y, y_test]), len(X)


def with_own_split(load):
    """Set aside what is for training."""
    X, y, n_train = both_parts(load)
    train, test = np.split(np.arange(len(X)), [n_train])
    return Problem(scaled(X, train), y, True, train, test)


def with_random_splits(X, y, ordered=False):
    """Set a part aside, half of the sets at most."""
    aside, _ = train_test_split(
        np.arange(len(y)),
        train_size=min(MAX_ASIDE, len(y) // 2),
        random_state=0,
        stratify=y,
    )
    X = X.astype(np.float32) if ordered else scaled(X, aside)
    return Problem(X, y, ordered, np.sort(aside), None)


def scaled(X, aside):
    """Elements in units of their deviation in the sets that are set aside, in float32."""
    scaler = ElementTransformer(StandardScaler()).fit(X[aside])
    return scaler.transform(X).astype(np.float32)


def windows_of(X, size):
    """Windows of so many consecutive elements of each set, ends padded with zeros."""
    if size == 1:
        return X
    padded = [np.pad(rows, ((size // 2, size // 2), (0, 0))) for rows in X]
    return SetCollection.from_sets(
        [
            np.hstack([p[i : len(p) - size + 1 + i] for i in range(size)]).astype(X.dtype)
            for p in padded
        ]
    )


def peptides(name):
    """Peptides, residues as they are: each once, and those of both classes left out."""
    X, y, sequences = load_peptides(name)
    _, first, inverse = np.unique(sequences, return_index=True, return_inverse=True)
    share = np.bincount(inverse, y) / np.bincount(inverse)
    kept = np.sort(first[(share == 0) | (share == 1)])
    return with_random_splits(X[kept], y[kept], ordered=True)


PROBLEMS = {
    "JapaneseVowels": lambda: with_own_split(load_japanese_vowels),
    "BasicMotions": lambda: with_own_split(load_basic_motions),
    "digits": lambda: with_random_splits(*load_digit_points()),
    "MNIST points": lambda: with_random_splits(*load_mnist_points()),
    "AMPvsUniProt": lambda: peptides("AMPvsUniProt"),
    "AMPvsTM": lambda: peptides("AMPvsTM"),
    "polygons": lambda: with_random_splits(*make_polygons(1000, random_state=0)),
    "cooccurrences": lambda: with_random_splits(*make_cooccurrences(1000, random_state=0)),
    "rare elements": lambda: with_random_splits(*make_rare_elements(1000, random_state=0)),
}
# Data as they come, with nothing set aside: neither scaled nor without repeated sequences.
DATA = {
    "digits": load_digit_points,
    "JapaneseVowels": lambda: both_parts(load_japanese_vowels)[:2],
    "peptides": lambda: load_peptides("AMPvsUniProt")[:2],
}


@functools.lru_cache(maxsize=1)
def load_problem(name):
    """Return a `Problem`."""
    return PROBLEMS[name]()


@functools.lru_cache(maxsize=1)
def load_data(name):
    """Return sets and their classes."""
    return DATA[name]()


def random_split(name, seed):
    """Split data at random: return sets for training, for test, and classes of both."""
    X, y = load_data(name)
    return train_test_split(X, y, test_size=TEST_SIZE, random_state=seed, stratify=y)
