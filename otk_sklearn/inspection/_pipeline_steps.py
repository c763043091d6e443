"""The steps of a fitted model: those before its embedding, and those after."""

import copy
import itertools
from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn.embeddings._convolution import ConvolutionalKernelLayer
from otk_sklearn.embeddings._elements import ElementTransformer
from otk_sklearn.embeddings._kernel_mean import KernelMeanEmbedding
from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.sets._validation import as_fitted_sets, as_sets
from otk_sklearn.sets._windows import fitted_windows, subsampling_windows
from otk_sklearn.supervised._base import SupervisedEmbedding


@compared_by_identity
class ModelSteps(NamedTuple):
    """The steps of a fitted model, split at its embedding.

    Parameters
    ----------
    before : list of (name, estimator)
        Steps that transform sets into sets.
    embedding : OTKEmbedding or KernelMeanEmbedding
    after : list of (name, estimator)
        The embedding, or the `OTKClassifier` or `OTKRegressor` that contains it, and the
        steps after it. The last one may predict.
    """

    before: list
    embedding: object
    after: list

    @property
    def owner(self):
        """The embedding, or the classifier or regressor that contains it."""
        return self.after[0][1]

    @property
    def first(self):
        """The step that receives the input sets."""
        return (self.before + self.after)[0][1]


def model_steps(estimator, requires_plan=True):
    """Return the `ModelSteps` of a fitted embedding, Pipeline or search.

    Unless `requires_plan`, the embedding may also be a `KernelMeanEmbedding`.
    """
    check_is_fitted(estimator)
    kinds = (OTKEmbedding, SupervisedEmbedding)
    kinds += () if requires_plan else (KernelMeanEmbedding,)
    # Copies keep the attributes of one fit, even if another thread refits the steps.
    steps = [
        (name, copy.copy(step))
        for name, step in _flat_steps(type(estimator).__name__, estimator)
    ]
    for i, (_, step) in enumerate(steps):
        if isinstance(step, kinds):
            check_is_fitted(step)
            embedding = getattr(step, "embedding_", step)
            return ModelSteps(steps[:i], embedding, steps[i:])
    raise ValueError(
        f"estimator is {type(estimator).__name__}, with the steps "
        f"{[name for name, _ in steps]}; expected an OTKEmbedding, "
        f"{'' if requires_plan else 'KernelMeanEmbedding, '}OTKClassifier or OTKRegressor, "
        "or a Pipeline or fitted search (with refit=True) that has one among its steps."
    )


def _flat_steps(name, estimator):
    """Flatten nested Pipelines, and replace searches by their best estimator."""
    if hasattr(estimator, "best_estimator_"):
        return _flat_steps(name, estimator.best_estimator_)
    if isinstance(estimator, Pipeline):
        steps = [_flat_steps(*step) for step in estimator.steps]
        return list(itertools.chain.from_iterable(steps))
    return [] if estimator in (None, "passthrough") else [(name, estimator)]


class ElementMapping:
    """Maps elements of the embedding to the input rows that they are made of.

    Parameters
    ----------
    steps : ModelSteps
    X : sets
        Input of the model.

    Attributes
    ----------
    rows : SetCollection or FrameCollection
        The input sets.
    X : sets
        The input of the embedding, with feature names.
    sets : SetCollection
        The same, packed.
    """

    def __init__(self, steps, X):
        encodes = isinstance(steps.first, ElementTransformer)
        n_features = getattr(steps.first, "n_features_in_", None)
        self.rows = self.sets = as_sets(
            X, explain_rows=False, n_features=n_features, keep_frames=encodes
        )
        self._windows = []  # of each step, with the weights of the rows of a window
        for name, step in steps.before:
            X = step.transform(X)
            before, self.sets = self.sets, as_sets(X, explain_rows=False)
            self._windows += _windows_of_step(name, step, before, self.sets)
        self.X, self.sets = X, as_fitted_sets(steps.embedding, X)
        self._windows += _windows_of(steps.embedding, self.sets)

    def distribute(self, columns):
        """Distribute values of the embedding's elements over the rows they are made of.

        Parameters
        ----------
        columns : ndarray of shape (n_elements, n_columns)

        Returns
        -------
        list of ndarray of shape (n_rows_i, n_columns)
            Set by set.
        """
        for windows, taps in reversed(self._windows):
            columns = windows.distribute_to_rows(columns, taps)
        bounds = itertools.pairwise(self.rows.offsets)
        return [columns[start:stop] for start, stop in bounds]

    def span(self, elements):
        """First row, and one past the last, that elements of the embedding are made of."""
        first, stop = elements, elements + 1
        for windows, _ in reversed(self._windows):
            lowest, start_of_set, _ = windows.bounds(first)
            highest, _, stop_of_set = windows.bounds(stop - 1)
            first = np.maximum(lowest, start_of_set)
            stop = np.minimum(highest + windows.size, stop_of_set)
        return first, stop


def _windows_of(model, sets):
    windows = fitted_windows(model, sets)
    return [] if windows is sets else [(windows.windows, windows.taps)]


def _windows_of_step(name, step, before, after):
    """Return the windows that a step pools into elements; none if it is one to one."""
    if isinstance(step, ConvolutionalKernelLayer):
        windows = _windows_of(step, before)
        offsets = windows[-1][0].offsets if windows else before.offsets
        return [*windows, subsampling_windows(offsets, step.subsampling)]
    if not np.array_equal(before.offsets, after.offsets):
        raise ValueError(
            f"step {name!r} ({type(step).__name__}) changes how many elements sets have; "
            "expected steps that keep elements one to one, or a ConvolutionalKernelLayer."
        )
    return []
