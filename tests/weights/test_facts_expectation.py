"""What weights expect, and pixels that are something else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from swath.errors import DataError
from swath.imagery import RGB
from swath.weights import Expectation, check_expectation
from swath.weights.known import TORCHGEO

PICTURES = Expectation()
REFLECTANCE = TORCHGEO["ResNet18_Weights.SENTINEL2_RGB_MOCO"].expects
ALL = TORCHGEO["ResNet50_Weights.SENTINEL2_ALL_MOCO"].expects


def check(expects, *, bands=RGB, data_type="uint8", largest=255.0, channel_mean=(88.0, 97.0, 104.0)):
    check_expectation(
        expects, bands=bands, data_type=data_type, largest=largest, channel_mean=channel_mean, source="these"
    )


def test_normalization_in_stored_units_is_that_of_divided_pixels():
    mean, sd = PICTURES.normalization()
    pixels = np.array([10.0, 120.0, 250.0])
    expected = (pixels / 255 - PICTURES.mean) / PICTURES.sd
    np.testing.assert_allclose((pixels - mean) / sd, expected, rtol=1e-12)
    assert mean == pytest.approx((123.675, 116.28, 103.53))  # the numbers Caffe-style code has by heart


@given(scale=st.floats(0.5, 60_000), mean=st.floats(0, 1), sd=st.floats(0.01, 2), pixel=st.integers(0, 65_535))
def test_normalization_holds_at_any_scale(scale, mean, sd, pixel):
    expects = Expectation(bands=("b",), scale=scale, mean=(mean,), sd=(sd,), data_type="uint16")
    (center,), (spread,) = expects.normalization()
    assert (pixel - center) / spread == pytest.approx((pixel / scale - mean) / sd, rel=1e-6, abs=1e-6)


def test_bands_keep_their_own_numbers_and_new_ones_take_the_average():
    mean, sd = PICTURES.normalization(("blue", "nir", "red"))
    assert mean == pytest.approx((255 * 0.406, 255 * (0.485 + 0.456 + 0.406) / 3, 255 * 0.485))
    assert sd == pytest.approx((255 * 0.225, 255 * (0.229 + 0.224 + 0.225) / 3, 255 * 0.229))


def test_a_run_expects_what_it_normalized_with():
    expects = Expectation(scale=1, bands=RGB, data_type="uint8", mean=(88.0, 97.0, 104.0), sd=(50.0, 35.0, 30.0))
    assert expects.normalization() == ((88.0, 97.0, 104.0), (50.0, 35.0, 30.0))
    check(expects)


def test_pixels_as_expected_pass():
    check(PICTURES)
    check(PICTURES, largest=40, channel_mean=(5, 5, 5))  # a dark set is no error of scale
    check(PICTURES, data_type="uint16", largest=255)  # bytes in wide storage are still bytes
    check(REFLECTANCE, data_type="uint16", largest=9_000, channel_mean=(900, 1000, 1100))
    check(PICTURES, bands=("red", "green", "blue", "nir"), channel_mean=(88, 97, 104, 120))
    check(ALL, data_type="uint16", largest=9_000, channel_mean=(900, 1000, 1100))  # three bands of thirteen


@pytest.mark.parametrize(
    ("expects", "given", "message"),
    [
        (PICTURES, {"bands": ("blue", "green", "red")}, "expect the bands red,green,blue, .* come as blue,green,red"),
        (PICTURES, {"largest": 1.0, "channel_mean": (0.3, 0.3, 0.3)}, "no pixel is above 1: these look divided"),
        (PICTURES, {"largest": 0.0, "channel_mean": (0, 0, 0)}, "no pixel is above 0"),
        (PICTURES, {"data_type": "uint16", "largest": 4_000.0}, "pixels reach 4000: these look like 16-bit refl"),
        (REFLECTANCE, {}, "expect 16-bit numbers .10000 is 1.0., and the patches are 8-bit images"),
        (REFLECTANCE, {"data_type": "uint16"}, "no pixel is above 255: these look like 8-bit"),
        (ALL, {"largest": 1.0, "data_type": "uint16"}, "look divided already"),
    ],
)
def test_mismatches_are_refused(expects, given, message):
    with pytest.raises(DataError, match=message) as caught:
        check(expects, **given)
    assert str(caught.value).startswith("these expect")
    assert caught.value.fix


def test_a_mean_far_off_is_refused():
    run = Expectation(scale=1, bands=RGB, data_type="uint16", mean=(900.0,) * 3, sd=(80.0,) * 3)
    check(run, data_type="uint16", largest=9_000, channel_mean=(1_500.0,) * 3)
    with pytest.raises(DataError, match="mean of 900 in band green, and the patches have 9000, 101 standard"):
        check(run, data_type="uint16", largest=20_000, channel_mean=(900.0, 9_000.0, 900.0))
    with pytest.raises(DataError, match="nan"):
        check(run, data_type="uint16", largest=20_000, channel_mean=(900.0, float("nan"), 900.0))


@pytest.mark.parametrize(
    "wrong", [{"mean": (0.5,)}, {"sd": (0.2, 0.2, 0.0)}, {"scale": 0}, {"bands": ()}, {"color": "red"}]
)
def test_an_expectation_must_make_sense(wrong):
    with pytest.raises(ValidationError):
        Expectation(**wrong)
