from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from swath.pages.figures import save, to_display_rgb, written


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


def test_names_are_one_short_line():
    assert written("a\nb") == "a b"
    assert written("a\x1b[31mb") == "a [31mb"
    assert written("x" * 40, limit=10) == "x" * 9 + "…"


def test_saving_survives_names_in_any_script_and_is_repeatable(tmp_path):
    for name in ("a.png", "b.png"):
        figure = Figure(figsize=(1, 1))
        figure.suptitle("森林 $\\frac", parse_math=False)
        save(figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (110, 110)
