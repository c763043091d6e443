"""`KernelFeatures`: Nyström features of elements, or of windows, as a layer."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from otk_sklearn._utils.sklearn_compat import Interval, StrOptions, validate_parameters
from otk_sklearn.torch._kernels import KERNELS, unit_rows, whitening
from otk_sklearn.torch._packed_sets import packed_sets, without_autocast, working_dtype
from otk_sklearn.torch._windows import n_kept, n_windows, subsample, windows_of

if TYPE_CHECKING:
    from torch import Tensor


class KernelFeatures(nn.Module):
    """Nyström features of the elements of sets, with trainable anchors and bandwidth.

    An element x becomes `psi(x) = D kappa_W(x)`, its kernel values with the anchors W,
    whitened by an inverse square root D of the kernel between the anchors, as in
    :class:`otk_sklearn.OTKEmbedding`. With `filter_size`, elements are windows of
    consecutive elements: a layer of a convolutional kernel network [1]_.

    Parameters
    ----------
    in_features : int
        Number of features of an element.
    n_components : int
        Number of anchors, which is the number of features of the output.
    kernel : {"rbf", "homogeneous"}, default="rbf"
        `exp(-gamma ||x - w||^2)`, or `||x|| exp(2 gamma (cos(x, w) - 1))`.
    gamma : float, default=1.0
        Kernel coefficient at the start, positive. A bandwidth sigma, as used in the
        literature, corresponds to `gamma = 1 / (2 sigma^2)`. Unless given to them,
        :func:`initialize` and :func:`from_estimator` set it from data.
    damping : float, default=1e-2
        Added to the square roots of the eigenvalues of the kernel between the anchors
        before they are inverted. Positive.
    filter_size : int, default=1
        Number of consecutive elements in a window.
    padding : {"valid", "same"}, default="valid"
        "valid" keeps the windows that lie within a set; a set shorter than a window is
        padded with zeros to one window. "same" pads both ends with zeros, so that there
        are as many windows as elements.
    subsampling : int, default=1
        Stride of Gaussian pooling: the features of neighbouring windows are averaged by a
        Gaussian filter of `2 subsampling - 1` taps, and one in `subsampling` of the
        averages is kept.
    device : torch.device or str, default=None
        Where parameters are created.
    dtype : torch.dtype, default=None
        The dtype of parameters.

    Attributes
    ----------
    raw_anchors : Parameter of shape (n_components, filter_size * in_features)
        The anchors; for the homogeneous kernel, their directions are.
    log_gamma_change : Parameter of shape ()
        Logarithm of gamma divided by what it was at the start.

    See Also
    --------
    OTKPooling : Pools the features of a set.
    otk_sklearn.ConvolutionalKernelLayer : The same, without labels, for scikit-learn.

    Notes
    -----
    D is computed from the anchors in each call, by an eigendecomposition in float64: of
    64 anchors in about a millisecond, of 2,048 in seconds.

    References
    ----------
    .. [1] J. Mairal, "End-to-End Kernel Learning with Supervised Convolutional Kernel
           Networks", NeurIPS 2016. https://arxiv.org/abs/1605.06265

    Examples
    --------
    >>> import torch
    >>> from otk_sklearn.torch import KernelFeatures
    >>> features = KernelFeatures(4, 32, filter_size=5)
    >>> features(torch.randn(8, 100, 4)).shape
    torch.Size([8, 96, 32])
    """

    __module__ = "otk_sklearn.torch"  # where users import it from

    _parameter_constraints: dict = {
        "in_features": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "kernel": [StrOptions(set(KERNELS))],
        "damping": [Interval(Real, 0, None, closed="neither")],
        "filter_size": [Interval(Integral, 1, None, closed="left")],
        "padding": [StrOptions({"valid", "same"})],
        "subsampling": [Interval(Integral, 1, 10_000, closed="both")],
    }

    def __init__(
        self,
        in_features: int,
        n_components: int,
        *,
        kernel: Literal["rbf", "homogeneous"] = "rbf",
        gamma: float = 1.0,
        damping: float = 1e-2,
        filter_size: int = 1,
        padding: Literal["valid", "same"] = "valid",
        subsampling: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.n_components = n_components
        self.kernel = kernel
        self.damping = damping
        self.filter_size = filter_size
        self.padding = padding
        self.subsampling = subsampling
        validate_parameters(self, self._parameter_constraints)
        if not (isinstance(gamma, Real) and 0 < gamma < float("inf")):
            raise ValueError(f"gamma is {gamma!r}; expected a positive number.")
        options = {"device": device, "dtype": dtype}
        anchors = torch.empty(n_components, filter_size * in_features, **options)
        self.raw_anchors = nn.Parameter(anchors)
        self._gamma = float(gamma)
        self.register_buffer("initial_gamma", torch.empty((), **options))
        self.log_gamma_change = nn.Parameter(torch.zeros((), **options))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw anchors, standard normal or uniform directions; gamma as it was given."""
        with torch.no_grad():
            self.raw_anchors.normal_()
            if self.kernel == "homogeneous":
                self.raw_anchors.copy_(unit_rows(self.raw_anchors))
            self.initial_gamma.fill_(self._gamma)
            self.log_gamma_change.zero_()

    @property
    def anchors(self) -> Tensor:
        """The anchors, L2-normalized for the homogeneous kernel."""
        if self.kernel == "homogeneous":
            return unit_rows(self.raw_anchors)
        return self.raw_anchors

    @property
    def gamma(self) -> Tensor:
        """The kernel coefficient."""
        return self.initial_gamma * self.log_gamma_change.exp()

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return how many elements sets of these lengths have in the output.

        Parameters
        ----------
        lengths : Tensor of int of shape (n_sets,)
            Numbers of elements of the input.

        Returns
        -------
        Tensor of int of shape (n_sets,)
            Numbers of windows, or of those that subsampling keeps.
        """
        windows = n_windows(lengths, self.filter_size, self.padding)
        return n_kept(windows, self.subsampling)

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Compute features.

        Parameters
        ----------
        x : Tensor
            As for :meth:`OTKPooling.forward`. Without windows and subsampling, any shape
            (..., in_features), and no other argument is needed.
        index, ptr : Tensor, default=None
            As for :meth:`OTKPooling.forward`.
        dim_size : int, default=None
            As for :meth:`OTKPooling.forward`.
        mask, lengths : Tensor, default=None
            As for :meth:`OTKPooling.forward`.

        Returns
        -------
        Tensor of shape (..., n_components)
            With windows or subsampling, sets have :meth:`output_lengths` elements, which
            are (n_elements, n_components) for packed input, set after set, and
            (batch, length, n_components) for a batch, with zeros behind the elements.
        """
        others = index, ptr, dim_size, mask, lengths
        is_plain = isinstance(x, torch.Tensor) and not x.is_nested
        if self._is_elementwise and is_plain and others == (None,) * len(others):
            if x.shape[-1] != self.in_features:
                raise ValueError(
                    f"x has shape {tuple(x.shape)}; expected (..., {self.in_features})."
                )
            features = self._features(x.reshape(-1, self.in_features))
            return features.reshape(*x.shape[:-1], self.n_components)
        sets = packed_sets(
            x,
            index,
            ptr,
            dim_size,
            mask=mask,
            lengths=lengths,
            n_features=self.in_features,
        )
        features = self._features_of_sets(sets)
        return features if x is sets else features.in_input_form()

    @property
    def _is_elementwise(self):
        return self.filter_size == 1 == self.subsampling

    def _features_of_sets(self, sets):
        if self.filter_size == 1:
            sets = sets.with_values(sets.present_values())
        windows = windows_of(sets, self.filter_size, self.padding)
        features = windows.with_values(self._features(windows.values))
        return subsample(features, self.subsampling)

    def _features(self, elements):
        """`psi` of elements, or windows, of shape (n_elements, n_components)."""
        with without_autocast(elements.device):
            dtype = working_dtype(elements, self.raw_anchors)
            anchors, gamma = self.anchors.to(dtype), self.gamma.to(dtype)
            kappa = KERNELS[self.kernel](elements.to(dtype), anchors, gamma)
            features = kappa @ whitening(self.kernel, anchors, gamma, self.damping)
        return features.to(torch.promote_types(elements.dtype, self.raw_anchors.dtype))

    def extra_repr(self) -> str:
        """Return what the representation says of the parameters.

        Returns
        -------
        str
            Arguments of the constructor that are not as usual.
        """
        options = f"{self.in_features}, {self.n_components}, kernel={self.kernel!r}"
        gamma = self._gamma if self.raw_anchors.is_meta else self.gamma.item()
        options += f", gamma={gamma:.3g}, damping={self.damping:g}"
        for name, default in (("filter_size", 1), ("padding", "valid"), ("subsampling", 1)):
            if getattr(self, name) != default:
                options += f", {name}={getattr(self, name)!r}"
        return options


def set_kernel(features, anchors, gamma):
    """Set anchors and gamma of `KernelFeatures`, given as arrays, to the last digit."""
    with torch.no_grad():
        features.raw_anchors.copy_(torch.tensor(anchors))
        features.initial_gamma.fill_(gamma)
        features.log_gamma_change.zero_()
