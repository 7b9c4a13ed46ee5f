"""The named networks: which of timm's backbones each one is, and how its features come about."""

from __future__ import annotations

from dataclasses import dataclass, replace

from swath.networks.settings import OWN

TIMM, PYRAMID = "timm:", "_fpn"


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
    # MobileNetV3 widens after pooling, ConvNeXt normalises after it, ViT reads its class token.
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
