from __future__ import annotations

import numpy as np
import pytest
import rasterio

from swath.errors import DataError, OutputError
from swath.mapping import MapAccuracy, map_accuracy, write_mosaic
from tests.mapping.scenes import write_scene

CLASSES = ("a", "b", "c")


def test_patches_lie_where_they_should(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    truth = write_mosaic(pixels, ["a", "b", "c", "c", "b", "a"], CLASSES, columns=3, out=tmp_path / "s.tif")
    assert truth.tolist() == [[0, 1, 2], [2, 1, 0]]
    with rasterio.open(tmp_path / "s.tif") as scene:
        assert scene.descriptions == ("red", "green", "blue")
        assert [c.name for c in scene.colorinterp] == ["red", "green", "blue"]
        assert (scene.crs.to_epsg(), scene.res) == (32632, (10, 10))
        whole = scene.read()
    for number in range(6):
        row, col = divmod(number, 3)
        np.testing.assert_array_equal(whole[:, row * 8 : row * 8 + 8, col * 8 : col * 8 + 8], pixels[number])


def test_what_does_not_fit_is_refused(tmp_path):
    pixels = np.zeros((4, 3, 8, 8), np.uint8)
    with pytest.raises(DataError, match="fill whole rows"):
        write_mosaic(pixels, ["a"] * 4, CLASSES, columns=3, out=tmp_path / "s.tif")
    with pytest.raises(DataError, match="not among the classes"):
        write_mosaic(pixels, ["a", "b", "c", "d"], CLASSES, columns=2, out=tmp_path / "s.tif")
    assert not list(tmp_path.iterdir())
    (tmp_path / "s.tif").write_text("mine")
    with pytest.raises(OutputError):
        write_mosaic(pixels, ["a"] * 4, CLASSES, columns=2, out=tmp_path / "s.tif")


def test_agreement_counts_patches_by_their_majority(tmp_path):
    cells = np.ones((8, 12), np.uint8)  # two rows of three 4 px patches, all class a
    cells[:4, 4:8] = 2
    cells[0, 4:8] = 3  # a quarter of that patch is wrong
    cells[4:, :4] = 0  # one patch is not mapped
    cells[4:, 4:6] = 3  # half a, half c: the lower number counts
    path = write_scene(tmp_path / "map.tif", cells[None])
    result = map_accuracy(path, np.array([[0, 1, 2], [0, 0, 0]]), 4)
    assert result == MapAccuracy(patches=6, patches_right=4, pixels=80, pixels_right=16 + 12 + 8 + 16)
    assert result.patch_share == pytest.approx(4 / 6)
    assert result.pixel_share == pytest.approx(52 / 80)


def test_an_unmapped_patch_is_not_right_by_chance(tmp_path):
    path = write_scene(tmp_path / "map.tif", np.zeros((1, 4, 4), np.uint8))
    result = map_accuracy(path, np.array([[0]]), 4)
    assert (result.patches_right, result.pixel_share) == (0, 0.0)


def test_a_map_of_another_scene_is_refused(tmp_path):
    path = write_scene(tmp_path / "map.tif", np.zeros((1, 4, 5), np.uint8))
    with pytest.raises(DataError, match="5 x 4 pixels"):
        map_accuracy(path, np.array([[0]]), 4)
