from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from swath.explain import Evidence, contact_sheet, overlay, overlay_picture
from swath.explain.overlay import overlay_colors, scale_limit
from swath.pages.figures import to_png

RGB = ("red", "green", "blue")


def evidence(maps: np.ndarray, *, name: str = "Forest") -> Evidence:
    n = len(maps)
    return Evidence(maps.astype(np.float32), (name,) * n, (name,) * n, np.full(n, 0.9, np.float32))


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as picture:
        return picture.size


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_red_is_for_blue_is_against_and_zero_is_clear():
    colors = overlay_colors()
    against, nothing, favor = colors(0.0), colors(0.5), colors(1.0)
    assert favor[0] > favor[2]
    assert against[2] > against[0]
    assert nothing[3] < 0.02
    assert favor[3] == against[3] > 0.6


def test_scale_is_symmetric_and_survives_a_map_of_zeros():
    assert scale_limit(np.array([[-3.0, 1.0]])) == 3
    assert scale_limit(np.zeros((1, 2, 2))) > 0


def test_high_places_of_the_picture_turn_red():
    maps = np.zeros((1, 2, 2))
    maps[0, 0, 1] = 5
    gray = np.full((3, 64, 64), 128, np.uint8)
    picture = pixels_of(overlay_picture(gray, evidence(maps), bands=RGB, name="a.jpg"))
    # Leave out the color bar on the right: other red is the map, in its upper right part.
    body = picture[:, : int(picture.shape[1] * 0.85)]
    rows, columns = np.nonzero((body[..., 0] - body[..., 2] > 60) & (body[..., 0] - body[..., 1] > 60))
    assert len(rows) > 500
    assert rows.mean() < body.shape[0] * 0.5
    assert columns.mean() > body.shape[1] * 0.7


@pytest.mark.parametrize("shape", [(1500, 2200), (40, 900), (900, 40), (1, 1)])
def test_pictures_of_any_shape_are_drawn(shape):
    pixels = np.zeros((3, *shape), np.uint8)
    picture = overlay_picture(pixels, evidence(np.ones((1, 3, 3))), bands=RGB, name="x" * 300)
    assert max(size_of(picture)) < 7000


def test_names_are_never_formulas():
    pixels = np.zeros((3, 8, 8), np.uint8)
    odd = r"$\frac{ cost $$"
    maps = evidence(np.ones((1, 2, 2)), name=odd)
    assert min(size_of(overlay_picture(pixels, maps, bands=RGB, name=odd))) > 100
    assert min(size_of(contact_sheet(pixels[None], maps, bands=RGB, truth=[odd]))) > 100


def test_contact_sheet_holds_every_patch_and_grows_by_rows():
    rng = np.random.default_rng(0)
    sizes = {}
    for n in (2, 6):
        pixels = rng.integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)
        maps = evidence(rng.normal(size=(n, 4, 4)))
        sizes[n] = size_of(contact_sheet(pixels, maps, bands=RGB, columns=3, truth=["River"] * n))
    assert sizes[6][1] == pytest.approx(2 * sizes[2][1], abs=3)
    assert sizes[6][0] > sizes[2][0]


@pytest.mark.filterwarnings("ignore:Glyph")  # boxes are measured as well
@pytest.mark.parametrize("name", ["HerbaceousVegetation", "W" * 40, "永久作物" * 9])
@pytest.mark.parametrize("columns", [2, 5])
def test_neighboring_titles_never_touch(monkeypatch, name, columns):
    drawn = []
    monkeypatch.setattr(overlay, "to_png", lambda figure: (drawn.append(figure), to_png(figure))[1])
    maps = 9 * np.random.default_rng(0).normal(size=(columns, 4, 4))
    gray = np.full((columns, 3, 16, 16), 128, np.uint8)
    truth = [f"{name} of another kind"] * columns
    contact_sheet(gray, evidence(maps, name=name), bands=RGB, truth=truth)
    renderer = FigureCanvasAgg(drawn[0]).get_renderer()
    for axes in (drawn[0].axes[:columns], drawn[0].axes[columns : 2 * columns]):
        boxes = [axis.title.get_window_extent(renderer) for axis in axes]
        space = 0.1 * drawn[0].dpi
        assert all(b.x0 - a.x1 > space for a, b in pairwise(boxes))
    said = drawn[0].axes[0].get_title().splitlines()
    assert said[1] == "0.900"
    assert said[2].startswith("truth ")


def test_a_faint_map_on_a_sheet_is_as_readable_as_a_strong_one():
    maps = np.zeros((2, 2, 2))
    maps[0], maps[1] = 100, 0.1
    gray = np.full((2, 3, 32, 32), 128, np.uint8)
    picture = pixels_of(contact_sheet(gray, evidence(maps), bands=RGB, columns=2))
    red = (picture[..., 0] - picture[..., 1] > 90) & (picture[..., 0] - picture[..., 2] > 90)
    per_column = red.sum(axis=0)[: int(picture.shape[1] * 0.78)]  # without the color bar
    left, right = np.array_split(per_column, 2)
    assert right.sum() == pytest.approx(left.sum(), rel=0.1)
    assert left.sum() > 5000
