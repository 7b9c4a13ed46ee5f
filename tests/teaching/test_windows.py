from __future__ import annotations

import numpy as np
import pytest
from rasterio import Affine
from rasterio.crs import CRS

from swath.errors import DataError
from swath.mapping.grid import make_grid
from swath.mapping.places import LabeledPlace, Places
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips
from swath.teaching.windows import MOST_CENTERS, VIEWS, cut_windows, overlap_groups, random_windows, turned_views

SIZE = 16
UTM = CRS.from_epsg(32632)
TRANSFORM = Affine(10, 0, 500000, 0, -10, 5300000)


def scene(height=100, width=120):
    """Every pixel holds its column and its row."""
    rows, columns = np.indices((height, width))
    return np.stack([columns, rows, np.full_like(rows, 9)]).astype(np.uint8)


def places(*geometries):
    rows = []
    for k, (kind, pixels, label) in enumerate(geometries):
        moved = np.asarray(pixels, float) * (10, -10) + (500000, 5300000)
        rows.append(LabeledPlace({"type": kind, "coordinates": moved.tolist()}, label, f"place {k}"))
    return Places(tuple(rows), UTM, "p.csv")


def cut(given, values=None, **options):
    with open_scene(scene() if values is None else values, crs=UTM, transform=TRANSFORM) as opened:
        strips = Strips(opened, make_grid(opened.height, opened.width, patch=SIZE, stride=SIZE), bands=(1, 2, 3))
        return cut_windows(strips, given, size=SIZE, **options)


def test_the_first_view_is_centered_and_the_others_are_near_and_turned():
    windows = cut(places(("Point", (50, 40), "a"), ("Point", (80, 60), "b")))
    assert windows.pixels.shape == (2, VIEWS, 3, SIZE, SIZE)
    np.testing.assert_array_equal(windows.pixels[0, 0, 0, 0], np.arange(42, 58))
    np.testing.assert_array_equal(windows.pixels[0, 0, 1, :, 0], np.arange(32, 48))
    middles = windows.pixels[0, :, :2].mean(axis=(2, 3))
    assert np.abs(middles - middles[0]).max() <= 10 / 64 * SIZE + 1
    assert len({view.tobytes() for view in windows.pixels[0]}) > 3


def test_the_same_seed_gives_the_same_views():
    given = places(("Point", (50, 40), "a"), ("Point", (80, 60), "b"))
    np.testing.assert_array_equal(cut(given, seed=2).pixels, cut(given, seed=2).pixels)
    assert (cut(given, seed=2).pixels != cut(given, seed=3).pixels).any()


def test_edges_are_mirrored_as_in_a_map():
    window = cut(places(("Point", (0, 0), "a"), ("Point", (119, 99), "b"))).pixels[0, 0]
    np.testing.assert_array_equal(window[0, 0], [8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6, 7])


def test_polygons_give_windows_inside_them():
    large = [[(10, 10), (10, 90), (60, 90), (60, 10), (10, 10)]]
    thin = [[(70, 20), (70.2, 20), (110.2, 80), (110, 80), (70, 20)]]
    ring = [[(80, 2), (80, 14), (92, 14), (92, 2), (80, 2)], [(83, 5), (83, 11), (89, 11), (89, 5), (83, 5)]]
    windows = cut(places(("Polygon", large, "a"), ("Polygon", thin, "b"), ("Polygon", ring, "c")))
    counts = np.bincount(windows.places)
    assert counts[0] == MOST_CENTERS
    assert counts[1] <= MOST_CENTERS
    centers = windows.pixels[:, 0, :2, SIZE // 2, SIZE // 2]
    assert all(10 <= column <= 60 and 10 <= row <= 90 for column, row in centers[windows.places == 0])
    column, row = centers[windows.places == 2][0].astype(int)
    assert not (84 <= column <= 88 and 6 <= row <= 10)
    assert len({group for group, place in zip(windows.groups, windows.places, strict=True) if place == 0}) == 1


def test_what_shares_ground_is_held_out_together():
    at = np.array([[0, 0], [0, 15], [0, 30], [0, 46], [50, 50], [90, 90]], float)
    assert overlap_groups(at, np.array([0, 1, 2, 3, 4, 4]), 16).tolist() == [0, 0, 0, 1, 2, 2]


def test_nearly_the_same_window_with_two_classes_is_refused():
    with pytest.raises(DataError, match="place 0 is a and place 1 is b, and they are one window"):
        cut(places(("Point", (50, 40), "a"), ("Point", (50.5, 40), "b")))
    assert cut(places(("Point", (50, 40), "a"), ("Point", (53, 40), "b"))).labels == ("a", "b")


def test_windows_with_little_data_are_left_out():
    values = scene().astype(np.float32)
    values[:, :, 60:] = np.nan
    windows = cut(places(("Point", (30, 40), "a"), ("Point", (58, 60), "b"), ("Point", (90, 60), "b")), values)
    assert windows.labels == ("a", "b")
    assert any("1 of 3 places lie where" in note for note in windows.notes)


def test_random_windows_keep_away():
    given = places(("Point", (50, 40), "a"), ("Point", (90, 60), "a"))
    with open_scene(scene(), crs=UTM, transform=TRANSFORM) as opened:
        strips = Strips(opened, make_grid(100, 120, patch=SIZE, stride=SIZE), bands=(1, 2, 3))
        own = cut_windows(strips, given, size=SIZE)
        at = np.array([(40.0, 50.0), (60.0, 90.0)])
        more = random_windows(strips, own, at, count=12, size=SIZE, label="not a", views=VIEWS, seed=0)
        with pytest.raises(DataError, match="no room for random places"):
            random_windows(strips, own, at, count=5, size=1000, label="not a", views=VIEWS, seed=0)
    assert more.labels[2:] == ("not a",) * 12
    centers = more.pixels[2:, 0, 1::-1, SIZE // 2, SIZE // 2].astype(float)
    assert (np.abs(centers[:, None] - at[None]).max(axis=2) >= SIZE - 1).all()
    assert more.places.max() == 13


def test_patches_without_surroundings_are_mirrored():
    pixels = np.random.default_rng(0).integers(0, 255, (3, 3, SIZE, SIZE)).astype(np.uint8)
    views = turned_views(pixels, views=6, seed=0)
    assert views.shape == (3, 6, 3, SIZE, SIZE)
    np.testing.assert_array_equal(views[:, 0], pixels)
