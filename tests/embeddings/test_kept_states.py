"""What calls keep for the next one: never after an attribute or an array has changed."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from otk_sklearn import OTKEmbedding

random = np.random.default_rng(0)
X = [random.normal(size=(n, 3)) for n in (5, 9, 12, 20)]


def fitted(**parameters):
    return OTKEmbedding(3, n_components=6, random_state=0, **parameters).fit(X)


def from_scratch(model):
    """What an equal model, which has kept nothing, returns."""
    return pickle.loads(pickle.dumps(model)).transform(X)


@pytest.mark.parametrize(
    "parameters",
    [{"epsilon": 0.5}, {"solver": "softmax"}, {"tol": 1e-6}, {"support_relaxation": 0.1},
     {"position": "gaussian"}, {"max_iter": 1, "tol": 0}],
    ids=str,
)  # fmt: skip
def test_parameters_that_change_after_a_call(parameters):
    model = fitted()
    before = model.transform(X)
    model.set_params(**parameters)
    after = model.transform(X)
    assert_array_equal(after, from_scratch(model))
    assert not np.array_equal(after, before)


@pytest.mark.parametrize("name", ["anchors_", "normalization_", "references_"])
@pytest.mark.parametrize("in_place", [True, False])
def test_fitted_arrays_that_change_after_a_call(name, in_place):
    model = fitted()
    before = model.transform(X)
    if in_place:
        getattr(model, name)[...] *= 1.5
    else:
        setattr(model, name, getattr(model, name) * 1.5)
    after = model.transform(X)
    assert_array_equal(after, from_scratch(model))
    assert not np.array_equal(after, before)


def test_nan_written_to_a_fitted_array_after_a_call():
    model = fitted()
    model.transform(X)
    model.references_[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="references_ has NaN or infinity"):
        model.transform(X)


def test_a_parameter_that_is_not_valid_any_more():
    model = fitted()
    model.transform(X)
    for wrong in (-1.0, 0, "0.1", np.array([0.1]), [0.1]):
        with pytest.raises(ValueError, match="The 'epsilon' parameter of OTKEmbedding"):
            model.set_params(epsilon=wrong).transform(X)
    with pytest.raises(ValueError, match="The 'max_iter' parameter of OTKEmbedding"):
        model.set_params(epsilon=0.05, max_iter=100.0).transform(X)  # equal to a valid one


def test_another_fit_after_a_call():
    model = fitted()
    model.transform(X)
    model.fit([3 * x for x in X])
    assert_array_equal(model.transform(X), from_scratch(model))


def test_both_precisions_and_a_single_set():
    model = fitted()
    for dtype in (np.float32, np.float64, np.float32):
        found = model.transform([X[0].astype(dtype)])
        assert found.dtype == dtype
        assert_array_equal(
            found, pickle.loads(pickle.dumps(model)).transform([X[0].astype(dtype)])
        )


def test_nothing_is_kept_in_the_estimator():
    model = fitted()
    attributes, stored = dict(vars(model)), pickle.dumps(model)
    model.transform(X)
    assert vars(model) == attributes
    assert pickle.dumps(model) == stored
    assert not hasattr(clone(model), "anchors_")


def test_threads_while_parameters_change():
    model = fitted()
    expected = [copy.copy(model).set_params(epsilon=e).transform(X) for e in (0.05, 0.5)]

    def call(i):
        model.epsilon = (0.05, 0.5)[i % 2]
        return model.transform(X)

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(call, range(40)):
            assert any(np.array_equal(found, array) for array in expected)
