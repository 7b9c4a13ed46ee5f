"""Products of Landsat: what is found in them, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from swath.errors import DataError
from swath.imagery.products import find_files
from tests.imagery.products import write_landsat, zipped


def bands(*numbers):
    return {number: np.full((20, 30), 10_000 + number, np.uint16) for number in numbers}


@pytest.mark.parametrize("form", ["txt", "json", "xml"])
@pytest.mark.parametrize("packed", [False, True])
def test_surface_reflectance_has_the_scale_of_level_2_and_not_of_level_1(tmp_path, form, packed):
    folder = write_landsat(tmp_path, bands(1, 2, 3, 4, 5, 7), form=form)
    found = find_files(zipped(folder) if packed else folder)
    assert [file.band for file in found.bands] == ["coastal", "blue", "green", "red", "nir", "swir22"]
    assert {file.scaling for file in found.bands} == {(2.75e-05, -0.2)}
    product = found.product
    assert (product.level, product.sensor, product.baseline) == ("l2a", "Landsat 8", "collection 2")
    assert (product.title, product.acquired) == (folder.name, "2020-05-18T10:02:26.5912070Z")


def test_level_1_is_divided_by_the_sine_of_the_suns_elevation(tmp_path):
    folder = write_landsat(tmp_path, bands(4), level="L1", scale=2e-05, offset=-0.1, elevation=30)
    found = find_files(next(folder.glob("*_MTL.txt")))
    assert found.product.level == "l1c"
    (red,) = found.bands
    assert red.scaling == pytest.approx((2e-05 / math.sin(math.pi / 6), -0.1 / math.sin(math.pi / 6)))


def test_landsat_5_numbers_its_bands_otherwise(tmp_path):
    found = find_files(write_landsat(tmp_path, bands(1, 2, 3, 4), spacecraft="LANDSAT_5"))
    assert [file.band for file in found.bands] == ["blue", "green", "red", "nir"]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"L2SP"', '"L3"', "says it is L3 of collection 2; download a product of Landsat Collection 2"),
        ("COLLECTION_NUMBER = 02", "COLLECTION_NUMBER = 01", "of collection 1"),
        ("REFLECTANCE_ADD_BAND_4 =", "OTHER =", "gives no REFLECTANCE_ADD_BAND_4"),
        ("REFLECTANCE_MULT_BAND_4 = 2.75e-05", "REFLECTANCE_MULT_BAND_4 = nan", "gives no REFLECTANCE_MULT_BAND_4"),
        ("REFLECTANCE_MULT_BAND_4 = 2.75e-05", "REFLECTANCE_MULT_BAND_4 = -1", "scales band 4 by -1"),
        ('"LC08_L2SP_193026_20200518_20200820_02_T1_SR_B4.TIF"', '"../../secret.TIF"', "holds none of the bands"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused(tmp_path, old, new, match):
    folder = write_landsat(tmp_path, bands(4))
    (tmp_path / "secret.TIF").write_bytes(b"")
    metadata = next(folder.glob("*_MTL.txt"))
    text = metadata.read_text()
    assert old in text
    metadata.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=match):
        find_files(folder)


def test_a_scene_by_night_and_damaged_json_are_refused(tmp_path):
    with pytest.raises(DataError, match="says that the sun was down"):
        find_files(write_landsat(tmp_path, bands(4), level="L1", elevation=-3))
    folder = write_landsat(tmp_path / "json", bands(4), form="json")
    next(folder.glob("*_MTL.json")).write_text("[" * 100_000)
    with pytest.raises(DataError, match="is damaged JSON"):
        find_files(folder)
