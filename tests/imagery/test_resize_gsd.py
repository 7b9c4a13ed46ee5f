from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from swath.errors import DataError, SettingError
from swath.imagery import resample_to_gsd, resize
from swath.imagery.resize import _weights, resampled_side


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@given(side=st.integers(32, 80), factor=st.floats(1.01, 4), value=st.integers(0, 65_535), mtf=st.floats(0.05, 0.9))
@settings(max_examples=50)
def test_a_constant_area_stays_as_it_is(side, factor, value, mtf):
    pixels = np.full((2, side, side + 3), value, np.uint16)
    coarse = resample_to_gsd(pixels, gsd_from=1, gsd_to=factor, mtf=mtf)
    assert coarse.shape == (2, round(side / factor), round((side + 3) / factor))
    assert coarse.dtype == np.uint16
    assert np.all(coarse == value)


@pytest.mark.parametrize("mtf", [0.1, 0.3, 0.5])
def test_a_wave_at_the_nyquist_frequency_keeps_the_stated_modulation(mtf):
    """One coarse pixel is half a wave there: its amplitude on the coarse samples is the MTF itself."""
    factor, left = 16, 24
    weights = _weights(factor * left, left, mtf)
    place = np.arange(factor * left)
    wave = np.cos(math.pi * ((place + 0.5) / factor - 0.5))  # crests on the centers of coarse pixels
    seen = weights @ wave
    inner = slice(4, -4)
    assert seen[inner] * (-1) ** np.arange(left)[inner] == pytest.approx(np.full(16, mtf), abs=2e-3)


def test_the_point_spread_is_a_gaussian_of_half_a_coarse_pixel():
    line = noise(160).astype(np.float64)
    spread = 5 * math.sqrt(-2 * math.log(0.3)) / math.pi
    assert spread / 5 == pytest.approx(0.494, abs=1e-3)
    smooth = gaussian_filter1d(line, spread, truncate=8)
    coarse = _weights(160, 32, 0.3) @ line
    assert coarse[5:-5] == pytest.approx(smooth[2::5][5:-5], abs=1e-2)


def test_it_does_not_alias():
    """A checkerboard of fine pixels becomes even gray."""
    board = ((np.add.outer(np.arange(64), np.arange(64)) % 2) * 200).astype(np.uint8)
    coarse = resample_to_gsd(board[None], gsd_from=0.3, gsd_to=1.2)
    assert np.abs(coarse.astype(int) - 100).max() <= 1


def test_more_blur_with_the_sensor_than_without():
    pixels = noise(3, 64, 64)
    plain = resample_to_gsd(pixels, gsd_from=1, gsd_to=4, sensor_blur=False)
    assert np.array_equal(plain, resize(pixels, 16))
    assert resample_to_gsd(pixels, gsd_from=1, gsd_to=4, mtf=0.1).std() < plain.std()


@pytest.mark.parametrize("target", [0.3, 0.1, float("nan"), float("inf")])
def test_a_finer_or_impossible_target_is_refused(target):
    with pytest.raises(SettingError, match="not coarser"):
        resample_to_gsd(noise(1, 64, 64), gsd_from=0.3, gsd_to=target)


def test_too_few_pixels_are_refused_with_what_is_possible():
    assert resampled_side(256, gsd_from=0.3, gsd_to=9.6) == 8
    with pytest.raises(DataError, match=r"256 pixels of 0.3 m are 4 of 20 m.*2.4 m leaves 32"):
        resample_to_gsd(noise(1, 256, 256), gsd_from=0.3, gsd_to=20)


def test_other_types_odd_shapes_and_modulations_are_refused():
    with pytest.raises(DataError, match="float64"):
        resample_to_gsd(np.zeros((1, 64, 64)), gsd_from=1, gsd_to=2)  # type: ignore[type-var]
    with pytest.raises(DataError, match="square"):
        resample_to_gsd(noise(1, 64, 60), gsd_from=1, gsd_to=2, sensor_blur=False)
    with pytest.raises(SettingError, match="Nyquist"):
        resample_to_gsd(noise(1, 64, 64), gsd_from=1, gsd_to=2, mtf=1)
