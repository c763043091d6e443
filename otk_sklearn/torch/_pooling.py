"""`OTKPooling`: pooling of sets by optimal transport to references, as a layer."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from otk_sklearn._utils.sklearn_compat import Interval, validate_parameters
from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.embeddings._state import transport_of
from otk_sklearn.sets._positions import support_positions
from otk_sklearn.torch._kernels import unit_rows
from otk_sklearn.torch._operators import embed
from otk_sklearn.torch._packed_sets import packed_sets, without_autocast, working_dtype

if TYPE_CHECKING:
    from torch import Tensor


# Parameters that OTKEmbedding has, too, and may change after `fit`.
TRANSPORT_PARAMETERS = (
    "epsilon",
    "max_iter",
    "tol",
    "solver",
    "relaxation",
    "support_relaxation",
    "position",
    "position_sigma",
)

_SHARED = "n_supports", "n_references", *TRANSPORT_PARAMETERS


class OTKPooling(nn.Module):
    """Pool sets of vectors by optimal transport to trainable references.

    Each set is matched to each reference, a set of supports, by entropic optimal transport,
    and each support receives the mean of the elements that are transported to it [1]_: the
    layer form of :class:`otk_sklearn.OTKEmbedding`, for elements that a network has made.

    Parameters
    ----------
    in_features : int
        Number of features of an element.
    n_supports : int
        Number of supports of a reference.
    n_references : int, default=1
        Number of references.
    epsilon : float, default=0.1
        Strength of the entropic regularization, relative to similarities, which are inner
        products of elements and supports. Positive.
    max_iter : int, default=100
        Maximum number of Sinkhorn iterations.
    tol : float, default=1e-3
        Iterations stop once the marginal error of a plan is below: the L1 distance between
        its marginals and the masses. 0 runs exactly `max_iter` plain iterations; on an
        accelerator, the host then never waits for it. The gradient is that of converged
        plans.
    solver : {"sinkhorn", "emd", "softmax"}, default="sinkhorn"
        As in `OTKEmbedding`: entropic transport, exact transport, whose plan is treated as
        constant in the gradient, or attention.
    relaxation, support_relaxation : float or None, default=None
        As in `OTKEmbedding`: penalties in place of the marginals of elements or supports.
    position : {"gaussian", "hard"} or None, default=None
        As in `OTKEmbedding`: restricts transport to similar positions. Positions of
        elements are `i / n`, or those of the pixels of a grid, or given.
    position_sigma : float, default=0.1
        Width of the position filter, relative to the range [0, 1] of positions.
    device : torch.device or str, default=None
        Where parameters are created.
    dtype : torch.dtype, default=None
        The dtype of parameters.

    Attributes
    ----------
    references : Parameter of shape (n_references, n_supports, in_features)

    Raises
    ------
    ValueError
        If a parameter is out of range, or relaxations don't go together.

    See Also
    --------
    KernelFeatures : Kernel features of elements, to be pooled.
    SetSequential : Layers one after the other, with the forms of input of this one.
    initialize : Learns references from data, without labels.

    Notes
    -----
    On CPUs, plans are computed by the compiled functions of `OTKEmbedding`, in float32 with
    a float64 rescue where that is not precise enough. On other devices, they are computed
    in float64 and the log domain, by torch operations; iterations are plain there, so that
    more are needed at small epsilon. The backward pass solves one linear system of
    `n_supports` unknowns for each plan: its time and memory don't depend on the number of
    iterations. It has no gradient itself, and there is no forward mode.

    References
    ----------
    .. [1] G. Mialon, D. Chen, A. d'Aspremont and J. Mairal, "A Trainable Optimal Transport
           Embedding for Feature Aggregation and its Relationship to Attention", ICLR 2021.
           https://arxiv.org/abs/2006.12065

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from otk_sklearn.torch import OTKPooling
    >>> network = nn.Sequential(nn.Linear(128, 64), OTKPooling(64, 10))
    >>> network(torch.randn(2, 100, 128)).shape
    torch.Size([2, 10, 64])

    Packed sets of 3, 0 and 2 elements:

    >>> pooling, x = OTKPooling(64, 10), torch.randn(5, 64)
    >>> pooling(x, ptr=torch.tensor([0, 3, 3, 5])).shape
    torch.Size([3, 10, 64])
    """

    __module__ = "otk_sklearn.torch"  # where users import it from

    _parameter_constraints: dict = {
        "in_features": [Interval(Integral, 1, None, closed="left")],
        **{name: OTKEmbedding._parameter_constraints[name] for name in _SHARED},
    }

    def __init__(
        self,
        in_features: int,
        n_supports: int,
        *,
        n_references: int = 1,
        epsilon: float = 0.1,
        max_iter: int = 100,
        tol: float = 1e-3,
        solver: Literal["sinkhorn", "emd", "softmax"] = "sinkhorn",
        relaxation: float | None = None,
        support_relaxation: float | None = None,
        position: Literal["gaussian", "hard"] | None = None,
        position_sigma: float = 0.1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.n_supports = n_supports
        self.n_references = n_references
        self.epsilon = epsilon
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.relaxation = relaxation
        self.support_relaxation = support_relaxation
        self.position = position
        self.position_sigma = position_sigma
        validate_parameters(self, self._parameter_constraints)
        transport_of(self)  # relaxations have to go together
        shape = n_references, n_supports, in_features
        self.references = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw references: uniform directions."""
        with torch.no_grad():
            rows = self.references.normal_().flatten(0, 1)
            self.references.copy_(unit_rows(rows).view_as(self.references))

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        *,
        mask: Tensor | None = None,
        lengths: Tensor | None = None,
        weights: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Pool sets.

        Parameters
        ----------
        x : Tensor
            One of

            - packed elements of all sets, of shape (n_elements, in_features), with `index`
              or `ptr`;
            - a batch of shape (batch, length, in_features), where rows may be padding, as
              `mask` or `lengths` say;
            - grids of shape (batch, height, width, in_features): sets of pixels;
            - a nested tensor with the jagged layout.
        index : Tensor of int of shape (n_elements,), default=None
            The set of each packed element, in any order.
        ptr : Tensor of int of shape (n_sets + 1,), default=None
            Where the elements of each set start, for packed elements in order.
        dim_size : int, default=None
            Number of sets, with `index`; by default, its largest value plus 1.
        mask : Tensor of bool of shape (batch, length) or (batch, height, width), \
                default=None
            True for real elements, False for padding, whose values have no effect.
        lengths : Tensor of int of shape (batch,), default=None
            Number of elements of each set, in front of its padding.
        weights : Tensor of shape `x.shape[:-1]`, default=None
            Weights of elements, on any scale; equal by default. An element of weight 0 is
            absent, and the gradient with respect to this weight is 0.
        positions : Tensor of shape (`*x.shape[:-1]`, n_axes), default=None
            Positions of elements on 1 or 2 axes, in [0, 1], for `position`. They have no
            gradient.

        Returns
        -------
        Tensor of shape (n_sets, n_references * n_supports, in_features)
            Zeros for sets without elements.

        Raises
        ------
        TypeError, ValueError
            If an argument is of a wrong type, shape or range, or doesn't go with others.
            Values are checked on CPUs only, and not in compiled networks.
        """
        sets = packed_sets(
            x,
            index,
            ptr,
            dim_size,
            mask=mask,
            lengths=lengths,
            weights=weights,
            positions=positions,
            n_features=self.in_features,
        )
        return self._embed(sets)[0]

    def plan(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the transport plans between sets and references.

        Parameters
        ----------
        x : Tensor
            As for :meth:`forward`.
        *args, **kwargs : Tensor or int
            As for :meth:`forward`.

        Returns
        -------
        Tensor of shape (n_references, n_elements, n_supports) or \
                (batch, n_references, length, n_supports)
            For packed elements, or a batch, where padding has zeros, and grids are
            flattened row by row. As in `OTKEmbedding.transport_plan`.
        """
        sets = packed_sets(x, *args, n_features=self.in_features, **kwargs)
        _, plan, position_weights = self._embed(sets)
        if position_weights is not None:
            plan = plan * position_weights.to(plan.dtype)
        by_element = sets.with_values(plan.permute(2, 0, 1).flatten(1)).in_input_form()
        plan = by_element.unflatten(-1, (self.n_references, self.n_supports))
        return plan.transpose(-3, -2) if plan.ndim == 4 else plan.transpose(0, 1)

    def _embed(self, sets):
        dtype = working_dtype(sets.values, self.references)
        with without_autocast(sets.values.device):
            position_weights = self._position_weights(sets, dtype)
            pooled, plan = embed(
                sets.present_values().to(dtype),
                self.references.to(dtype),
                sets.offsets,
                sets.masses(),
                position_weights,
                transport_of(self),
            )
        out = torch.promote_types(sets.values.dtype, self.references.dtype)
        return pooled.to(out), plan.to(out), position_weights

    def _position_weights(self, sets, dtype):
        """The position filter, of shape (n_supports, n_elements), or None."""
        if self.position is None:
            return None
        positions = sets.element_positions()
        n_axes = positions.shape[1]
        if n_axes == 2 and round(self.n_supports**0.5) ** 2 != self.n_supports:
            raise ValueError(
                f"There are {self.n_supports} supports, and positions on 2 axes; expected "
                "a square number of supports, as they lie on a grid."
            )
        supports = torch.from_numpy(support_positions(self.n_supports, n_axes))
        distances = (positions.T[:, None] - supports.to(positions).T[:, :, None]).abs()
        if self.position == "hard":
            return (distances < self.position_sigma).all(dim=0).to(dtype)
        exponents = (distances / self.position_sigma).square().sum(dim=0)
        return torch.exp(-exponents).to(dtype)

    def extra_repr(self) -> str:
        """Return what the representation says of the parameters.

        Returns
        -------
        str
            Arguments of the constructor that are not as usual.
        """
        options = f"{self.in_features}, {self.n_supports}"
        for name in (*_SHARED[1:8], "position"):
            value = getattr(self, name)
            if value is not None and (name, value) not in _USUAL:
                options += f", {name}={value!r}"
        if self.position is not None:
            options += f", position_sigma={self.position_sigma!r}"
        return options


# What a representation leaves out.
_USUAL = {("n_references", 1), ("max_iter", 100), ("tol", 1e-3), ("solver", "sinkhorn")}
