from __future__ import annotations

import numpy as np
import pytest
import rasterio

from swath.errors import DataError, SettingError
from swath.mapping.reader import check_values, open_scene
from tests.mapping.scenes import write_scene


def pixels(height=20, width=30, *, bands=3, dtype="uint8", high=255, seed=0):
    return np.random.default_rng(seed).integers(1, high, (bands, height, width)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_values_are_refused_with_the_option_that_renders_them(dtype):
    with pytest.raises(DataError, match=r"s\.tif holds .* values .*--rescale 0:2750"):
        check_values(dtype, "uint8", rescale=None, scene="s.tif")
    check_values(dtype, "uint8", rescale=(0, 2750), scene="s.tif")


@pytest.mark.parametrize(
    ("dtype", "wanted", "rescale"),
    [
        ("uint16", "uint16", (0, 2750)),
        ("uint8", "uint8", (0, 2750)),
        ("uint16", "uint8", (5, 5)),
        ("uint16", "uint8", (0, float("nan"))),
    ],
)
def test_rendering_that_makes_no_sense_is_refused(dtype, wanted, rescale):
    with pytest.raises(SettingError, match="--rescale"):
        check_values(dtype, wanted, rescale=rescale, scene="s.tif")


def test_the_models_own_type_passes_and_a_narrower_one_does_not():
    check_values("uint8", "uint8", rescale=None, scene="s.tif")
    check_values("uint8", "uint8", rescale=(10, 200), scene="s.tif")
    with pytest.raises(DataError, match="model takes 16-bit"):
        check_values("uint8", "uint16", rescale=None, scene="s.tif")


def opened(path):
    with open_scene(path):
        pass


def test_what_is_no_local_raster_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no scene"):
        opened(tmp_path / "none.tif")
    with pytest.raises(DataError, match="there is no scene"):
        opened(tmp_path)
    (tmp_path / "note.tif").write_text("not a raster")
    with pytest.raises(DataError, match="is not a GeoTIFF"):
        opened(tmp_path / "note.tif")
    real = write_scene(tmp_path / "real.tif", pixels())
    rasterio.shutil.copy(real, tmp_path / "s.vrt", driver="VRT")
    with pytest.raises(DataError, match="is not a GeoTIFF"):
        opened(tmp_path / "s.vrt")


def test_complex_values_are_refused(tmp_path):
    with pytest.raises(DataError, match="complex64"):
        opened(write_scene(tmp_path / "s.tif", pixels(bands=1).astype("complex64")))


def test_blocks_too_large_for_bounded_memory_are_refused(tmp_path):
    side = 24_000
    size = {"width": side, "height": side, "count": 1, "dtype": "uint8"}
    tile = {"tiled": True, "blockxsize": side, "blockysize": side, "sparse_ok": True}
    with rasterio.open(tmp_path / "s.tif", "w", driver="GTiff", **size, **tile):
        pass
    with pytest.raises(DataError, match="blocks of 24000 x 24000 pixels"):
        opened(tmp_path / "s.tif")
