"""Loaders of real data that installed packages contain, and generators of sets.

Nothing is downloaded.
"""

from otk_sklearn.datasets._generate import (
    make_cooccurrences,
    make_polygons,
    make_rare_elements,
)
from otk_sklearn.datasets._load import (
    load_basic_motions,
    load_digit_points,
    load_japanese_vowels,
    load_mnist_points,
    load_peptides,
)

__all__ = [
    "load_basic_motions",
    "load_digit_points",
    "load_japanese_vowels",
    "load_mnist_points",
    "load_peptides",
    "make_cooccurrences",
    "make_polygons",
    "make_rare_elements",
]
