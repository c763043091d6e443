"""Fixed-size vectors from sets of vectors, by optimal transport to learned references."""

from otk_sklearn._show_versions import show_versions
from otk_sklearn._utils.version import __version__ as __version__
from otk_sklearn.embeddings._convolution import ConvolutionalKernelLayer
from otk_sklearn.embeddings._elements import ElementTransformer
from otk_sklearn.embeddings._fisher_vector import FisherVectorEmbedding
from otk_sklearn.embeddings._kernel_mean import KernelMeanEmbedding
from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.embeddings._set_pooling import SetPooling
from otk_sklearn.embeddings._sliced_wasserstein import SlicedWassersteinEmbedding
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.supervised._classifier import OTKClassifier
from otk_sklearn.supervised._regressor import OTKRegressor

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
    "show_versions",
]
