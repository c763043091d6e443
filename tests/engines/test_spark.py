"""`BatchTransformer` and `SetSampler` in Spark: what one machine makes of the same sets."""

import functools
import pickle
import shutil
import sys

import numpy as np
import pyarrow as pa
import pytest
from engine_data import (
    COLUMNS,
    EMBEDDING,
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

from otk_sklearn import OTKEmbedding, SetPooling
from otk_sklearn.batches import BatchTransformer, SetSampler, iter_sets

sql = pytest.importorskip("pyspark.sql")
functions = pytest.importorskip("pyspark.sql.functions")

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(
        shutil.which("java") is None, reason="Spark needs java, 17 or newer"
    ),
    # py4j leaves its sockets to the end of the process
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
]

SCHEMA = "id string, ill long, embedding array<double>"


@pytest.fixture(scope="module")
def spark():
    """A session of two workers, each a process of Python."""
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.sql.adaptive.enabled": "false",  # which would join small partitions
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50",  # cuts sets
        "spark.sql.shuffle.partitions": "3",
        "spark.ui.enabled": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = sql.SparkSession.builder.master("local[2]").config(map=settings)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


def transformer_of(model=EMBEDDING, **params):
    """What is run: the same for all engines, but for plain lists."""
    params = {**COLUMNS, "keep": ["ill"], **params}
    return BatchTransformer(model, fixed_size_lists=False, **params)


def of_lists(model, **params):
    return BatchTransformer(model, column="sets", fixed_size_lists=False, **params)


def schema_of(spark, embed, batch):
    return spark.createDataFrame(embed.schema(batch.schema).empty_table()).schema


def long_frame(spark, table=None):
    """Complete and sorted sets in three partitions, some of rows that were mixed."""
    frame = spark.createDataFrame(shuffled_rows() if table is None else table)
    return frame.repartition("id").sortWithinPartitions("id", "order")


def test_long_tables(spark):
    frame = long_frame(spark)
    out = frame.mapInArrow(transformer_of().map, SCHEMA).toArrow()
    assert out.schema.field("embedding").type.value_type == pa.float64()
    assert_allclose(in_order(out), EMBEDDING.transform(SETS), rtol=1e-12)
    assert in_order(out, "ill").tolist() == [i % 2 for i in range(24)]


def test_bits_are_those_of_one_machine(spark):
    """Given the same rows in the same order."""
    frame = long_frame(spark)
    out = frame.mapInArrow(transformer_of().map, SCHEMA).toArrow()
    rows = frame.withColumn("part", functions.spark_partition_id()).toArrow()
    parts = rows["part"].to_numpy()
    assert len(np.unique(parts)) == 3
    of_parts = [transformer_of()(rows.filter(parts == i)) for i in np.unique(parts)]
    one = pa.concat_tables(of_parts)
    assert out["id"].equals(one["id"])
    assert_array_equal(out["embedding"].to_pylist(), one["embedding"].to_pylist())


def test_every_estimator(spark):
    frame = spark.createDataFrame(LISTS).repartition(2)
    for model, method in fitted_models():
        embed = of_lists(model, method=method, output="out")
        out = frame.mapInArrow(embed.map, schema_of(spark, embed, LISTS)).toArrow()
        expected = getattr(model, method)(SETS.with_values(SETS.values))
        found = in_order(out, "out")
        if found.dtype.kind == "U":
            assert_array_equal(found, expected)
        else:
            assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_schemas_that_users_write(spark):
    """As text, or from the transformer by public functions: they are the same."""
    given = long_frame(spark).limit(0).toArrow()
    schema = schema_of(spark, transformer_of(), given)
    out = long_frame(spark).mapInArrow(transformer_of().map, schema)
    assert out.schema == long_frame(spark).mapInArrow(transformer_of().map, SCHEMA).schema
    assert len(in_order(out.toArrow())) == 24


def test_lists_of_fixed_size_are_none_of_spark(spark):
    embed = BatchTransformer(EMBEDDING, **COLUMNS, keep=["ill"])
    with pytest.raises(Exception, match="Unsupported arrow type FixedSizeList"):
        long_frame(spark).mapInArrow(embed.map, SCHEMA).toArrow()


def test_large_strings_and_lists(spark):
    spark.conf.set("spark.sql.execution.arrow.useLargeVarTypes", "true")
    try:
        out = long_frame(spark).mapInArrow(transformer_of().map, SCHEMA).toArrow()
        lists = of_lists(SetPooling().fit(SETS))
        schema = "id string, embedding array<double>"
        pooled = spark.createDataFrame(LISTS).mapInArrow(lists.map, schema).toArrow()
    finally:
        spark.conf.unset("spark.sql.execution.arrow.useLargeVarTypes")
    assert_allclose(in_order(out), EMBEDDING.transform(SETS), rtol=1e-12)
    assert_allclose(in_order(pooled), [x.mean(axis=0) for x in SETS], rtol=1e-12)


@pytest.mark.parametrize("n_partitions", [2, 40])
def test_sample_that_is_drawn_in_parallel(spark, n_partitions):
    """Of 40 partitions, some are empty."""

    def sample(batches):
        sampler = SetSampler(max_elements=150, random_state=0)
        for sets in iter_sets(batches, **COLUMNS):
            sampler.update(sets)
        yield pa.record_batch({"sampler": [pickle.dumps(sampler)]})

    frame = spark.createDataFrame(shuffled_rows()).repartition(n_partitions, "id")
    frame = frame.sortWithinPartitions("id", "order")
    stored = frame.mapInArrow(sample, "sampler binary").toArrow()["sampler"].to_pylist()
    assert len(stored) == n_partitions
    drawn = functools.reduce(SetSampler.merge, map(pickle.loads, stored)).sample()
    expected = SetSampler(max_elements=150, random_state=0).update(SETS).sample()
    assert drawn.names.tolist() == expected.names.tolist()
    assert_array_equal(drawn.values, expected.values)
    model, same = (OTKEmbedding(3, random_state=0).fit(x) for x in (drawn, expected))
    assert_array_equal(model.transform(SETS), same.transform(SETS))


def test_partitions_without_rows_and_with_one_set(spark):
    frame = long_frame(spark, ROWS.slice(0, SETS.offsets[2])).repartition(7, "id")
    frame = frame.sortWithinPartitions("id", "order")
    out = frame.mapInArrow(transformer_of().map, SCHEMA).toArrow().sort_by("id")
    assert out["id"].to_pylist() == NAMES[:2]
    expected = EMBEDDING.transform(SETS[:2])
    assert_allclose(np.array(out["embedding"].to_pylist()), expected, rtol=1e-12)
    nothing = frame.filter("id = ''").mapInArrow(transformer_of().map, SCHEMA)
    assert nothing.count() == 0


def test_missing_lists_are_empty_sets(spark):
    lists = [None, *LISTS["sets"].to_pylist()[1:]]
    frame = spark.createDataFrame(LISTS.set_column(1, "sets", pa.array(lists)))
    schema = "id string, embedding array<double>"
    model = (
        clone(EMBEDDING).set_params(empty_sets="zero").fit(SETS.with_values(SETS.values))
    )
    out = in_order(frame.mapInArrow(of_lists(model).map, schema).toArrow())
    assert not out[0].any()
    assert_allclose(out[1:], EMBEDDING.transform(SETS[1:]), rtol=1e-12)
    with pytest.raises(Exception, match='set 0 of X is .*empty_sets="zero"'):
        frame.coalesce(1).mapInArrow(of_lists(EMBEDDING).map, schema).toArrow()


@pytest.mark.parametrize(
    ("name", "expression", "message"),
    [
        ("y", "cast(y as string)", "batch holds string .* in the field 'y'"),
        ("id", "nullif(id, 'set 03')", r"batch\['id'\] is missing in row 0"),
        ("y", "nullif(order, 2)", "NaN in set "),
    ],
)
def test_errors_come_through(spark, name, expression, message):
    frame = long_frame(spark).withColumn(name, functions.expr(expression))
    with pytest.raises(Exception, match=message):
        frame.mapInArrow(transformer_of().map, SCHEMA).toArrow()


def test_sets_that_were_not_brought_together(spark):
    """In a partition, they are noticed; of several, each makes a row of its part."""
    embed = transformer_of()
    mixed = spark.createDataFrame(shuffled_rows()).coalesce(1)
    with pytest.raises(Exception, match="expected all rows of a set side by side"):
        mixed.mapInArrow(embed.map, SCHEMA).toArrow()
    cut = mixed.repartitionByRange(2, "order").sortWithinPartitions("id", "order")
    assert cut.mapInArrow(embed.map, SCHEMA).count() > 24


def test_workers_read_the_cache_of_kernels(spark):
    def watch(batches):
        from otk_sklearn._compiled import sinkhorn

        list(transformer.map(batches))
        kernels = [x for x in vars(sinkhorn).values() if hasattr(x, "stats")]
        misses = sum(sum(x.stats.cache_misses.values()) for x in kernels)
        hits = sum(sum(x.stats.cache_hits.values()) for x in kernels)
        yield pa.record_batch({"hits": [hits], "misses": [misses]})

    transformer = transformer_of()
    EMBEDDING.transform(SETS)
    out = long_frame(spark).mapInArrow(watch, "hits long, misses long").toArrow()
    assert min(out["hits"].to_pylist()) > 0
    assert max(out["misses"].to_pylist()) == 0


def test_the_code_of_the_guide(spark, capsys):
    variables = run_section("Spark")
    out = variables["spark"].read.parquet(str(variables["results"] / "spark")).toArrow()
    expected = variables["embedded"].sort_by("id")
    out = out.sort_by("id")
    assert out["id"].equals(expected["id"])
    assert_allclose(
        np.array(out["embedding"].to_pylist()), np.array(expected["embedding"].to_pylist())
    )
