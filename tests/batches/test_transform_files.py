"""`transform_files`: one file for each, complete or absent, and on where a run stopped."""

import pickle
import shutil
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from helpers import make_sets
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pyarrow import dataset, parquet
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from otk_sklearn import OTKEmbedding, SetCollection, SetPooling
from otk_sklearn._utils import progress
from otk_sklearn.batches import BatchTransformer, transform_files
from otk_sklearn.batches._parquet import ParquetSource, fingerprint
from otk_sklearn.batches._whole_files import written_whole

SETS = SetCollection.from_sets(make_sets(n_features=3))
EMBEDDING = OTKEmbedding(2, n_components=4, random_state=0).fit(SETS)
POOLING = SetPooling(["mean", "std"]).fit(SETS)
LISTS = BatchTransformer(POOLING, column="sets")
LONG = BatchTransformer(POOLING, groups="id", features=["x", "y", "z"])


@pytest.fixture
def source(tmp_path):
    """A folder of 4 files of lists, of which one has no rows, and one is in a folder."""
    folder = tmp_path / "sets"
    (folder / "year=2024").mkdir(parents=True)
    table = pa.table({"id": range(12), "sets": SETS.to_arrow()})
    parts = [table[:4], table[4:4], table[4:9]]
    for i, part in enumerate(parts):
        parquet.write_table(part, folder / f"part-{i}.parquet")
    parquet.write_table(table[9:], folder / "year=2024" / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    shutil.copy(folder / "part-0.parquet", folder / ".hidden.parquet")
    return folder


def contents(folder):
    """Paths and bytes of all files in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


NAMES = ["part-0.parquet", "part-1.parquet", "part-2.parquet", "year=2024/part-0.parquet"]


def test_a_file_for_each(source, tmp_path):
    target = tmp_path / "new" / "embeddings"
    files = transform_files(BatchTransformer(EMBEDDING, column="sets"), source, target)
    assert [file.relative_to(target).as_posix() for file in files] == NAMES
    assert sorted(contents(target)) == NAMES
    table = dataset.dataset(target, partitioning="hive").to_table()
    assert table["id"].to_pylist() == [*range(12)]
    assert table["year"].to_pylist() == [None] * 9 + [2024] * 3
    found = table["embedding"].combine_chunks().flatten().to_numpy()
    assert_allclose(found.reshape(12, -1), EMBEDDING.transform(SETS), rtol=1e-12)
    assert parquet.read_table(files[1]).num_rows == 0


def test_lists_of_files(source, tmp_path):
    files = [source / NAMES[3], str(source / NAMES[0])]
    written = transform_files(LISTS, files, tmp_path / "some")
    assert [parquet.read_table(file).num_rows for file in written] == [3, 4]
    assert sorted(contents(tmp_path / "some")) == [NAMES[0], NAMES[3]]
    [one] = transform_files(LISTS, source / NAMES[0], tmp_path / "one")
    assert one == tmp_path / "one" / NAMES[0]
    beside = source / ".." / "beside"
    transform_files(LISTS, source / "year=2024" / "..", beside)
    assert sorted(contents(beside)) == NAMES


class Failing(BatchTransformer):
    """Fails in the middle of the file with 5 sets."""

    error = RuntimeError

    def __call__(self, batch):
        out = super().__call__(batch)
        if len(batch) and batch["id"][0].as_py() == 6:
            raise self.error("the power is off")
        return out


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_a_run_goes_on_where_it_stopped(source, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(Failing, "error", kind)
    monkeypatch.setattr("otk_sklearn.batches._parquet._MAX_ROWS", 2)
    transform_files(LISTS, source, tmp_path / "whole")
    failing, target = Failing(POOLING, column="sets"), tmp_path / "target"
    with pytest.raises(kind, match="the power is off") as error:
        transform_files(failing, source, target)
    if kind is RuntimeError:
        assert error.value.__notes__[-1] == f"In the file '{source / NAMES[2]}'."
    assert sorted(contents(target)) == NAMES[:2]
    before = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    transform_files(LISTS, source, target)
    assert contents(target) == contents(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in before} == before


KILLED = """
import os, pickle, signal, sys
from otk_sklearn.batches import _parquet, transform_files

with open(sys.argv[1], "rb") as file:
    transformer = pickle.load(file)
read = _parquet.ParquetSource._read

def read_and_die(self, i):
    for k, batch in enumerate(read(self, i)):
        if i == 2 and k == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch

_parquet._MAX_ROWS, _parquet.ParquetSource._read = 2, read_and_die
transform_files(transformer, sys.argv[2], sys.argv[3])
"""


def test_a_process_that_is_killed_loses_one_file(source, tmp_path, monkeypatch):
    monkeypatch.setattr("otk_sklearn.batches._parquet._MAX_ROWS", 2)
    stored, target = tmp_path / "transformer", tmp_path / "target"
    stored.write_bytes(pickle.dumps(LISTS))
    command = [sys.executable, "-c", KILLED, stored, source, target]
    assert subprocess.run(command, timeout=200).returncode == -signal.SIGKILL
    assert [name for name in sorted(contents(target)) if name[0] != "."] == NAMES[:2]
    assert [*target.glob(".part-2.parquet.*.incomplete")]
    first = (target / NAMES[0]).stat().st_mtime_ns
    transform_files(LISTS, source, target)
    transform_files(LISTS, source, tmp_path / "whole")
    assert contents(target) == contents(tmp_path / "whole")
    assert (target / NAMES[0]).stat().st_mtime_ns == first


def test_files_of_other_models_and_settings_are_not_mixed(source, tmp_path):
    target = tmp_path / "target"
    transform_files(LISTS, source, target)
    before = contents(target)
    others = [
        BatchTransformer(SetPooling(["mean", "max"]).fit(SETS), column="sets"),
        BatchTransformer(POOLING, column="sets", keep=[]),
        BatchTransformer(POOLING, column="sets", output="pooled"),
    ]
    expected = r"part-0.parquet' was written by another model, or with other parameters"
    for other in others:
        with pytest.raises(ValueError, match=expected):
            transform_files(other, source, target)
    parquet.write_table(parquet.read_table(source / NAMES[0])[:2], source / NAMES[0])
    with pytest.raises(ValueError, match="written of another source; .* is removed"):
        transform_files(LISTS, source, target)
    assert contents(target) == before
    parquet.write_table(pa.table({"x": [1]}), target / NAMES[0])
    with pytest.raises(ValueError, match="part-0.parquet' was written by something else"):
        transform_files(LISTS, source, target)


IN_A_PROCESS = """
import pickle, sys
from otk_sklearn.batches._parquet import fingerprint
with open(sys.argv[1], "rb") as file:
    print(fingerprint(pickle.load(file)))
"""


@pytest.mark.slow
def test_a_model_has_the_same_fingerprint_in_another_process(tmp_path):
    model = make_pipeline(EMBEDDING, LogisticRegression()).fit(SETS, ["a", "b"] * 6)
    transformer = BatchTransformer(model, column="sets", method="predict", keep=["id"])
    path = tmp_path / "transformer"
    path.write_bytes(pickle.dumps(transformer))
    command = [sys.executable, "-c", IN_A_PROCESS, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert done.stdout.strip() == fingerprint(transformer)


def test_threads_and_messages_do_not_change_a_fingerprint():
    def made(**parameters):
        model = OTKEmbedding(2, n_components=4, random_state=0, **parameters).fit(SETS)
        return make_pipeline(model)

    same = [
        BatchTransformer(made(), column="sets", n_jobs=2),
        BatchTransformer(made(n_jobs=2), column="sets"),
        BatchTransformer(made(memory=None, verbose=0), column="sets"),
    ]
    expected = fingerprint(BatchTransformer(made(), column="sets"))
    assert {fingerprint(transformer) for transformer in same} == {expected}
    assert same[1].estimator.steps[0][1].n_jobs == 2  # still
    other = BatchTransformer(made(epsilon=0.1), column="sets")
    assert fingerprint(other) != expected


# --- long tables ---


def long_table(lengths):
    n = sum(lengths)
    values = np.random.default_rng(0).normal(size=(n, 3))
    columns = {name: values[:, j] for j, name in enumerate("xyz")}
    return pa.table({"id": np.repeat(np.arange(len(lengths)), lengths), **columns})


def write_parts(table, cuts, folder, **options):
    folder.mkdir(exist_ok=True)
    bounds = [0, *sorted(cuts), table.num_rows]
    for i, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:])):
        part = table.slice(start, stop - start)
        parquet.write_table(part, folder / f"part-{i:02}.parquet", **options)
    return bounds


def check_long(table, bounds, files):
    """Each set is in the file where it starts, and nowhere else."""
    ids = table["id"].to_numpy()
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    for file, start, stop in zip(files, bounds[:-1], bounds[1:]):
        found = parquet.read_table(file)
        here = ids[starts[(starts >= start) & (starts < stop)]]
        assert found["id"].to_pylist() == here.tolist()
    whole = pa.concat_tables([parquet.read_table(file) for file in files])
    frame = table.to_pandas()
    sets = SetCollection.from_groups(frame[["x", "y", "z"]].to_numpy(), frame["id"])
    values = whole["embedding"].combine_chunks().flatten().to_numpy()
    assert_allclose(values.reshape(-1, 6), POOLING.transform(sets), rtol=1e-12)


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    data=st.data(),
    rows=st.integers(1, 9),
)
@settings(max_examples=25, deadline=None)
def test_sets_that_go_on_in_other_files(tmp_path_factory, lengths, data, rows):
    """Over several files, files without rows, and row groups."""
    table, folder = long_table(lengths), tmp_path_factory.mktemp("files")
    cuts = data.draw(st.lists(st.integers(0, sum(lengths)), max_size=6))
    bounds = write_parts(table, cuts, folder / "sets", row_group_size=rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("otk_sklearn.batches._parquet._MAX_ROWS", rows)
        files = transform_files(LONG, folder / "sets", folder / "target")
        check_long(table, bounds, files)
        again = data.draw(st.sampled_from(files))
        before = contents(folder / "target")
        again.unlink()  # as if it had been interrupted here
        transform_files(LONG, folder / "sets", folder / "target")
        assert contents(folder / "target") == before


def test_a_set_that_goes_on_in_a_new_file_is_noticed(tmp_path):
    table = long_table([5, 5])
    source, target = tmp_path / "sets", tmp_path / "target"
    write_parts(table[:8], [4], source)
    transform_files(LONG, source, target)
    parquet.write_table(table[8:], source / "part-02.parquet")
    with pytest.raises(ValueError, match="part-01.parquet' was written of another source"):
        transform_files(LONG, source, target)
    (target / "part-01.parquet").unlink()
    check_long(table, [0, 4, 8, 10], transform_files(LONG, source, target))
    new = table.set_column(0, "id", pa.array(np.repeat([7, 8], 5)))
    parquet.write_table(new, source / "part-03.parquet")  # no set goes on there
    assert len(transform_files(LONG, source, target)) == 4


def test_a_set_that_comes_again_is_found(tmp_path):
    table = long_table([5, 5])
    ids = [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
    table = table.set_column(0, "id", pa.array(ids))
    write_parts(table, [2], tmp_path / "sets")
    with pytest.raises(ValueError, match="the set [01] comes again after other sets"):
        transform_files(LONG, tmp_path / "sets", tmp_path / "target")


PEAKS = """
import resource, sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from pyarrow import parquet
from otk_sklearn import SetCollection, SetPooling
from otk_sklearn.batches import BatchTransformer, _parquet, transform_files

_parquet._MAX_BYTES = 2**22
folder = Path(sys.argv[1])
values = np.random.default_rng(0).normal(size=(2**16, 16))  # 8 MiB
table = pa.table({"sets": SetCollection(values, np.arange(0, 2**16 + 1, 64)).to_arrow()})
transformer = BatchTransformer(SetPooling().fit([values[:64]]), column="sets")
for n_row_groups in (4, 24):
    file = folder / f"{n_row_groups}.parquet"
    with parquet.ParquetWriter(file, table.schema, compression="none") as writer:
        for _ in range(n_row_groups):
            writer.write_table(table)
    transform_files(transformer, file, folder / "target")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path):
    """By 160 MiB; pyarrow would keep what it has read of a file."""
    command = [sys.executable, "-c", PEAKS, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    small, large = map(float, done.stdout.split())
    assert large < small + 40


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((POOLING, "sets", "new"), TypeError, "SetPooling; expected a BatchTransformer"),
        ((LISTS, 3, "new"), TypeError, "source is int; expected the name of a folder"),
        ((LISTS, "empty", "new"), ValueError, "empty'.*without a Parquet file"),
        ((LISTS, "missing", "new"), FileNotFoundError, "source has no file 'missing'"),
        ((LISTS, "sets", "sets/new"), ValueError, "'sets/new', in the folder of the sou"),
        ((LISTS, "sets/part-0.parquet", "sets"), ValueError, "'sets', in the folder of"),
        ((LISTS, ["sets/part-0.parquet"] * 2, "new"), ValueError, "has a file twice"),
    ],
)
def test_wrong_arguments(source, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=message):
        transform_files(*arguments)
    assert not (tmp_path / "new").exists()


def test_progress(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PRINT_INTERVAL", 0.0)
    transform_files(LISTS, source, tmp_path / "new", verbose=True)
    lines = [line.rpartition(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"[transform_files] {n} % of 4 files" for n in (25, 50, 75, 100)]


def test_broken_files_are_named(source, tmp_path):
    target = tmp_path / "target"
    written = transform_files(LISTS, source, target)[2]
    written.write_bytes(written.read_bytes()[:100])
    expected = r"target.part-2\.parquet' is no complete Parquet file; expected one, or that"
    with pytest.raises(ValueError, match=expected):
        transform_files(LISTS, source, target)
    written.unlink()
    transform_files(LISTS, source, target)
    folder = tmp_path / "long"
    write_parts(long_table([5, 5, 5]), [5, 10], folder)
    broken = max(folder.iterdir())
    broken.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=rf"{broken.name}' is no complete Parquet file"):
        transform_files(LONG, folder, tmp_path / "rows")


def test_files_that_do_not_fit_together(tmp_path):
    table = long_table([5, 5, 5])
    write_parts(table, [8], tmp_path / "sets")
    first, last = sorted((tmp_path / "sets").iterdir())
    ids = pa.array([f"set {i}" for i in table["id"].to_pylist()])
    parquet.write_table(table.set_column(0, "id", ids)[8:], last)
    expected = "column 'id' is .*string, and holds 1 elsewhere; expected labels of one type"
    with pytest.raises(ValueError, match=expected):
        transform_files(LONG, tmp_path / "sets", tmp_path / "target")
    parquet.write_table(table.rename_columns(["name", *table.column_names[1:]])[8:], last)
    with pytest.raises(ValueError, match=rf"{last.name}' has no column 'id'; it has"):
        transform_files(LONG, tmp_path / "sets", tmp_path / "target")
    parquet.write_table(table.select(table.column_names[::-1])[8:], last)
    files = transform_files(LONG, tmp_path / "sets", tmp_path / "swapped")
    found = pa.concat_tables([parquet.read_table(file) for file in files])
    assert found.equals(LONG(table).cast(found.schema))


def test_a_file_that_another_process_writes(source, tmp_path, monkeypatch):
    def write(parts, i, path, made_of):
        with written_whole(tmp_path / "target" / "part-0.parquet") as other:
            other.touch()

    monkeypatch.setattr(ParquetSource, "write", write)
    expected = r"part-0\.parquet' is written by another process at the same time"
    with pytest.raises(RuntimeError, match=expected):
        transform_files(LISTS, source / "part-0.parquet", tmp_path / "target")
