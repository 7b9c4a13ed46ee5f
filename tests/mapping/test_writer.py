from __future__ import annotations

import json
import re

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import swath
from swath.errors import OutputError
from swath.mapping import make_grid
from swath.mapping.writer import (
    NO_CONFIDENCE,
    NODATA,
    ArrayWriter,
    Layer,
    category_names,
    check_whole,
    map_layers,
    mean,
    most_frequent,
    raster_writers,
)
from swath.model.record import class_infos
from swath.progress import silent
from tests.mapping.scenes import UTM

CLASSES = class_infos(("Forest", "River & bank <1 km", "SeaLake"))
SIZE = (1100, 700)


def field():
    """Large fields of classes 1-3 and nodata, ``[H, W]`` uint8."""
    rows, cols = np.indices(SIZE)
    return ((rows // 100 + cols // 130) % 4).astype(np.uint8)


def layers(**options):
    return map_layers(make_grid(*SIZE, patch=64, stride=64), CLASSES, **{"ood": False} | options)


def write(folder, classes=None, confidence=None, *, step=37):
    """Write a map of one confidence unless others are given; returns its files and its preview."""
    values = {
        "classes": field() if classes is None else classes,
        "confidence": np.full(SIZE, 80, np.uint8) if confidence is None else confidence,
    }
    paths = {name: folder / f"{name}.tif" for name in values}
    with raster_writers(layers(), paths, **UTM, tags={}, progress=silent) as to:
        for start in range(0, SIZE[0], step):
            for name, rows in values.items():
                to[name].write(rows[None, start : start + step])
    return paths, to["classes"].preview


def test_the_class_raster_is_a_whole_cog(tmp_path):
    paths, _ = write(tmp_path)
    with rasterio.open(paths["classes"]) as cog:
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert cog.block_shapes == [(512, 512)]
        assert cog.overviews(1) == [2, 4]
        assert (cog.count, cog.dtypes[0], cog.nodata) == (1, "uint8", NODATA)
        assert (cog.crs.to_epsg(), cog.transform) == (32632, UTM["transform"])
        assert cog.colorinterp[0].name == "palette"
        table = cog.colormap(1)
        assert table[0] == (0, 0, 0, 0)
        assert [table[i + 1] for i in range(3)] == [(*c.rgb, 255) for c in CLASSES]
        np.testing.assert_array_equal(cog.read(1), field())
        coarse = cog.read(1, out_shape=(SIZE[0] // 4, SIZE[1] // 4))
        assert set(np.unique(coarse)) <= {0, 1, 2, 3}, "overviews never mix classes"
        assert cog.tags()["TIFFTAG_SOFTWARE"] == f"swath {swath.__version__}"
    assert {p.name for p in tmp_path.iterdir()} == {"classes.tif", "classes.tif.aux.xml", "confidence.tif"}


def test_overviews_take_the_most_frequent_class(tmp_path):
    values = np.ones(SIZE, np.uint8)
    values[::2, ::2] = 3  # a quarter of the pixels, and all that nearest would take
    paths, _ = write(tmp_path, values)
    with rasterio.open(paths["classes"], overview_level=0) as cog:
        assert (cog.read(1) == 1).all()


def test_the_preview_is_the_first_overview_that_is_small(tmp_path, monkeypatch):
    _, whole = write(tmp_path)
    np.testing.assert_array_equal(whole, field())
    monkeypatch.setattr("swath.mapping.writer.PREVIEW", 1000)
    paths, preview = write(tmp_path)
    with rasterio.open(paths["classes"], overview_level=0) as cog:
        np.testing.assert_array_equal(preview, cog.read(1))


def test_gdal_reads_the_names_of_the_classes(tmp_path):
    out = write(tmp_path)[0]["classes"]
    # rasterio has no call for category names; a VRT holds what GDAL knows of its source.
    rasterio.shutil.copy(out, tmp_path / "m.vrt", driver="VRT")
    names = re.findall(r"<Category>(.*?)</Category>", (tmp_path / "m.vrt").read_text())
    assert names == ["No data", "Forest", "River &amp; bank &lt;1 km", "SeaLake"]
    with rasterio.open(out) as cog:
        assert json.loads(cog.tags(1)["class_names"]) == category_names(CLASSES)


def test_the_confidence_is_a_cog_with_its_own_nodata(tmp_path):
    values = np.full(SIZE, 80, np.uint8)
    values[:, 300:] = NO_CONFIDENCE
    paths, _ = write(tmp_path, confidence=values)
    with rasterio.open(paths["confidence"]) as cog:
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (cog.nodata, cog.descriptions) == (255, ("confidence, percent",))
        np.testing.assert_array_equal(cog.read(1), values)
        coarse = cog.read(1, out_shape=(SIZE[0] // 4, SIZE[1] // 4))
        assert set(np.unique(coarse)) == {80, 255}, "nodata takes no part in the averages"


@pytest.mark.parametrize("step", [1, 512, 1100])
def test_rows_of_any_height_end_up_in_their_place(tmp_path, step):
    paths, _ = write(tmp_path, step=step)
    with rasterio.open(paths["classes"]) as dataset:
        np.testing.assert_array_equal(dataset.read(1), field())


def test_arrays_hold_what_rasters_hold():
    writers = {layer.name: ArrayWriter(layer) for layer in layers(ood=True, probabilities=("a", "b"))}
    for start in range(0, SIZE[0], 37):
        writers["classes"].write(field()[None, start : start + 37])
    np.testing.assert_array_equal(writers["classes"].array[0], field())
    assert {name: (writer.array.shape, writer.array.dtype.name) for name, writer in writers.items()} == {
        "classes": ((1, *SIZE), "uint8"),
        "confidence": ((1, *SIZE), "uint8"),
        "ood": ((1, *SIZE), "uint8"),
        "probabilities": ((2, 18, 11), "float32"),
    }


def test_a_wide_raster_is_buffered_in_fewer_rows(tmp_path):
    wide = Layer("probabilities", tuple(f"c{i}" for i in range(20)), 32, 20_000, "float32", float("nan"), cell=4)
    path = tmp_path / "p.tif"
    with raster_writers([wide], {wide.name: path}, **UTM, tags={}, progress=silent) as to:
        to[wide.name].write(np.zeros((20, 32, 20_000), np.float32))
    with rasterio.open(path) as dataset:
        assert dataset.block_shapes[0] == (16, 16)
        assert dataset.descriptions[19] == "c19"
        assert dataset.res == (40, 40)


def test_a_raster_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "no")


@pytest.mark.parametrize("lost", [100, 5000])
def test_a_raster_that_lost_its_end_is_not_whole(tmp_path, lost):
    """As a disk that fills up leaves it: GDAL closes it without a word."""
    out = write(tmp_path)[0]["classes"]
    check_whole(out)
    out.write_bytes(out.read_bytes()[:-lost])
    with pytest.raises(OutputError, match="not written to its end"):
        check_whole(out)


def names(folder):
    return sorted(p.name for p in folder.rglob("*"))


SMALL = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def blocks(values):
    """The four pixels of each 2 x 2 block in reading order; a last odd row or column counts twice."""
    whole = np.pad(values, [(0, side % 2) for side in values.shape], mode="edge")
    for row in range(0, whole.shape[0], 2):
        for col in range(0, whole.shape[1], 2):
            yield (row // 2, col // 2), whole[row : row + 2, col : col + 2].ravel().tolist()


@settings(max_examples=100)
@given(SMALL)
def test_the_most_frequent_of_four_is_taken(values):
    found = most_frequent(values)
    assert found.dtype == np.uint8
    assert found.shape == tuple(-(-side // 2) for side in values.shape)
    for place, four in blocks(values):
        there = [v for v in four if v] or [0]
        assert found[place] == max(there, key=there.count), "the first in reading order, of equals"


@settings(max_examples=100)
@given(SMALL, st.sampled_from([0, 255]))
def test_the_mean_is_of_what_is_there(values, nodata):
    found = mean(values, nodata=nodata)
    for place, four in blocks(values):
        there = [v for v in four if v != nodata]
        assert found[place] == (np.floor(np.mean(there) + 0.5) if there else nodata)


def test_means_do_not_overflow():
    assert mean(np.full((4, 4), 254, np.uint8)).tolist() == [[254, 254], [254, 254]]
    assert mean(np.array([[254, 254], [254, 255]], np.uint8)).tolist() == [[254]]


@pytest.mark.parametrize("halve", [most_frequent, mean])
def test_rows_can_come_in_parts(halve):
    values = np.random.default_rng(0).integers(0, 256, (30, 21)).astype(np.uint8)
    parts = [halve(values[start : start + 8]) for start in range(0, 30, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), halve(values))
