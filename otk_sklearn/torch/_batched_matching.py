"""The embedding of packed elements, and its gradient, as torch operations on any device.

Sets of like length are padded to one of them, and solved together: in float64 (where the
device has it) and in the log domain, so that nothing depends on the range of exponents. The
host waits for the device to know the lengths, and to see every so many iterations whether
all plans have converged.
"""

import math

import numpy as np
import torch

from otk_sklearn.torch._packed_sets import wide_dtype
from otk_sklearn.transport._solvers import solve_plans

# Iterations between two looks at the residuals.
_CHECKED_ITER = 10

# Added to pivots, relative to the masses of supports, in units of rounding: where these
# share no mass, pivots would be noise. What that changes of the solution has no effect on
# the gradient.
_DAMPING = 500


def embed(x, references, offsets, masses, position_weights, transport):
    """Match packed elements to references and pool them, as `_compiled_matching.embed`."""
    n_references, n_supports, n_features = references.shape
    wide = wide_dtype(x.device)
    plan = x.new_zeros(n_references, n_supports, len(x))
    pooled = x.new_zeros(len(offsets) - 1, n_references * n_supports, n_features)
    for batch in _batches(offsets):
        values, weights = batch.padded(x).to(wide), batch.padded_weights(position_weights)
        part = _plans(values, batch.padded_masses(masses), weights, references, transport)
        sums = torch.einsum("brij,bic->brjc", part * weights, values)
        pooled[batch.sets] = (n_supports * sums).flatten(1, 2).to(x.dtype)
        plan[:, :, batch.elements] = batch.packed_plan(part).to(x.dtype)
    return pooled, plan


def pull_back(
    x, references, offsets, masses, position_weights, transport, plan, of_pooled, of_plan
):
    """Pull gradients back, as `_compiled_matching.pull_back`."""
    wide = wide_dtype(x.device)
    n_supports, tiny = references.shape[1], torch.finfo(wide).tiny
    of_x, of_references = torch.zeros_like(x), torch.zeros_like(references, dtype=wide)
    of_masses = torch.zeros(len(x), dtype=wide, device=x.device)
    supports = references.to(wide)
    for batch in _batches(offsets):
        values, weights = batch.padded(x).to(wide), batch.padded_weights(position_weights)
        part, part_masses = batch.padded_plan(plan), batch.padded_masses(masses)
        gradients = torch.zeros_like(part)
        pooled = None
        if of_pooled is not None:
            pooled = n_supports * of_pooled[batch.sets].to(wide)
            pooled = pooled.unflatten(1, references.shape[:2])
            gradients += torch.einsum("brjc,bic->brij", pooled, values) * weights
        if of_plan is not None:
            gradients += batch.padded_plan(of_plan)
        if transport.solver == "emd":
            gradients, by_mass = torch.zeros_like(part), torch.zeros_like(part[..., 0])
        else:
            gradients, by_mass = _pull_back_plans(part, gradients, transport)
        rows = gradients * weights
        elements = torch.einsum("brij,rjc->bic", rows, supports)
        of_references += torch.einsum("brij,bic->rjc", rows, values)
        if pooled is not None:
            elements += torch.einsum("brij,brjc->bic", part * weights, pooled)
        if transport.penalty.needs_norms:
            elements -= gradients.sum(dim=(1, 3))[..., None] * values
        of_x[batch.elements] = batch.packed_rows(elements).to(x.dtype)
        by_mass = by_mass.sum(dim=1)
        centered = by_mass / part_masses.clamp(min=tiny) - by_mass.sum(dim=1, keepdim=True)
        centered = torch.where(part_masses > 0, centered, 0)
        of_masses[batch.elements] = batch.packed_rows(centered)
    return of_x, of_references.to(x.dtype), of_masses


class _Batch:
    """Sets of like length, padded to the longest of them.

    Parameters
    ----------
    sets : Tensor of int64 of shape (n_sets,)
    starts, lengths : Tensor of int64 of shape (n_sets,)
        Where their elements start, and how many there are.
    longest : int
    """

    def __init__(self, sets, starts, lengths, longest):
        self.sets = sets
        places = torch.arange(longest, device=sets.device)
        self.is_element = places < lengths[:, None]
        # Padding repeats the last element.
        self._rows = starts[:, None] + torch.minimum(places, lengths[:, None] - 1)
        self.elements = self._rows[self.is_element]

    def padded(self, rows):
        """Take the rows of packed elements, of shape (n_sets, longest, ...)."""
        return rows[self._rows]

    def padded_masses(self, masses):
        """Take masses, which are 0 for padding."""
        masses = self.padded(masses.to(wide_dtype(masses.device)))
        return torch.where(self.is_element, masses, 0)

    def padded_weights(self, position_weights):
        """Take position weights, of shape (n_sets, 1, longest, n_supports), or return 1."""
        if position_weights is None:
            return 1.0
        wide = wide_dtype(position_weights.device)
        return self.padded(position_weights.T)[:, None].to(wide)

    def padded_plan(self, plan):
        """Take the plans of the sets, of shape (n_sets, n_references, longest, n_supports).

        They are 0 for padding.
        """
        padded = self.padded(plan.permute(2, 0, 1)).transpose(1, 2)
        padded = padded.to(wide_dtype(plan.device))
        return torch.where(self.is_element[:, None, :, None], padded, 0)

    def packed_plan(self, padded):
        """Return plans of shape (n_references, n_supports, n_elements)."""
        return self.packed_rows(padded.transpose(1, 2)).permute(1, 2, 0)

    def packed_rows(self, padded):
        """Return those of elements, of padded rows of shape (n_sets, longest, ...)."""
        return padded[self.is_element]


def _batches(offsets):
    """Split the sets with elements into batches, within which lengths differ twofold."""
    lengths = offsets.diff()
    on_host = lengths.tolist()  # the host waits
    by_size = {}
    for s, length in enumerate(on_host):
        if length:
            by_size.setdefault((length - 1).bit_length(), []).append(s)
    for of_size in by_size.values():
        sets = torch.tensor(of_size, device=offsets.device)
        longest = max(on_host[s] for s in of_size)
        yield _Batch(sets, offsets[sets], lengths[sets], longest)


def _plans(values, masses, position_weights, references, transport):
    """Solve for plans of shape (n_sets, n_references, longest, n_supports)."""
    supports = references.to(values.dtype)
    similarities = torch.einsum("bic,rjc->brij", values, supports) * position_weights
    if transport.penalty.needs_norms:
        squares = values.square().sum(dim=2).clamp(max=torch.finfo(values.dtype).max / 4)
        similarities = similarities - squares[:, None, :, None] / 2
    if transport.solver == "emd":
        return _exact_plans(similarities, masses, transport)
    log_kernel = similarities / transport.epsilon
    log_masses = masses.log()[:, None, :, None]
    if transport.solver == "softmax":
        return (log_kernel + log_masses).softmax(dim=2) / references.shape[1]
    return _sinkhorn(log_kernel, log_masses, transport)


def _sinkhorn(log_kernel, log_masses, transport):
    """Sinkhorn's iterations in the log domain, which end on the side that is fixed."""
    row_power, column_power = transport.penalty.powers(transport.epsilon)
    log_b = -math.log(log_kernel.shape[3])
    rows, log_v = (torch.zeros_like(log_kernel.narrow(d, 0, 1)) for d in (3, 2))
    unconverged = torch.ones_like(log_v[..., :1], dtype=torch.bool)
    for n_iter in range(1, transport.max_iter + 1):
        sums = (log_kernel + (log_v + log_b)).logsumexp(3, keepdim=True)
        # What has converged stays: no set depends on others.
        rows = torch.where(unconverged, sums, rows)
        columns = (log_kernel + (log_masses - row_power * rows)).logsumexp(2, keepdim=True)
        last, log_v = log_v, torch.where(unconverged, -column_power * columns, log_v)
        if transport.tol > 0 and n_iter % _CHECKED_ITER == 0:
            change = last - log_v
            if column_power < 1:  # a constant has no effect on the plan
                change = change - change.mean(dim=3, keepdim=True)
            errors = change.expm1().abs().mean(dim=3, keepdim=True)
            unconverged = unconverged & (errors >= transport.tol)
            if not unconverged.any():  # the host waits
                break
    if column_power < 1:
        rows = (log_kernel + (log_v + log_b)).logsumexp(3, keepdim=True)
    return (log_masses - row_power * rows + log_kernel + log_v + log_b).exp()


def _exact_plans(similarities, masses, transport):
    """Solve for exact plans set by set, on the host."""
    plans = torch.zeros_like(similarities)
    for plan, of_set, of_elements in zip(plans, similarities, masses.cpu().numpy()):
        present = np.flatnonzero(of_elements)
        exact = solve_plans(
            of_set[:, present].transpose(1, 2).contiguous().cpu().numpy(),
            None,
            np.array([0, len(present)]),
            of_elements[present],
            transport,
        )
        plan[:, present] = torch.from_numpy(exact.plan).transpose(1, 2).to(plan)
    return plans


def _pull_back_plans(plan, gradients, transport):
    """Differentiate plans implicitly, as `transport.pull_back_plans` does.

    Returns the gradients with respect to similarities, of shape (n_sets, n_references,
    longest, n_supports), and those with respect to masses, each multiplied by the mass.
    """
    row_power, column_power = 0.0, 1.0
    if transport.solver == "sinkhorn":
        row_power, column_power = transport.penalty.powers(transport.epsilon)
    rows, columns = plan.sum(dim=3, keepdim=True), plan.sum(dim=2)
    of_rows = torch.where(rows > 0, row_power / rows, 0)
    row_means = of_rows * (plan * gradients).sum(dim=3, keepdim=True)
    totals = (plan * (gradients - row_means)).sum(dim=2)
    if row_power > 0:
        scaled = plan * of_rows.sqrt()
        products = scaled.transpose(2, 3) @ scaled
        excess = 1 / column_power - row_power
        mu = _solve_columns(products, columns, excess, totals)[:, :, None]
        row_means = row_means - of_rows * (plan * mu).sum(dim=3, keepdim=True)
    else:
        mu = torch.where(columns > 0, totals / columns, 0)[:, :, None]
    of_similarities = plan * (gradients - (row_means + mu))
    by_mass = (of_similarities + plan * row_means).sum(dim=3)
    return of_similarities / transport.epsilon, by_mass


def _solve_columns(products, columns, excess, totals):
    """Solve `(diag(columns / column power) - products) mu = totals`.

    Diagonal entries are sums of the others and the excess, `1 / column power - row power`,
    without cancellation.
    """
    apart = 1 - torch.eye(products.shape[-1], dtype=products.dtype, device=products.device)
    others = products * apart
    limits = torch.finfo(products.dtype)
    diagonal = others.sum(dim=-1) + (excess + _DAMPING * limits.eps) * columns
    diagonal = diagonal + limits.tiny
    system = diagonal.diag_embed() - others
    if excess == 0:  # mu is determined up to a constant, which this fixes
        system = system + 1 / products.shape[-1] ** 2
    # Positive definite by its damping; `cholesky` would have the host wait to check.
    factor, _ = torch.linalg.cholesky_ex(system)
    return torch.cholesky_solve(totals[..., None], factor)[..., 0]
