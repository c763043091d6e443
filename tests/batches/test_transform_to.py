"""`transform_to`: results of batches of sets in files and arrays, complete or absent."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import make_sets
from numpy.testing import assert_array_equal
from pyarrow import parquet
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from otk_sklearn import OTKEmbedding, SetCollection, SetPooling
from otk_sklearn._utils import progress
from otk_sklearn.batches import transform_to

SETS = SetCollection.from_sets(make_sets(n_features=3))
NAMED = SetCollection(SETS.values, SETS.offsets, names=[f"set {i}" for i in range(12)])
EMBEDDING = OTKEmbedding(2, n_components=4, random_state=0).fit(SETS)
EXPECTED = np.concatenate([EMBEDDING.transform(SETS[i : i + 5]) for i in (0, 5, 10)])


def batches(sets=SETS):
    yield sets[:5]
    yield sets[5:5]
    yield sets[5:10]
    yield sets[10:]


def broken():
    yield from batches()
    raise RuntimeError("the connection is lost")


class Growing:
    """An array of zarr or h5py, as far as it is used here."""

    def __init__(self, width, n_rows=0):
        self.values = np.zeros((n_rows, width))

    @property
    def shape(self):
        return self.values.shape

    def resize(self, shape):
        n = min(len(self.values), shape[0])
        values = np.zeros(shape)
        values[:n] = self.values[:n]
        self.values = values

    def __setitem__(self, rows, values):
        assert rows.stop <= len(self.values)
        self.values[rows] = values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_npy_files(tmp_path, dtype):
    path = tmp_path / "embeddings.npy"
    for name in (path, str(path)):  # the second time, it is replaced
        assert transform_to(EMBEDDING, batches(SETS.astype(dtype)), name) == 12
        found = np.load(path, mmap_mode="r")
        assert found.dtype == dtype
        assert found.flags.c_contiguous
        assert_array_equal(found[:5], EMBEDDING.transform(SETS[:5].astype(dtype)))
    assert [*tmp_path.iterdir()] == [path]


def test_npy_files_of_predictions(tmp_path):
    y = np.array(["a", "bcd"] * 6)
    model = make_pipeline(SetPooling(), LogisticRegression()).fit(SETS, y)
    path = tmp_path / "classes.npy"
    transform_to(model, batches(), path, method="predict")
    assert_array_equal(np.load(path), model.predict(SETS))
    transform_to(model, batches(), path, method="predict_proba")
    assert_array_equal(np.load(path), model.predict_proba(SETS))
    model.fit(SETS, y.astype(object))
    with pytest.raises(TypeError, match="Python objects, .* expected a .parquet file"):
        transform_to(model, batches(), path, method="predict")
    assert_array_equal(np.load(path), model.predict_proba(SETS))  # still the old one


def test_npy_files_have_room_for_any_number_of_rows(tmp_path):
    """The header is written again at the end, in the same place."""
    pooling, path = SetPooling().fit(SETS), tmp_path / "many.npy"
    many = SetCollection(np.arange(36000.0).reshape(-1, 3), np.arange(12001))
    transform_to(pooling, (many[i : i + 1000] for i in range(0, 12000, 1000)), path)
    assert_array_equal(np.load(path), many.values)


def test_parquet_files(tmp_path):
    path = tmp_path / "embeddings.parquet"
    transform_to(EMBEDDING, batches(NAMED), path)
    table = parquet.read_table(path)
    assert table.schema.names == ["name", "embedding"]
    assert table["name"].to_pylist() == NAMED.names.tolist()
    found = table["embedding"].combine_chunks().flatten().to_numpy()
    assert_array_equal(found.reshape(12, -1), EXPECTED)
    transform_to(EMBEDDING, batches(), path)
    assert parquet.read_schema(path).names == ["embedding"]
    with pytest.raises(ValueError, match="expected names in all, or in none"):
        transform_to(EMBEDDING, [NAMED[:3], SETS[3:]], path)
    assert [*tmp_path.iterdir()] == [path]


def test_arrays_with_a_row_for_each_set(tmp_path):
    mapped = np.memmap(tmp_path / "map", mode="w+", shape=EXPECTED.shape)
    for array in (np.empty(EXPECTED.shape), mapped.astype(float)):
        assert transform_to(EMBEDDING, batches(), array) == 12
        assert_array_equal(array, EXPECTED)
    short, long = np.empty((9, 8)), np.empty((14, 8))
    with pytest.raises(ValueError, match=r"\(9, 8\), and there are at least 10 sets"):
        transform_to(EMBEDDING, batches(), short)
    with pytest.raises(ValueError, match=r"are 12 sets, .* expected destination\[:12\]"):
        transform_to(EMBEDDING, batches(), long)
    assert_array_equal(long[:12], EXPECTED)
    with pytest.raises(ValueError, match=r"\(12, 7\); expected \(n_sets, 8\)"):
        transform_to(EMBEDDING, batches(), np.empty((12, 7)))


@pytest.mark.parametrize("n_rows", [0, 7, 20])
def test_arrays_that_grow_have_as_many_rows_in_the_end(n_rows):
    array = Growing(8, n_rows)
    transform_to(EMBEDDING, batches(), array)
    assert_array_equal(array.values, EXPECTED)


def test_arrays_of_h5py(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "file.h5", "w") as file:
        array = file.create_dataset("x", (0, 8), "f4", maxshape=(None, 8), chunks=(4, 8))
        transform_to(EMBEDDING, batches(), array)
        assert_array_equal(array[:], EXPECTED.astype(array.dtype))


def test_arrays_of_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.open(
        str(tmp_path / "x.zarr"), mode="w", shape=(0, 8), chunks=(4, 8), dtype="f8"
    )
    transform_to(EMBEDDING, batches(), array)
    assert_array_equal(array[:], EXPECTED)


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_errors_leave_nothing_behind(tmp_path, name):
    with pytest.raises(RuntimeError, match="the connection is lost"):
        transform_to(EMBEDDING, broken(), tmp_path / name)
    wrong = SETS.values.copy()
    wrong[-1, 0] = np.inf
    given = batches(SetCollection(wrong, SETS.offsets))
    with pytest.raises(ValueError, match="infinity") as error:
        transform_to(EMBEDDING, given, tmp_path / name)
    assert error.value.__notes__ == ["In batch 3, after 10 sets."]
    with pytest.raises(ValueError, match="batches has no sets; expected at least one"):
        transform_to(EMBEDDING, [SETS[:0]], tmp_path / name)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_dtypes_that_change_are_refused(tmp_path, name):
    mixed = [SETS[:3], SETS[3:].astype(np.float32)]
    expected = r"are float32 of shape \(9, 8\), those of the first batch float64"
    with pytest.raises(ValueError, match=expected):
        transform_to(EMBEDDING, mixed, tmp_path / name)


KILLED = """
import os, signal, sys
import numpy as np
from otk_sklearn import SetCollection, SetPooling
from otk_sklearn.batches import transform_to

sets = SetCollection(np.ones((1000, 3)), np.arange(1001))

def batches():
    yield from [sets] * 3
    os.kill(os.getpid(), signal.SIGKILL)

transform_to(SetPooling().fit(sets), batches(), sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.npy", "x.parquet"])
def test_a_process_that_is_killed_leaves_no_file(tmp_path, name):
    path = tmp_path / name
    command = [sys.executable, "-c", KILLED, path]
    assert subprocess.run(command, timeout=200).returncode == -9
    assert not path.exists()
    assert [*tmp_path.glob(f".{name}.*.incomplete")]
    transform_to(EMBEDDING, batches(), path)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (SETS, r"batches is a SetCollection; expected an iterable of them: \[batches\]"),
        ("folder", "batches is str; expected an iterable of sets"),
        ([(SETS, None)], r"a tuple at 0; expected sets: \(sets for sets, y in batches\)"),
    ],
)
def test_what_are_no_batches(tmp_path, given, message):
    with pytest.raises(TypeError, match=message):
        transform_to(EMBEDDING, given, tmp_path / "x.npy")


def test_what_is_no_destination(tmp_path):
    with pytest.raises(ValueError, match=r"expected .* endings \.npy, \.parquet, or an"):
        transform_to(EMBEDDING, batches(), tmp_path / "x.csv")
    with pytest.raises(TypeError, match="destination is list; expected the name of a file"):
        transform_to(EMBEDDING, batches(), [])
    with pytest.raises(ValueError, match="method is 'predict', which OTKEmbedding"):
        transform_to(EMBEDDING, batches(), tmp_path / "x.npy", method="predict")


def test_progress(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PRINT_INTERVAL", 0.0)
    transform_to(EMBEDDING, batches(), tmp_path / "x.npy", verbose=True)
    lines = capsys.readouterr().out.splitlines()
    counts = [line.rpartition(",")[0] for line in lines]
    assert counts == [f"[transform_to] {n} sets" for n in (5, 10, 12)]
    transform_to(EMBEDDING, batches(), np.empty((12, 8)), verbose=True)
    assert "[transform_to] 41 % of 12 sets" in capsys.readouterr().out
    transform_to(EMBEDDING, batches(), tmp_path / "x.npy")
    assert not capsys.readouterr().out


def test_names_of_any_type_are_a_column(tmp_path):
    path = tmp_path / "embeddings.parquet"
    names = [(f"patient {i}", i) for i in range(12)]
    transform_to(EMBEDDING, [SetCollection(SETS.values, SETS.offsets, names=names)], path)
    column = parquet.read_table(path)["name"].to_pylist()
    assert column == [{"0": patient, "1": i} for patient, i in names]
    mixed = SetCollection(SETS.values, SETS.offsets, names=["a", *range(11)])
    with pytest.raises(TypeError, match="names of sets, such as 'a', are of several types"):
        transform_to(EMBEDDING, [mixed], path)
    numbers = SetCollection(SETS.values, SETS.offsets, names=range(12))
    expected = "names of sets are (large_)?string, and int64 in the batches before"
    with pytest.raises(ValueError, match=expected):
        transform_to(EMBEDDING, [numbers[:6], NAMED[6:]], path)
    assert parquet.read_table(path)["name"].to_pylist() == column


def test_arrays_that_can_not_hold_the_results():
    with pytest.raises(ValueError, match="destination is int64, which can't hold results"):
        transform_to(EMBEDDING, batches(), np.zeros(EXPECTED.shape, np.int64))
    single = np.zeros(EXPECTED.shape, np.float32)
    assert transform_to(EMBEDDING, batches(), single) == 12
    assert_array_equal(single, EXPECTED.astype(np.float32))
    fixed = Growing(EXPECTED.shape[1], n_rows=13)
    fixed.chunks = None  # as datasets of h5py that have a fixed shape
    with pytest.raises(ValueError, match=r"there are 12 sets.*expected destination\[:12\]"):
        transform_to(EMBEDDING, batches(), fixed)
    assert_array_equal(fixed.values[:12], EXPECTED)


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "new" / "embeddings.npy"
    expected = r"in a folder that is missing; .* Path\('.*new'\)\.mkdir\(parents=True\)"
    with pytest.raises(FileNotFoundError, match=expected):
        transform_to(EMBEDDING, batches(), path)


def test_a_pipeline_with_a_classifier_names_its_methods(tmp_path):
    model = make_pipeline(SetPooling(), LogisticRegression()).fit(SETS, [0, 1] * 6)
    with pytest.raises(ValueError, match="does not have; expected one of method='predict'"):
        transform_to(model, batches(), tmp_path / "classes.npy")
