"""The steps of a fitted model: those before its embedding, and those after."""

from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from otk_sklearn.embeddings._convolution import ConvolutionalKernelLayer
from otk_sklearn.embeddings._kernel_mean import KernelMeanEmbedding
from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.sets._input import as_fitted_sets, as_sets
from otk_sklearn.sets._windows import filter_windows, subsampling_windows
from otk_sklearn.supervised._base import SupervisedEmbedding


class ModelSteps(NamedTuple):
    """What a fitted model consists of.

    Parameters
    ----------
    before : list of (name, estimator)
        Steps from sets to sets.
    embedding : OTKEmbedding or KernelMeanEmbedding
    after : list of (name, estimator)
        The step that the embedding is, or is of (an `OTKClassifier` or `OTKRegressor`), and
        those that come after it. The last one may predict.
    """

    before: list
    embedding: object
    after: list

    @property
    def owner(self):
        """The step that the embedding is, or is of."""
        return self.after[0][1]

    @property
    def first(self):
        """The step that sets are handed over to."""
        return (self.before + self.after)[0][1]


def model_steps(estimator, by_plan=True):
    """Return the steps of a fitted embedding, Pipeline with one, or search over these.

    Unless it has to be `by_plan`, the embedding may also be a kernel mean.
    """
    check_is_fitted(estimator)
    kinds = (OTKEmbedding, SupervisedEmbedding)
    kinds += () if by_plan else (KernelMeanEmbedding,)
    steps = _flat_steps(type(estimator).__name__, estimator)
    for i, (_, step) in enumerate(steps):
        if isinstance(step, kinds):
            check_is_fitted(step)
            embedding = getattr(step, "embedding_", step)
            return ModelSteps(steps[:i], embedding, steps[i:])
    raise ValueError(
        f"estimator is {type(estimator).__name__}, with the steps "
        f"{[name for name, _ in steps]}; expected an OTKEmbedding, "
        f"{'' if by_plan else 'KernelMeanEmbedding, '}OTKClassifier or OTKRegressor, or a "
        "Pipeline or fitted search (with refit=True) that has one among its steps."
    )


def _flat_steps(name, estimator):
    """Steps of Pipelines within Pipelines one after the other, searches by their best."""
    if hasattr(estimator, "best_estimator_"):
        return _flat_steps(name, estimator.best_estimator_)
    if isinstance(estimator, Pipeline):
        steps = [_flat_steps(*step) for step in estimator.steps]
        return [step for part in steps for step in part]
    return [] if estimator in (None, "passthrough") else [(name, estimator)]


class ElementMapping:
    """The way of sets to the embedding, and back from its elements to their rows.

    Parameters
    ----------
    parts : ModelSteps
    X : sets
        As handed over to the model.

    Attributes
    ----------
    rows : SetCollection
        The sets as handed over.
    X : sets
        What comes to the embedding, with the names of its features.
    sets : SetCollection
        The same, packed.
    """

    def __init__(self, parts, X):
        self.rows = self.sets = as_sets(X, explain_rows=False)
        self._back = []  # from windows to rows, with weights of the rows of a window
        for name, step in parts.before:
            X = step.transform(X)
            before, self.sets = self.sets, as_sets(X, explain_rows=False)
            self._back += _windows_of_step(name, step, before, self.sets)
        self.X, self.sets = X, as_fitted_sets(parts.embedding, X)
        self._back += _windows_of(self.sets.offsets, **parts.embedding._windows)

    def distribute_to_rows(self, columns):
        """Share values of the embedding's elements out to the rows they are made of.

        Parameters
        ----------
        columns : ndarray of shape (n_elements, n_columns)

        Returns
        -------
        list of ndarray of shape (n_rows_i, n_columns)
            Set by set.
        """
        for windows, taps in reversed(self._back):
            columns = windows.distribute_to_rows(columns, taps)
        return np.split(columns, self.rows.offsets[1:-1])

    def span(self, elements):
        """First and one past the last row that elements of the embedding are made of."""
        first, stop = elements, elements + 1
        for windows, _ in reversed(self._back):
            lowest, start_of_set, _ = windows.bounds(first)
            highest, _, stop_of_set = windows.bounds(stop - 1)
            first = np.maximum(lowest, start_of_set)
            stop = np.minimum(highest + windows.size, stop_of_set)
        return first, stop


def _windows_of(offsets, filter_size, padding):
    if filter_size == 1:
        return []
    return [(filter_windows(offsets, filter_size, padding), np.ones(filter_size))]


def _windows_of_step(name, step, before, after):
    """Return the windows that a step makes elements of; none where it keeps them."""
    if isinstance(step, ConvolutionalKernelLayer):
        windows = _windows_of(before.offsets, **step._windows)
        offsets = windows[-1][0].offsets if windows else before.offsets
        return [*windows, subsampling_windows(offsets, step.subsampling)]
    if not np.array_equal(before.offsets, after.offsets):
        raise ValueError(
            f"step {name!r} ({type(step).__name__}) changes how many elements sets have; "
            "expected steps that keep elements one to one, or a ConvolutionalKernelLayer."
        )
    return []
