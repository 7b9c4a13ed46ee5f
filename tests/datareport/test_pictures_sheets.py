from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from swath.datareport.pictures import _ending, beside, draw_sheet, tile
from swath.imagery import RGB


def test_tiles_are_enlarged_without_smoothing():
    pixels = np.zeros((3, 4, 4), np.uint8)
    pixels[0, 0, 0] = 200
    shown = tile(pixels, RGB, side=8)
    assert shown.shape == (8, 8, 3)
    assert set(np.unique(shown[..., 0])) == {0, 200}
    assert (shown[:2, :2, 0] == 200).all()
    assert beside(shown, shown).shape == (8, 18, 3)


@pytest.mark.parametrize(("count", "columns", "size"), [(1, 4, (96, 134)), (5, 4, (408, 268))])
def test_a_sheet_has_room_for_all_tiles(tmp_path, count, columns, size):
    tiles = [np.full((96, 96, 3), 40 * k, np.uint8) for k in range(count)]
    draw_sheet(tmp_path / "a.png", tiles, ["$x$\nb_{"] * count, columns=columns)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == size


def test_long_captions_keep_what_tells_them_apart():
    assert _ending("set/Forest/Forest_1234.jpg", 16) == "…Forest_1234.jpg"
    assert _ending("HerbaceousVegetation", 10) == "Herbaceou…"
    assert _ending("short", 10) == "short"
