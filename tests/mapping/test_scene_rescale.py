"""A scene whose channels lie outside is corrected, all of it alike, before any window is classified."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from swath.errors import SettingError
from swath.imagery.color_match import measure_quantiles
from swath.imagery.rescaling import Rescaling
from swath.inference import load
from swath.mapping import make_grid, map_scene
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips
from swath.model.record import ChannelQuantiles
from tests.mapping.scenes import write_scene
from tests.tiny import CLASSES, input_spec, patches, write_tiny_model

SIDE = 6  # patches


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    drawn = np.concatenate([patches(c, 30) for c in CLASSES])
    found = measure_quantiles(drawn.transpose(1, 0, 2, 3).reshape(3, -1))
    quantiles = ChannelQuantiles(levels=found.levels, values=found.values)
    spec = input_spec().model_copy(update={"channel_quantiles": quantiles})
    model = write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", spec=spec)
    return load(model, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def sewn() -> tuple[np.ndarray, np.ndarray]:
    """A scene [3, H, W] of patches with another blue, and the class of each patch."""
    truth = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % len(CLASSES)
    rows = [
        np.concatenate([patches(CLASSES[k], 1, seed=100 + r * SIDE + c)[0] for c, k in enumerate(row)], axis=2)
        for r, row in enumerate(truth)
    ]
    scene = np.concatenate(rows, axis=1)
    scene[2] = np.maximum(scene[2].astype(int) - 55, 1)
    return scene, truth


def right(path, truth) -> float:
    with rasterio.open(path) as dataset:
        values = dataset.read(1)
    return float((values[32::64, 32::64] - 1 == truth).mean())


@pytest.mark.parametrize("dense", [False, True])
def test_auto_brings_the_classes_back(classifier, sewn, tmp_path, dense):
    scene, truth = sewn
    path = write_scene(tmp_path / "scene.tif", scene)
    off = map_scene(classifier, path, out=tmp_path / "off.tif", rescale="off", dense=dense)
    auto = map_scene(classifier, path, out=tmp_path / "auto.tif", dense=dense)
    assert right(tmp_path / "auto.tif", truth) > right(tmp_path / "off.tif", truth) + 0.1
    assert off.rescale.rescaling is None
    assert any("--rescale auto" in w for w in off.warnings)
    assert any("colors were matched" in w for w in auto.warnings)
    record = json.loads((tmp_path / "auto.json").read_text())["rescale"]
    assert record["taken"] == "match"
    assert record["rescaling"]["offset"] == list(auto.rescale.rescaling.offset)


def test_a_small_scene_is_left_alone(classifier, sewn, tmp_path):
    scene, _ = sewn
    path = write_scene(tmp_path / "scene.tif", scene[:, :128, :128])
    made = map_scene(classifier, path, out=tmp_path / "map.tif")
    assert made.rescale.rescaling is None
    assert not made.rescale.compared


def test_an_unknown_mode_is_refused_before_any_work(classifier, sewn, tmp_path):
    path = write_scene(tmp_path / "scene.tif", sewn[0])
    with pytest.raises(SettingError, match="--rescale perhaps"):
        map_scene(classifier, path, out=tmp_path / "map.tif", rescale="perhaps")
    assert not (tmp_path / "map.tif").exists()


@pytest.mark.parametrize("side", [10, 200, 927, 3000])
def test_a_sample_is_spread_over_the_scene(tmp_path, side):
    values = np.tile(np.linspace(1, 250, side).astype(np.uint8), (3, 40, 1))
    values[:, :4] = 0
    path = write_scene(tmp_path / "scene.tif", values, nodata=0)
    with open_scene(path) as scene:
        grid = make_grid(scene.height, scene.width, patch=16, stride=16)
        sample = Strips(scene, grid, bands=(3, 2, 1)).sample()
    assert sample.dtype == np.uint8
    assert sample.shape[1] <= 36 * min(side, 1024)
    assert (sample > 0).all()
    quantiles = np.quantile(sample[0], (0.1, 0.5, 0.9))
    np.testing.assert_allclose(quantiles, (26, 125, 225), atol=18)


def test_strips_are_corrected_where_there_is_data(tmp_path):
    values = np.full((3, 40, 40), 100, np.uint8)
    values[:, :8] = 0
    path = write_scene(tmp_path / "scene.tif", values, nodata=0)
    with open_scene(path) as scene:
        strips = Strips(scene, make_grid(40, 40, patch=16, stride=16), bands=(1, 2, 3))
        strips.rescaling = Rescaling((2.0, 1.0, 0.5), (10.0, 0.0, 0.0))
        pixels = next(strips.pieces()).pixels
    assert sorted({tuple(p) for p in pixels.reshape(3, -1).T.tolist()}) == [(0, 0, 0), (210, 100, 50)]


def test_black_that_nobody_declared_stays_black(tmp_path):
    """Or the warning of a collar without a nodata value would never come."""
    values = np.full((3, 40, 40), 100, np.uint8)
    values[:, :8] = 0
    path = write_scene(tmp_path / "scene.tif", values)
    with open_scene(path) as scene:
        strips = Strips(scene, make_grid(40, 40, patch=16, stride=16), bands=(1, 2, 3))
        strips.rescaling = Rescaling((2.0, 1.0, 0.5), (10.0, 0.0, 0.0))
        pixels = next(strips.pieces()).pixels
    assert sorted({tuple(p) for p in pixels.reshape(3, -1).T.tolist()}) == [(0, 0, 0), (210, 100, 50)]
