"""Speed and memory of `OTKPooling` in a network, against padded layers.

    python benchmarks/speed/layer.py --device cpu --threads 2 --rounds 3

Elements are L2-normalized, in clusters that each set has other shares of; lengths of sets
are uniform from a fifth of the longest to the longest. There are 8 batches, at random or of
sets of about the same length, which need little padding, but are always the same. Padded
layers (`_unrolled_layer.py`) are given padded batches, made before time is taken.

"forward" is inference, without a graph; a "step" goes forward and back to elements and
parameters. All layers run in turns: times are means over the batches, medians over the
rounds, and ratios to the first layer are medians of the ratios in each round. Memory is the
peak of a step on the largest batch, beside its input and results; on CPUs, in another
process. Errors are relative to converged plans, in float64 and on the CPU: of outputs, and
of the gradient of elements or references, whichever is larger.

Where other programs run at the same time, two threads of PyTorch wait for each other:
only the figures of `--threads 1` are meaningful there.
"""

import argparse
import importlib.util
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from _layer_memory import extra_memory, extra_memory_on_cuda
from _timing import once
from _unrolled_layer import AttentionPooling, UnrolledPooling
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from otk_sklearn.torch import OTKPooling, collate_sets, to_estimator

N_BATCHES = 8
EPSILON = 0.1
N_HEADS = 2
NOISE = 1.5  # norm of what is added to centres of norm 1

# The number of iterations of layers that don't look at errors.
USUAL_ITERATIONS = 100
CONVERGED_ITERATIONS = 1000

# Our layers that ratios refer to, the second for as many iterations on both sides.
OURS = "OTKPooling, packed"
OURS_ALL_ITERATIONS = f"OTKPooling, tol=0, {USUAL_ITERATIONS} iterations"

# On an accelerator, against the same layer on the CPU, with as many iterations.
MAX_DEVIATION = 1e-4


class Problem(NamedTuple):
    """What sizes there are: sets of a batch, elements at most, features, supports."""

    n_sets: int
    longest: int
    n_features: int
    n_supports: int


PROBLEMS = [Problem(16, 500, 256, 64), Problem(64, 100, 64, 10)]


class Batch(NamedTuple):
    """Sets, packed and padded, and the gradient with respect to their embeddings."""

    packed: torch.Tensor
    index: torch.Tensor
    padded: torch.Tensor
    mask: torch.Tensor
    gradient: torch.Tensor

    @classmethod
    def of(cls, sets, n_outputs):
        """Collate sets, tensors of shape (n_elements_i, n_features)."""
        packed, index = collate_sets(sets).values()
        padded = pad_sequence(sets, batch_first=True)
        lengths = torch.tensor([len(x) for x in sets])
        mask = torch.arange(padded.shape[1]) < lengths[:, None]
        gradient = torch.from_numpy(
            np.random.default_rng(2).standard_normal((len(sets), n_outputs), np.float32)
        )
        return cls(packed, index, padded, mask, gradient)

    def to(self, *args):
        """Move the tensors; integers keep their dtype."""
        return Batch(
            *(t.to(*args) if t.is_floating_point() else t.to(args[0]) for t in self)
        )


class Competitor(NamedTuple):
    """A layer, and the batches that it is given."""

    layer: nn.Module
    batches: list
    is_padded: bool

    def forward(self):
        """Embed all batches."""
        with torch.no_grad():
            for batch in self.batches:
                self._embeddings(batch, self.input_of(batch))

    def step(self):
        """Go forward and back, batch by batch."""
        for batch in self.batches:
            self.step_of(batch)

    def step_of(self, batch):
        """Return embeddings, and gradients of the input and each parameter."""
        x = self.input_of(batch).requires_grad_()
        embeddings = self._embeddings(batch, x)
        wanted = [x, *self.layer.parameters()]
        return embeddings, *torch.autograd.grad(embeddings, wanted, batch.gradient)

    def results_of(self, batch):
        """Return embeddings, and gradients of packed elements and references."""
        embeddings, of_x, of_references = self.step_of(batch)
        of_x = of_x[batch.mask] if self.is_padded else of_x
        results = embeddings, of_x, of_references.flatten(0, -2)
        return [result.detach().cpu().double() for result in results]

    def input_of(self, batch):
        """Return the elements as the layer takes them, without a graph."""
        return (batch.padded if self.is_padded else batch.packed).detach()

    def largest_step(self):
        """Go forward and back with the batch that has most elements."""
        return self.step_of(max(self.batches, key=lambda batch: len(batch.index)))

    def _embeddings(self, batch, x):
        if self.is_padded:
            return self.layer(x, mask=batch.mask).flatten(1)
        return self.layer(x, batch.index, dim_size=len(batch.gradient)).flatten(1)


def make_data(problem):
    """Return sets, a list of tensors, and the supports of a reference, drawn from them."""
    random = np.random.default_rng(0)
    n_sets = N_BATCHES * problem.n_sets
    lengths = random.integers(problem.longest // 5, problem.longest + 1, size=n_sets)
    centers = unit_rows(random.standard_normal((problem.n_supports, problem.n_features)))
    sets = []
    for length in lengths:
        shares = random.dirichlet(np.ones(len(centers)))
        cluster = random.choice(len(centers), size=length, p=shares)
        noise = unit_rows(random.standard_normal((length, problem.n_features)))
        sets.append(unit_rows(centers[cluster] + NOISE * noise).astype(np.float32))
    drawn = random.choice(sum(lengths), size=problem.n_supports, replace=False)
    references = np.concatenate(sets)[drawn]
    return [torch.from_numpy(x) for x in sets], torch.from_numpy(references)


def unit_rows(rows):
    """Return L2-normalized rows."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_batches(problem, sets, is_sorted, device):
    """Return batches of sets of about one length, or at random, as `sets` are."""
    order = np.arange(len(sets))
    if is_sorted:
        order = np.argsort([len(x) for x in sets], kind="stable")
    n_outputs = problem.n_supports * problem.n_features
    return [
        Batch.of([sets[i] for i in part], n_outputs).to(device)
        for part in np.array_split(order, N_BATCHES)
    ]


def pooling_of(references, **parameters):
    """Return an `OTKPooling` with these supports."""
    n_supports, n_features = references.shape
    pooling = OTKPooling(n_features, n_supports, epsilon=EPSILON, **parameters)
    pooling.load_state_dict({"references": references[None]})
    return pooling.to(references.device)


def mean_iterations(pooling, sets):
    """How many iterations the tolerance leads to on average: passes over the plan."""
    sets = [x.numpy() for x in sets]
    return to_estimator(pooling).sinkhorn_diagnostics(sets).n_iter.mean()


def make_competitors(problem, device):
    """Return what is compared, by name."""
    torch.manual_seed(0)
    sets, references = make_data(problem)
    n_iter = max(1, round(mean_iterations(pooling_of(references), sets)))
    random, of_one_length = (
        make_batches(problem, sets, is_sorted, device) for is_sorted in [False, True]
    )
    kinds = {
        f"random batches ({share_of_elements(random):.0%} elements)": random,
        f"sorted batches ({share_of_elements(of_one_length):.0%} elements)": of_one_length,
    }
    references = references.to(device)
    pooling = pooling_of(references)
    plain = pooling_of(references, tol=0, max_iter=USUAL_ITERATIONS)
    competitors = {
        OURS: Competitor(pooling, random, False),
        "OTKPooling, padded": Competitor(pooling, random, True),
        OURS_ALL_ITERATIONS: Competitor(plain, random, False),
    }
    unrolled = [(USUAL_ITERATIONS, False), (n_iter, False), (USUAL_ITERATIONS, True)]
    for n, log_domain in unrolled:
        layer = UnrolledPooling(references, EPSILON, n, log_domain).to(device)
        name = f"unrolled, {n} iterations{' in the log domain' * log_domain}"
        for kind, batches in kinds.items():
            competitors[f"{name}, {kind}"] = Competitor(layer, batches, True)
    attention = AttentionPooling(problem.n_features, problem.n_supports, N_HEADS)
    competitors["nn.MultiheadAttention"] = Competitor(attention.to(device), random, True)
    if importlib.util.find_spec("torch_geometric"):
        from torch_geometric.nn import SetTransformerAggregation

        transformer = SetTransformerAggregation(
            problem.n_features, num_seed_points=problem.n_supports, heads=N_HEADS
        )
        name = "SetTransformerAggregation"
        competitors[name] = Competitor(transformer.to(device), random, False)
    return competitors


def share_of_elements(batches):
    """How much of padded batches is no padding."""
    return torch.cat([batch.mask.flatten() for batch in batches]).double().mean()


def in_turns(competitors, n_rounds, device):
    """Milliseconds per batch, by name, of shape (n_rounds, 2): forward and steps."""
    times = {name: [] for name in competitors}
    for competitor in competitors.values():
        competitor.step_of(competitor.batches[0])
    for _ in range(n_rounds):
        for name, competitor in competitors.items():
            functions = competitor.forward, competitor.step
            times[name].append([milliseconds(f, device) for f in functions])
    return {name: np.array(taken) for name, taken in times.items()}


def milliseconds(function, device):
    """Time of a run over all batches, per batch."""

    def run():
        function()
        if device == "cuda":
            torch.cuda.synchronize()

    if device == "cuda":
        torch.cuda.synchronize()
    return 1000 * once(run)[0] / N_BATCHES


def memory_of(problem, competitors, device, n_threads):
    """Extra memory of a step on the largest batch, by name, in bytes."""
    if device == "cuda":
        return {
            name: extra_memory_on_cuda(c.largest_step) for name, c in competitors.items()
        }
    # Read at the start of a process, which then gives arrays back that it frees.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**16)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(memory_in_process, problem, n_threads).result()


def memory_in_process(problem, n_threads):
    """Return what `memory_of` does, of this process."""
    torch.set_num_threads(n_threads)
    competitors = make_competitors(problem, "cpu")
    return {name: extra_memory(c.largest_step) for name, c in competitors.items()}


def converged_results(problem):
    """Results for the first random batch in float64 on the CPU, of converged plans."""
    sets, references = make_data(problem)
    batch = make_batches(problem, sets, False, "cpu")[0].to("cpu", torch.float64)
    layer = UnrolledPooling(references.double(), EPSILON, CONVERGED_ITERATIONS)
    return Competitor(layer, [batch], True).results_of(batch)


def relative_errors(found, expected):
    """Relative errors: of embeddings, and the larger one of gradients."""
    errors = [torch.dist(f, e) / torch.linalg.norm(e) for f, e in zip(found, expected)]
    return float(errors[0]), float(max(errors[1:]))


def errors_of(competitors, problem):
    """Errors of the layers with plans, by name."""
    expected = converged_results(problem)
    return {
        name: relative_errors(c.results_of(c.batches[0]), expected)
        for name, c in competitors.items()
        if isinstance(c.layer, OTKPooling | UnrolledPooling) and "sorted" not in name
    }


def deviation_from_cpu(competitors, problem):
    """Largest relative deviation from the same layer on the CPU."""
    on_cpu = make_competitors(problem, "cpu")
    found, expected = (
        competitor.results_of(competitor.batches[0])
        for competitor in [competitors[OURS_ALL_ITERATIONS], on_cpu[OURS_ALL_ITERATIONS]]
    )
    return max(relative_errors(found, expected))


def report(problem, device, n_threads, n_rounds):
    """Print a table, and return whether results are those of the CPU."""
    print(f"\n{problem}\n", flush=True)
    competitors = make_competitors(problem, device)
    memory = memory_of(problem, competitors, device, n_threads)
    errors = errors_of(competitors, problem)
    times = in_turns(competitors, n_rounds, device)
    print("| layer | forward, ms | ratio | step, ms | ratio | MiB | ratio | errors |")
    print("|---|---|---|---|---|---|---|---|")
    for name, taken in times.items():
        forward, step = np.median(taken, axis=0)
        of_forward, of_step = np.median(taken / times[OURS], axis=0)
        error = "{:.0e}, {:.0e}".format(*errors[name]) if name in errors else ""
        print(
            f"| {name} | {forward:.2f} | {of_forward:.1f} | {step:.2f} | {of_step:.1f} | "
            f"{memory[name] / 2**20:.1f} | {memory[name] / memory[OURS]:.1f} | {error} |"
        )
    print(f"\nRatios of forward and step to those of {OURS_ALL_ITERATIONS}:")
    for name, taken in times.items():
        if name.startswith(f"unrolled, {USUAL_ITERATIONS} "):
            ratios = np.median(taken / times[OURS_ALL_ITERATIONS], axis=0)
            print("  {}: {:.1f}, {:.1f}".format(name, *ratios))
    sys.stdout.flush()
    if device == "cpu":
        return True
    deviation = deviation_from_cpu(competitors, problem)
    print(f"Largest relative deviation from the CPU: {deviation:.0e}", flush=True)
    return deviation <= MAX_DEVIATION


def main():
    """Print versions, and a table for each problem."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    print(
        f"Python {platform.python_version()}, PyTorch {version('torch')}, {device}, "
        f"{given.threads} threads; load average before: {os.getloadavg()[0]:.1f}"
    )
    agree = [report(p, given.device, given.threads, given.rounds) for p in PROBLEMS]
    if not all(agree):
        sys.exit(f"Deviations from the CPU are larger than {MAX_DEVIATION:.0e}.")


if __name__ == "__main__":
    main()
