"""Memory above the input: peaks of a process of its own, and limits of address space."""

import contextlib
import ctypes
import functools
import gc
import multiprocessing
import resource
from pathlib import Path

import numpy as np
import pytest
import sklearn
from joblib import parallel_config
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
    SlicedWassersteinEmbedding,
)

pytestmark = [
    pytest.mark.xdist_group("serial"),
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(), reason="needs Linux to measure memory"
    ),
]

MIB = 2**20
TIME_LIMIT = 120

N_FEATURES = 8


@pytest.fixture(scope="module")
def elsewhere():
    """Runs a function in a process that gives all that it frees back to the system."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MALLOC_MMAP_THRESHOLD_", str(2**17))
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            yield lambda function, *args: pool.apply_async(function, args).get(TIME_LIMIT)


def resident(name):
    """A number of bytes that the system counts for this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def peak_of(function):
    """Peak of resident memory in a call, above what there was before."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    result = function()
    peak = resident("VmHWM") - before
    del result
    return peak


@functools.lru_cache(maxsize=1)
def make(n_sets, length, dtype, n_features=N_FEATURES):
    values = np.random.default_rng(0).standard_normal((n_sets * length, n_features), dtype)
    return SetCollection(values, np.arange(0, len(values) + 1, length))


def make_few(dtype, n_features=N_FEATURES):
    return make.__wrapped__(60, 10, dtype, n_features)


def peak_of_transform(estimator, working_memory, shape):
    """Peak of `transform`, once the estimator has been fitted to a few sets."""
    sets, few = make(*shape), make_few(shape[2])
    # joblib allows a child of multiprocessing no threads, unless they are asked for.
    with (
        sklearn.config_context(working_memory=working_memory),
        parallel_config("threading"),
    ):
        estimator.fit(few).transform(few)
        return peak_of(lambda: estimator.transform(sets))


def peak_of_fit(estimator, working_memory, shape):
    sets = make(*shape)
    estimator.fit(make_few(shape[2]))
    with sklearn.config_context(working_memory=working_memory):
        return peak_of(lambda: estimator.fit(sets))


def peaks_of_training(estimator, working_memory, shape):
    """Peaks of `fit` with labels, and of `predict`."""
    sets, few = make(*shape), make_few(shape[2])
    estimator.fit(few, np.arange(len(few)) % 3).predict(few)
    y = np.arange(len(sets)) % 3
    with sklearn.config_context(working_memory=working_memory):
        return peak_of(lambda: estimator.fit(sets, y)), peak_of(
            lambda: estimator.predict(sets)
        )


def embedding(n_supports=4, n_components=16, max_elements=10_000, **params):
    return OTKEmbedding(
        n_supports,
        n_components=n_components,
        max_elements=max_elements,
        random_state=0,
        **params,
    )


def layer(n_components=16, filter_size=4, max_elements=10_000, **params):
    return ConvolutionalKernelLayer(
        n_components,
        filter_size=filter_size,
        max_elements=max_elements,
        random_state=0,
        **params,
    )


def itemsize(shape):
    return np.dtype(shape[2]).itemsize


MANY = (100_000, 5, "float64")
ONE = (1, 1_000_000, "float64")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "shape", "working_memory"),
    [
        ({}, (200_000, 5, "float64"), 16),
        ({}, MANY, 64),
        ({}, (100_000, 5, "float32"), 16),
        ({"n_jobs": 2}, MANY, 16),
        ({"n_references": 2, "references": "random"}, MANY, 16),
        ({"position": "gaussian"}, MANY, 16),
        ({"kernel": "homogeneous", "filter_size": 3}, MANY, 16),
        ({"solver": "softmax"}, MANY, 16),
        ({"relaxation": 1.0}, MANY, 16),
        ({"solver": "emd"}, (10_000, 10, "float64"), 16),
        ({"epsilon": 1e-4}, (5_000, 50, "float32"), 16),
    ],
    ids=str,
)
def test_transform_of_many_sets(params, shape, working_memory, elsewhere):
    """The output, and `working_memory`: neither features nor plans of all sets."""
    model = embedding(**params)
    peak = elsewhere(peak_of_transform, model, working_memory, shape)
    output = shape[0] * model.n_references * 4 * 16 * itemsize(shape)
    assert peak < output + working_memory * MIB


@pytest.mark.parametrize(
    ("params", "shape", "plans", "numbers"),
    [
        ({}, ONE, 1, 4),
        ({"n_references": 2, "references": "random"}, ONE, 2, 4),
        ({"kernel": "homogeneous", "filter_size": 3}, ONE, 1, 4),
        ({"solver": "softmax"}, ONE, 1, 4),
        ({"relaxation": 1.0}, ONE, 1, 6),
        ({"position": "gaussian"}, ONE, 2, 4),
        ({"position": "hard"}, ONE, 2, 4),
        ({"epsilon": 1e-4}, ONE, 2, 4),
        ({}, (1, 1_000_000, "float32"), 1, 4),
        ({"epsilon": 1e-4}, (1, 1_000_000, "float32"), 5, 4 + N_FEATURES),
    ],
    ids=str,
)
def test_transform_of_one_long_set(params, shape, plans, numbers, elsewhere):
    """Its similarities, which become the plan, and a few numbers for each element.

    Besides, there are the filter of positions; and where scaling is not enough, a copy for
    the log domain. What float32 can't solve has all this once more in float64, and its
    elements too.
    """
    peak = elsewhere(peak_of_transform, embedding(**params), 16, shape)
    n_elements = shape[1]
    allowed = plans * 4 * n_elements * itemsize(shape) + numbers * n_elements * 8
    assert peak < allowed + 16 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("subsampling", [1, 2])
@pytest.mark.parametrize(
    ("shape", "working_memory"), [(MANY, 16), (ONE, 16), (ONE, 64)], ids=str
)
def test_transform_of_a_layer(shape, subsampling, working_memory, elsewhere):
    model = layer(subsampling=subsampling, padding="same")
    peak = elsewhere(peak_of_transform, model, working_memory, shape)
    n_kept = shape[0] * -(-shape[1] // subsampling)
    output = n_kept * 16 * itemsize(shape) + shape[0] * 8
    assert peak < output + working_memory * MIB


SMALL = {"max_elements": 10_000, "random_state": 0}
BASELINES = [
    (SetPooling(["mean", "std", "min", "max"]), 4 * N_FEATURES),
    (KernelMeanEmbedding(16, **SMALL), 16),
    (SlicedWassersteinEmbedding(8, n_quantiles=8, **SMALL), 64),
    (FisherVectorEmbedding(4, **SMALL), 8 * N_FEATURES),
]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [MANY, ONE], ids=str)
@pytest.mark.parametrize(("model", "width"), BASELINES, ids=str)
def test_transform_of_baselines(model, width, shape, elsewhere):
    """The output, `working_memory` and a few numbers for each element of a long set."""
    peak = elsewhere(peak_of_transform, model, 16, shape)
    of_one = 4 * 8 * shape[1] if shape == ONE else 0
    assert peak < shape[0] * width * 8 + of_one + 16 * MIB


@pytest.mark.parametrize("shape", [MANY, ONE], ids=str)
def test_element_transformer(shape, elsewhere):
    """What its transformer takes, and in `fit` with `max_elements`, that for these."""
    model = ElementTransformer(StandardScaler(), max_elements=50_000, random_state=0)
    n_elements = shape[0] * shape[1]
    values = n_elements * N_FEATURES * 8
    assert elsewhere(peak_of_transform, model, 16, shape) < values + 4 * MIB
    assert elsewhere(peak_of_fit, model, 16, shape) < 16 * n_elements + 3 * values / 20


SETS = (5_000, 10, "float64")


def learning(n_components=64, max_elements=30_000, **params):
    return embedding(8, n_components, max_elements, **params)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "shape", "times"),
    [
        (learning(), SETS, 3),
        (learning(), (5_000, 10, "float32"), 3),
        (learning(), (50_000, 1, "float64"), 3),
        (learning(), ONE, 3),
        (learning(position="gaussian"), SETS, 3),
        (learning(8, kernel="homogeneous", filter_size=8), ONE, 3),
        (layer(8, 8, 30_000), ONE, 3),
        (KernelMeanEmbedding(max_elements=30_000, random_state=0), SETS, 3),
        (SlicedWassersteinEmbedding(max_elements=30_000, random_state=0), SETS, 6),
        (FisherVectorEmbedding(max_elements=30_000, random_state=0), SETS, 5),
        (learning(references="barycenter"), SETS, 4),
        (learning(n_references=2, epsilon=1), (3000, 10, "float64"), 4),
    ],
    ids=lambda case: " ".join(str(case).split()),
)
def test_fit(model, shape, times, elsewhere):
    """A few times the sample and its features, whatever the number of all elements."""
    peak = elsewhere(peak_of_fit, model, 4, shape)
    width = N_FEATURES * getattr(model, "filter_size", 1)
    if hasattr(model, "n_components"):
        width += model.n_components
    n_elements = shape[0] * shape[1]
    sample = min(model.max_elements, n_elements) * width * itemsize(shape)
    assert peak < times * sample + 32 * shape[0] + 4 * MIB


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "optimizer"),
    [(OTKClassifier, "adam"), (OTKClassifier, "lbfgs"), (OTKRegressor, "adam")],
)
def test_training_with_labels(estimator, optimizer, elsewhere):
    """A few times the embeddings of all sets, and copies of the sets in other orders."""
    of_sets = OTKEmbedding(4, n_components=16, max_elements=10_000)
    model = estimator(of_sets, random_state=0)
    model.set_params(max_epochs=1, optimizer=optimizer, alpha=1.0)
    shape = (20_000, 5, "float64")
    fit, predict = elsewhere(peaks_of_training, model, 16, shape)
    embeddings, values = 20_000 * 4 * 16 * 8, 100_000 * N_FEATURES * 8
    assert fit < 5 * embeddings + 3 * values + 16 * MIB
    assert predict < embeddings + 16 * MIB


def call_with_limit(model, method, path, allowance):
    """Call a method with sets in a file, with so much more address space and no more."""
    values = np.load(path, mmap_mode="r")
    sets = SetCollection(values, np.arange(0, len(values) + 1, 100))
    model.fit(sets[:20]).transform(sets[:20])
    with more_address_space(allowance):
        getattr(model, method)(sets)


@contextlib.contextmanager
def more_address_space(allowance):
    """Allow so many more bytes, and no more."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (resident("VmSize") + allowance, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture(scope="module")
def values_in_a_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("values") / "values.npy"
    values = np.random.default_rng(0).standard_normal((1_000_000, 64), "float32")
    np.save(path, values)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method", "allowance"),
    [
        (embedding(2, 4, 1000), "transform", 48 * MIB),
        (embedding(2, 4, 1000), "fit", 64 * MIB),
        (layer(4, 2, 1000), "transform", 80 * MIB),
        (layer(4, 2, 1000), "fit", 64 * MIB),
    ],
    ids=lambda case: " ".join(str(case).split()),
)
def test_sets_in_a_file(model, method, allowance, values_in_a_file, elsewhere):
    """Of 244 MiB in the file, no copy is made, nor of half of it."""
    elsewhere(call_with_limit, model, method, values_in_a_file, allowance)


def scaled(*steps):
    return make_pipeline(ElementTransformer(StandardScaler()), *steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method", "allowance"),
    [
        (scaled(embedding(2, 4, 1000)), "transform", 48 * MIB),
        (scaled(embedding(2, 4, 1000)), "fit", 80 * MIB),
        (scaled(embedding(2, 4, 1000, filter_size=2)), "fit_transform", 96 * MIB),
        (scaled(SetPooling(["mean", "std"])), "fit_transform", 80 * MIB),
        (scaled(scaled(embedding(2, 4, 1000))), "fit_transform", 80 * MIB),
    ],
    ids=lambda case: " ".join(str(case).split()),
)
def test_scaled_sets_in_a_file(model, method, allowance, values_in_a_file, elsewhere):
    """Elements are scaled in blocks where they are read."""
    elsewhere(call_with_limit, model, method, values_in_a_file, allowance)


def scale_named(path):
    """Scale features that have names: they reach the scaler as DataFrames."""
    values = np.load(path, mmap_mode="r")
    names = [f"x{i}" for i in range(values.shape[1])]
    offsets = np.arange(0, len(values) + 1, 100)
    sets = SetCollection(values, offsets, feature_names=names)
    model = scaled(SetPooling())
    model.fit(sets[:20]).transform(sets[:20])
    with more_address_space(80 * MIB):
        model.fit(sets).transform(sets)


@pytest.mark.slow
def test_scaled_sets_in_a_file_with_names(values_in_a_file, elsewhere):
    elsewhere(scale_named, values_in_a_file)


def check_with_limit(path):
    """Make sets of a file, choose some, and look for NaN, in little memory."""
    values = np.load(path, mmap_mode="c")  # changes stay in memory
    values[-1, 3] = np.nan
    offsets = np.arange(0, len(values) + 1, 100)
    offsets = np.concatenate([offsets, offsets[-1:]])  # an empty set
    model = SetPooling(empty_sets="zero").fit([[[0.0] * values.shape[1]]])
    with more_address_space(24 * MIB):
        sets = SetCollection(values, offsets)
        assert sets[np.flatnonzero(sets.lengths)].n_features == values.shape[1]
        try:
            model.transform(sets)
        except ValueError as error:
            return str(error)


def test_checks_of_sets_in_a_file(values_in_a_file, elsewhere):
    """Neither a copy of the elements, nor a boolean for each of their numbers."""
    message = elsewhere(check_with_limit, values_in_a_file)
    assert "X contains NaN in set 9999 (element 99, feature 3)" in message
