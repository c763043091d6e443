"""Pooling in networks: which of ten transcription factors binds to a sequence of DNA.

Sequences of 101 bases (`_transcription_factors.py`), with as many for training of each
factor: a tenth of them is for validation. Networks are the same but for the pooling: a
convolution over windows of 20 bases, ReLU, the pooling, and a hidden layer with ReLU, by
whose width all have as many parameters, up to 1 %. In training, half the sequences are
replaced by their reverse complements; in test, logits are means over both. The epoch with
the smallest loss on the validation part counts. On the problem with 300 sequences a factor,
epsilon and the width of positions were chosen by that loss, and then the learning rate, for
all poolings likewise: `CHOSEN`. Seeds vary the initial network and the order of batches.
Times are of the processor, for training on one thread.

    python benchmarks/accuracy/transcription_factors.py --data-home FOLDER
        [--problems NAME ...] [--methods PATTERN ...] [--seeds N ...]
"""

import copy
import functools
import itertools
import time

import torch
from _scaffold import mean_and_deviation, print_tables, run
from _transcription_factors import FACTORS, load_parts
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from sklearn.preprocessing import label_binarize
from torch import nn
from torch.nn import functional as F

from otk_sklearn.torch import OTKPooling

N_FILTERS = 32
FILTER_SIZE = 20
N_SUPPORTS = 16
N_PARAMETERS = 20_000
N_OUTPUTS = len(FACTORS)
BATCH = 64


class MeanPooling(nn.Module):
    """Means of elements."""

    width = N_FILTERS

    def forward(self, x):
        """Pool sets of shape (n_sets, n_elements, n_features)."""
        return x.mean(dim=1)


class MaxPooling(nn.Module):
    """Maxima of elements, feature by feature."""

    width = N_FILTERS

    def forward(self, x):
        """Pool sets of shape (n_sets, n_elements, n_features)."""
        return x.amax(dim=1)


class AttentionPooling(nn.Module):
    """Means weighted by the attention of learned queries, drawn as references are."""

    width = N_SUPPORTS * N_FILTERS

    def __init__(self, epsilon):
        super().__init__()
        self.epsilon = epsilon
        self.queries = nn.Parameter(F.normalize(torch.randn(N_SUPPORTS, N_FILTERS)))

    def forward(self, x):
        """Pool sets of shape (n_sets, n_elements, n_features)."""
        weights = (self.queries @ x.transpose(1, 2) / self.epsilon).softmax(dim=2)
        return weights @ x


class MultiheadPooling(nn.Module):
    """Attention of learned queries with projections, as networks have it: two heads."""

    width = N_SUPPORTS * N_FILTERS

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(N_SUPPORTS, N_FILTERS))
        self.attention = nn.MultiheadAttention(N_FILTERS, 2, batch_first=True)

    def forward(self, x):
        """Pool sets of shape (n_sets, n_elements, n_features)."""
        queries = self.queries.expand(len(x), -1, -1)
        return self.attention(queries, x, x, need_weights=False)[0]


class TransportPooling(OTKPooling):
    """`OTKPooling` of the size that all have here."""

    width = N_SUPPORTS * N_FILTERS

    def __init__(self, epsilon, **options):
        super().__init__(N_FILTERS, N_SUPPORTS, epsilon=epsilon, **options)


class Network(nn.Module):
    """Classify sequences, of shape (n_sequences, 4, length)."""

    def __init__(self, pooling, n_outputs=N_OUTPUTS):
        super().__init__()
        self.convolution = nn.Conv1d(4, N_FILTERS, FILTER_SIZE)
        self.pooling = pooling
        free = N_PARAMETERS - n_parameters(self) - n_outputs
        n_hidden = round(free / (pooling.width + 1 + n_outputs))
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pooling.width, n_hidden),
            nn.ReLU(),
            nn.Linear(n_hidden, n_outputs),
        )

    def forward(self, x):
        """Return logits of shape (n_sequences, n_outputs)."""
        windows = self.convolution(x).relu().transpose(1, 2)
        return self.head(self.pooling(windows))


def n_parameters(network):
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


POOLINGS = {
    "max": MaxPooling,
    "mean": MeanPooling,
    "attention": AttentionPooling,
    "attention, positions": functools.partial(
        TransportPooling, solver="softmax", position="gaussian"
    ),
    "multi-head attention": MultiheadPooling,
    "transport": TransportPooling,
    "transport, relaxed": TransportPooling,
    "transport, positions": functools.partial(TransportPooling, position="gaussian"),
}
EPSILONS = [0.1, 0.3, 1.0, 3.0]
LEARNING_RATES = [0.003, 0.01, 0.03, 0.1]
WITH_POSITIONS = {"epsilon": EPSILONS, "position_sigma": [0.1, 0.3]}
OPTIONS = {
    "max": {},
    "mean": {},
    "attention": {"epsilon": EPSILONS},
    "attention, positions": WITH_POSITIONS,
    "multi-head attention": {},
    "transport": {"epsilon": EPSILONS},
    "transport, relaxed": {"epsilon": EPSILONS, "relaxation": [0.1, 1.0]},
    "transport, positions": WITH_POSITIONS,
}
# What had the smallest loss on the validation part, of 300 sequences a factor.
CHOSEN = {
    "max": {"learning_rate": 0.01},
    "mean": {"learning_rate": 0.03},
    "attention": {"learning_rate": 0.03, "epsilon": 0.1},
    "attention, positions": {"learning_rate": 0.01, "epsilon": 0.3, "position_sigma": 0.3},
    "multi-head attention": {"learning_rate": 0.01},
    "transport": {"learning_rate": 0.01, "epsilon": 1.0},
    "transport, relaxed": {"learning_rate": 0.01, "epsilon": 0.3, "relaxation": 1.0},
    "transport, positions": {"learning_rate": 0.03, "epsilon": 0.3, "position_sigma": 0.3},
}


def with_settings(pooling, settings):
    """Return the name of a pooling with settings."""
    return ", ".join([pooling, *(f"{name}={value:g}" for name, value in settings.items())])


def tried():
    """Return the pooling and the settings for the names of all that is tried.

    First options of the pooling, at one learning rate, and then learning rates.
    """
    settings = [
        (pooling, {"learning_rate": 0.01, **dict(zip(grid, row))})
        for pooling, grid in OPTIONS.items()
        for row in itertools.product(*grid.values())
    ]
    settings += [
        (pooling, {**CHOSEN[pooling], "learning_rate": learning_rate})
        for learning_rate, pooling in itertools.product(LEARNING_RATES, POOLINGS)
    ]
    return {with_settings(*one): one for one in settings}


# Number of sequences a factor, epochs, and methods.
PROBLEMS = {
    "300 a factor": (300, 30, tried()),
    "3,000 a factor": (3_000, 20, {name: (name, CHOSEN[name]) for name in POOLINGS}),
}

load = functools.lru_cache(maxsize=1)(load_parts)


def evaluate(problem, method, seed, data_home):
    """Train, choose the epoch, and test."""
    n_per_factor, n_epochs, methods = PROBLEMS[problem]
    train, validation, test = map(as_tensors, load(data_home, n_per_factor))
    pooling, settings = methods[method]
    warm_up()
    torch.manual_seed(seed)
    network = make_network(pooling, settings)
    trained = fit(network, train, validation, n_epochs, settings["learning_rate"])
    logits, factors = logits_of(network, test), test[1]
    probabilities = logits.softmax(dim=1).numpy()
    one_against_rest = label_binarize(factors, classes=range(len(FACTORS)))
    return {
        "accuracy": accuracy_score(factors, logits.argmax(dim=1)),
        "auroc": roc_auc_score(one_against_rest, probabilities),
        "auprc": average_precision_score(one_against_rest, probabilities),
        "parameters": n_parameters(network),
        **trained,
    }


def make_network(pooling, settings, n_outputs=N_OUTPUTS):
    """Return a network that is not trained."""
    options = {name: v for name, v in settings.items() if name != "learning_rate"}
    return Network(POOLINGS[pooling](**options), n_outputs)


@functools.cache
def warm_up():
    """Have everything compiled before times are taken."""
    for pooling, settings in CHOSEN.items():
        make_network(pooling, settings)(torch.rand(2, 4, 101)).sum().backward()


def as_tensors(part):
    """Return sequences and factors as tensors."""
    return tuple(map(torch.from_numpy, part))


def fit(network, train, validation, n_epochs, learning_rate, loss=F.cross_entropy):
    """Train a network, and leave it as it was after its best epoch."""
    n_steps = -(-len(train[0]) // BATCH)
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, epochs=n_epochs, steps_per_epoch=n_steps
    )
    losses, seconds = [], 0.0
    for _ in range(n_epochs):
        start = time.process_time()
        for rows in torch.randperm(len(train[0])).split(BATCH):
            x, y = (values[rows] for values in train)
            optimizer.zero_grad()
            loss(network(on_random_strands(x)), y).backward()
            optimizer.step()
            schedule.step()
        seconds += time.process_time() - start
        losses.append(loss(logits_of(network, validation), validation[1]).item())
        if losses[-1] == min(losses):
            best = copy.deepcopy(network.state_dict())
    network.load_state_dict(best)
    return {
        "validation_loss": min(losses),
        "best_epoch": losses.index(min(losses)) + 1,
        "seconds": seconds,
    }


def on_random_strands(x):
    """Replace half the sequences by their reverse complements."""
    is_other = torch.rand(len(x)) < 0.5
    return torch.where(is_other[:, None, None], x.flip(1, 2), x)


@torch.inference_mode()
def logits_of(network, part):
    """Return mean logits of both strands."""
    batches = part[0].split(1000)
    return torch.cat([(network(x) + network(x.flip(1, 2))) / 2 for x in batches])


COLUMNS = {
    "auROC": lambda rows, _: mean_and_deviation(rows["auroc"]),
    "auPRC": lambda rows, _: mean_and_deviation(rows["auprc"]),
    "loss, validation": lambda rows, _: mean_and_deviation(rows["validation_loss"]),
    "best epoch": lambda rows, _: f"{rows['best_epoch'].median():.0f}",
    "parameters": lambda rows, _: f"{rows['parameters'].iloc[0]:,}",
    "training": lambda rows, _: f"{rows['seconds'].median():.0f} s",
}


def main():
    """Compute what is missing; print a table for each problem."""
    torch.set_num_threads(1)
    methods = {problem: list(methods) for problem, (*_, methods) in PROBLEMS.items()}
    results = run(
        "transcription_factors", __doc__, methods, evaluate, range(3), ["data_home"]
    )
    print_tables(results, COLUMNS)


if __name__ == "__main__":
    main()
