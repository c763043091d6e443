"""Plain versions of what layers compute, differentiated through all iterations."""

import torch


def plain_pooling(
    x, references, masses=None, position_weights=1.0, *, n_iter=100, **options
):
    """Pool one set, of shape (n_elements, n_features), by unrolled iterations.

    Returns the embedding, of shape (n_references * n_supports, n_features), and the plans,
    of shape (n_references, n_elements, n_supports).
    """
    if masses is None:
        masses = x.new_full((len(x),), 1 / len(x))
    plans = [
        plain_plan(x, reference, masses, position_weights, n_iter, **options)
        for reference in references
    ]
    pooled = [
        plan.shape[1] * (plan * position_weights).T @ x  # a mean for each support
        for plan in plans
    ]
    return torch.cat(pooled), torch.stack(plans) * position_weights


def plain_plan(
    x,
    reference,
    masses,
    position_weights,
    n_iter,
    *,
    epsilon,
    solver="sinkhorn",
    relaxation=None,
    support_relaxation=None,
):
    """The plan of one set as the formulas are written, in the log domain."""
    similarities = (x @ reference.T) * position_weights
    if relaxation is not None:
        similarities = similarities - (x**2).sum(dim=1, keepdim=True) / 2
    log_kernel = similarities / epsilon
    log_a = torch.log(masses)[:, None]
    log_b = -torch.log(torch.tensor(len(reference), dtype=x.dtype))
    if solver == "softmax":
        return torch.softmax(log_kernel + log_a, dim=0) / len(reference)
    row_power = 1.0 if relaxation is None else relaxation / (relaxation + epsilon)
    power = 1.0
    if support_relaxation is not None:
        power = support_relaxation / (support_relaxation + epsilon)
    log_v = torch.zeros(1, len(reference), dtype=x.dtype)
    for _ in range(n_iter):
        log_u = -row_power * torch.logsumexp(log_kernel + log_v + log_b, 1, keepdim=True)
        log_v = -power * torch.logsumexp(log_kernel + log_u + log_a, 0, keepdim=True)
    if support_relaxation is not None:
        log_u = -torch.logsumexp(log_kernel + log_v + log_b, 1, keepdim=True)
    return torch.exp(log_a + log_u + log_kernel + log_v + log_b)


def ragged(lengths=(1, 7, 4, 12), n_features=3, seed=0, dtype=torch.float64):
    """Packed standard normal elements, and the set of each."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(sum(lengths), n_features, generator=generator, dtype=dtype)
    index = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    return x, index
