"""Names that come back are found, among as many as there are, and no others."""

import datetime

import numpy as np
import pytest

from otk_sklearn.batches._seen_names import SeenNames

NAMES = {
    "integers": lambda i: i - 500,
    "strings": lambda i: f"patient {i}",
    "tuples": lambda i: (i - 500, f"x{i % 7}"),  # to Python, -1 and -2 have the same hash
    "dates": lambda i: datetime.date(2020, 1, 1) + datetime.timedelta(i),
    "floats": lambda i: i / 7,
    "mixed": lambda i: str(i // 2) if i % 2 else i // 2,
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_found_when_they_come_back(kind):
    rng = np.random.default_rng(0)
    numbers = rng.permutation(1000)
    names = np.fromiter(map(NAMES[kind], numbers.tolist()), object)
    if kind == "integers":
        names = names.astype(np.int64)
    seen = SeenNames()
    for batch in np.split(names, np.sort(rng.integers(0, 1000, 30))):
        assert seen.first_seen(batch) is None
    for place in rng.integers(0, 1000, 20):
        new = np.fromiter(map(NAMES[kind], range(2000, 2004)), object).astype(names.dtype)
        batch = np.concatenate([new[:2], names[place : place + 1], new[2:]])
        assert seen.first_seen(batch) == 2
    assert seen.first_seen(np.concatenate([new[:2], new[:1]])) == 2
