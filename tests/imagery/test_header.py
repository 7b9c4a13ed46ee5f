from __future__ import annotations

import numpy as np
import pytest

from swath.errors import DataError
from swath.imagery import RGB, Picture
from swath.imagery.header import MAX_BYTES_A_PIXEL, check_size, mode_name, numbered_bands, units_of


def test_the_pixel_limit_names_file_size_and_mend():
    check_size(10, 10, name="a.png", max_pixels=100)
    with pytest.raises(DataError, match=r"a\.png says it has 10 x 11 pixels, above the limit of 100; cut it"):
        check_size(10, 11, name="a.png", max_pixels=100)


def test_the_memory_limit_counts_bands_and_bytes():
    most = MAX_BYTES_A_PIXEL // 4
    check_size(10, 10, name="a", max_pixels=100, bands=most, dtype="float32")
    with pytest.raises(DataError, match=f"{most + 1} float32 bands"):
        check_size(10, 10, name="a", max_pixels=100, bands=most + 1, dtype="float32")


def test_a_large_picture_needs_the_memory_that_is_free(monkeypatch):
    def check(side):
        check_size(side, side, name="a.tif", max_pixels=10**8, bands=3)

    monkeypatch.setattr("swath.imagery.header.free_memory", lambda: 300 * 2**20)
    check(4000)  # 46 MiB, which every machine has
    with pytest.raises(DataError, match=r"a\.tif takes 0\.1 GiB decoded, above the 0\.1 GiB .*; cut it into smaller"):
        check(6000)
    monkeypatch.setattr("swath.imagery.header.free_memory", lambda: 400 * 2**20)
    check(6000)


@pytest.mark.parametrize(
    ("dtype", "bands", "mode"),
    [
        ("uint8", RGB, "RGB"),
        ("uint8", ("gray",), "L"),
        ("uint16", ("gray",), "I;16"),
        ("uint8", ("b2", "b3", "b4"), "uint8 x 3"),
        ("uint16", RGB, "uint16 x 3"),
    ],
)
def test_modes(dtype, bands, mode):
    assert mode_name(dtype, bands) == mode


def test_names_and_units():
    assert numbered_bands(2) == ("band_1", "band_2")
    assert (units_of("uint8"), units_of("uint16")) == ("display", "digital number")


def test_more_bands_than_any_sensor_has():
    check_size(1, 1, name="a.tif", max_pixels=100, bands=1024)
    with pytest.raises(DataError, match=r"a\.tif says it has 1025 bands, above the limit of 1024; keep fewer"):
        check_size(1, 1, name="a.tif", max_pixels=10**9, bands=1025)


def test_size():
    picture = Picture(np.zeros((3, 4, 5), np.uint16), RGB, "digital number", "uint16 x 3")
    assert (picture.height, picture.width) == (4, 5)


@pytest.mark.parametrize(("shape", "bands"), [((3, 4, 5), ("gray",)), ((4, 5), ("gray",)), ((1, 4, 5), RGB)])
def test_bands_must_fit_the_pixels(shape, bands):
    with pytest.raises(ValueError, match="do not fit"):
        Picture(np.zeros(shape), bands, "display", "L")
