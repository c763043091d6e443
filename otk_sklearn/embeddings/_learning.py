"""Learning of the anchors, and then of the references, of an `OTKEmbedding`."""

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
from otk_sklearn.sets._positions import check_position_axes, n_axes_of, positions_of
from otk_sklearn.sets._sampling import merge_equal_sets, sample_elements, sample_sets
from otk_sklearn.sets._validation import check_finite, input_attributes
from otk_sklearn.sets._windows import windows_of


def learn_attributes(model, X, sets, sample_weight, progress):
    """Learn anchors and references, and return them as fitted attributes.

    Parameters
    ----------
    model : OTKEmbedding
        Provides the parameters; it is not modified.
    X : sets
        As passed to `fit`.
    sets : SetCollection
        The sets of X.
    sample_weight : ndarray of shape (n_sets,) or None
    progress : Progress

    Returns
    -------
    attributes : dict
        The fitted attributes of the embedding, by name.
    residual : ndarray of shape (n_sampled_sets, n_references)
        Marginal errors of the plans, as in `Plans`, of the sets from which references were
        learned; of shape (0, 1) if these were learned from elements, or fixed.
    """
    learner = _EmbeddingLearner(model, sets, sample_weight)
    # One thread: K-means would amplify rounding errors, which depend on the number of
    # threads.
    with single_threaded(), np.errstate(all="ignore"):
        with progress.stage("anchors"):
            elements = learner.sample_elements()
            feature_map = learner.learn_feature_map(elements)
        with progress.stage("references", learner.max_references_iter):
            references, history, residual = learner.learn_references(
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
        # Parameters that the attributes depend on; `set_params` may change them later.
        "_kernel": model.kernel,
        "_windows": learner.window_params,
        "_n_axes": n_axes_of(sets),
    }
    return attributes, residual


class _EmbeddingLearner:
    """Learns the feature map and the references of an embedding.

    Parameters
    ----------
    model, sets, sample_weight
        As in `learn_attributes`.
    """

    def __init__(self, model, sets, sample_weight):
        model._transport()  # raises if parameters are inconsistent
        self._fixed_references, n_supports = None, model.n_supports
        if not isinstance(model.references, str):
            self._fixed_references = _check_references(model.references)
            n_supports = self._fixed_references.shape[1]
        check_finite(sets)
        if model.position is not None:
            check_position_axes(sets, n_supports, n_axes_of(sets))
        if sample_weight is not None and not sample_weight.all():
            positive = np.flatnonzero(sample_weight)
            sets, sample_weight = sets[positive], sample_weight[positive]
        self._model, self._sets, self._sample_weight = model, sets, sample_weight
        self.window_params = {"filter_size": model.filter_size, "padding": model.padding}
        # All seeds are drawn at once: whether a result is cached changes no later draw.
        random = check_random_state(model.random_state)
        seeds = [int(seed) for seed in random.randint(2**31 - 1, size=5)]
        self._elements_seed, *self._feature_map_seeds = seeds[:3]
        self._references_seed, self._sets_seed = seeds[3:]
        self._memory = check_memory(model.memory)

    @property
    def max_references_iter(self):
        """Maximum number of iterations to learn references; None if it is unbounded."""
        if self._fixed_references is not None or self._learns_from_elements:
            return 0
        return MAX_ITER if self._model.n_references == 1 else None

    def sample_elements(self):
        """Sample the `Elements` from which the feature map and references are learned."""
        model = self._model
        elements = sample_elements(
            *self._windows_and_positions(self._sets),
            model.max_elements,
            self._elements_seed,
            self._sample_weight,
        )
        # The other kernels learn from directions only.
        return elements if model.kernel == "rbf" else unit_elements(elements)

    def learn_feature_map(self, elements):
        """Learn the anchors and gamma from elements, and return the `FeatureMap`."""
        model = self._model
        return learn_feature_map(
            elements,
            kernel=model.kernel,
            gamma=model.gamma,
            n_components=model.n_components,
            anchors=model.anchors,
            damping=model.damping,
            memory=self._memory,
            seeds=self._feature_map_seeds,
        )

    def learn_references(self, elements, feature_map, progress):
        """Return the references, the objective history and the residuals.

        The latter two are empty unless references are learned from sets.
        """
        if self._fixed_references is None and not self._learns_from_elements:
            return self._learn_references_from_sets(feature_map, progress)
        if self._fixed_references is None:
            references = self._learn_references_from_elements(elements, feature_map)
        else:
            references = self._fixed_references
            n_components = feature_map.n_components or elements.rows.shape[1]
            if references.shape[2] != n_components:
                raise ValueError(
                    f"references has shape {references.shape}; expected (n_references, "
                    f"n_supports, {n_components})."
                )
        return references, np.empty(0), np.empty((0, 1))

    def _learn_references_from_elements(self, elements, feature_map):
        model = self._model
        cached = self._memory.cache(learn_from_elements, ignore=["n_jobs"])
        return cached(
            feature_map,
            elements,
            model.n_references,
            model.n_supports,
            model.references,
            self._references_seed,
            n_jobs=model.n_jobs,
        )

    def _learn_references_from_sets(self, feature_map, progress):
        model = self._model
        if len(self._sets) < model.n_references:
            raise ValueError(
                f"X has n_samples={len(self._sets)} sets; expected at least as many as "
                f"references, n_references={model.n_references}."
            )
        sets, sample_weight = merge_equal_sets(self._sets, self._sample_weight)
        sets, sample_weight = sample_sets(
            *self._windows_and_positions(sets),
            model.max_elements,
            model.n_references,
            self._sets_seed,
            sample_weight,
        )
        cached = self._memory.cache(wasserstein_kmeans, ignore=["n_jobs", "progress"])
        try:
            return cached(
                feature_map,
                sets,
                sample_weight,
                model.n_references,
                model.n_supports,
                model.references,
                model._transport(),
                model._position_filter(model.n_supports),
                self._references_seed,
                n_jobs=model.n_jobs,
                progress=progress,
            )
        except LearningStopped as stopped:
            return stopped.learned

    @property
    def _learns_from_elements(self):
        """Whether references are learned from elements, whichever sets they belong to."""
        method = self._model.references
        return method == "random" or (method == "kmeans" and self._model.n_references == 1)

    def _windows_and_positions(self, sets):
        windows = windows_of(sets, **self.window_params)
        return windows, positions_of(windows, self._model.position)


def _check_references(references):
    """Return a validated copy of an array passed as the parameter `references`."""
    references = check_parameter_array(references, "references")
    if references.ndim != 3 or not references.size:
        raise ValueError(
            f"references has shape {references.shape}; expected (n_references, "
            "n_supports, n_components), none of them 0."
        )
    return references
