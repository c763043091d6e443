"""scikit-learn's own checks, all of them."""

import pytest
import sklearn
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.fixes import parse_version

from otk_sklearn import ConvolutionalKernelLayer, ElementTransformer, OTKEmbedding

# What scikit-learn yields for a transformer of tables, by version.
N_CHECKS = {(1, 6): 46, (1, 9): 47}
VERSION = parse_version(sklearn.__version__).release[:2]

ESTIMATORS = [
    OTKEmbedding(),
    OTKEmbedding(9, references="barycenter", position="gaussian", relaxation=1.0),
    OTKEmbedding(4, filter_size=3, padding="same", kernel="homogeneous"),
    OTKEmbedding(4, n_references=2, max_iter=10_000),
    ConvolutionalKernelLayer(),
    ElementTransformer(StandardScaler()),
]


# Tables are small here: fewer rows than anchors, and each row a set of one element.
@pytest.mark.filterwarnings("ignore:X is 2-D")
@pytest.mark.filterwarnings("ignore:n_components=64 is more than")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ESTIMATORS[:5])
def test_every_check_runs_and_none_is_excused(estimator):
    """But the array API's: without its environment variable it skips itself."""
    checks = check_estimator(estimator, on_skip=None)
    assert len(checks) >= 46
    assert len(checks) == N_CHECKS.get(VERSION, len(checks))
    skipped = {check["check_name"] for check in checks if check["status"] != "passed"}
    assert skipped <= {"check_array_api_input"}
