"""Equal seeds give equal results: bit by bit on one machine, and nearly so by chunks."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_info

import otk_sklearn
from otk_sklearn import (
    ConvolutionalKernelLayer,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
)

pytestmark = pytest.mark.filterwarnings("ignore:Sinkhorn missed tol")

TIME_LIMIT = 300

# Several chunks.
N_SETS, MAX_LENGTH = 300, 40

EMBEDDINGS = {
    "one reference": {},
    "several references": {"n_references": 3},
    "barycenters": {"n_references": 2, "references": "barycenter"},
    "windows in their places": {
        "kernel": "homogeneous",
        "filter_size": 3,
        "position": "gaussian",
    },
    "exact plans": {"solver": "emd", "kernel": "linear"},
    "in logarithms": {"epsilon": 1e-4, "anchors": "random", "references": "random"},
}
SMALL = OTKEmbedding(4, n_components=12)
TRAINING = {
    "Adam": OTKClassifier(SMALL, max_epochs=2, optimizer="adam"),
    "L-BFGS": OTKClassifier(SMALL, max_epochs=3, optimizer="lbfgs"),
    "regression": OTKRegressor(SMALL, max_epochs=2),
}


def embedding(name):
    return OTKEmbedding(6, n_components=24, random_state=0, **EMBEDDINGS[name])


def data(dtype=np.float64):
    return make_sets(n_sets=N_SETS, max_length=MAX_LENGTH, dtype=dtype)


def labels(X):
    return np.array([int(x[:, 0].mean() > 0) + int(x[:, 1].mean() > 0.3) for x in X])


def results(n_jobs=None, dtype=np.float64, names=(*EMBEDDINGS, "layer", *TRAINING)):
    """Return what is learned from the same sets, and what is made of them, by name."""
    X, found = data(dtype), {}
    for name in names:
        if name in TRAINING:
            model = sklearn.clone(TRAINING[name]).set_params(n_jobs=n_jobs, random_state=0)
            model.fit(X, labels(X))
            scores = getattr(model, "predict_proba", model.predict)(X)
            found[name] = [scores, model.coef_, model.embedding_.references_]
        elif name == "layer":
            layer = ConvolutionalKernelLayer(12, subsampling=2, random_state=0)
            layer.set_params(n_jobs=n_jobs)
            found[name] = [layer.fit_transform(X).values, layer.anchors_]
        else:
            model = embedding(name).set_params(n_jobs=n_jobs)
            found[name] = [model.fit_transform(X), model.references_]
    return found


def save_results(path, names):
    """Save what `results` returns, one array after the other: what a process is to do."""
    np.savez(path, *(array for arrays in results(names=names).values() for array in arrays))


def results_of_process(path, names, **environment):
    """Return the arrays of a process of its own, with these variables of environment."""
    here, package = Path(__file__).parent, Path(otk_sklearn.__file__).parents[1]
    environment["PYTHONPATH"] = os.pathsep.join([str(here), str(package)])
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, test_reproducibility as tests\n"
            "tests.save_results(sys.argv[1], sys.argv[2:])",
            str(path),
            *names,
        ],
        env=os.environ | environment,
        timeout=TIME_LIMIT,
        check=True,
    )
    with np.load(path) as arrays:
        return list(arrays.values())


@pytest.fixture(scope="module")
def expected():
    return results()


def assert_same_bits(found, expected):
    assert len(found) == len(expected)
    for array, same in zip(found, expected):
        assert array.dtype == same.dtype
        assert_array_equal(array, same)


@pytest.mark.slow
def test_another_process_gives_the_same_bits(tmp_path, expected):
    """With another seed of Python's hashes, and other thread limits of BLAS and OpenMP."""
    threads = 1 + max(library["num_threads"] for library in threadpool_info())
    found = results_of_process(
        tmp_path / "results.npz",
        expected,
        OPENBLAS_NUM_THREADS=str(threads),
        OMP_NUM_THREADS=str(threads),
        PYTHONHASHSEED="1",
    )
    assert_same_bits(found, [array for arrays in expected.values() for array in arrays])


@pytest.mark.slow
def test_code_compiled_anew_gives_the_same_bits(tmp_path, expected):
    cache = tmp_path / "cache"
    found = results_of_process(
        tmp_path / "results.npz", ["one reference"], NUMBA_CACHE_DIR=str(cache)
    )
    assert any(cache.rglob("*.nbc"))
    assert_same_bits(found, expected["one reference"])


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [3, -1])
def test_threads_give_the_same_bits(n_jobs, expected):
    found = results(n_jobs)
    for name, arrays in expected.items():
        assert_same_bits(found[name], arrays)


def test_threads_give_the_same_bits_in_float32():
    names = ["several references", "in logarithms", "layer"]
    one, several = (results(n, np.float32, names) for n in (1, 2))
    for name in names:
        assert one[name][0].dtype == np.float32
        assert_same_bits(several[name], one[name])


@pytest.mark.parametrize("working_memory", [pytest.param(0.05, marks=pytest.mark.slow), 1])
def test_other_chunks_give_almost_the_same(working_memory, expected):
    """`fit` and `transform` without labels."""
    names = [*EMBEDDINGS, "layer"]
    with sklearn.config_context(working_memory=working_memory):
        found = results(names=names)
    for name in names:
        for array, other in zip(found[name], expected[name]):
            assert_allclose(array, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_sets_alone_give_almost_the_same(name):
    X = data()[:100]
    model = embedding(name).fit(X)
    alone = np.vstack([model.transform([x]) for x in X])
    assert_allclose(alone, model.transform(X), rtol=0, atol=1e-10)


def test_predictions_for_other_chunks_are_almost_the_same():
    """Of one trained model; training itself amplifies rounding."""
    X = data()
    model = sklearn.clone(TRAINING["Adam"]).set_params(random_state=0).fit(X, labels(X))
    expected = model.predict_proba(X)
    for working_memory in [0.05, 1]:
        with sklearn.config_context(working_memory=working_memory):
            assert_allclose(model.predict_proba(X), expected, rtol=0, atol=1e-10)
    alone = np.vstack([model.predict_proba([x]) for x in X[:50]])
    assert_allclose(alone, expected[:50], rtol=0, atol=1e-10)


def test_training_for_other_chunks_comes_as_far():
    """It amplifies rounding, but losses at the end are close; and linear models, closer."""
    X, trained, linear = data()[:150], [], []
    small = OTKEmbedding(3, n_components=8)
    for working_memory in [0.05, 1024]:
        with sklearn.config_context(working_memory=working_memory):
            model = OTKClassifier(small, alpha=1.0, random_state=0)
            trained.append(model.fit(X, labels(X)).loss_curve_[-1])
            model.set_params(trainable=[])
            linear.append(model.fit(X, labels(X)).predict_proba(X))
    assert_allclose(*trained, rtol=0.05)
    assert_allclose(*linear, rtol=0, atol=1e-6)
