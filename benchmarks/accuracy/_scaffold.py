"""Shared by all experiments: command line, loop, file of results, and tables.

An experiment evaluates methods on problems, with several seeds. Its results are kept in a
file of JSON lines in the working directory, and what is there isn't computed again: remove
the file to start afresh.
"""

import argparse
import fnmatch
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

KEY = ("problem", "method", "seed")


def run(name, description, methods, evaluate, seeds=range(5), folders=(), parents=()):
    """Evaluate what the command line selects, by default all methods of all problems.

    Parameters
    ----------
    name : str
        Of the file of results, without ".jsonl".
    description : str
    methods : dict
        For each problem, the names of its methods.
    evaluate : callable
        Takes a problem, a method and a seed; returns a dict, a row of the data frame.
    seeds : iterable of int
    folders : iterable of str
        Options that have to be given: folders, which `evaluate` takes by keyword.
    parents : iterable of ArgumentParser
        Further options, which the script reads itself.
    """
    options = parse_arguments(name, description, methods, seeds, folders, parents)
    given = {folder: getattr(options, folder) for folder in folders}
    found = read_results(options.results)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)  # of fewer elements than components
        for key in selected_keys(options, methods):
            if key not in found:
                found[key] = dict(zip(KEY, key)) | evaluate(*key, **given)
                append_result(options.results, found[key])
            rows.append(found[key])
    return pd.DataFrame(rows)


def parse_arguments(name, description, methods, seeds, folders, parents=()):
    """Return what the command line selects."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=parents,
    )
    parser.add_argument(
        "--problems",
        nargs="+",
        default=list(methods),
        choices=methods,
        metavar="NAME",
        help="of " + ", ".join(f'"{problem}"' for problem in methods),
    )
    parser.add_argument("--methods", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--seeds", nargs="+", type=int, default=seeds)
    parser.add_argument("--results", type=Path, default=Path(f"{name}.jsonl"))
    for folder in folders:
        parser.add_argument(f"--{folder.replace('_', '-')}", type=Path, required=True)
    options = parser.parse_args()
    if not list(selected_keys(options, methods)):
        names = {name: None for problem in options.problems for name in methods[problem]}
        parser.error(f"no method matches {options.methods}; there are {list(names)}")
    return options


def selected_keys(options, methods):
    """Yield problem, method and seed of all that is selected."""
    for problem in options.problems:
        for method in methods[problem]:
            if any(fnmatch.fnmatchcase(method, pattern) for pattern in options.methods):
                yield from ((problem, method, seed) for seed in options.seeds)


def read_results(path):
    """Return what the file holds, by problem, method and seed; make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return {}
    found = {}
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            row = json.loads(line)
            found[tuple(row[k] for k in KEY)] = row
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"Line {number} of {path} is no result of this script: {line[:80]!r}"
            ) from error
    print(f"{len(found)} results are read from {path}", flush=True)
    return found


def whole_lines(path):
    """Return the lines of a file, and end the last, or remove it if a run left it cut."""
    text = path.read_text()
    lines = text.splitlines()
    if text and not text.endswith("\n"):
        try:
            json.loads(lines[-1])
        except ValueError:
            print(f"The last line of {path} is cut: it is left out.")
            lines.pop()
        path.write_text("".join(f"{line}\n" for line in lines))
    return lines


def append_result(path, row):
    """Add a row to the file, and print its numbers."""
    with path.open("a") as file:
        file.write(json.dumps(row, default=float) + "\n")
    numbers = [f"{k} {v:.4f}" for k, v in row.items() if isinstance(v, float)]
    print(*(row[k] for k in KEY), *numbers, sep=", ", flush=True)


def data_file(data_home, name):
    """Return the path of a file in the folder of the data, which has to be there."""
    path = Path(data_home, name)
    if not path.exists():
        raise SystemExit(f"--data-home: {data_home} has no {name}, which --help describes")
    return path


def print_tables(results, columns, reference=None):
    """Print accuracies for each problem, and differences paired by seed.

    Parameters
    ----------
    results : DataFrame
    columns : dict
        Further columns: each takes the rows of a method and those of its reference.
    reference : callable
        Takes the name of a method, returns that of the method it is compared with.
    """
    header = ["accuracy", *(["difference"] if reference else []), *columns]
    for problem, of_problem in results.set_index("seed").groupby("problem", sort=False):
        by_method = dict(list(of_problem.groupby("method", sort=False)))
        table = []
        for method, rows in by_method.items():
            cells = [method, mean_and_deviation(rows["accuracy"])]
            other = None
            if reference:
                other = by_method.get(reference(method), rows.iloc[:0])
                difference = rows["accuracy"] - other["accuracy"]
                cells.append(mean_and_deviation(difference, sign="+"))
            table.append(cells + [text(rows, other) for text in columns.values()])
        print_table([problem, *header], table)


def print_table(header, rows):
    """Print a table in Markdown."""
    print(f"\n| {' | '.join(header)} |")
    print("|---" * len(header) + "|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def mean_and_deviation(values, sign="", digits=3):
    """Format mean and standard deviation; the latter if there are several values."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    text = f"{values.mean():{sign}.{digits}f}" if len(values) else ""
    return f"{text} ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else text


def with_common(estimator, **params):
    """Return a clone with those of these parameters that it, or a part of it, has.

    Parts are the steps of a pipeline, or the transformers of a union.
    """
    estimator = clone(estimator)
    parts = getattr(estimator, "named_transformers", {"": estimator})
    for step in getattr(estimator, "named_steps", parts).values():
        known = step.get_params(deep=False)
        step.set_params(**{k: v for k, v in params.items() if k in known})
    return estimator
