from __future__ import annotations

import pytest
import torch

from swath.imagery import sentinel2
from swath.imagery.renderings import AIR_PUT_BACK, SHARES, TRUE_COLOR
from swath.training.augment import other_rendering
from tests.training.augment.patches import drawn, generator


def gray(level: int, n: int = 4000) -> torch.Tensor:
    return torch.full((n, 3, 2, 2), level, dtype=torch.uint8)


def test_share_zero_is_the_patches_themselves_and_draws_nothing():
    pixels, source = drawn(), generator()
    state = source.get_state()
    assert other_rendering(pixels, 0, generator=source) is pixels
    assert torch.equal(source.get_state(), state)


def test_the_same_seed_gives_the_same_patches_and_leaves_the_given_ones_alone():
    pixels = drawn()
    before = pixels.clone()
    first, second, other = (other_rendering(pixels, 1, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(pixels, before)
    assert first.dtype == torch.uint8
    assert int(first.min()) >= 1  # 0 is no data


def test_only_the_share_changes():
    pixels = gray(120)
    changed = (other_rendering(pixels, 0.4, generator=generator()) != pixels).flatten(1).any(1).float().mean()
    assert float(changed) == pytest.approx(0.4, abs=0.04)


def test_brighter_ground_stays_brighter_in_every_band():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(50, 3, 16, 16).contiguous()
    after = other_rendering(levels, 1, generator=generator()).flatten(2).int()
    assert bool((after.diff(dim=2) >= 0).all())


def test_dark_water_loses_its_blue_where_the_air_is_gone_and_gets_it_back_where_it_was_put_back():
    """EuroSAT's darkest water is about 23, 42, 63: the blue is light of the air."""
    water = torch.tensor([23, 42, 63], dtype=torch.uint8).view(1, 3, 1, 1).expand(6000, 3, 2, 2).contiguous()
    blue = other_rendering(water, 1, generator=generator())[:, 2, 0, 0].float()
    airless = float((blue < 30).float().mean())
    assert SHARES[TRUE_COLOR] - 0.05 < airless < SHARES[TRUE_COLOR] + 0.1
    assert float(((blue - 63).abs() < 30).float().mean()) > SHARES[AIR_PUT_BACK]


def test_whites_reach_those_that_exports_use():
    """A patch of mid gray becomes as dark and as bright as the extreme whites make it."""
    after = other_rendering(gray(120), 1, generator=generator())[:, 0, 0, 0].float()
    for white in (2000.0, 4000.0):  # of the official true-color image of L2A, and of 2.5 times the reflectance
        gain, shift = sentinel2.surface_picture(white, sentinel2.SLOPE[0], sentinel2.OFFSET[0])
        wanted = min(max(120 * gain + shift, 1), 255)
        assert float((after - wanted).abs().min()) < 3
