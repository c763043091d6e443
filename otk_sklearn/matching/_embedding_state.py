"""The state of a fitted embedding, and the embedding of sets by it."""

import contextvars
import functools
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.features._feature_map import FeatureMap
from otk_sklearn.matching._matching import Matching
from otk_sklearn.matching._streaming import StreamedMatching, is_streamed
from otk_sklearn.sets._names import named
from otk_sklearn.sets._positions import PositionFilter
from otk_sklearn.sets._validation import check_finite_output
from otk_sklearn.sets._windows import windows_of
from otk_sklearn.transport._problem import Transport


@dataclass(frozen=True, eq=False)
class EmbeddingState:
    """All that the embedding of a set depends on: a fitted embedding, read once.

    Parameters
    ----------
    feature_map : FeatureMap
    references : ndarray of shape (n_references, n_supports, n_components)
    transport : Transport
    filter_size : int, default=1
    padding : {"valid", "same"}, default="valid"
    position_filter : PositionFilter or None, default=None
    n_jobs : int or None, default=None
    """

    feature_map: FeatureMap
    references: np.ndarray
    transport: Transport
    filter_size: int = 1
    padding: str = "valid"
    position_filter: PositionFilter | None = None
    n_jobs: int | None = None

    @functools.cached_property
    def prepared(self):
        """What `Matching` has computed from this state, by dtype."""
        return {}

    def windows_of(self, sets):
        """Return the elements that are matched: the sets, or their windows."""
        return windows_of(sets, self.filter_size, self.padding)

    def embed(self, sets, report=None):
        """Embed sets.

        Parameters
        ----------
        sets : SetCollection
        report : callable, default=None
            As in `map_chunks`.

        Returns
        -------
        embeddings : ndarray of shape (n_sets, n_references * n_supports * n_components)
        residual : ndarray of shape (n_sets, n_references)
            As in `Plans`.
        """
        windows, matching = self.windows_of(sets), Matching(self, sets.dtype)
        embeddings = np.empty((len(sets), self.references.size), sets.dtype)

        def embed(chunk):
            return matching.embed(windows[chunk], embeddings[chunk]).residual

        def embed_streamed(i):
            return self.embed_streamed(windows[i : i + 1], embeddings[i : i + 1]).residual

        residuals = self._map(embed, embed_streamed, windows, matching, report)
        check_finite_output(embeddings, "embedding")
        return embeddings, np.concatenate(residuals)

    def embed_streamed(self, windows, out):
        """Write the embedding of one set to `out`, without keeping its plan.

        Parameters
        ----------
        windows : SetCollection or WindowedSets
            The elements that are matched.
        out : ndarray of shape (1, n_references * n_supports * n_components)

        Returns
        -------
        StreamedPlan
        """
        return StreamedMatching(self, windows.dtype).embed_set(windows, out)

    def diagnose(self, sets):
        """Return the number of Sinkhorn iterations and the residual of each set.

        Parameters
        ----------
        sets : SetCollection

        Returns
        -------
        n_iter : ndarray of int of shape (n_sets, n_references)
            Passes over the elements of sets that are streamed.
        residual : ndarray of shape (n_sets, n_references)
        """
        windows, matching = self.windows_of(sets), Matching(self, sets.dtype)

        def diagnose(chunk):
            plans = matching.plans(windows[chunk])
            return plans.n_iter, plans.residual

        def diagnose_streamed(i):
            embedding = np.empty((1, self.references.size), sets.dtype)
            plan = self.embed_streamed(windows[i : i + 1], embedding)
            return np.full(plan.residual.shape, plan.n_passes), plan.residual

        results = self._map(diagnose, diagnose_streamed, windows, matching)
        n_iter, residual = map(np.concatenate, zip(*results))
        return n_iter, residual

    def _map(self, function, of_streamed, windows, matching, report=None):
        """Call a function with slices of sets, and another with each that is streamed.

        Sets that are streamed come one after the other, each with all threads.
        """
        streamed = np.flatnonzero(is_streamed(self, windows))
        if not len(streamed):
            return matching.map(function, windows, report)
        results, start = [], 0
        for stop in [*streamed, len(windows)]:
            if start < stop:
                shifted = functools.partial(_call_shifted, function, start)
                results += matching.map(shifted, windows[start:stop], report)
            if stop < len(windows):
                results.append(of_streamed(stop))
                if report is not None:
                    report(1)
            start = stop + 1
        return results


def _call_shifted(function, start, chunk):
    return function(slice(chunk.start + start, chunk.stop + start))


def warn_unconverged(transport, residual, which_sets=""):
    """Warn if the residuals of some sets exceed `tol`.

    Parameters
    ----------
    transport : Transport
    residual : ndarray of shape (n_sets, n_references)
        As in `Plans`.
    which_sets : str, default=""
        Continues the words "of 10 sets".
    """
    if transport.solver != "sinkhorn" or transport.tol == 0:
        return
    unconverged = (residual > transport.tol).any(axis=1)
    if unconverged.any():
        warn_caller(
            f"Sinkhorn missed tol={transport.tol:g} for {unconverged.sum()} of "
            f"{len(unconverged)} sets{which_sets} (largest residual {residual.max():.2g}). "
            f"Increase max_iter={transport.max_iter} or epsilon={transport.epsilon:g}.",
            ConvergenceWarning,
        )


# Whether a call is a trial, on elements that no user has.
is_trial = contextvars.ContextVar("is_trial", default=False)


def warn_if_far(state, sets, embeddings):
    """Warn of sets whose elements are far from all anchors: features of rbf are then 0.

    Parameters
    ----------
    state : EmbeddingState
    sets : SetCollection
    embeddings : ndarray of shape (n_sets, n_features)
    """
    if is_trial.get():
        return
    if state.feature_map.kernel != "rbf" or state.position_filter is not None:
        return  # elements at places far from those of supports are 0 as well
    # Few embeddings begin with 0: only those are looked at as a whole.
    may_be = np.flatnonzero((embeddings[:, 0] == 0) & (sets.lengths > 0))
    far = may_be[~embeddings[may_be].any(axis=1)]
    if len(far):
        listed = ", ".join(f"{i}{named(sets.names, i)}" for i in far[:3])
        warn_caller(
            f"The embeddings of {len(far)} of {len(sets)} sets are 0, such as of set "
            f"{listed}: their elements are so far from all that fit saw that features are "
            "0. Are they on another scale, or is a scaler missing?",
            UserWarning,
        )
