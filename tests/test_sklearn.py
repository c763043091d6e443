"""scikit-learn's own checks, all of them."""

import pytest
import sklearn
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks
from sklearn.utils.fixes import parse_version

from otk_sklearn import OTKEmbedding

# What scikit-learn yields for a transformer of tables, by version.
N_CHECKS = {(1, 6): 46, (1, 9): 47}
VERSION = parse_version(sklearn.__version__).release[:2]


# Tables are small here: fewer rows than anchors, and each row a set of one element.
@pytest.mark.filterwarnings("ignore:X is 2-D")
@pytest.mark.filterwarnings("ignore:n_components=64 is more than")
@parametrize_with_checks([OTKEmbedding()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore")
def test_every_check_runs_and_none_is_excused():
    """But the array API's: without its environment variable it skips itself."""
    checks = check_estimator(OTKEmbedding(), on_skip=None)
    assert len(checks) >= 46
    assert len(checks) == N_CHECKS.get(VERSION, len(checks))
    skipped = {check["check_name"] for check in checks if check["status"] != "passed"}
    assert skipped <= {"check_array_api_input"}
