"""Which parts of a network learn in an epoch, and what its batch norms do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import nn

from swath.training.recipe import Freezing


def is_frozen(settings: Freezing, epoch: int) -> bool:
    """Whether the backbone rests in this epoch (counted from 0)."""
    return settings.epochs == "all" or epoch < settings.epochs


def enter_phase(network: nn.Module, settings: Freezing, *, epoch: int) -> None:
    """Set what trains in `epoch`: a resting backbone keeps every weight and every statistic bit for bit.

    Parameters
    ----------
    network : torch.nn.Module
        With ``fresh``, the names of the modules that are not the backbone.
    settings : Freezing
        Of the recipe.
    epoch : int
        Counted from 0.
    """
    network.train()
    frozen = is_frozen(settings, epoch)
    for part in backbone_modules(network):
        part.requires_grad_(not frozen)
        if frozen:
            part.eval()  # norms keep their statistics, dropout is off
        elif settings.batch_norm == "frozen":
            for module in part.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
                    module.requires_grad_(False)


def backbone_modules(network: nn.Module) -> Iterator[nn.Module]:
    """The direct children of `network` that are pre-trained where anything is."""
    fresh = cast("tuple[str, ...]", network.fresh)
    return (module for name, module in network.named_children() if name not in fresh)
