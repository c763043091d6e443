"""What `OTKEmbedding` learns from sets: anchors first, then references."""

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory

from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.features._anchors import learn_feature_map
from otk_sklearn.features._unit_norm import unit_elements
from otk_sklearn.matching._references import (
    MAX_ITER,
    LearningStopped,
    learn_from_elements,
    wasserstein_kmeans,
)
from otk_sklearn.sets._arrays import check_parameter_array
from otk_sklearn.sets._input import check_finite, input_attributes
from otk_sklearn.sets._positions import check_positions, n_axes_of, positions_of
from otk_sklearn.sets._sampling import merge_equal_sets, sample_elements, sample_sets
from otk_sklearn.sets._windows import windows_of


def learn(model, X, sets, sample_weight, progress):
    """Learn anchors and references.

    Parameters
    ----------
    model : OTKEmbedding
        Whose parameters count.
    X : sets
        As handed over.
    sets : SetCollection
        Of X.
    sample_weight : ndarray of shape (n_sets,) or None
    progress : Progress

    Returns
    -------
    attributes : dict
        The fitted attributes.
    residual : ndarray of shape (n_sets, n_references)
        What Sinkhorn left of errors, of sets that references were learned from.
    """
    learning = _Learning(model, sets, sample_weight)
    # K-means would amplify the last digit, and threads add up in an order of their own.
    with single_threaded(), np.errstate(all="ignore"):
        with progress.stage("anchors"):
            elements, feature_map = learning.features()
        with progress.stage("references", learning.max_iter):
            references, history, residual = learning.references(
                elements, feature_map, progress
            )
    attributes = {
        **input_attributes(X, sets),
        "anchors_": feature_map.anchors,
        "normalization_": feature_map.normalization,
        "gamma_": feature_map.gamma,
        "references_": references,
        "objective_history_": history,
        "n_iter_": max(1, len(history)),
        # What is learned is of use with these only, whatever the parameters become.
        "_kernel": model.kernel,
        "_windows": learning.of_windows,
        "_n_axes": n_axes_of(sets),
    }
    return attributes, residual


class _Learning:
    """What is learned from, and how.

    Parameters
    ----------
    model, sets, sample_weight
        As in `learn`.
    """

    def __init__(self, model, sets, sample_weight):
        model._transport()  # complain about parameters before anything is learned
        given = model.references
        self._given_references = None
        if not isinstance(given, str):
            self._given_references = given = _check_references(given)
        check_finite(sets)
        if model.position is not None:
            n_supports = model.n_supports if isinstance(given, str) else given.shape[1]
            check_positions(sets, n_supports, n_axes_of(sets))
        if sample_weight is not None and not sample_weight.all():
            kept = np.flatnonzero(sample_weight)
            sets, sample_weight = sets[kept], sample_weight[kept]
        self._model, self._sets, self._sample_weight = model, sets, sample_weight
        self.of_windows = {"filter_size": model.filter_size, "padding": model.padding}
        # All seeds are drawn at once: a cache hit then changes no later draw.
        random = check_random_state(model.random_state)
        seeds = [int(seed) for seed in random.randint(2**31 - 1, size=5)]
        self._elements_seed, *self._features_seeds, self._seed, self._sets_seed = seeds
        self._memory = check_memory(model.memory)

    @property
    def max_iter(self):
        """Most iterations of references: 0 if there are none, None if there may be any."""
        if self._given_references is not None or self._learns_from_elements:
            return 0
        return MAX_ITER if self._model.n_references == 1 else None

    def features(self):
        """Return the elements to learn from, and the `FeatureMap`."""
        model = self._model
        elements = sample_elements(
            *self._windows_of(self._sets),
            model.max_elements,
            self._elements_seed,
            self._sample_weight,
        )
        if model.kernel != "rbf":  # features are learned from directions
            elements = unit_elements(elements)
        feature_map = learn_feature_map(
            elements,
            kernel=model.kernel,
            gamma=model.gamma,
            n_components=model.n_components,
            anchors=model.anchors,
            damping=model.damping,
            memory=self._memory,
            seeds=self._features_seeds,
        )
        return elements, feature_map

    def references(self, elements, feature_map, progress):
        """Return the references, and of their learning, the history and residuals."""
        model, references = self._model, self._given_references
        if references is not None:
            n_components = feature_map.n_components or elements.rows.shape[1]
            if references.shape[2] != n_components:
                raise ValueError(
                    f"references has shape {references.shape}; expected (n_references, "
                    f"n_supports, {n_components})."
                )
        elif self._learns_from_elements:
            learn = self._memory.cache(learn_from_elements, ignore=["n_jobs"])
            references = learn(
                feature_map,
                elements,
                model.n_references,
                model.n_supports,
                model.references,
                self._seed,
                n_jobs=model.n_jobs,
            )
        else:
            return self._references_of_sets(feature_map, progress)
        return references, np.empty(0), np.empty((0, 1))

    def _references_of_sets(self, feature_map, progress):
        model = self._model
        if len(self._sets) < model.n_references:
            raise ValueError(
                f"X has n_samples={len(self._sets)} sets; expected at least as many as "
                f"references, n_references={model.n_references}."
            )
        sets, sample_weight = merge_equal_sets(self._sets, self._sample_weight)
        sets, sample_weight = sample_sets(
            *self._windows_of(sets),
            model.max_elements,
            model.n_references,
            self._sets_seed,
            sample_weight,
        )
        learn = self._memory.cache(wasserstein_kmeans, ignore=["n_jobs", "progress"])
        try:
            return learn(
                feature_map,
                sets,
                sample_weight,
                model.n_references,
                model.n_supports,
                model.references,
                model._transport(),
                model._position_filter(model.n_supports),
                self._seed,
                n_jobs=model.n_jobs,
                progress=progress,
            )
        except LearningStopped as stopped:
            return stopped.learned

    @property
    def _learns_from_elements(self):
        method = self._model.references
        return method == "random" or (method == "kmeans" and self._model.n_references == 1)

    def _windows_of(self, sets):
        windows = windows_of(sets, **self.of_windows)
        return windows, positions_of(windows, self._model.position)


def _check_references(references):
    """Return a copy of the references that were given as a parameter."""
    references = check_parameter_array(references, "references")
    if references.ndim != 3 or not references.size:
        raise ValueError(
            f"references has shape {references.shape}; expected (n_references, "
            "n_supports, n_components), none of them 0."
        )
    return references
