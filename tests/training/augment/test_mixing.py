from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from swath.training.augment.mixing import cutmix, mix, mixup, windows
from swath.training.recipe import Augmentation
from tests.training.augment.patches import generator


def numbered(n: int, size: int = 16) -> torch.Tensor:
    """Patches whose every pixel is the patch's number."""
    return torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1).expand(n, 2, size, size).contiguous()


@pytest.mark.parametrize("way", [mixup, cutmix])
@given(n=st.integers(1, 9), classes=st.integers(1, 5), alpha=st.floats(0.05, 5), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_targets_still_sum_to_one_and_inputs_are_untouched(way, n, classes, alpha, seed):
    values = torch.rand(n, 3, 8, 8, generator=generator(seed))
    targets = torch.rand(n, classes, generator=generator(seed)) + 0.01
    targets /= targets.sum(1, keepdim=True)
    kept = values.clone(), targets.clone()
    mixed, soft = way(values, targets, alpha, generator(seed))
    assert torch.equal(values, kept[0])
    assert torch.equal(targets, kept[1])
    assert mixed.shape == values.shape
    assert torch.allclose(soft.sum(1), torch.ones(n), atol=1e-5)
    assert float(soft.min()) >= 0


@given(n=st.integers(2, 9), alpha=st.floats(0.1, 5), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_targets_are_mixed_in_the_proportion_of_the_pixels(n, alpha, seed):
    """With one class a patch, the mean pixel number must be the mean class number, by either way."""
    targets, number = torch.eye(n), torch.arange(n, dtype=torch.float32)
    for way in (mixup, cutmix):
        mixed, soft = way(numbered(n), targets, alpha, generator(seed))
        assert mixed.mean((1, 2, 3)).tolist() == pytest.approx((soft @ number).tolist(), abs=1e-4)


def test_mixup_blends_whole_patches_and_cutmix_pastes_rectangles():
    targets = torch.eye(8)
    blended, _ = mixup(numbered(8), targets, 1.0, generator(1))
    assert bool((blended == blended[:, :1, :1, :1]).all())
    pasted, _ = cutmix(numbered(8), targets, 1.0, generator(1))
    assert set(pasted.flatten().tolist()) <= set(range(8))
    foreign = pasted[:, 0] != numbered(8)[:, 0]
    assert int(foreign.any((1, 2)).sum()) > 0
    for box in foreign:
        rows, columns = box.any(1), box.any(0)
        assert torch.equal(box, rows[:, None] & columns[None, :])
        for line in (rows, columns):
            assert int(F.relu(line.int().diff()).sum()) + int(line[0]) <= 1  # in one piece


def test_shares_follow_beta():
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1))."""
    targets = F.one_hot(torch.arange(4000), 4000).float()
    for alpha in (0.2, 1.0):
        _, soft = mixup(torch.zeros(4000, 1, 1, 1), targets, alpha, generator(3))
        own = soft.diagonal().double()
        assert float(own.mean()) == pytest.approx(0.5, abs=0.03)
        assert float(own.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)


def test_the_seed_decides_and_torch_is_left_alone():
    values, targets = torch.rand(6, 3, 8, 8), torch.eye(6)
    state = torch.get_rng_state()
    for way in (mixup, cutmix):
        first, second, other = (way(values, targets, 1.0, generator(s)) for s in (1, 1, 2))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
        assert not torch.equal(first[1], other[1])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("way", [mixup, cutmix])
def test_alpha_zero_changes_nothing(way):
    values, targets = torch.rand(3, 1, 4, 4), torch.eye(3)
    assert way(values, targets, 0, generator()) == (values, targets)


def test_settings_choose_the_way():
    values, targets = numbered(8), torch.eye(8)
    off = Augmentation()
    assert mix(values, targets, off, generator=generator())[0] is values
    kinds = set()
    source = generator()
    for _ in range(30):
        mixed, _ = mix(values, targets, Augmentation(mixup=1, cutmix=1), generator=source)
        kinds.add(bool((mixed == mixed.round()).all()))
    assert kinds == {True, False}
    only = [mix(values, targets, Augmentation(mixup=0.5), generator=source)[0] for _ in range(10)]
    assert all(bool((m == m[:, :1, :1, :1]).all()) for m in only)


def test_channels_last_stays_so():
    values = torch.rand(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    for way in (mixup, cutmix):
        mixed, _ = way(values, torch.eye(4), 1.0, generator())
        assert mixed.is_contiguous(memory_format=torch.channels_last)


@given(n=st.integers(2, 9), side=st.integers(3, 12), share=st.floats(0.1, 1), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_windows_hold_their_patch_at_the_center_and_others_around_it(n, side, share, seed):
    pixels = numbered(n, size=side)
    kept = pixels.clone()
    made = windows(pixels, share, generator=generator(seed))
    assert torch.equal(pixels, kept)
    assert torch.equal(made[:, :, side // 2, side // 2], pixels[:, :, side // 2, side // 2])
    corners = made[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    for patch, row in zip(made, corners, strict=True):
        assert set(patch.unique().tolist()) == set(row.tolist())


def test_a_window_shows_its_patch_moved():
    ramp = torch.arange(64.0).view(1, 1, 8, 8)
    made = windows(ramp, 1.0, generator=generator(3))
    down, right = next((d, r) for d in range(-3, 4) for r in range(-3, 4) if made[0, 0, 4, 4] == (4 - d) * 8 + 4 - r)
    assert torch.equal(made, ramp.roll((down, right), (2, 3)))  # the three others are the same patch


def test_windows_change_as_many_patches_as_asked_for():
    pixels = numbered(4000, size=8)
    made = windows(pixels, 0.3, generator=generator(1))
    changed = float((made != pixels).flatten(1).any(1).float().mean())
    assert 0.26 < changed < 0.33
    assert windows(pixels, 0, generator=generator(1)) is pixels
