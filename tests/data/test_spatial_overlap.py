"""Shared ground by footprints, against a count of points that both patches hold, and splits that keep it whole."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform as transform_points

from swath.data import audit, build_index, split_index
from swath.data.spatial import LEAST_SHARE, footprint_overlaps, group_footprints
from swath.errors import DataError
from swath.imagery.georeference import Georeference, places_of

from .makers import table_index
from .test_sources_places import folder, tif
from .test_splits import splits_of

POINTS = 120  # per side


def cut(crs, x, y, *, degrees=0.0, gsd=10.0, width=64, height=64):
    """A patch around (x, y)."""
    cos, sin = gsd * np.cos(np.radians(degrees)), gsd * np.sin(np.radians(degrees))
    left = x - (cos * width + sin * height) / 2
    top = y - (sin * width - cos * height) / 2
    return Georeference(crs, (cos, sin, left, sin, -cos, top), width, height)


def footprints(patches):
    return [place.footprint for place in places_of(patches)]


def counted_share(one, other):
    """Share of the smaller patch that lies in both, by points on a grid of that patch."""
    areas = [p.width * p.height * place.gsd**2 for p, place in zip((one, other), places_of([one, other]), strict=True)]
    small, large = (one, other) if areas[0] <= areas[1] else (other, one)
    u, v = np.meshgrid(
        (np.arange(POINTS) + 0.5) / POINTS * small.width, (np.arange(POINTS) + 0.5) / POINTS * small.height
    )
    a, b, c, d, e, f = small.transform
    x, y = (a * u + b * v + c).ravel(), (d * u + e * v + f).ravel()
    x, y = transform_points(small.crs, large.crs, x, y)
    a, b, c, d, e, f = large.transform
    column, row = np.linalg.solve([[a, b], [d, e]], [np.array(x) - c, np.array(y) - f])
    inside = (column >= 0) & (column < large.width) & (row >= 0) & (row < large.height)
    return float(inside.mean())


turned = st.floats(0, 360)
near = st.floats(-700, 700)


@given(near, near, turned, turned, st.sampled_from([8.0, 10.0, 25.0]), st.integers(20, 90))
@settings(max_examples=60, deadline=None)
def test_the_share_is_the_area_both_hold_at_any_angle_and_size(x, y, first, second, gsd, height):
    one = cut("EPSG:32632", 500_000, 5_000_000, degrees=first)
    other = cut("EPSG:32632", 500_000 + x, 5_000_000 + y, degrees=second, gsd=gsd, height=height)
    share = counted_share(one, other)
    found = footprint_overlaps(footprints([one, other]), least=0)
    got = found[0][2] if found else 0.0
    assert got == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32633", "EPSG:3035"])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5, 0.9, 1.2])
def test_the_share_holds_across_reference_systems(crs, shift):
    one = cut("EPSG:32632", 700_000, 5_000_000)
    lon, lat = transform_points("EPSG:32632", "EPSG:4326", [700_000 + 640 * shift], [5_000_000])
    [x], [y] = transform_points("EPSG:4326", crs, lon, lat)
    gsd = {"EPSG:4326": 10 / 111_320, "EPSG:3857": 10 / np.cos(np.radians(lat[0]))}
    other = cut(crs, x, y, gsd=gsd.get(crs, 10))
    found = footprint_overlaps(footprints([one, other]), least=0)
    assert (found[0][2] if found else 0.0) == pytest.approx(counted_share(one, other), abs=0.015)


def test_patches_across_the_180th_meridian_meet_their_neighbors():
    one = Georeference("EPSG:4326", (1e-3, 0, 180 - 0.032, 0, -1e-3, 10.0), 64, 64)
    west = Georeference("EPSG:4326", (1e-3, 0, 180 - 0.064, 0, -1e-3, 10.0), 64, 64)
    east = Georeference("EPSG:4326", (1e-3, 0, -180, 0, -1e-3, 10.0), 64, 64)
    found = footprint_overlaps(footprints([one, west, east]))
    assert [(a, b) for a, b, _ in found] == [(0, 1), (0, 2)]
    assert [share for *_, share in found] == pytest.approx([0.5, 0.5], abs=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_all_pairs_are_found_among_many(seed):
    rng = np.random.default_rng(seed)
    patches = [
        cut("EPSG:32632", 5e5 + x, 5e6 + y, degrees=d, gsd=g)
        for x, y, d, g in zip(
            *rng.uniform(0, 4000, (2, 40)), rng.uniform(0, 90, 40), rng.choice([5, 10, 40], 40), strict=True
        )
    ]
    outlines = footprints(patches)
    found = {(a, b): share for a, b, share in footprint_overlaps(outlines)}
    for a, b in [*found, *rng.integers(0, 40, (60, 2)).tolist()]:
        alone = footprint_overlaps([outlines[a], outlines[b]]) if a < b else []
        assert a >= b or found.get((a, b)) == (pytest.approx(alone[0][2]) if alone else None)


def test_grids_that_only_touch_do_not_overlap_and_copies_are_paired_with_the_first():
    grid = [cut("EPSG:32632", 5e5 + 640 * (k % 9), 5e6 + 640 * (k // 9)) for k in range(81)]
    assert footprint_overlaps(footprints(grid)) == []
    one, other = footprints([grid[0], cut("EPSG:32632", 5e5 + 320, 5e6)])
    found = footprint_overlaps([one, None, one, other, one])
    assert [(a, b) for a, b, _ in found] == [(0, 2), (0, 3), (0, 4)]
    assert [share for *_, share in found] == pytest.approx([1, 0.5, 1], abs=1e-3)
    assert footprint_overlaps([None, None]) == []
    with pytest.raises(DataError, match="not a WKB polygon"):
        footprint_overlaps([b"POLYGON"])


def scenes_index(seed, *, scenes=12, each=20, span=1500):
    """Patches cut at random from scenes far apart; no other hint of their place than footprints."""
    rng = np.random.default_rng(seed)
    patches = [
        cut("EPSG:32632", 3e5 + 5e4 * (s % 4) + x, 5e6 + 5e4 * (s // 4) + y, degrees=d)
        for s in range(scenes)
        for x, y, d in zip(*rng.uniform(0, span, (2, each)), rng.uniform(0, 90, each), strict=True)
    ]
    index = table_index([str(label) for label in rng.choice(["A", "B", "C"], len(patches))])
    places = places_of(patches)
    columns = {name: [getattr(place, name) for place in places] for name in ("lon", "lat", "gsd", "crs", "footprint")}
    return index.with_columns(columns)


@pytest.mark.parametrize("by", ["auto", "random", "block"])
@given(st.integers(0, 10_000), st.sampled_from([None, 4]))
@settings(max_examples=8, deadline=None)
def test_no_ground_is_on_two_sides_of_any_split_whatever_the_order_of_rows(by, seed, folds):
    index = scenes_index(seed, each=8)
    made = split_index(index, by=by, seed=seed, folds=folds)
    sides = splits_of(made)
    assert set(sides) == {"train", "val", "test"}
    pairs = footprint_overlaps(index.column("footprint"))
    assert pairs
    assert all(sides[a] == sides[b] for a, b, _ in pairs)
    order = np.random.default_rng(seed).permutation(len(index)).tolist()
    again = split_index(index.take(order), by=by, seed=seed, folds=folds)
    assert splits_of(again) == [sides[row] for row in order]


def test_groups_of_ground_join_those_there_are():
    patches = [cut("EPSG:32632", 5e5 + 320 * k, 5e6) for k in (0, 1, 5, 6, 20)]
    index = table_index(["A"] * 5, groups=[None, "s", None, "s", None])
    made = group_footprints(index.with_columns({"footprint": footprints(patches)}))
    groups = made.column("group")
    assert len({*groups[:4]}) == 1
    assert groups[4] is None


@pytest.mark.parametrize("folds", [None, 3])
def test_one_scene_of_patches_that_overlap_in_a_chain_is_split_by_blocks_without_their_borders(folds):
    patches = [cut("EPSG:32632", 5e5 + 320 * (k % 30), 5e6 + 320 * (k // 30)) for k in range(900)]
    index = table_index(["A" if k % 7 else "B" for k in range(900)])
    places = places_of(patches)
    columns = {name: [getattr(place, name) for place in places] for name in ("lon", "lat", "gsd", "crs", "footprint")}
    index = index.with_columns(columns)
    assert len(set(group_footprints(index).column("group"))) == 1
    for start in (index, group_footprints(index)):
        made = split_index(start, folds=folds)
        assert " patches overlap held-out ones and are in no split" in made.split_protocol
        assert "optimistic" in made.split_protocol  # all of it is one scene
        sides = splits_of(made)
        assert {*sides} == {"train", "val", "test", None}
        assert sides.count(None) < 450
        held = {row for row, side in enumerate(sides) if side}
        pairs = footprint_overlaps(index.column("footprint"))
        assert all(sides[a] == sides[b] for a, b, _ in pairs if {a, b} <= held)
        assert splits_of(split_index(made)) == sides  # they stay out


def test_ground_on_two_sides_of_given_splits_is_left_to_them():
    patches = [cut("EPSG:32632", 5e5 + 320 * k, 5e6) for k in (0, 1, 5, 6, 20, 30, 40, 50, 60, 70)]
    splits = ["train", "test", "test", None, "train", "train", "train", "train", "train", "train"]
    index = table_index(["A"] * 10, splits=splits).with_columns({"footprint": footprints(patches)})
    made = split_index(index, val=0.3)
    assert splits_of(made)[:4] in (["train", "test", "test", "test"], ["val", "test", "test", "test"])
    assert {*splits_of(made)} == {"train", "val", "test"}


def test_half_overlapping_geotiffs_are_split_by_block_without_a_list_and_the_audit_finds_no_leak(tmp_path):
    """Five rasters 30 km apart, two of them in other reference systems, cut into patches that overlap by half."""
    files = {}
    for raster in range(5):
        crs = ("EPSG:32632", "EPSG:32632", "EPSG:32632", "EPSG:3857", "EPSG:25832")[raster]
        [x], [y] = transform_points("EPSG:32632", crs, [5e5 + 3e4 * raster], [5e6])
        for k in range(12):
            left, top = x + 80 * (k % 4), y - 80 * (k // 4)
            files[f"{'AB'[k % 2]}/{100 * raster + k}.tif"] = tif(100 * raster + k, crs=crs, x=left, y=top)
    index = build_index(folder(tmp_path, files))
    assert None not in index.column("lon")
    chance = index.with_columns({"split": ["train", "test"] * 30})
    assert len(audit(chance).torn) == 5
    for by in ("block", "auto"):
        made = split_index(index, by=by)
        assert "blocks of 10 km kept whole" in made.split_protocol
        assert audit(made).crossing == 0
        sides = defaultdict(set)
        for path, side in zip(made.paths, splits_of(made), strict=True):
            sides[int(path.split("/")[1].split(".")[0]) // 100].add(side)
        assert all(len(found) == 1 for found in sides.values())
    assert LEAST_SHARE < 0.02
