"""Graphs of the TU collection: small files in the very format, and errors."""

import gzip
import re

import numpy as np
import pytest

from otk_sklearn.datasets import fetch_tu_graphs

# Two graphs, of three nodes and of one; numbers are padded with spaces, as in the files.
FILES = {
    "graph_indicator": "1\n1\n1\n2\n",
    "graph_labels": "-1\n1\n",
    "node_labels": "6\n 7\n6\n10\n",
    "node_attributes": " 1.5, -2.0\n10.0,  3.0\n 0.0,  1e-3\n 2.0,  4.0\n",
}


def write(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, text in (FILES | changes).items():
        if text is not None:
            (folder / f"SMALL_{kind}.txt").write_text(text)


@pytest.mark.parametrize("folder", ["SMALL", "tu_graphs/SMALL"])
def test_nodes_are_as_in_the_files(tmp_path, folder):
    write(tmp_path / folder)
    graphs = fetch_tu_graphs(data_home=tmp_path, name="SMALL")
    first = [[1, 0, 0, 1.5, -2], [0, 1, 0, 10, 3], [1, 0, 0, 0, 1e-3]]
    np.testing.assert_array_equal(graphs.data[0], first)
    np.testing.assert_array_equal(graphs.data[1], [[0, 0, 1, 2, 4]])
    np.testing.assert_array_equal(graphs.target, [-1, 1])
    names = ["label_6", "label_7", "label_10", "attribute_0", "attribute_1"]
    assert graphs.feature_names == graphs.data.feature_names.tolist() == names
    assert graphs.filename == str(tmp_path / folder)


@pytest.mark.parametrize(
    ("missing", "n_features"), [("node_attributes", 3), ("node_labels", 2)]
)
def test_nodes_have_labels_or_attributes_or_both(tmp_path, missing, n_features):
    write(tmp_path / "SMALL", **{missing: None})
    graphs = fetch_tu_graphs(data_home=tmp_path, name="SMALL")
    assert graphs.data.n_features == n_features


def test_gzipped_files_are_read(tmp_path):
    write(tmp_path / "SMALL", node_attributes=None)
    packed = gzip.compress(FILES["node_attributes"].encode())
    (tmp_path / "SMALL/SMALL_node_attributes.txt.gz").write_bytes(packed)
    graphs = fetch_tu_graphs(data_home=tmp_path, name="SMALL")
    assert graphs.data[1].tolist() == [[0, 0, 1, 2, 4]]


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("graph_indicator", "1\n2\n1\n2\n", "line 3: graph 1; expected 1 to 2, in asc"),
        ("graph_indicator", "1\n1\n2\n3\n", "line 4: graph 3; expected 1 to 2"),
        ("graph_indicator", "0\n1\n2\n2\n", "line 1: graph 0; expected 1 to 2"),
        ("graph_labels", "1\nx\n", "line 2: 'x'; expected an integer"),
        (
            "node_labels",
            "6\n7\n",
            "node_labels.txt: 2 lines; expected 4, as in SMALL_graph_in",
        ),
        ("node_labels", "6\n7\n6\n1", "line 4: the file is cut short: its last line has"),
        ("node_attributes", "1\n2\n3, 4\n5\n", "line 3: 2 columns; expected 1, as before"),
        ("node_attributes", "1\nnan\n3\n4\n", "line 2: 'nan'; expected numbers"),
        ("node_attributes", "1\n2;3\n3\n4\n", "line 2: '2;3'; expected numbers"),
    ],
)
def test_errors_name_the_line_and_what_is_expected(tmp_path, kind, text, message):
    write(tmp_path / "SMALL", **{kind: text})
    with pytest.raises(ValueError, match=re.escape(message)):
        fetch_tu_graphs(data_home=tmp_path, name="SMALL")


@pytest.mark.parametrize(
    "missing", [["graph_labels"], ["node_labels", "node_attributes"]], ids=str
)
def test_what_is_missing_is_named_with_a_way_to_get_it(tmp_path, missing):
    write(tmp_path / "SMALL", **dict.fromkeys(missing))
    expected = " or ".join(f"SMALL_{k}.txt or SMALL_{k}.txt.gz" for k in missing)
    with pytest.raises(
        FileNotFoundError, match=f"(?s)finds no {expected} in .*graphkernel"
    ):
        fetch_tu_graphs(data_home=tmp_path, name="SMALL")
