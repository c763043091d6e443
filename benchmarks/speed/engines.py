"""Throughput of a `BatchTransformer`: in memory, on Arrow batches, and on Dask.

Needs the extra `dask`. On Dask, sets are read from a folder of Parquet files, and results
are counted in the workers, of one thread each. Its own cost is that of the same graph, with
files read and the transformer sent, but a function that does nothing. Times are medians,
of runs in turns.

    python benchmarks/speed/engines.py [--runs 3] [--processes 2]
"""

import argparse
import contextlib
import tempfile
from functools import partial
from pathlib import Path

import _workloads
import dask.dataframe
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from _timing import once
from distributed import Client, LocalCluster

from otk_sklearn.batches import BatchTransformer

N_FILES = 16

# So many that Dask's own time is small beside theirs.
WORKLOADS = [_workloads.protein_like, partial(_workloads.series_like, 200_000)]


class Nothing:
    """As large as a transformer, with results of the same kind, but without rows.

    Parameters
    ----------
    transformer : BatchTransformer
    """

    def __init__(self, transformer):
        self.transformer = transformer

    def __call__(self, batch):
        return self.transformer(batch.head(0))


class Problem:
    """A workload with its sets in files, and the times of all ways to embed them.

    Parameters
    ----------
    workload : Workload
    folder : str
        An empty one.
    n_runs : int
    """

    def __init__(self, workload, folder, n_runs):
        self._workload, self._folder, self._n_runs = workload, Path(folder), n_runs
        self._embed = BatchTransformer(
            workload.embedding.set_params(n_jobs=1), column="sets"
        )
        sets = workload.sets
        table = pa.table({"id": np.arange(len(sets)), "sets": sets.to_arrow()})
        self._batches = table.to_batches(max_chunksize=-(-len(sets) // N_FILES))
        for i, batch in enumerate(self._batches):
            file = self._folder / f"part{i}.parquet"
            pyarrow.parquet.write_table(pa.Table.from_batches([batch]), file)
        self._times = {}

    def in_this_process(self):
        """Time it without an engine."""
        sets, transform = self._workload.sets, self._workload.embedding.transform
        self._time_in_turns(
            {
                "packed sets in memory": lambda: transform(sets),
                "Arrow batches in and out": lambda: [*self._embed.map(self._batches)],
            }
        )

    def on_dask(self, n_processes):
        """Time it on a cluster of so many processes, which is that of the client."""
        name = f"Dask, {n_processes} process" + "es" * (n_processes > 1)
        self._time_in_turns(
            {
                name: lambda: self._on_dask(self._embed),
                f"{name}: its cost": lambda: self._on_dask(Nothing(self._embed)),
            }
        )

    def _on_dask(self, function):
        table = dask.dataframe.read_parquet(self._folder, dtype_backend="pyarrow")
        out = table.map_partitions(function, meta=function(table._meta))
        return out.map_partitions(len).compute().sum()

    def _time_in_turns(self, functions):
        runs = [
            [once(function)[0] for function in functions.values()]
            for _ in range(self._n_runs + 1)
        ]
        self._times |= zip(functions, np.median(runs[1:], axis=0))

    def report(self):
        """Print the table."""
        n_sets, one = len(self._workload.sets), self._times["Dask, 1 process"]
        title = f"{self._workload.name.split()[0]}, {n_sets:,} sets"
        print(f"\n{title:34} {'s':>7} {'sets/s':>8} ratio")
        for name, took in self._times.items():
            row = f"{name:34} {took:7.3f}"
            if "cost" not in name:
                row += f" {n_sets / took:8,.0f} {one / took:5.2f}"
            print(row)


def main():
    """Print a table for each workload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        problems = [
            Problem(
                workload(),
                stack.enter_context(tempfile.TemporaryDirectory()),
                arguments.runs,
            )
            for workload in WORKLOADS
        ]
        for problem in problems:
            problem.in_this_process()
        for n_processes in (1, arguments.processes):
            options = {"threads_per_worker": 1, "dashboard_address": ":0"}
            with LocalCluster(n_workers=n_processes, **options) as cluster, Client(cluster):
                for problem in problems:
                    problem.on_dask(n_processes)
        for problem in problems:
            problem.report()


if __name__ == "__main__":
    main()
