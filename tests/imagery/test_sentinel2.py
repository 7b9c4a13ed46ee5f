from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.imagery import rescale_reflectance
from swath.imagery.sentinel2 import EUROSAT_WHITE, OFFSET, SLOPE, from_surface_picture, surface_picture


@given(white=st.floats(1500, 5000), slope=st.floats(0.5, 1), offset=st.floats(0, 1200), value=st.floats(0, 255))
def test_a_picture_goes_back_to_what_it_was(white, slope, offset, value):
    gain, shift = surface_picture(white, slope, offset)
    back, add = from_surface_picture(white, slope, offset)
    assert back * (value * gain + shift) + add == pytest.approx(value, abs=1e-6)


def test_reflectance_seen_through_the_air_and_drawn_as_eurosat_is_its_picture_put_back():
    surface = np.arange(0, 2001, 50.0)  # DN of ground, below the white of the picture
    slope, offset = np.array(SLOPE)[:, None], np.array(OFFSET)[:, None]
    seen = rescale_reflectance(slope * surface + offset, low=0, high=EUROSAT_WHITE, nodata=None)
    gain, shift = from_surface_picture(2000.0, slope, offset)
    put_back = gain * (surface * 255 / 2000) + shift
    inside = slope * surface + offset < EUROSAT_WHITE
    np.testing.assert_allclose(put_back[inside], seen[inside], atol=0.51)


def test_the_line_is_the_one_that_was_measured_in_levels():
    """At a white of 2750 DN, L2A pictures are about 1.28 v - 47, 1.47 v - 84 and 1.56 v - 137 of EuroSAT's v."""
    gain, shift = surface_picture(2750.0, np.array(SLOPE), np.array(OFFSET))
    np.testing.assert_allclose(gain, (1.28, 1.47, 1.56), atol=0.02)
    np.testing.assert_allclose(shift, (-47, -84, -137), atol=3)
