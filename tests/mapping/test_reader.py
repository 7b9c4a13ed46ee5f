from __future__ import annotations

import numpy as np
import pytest
import rasterio
from PIL import Image

from swath.errors import DataError, SettingError
from swath.imagery import render_reflectance
from swath.mapping import make_grid
from swath.mapping.reader import Strips, check_values, open_scene
from tests.mapping.scenes import write_scene


def pixels(height=20, width=30, *, bands=3, dtype="uint8", high=255, seed=0):
    return np.random.default_rng(seed).integers(1, high, (bands, height, width)).astype(dtype)


def strips(path, *, patch=8, stride=8, bands=(1, 2, 3), **options):
    with open_scene(path) as scene:
        grid = make_grid(scene.height, scene.width, patch=patch, stride=stride)
        reader = Strips(scene, grid, bands=bands, **options)
        return [reader.read(number) for number in range(grid.rows.windows)], reader.nodata


@pytest.mark.parametrize(
    ("size", "patch", "stride"), [((20, 30), 8, 8), ((20, 30), 8, 3), ((5, 3), 16, 7), ((1, 1), 8, 8)]
)
def test_strips_are_the_scene_mirrored_at_its_edges(tmp_path, size, patch, stride):
    values = pixels(*size)
    path = write_scene(tmp_path / "s.tif", values)
    grid = make_grid(*size, patch=patch, stride=stride)
    before = patch - stride
    after = [(axis.windows - 1) * stride + patch - before - axis.length for axis in (grid.rows, grid.cols)]
    pads = ((0, 0), (before, after[0]), (before, after[1]))
    padded = np.pad(values, pads, mode="reflect" if min(size) > 1 else "edge")
    found, _ = strips(path, patch=patch, stride=stride)
    for number, strip in enumerate(found):
        top = number * stride
        np.testing.assert_array_equal(strip.pixels, padded[:, top : top + patch])
        assert strip.start == top - before
        assert strip.valid.all()


def test_bands_come_in_the_order_asked_for(tmp_path):
    values = pixels(8, 8, bands=4)
    found, _ = strips(write_scene(tmp_path / "s.tif", values), bands=(3, 1))
    np.testing.assert_array_equal(found[0].pixels, values[[2, 0]])


def test_nodata_is_where_all_chosen_bands_say_so(tmp_path):
    values = pixels(8, 8, bands=4)
    values[:3, 0, 0] = 0  # the fourth band has data there, but was not chosen
    values[:2, 1, 1] = 0  # a dark pixel
    path = write_scene(tmp_path / "s.tif", values, nodata=0)
    found, nodata = strips(path)
    expected = np.ones((8, 8), bool)
    expected[0, 0] = False
    np.testing.assert_array_equal(found[0].valid, expected)
    assert nodata == 0


def test_the_users_nodata_replaces_the_scenes(tmp_path):
    values = pixels(8, 8, high=250)
    values[:, 0, 0], values[:, 1, 1] = 0, 255
    path = write_scene(tmp_path / "s.tif", values, nodata=0)
    found, nodata = strips(path, nodata=255)
    assert np.argwhere(~found[0].valid).tolist() == [[1, 1]]
    assert nodata == 255


def test_masks_and_alpha_are_honoured(tmp_path):
    mask = np.full((8, 8), 255, np.uint8)
    mask[2, 5] = 0
    masked = write_scene(tmp_path / "mask.tif", pixels(8, 8), mask=mask)
    four = np.concatenate([pixels(8, 8), mask[None]])
    alpha = write_scene(tmp_path / "alpha.tif", four, photometric="RGB", alpha="YES")
    for path in (masked, alpha):
        found, _ = strips(path)
        assert np.argwhere(~found[0].valid).tolist() == [[2, 5]]
    with open_scene(alpha) as scene:
        assert scene.bands == ("red", "green", "blue", "alpha")


def test_reflectance_is_rendered_and_zero_is_nodata_there(tmp_path):
    values = pixels(8, 8, dtype="uint16", high=4000)
    values[:, 3, 3] = 0
    found, nodata = strips(write_scene(tmp_path / "s.tif", values), render=(0, 2750))
    np.testing.assert_array_equal(found[0].pixels, render_reflectance(values, low=0, high=2750))
    assert found[0].pixels.dtype == np.uint8
    assert np.argwhere(~found[0].valid).tolist() == [[3, 3]]
    assert nodata == 0


def test_nan_is_no_data(tmp_path):
    values = pixels(8, 8, dtype="float32", high=1000) / 10_000
    values[:, 4, 4] = np.nan
    found, _ = strips(write_scene(tmp_path / "s.tif", values.astype("float32")), render=(0, 0.1))
    assert np.argwhere(~found[0].valid).tolist() == [[4, 4]]
    assert found[0].pixels[:, 4, 4].tolist() == [0, 0, 0]


def test_a_png_without_a_place_can_be_read(tmp_path):
    values = pixels(8, 8)
    Image.fromarray(values.transpose(1, 2, 0)).save(tmp_path / "s.png")
    found, _ = strips(tmp_path / "s.png")
    np.testing.assert_array_equal(found[0].pixels, values)
    with open_scene(tmp_path / "s.png") as scene:
        assert scene.crs is None


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_values_are_refused_with_the_option_that_renders_them(dtype):
    with pytest.raises(DataError, match=r"s\.tif holds .* values .*--render 0:2750"):
        check_values(dtype, "uint8", render=None, scene="s.tif")
    check_values(dtype, "uint8", render=(0, 2750), scene="s.tif")


@pytest.mark.parametrize(
    ("dtype", "wanted", "render"),
    [
        ("uint16", "uint16", (0, 2750)),
        ("uint8", "uint8", (0, 2750)),
        ("uint16", "uint8", (5, 5)),
        ("uint16", "uint8", (0, float("nan"))),
    ],
)
def test_rendering_that_makes_no_sense_is_refused(dtype, wanted, render):
    with pytest.raises(SettingError, match="--render"):
        check_values(dtype, wanted, render=render, scene="s.tif")


def test_the_models_own_type_passes_and_a_narrower_one_does_not():
    check_values("uint8", "uint8", render=None, scene="s.tif")
    check_values("uint8", "uint8", render=(10, 200), scene="s.tif")
    with pytest.raises(DataError, match="model takes 16-bit"):
        check_values("uint8", "uint16", render=None, scene="s.tif")


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


def test_damage_names_the_scene(tmp_path):
    path = write_scene(tmp_path / "s.tif", pixels(200, 200), tiled=True, blockxsize=64, blockysize=64)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"s\.tif is (a )?damaged or cut"):
        strips(path, patch=64, stride=64)


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
