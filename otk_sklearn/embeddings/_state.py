"""The state of an `OTKEmbedding`: read from its parameters and attributes, and back."""

import copy
import weakref

import numpy as np

from otk_sklearn._utils.estimators import product_names
from otk_sklearn.embeddings._base import snapshot
from otk_sklearn.features._feature_map import feature_attributes, fitted_feature_map
from otk_sklearn.matching._embedding_state import EmbeddingState
from otk_sklearn.sets._positions import PositionFilter, n_axes_of
from otk_sklearn.sets._windows import window_attributes, window_parameters
from otk_sklearn.transport._problem import Transport

# The largest fitted arrays that are kept a copy of, to find out whether they have changed.
_MAX_KEPT_BYTES = 2**22

_KEPT_ARRAYS = ("anchors_", "normalization_", "references_")


def transport_of(embedding):
    """Return the `Transport` problem, and raise if its parameters are inconsistent."""
    names, solver = ("relaxation", "support_relaxation"), embedding.solver
    relaxations = {name: getattr(embedding, name) for name in names}
    given = [name for name in names if relaxations[name] is not None]
    for name in given:
        if solver != "sinkhorn":
            raise ValueError(
                f"{name}={relaxations[name]} is given with solver={solver!r}; "
                f"expected solver='sinkhorn', or {name}=None."
            )
    if len(given) == 2:
        raise ValueError(
            "relaxation={relaxation} and support_relaxation={support_relaxation} are both "
            "given; expected one of them to be None.".format(**relaxations)
        )
    # Python numbers: NumPy scalars would promote float32 arrays to float64.
    return Transport(
        solver=solver,
        epsilon=float(embedding.epsilon),
        max_iter=int(embedding.max_iter),
        tol=float(embedding.tol),
        **{name: float(relaxations[name]) if name in given else None for name in names},
    )


def position_filter_of(embedding, n_supports, n_axes, are_given):
    """Return the `PositionFilter`, or None if positions are ignored."""
    if embedding.position is None:
        return None
    sigma = float(embedding.position_sigma)
    return PositionFilter(embedding.position, sigma, n_supports, n_axes, are_given)


def fitted_state(embedding):
    """Return the `EmbeddingState` of a fitted embedding, with its current parameters.

    Those of the feature map and the windows are frozen by `fit`. Those of transport and of
    the position filter may change afterwards.
    """
    n_supports = embedding.references_.shape[1]
    # Models of earlier versions don't know whether positions were given.
    of_fit = embedding._n_axes, getattr(embedding, "_positions_given", None)
    return EmbeddingState(
        fitted_feature_map(embedding),
        embedding.references_,
        transport_of(embedding),
        **window_parameters(embedding),
        position_filter=position_filter_of(embedding, n_supports, *of_fit),
        n_jobs=embedding.n_jobs,
    )


class _KeptStates:
    """The state that each fitted embedding had at its last call, as long as it lives.

    To read it anew, and to prepare its matching, takes as long as embedding a small set. It
    is used again where no attribute was assigned since, be it a parameter, and no fitted
    array was written to.
    """

    def __init__(self):
        self._kept = weakref.WeakKeyDictionary()

    def state_of(self, embedding, model):
        """Return the `EmbeddingState` of an embedding, whose attributes this copy has."""
        kept = self._kept.get(embedding)
        if kept is not None and _has_attributes(model, *kept[:2]):
            return kept[2]
        attributes, state = vars(model).copy(), fitted_state(model)
        arrays = {name: np.asarray(attributes[name]) for name in _KEPT_ARRAYS}
        if sum(array.nbytes for array in arrays.values()) <= _MAX_KEPT_BYTES:
            copies = {name: array.copy() for name, array in arrays.items()}
            self._kept[embedding] = attributes, copies, state
        return state


def _has_attributes(model, attributes, arrays):
    """Whether a model has these very attributes, and its arrays the same contents."""
    own = vars(model)
    return (
        own.keys() == attributes.keys()
        and all(own[name] is attributes[name] for name in own)
        and all(np.array_equal(own[name], array) for name, array in arrays.items())
    )


_kept_states = _KeptStates()


def component_names(references):
    """Return the names of the components of an embedding."""
    n_references, n_supports, n_components = references.shape
    axes = {"reference": n_references, "support": n_supports, "component": n_components}
    if n_references == 1:
        del axes["reference"]
    return product_names(**axes)


def state_and_sets(embedding, X):
    """Return the `EmbeddingState` of a fitted embedding, and X as sets that match it."""
    model, sets = snapshot(embedding, X)
    state = _kept_states.state_of(embedding, model)
    if state.position_filter is not None:
        state.position_filter.check_axes(sets)
    return state, sets


def fitted_attributes(feature_map, references, filter_size, padding, sets):
    """Return the attributes of an embedding that was fitted to these sets."""
    return {
        **feature_attributes(feature_map),
        "references_": references,
        **window_attributes(filter_size, padding),
        "_n_axes": n_axes_of(sets),
        "_positions_given": sets.positions_given,
    }


def with_state(embedding, state):
    """Return a copy of a fitted embedding with another feature map and references."""
    changed = copy.copy(embedding)
    changed.references_ = state.references
    for name, value in feature_attributes(state.feature_map).items():
        setattr(changed, name, value)
    return changed
