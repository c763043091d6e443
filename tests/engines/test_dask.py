"""A `BatchTransformer`, samplers and training on Dask: one machine's results, bit by bit.

Which sets share a call decides on the boundaries of chunks, and so on rounding. So equal
bits are those of the same partitions, embedded one after the other without Dask; those of
all sets in one call are close.
"""

import copy
import functools
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal
from pages import run_section
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

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
from otk_sklearn._compiled import features, pooling, sinkhorn
from otk_sklearn.batches import BatchTransformer, SetSampler, fit_batches, iter_sets

dask = pytest.importorskip("dask")
bags = pytest.importorskip("dask.bag")
frames = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.engines

N_SETS = 60
NAMES = [f"s{i:02}" for i in range(N_SETS)]
SETS = SetCollection.from_sets(make_sets(N_SETS, n_features=2), names=NAMES)
NAMED = SetCollection(SETS.values, SETS.offsets, feature_names=["x", "y"])
LABELS = np.arange(N_SETS) % 2
FEATURES = ["x", "y"]
SMALL = {"n_components": 8, "random_state": 0}
EMBEDDING = OTKEmbedding(3, **SMALL).fit(SETS)
EMBED = BatchTransformer(EMBEDDING, groups="id", features=FEATURES, keep=["label"])


@pytest.fixture(scope="module")
def client():
    """Two processes of one thread each, as on two processors."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(processes=True, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def long_frame(sets=SETS):
    """A row for each element, in the order of the sets."""
    return pd.DataFrame(
        {
            "id": np.repeat(sets.names, sets.lengths),
            "t": np.concatenate([np.arange(n) for n in sets.lengths]),
            "x": sets.values[:, 0],
            "y": sets.values[:, 1],
            "label": np.repeat(LABELS[: len(sets)], sets.lengths),
        }
    )


def interleaved_frame():
    """Elements of all sets in turn, as they come with time; those of a set in order."""
    return long_frame().sort_values("t", kind="stable", ignore_index=True)


def partitioned(parts):
    """These frames as the partitions of a table of Dask."""
    return frames.from_map(lambda i: parts[i], range(len(parts)), meta=parts[0].head(0))


def mapped(table, transformer=EMBED):
    return table.map_partitions(transformer, meta=transformer(table._meta))


def partitions_of(table):
    """The partitions as frames of pandas, in one computation."""
    return [part for part in dask.compute(*table.to_delayed()) if len(part)]


def by_name(out, column="embedding"):
    """A column of results as an array, in the order of the names of the sets."""
    assert out["id"].is_unique
    values = out.set_index("id").sort_index()[column].tolist()
    return np.array(values)


@pytest.mark.parametrize("method", ["tasks", "p2p"])
@pytest.mark.parametrize("make", [long_frame, interleaved_frame])
def test_a_shuffle_brings_the_rows_of_each_set_together(client, method, make):
    table = frames.from_pandas(make(), npartitions=7)
    shuffled = table.shuffle("id", shuffle_method=method)
    out = mapped(shuffled).compute()
    assert list(out.columns) == ["id", "label", "embedding"]
    parts = partitions_of(shuffled)
    assert len(parts) > 1
    assert_array_equal(by_name(out), by_name(pd.concat(map(EMBED, parts))))
    assert_allclose(by_name(out), EMBEDDING.transform(SETS), rtol=1e-10)
    assert out.sort_values("id")["label"].tolist() == LABELS.tolist()
    for part in parts:  # windows and positions need that
        for _, rows in part.groupby("id"):
            assert rows["t"].tolist() == [*range(len(rows))]


def test_elements_in_another_order_are_sorted_in_partitions(client):
    """As the guide says, of windows."""
    model = OTKEmbedding(3, filter_size=3, **SMALL).fit(SETS)
    embed = BatchTransformer(model, groups="id", features=FEATURES)
    mixed = long_frame().sample(frac=1, random_state=0)
    shuffled = frames.from_pandas(mixed, npartitions=5, sort=False).shuffle("id")
    ordered = shuffled.map_partitions(pd.DataFrame.sort_values, ["id", "t"])
    out = mapped(ordered, embed).compute()
    assert_allclose(by_name(out), model.transform(SETS), rtol=1e-10)
    out = mapped(shuffled, embed).compute()
    assert abs(by_name(out) - model.transform(SETS)).max() > 0.01


def test_partitions_that_cut_sets_without_a_shuffle(client):
    """Each part is a set to `map_partitions`; what sees all partitions notices."""
    table = frames.from_pandas(long_frame(), npartitions=4)
    out = mapped(table).compute()
    twice = out["id"][out["id"].duplicated()].tolist()
    assert 1 <= len(twice) <= 3
    with pytest.raises(ValueError, match="'s.*' twice, .* iter_sets joins its rows"):
        sampler_of(table).compute().sample()
    batches = [pa.Table.from_pandas(part) for part in partitions_of(table)]
    joined = pa.Table.from_batches(EMBED.map(batches)).to_pandas()
    assert_allclose(by_name(joined), EMBEDDING.transform(SETS), rtol=1e-10)


def test_partitions_that_are_empty_or_hold_one_set(client):
    frame = long_frame()
    one = frame[frame["id"] == NAMES[0]]
    rest = frame[frame["id"] != NAMES[0]]
    parts = [frame.head(0), one, frame.head(0), rest]
    table = partitioned(parts)
    out = mapped(table).compute()
    assert out["id"].tolist() == NAMES
    assert_array_equal(by_name(out), by_name(pd.concat(map(EMBED, parts))))
    assert mapped(table.partitions[[0, 2]]).compute().empty
    assert sampler_of(table).compute().n_sets == N_SETS


# Column of sets: what Parquet files, and frames of pandas, become.


def embed_lists(model=EMBEDDING, **parameters):
    return BatchTransformer(model, column="sets", keep=["id"], **parameters)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parquet files of a column of lists."""
    folder = tmp_path_factory.mktemp("lists")
    table = pa.table({"id": NAMES, "sets": SETS.to_arrow()})
    for i in range(4):
        pa.parquet.write_table(table.slice(15 * i, 15), folder / f"part{i}.parquet")
    return folder


def written_to(folder):
    """Results in Parquet files; pandas can't read the name of a type that it writes."""
    return pa.parquet.read_table(folder).to_pandas(ignore_metadata=True)


@pytest.mark.parametrize("backend", [None, "pyarrow"])
def test_lists_in_parquet_files(client, folder, tmp_path, backend):
    options = {} if backend is None else {"dtype_backend": backend}
    table = frames.read_parquet(folder, **options)
    embed = embed_lists()
    mapped(table, embed).to_parquet(tmp_path)
    expected = pd.concat([embed(part) for part in partitions_of(table)])
    schema = pa.parquet.read_schema(tmp_path / "part.0.parquet")
    assert pa.types.is_fixed_size_list(schema.field("embedding").type)
    assert_array_equal(by_name(written_to(tmp_path)), by_name(expected))
    assert_allclose(by_name(expected), EMBEDDING.transform(SETS), rtol=1e-10)


def test_arrays_in_cells_of_pandas(client):
    """Dask turns them into strings, unless it is told not to."""
    frame = pd.DataFrame({"id": NAMES, "sets": [*SETS]})
    table = frames.from_pandas(frame, npartitions=3)
    with pytest.raises(ValueError, match=r"batch\['sets'\] holds .*string; .*of Arrow, or"):
        mapped(table, embed_lists())
    with dask.config.set({"dataframe.convert-string": False}):  # the hint
        table = frames.from_pandas(frame, npartitions=3)
        out = mapped(table, embed_lists()).compute()
    assert_allclose(by_name(out), EMBEDDING.transform(SETS), rtol=1e-10)
    lists = pd.arrays.ArrowExtensionArray(pa.chunked_array([SETS.to_arrow()]))
    table = frames.from_pandas(frame.assign(sets=lists), npartitions=3)
    out = mapped(table, embed_lists()).compute()
    assert_allclose(by_name(out), EMBEDDING.transform(SETS), rtol=1e-10)


def test_missing_lists_are_empty_sets(client):
    lists = SETS[:6].to_arrow().to_pylist()
    column = pa.array([*lists[:4], None, lists[5]], SETS.to_arrow().type)
    cells = pd.arrays.ArrowExtensionArray(pa.chunked_array([column]))
    frame = pd.DataFrame({"id": NAMES[:6], "sets": cells})
    table = frames.from_pandas(frame, npartitions=3)
    with pytest.raises(ValueError, match="set 0 of X is empty; .*zero"):
        mapped(table, embed_lists()).compute()
    model = copy.copy(EMBEDDING).set_params(empty_sets="zero")
    out = by_name(mapped(table, embed_lists(model)).compute())
    assert_array_equal(out.any(axis=1), [True] * 4 + [False, True])


# Errors come through, with what helps to find them.


def raised_by(table):
    """The error of embedding a table whose schema seemed right."""
    good = frames.from_pandas(long_frame(), npartitions=1)
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the caller looks at it)
        table.map_partitions(EMBED, meta=EMBED(good._meta)).compute()
    return error.value


def test_a_column_of_the_wrong_type(client):
    table = partitioned([long_frame(), long_frame().astype({"y": str})])
    message = str(raised_by(table))
    assert "string in its elements in the field 'y'" in message
    table = partitioned([long_frame(), long_frame().drop(columns="y")])
    table = table.map_partitions(copy.copy, meta=table._meta, enforce_metadata=False)
    assert "batch has no column 'y'; it has ['id'," in str(raised_by(table))


def test_missing_numbers_and_names(client):
    row = SETS.offsets[7] + 1
    frame = long_frame()
    frame.loc[row, "y"] = np.nan
    error = raised_by(frames.from_pandas(frame, npartitions=1).shuffle("id"))
    assert "X contains NaN in set" in str(error)
    assert "The column 'y' has nan in the set 's07'." in error.__notes__
    frame = long_frame()
    frame.loc[row, "id"] = None
    error = raised_by(frames.from_pandas(frame, npartitions=1))
    assert f"batch['id'] is missing in row {row}; expected the label of a" in str(error)
    frame = long_frame()
    frame.loc[row, "label"] = 7
    error = raised_by(frames.from_pandas(frame, npartitions=1))
    assert "batch['label'] has 1 and 7 in the set 's07'" in str(error)


# Every estimator.

LAYERS = make_pipeline(
    ElementTransformer(StandardScaler()),
    ConvolutionalKernelLayer(filter_size=2, subsampling=2, **SMALL),
    OTKEmbedding(3, **SMALL),
    LogisticRegression(),
)
ESTIMATORS = {
    "embedding": (OTKEmbedding(3, **SMALL), "transform"),
    "windows": (
        OTKEmbedding(3, kernel="homogeneous", filter_size=2, position="gaussian", **SMALL),
        "transform",
    ),
    "exact plans": (
        OTKEmbedding(3, kernel="linear", solver="emd", n_references=2, random_state=0),
        "transform",
    ),
    "relaxed": (OTKEmbedding(3, relaxation=0.5, epsilon=0.1, **SMALL), "transform"),
    "pooling": (SetPooling(["mean", "std", "min"]), "transform"),
    "kernel mean": (KernelMeanEmbedding(**SMALL), "transform"),
    "sliced": (SlicedWassersteinEmbedding(3, n_quantiles=4, random_state=0), "transform"),
    "fisher": (FisherVectorEmbedding(2, random_state=0), "transform"),
    "layers, in a pipeline": (LAYERS, "predict_proba"),
    **{
        f"classifier, {method}": (
            OTKClassifier(OTKEmbedding(2, n_components=4), max_epochs=1, random_state=0),
            method,
        )
        for method in ("transform", "predict", "predict_proba", "decision_function")
    },
    "regressor": (
        OTKRegressor(OTKEmbedding(2, n_components=4), max_epochs=1, random_state=0),
        "predict",
    ),
}


def test_every_estimator_is_there():
    """Of those that return no sets; the others are in the pipeline."""
    public = {getattr(otk_sklearn, name) for name in otk_sklearn.__all__}
    steps = [step for _, step in LAYERS.steps]
    tested = {type(model) for model, _ in ESTIMATORS.values()} | set(map(type, steps))
    assert {x for x in public if issubclass(x, BaseEstimator)} <= tested


@pytest.mark.parametrize("name", ESTIMATORS)
def test_each_estimator_gives_the_bits_of_one_machine(client, name):
    model, method = ESTIMATORS[name]
    graphs, expected = [], []
    for dtype in ("float32", "float64"):
        sets = SETS.astype(dtype)
        embed = BatchTransformer(
            copy.deepcopy(model).fit(sets, LABELS),
            groups="id",
            features=FEATURES,
            method=method,
            output="out",
        )
        frame = long_frame(sets)
        parts = [frame[frame["id"].isin(NAMES[i::3])] for i in range(3)]
        graphs.append(mapped(partitioned(parts), embed))
        expected.append(pd.concat(map(embed, parts)))
    for out, one_machine in zip(dask.compute(*graphs), expected):
        assert out["out"].dtype == one_machine["out"].dtype
        assert_array_equal(by_name(out, "out"), by_name(one_machine, "out"))


# Sets in bags, samples and training.


def test_bags_of_sets(client):
    together = bags.from_sequence([*SETS], npartitions=3)
    embedded = together.map_partitions(lambda part: [*EMBEDDING.transform([*part])])
    expected = [EMBEDDING.transform([*SETS[i : i + 20]]) for i in range(0, N_SETS, 20)]
    assert_array_equal(embedded.compute(), np.concatenate(expected))
    collections = [SETS[i : i + 9] for i in range(0, N_SETS, 9)]
    embedded = bags.from_sequence(collections, npartitions=3).map(EMBEDDING.transform)
    for out, sets in zip(embedded.compute(), collections, strict=True):
        assert_array_equal(out, EMBEDDING.transform(sets))


def sampled(sets):
    """As the guide says: a sampler for each part."""
    return SetSampler(300, random_state=0).update(sets)


def sampled_rows(part):
    return [sampled(SetCollection.from_groups(part[FEATURES], part["id"]))]


def sampler_of(table):
    """A table that is read or persisted: bags of Dask can't follow a shuffle of it."""
    parts = [dask.delayed(sampled_rows)(part) for part in table.to_delayed()]
    return bags.from_delayed(parts).fold(SetSampler.merge, split_every=2)


def assert_whole(sampler, expected):
    """Nothing is lost or doubled, and the sample has these sets."""
    assert sampler.n_sets == N_SETS
    assert sampler.n_elements == len(SETS.values)
    for name in ("values", "offsets", "names", "positions"):
        assert_array_equal(getattr(sampler.sample(), name), getattr(expected, name))


def assert_equal_models(model, other):
    for name, value in vars(other).items():
        if isinstance(value, np.ndarray):
            assert_array_equal(getattr(model, name), value)


@pytest.mark.parametrize("scheduler", ["distributed", "threads", "sync"])
@pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler")
def test_samples_drawn_in_parallel_are_those_of_one_process(client, scheduler):
    expected = sampled(SETS).sample()
    assert len(expected) < N_SETS
    collections = [SETS[i : i + 7] for i in range(0, N_SETS, 7)]
    bag = bags.from_sequence(collections, npartitions=4).map(sampled)
    sampler = bag.fold(SetSampler.merge, split_every=2).compute(scheduler=scheduler)
    assert_whole(sampler, expected)


@pytest.mark.parametrize("make", [long_frame, interleaved_frame])
def test_samples_of_tables_and_what_is_learned_from_them(client, make):
    expected = sampled(SETS).sample()
    table = frames.from_pandas(make(), npartitions=6).shuffle("id").persist()
    sampler = sampler_of(table).compute()
    assert_whole(sampler, expected)
    models = [OTKEmbedding(3, **SMALL).fit(x) for x in (sampler.sample(), expected)]
    assert_equal_models(*models)


def labelled_batches(parts):
    columns = {"groups": "id", "features": FEATURES, "target": "label"}
    return iter_sets(parts, **columns)


def test_training_on_the_partitions_of_a_cluster(client):
    table = frames.from_pandas(interleaved_frame(), npartitions=5)
    table = table.shuffle("id").map_partitions(pd.DataFrame.sort_values, ["id", "t"])
    table = table.persist()
    local = partitions_of(table)
    sample = sampler_of(table).compute().sample()
    sample = sample, sample.align(dict(zip(NAMES, LABELS)))

    def train(batches):
        model = OTKClassifier(OTKEmbedding(2, n_components=4), random_state=0)
        return fit_batches(model, batches, sample=sample, n_epochs=2)

    def batches():
        return labelled_batches(part.compute() for part in table.partitions)

    model, expected = train(batches), train(lambda: labelled_batches(local))
    assert_array_equal(model.decision_function(NAMED), expected.decision_function(NAMED))
    predict = BatchTransformer(
        model, groups="id", features=FEATURES, method="predict_proba", output="p"
    )
    out = by_name(mapped(table, predict).compute(), "p")
    assert_array_equal(out, by_name(pd.concat(map(predict, local)), "p"))


def trained_more(model, part):
    """A copy: what a task is given must stay, as it may run once more."""
    ((X, y),) = labelled_batches([part])
    return copy.copy(model).partial_fit(X, y, classes=[0, 1])


def test_partial_fit_in_tasks(client):
    frame = long_frame()
    parts = [frame[frame["id"].isin(NAMES[i::3])] for i in range(3)]
    start = OTKClassifier(OTKEmbedding(2, n_components=4), random_state=0)
    delayed = dask.delayed(trained_more)
    chain = functools.reduce(delayed, partitioned(parts).to_delayed(), start)
    expected = functools.reduce(trained_more, parts, start)
    result = chain.compute().decision_function(NAMED)
    assert_array_equal(result, expected.decision_function(NAMED))


def test_the_code_of_the_guide(client):
    namespace = run_section("Dask")
    written = written_to(namespace["results"] / "dask")
    table = namespace["dataset"].to_table().to_pandas()
    sets = SetCollection.from_groups(table[FEATURES], table["id"])
    expected = namespace["embedding"].transform(sets)[np.argsort(sets.names)]
    assert_allclose(by_name(written), expected, rtol=1e-10)


# Workers.


def slowly(function):
    """A function that tells when it is called, and then takes its time."""

    def slow(part):
        distributed.Event("begun").set()
        time.sleep(0.3)
        return function(part)

    return slow


@pytest.mark.parametrize("what", ["embeddings", "sample"])
def test_a_worker_that_is_killed_changes_nothing(client, what):
    table = frames.from_pandas(interleaved_frame(), npartitions=8).shuffle("id")
    distributed.Event("begun").clear()
    if what == "embeddings":
        graph = table.map_partitions(slowly(EMBED), meta=EMBED(table._meta))
    else:
        table = table.persist()
        parts = [dask.delayed(slowly(sampled_rows))(x) for x in table.to_delayed()]
        graph = bags.from_delayed(parts).fold(SetSampler.merge, split_every=2)
    pids = client.run(os.getpid)
    future = client.compute(graph)
    assert distributed.Event("begun").wait(60)
    time.sleep(0.5)
    assert not future.done()
    os.kill([*pids.values()][0], signal.SIGKILL)
    result = future.result(120)
    client.wait_for_workers(2, timeout=60)
    assert set(client.run(os.getpid).values()) != set(pids.values())
    if what == "embeddings":
        expected = pd.concat(map(EMBED, partitions_of(table)))
        assert_array_equal(by_name(result), by_name(expected))
    else:
        assert_whole(result, sampled(SETS).sample())


class Watching(BaseEstimator):
    """Tells how many threads it may use, whatever it was told itself."""

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def transform(self, X):
        blas = [x["num_threads"] for x in threadpool_info()]
        return np.tile([joblib.effective_n_jobs(), max(blas)], (len(X), 1))


def threads_of_the_process():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads:"))


def watched(transformer, table):
    """Most threads that the process had in addition while it transformed a table."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, 0).result()
        before = threads_of_the_process()
        result = pool.submit(transformer, table)
        most = before
        while not result.done():
            most = max(most, threads_of_the_process())
            time.sleep(0.001)
    return most - before


def test_no_more_threads_than_a_worker_has(client):
    table = frames.from_pandas(long_frame(), npartitions=2)
    out = mapped(table, BatchTransformer(Watching(), groups="id")).compute()
    assert (np.stack(out["embedding"].tolist()) == 1).all()
    model = copy.copy(EMBEDDING).set_params(n_jobs=-1)
    embed = BatchTransformer(model, groups="id", features=FEATURES)
    frame = pd.concat([long_frame().assign(id=i) for i in range(30)])
    assert set(client.run(watched, embed, frame).values()) == {0}
    embed.n_jobs = 3
    assert min(client.run(watched, embed, frame).values()) > 0  # this would be seen


def cache_of_kernels(transformer, table):
    """Where compiled functions were found, and how often they were not."""
    transformer(table)
    kernels = [
        kernel
        for module in (features, pooling, sinkhorn)
        for kernel in vars(module).values()
        if hasattr(kernel, "stats") and kernel.signatures
    ]
    found = [kernel.stats for kernel in kernels]
    misses = sum(sum(stats.cache_misses.values()) for stats in found)
    return {stats.cache_path for stats in found}, misses


def test_workers_share_the_cache_of_kernels(client):
    own, _ = cache_of_kernels(EMBED, long_frame())
    client.restart()
    for paths, misses in client.run(cache_of_kernels, EMBED, long_frame()).values():
        assert paths
        assert paths <= own
        assert misses == 0
