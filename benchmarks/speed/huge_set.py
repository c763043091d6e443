"""One set that doesn't fit into memory: time for each element, and the peak of memory.

Elements are generated block by block, and written nowhere. The same with a set of 1e6 that
is in memory is timed beside it. Times are of the processor.

    python benchmarks/speed/huge_set.py [--elements 1e8]
"""

import argparse
import time

import numpy as np
from _peak_memory import peak_memory

from otk_sklearn import OTKEmbedding
from otk_sklearn.batches import transform_blocks

BLOCK_SHAPE = 200_000, 32
N_IN_MEMORY = 1_000_000


def block(seed):
    """Gaussian elements, around one of a few places by block."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(BLOCK_SHAPE, np.float32) + np.float32(rng.integers(3) / 2)


def main():
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=float, default=1e8)
    n_blocks = int(np.ceil(parser.parse_args().elements / BLOCK_SHAPE[0]))
    before = peak_memory()
    few = [block(seed)[:2000].copy() for seed in range(20)]
    embedding = OTKEmbedding(random_state=0).fit(few)
    transform_blocks(embedding, [block(0)])  # what is compiled

    start = time.process_time()
    for seed in range(n_blocks):
        block(seed)
    generation = time.process_time() - start

    start = time.process_time()
    result = transform_blocks(embedding, lambda: map(block, range(n_blocks)))
    took = time.process_time() - start - result.n_passes * generation
    print(
        f"{result.n_elements:.1e} elements in blocks: "
        f"{1e9 * took / result.n_elements:.0f} ns of a processor for each element in "
        f"{result.n_passes} passes (without {generation:.0f} s of generation "
        f"in each), residual {result.residual.max():.1e}, peak "
        f"{(peak_memory() - before) / 2**20:.0f} MiB above that before"
    )

    X = [np.concatenate([block(seed) for seed in range(N_IN_MEMORY // BLOCK_SHAPE[0])])]
    start = time.process_time()
    embedding.transform(X)
    took = time.process_time() - start
    print(f"{N_IN_MEMORY:.0e} in memory: {1e9 * took / N_IN_MEMORY:.0f} ns for each")


if __name__ == "__main__":
    main()
