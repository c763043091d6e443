"""Problems that several benchmarks share."""

import numpy as np
from modlamp.datasets import load_AMPvsUniProt

from otk_sklearn import SetCollection

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def peptides():
    """Peptides of AMPvsUniProt as sets of residues, these as indicator vectors."""
    data = load_AMPvsUniProt()
    one_hot = np.eye(len(RESIDUES))
    X = SetCollection.from_sets(
        [one_hot[[RESIDUES.index(r) for r in s]] for s in data.sequences]
    )
    return X, data.target
