"""The feature map as a differentiable function of anchors and bandwidth."""

import dataclasses

import numpy as np

from otk_sklearn.features._feature_map import FeatureMap, inverse_root


class DifferentiableFeatureMap:
    """A feature map as a differentiable function of its anchors and bandwidth.

    Parameters
    ----------
    kernel : str
        One of `KERNELS`.
    gamma : float or None
    anchors : ndarray of float64 of shape (n_components, n_features) or None
        L2-normalized if the kernel normalizes them.
    damping : float or None

    Attributes
    ----------
    feature_map : FeatureMap
    """

    def __init__(self, kernel, gamma, anchors, damping):
        self.feature_map = FeatureMap(kernel, gamma, anchors, damping=damping)
        if anchors is not None:
            self._kappa_of = self.feature_map.kappa_in(np.float64)
            self._gram, _ = self._kappa_of(anchors)
            normalization, self._root_pull_back = inverse_root(self._gram, damping)
            self.feature_map = dataclasses.replace(
                self.feature_map, normalization=normalization
            )

    def pull_back(self, gradients, references, trains_kernel):
        """Return the gradients with respect to references, anchors and log gamma.

        The last two are None unless the kernel is trained.

        Parameters
        ----------
        gradients : Gradients
            Summed over sets.
        references : ndarray of float64 of shape (n_references, n_supports, n_components)
        trains_kernel : bool
        """
        of_references = self.feature_map.whiten(gradients.supports)
        if not trains_kernel or self.feature_map.anchors is None:
            return of_references, None, None
        of_root = np.einsum("rjc,rjd->cd", references, gradients.supports)
        of_gram = self._root_pull_back(of_root + gradients.normalization)
        # Anchors are both arguments of their Gram matrix, which is symmetric.
        anchors, log_gamma = self._kappa_of.pull_back(of_gram * self._gram)
        return (
            of_references,
            gradients.anchors + 2 * anchors,
            gradients.log_gamma + log_gamma,
        )
