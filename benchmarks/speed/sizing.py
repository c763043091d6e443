"""How long large data take: seconds of a processor for 1e6 elements, by sizes.

Sets of Gaussian elements are embedded in one thread, batch by batch. What 1e9 and 1e12
elements take is worked out from it, on one machine and on a hundred: the work is the same
for every set, and nothing is exchanged between processors.

    python benchmarks/speed/sizing.py [--processors 2] [--elements 1e6]
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.batches import iter_sets

# number of features, elements of a set, parameters
SIZES = [
    (8, 20, {"n_supports": 10, "n_components": 32}),
    (8, 1000, {"n_supports": 10, "n_components": 32}),
    (32, 20, {}),
    (32, 100, {}),
    (32, 1000, {}),
    (32, 100_000, {}),
    (128, 100, {"n_components": 256}),
    (384, 100, {"kernel": "linear", "n_supports": 10}),
]
ELEMENTS_IN_BATCH = 100_000


def seconds_per_million(n_features, length, parameters, n_elements):
    """Seconds to embed 1e6 elements, reading of batches included."""
    values = np.random.default_rng(0).standard_normal((n_elements, n_features), np.float32)
    offsets = np.arange(0, n_elements + 1, length)
    embedding = OTKEmbedding(random_state=0, n_jobs=1, **parameters)
    embedding.fit(SetCollection(values, offsets)[: max(1, 50_000 // length)])
    embedding.transform([values[:length]])  # what is compiled
    start = time.process_time()
    for X in iter_sets(values, offsets=offsets, max_elements=ELEMENTS_IN_BATCH):
        embedding.transform(X)
    return (time.process_time() - start) * 1e6 / offsets[-1]


def readable(seconds):
    """A time in its largest unit."""
    units = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "years": 86_400 * 365.25}
    name = [name for name, size in units.items() if seconds >= size or name == "s"][-1]
    return f"{seconds / units[name]:.1f} {name}"


def main():
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processors", type=int, default=2, help="of one machine")
    parser.add_argument("--elements", type=float, default=1e6)
    arguments = parser.parse_args()
    print(
        "| features | elements of a set | parameters | 1e6 elements, one processor", end=""
    )
    print(" | 1e9, one machine | 1e12, one machine | 1e12, a hundred |")
    print("|---" * 7 + "|")
    for n_features, length, parameters in SIZES:
        with threadpool_limits(1):
            one = seconds_per_million(
                n_features, length, parameters, int(arguments.elements)
            )
        each = one / arguments.processors
        times = [one, 1e3 * each, 1e6 * each, 1e4 * each]
        described = ", ".join(f"`{k}={v!r}`" for k, v in parameters.items()) or "defaults"
        print("|", n_features, "|", f"{length:,}", "|", described, end="")
        print("", *map(readable, times), sep=" | ", end=" |\n", flush=True)


if __name__ == "__main__":
    main()
