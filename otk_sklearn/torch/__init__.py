"""The embedding as layers of PyTorch networks, for packed sets on any device.

Needs PyTorch: `pip install otk-sklearn[torch]`.
"""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "otk_sklearn.torch needs PyTorch: pip install 'otk-sklearn[torch]'"
    ) from error

from otk_sklearn.torch._aggregation import as_aggregation
from otk_sklearn.torch._collation import collate_sets
from otk_sklearn.torch._estimators import from_estimator, to_estimator
from otk_sklearn.torch._features import KernelFeatures
from otk_sklearn.torch._initialization import initialize
from otk_sklearn.torch._pooling import OTKPooling
from otk_sklearn.torch._sequential import SetSequential

__all__ = [
    "KernelFeatures",
    "OTKPooling",
    "SetSequential",
    "as_aggregation",
    "collate_sets",
    "from_estimator",
    "initialize",
    "to_estimator",
]
