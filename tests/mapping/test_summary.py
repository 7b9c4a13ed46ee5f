from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swath.mapping import MapFiles, make_grid
from swath.mapping.area import PixelArea
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips
from swath.mapping.summary import pixel_warnings, size_warning
from tests.mapping.scenes import write_scene
from tests.tiny import MEAN, input_spec


def test_files_are_named_after_the_map():
    files = MapFiles.next_to(Path("out/land.cover.tif"), probabilities=Path("p.tif"))
    assert [str(p) for p in files.all()] == [
        "out/land.cover.tif",
        "out/land.cover.tif.aux.xml",
        "out/land.cover.confidence.tif",
        "out/land.cover.json",
        "out/land.cover.legend.png",
        "out/land.cover.png",
        "out/land.cover.html",
        "out/land.cover.qml",
        "out/land.cover.confidence.qml",
        "p.tif",
    ]


def statistics(path, *, stride=8, nodata=None):
    with open_scene(path, nodata=nodata) as scene:
        grid = make_grid(scene.height, scene.width, patch=16, stride=stride)
        strips = Strips(scene, grid, bands=(1, 2, 3))
        for _ in strips:
            pass
        return strips.statistics


def warnings(path, *, rescaled=False, nodata=None):
    return pixel_warnings(statistics(path, nodata=nodata), input_spec(), rescaled=rescaled)


def flat(color, size=(50, 45)):
    return np.broadcast_to(np.array(color, np.uint8)[:, None, None], (3, *size)).copy()


@pytest.mark.parametrize("stride", [16, 8, 5])
def test_means_are_those_of_the_pixels_with_data(tmp_path, stride):
    values = flat((80, 90, 100))
    values[:, :20] = 0
    path = write_scene(tmp_path / "s.tif", values, nodata=0)
    assert statistics(path, stride=stride).means == pytest.approx((80, 90, 100))
    assert warnings(path) == []


def test_every_row_counts_once_whatever_is_read_at_a_time(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(1, 255, (3, 90, 70)).astype(np.uint8)
    path = write_scene(tmp_path / "s.tif", values, blockysize=7)
    whole = statistics(path).means
    monkeypatch.setattr("swath.mapping.strips._PIECE", 1)
    assert statistics(path).means == whole == pytest.approx(values[:, ::4, ::4].mean(axis=(1, 2)))


def test_a_scene_of_other_colors_is_noticed(tmp_path):
    (warning,) = warnings(write_scene(tmp_path / "s.tif", flat((MEAN[0], MEAN[1], 40))), rescaled=True)
    assert "blue 40 (training 100 ± 25)" in warning
    assert "red" not in warning
    assert "--rescale" in warning


def test_black_pixels_taken_for_data_are_noticed(tmp_path):
    values = flat(MEAN)
    values[:, :5] = 0
    path = write_scene(tmp_path / "s.tif", values)
    assert any("--nodata 0" in w for w in warnings(path))
    assert not any("--nodata 0" in w for w in warnings(path, nodata=0))


def test_an_empty_scene_is_noticed(tmp_path):
    path = write_scene(tmp_path / "s.tif", flat((0, 0, 0)), nodata=0)
    assert statistics(path).means is None
    assert "no data at all" in warnings(path)[0]


def test_pixels_of_another_size_are_noticed():
    area = PixelArea(np.full((3, 1), 900.0), (1, 9), 30, 30, "made up")
    assert "30 m" in size_warning(area, 10)
    assert size_warning(area, 25) is None
    assert size_warning(area, None) is None
