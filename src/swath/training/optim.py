"""Muon for convolution filters, AdamW for the rest, and the schedule both follow.

Muon (Jordan et al. 2024) replaces each filter bank's momentum by its nearest semi-orthogonal matrix,
found with a few Newton-Schulz steps; filters are kept at unit scale, since a norm follows each of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from swath.training.recipe import Optimiser

# Coefficients of the quintic iteration, chosen by its authors for a steep slope at zero.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 3


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """Bring the singular values of `matrix` ``[m, n]`` close to one (within about 0.7 to 1.2)."""
    x: torch.Tensor = matrix / (matrix.norm() + 1e-7)
    tall = x.size(0) > x.size(1)
    if tall:
        x = x.T
    for _ in range(_STEPS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum on 4-D filters, which are renormalised at every step.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter
        Filters ``[out, in, kh, kw]``.
    lr : float
        Step size, in units of a filter bank whose rows have unit length.
    momentum : float
        Nesterov momentum.
    """

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, momentum: float) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # without the closure nobody passes
        """Update every filter bank that has a gradient."""
        for group in self.param_groups:
            for filters in group["params"]:
                if filters.grad is None:
                    continue
                state = self.state[filters]
                if not state:
                    state["momentum"] = torch.zeros_like(filters)
                velocity = state["momentum"].mul_(group["momentum"]).add_(filters.grad)
                direction = filters.grad.add(velocity, alpha=group["momentum"])
                filters.mul_(len(filters) ** 0.5 / filters.norm().clamp_min(1e-12))
                filters.add_(orthogonalise(direction.flatten(1)).view_as(filters), alpha=-group["lr"])


def build_optimisers(network: nn.Module, settings: Optimiser) -> tuple[Muon, torch.optim.AdamW]:
    """Share a network's parameters out: inner filters to Muon, stem, norms and head to AdamW."""
    filters = [p for name, p in network.named_parameters() if p.ndim == 4 and not name.startswith("stem")]
    taken = {id(p) for p in filters}
    rest = [p for p in network.parameters() if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim == 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.ndim != 2], "weight_decay": 0.0},
    ]
    return (
        Muon(filters, lr=settings.lr, momentum=settings.momentum),
        torch.optim.AdamW(groups, lr=settings.other_lr),
    )


def rate(step: int, total: int, *, warmup: float) -> float:
    """Factor on the peak rate at `step` of `total`: linear up over `warmup`, linear down to zero."""
    done = step / total
    return done / warmup if done < warmup else (1 - done) / (1 - warmup)
