"""Blocks of DeepSEA are the arrays in files of MATLAB, as SciPy and h5py have them."""

import pickle
import re
import struct
import sys
import tracemalloc

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from otk_sklearn import OTKEmbedding
from otk_sklearn.batches import SetSampler, iter_sets
from otk_sklearn.datasets import fetch_deepsea

MAT5_KINDS = ["compressed", "plain"]


def make_arrays(subset="valid", n_sequences=21, seed=0):
    """Arrays in the order of axes of MATLAB: sequences, bases, positions."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(5, size=(n_sequences, 1000))  # of which one is an unknown base
    sequences = np.eye(5, 4, dtype=np.uint8)[codes].transpose(0, 2, 1)
    labels = (rng.random((n_sequences, 919)) < 0.1).astype(np.uint8)
    return {f"{subset}xdata": np.ascontiguousarray(sequences), f"{subset}data": labels}


def write_mat5(home, arrays, subset="valid", kind="compressed"):
    path = home / "deepsea_train" / f"{subset}.mat"
    path.parent.mkdir(exist_ok=True)
    savemat(path, arrays, do_compression=kind == "compressed")
    return path


def write_hdf5(home, arrays, subset="train", chunks=None, label_chunks=None):
    """Write a file as MATLAB 7.3 does: axes are in reverse order, after 512 bytes."""
    path = home / "deepsea_train" / f"{subset}.mat"
    path.parent.mkdir(exist_ok=True)
    layouts = {f"{subset}xdata": chunks, f"{subset}data": label_chunks}
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            layout = layouts.get(name)
            options = {} if layout is None else {"chunks": layout, "compression": "gzip"}
            file.create_dataset(name, data=array.T, **options)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon May 12 2014 ")
    return path


def check_equal(blocks, arrays, subset, batch_size):
    """Compare all blocks with arrays in the order of axes of MATLAB."""
    n = len(arrays[f"{subset}data"])
    starts = range(0, n, batch_size)
    read = list(blocks)
    assert len(read) == len(blocks) == len(starts)
    for start, (X, y) in zip(starts, read):
        rows = slice(start, start + batch_size)
        expected = arrays[f"{subset}xdata"][rows].transpose(0, 2, 1)
        np.testing.assert_array_equal(X, expected)
        np.testing.assert_array_equal(y, arrays[f"{subset}data"][rows])
        assert X.dtype == np.float32
        assert y.dtype == np.uint8
        assert X.flags.c_contiguous
        assert y.flags.c_contiguous


@pytest.mark.parametrize("batch_size", [1, 5, 8, 21, 100])
@pytest.mark.parametrize("kind", MAT5_KINDS)
@pytest.mark.parametrize("subset", ["valid", "test"])
def test_blocks_are_what_scipy_loads(tmp_path, kind, batch_size, subset):
    path = write_mat5(tmp_path, make_arrays(subset), subset, kind)
    blocks = fetch_deepsea(data_home=tmp_path, subset=subset, batch_size=batch_size)
    for _ in range(2):
        check_equal(blocks, loadmat(path), subset, batch_size)
    assert (blocks.n_sequences, blocks.filename) == (21, str(path))
    assert repr(blocks) == (
        f"DeepSEABlocks(filename={str(path)!r}, n_sequences=21, batch_size={batch_size})"
    )


@pytest.mark.parametrize("dtype", [float, np.float32, np.int64, np.int8, bool, ">u2"])
@pytest.mark.parametrize("kind", MAT5_KINDS)
def test_zeros_and_ones_may_be_numbers_of_any_type(tmp_path, dtype, kind):
    arrays = {name: x.astype(dtype) for name, x in make_arrays().items()}
    path = write_mat5(tmp_path, arrays, kind=kind)
    blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=10)
    check_equal(blocks, loadmat(path), "valid", 10)


def test_what_else_is_in_a_file_is_left_alone(tmp_path):
    others = {"a_text": "text", "a_list": [{"x": 1}, "y"], "z": np.eye(2) * 1j}
    path = write_mat5(tmp_path, others | make_arrays() | {"zz": np.arange(3)})
    blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=10)
    check_equal(blocks, loadmat(path), "valid", 10)


def swap_bytes_of_head(data):
    """A plain file of uint8, as a big-endian machine writes it."""
    words = bytearray(data)

    def swap(start, size=4):
        words[start : start + size] = words[start : start + size][::-1]

    swap(124, 2)
    swap(126, 2)
    start = 128
    while start < len(words):
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        n_axes = int.from_bytes(data[start + 28 : start + 32], "little") // 4
        name = start + 32 + -(-4 * n_axes // 8) * 8
        length = int.from_bytes(data[name + 4 : name + 8], "little")
        numbers = name + 8 + -(-length // 8) * 8
        whole = [start, start + 8, start + 16, start + 24, name, numbers]
        for word in whole:
            swap(word)
            swap(word + 4)
        for axis in range(n_axes):
            swap(start + 32 + 4 * axis)
        start += 8 + size
    return bytes(words)


def test_bytes_may_be_in_the_other_order(tmp_path):
    path = write_mat5(tmp_path, make_arrays(), kind="plain")
    expected = loadmat(path)
    path.write_bytes(swap_bytes_of_head(path.read_bytes()))
    np.testing.assert_array_equal(loadmat(path)["validdata"], expected["validdata"])
    blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=10)
    check_equal(blocks, expected, "valid", 10)


@pytest.mark.parametrize("batch_size", [1, 5, 21])
@pytest.mark.parametrize(
    ("chunks", "label_chunks"),
    [
        (None, None),
        ((1000, 4, 1), (919, 1)),
        ((16, 1, 21), (1, 21)),
        ((300, 3, 4), (500, 13)),
        ((1000, 4, 8), None),
    ],
)
def test_chunks_may_be_of_any_shape(tmp_path, chunks, label_chunks, batch_size):
    arrays = make_arrays("train")
    write_hdf5(tmp_path, arrays, chunks=chunks, label_chunks=label_chunks)
    blocks = fetch_deepsea(data_home=tmp_path, batch_size=batch_size)
    check_equal(blocks, arrays, "train", batch_size)


def test_slabs_are_cut_where_chunks_are_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("otk_sklearn.datasets._packed_bits._MAX_SLAB_LENGTH", 6)
    arrays = make_arrays("train")
    write_hdf5(tmp_path, arrays, chunks=(100, 4, 21), label_chunks=(919, 21))
    check_equal(fetch_deepsea(data_home=tmp_path, batch_size=5), arrays, "train", 5)


def test_no_chunk_is_read_twice_for_blocks_in_their_order(tmp_path, monkeypatch):
    """Which would be to decompress it again."""
    write_hdf5(tmp_path, make_arrays("train"), chunks=(500, 2, 8), label_chunks=(919, 8))
    blocks = fetch_deepsea(data_home=tmp_path, batch_size=3)
    read = []
    getitem = h5py.Dataset.__getitem__

    def spy(self, key):
        if self.name == "/trainxdata":
            read.append((key[0].start, key[-1].start, key[-1].stop))
        return getitem(self, key)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    assert len(list(blocks)) == 7
    slabs = [(0, 8), (8, 16), (16, 21)]
    assert read == [(row, *slab) for slab in slabs for row in (0, 500)]


def test_version_73_may_be_any_of_the_files(tmp_path):
    """The format is told by the file, not by its name."""
    arrays = make_arrays()
    write_hdf5(tmp_path, arrays, "valid")
    blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=10)
    check_equal(blocks, arrays, "valid", 10)


@pytest.mark.parametrize("write", [write_mat5, write_hdf5])
def test_blocks_come_in_any_order_and_in_other_processes(tmp_path, write):
    write(tmp_path, make_arrays(), "valid")
    blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=4)
    expected = list(blocks)
    copied = pickle.loads(pickle.dumps(blocks))
    assert len(pickle.dumps(blocks)) < 5000
    for i in [5, 0, 3, -1, -6]:
        for x, y in zip(copied[i], expected[i], strict=True):
            np.testing.assert_array_equal(x, y)
    for i in (6, -7):
        with pytest.raises(IndexError):
            blocks[i]
    message = r"^i is slice\(0, 2, None\); expected an integer: blocks are read one by "
    with pytest.raises(TypeError, match=message):
        blocks[0:2]


def test_memory_holds_a_bit_for_each_number(tmp_path):
    """Which `loadmat` doesn't: the arrays alone have 9.8 MB."""
    write_mat5(tmp_path, make_arrays(n_sequences=2000), kind="compressed")
    blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=10)
    blocks[0]
    tracemalloc.start()
    try:
        blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=10)
        assert blocks[7][0].shape == (10, 1000, 4)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.4e6  # 4,919 bits of 2,000 sequences are 1.23 MB
    assert peak < kept + 5 * 2**20  # of numbers that are read at a time, and their bits


def test_blocks_feed_embeddings_and_batches(tmp_path):
    arrays = make_arrays()
    write_mat5(tmp_path, arrays)
    blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=8)
    together = arrays["validxdata"].transpose(0, 2, 1).astype(np.float32)
    model = OTKEmbedding(
        n_components=8, n_supports=3, filter_size=4, max_iter=20, tol=0, random_state=0
    ).fit(together)
    expected = model.transform(together)
    transformed = np.concatenate([model.transform(X) for X, _ in blocks])
    np.testing.assert_allclose(transformed, expected, atol=1e-5)

    sets = list(iter_sets((X for X, _ in blocks), max_elements=5000))
    assert [len(X) for X in sets] == [5, 5, 5, 5, 1]
    values = np.concatenate([X.values for X in sets])
    np.testing.assert_array_equal(values.reshape(together.shape), together)

    sampler, other = (SetSampler(300, random_state=0) for _ in range(2))
    for i, (X, _) in enumerate(blocks):
        sampler.update(X, ids=range(8 * i, 8 * i + len(X)))
    other.update(together, ids=range(21))
    np.testing.assert_array_equal(sampler.sample().values, other.sample().values)


def test_blocks_feed_loaders_of_torch(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = make_arrays("train")
    write_hdf5(tmp_path, arrays, chunks=(1000, 4, 8), label_chunks=(919, 8))
    blocks = fetch_deepsea(data_home=tmp_path, batch_size=8)
    generator = torch.Generator().manual_seed(0)
    loader = torch.utils.data.DataLoader(
        blocks, batch_size=None, shuffle=True, generator=generator
    )
    layer = torch.nn.Linear(4, 919)
    n_labels = []
    for X, y in loader:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            layer(X.mean(dim=1)), y.float()
        )
        loss.backward()
        assert torch.isfinite(loss)
        n_labels.append(int(y.sum()))
    assert sorted(len(X) for X, _ in loader) == [5, 8, 8]
    starts = (0, 8, 16)
    expected = [int(arrays["traindata"][start : start + 8].sum()) for start in starts]
    assert sorted(n_labels) == sorted(expected)


def test_what_is_missing_tells_where_it_can_be_had(tmp_path, monkeypatch):
    message = (
        f"fetch_deepsea finds no train.mat in {tmp_path}/deepsea or "
        f"{tmp_path}/deepsea_train. Nothing is downloaded; get the data by\n"
        "  curl -O "
        "http://deepsea.princeton.edu/media/code/deepsea_train_bundle.v0.9.tar.gz\n"
        f"  tar -xzf deepsea_train_bundle.v0.9.tar.gz -C {tmp_path}"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        fetch_deepsea(data_home=tmp_path)
    path = write_hdf5(tmp_path, make_arrays("train"))
    monkeypatch.setitem(sys.modules, "h5py", None)
    message = f'needs h5py to read {path}: pip install "otk-sklearn[deepsea]"'
    with pytest.raises(ImportError, match=re.escape(message)):
        fetch_deepsea(data_home=tmp_path)


def read_all(home, subset="valid"):
    return list(fetch_deepsea(data_home=home, subset=subset, batch_size=10))


def with_two_ones(x):
    x[13, :, 7] = [1, 0, 1, 0]
    return x


@pytest.mark.parametrize("write", [write_mat5, write_hdf5])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: {"validxdata": x}, "it has validxdata; expected validdata."),
        (lambda x, y: {"testxdata": x, "testdata": y},
         "it has testdata, testxdata; expected validxdata."),
        (lambda x, y: {"validxdata": x.transpose(0, 2, 1), "validdata": y},
         "validxdata has the shape (21, 1000, 4), in MATLAB's order of axes; expected "
         "(n_sequences, 4, 1000)."),
        (lambda x, y: {"validxdata": x, "validdata": y[:, 1:]},
         "validdata has the shape (21, 918), in MATLAB's order of axes; expected "
         "(n_sequences, 919)."),
        (lambda x, y: {"validxdata": x, "validdata": y[1:]},
         "validxdata has 21 sequences, and validdata has 20; expected the same number."),
        (lambda x, y: {"validxdata": x * np.uint8(3), "validdata": y},
         "validxdata has the value 3; expected zeros and ones."),
        (lambda x, y: {"validxdata": x, "validdata": np.where(y, 0.5, 0)},
         "validdata has the value 0.5; expected zeros and ones."),
        (lambda x, y: {"validxdata": with_two_ones(x), "validdata": y},
         "sequence 13 has 2 ones at position 7, counted from 0; expected one at most."),
    ],
)  # fmt: skip
def test_bad_arrays(tmp_path, write, change, message):
    path = write(tmp_path, change(*make_arrays().values()), "valid")
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as caught:
        read_all(tmp_path)
    assert str(caught.value).endswith(
        f"  tar -xzf deepsea_train_bundle.v0.9.tar.gz -C {tmp_path}"
    )


@pytest.mark.parametrize(
    ("dtype", "came"),
    [
        (complex, "complex128"),
        ([("real", float), ("imag", float)], "[('real', '<f8'), ('imag', '<f8')]"),
        ("S1", "|S1"),
    ],
)
def test_arrays_of_hdf5_are_of_real_numbers(tmp_path, dtype, came):
    arrays = make_arrays("train")
    path = write_hdf5(tmp_path, arrays | {"trainxdata": np.zeros((21, 4, 1000), dtype)})
    message = f"{path}: trainxdata is of type {came}; expected real numbers."
    with pytest.raises(ValueError, match=re.escape(message)):
        read_all(tmp_path, "train")


@pytest.mark.parametrize("write", [write_mat5, write_hdf5])
def test_files_may_not_change_meanwhile(tmp_path, write):
    write(tmp_path, make_arrays(), "valid")
    blocks = fetch_deepsea(data_home=tmp_path, subset="valid", batch_size=10)
    shape = (21, 4, 1000) if write is write_mat5 else (1000, 4, 21)
    message = (
        f"{blocks.filename}: the file has changed since it was opened; expected validxdata "
        f"of shape {shape}."
    )
    for first in ({}, {"a_text": np.array(["text"], "S")}):
        write(tmp_path, first | make_arrays(n_sequences=50), "valid")
        with pytest.raises(ValueError, match=re.escape(message)):
            blocks[0]


@pytest.mark.parametrize("kind", MAT5_KINDS)
@pytest.mark.parametrize("part", [0, 0.001, 0.2, 0.5, 0.9, 0.9999])
def test_files_of_version_5_that_are_cut_short(tmp_path, kind, part):
    path = write_mat5(tmp_path, make_arrays(), kind=kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ValueError, match=re.escape(f"{path}: ")) as caught:
        read_all(tmp_path)
    expected = "cut short, at" if part > 0.1 else "expected"
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "the file is empty; expected one of MATLAB."),
        (127, "the file is cut short, at 127 bytes; expected at least 128."),
    ],
)
def test_headers_that_are_cut_short(tmp_path, size, message):
    path = write_mat5(tmp_path, make_arrays())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_all(tmp_path)


@pytest.mark.parametrize("n_lost", [1, 5, 100, 1000])
@pytest.mark.parametrize("is_second", [False, True])
def test_compressed_arrays_that_are_cut_short(tmp_path, is_second, n_lost):
    """Which their own sizes do not tell."""
    path = write_mat5(tmp_path, make_arrays())
    data = bytearray(path.read_bytes())
    start = 128
    if is_second:
        start += 8 + struct.unpack_from("<I", data, start + 4)[0]
    size = struct.unpack_from("<I", data, start + 4)[0]
    struct.pack_into("<I", data, start + 4, size - n_lost)
    path.write_bytes(data[: start + 8 + size - n_lost] + data[start + 8 + size :])
    message = f"{path}: an array is cut short; expected more compressed bytes."
    with pytest.raises(ValueError, match=re.escape(message)):
        read_all(tmp_path)


@pytest.mark.parametrize(
    ("position", "number", "message"),
    [
        (140, 4, "an array has flags of 4 bytes; expected 8."),
        (140, 6, "integers have 6 bytes; expected 4 for each."),
        (156, 13, "integers have 13 bytes; expected 4 for each."),
        (156, 0, "an array has the shape (); expected lengths of its axes."),
        (160, 2**32 - 1, "an array has the shape (-1, 4, 1000); expected lengths of "),
    ],
)
def test_damaged_heads_of_arrays(tmp_path, position, number, message):
    """Of which the size of flags, that of dimensions, and the first one are changed."""
    path = write_mat5(tmp_path, make_arrays(), kind="plain")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, position, number)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_all(tmp_path)


@pytest.mark.parametrize("part", [0.01, 0.5, 0.99])
def test_files_of_hdf5_that_are_cut_short(tmp_path, part):
    path = write_hdf5(tmp_path, make_arrays("train"))
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ValueError, match="expected a complete HDF5 file") as caught:
        read_all(tmp_path, "train")
    assert str(caught.value).startswith(f"{path}: ")


def test_damaged_bytes_are_found(tmp_path):
    path = write_mat5(tmp_path, make_arrays())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match="compressed by zlib|zeros and ones"):
        read_all(tmp_path)


def test_damaged_chunks_are_found(tmp_path):
    arrays = make_arrays("train")
    path = write_hdf5(tmp_path, arrays, chunks=(1000, 4, 21), label_chunks=(919, 21))
    with h5py.File(path) as file:
        _, chunk = file["trainxdata"].id.read_direct_chunk((0, 0, 0))
    data = path.read_bytes()
    assert data.count(chunk) == 1
    path.write_bytes(data.replace(chunk, chunk[:100] + bytes(100) + chunk[200:]))
    with pytest.raises(ValueError, match="trainxdata can't be read: "):
        read_all(tmp_path, "train")


def test_other_files_are_refused(tmp_path):
    path = write_mat5(tmp_path, make_arrays())
    path.write_bytes(b"<html>404 Not Found</html>" * 10)
    message = f"{path}: the file starts with b'<html>404 Not Fo'; expected one of MATLAB."
    with pytest.raises(ValueError, match=re.escape(message)):
        read_all(tmp_path)


def test_a_batch_has_a_sequence_at_least(tmp_path):
    with pytest.raises(ValueError, match="'batch_size' parameter of fetch_deepsea"):
        fetch_deepsea(data_home=tmp_path, batch_size=0)
