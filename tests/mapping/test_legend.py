from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from rasterio.crs import CRS

from swath.mapping.area import pixel_area
from swath.mapping.legend import LegendEntry, draw_legend, draw_map, hatched, round_length
from swath.model.record import class_infos

NAMES = ("Forest", "River", "a very long name of a class $with$ dollars in it")
LEGEND = tuple(LegendEntry(c.value + 1, c.color_hint, c.name, 10, 1 / 3, 12.5) for c in class_infos(NAMES))


def colors(path):
    """Share of the picture's pixels that have each class's exact color."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    return picture.shape, [float((picture == np.array(c.rgb)).all(axis=2).mean()) for c in LEGEND]


def test_the_legend_shows_every_class_and_the_same_one_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        draw_legend(tmp_path / name, LEGEND, nodata=5)
    assert min(colors(tmp_path / "a.png")[1]) > 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    (height, _, _), _ = colors(tmp_path / "a.png")
    draw_legend(tmp_path / "c.png", LEGEND, nodata=0)
    assert colors(tmp_path / "c.png")[0][0] < height, "no line for nodata where there is none"


@pytest.mark.parametrize("size", [(3000, 2000), (30, 20), (2, 900), (900, 2)])
def test_the_quick_look_stays_small_and_has_the_maps_colors(tmp_path, size):
    labels = np.ones(size, np.uint8)
    labels[size[0] // 2 :] = 2
    area = pixel_area(CRS.from_epsg(32632), Affine(10, 0, 6e5, 0, -10, 5.4e6), size)
    draw_map(tmp_path / "map.png", labels, LEGEND, title="t $x$", area=area, width=size[1], nodata=0)
    (height, width, _), (forest, river, _) = colors(tmp_path / "map.png")
    assert max(height, width) <= 1400
    assert forest > 0
    assert river > 0


def test_a_map_without_a_place_has_no_scale_bar(tmp_path):
    plain = tuple(replace(entry, hectares=None) for entry in LEGEND)
    labels = np.ones((64, 64), np.uint8)
    draw_map(tmp_path / "a.png", labels, plain, title="t", area=None, width=64, nodata=9)
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    below = picture[-40:, :900]
    assert below.min() == 255


def test_lengths_are_round():
    assert [round_length(v) for v in (1, 3, 9.9, 480, 5000, 0.07)] == [1, 2, 5, 200, 5000, pytest.approx(0.05)]


def test_ood_ground_is_hatched_and_its_color_stays(tmp_path):
    labels, ood = np.ones((60, 90), np.uint8), np.zeros((60, 90), bool)
    ood[:, 45:] = True
    image = np.broadcast_to(np.uint8(LEGEND[0].rgb), (60, 90, 3))
    drawn = hatched(image, ood)
    half = drawn.shape[1] // 2
    assert max(drawn.shape) >= 700  # lines are fine whatever the size
    assert (drawn[:, :half] == LEGEND[0].rgb).all()
    touched = (drawn[:, half:] != LEGEND[0].rgb).any(axis=2).mean()
    assert 0.2 < touched < 0.4
    draw_map(tmp_path / "a.png", labels, LEGEND, title="t", area=None, width=90, nodata=0, ood=ood, ood_share=0.5)
    draw_map(tmp_path / "b.png", labels, LEGEND, title="t", area=None, width=90, nodata=0)
    assert colors(tmp_path / "a.png")[1][0] < colors(tmp_path / "b.png")[1][0]
