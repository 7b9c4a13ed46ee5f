from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import SettingError
from swath.networks.backbones import as_maps, make_backbone, pools_by_mean, stride, window_side
from swath.networks.catalog import ENTRIES


@pytest.mark.parametrize(
    ("size", "window"), [(32, 4), (64, 4), (96, 6), (128, 4), (160, 5), (192, 6), (224, 7), (352, 7)]
)
def test_swin_windows_cut_every_stage_evenly(size, window):
    assert window_side(size // 4, largest=7) == window


@given(cells=st.integers(8, 128))
def test_a_window_is_never_larger_than_published(cells):
    """So that the table of relative positions that was trained holds every offset there is."""
    assert 3 <= window_side(cells, largest=7) <= 7


def test_tokens_become_a_square_without_the_class_token():
    backbone = torch.nn.Identity()
    backbone.num_prefix_tokens = 1
    values = torch.arange(2 * 5 * 3.0).view(2, 5, 3)
    maps = as_maps(backbone, values)
    assert maps.shape == (2, 3, 2, 2)
    assert maps[0, :, 0, 1].tolist() == values[0, 2].tolist()
    assert maps[0, :, 1, 0].tolist() == values[0, 3].tolist()
    assert as_maps(backbone, torch.zeros(1, 7, 3)) is None
    assert as_maps(backbone, torch.zeros(1, 3)) is None


def test_channels_last_maps_are_turned_round():
    backbone = torch.nn.Identity()
    backbone.output_fmt = "NHWC"
    values = torch.randn(1, 2, 3, 4)
    assert torch.equal(as_maps(backbone, values)[0, :, 1, 2], values[0, 1, 2])


# A norm or a wide layer after pooling, a class token: each of these would pass for a mean if one only read.
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "mobilenet_v2"])
def test_the_table_says_what_a_trial_finds(name):
    entry = ENTRIES[name]
    assert pools_by_mean(entry.backbone, bands=3, size=32) == entry.mean
    assert stride(entry.backbone) == entry.stride


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, e in ENTRIES.items() if not e.pyramid and "vgg" not in n])
def test_the_table_says_what_a_trial_finds_for_all(name):
    entry = ENTRIES[name]
    assert pools_by_mean(entry.backbone, bands=3, size=64) == entry.mean
    assert stride(entry.backbone) == entry.stride


def test_the_trial_leaves_the_random_numbers_alone():
    torch.manual_seed(3)
    first = torch.randn(1)
    torch.manual_seed(3)
    pools_by_mean.cache_clear()
    pools_by_mean("resnet18", bands=2, size=32)
    assert torch.equal(torch.randn(1), first)


def test_tiles_must_fill_the_patch():
    with pytest.raises(SettingError, match=r"tiles of 16 x 16 pixels, and 72.*size=64 or size=80"):
        make_backbone("vit_tiny_patch16_224", bands=3, size=72)


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/tmp", "resnet5000", "timm/resnet18"])
def test_names_that_are_no_backbone_fetch_nothing(name):
    with pytest.raises(SettingError, match="has no backbone"):
        make_backbone(name, bands=3, size=64)


def test_a_near_miss_is_suggested():
    with pytest.raises(SettingError, match=r"did you mean timm:resnet18\b"):
        make_backbone("resnet-18", bands=3, size=64)


def test_a_padding_a_backbone_does_not_have_is_not_taken_for_a_matter_of_size():
    with pytest.raises(SettingError, match=r"resnet18 has no padding 'same'; leave network.padding at even"):
        make_backbone("resnet18", bands=3, size=64, same_padding=True)
    assert make_backbone("efficientnet_lite0", bands=3, size=64, same_padding=True)


def test_vgg_comes_without_its_two_wide_layers():
    with torch.device("meta"):
        backbone = make_backbone("vgg16", bands=3, size=64)
    assert sum(p.numel() for p in backbone.parameters()) == 14_714_688  # torchvision's vgg16.features
