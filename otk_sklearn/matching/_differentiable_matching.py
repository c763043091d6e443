"""Gradients of functions of embeddings, through the plan, to references and anchors.

Plans are differentiated implicitly, by a linear system with one unknown per support for
each set and reference: memory and time don't depend on the number of Sinkhorn iterations.
Gradients are exact for converged plans. Those of `solver="emd"` are treated as constant.
"""

from dataclasses import dataclass

import numpy as np

from otk_sklearn._compiled.pooling import pooling_to_features, pooling_to_plans
from otk_sklearn.matching._matching import Matching
from otk_sklearn.sets._offsets import offsets_in
from otk_sklearn.sets._positive_mass import with_positive_mass
from otk_sklearn.transport._gradient import pull_back_plans


class FieldwiseAddable:
    """A dataclass with field-wise addition."""

    def __add__(self, other):
        pairs = zip(vars(self).values(), vars(other).values())
        return type(self)(*(a + b for a, b in pairs))


@dataclass(eq=False)
class Gradients(FieldwiseAddable):
    """Sums over sets of gradients, in float64.

    Parameters
    ----------
    supports : ndarray of shape (n_references, n_supports, n_components)
        With respect to whitened supports `D z_j`.
    normalization : ndarray of shape (n_components, n_components) or float
        With respect to D, as applied to sets; 0.0 where nothing depends on it.
    anchors : ndarray of shape (n_components, n_features) or float
        With respect to anchors, as compared with elements.
    log_gamma : float
    """

    supports: np.ndarray
    normalization: np.ndarray | float = 0.0
    anchors: np.ndarray | float = 0.0
    log_gamma: float = 0.0


class DifferentiableMatching(Matching):
    """Matches sets to references, and computes gradients of these and of anchors.

    Parameters are those of `Matching`, and

    Parameters
    ----------
    trains_kernel : bool
        Whether gradients with respect to D, anchors and bandwidth are wanted.
    """

    def __init__(self, state, dtype, *, trains_kernel):
        super().__init__(state, dtype)
        self._trains_kernel = trains_kernel and self._state.feature_map.anchors is not None

    def gradients(self, sets, gradient_of, element_gradients=None):
        """Embed sets, and pull the gradient of a function of their embeddings back.

        Parameters
        ----------
        sets : SetCollection or WindowedSets
        gradient_of : callable
            Returns the gradient at embeddings, both of shape (n_sets, n_references *
            n_supports * n_components).
        element_gradients : ndarray of shape (n_elements, n_features), default=None
            Filled with the gradient with respect to elements: 0 for those of mass 0.

        Returns
        -------
        Gradients
        """
        part, kept = with_positive_mass(sets)
        if part is sets or element_gradients is None:
            return self._gradients(part, gradient_of, element_gradients)
        of_part = np.empty(part.values.shape, element_gradients.dtype)
        summed = self._gradients(part, gradient_of, of_part)
        element_gradients[:] = 0
        element_gradients[kept] = of_part
        return summed

    def _gradients(self, sets, gradient_of, element_gradients):
        """`gradients` of sets whose elements all have a positive mass."""
        blocks, position_weights = self._feature_blocks(sets), self._position_weights(sets)
        plan = self._unfiltered_plans(sets, blocks, position_weights).plan
        filtered = plan if position_weights is None else plan * position_weights
        pooled = self._pooled(sets, blocks, filtered)
        embeddings = np.empty_like(pooled)
        self._pooled_to_means(pooled, embeddings)
        embedding_gradients = gradient_of(embeddings.reshape(len(sets), -1))
        embedding_gradients = embedding_gradients.reshape(pooled.shape)
        embedding_gradients = embedding_gradients.astype(self.dtype, copy=False)
        pooled_gradients = embeddings  # reuse the memory
        self._pooled_to_means(embedding_gradients, pooled_gradients)

        gradients = self._buffers.empty("gradients", plan.shape, self.dtype)
        flat = gradients.reshape(-1, plan.shape[2])
        for rows, kappa, _ in blocks:
            offsets = offsets_in(rows, sets.offsets)
            pooling_to_plans(kappa, pooled_gradients, offsets, flat[:, rows])
        norm_gradients = self._plans_to_similarities(
            sets, plan, position_weights, gradients
        )

        summed = Gradients(np.zeros(self.supports.shape))
        if self._trains_kernel:
            rows = pooled.reshape(-1, pooled.shape[2])
            product = rows.T @ embedding_gradients.reshape(rows.shape)
            summed.normalization = plan.shape[1] * product.astype(np.float64)
        for block in blocks:
            norms = None if norm_gradients is None else norm_gradients[block[0]]
            summed += self._block_gradients(
                sets, block, flat, norms, filtered, pooled_gradients, element_gradients
            )
        return summed

    def _plans_to_similarities(self, sets, plan, position_weights, gradients):
        """Pull gradients of plans back to similarities, in place.

        Returns the gradients with respect to `||psi(x_i)||^2`, or None.
        """
        if position_weights is not None:
            gradients *= position_weights
        pull_back_plans(plan, sets.offsets, self._state.transport, gradients)
        norm_gradients = None
        if self._state.transport.penalty.needs_norms:
            norm_gradients = gradients.sum(axis=(0, 1)) / -2
        if position_weights is not None:
            gradients *= position_weights
        return norm_gradients

    def _block_gradients(self, sets, block, flat, norms, filtered, pooled, out):
        """Gradients summed over a block of elements, from those of their similarities."""
        rows, kappa, _ = block
        similarity_gradients = flat[:, rows]
        product = similarity_gradients @ kappa
        summed = Gradients(product.reshape(self.supports.shape).astype(np.float64))
        if not self._trains_kernel and out is None:
            return summed
        supports = self.supports.reshape(-1, kappa.shape[1])
        kappa_gradients = self._buffers.empty("kappa gradients", kappa.shape, self.dtype)
        np.matmul(similarity_gradients.T, supports, out=kappa_gradients)
        flat_plan = filtered.reshape(flat.shape)[:, rows]
        offsets = offsets_in(rows, sets.offsets)
        pooling_to_features(flat_plan, pooled, offsets, kappa_gradients)
        if norms is not None:
            psi = 2 * norms[:, np.newaxis] * self._state.feature_map.whiten(kappa)
            kappa_gradients += self._state.feature_map.whiten(psi)
            if self._trains_kernel:
                summed.normalization = (kappa.T @ psi).astype(np.float64)
        if self._state.feature_map.anchors is None:
            out[rows] = kappa_gradients
            return summed
        kappa_gradients *= kappa
        part = None if out is None else out[rows]
        summed.anchors, summed.log_gamma = self._kappa_of.pull_back(kappa_gradients, part)
        return summed
