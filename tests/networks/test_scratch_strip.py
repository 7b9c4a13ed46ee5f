from __future__ import annotations

import pytest
import torch

from swath.networks import Network, StripNet, build_network
from swath.networks.scratch import STRIDE


def net(**changes) -> StripNet:
    torch.manual_seed(0)
    made = StripNet(**{"bands": 3, "classes": 5, "stem": 8, "widths": (8, 12, 16)} | changes)
    # Norms that have seen nothing would hide a wrong one.
    made.train()(torch.randn(8, made.stem.in_channels, 64, 64))
    return made.eval()


@pytest.mark.parametrize(("top", "left"), [(0, 0), (4, 8), (12, 4), (28, 32)])
def test_a_patch_of_a_strip_gets_the_answer_it_gets_alone(top, left):
    """At every multiple of the network's stride, pooling over the window is the patch's own answer."""
    network, strip = net(), torch.randn(1, 3, 92, 96)
    assert top % STRIDE == left % STRIDE == 0
    alone = network(strip[:, :, top : top + 64, left : left + 64])
    side = alone.activations.shape[-1]
    whole = network(strip).activations
    window = whole[:, :, top // STRIDE : top // STRIDE + side, left // STRIDE : left // STRIDE + side]
    assert torch.allclose(window, alone.activations, atol=1e-5)
    assert torch.allclose(network.head(window.mean((2, 3))), alone.logits, atol=1e-5)


@pytest.mark.parametrize("widths", [(8, 8), (8, 8, 8), (8, 12, 16, 20)])
def test_the_smallest_patch_works_and_a_smaller_one_does_not(widths):
    network = net(widths=widths)
    least = StripNet.smallest_patch(widths)
    assert network(torch.zeros(1, 3, least, least)).activations.shape[2:] == (1, 1)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, least - 2, least - 2))


def test_class_activation_maps_are_exact():
    network = net(bands=4)
    out = network(torch.randn(4, 4, 64, 64))
    maps = torch.einsum("kd,ndhw->nkhw", network.head.weight, out.activations)
    assert torch.allclose(maps.mean((2, 3)) + network.head.bias, out.logits, atol=1e-5)


def test_recipes_find_it_by_name():
    made = build_network(Network(name="stripnet"), bands=3, outputs=5, size=64)
    assert isinstance(made, StripNet)
