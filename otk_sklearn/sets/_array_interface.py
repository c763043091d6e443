"""What libraries of arrays find out about a collection, which is none."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from otk_sklearn._utils.sklearn_compat import get_namespace

_NO_ARRAY = (
    "A SetCollection is not an array: its weights, positions and names would be lost. Use "
    "X.values for the elements of all sets, X.to_padded() for a 3-D array, X[index] to "
    "choose, permute or repeat sets, SetCollection.concatenate to join collections. A "
    "transformer of elements is wrapped, ElementTransformer(StandardScaler()); other "
    "estimators of arrays come after an embedding, "
    "make_pipeline(OTKEmbedding(), estimator)."
)


class ArrayInterface:
    """Base class of `SetCollection`."""

    @property
    def shape(self) -> tuple[int]:
        """`(n_sets,)`: to scikit-learn, a collection is a 1-D array of samples."""
        return (len(self),)

    # With `array_api_dispatch`, scikit-learn splits what has a `shape` by its namespace's
    # `take`; that of NumPy calls a method of the same name.

    def __array_namespace__(self, *, api_version=None):
        return get_namespace(self.offsets)[0]

    @property
    def device(self) -> str:
        """`"cpu"`, where the elements are."""
        return "cpu"

    def take(
        self,
        indices: ArrayLike,
        axis: int | None = 0,
        out: None = None,
        mode: Literal["raise", "wrap", "clip"] = "raise",
    ) -> Self:
        """Return the collection of these sets, as `numpy.take` does.

        Parameters
        ----------
        indices : array-like of int of shape (n_sets_new,)
            Which sets, in which order.
        axis : {0, -1, None}, default=0
            The axis of the sets, the only one.
        out : None
            A collection is immutable.
        mode : {"raise", "wrap", "clip"}, default="raise"
            As in `numpy.take`, for indices that are out of range.

        Returns
        -------
        SetCollection
            `X[indices]`.
        """
        if axis not in (0, -1, None):
            raise ValueError(
                f"axis is {axis}; expected 0, that of the sets. Features of elements: "
                "X.with_values(X.values[:, indices])."
            )
        if out is not None:
            raise ValueError(f"out is {type(out).__name__}; expected None.")
        if mode != "raise":
            indices = np.arange(len(self)).take(indices, mode=mode)
        return self[indices]

    def __array__(self, dtype=None, copy=None):
        raise TypeError(_NO_ARRAY)

    # PyTorch would stack the sets one by one, without their weights.

    def __dlpack__(self, **options):
        raise TypeError(_NO_ARRAY)

    def __dlpack_device__(self):
        raise TypeError(_NO_ARRAY)
