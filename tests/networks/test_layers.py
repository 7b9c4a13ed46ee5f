from __future__ import annotations

import pytest
import torch

from swath.networks import Network, build_network, cam_layer, layer_maps
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


def test_only_networks_of_the_catalogue():
    with pytest.raises(TypeError, match="none of the networks"):
        cam_layer(torch.nn.Conv2d(3, 4, 1), bands=3, size=64)
