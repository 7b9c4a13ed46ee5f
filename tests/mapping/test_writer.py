from __future__ import annotations

import json
import re

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from swath.errors import OutputError
from swath.mapping.writer import (
    category_names,
    check_whole,
    finish_bytes,
    finish_classes,
    mean,
    most_frequent,
    row_writer,
)
from swath.model.record import class_infos
from tests.mapping.scenes import UTM

CLASSES = class_infos(("Forest", "River & bank <1 km", "SeaLake"))
SIZE = (1100, 700)


def field():
    """Large fields of classes 1-3 and nodata, ``[H, W]`` uint8."""
    rows, cols = np.indices(SIZE)
    return ((rows // 100 + cols // 130) % 4).astype(np.uint8)


@pytest.fixture
def rows(tmp_path):
    def write(values, nodata=0, step=37, halve=most_frequent):
        path = tmp_path / "rows.tif"
        place = {"width": SIZE[1], "height": SIZE[0], "bands": 1, "dtype": "uint8", "nodata": nodata}
        with row_writer(path, halve=halve, **place, **UTM) as to:
            for start in range(0, SIZE[0], step):
                to.write(values[None, start : start + step])
        return path

    return write


def test_the_class_raster_is_a_whole_cog(tmp_path, rows):
    out = tmp_path / "map.tif"
    finish_classes(rows(field()), out, CLASSES, software="swath test")
    with rasterio.open(out) as cog:
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert cog.block_shapes == [(512, 512)]
        assert cog.overviews(1) == [2, 4]
        assert (cog.count, cog.dtypes[0], cog.nodata) == (1, "uint8", 0)
        assert (cog.crs.to_epsg(), cog.transform) == (32632, UTM["transform"])
        assert cog.colorinterp[0].name == "palette"
        table = cog.colormap(1)
        assert table[0] == (0, 0, 0, 0)
        assert [table[i + 1] for i in range(3)] == [(*c.rgb, 255) for c in CLASSES]
        np.testing.assert_array_equal(cog.read(1), field())
        coarse = cog.read(1, out_shape=(SIZE[0] // 4, SIZE[1] // 4))
        assert set(np.unique(coarse)) <= {0, 1, 2, 3}, "overviews never mix classes"
        assert cog.tags()["TIFFTAG_SOFTWARE"] == "swath test"
    assert not (tmp_path / "rows.tif").exists()


def test_overviews_take_the_most_frequent_class(tmp_path, rows):
    values = np.ones(SIZE, np.uint8)
    values[::2, ::2] = 3  # a quarter of the pixels, and all that nearest would take
    finish_classes(rows(values), tmp_path / "map.tif", CLASSES, software="s")
    with rasterio.open(tmp_path / "map.tif", overview_level=0) as cog:
        assert (cog.read(1) == 1).all()


def test_gdal_reads_the_names_of_the_classes(tmp_path, rows):
    out = tmp_path / "map.tif"
    finish_classes(rows(field()), out, CLASSES, software="s")
    # rasterio has no call for category names; a VRT holds what GDAL knows of its source.
    rasterio.shutil.copy(out, tmp_path / "m.vrt", driver="VRT")
    names = re.findall(r"<Category>(.*?)</Category>", (tmp_path / "m.vrt").read_text())
    assert names == ["No data", "Forest", "River &amp; bank &lt;1 km", "SeaLake"]
    with rasterio.open(out) as cog:
        assert json.loads(cog.tags(1)["class_names"]) == category_names(CLASSES)


def test_the_confidence_is_a_cog_with_its_own_nodata(tmp_path, rows):
    values = np.full(SIZE, 80, np.uint8)
    values[:, 300:] = 255
    finish_bytes(
        rows(values, nodata=255, halve=mean), tmp_path / "c.tif", name="confidence, percent", software="s"
    )
    with rasterio.open(tmp_path / "c.tif") as cog:
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (cog.nodata, cog.descriptions) == (255, ("confidence, percent",))
        np.testing.assert_array_equal(cog.read(1), values)
        coarse = cog.read(1, out_shape=(SIZE[0] // 4, SIZE[1] // 4))
        assert set(np.unique(coarse)) == {80, 255}, "nodata takes no part in the averages"


def test_rows_of_any_height_end_up_in_their_place(rows):
    for step in (1, 512, 1100):
        with rasterio.open(rows(field(), step=step)) as dataset:
            np.testing.assert_array_equal(dataset.read(1), field())


def test_a_wide_raster_is_buffered_in_fewer_rows(tmp_path):
    place = {"width": 20_000, "height": 32, "bands": 20, "dtype": "float32", "nodata": float("nan")}
    with row_writer(tmp_path / "p.tif", names=[f"c{i}" for i in range(20)], **place, **UTM) as to:
        to.write(np.zeros((20, 32, 20_000), np.float32))
    with rasterio.open(tmp_path / "p.tif") as dataset:
        assert dataset.block_shapes[0] == (16, 16)
        assert dataset.descriptions[19] == "c19"


def test_what_cannot_be_written_is_said(tmp_path):
    place = {"width": 8, "height": 8, "bands": 1, "dtype": "uint8", "nodata": 0}
    with (
        pytest.raises(OutputError, match="cannot write"),
        row_writer(tmp_path / "no" / "x.tif", **place, **UTM),
    ):
        pytest.fail("there is no such folder")


@pytest.mark.parametrize("lost", [100, 5000])
def test_a_raster_that_lost_its_end_is_not_whole(tmp_path, rows, lost):
    """As a disk that fills up leaves it: GDAL closes it without a word."""
    out = tmp_path / "map.tif"
    finish_bytes(rows(field()), out, name="confidence", software="swath test")
    check_whole(out)
    out.write_bytes(out.read_bytes()[:-lost])
    with pytest.raises(OutputError, match="not written to its end"):
        check_whole(out)
