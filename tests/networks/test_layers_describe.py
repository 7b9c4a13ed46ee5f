from __future__ import annotations

import pytest

from swath.errors import SettingError
from swath.networks import Network, describe_network


def facts(name, *, bands=3, outputs=10, size=64, **changes):
    return describe_network(Network(name=name, **changes), bands=bands, outputs=outputs, size=size)


def test_patchnet_is_counted_as_by_hand():
    """One stage: a 4 x 4 stem to 8 channels, 3 x 3 to 16 at 16 px, 3 x 3 at 8 px after the pool, a head."""
    found = facts("patchnet", stem=8, widths=(16,), size=32)
    stem, widen, refine, head = 3 * 8 * 16, 8 * 16 * 9, 16 * 16 * 9, 16 * 10
    assert found.macs == stem * 16**2 + widen * 16**2 + refine * 8**2 + head
    norms = 2 * (8 + 16 + 16)
    assert found.parameters == stem + widen + refine + norms + head + 10
    assert (found.features, found.smallest, found.exact) == (16, 4, 8)
    assert found.maps == "exact 8 x 8"
    assert found.needs == "4 px"


# Published counts at 224 px and 1,000 classes: He et al. 2016; Simonyan & Zisserman 2015 less the two wide layers;
# Sandler et al. 2018; Tan & Le 2019; Liu et al. 2022; Touvron et al. 2021 (ViT-S/16); Liu et al. 2021.
@pytest.mark.parametrize(
    ("name", "millions", "billions"),
    [
        ("resnet18", 11.69, 1.8),
        pytest.param("resnet50", 25.56, 4.1, marks=pytest.mark.slow),
        ("mobilenet_v2", 3.50, 0.30),
        pytest.param("mobilenet_v3", 5.48, 0.22, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small", 2.54, 0.056, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 5.29, 0.39, marks=pytest.mark.slow),
        pytest.param("convnext_tiny", 28.59, 4.5, marks=pytest.mark.slow),
        ("vit_small", 22.05, 4.6),
        ("swin_tiny", 28.29, 4.5),
    ],
)
def test_counts_are_the_published_ones(name, millions, billions):
    found = facts(name, size=224, outputs=1000)
    assert found.parameters / 1e6 == pytest.approx(millions, abs=0.006)
    assert found.macs / 1e9 == pytest.approx(billions, rel=0.04)


def test_size_costs_by_its_square():
    assert facts("resnet18", size=224).macs == pytest.approx(12.25 * facts("resnet18").macs, rel=0.001)


def test_bands_cost_the_first_layer_only():
    more, fewer = facts("resnet18", bands=13), facts("resnet18", bands=3)
    assert more.parameters - fewer.parameters == 10 * 64 * 7 * 7


@pytest.mark.parametrize(
    ("name", "maps", "needs"),
    [
        ("resnet50", "exact 2 x 2", "32 px"),
        ("mobilenet_v3", "Grad-CAM 4 x 4", "32 px"),
        ("vit_small", "Grad-CAM 4 x 4", "16 px, multiples of 16"),
        ("swin_tiny", "exact 2 x 2", "32 px, multiples of 4"),
        ("resnet50_fpn", "exact 8 x 8", "32 px"),
        ("timm:regnetx_002", "exact 2 x 2", "32 px"),
    ],
)
def test_maps_and_needs(name, maps, needs):
    found = facts(name)
    assert (found.maps, found.needs) == (maps, needs)


@pytest.mark.slow
def test_a_network_without_maps_is_one_clear_message():
    with pytest.raises(SettingError, match="no layer of this network gives maps, so Grad-CAM cannot explain it"):
        facts("timm:cait_xxs24_224", size=32)


def test_a_pyramid_costs_what_its_settings_say():
    narrow = facts("resnet50_fpn", channels=64)
    assert narrow.features == 256
    assert narrow.parameters < facts("resnet50_fpn").parameters


def test_too_small_a_patch_is_one_clear_message():
    with pytest.raises(SettingError, match="resnet18 needs patches of 32 px at least, and these have 24; set size=32"):
        facts("resnet18", size=24)
