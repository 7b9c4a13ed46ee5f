from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.imagery.color_match import (
    ENOUGH,
    FAR,
    Quantiles,
    clear_pixels,
    compare,
    match,
    measure_quantiles,
    patch_quantiles,
)

RNG = np.random.default_rng(0)


def land(n: int = 50_000, *, means=(88, 97, 104), sds=(40, 30, 25), seed: int = 0) -> np.ndarray:
    """Pixels [3, n] of a made-up land."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(3, n)) * np.array(sds)[:, None] + np.array(means)[:, None]
    return np.clip(np.rint(drawn), 1, 254).astype(np.uint8)


def test_quantiles_are_those_of_numpy():
    pixels = RNG.integers(0, 256, (3, 1001)).astype(np.uint8)
    found = measure_quantiles(pixels, levels=(0.1, 0.5, 0.9))
    np.testing.assert_allclose(found.values, np.quantile(pixels, (0.1, 0.5, 0.9), axis=1).T)
    np.testing.assert_allclose(found.at(0.5), np.median(pixels, axis=1))
    between = (np.array(found.values)[:, 0] + np.array(found.values)[:, 1]) / 2
    np.testing.assert_allclose(found.at(0.3), between)


def test_quantiles_of_patches_are_those_of_all_their_pixels():
    patches = RNG.integers(0, 256, (7, 3, 8, 8)).astype(np.uint8)
    pixels = patches.transpose(1, 0, 2, 3).reshape(3, -1)
    assert patch_quantiles(patches) == measure_quantiles(pixels)
    many = np.broadcast_to(patches[:1], (9001, 3, 8, 8))
    assert patch_quantiles(many).at(0.5).tolist() == np.median(patches[0].reshape(3, -1), axis=1).tolist()


def test_the_same_land_is_not_far_and_a_shifted_one_is():
    training = measure_quantiles(land())
    same = compare(land(seed=1), training)
    assert not same.far
    assert max(same.outside) < 0.03
    darker = land(seed=1)
    darker[2] = np.maximum(darker[2].astype(int) - 60, 1)
    found = compare(darker, training)
    assert found.far
    assert found.outside[2] == pytest.approx(found.below[2])
    assert found.outside[2] > FAR > found.outside[0]


def test_no_data_saturated_pixels_and_clouds_are_left_out():
    training = measure_quantiles(land())
    pixels = np.array([[0, 0, 0], [255, 90, 90], [250, 250, 250], [0, 90, 90], [80, 90, 100]], np.uint8).T
    np.testing.assert_array_equal(clear_pixels(pixels, training), pixels[:, 3:])
    assert compare(pixels[:, :3], training) is None


@given(share=st.floats(0.0, 0.3), seed=st.integers(0, 50))
def test_bright_clouds_do_not_move_the_match(share, seed):
    training = measure_quantiles(land())
    scene = land(20_000, means=(100, 90, 70), seed=seed)
    cloudy = scene.copy()
    cloudy[:, : int(share * scene.shape[1])] = 252
    plain, clouded = (match(compare(p, training).quantiles, training) for p in (scene, cloudy))
    np.testing.assert_allclose(clouded.gain, plain.gain, atol=0.05)
    np.testing.assert_allclose(clouded.offset, plain.offset, atol=4)


@given(gain=st.tuples(*[st.floats(0.8, 1.3)] * 3), offset=st.tuples(*[st.floats(-20, 20)] * 3), seed=st.integers(0, 9))
def test_the_dark_end_comes_back_and_half_of_the_spread(gain, offset, seed):
    rng = np.random.default_rng(seed)
    plain = rng.integers(60, 150, (3, 5000)).astype(float)
    levels = (0.02, 0.5, 0.9)
    training = measure_quantiles(plain, levels=levels)
    changed = np.array(gain)[:, None] * plain + np.array(offset)[:, None]
    found = match(measure_quantiles(changed, levels=levels), training)
    dark = np.quantile(changed, 0.02, axis=1)
    np.testing.assert_allclose(np.array(found.gain) * dark + found.offset, training.at(0.02), atol=0.02)
    np.testing.assert_allclose(found.gain, 1 / np.sqrt(gain), rtol=2e-3)


def test_gains_stay_within_bounds_and_a_flat_band_is_only_moved():
    training = Quantiles((0.02, 0.9), ((50, 150), (50, 150), (50, 150)))
    scene = Quantiles((0.02, 0.9), ((50, 51), (50, 1050), (70, 70)))
    found = match(scene, training)
    assert found.gain == pytest.approx((2**0.5, 0.5**0.5, 1.0), abs=1e-4)
    assert found.offset[2] == pytest.approx(-20)


def test_a_scene_is_at_least_25_patches():
    assert ENOUGH == 25 * 64 * 64
