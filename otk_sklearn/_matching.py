"""Matching the sets of one chunk to the references, and pooling them by the plan."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.extmath import row_norms

from otk_sklearn import _kernels
from otk_sklearn._features import FeatureMap
from otk_sklearn._transport import solve_plans


@dataclass(frozen=True)
class Matching:
    """What is needed to match sets. It computes in the precision of the sets.

    Parameters
    ----------
    feature_map : FeatureMap
    supports : ndarray of float64 of shape (n_references, n_supports, n_components)
        The whitened supports `D z_j`: `<psi(x), z_j> = <kappa(x), D z_j>`, so that no
        element needs whitening.
    transport : dict
        Keyword arguments of `solve_plans`.
    max_rows : int
        Rows of features held at a time. Those of a longer set are computed twice, piece by
        piece, rather than kept.
    """

    feature_map: FeatureMap
    supports: np.ndarray
    transport: dict
    max_rows: int

    def plans(self, sets):
        """Return the `Plans` between the sets and the references."""
        return self._plans(sets, self._feature_blocks(sets))

    def embed(self, sets, out):
        """Write the embedding of each set to `out` and return the `Plans`.

        Parameters
        ----------
        sets : SetCollection
        out : ndarray of shape (n_sets, n_references * n_supports * n_components)
        """
        blocks = self._feature_blocks(sets)
        plans = self._plans(sets, blocks)
        n_references, n_supports, n_components = self.supports.shape
        flat_plan = plans.plan.reshape(-1, n_references * n_supports)
        pooled = np.zeros((len(sets), flat_plan.shape[1], n_components), sets.dtype)
        for rows, kappa in blocks:
            offsets = np.clip(sets.offsets - rows.start, 0, len(kappa))
            _kernels.add_pooled(flat_plan[rows], kappa, offsets, pooled)
        # The plan's columns sum to 1 / n_supports: the factor makes sums into means.
        pooled *= n_supports
        whitened = self.feature_map.whiten(pooled.reshape(-1, n_components))
        out[...] = whitened.reshape(out.shape)
        return plans

    def _plans(self, sets, blocks):
        n_references, n_supports, n_components = self.supports.shape
        supports = self.supports.reshape(-1, n_components).astype(sets.dtype)
        similarities = np.empty((len(sets.values), len(supports)), sets.dtype)
        norms = np.empty(len(sets.values), sets.dtype)
        for rows, kappa in blocks:
            np.matmul(kappa, supports.T, out=similarities[rows])
            norms[rows] = row_norms(kappa)
        # Rounding is that of the terms of the products, which whitening makes cancel.
        largest = np.maximum.reduceat(norms, sets.offsets[:-1])
        rounding = np.finfo(sets.dtype).eps * row_norms(supports).max() * largest
        plans = solve_plans(
            similarities.reshape(-1, n_references, n_supports),
            rounding,
            sets.offsets,
            sets.masses,
            **self.transport,
        )
        if not plans.solved.all():
            self._solve_in_float64(sets, plans)
        return plans

    def _solve_in_float64(self, sets, plans):
        """Replace the plans that float32 could not solve, features and all."""
        unsolved = ~plans.solved
        again = self.plans(sets[unsolved].astype(np.float64))
        plans.plan[np.repeat(unsolved, sets.lengths)] = again.plan
        plans.n_iter[unsolved] = again.n_iter
        plans.residual[unsolved] = again.residual

    def _feature_blocks(self, sets):
        """Return an iterable of (rows, kappa), to be gone through more than once."""
        if len(sets.values) <= self.max_rows:
            return [(slice(0, len(sets.values)), self.feature_map.kappa(sets.values))]
        return _FeatureBlocks(self.feature_map, sets.values, self.max_rows)


@dataclass(frozen=True)
class _FeatureBlocks:
    """Features of a set too long to keep them, computed anew in each iteration."""

    feature_map: FeatureMap
    values: np.ndarray
    max_rows: int

    def __iter__(self):
        for rows in gen_batches(len(self.values), self.max_rows):
            yield rows, self.feature_map.kappa(self.values[rows])
