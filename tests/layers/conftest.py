"""Fixtures of the tests of layers; without PyTorch, these are not collected."""

import importlib.util

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]


@pytest.fixture(params=["compiled", "batched"])
def path(request, monkeypatch):
    """Match sets by compiled functions, or by torch operations as on other devices."""
    from otk_sklearn.torch import _batched_matching, _compiled_matching, _operators

    modules = {"compiled": _compiled_matching, "batched": _batched_matching}
    monkeypatch.setattr(_operators, "matching_on", lambda device: modules[request.param])
    return request.param
