"""A running average of a network's weights (EMA), which often validates better than the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

State = dict[str, torch.Tensor]


class Average:
    """``shadow = decay * shadow + (1 - decay) * weights`` after every step.

    The decay rises with the steps, ``min(decay, (1 + step) / (10 + step))``, so that the start is soon forgotten.

    Parameters
    ----------
    network : torch.nn.Module
        What is averaged; its norms' statistics too.
    decay : float
        0 to below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state: State = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from an earlier average."""
        self.state = {name: value.clone() for name, value in state.items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take the weights after optimisation step `step` (from 0) in."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            held = self.state[name]
            if held.is_floating_point():
                held.lerp_(value.to(held), 1 - decay)
            else:
                held.copy_(value)
