"""A VRT is read where it names local rasters, and refused where it names anything else."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import rasterio.shutil
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from swath.errors import DataError
from swath.imagery.vrt import check_vrt
from swath.mapping.opening import open_file
from swath.mapping.reader import open_scene
from tests.mapping.scenes import write_scene

PIXELS = np.random.default_rng(0).integers(1, 255, (3, 40, 60)).astype(np.uint8)


@pytest.fixture
def vrt(tmp_path):
    scene = write_scene(tmp_path / "a.tif", PIXELS)
    rasterio.shutil.copy(scene, tmp_path / "a.vrt", driver="VRT")
    return tmp_path / "a.vrt"


def read(path):
    with open_scene(path) as scene:
        return scene.read([1, 2, 3], Window(0, 0, scene.width, scene.height))[0]


def test_a_vrt_of_rasters_and_one_of_vrts_are_read(vrt, tmp_path):
    np.testing.assert_array_equal(read(vrt), PIXELS)
    rasterio.shutil.copy(vrt, tmp_path / "b.vrt", driver="VRT")
    np.testing.assert_array_equal(read(tmp_path / "b.vrt"), PIXELS)


def test_a_warped_one_is_read(vrt, tmp_path):
    with rasterio.open(tmp_path / "a.tif") as scene, WarpedVRT(scene, crs="EPSG:32633") as warped:
        wanted = warped.read()
        rasterio.shutil.copy(warped, tmp_path / "w.vrt", driver="VRT")
    np.testing.assert_array_equal(read(tmp_path / "w.vrt"), wanted)


SOURCE = '<SourceFilename relativeToVRT="1">a.tif</SourceFilename>'


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (SOURCE, "<SourceFilename>/vsicurl/http://127.0.0.1:1/a.tif</SourceFilename>", "is no local file"),
        (SOURCE, "<SourceFilename>http://127.0.0.1:1/a.tif</SourceFilename>", "is no local file"),
        (SOURCE, '<SourceFilename relativeToVRT="1">gone.tif</SourceFilename>', "is no local file"),
        (SOURCE, "<SourceFilename>NETCDF:a.nc:b</SourceFilename>", "is no local file"),
        (SOURCE, "<SourceFilename>&lt;VRTDataset/></SourceFilename>", "is no local file"),
        (SOURCE, "<SourceFilename>/etc/passwd</SourceFilename>", "is not a JPEG, PNG"),
        (
            'band="1"',
            'band="1" subClass="VRTRawRasterBand"',
            "holds a VRTRawRasterBand, which may read or run anything",
        ),
        ('band="1"', 'band="1" subClass="VRTDerivedRasterBand"', "holds a VRTDerivedRasterBand"),
        ("<ColorInterp>Red", "<PixelFunctionCode>x</PixelFunctionCode><ColorInterp>Red", "holds a PixelFunctionCode"),
        ('key="AREA_OR_POINT"', 'key="X_DATASET"', "names a grid of coordinates"),
        ("<VRTDataset", "<!DOCTYPE a [<!ENTITY x 'y'>]><VRTDataset", "declares a document type"),
        ("<VRTDataset", '<VRTDataset subClass="VRTPansharpenedDataset"', "is no VRT of rasters"),
        ("</VRTDataset>", "", "is damaged XML"),
    ],
)
def test_whatever_else_it_names_is_refused(vrt, old, new, says):
    text = vrt.read_text()
    assert old in text
    vrt.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=says):
        read(vrt)


def test_a_vrt_of_itself_ends(vrt):
    vrt.write_text(vrt.read_text().replace("a.tif", "a.vrt"))
    with pytest.raises(DataError):
        read(vrt)
    for number in range(5):
        shutil.copy(vrt, vrt.with_name(f"{number}.vrt"))
        vrt.with_name(f"{number}.vrt").write_text(vrt.read_text().replace("a.vrt", f"{number + 1}.vrt"))
    shutil.copy(vrt.with_name("4.vrt"), vrt.with_name("5.vrt"))
    with pytest.raises(DataError, match="a VRT of VRTs of VRTs"):
        check_vrt(vrt.with_name("0.vrt"))


def test_rasters_that_anybody_may_have_sent_are_never_vrts(vrt):
    """Maps that are compared and rasters of labels are opened by :func:`open_file`."""
    with pytest.raises(DataError, match="is not a GeoTIFF"):
        open_file(str(vrt))
