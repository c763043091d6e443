"""The embedding of packed elements, and its gradient, by compiled functions on CPUs.

Contiguous tensors are seen as NumPy arrays, without a copy. Work goes by chunks of sets, in
at most as many threads as torch uses; threads are started for each call, so that none is
missing after a fork.
"""

import numpy as np
import torch
from sklearn.utils.extmath import row_norms

from otk_sklearn._compiled.pooling import pool, pooling_to_features, pooling_to_plans
from otk_sklearn._utils.chunks import chunk_rows, map_chunks
from otk_sklearn.transport._gradient import pull_back_plans
from otk_sklearn.transport._solvers import half_squares, rounding_errors, solve_plans

# Entries of plans for which another thread is started. torch's own threads keep their
# processors busy for some milliseconds after each operation, in case another one follows.
_ENTRIES_OF_A_THREAD = 600_000


def embed(x, references, offsets, masses, position_weights, transport):
    """Match packed elements to references and pool them.

    Parameters
    ----------
    x : Tensor of shape (n_elements, n_features)
    references : Tensor of shape (n_references, n_supports, n_features)
    offsets : Tensor of int64 of shape (n_sets + 1,)
    masses : Tensor of shape (n_elements,)
    position_weights : Tensor of shape (n_supports, n_elements) or None
    transport : Transport

    Returns
    -------
    pooled : Tensor of shape (n_sets, n_references * n_supports, n_features)
        `n_supports sum_i P_ij f_ij x_i`; 0 for a set without elements.
    plan : Tensor of shape (n_references, n_supports, n_elements)
        Before it is multiplied by the position weights f.
    """
    return _Matching(x, references, offsets, masses, position_weights, transport).embed()


def pull_back(
    x, references, offsets, masses, position_weights, transport, plan, of_pooled, of_plan
):
    """Pull gradients with respect to the results of `embed` back to what they depend on.

    Parameters
    ----------
    plan : Tensor of shape (n_references, n_supports, n_elements)
    of_pooled, of_plan : Tensor or None
        Gradients with respect to the results; None where they are 0.

    Returns
    -------
    of_x, of_references, of_masses : Tensor
    """
    matching = _Matching(x, references, offsets, masses, position_weights, transport)
    return matching.pull_back(plan, of_pooled, of_plan)


class _Matching:
    """The sets and references of one call, as arrays."""

    def __init__(self, x, references, offsets, masses, position_weights, transport):
        self._x = _array(x)
        self._references = _array(references)
        self._masses = _array(masses).astype(np.float64, copy=False)
        self._position_weights = None
        if position_weights is not None:
            self._position_weights = _array(position_weights)
        self._transport = transport
        offsets = _array(offsets).copy()  # before the check: others may change theirs
        self._check_sizes(offsets)
        self._nonempty = np.flatnonzero(np.diff(offsets))
        self._offsets = np.append(offsets[self._nonempty], offsets[-1])
        self._n_sets = len(offsets) - 1

    def _check_sizes(self, offsets):
        """Raise unless arrays fit together: compiled functions don't check bounds."""
        _check_offsets(offsets, len(self._x))
        weights, n_supports = self._position_weights, self._references.shape[1]
        if (
            len(self._masses) != len(self._x)
            or self._references.shape[2] != self._x.shape[1]
            or (weights is not None and weights.shape != (n_supports, len(self._x)))
        ):
            raise ValueError("masses, references or position weights don't fit elements.")

    def embed(self):
        n_references, n_supports, n_features = self._references.shape
        dtype, n_elements = self._x.dtype, len(self._x)
        plan = np.empty((n_references, n_supports, n_elements), dtype)
        shape = len(self._nonempty), n_references * n_supports, n_features
        pooled = np.empty(shape, dtype)

        def embed_chunk(chunk):
            rows, offsets = self._rows(chunk)
            part = self._plans(rows, offsets).astype(dtype, copy=False)
            plan[:, :, rows] = part
            if self._position_weights is not None:
                part = part * self._position_weights[:, rows]
            part *= dtype.type(n_supports)
            flat = part.reshape(-1, part.shape[2])
            pool(flat, self._x[rows], offsets, False, pooled[chunk])

        self._map(embed_chunk)
        return torch.from_numpy(self._of_all_sets(pooled)), torch.from_numpy(plan)

    def pull_back(self, plan, of_pooled, of_plan):
        plan, x = _array(plan), self._x
        n_references, n_supports, n_features = self._references.shape
        of_x, of_masses = np.empty_like(x), np.empty(len(x))
        if of_pooled is not None:
            of_pooled = _array(of_pooled)[self._nonempty]
            of_pooled *= x.dtype.type(n_supports)
        if of_plan is not None:
            of_plan = _array(of_plan)

        def pull_back_chunk(chunk):
            rows, offsets = self._rows(chunk)
            part = np.ascontiguousarray(plan[:, :, rows])
            weights, filtered = None, part
            if self._position_weights is not None:
                weights = self._position_weights[:, rows]
                filtered = part * weights
            gradients, flat = np.zeros_like(part), (-1, part.shape[2])
            if of_pooled is not None:
                pooling_to_plans(
                    x[rows], of_pooled[chunk], offsets, gradients.reshape(flat)
                )
                if weights is not None:
                    gradients *= weights
            if of_plan is not None:
                gradients += of_plan[:, :, rows]
            by_mass = pull_back_plans(part, offsets, self._transport, gradients)
            of_masses[rows] = _centered(by_mass.sum(axis=0), self._masses[rows], offsets)
            norm_gradients = gradients.sum(axis=(0, 1))
            if weights is not None:
                gradients *= weights
            gradients = gradients.reshape(flat)
            supports = self._references.reshape(-1, n_features)
            np.matmul(gradients.T, supports, out=of_x[rows])
            if of_pooled is not None:
                pooling_to_features(
                    filtered.reshape(flat), of_pooled[chunk], offsets, of_x[rows]
                )
            if self._transport.penalty.needs_norms:
                of_x[rows] -= norm_gradients[:, np.newaxis] * x[rows]
            return (gradients @ x[rows]).astype(np.float64)

        of_supports = sum(self._map(pull_back_chunk), np.zeros(()))
        of_references = np.broadcast_to(
            of_supports, (n_references * n_supports, n_features)
        )
        of_references = of_references.reshape(self._references.shape).astype(x.dtype)
        return tuple(map(torch.from_numpy, (of_x, of_references, of_masses)))

    def _map(self, function):
        """Call `function` with slices that together cover the sets with elements."""
        if not len(self._nonempty):
            return []
        n_references, n_supports, n_features = self._references.shape
        n_entries = len(self._x) * n_references * n_supports
        n_threads = min(torch.get_num_threads(), 1 + n_entries // _ENTRIES_OF_A_THREAD)
        return map_chunks(
            function,
            np.diff(self._offsets),
            rows_per_set=n_references * n_supports,
            max_rows=chunk_rows(n_features),
            n_jobs=n_threads,
        )

    def _rows(self, chunk):
        """The elements of a slice of sets, and where these start among them."""
        offsets = self._offsets[chunk.start : chunk.stop + 1]
        local = offsets - offsets[0]
        local.flags.writeable = False  # as for sets, to avoid recompilation
        return slice(offsets[0], offsets[-1]), local

    def _plans(self, rows, offsets):
        """Solve for the plans of a slice of elements."""
        dtype = self._x.dtype
        if dtype == np.float32 and self._transport.needs_float64:
            return self._solve(rows, offsets, np.float64).plan
        plans = self._solve(rows, offsets, dtype)
        if not plans.solved.all():
            lengths = np.diff(offsets)
            unsolved = np.flatnonzero(np.repeat(~plans.solved, lengths))
            part = np.append(0, np.cumsum(lengths[~plans.solved]))
            part.flags.writeable = False
            again = self._solve(unsolved + rows.start, part, np.float64)
            plans.plan[:, :, unsolved] = again.plan
        return plans.plan

    def _solve(self, rows, offsets, dtype):
        n_references, n_supports, n_features = self._references.shape
        supports = self._references.reshape(-1, n_features).astype(dtype, copy=False)
        x = self._x[rows].astype(dtype, copy=False)
        similarities = (supports @ x.T).reshape(n_references, n_supports, len(x))
        if self._position_weights is not None:
            similarities *= self._position_weights[:, rows]
        if self._transport.penalty.needs_norms:
            similarities -= half_squares(row_norms(x, squared=True))
        rounding = None
        if dtype == np.float32:
            rounding = rounding_errors(supports, row_norms(x), offsets)
        transport = self._transport
        return solve_plans(similarities, rounding, offsets, self._masses[rows], transport)

    def _of_all_sets(self, pooled):
        if len(pooled) == self._n_sets:
            return pooled
        of_all = np.zeros((self._n_sets, *pooled.shape[1:]), pooled.dtype)
        of_all[self._nonempty] = pooled
        return of_all


def _centered(by_mass, masses, offsets):
    """Gradients with respect to masses that are 0 on average, and without mass.

    `by_mass` are multiplied by the masses, and right up to a constant for each set.
    """
    means = np.repeat(np.add.reduceat(by_mass, offsets[:-1]), np.diff(offsets))
    present = masses > 0
    gradients = by_mass / np.where(present, masses, 1) - means
    return np.where(present, gradients, 0)


def _array(tensor):
    """The tensor as an array, in the same memory if it is contiguous."""
    return tensor.detach().contiguous().numpy()


def _check_offsets(offsets, n_elements):
    """Raise unless offsets are valid: compiled functions don't check bounds."""
    if not (
        len(offsets)
        and offsets[0] == 0
        and offsets[-1] == n_elements
        and (np.diff(offsets) >= 0).all()
    ):
        raise ValueError(
            f"offsets of sets are invalid; expected them to rise from 0 to {n_elements}."
        )
