from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import SettingError
from swath.imagery import rescale_reflectance

few = settings(max_examples=50)


@pytest.mark.parametrize(
    ("value", "rescaled"), [(0, 0), (1, 1), (5, 1), (6, 2), (1375, 128), (2749, 255), (2750, 255), (65535, 255)]
)
def test_eurosat_s_own_rendering(value, rescaled):
    # 1 + 254 v / 2750, rounded; 0 is no data.
    assert rescale_reflectance(np.array([[value]], np.uint16))[0, 0] == rescaled


def test_no_data_is_what_the_scene_says():
    pixels = np.array([[0, 7, 2750]], np.uint16)
    assert rescale_reflectance(pixels, nodata=7).tolist() == [[1, 0, 255]]
    assert rescale_reflectance(pixels, nodata=None).tolist() == [[1, 2, 255]]


def test_floats_and_signed_values():
    pixels = np.array([[np.nan, -50.0, 0.0, 2750.0, np.inf]], np.float32)
    assert rescale_reflectance(pixels).tolist() == [[0, 1, 0, 255, 255]]
    assert rescale_reflectance(np.array([-9999, 100], np.int16), nodata=-9999).tolist() == [0, 10]


@pytest.mark.parametrize(("low", "high"), [(10, 10), (20, 10), (0, float("nan"))])
def test_an_empty_range_is_refused(low, high):
    with pytest.raises(SettingError, match="give a high above the low"):
        rescale_reflectance(np.zeros((1, 1), np.uint16), low=low, high=high)


@few
@given(st.integers(-2000, 3000), st.integers(1, 6000), st.lists(st.integers(0, 65535), min_size=2, max_size=20))
def test_rendering_keeps_the_order_and_the_table_equals_the_formula(low, span, values):
    high = low + span
    pixels = np.array(sorted(values), np.uint16)
    rescaled = rescale_reflectance(pixels, low=low, high=high, nodata=None)
    assert (np.diff(rescaled.astype(int)) >= 0).all()
    assert rescaled.min() >= 1
    exact = rescale_reflectance(pixels.astype(np.float64), low=low, high=high, nodata=None)
    np.testing.assert_array_equal(rescaled, exact)
