"""Chunks, and thread limits that are given back."""

import threading
import time

import joblib
import numpy as np
import pytest
import sklearn
from joblib.parallel import ThreadingBackend
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

import otk_sklearn._utils.chunks
from otk_sklearn import OTKEmbedding
from otk_sklearn._utils.chunks import map_chunks
from otk_sklearn._utils.thread_limits import _controller, single_threaded


@pytest.fixture(autouse=True)
def two_threads():
    """A limit other than 1, wherever the tests run."""
    with threadpool_limits(2):
        yield


def limits():
    """Those of the libraries that are ours to limit: others may have been loaded since."""
    ours = {
        library.filepath
        for user_api in ["blas", "openmp"]
        for library in _controller(user_api).lib_controllers
    }
    limits = [
        library["num_threads"]
        for library in threadpool_info()
        if library["filepath"] in ours
    ]
    assert limits
    return limits


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("max_rows", [1, 7, 10**6])
def test_chunks_cover_the_sets_in_order(max_rows, n_jobs):
    lengths = np.random.default_rng(0).integers(1, 12, 100)
    chunks = map_chunks(
        lambda chunk: chunk, lengths, rows_per_set=2, max_rows=max_rows, n_jobs=n_jobs
    )
    covered = [i for chunk in chunks for i in range(chunk.start, chunk.stop)]
    assert covered == list(range(100))
    for chunk in chunks:
        rows = (lengths[chunk] + 2).sum()
        assert rows <= min(max_rows, 4096) or chunk.stop == chunk.start + 1


def test_chunks_are_even():
    """As many for each processor, and none left alone with a small rest."""
    lengths = np.random.default_rng(0).integers(5, 31, 1000)
    chunks = map_chunks(
        lambda chunk: chunk, lengths, rows_per_set=0, max_rows=4096, n_jobs=1
    )
    rows = [lengths[chunk].sum() for chunk in chunks]
    assert len(rows) % joblib.cpu_count() == 0
    assert max(rows) - min(rows) <= 2 * 31


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_nothing_is_begun_after_an_error(n_jobs):
    begun = []

    def fail(chunk):
        begun.append(chunk)
        raise KeyError("chunk")

    before = limits()
    with pytest.raises(KeyError):
        map_chunks(fail, np.ones(5000, int), rows_per_set=0, max_rows=1, n_jobs=n_jobs)
    assert len(begun) <= 2 * n_jobs
    assert limits() == before


def test_limits_are_given_back():
    before = limits()
    with single_threaded():
        assert set(limits()) == {1}
    assert limits() == before
    with pytest.raises(KeyError), single_threaded():
        raise KeyError
    assert limits() == before


def test_limits_are_given_back_when_the_outer_context_ends_first():
    """As after an interrupt at the end of the inner one, which is closed when freed."""
    before = limits()
    outer, inner = single_threaded(), single_threaded()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert set(limits()) == {1}
    inner.__exit__(None, None, None)
    assert limits() == before


def test_limits_that_overlap_in_two_threads_are_given_back():
    """The first to come is the first to leave: the second must not keep its limit."""
    before = limits()
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    stay = threading.Event()

    def first():
        with single_threaded():
            first_in.set()
            second_in.wait(10)
        first_out.set()
        stay.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    first_in.wait(10)
    with single_threaded():
        second_in.set()
        first_out.wait(10)
        assert set(limits()) == {1}
    assert limits() == before
    with single_threaded():
        assert set(limits()) == {1}
    assert limits() == before
    stay.set()
    thread.join(10)


def test_bits_do_not_depend_on_threads_or_on_where_arrays_lie():
    """Extrapolated iterations, several references, windows; the log domain now and then."""
    random = np.random.default_rng(0)
    lengths = random.integers(1, 60, size=800)
    X = [random.normal(size=(n, 6)) * 10 ** random.uniform(-2, 1) for n in lengths]
    model = OTKEmbedding(
        6, n_components=30, n_references=2, kernel="homogeneous", filter_size=3
    )
    expected = model.set_params(random_state=0).fit(X[:200]).transform(X)
    model.set_params(n_jobs=2)
    for _ in range(20):
        assert_array_equal(model.transform(X), expected)


def test_threads_keep_to_the_configuration():
    with sklearn.config_context(working_memory=7):
        found = map_chunks(
            lambda chunk: sklearn.get_config()["working_memory"],
            np.full(8, 1000),
            rows_per_set=0,
            max_rows=1000,
            n_jobs=2,
        )
    assert set(found) == {7}


class Cluster(ThreadingBackend):
    """A backend of joblib for 48 workers elsewhere, as dask's is."""

    def effective_n_jobs(self, n_jobs):
        return 48


@pytest.fixture
def cluster():
    """The name of the backend, while it is registered."""
    joblib.register_parallel_backend("cluster", Cluster)
    yield "cluster"
    del joblib.parallel.BACKENDS["cluster"]


def threads_of(n_jobs):
    """Number of threads that process many chunks."""

    def wait(chunk):
        time.sleep(0.005)
        return threading.get_ident()

    rows = np.full(200, 1000)
    return len(set(map_chunks(wait, rows, rows_per_set=0, max_rows=1000, n_jobs=n_jobs)))


@pytest.mark.parametrize("n_jobs", [None, 48, -1])
def test_there_are_no_more_threads_than_processors(n_jobs, cluster, monkeypatch):
    """However many workers a cluster has, or the caller asks for."""
    monkeypatch.setattr(otk_sklearn._utils.chunks, "n_processors", lambda: 3)
    with joblib.parallel_config(cluster):
        assert threads_of(n_jobs) == 3
    with joblib.parallel_config(n_jobs=48):
        assert threads_of(None) == 3
    assert threads_of(48) == 3
    assert threads_of(2) == 2
    assert threads_of(None) == 1
