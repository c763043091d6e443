"""`OTKClassifier` and `OTKRegressor` under every global setting of scikit-learn."""

import os
import subprocess
import sys

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal

from otk_sklearn import OTKClassifier, OTKEmbedding, OTKRegressor

SETTINGS = [
    {"transform_output": "pandas"},
    {"transform_output": "polars"},
    {"enable_metadata_routing": True},
    {"assume_finite": True},
    {"skip_parameter_validation": True},
    {"working_memory": 1},
]
if os.environ.get("SCIPY_ARRAY_API"):  # has to be set before the first import
    SETTINGS = [{"array_api_dispatch": True}]

CLASS = np.random.default_rng(1).permutation(np.arange(30) % 3)
TARGETS = {
    "two classes": CLASS > 0,
    "classes": np.array(["a", "b", "c"])[CLASS],
    "labels": np.column_stack([CLASS == 0, CLASS > 0]).astype(int),
    "numbers": CLASS + 0.5,
    "several numbers": np.column_stack([CLASS, CLASS**2.0]),
}


def make_sets():
    rng = np.random.default_rng(0)
    return [rng.normal(c, 1.0, size=(rng.integers(2, 8), 2)) for c in CLASS]


def make(targets):
    embedding = OTKEmbedding(3, n_components=5, max_iter=2000)
    if "numbers" in targets:
        return OTKRegressor(embedding, max_epochs=2, random_state=0, early_stopping=True)
    return OTKClassifier(
        embedding,
        max_epochs=2,
        random_state=0,
        early_stopping=True,
        class_weight="balanced",
    )


def fit(targets):
    weights = np.random.default_rng(2).uniform(0.5, 2, size=30)
    return make(targets).fit(make_sets(), TARGETS[targets], weights, np.arange(30) // 2)


def outputs_of(model, targets):
    names = ["predict", "predict_proba", "predict_log_proba", "decision_function"]
    outputs = {n: getattr(model, n)(make_sets()) for n in names if hasattr(model, n)}
    assert {type(output) for output in outputs.values()} == {np.ndarray}
    outputs["score"] = model.score(make_sets(), TARGETS[targets])
    outputs["embeddings"] = np.asarray(model.transform(make_sets()))
    first = make(targets).set_params(early_stopping="auto")
    if "numbers" not in targets:
        first.set_params(class_weight=None)
    first.partial_fit(make_sets(), TARGETS[targets])
    outputs["after partial_fit"] = first.predict(make_sets())
    return outputs


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_settings_change_no_result(setting, targets):
    """Fitted before, or under it."""
    for package in ["pandas", "polars"]:
        if package in setting.values():
            pytest.importorskip(package)
    before = fit(targets)
    expected = outputs_of(before, targets)
    with sklearn.config_context(**setting):
        for model in [before, fit(targets)]:
            for name, output in outputs_of(model, targets).items():
                assert_array_equal(output, expected[name], err_msg=name)


@pytest.mark.slow
def test_array_api_dispatch():
    """The test above, in a process of its own."""
    try:
        from sklearn.externals import array_api_compat  # noqa: F401
    except ImportError:  # before scikit-learn 1.7
        pytest.importorskip("array_api_compat")
    test = f"{__file__}::test_settings_change_no_result"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{len(TARGETS)} passed" in result.stdout, result.stdout
