"""The tables of published weights."""

from __future__ import annotations

import re

import pytest
import timm

from swath.errors import SettingError
from swath.networks.catalog import ENTRIES
from swath.weights.facts import license_kind
from swath.weights.known import IMAGENET, SENTINEL2, TORCHGEO, imagenet_weights, torchgeo_weights


def test_every_named_network_has_imagenet_weights_that_can_be_shipped():
    for entry in ENTRIES.values():
        assert entry.backbone in IMAGENET
        assert license_kind(imagenet_weights(entry.backbone).license) == "open"


@pytest.mark.parametrize("backbone", IMAGENET)
def test_the_table_agrees_with_timm_s_own(backbone):
    """Repository, license, mean and standard deviation, as timm states them for that tag."""
    known = imagenet_weights(backbone)
    config = timm.get_pretrained_cfg(known.repository.removeprefix("timm/"))
    assert config.hf_hub_id == known.repository
    assert config.license == known.license
    assert (tuple(config.mean), tuple(config.std)) == (known.expects.mean, known.expects.sd)


def test_other_backbones_are_looked_up_in_timm():
    other = imagenet_weights("convnextv2_tiny")
    assert other.repository.startswith("timm/convnextv2_tiny.")
    assert other.license == "cc-by-nc-4.0"


@pytest.mark.parametrize("name", ["resnet51", "test_convnext_without_weights", "resnet50.nonsense"])
def test_backbones_without_weights(name):
    with pytest.raises(SettingError, match=f"no ImageNet weights are known for {name}"):
        imagenet_weights(name)


def test_torchgeo_s_names():
    known = torchgeo_weights("ResNet50_Weights.SENTINEL2_ALL_MOCO")
    assert known.expects.bands == SENTINEL2
    assert known.sha256_start == "df8b932e"
    assert known.expects.normalization()[1] == (10_000.0,) * 13
    with pytest.raises(SettingError, match=r"did you mean ResNet18_Weights\.SENTINEL2_RGB_MOCO"):
        torchgeo_weights("ResNet18_Weights.SENTINEL2_RGB_MOC")
    with pytest.raises(SettingError, match="swath weights list"):
        torchgeo_weights("x")


@pytest.mark.parametrize("known", TORCHGEO.values(), ids=list(TORCHGEO))
def test_torchgeo_s_entries_are_whole(known):
    assert re.fullmatch(r"[0-9a-f]{8}", known.sha256_start)
    assert re.fullmatch(r"[0-9a-f]{40}", known.revision)
    assert timm.is_model(known.backbone)
    assert known.filename.startswith(known.repository.removeprefix("torchgeo/"))
