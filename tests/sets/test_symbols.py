"""Letters of proteins and DNA, and words, as sets of their vectors."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from otk_sklearn import SetCollection, SetPooling

SEQUENCES = ["GATTACA", "TA", "C"]
NAMES = ["first", "second", "third"]
ONE_HOT = [np.array([[s == letter for letter in "ACGT"] for s in x]) for x in SEQUENCES]
FASTA = """
>first  of Gattaca
GATT
ACA

>second
ta
>third\r
C\r
"""


def assert_same_sets(collection, sets):
    assert [x.tolist() for x in collection] == [np.asarray(x).tolist() for x in sets]


@pytest.mark.parametrize(
    ("sequences", "names"),
    [
        (SEQUENCES, None),
        (tuple(SEQUENCES), None),
        (np.array(SEQUENCES), None),
        (np.array(SEQUENCES, object), None),
        ([list(x) for x in SEQUENCES], None),
        ([x.lower() for x in SEQUENCES], None),
        (dict(zip(NAMES, SEQUENCES)), NAMES),
        (pd.Series(SEQUENCES, index=NAMES), NAMES),
        (FASTA, NAMES),
    ],
)
@pytest.mark.parametrize("letters", ["ACGT", list("ACGT"), dict(zip("ACGT", np.eye(4)))])
def test_one_hot_vectors(sequences, names, letters):
    X = SetCollection.from_sequences(sequences, letters)
    assert_same_sets(X, ONE_HOT)
    assert (None if X.names is None else X.names.tolist()) == names
    has_names = not isinstance(letters, dict)
    assert (X.feature_names is not None) == has_names
    if has_names:
        assert X.feature_names.tolist() == list("ACGT")
    named = SetCollection.from_sequences(sequences, letters, names=[7, 8, 9])
    assert named.names.tolist() == [7, 8, 9]


def test_vectors_of_residues():
    table = pd.DataFrame(
        {"hydropathy": [1.8, 2.5, -0.4], "charge": [0.0, 0.0, 1.0]}, index=list("ACK")
    )
    rows = dict(zip(table.index, table.to_numpy()))
    expected = [[rows[letter] for letter in x] for x in ["KAC", "CC"]]
    for vectors in [table, rows, {letter: x.tolist() for letter, x in rows.items()}]:
        X = SetCollection.from_sequences(["KAC", "CC"], vectors)
        assert_same_sets(X, expected)
    assert SetCollection.from_sequences(["A"], table).feature_names.tolist() == [
        "hydropathy",
        "charge",
    ]
    scale = table["hydropathy"]
    for vectors in [scale, scale.to_dict()]:
        X = SetCollection.from_sequences(["KAC"], vectors)
        assert_same_sets(X, [[[-0.4], [1.8], [2.5]]])
    half = {"A": np.ones(2, np.float32), "C": np.zeros(2, np.float16)}
    assert SetCollection.from_sequences(["AC"], half).dtype == np.float32


def test_words():
    vectors = {"good": [1.0, 0.0], "film": [0.0, 1.0], "A": [2.0, 2.0]}
    X = SetCollection.from_sequences([["A", "good", "film"], ["film"]], vectors)
    assert_same_sets(X, [[[2, 2], [1, 0], [0, 1]], [[0, 1]]])
    with pytest.raises(ValueError, match=r"set 0 of sequences has 'Film' \(element 0\)"):
        SetCollection.from_sequences([["Film"]], vectors)


def test_letters_of_both_cases():
    """As in FASTA, unless each case has vectors of its own: insertions of A3M, say."""
    assert_array_equal(SetCollection.from_sequences(["aA"], "A").values, [[1], [1]])
    assert_array_equal(SetCollection.from_sequences(["aA"], "a").values, [[1], [1]])
    assert_array_equal(SetCollection.from_sequences(["aA"], "Aa").values, [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("vectors", "line"),
    [
        (
            "ACGT",
            "pd.DataFrame(np.eye(4), [*'ACGT'], [*'ACGT'])"
            ".reindex([*'ACGT*NX'], fill_value=1 / 4)",
        ),
        (list("ACGT"), "vectors=[*vectors, *['*', 'N', 'X']]"),
        (
            dict(zip("ACGT", np.eye(4))),
            "{**dict.fromkeys(['*', 'N', 'X'], np.mean(list(vectors.values()), axis=0)), "
            "**vectors}",
        ),
        (
            pd.DataFrame(np.eye(4), index=list("ACGT")),
            "vectors.reindex([*vectors.index, *['*', 'N', 'X']]).fillna(vectors.mean())",
        ),
    ],
    ids=lambda x: type(x).__name__,
)
def test_unknown_letters(vectors, line):
    sequences = {"a": "AC", "b": "GXN*", "c": "N"}
    message = (
        r"set 1 of sequences \('b'\) has 'X' \(element 1\), which has no vector; 2 of 3 "
        rf"sequences have such symbols, '\*', 'N', 'X'. Expected .*{re.escape(line)}\.$"
    )
    with pytest.raises(ValueError, match=message):
        SetCollection.from_sequences(sequences, vectors)
    names = {"vectors": vectors, "np": np, "pd": pd}
    more = eval(line.removeprefix("vectors="), names)  # noqa: S307
    X = SetCollection.from_sequences(sequences, more)
    assert X.lengths.tolist() == [2, 4, 1]
    if not isinstance(vectors, list):
        assert_array_equal(X[2], [[0.25] * 4])
    else:
        assert_array_equal(X[2], [[0, 0, 0, 0, 0, 1, 0]])


@pytest.mark.parametrize("letters", ["ACGT", list("ACGT"), dict(zip("ACGT", np.eye(4)))])
def test_letters_are_left_out_by_a_line_of_the_error(letters):
    """For letters that a fitted model doesn't know, such as stops and gaps."""
    sequences = ["A-C.*", "AC"]
    message = r"'\*', '-', '.'. Expected .*, or sequences without: (.*)\.$"
    with pytest.raises(ValueError, match=message) as caught:
        SetCollection.from_sequences(sequences, letters)
    line = re.search(message, str(caught.value))[1]
    assert eval(line, {"sequences": sequences}) == ["AC", "AC"]  # noqa: S307
    with pytest.raises(ValueError, match="letters of fit, vectors='ACGT-'; for a fitted"):
        SetCollection.from_sequences({"a": "A-"}, "ACGT")
    assert SetCollection.from_sequences(sequences, "ACGT-.*").lengths.tolist() == [5, 2]


def test_spaces_and_digits_are_never_letters():
    sequences = ["1 AC\n", "ACX"]
    message = r"Expected sequences without spaces, ends of lines and digits: (.*)\.$"
    with pytest.raises(ValueError, match=message) as caught:
        SetCollection.from_sequences(sequences, "ACGT")
    line = re.search(message, str(caught.value))[1]
    assert eval(line, {"sequences": sequences}) == ["AC", "ACX"]  # noqa: S307
    with pytest.raises(ValueError, match=r"ends of lines and digits\.$"):
        SetCollection.from_sequences(">a\nAC1", "ACGT")


def test_letters_as_columns_are_told_from_unknown_ones():
    table = pd.DataFrame(np.eye(4), columns=list("ACGT"))
    for sequence in ["AC", "ca", "XA"]:
        with pytest.raises(
            ValueError, match=r"not a column, for each letter: vectors\.T\."
        ):
            SetCollection.from_sequences([sequence], table)
    assert_array_equal(SetCollection.from_sequences(["CA"], table.T)[0], np.eye(4)[[1, 0]])


def test_tables_of_sequences():
    table = pd.DataFrame({"id": ["a", "b"], "seq": ["AC", "G"]})
    cases = [table, table[["seq"]], pl.from_pandas(table)]
    for sequences, names in zip(cases, [["a", "b"], [0, 1], ["a", "b"]]):
        message = r"table with the columns \[.*'seq'\]; expected .* of them: (.*)\.$"
        with pytest.raises(TypeError, match=message) as caught:
            SetCollection.from_sequences(sequences, "ACGT")
        line = re.search(message, str(caught.value))[1]
        one = eval(line, {"sequences": sequences})  # noqa: S307
        X = SetCollection.from_sequences(one, "ACGT")
        assert X.lengths.tolist() == [2, 1]
        assert X.names.tolist() == names


def test_one_record_of_each_name_is_kept_by_a_line_of_the_error():
    sequences = ">a 1->2\nAC\n>b\nG\n>a\nACT\n"
    message = r"records 0 and 2 of the name 'a'; .*: names=range\(3\)\. .* name: (.*)\.$"
    with pytest.raises(ValueError, match=message) as caught:
        SetCollection.from_sequences(sequences, "ACGT")
    line = re.search(message, str(caught.value))[1]
    text = eval(line, {"sequences": sequences})  # noqa: S307
    X = SetCollection.from_sequences(text, "ACGT")
    assert (X.names.tolist(), X.lengths.tolist()) == (["a", "b"], [3, 1])
    assert len(SetCollection.from_sequences(sequences, "ACGT", names=range(3))) == 3


def test_empty_and_missing_sequences():
    for missing in ["", None, np.nan, []]:
        X = SetCollection.from_sequences([missing, "AC"], "ACGT")
        assert X.lengths.tolist() == [0, 2]
        assert X.n_features == 4
    assert SetCollection.from_sequences([""], "ACGT").values.shape == (0, 4)
    with pytest.raises(ValueError, match="sequences is empty; expected at least one"):
        SetCollection.from_sequences([], "ACGT")


@pytest.mark.parametrize(
    ("sequences", "vectors", "message"),
    [
        ("ACGT", "ACGT", r"sequences is str, 'ACGT'; .* \(of one: \[sequences\]\)"),
        (Path("a.fasta"), "ACGT", r"expected text, .*, Path\(sequences\).read_text\(\)"),
        (b">a\nAC", "ACGT", "sequences is bytes; expected text"),
        (["A", 3], "ACGT", "set 1 of sequences is int; expected a str, or a list"),
        (["A", [["A"]]], "ACGT", r"set 1 of sequences has \['A'\] \(element 0\)"),
        (["A"], np.eye(4), "vectors is numpy.ndarray; expected letters such as 'ACGT'"),
        (["A"], None, "vectors is NoneType; expected letters"),
        (["A"], "", "vectors is empty"),
        (["A"], "ACA", "vectors has 'A' twice"),
        (
            ["A"],
            {"A": [1, 2], "C": [1]},
            r"vector of 'C' has shape \(1,\), the first \(2,\)",
        ),
        (["A"], {"A": 1.0, "C": np.inf}, "vectors has NaN or infinity for 'C'"),
        (["A"], {"A": "x"}, "the vector of 'A' .*; expected real numbers|is no array"),
        (">a\nA\n>a\nC", "AC", "records 0 and 1 of the name 'a'; expected unique names"),
    ],
)
def test_what_is_no_sequence_of_letters(sequences, vectors, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SetCollection.from_sequences(sequences, vectors)


def test_composition_of_a_fasta_file(tmp_path):
    file = tmp_path / "genes.fasta"
    file.write_text(FASTA)
    X = SetCollection.from_sequences(file.read_text(), "ACGT")
    composition = SetPooling().set_output(transform="pandas").fit_transform(X)
    assert composition.loc["first", "mean_T"] == 2 / 7


def test_lines_and_bytes_of_a_file_are_told_from_its_text():
    lines = [">first\n", "ACGT\n"]
    with pytest.raises(TypeError, match=re.escape("file.read(), or of a list of lines")):
        SetCollection.from_sequences(lines, "ACGT")
    assert len(SetCollection.from_sequences("\n".join(lines), "ACGT")) == 1
    with pytest.raises(TypeError, match=r"expected text, .*, sequences\.decode\(\)\."):
        SetCollection.from_sequences(b">first\nACGT", "ACGT")
    with pytest.raises(TypeError, match=r"Path\(sequences\)\.read_text\(\)"):
        SetCollection.from_sequences("proteins.fasta", "ACGT")


def test_errors_have_the_names_of_sequences():
    X = SetCollection.from_sequences(">first\nAC\n>second\n", {"A": 1.0, "C": 2.0})
    with pytest.raises(ValueError, match=r"set 1 of X, named 'second', is empty; expected"):
        SetPooling().fit(X)
    X = X.with_values([[1.0], [np.nan]])
    with pytest.raises(ValueError, match=r"NaN in set 0, named 'first' \(element 1"):
        SetPooling().fit(X[:1])
