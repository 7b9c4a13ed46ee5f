from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import rasterio

import swath
from swath.errors import DataError, OutputError, SettingError
from swath.evaluation.thresholds import write_calibration
from swath.imagery import rescale_reflectance
from swath.inference import load
from swath.mapping import map_accuracy, map_scene, write_mosaic
from tests.mapping.scenes import UTM, write_scene
from tests.tiny import CLASSES, patches, write_tiny_model

NAMES = [
    "map.confidence.qml",
    "map.confidence.tif",
    "map.html",
    "map.json",
    "map.legend.png",
    "map.png",
    "map.qml",
    "map.tif",
    "map.tif.aux.xml",
]


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return load(tiny_model, threads=1)


@pytest.fixture(scope="module")
def sewn(tmp_path_factory):
    """A scene of 3 x 4 patches, its patches ``[12, 3, 64, 64]`` and its truth ``[3, 4]``."""
    labels = [CLASSES[(3 * i) % 4] for i in range(12)]
    pixels = np.concatenate([patches(label, 1, seed=i) for i, label in enumerate(labels)])
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    return path, pixels, write_mosaic(pixels, labels, CLASSES, columns=4, out=path)


def read(path, band=1):
    with rasterio.open(path) as dataset:
        return dataset.read(band)


def cells(path):
    with rasterio.open(path) as dataset:
        return dataset.read().transpose(1, 2, 0)


def test_the_map_says_what_predict_says(tmp_path, classifier, sewn):
    scene, pixels, truth = sewn
    out, probabilities = tmp_path / "map.tif", tmp_path / "p" / "all.tif"
    summary = map_scene(classifier, scene, out=out, probabilities=probabilities, stride=64)
    predicted = classifier.predict(pixels)
    np.testing.assert_allclose(cells(probabilities).reshape(12, -1), predicted.probabilities, atol=1e-3)
    expected = predicted.probabilities.argmax(axis=1).reshape(3, 4) + 1
    np.testing.assert_array_equal(read(out), expected.repeat(64, axis=0).repeat(64, axis=1))
    sure = np.rint(100 * predicted.confidence).reshape(3, 4)
    np.testing.assert_array_equal(read(tmp_path / "map.confidence.tif")[::64, ::64], sure)
    result = map_accuracy(out, truth, 64)
    assert result.patches == 12
    assert result.patches_right == sum(predicted.labels[i] == CLASSES[t] for i, t in enumerate(truth.ravel()))
    assert (summary.windows, summary.classified, summary.nodata_pixels) == (12, 12, 0)
    assert sum(summary.hectares.values()) == pytest.approx(12 * 64 * 64 / 100, rel=1e-3)
    with rasterio.open(probabilities) as dataset:
        assert dataset.descriptions == CLASSES
        assert dataset.res == (640, 640)


def test_everything_is_written_beside_the_map(tmp_path, classifier, sewn):
    seen = []
    summary = map_scene(
        classifier, sewn[0], out=tmp_path / "map.tif", progress=lambda *a, **k: seen.append(a), stride=64
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == NAMES
    assert {p.name for p in summary.files.all()} == set(NAMES)
    assert seen[0] == ("mapping", 0, 12)  # a rate counts from here
    assert ("mapping", 12, 12) in seen
    record = json.loads((tmp_path / "map.json").read_text())
    assert record["swath"] == swath.__version__
    assert record["model"]["data_fingerprint"] == "0" * 64
    assert len(record["model"]["sha256"]) == 64
    assert record["scene"]["name"] == "scene.tif"
    assert record["scene"]["transform"] == list(UTM["transform"])[:6]
    assert record["bands"] == {"model": ["red", "green", "blue"], "scene": [1, 2, 3], "how": "by name"}
    assert record["classes"][1]["name"] == "Residential"
    assert {c["name"]: c["hectares"] for c in record["classes"]} == summary.hectares
    assert sum(c["share"] for c in record["classes"]) == pytest.approx(1)


def test_overlapping_windows_average_their_probabilities(tmp_path, classifier, sewn):
    scene, pixels, _ = sewn
    whole = pixels.reshape(3, 4, 3, 64, 64).transpose(2, 0, 3, 1, 4).reshape(3, 192, 256)
    map_scene(classifier, str(scene), out=str(tmp_path / "map.tif"), stride=32, probabilities=str(tmp_path / "p.tif"))
    found = cells(tmp_path / "p.tif")
    assert found.shape == (6, 8, 4)
    # A cell in the middle lies under four windows; the corner's are mirrored at two edges.
    four = [whole[:, r : r + 64, c : c + 64] for r in (32, 64) for c in (96, 128)]
    np.testing.assert_allclose(found[2, 4], classifier.predict(np.stack(four)).probabilities.mean(axis=0), atol=1e-3)
    mirrored = np.pad(whole, ((0, 0), (32, 32), (32, 32)), mode="reflect")
    four = [mirrored[:, r : r + 64, c : c + 64] for r in (0, 32) for c in (0, 32)]
    np.testing.assert_allclose(found[0, 0], classifier.predict(np.stack(four)).probabilities.mean(axis=0), atol=1e-3)


def test_the_batch_size_changes_nothing(tmp_path, classifier, sewn):
    maps = []
    for batch_size in (1, 5, 256):
        map_scene(classifier, sewn[0], out=tmp_path / f"{batch_size}.tif", stride=24, batch_size=batch_size)
        maps.append(read(tmp_path / f"{batch_size}.tif"))
    assert (maps[0] == maps[1]).all()
    assert (maps[0] == maps[2]).all()


@pytest.mark.parametrize("size", [(1, 1), (10, 200), (64, 64), (65, 63), (130, 101)])
@pytest.mark.parametrize("stride", [64, 20])
def test_every_pixel_gets_a_class_at_any_size(tmp_path, classifier, size, stride):
    values = np.broadcast_to(patches("Forest", 1)[0][:, :1, :1], (3, *size))
    summary = map_scene(classifier, write_scene(tmp_path / "s.tif", values), out=tmp_path / "map.tif", stride=stride)
    assert read(tmp_path / "map.tif").shape == size
    assert (read(tmp_path / "map.tif") == 1).all()
    assert summary.legend[0].pixels == size[0] * size[1]


def test_nodata_stays_without_a_class_and_empty_windows_are_not_classified(tmp_path, classifier):
    values = np.concatenate([patches("SeaLake", 3)[i] for i in range(3)], axis=2)  # 64 x 192
    values[:, :, :64] = 0
    values[:, 30:34, 70:80] = 0
    scene = write_scene(tmp_path / "s.tif", values, nodata=0)
    summary = map_scene(classifier, scene, out=tmp_path / "map.tif", probabilities=tmp_path / "p.tif", stride=64)
    labels, sure = read(tmp_path / "map.tif"), read(tmp_path / "map.confidence.tif")
    empty = (values == 0).all(axis=0)
    np.testing.assert_array_equal(labels == 0, empty)
    np.testing.assert_array_equal(sure == 255, empty)
    assert summary.nodata_pixels == 64 * 64 + 40
    assert (summary.windows, summary.classified) == (3, 2)
    assert np.isnan(cells(tmp_path / "p.tif")).all(axis=2).tolist() == [[True, False, False]]


def test_a_scene_without_any_data_is_mapped_as_such(tmp_path, classifier):
    scene = write_scene(tmp_path / "s.tif", np.zeros((3, 70, 70), np.uint8), nodata=0)
    summary = map_scene(classifier, scene, out=tmp_path / "map.tif")
    assert not read(tmp_path / "map.tif").any()
    assert summary.classified == 0
    assert any("no data at all" in w for w in summary.warnings)


def test_a_scene_without_a_place_is_mapped_with_a_warning(tmp_path, classifier):
    scene = write_scene(tmp_path / "s.tif", patches("River", 1)[0], crs=None, transform=None)
    summary = map_scene(classifier, scene, out=tmp_path / "map.tif")
    assert summary.hectares is None
    assert summary.crs is None
    assert any("coordinate reference system" in w for w in summary.warnings)
    record = json.loads((tmp_path / "map.json").read_text())
    assert record["classes"][0]["hectares"] is None
    assert record["warnings"] == list(summary.warnings)


def test_reflectance_is_mapped_once_rendered(tmp_path, classifier):
    wanted = patches("River", 2)
    reflectance = np.rint((wanted.astype(float) - 1) * 2750 / 254).astype(np.uint16)
    assert (rescale_reflectance(reflectance) == np.where(reflectance == 0, 0, wanted)).all()
    scene = write_scene(tmp_path / "s.tif", np.concatenate(list(reflectance), axis=2))
    with pytest.raises(DataError, match="--rescale 0:2750"):
        map_scene(classifier, scene, out=tmp_path / "map.tif", stride=64)
    assert [p.name for p in tmp_path.iterdir()] == ["s.tif"]
    map_scene(
        classifier, scene, out=tmp_path / "map.tif", rescale=(0, 2750), probabilities=tmp_path / "p.tif", stride=64
    )
    np.testing.assert_allclose(cells(tmp_path / "p.tif")[0], classifier.predict(wanted).probabilities, atol=1e-3)


def test_a_nodata_value_without_end_is_recorded(tmp_path, classifier):
    values = np.full((3, 64, 64), 0.1, np.float32)
    values[:, :, :8] = -np.inf
    scene = write_scene(tmp_path / "s.tif", values, nodata=float("-inf"))
    map_scene(classifier, scene, out=tmp_path / "map.tif", rescale=(0, 0.275))
    assert json.loads((tmp_path / "map.json").read_text())["nodata"] == "-inf"


def test_bands_can_be_chosen(tmp_path, classifier):
    backwards = write_scene(tmp_path / "s.tif", patches("SeaLake", 1)[0][::-1])
    summary = map_scene(classifier, backwards, out=tmp_path / "map.tif", bands=(3, 2, 1))
    assert summary.bands.indexes == (3, 2, 1)
    assert (read(tmp_path / "map.tif") == 4).all()


class _Failing:
    """An engine that breaks down after some batches."""

    name = "failing"

    def __init__(self, engine, batches):
        self._engine, self._left = engine, batches

    def run(self, pixels, wanted):
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._engine.run(pixels, wanted)


def test_a_stopped_map_leaves_nothing_and_starts_over(tmp_path, tiny_model, sewn):
    broken = load(tiny_model, threads=1)
    broken._engine = _Failing(broken._engine, 2)
    with pytest.raises(KeyboardInterrupt):
        map_scene(broken, sewn[0], out=tmp_path / "map.tif", probabilities=tmp_path / "p.tif", batch_size=4, stride=64)
    assert list(tmp_path.iterdir()) == []
    map_scene(load(tiny_model, threads=1), sewn[0], out=tmp_path / "map.tif", stride=64)
    assert sorted(p.name for p in tmp_path.iterdir()) == NAMES


@pytest.mark.parametrize("step", ["strips.Strips._read", "paint.Painter.add", "writer.make_cog"])
def test_an_error_while_reading_or_writing_leaves_nothing(tmp_path, classifier, sewn, monkeypatch, step):
    monkeypatch.setattr(f"swath.mapping.{step}", _no_space)
    with pytest.raises(OutputError, match="no space"):
        map_scene(classifier, sewn[0], out=tmp_path / "map.tif")
    assert list(tmp_path.iterdir()) == []


def _no_space(*args, **options):
    raise OutputError("no space")


def test_the_same_map_comes_of_any_way_to_classify(tmp_path, tiny_model, sewn):
    """The tiny network pads nothing: its total stride is 8."""
    exact = load(tiny_model, engine="onnxruntime", threads=1)
    found = {}
    for dense in (False, True, None):
        out = tmp_path / f"{dense}.tif"
        options = {"dense": dense, "probabilities": tmp_path / "p.tif", "overwrite": True}
        summary = map_scene(exact, sewn[0], out=out, stride=8, **options)
        assert summary.dense == (dense is not False)
        assert json.loads(summary.files.record.read_text())["dense"] == summary.dense
        found[dense] = read(out), cells(tmp_path / "p.tif")
    for labels, probabilities in (found[True], found[None]):
        np.testing.assert_array_equal(labels, found[False][0])
        np.testing.assert_allclose(probabilities, found[False][1], atol=1e-5)


def test_a_move_that_fails_leaves_no_class_raster(tmp_path, classifier, sewn):
    """Where the class raster is, all else is: it is moved last."""

    def block(stage, done, total, **_):
        if stage == "writing" and done == total:
            (tmp_path / "map.json").mkdir()
            (tmp_path / "map.json" / "in the way").touch()

    with pytest.raises(OSError, match=r"map\.json"):
        map_scene(classifier, sewn[0], out=tmp_path / "map.tif", progress=block)
    assert not (tmp_path / "map.tif").exists()


def test_outputs_are_checked_before_any_work(tmp_path, classifier, sewn):
    (tmp_path / "map.json").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        map_scene(classifier, sewn[0], out=tmp_path / "map.tif")
    assert (tmp_path / "map.json").read_text() == "mine"
    map_scene(classifier, sewn[0], out=tmp_path / "map.tif", overwrite=True)
    assert json.loads((tmp_path / "map.json").read_text())["swath"]
    for options in ({"out": tmp_path / "map.png"}, {"out": tmp_path / "m.tif", "probabilities": tmp_path / "p.npy"}):
        with pytest.raises(SettingError, match=r"does not end in \.tif"):
            map_scene(classifier, sewn[0], overwrite=True, **options)
    with pytest.raises(SettingError, match="same file"):
        map_scene(classifier, sewn[0], out=tmp_path / "m.tif", probabilities=tmp_path / "m.tif")


def test_a_map_never_replaces_its_scene(tmp_path, classifier):
    scene = write_scene(tmp_path / "s.tif", patches("River", 1)[0])
    before = scene.read_bytes()
    with pytest.raises(SettingError, match="is the scene itself"):
        map_scene(classifier, scene, out=scene, overwrite=True)
    assert scene.read_bytes() == before


@pytest.mark.parametrize(
    ("bands", "options", "error", "message"),
    [
        (2, {}, DataError, "has 2 bands and the model needs 3"),
        (3, {"bands": (1, 2)}, SettingError, "2 bands were asked for"),
        (3, {"stride": 65}, SettingError, "from 1 to 64"),
        (3, {"stride": 0}, SettingError, "from 1 to 64"),
    ],
)
def test_bad_input_leaves_nothing_behind(tmp_path, classifier, bands, options, error, message):
    scene = write_scene(tmp_path / "s.tif", np.ones((bands, 70, 70), np.uint8))
    with pytest.raises(error, match=message):
        map_scene(classifier, scene, out=tmp_path / "map.tif", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["s.tif"]


def test_a_model_of_too_many_classes_is_refused(tmp_path, sewn):
    names = ("Forest", *(f"class {i}" for i in range(254)))
    many = load(write_tiny_model(tmp_path / "many.onnx", names), threads=1)
    with pytest.raises(DataError, match="254 classes at most"):
        map_scene(many, sewn[0], out=tmp_path / "map.tif")


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_models_of_other_tasks_are_mapped(tmp_path, task):
    names = ("Forest", "River") if task == "binary" else ("Forest", "River", "SeaLake")
    shown = ("Forest", "River", "Forest", "Residential")
    pixels = np.concatenate([np.concatenate([patches(c, 1)[0] for c in shown], axis=2)], axis=0)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": 64, "width": 256}
    with rasterio.open(
        tmp_path / "scene.tif", "w", crs="EPSG:32632", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), **profile
    ) as scene:
        scene.write(pixels)
    thresholds = {"River": 0.9999} if task == "binary" else {"Forest": 0.99995, "River": 0.97, "SeaLake": 0.95}
    model = load(
        write_tiny_model(tmp_path / "m.onnx", names, task=task, thresholds=thresholds), engine="onnxruntime", threads=1
    )
    found = map_scene(
        model, tmp_path / "scene.tif", out=tmp_path / "map.tif", probabilities=tmp_path / "p.tif", stride=64
    )
    said = model.predict(np.stack(np.split(pixels, 4, axis=2)))
    with rasterio.open(tmp_path / "map.tif") as made, rasterio.open(tmp_path / "p.tif") as cells:
        values = made.read(1)[32, 32::64]
        assert cells.descriptions == names
    for value, labels, p in zip(values, said.label_sets, said.probabilities, strict=True):
        if task == "binary":
            assert names[value - 1] == labels[0]
        elif labels:
            assert names[value - 1] == max(labels, key=lambda n: p[names.index(n)])
        else:
            assert value == 4
    shown = ElementTree.fromstring((tmp_path / "map.qml").read_text()).iter("paletteEntry")
    # What a binary model does not look for lets the scene through.
    wanted = ["0", "255"] if task == "binary" else ["255"] * 4
    assert [entry.attrib["alpha"] for entry in shown] == wanted
    listed = json.loads((tmp_path / "map.json").read_text())
    assert [c["name"] for c in listed["classes"]] == [*names, *(["none of these"] if task == "multi-label" else [])]
    assert listed["model"]["task"] == task
    assert listed["model"]["thresholds"] == thresholds
    assert sum(total.pixels for total in found.legend) == 64 * 256
    if task == "multi-label":
        assert 0 < found.legend[-1].pixels < 64 * 256


@pytest.fixture(scope="module")
def doubting(classifier, tiny_index, tmp_path_factory):
    """The same model, which can tell what is not like its training data."""
    out = tmp_path_factory.mktemp("doubting") / "model.onnx"
    write_calibration(classifier, tiny_index, out, false_alarms=0.05)
    return load(out, threads=1)


def test_what_is_not_like_the_training_data_is_marked(tmp_path, doubting, classifier, sewn):
    _, pixels, _ = sewn
    changed = pixels.copy()
    changed[:4] = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64))
    scene, out = tmp_path / "scene.tif", tmp_path / "map.tif"
    write_mosaic(changed, [CLASSES[0]] * 12, CLASSES, columns=4, out=scene)
    summary = map_scene(doubting, scene, out=out, stride=64)
    label_matrix = read(tmp_path / "map.ood.tif")
    expected = doubting.predict(changed).is_ood.reshape(3, 4)
    assert expected[0].all()
    np.testing.assert_array_equal(label_matrix, expected.repeat(64, axis=0).repeat(64, axis=1))
    assert summary.ood_share == pytest.approx(expected.mean())
    assert json.loads((tmp_path / "map.json").read_text())["ood"] == pytest.approx(summary.ood_share, abs=1e-4)
    assert any("unlike the training data" in warning for warning in summary.warnings)
    whole = read(out)
    finer = map_scene(doubting, scene, out=tmp_path / "fine.tif", stride=16, dense=False)
    assert finer.ood_share > summary.ood_share  # windows across two of the patches are like none
    assert map_scene(doubting, scene, out=tmp_path / "dense.tif", stride=16, dense=True).ood_share == finer.ood_share
    for layer in ("", ".confidence", ".ood"):
        one, other = (read(tmp_path / f"{way}{layer}.tif").astype(int) for way in ("fine", "dense"))
        assert np.abs(one - other).max() <= (1 if layer == ".confidence" else 0)
    # A model that cannot tell leaves no raster, not even an old one.
    plain = map_scene(classifier, scene, out=out, overwrite=True, stride=64)
    assert plain.ood_share is None
    assert not (tmp_path / "map.ood.tif").exists()
    np.testing.assert_array_equal(read(out), whole)


def test_overviews_of_what_is_ood_keep_what_is_like(tmp_path, doubting):
    """Scattered pixels without data, four of which never lie in one block: none is left at half the resolution."""
    tiles = patches("SeaLake", 144).reshape(12, 12, 3, 64, 64).transpose(2, 0, 3, 1, 4).reshape(3, 768, 768)
    pixels = np.maximum(tiles, 1)
    pixels[:, ::6, ::6] = 0
    scene = write_scene(tmp_path / "s.tif", pixels, nodata=0)
    map_scene(doubting, scene, out=tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.ood.tif") as file:
        assert file.overviews(1)
        fine = file.read(1)
    with rasterio.open(tmp_path / "map.ood.tif", overview_level=0) as file:
        coarse = file.read(1)
    assert (fine == 255).mean() == pytest.approx(1 / 36, abs=1e-3)
    assert not (coarse == 255).any()
    assert (coarse == 1).mean() == pytest.approx((fine == 1).sum() / (fine != 255).sum(), abs=0.01)


def test_names_that_gdal_cannot_be_given_are_one_sentence(tmp_path, classifier, sewn):
    odd = tmp_path / os.fsdecode(b"m\xff.tif")
    with pytest.raises(SettingError, match="is not UTF-8; rename it"):
        map_scene(classifier, sewn[0], out=odd)
    odd.write_bytes(sewn[0].read_bytes())
    with pytest.raises(SettingError, match="is not UTF-8; rename it"):
        map_scene(classifier, odd, out=tmp_path / "map.tif")
