"""The fit of transformers that learn nothing but a feature map of elements or windows."""

from sklearn.utils.validation import check_memory

from otk_sklearn._utils.estimators import draw_seeds
from otk_sklearn.features._anchors import FeatureParameters, learn_features
from otk_sklearn.features._feature_map import feature_attributes
from otk_sklearn.sets._positions import positions_of
from otk_sklearn.sets._windows import window_attributes, windows_of


def learn_feature_attributes(model, kernel, sets, sample_weight):
    """Learn the feature map, and return it as fitted attributes.

    An `OTKEmbedding` of the same parameters and `random_state` learns the same one.

    Parameters
    ----------
    model : KernelMeanEmbedding or ConvolutionalKernelLayer
        Provides the parameters.
    kernel : str
    sets : SetCollection
    sample_weight : ndarray of shape (n_sets,) or None
    """
    windows = windows_of(sets, model.filter_size, model.padding)
    feature_map, _ = learn_features(
        FeatureParameters.of(model, kernel),
        windows,
        positions_of(windows, None),
        sample_weight,
        max_elements=model.max_elements,
        memory=check_memory(model.memory),
        seeds=draw_seeds(model.random_state)[:3],
    )
    return {
        **feature_attributes(feature_map),
        **window_attributes(model.filter_size, model.padding),
    }
