"""What joblib has cached, and when it is computed again."""

import joblib
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from otk_sklearn import KernelMeanEmbedding, OTKEmbedding
from otk_sklearn._utils import caching
from otk_sklearn.features import _anchors

SMALL = {"n_components": 4, "random_state": 0}

# Estimators, and the functions that they cache.
CASES = {
    "one reference": (OTKEmbedding(2, **SMALL), {"learn_anchors", "learn_from_elements"}),
    "references": (
        OTKEmbedding(2, n_references=2, **SMALL),
        {"learn_anchors", "wasserstein_kmeans"},
    ),
    "kernel mean": (KernelMeanEmbedding(**SMALL), {"learn_anchors"}),
}


class CountingMemory:
    """The interface of `joblib.Memory`, and how often each function was computed."""

    def __init__(self, location):
        self.memory, self.computed = joblib.Memory(location, verbose=0), []

    def cache(self, function, ignore=None):
        cached = self.memory.cache(function, ignore=ignore)

        def call(*args, **kwargs):
            if not cached.check_call_in_cache(*args, **kwargs):
                self.computed.append(function.__name__)
            return cached(*args, **kwargs)

        return call


@pytest.mark.parametrize("name", CASES)
def test_another_version_computes_everything_again(name, sets, tmp_path, monkeypatch):
    model, functions = CASES[name]
    expected = clone(model).fit_transform(sets)

    def computed():
        memory = CountingMemory(tmp_path)
        found = clone(model).set_params(memory=memory).fit_transform(sets)
        assert_array_equal(found, expected)
        return set(memory.computed)

    assert computed() == functions
    assert computed() == set()
    monkeypatch.setattr(caching, "__version__", "0.1.1")
    assert computed() == functions
    assert computed() == set()
    monkeypatch.undo()
    assert computed() == set()


def test_results_of_an_old_version_are_not_returned(sets, tmp_path, monkeypatch):
    """Functions that a cached one calls may have changed: joblib looks at its code only."""
    model = OTKEmbedding(2, memory=str(tmp_path), **SMALL)
    old = model.fit(sets).anchors_
    monkeypatch.setattr(caching, "__version__", "0.1.1")
    centers = _anchors.kmeans_centers
    monkeypatch.setattr(
        _anchors, "kmeans_centers", lambda *args: (2 * centers(*args)[0], None)
    )
    assert_array_equal(model.fit(sets).anchors_, 2 * old)
    monkeypatch.undo()
    assert_array_equal(model.fit(sets).anchors_, old)
