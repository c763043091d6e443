"""Saved models: the same bits after loading, from joblib and from skops, and next year."""

import os
import pickle
import re
import subprocess
import sys
from numbers import Number
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from make_models import FOLDER, data, fitted_models, output_of, store
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection

STORED = sorted(FOLDER.glob("*/*.skops"))


@pytest.fixture(scope="module")
def models():
    models, (X, classes, _) = fitted_models(), data()
    pipeline = make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKEmbedding(2, n_components=4, random_state=np.random.RandomState(0)),
        LogisticRegression(),
    )
    models["pipeline"] = pipeline.fit(X, classes)
    return models


def load(path):
    """Load a file of joblib or skops; what skops asks about has to be ours."""
    if path.suffix == ".joblib":
        return joblib.load(path)
    untrusted = skops.io.get_untrusted_types(file=path)
    assert untrusted
    assert all(name.startswith("otk_sklearn.") for name in untrusted)
    return skops.io.load(path, trusted=untrusted)


def save(models, folder):
    paths = {}
    for name, model in models.items():
        paths[name] = [folder / f"{name}.joblib", folder / f"{name}.skops"]
        joblib.dump(model, paths[name][0])
        skops.io.dump(model, paths[name][1])
    return paths


def test_loaded_models_give_the_same_bits(models, tmp_path):
    X, _, _ = data()
    for name, paths in save(models, tmp_path).items():
        for path in paths:
            loaded = load(path)
            assert_array_equal(output_of(loaded, X), output_of(models[name], X), path.name)


IN_A_FRESH_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from make_models import data, output_of
from test_persistence import load
folder, (X, _, _) = Path(sys.argv[1]), data()
outputs = {path.name: output_of(load(path), X) for path in folder.iterdir()}
np.savez(sys.argv[2], **outputs)
"""


def test_models_loaded_in_another_process_give_the_same_bits(models, tmp_path):
    folder, file = tmp_path / "models", tmp_path / "outputs.npz"
    folder.mkdir()
    paths = save(models, folder)
    tests = os.path.dirname(__file__)
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, folder, file],
        env={**os.environ, "PYTHONPATH": path},
        timeout=300,
        check=True,
    )
    outputs, (X, _, _) = np.load(file), data()
    assert len(outputs.files) == sum(map(len, paths.values())) > 20
    for name in models:
        for suffix in ["joblib", "skops"]:
            found = outputs[f"{name}.{suffix}"]
            assert_array_equal(found, output_of(models[name], X), f"{name}.{suffix}")


@pytest.mark.parametrize("suffix", ["joblib", "skops"])
def test_loaded_models_go_on_learning_as_they_would_have(models, tmp_path, suffix):
    X, classes, numbers = data()
    for name, y in [("classifier_partial", classes), ("regressor_partial", numbers[:, 0])]:
        model = pickle.loads(pickle.dumps(models[name]))
        paths = {path.suffix[1:]: path for path in save({name: model}, tmp_path)[name]}
        loaded = load(paths[suffix]).partial_fit(X, y)
        before = model.coef_
        assert_array_equal(model.partial_fit(X, y).coef_, loaded.coef_)
        assert not np.array_equal(model.coef_, before)


def test_searches_ask_skops_to_trust_splitters_and_scorers(tmp_path):
    X, classes, _ = data()
    embedding = OTKEmbedding(2, n_components=4, random_state=0)
    grid = {"logisticregression__C": [0.1, 1.0]}
    search = GridSearchCV(make_pipeline(embedding, LogisticRegression()), grid, cv=2)
    search.fit(X, classes)
    for path in save({"best": search.best_estimator_}, tmp_path)["best"]:
        assert_array_equal(load(path).predict_proba(X), search.predict_proba(X))
    file = tmp_path / "search.skops"
    skops.io.dump(search, file)
    untrusted = skops.io.get_untrusted_types(file=file)
    assert all(name.startswith(("otk_sklearn.", "sklearn.")) for name in untrusted)
    loaded = skops.io.load(file, trusted=untrusted)
    assert_array_equal(loaded.predict_proba(X), search.predict_proba(X))


def test_feature_names_are_saved(tmp_path):
    pandas = pytest.importorskip("pandas")
    X = [pandas.DataFrame(x, columns=["a", "b", "c"]) for x in data()[0]]
    model = OTKEmbedding(2, n_components=4, random_state=0).fit(X)
    for path in save({"named": model}, tmp_path)["named"]:
        loaded = load(path)
        assert loaded.feature_names_in_.tolist() == ["a", "b", "c"]
        assert_array_equal(loaded.transform(X), model.transform(X))
        with pytest.raises(ValueError, match="feature names should match"):
            loaded.transform([x[["b", "a", "c"]] for x in X])


def test_fitted_state_is_arrays_scalars_and_estimators(models):
    plain = (np.ndarray, np.generic, Number, str, type(None))

    def check(value, name):
        if isinstance(value, (list, tuple)):
            for item in value:
                check(item, name)
        elif isinstance(value, dict):
            check([*value, *value.values()], name)
        elif isinstance(value, BaseEstimator):
            for attribute in vars(value).keys() - value.get_params(deep=False).keys():
                check(vars(value)[attribute], f"{name}.{attribute}")
        else:
            assert isinstance(value, plain), (name, value)
            assert np.asarray(value).dtype.kind != "O" or value is None, name

    for name, model in models.items():
        if name != "pipeline":
            check(model, name)
    with pytest.raises(AssertionError):
        check({"a": [object()]}, "an object")


@pytest.mark.filterwarnings("ignore", category=InconsistentVersionWarning)
@pytest.mark.parametrize("path", STORED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_models_of_former_versions_load(path):
    """Saved by another version, and on other versions of what it needs.

    Outputs are compared up to rounding: a different BLAS adds up in another order.
    """
    sets = np.load(path.parent / "sets.npz")
    X = SetCollection(**{name: sets[name] for name in sets.files})
    expected = np.load(path.parent / "outputs.npz")[path.stem]
    found = output_of(load(path), X)
    assert found.dtype == expected.dtype
    rtol = 1e-3 if found.dtype == np.float32 else 1e-7
    assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def test_there_are_stored_models_of_every_kind(models):
    assert {path.stem for path in STORED} == models.keys() - {"pipeline"}


def test_every_released_version_has_stored_models_and_keeps_them():
    """Later versions load them: see the policy in `docs/policies.md`."""
    changelog = Path(__file__).parents[1] / "CHANGELOG.md"
    headings = re.findall(r"^## (\S+)(.*)$", changelog.read_text(), re.MULTILINE)
    released = {version for version, date in headings if "unreleased" not in date}
    stored = {path.parent.name for path in STORED}
    assert released <= stored
    assert stored <= {version for version, _ in headings}
    for version in stored:
        with pytest.raises(FileExistsError):
            store(FOLDER / version)
