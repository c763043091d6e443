"""Time to import, of the first `transform`, and of that of a single set.

python benchmarks/speed/startup.py
"""

import os
import subprocess
import sys
import tempfile

# Run in a bare process: modules that this script has imported would be in the way.
CODE = """
import time
import numba, sklearn.cluster, sklearn.kernel_approximation, scipy.linalg, numpy as np
start = time.perf_counter()
from otk_sklearn import OTKEmbedding
added = time.perf_counter() - start
random = np.random.default_rng(0)
X = [random.normal(size=(20, 12)).astype(np.float32) for _ in range(100)]
model = OTKEmbedding(5, anchors=X[0], references=np.ones((1, 5, 20), np.float32)).fit(X)
times = []
for _ in range(2):
    start = time.perf_counter()
    model.transform(X)
    times.append(time.perf_counter() - start)
single = []
for _ in range(500):
    start = time.perf_counter()
    model.transform(X[:1])
    single.append(time.perf_counter() - start)
print(f"{added:.2f} {times[0]:.2f} {times[1]:.4f} {1e3 * np.median(single):.2f}")
"""


def main():
    """Start twice, with an empty folder for compiled code at first."""
    with tempfile.TemporaryDirectory() as cache:
        for name in ["nothing compiled", "compiled before"]:
            found = subprocess.check_output(
                [sys.executable, "-c", CODE],
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
                text=True,
            )
            added, first, again, single = found.split()
            print(
                f"start, {name}: import {added} s more than numba and scikit-learn, first "
                f"transform {first} s, second {again} s, of a single set {single} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
