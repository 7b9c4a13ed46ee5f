from __future__ import annotations

import io

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio import Affine
from rasterio.crs import CRS

from swath.errors import DataError
from swath.mapping.pictures import SIDE, draw_places, footprints
from swath.mapping.places import LabeledPlace, Places

TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_300_000)
UTM = CRS.from_epsg(32632)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """256 x 256 pixels: black, with a red block of 16 x 16 around row 100 and column 40."""
    path = tmp_path_factory.mktemp("pictures") / "s.tif"
    pixels = np.zeros((3, 256, 256), np.uint8)
    pixels[0, 92:108, 32:48] = 220
    settings = {"driver": "GTiff", "height": 256, "width": 256, "count": 3, "dtype": "uint8", "crs": UTM}
    with rasterio.open(path, "w", **settings, transform=TRANSFORM, photometric="RGB") as out:
        out.write(pixels)
    return path


def drawn(data):
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def squares(*at, size=16):
    return footprints(np.array(at), size=size, transform=TRANSFORM, crs=UTM)


def test_what_is_meant_lies_in_the_middle_with_a_frame(scene):
    (data,) = draw_places(scene, squares((100, 40)), around=4)
    picture = drawn(data)
    assert picture.shape == (SIDE, SIDE, 3)
    middle = picture[SIDE // 2 - 20 : SIDE // 2 + 20, SIDE // 2 - 20 : SIDE // 2 + 20].reshape(-1, 3).mean(axis=0)
    assert middle[0] > 200
    assert middle[1] < 20
    half = SIDE // 8  # the window is a quarter of the side
    line = picture[SIDE // 2 - half - 4 : SIDE // 2 - half + 1, SIDE // 2]
    assert line.sum(axis=1).max() > 600  # a white line above the window
    assert picture[20, 20].max() < 20


def test_places_in_another_system_and_at_the_edge(scene):
    places = squares((100, 40), (2, 2))
    first, edge = draw_places(scene, places.to_crs("EPSG:4326"), around=4)
    assert drawn(first)[SIDE // 2, SIDE // 2, 0] > 200
    assert np.abs(drawn(edge)[10, 10] - 200).max() < 12  # outside the scene
    assert drawn(edge)[-10, -10].max() < 20


def test_a_place_outside_has_no_picture(scene):
    outside = squares((9_000, 40))
    both = Places(squares((100, 40)).rows + outside.rows, UTM, "")
    assert [data is None for data in draw_places(scene, both, around=4)] == [False, True]
    with pytest.raises(DataError, match=r"none of the 1 places lies in s\.tif"):
        draw_places(scene, outside, around=4)


def test_reflectance_is_stretched_alike_in_all_pictures(tmp_path):
    values = np.full((1, 128, 256), 300, np.uint16)
    values[0, :, 128:] = 3_000
    array = np.repeat(values, 3, axis=0)
    with rasterio.open(
        tmp_path / "r.tif", "w", driver="GTiff", height=128, width=256, count=3, dtype="uint16", crs=UTM,
        transform=TRANSFORM,
    ) as out:  # fmt: skip
        out.write(array)
    dark, light = draw_places(tmp_path / "r.tif", squares((64, 40), (64, 216), size=4), around=2)
    assert drawn(dark)[10, 10].max() < 30
    assert drawn(light)[10, 10].min() > 225


def test_a_point_is_marked_by_a_small_frame(scene):
    point = Places((LabeledPlace({"type": "Point", "coordinates": [500_405, 5_298_995]}, None, ""),), UTM, "")
    (data,) = draw_places(scene, point, around=24)
    assert drawn(data)[SIDE // 2, SIDE // 2, 0] > 200


def test_a_scene_without_coordinates_is_refused():
    with pytest.raises(DataError, match="no coordinate reference system"):
        draw_places(np.zeros((3, 90, 90), np.uint8), squares((45, 45)), around=2)
