from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from swath.data import color_feature_names, color_features, statistics
from swath.data.statistics import texture_features, window_colors, window_textures
from swath.errors import DataError

NAMES = color_feature_names(("red", "green", "blue"))


def features(pixels):
    return dict(zip(NAMES, color_features(pixels[None])[0], strict=True))


def test_values_of_a_patch_worked_out_by_hand():
    pixels = np.zeros((3, 1, 5), np.uint8)
    pixels[0] = [0, 10, 20, 30, 40]
    pixels[1] = 60
    found = features(pixels)
    assert found["mean_red"] == 20
    assert found["sd_red"] == pytest.approx(np.sqrt(200))
    assert [found[f"q{q}_red"] for q in ("05", "25", "50", "75", "95")] == [0, 10, 20, 30, 40]
    assert (found["share_red"], found["share_green"], found["share_blue"]) == (0.25, 0.75, 0)
    assert found["difference_red_green"] == pytest.approx(-0.5)
    assert found["difference_green_blue"] == 1


def test_a_black_patch_has_equal_shares_and_no_differences():
    found = features(np.zeros((3, 4, 4), np.uint8))
    assert found["share_red"] == found["share_blue"] == pytest.approx(1 / 3)
    assert found["difference_red_green"] == 0
    assert all(np.isfinite(list(found.values())))


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16]))
@settings(max_examples=30)
def test_where_pixels_are_in_the_patch_does_not_matter(seed, dtype):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, np.iinfo(dtype).max, (1, 3, 6, 6)).astype(dtype)
    shuffled = rng.permuted(pixels.reshape(1, 3, 36)[:, 0], axis=1)
    turned = pixels.copy().reshape(1, 3, 36)
    turned[:, 0] = shuffled
    assert np.allclose(color_features(pixels), color_features(turned.reshape(pixels.shape)))


@given(seed=st.integers(0, 2**32 - 1), top=st.integers(1, 256), side=st.integers(1, 9))
@settings(max_examples=50)
def test_counted_quantiles_are_those_of_sorted_pixels(seed, top, side):
    pixels = np.random.default_rng(seed).integers(0, top, (3, 2, side, side)).astype(np.uint8)
    np.testing.assert_array_equal(color_features(pixels), color_features(pixels.astype(np.uint16)))


def test_blocks_make_no_difference(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 255, (7, 3, 8, 8), np.uint8)
    whole = color_features(pixels)
    monkeypatch.setattr(statistics, "_BLOCK_VALUES", 2 * 3 * 64)
    assert np.array_equal(color_features(pixels), whole)
    assert color_features(pixels[:0]).shape == (0, len(NAMES))


@pytest.mark.parametrize(
    "pixels", [np.zeros((3, 8, 8), np.uint8), np.zeros((1, 3, 8, 8)), np.zeros((1, 3, 0, 8), np.uint8)]
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(DataError, match="color statistics need"):
        color_features(pixels)


@pytest.mark.parametrize(("bands", "dtype"), [(1, np.uint8), (3, np.uint8), (4, np.uint16)])
def test_shape_and_finite_even_on_flat_patches(bands, dtype):
    pixels = np.zeros((3, bands, 64, 40), dtype)
    pixels[1] = np.iinfo(dtype).max
    pixels[2] = np.random.default_rng(0).integers(0, 255, (bands, 64, 40))
    found = texture_features(pixels)
    assert found.shape == (3, 11 * bands - 1)
    assert np.isfinite(found).all()
    assert texture_features(pixels[:0]).shape == (0, 11 * bands - 1)


def test_contrast_at_the_scale_where_it_is():
    rng = np.random.default_rng(1)
    fine = rng.integers(0, 200, (1, 1, 64, 64))
    coarse = np.kron(rng.integers(0, 200, (1, 1, 16, 16)), np.ones((4, 4), int))
    first, second = texture_features(np.concatenate([fine, coarse]).astype(np.uint8))
    levels = slice(1, None, 2)  # log standard deviations of the one band's details, from fine to coarse
    assert first[levels][0] > second[levels][0] + 3
    assert second[levels][2] > first[levels][2] + 1
    assert np.log(fine.std() / 2) == pytest.approx(first[levels][0], abs=0.1)  # a mean of four, 1/2 as wide


def test_bands_that_vary_together_and_apart():
    rng = np.random.default_rng(2)
    one = rng.integers(0, 200, (64, 64))
    patch = np.stack([one, one + 20, 220 - one])[None].astype(np.uint8)
    found = texture_features(patch)[0]
    assert found[6:8] == pytest.approx([1.0, -1.0], abs=1e-3)


def test_order_of_patches_and_blocks_does_not_matter(monkeypatch):
    pixels = np.random.default_rng(3).integers(0, 255, (7, 3, 32, 32)).astype(np.uint8)
    whole = texture_features(pixels)
    monkeypatch.setattr("swath.data.statistics._BLOCK_VALUES", 2 * 3 * 32 * 32)
    assert texture_features(pixels) == pytest.approx(whole)


def test_patches_that_are_too_small():
    with pytest.raises(DataError, match="16 x 16"):
        texture_features(np.zeros((1, 3, 15, 64), np.uint8))


SCENES = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16]), st.integers(1, 4))


def scene(drawn, height, width):
    """Slopes, edges and noise, with a part that is all one value."""
    seed, dtype, bands = drawn
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    slopes = rng.integers(0, 4, (bands, height, width)).cumsum(axis=2) * rng.integers(1, 9)
    noise = rng.integers(0, top // 2, (bands, height, width)) * (rng.random((height, width)) < 0.3)
    pixels = np.clip(slopes + noise, 0, top).astype(dtype)
    pixels[:, : height // 2, : width // 2] = rng.integers(0, top)
    return pixels


def windows(pixels, size, stride):
    """``[N, bands, size, size]``, row by row."""
    cut = sliding_window_view(pixels, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return np.ascontiguousarray(cut.transpose(1, 2, 0, 3, 4)).reshape(-1, len(pixels), size, size)


@given(SCENES, st.integers(16, 40), st.sampled_from([16, 32, 48]), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=30)
def test_textures_of_windows_are_those_of_patches(drawn, size, stride, taller, wider):
    pixels = scene(drawn, size + taller, size + wider)
    found = window_textures(pixels, size=size, stride=stride)
    assert found.shape[:2] == (taller // stride + 1, wider // stride + 1)
    expected = texture_features(windows(pixels, size, stride))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=2e-4, atol=2e-4)


@given(SCENES, st.integers(1, 20), st.integers(1, 24), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=50)
def test_colors_of_windows_are_those_of_patches(drawn, size, stride, taller, wider):
    pixels = scene(drawn, size + taller, size + wider)
    found = window_colors(pixels, size=size, stride=stride)
    assert found.shape[:2] == (taller // stride + 1, wider // stride + 1)
    expected = color_features(windows(pixels, size, stride))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-9, atol=1e-6 * pixels.max())
