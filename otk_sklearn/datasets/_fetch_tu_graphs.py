"""Graphs as sets of nodes, from the files of the TU collection."""

import os

import numpy as np
from sklearn.utils import Bunch

from otk_sklearn._utils.sklearn_compat import validate_params
from otk_sklearn.datasets._data_files import DataFiles
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._offsets import offsets_of

_INSTRUCTIONS = """\
  curl -LO --output-dir {data_home} https://www.chrsmrrs.com/graphkerneldatasets/NAME.zip
  unzip {data_home}/NAME.zip -d {data_home}"""

_DESCRIPTION = """\
Graphs of the TU collection as sets of nodes

Features of a node are its label, one-hot, and its attributes. Edges are not read.

C. Morris, N. M. Kriege, F. Bause, K. Kersting, P. Mutzel and M. Neumann, "TUDataset: a
collection of benchmark datasets for learning with graphs", 2020.
"""


@validate_params(
    {"data_home": [str, os.PathLike], "name": [str]}, prefer_skip_nested_validation=True
)
def fetch_tu_graphs(*, data_home: str | os.PathLike[str], name: str) -> Bunch:
    r"""Read graphs as sets of nodes, from files of the TU collection.

    Nothing is downloaded: get the archive `NAME.zip` of a problem from
    https://chrsmrrs.github.io/datasets and unpack it in the folder `data_home`. Edges are
    not read: the set of the nodes is what pooling sees.

    Parameters
    ----------
    data_home : str or path-like
        The folder that has the folder of the problem, or a folder `tu_graphs` with it.
    name : str
        The problem, such as "ENZYMES", "MUTAG" or "BZR".

    Returns
    -------
    data : Bunch
        Dictionary-like object, with the attributes

        data : SetCollection
            For each graph its nodes, in float64. Features are an indicator of each label
            of nodes, and the attributes of nodes: those of the two that there are.
        target : ndarray of int of shape (n_graphs,)
            Labels of graphs.
        feature_names : list of str
            `label_0` and so on, by the labels in the file, and then `attribute_0` and so
            on.
        filename : str
            The folder that has been read.
        DESCR : str
            What the data are.

    Raises
    ------
    FileNotFoundError
        If there are no such files. The message tells how to get them.
    ValueError
        If a file is cut short, or has what is no number. The message tells the line.

    See Also
    --------
    load_bags : Other problems that are given as sets.
    otk_sklearn.SetCollection.from_groups : Nodes of graphs in a table.

    References
    ----------
    C. Morris, N. M. Kriege, F. Bause, K. Kersting, P. Mutzel and M. Neumann, "TUDataset:
    a collection of benchmark datasets for learning with graphs", ICML 2020 workshop on
    graph representation learning and beyond.

    Examples
    --------
    Files of two short chains stand for the data:

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from otk_sklearn.datasets import fetch_tu_graphs
    >>> with TemporaryDirectory() as data_home:
    ...     folder = Path(data_home, "CHAINS")
    ...     folder.mkdir()
    ...     _ = (folder / "CHAINS_graph_indicator.txt").write_text("1\n1\n2\n2\n2\n")
    ...     _ = (folder / "CHAINS_graph_labels.txt").write_text("1\n-1\n")
    ...     _ = (folder / "CHAINS_node_labels.txt").write_text("0\n3\n3\n3\n0\n")
    ...     graphs = fetch_tu_graphs(data_home=data_home, name="CHAINS")
    >>> graphs.data[0]
    array([[1., 0.],
           [0., 1.]])
    >>> graphs.target, graphs.feature_names
    (array([ 1, -1]), ['label_0', 'label_3'])
    """
    folders = (name, f"tu_graphs/{name}")
    files = DataFiles("fetch_tu_graphs", data_home, folders, _INSTRUCTIONS)
    path = _find(files, name, "graph_indicator")
    target = _read_labels(files, _find(files, name, "graph_labels"))
    offsets = _read_offsets(files, path, len(target))
    parts, feature_names = [], []
    for kind, read in {
        "node_labels": _read_one_hot,
        "node_attributes": _read_table,
    }.items():
        if files.find_all(f"{name}_{kind}.txt*"):
            of_nodes = _find(files, name, kind)
            values, names = read(files, of_nodes)
            if len(values) != offsets[-1]:
                message = f"{len(values)} lines; expected {offsets[-1]}, as in {path.name}."
                raise files.error(of_nodes, message)
            parts.append(values)
            feature_names += names
    if not parts:
        _find(files, name, "node_labels", "node_attributes")
    data = SetCollection(np.hstack(parts), offsets, feature_names=feature_names)
    return Bunch(
        data=data,
        target=target,
        feature_names=feature_names,
        filename=str(path.parent),
        DESCR=_DESCRIPTION,
    )


def _find(files, name, *kinds):
    """The path of the first of these files, gzipped or not."""
    names = [f"{name}_{kind}.txt" for kind in kinds]
    return files.find(*(text for one in names for text in (one, f"{one}.gz")))


def _read_labels(files, path):
    """The integer of each line."""
    return np.array([_number(files, path, *line, int) for line in files.lines(path)])


def _read_offsets(files, path, n_graphs):
    """Where the nodes of each graph begin, from the number of the graph of each node."""
    graphs = _read_labels(files, path)
    steps = np.diff(graphs, prepend=0)
    wrong = np.flatnonzero((steps < 0) | (graphs > n_graphs) | (graphs < 1))
    if len(wrong):
        message = f"graph {graphs[wrong[0]]}; expected 1 to {n_graphs}, in ascending order."
        raise files.error(path, message, wrong[0] + 1)
    return offsets_of(np.bincount(graphs - 1, minlength=n_graphs))


def _read_one_hot(files, path):
    """An indicator for each label, and names of the labels."""
    labels, columns = np.unique(_read_labels(files, path), return_inverse=True)
    return np.eye(len(labels))[columns], [f"label_{label}" for label in labels]


def _read_table(files, path):
    """The numbers of each line, and names of the columns."""
    rows = []
    for number, line in files.lines(path):
        rows.append([_number(files, path, number, x, float) for x in line.split(",")])
        if len(rows[-1]) != len(rows[0]):
            message = f"{len(rows[-1])} columns; expected {len(rows[0])}, as before."
            raise files.error(path, message, number)
    return np.array(rows), [f"attribute_{i}" for i in range(len(rows[0]) if rows else 0)]


def _number(files, path, line, text, kind):
    """A finite number of this kind."""
    try:
        number = kind(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        expected = "an integer" if kind is int else "numbers, separated by commas"
        raise files.error(path, f"{text!r}; expected {expected}.", line)
    return number
