"""Matching sets to references chunk by chunk, and pooling them by the plan."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.utils.extmath import row_norms

from otk_sklearn._compiled.pooling import pool
from otk_sklearn._utils.chunks import (
    Buffers,
    batches_of,
    chunk_rows,
    map_chunks,
    rows_in_memory,
)
from otk_sklearn.sets._arrays import as_fitted
from otk_sklearn.sets._offsets import offsets_in
from otk_sklearn.sets._positive_mass import with_positive_mass, without_empty_sets
from otk_sklearn.sets._windows import values_of
from otk_sklearn.transport._solvers import (
    half_squares,
    plan_values,
    rounding_errors,
    solve_plans,
)


class Matching:
    """Matches sets to references.

    Parameters
    ----------
    state : EmbeddingState
    dtype : dtype
        Of the sets, and of all that is computed.
    objective : {"similarity", "regularized"}, default=None
        Definition of `Plans.value`: `<P, S>`, or the objective that the plan maximizes.
    """

    def __init__(self, state, dtype, objective=None):
        self.dtype = np.dtype(dtype)
        self._state = state
        self.objective = objective
        if self.dtype not in state.prepared:
            state.prepared[self.dtype] = _prepare(state, self.dtype)
        kernel, self.supports, self._means = state.prepared[self.dtype]
        self._kappa_of = kernel.with_own_buffers()
        self._buffers = Buffers()
        feature_map = state.feature_map
        n_references, n_supports, n_components = self.supports.shape
        # Per element: its values, features, similarities and plan, in float64 at most. A
        # set with more rows has its features computed twice, rather than stored.
        n_features = feature_map.n_features or n_components
        row_bytes = 8 * (n_features + 2 * n_components + 2 * n_references * n_supports)
        self.max_rows = rows_in_memory(row_bytes)

    def map(self, function, sets, report=None):
        """Call `function` with slices that together cover the sets, in threads.

        `report`, if any, is as in `map_chunks`.
        """
        n_references, n_supports, n_components = self.supports.shape
        return map_chunks(
            function,
            sets.lengths,
            rows_per_set=n_references * n_supports,
            max_rows=min(self.max_rows, chunk_rows(n_components)),
            n_jobs=self._state.n_jobs,
            report=report,
        )

    def plans(self, sets):
        """Return the `Plans` between the sets and the references."""
        present, spread = without_empty_sets(sets)
        if present is not sets:
            return _of_all_sets(self.plans(present), spread)
        part, kept = with_positive_mass(sets)
        plans = self._plans(part, self._feature_blocks(part))
        if part is sets:
            return plans
        plan = np.zeros((*plans.plan.shape[:2], len(sets.values)), self.dtype)
        plan[:, :, kept] = plans.plan
        return plans._replace(plan=plan)

    def embed(self, sets, out):
        """Write the embedding of each set to `out`, and return how it was matched.

        Parameters
        ----------
        sets : SetCollection or WindowedSets
        out : ndarray of shape (n_sets, n_references * n_supports * n_components)

        Returns
        -------
        Plans
            Without columns for elements of mass 0.
        """
        present, spread = without_empty_sets(sets)
        if present is not sets:
            embeddings = np.empty((len(present), out.shape[1]), out.dtype)
            plans = self.embed(present, embeddings)
            out[:] = spread(embeddings)
            return _of_all_sets(plans, spread)
        sets, _ = with_positive_mass(sets)
        blocks = self._feature_blocks(sets)
        plans = self._plans(sets, blocks)
        pooled = self._pooled(sets, blocks, plans.plan)
        self._pooled_to_means(pooled, out.reshape(pooled.shape))
        return plans

    def _pooled(self, sets, blocks, plan):
        """`P^T kappa` of each set, of shape (n_sets, all supports, n_components)."""
        n_references, n_supports, n_components = self.supports.shape
        flat_plan = plan.reshape(n_references * n_supports, plan.shape[2])
        shape = len(sets), len(flat_plan), n_components
        pooled = self._buffers.empty("pooled", shape, self.dtype)
        for rows, kappa, _ in blocks:
            offsets = offsets_in(rows, sets.offsets)
            pool(flat_plan[:, rows], kappa, offsets, rows.start > 0, pooled)
        return pooled

    def _pooled_to_means(self, pooled, out):
        """Write the embeddings. The map is linear and symmetric, hence its own adjoint."""
        if self._means is None:
            np.multiply(pooled, self.supports.shape[1], out=out)
        else:
            rows = pooled.reshape(-1, pooled.shape[2])
            np.matmul(rows, self._means, out=out.reshape(rows.shape))

    def _plans(self, sets, blocks):
        """Solve for the plans, and apply the position filter to them."""
        position_weights = self._position_weights(sets)
        plans = self._unfiltered_plans(sets, blocks, position_weights)
        if position_weights is not None:
            np.multiply(plans.plan, position_weights, out=plans.plan)
        return plans

    def _position_weights(self, sets):
        position_filter = self._state.position_filter
        return None if position_filter is None else position_filter(sets)

    def _unfiltered_plans(self, sets, blocks, position_weights):
        """Solve for the plans of similarities multiplied by the position weights."""
        transport = self._state.transport
        if self.dtype == np.float32 and transport.needs_float64:
            plans = self._plans_in_float64(sets)
            return plans._replace(plan=plans.plan.astype(np.float32))
        masses = sets.masses
        similarities, rounding = self._solver_input(sets, blocks, position_weights)
        kept = None if self.objective is None else similarities.copy()
        plans = solve_plans(similarities, rounding, sets.offsets, masses, transport)
        if self.objective is not None:
            of_objective = transport if self.objective == "regularized" else None
            value = plan_values(kept, plans.plan, sets.offsets, masses, of_objective)
            plans = plans._replace(value=value)
        if not plans.solved.all():
            self._solve_in_float64(sets, plans)
        return plans

    def _solver_input(self, sets, blocks, position_weights):
        """Similarities as plans are solved for, and their rounding errors, set by set."""
        similarities, rounding = self._similarities(sets, blocks)
        if position_weights is not None:
            similarities *= position_weights
        if self._state.transport.penalty.needs_norms:
            similarities -= self._half_squared_norms(sets, blocks)
        return similarities, rounding

    def _similarities(self, sets, blocks):
        """Return `<psi(x_i), z_j>`, and their rounding errors, set by set.

        Similarities have the shape (n_references, n_supports, n_elements).
        """
        n_references, n_supports, n_components = self.supports.shape
        supports = self.supports.reshape(-1, n_components)
        shape = len(supports), len(sets.values)
        similarities = self._buffers.empty("similarities", shape, self.dtype)
        norms = np.empty(len(sets.values), self.dtype)
        for rows, kappa, norms[rows] in blocks:
            np.matmul(supports, kappa.T, out=similarities[:, rows])
        rounding = rounding_errors(supports, norms, sets.offsets)
        return similarities.reshape(n_references, n_supports, shape[1]), rounding

    def _half_squared_norms(self, sets, blocks):
        """`||psi(x_i)||^2 / 2` of all elements."""
        norms = np.empty(len(sets.values), sets.dtype)
        for rows, kappa, _ in blocks:
            norms[rows] = row_norms(self._state.feature_map.whiten(kappa), squared=True)
        return half_squares(norms)

    def _solve_in_float64(self, sets, plans):
        """Replace plans that float32 could not solve, recomputing features too."""
        unsolved = ~plans.solved
        again = self._plans_in_float64(sets[unsolved])
        plans.plan[:, :, np.repeat(unsolved, sets.lengths)] = again.plan
        plans.n_iter[unsolved] = again.n_iter
        plans.residual[unsolved] = again.residual
        plans.potentials[unsolved] = again.potentials
        if self.objective is not None:
            plans.value[unsolved] = again.value

    def _plans_in_float64(self, sets):
        sets, matching = sets.astype(np.float64), self._in_float64
        blocks = matching._feature_blocks(sets)
        return matching._unfiltered_plans(sets, blocks, matching._position_weights(sets))

    @functools.cached_property
    def _in_float64(self):
        return Matching(self._state, np.float64, self.objective)

    def _feature_blocks(self, sets):
        """Return an iterable of (rows, kappa, norms of kappa), iterated over twice."""
        n_rows, n_features = sets.values.shape
        n_components = self.supports.shape[2]
        if self._state.feature_map.anchors is None and n_features != n_components:
            raise ValueError(
                f"references_ has {n_components} components; expected {n_features}, as "
                "elements (or windows) of X have features."
            )

        def features_of(rows):
            return rows, *self._kappa_of(values_of(sets, rows, self._buffers))

        if n_rows <= self.max_rows:
            return [features_of(slice(0, n_rows))]
        block_rows = min(self.max_rows, chunk_rows(n_components))
        return _FeatureBlocks(features_of, n_rows, block_rows)


def _prepare(state, dtype):
    """Return the kernel, the whitened supports, and the matrix that makes means of sums."""
    # They may have been unpickled, or assigned by users.
    feature_map, shape = state.feature_map, (None, None, state.feature_map.n_components)
    references = as_fitted(state.references, "references_", shape)
    # The whitened supports D z_j: <psi(x), z_j> = <kappa(x), D z_j>, so that no element
    # needs whitening. Always in float64: D has large entries that cancel.
    supports = feature_map.whiten(references.astype(np.float64))
    means = None
    if feature_map.normalization is not None:
        # Each support receives a mass of 1 / n_supports: the factor turns sums into means.
        means = references.shape[1] * feature_map.normalization.astype(np.float64)
        means = means.astype(dtype)
    return feature_map.kappa_in(dtype), supports.astype(dtype), means


def _of_all_sets(plans, spread):
    """Plans with those of empty sets, which are solved, by potentials and values of 0."""
    return plans._replace(
        n_iter=spread(plans.n_iter),
        residual=spread(plans.residual),
        solved=~spread(~plans.solved),
        potentials=spread(plans.potentials),
        value=None if plans.value is None else spread(plans.value),
    )


@dataclass(frozen=True, eq=False)
class _FeatureBlocks:
    """Features of a set too long to store them, recomputed in each iteration."""

    features_of: Callable
    n_rows: int
    block_rows: int

    def __iter__(self):
        for rows in batches_of(self.n_rows, self.block_rows):
            yield self.features_of(rows)
