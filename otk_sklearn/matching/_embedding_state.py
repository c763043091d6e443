"""The state of a fitted embedding, and the embedding of sets by it."""

from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.features._feature_map import FeatureMap
from otk_sklearn.matching._matching import Matching
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

        residuals = matching.map(embed, windows, report)
        check_finite_output(embeddings, "embedding")
        return embeddings, np.concatenate(residuals)


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
