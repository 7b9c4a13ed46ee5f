from __future__ import annotations

import pytest
import torch

from swath.networks import PatchNet


def net(**changes) -> PatchNet:
    torch.manual_seed(0)
    return PatchNet(**{"bands": 3, "classes": 5, "stem": 8, "widths": (16, 24)} | changes)


@pytest.mark.parametrize(("bands", "size"), [(3, 64), (1, 32), (13, 33), (3, 8)])
def test_outputs_have_the_shapes_the_contract_names(bands, size):
    out = net(bands=bands)(torch.zeros(2, bands, size, size))
    assert out.logits.shape == (2, 5)
    assert out.features.shape == (2, 24)
    assert out.activations.shape == (2, 24, size // 8, size // 8)


def test_class_activation_maps_are_exact():
    network = net().eval()
    out = network(torch.randn(4, 3, 64, 64))
    maps = torch.einsum("kd,ndhw->nkhw", network.head.weight, out.activations)
    assert torch.allclose(maps.mean((2, 3)) + network.head.bias, out.logits, atol=1e-5)


@pytest.mark.parametrize("widths", [(16,), (16, 16), (8, 8, 8, 8)])
def test_the_smallest_patch_works_and_half_of_it_does_not(widths):
    network = net(widths=widths).eval()
    least = PatchNet.smallest_patch(widths)
    assert network(torch.zeros(1, 3, least, least)).activations.shape[2:] == (1, 1)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, least // 2, least // 2))


def test_dropout_acts_in_training_only():
    network, x = net(dropout=0.5), torch.randn(2, 3, 32, 32)
    network.train()
    assert not torch.equal(network(x).logits, network(x).logits)
    network.eval()
    assert torch.equal(network(x).logits, network(x).logits)


def test_patches_of_a_batch_do_not_mix_when_serving():
    network, x = net().eval(), torch.randn(3, 3, 32, 32)
    assert torch.allclose(network(x).logits[1:2], network(x[1:2]).logits, atol=1e-5)
