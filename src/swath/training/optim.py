"""Muon for convolution filters, AdamW for the rest, and the schedule both follow.

Muon (Jordan et al. 2024) replaces each filter bank's momentum by its nearest semi-orthogonal matrix,
found with a few Newton-Schulz steps; filters are kept at unit scale, since a norm follows each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import nn

from swath.training.recipe import Optimizer

# Coefficients of the quintic iteration, chosen by its authors for a steep slope at zero.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 3
# Position embeddings: biases in the shape of matrices.
_NEVER_DECAYED = ("pos_embed", "cls_token", "relative_position_bias_table")


def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """Bring the singular values of `matrix` ``[m, n]`` close to one (within about 0.7 to 1.2)."""
    x: torch.Tensor = matrix / (matrix.norm() + 1e-7)
    tall = x.size(0) > x.size(1)
    if tall:
        x = x.T
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Orthogonalized Nesterov momentum on 4-D filters, which are renormalized at every step.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter
        Filters ``[out, in, kh, kw]``, or groups of them.
    lr : float
        Step size, in units of a filter bank whose rows have unit length.
    momentum : float
        Nesterov momentum.
    bf16 : bool
        Whether to orthogonalize in bf16: twice as fast where the hardware has it, and exact enough, for it only
        brings singular values near one.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float,
        bf16: bool = False,
    ) -> None:
        super().__init__(cast(Any, list(params)), {"lr": lr, "momentum": momentum})
        self._dtype = torch.bfloat16 if bf16 else torch.float32

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
                step = orthogonalize(direction.flatten(1).to(self._dtype))
                filters.add_(step.to(filters.dtype).view_as(filters), alpha=-group["lr"])


def build_optimizers(
    network: nn.Module, settings: Optimizer, *, backbone_lr_scale: float = 1.0, bf16: bool = False
) -> list[torch.optim.Optimizer]:
    """Assign a network's parameters to optimizers; each group's ``peak`` is its highest learning rate.

    Muon takes all filters but the first layer's, and AdamW the rest; the others take everything.
    Weight decay acts on matrices and filters only, never on norms, biases and position embeddings; with Muon on
    matrices only, since Muon keeps filters at unit scale.

    Parameters
    ----------
    network : torch.nn.Module
        With ``new_modules``, the names of the modules that are not the backbone.
    settings : Optimizer
        Of the recipe.
    backbone_lr_scale : float
        Rate of the backbone as a share of the rest's.
    bf16 : bool
        For :class:`Muon`.
    """
    new_modules: list[nn.Parameter] = []
    backbone: list[nn.Parameter] = []
    exempt = {id(parameter) for name, parameter in network.named_parameters() if name.endswith(_NEVER_DECAYED)}
    for name, parameter in network.named_parameters():
        (new_modules if name.split(".")[0] in cast("tuple[str, ...]", network.new_modules) else backbone).append(
            parameter
        )
    if settings.name != "muon":
        groups = [
            *_groups(new_modules, settings.lr, settings.weight_decay, exempt=exempt),
            *_groups(backbone, settings.lr * backbone_lr_scale, settings.weight_decay, exempt=exempt),
        ]
        match settings.name:
            case "sgd":
                return [torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)]
            case "adam":  # L2 in the gradient, as the textbook recipes have it
                return [torch.optim.Adam(groups, lr=settings.lr)]
            case _:
                return [torch.optim.AdamW(groups, lr=settings.lr)]
    first = next((p for p in network.parameters() if p.ndim == 4), None)
    muon, rest = [], []
    for part, share in ((new_modules, 1.0), (backbone, backbone_lr_scale)):
        filters = [p for p in part if p.ndim == 4 and p is not first]
        taken = {id(p) for p in filters}
        muon.append({"params": filters, "peak": settings.lr * share})
        others = [p for p in part if id(p) not in taken]
        decay = settings.weight_decay
        rest += _groups(others, settings.adamw_lr * share, decay, decayed=(2,), exempt=exempt)
    adam = torch.optim.AdamW(rest, lr=settings.adamw_lr)
    muon = [group for group in muon if group["params"]]
    return [Muon(muon, lr=settings.lr, momentum=settings.momentum, bf16=bf16), adam] if muon else [adam]


def _groups(
    parameters: list[nn.Parameter], peak: float, decay: float, *, exempt: set[int], decayed: tuple[int, ...] = (2, 3, 4)
) -> list[dict[str, Any]]:
    """Groups with and without weight decay, leaving empty ones out."""
    with_decay = [p for p in parameters if p.ndim in decayed and id(p) not in exempt]
    rest = {id(p) for p in parameters} - {id(p) for p in with_decay}
    parts = ((with_decay, decay), ([p for p in parameters if id(p) in rest], 0.0))
    return [{"params": part, "weight_decay": wd, "peak": peak} for part, wd in parts if part]


def rate(step: int, total: int, *, warmup: float, schedule: str = "linear") -> float:
    """Factor on the peak rate at `step` of `total`: linear up over `warmup`, then down to zero as scheduled."""
    done = step / total
    if done < warmup:
        return done / warmup
    left = (1 - done) / (1 - warmup)
    match schedule:
        case "cosine":
            return 0.5 * (1 - math.cos(math.pi * left))
        case "constant":
            return 1.0
        case _:
            return left
