"""Chromatin profiles from DNA: the network of the paper on DeepSEA's 919 labels.

A convolution over windows of bases, ReLU, pooling of the windows by transport to supports
with positions, a hidden layer, and a logit for each label. Defaults are the paper's, but
for what it leaves open, which is DeepSEA's own: 925 hidden units. Trained by Adam on blocks
of the bundle in random order (`fetch_deepsea` says what DATA_HOME/deepsea has to
contain); the learning rate is halved after each epoch whose loss on the validation part is
not the smallest so far, and the network of the smallest counts. Scores are means over
labels. A run that was interrupted goes on from its last checkpoint, with the same result as
without the interrupt; a result is a line of RESULTS, and isn't computed again. Both are
named after the folder, its number of sequences, the settings with the device, and the seed.

    python benchmarks/paper/deepsea.py --data-home FOLDER [--poolings NAME ...]
        [--device cuda] [--stand-in N] [--check] [...]

`--stand-in` writes N random sequences in the bundle's format, for times and memory, where
no bundle is yet: their scores say nothing. `--check` compares transport with NumPy and POT,
in float64, whatever the poolings are. Times are of the processor on CPUs, else elapsed;
those of training don't contain the reading of blocks. They are sums over all processes of a
run that was interrupted, without the steps that it lost; the peak of memory is the largest.
"""

import argparse
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import _other_benchmarks  # noqa: F401
import _scaffold as scaffold
import numpy as np
import ot
import torch
import transcription_factors as networks
from _deepsea_stand_in import write_stand_in
from _peak_memory import peak_memory
from _unrolled_layer import UnrolledPooling
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn
from torch.nn import functional as F

from otk_sklearn.datasets import fetch_deepsea
from otk_sklearn.torch import OTKPooling

# Sequences that are read at once, and how many such blocks, one after the other in the
# file, are shuffled together. `fetch_deepsea` reads as many at once from HDF5.
BLOCK = 1024
BLOCKS_TOGETHER = 16
BATCH_OF_PREDICTION = 64
BEST = ".best.pt"
CHECKPOINT_SECONDS = 600
PROGRESS_SECONDS = 30
# Those on which the two computations are compared.
N_CHECKED = 4

# Default values, and what else may be chosen; the results name those that differ.
SETTINGS = {
    "n_filters": 1536,
    "filter_size": 16,
    "n_supports": 64,
    "epsilon": 1.0,
    "solver": "sinkhorn",
    "position": "gaussian",
    "position_sigma": 0.1,
    "max_iter": 100,
    "tol": 1e-3,
    "n_hidden": 925,
    "epochs": 10,
    "learning_rate": 1e-3,
    "batch_size": 64,
    "n_sequences": 0,
    "device": "cpu",
}
CHOICES = {
    "solver": ["sinkhorn", "softmax"],
    "position": ["gaussian", "hard", "none"],
}
MAY_BE_ZERO = "tol", "n_sequences"
HELP = {
    "n_filters": "of the convolution",
    "filter_size": "in bases",
    "n_supports": "of transport",
    "epsilon": "strength of the entropic regularization",
    "solver": "of transport; softmax is attention, and the unrolled pooling has none",
    "position": "how similarities fall with the distance of positions",
    "position_sigma": "distance over which they fall; a sequence has the length 1",
    "max_iter": "of Sinkhorn; the unrolled pooling takes all of them",
    "tol": "error of marginals at which Sinkhorn stops; 0: after max_iter",
    "n_hidden": "units of the hidden layer",
    "epochs": "of training",
    "learning_rate": "of Adam, in the first epoch",
    "batch_size": "sequences of a step of training",
    "n_sequences": "for training, the first of the file; 0: all",
    "device": "of PyTorch",
}


class Network(nn.Module):
    """Logits of labels from bases of shape (n_sequences, 4, length)."""

    def __init__(self, pooling, n_pooled, settings, n_labels):
        super().__init__()
        n_filters, n_hidden = settings["n_filters"], settings["n_hidden"]
        self.convolution = nn.Conv1d(4, n_filters, settings["filter_size"])
        self.pooling = pooling
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(n_pooled, n_hidden),
            nn.ReLU(),
            nn.Linear(n_hidden, n_labels),
        )

    def forward(self, x):
        """Return logits of shape (n_sequences, n_labels)."""
        windows = self.convolution(x).relu().transpose(1, 2)
        return self.head(self.pooling(windows))


class UnrolledTransport(UnrolledPooling):
    """The pooling of a batch without padding, as its iterations are: part of the graph."""

    def forward(self, x):
        """Pool sets of shape (n_sets, n_elements, n_features)."""
        return super().forward(x, x.new_ones(x.shape[:2], dtype=torch.bool))


def make_network(pooling, settings, length, n_labels):
    """Return a network that is not trained."""
    n_filters, n_supports = settings["n_filters"], settings["n_supports"]
    if pooling in ("max", "mean"):
        one = {"max": networks.MaxPooling, "mean": networks.MeanPooling}[pooling]()
        return Network(one, n_filters, settings, n_labels)
    position = None if settings["position"] == "none" else settings["position"]
    names = "epsilon", "solver", "position_sigma", "max_iter", "tol"
    options = {name: settings[name] for name in names}
    transport = OTKPooling(n_filters, n_supports, position=position, **options)
    if pooling == "unrolled":
        transport = UnrolledTransport(
            transport.references.detach()[0],
            settings["epsilon"],
            settings["max_iter"],
            position_weights=position_weights(
                length - settings["filter_size"] + 1, n_supports, settings
            ),
        )
    return Network(transport, n_supports * n_filters, settings, n_labels)


def position_weights(n_elements, n_supports, settings):
    """Return what similarities are multiplied by, of shape (n_elements, n_supports)."""
    if settings["position"] == "none":
        return None
    elements, supports = (
        np.arange(n_elements) / n_elements,
        np.arange(n_supports) / n_supports,
    )
    distances = np.abs(elements[:, None] - supports) / settings["position_sigma"]
    weights = (
        np.exp(-(distances**2)) if settings["position"] == "gaussian" else distances < 1
    )
    return torch.tensor(weights, dtype=torch.float32)


class Training:
    """Trains a network, epoch by epoch, and goes on where it was interrupted.

    Parameters
    ----------
    network : Network
    train, validation : sequence of (X, y)
        Blocks, as of `fetch_deepsea`.
    settings : dict
    checkpoint : Path
        The file of the last state; beside it, the network of the best epoch.
    seed : int
        Of orders of sequences.
    checkpoint_seconds : float
        A state is kept after each epoch, and within it when the last is older than this.
    """

    def __init__(
        self,
        network,
        train,
        validation,
        settings,
        checkpoint,
        seed=0,
        checkpoint_seconds=CHECKPOINT_SECONDS,
    ):
        self.settings, self.device, self.seed = settings, settings["device"], seed
        self.network = network.to(self.device)
        self.train, self.validation = train, validation
        self.n_sequences = settings["n_sequences"] or train.n_sequences
        self.checkpoint, self.checkpoint_seconds = Path(checkpoint), checkpoint_seconds
        self.best = self.checkpoint.with_suffix(BEST)
        self.optimizer = torch.optim.Adam(network.parameters(), settings["learning_rate"])
        n_each = {"n_train": train.n_sequences, "n_validation": validation.n_sequences}
        self.state = {
            "of": {**n_each, "seed": seed, **settings},
            "epoch": 0,
            "losses": [],
            # Parts of this epoch that are done, and steps in the next part.
            "part": 0,
            "step": 0,
            "seconds": 0.0,
            "process_seconds": 0.0,
            "peak_memory": 0,
        }
        self.restore()
        self.counted = time.process_time()

    def run(self):
        """Train until the last epoch; leave the network as after its best."""
        while self.state["epoch"] < self.settings["epochs"]:
            self.run_epoch()
            self.finish_epoch()
        self.network.load_state_dict(self.load(self.best))
        losses, seconds = self.state["losses"], self.state["seconds"]
        return {
            "validation_loss": min(losses),
            "best_epoch": losses.index(min(losses)) + 1,
            "seconds": seconds,
            "seconds_per_sequence": seconds / (len(losses) * self.n_sequences),
        }

    def run_epoch(self):
        """Take all steps that are left of an epoch."""
        self.saved = self.told = time.monotonic()
        parts = np.arange(0, -(-self.n_sequences // BLOCK), BLOCKS_TOGETHER)
        rng = np.random.default_rng([self.seed, self.state["epoch"]])
        for first in rng.permutation(parts)[self.state["part"] :]:
            bases, labels = self.read_part(first)
            rng = np.random.default_rng([self.seed, self.state["epoch"], first])
            size = self.settings["batch_size"]
            order = rng.permutation(len(bases))
            batches = [order[i : i + size] for i in range(0, len(order), size)]
            for rows in batches[self.state["step"] :]:
                loss = self.take_step(bases[rows], labels[rows])
                self.state["step"] += 1
                self.save_and_report_if_due(loss)
            self.state.update(part=self.state["part"] + 1, step=0)

    def read_part(self, first):
        """Return bases (n, 4, length) and labels of blocks that are shuffled together."""
        stop = min(first + BLOCKS_TOGETHER, -(-self.n_sequences // BLOCK))
        bases, labels = [], []
        for i in range(first, stop):
            X, y = self.train[i]
            n_wanted = self.n_sequences - i * BLOCK
            bases.append(X[:n_wanted].transpose(0, 2, 1).astype(np.uint8))
            labels.append(y[:n_wanted])
        return np.concatenate(bases), np.concatenate(labels)

    def take_step(self, bases, labels):
        """Take a step of the optimizer, and return the loss before."""
        start = clock(self.device)
        self.optimizer.zero_grad()
        logits = self.network(as_input(bases, self.device))
        loss = F.binary_cross_entropy_with_logits(logits, as_input(labels, self.device))
        loss.backward()
        self.optimizer.step()
        self.state["seconds"] += clock(self.device) - start
        return loss

    def save_and_report_if_due(self, loss):
        """Keep the state, and print how far it is, from time to time."""
        now = time.monotonic()
        if now - self.saved >= self.checkpoint_seconds:
            self.save()
            self.saved = now
        if now - self.told >= PROGRESS_SECONDS:
            n_steps = -(-self.n_sequences // self.settings["batch_size"])
            n_in_part = -(-BLOCK * BLOCKS_TOGETHER // self.settings["batch_size"])
            step = self.state["part"] * n_in_part + self.state["step"]
            print(
                f"epoch {self.state['epoch'] + 1}, about {step / n_steps:.1%}, loss "
                f"{finite(loss):.4f}, {self.state['seconds']:.0f} s",
                flush=True,
            )
            self.told = now

    def finish_epoch(self):
        """Validate; keep the network if it is the best; lower the learning rate if not."""
        logits, labels = predict(self.network, self.validation, self.device)
        loss = F.binary_cross_entropy_with_logits(
            torch.from_numpy(logits), torch.from_numpy(labels).float()
        )
        losses = self.state["losses"]
        losses.append(finite(loss))
        if losses[-1] == min(losses):
            save_atomically(self.network.state_dict(), self.best)
        else:
            for group in self.optimizer.param_groups:
                group["lr"] /= 2
        self.state.update(epoch=self.state["epoch"] + 1, part=0)
        self.save()
        print(f"epoch {self.state['epoch']}: {losses[-1]:.4f} in validation", flush=True)

    def count(self):
        """Add what the processor worked since the last call; keep the peak of memory."""
        before, self.counted = self.counted, time.process_time()
        self.state["process_seconds"] += self.counted - before
        self.state["peak_memory"] = max(self.state["peak_memory"], peak_memory())

    def save(self):
        """Keep all that is needed to go on."""
        self.count()
        state = {
            **self.state,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        save_atomically(state, self.checkpoint)

    def restore(self):
        """Go on from the last checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        state = self.load(self.checkpoint)
        for name, value in self.state["of"].items():
            found = state.get("of", {}).get(name)
            if found != value:
                raise SystemExit(
                    f"{self.checkpoint} is of another run: its {name} is {found}, expected "
                    f"{value}. Remove it to start afresh."
                )
        self.network.load_state_dict(state.pop("network"))
        self.optimizer.load_state_dict(state.pop("optimizer"))
        self.state = state
        print(f"goes on from {self.checkpoint}, epoch {state['epoch'] + 1}", flush=True)

    def load(self, path):
        """Return what a file has that was saved."""
        try:
            return torch.load(path, map_location=self.device)
        except Exception as error:  # Of many kinds, if the file is damaged.
            raise SystemExit(
                f"{path} can't be read: {error!r:.100}. Remove {self.checkpoint} to start "
                "afresh."
            ) from error


def save_atomically(state, path):
    """Write a file that is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def finite(loss):
    """Return a loss as a number; end the run where training diverges."""
    value = loss.item()
    if not math.isfinite(value):
        raise SystemExit(
            f"Training diverges: the loss is {value}, expected a finite number. Try a "
            "smaller --learning-rate."
        )
    return value


def clock(device):
    """Return seconds, of the processor on CPUs."""
    if device == "cpu":
        return time.process_time()
    torch.accelerator.synchronize()
    return time.perf_counter()


def as_input(values, device):
    """Return small integers as a tensor in float32."""
    return torch.from_numpy(values).to(device).float()


@torch.inference_mode()
def predict(network, blocks, device="cpu"):
    """Return logits, in float32, and labels of all sequences."""
    logits, labels = [], []
    for X, y in blocks:
        for part in torch.from_numpy(X).transpose(1, 2).split(BATCH_OF_PREDICTION):
            logits.append(network(part.to(device)).cpu().numpy())
        labels.append(y)
    return np.concatenate(logits), np.concatenate(labels)


def mean_scores(logits, labels):
    """Return means over the labels that are both 0 and 1 in the test part."""
    columns = [k for k, column in enumerate(labels.T) if 0 < column.sum() < len(column)]
    scores = {"auroc": roc_auc_score, "auprc": average_precision_score}
    found = {
        name: np.mean([score(labels[:, k], logits[:, k]) for k in columns])
        for name, score in scores.items()
    }
    return {**found, "labels_scored": len(columns)}


def open_data(options):
    """Return the parts of the data; write a stand-in before, if wanted."""
    if options.stand_in:
        write_stand_in(options.data_home, options.stand_in)
    train, validation, test = (
        fetch_deepsea(data_home=options.data_home, subset=subset, batch_size=BLOCK)
        for subset in ("train", "valid", "test")
    )
    there = f"{train.filename} has {train.n_sequences} sequences"
    if options.stand_in not in (None, train.n_sequences):
        raise ValueError(
            f"argument --stand-in: {there}, not {options.stand_in}; leave the option out, "
            "to use them, or name another folder"
        )
    if options.n_sequences > train.n_sequences:
        raise ValueError(
            f"argument --n-sequences: {there}, less than {options.n_sequences}"
        )
    return train, validation, test


def evaluate(pooling, data, checkpoint, options):
    """Train and test."""
    settings, seed = settings_of(options), options.random_state
    train, validation, test = data
    warm_up(pooling, settings)
    torch.manual_seed(seed)
    network = make_network(pooling, settings, *shape_of(train))
    n_parameters = networks.n_parameters(network)
    training = Training(network, train, validation, settings, checkpoint, seed)
    trained = training.run()
    scores = mean_scores(*predict(network, test, options.device))
    training.count()
    return {
        **scores,
        **trained,
        "process_seconds": training.state["process_seconds"],
        "n_train": training.n_sequences,
        "parameters": n_parameters,
        "peak_memory": training.state["peak_memory"],
        "threads": torch.get_num_threads(),
        **settings,
    }


def warm_up(pooling, settings):
    """Have everything compiled before times are taken."""
    small = {**settings, "n_filters": 2, "device": "cpu"}
    network = make_network(pooling, small, 2 * settings["filter_size"], 1)
    network(torch.rand(2, 4, 2 * settings["filter_size"])).sum().backward()


def shape_of(blocks):
    """Return the length of sequences, and the number of labels."""
    X, y = blocks[0]
    return X.shape[1], y.shape[1]


def check(blocks, options):
    """Compare the logits of some sequences with those of NumPy and POT."""
    settings = settings_of(options)
    torch.manual_seed(options.random_state)
    network = make_network("transport", settings, *shape_of(blocks)).double()
    network.pooling.tol, network.pooling.max_iter = 1e-11, 10_000
    bases = blocks[0][0][:N_CHECKED].transpose(0, 2, 1).astype(float)
    with torch.inference_mode():
        expected = network(torch.from_numpy(bases)).numpy()
    found = np.stack([logits_by_numpy(network, one, settings) for one in bases])
    error = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"largest difference of logits from NumPy and POT, relative: {error:.1e}")
    if error > 1e-8:
        raise SystemExit("The two computations differ.")


def logits_by_numpy(network, bases, settings):
    """Compute the logits of one sequence anew."""
    values = {k: v.detach().numpy() for k, v in network.named_parameters()}
    size = settings["filter_size"]
    windows = np.lib.stride_tricks.sliding_window_view(bases, size, axis=1)
    features = np.einsum("cns,fcs->nf", windows, values["convolution.weight"])
    features = np.maximum(features + values["convolution.bias"], 0)
    supports = values["pooling.references"][0]
    n, p = len(features), len(supports)
    distances = np.subtract.outer(np.arange(n) / n, np.arange(p) / p)
    weights = {
        "gaussian": np.exp(-((distances / settings["position_sigma"]) ** 2)),
        "hard": np.abs(distances) < settings["position_sigma"],
        "none": np.ones((n, p)),
    }[settings["position"]]
    similarities = features @ supports.T * weights
    if settings["solver"] == "softmax":
        plan = softmax(similarities / settings["epsilon"], axis=0) / p
    else:
        plan = ot.sinkhorn(
            np.full(n, 1 / n),
            np.full(p, 1 / p),
            -similarities,
            settings["epsilon"],
            method="sinkhorn_log",
            numItermax=10_000,
            stopThr=1e-11,
        )
    pooled = p * (plan * weights).T @ features
    hidden = values["head.1.weight"] @ pooled.ravel() + values["head.1.bias"]
    return values["head.3.weight"] @ np.maximum(hidden, 0) + values["head.3.bias"]


def settings_of(options):
    """Return the values of all settings."""
    return {name: getattr(options, name) for name in SETTINGS}


def key_of(pooling, data, options):
    """Return problem, pooling with the settings that aren't the default ones, and seed."""
    n_sequences = data[0].n_sequences
    problem = f"{options.data_home.resolve().name}, {n_sequences:,} sequences"
    found = settings_of(options).items()
    changed = [f"{name}={v}" for name, v in found if v != SETTINGS[name]]
    return problem, ", ".join([pooling, *changed]), options.random_state


def number(kind, zero=False):
    """Return what reads positive numbers, or 0, from the command line."""

    def read(text):
        value = kind(text)
        if not (0 < value < math.inf or (zero and value == 0)):
            raise ValueError
        return value

    # What errors call it.
    noun = "integer" if kind is int else "number"
    read.__name__ = f"non-negative {noun}" if zero else f"positive {noun}"
    return read


def make_parser():
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def add(name, text, **options):
        if "default" in options:
            text += " (default: %(default)s)"
        parser.add_argument(f"--{name.replace('_', '-')}", help=text, **options)

    add("data_home", "folder with the folder deepsea", type=Path, required=True)
    text = "random sequences to write there, unless there are data"
    add("stand_in", text, type=number(int), metavar="N")
    text = "only compare transport with NumPy and POT; --poolings and --device don't count"
    add("check", text, action="store_true")
    text, names = "networks to be trained", ["transport", "unrolled", "max", "mean"]
    add("poolings", text, nargs="+", default=names[:1], choices=names)
    for name, value in SETTINGS.items():
        is_text = isinstance(value, str)
        kind = str if is_text else number(type(value), zero=name in MAY_BE_ZERO)
        add(name, HELP[name], type=kind, default=value, choices=CHOICES.get(name))
    add("random_state", "seed", type=number(int, zero=True), default=0)
    folder, file = Path("deepsea_checkpoints"), Path("deepsea.jsonl")
    add("checkpoints", "folder for states of training", type=Path, default=folder)
    add("results", "file to which results are added", type=Path, default=file)
    return parser


def main():
    """Compute what is missing; print a table."""
    parser = make_parser()
    options = parser.parse_args()
    try:
        data = open_data(options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if options.check:
        check(data[1], options)
        return
    if len(options.poolings) > 1:
        run_each_alone(options.poolings)
    found, rows = scaffold.read_results(options.results), []
    for pooling in options.poolings:
        key = key_of(pooling, data, options)
        if key not in found:
            checkpoint = options.checkpoints / f"{', '.join(map(str, key))}.pt"
            row = evaluate(pooling, data, checkpoint, options)
            found[key] = dict(zip(scaffold.KEY, key)) | row
            scaffold.append_result(options.results, found[key])
            checkpoint.unlink()
            checkpoint.with_suffix(BEST).unlink()
        rows.append(found[key])
    print_table(rows)


def run_each_alone(poolings):
    """Compute results by a process for each: a peak of memory is that of a process."""
    for pooling in poolings:
        command = [sys.executable, *sys.argv, "--poolings", pooling]
        if subprocess.run(command).returncode:
            raise SystemExit(f"The process of {pooling} failed.")


def print_table(rows):
    """Print scores, times and memory."""
    header = ["auROC", "auPRC", "best epoch", "a million sequences", "peak of memory"]
    table = [
        [
            row["method"],
            f"{row['auroc']:.3f}",
            f"{row['auprc']:.3f}",
            f"{row['best_epoch']}",
            f"{row['seconds_per_sequence'] * 1e6 / 3600:,.1f} h",
            f"{row['peak_memory'] / 2**30:.2f} GiB",
        ]
        for row in rows
    ]
    scaffold.print_table([rows[0]["problem"], *header], table)


if __name__ == "__main__":
    main()
