from __future__ import annotations

import numpy as np
import pytest

from swath.errors import DataError
from swath.imagery import RGB, Picture, as_rgb, select_bands

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
