"""Hostile input: it is worked on as its plain equivalent is, or refused with an error.

Compiled functions check no bounds. What they rely on is proved before: these are attacks.
"""

import ast
import collections
import itertools
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

import otk_sklearn
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

pytestmark = pytest.mark.filterwarnings(
    "ignore:n_components=",
    "ignore:Sinkhorn missed",
    "ignore:X is 2-D",
    "ignore:X (has|does not have valid) feature names",
    "ignore:the matrix subclass",
)

PACKAGE = Path(otk_sklearn.__file__).parent
PACKAGES = {"otk_sklearn"} | {
    folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()
}

LENGTHS = [1, 3, 2, 5, 4, 2]
OFFSETS = np.cumsum([0, *LENGTHS])
N = OFFSETS[-1]
LABELS = np.arange(len(LENGTHS)) % 2

SMALL = {"n_components": 3, "random_state": 0}
ESTIMATORS = {
    "embedding": lambda: OTKEmbedding(2, **SMALL),
    "linear": lambda: OTKEmbedding(2, kernel="linear", n_references=2, random_state=0),
    "windows": lambda: OTKEmbedding(
        2, kernel="homogeneous", filter_size=2, position="gaussian", **SMALL
    ),
    "layer": lambda: ConvolutionalKernelLayer(filter_size=2, subsampling=2, **SMALL),
    "elements": lambda: ElementTransformer(StandardScaler()),
    "pooling": lambda: SetPooling(["mean", "std", "min"]),
    "kernel mean": lambda: KernelMeanEmbedding(**SMALL),
    "sliced": lambda: SlicedWassersteinEmbedding(3, n_quantiles=4, random_state=0),
    "fisher": lambda: FisherVectorEmbedding(2, random_state=0),
    "classifier": lambda: OTKClassifier(
        OTKEmbedding(2, n_components=3), max_epochs=1, random_state=0
    ),
    "regressor": lambda: OTKRegressor(
        OTKEmbedding(2, n_components=3), max_epochs=1, optimizer="adam", random_state=0
    ),
}


def integers(shape=(N, 2)):
    """Small integers, which every dtype holds."""
    return np.random.default_rng(0).integers(0, 9, shape).astype(float)


def split(values):
    return [values[start:stop] for start, stop in zip(OFFSETS[:-1], OFFSETS[1:])]


def output_of(estimator, X):
    out = estimator.transform(X)
    return out.values if isinstance(out, SetCollection) else out


def check_proved(sets):
    """What kernels rely on."""
    values, offsets = sets.values, sets.offsets
    assert type(values) is type(offsets) is np.ndarray
    assert values.ndim == 2
    assert values.shape[1] > 0
    assert values.dtype in (np.float32, np.float64)
    assert values.flags.c_contiguous
    assert values.flags.aligned
    assert offsets.dtype == np.int64
    assert offsets[0] == 0
    assert offsets[-1] == len(values)
    assert (np.diff(offsets) > 0).all()
    for rows in [sets.weights, sets.positions]:
        assert rows is None or (type(rows) is np.ndarray and len(rows) == len(values))


class Whatever:
    """An object that is an array of its choice."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


class Shifty:
    """An object whose array has another shape each time it is asked for."""

    def __init__(self, *shapes):
        self.shapes = list(shapes)

    def __array__(self, dtype=None, copy=None):
        self.shapes.append(self.shapes.pop(0))
        return np.ones(self.shapes[-1])


class Liar(np.ndarray):
    """An array that says it is of another shape, length and dtype."""

    shape = property(lambda self: (N, 2))
    ndim = property(lambda self: 2)
    size = property(lambda self: 2 * N)
    dtype = property(lambda self: np.dtype(np.float64))

    def __len__(self):
        return int(N)


class LyingList(list):
    """A list that says it is of another length."""

    def __len__(self):
        return 3


class LyingTable:
    """A table that says it has other columns than its array has."""

    def __init__(self, array, n_columns):
        self.array, self.columns = array, [f"x{i}" for i in range(n_columns)]
        self.shape, self.ndim = (len(array), n_columns), 2

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __len__(self):
        return len(self.array)


def misaligned(x):
    x = np.ascontiguousarray(x)
    return np.frombuffer(b"x" + x.tobytes(), x.dtype, offset=1).reshape(x.shape)


def field_of_records(x):
    records = np.zeros(len(x), [("byte", "i1"), ("x", "f8", x.shape[1:])])
    records["x"] = x
    return records["x"]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def mapped(x):
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file.name, x)
        return np.load(file.name, mmap_mode="r")


NUMBERS = [f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)]
NUMBERS += ["bool", "float16", "float32", "longdouble", ">f4", ">f8", ">i4"]
FORMS = {
    **{dtype: lambda x, dtype=dtype: x.astype(dtype) for dtype in NUMBERS},
    "objects": lambda x: x.astype(object),
    "Fortran": np.asfortranarray,
    "backwards": lambda x: x[::-1, ::-1],
    "every other column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "no strides": lambda x: np.broadcast_to(x[:1], x.shape),
    "misaligned": misaligned,
    "field of records": field_of_records,
    "read-only": read_only,
    "memory map": mapped,
    "matrix": lambda x: x.view(np.matrix),
    "nothing masked": np.ma.array,
    "record array": lambda x: x.view(np.recarray),
    "lies": lambda x: x.view(Liar),
    "object": Whatever,
    "table": pd.DataFrame,
    "nested list": lambda x: x.tolist(),
}


def dtype_of(form):
    return np.float32 if form in ("float16", "float32") else np.float64


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_sets_are_their_plain_equivalents(form):
    given = FORMS[form](integers())
    plain = np.array(given, dtype_of(form))
    columns = [f"x{i}" for i in range(2)]
    if form == "table":
        given.columns = columns
    groups = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    arrays = [FORMS[form](x) for x in split(integers())]
    plain_arrays = [np.array(x, plain.dtype) for x in arrays]
    collections = [
        SetCollection(given, OFFSETS),
        SetCollection.from_groups(given, groups),
        SetCollection(np.zeros((N, 3)), OFFSETS).with_values(given),
    ]
    for sets in collections:
        check_proved(sets)
        assert_array_equal(sets.values, plain)
        assert sets.dtype == plain.dtype
    sets = SetCollection.from_sets(arrays)
    check_proved(sets)
    assert_array_equal(sets.values, np.concatenate(plain_arrays))
    if form not in ("matrix", "table", "lies", "nested list", "every other column"):
        cube = FORMS[form](integers((6, 4, 2)))
        sets = SetCollection.from_padded(cube, lengths=[4, 1, 2, 4, 3, 1])
        check_proved(sets)
        assert_array_equal(sets.values[-1], np.array(cube, plain.dtype)[5, 0])


# All forms pass one gate: each to one estimator, and three that differ most to the others.
@pytest.mark.parametrize(
    ("form", "name"),
    [
        *((form, "embedding") for form in FORMS),
        *itertools.product(["float32", "misaligned", "lies"], [*ESTIMATORS][1:]),
    ],
)
def test_estimators_treat_forms_as_their_plain_equivalents(form, name):
    arrays = [FORMS[form](x) for x in split(integers())]
    dtype = dtype_of(form)
    plain = [np.array(x, dtype) for x in arrays]
    if form == "lies":
        arrays = plain = SetCollection(FORMS[form](integers()), OFFSETS)
    expected = output_of(ESTIMATORS[name]().fit(plain, LABELS), plain)
    found = output_of(ESTIMATORS[name]().fit(arrays, LABELS), arrays)
    assert_array_equal(found, expected)
    assert found.dtype == dtype


@pytest.mark.parametrize("name", ESTIMATORS)
def test_arrays_of_sets_that_lie_are_what_they_are(name):
    cube = integers((6, 4, 2))
    model = ESTIMATORS[name]().fit(cube, LABELS)
    for given in [cube, cube[:, :1, :], cube[:2]]:
        found = output_of(model, given.copy().view(Liar))
        assert_array_equal(found, output_of(model, given))
    with pytest.raises(ValueError, match="X is 2-D, and .* was fitted on sets"):
        output_of(model, cube[:, 0].copy().view(Liar))


REFUSED = {
    "complex": integers() * 1j,
    "dates": integers().astype("datetime64[s]"),
    "time spans": integers().astype("timedelta64[s]"),
    "text": integers().astype(str),
    "bytes": integers().astype("S3"),
    "raw bytes": integers().view("V8"),
    "records": np.zeros((N, 2), [("x", "f8")]),
    "objects": np.array([[{}, 1]] * N, object),
    "huge integers": np.array([[10**400, 1]] * N, object),
    "masked": np.ma.masked_equal(integers(), 3),
    "sparse": csr_array(integers()),
    "0-d": np.array(1.0),
    "1-D": np.ones(N),
    "3-D": np.ones((N, 2, 1)),
    "lies, and is 1-D": np.ones(2 * N).view(Liar),
    "lies, and is 3-D": np.ones((N, 2, 1)).view(Liar),
    "lies, and is shorter": np.ones((3, 2)).view(Liar),
    "lies, and is dates": integers().astype("datetime64[s]").view(Liar),
    "no columns": np.ones((N, 0)),
    "None": None,
    "a set": {1, 2},
    "a class": int,
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_table_of_numbers_is_refused(case):
    values = REFUSED[case]
    sets = SetCollection(integers(), OFFSETS)
    for call in [
        lambda: SetCollection(values, OFFSETS),
        lambda: SetCollection.from_groups(values, np.repeat(range(6), LENGTHS)),
        lambda: sets.with_values(values),
    ]:
        with pytest.raises((TypeError, ValueError), match="values|groups|offsets"):
            call()
    if case not in ("lies, and is shorter", "None"):  # a missing set is an empty one
        with pytest.raises((TypeError, ValueError), match="set 1 of sets"):
            SetCollection.from_sets([integers(), values])


def offsets_cases():
    good = OFFSETS.tolist()
    swapped = [*good[:2], good[3], good[2], *good[4:]]
    return {
        "negative": [-1, *good[1:]],
        "negative inside": [0, -5, *good[2:]],
        "decreasing": swapped,
        "beyond the end": [*good[:-1], N + 1],
        "beyond inside": [0, N + 5, N],
        "huge": [0, 2**62, N],
        "wraps around": np.array([0, 2**64 - 1, N], np.uint64),
        "wraps to the end": np.array([0, 3, 2**64 - 2**63, N], np.uint64),
        "int64 limits": [0, -(2**63), 2**63 - 1, N],
        "differences overflow": [0, 2**63 - 1, -2, N],
        "floats": OFFSETS.astype(float),
        "NaN": [0, np.nan, N],
        "bool": np.array([False, True]),
        "objects": OFFSETS.astype(object),
        "text": OFFSETS.astype(str),
        "complex": OFFSETS * 1j,
        "dates": OFFSETS.astype("datetime64[s]"),
        "empty": [],
        "0-d": np.array(0),
        "one": [0],
        "2-D": OFFSETS[np.newaxis],
        "matrix": OFFSETS[np.newaxis].view(np.matrix),
        "masked": np.ma.masked_equal(OFFSETS, 4),
        "larger than int64": [0, 2**70, N],
        "None": None,
        "lies": np.array([0, N + 9], np.int64).view(Liar),
        "a dictionary": {0: 0, 1: N},
    }


@pytest.mark.parametrize("case", offsets_cases())
def test_hostile_offsets_are_refused(case):
    with pytest.raises((TypeError, ValueError), match="offsets"):
        SetCollection(integers(), offsets_cases()[case])


def test_forms_of_offsets_are_their_plain_equivalents():
    long = np.repeat(OFFSETS, 2)
    for given in [
        OFFSETS.tolist(),
        tuple(OFFSETS),
        OFFSETS.astype(np.uint64),
        OFFSETS.astype(np.int8),
        OFFSETS.astype(">i4"),
        long[::2],
        OFFSETS[::-1].copy()[::-1],
        misaligned(OFFSETS),
        read_only(OFFSETS),
        np.ma.array(OFFSETS),
        pd.Series(OFFSETS),
        Whatever(OFFSETS),
    ]:
        sets = SetCollection(integers(), given)
        check_proved(sets)
        assert_array_equal(sets.offsets, OFFSETS)
        assert not np.shares_memory(sets.offsets, given if given is not long else long)


def test_what_is_proved_stays_as_it_is():
    given, values = OFFSETS.copy(), integers()
    weights, positions = np.ones(N), np.zeros((N, 1))
    sets = SetCollection(values, given, weights=weights, positions=positions)
    given[:], weights[:], positions[:] = 99, -1, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        values.shape = (2, N)  # of the array that values are shared with
    parts = [sets, sets[1:4], sets[[2, 0]], sets.astype(np.float32)]
    for part in parts:
        before = part.offsets.copy()
        owner = part.offsets
        while isinstance(owner, np.ndarray):
            with pytest.raises(ValueError, match="WRITEABLE"):
                owner.flags.writeable = True
            owner = owner.base
        for name in ["values", "offsets", "weights", "positions"]:
            handed_out = getattr(part, name)
            with pytest.raises(ValueError, match="read-only"):
                handed_out[0] = 7
            with pytest.raises(AttributeError):
                setattr(part, name, handed_out)
            with warnings.catch_warnings():  # some versions of NumPy advise against it
                warnings.simplefilter("ignore", DeprecationWarning)
                handed_out.shape = (-1,)
                handed_out.dtype = np.uint8
        check_proved(part)
        assert_array_equal(part.offsets, before)
        assert (part.weights == 1).all()
        assert (part.positions == 0).all()


SHIFTY = [[(N, 2), (N, 3), (4, 2)], [(N, 2), (N,)], [(5, 2), (N, 2)], [(N, 2), ()]]


@pytest.mark.parametrize("shapes", SHIFTY)
def test_objects_of_changing_shape_are_asked_once_or_refused(shapes):
    def makers():
        yield lambda x: SetCollection(x, OFFSETS)
        yield lambda x: SetCollection.from_sets([x, x])
        yield lambda x: SetCollection.from_groups(x, np.repeat(range(6), LENGTHS))
        yield lambda x: SetCollection(integers(), OFFSETS).with_values(x)
        yield lambda x: SetCollection(integers(), OFFSETS, weights=x)
        yield lambda x: SetCollection(integers(), OFFSETS, positions=x)

    n_made = 0
    for make in makers():
        for turn in range(len(shapes)):
            try:
                sets = make(Shifty(*shapes[turn:], *shapes[:turn]))
            except (TypeError, ValueError, IndexError):
                continue
            check_proved(sets)
            n_made += 1
    assert n_made > 0


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_withstand_objects_of_changing_shape_and_length(name):
    X = split(integers())
    model = ESTIMATORS[name]().fit(X, LABELS)
    n_out = output_of(model, X).shape[1]
    expected, n_made = output_of(model, X), 0
    hostile = [
        [Shifty(*shapes[turn:], *shapes[:turn])] for shapes in SHIFTY for turn in (0, 1)
    ]
    hostile += [hostile[0][0], LyingList(X), LyingList([LyingList(X[1]), *X])]
    hostile += [np.array([Shifty((2, 2), (3, 2)), None], object)]
    for given in hostile:
        try:
            out = output_of(model, given)
        except (TypeError, ValueError, IndexError):
            continue
        assert np.isfinite(out).all()
        assert out.shape[1] == n_out
        n_made += 1
    assert n_made > 0
    assert_array_equal(output_of(model, X), expected)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_tables_that_lie_about_their_columns(name):
    """Compiled functions would read beyond the anchors."""
    X = split(integers())
    lying = [LyingTable(np.ones((4, 5)), 2) for _ in X]
    names = [pd.DataFrame(x, columns=["x0", "x1"]) for x in X]
    model = ESTIMATORS[name]().fit(names, LABELS)
    for call in [model.transform, lambda X: ESTIMATORS[name]().fit(X, LABELS)]:
        with pytest.raises(ValueError, match="feature_names has 2 entries; expected .* 5"):
            call(lying)
    for call in [model.fit, model.fit_transform]:
        with pytest.raises((TypeError, ValueError)):
            call(LyingTable(np.ones((4, 3, 5)), 2), LABELS[:4])


def test_indices_leave_no_array():
    sets = SetCollection(integers(), OFFSETS, weights=np.ones(N))
    items = [x.copy() for x in sets]
    n = len(items)
    indices = [n, -n - 1, 2**63, -(2**70), 1.5, "0", None, {}, (0, 0), (slice(None), None)]
    indices += [[0, -n - 1], [1.0], slice(0, 3, 0), slice("a")]
    arrays = [[n], ["0"], [None], np.zeros((2, 2), int)]
    arrays += [np.ones(n + 1, bool), np.ones(n - 1, bool)]
    for index in [*indices, *map(np.array, arrays)]:
        with pytest.raises((IndexError, OverflowError, TypeError, ValueError)):
            sets[index]
    indices = [slice(2**70), slice(-(2**70), None, 3), slice(None, None, -1), slice(5, 2)]
    indices += [slice(2, 5, 1), range(0, n, 2), [-1, 0, -n], [], [3, 3, 3]]
    indices += [np.array([1, 2], np.uint8), np.array([5, 4], ">i8")]
    indices += [np.array([2**64 - 1], np.uint64)]  # to NumPy, that is -1
    indices += [np.arange(n) % 2 == 0, np.zeros(n, bool), (slice(1, 3), ...)]
    for index in indices:
        part = sets[index]
        check_proved(part)
        numbers = np.arange(n)[index if not isinstance(index, tuple) else index[0]]
        assert len(part) == len(numbers)
        for found, i in zip(part, numbers):
            assert_array_equal(found, items[i])


def test_what_comes_out_of_a_pickle_is_proved_again():
    sets = SetCollection(integers(), OFFSETS, weights=np.ones(N), positions=np.ones(N))
    function, arrays, columns = sets.__reduce__()
    state = (*arrays, *columns.values())
    check_proved(pickle.loads(pickle.dumps(sets)))
    for i, tampered in [
        (0, np.ones((N - 1, 2))),
        (0, np.ones((N, 2, 2))),
        (1, OFFSETS + 1),
        (1, np.append(OFFSETS, 2**40)),
        (1, OFFSETS[::-1]),
        (2, np.ones(N - 1)),
        (2, -np.ones(N)),
        (3, np.full(N, np.nan)),
        (3, np.ones((N, 3))),
    ]:

        class Tampered:
            def __reduce__(self, i=i, tampered=tampered):
                changed = (*state[:i], tampered, *state[i + 1 :])
                return function, changed[:2], dict(zip(columns, changed[2:]))

        with pytest.raises(ValueError, match="values|offsets|weights|positions"):
            pickle.loads(pickle.dumps(Tampered()))


def changed(array, value=np.nan):
    array = array.copy()
    array.flat[-1] = value
    return array


TAMPERED = {
    "anchors_": [
        lambda a: a[:, :-1],
        lambda a: a[:-1],
        lambda a: np.hstack([a, a]),
        lambda a: np.vstack([a, a]),
        lambda a: a[0],
        lambda a: a[np.newaxis],
        lambda a: a[:0],
        lambda a: a[:, :0],
        lambda a: a * 1j,
        lambda a: a.astype(str),
        lambda a: np.full(a.shape, {}, object),
        changed,
        lambda a: changed(a, np.inf),
        lambda a: None,
        lambda a: "anchors",
    ],
    "normalization_": [
        lambda a: a[:, :-1],
        lambda a: a[:-1],
        lambda a: a[:-1, :-1],
        lambda a: np.kron(a, np.eye(2)),
        lambda a: a[0],
        lambda a: a * 1j,
        changed,
        lambda a: None,
    ],
    "references_": [
        lambda a: a[:, :, :-1],
        lambda a: np.concatenate([a, a], axis=2),
        lambda a: a[0],
        lambda a: a[np.newaxis],
        lambda a: a[:0],
        lambda a: a[:, :0],
        lambda a: a * 1j,
        changed,
    ],
    "gamma_": [lambda g: None, lambda g: -g, lambda g: np.nan, lambda g: np.inf,
               lambda g: np.array([g, g]), lambda g: "1", lambda g: 1j],
    "coef_": [
        lambda a: a[:, :-1],
        lambda a: np.hstack([a, a]),
        lambda a: a[0],
        lambda a: a[:0],
        changed,
        lambda a: None,
    ],
    "intercept_": [lambda a: a[:0], lambda a: np.append(a, a), changed],
}  # fmt: skip


OF_KERNELS = ["anchors_", "normalization_", "gamma_"]
FITTED = {
    "embedding": [*OF_KERNELS, "references_"],
    "windows": [*OF_KERNELS, "references_"],
    "linear": ["references_"],
    "layer": OF_KERNELS,
    "kernel mean": OF_KERNELS,
    "classifier": TAMPERED,
    "regressor": TAMPERED,
}


@pytest.mark.parametrize(
    ("name", "attribute"), [(name, a) for name in FITTED for a in FITTED[name]]
)
def test_fitted_attributes_that_do_not_fit_are_refused(name, attribute):
    """Kernels would read beyond an array; elsewhere, results would be wrong silently."""
    X = SetCollection(integers(), OFFSETS)
    model = ESTIMATORS[name]().fit(X, LABELS)
    expected = output_of(model, X)
    owner = model if hasattr(model, attribute) else getattr(model, "embedding_", model)
    value = getattr(owner, attribute)
    names = "|".join([*TAMPERED, "outputs"])  # of two that don't fit, one is named
    calls = [model.predict if attribute in ("coef_", "intercept_") else model.transform]
    if name in ("classifier", "regressor"):
        calls += [model.predict, lambda X: model.partial_fit(X, LABELS)]
    for tamper in TAMPERED[attribute]:
        setattr(owner, attribute, tamper(value))
        for call in calls:
            with pytest.raises((TypeError, ValueError), match=names):
                call(X)
        setattr(owner, attribute, value)
    assert_array_equal(output_of(model, X), expected)


@pytest.mark.parametrize(
    "form",
    ["Fortran", "misaligned", "read-only", "memory map", "objects", ">f8", "longdouble"],
)
@pytest.mark.parametrize("name", ["embedding", "windows", "layer", "classifier"])
def test_fitted_attributes_of_other_forms_give_the_same(name, form):
    X = SetCollection(integers(), OFFSETS)
    model = ESTIMATORS[name]().fit(X, LABELS)
    expected = output_of(model, X)
    owner = getattr(model, "embedding_", model)
    for attribute in ["anchors_", "normalization_"]:
        setattr(owner, attribute, FORMS[form](getattr(owner, attribute)))
    assert_array_equal(output_of(model, X), expected)


def run_in_process(function, timeout, **environment):
    """Run a function of a module of the tests in a fresh process, and return its output."""
    folders = [
        str(Path(__file__).parent),
        str(PACKAGE.parent),
        os.environ.get("PYTHONPATH", ""),
    ]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    module, function = function.split(".")
    code = f"import {module}; {module}.{function}()"
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def use_values_that_change(n_rounds=25):
    """Let a thread fill the caller's array with anything while estimators read it."""
    warnings.simplefilter("ignore")
    sys.setswitchinterval(1e-5)
    random = np.random.default_rng(0)
    lengths = [1, 2, 700, *random.integers(1, 40, 60)]
    normal = random.normal(size=(sum(lengths), 3))
    values = normal.copy()
    X = SetCollection(values, np.cumsum([0, *lengths]))
    labels = np.arange(len(lengths)) % 2
    small = {"n_supports": 5, "n_components": 8, "random_state": 0, "max_iter": 30}
    unseeded = OTKEmbedding(5, n_components=8, max_iter=30)
    models = [
        OTKEmbedding(**small, n_jobs=2),
        OTKEmbedding(**small, kernel="homogeneous", filter_size=3, position="gaussian"),
        OTKEmbedding(**small, relaxation=0.3),
        OTKEmbedding(**small, support_relaxation=0.3),
        OTKEmbedding(**small, solver="softmax"),
        OTKEmbedding(**small, solver="emd"),
        OTKEmbedding(**small, epsilon=1e-4),
        ConvolutionalKernelLayer(8, filter_size=3, subsampling=2, random_state=0),
        OTKClassifier(unseeded, max_epochs=2, optimizer="adam", random_state=0),
    ]
    models = [model.fit(X, labels) for model in models]
    expected = [output_of(model, X) for model in models]
    states = [normal, 1e300 * normal, np.full_like(normal, np.nan), 0 * normal, -normal]
    states += [np.full_like(normal, -np.inf), np.full_like(normal, 1e-310), 1e30 * normal]
    states = [state for extreme in states for state in (normal, extreme)]
    done = threading.Event()

    def change():
        while not done.is_set():
            for state in states:
                values[:] = state

    thread = threading.Thread(target=change)
    thread.start()
    outcomes = collections.Counter()
    try:
        for i in range(n_rounds):
            for model in models:
                calls = [model.transform, lambda X, m=model: clone(m).fit(X, labels)]
                calls += [model.transport_plan] if hasattr(model, "transport_plan") else []
                for call in calls[: 3 if i % 5 == 0 else 1]:
                    try:
                        out = call(X)
                    except Exception as error:
                        outcomes[type(error).__name__] += 1
                        continue
                    outcomes["returned"] += 1
                    if call == model.transform:
                        out = out.values if isinstance(out, SetCollection) else out
                        assert np.isfinite(out).all()
    finally:
        done.set()
        thread.join()
    values[:] = normal
    for model, before in zip(models, expected):
        assert_array_equal(output_of(model, X), before)
    print(dict(outcomes))


@pytest.mark.slow
def test_values_may_change_in_the_middle_of_a_call():
    """No crash, and no estimator that is broken afterwards."""
    assert "returned" in run_in_process("test_safety.use_values_that_change", 300)


@pytest.mark.slow
def test_no_index_leaves_an_array():
    """All kernels, on all branches, with bounds checking on, against plain results."""
    with tempfile.TemporaryDirectory() as folder:
        checking = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": folder, "NUMBA_OPT": "1"}
        run_in_process("kernel_tour.run", 400, **checking)


# What modules of the package may import, but for each other.
IMPORTS = {
    "__future__", "anndata", "awkward", "collections", "concurrent", "contextlib",
    "contextvars", "copy", "dataclasses", "datetime", "fractions", "functools", "gzip",
    "h5py", "hashlib", "importlib", "inspect", "itertools", "joblib", "json", "math",
    "matplotlib", "mlxtend", "modlamp", "numba", "numbers", "numpy", "operator", "os",
    "ot", "otk_sklearn", "pandas", "pathlib", "platform", "polars", "pyarrow", "re",
    "scipy", "shlex", "sklearn", "sktime", "struct", "sys", "threading", "threadpoolctl",
    "time", "torch", "torch_geometric", "typing", "uuid", "warnings", "weakref",
    "zlib",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "open", "load", "loads", "system", "popen",
    "import_module", "urlopen", "fromfile", "memmap", "CDLL", "carray", "farray",
    "fork", "forkpty", "execv", "execve", "execvp", "posix_spawn", "spawnv", "startfile",
}  # fmt: skip


# They write and read files that users name.
MAY_OPEN = {"_destinations.py", "_data_files.py"}


def called_and_imported(tree):
    """Names of what is called, and of the packages that are imported."""
    called, imported, aliases = set(), set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            called.add(getattr(function, "id", getattr(function, "attr", None)))
        elif isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
            called |= {alias.name for alias in node.names}  # by whatever name, later on
            aliases |= {alias.asname: alias.name for alias in node.names}
    return {aliases.get(name, name) for name in called}, imported


def test_the_package_runs_no_strings_reads_no_pickles_and_opens_nothing():
    modules = sorted(PACKAGE.rglob("*.py"))
    assert {module.parent.name for module in modules} >= PACKAGES
    for module in modules:
        called, imported = called_and_imported(ast.parse(module.read_text()))
        may_call = {"open"} if module.name in MAY_OPEN else set()
        assert not called & FORBIDDEN_CALLS - may_call, module.name
        assert imported <= IMPORTS, module.name
    called, imported = called_and_imported(
        ast.parse("import pickle, os.path as p\nfrom ast import literal_eval\n(np).load(f)")
    )
    assert called == {"literal_eval", "load"}
    assert imported == {"pickle", "os", "ast"}


def use_without_network():
    """Fit and transform while sockets, pickles and processes end the process."""
    forbidden = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "pickle.")
    forbidden += (
        "os.posix_spawn",
        "urllib.",
        "http.",
        "ftplib.",
        "smtplib.",
        "webbrowser.",
    )
    seen = set()

    def audit(event, args):
        seen.add(event)
        if watching and event.startswith(forbidden):
            raise AssertionError(f"{event}: {args}")
        if watching and event in ("exec", "compile"):
            source = args[0].co_filename if event == "exec" else args[1]
            assert PACKAGE not in Path(str(source)).parents, (event, source)

    X = SetCollection(integers(), OFFSETS)
    models = [make() for make in ESTIMATORS.values()]
    for model in models:  # compiled functions may come out of numba's cache: pickles
        model.fit(X, LABELS).transform(X)
    watching = True
    sys.addaudithook(audit)
    for model in models:
        model.set_params(**{"n_jobs": 2} if "n_jobs" in model.get_params() else {})
        model.fit(X, LABELS).transform(X)
    with pytest.raises(AssertionError, match="socket"):
        socket.socket()
    with pytest.raises(AssertionError, match="pickle"):
        pickle.loads(pickle.dumps(OTKEmbedding()))
    with pytest.raises(AssertionError, match="subprocess"):
        subprocess.run(["true"])
    watching = False
    assert "pickle.find_class" in seen


def test_fit_and_transform_use_no_network_no_pickle_and_no_process():
    run_in_process("test_safety.use_without_network", 200)
