"""What libraries of arrays find out about a collection, which is none."""

from otk_sklearn._utils.sklearn_compat import get_namespace


class ArrayInterface:
    """Base class of `SetCollection`."""

    @property
    def shape(self):
        """`(n_sets,)`: to scikit-learn, a collection is a 1-D array of samples."""
        return (len(self),)

    # With `array_api_dispatch`, scikit-learn splits what has a `shape` by its namespace's
    # `take`; that of NumPy calls a method of the same name.

    def __array_namespace__(self, *, api_version=None):
        return get_namespace(self.values)[0]

    @property
    def device(self):
        """`"cpu"`, where the elements are."""
        return "cpu"

    def take(self, indices, axis=0, out=None, mode="raise"):
        """Return the collection of these sets.

        Parameters
        ----------
        indices : array-like of int of shape (n_sets_new,)
            Which sets, in which order.
        axis, out, mode : ignored
            For compatibility with `numpy.take`.

        Returns
        -------
        SetCollection
            `X[indices]`.
        """
        return self[indices]

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "A SetCollection is not an array: its weights, positions and names would be "
            "lost. Use X.values for the elements of all sets, X.to_padded() for a 3-D "
            "array, X[index] to choose, permute or repeat sets, SetCollection.concatenate "
            "to join collections; an estimator of arrays comes after an embedding, "
            "make_pipeline(OTKEmbedding(), estimator)."
        )
