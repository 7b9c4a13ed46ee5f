from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from swath.errors import SettingError
from swath.inference import load
from swath.mapping import make_grid, map_scene
from swath.mapping.area import PixelArea
from swath.mapping.sieve import MOST_CELLS, check_min_area, merge_small
from tests.mapping.scenes import UTM
from tests.tiny import patches

PIXEL = PixelArea(np.full((1, 1), 10_000.0), (10**6, 10**6), 100, 100, "made up")


def regions(labels):
    """Connected regions by flood fill: a list of (value, set of pixels)."""
    left, found = {(r, c) for r in range(labels.shape[0]) for c in range(labels.shape[1])}, []
    while left:
        first = left.pop()
        value, region, waiting = int(labels[first]), {first}, [first]
        while waiting:
            r, c = waiting.pop()
            for place in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if place in left and labels[place] == value:
                    left.remove(place)
                    region.add(place)
                    waiting.append(place)
        found.append((value, region))
    return found


@settings(max_examples=150, deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4)),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 20),
    st.integers(0, 3),
)
def test_no_patch_is_smaller_unless_nothing_lies_around_it(labels, tall, wide, unit, seed):
    labels = labels.repeat(tall, axis=0).repeat(wide, axis=1)
    sizes = np.random.default_rng(seed).uniform(5_000, 15_000, (-(-labels.shape[0] // 2), 1))  # by two rows each
    area = PixelArea(sizes, (2, 2**62), 90, 110, "made up")
    pixels = np.repeat(sizes, 2, axis=0)[: labels.shape[0]].repeat(labels.shape[1], axis=1)
    merged, said = merge_small(labels, unit, area)
    np.testing.assert_array_equal(merged == 0, labels == 0)
    small = 0
    for value, region in regions(merged):
        size = sum(pixels[place] for place in region) / 10_000
        if value and size < unit - 1e-6:
            small += 1
            around = {(r + a, c + b) for r, c in region for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))} - region
            assert all(merged[place] == 0 for place in around if place in np.ndindex(*merged.shape))
    assert small == said.left
    assert said.changed_hectares == pytest.approx(pixels[merged != labels].sum() / 10_000)
    mapped = pixels[labels > 0].sum()
    assert said.changed_share == pytest.approx(pixels[merged != labels].sum() / mapped if mapped else 0)
    before = sum(v > 0 and sum(pixels[p] for p in region) / 10_000 < unit - 1e-6 for v, region in regions(labels))
    assert said.patches == before - said.left
    again, nothing = merge_small(merged, unit, area)
    np.testing.assert_array_equal(again, merged)
    assert nothing.changed_hectares == 0


@pytest.mark.parametrize(("sides", "goes_to"), [(2, 2), (1, 1)])
def test_a_patch_goes_to_the_neighbor_with_the_longest_border(sides, goes_to):
    """A row of three between class 1 above and class 2 below; its two ends decide."""
    labels = np.array([[1] * 5, [1] * 5, [sides, 3, 3, 3, sides], [2] * 5, [2] * 5], np.uint8)
    assert (merge_small(labels, 4, PIXEL)[0][2, 1:4] == goes_to).all()


def test_touching_at_a_corner_is_not_connected():
    labels = np.full((6, 6), 1, np.uint8)
    labels[1, 1] = labels[2, 2] = labels[3, 3] = 2
    assert (merge_small(labels, 2, PIXEL)[0] == 1).all()


def test_pixels_of_exactly_the_unit_stay():
    labels = np.full((6, 6), 1, np.uint8)
    labels[2:4, 2:4] = 2
    np.testing.assert_array_equal(merge_small(labels, 4, PIXEL)[0], labels)
    assert (merge_small(labels, 4.1, PIXEL)[0] == 1).all()


def test_many_small_patches_take_a_moment():
    """A list of neighbors that is copied at each merge would take an hour."""
    noise = np.random.default_rng(0).integers(1, 4, (400, 400)).astype(np.uint8)
    seen = []
    merged, said = merge_small(noise, 50, PIXEL, progress=lambda *a, **k: seen.append(a))
    assert said.patches > 20_000
    assert len(np.unique(merged)) <= 3
    assert seen[-1][1] == seen[-1][2]


@pytest.mark.parametrize("hectares", [0, -1, float("nan"), float("inf")])
def test_a_unit_is_above_zero(hectares):
    with pytest.raises(SettingError, match="is not above 0"):
        check_min_area(hectares, PIXEL, None, make_grid(10, 10, patch=8, stride=8))


def test_a_unit_needs_known_pixels_and_a_map_that_is_not_too_large():
    grid = make_grid(10, 10, patch=8, stride=8)
    with pytest.raises(SettingError, match="in hectares, and the scene has no reference"):
        check_min_area(1, None, "the scene has no reference", grid)
    side = int(MOST_CELLS**0.5) + 1
    with pytest.raises(SettingError, match="--stride 32"):
        check_min_area(1, PIXEL, None, make_grid(side, side, patch=64, stride=1))
    with pytest.raises(SettingError, match="map the scene in parts"):
        check_min_area(1, PIXEL, None, make_grid(50_000, 50_000, patch=64, stride=64))


@pytest.fixture(scope="module")
def speckled():
    """A forest in which one patch is a town."""
    names = ["Forest", "Forest", "Forest", "Forest", "Residential", "Forest", "Forest", "Forest", "Forest"]
    pixels = [patches(name, 1, seed=i)[0] for i, name in enumerate(names)]
    return np.concatenate([np.concatenate(pixels[i : i + 3], axis=2) for i in (0, 3, 6)], axis=1)


def test_a_map_says_what_was_merged(tmp_path, tiny_model, speckled):
    classifier = load(tiny_model, threads=1)
    plain = map_scene(classifier, speckled, stride=64, **UTM)
    assert set(np.unique(plain.array)) == {1, 2}
    made = map_scene(classifier, speckled, out=tmp_path / "map.tif", stride=64, min_area=50, **UTM)
    forest, town = made.legend[:2]
    assert (forest.share, town.pixels) == (1, 0)
    assert forest.hectares == pytest.approx(9 * 40.96, rel=1e-3)
    assert made.min_area.patches == 1
    assert made.min_area.changed_hectares == pytest.approx(40.96, rel=1e-3)
    assert made.min_area.changed_share == pytest.approx(1 / 9, rel=1e-3)
    record = json.loads(made.files.record.read_text())
    assert record["min_area"]["hectares"] == 50
    with rasterio.open(made.files.classes) as classes, rasterio.open(made.files.confidence) as confidence:
        assert (classes.read(1) == 1).all()
        assert classes.tags()["SWATH_MIN_AREA_HECTARES"] == "50"
        np.testing.assert_array_equal(confidence.read(1), plain.confidence)
    assert "smaller ones were merged" in made.files.page.read_text(encoding="utf-8")
    kept = map_scene(classifier, speckled, stride=64, min_area=50, **UTM)
    assert (kept.array == 1).all()
    assert kept.min_area == made.min_area


def test_a_unit_below_a_cell_of_the_map_is_said_to_do_nothing(tmp_path, tiny_model, speckled):
    classifier = load(tiny_model, threads=1)
    said = "a cell of this map is 41 ha, so no patch is smaller than 5 ha"
    made = map_scene(classifier, speckled, out=tmp_path / "map.tif", stride=64, min_area=5, **UTM)
    assert made.min_area.patches == 0
    assert any(warning.startswith(said) for warning in made.warnings)
    assert said[1:] in made.files.page.read_text(encoding="utf-8")
    assert any(said in warning for warning in json.loads(made.files.record.read_text())["warnings"])
    for other in ({"stride": 64, "min_area": 50}, {"stride": 16, "min_area": 5}, {"stride": 64}):
        assert "a cell of" not in " ".join(map_scene(classifier, speckled, **other, **UTM).warnings)


def test_zones_are_measured_on_the_merged_map(tmp_path, tiny_model, speckled):
    left, top = UTM["transform"].c, UTM["transform"].f
    ring = [[left, top], [left + 1920, top], [left + 1920, top - 1920], [left, top - 1920], [left, top]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    crs = {"type": "name", "properties": {"name": "EPSG:32632"}}
    path = tmp_path / "z.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature], "crs": crs}))
    made = map_scene(load(tiny_model, threads=1), speckled, stride=64, min_area=50, zones=path, **UTM)
    assert made.zones[0].hectares == pytest.approx([entry.hectares for entry in made.legend])
