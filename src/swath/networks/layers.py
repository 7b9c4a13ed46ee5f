"""What is inside a network: the layer to explain it at, and its size and cost.

At 64 pixels the last stage of a ResNet is 2 x 2 cells, and a map of it is four squares. The stage before has
4 x 4. Finer stages separate classes less well, so the deepest with enough cells is taken.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from swath.errors import SettingError
from swath.networks.backbones import Pooled, as_maps, patch_step
from swath.networks.catalog import Network, build_network, smallest_patch
from swath.networks.fpn import PyramidNet
from swath.networks.scratch import Outputs, PatchNet, StripNet

CELLS = 4  # per side: fewer show a patch's quarters at best


@dataclass(frozen=True)
class CamLayer:
    """A layer to explain a network at.

    Attributes
    ----------
    layer : torch.nn.Module
        Its output, and the gradient there, go through :func:`layer_maps`.
    side : int
        Cells per side of its maps.
    """

    layer: nn.Module
    side: int


def cam_layer(network: nn.Module, *, bands: int, size: int) -> CamLayer:
    """The deepest layer with maps of at least 4 x 4 cells; if none has, the one with the most.

    For networks without an exact class activation map, or with one of too few cells, Grad-CAM (Selvaraju et
    al. 2017) at this layer is the way. Sides are measured, by a forward pass of one empty patch.

    Parameters
    ----------
    network : torch.nn.Module
        From :func:`swath.networks.build_network`.
    bands, size : int
        Input channels, and side of the patches in pixels.

    Raises
    ------
    SettingError
        If none of its layers gives maps.
    """
    return probe_layers(network, bands=bands, size=size)[1]


def probe_layers(network: nn.Module, *, bands: int, size: int) -> tuple[Outputs, CamLayer]:
    """Outputs of a network for one empty patch, and its :func:`cam_layer`."""
    seen: dict[nn.Module, int] = {}

    def note(layer: nn.Module, _inputs: object, output: object) -> None:
        maps = layer_maps(network, output) if isinstance(output, torch.Tensor) else None
        if maps is not None:
            seen[layer] = min(maps.shape[2:])

    stages = _stages(network)
    like = next(network.parameters())
    with torch.no_grad(), ExitStack() as undo:
        undo.callback(network.train, network.training)
        for stage in stages:
            undo.enter_context(stage.register_forward_hook(note))
        outputs = network.eval()(torch.zeros(1, bands, size, size, device=like.device, dtype=like.dtype))
    deep_first = [stage for stage in reversed(stages) if stage in seen]
    if not deep_first:
        raise SettingError(
            "no layer of this network gives maps, so Grad-CAM cannot explain it", fix="use another network"
        )
    enough = [stage for stage in deep_first if seen[stage] >= CELLS]
    chosen = enough[0] if enough else max(deep_first, key=seen.__getitem__)
    return outputs, CamLayer(chosen, seen[chosen])


def layer_maps(network: nn.Module, values: torch.Tensor) -> torch.Tensor | None:
    """Maps ``[N, C, h, w]`` of a layer's output (or of the gradient there), or None if it is none."""
    # A pyramid's own layers give [N, C, h, w], however its backbone lays maps out.
    return as_maps(network.backbone if isinstance(network, Pooled) else network, values)


def _stages(network: nn.Module) -> list[nn.Module]:
    """Layers that Grad-CAM can use, fine to coarse."""
    if isinstance(network, PatchNet):
        return list(network.stages)
    if isinstance(network, StripNet):
        return list(network.layers)
    if isinstance(network, PyramidNet):
        return list(network.pyramid.smoothing)
    if not isinstance(network, Pooled):
        raise TypeError(f"{type(network).__name__} is none of the networks in the catalog")
    stages = []
    for level in network.backbone.feature_info:
        try:
            stage = network.backbone.get_submodule(level["module"])
        except AttributeError:  # some of timm's backbones name places that are no modules
            continue
        # The class token reads the other tokens inside attention: behind a transformer's last block their
        # gradient is nil. The norm in front of that attention still has one.
        stages.append(getattr(stage, "norm1", stage) if _has_tokens(network) else stage)
    return stages


def _has_tokens(network: Pooled) -> bool:
    return hasattr(network.backbone, "num_prefix_tokens")


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
        Cells per side of its exact class activation map; None if it has none.
    grad_cam : int
        Cells per side at the layer Grad-CAM should look at.
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
            made, best = probe_layers(network, bands=bands, size=size)
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
