"""Learning of the anchors, and then of the references, of an `OTKEmbedding`."""

import numpy as np
from sklearn.utils.validation import check_memory

from otk_sklearn._utils.caching import cached
from otk_sklearn._utils.estimators import draw_seeds
from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.embeddings._state import (
    fitted_attributes,
    position_filter_of,
    transport_of,
)
from otk_sklearn.features._anchors import (
    FeatureParameters,
    distinct_elements,
    learn_feature_map,
)
from otk_sklearn.matching._references import (
    MAX_ITER,
    LearningStopped,
    learn_from_elements,
    wasserstein_kmeans,
)
from otk_sklearn.sets._arrays import check_parameter_array
from otk_sklearn.sets._equality import merge_equal_sets
from otk_sklearn.sets._positions import n_axes_of
from otk_sklearn.sets._sampling import (
    present_sets,
    sample_sets,
    sample_size,
)
from otk_sklearn.sets._validation import check_finite, input_attributes
from otk_sklearn.sets._windows import windows_of


def learn_attributes(model, sets, sample_weight, progress):
    """Learn anchors and references, and return them as fitted attributes.

    Parameters
    ----------
    model : OTKEmbedding
        Provides the parameters; it is not modified.
    sets : SetCollection
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
            feature_map, elements = learner.learn_features()
        with progress.stage("references", learner.max_references_iter):
            references, history, residual = learner.learn_references(
                elements, feature_map, progress
            )
    attributes = {
        **input_attributes(sets),
        **fitted_attributes(
            feature_map, references, model.filter_size, model.padding, sets
        ),
        "objective_history_": history,
        "n_iter_": max(1, len(history)),
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
        self._transport = transport_of(model)
        self._fixed_references, n_supports = None, model.n_supports
        if not isinstance(model.references, str):
            self._fixed_references = _check_references(model.references)
            n_supports = self._fixed_references.shape[1]
        check_finite(sets)
        self._position_filter = position_filter_of(
            model, n_supports, n_axes_of(sets), sets.positions_given
        )
        if self._position_filter is not None:
            self._position_filter.check_axes(sets)
        self._model = model
        self._sets, self._sample_weight = present_sets(sets, sample_weight)
        (
            self._elements_seed,
            *self._feature_seeds,
            self._references_seed,
            self._sets_seed,
        ) = draw_seeds(model.random_state)
        # Anchors don't depend on the number of supports.
        self._n_for_anchors = sample_size(model.max_elements, model.n_components)
        self._n_for_references = sample_size(
            model.max_elements, model.n_references * model.n_supports
        )
        self._memory = check_memory(model.memory)

    @property
    def max_references_iter(self):
        """Maximum number of iterations to learn references; None if it is unbounded."""
        if self._fixed_references is not None or self._learns_from_elements:
            return 0
        return MAX_ITER if self._model.n_references == 1 else None

    def learn_features(self):
        """Return the `FeatureMap`, and the `Elements` that it was learned from."""
        model = self._model
        elements = self._sample_elements(self._n_for_anchors)
        feature_map = learn_feature_map(
            FeatureParameters.of(model, model.kernel),
            elements,
            self._memory,
            self._feature_seeds,
            model.n_jobs,
        )
        return feature_map, elements

    def _sample_elements(self, max_elements):
        return distinct_elements(
            self._model.kernel,
            self._windows_of(self._sets),
            self._model.position,
            max_elements,
            self._elements_seed,
            self._sample_weight,
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
        if self._n_for_references != self._n_for_anchors:
            elements = self._sample_elements(self._n_for_references)
        learn = cached(learn_from_elements, self._memory, ignore=["n_jobs"])
        return learn(
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
        sets, sample_weight = merge_equal_sets(
            self._sets,
            self._sample_weight,
            model.filter_size,
            model.padding,
            model.position,
        )
        sets, sample_weight = sample_sets(
            self._windows_of(sets),
            model.position,
            self._n_for_references,
            model.n_references,
            self._sets_seed,
            sample_weight,
        )
        learn = cached(wasserstein_kmeans, self._memory, ignore=["n_jobs", "progress"])
        try:
            return learn(
                feature_map,
                sets,
                sample_weight,
                model.n_references,
                model.n_supports,
                model.references,
                self._transport,
                self._position_filter,
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

    def _windows_of(self, sets):
        return windows_of(sets, self._model.filter_size, self._model.padding)


def _check_references(references):
    """Return a validated copy of an array passed as the parameter `references`."""
    references = check_parameter_array(references, "references")
    if references.ndim != 3 or not references.size:
        raise ValueError(
            f"references has shape {references.shape}; expected (n_references, "
            "n_supports, n_components), none of them 0."
        )
    return references
