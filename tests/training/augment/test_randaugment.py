from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from swath.imagery import RGB
from swath.training.augment.randaugment import affine, rand_augment, recolored, resampled
from tests.training.augment.patches import drawn, generator

NAMES = ("rotate", "zoom", "shear_x", "shear_y", "brightness", "contrast", "saturation")


def one(name: str, amount: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[NAMES.index(name)]]), torch.tensor([[amount]])


def test_no_operations_change_nothing_and_draw_nothing():
    pixels, source = drawn(), generator()
    state = source.get_state()
    assert rand_augment(pixels, 0, generator=source, top=255) is pixels
    assert torch.equal(source.get_state(), state)


@given(
    n=st.integers(1, 5),
    bands=st.integers(1, 13),
    size=st.integers(4, 20),
    kind=st.sampled_from([(torch.uint8, 255), (torch.uint16, 10_000), (torch.float32, 1)]),
    operations=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_type_shape_and_range_stay(n, bands, size, kind, operations, seed):
    dtype, top = kind
    pixels = (torch.rand(n, bands, size, size, generator=generator(seed)) * top).to(dtype)
    before = pixels.clone()
    names = RGB if bands == 3 else [f"band_{b}" for b in range(bands)]
    after = rand_augment(pixels, operations, generator=generator(seed), top=top, bands=names)
    assert torch.equal(pixels, before)
    assert after.dtype == dtype
    assert after.shape == pixels.shape
    values = after.double()
    assert bool(values.isfinite().all())
    assert 0 <= float(values.min()) <= float(values.max()) <= top


def test_the_same_seed_gives_the_same_patches_and_leaves_torch_alone():
    pixels, state = drawn(), torch.get_rng_state()
    first, second, other = (rand_augment(pixels, 2, generator=generator(s), top=255) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("quarter", [-2, -1, 1, 2])
def test_quarter_turns_are_exact(quarter):
    patch = drawn(1).float()
    turned = resampled(patch, affine(*one("rotate", quarter / 2)))
    assert any(torch.allclose(turned, torch.rot90(patch, k, (2, 3)), atol=0.05) for k in (quarter, -quarter))


def test_matrices_by_hand():
    assert affine(*one("zoom", 1.0))[0].flatten().tolist() == pytest.approx([1.4, 0, 0, 1.4])
    assert affine(*one("shear_x", -1.0))[0].flatten().tolist() == pytest.approx([1, -0.3, 0, 1])
    assert affine(*one("shear_y", 0.5))[0].flatten().tolist() == pytest.approx([1, 0, 0.15, 1])
    half = math.sqrt(0.5)
    assert affine(*one("rotate", 0.25))[0].flatten().tolist() == pytest.approx([half, -half, half, half])
    # Color operations leave places alone, and several geometric ones multiply.
    several = affine(torch.tensor([[1, 4, 2]]), torch.tensor([[1.0, 1.0, 1.0]]))
    assert several[0].flatten().tolist() == pytest.approx([1.4, 1.4 * 0.3, 0, 1.4])


def test_the_identity_samples_every_pixel_where_it_is():
    patch = drawn(2, size=13).float()
    assert torch.allclose(resampled(patch, torch.eye(2).repeat(2, 1, 1)), patch, atol=0.01)


def test_brightness_contrast_and_saturation_by_hand():
    patch = drawn(1).float()
    factor = 1 + 0.4 * 0.5
    assert torch.allclose(recolored(patch, *one("brightness", 0.5)), factor * patch, atol=1e-3)
    mean = patch.mean()
    expected = mean + factor * (patch - mean)
    assert torch.allclose(recolored(patch, *one("contrast", 0.5)), expected, atol=1e-2)
    gray = (patch * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    expected = gray + factor * (patch - gray)
    assert torch.allclose(recolored(patch, *one("saturation", 0.5)), expected, atol=1e-2)


def test_color_operations_in_one_step_are_the_same_one_after_another():
    patch = drawn(1).float()
    kinds, amounts = (5, 4, 6, 5), (0.6, -0.3, 0.9, -0.8)
    together = recolored(patch, torch.tensor([kinds]), torch.tensor([amounts]))
    for kind, amount in zip(kinds, amounts, strict=True):
        patch = recolored(patch, torch.tensor([[kind]]), torch.tensor([[amount]]))
    assert torch.allclose(together, patch, atol=1e-2)


def test_reflection_at_the_edges_is_torchs_own():
    patch = drawn(3, size=21).float()
    matrices = affine(torch.tensor([[0, 1], [1, 2], [0, 3]]), torch.tensor([[0.3, 1.0], [0.9, 1.0], [-0.6, -1.0]]))
    grid = F.affine_grid(F.pad(matrices, (0, 1)), list(patch.shape), align_corners=False)
    theirs = F.grid_sample(patch, grid, padding_mode="reflection", align_corners=False)
    assert torch.allclose(resampled(patch, matrices), theirs, atol=0.01)


def test_only_red_green_and_blue_are_desaturated():
    flat = torch.empty(300, 3, 4, 4, dtype=torch.uint8)
    for band, value in enumerate((30, 150, 90)):
        flat[:, band] = value
    for bands in (RGB, ("nir", "red", "green")):
        after = rand_augment(flat, 1, generator=generator(), top=255, bands=bands).float().mean((2, 3))
        # Brightness keeps the proportion of two bands and contrast their mean; saturation neither.
        kept = (after[:, 1] - 5 * after[:, 0]).abs() < 4
        kept |= (after.mean(1) - 90).abs() < 1
        assert bool(kept.all()) == (bands != RGB)
