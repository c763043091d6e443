"""Sets larger than memory, in batches: sampling, reading, and applying fitted models.

Needs nothing but the core packages; what reads or writes Arrow needs pyarrow:
`pip install otk-sklearn[arrow]`.
"""

from otk_sklearn.batches._epochs import fit_batches
from otk_sklearn.batches._iteration import iter_sets
from otk_sklearn.batches._sampler import SetSampler

__all__ = [
    "SetSampler",
    "fit_batches",
    "iter_sets",
]
