"""Means and deviations over seeds of the results of this folder's scripts.

    python benchmarks/paper/summarize.py FILE.jsonl ... > benchmarks/paper/results.jsonl

`results.jsonl` has those that `docs/paper.md` reports, a line for each problem and method:
the seeds, and for each measure its mean or, of several seeds, mean and standard deviation;
of times the median, as in the scripts' tables. Its older lines have means of times.
"""

import argparse
import json
from pathlib import Path

import _other_benchmarks  # noqa: F401
import pandas as pd
from _scaffold import KEY

DIGITS = 5


def read(paths):
    """Return the results of all files."""
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return pd.DataFrame(map(json.loads, lines)).drop_duplicates(KEY, keep="last")


def summary_of(rows):
    """Return the seeds, and what all these rows have, over seeds."""
    numbers = rows.select_dtypes("number").drop(columns="seed").dropna(axis=1)
    return {
        "seeds": rows["seed"].tolist(),
        **{name: summary_of_measure(name, column) for name, column in numbers.items()},
    }


def summary_of_measure(name, column):
    """Return the median of times, mean and deviation of others."""
    return rounded(column.median()) if "seconds" in name else mean_and_deviation(column)


def mean_and_deviation(column):
    """Return the mean, or a list of mean and standard deviation."""
    if len(column) == 1 or column.nunique() == 1:
        return rounded(column.mean())
    return [rounded(column.mean()), rounded(column.std())]


def rounded(number):
    """Return a number with so many significant digits; integers as they are."""
    number = float(number)
    return int(number) if number.is_integer() else float(f"{number:.{DIGITS}g}")


def main():
    """Print the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path)
    results = read(parser.parse_args().results)
    for (problem, method), rows in results.groupby(["problem", "method"], sort=False):
        print(json.dumps({"problem": problem, "method": method, **summary_of(rows)}))


if __name__ == "__main__":
    main()
