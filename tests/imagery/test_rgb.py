from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import DataError, SettingError
from swath.imagery import RGB, Picture, as_rgb, rescale_reflectance, select_bands

from .samples import sharp


def picture(*bands: str, dtype: str = "uint8") -> Picture:
    return Picture(sharp(len(bands), "uint8").astype(dtype), bands, "display", "whatever")


def test_rgb_is_found_by_name_wherever_it_lies():
    stored = picture("blue", "nir", "green", "red", "alpha")
    rgb = as_rgb(stored)
    assert rgb.bands == RGB
    np.testing.assert_array_equal(rgb.pixels, stored.pixels[[3, 2, 0]])
    assert as_rgb(rgb) is rgb


@pytest.mark.parametrize("bands", [("gray",), ("gray", "alpha")])
def test_gray_becomes_three_equal_bands(bands):
    stored = picture(*bands)
    np.testing.assert_array_equal(as_rgb(stored).pixels, np.repeat(stored.pixels[:1], 3, axis=0))


def test_what_has_no_colors_is_refused():
    with pytest.raises(DataError, match="bands nir, swir hold neither gray nor red"):
        as_rgb(picture("nir", "swir"))
    with pytest.raises(DataError, match="float32 values cannot be used"):
        as_rgb(picture(*RGB, dtype="float32"))


def test_bands_go_by_name_whatever_the_case_and_order():
    stored = picture("b02", "b03", "b04", "b08")
    np.testing.assert_array_equal(select_bands(stored, ("B08", "b02")), stored.pixels[[3, 0]])


def test_bands_go_by_the_names_they_are_published_under():
    stored = picture("b08", "b04", "b03", "b02")
    np.testing.assert_array_equal(select_bands(stored, RGB), stored.pixels[[1, 2, 3]])
    np.testing.assert_array_equal(select_bands(stored, (*RGB, "nir")), stored.pixels[[1, 2, 3, 0]])
    for bands in (("b04", "b03", "r"), ("b1", "b2", "b3", "b4")):  # red twice; anybody's first four bands
        with pytest.raises(DataError, match="hold neither gray nor red"):
            as_rgb(picture(*bands))
    stored = picture("b1", "b5")
    np.testing.assert_array_equal(select_bands(stored, ("b5",)), stored.pixels[[1]])


def test_unnamed_bands_go_by_position_if_they_are_as_many():
    stored = picture("band_1", "band_2", "band_3")
    np.testing.assert_array_equal(select_bands(stored, RGB), stored.pixels)
    np.testing.assert_array_equal(select_bands(stored, ("nir", "b5", "b6")), stored.pixels)
    with pytest.raises(DataError, match="bands band_1, band_2, band_3 lack nir, swir"):
        select_bands(stored, ("nir", "swir"))


def test_red_green_blue_take_gray_too_and_drop_alpha():
    assert select_bands(picture("gray"), ("Red", "Green", "Blue")).shape == (3, 12, 20)
    stored = picture(*RGB, "alpha")
    np.testing.assert_array_equal(select_bands(stored, RGB), stored.pixels[:3])


def test_a_missing_band_is_named():
    with pytest.raises(DataError, match="bands red, green, blue lack nir; name the file's bands"):
        select_bands(picture(*RGB), (*RGB, "nir"))


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
