"""A scene and its map at the size in which they are looked at, and what is at one place."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from swath.app import overview as module
from swath.app.overview import find, look_at, map_part
from swath.errors import DataError
from swath.inference import Classifier
from swath.mapping import map_scene
from swath.teaching.windows import open_strips
from tests.teaching.scenes import checkerboard, write_scene

NOISE = 8  # gray values, on average: what JPEG does to noise; classes differ by 40


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", checkerboard(("Forest", "River")), nodata=[(0, 0)])


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_scene_is_shown_as_it_is(tiny: Classifier, scene: Path) -> None:
    seen = look_at(scene, tiny.record.input)
    assert (seen.width, seen.height, seen.whole.box) == (384, 384, (0, 0, 384, 384))
    assert seen.meters == pytest.approx(10, rel=0.01)
    assert seen.aspect == pytest.approx(1, rel=0.01)
    shown = opened(seen.whole.data).astype(int)
    with rasterio.open(scene) as raster:
        pixels = raster.read().transpose(1, 2, 0).astype(int)
    assert np.abs(shown - pixels)[70:].mean() < NOISE
    assert (shown[10:50, 10:50] == 128).all(), "no data is gray"


def test_a_large_scene_is_shown_small_and_its_parts_whole(
    tiny: Classifier, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST", 100)
    seen = look_at(scene, tiny.record.input)
    assert opened(seen.whole.data).shape == (96, 96, 3)
    assert seen.whole.box == (0, 0, 384, 384)
    part = seen.part((70, 80, 50, 40))
    with rasterio.open(scene) as raster:
        pixels = raster.read().transpose(1, 2, 0)[80:120, 70:120].astype(int)
    assert np.abs(opened(part.data).astype(int) - pixels).mean() < NOISE
    assert part.box == (70, 80, 50, 40)


def test_a_part_of_deep_pixels_is_as_bright_as_the_whole(tiny: Classifier, scene: Path, tmp_path: Path) -> None:
    deep = tmp_path / "deep.tif"
    with rasterio.open(scene) as raster:
        values = raster.read().astype(np.uint16) * 10
        with rasterio.open(deep, "w", **{**raster.profile, "dtype": "uint16"}) as out:
            out.write(values)
    seen = look_at(deep, tiny.record.input, rescale="0:2550")
    part = seen.part((100, 100, 60, 60))
    whole = opened(seen.whole.data).astype(int)
    assert np.abs(opened(part.data).astype(int) - whole[100:160, 100:160]).mean() < NOISE


def test_places_have_coordinates_and_come_back(tiny: Classifier, scene: Path) -> None:
    seen = look_at(scene, tiny.record.input)
    assert seen.point(10, 20) == (500100, 5299800)
    assert seen.pixel(500100, 5299800) == pytest.approx((10, 20))
    assert "500,100, 5,299,800 (EPSG:32632)" in seen.coordinates(10, 20)
    assert "° N, 9.00" in seen.coordinates(10, 20)
    places = seen.places([(10, 20, "Forest")])
    assert places.rows[0].geometry["coordinates"] == [500100, 5299800]
    bare = look_at(write_scene(scene.with_name("bare.tif"), checkerboard(("Forest",)), crs=None), tiny.record.input)
    assert bare.coordinates(10.5, 20.5) == "column 10, row 20"


def test_the_window_of_a_place_is_what_the_model_gets(tiny: Classifier, scene: Path) -> None:
    seen = look_at(scene, tiny.record.input)
    found = seen.window(200, 150, rescale="off")
    with open_strips(scene, tiny.record.input, bands=None, rescale="off", nodata=None) as (strips, _, _):
        expected, _ = strips.window(rasterio.windows.Window(168, 118, 64, 64))
    np.testing.assert_array_equal(found, expected)


def test_a_map_is_given_as_values(tiny: Classifier, scene: Path, tmp_path: Path) -> None:
    made = map_scene(tiny, scene, out=tmp_path / "map.tif", stride=64)
    values = opened(map_part(made.files, (0, 0, 384, 384)).data)
    with rasterio.open(made.files.classes) as one, rasterio.open(made.files.confidence) as two:
        classes, confidence = one.read(1), two.read(1)
    np.testing.assert_array_equal(values[..., 0], classes)
    np.testing.assert_array_equal(values[..., 1], np.where(confidence == 255, 0, confidence))
    assert opened(map_part(made.files, (0, 0, 384, 384), longest=50).data).shape == (50, 50, 3)
    found = find(made, 200.7, 150.2)
    assert found.confidence == confidence[150, 200]
    assert found.name == next(entry.name for entry in made.legend if entry.value == classes[150, 200])
    assert find(made, 5, 5).name is None


def test_what_is_no_scene_is_refused(tiny: Classifier, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(DataError, match=r"bad\.tif"):
        look_at(tmp_path / "bad.tif", tiny.record.input)
