from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rasterio.windows import Window

from swath.errors import DataError
from swath.imagery import rescale_reflectance
from swath.imagery.rescaling import Rescaling
from swath.mapping import make_grid
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips
from tests.mapping.scenes import write_scene


def pixels(height=20, width=30, *, bands=3, dtype="uint8", high=255, seed=0):
    return np.random.default_rng(seed).integers(1, high, (bands, height, width)).astype(dtype)


def strips(path, *, patch=8, stride=8, bands=(1, 2, 3), nodata=None, rescale=None):
    with open_scene(path, nodata=nodata, black=rescale is not None) as scene:
        grid = make_grid(scene.height, scene.width, patch=patch, stride=stride)
        made = Strips(scene, grid, bands=bands)
        made.rescaling = None if rescale is None else Rescaling.between(*rescale, bands=len(bands))
        return list(made), scene.nodata


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


def test_masks_and_alpha_are_honored(tmp_path):
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
    found, nodata = strips(write_scene(tmp_path / "s.tif", values), rescale=(0, 2750))
    np.testing.assert_array_equal(found[0].pixels, rescale_reflectance(values, low=0, high=2750))
    assert found[0].pixels.dtype == np.uint8
    assert np.argwhere(~found[0].valid).tolist() == [[3, 3]]
    assert nodata == 0


def test_nan_is_no_data(tmp_path):
    values = pixels(8, 8, dtype="float32", high=1000) / 10_000
    values[:, 4, 4] = np.nan
    found, _ = strips(write_scene(tmp_path / "s.tif", values.astype("float32")), rescale=(0, 0.1))
    assert np.argwhere(~found[0].valid).tolist() == [[4, 4]]
    assert found[0].pixels[:, 4, 4].tolist() == [0, 0, 0]


def test_a_png_without_a_place_can_be_read(tmp_path):
    values = pixels(8, 8)
    Image.fromarray(values.transpose(1, 2, 0)).save(tmp_path / "s.png")
    found, _ = strips(tmp_path / "s.png")
    np.testing.assert_array_equal(found[0].pixels, values)
    with open_scene(tmp_path / "s.png") as scene:
        assert scene.crs is None


def test_damage_names_the_scene(tmp_path):
    path = write_scene(tmp_path / "s.tif", pixels(200, 200), tiled=True, blockxsize=64, blockysize=64)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"s\.tif is (a )?damaged or cut"):
        strips(path, patch=64, stride=64)


@pytest.mark.parametrize("stride", [16, 5])
@pytest.mark.parametrize("piece", [1, 20_000, 10**9])
def test_every_block_is_read_once(tmp_path, monkeypatch, stride, piece):
    monkeypatch.setattr("swath.mapping.strips._PIECE", piece)
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 48}
    windows = []
    with open_scene(write_scene(tmp_path / "s.tif", pixels(200, 90), **tiles)) as opened:

        def noting(bands, window):
            windows.append((window.row_off, window.height))
            return opened.read(bands, window)

        scene = replace(opened, read=noting)
        grid = make_grid(200, 90, patch=16, stride=stride)
        assert len(list(Strips(scene, grid, bands=(1, 2, 3)))) == grid.rows.windows
    starts = [start for start, _ in windows]
    assert [start + height for start, height in windows] == [*starts[1:], 200]
    assert starts[0] == 0
    assert not any(start % 48 for start in starts), "no block is cut in two"


def test_blocks_too_tall_are_taken_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("swath.mapping.strips._TALLEST", 8000)
    values = pixels(200, 90)
    path = write_scene(tmp_path / "s.tif", values, blockysize=200)
    with open_scene(path) as scene:
        reader = Strips(scene, make_grid(200, 90, patch=200, stride=200), bands=(1, 2, 3))
        heights = [len(piece.valid) for piece in reader.pieces()]
    assert sum(heights) == 200
    assert max(heights) * 90 * 3 < 8000
    np.testing.assert_array_equal(strips(path, patch=200, stride=200)[0][0].pixels[:, :, :90], values)


@pytest.mark.parametrize(("size", "stride"), [((50, 30), 8), ((50, 30), 3), ((5, 3), 3), ((1, 1), 8)])
@pytest.mark.parametrize("windows", [2, 5, 100])
def test_strips_of_several_rows_of_windows_hold_those_of_each(tmp_path, monkeypatch, size, stride, windows):
    monkeypatch.setattr("swath.mapping.strips._PIECE", 1)
    path = write_scene(tmp_path / "s.tif", pixels(*size), nodata=7, blockysize=4)
    with open_scene(path) as scene:
        grid = make_grid(*size, patch=8, stride=stride)
        reader = Strips(scene, grid, bands=(1, 2, 3))
        alone, together = list(reader), list(reader.cut(reader.pieces(), windows=windows))
    assert sum(strip.windows for strip in together) == grid.rows.windows
    for strip in together:
        for row in range(strip.windows):
            one, top = alone[strip.first + row], row * stride
            assert one.start == strip.start + top
            np.testing.assert_array_equal(one.pixels, strip.pixels[:, top : top + 8])
            np.testing.assert_array_equal(one.valid, strip.valid[top : top + 8])


def test_a_window_holds_what_a_strip_holds(tmp_path):
    path = write_scene(tmp_path / "s.tif", pixels(40, 30, dtype="uint16", high=3000))
    with open_scene(path) as scene:
        made = Strips(scene, make_grid(40, 30, patch=8, stride=8), bands=(3, 1))
        made.rescaling = Rescaling.between(0, 2750, bands=2).then((1.2, 0.8), (3.0, -4.0))
        whole = np.concatenate([strip.pixels for strip in made], axis=1)
        values, valid = made.window(Window(5, 12, 10, 9))
    assert made.bands == 2
    np.testing.assert_array_equal(values, whole[:, 12:21, 5:15])
    assert valid.all()
