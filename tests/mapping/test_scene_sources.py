"""Whatever a scene comes from, and wherever its map goes, the map is the same."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from swath.errors import DataError, SettingError
from swath.evaluation.thresholds import write_calibration
from swath.inference import load
from swath.mapping import Map, map_scene
from tests.mapping.scenes import UTM, write_scene
from tests.tiny import CLASSES, patches


@pytest.fixture(scope="module")
def classifier(tiny_model, tiny_index, tmp_path_factory):
    """The tiny model, with what it needs to detect patches unlike its training data."""
    out = tmp_path_factory.mktemp("model") / "model.onnx"
    write_calibration(load(tiny_model, threads=1), tiny_index, out, false_alarms=0.05)
    return load(out, threads=1)


@pytest.fixture(scope="module")
def pixels():
    """uint8 ``[3, 128, 192]``: six patches, one of noise, with a hole where there is no data."""
    scene = np.concatenate([patches(CLASSES[i % 4], 1, seed=i) for i in range(6)])
    scene[5] = np.random.default_rng(0).integers(1, 256, (3, 64, 64))
    scene[2, :, :10] = 0
    return scene.reshape(2, 3, 3, 64, 64).transpose(2, 0, 3, 1, 4).reshape(3, 128, 192)


@pytest.fixture(scope="module")
def path(pixels, tmp_path_factory):
    return write_scene(tmp_path_factory.mktemp("scene") / "s.tif", pixels, nodata=0)


@pytest.fixture(scope="module")
def on_disk(classifier, path, tmp_path_factory) -> Map:
    out = tmp_path_factory.mktemp("map") / "map.tif"
    return map_scene(classifier, path, out=out, stride=32, dense=False, probabilities=True)


def layer(made: Map, name: str):
    with rasterio.open(getattr(made.files, name)) as dataset:
        return dataset.read()


def assert_same(made: Map, expected: Map):
    """A map in memory is the one on disk, pixel by pixel."""
    for name in ("classes", "confidence", "ood", "probabilities"):
        np.testing.assert_array_equal(made.layers[name], layer(expected, name))
    assert made.legend == expected.legend
    assert (made.crs, made.transform) == (expected.crs, expected.transform)
    assert made.nodata_pixels == expected.nodata_pixels == 640
    assert made.ood_share == expected.ood_share > 0


def test_a_map_in_memory_is_the_one_on_disk_and_nothing_is_written(classifier, path, on_disk, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = map_scene(classifier, path, stride=32, dense=False, probabilities=True)
    assert_same(made, on_disk)
    assert list(tmp_path.iterdir()) == []
    assert made.array.shape == made.confidence.shape == (128, 192)
    assert {entry.value for entry in made.legend if entry.pixels} == set(np.unique(made.array)) - {0}
    assert {entry.name: entry.hectares for entry in made.legend} == made.hectares
    assert on_disk.files.probabilities.name == "map.probabilities.tif"


def test_arrays_are_scenes(classifier, pixels, on_disk):
    options = {"stride": 32, "dense": False, "probabilities": True, "nodata": 0}
    affine = UTM["transform"]
    assert_same(map_scene(classifier, pixels, crs=UTM["crs"], transform=affine, **options), on_disk)
    last = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    place = {"crs": 32632, "transform": tuple(affine)[:6]}
    assert_same(map_scene(classifier, last, **place, **options), on_disk)
    hidden = np.ma.masked_array(pixels, np.broadcast_to((pixels == 0).all(axis=0), pixels.shape))
    assert_same(map_scene(classifier, hidden, **place, stride=32, dense=False, probabilities=True), on_disk)


def test_an_array_has_no_place_unless_one_is_given(classifier, pixels):
    made = map_scene(classifier, pixels)
    assert made.crs is None
    assert made.hectares is None
    assert "no CRS" in repr(made)


@pytest.mark.parametrize("kind", ["open", "vsi", "str"])
def test_datasets_and_names_are_scenes(classifier, path, on_disk, kind):
    if kind == "open":
        with rasterio.open(path) as dataset:
            made = map_scene(classifier, dataset, stride=32, dense=False, probabilities=True)
            assert not dataset.closed
    elif kind == "vsi":
        with rasterio.MemoryFile(path.read_bytes(), filename="s.tif") as memory:
            made = map_scene(classifier, memory.name, stride=32, dense=False, probabilities=True)
    else:
        made = map_scene(classifier, str(path), stride=32, dense=False, probabilities=True)
    assert_same(made, on_disk)


def test_a_model_can_be_given_by_its_name_or_path(tiny_model, path):
    assert map_scene(tiny_model, path).array.shape == (128, 192)
    assert len(map_scene("eurosat", path).legend) == 10


@pytest.mark.parametrize("scene", [7, None, [[1, 2]], b"s.tif"])
def test_what_is_no_scene_is_refused(classifier, scene):
    with pytest.raises(DataError, match="rasterio dataset"):
        map_scene(classifier, scene)


@pytest.mark.parametrize("shape", [(3, 3, 3), (64, 64, 64), (2, 3, 64, 64), (3, 0, 64)])
def test_arrays_whose_bands_are_unclear_are_refused(classifier, shape):
    with pytest.raises(DataError, match=r"\[bands, H, W\]"):
        map_scene(classifier, np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", ["complex64", "bool", "datetime64[s]"])
def test_arrays_that_hold_no_plain_numbers_are_refused(classifier, dtype):
    with pytest.raises(DataError, match=r"uint8"):
        map_scene(classifier, np.zeros((3, 70, 70), dtype))


def test_a_reference_system_that_does_not_exist_is_refused(classifier, pixels):
    with pytest.raises(SettingError, match="EPSG:32632"):
        map_scene(classifier, pixels, crs="EPSG:nothing")


def test_a_name_that_leads_nowhere_is_refused(classifier):
    with pytest.raises(DataError, match="check the name"):
        map_scene(classifier, "/vsimem/nothing.tif")


def test_what_is_asked_of_the_wrong_kind_of_map_is_refused(classifier, pixels, on_disk, tmp_path):
    made = map_scene(classifier, pixels)
    with pytest.raises(SettingError, match="out"):
        _ = made.files
    with pytest.raises(SettingError, match="rasterio"):
        _ = on_disk.array
    with pytest.raises(SettingError, match="probabilities=True"):
        map_scene(classifier, pixels, probabilities=tmp_path / "p.tif")


def test_a_map_says_what_it_is(on_disk):
    text = repr(on_disk)
    assert "128 x 192" in text
    assert "EPSG:32632" in text
    assert max(on_disk.legend, key=lambda entry: entry.pixels).name in text
    assert str(on_disk.files.classes) in text


def test_no_output_is_opened_for_reading(classifier, path, tmp_path):
    """Totals, record and pictures are made of what is in memory."""
    opened = []

    def note(event, args):
        if recording and event == "open" and isinstance(args[0], str | Path):
            opened.append((Path(args[0]), args[1], args[2]))

    recording = True
    sys.addaudithook(note)  # a hook can never be removed
    map_scene(classifier, path, out=tmp_path / "map.tif", probabilities=True)
    recording = False
    below = [(name, mode, flags) for name, mode, flags in opened if name.is_relative_to(tmp_path)]
    assert {name.name for name, _, _ in below} >= {"map.json", "map.png"}
    read = {
        name.name
        for name, mode, flags in below
        if not name.is_dir() and (mode.startswith("r") if mode else flags & os.O_ACCMODE == os.O_RDONLY)
    }
    assert read <= {".map.tif.partial"}, "the folder is listed when it is removed"


@pytest.fixture
def labeled(pixels):
    xarray = pytest.importorskip("xarray")
    affine = UTM["transform"]
    return xarray.DataArray(
        pixels,
        dims=("band", "y", "x"),
        coords={
            "band": ["red", "green", "blue"],
            "x": affine.c + 10 * (np.arange(192) + 0.5),
            "y": affine.f - 10 * (np.arange(128) + 0.5),
            "spatial_ref": ((), 0, {"crs_wkt": rasterio.CRS.from_epsg(32632).to_wkt()}),
        },
        attrs={"_FillValue": 0},
        name="tile",
    )


def test_data_arrays_are_scenes(classifier, labeled, on_disk):
    assert_same(map_scene(classifier, labeled, stride=32, dense=False, probabilities=True), on_disk)
    turned = labeled.transpose("y", "x", "band").isel(band=[2, 1, 0])
    made = map_scene(classifier, turned, stride=32, dense=False, probabilities=True)
    assert made.bands.indexes == (3, 2, 1)  # by name
    assert_same(made, on_disk)
    plain = labeled.drop_vars("spatial_ref").assign_attrs(crs="EPSG:32632")
    assert_same(map_scene(classifier, plain, stride=32, dense=False, probabilities=True), on_disk)


def test_a_map_becomes_a_dataset_with_its_legend_and_place(classifier, labeled, on_disk):
    made = map_scene(classifier, labeled, stride=32, dense=False).to_xarray()
    np.testing.assert_array_equal(made["classes"].values, layer(on_disk, "classes")[0])
    np.testing.assert_array_equal(made["ood"].values, layer(on_disk, "ood")[0])
    np.testing.assert_allclose(made["x"], labeled["x"])
    np.testing.assert_allclose(made["y"], labeled["y"])
    assert made["classes"].attrs["flag_values"] == [entry.value for entry in on_disk.legend]
    assert made["classes"].attrs["flag_meanings"].split() == [entry.name for entry in on_disk.legend]
    assert rasterio.CRS.from_wkt(made["spatial_ref"].attrs["crs_wkt"]) == on_disk.crs


def test_data_arrays_that_are_no_scene_are_refused(classifier, labeled):
    with pytest.raises(DataError, match="isel"):
        map_scene(classifier, labeled.expand_dims("time"))
    with pytest.raises(DataError, match="evenly spaced"):
        map_scene(classifier, labeled.isel(x=[0, 1, 2, 5, 9]))
