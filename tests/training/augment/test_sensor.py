from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.imagery import RGB
from swath.training.augment.sensor import KEPT, sensor_shift
from tests.training.augment.patches import drawn, generator


def shifted(pixels: torch.Tensor, strength: float = 1.0, *, seed: int = 0, **options: object) -> torch.Tensor:
    return sensor_shift(pixels, strength, generator=generator(seed), **{"top": 255.0, "bands": RGB} | options)


def test_strength_zero_changes_nothing_and_draws_nothing():
    pixels, source = drawn(), generator()
    state = source.get_state()
    assert sensor_shift(pixels, 0, generator=source, top=255) is pixels
    assert torch.equal(source.get_state(), state)


@given(
    n=st.integers(1, 6),
    bands=st.integers(1, 13),
    size=st.integers(8, 24),
    kind=st.sampled_from([(torch.uint8, 255), (torch.uint16, 10_000), (torch.float32, 1)]),
    strength=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_type_shape_and_range_stay(n, bands, size, kind, strength, seed):
    dtype, top = kind
    pixels = (torch.rand(n, bands, size, size, generator=generator(seed)) * top).to(dtype)
    before = pixels.clone()
    after = sensor_shift(pixels, strength, generator=generator(seed), top=top)
    assert torch.equal(pixels, before)
    assert after.dtype == dtype
    assert after.shape == pixels.shape
    values = after.double()
    assert bool(values.isfinite().all())
    assert 0 <= float(values.min()) <= float(values.max()) <= top


def test_the_same_seed_gives_the_same_patches_and_leaves_torch_alone():
    pixels = drawn()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second, other = (shifted(pixels, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_share_of_the_patches_stays_as_it_is():
    pixels = drawn(1).repeat(1000, 1, 1, 1)
    same = (shifted(pixels) == pixels).flatten(1).all(1).float().mean()
    assert float(same) == pytest.approx(KEPT, abs=0.05)
    assert not bool((shifted(pixels, kept=0) == pixels).flatten(1).all(1).any())
    assert torch.equal(shifted(pixels, kept=1), pixels)


def test_eight_bits_by_table_are_what_floats_give():
    pixels = drawn(40, size=16)
    by_table = shifted(pixels, 0.5, kept=0)
    exact = shifted(pixels.float(), 0.5, kept=0)
    # Rounding between the steps is worth half a level each; noise and JPEG may carry a few pixels on.
    assert float((by_table.float() - exact).abs().mean()) < 0.6


def test_a_stronger_shift_moves_further():
    pixels = drawn(200, size=16)
    moved = [float((shifted(pixels, s, kept=0).float() - pixels).abs().mean()) for s in (0.1, 0.4, 1.0)]
    assert moved[0] < moved[1] / 2 < moved[2] / 3


def test_it_covers_surface_reflectance_scenes():
    """Top-of-atmosphere means (88, 97, 104) of red, green and blue lie well within reach of (103, 93, 67)."""
    flat = torch.tensor([88, 97, 104], dtype=torch.uint8).view(1, 3, 1, 1).repeat(4000, 1, 8, 8)
    means = shifted(flat, kept=0).float().mean((2, 3)).double()
    wanted = torch.tensor([103.0, 93.0, 67.0], dtype=torch.float64) - means.mean(0)
    distance = (wanted @ torch.linalg.inv(means.T.cov()) @ wanted).sqrt()
    assert float(distance) < 2  # standard deviations of what the policy draws
    ratio = means[:, 2] / means[:, 0]
    assert float((ratio < 67 / 103).float().mean()) > 0.03
    assert float((ratio > 1.5 * 104 / 88).float().mean()) > 0.03  # and the other way


def test_haze_comes_to_blue_most():
    flat = torch.full((4000, 3, 8, 8), 90, dtype=torch.uint8)
    moved = (shifted(flat, kept=0).float().mean((2, 3)) - 90).std(0)
    assert float(moved[2]) > float(moved[1]) > float(moved[0])


def test_every_part_of_the_policy_occurs():
    """Seen on a flat patch: only noise and JPEG of noise make texture; on a checkered one blur removes it."""
    flat = torch.full((600, 3, 16, 16), 128, dtype=torch.uint8)
    textured = shifted(flat, kept=0).float().std((2, 3)).amax(1) > 0
    assert 0.15 < float(textured.float().mean()) < 0.3
    checkered = (96 + 64 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2)).to(torch.uint8)
    seen = shifted(checkered.expand(600, 3, 16, 16), kept=0).float()
    contrast = seen[..., :, 1:].sub(seen[..., :, :-1]).abs().mean((1, 2, 3))
    assert float((contrast < 8).float().mean()) > 0.1  # strongly blurred or resampled
    assert float((contrast > 30).float().mean()) > 0.4
