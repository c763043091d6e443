"""scikit-learn's own checks, all of them."""

from unittest import SkipTest

import pytest
import sklearn
from sklearn.base import is_classifier, is_regressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import has_fit_parameter

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetPooling,
    SlicedWassersteinEmbedding,
)

# What scikit-learn yields for a transformer of tables, by version; for one whose fit takes
# weights of samples; and for one that also predicts classes, or numbers.
N_CHECKS = {(1, 6): 46, (1, 9): 47}
N_CHECKS_WITH_WEIGHTS = {(1, 6): 53, (1, 9): 54}
N_CHECKS_OF_CLASSIFIER = {(1, 6): 72, (1, 9): 73}
N_CHECKS_OF_REGRESSOR = {(1, 6): 65, (1, 9): 66}
VERSION = parse_version(sklearn.__version__).release[:2]


class OneRowPerSet:
    """Returns sets as the rows of an array, as the checks are of tables."""

    def transform(self, X):
        return super().transform(X).values


class LayerOfRows(OneRowPerSet, ConvolutionalKernelLayer):
    pass


class TransformerOfRows(OneRowPerSet, ElementTransformer):
    pass


ESTIMATORS = [
    OTKEmbedding(),
    OTKEmbedding(9, references="barycenter", position="gaussian", relaxation=1.0),
    OTKEmbedding(4, filter_size=3, padding="same", kernel="homogeneous"),
    OTKEmbedding(4, n_references=2, max_iter=10_000),
    LayerOfRows(),
    OTKClassifier(OTKEmbedding(3, n_components=16), max_epochs=10),
    OTKRegressor(OTKEmbedding(3, n_components=16), max_epochs=10),
    TransformerOfRows(StandardScaler()),
    SetPooling(["mean", "std", "min", "max", "sum", "count"]),
    KernelMeanEmbedding(),
    SlicedWassersteinEmbedding(),
    FisherVectorEmbedding(),
]


# Tables are small here: fewer rows than anchors, and each row a set of one element.
@pytest.mark.filterwarnings("ignore:X is 2-D")
@pytest.mark.filterwarnings("ignore:n_components=.* is more than")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    try:
        check(estimator)
    except SkipTest:  # without its environment variable, that of the array API does
        assert check.func.__name__ == "check_array_api_input"
        raise


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_there_are_as_many_checks_as_scikit_learn_has(estimator):
    numbers = N_CHECKS
    if is_classifier(estimator):
        numbers = N_CHECKS_OF_CLASSIFIER
    elif is_regressor(estimator):
        numbers = N_CHECKS_OF_REGRESSOR
    elif has_fit_parameter(estimator, "sample_weight"):
        numbers = N_CHECKS_WITH_WEIGHTS
    n_checks = len(list(estimator_checks_generator(estimator)))
    n_checks += get_tags(estimator).input_tags.allow_nan  # the check that NaN is refused
    assert n_checks == numbers.get(VERSION, n_checks) >= 46
