from __future__ import annotations

import numpy as np
import pytest

from swath.mapping import make_grid
from swath.mapping.area import PixelArea
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips
from swath.mapping.summary import SceneStatistics, size_warning
from tests.mapping.scenes import write_scene
from tests.tiny import MEAN, input_spec


def watch(path, *, stride=8, nodata=None, windows=1):
    with open_scene(path) as scene:
        grid = make_grid(scene.height, scene.width, patch=16, stride=stride)
        strips = Strips(scene, grid, bands=(1, 2, 3), nodata=nodata)
        seen = SceneStatistics(input_spec(), grid)
        for strip in strips.cut(strips.pieces(), windows=windows):
            seen.add(strip)
        return seen


def flat(color, size=(50, 45)):
    return np.broadcast_to(np.array(color, np.uint8)[:, None, None], (3, *size)).copy()


@pytest.mark.parametrize(("stride", "windows"), [(16, 1), (8, 1), (5, 1), (8, 3)])
def test_means_are_those_of_the_pixels_with_data(tmp_path, stride, windows):
    values = flat((80, 90, 100))
    values[:, :20] = 0
    seen = watch(write_scene(tmp_path / "s.tif", values, nodata=0), stride=stride, windows=windows)
    assert seen.means == pytest.approx((80, 90, 100))
    assert seen.warnings(rescaled=False) == []


def test_a_scene_ood_the_training_patches_is_noticed(tmp_path):
    seen = watch(write_scene(tmp_path / "s.tif", flat((MEAN[0], MEAN[1], 40))))
    (warning,) = seen.warnings(rescaled=True)
    assert "blue 40 (training 100 ± 25)" in warning
    assert "red" not in warning
    assert "--rescale" in warning


def test_black_pixels_taken_for_data_are_noticed(tmp_path):
    values = flat(MEAN)
    values[:, :5] = 0
    path = write_scene(tmp_path / "s.tif", values)
    assert any("--nodata 0" in w for w in watch(path).warnings(rescaled=False))
    assert not any("--nodata 0" in w for w in watch(path, nodata=0).warnings(rescaled=False))


def test_an_empty_scene_is_noticed(tmp_path):
    seen = watch(write_scene(tmp_path / "s.tif", flat((0, 0, 0)), nodata=0))
    assert seen.means is None
    assert "no data at all" in seen.warnings(rescaled=False)[0]


def test_pixels_of_another_size_are_noticed():
    area = PixelArea(np.full(3, 900.0), 30, 30, "made up")
    assert "30 m" in size_warning(area, 10)
    assert size_warning(area, 25) is None
    assert size_warning(area, None) is None
    assert size_warning(None, 10) is None
