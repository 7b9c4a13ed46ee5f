from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.training.augment import augment, random_crop, random_gain
from swath.training.recipe import Augmentation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(n: int, bands: int, size: int) -> torch.Tensor:
    """Patches in which every value occurs once."""
    return torch.arange(n * bands * size * size, dtype=torch.int32).view(n, bands, size, size)


def symmetries(patch: torch.Tensor) -> list[torch.Tensor]:
    """The eight ways a square ``[bands, P, P]`` can be turned and mirrored."""
    turned = [torch.rot90(patch, k, (1, 2)) for k in range(4)]
    return [*turned, *(t.flip(2) for t in turned)]


@given(
    n=st.integers(1, 5),
    bands=st.integers(1, 4),
    size=st.integers(1, 9),
    flips=st.booleans(),
    transpose=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_without_shift_each_patch_becomes_one_of_its_eight_symmetries(n, bands, size, flips, transpose, seed):
    pixels = numbered(n, bands, size)
    before = pixels.clone()
    allowed = Augmentation(flips=flips, transpose=transpose, shift=0)
    moved = augment(pixels, allowed, generator=generator(seed))
    assert torch.equal(pixels, before)
    assert moved.dtype == pixels.dtype
    for old, new in zip(pixels, moved, strict=True):
        assert torch.equal(new.flatten(1).sort().values, old.flatten(1).sort().values)
        assert any(torch.equal(new, s) for s in symmetries(old))
        if not flips and not transpose:
            assert torch.equal(new, old)


@given(size=st.integers(1, 12), shift=st.integers(0, 64), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_a_shift_of_any_length_reflects_at_the_edges(size, shift, seed):
    place = torch.arange(size)
    pixels = (place[:, None] * 100 + place).expand(3, 2, size, size)
    moved = augment(pixels, Augmentation(flips=False, transpose=False, shift=shift), generator=generator(seed))
    for patch in moved:
        rows, columns = patch[0] // 100, patch[0] % 100
        assert torch.equal(patch[0], patch[1])
        assert torch.equal(rows, rows[:, :1].expand(size, size))
        assert torch.equal(columns, columns[:1].expand(size, size))
        if size > 1:
            for line in (rows[:, 0], columns[0]):
                assert set(line.diff().abs().tolist()) <= {1}  # neighbors stay neighbors
        if shift < size:
            assert abs(int(rows[0, 0])) <= shift


def test_every_patch_moves_its_own_way_and_all_eight_occur():
    pixels = numbered(1, 1, 4).expand(200, 1, 4, 4)
    moved = augment(pixels, Augmentation(shift=0), generator=generator())
    seen = {tuple(p.flatten().tolist()) for p in moved}
    assert seen == {tuple(s.flatten().tolist()) for s in symmetries(pixels[0])}


def test_shifts_reach_both_ways():
    pixels = torch.arange(9).expand(300, 1, 9, 9)
    moved = augment(pixels, Augmentation(flips=False, transpose=False, shift=2), generator=generator())
    assert set(moved[:, 0, 4, 4].tolist()) == {2, 3, 4, 5, 6}


def test_the_same_seed_gives_the_same_patches():
    pixels = numbered(6, 3, 8)
    first, second, other = (augment(pixels, Augmentation(), generator=generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_gain_scales_each_band_of_each_patch_by_one_factor():
    values = torch.rand(400, 3, 4, 4) + 1
    factors = random_gain(values, 0.1, generator=generator()) / values
    assert torch.allclose(factors, factors[:, :, :1, :1].expand_as(factors), atol=1e-6)
    own = factors[:, :, 0, 0]
    assert own.unique().numel() > 1000
    assert float(own.mean()) == pytest.approx(1, abs=0.02)
    assert float(own.std()) == pytest.approx(0.1, abs=0.01)


def test_no_gain_changes_nothing_and_draws_nothing():
    values, source = torch.rand(2, 3, 4, 4), generator()
    state = source.get_state()
    assert random_gain(values, 0, generator=source) is values
    assert torch.equal(source.get_state(), state)


@given(size=st.integers(1, 12), crop=st.integers(1, 14), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_a_crop_is_one_window_of_every_patch(size, crop, seed):
    pixels = numbered(3, 2, size)
    cut = random_crop(pixels, crop, generator=generator(seed))
    side = min(size, crop)
    assert cut.shape == (3, 2, side, side)
    top, left = divmod(int(cut[0, 0, 0, 0]), size)
    assert torch.equal(cut, pixels[:, :, top : top + side, left : left + side])


def test_crops_go_everywhere():
    pixels = numbered(1, 1, 4)
    g = generator()
    corners = {int(random_crop(pixels, 3, generator=g)[0, 0, 0, 0]) for _ in range(60)}
    assert corners == {0, 1, 4, 5}
