"""What transformers from sets to sets have in common."""

from sklearn.base import TransformerMixin


class SetsOutMixin(TransformerMixin, auto_wrap_output_keys=None):
    """A transformer of sets whose output is a `SetCollection`."""

    def set_output(self, *, transform=None):
        """Do nothing: sets have no table for an output container.

        Parameters
        ----------
        transform : ignored

        Returns
        -------
        self : object
        """
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
