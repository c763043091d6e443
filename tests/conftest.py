"""Fixtures shared by the tests."""

import itertools

import pytest
from helpers import make_sets

from otk_sklearn import SetCollection


@pytest.fixture
def sets():
    """Sets of 1 to 30 elements with 4 features, as a list."""
    return make_sets()


@pytest.fixture
def collection(sets):
    """The same sets, packed."""
    return SetCollection.from_sets(sets)


def pytest_addoption(parser):
    parser.addoption(
        "--all-combinations",
        action="store_true",
        help="run tests marked pairwise with all combinations of their parameters",
    )


def pytest_generate_tests(metafunc):
    """Parametrize by `pytest.mark.pairwise((names, values), (names, values), ...)`."""
    marker = metafunc.definition.get_closest_marker("pairwise")
    if marker is None:
        return
    combinations = list(itertools.product(*(values for _, values in marker.args)))
    if not metafunc.config.getoption("--all-combinations"):
        combinations = pairwise_cover(combinations)
    names, rows = [], [[] for _ in combinations]
    for i, (of_parameter, _) in enumerate(marker.args):
        single = isinstance(of_parameter, str)
        names += [of_parameter] if single else of_parameter
        for row, combination in zip(rows, combinations):
            row += [combination[i]] if single else combination[i]
    metafunc.parametrize(names, rows)


def pairwise_cover(combinations):
    """Combinations that have every pair of values of two parameters that there is."""

    def pairs(combination):
        return set(itertools.combinations(enumerate(map(id, combination)), 2))

    uncovered, cover = set().union(*map(pairs, combinations)), []
    while uncovered:
        best = max(combinations, key=lambda c: len(pairs(c) & uncovered))
        cover.append(best)
        uncovered -= pairs(best)
    return cover
