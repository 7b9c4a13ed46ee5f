"""Published weights that swath knows by name: where they are, their license, and the input they expect.

The ImageNet table names one well-tested set for each named network; for any other timm backbone, timm's own table
is used. The table of torchgeo's weights follows its source, ``torchgeo/models/resnet.py`` and ``vit.py``, and the
cards of their repositories.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import timm

from swath.errors import SettingError
from swath.imagery import RGB
from swath.weights.facts import Expectation

PICTURES = Expectation()  # 8-bit RGB with the ImageNet mean and standard deviation
HALVES = Expectation(mean=(0.5, 0.5, 0.5), sd=(0.5, 0.5, 0.5))
# SSL4EO-S12's files have the bands of Sentinel-2 L1C in the order of their numbers, 8A behind 8.
SENTINEL2 = tuple(f"b{n}" for n in "01 02 03 04 05 06 07 08 8a 09 10 11 12".split())  # noqa: SIM905


@dataclass(frozen=True)
class PublishedWeights:
    """One published set of weights.

    Attributes
    ----------
    repository, filename, revision : str
        Where it is on the hub.
    license : str or None
        SPDX identifier; ``None`` where its publisher states none.
    expects : Expectation
        What input it was trained on.
    backbone : str
        timm's name of the network it is for.
    about : str
        Where it comes from, for people.
    """

    repository: str
    filename: str
    revision: str
    license: str | None
    expects: Expectation
    backbone: str
    about: str

    @property
    def sha256_start(self) -> str | None:
        """First digits of the file's SHA-256, where its name ends in them, as PyTorch's do."""
        stem = self.filename.removesuffix(".pth")
        return stem.rpartition("-")[2] if stem != self.filename and "-" in stem else None


def _reflectance(bands: tuple[str, ...]) -> Expectation:
    """Top-of-atmosphere reflectance x 10^4, divided by 10^4 and not centered."""
    none, whole = (0.0,) * len(bands), (1.0,) * len(bands)
    return Expectation(bands=bands, data_type="uint16", scale=10_000.0, mean=none, sd=whole)


IMAGENET: dict[str, tuple[str, str, Expectation]] = {
    "resnet18": ("tv_in1k", "bsd-3-clause", PICTURES),
    "resnet34": ("tv_in1k", "bsd-3-clause", PICTURES),
    "resnet50": ("tv_in1k", "bsd-3-clause", PICTURES),
    "vgg16": ("tv_in1k", "bsd-3-clause", PICTURES),
    "vgg16_bn": ("tv_in1k", "bsd-3-clause", PICTURES),
    "vgg19": ("tv_in1k", "bsd-3-clause", PICTURES),
    "vgg19_bn": ("tv_in1k", "bsd-3-clause", PICTURES),
    "mobilenetv2_100": ("ra_in1k", "apache-2.0", PICTURES),
    "mobilenetv3_large_100": ("ra_in1k", "apache-2.0", PICTURES),
    "mobilenetv3_small_100": ("lamb_in1k", "apache-2.0", PICTURES),
    "efficientnet_b0": ("ra_in1k", "apache-2.0", PICTURES),
    "convnext_tiny": ("fb_in1k", "apache-2.0", PICTURES),
    "vit_small_patch16_224": ("augreg_in21k_ft_in1k", "apache-2.0", HALVES),
    "swin_tiny_patch4_window7_224": ("ms_in1k", "mit", PICTURES),
}


_SSL4EO = (
    # torchgeo's network and the end of its name there, revision, first digits of the SHA-256
    ("ResNet18", "ALL_MOCO", "5b8cddc9a14f3844350b7f40b85bcd32aed75918", "59bfdff9"),
    ("ResNet18", "RGB_MOCO", "e1c032e7785fd0625224cdb6699aa138bb304eec", "e3a335e3"),
    ("ResNet50", "ALL_DINO", "d7f14bf5530d70ac69d763e58e77e44dbecfec7c", "d6c330e9"),
    ("ResNet50", "ALL_MOCO", "da4f3c9dbe09272eb902f3b37f46635fa4726879", "df8b932e"),
    ("ResNet50", "RGB_MOCO", "efd9723b59a88e9dc1420dc1e96afb25b0630a3c", "2b57ba8b"),
    ("ViTSmall16", "ALL_DINO", "5b41dd418a79de47ac9f5be3e035405a83818a62", "36bcc127"),
    ("ViTSmall16", "ALL_MOCO", "1cb683f6c14739634cdfaaceb076529adf898c74", "67c9032d"),
)
_TIMM_NAMES = {"ResNet18": "resnet18", "ResNet50": "resnet50", "ViTSmall16": "vit_small_patch16_224"}


def _ssl4eo(network: str, kind: str, revision: str, digits: str) -> PublishedWeights:
    bands, method = kind.lower().split("_")
    backbone = _TIMM_NAMES[network]
    stem = f"{backbone}_sentinel2_{bands}_{method}"
    return PublishedWeights(
        f"torchgeo/{stem}",
        f"{stem}-{digits}.pth",
        revision,
        "cc-by-4.0",
        _reflectance(RGB if bands == "rgb" else SENTINEL2),
        backbone,
        f"SSL4EO-S12 (Wang et al. 2023), {method}",
    )


TORCHGEO: dict[str, PublishedWeights] = {
    **{f"{row[0]}_Weights.SENTINEL2_{row[1]}": _ssl4eo(*row) for row in _SSL4EO},
    "ResNet50_Weights.FMOW_RGB_GASSL": PublishedWeights(
        "torchgeo/resnet50_fmow_rgb_gassl",
        "resnet50_fmow_rgb_gassl-da43d987.pth",
        "fe8a91026cf9104f1e884316b8e8772d7af9052c",
        None,  # torchgeo's table of licenses has a dash here
        PICTURES,
        "resnet50",
        "functional map of the world (Ayush et al. 2021), gassl",
    ),
}


def imagenet_weights(backbone: str) -> PublishedWeights:
    """The ImageNet weights of one of timm's backbones.

    Raises
    ------
    SettingError
        If nobody publishes any.
    """
    if backbone in IMAGENET:
        tag, license, expects = IMAGENET[backbone]
        return _of_timm(f"timm/{backbone}.{tag}", license, expects, backbone)
    try:
        config = timm.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    except RuntimeError:  # a tag behind the name that timm does not know
        config = None
    if config is None or not config.hf_hub_id or len(config.mean) != len(RGB):
        raise SettingError(
            f"no ImageNet weights are known for {backbone}", fix="give --weights FILE or hf:REPO/FILE, or none"
        )
    expects = Expectation(mean=tuple(config.mean), sd=tuple(config.std))
    return _of_timm(str(config.hf_hub_id), config.license, expects, backbone)


def torchgeo_weights(name: str) -> PublishedWeights:
    """One of torchgeo's weights by its name there, such as ``ResNet18_Weights.SENTINEL2_RGB_MOCO``.

    Raises
    ------
    SettingError
        If it is not in the table.
    """
    if name not in TORCHGEO:
        near = difflib.get_close_matches(name, TORCHGEO, n=1, cutoff=0.4)
        raise SettingError(
            f"torchgeo:{name} is not known here", fix=f"did you mean {near[0]}?" if near else "see: swath weights list"
        )
    return TORCHGEO[name]


def _of_timm(repository: str, license: str | None, expects: Expectation, backbone: str) -> PublishedWeights:
    about = f"ImageNet, {repository}"
    return PublishedWeights(repository, "model.safetensors", "main", license, expects, backbone, about)
