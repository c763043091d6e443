"""`BatchTransformer` and `SetSampler` in Ray: what one machine makes of the same sets."""

import functools
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from engine_data import (
    COLUMNS,
    EMBEDDING,
    FEATURES,
    LISTS,
    NAMES,
    ROWS,
    SETS,
    fitted_models,
    in_order,
    shuffled_rows,
)
from numpy.testing import assert_allclose, assert_array_equal
from pages import run_section
from sklearn.base import clone

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.batches import BatchTransformer, SetSampler, iter_sets

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

pytestmark = [
    pytest.mark.engines,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of its pipes and log files
    # its own defaults
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]

EMBED = BatchTransformer(EMBEDDING, **COLUMNS, keep=["ill"])
WHOLE = {"batch_format": "pyarrow", "batch_size": None}


@pytest.fixture(scope="module", autouse=True)
def workers():
    """Two of them."""
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    yield
    ray.shutdown()


def dataset_of(table, n_blocks=3):
    """A data set of so many blocks, and one without rows."""
    starts = np.linspace(0, len(table), n_blocks + 1).astype(int)
    blocks = [table.slice(i, j - i) for i, j in zip(starts, starts[1:])]
    return ray.data.from_arrow([*blocks, table.slice(0, 0)])


def complete_sets(n_blocks=3):
    """The long table, with all rows of each set in one block."""
    return dataset_of(shuffled_rows()).repartition(n_blocks, keys=["id"])


def blocks_of(dataset):
    return ray.get(dataset.to_arrow_refs())


def table_of(dataset):
    """Its blocks; of those without rows, Ray leaves out the columns."""
    return pa.concat_tables([block for block in blocks_of(dataset) if len(block)])


@pytest.fixture(scope="module")
def rows(workers):
    """Complete sets of the long table."""
    return complete_sets().materialize()


def without_first(column):
    return pa.array([None, *column.to_pylist()[1:]])


def test_long_tables(rows):
    out = table_of(rows.map_batches(EMBED, **WHOLE))
    assert out.schema == EMBED.schema(ROWS.schema)
    assert pa.types.is_fixed_size_list(out.schema.field("embedding").type)
    assert_allclose(in_order(out), EMBEDDING.transform(SETS), rtol=1e-10)
    assert in_order(out, "ill").tolist() == [i % 2 for i in range(24)]


def test_bits_are_those_of_one_machine(rows):
    """Given the same rows, sorted by a column of the elements."""
    embed = EMBED  # as a local variable, it is sent to workers
    out = rows.map_batches(lambda batch: embed(batch.sort_by("order")), **WHOLE)
    one = pa.concat_tables([EMBED(b.sort_by("order")) for b in blocks_of(rows) if len(b)])
    assert_array_equal(in_order(table_of(out)), in_order(one))
    assert_allclose(in_order(one), EMBEDDING.transform(SETS), rtol=1e-12)


def test_every_estimator():
    rows = dataset_of(LISTS)
    for model, method in fitted_models():
        embed = BatchTransformer(model, column="sets", method=method, output="out")
        out = table_of(rows.map_batches(embed, **WHOLE))
        expected = getattr(model, method)(SETS.with_values(SETS.values))
        found = in_order(out, "out")
        if found.dtype.kind == "U":
            assert_array_equal(found, expected)
        else:
            assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_batches_of_any_size_of_columns_of_lists():
    embed = BatchTransformer(EMBEDDING, column="sets")
    for batch_size in (1, 5):
        out = dataset_of(LISTS).map_batches(
            embed, batch_format="pyarrow", batch_size=batch_size
        )
        assert_allclose(in_order(table_of(out)), EMBEDDING.transform(SETS), rtol=1e-10)


def test_other_formats_of_batches():
    """Columns of pandas hold arrays; a dict of arrays is no table."""
    embed = BatchTransformer(EMBEDDING, column="sets")
    out = dataset_of(LISTS).map_batches(embed, batch_format="pandas", batch_size=None)
    assert_allclose(in_order(table_of(out)), EMBEDDING.transform(SETS), rtol=1e-10)
    with pytest.raises(Exception, match="batch is builtins.dict; expected a RecordBatch"):
        dataset_of(LISTS).map_batches(embed).materialize()


@pytest.mark.parametrize("lengths", ["all", "the same"])
def test_columns_of_tensors(lengths):
    """What Ray makes of arrays."""
    sets = list(SETS) if lengths == "all" else [SETS[i][:1] for i in range(24)]
    items = [{"id": name, "sets": x} for name, x in zip(NAMES, sets)]
    embed = BatchTransformer(EMBEDDING, column="sets")
    out = ray.data.from_items(items).map_batches(embed, **WHOLE)
    expected = EMBEDDING.transform(SetCollection.from_sets(sets, feature_names=FEATURES))
    assert_allclose(in_order(table_of(out)), expected, rtol=1e-10)


def test_groups_one_by_one():
    out = dataset_of(shuffled_rows()).groupby("id")
    out = table_of(out.map_groups(EMBED, batch_format="pyarrow"))
    assert_allclose(in_order(out), EMBEDDING.transform(SETS), rtol=1e-10)


def test_the_class_as_an_actor():
    parameters = {"estimator": EMBEDDING, "column": "sets"}
    out = dataset_of(LISTS).map_batches(
        BatchTransformer,
        fn_constructor_kwargs=parameters,
        compute=ray.data.ActorPoolStrategy(size=1),
        **WHOLE,
    )
    assert_allclose(in_order(table_of(out)), EMBEDDING.transform(SETS), rtol=1e-10)


def test_plain_lists_as_for_spark(rows):
    embed = BatchTransformer(EMBEDDING, **COLUMNS, fixed_size_lists=False)
    out = table_of(rows.map_batches(embed, **WHOLE))
    assert out.schema.field("embedding").type == pa.list_(pa.float64())
    assert_allclose(in_order(out), EMBEDDING.transform(SETS), rtol=1e-10)


def test_sample_drawn_in_parallel_and_small_blocks():
    """Of 30 blocks, some are empty, and some have one set."""

    def sample(batch):
        sampler = SetSampler(max_elements=150, random_state=0)
        batch = batch.sort_by([("id", "ascending"), ("order", "ascending")])
        for sets in iter_sets([batch], **COLUMNS):
            sampler.update(sets)
        return pa.table({"sampler": [pickle.dumps(sampler)]})

    blocks = complete_sets(n_blocks=30).materialize()
    stored = table_of(blocks.map_batches(sample, **WHOLE))
    samplers = map(pickle.loads, stored["sampler"].to_pylist())
    drawn = functools.reduce(SetSampler.merge, samplers).sample()
    expected = SetSampler(max_elements=150, random_state=0).update(SETS).sample()
    assert drawn.names.tolist() == expected.names.tolist()
    assert_array_equal(drawn.values, expected.values)
    model, same = (OTKEmbedding(3, random_state=0).fit(x) for x in (drawn, expected))
    assert_array_equal(model.transform(SETS), same.transform(SETS))
    out = table_of(blocks.map_batches(EMBED, **WHOLE))
    assert_allclose(in_order(out), EMBEDDING.transform(SETS), rtol=1e-10)


def test_missing_lists_are_empty_sets():
    rows = dataset_of(LISTS.set_column(1, "sets", without_first(LISTS["sets"])))
    model = (
        clone(EMBEDDING).set_params(empty_sets="zero").fit(SETS.with_values(SETS.values))
    )
    out = rows.map_batches(BatchTransformer(model, column="sets"), **WHOLE)
    found = in_order(table_of(out))
    assert not found[0].any()
    assert_allclose(found[1:], EMBEDDING.transform(SETS[1:]), rtol=1e-10)
    strict = BatchTransformer(EMBEDDING, column="sets")
    with pytest.raises(Exception, match='set 0 of X is .*empty_sets="zero"'):
        rows.map_batches(strict, **WHOLE).materialize()


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("y", ROWS["y"].cast(pa.string()), "batch holds string .* in the field 'y'"),
        ("y", without_first(ROWS["y"]), "NaN in "),
        ("id", without_first(ROWS["id"]), r"batch\['id'\] is missing in row 0"),
        ("ill", ROWS["order"], r"batch\['ill'\] has 0 and 1 in the set 'set 01'"),
    ],
)
def test_errors_come_through(name, column, message):
    i = ROWS.schema.names.index(name)
    rows = ray.data.from_arrow(ROWS.set_column(i, name, column))
    with pytest.raises(Exception, match=message):
        rows.map_batches(EMBED, **WHOLE).materialize()


def test_sets_that_were_not_brought_together():
    """Each of their parts makes a row, which nothing notices."""
    out = table_of(dataset_of(ROWS).map_batches(EMBED, **WHOLE))
    assert len(out) > len(set(out["id"].to_pylist())) == 24


def test_workers_read_the_cache_of_kernels(rows):
    def watch(batch):
        from otk_sklearn._compiled import sinkhorn

        embed(batch)
        kernels = [x for x in vars(sinkhorn).values() if hasattr(x, "stats")]
        misses = sum(sum(x.stats.cache_misses.values()) for x in kernels)
        hits = sum(sum(x.stats.cache_hits.values()) for x in kernels)
        return pa.table({"hits": [hits], "misses": [misses]})

    embed = EMBED
    EMBEDDING.transform(SETS)
    out = table_of(rows.map_batches(watch, **WHOLE))
    assert min(out["hits"].to_pylist()) > 0
    assert max(out["misses"].to_pylist()) == 0


def test_the_code_of_the_guide():
    variables = run_section("Ray")
    out = pyarrow.parquet.read_table(variables["results"] / "ray").sort_by("id")
    expected = variables["embedded"].sort_by("id")
    assert out["id"].equals(expected["id"])
    assert_allclose(
        np.array(out["embedding"].to_pylist()), np.array(expected["embedding"].to_pylist())
    )
