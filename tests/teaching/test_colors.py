from __future__ import annotations

import numpy as np
import pytest
import rasterio

from swath.mapping import map_scene
from swath.model import read_model, write_model
from swath.model.record import ChannelQuantiles
from swath.teaching import teach
from swath.teaching.colors import LEAST, asked_places, choose_rendering, compare_renderings
from tests.tiny import CLASSES, patches

from .scenes import TRANSFORM, checkerboard, middles, remembering_model, write_places

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that knows the colors of its training patches."""
    path = remembering_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    file = read_model(path)
    pixels = np.concatenate([patches(name, 30) for name in CLASSES])
    values = np.quantile(pixels.transpose(1, 0, 2, 3).reshape(3, -1), LEVELS, axis=1).T
    quantiles = ChannelQuantiles(levels=LEVELS, values=tuple(map(tuple, values.tolist())))
    spec = file.record.input.model_copy(update={"channel_quantiles": quantiles})
    write_model(path, file.graph, file.record.model_copy(update={"input": spec}), overwrite=True)
    return path


def scene_in(folder, gain, offset):
    """A scene of the model's own patches in another light, and a place on each."""
    table = checkerboard(CLASSES)
    drawn = {name: list(patches(name, 9, seed=7)) for name in CLASSES}
    rows = [np.concatenate([drawn[name].pop() for name in names], axis=2) for names in table]
    pixels = np.concatenate(rows, axis=1) * np.array(gain)[:, None, None] + np.array(offset)[:, None, None]
    pixels = np.clip(np.rint(pixels), 1, 255).astype(np.uint8)
    settings = {"driver": "GTiff", "height": pixels.shape[1], "width": pixels.shape[2], "count": 3, "dtype": "uint8"}
    with rasterio.open(folder / "s.tif", "w", crs="EPSG:32632", transform=TRANSFORM, **settings) as out:
        out.write(pixels)
    truth = np.array([[CLASSES.index(name) for name in row] for row in table]) + 1
    return folder / "s.tif", write_places(folder / "p.csv", middles(table)), truth


def test_colors_are_matched_where_the_places_are_better_known_so(model, tmp_path):
    """Inside the training range, so that a map leaves them as they are; the places say otherwise."""
    scene, places, truth = scene_in(tmp_path, (0.9, 0.8, 0.7), (0, 20, 40))
    result = teach(model, scene=scene, places=places, out=tmp_path / "mine.onnx")
    assert result.source.rescale == "match"
    assert any(note.endswith("map with --rescale match") for note in result.notes)
    assert "--rescale match" in read_model(result.path).record.taught[0].colors
    mapped = map_scene(result.path, scene, rescale="match", stride=64).array[32::64, 32::64]
    assert (mapped == truth).mean() > 0.9


def test_colors_stay_where_nothing_is_gained_and_where_a_user_has_decided(model, tmp_path):
    scene, places, _ = scene_in(tmp_path, (1, 1, 1), (0, 0, 0))
    result = teach(model, scene=scene, places=places, out=tmp_path / "mine.onnx")
    assert result.source.rescale == "auto"
    assert not any("--rescale" in note for note in result.notes)
    scene, places, _ = scene_in(tmp_path, (0.9, 0.8, 0.7), (0, 20, 40))
    result = teach(model, scene=scene, places=places, out=tmp_path / "off.onnx", rescale="off")
    assert result.source.rescale == "off"
    assert read_model(result.path).record.taught[0].colors == "unchanged"


def test_a_difference_within_its_error_changes_nothing():
    rng = np.random.default_rng(0)
    classes = np.arange(40) % 4
    logits = rng.normal(0, 1, (40, 4))
    noise = rng.normal(0, 0.3, (40, 4))
    noise -= noise.mean(axis=0)
    assert not choose_rendering(logits, logits, classes).better
    assert not choose_rendering(logits + noise, logits, classes).better
    found = choose_rendering(logits, logits + 2 * np.eye(4)[classes], classes)
    assert found.better
    assert (found.asked, found.second) >= (40, found.first)


def test_a_detector_has_one_logit():
    classes = np.arange(20) % 2
    logits = np.where(classes, 2.0, -2.0)[:, None]
    assert choose_rendering(-logits, logits, classes).better
    assert not choose_rendering(logits, -logits, classes).better


def test_the_model_is_asked_about_classes_it_has_and_a_place_once():
    labels = ("Forest", "Dump", "River", "River", "Forest")
    rows, classes = asked_places(labels, np.array([0, 1, 2, 2, 3]), CLASSES)
    assert rows.tolist() == [0, 2, 4]
    assert [CLASSES[k] for k in classes] == ["Forest", "River", "Forest"]
    rows, _ = asked_places(("Dump",) * 3, np.arange(3), CLASSES)
    assert len(rows) == 0
    rows, _ = asked_places(("Forest",) * 500, np.arange(500), CLASSES)
    assert len(rows) == 100


def test_few_places_are_not_asked():
    pixels = np.zeros((LEAST - 1, 3, 64, 64), np.uint8)
    assert compare_renderings(None, pixels, pixels, np.arange(LEAST - 1) % 2) is None
    assert compare_renderings(None, pixels, pixels, np.zeros(LEAST, np.int64)) is None
