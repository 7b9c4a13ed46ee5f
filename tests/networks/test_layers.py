from __future__ import annotations

import pytest
import torch
from torch import nn

from swath.errors import SettingError
from swath.networks import Network, build_network, cam_layer, layer_maps
from swath.networks.backbones import Pooled
from tests.networks.stirring import stir


def meta(name, size=64, bands=3):
    with torch.device("meta"):
        return build_network(Network(name=name), bands=bands, outputs=4, size=size)


@pytest.mark.parametrize(
    ("name", "size", "side", "where"),
    [
        ("resnet18", 64, 4, "backbone.layer3"),  # layer4 is 2 x 2
        ("resnet18", 128, 4, "backbone.layer4"),
        ("resnet18", 32, 4, "backbone.layer2"),
        ("mobilenet_v3_small", 64, 4, "backbone.blocks.3"),
        ("vgg16_bn", 64, 4, "backbone.features.42"),  # the ReLU before the last pool
        ("convnext_tiny", 64, 4, "backbone.stages.2"),
        ("swin_tiny", 64, 4, "backbone.layers.2"),
        ("vit_small", 64, 4, "backbone.blocks.11.norm1"),
        ("resnet18_fpn", 64, 4, "pyramid.smoothing.2"),
        ("patchnet", 64, 4, "stages.2"),
        ("patchnet", 32, 4, "stages.1"),
        ("vit_small", 32, 2, "backbone.blocks.11.norm1"),  # nothing finer to be had
    ],
)
def test_the_deepest_layer_with_four_cells_is_taken(name, size, side, where):
    network = meta(name, size)
    training = network.training
    with torch.device("meta"):
        chosen = cam_layer(network, bands=3, size=size)
    assert chosen.side == side
    assert chosen.layer is network.get_submodule(where)
    assert network.training is training
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["resnet18", "timm:vit_tiny_patch16_224", "mobilenet_v3_small"])
def test_the_logits_have_a_gradient_at_every_cell(name):
    """Behind a transformer's last block the gradient of all but the class token would be nil."""
    torch.manual_seed(0)
    network = stir(build_network(Network(name=name), bands=3, outputs=4, size=64))
    chosen = cam_layer(network, bands=3, size=64)
    held = []

    def keep(_layer, _inputs, output):
        output.retain_grad()
        held.append(output)

    chosen.layer.register_forward_hook(keep)
    network(torch.randn(2, 3, 64, 64)).logits[:, 1].sum().backward()
    maps = layer_maps(network, held[0].grad)
    assert maps.shape[2:] == (chosen.side, chosen.side)
    assert (maps.abs().sum(1) > 0).all()


@pytest.mark.parametrize("name", ["swin_tiny_fpn", "resnet18_fpn", "swin_tiny"])
def test_maps_have_their_channels_in_front_however_the_backbone_lays_them_out(name):
    network = meta(name)
    held = []
    with torch.device("meta"):
        chosen = cam_layer(network, bands=3, size=64)
        chosen.layer.register_forward_hook(lambda _layer, _inputs, output: held.append(output))
        network(torch.zeros(2, 3, 64, 64))
    channels = 384 if name == "swin_tiny" else 256
    assert layer_maps(network, held[0]).shape == (2, channels, 4, 4)


class Odd(nn.Module):
    """A backbone whose first level gives a list, and whose list of levels names a place that is not there."""

    num_features = 3

    def __init__(self, *levels):
        super().__init__()
        self.feature_info = [{"module": level} for level in levels]
        self.several = Several()
        self.maps = nn.Conv2d(3, 3, 1)

    def forward_features(self, x):
        return self.maps(self.several(x)[0])


class Several(nn.Module):
    def forward(self, x):
        return [x, x]


def test_levels_that_give_no_single_map_are_passed_over():
    network = Pooled(Odd("several", "nowhere.else", "maps", "nowhere"), 2, mean=True)
    assert cam_layer(network, bands=3, size=8).layer is network.backbone.maps


def test_a_network_without_any_map_says_so():
    network = Pooled(Odd("several", "nowhere"), 2, mean=True)
    with pytest.raises(SettingError, match=r"no layer of this network gives maps.*use another network"):
        cam_layer(network, bands=3, size=8)


def test_only_networks_of_the_catalog():
    with pytest.raises(TypeError, match="none of the networks"):
        cam_layer(torch.nn.Conv2d(3, 4, 1), bands=3, size=64)
