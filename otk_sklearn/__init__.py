"""Fixed-size vectors from sets of vectors, by optimal transport to learned references."""

from importlib.metadata import version as _version

from otk_sklearn._classifier import OTKClassifier
from otk_sklearn._convolution import ConvolutionalKernelLayer
from otk_sklearn._elements import ElementTransformer
from otk_sklearn._embedding import OTKEmbedding
from otk_sklearn._fisher import FisherVectorEmbedding
from otk_sklearn._kernel_mean import KernelMeanEmbedding
from otk_sklearn._pooling import SetPooling
from otk_sklearn._regressor import OTKRegressor
from otk_sklearn._sets import SetCollection
from otk_sklearn._sliced import SlicedWassersteinEmbedding

__all__ = [
    "ConvolutionalKernelLayer",
    "ElementTransformer",
    "FisherVectorEmbedding",
    "KernelMeanEmbedding",
    "OTKClassifier",
    "OTKEmbedding",
    "OTKRegressor",
    "SetCollection",
    "SetPooling",
    "SlicedWassersteinEmbedding",
]
__version__ = _version("otk-sklearn")
