"""What `test_processes.py` runs, each in a process of its own.

`python process_cases.py NAME ARGUMENTS` calls the function of that name.
"""

import copy
import importlib.util
import itertools
import os
import pickle
import resource
import shutil
import signal
import sys
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import joblib
import numba
import numpy as np
import sklearn
from helpers import make_sets
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
)
from otk_sklearn._utils.thread_limits import single_threaded

N_SETS = 30
TARGETS = np.arange(N_SETS) % 2
DATA = make_sets(N_SETS, 3, 20), [3 * x + 1 for x in make_sets(N_SETS, 3, 20, seed=1)]
SMALL = {"n_components": 8, "random_state": 0}
TWO = OTKEmbedding(2, n_components=8)

# By name: the estimator, and what is called of it once it is fitted.
ESTIMATORS = {
    "embedding": (
        OTKEmbedding(3, anchors="random", references="random", **SMALL),
        ["transform", "kernel_matrix", "transport_plan", "sinkhorn_diagnostics"],
    ),
    "classifier": (
        OTKClassifier(TWO, alpha=1.0, max_epochs=2, random_state=0),
        ["transform", "predict", "predict_proba", "decision_function"],
    ),
    "regressor": (
        OTKRegressor(TWO, alpha=1.0, max_epochs=2, random_state=0),
        ["transform", "predict"],
    ),
    "elements": (ElementTransformer(StandardScaler()), ["transform"]),
    "layer": (
        ConvolutionalKernelLayer(8, filter_size=2, anchors="random", random_state=0),
        ["transform"],
    ),
}


def limits():
    return [library["num_threads"] for library in threadpool_info()]


def bits(result):
    """What two results share if they are the same to the last bit."""
    return pickle.dumps(getattr(result, "values", result))


def expect_no_threading_layer():
    """numba's own threads abort the process when two of Python's meet in them."""
    try:
        layer = numba.threading_layer()
    except ValueError:
        return
    raise AssertionError(f"numba uses the threading layer {layer}")


# --- moments ---

_THREADS = ThreadPoolExecutor()


def at_moment(moment, function, action):
    """Call `function`, and `action` in the midst of it, as a thread or interrupt would.

    Python looks for interrupts, and lets other threads go on, where a function is entered
    and where one of C returns. Moments are counted over these.

    Returns
    -------
    result : object
    n_moments : int
    """
    n_moments = 0

    def count(frame, event, arg):
        nonlocal n_moments
        if event not in ("call", "c_return"):
            return
        n_moments += 1
        if n_moments == moment + 1:
            sys.setprofile(None)
            action()

    sys.setprofile(count)
    try:
        return function(), n_moments
    finally:
        sys.setprofile(None)


def in_a_thread(function, futures):
    """What calls it in a thread, and goes on if that waits for a lock."""

    def call():
        futures.append(_THREADS.submit(function))
        wait(futures, timeout=0.2)

    return call


def moments_of(make_call, n_wanted):
    """Moments spread over a call, and all of the first and the last.

    There, attributes are read, and fits are published.
    """
    make_call()()
    _, n_moments = at_moment(np.inf, make_call(), None)
    every, ends = np.arange(n_moments), 30
    spread = np.linspace(0, n_moments - 1, n_wanted).astype(int)
    return sorted({*every[:ends], *spread, *every[-ends:]})


def a_fit_amid_calls(name, n_wanted):
    """A call during which another fit takes place gives what one of both would give."""
    template, methods = ESTIMATORS[name]
    first, second = (sklearn.clone(template).fit(X, TARGETS) for X in DATA)
    n_cases = 0
    for method in methods:
        expected = {bits(getattr(model, method)(DATA[0])) for model in (first, second)}
        assert len(expected) == 2 or method == "predict"
        make_call = partial(partial, getattr(first, method), DATA[0])
        for moment in moments_of(make_call, int(n_wanted)):
            model = copy.copy(first)
            call = partial(getattr(model, method), DATA[0])
            fits = []
            fit = in_a_thread(partial(model.fit, DATA[1], TARGETS), fits)
            found, _ = at_moment(moment, call, fit)
            assert bits(found) in expected, (method, moment)
            assert all(future.result(60) is model for future in fits)
            n_cases += len(fits)
    print(f"{n_cases} moments")


def a_call_amid_fits(name, n_wanted):
    """A call that takes place during another fit finds the old one, or all of the new."""
    template, (method, *_) = ESTIMATORS[name]
    first, second = (sklearn.clone(template).fit(X, TARGETS) for X in DATA)
    expected = {bits(getattr(model, method)(DATA[0])) for model in (first, second)}
    n_cases = 0
    moments = moments_of(
        lambda: partial(copy.copy(first).fit, DATA[1], TARGETS), int(n_wanted)
    )
    for moment in moments:
        model, found = copy.copy(first), []
        call = in_a_thread(partial(getattr(model, method), DATA[0]), found)
        at_moment(moment, partial(model.fit, DATA[1], TARGETS), call)
        assert all(bits(future.result(60)) in expected for future in found), moment
        n_cases += len(found)
        assert bits(vars(model)) == bits(vars(second))
    assert n_cases > 0.8 * len(moments)
    print(f"{n_cases} moments")


# --- interrupts ---


def interrupts(name, method, n_jobs, n_wanted):
    """After an interrupt, the estimator is as it was or all as it is to be."""
    model, new, call = _interruptible(name, method, int(n_jobs))

    def interrupt():
        raise KeyboardInterrupt

    moments = moments_of(lambda: partial(call, copy.copy(model)), int(n_wanted))
    n_interrupts = 0
    for moment in moments:
        interrupted, before = copy.copy(model), limits()
        try:
            at_moment(moment, partial(call, interrupted), interrupt)
        except KeyboardInterrupt:
            n_interrupts += 1
        assert limits() == before, moment
        _expect_whole(interrupted, model, new)
    assert n_interrupts > 0.5 * len(moments)  # Python drops those in finalizers
    print(f"{n_interrupts} interrupts")


def signals(name, method, n_jobs, n_wanted):
    """The same with real signals, at whatever moment they come."""
    model, new, call = _interruptible(name, method, int(n_jobs))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    delays = np.random.default_rng(0).uniform(1e-5, 1, int(n_wanted)) ** 2
    # Before, as an interrupt while numba loads or compiles may crash llvmlite.
    call(copy.copy(model))
    n_interrupts, before = 0, limits()
    for delay in delays:
        interrupted = copy.copy(model)
        try:
            signal.setitimer(signal.ITIMER_REAL, delay * 0.05)
            while True:
                call(interrupted)
        except KeyboardInterrupt:
            n_interrupts += 1
        assert limits() == before
        _expect_whole(interrupted, model, new)
    assert n_interrupts == len(delays)
    print(f"{n_interrupts} interrupts")


def _interruptible(name, method, n_jobs):
    """A fitted estimator, what another fit makes of it, and the call to interrupt."""
    template, _ = ESTIMATORS[name]
    if hasattr(template, "n_jobs"):
        template.set_params(n_jobs=n_jobs)
    model = sklearn.clone(template).fit(DATA[0], TARGETS)
    new = copy.copy(model)
    if "fit" not in method:
        return model, new, lambda model: getattr(model, method)(DATA[1])
    getattr(new, method)(DATA[1], TARGETS)
    return model, new, lambda model: getattr(model, method)(DATA[1], TARGETS)


def _expect_whole(model, old, new):
    """The attributes are all of the one or all of the other."""
    found = vars(model)
    if all(found.get(name) is value for name, value in vars(old).items()):
        assert len(found) == len(vars(old))
    else:
        assert pickle.dumps(found) == pickle.dumps(vars(new))


# --- threads, joblib, forks ---


def threads(name, n_fits):
    """Four threads fit one estimator to this and that, and four more make use of it."""
    template, methods = ESTIMATORS[name]
    fitted = [sklearn.clone(template).fit(X, TARGETS) for X in DATA]
    expected = {
        method: {bits(getattr(model, method)(DATA[0])) for model in fitted}
        for method in methods
    }
    shared = sklearn.clone(fitted[0]).fit(DATA[0], TARGETS)
    before, n_calls = limits(), itertools.count()
    sys.setswitchinterval(1e-5)

    def fit(first):
        for i in range(int(n_fits)):
            shared.fit(DATA[(first + i) % 2], TARGETS)

    def use(fits):
        while not all(future.done() for future in fits):
            for method in methods:
                assert bits(getattr(shared, method)(DATA[0])) in expected[method]
                next(n_calls)

    with ThreadPoolExecutor(8) as pool:
        fits = [pool.submit(fit, first) for first in range(4)]
        users = [pool.submit(use, fits) for _ in range(4)]
    for future in fits + users:
        future.result()
    assert bits(vars(shared)) in {bits(vars(model)) for model in fitted}
    assert limits() == before
    expect_no_threading_layer()
    print(f"{n_calls} calls")


def joblib_backend(backend):
    """Backends outside, around estimators with threads of their own; and inside."""
    model = OTKEmbedding(3, n_jobs=2, **SMALL).fit(DATA[0])
    expected = [model.transform(X) for X in DATA]
    before = limits()
    with joblib.parallel_config(backend, n_jobs=2):
        inside = sklearn.clone(model).set_params(n_jobs=None).fit(DATA[0])
        for X, embeddings in zip(DATA, expected):
            assert_array_equal(inside.transform(X), embeddings)
            assert_array_equal(model.transform(X), embeddings)
    run = joblib.Parallel(2, backend=backend)
    for _ in range(2):
        found = run(joblib.delayed(model.transform)(X) for X in DATA)
        assert_array_equal(found, expected)
        refitted = run(
            joblib.delayed(sklearn.clone(model).fit)(X) for X in [DATA[0], DATA[0]]
        )
        for other in refitted:
            assert_array_equal(other.transform(DATA[1]), expected[1])
    assert limits() == before
    expect_no_threading_layer()


def nested_search():
    """A search with two processes, of which each fits with two threads."""
    y, grid = TARGETS, {"otkembedding__epsilon": [0.1, 1.0]}
    X = [x + i for x, i in zip(DATA[0], y)]
    scores = []
    for n_jobs in [1, 2]:
        model = make_pipeline(
            ElementTransformer(StandardScaler()),
            OTKEmbedding(3, n_jobs=n_jobs, **SMALL),
            LogisticRegression(),
        )
        inner = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs)
        outer = GridSearchCV(
            inner, {"estimator__otkembedding__n_supports": [2, 3]}, cv=2, n_jobs=n_jobs
        )
        scores.append(outer.fit(X, y).cv_results_["mean_test_score"])
    assert_array_equal(*scores)


def fork_after_fit():
    model = OTKEmbedding(3, **SMALL).fit(DATA[0])
    expected = model.transform(DATA[1])

    def child():
        for n_jobs in [1, 2]:
            model.set_params(n_jobs=n_jobs)
            assert_array_equal(model.transform(DATA[1]), expected)
            assert_array_equal(model.fit(DATA[0]).transform(DATA[1]), expected)
        expect_no_threading_layer()

    for n_jobs in [1, 2]:
        model.set_params(n_jobs=n_jobs).transform(DATA[1])
        _fork(child)


def fork_amid_transforms(n_forks):
    """Other threads hold BLAS to one thread; the child has neither them nor the limit."""
    model = OTKEmbedding(3, n_jobs=2, **SMALL).fit(DATA[0])
    expected, before = model.transform(DATA[1]), limits()
    stop = threading.Event()

    def transform():
        while not stop.is_set():
            assert_array_equal(model.transform(DATA[1]), expected)

    def limit():
        while not stop.is_set():
            with single_threaded():
                pass

    def child():
        assert limits() == before
        for n_jobs in [1, 2]:
            model.set_params(n_jobs=n_jobs)
            assert_array_equal(model.transform(DATA[1]), expected)
        assert limits() == before

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(transform), pool.submit(limit)]
        try:
            for _ in range(int(n_forks)):
                _fork(child)
        finally:
            stop.set()
    for other in others:
        other.result()
    assert limits() == before


def fork_while_holding_the_limit():
    """The child of the thread that holds the limit goes on holding it."""
    before = limits()
    with single_threaded():
        held = limits()
        inside = threading.Event()
        leave = threading.Event()

        def hold():
            with single_threaded():
                inside.set()
                leave.wait(60)

        other = threading.Thread(target=hold)
        other.start()
        inside.wait(60)

        def child():
            assert limits() == held

        _fork(child)
        if (pid := os.fork()) == 0:
            signal.alarm(60)
        else:
            leave.set()
            other.join(60)
    if pid == 0:
        os._exit(int(limits() != before))
    assert os.waitpid(pid, 0)[1] == 0
    assert limits() == before


def _fork(child):
    """Call a function in the child of a fork, for a minute at most."""
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
        return
    signal.alarm(60)
    try:
        child()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


# --- numba's cache ---


def use(*dtypes):
    """Print embeddings, in each of the precisions."""
    for dtype in dtypes:
        X = [x.astype(dtype) for x in DATA[0]]
        model = OTKEmbedding(3, kernel="linear", random_state=0)
        print(model.fit_transform(X).tobytes().hex())


def cache_faults(folder):
    """Compiled functions give what they should, whatever happens to their cache."""
    folder = Path(folder)
    source = folder / "compiled.py"
    source.write_text(
        "from otk_sklearn._compiled.primitives import jit\n\n\n"
        "@jit\ndef total(x):\n"
        "    s = x.dtype.type(0)\n    for v in x:\n        s += v\n    return s\n\n\n"
        "@jit\ndef twice_total(x):\n    return total(x) + total(x)\n"
    )
    numba.config.CACHE_DIR = str(folder / "good")
    expect_result(load(source), cached=False)
    expect_result(load(source), cached=True)
    for name, spoil in FAULTS.items():
        numba.config.CACHE_DIR = str(folder / name)
        shutil.copytree(folder / "good", folder / name)
        spoil([*(folder / name).rglob("*.nb?")])
        for _ in range(2):
            expect_result(load(source), cached=None)
        expect_result(load(source), cached=True)  # it has been mended
    for name, spoil in LOSSES.items():
        numba.config.CACHE_DIR = str(folder / name)
        module = load(source)
        with spoil(folder / name) or warnings.catch_warnings():
            expect_result(module, cached=False)
            expect_result(module, cached=False)
    print(f"{len(FAULTS) + len(LOSSES)} faults")


def load(source):
    """Import a file anew, as another process would."""
    spec = importlib.util.spec_from_file_location("compiled", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expect_result(module, cached):
    for dtype in [np.float64, np.int64, np.float32]:
        assert module.twice_total(np.arange(5, dtype=dtype)) == 20
        assert module.total(np.arange(5, dtype=dtype)) == 10
    if cached is not None:
        assert bool(module.twice_total.stats.cache_hits) == cached
        assert bool(module.twice_total.stats.cache_misses) != cached


def _cut(ending, kept):
    """Cut files of a kind to a part of their length."""

    def spoil(files):
        for file in files:
            if file.suffix == ending:
                os.truncate(file, int(kept * file.stat().st_size))

    return spoil


def _overwrite(ending):
    def spoil(files):
        for file in files:
            if file.suffix == ending:
                file.write_bytes(b"nonsense" * 100)

    return spoil


def _remove(files):
    for file in files:
        if file.suffix == ".nbc":
            file.unlink()


def _swap(files):
    """What two processes leave that begin a cache at once, for different types."""
    for file in files:
        if file.name.endswith(".1.nbc"):
            other = file.with_name(file.name.replace(".1.nbc", ".2.nbc"))
            first, second = file.read_bytes(), other.read_bytes()
            file.write_bytes(second)
            other.write_bytes(first)


class _FilesAreFull:
    """Nothing can be written to any file."""

    def __init__(self, folder):
        pass

    def __enter__(self):
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._before[1]))

    def __exit__(self, *error):
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


def _replace_by_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("")


FAULTS = {
    "index-empty": _cut(".nbi", 0),
    "index-cut": _cut(".nbi", 0.5),
    "index-nonsense": _overwrite(".nbi"),
    "data-empty": _cut(".nbc", 0),
    "data-cut": _cut(".nbc", 0.5),
    "data-nonsense": _overwrite(".nbc"),
    "data-gone": _remove,
    "data-swapped": _swap,
}
# After import.
LOSSES = {
    "folder-gone": shutil.rmtree,
    "folder-a-file": _replace_by_a_file,
    "disk-full": _FilesAreFull,
}


if __name__ == "__main__":
    # Several cases in a row, where compiling or importing takes longer than they do.
    for case in " ".join(sys.argv[1:]).split(" , "):
        called, *arguments = case.split()
        globals()[called](*arguments)
