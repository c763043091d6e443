"""Chromatin profiles from DNA: the network of the paper on DeepSEA's 919 labels.

A convolution over windows of bases, ReLU, pooling of the windows by transport to supports
with positions, a hidden layer, and a logit for each label. Defaults are the paper's, but
for what it leaves open, which is DeepSEA's own: 925 hidden units. Trained by Adam on blocks
of the bundle in random order (`_deepsea_bundle.py` says what DATA_HOME/deepsea has to
contain); the learning rate is halved after each epoch whose loss on the validation part is
not the smallest so far, and the network of the smallest counts. Scores are means over
labels. A run that was interrupted goes on from its last checkpoint, with the same result as
without the interrupt; a result is a line of RESULTS, and isn't computed again.

    python benchmarks/paper/deepsea.py --data-home FOLDER [--poolings NAME ...]
        [--device cuda] [--stand-in N] [--check] [...]

`--stand-in` writes N random sequences in the bundle's format, for times and memory: their
scores say nothing. `--check` compares with NumPy and POT, in float64. Times are of the
processor on CPUs, else elapsed; those of training don't contain the reading of blocks.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import ot
import torch
from _deepsea_bundle import Sequences, write_stand_in
from _other_benchmarks import UnrolledPooling, networks, peak_memory, scaffold
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn
from torch.nn import functional as F

from otk_sklearn.torch import OTKPooling

# Sequences that are read at once, and how many such blocks are shuffled together.
BLOCK = 500
BLOCKS_TOGETHER = 4
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
}
CHOICES = {
    "solver": ["sinkhorn", "softmax"],
    "position": ["gaussian", "hard", "none"],
}
HELP = {
    "max_iter": "of Sinkhorn; the unrolled pooling takes all of them",
    "n_sequences": "for training, the first of the file; 0: all",
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
    train, validation : Sequences
    settings : dict
    checkpoint : Path
        The file of the last state; beside it, the network of the best epoch.
    device : str
    seed : int
        Of orders of sequences, together with the epoch.
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
        device="cpu",
        seed=0,
        checkpoint_seconds=CHECKPOINT_SECONDS,
    ):
        self.network = network.to(device)
        self.train, self.validation = train, validation
        self.settings, self.device, self.seed = settings, device, seed
        self.checkpoint, self.checkpoint_seconds = Path(checkpoint), checkpoint_seconds
        self.best = self.checkpoint.with_suffix(".best.pt")
        self.optimizer = torch.optim.Adam(network.parameters(), settings["learning_rate"])
        # `part` is the number of parts of the epoch that are done.
        self.state = {"epoch": 0, "part": 0, "seconds": 0.0, "losses": [], "loss": 0.0}
        self.restore()

    def run(self):
        """Train until the last epoch; leave the network as after its best."""
        while self.state["epoch"] < self.settings["epochs"]:
            self.run_epoch()
            self.finish_epoch()
        self.network.load_state_dict(torch.load(self.best, map_location=self.device))
        losses = self.state["losses"]
        n_trained = len(losses) * len(self.train)
        return {
            "validation_loss": min(losses),
            "best_epoch": losses.index(min(losses)) + 1,
            "seconds": self.state["seconds"],
            "seconds_per_sequence": self.state["seconds"] / n_trained,
        }

    def run_epoch(self):
        """Pass what is left of an epoch."""
        rng = np.random.default_rng([self.seed, self.state["epoch"]])
        starts = rng.permutation(np.arange(0, len(self.train), BLOCK))
        parts = np.split(starts, range(BLOCKS_TOGETHER, len(starts), BLOCKS_TOGETHER))
        saved = told = time.monotonic()
        for k in range(self.state["part"], len(parts)):
            blocks = [self.train.read(start, start + BLOCK) for start in parts[k]]
            bases, labels = map(np.concatenate, zip(*blocks))
            order = np.random.default_rng([self.seed, self.state["epoch"], k])
            self.fit_part(bases, labels, order.permutation(len(bases)))
            self.state["part"] = k + 1
            if time.monotonic() - saved >= self.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
            if time.monotonic() - told >= PROGRESS_SECONDS:
                self.report()
                told = time.monotonic()

    def fit_part(self, bases, labels, order):
        """Take a step of the optimizer for each batch."""
        start = clock(self.device)
        size = self.settings["batch_size"]
        for rows in np.split(order, range(size, len(order), size)):
            self.optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(
                self.network(as_input(bases[rows], self.device)),
                as_input(labels[rows], self.device),
            )
            loss.backward()
            self.optimizer.step()
        self.state["loss"] = loss.item()
        self.state["seconds"] += clock(self.device) - start

    def finish_epoch(self):
        """Validate; keep the network if it is the best; lower the learning rate if not."""
        logits, labels = predict(self.network, self.validation, self.device)
        loss = F.binary_cross_entropy_with_logits(
            torch.tensor(logits), torch.tensor(labels)
        )
        losses = self.state["losses"]
        losses.append(loss.item())
        if losses[-1] == min(losses):
            save_atomically(self.network.state_dict(), self.best)
        else:
            for group in self.optimizer.param_groups:
                group["lr"] /= 2
        self.state.update(epoch=self.state["epoch"] + 1, part=0)
        self.save()
        print(f"epoch {self.state['epoch']}: {losses[-1]:.4f} in validation", flush=True)

    def report(self):
        """Print how far it is."""
        n_passed = min(self.state["part"] * BLOCK * BLOCKS_TOGETHER, len(self.train))
        n_all = self.state["epoch"] * len(self.train) + n_passed
        print(
            f"epoch {self.state['epoch'] + 1}, {n_passed:,} of {len(self.train):,}, "
            f"loss {self.state['loss']:.4f}, {self.state['seconds'] / n_all:.4f} s each",
            flush=True,
        )

    def save(self):
        """Keep all that is needed to go on."""
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
        state = torch.load(self.checkpoint, map_location=self.device)
        self.network.load_state_dict(state.pop("network"))
        self.optimizer.load_state_dict(state.pop("optimizer"))
        self.state = state
        print(f"goes on from {self.checkpoint}, epoch {state['epoch'] + 1}", flush=True)


def save_atomically(state, path):
    """Write a file that is never there in part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


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
def predict(network, sequences, device="cpu"):
    """Return logits and labels of all sequences, in float32."""
    logits, labels = [], []
    for bases, block_labels in sequences.blocks(BLOCK):
        for part in torch.from_numpy(bases).split(50):
            logits.append(network(part.to(device).float()).cpu().numpy())
        labels.append(block_labels.astype(np.float32))
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


def evaluate(pooling, options):
    """Train and test."""
    settings = settings_of(options)
    train = Sequences(options.data_home, "train", settings["n_sequences"] or None)
    validation, test = (Sequences(options.data_home, part) for part in ("valid", "test"))
    torch.manual_seed(options.random_state)
    network = make_network(pooling, settings, train.length, train.n_labels)
    n_parameters = networks.n_parameters(network)
    training = Training(
        network,
        train,
        validation,
        settings,
        options.checkpoints / f"{name_of(pooling, options)}, {options.random_state}.pt",
        options.device,
        options.random_state,
    )
    start = time.process_time()
    trained = training.run()
    logits, labels = predict(network, test, options.device)
    return {
        **mean_scores(logits, labels),
        **trained,
        "process_seconds": time.process_time() - start,
        "n_train": len(train),
        "parameters": n_parameters,
        "peak_memory": peak_memory(),
        "threads": torch.get_num_threads(),
        **settings,
    }


def check(options):
    """Compare the logits of some sequences with those of NumPy and POT."""
    settings = settings_of(options)
    sequences = Sequences(options.data_home, "valid")
    torch.manual_seed(options.random_state)
    network = make_network("transport", settings, sequences.length, sequences.n_labels)
    network.double()
    network.pooling.tol, network.pooling.max_iter = 1e-12, 10_000
    bases = sequences.read(0, N_CHECKED)[0].astype(float)
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
    weights = np.ones((n, p))
    if settings["position"] != "none":
        weights = np.subtract.outer(np.arange(n) / n, np.arange(p) / p)
        weights = np.exp(-((weights / settings["position_sigma"]) ** 2))
    similarities = features @ supports.T * weights
    plan = ot.sinkhorn(
        np.full(n, 1 / n),
        np.full(p, 1 / p),
        -similarities,
        settings["epsilon"],
        method="sinkhorn_log",
        numItermax=10_000,
        stopThr=1e-13,
    )
    pooled = p * (plan * weights).T @ features
    hidden = values["head.1.weight"] @ pooled.ravel() + values["head.1.bias"]
    return values["head.3.weight"] @ np.maximum(hidden, 0) + values["head.3.bias"]


def settings_of(options):
    """Return the values of all settings."""
    return {name: getattr(options, name) for name in SETTINGS}


def name_of(pooling, options):
    """Return the name of a pooling with the settings that aren't the default ones."""
    found = settings_of(options).items()
    changed = [f"{name}={v}" for name, v in found if v != SETTINGS[name]]
    return ", ".join([pooling, *changed])


def parse_arguments(arguments=None):
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-home", type=Path, required=True)
    parser.add_argument("--stand-in", type=int, metavar="N")
    parser.add_argument("--check", action="store_true")
    parser.add_argument(
        "--poolings",
        nargs="+",
        default=["transport"],
        choices=["transport", "unrolled", "max", "mean"],
    )
    for name, value in SETTINGS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(value),
            default=value,
            choices=CHOICES.get(name),
            help=f"{HELP.get(name, '')} (default: {value})",
        )
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--checkpoints", type=Path, default=Path("deepsea_checkpoints"))
    parser.add_argument("--results", type=Path, default=Path("deepsea.jsonl"))
    return parser.parse_args(arguments)


def main():
    """Compute what is missing; print a table."""
    options = parse_arguments()
    if options.stand_in:
        write_stand_in(options.data_home, options.stand_in)
    if options.check:
        check(options)
        return
    found = scaffold.read_results(options.results)
    problem, rows = options.data_home.name, []
    for pooling in options.poolings:
        key = problem, name_of(pooling, options), options.random_state
        if key not in found:
            found[key] = dict(zip(scaffold.KEY, key)) | evaluate(pooling, options)
            scaffold.append_result(options.results, found[key])
        rows.append(found[key])
    print_table(rows)


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
