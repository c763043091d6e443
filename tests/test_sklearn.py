"""scikit-learn's own checks, all of them."""

import pytest
import sklearn
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)
from sklearn.utils.fixes import parse_version

from otk_sklearn import OTKEmbedding

# What scikit-learn yields for a transformer of tables, by version.
N_CHECKS = {(1, 6): 46, (1, 9): 47}
VERSION = parse_version(sklearn.__version__).release[:2]


# Tables are small here: fewer rows than anchors, and each row a set of one element.
@pytest.mark.filterwarnings("ignore:X is 2-D")
@pytest.mark.filterwarnings("ignore:n_components=128 is more than")
@parametrize_with_checks([OTKEmbedding()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.skipif(VERSION not in N_CHECKS, reason="another version of scikit-learn")
def test_no_check_is_dropped():
    checks = list(estimator_checks_generator(OTKEmbedding()))
    assert len(checks) == N_CHECKS[VERSION]
