from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.imagery import rescale_reflectance
from swath.imagery.rescaling import Rescaling


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_rescaling_is_linear_rounded_and_clipped(dtype):
    top = np.iinfo(dtype).max
    pixels = np.array([[[0, 1, 100, top]], [[0, 0, 100, top]]], dtype)
    changed = Rescaling((2.0, 0.5), (-10.0, 3.0), dtype).apply(pixels)
    assert changed.dtype == dtype
    assert changed[:, 0, 0].tolist() == [0, 0]  # no data
    assert changed[:, 0, 1].tolist() == [1, 3]  # a 0 next to another value is data
    assert changed[:, 0, 2].tolist() == [190, 53]
    assert changed[:, 0, 3].tolist() == [top, int(top * 0.5 + 3.5)]


def test_pixels_without_data_stay_as_they_are_in_pictures_and_are_0_in_others():
    pixels = np.full((3, 2, 2), 200, np.uint8)
    valid = np.array([[True, False], [True, True]])
    line = Rescaling((1.0,) * 3, (-50.0,) * 3)
    changed = line.apply(pixels, valid)
    assert changed[:, 0, 1].tolist() == [200] * 3
    assert (changed[:, valid] == 150).all()
    assert line.apply(pixels.astype("uint16"), valid)[:, 0, 1].tolist() == [0] * 3


@given(low=st.integers(-500, 2000), room=st.integers(100, 5000), kind=st.sampled_from(["uint16", "int16", "float32"]))
def test_between_two_limits_it_is_the_rescaling_of_reflectance(low, room, kind):
    pixels = np.arange(0, 9000, 7).astype(kind).reshape(1, 1, -1)
    found = Rescaling.between(low, low + room, bands=1).apply(pixels, np.True_)
    wanted = rescale_reflectance(pixels, low=low, high=low + room, nodata=None)
    assert np.abs(found.astype(int) - wanted).max() <= 1  # a value halfway may go either way
    assert (found == wanted).mean() > 0.9


def test_lines_follow_one_another():
    numbers = np.array([[[900.0]]], np.float32)
    both = Rescaling((0.1,), (1.0,)).of(2.0, 100.0).then((0.5,), (3.0,))  # (0.1 (2 v + 100) + 1) / 2 + 3
    assert both.apply(numbers).item() == round((0.1 * 1900 + 1) / 2 + 3 + 1e-9)


@pytest.mark.filterwarnings("error")
def test_numbers_that_mean_no_data_are_rescaled_without_a_warning():
    """A signaling NaN warns already when it is widened."""
    bits = np.array([[[0x7FA00000, 0x7FC00000, 0x7F800000, 0x7F7FFFFF, 0x42C80000]]], np.uint32)  # and inf, max, 100
    assert Rescaling((1.0,), (0.0,)).apply(bits.view(np.float32)).tolist() == [[[1, 1, 255, 255, 100]]]
