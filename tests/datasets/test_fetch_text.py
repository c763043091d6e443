"""Loaders of text files: what they make of small files in the very formats, and errors."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest

from otk_sklearn import datasets
from otk_sklearn.datasets import fetch_deepbind, fetch_scop175, fetch_sst2

LETTERS = "ARNDCQEGHILKMFPSTWYV"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def same_text(text):
    return re.escape(text).replace(r"\ ", " ")


# SST-2

PHRASES = (
    "sentence\tlabel\n"
    'it \'s a " charming " and often affecting journey . \t1\n'
    "unflinchingly bleak and desperate \t0\n"
    "la touche fran\u00e7aise\u2028 \t1\n"
)


@pytest.mark.parametrize("name", ["SST-2/dev.tsv", "sst2/dev.tsv", "sst2/dev.tsv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_phrases_are_as_in_the_file(tmp_path, name, end):
    path = write(tmp_path / name, PHRASES.replace("\n", end))
    check_phrases(fetch_sst2(data_home=str(tmp_path), subset="dev"), path)


def check_phrases(phrases, path):
    assert phrases.data == [
        'it \'s a " charming " and often affecting journey . ',
        "unflinchingly bleak and desperate ",
        "la touche fran\u00e7aise\u2028 ",
    ]
    np.testing.assert_array_equal(phrases.target, [1, 0, 1])
    assert list(phrases.target_names) == ["negative", "positive"]
    assert phrases.filename == str(path)
    assert "67,349" in phrases.DESCR


@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["", "a mark of the order of bytes"])
def test_the_start_tells_whether_a_file_is_gzipped(tmp_path, start):
    path = tmp_path / "sst2/dev.tsv.gz"
    write(path, "").write_bytes((start + PHRASES).encode())
    check_phrases(fetch_sst2(data_home=tmp_path, subset="dev"), path)
    packed = write(tmp_path / "sst2/dev.tsv", gzip.compress((start + PHRASES).encode()))
    check_phrases(fetch_sst2(data_home=tmp_path, subset="dev"), packed)


def test_home_folders_are_known_by_the_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "data/sst2/train.tsv", PHRASES)
    assert len(fetch_sst2(data_home=Path("~/data")).data) == 3


def test_what_is_missing_tells_where_it_can_be_had(tmp_path):
    expected = (
        f"fetch_sst2 finds no train.tsv or train.tsv.gz in {tmp_path}/sst2 or "
        f"{tmp_path}/SST-2. Nothing is downloaded; get the data by\n"
        "  curl -O https://dl.fbaipublicfiles.com/glue/data/SST-2.zip\n"
        f"  unzip SST-2.zip -d {tmp_path}"
    )
    with pytest.raises(FileNotFoundError, match=f"^{same_text(expected)}$"):
        fetch_sst2(data_home=tmp_path)


def test_paths_in_commands_are_quoted(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"SST-2.zip -d '{tmp_path}/my data'$"):
        fetch_sst2(data_home=tmp_path / "my data")


def test_folders_are_not_files(tmp_path):
    path = tmp_path / "sst2/train.tsv"
    path.mkdir(parents=True)
    message = f"{path}: it is a folder; expected a file. If the file is damaged, get it"
    with pytest.raises(ValueError, match=f"^{same_text(message)}"):
        fetch_sst2(data_home=tmp_path)


BAD_PHRASES = {
    "cut short": (
        "sentence\tlabel\na fine film \t1\nit 's a cha",
        'line 3: 1 column, "it \'s a cha"; expected 2, separated by tabs: sentence, label.',
    ),
    "cut short after a label": (
        "sentence\tlabel\na fine film \t1",
        "line 2: the file is cut short: its last line has no end; expected a newline.",
    ),
    "a mark within the file": (
        "sentence\tlabel\na fine film \t\ufeff1\n",
        "line 2: label is '\\ufeff1'; expected 0 or 1.",
    ),
    "a label of another kind": (
        "sentence\tlabel\na fine film \t2\n",
        "line 2: label is '2'; expected 0 or 1.",
    ),
    "no header": (
        "a fine film \t1\n",
        "line 1: the header is 'a fine film \\t1'; expected 'sentence\\tlabel'.",
    ),
    "test data of GLUE": (
        "index\tsentence\n0\tuneasy mishmash\n",
        "line 1: the header is 'index\\tsentence'; expected",
    ),
    "three columns": ("sentence\tlabel\na\tb\t1\n", "line 2: 3 columns, 'a\\tb\\t1'; exp"),
    "an empty line": ("sentence\tlabel\n\n", "line 2: 1 column, ''; expected 2"),
    "a header only": ("sentence\tlabel\n", "there is no row; expected at least one."),
    "nothing": ("", "there is no row; expected at least one."),
    "Latin-1": (
        b"sentence\tlabel\nfran\xe7aise\t1\n",
        "line 2: 'utf-8' codec can't decode byte 0xe7 in position 4",
    ),
}


@pytest.mark.parametrize("case", BAD_PHRASES)
def test_bad_phrases(case, tmp_path):
    text, message = BAD_PHRASES[case]
    path = write(tmp_path / "sst2/train.tsv", text)
    with pytest.raises(ValueError, match=same_text(message)) as caught:
        fetch_sst2(data_home=tmp_path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).endswith(
        "If the file is damaged, get it anew by\n"
        "  curl -O https://dl.fbaipublicfiles.com/glue/data/SST-2.zip\n"
        f"  unzip SST-2.zip -d {tmp_path}"
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "the file is cut short after line [0-9]+; "),
        (lambda data: data[:-5], "the file is cut short after line [0-9]+; expected more"),
        (
            lambda data: data[:40] + b"xxxx" + data[44:],
            r"the file is damaged after line [0-9]+, or .* \(Error -3 .*; expected a file",
        ),
        (
            lambda data: data[:-8] + b"xxxx" + data[-4:],
            r"the file is damaged after line 5001, .* \(CRC check failed .*; expected a ",
        ),
        (
            lambda data: data + b"garbage",
            "or other bytes follow what is compressed .* a file of gzip, and nothing after",
        ),
        (lambda data: b"text", "line 1: the header is 'text'; expected 'sentence"),
        (lambda data: b"", "there is no row; expected at least one."),
    ],
)
def test_damaged_archives(damage, message, tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{word:x} \t1" for word in rng.integers(2**60, size=5000)]
    path = write(tmp_path / "sst2/train.tsv.gz", "\n".join(["sentence\tlabel", *rows, ""]))
    assert len(fetch_sst2(data_home=tmp_path).data) == 5000
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as caught:
        fetch_sst2(data_home=tmp_path)
    assert str(caught.value).startswith(str(path))


# DeepBind

DNA = (
    "FoldID\tEventID\tseq\tBound\n"
    "A\tseq_00002_peak\tCCATACNGGG\t1\n"
    "A\tseq_00002_shuf\tCGGATCACGG\t0\n"
)


@pytest.mark.parametrize("folder", ["encode_tf", "DeepBind/data/encode"])
def test_sequences_of_dna(tmp_path, folder):
    path = write(tmp_path / folder / "MYC_B.seq.gz", DNA)
    dna = fetch_deepbind(data_home=tmp_path, name="MYC", subset="test")
    assert dna.data == ["CCATACNGGG", "CGGATCACGG"]
    assert list(dna.names) == ["seq_00002_peak", "seq_00002_shuf"]
    np.testing.assert_array_equal(dna.target, [1, 0])
    assert dna.filename == str(path)
    assert "ChIP-seq" in dna.DESCR


def test_sequences_for_training_are_those_of_folds_a_and_c(tmp_path):
    write(tmp_path / "encode_tf/MYC_AC.seq.gz", DNA[:-2] + "1\n")
    np.testing.assert_array_equal(
        fetch_deepbind(data_home=tmp_path, name="MYC").target, [1, 1]
    )


def test_names_that_are_there_are_listed(tmp_path):
    for i in range(12):
        write(tmp_path / f"encode_tf/TF{i:02}_B.seq.gz", DNA)
    expected = (
        "name is 'MYC', and there is no MYC_B.seq.gz; expected one of 'TF00', 'TF01', "
        "'TF02', 'TF03', 'TF04', 'TF05', 'TF06', 'TF07', 'TF08', 'TF09', or 2 more."
    )
    with pytest.raises(FileNotFoundError, match=f"^{same_text(expected)}$"):
        fetch_deepbind(data_home=tmp_path, name="MYC", subset="test")


@pytest.mark.parametrize("others", [[], ["MAX_AC.seq.gz"]], ids=str)
def test_a_name_of_the_other_subset_is_told(tmp_path, others):
    for name in ["MYC_B.seq.gz", *others]:
        write(tmp_path / "encode_tf" / name, DNA)
    expected = (
        "subset is 'train', and MYC is there for 'test' only; expected MYC_AC.seq.gz. "
        "Nothing is downloaded; get the data by\n  git clone https://github.com/jisraeli"
    )
    with pytest.raises(FileNotFoundError, match=f"^{same_text(expected)}"):
        fetch_deepbind(data_home=tmp_path, name="MYC")
    if not others:
        with pytest.raises(FileNotFoundError, match="finds no MAX_AC.seq.gz in [^$]*git "):
            fetch_deepbind(data_home=tmp_path, name="MAX")


BAD_DNA = {
    "protein": (
        DNA.replace("CGGATC", "CGGMTC"),
        "line 3: seq has the unknown letter 'M'; expected letters of ACGTN.",
    ),
    "no sequence": (DNA.replace("CGGATCACGG", ""), "line 3: seq is empty; expected"),
    "affinities": (DNA.replace("\t0", "\t.25"), "line 3: Bound is '.25'; expected 0 or 1."),
    "SELEX": (DNA.replace("FoldID\t", "Fold\t"), "line 1: the header is 'Fold\\tEventID"),
    "cut short": (
        DNA[:-12],
        "line 3: 3 columns, 'A\\tseq_00002_shuf\\tC'; expected 4, "
        "separated by tabs: FoldID, EventID, seq, Bound.",
    ),
}


@pytest.mark.parametrize("case", BAD_DNA)
def test_bad_dna(case, tmp_path):
    text, message = BAD_DNA[case]
    path = write(tmp_path / "encode_tf/MYC_AC.seq.gz", text)
    with pytest.raises(ValueError, match=same_text(f"{path}, {message}")):
        fetch_deepbind(data_home=tmp_path, name="MYC")


# SCOP 1.75

LIST = "d1dlya_\t5\ta.1.1.1\ta.1\nd1jou.1\t3\tb.40.2.1\tb.40\nd1myta_\t4\ta.1.1.2\ta.1\n"
FOLDS = "Fold\tLabel\na.1\t0\na.2\t1\nb.40\t2\n"
# Lines of any length, in small letters or capitals, and domains that are not in the list.
FASTA = (
    ">d1dlya_ a.1.1.1 (A:) Protozoan hemoglobin {Green alga [TaxId: 3054]} \nSLF\nAK\n"
    ">d1outa_ a.1.1.2\nWWWWWW\n"
    ">d1jou.1 b.40.2.1 (A:,B:)\nxyv\n"
    ">d1myta_ a.1.1.2\nADFD\n"
)
SEQUENCES = ["SLFAK", "XYV", "ADFD"]


def one_hot(sequence):
    rows = [[float(letter == x) for x in LETTERS] for letter in sequence]
    return np.array(rows, np.float32)


def write_scop(home, folder="scop175", subset="Testdata", **files):
    texts = {".list": LIST, ".fasta": FASTA} | files
    for ending, text in texts.items():
        write(home / folder / f"{subset}{ending}", text)
    write(home / folder / "fold_label_relation2.txt", FOLDS)


@pytest.mark.parametrize(
    ("subset", "stem"),
    [
        ("train", "Traindata"),
        ("test", "Testdata"),
        ("test_id40", "Testdata_id40againstTrain"),
        ("scop206", "SCOP206"),
    ],
)
@pytest.mark.parametrize("folder", ["scop175", "DeepSF/datasets"])
def test_domains_are_sets_of_residues(tmp_path, subset, stem, folder):
    write_scop(tmp_path, folder, stem)
    domains = fetch_scop175(data_home=tmp_path, subset=subset)
    assert domains.data.values.dtype == np.float32
    for x, sequence in zip(domains.data, SEQUENCES, strict=True):
        np.testing.assert_array_equal(x, one_hot(sequence))
    assert list(domains.data.names) == ["d1dlya_", "d1jou.1", "d1myta_"]
    assert list(domains.names) == list(domains.data.names)
    assert list(domains.data.feature_names) == list(LETTERS)
    np.testing.assert_array_equal(domains.target, [0, 2, 0])
    assert list(domains.target_names) == ["a.1", "a.2", "b.40"]
    assert domains.filename == str(tmp_path / folder / f"{stem}.list")
    assert "14,699" in domains.DESCR


def test_one_file_may_have_all_sequences(tmp_path):
    """As DeepSF's site has it, and lists in a folder of the repository."""
    folder = tmp_path / "DeepSF/datasets/D1_SimilarityReduction_dataset"
    write(folder / "Testdata_id70againstTrain.list", LIST)
    write(tmp_path / "DeepSF/datasets/fold_label_relation2.txt", FOLDS)
    write(tmp_path / "scop175/PDB_SCOP95_seq_scop1.75.txt", FASTA)
    domains = fetch_scop175(data_home=tmp_path, subset="test_id70")
    np.testing.assert_array_equal(domains.data.values, one_hot("".join(SEQUENCES)))


def test_lengths_in_one_of_the_lists_are_those_of_first_lines(tmp_path):
    """So that the list of all test domains is read for them."""
    first, *rest = LIST.splitlines(keepends=True)
    write_scop(tmp_path, subset="Testdata_id25againstTrain", **{
        ".list": first.replace("\t5", "\t3") + rest[1]
    })  # fmt: skip
    with pytest.raises(FileNotFoundError, match=r"finds no Testdata.list in "):
        fetch_scop175(data_home=tmp_path, subset="test_id25")
    write(tmp_path / "scop175/Testdata.list", "".join(rest[::-1]) + first)
    domains = fetch_scop175(data_home=tmp_path, subset="test_id25")
    np.testing.assert_array_equal(domains.data.lengths, [5, 4])

    path = tmp_path / "scop175/Testdata_id25againstTrain.fasta"
    path.write_text(FASTA.replace("SLF\n", ""))
    message = f"{path}: domain d1dlya_ has 2 residues; expected 5."
    with pytest.raises(ValueError, match=same_text(message)):
        fetch_scop175(data_home=tmp_path, subset="test_id25")

    all_domains = write(tmp_path / "scop175/Testdata.list", "".join(rest))
    message = f".list, line 1: domain is d1dlya_; expected one of those in {all_domains}."
    with pytest.raises(ValueError, match=same_text(message)):
        fetch_scop175(data_home=tmp_path, subset="test_id25")


BAD_LISTS = {
    "cut short": (
        LIST[:-5],
        "Testdata.list, line 3: 3 columns, 'd1myta_\\t4\\ta.1.1.2'; "
        "expected 4, separated by tabs: domain, length, family, fold.",
    ),
    "cut short in a fold": (
        LIST[:-2],
        "Testdata.list, line 3: family is 'a.1.1.2'; expected one of fold a..",
    ),
    "a fold and another family": (
        LIST.replace("b.40\n", "b.4\n"),
        "Testdata.list, line 2: family is 'b.40.2.1'; expected one of fold b.4.",
    ),
    "an unknown fold": (
        LIST.replace("b.40", "c.1"),
        "Testdata.list, line 2: fold is 'c.1'; expected one of those in ",
    ),
    "no length": (
        LIST.replace("\t3", "\t?"),
        "Testdata.list, line 2: length is '?'; expected an integer of at least 0.",
    ),
    "a domain twice": (
        LIST.replace("d1myta_", "d1dlya_"),
        "Testdata.list, line 3: domain d1dlya_ is in line 1, too; expected it once.",
    ),
    "domains without sequences": (
        LIST + "d2bbba_\t4\ta.1.1.2\ta.1\n",
        "Testdata.fasta: 1 of the 4 domains of ",
    ),
    "another length": (
        LIST.replace("\t3", "\t7"),
        "Testdata.fasta: domain d1jou.1 has 3 residues; expected 7.",
    ),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_bad_lists(case, tmp_path):
    text, message = BAD_LISTS[case]
    write_scop(tmp_path, **{".list": text})
    with pytest.raises(ValueError, match=same_text(f"{tmp_path}/scop175/{message}")):
        fetch_scop175(data_home=tmp_path, subset="test")


BAD_SEQUENCES = {
    "an unknown letter": (
        FASTA.replace("xyv", "x?v"),
        ", line 7: the sequence of d1jou_1 "
        f"has the unknown letter '?'; expected letters of {LETTERS}BJOUXZ.",
    ),
    "an empty line": (
        FASTA.replace("xyv", "\nxyv"),
        ", line 7: the sequence of d1jou_1 is empty; expected letters of",
    ),
    "cut short": (
        FASTA[:-3],
        ", line 9: the file is cut short: its last line has no end; expected a newline.",
    ),
    "cut short by a line": (
        FASTA.replace("ADFD\n", "AD\n"),
        ": domain d1myta_ has 2 residues; expected 4.",
    ),
    "cut short before a sequence": (FASTA[:-5], ": 1 of the 3 domains of "),
    "no name": (
        FASTA.replace(">d1outa_ a.1.1.2", "> "),
        ", line 4: '> ' names no new domain; expected one after '>'.",
    ),
    "a name twice": (
        FASTA.replace("d1outa_", "d1dlya_"),
        ", line 4: '>d1dlya_ a.1.1.2' names no new domain; expected one after '>'.",
    ),
    "no first name": (
        FASTA[1:],
        ", line 1: 'd1dlya_ a.1.1.1 (A:) Protozoan hemoglobi' "
        "comes first; expected '>' and the name of a domain.",
    ),
}


@pytest.mark.parametrize("case", BAD_SEQUENCES)
def test_bad_sequences(case, tmp_path):
    text, message = BAD_SEQUENCES[case]
    write_scop(tmp_path, **{".fasta": text})
    path = tmp_path / "scop175/Testdata.fasta"
    with pytest.raises(ValueError, match=same_text(f"{path}{message}")):
        fetch_scop175(data_home=tmp_path, subset="test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Fold\tLabel\na.1\t0\na.2\t2\n", "line 3: a.2 has label 2; expected a new fold, "),
        ("Fold\tLabel\na.1\t0\na.1\t1\n", "line 3: a.1 has label 1; expected a new fold, "),
        ("a.1\t0\n", "line 1: the header is 'a.1\\t0'; expected 'Fold\\tLabel'."),
    ],
)
def test_bad_labels_of_folds(text, message, tmp_path):
    write_scop(tmp_path)
    path = write(tmp_path / "scop175/fold_label_relation2.txt", text)
    with pytest.raises(ValueError, match=same_text(f"{path}, {message}")):
        fetch_scop175(data_home=tmp_path, subset="test")


def test_where_sequences_can_be_had(tmp_path):
    write(tmp_path / "scop175/Traindata.list", LIST)
    write(tmp_path / "scop175/SCOP206.list", LIST)
    write(tmp_path / "scop175/fold_label_relation2.txt", FOLDS)
    address = "http://iris.rnet.missouri.edu/DeepSF/download/PDB_SCOP95_seq_scop1.75.txt"
    message = "finds no Traindata.fasta or PDB_SCOP95_seq_scop1.75.txt in "
    with pytest.raises(FileNotFoundError, match=rf"{message}[^$]*{address}$"):
        fetch_scop175(data_home=tmp_path)
    message = 'finds no SCOP206.fasta in [^$]*or take features="profile".$'
    with pytest.raises(FileNotFoundError, match=message):
        fetch_scop175(data_home=tmp_path, subset="scop206")
    address = "https://github.com/multicom-toolbox/DeepSF"
    with pytest.raises(FileNotFoundError, match=f"Testdata.list in [^$]*{address} "):
        fetch_scop175(data_home=tmp_path, subset="test")


def numbered(values):
    return " ".join(f"{i}:{value:g}" for i, value in enumerate(values, start=1))


def write_profiles(home):
    """Write files as DeepSF has them, and return the 45 features of each domain."""
    rng = np.random.default_rng(0)
    features = home / "scop175/features"
    domains = []
    for name, sequence in zip(["d1dlya_", "d1jou_1", "d1myta_"], ["SLFAK", "AYV", "ADFD"]):
        letters = one_hot(sequence)
        structure = np.eye(3)[rng.integers(3, size=len(sequence))]
        accessibility = np.eye(2)[rng.integers(2, size=len(sequence))]
        scores = rng.integers(-8, 17, size=(len(sequence), 20))
        rows = numbered(np.hstack([letters, structure, accessibility]).ravel())
        path = features / f"Feature_aa_ss_sa/{name}.fea_aa_ss_sa"
        write(path, f">{name}\n12\t{rows}\n")
        path = features / f"PSSM_Fea/{name}.pssm_fea"
        write(path, f">{name}\n0\t{numbered(scores.ravel())}\n")
        domains.append(np.hstack([letters, scores, structure, accessibility]))
    return domains


@pytest.mark.parametrize("subset", ["test", "test_id25"])
def test_profiles_are_put_together(tmp_path, subset):
    is_id25 = subset == "test_id25"
    write_scop(tmp_path)
    if is_id25:
        write_scop(tmp_path, subset="Testdata_id25againstTrain")
    expected = write_profiles(tmp_path)
    domains = fetch_scop175(data_home=tmp_path, subset=subset, features="profile")
    assert domains.data.values.dtype == np.float32
    for x, rows in zip(domains.data, expected, strict=True):
        np.testing.assert_array_equal(x, rows)
    assert len(domains.data.feature_names) == 45
    assert list(domains.data.feature_names[[0, 19, 20, 39, 40, 44]]) == [
        "A", "V", "pssm_A", "pssm_V", "ss_coil", "sa_buried"
    ]  # fmt: skip
    np.testing.assert_array_equal(domains.target, [0, 2, 0])


BAD_FEATURES = {
    "cut short": (
        lambda text: text.partition(" 98:")[0] + "\n",
        ", line 2: there are 97 features; expected 25 a residue.",
    ),
    "cut short by residues": (
        lambda text: text.partition(" 76:")[0] + "\n",
        ": domain d1myta_ has 3 residues; expected 4.",
    ),
    "cut short in a pair": (
        lambda text: text.rstrip()[:-1] + "\n",
        ", line 2: feature 100 is '100:'; expected '100:' and a number.",
    ),
    "cut short in a number": (
        lambda text: text.rstrip() + "1",
        ", line 2: the file is cut short: its last line has no end; expected a newline.",
    ),
    "another domain": (
        lambda text: text.replace("d1myta_", "d1outa_"),
        ", line 1: '>d1outa_' names another domain; expected '>d1myta_'.",
    ),
    "a number that is left out": (
        lambda text: text.replace(" 7:0 ", " "),
        ", line 2: feature 7 is '8:0'; expected '7:' and a number.",
    ),
    "no number": (lambda text: text.replace(" 7:0 ", " 7:? "), ", line 2: feature 7 is '7"),
    "infinity": (lambda text: text.replace(" 7:0 ", " 7:inf "), ", line 2: feature 7 is "),
    "infinity in float64": (
        lambda text: text.replace(" 7:0 ", " 7:1e999 "),
        ", line 2: feature 7 is '7:1e999'; expected '7:' and a number.",
    ),
    "infinity in float32": (
        lambda text: text.replace(" 7:0 ", " 7:-1e60 "),
        ", line 2: feature 7 is '7:-1e60'; expected '7:' and a number.",
    ),
    "two colons": (
        lambda text: text.replace(" 7:0 8:", " 7:0:8 "),
        ", line 2: feature 7 is '7:0:8'; expected '7:' and a number.",
    ),
    "digits as in Python": (
        lambda text: text.replace(" 7:0 ", " 7:1_0 "),
        ", line 2: feature 7 is '7:1_0'; expected '7:' and a number.",
    ),
    "one line": (
        lambda text: text.partition("\n")[2],
        ": expected two lines: '>' and the name, then a label, a tab, features.",
    ),
    "no label": (lambda text: text.replace("\t", " "), ": expected two lines: '>' and the"),
    "no features": (
        lambda text: text.partition("\t")[0] + "\t\n",
        ", line 2: there are 0 features; expected 25 a residue.",
    ),
}


@pytest.mark.parametrize("case", BAD_FEATURES)
def test_bad_features(case, tmp_path):
    damage, message = BAD_FEATURES[case]
    write_scop(tmp_path)
    write_profiles(tmp_path)
    path = tmp_path / "scop175/features/Feature_aa_ss_sa/d1myta_.fea_aa_ss_sa"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=same_text(f"{path}{message}")):
        fetch_scop175(data_home=tmp_path, subset="test", features="profile")


def test_both_files_of_features_have_the_same_residues(tmp_path):
    write_scop(tmp_path)
    write_profiles(tmp_path)
    path = tmp_path / "scop175/features/PSSM_Fea/d1dlya_.pssm_fea"
    path.write_text(path.read_text().partition(" 81:")[0] + "\n")
    message = f"{path}: domain d1dlya_ has 4 residues; expected 5."
    with pytest.raises(ValueError, match=same_text(message)):
        fetch_scop175(data_home=tmp_path, subset="test", features="profile")
    path.unlink()
    message = "finds no d1dlya_.pssm_fea in [^$]*DeepSF/datasets/features/PSSM_Fea.tar.gz"
    with pytest.raises(FileNotFoundError, match=message):
        fetch_scop175(data_home=tmp_path, subset="test", features="profile")


# All of them


@pytest.mark.parametrize(
    "name", ["fetch_sst2", "fetch_scop175", "fetch_deepsea", "fetch_deepbind"]
)
def test_parameters_are_validated(name, tmp_path):
    fetch = getattr(datasets, name)
    arguments = {"name": "MYC"} if name == "fetch_deepbind" else {}
    with pytest.raises(ValueError, match=f"'subset' parameter of {name}"):
        fetch(data_home=tmp_path, subset="all", **arguments)
    with pytest.raises(ValueError, match=f"'data_home' parameter of {name}"):
        fetch(data_home=3, **arguments)
    assert not os.listdir(tmp_path)
