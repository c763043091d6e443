"""Fixtures shared by the tests."""

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
