"""Sets larger than memory, in batches: sampling, reading, and applying fitted models.

Needs nothing but the core packages; what reads or writes Arrow needs pyarrow:
`pip install otk-sklearn[arrow]`.
"""

from otk_sklearn.batches._compilation import compile_kernels
from otk_sklearn.batches._epochs import fit_batches
from otk_sklearn.batches._files import transform_files
from otk_sklearn.batches._huge_sets import transform_blocks
from otk_sklearn.batches._iteration import iter_sets
from otk_sklearn.batches._sampler import SetSampler
from otk_sklearn.batches._transformer import BatchTransformer
from otk_sklearn.batches._writing import transform_to

__all__ = [
    "BatchTransformer",
    "SetSampler",
    "compile_kernels",
    "fit_batches",
    "iter_sets",
    "transform_blocks",
    "transform_files",
    "transform_to",
]
