from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from swath.errors import SettingError
from swath.networks import Network, build_network
from swath.networks.fpn import Pyramid
from tests.networks.stirring import stir


def net(name="resnet18_fpn", *, size=64, **changes):
    torch.manual_seed(0)
    settings = Network(**{"name": name, "channels": 16} | changes)
    return build_network(settings, bands=3, outputs=5, size=size)


def test_the_sums_are_those_worked_out_by_hand():
    """Two levels, one channel, laterals x 2 + 1, smoothing the identity: 2f + 1 + (2c + 1), cell by cell."""
    pyramid = Pyramid([1, 1], 1)
    for lateral, smooth in zip(pyramid.laterals, pyramid.smoothing, strict=True):
        torch.nn.init.constant_(lateral.weight, 2.0)
        torch.nn.init.constant_(lateral.bias, 1.0)
        torch.nn.init.dirac_(smooth.weight)
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    coarse = torch.tensor([[100.0, 200.0], [300.0, 400.0]]).view(1, 1, 2, 2)
    first, second = pyramid([fine, coarse])
    assert second.flatten().tolist() == [201.0, 401.0, 601.0, 801.0]
    expected = [
        [1 + 201, 3 + 201, 5 + 401, 7 + 401],
        [9 + 201, 11 + 201, 13 + 401, 15 + 401],
        [17 + 601, 19 + 601, 21 + 801, 23 + 801],
        [25 + 601, 27 + 601, 29 + 801, 31 + 801],
    ]
    assert first[0, 0].tolist() == expected


def test_an_odd_level_meets_the_one_above_it_cell_for_cell():
    pyramid = Pyramid([1, 1], 1)
    for layer in (*pyramid.laterals, *pyramid.smoothing):
        torch.nn.init.dirac_(layer.weight)
    coarse = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    first, _ = pyramid([torch.zeros(1, 1, 3, 3), coarse])
    assert first[0, 0].tolist() == functional.interpolate(coarse, size=(3, 3))[0, 0].tolist()


def test_gradients_reach_every_level():
    network = stir(net()).train()
    network(torch.randn(4, 3, 64, 64)).logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("level", range(4))
def test_every_level_is_read_by_the_head(level):
    """With the head's weights of the other levels at zero, logits still change with the patch."""
    network = stir(net())
    with torch.no_grad():
        kept = torch.zeros_like(network.head.weight)
        kept[:, 16 * level : 16 * (level + 1)] = 1
        network.head.weight.mul_(kept)
        logits = network(torch.randn(2, 3, 64, 64)).logits
    assert not torch.allclose(logits[0], logits[1])


@pytest.mark.parametrize(("size", "side"), [(64, 8), (32, 4), (96, 12)])
def test_class_activation_maps_over_all_levels_are_exact(size, side):
    network = stir(net())
    with torch.no_grad():
        out = network(torch.randn(2, 3, size, size))
        assert out.activations.shape == (2, 64, side, side)
        assert torch.allclose(out.activations.mean((2, 3)), out.features, atol=1e-5)
        assert torch.allclose(network.head(out.activations.mean((2, 3))), out.logits, atol=1e-5)


def test_levels_that_do_not_divide_evenly_give_no_false_map():
    with torch.no_grad():
        out = stir(net())(torch.zeros(1, 3, 72, 72))  # 18, 9, 5 and 3 cells
    assert out.activations is None
    assert out.logits.shape == (1, 5)


def test_logits_take_any_sign():
    """No activation stands behind the head."""
    network = stir(net())
    with torch.no_grad():
        logits = network(torch.randn(8, 3, 64, 64)).logits
    assert (logits < 0).any()
    assert (logits > 0).any()


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v3_small_fpn", "timm:lcnet_050_fpn"]
    + [pytest.param(f"{n}_fpn", marks=pytest.mark.slow) for n in ("vgg16_bn", "convnext_tiny", "swin_tiny")],
)
def test_other_backbones_carry_a_pyramid(name):
    network = net(name).train()
    network(torch.randn(2, 3, 64, 64)).logits.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_backbone_of_one_scale_is_refused():
    with pytest.raises(SettingError, match=r"four maps.*without _fpn"):
        net("vit_small_fpn")
