from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from swath.pages.figures import pixels_to_png, tile, tile_sheet, to_display_rgb, to_png


def test_true_color_is_shown_as_it_is_whatever_the_band_order():
    pixels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    shown = to_display_rgb(pixels, ("blue", "green", "red"))
    np.testing.assert_array_equal(shown[..., 0], pixels[2])
    np.testing.assert_array_equal(shown[..., 2], pixels[0])


def test_bands_without_true_color_are_shown_in_gray():
    pixels = np.stack([np.full((3, 3), 7, np.uint8), np.full((3, 3), 200, np.uint8)])
    assert np.unique(to_display_rgb(pixels, ("nir", "swir"))).tolist() == [7]


def test_16_bit_is_stretched_and_flat_pictures_do_not_divide_by_zero():
    ramp = np.linspace(100, 3000, 64, dtype=np.uint16).reshape(1, 8, 8)
    shown = to_display_rgb(ramp, ("nir",))
    assert (shown.min(), shown.max()) == (0, 255)
    assert to_display_rgb(np.full((1, 4, 4), 900, np.uint16), ("nir",)).max() == 0


def test_large_pictures_are_averaged_down_keeping_their_shape():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 100, 300), dtype=np.uint8)
    shown = to_display_rgb(pixels, ("red", "green", "blue"), limit=60)
    assert shown.shape == (20, 60, 3)
    assert abs(float(shown.mean()) - float(pixels.mean())) < 1
    assert to_display_rgb(pixels[:, :1], ("red", "green", "blue"), limit=60).shape == (1, 60, 3)


def test_drawing_survives_names_in_any_script_and_is_repeatable():
    drawn = []
    for _ in range(2):
        figure = Figure(figsize=(1, 1))
        figure.suptitle("森林 $\\frac", parse_math=False)
        drawn.append(to_png(figure))
    assert drawn[0] == drawn[1]
    with Image.open(io.BytesIO(drawn[0])) as picture:
        assert picture.size == (110, 110)


def test_tiles_lie_in_rows_on_white():
    red, blue = (np.full((4, 4, 3), color, np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    sheet = tile_sheet({(0, 0): red, (1, 2): blue}, gap=1)
    assert sheet.shape == (9, 14, 3)
    assert (sheet[:4, :4] == red).all()
    assert (sheet[5:, 10:] == blue).all()
    assert (sheet[5:, :10] == 255).all()
    with Image.open(io.BytesIO(pixels_to_png(sheet))) as picture:
        assert (np.asarray(picture) == sheet).all()


def test_a_sheet_leaves_room_for_text_under_every_row():
    one = np.zeros((4, 4, 3), np.uint8)
    assert tile_sheet({(0, 0): one, (1, 0): one}, gap=2, below=6).shape == (20, 4, 3)


def test_a_patch_is_enlarged_without_smoothing():
    patch = np.array([[[0, 255], [255, 0]]] * 3, np.uint8)
    assert np.unique(tile(patch, ("red", "green", "blue"), side=8)).tolist() == [0, 255]
