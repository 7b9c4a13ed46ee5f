from __future__ import annotations

import pytest
import torch

from swath.networks.superres import SuperResolution, bicubic


@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("factor", [2, 3])
def test_untrained_it_is_bicubic_interpolation(bands, factor):
    shares = torch.rand(2, bands, 9, 7)
    enlarged = SuperResolution(bands, factor=factor)(shares)
    assert enlarged.shape == (2, bands, 9 * factor, 7 * factor)
    assert torch.equal(enlarged, bicubic(shares, factor))


def test_gradients_reach_every_layer_once_the_last_one_has_moved():
    module = SuperResolution(3)
    torch.nn.init.normal_(module.draw.weight)
    module(torch.rand(2, 3, 8, 8)).square().mean().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in module.parameters())
