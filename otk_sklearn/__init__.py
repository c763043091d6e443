"""Fixed-size vectors from sets of vectors, by optimal transport to learned references."""

from importlib.metadata import version as _version

from otk_sklearn._classifier import OTKClassifier
from otk_sklearn._convolution import ConvolutionalKernelLayer
from otk_sklearn._elements import ElementTransformer
from otk_sklearn._embedding import OTKEmbedding
from otk_sklearn._regressor import OTKRegressor
from otk_sklearn._sets import SetCollection

__all__ = [
    "ConvolutionalKernelLayer",
    "ElementTransformer",
    "OTKClassifier",
    "OTKEmbedding",
    "OTKRegressor",
    "SetCollection",
]
__version__ = _version("otk-sklearn")
