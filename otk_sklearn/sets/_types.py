"""Types of what many public functions take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from numpy.typing import ArrayLike

from otk_sklearn.sets._collection import SetCollection


class ArrowStream(Protocol):
    """A table, column or array of a library with Arrow's PyCapsule interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class ArrowArray(Protocol):
    """An array of a library with Arrow's PyCapsule interface."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> Any: ...


# What estimators take as sets: "X : sets" in docstrings.
SetsLike: TypeAlias = (
    SetCollection | ArrayLike | Sequence[ArrayLike] | ArrowStream | ArrowArray
)
