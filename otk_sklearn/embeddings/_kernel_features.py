"""The fit of transformers that learn nothing but a feature map of elements or windows."""

from sklearn.utils.validation import check_memory

from otk_sklearn._utils.estimators import draw_seeds
from otk_sklearn.features._anchors import (
    FeatureParameters,
    distinct_elements,
    learn_feature_map,
)
from otk_sklearn.features._feature_map import feature_attributes
from otk_sklearn.sets._sampling import sample_size
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
    sample_seed, *seeds = draw_seeds(model.random_state)[:3]
    elements = distinct_elements(
        kernel,
        windows,
        None,
        sample_size(model.max_elements, model.n_components),
        sample_seed,
        sample_weight,
    )
    feature_map = learn_feature_map(
        FeatureParameters.of(model, kernel),
        elements,
        check_memory(model.memory),
        seeds,
        model.n_jobs,
    )
    return {
        **feature_attributes(feature_map),
        **window_attributes(model.filter_size, model.padding),
    }
