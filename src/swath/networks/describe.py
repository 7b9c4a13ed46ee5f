"""What a network costs and needs, before it is trained: parameters, multiplications, patch sizes, maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from swath.networks.backbones import patch_step
from swath.networks.catalogue import build_network, smallest_patch
from swath.networks.layers import look
from swath.networks.settings import Network


@dataclass(frozen=True)
class NetworkFacts:
    """Facts of one network at one patch size.

    Attributes
    ----------
    name : str
        As in a recipe.
    parameters : int
        Weights and biases, the head's included.
    macs : int
        Multiplications for one patch in convolutions, linear layers and attention, each with its addition.
    features : int
        What the head reads.
    smallest : int
        Side of the smallest patch it takes, in pixels.
    step : int
        What the side of a patch must be a multiple of.
    exact : int or None
        Cells a side of its exact class activation map; None if it has none.
    grad_cam : int
        Cells a side at the layer Grad-CAM should look at.
    """

    name: str
    parameters: int
    macs: int
    features: int
    smallest: int
    step: int
    exact: int | None
    grad_cam: int

    @property
    def needs(self) -> str:
        """What a patch must be, in a few words."""
        return f"{self.smallest} px" + (f", multiples of {self.step}" if self.step > 1 else "")

    @property
    def maps(self) -> str:
        """How it can be explained, and with how many cells."""
        if self.exact is None:
            return f"Grad-CAM {self.grad_cam} x {self.grad_cam}"
        return f"exact {self.exact} x {self.exact}"


def describe_network(settings: Network, *, bands: int, outputs: int, size: int) -> NetworkFacts:
    """Count and measure a network without filling its weights.

    Parameters
    ----------
    settings : Network
        Name and sizes.
    bands, outputs, size : int
        Input channels, logits, and side of the patches in pixels.

    Raises
    ------
    SettingError
        If there is no such network, or it does not take patches of this size.
    """
    with torch.device("meta"):  # shapes without numbers: nothing is drawn, nothing computed
        network = build_network(settings, bands=bands, outputs=outputs, size=size)
        network.requires_grad_(False)  # the counter trips over parameters that layers hand to layers
        with FlopCounterMode(display=False) as counter:
            made, best = look(network, bands=bands, size=size)
    activations = made.activations
    return NetworkFacts(
        name=settings.name,
        parameters=sum(p.numel() for p in network.parameters()),
        macs=counter.get_total_flops() // 2,  # it counts a multiplication and its addition as two
        features=made.features.shape[1],
        smallest=smallest_patch(settings),
        step=patch_step(getattr(network, "backbone", network)),
        exact=None if activations is None else min(activations.shape[2:]),
        grad_cam=best.side,
    )
