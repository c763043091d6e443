"""Loaders of real data, from installed packages or files of users, and generators of sets.

Nothing is downloaded.
"""

from otk_sklearn.datasets._fetch_deepbind import fetch_deepbind
from otk_sklearn.datasets._fetch_deepsea import fetch_deepsea
from otk_sklearn.datasets._fetch_scop175 import fetch_scop175
from otk_sklearn.datasets._fetch_sst2 import fetch_sst2
from otk_sklearn.datasets._fetch_tu_graphs import fetch_tu_graphs
from otk_sklearn.datasets._generate import (
    make_cooccurrences,
    make_polygons,
    make_rare_elements,
    make_solids,
)
from otk_sklearn.datasets._load import (
    load_bags,
    load_basic_motions,
    load_digit_points,
    load_japanese_vowels,
    load_mnist_points,
    load_peptides,
)

__all__ = [
    "fetch_deepbind",
    "fetch_deepsea",
    "fetch_scop175",
    "fetch_sst2",
    "fetch_tu_graphs",
    "load_bags",
    "load_basic_motions",
    "load_digit_points",
    "load_japanese_vowels",
    "load_mnist_points",
    "load_peptides",
    "make_cooccurrences",
    "make_polygons",
    "make_rare_elements",
    "make_solids",
]
