"""The named networks: which of timm's backbones each one is, and how its features come about."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from swath.config import Settings, changed
from swath.errors import SettingError
from swath.networks import backbones
from swath.networks.backbones import Pooled
from swath.networks.custom import CUSTOM
from swath.networks.fpn import PyramidNet
from swath.networks.scratch import PatchNet, StripNet

# The project's own, whose stem and widths are settings.
OWN: dict[str, type[PatchNet] | type[StripNet]] = {"patchnet": PatchNet, "stripnet": StripNet}
TIMM, PYRAMID = "timm:", "_fpn"


class Network(Settings):
    """A network by name; ``swath networks`` lists them."""

    name: str = Field(default="patchnet", min_length=1)
    stem: int = Field(default=16, ge=4, le=512, description="channels after the stem; own networks only")
    widths: tuple[Annotated[int, Field(ge=4, le=2048)], ...] = Field(
        default=(32, 64, 128), min_length=1, max_length=6, description="channels of each stage; own networks only"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of features dropped before the head")
    channels: int = Field(default=256, ge=8, le=1024, description="width of a feature pyramid; fpn only")
    padding: Literal["even", "same"] = Field(
        default="even", description="same: more at the end, as TensorFlow pads; for weights from there"
    )

    @model_validator(mode="after")
    def _fits(self) -> Network:
        if self.name == "stripnet" and len(self.widths) < 2:
            raise ValueError("a stripnet needs at least two widths")
        if self.name not in OWN and changed(self, "stem", "widths"):
            raise ValueError(
                f"stem and widths belong to {' and '.join(OWN)}; for another network give the whole group, "
                f"as in --set 'network={{name: {self.name}}}'"
            )
        if "fpn" not in self.name and changed(self, "channels"):
            raise ValueError("channels belongs to networks with a feature pyramid (fpn)")
        if self.name in OWN and changed(self, "padding"):
            raise ValueError(f"padding belongs to networks other than {' and '.join(OWN)}")
        return self


@dataclass(frozen=True)
class Entry:
    """Where a network comes from.

    Attributes
    ----------
    backbone : str
        timm's name for it.
    stride : int or None
        Pixels to one cell of its last map, in each direction; None if it must be asked.
    mean : bool or None
        Whether its features are the plain mean of its last map, which makes class activation maps exact;
        None if only a trial can tell.
    pyramid : bool
        Whether a feature pyramid stands on it.
    """

    backbone: str
    stride: int | None
    mean: bool | None
    pyramid: bool = False


ENTRIES = {
    "resnet18": Entry("resnet18", 32, True),
    "resnet50": Entry("resnet50", 32, True),
    # The two layers of 4,096 between VGG's 7 x 7 grid and its classes are left out, as is usual for small
    # patches: at 64 pixels the grid is 2 x 2, and they alone would be 120 million parameters.
    "vgg16": Entry("vgg16", 32, True),
    "vgg16_bn": Entry("vgg16_bn", 32, True),
    "vgg19": Entry("vgg19", 32, True),
    "vgg19_bn": Entry("vgg19_bn", 32, True),
    "mobilenet_v2": Entry("mobilenetv2_100", 32, True),
    # MobileNetV3 widens after pooling, ConvNeXt normalizes after it, ViT reads its class token.
    "mobilenet_v3": Entry("mobilenetv3_large_100", 32, False),
    "mobilenet_v3_small": Entry("mobilenetv3_small_100", 32, False),
    "efficientnet_b0": Entry("efficientnet_b0", 32, True),
    "convnext_tiny": Entry("convnext_tiny", 32, False),
    "vit_small": Entry("vit_small_patch16_224", 16, False),
    "swin_tiny": Entry("swin_tiny_patch4_window7_224", 32, True),
    "resnet18_fpn": Entry("resnet18", 32, True, pyramid=True),
    "resnet50_fpn": Entry("resnet50", 32, True, pyramid=True),
}


def network_names() -> list[str]:
    """Names of the networks that have entries of their own, in the order they are listed."""
    return [*OWN, *ENTRIES]


def find(name: str) -> Entry | None:
    """The entry of a name, or None: ``NAME``, ``timm:BACKBONE``, and either with ``_fpn`` behind it.

    Whether timm knows a backbone is for the one who builds it to say.
    """
    if name in ENTRIES:
        return ENTRIES[name]
    plain = name.removesuffix(PYRAMID)
    pyramid = plain != name
    if plain.startswith(TIMM):
        return Entry(plain.removeprefix(TIMM), None, None, pyramid)
    if pyramid and plain in ENTRIES and not ENTRIES[plain].pyramid:
        return replace(ENTRIES[plain], pyramid=True)
    return None


def build_network(settings: Network, *, bands: int, outputs: int, size: int) -> nn.Module:
    """Build a network with random weights, drawn from torch's global generator.

    Parameters
    ----------
    settings : Network
        Name and sizes.
    bands, outputs : int
        Input channels and logits.
    size : int
        Side of the patches in pixels. Transformers are built for one size; the others take any.

    Returns
    -------
    torch.nn.Module
        Maps ``[N, bands, P, P]`` to :class:`swath.networks.Outputs`; has ``new_modules``, a tuple of the names of
        the modules that are never pre-trained, and ``head``, its last linear layer.

    Raises
    ------
    SettingError
        If there is no such network, or it does not take patches of this size.
    """
    least = smallest_patch(settings)
    if size < least:
        raise SettingError(
            f"{settings.name} needs patches of {least} px at least, and these have {size}",
            fix=f"set size={least}, or choose another network (see: swath networks)",
        )
    if settings.name in OWN:
        return OWN[settings.name](bands, outputs, stem=settings.stem, widths=settings.widths, dropout=settings.dropout)
    entry = _entry(settings.name)
    backbone = backbones.make_backbone(entry.backbone, bands=bands, size=size, same_padding=settings.padding == "same")
    if entry.mean is not None:
        return _headed(backbone, settings, entry, mean=entry.mean, outputs=outputs)
    mean = not entry.pyramid and backbones.pools_by_mean(entry.backbone, bands=bands, size=size)
    with backbones.misfits(entry.backbone, size), torch.no_grad():
        network = _headed(backbone, settings, entry, mean=mean, outputs=outputs)
        network.eval()(torch.zeros(1, bands, size, size))
    return network.train()


def smallest_patch(settings: Network) -> int:
    """Side in pixels of the smallest patch such a network can take: one cell is left of it at the end.

    Padding would let many a network answer for less, down to one pixel, from little but padding.

    Raises
    ------
    SettingError
        If there is no such network.
    """
    if settings.name in OWN:
        return OWN[settings.name].smallest_patch(settings.widths)
    entry = _entry(settings.name)
    return entry.stride or backbones.stride(entry.backbone)


def takes_one_size(settings: Network) -> bool:
    """Whether such a network, once built, takes patches of one size only, and so no crops."""
    return settings.name not in OWN and backbones.one_size(_entry(settings.name).backbone)


def _headed(backbone: nn.Module, settings: Network, entry: Entry, *, mean: bool, outputs: int) -> nn.Module:
    if entry.pyramid:
        return PyramidNet(backbone, outputs, channels=settings.channels, dropout=settings.dropout)
    return Pooled(backbone, outputs, mean=mean, dropout=settings.dropout)


def _entry(name: str) -> Entry:
    entry = find(name)
    if name.startswith(CUSTOM):
        raise SettingError(
            f"the network of this recipe is a module of one's own, {name.removeprefix(CUSTOM)}",
            fix="give it to swath.train(..., network=)",
        )
    if entry is None:
        near = difflib.get_close_matches(name, network_names(), n=3, cutoff=0.5)
        if backbones.is_known(name):
            near = [f"{TIMM}{name}"]
        raise SettingError(
            f"there is no network '{name}'",
            fix=f"did you mean {' or '.join(near)}?"
            if near
            else f"see: swath networks; any backbone of timm's is '{TIMM}NAME'",
        )
    return entry
