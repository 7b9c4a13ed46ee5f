from __future__ import annotations

import csv
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as to_system

from swath.errors import DataError, MissingFileError, SettingError
from swath.inference import load
from swath.mapping import map_scene
from swath.mapping.area import PixelArea
from swath.mapping.geopackage import write_layer
from swath.mapping.places import LabeledPlace, Places
from swath.mapping.zones import ZoneTotals, coverage, lay_zones, read_zones
from swath.model.record import class_infos
from tests.mapping.scenes import UTM
from tests.tiny import patches

CRS32 = CRS.from_epsg(32632)
PLANE = Affine(1, 0, 0, 0, 1, 0)  # pixels are coordinates
CLASSES = class_infos(["a", "b", "c"])


def square(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def polygon(*rings):
    return {"type": "Polygon", "coordinates": [list(ring) for ring in rings]}


def zones_of(geometries, shape, *, crs=CRS32, transform=PLANE, names=None):
    names = names or [f"z{i}" for i in range(len(geometries))]
    rows = tuple(LabeledPlace(g, name, f"row {name}") for g, name in zip(geometries, names, strict=True))
    return lay_zones(Places(rows, crs, "zones"), None, crs=CRS32, transform=transform, shape=shape)


def totals(zones, labels, *, step=7, meters=10_000.0):
    area = PixelArea(np.full((1, 1), meters), (10**6, 10**6), 100, 100, "made up")
    counted = ZoneTotals(zones, CLASSES, area, labels.shape)
    for start in range(0, len(labels), step):
        counted.add(start, labels[start : start + step])
    return counted


def edges(points):
    ring = np.array([*points, points[0]], float)
    return np.column_stack([ring[:-1], ring[1:]])


@given(st.lists(st.tuples(st.floats(-8, 18), st.floats(-8, 14)), min_size=3, max_size=3))
def test_coverage_is_the_area_of_the_part_of_a_triangle_in_each_pixel(points):
    found = coverage(edges(points), 0, (9, 12))
    turned = 1 if found.sum() >= 0 else -1
    for row in range(9):
        for column in range(12):
            expected = clipped_area(points, column, row)
            assert abs(turned * found[row, column] - expected) < 1e-9


def clipped_area(points, left, top):
    """Area of a convex polygon within a pixel, by clipping it at each side (Sutherland-Hodgman)."""
    for axis, limit, sign in ((0, left, 1), (0, left + 1, -1), (1, top, 1), (1, top + 1, -1)):
        kept = []
        for here, after in zip(points, [*points[1:], *points[:1]], strict=True):
            a, b = sign * (here[axis] - limit), sign * (after[axis] - limit)
            if a >= 0:
                kept.append(here)
            if (a > 0 > b) or (a < 0 < b):
                part = a / (a - b)
                kept.append(tuple(h + part * (n - h) for h, n in zip(here, after, strict=True)))
        points = kept
        if len(points) < 3:
            return 0.0
    x, y = np.array(points).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.lists(st.floats(-0.2, 1.2), max_size=4),
    st.lists(st.floats(-0.2, 1.2), max_size=4),
    st.floats(0, math.pi),
    st.integers(1, 9),
)
def test_zones_that_fill_the_scene_have_its_areas(height, width, across, down, turn, step):
    """Whatever the lines are by which a turned square is cut."""
    labels = np.random.default_rng(height * width).integers(0, 4, (height, width)).astype(np.uint8)
    middle, half = np.array([width / 2, height / 2]), 0.75 * math.hypot(width, height)
    turned = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    x, y = (sorted({-1.0, 1.0, *(2 * min(max(v, 0.001), 0.999) - 1 for v in cuts)}) for cuts in (across, down))
    geometries = []
    for left, right in itertools.pairwise(x):
        for top, bottom in itertools.pairwise(y):
            ring = (np.array(square(left, top, right, bottom)) * half) @ turned.T + middle
            geometries.append(polygon(ring.tolist()))
    counted = totals(zones_of(geometries, labels.shape), labels, step=step)
    found = np.sum([(zone.nodata_hectares, *zone.hectares) for zone in counted.table()], axis=0)
    np.testing.assert_allclose(found, np.bincount(labels.ravel(), minlength=4), atol=1e-6)
    assert not any("overlap" in note for note in counted.notes())


def test_a_zone_whose_edges_cut_pixels_counts_its_part_of_them():
    labels = np.ones((4, 6), np.uint8)
    labels[:, 3:] = 2
    (zone,) = totals(zones_of([polygon(square(0.5, 1.25, 5, 3))], labels.shape), labels).table()
    assert zone.hectares == pytest.approx((2.5 * 1.75, 2 * 1.75, 0))
    assert zone.inside == 1


def test_holes_and_several_parts():
    labels = np.ones((10, 10), np.uint8)
    ring = polygon(square(0, 0, 6, 6), square(2, 2, 4, 4)[::-1])
    same_direction = polygon(square(0, 0, 6, 6), square(2, 2, 4, 4))
    parts = {"type": "MultiPolygon", "coordinates": [[square(0, 0, 2, 2)], [square(7, 7, 9, 10)]]}
    found = totals(zones_of([ring, same_direction, parts], labels.shape), labels).table()
    assert [zone.hectares[0] for zone in found] == pytest.approx([32, 32, 10])


def test_overlapping_zones_count_in_each_and_say_so():
    labels = np.ones((10, 10), np.uint8)
    counted = totals(zones_of([polygon(square(0, 0, 6, 6)), polygon(square(4, 0, 8, 6))], labels.shape), labels)
    assert [zone.hectares[0] for zone in counted.table()] == pytest.approx([36, 24])
    assert any("overlap on 12 ha" in note for note in counted.notes())


def test_zones_outside_are_left_out_and_those_that_reach_past_are_counted_inside():
    labels = np.ones((10, 10), np.uint8)
    squares = [square(2, 2, 4, 4), square(8, 8, 12, 12), square(30, 30, 40, 40)]
    counted = totals(zones_of([polygon(s) for s in squares], labels.shape, names=["in", "edge", "far"]), labels)
    assert [(zone.name, zone.inside) for zone in counted.table()] == [("in", 1), ("edge", pytest.approx(0.25))]
    assert any("outside the scene and were left out: far" in note for note in counted.notes())
    assert any("1 zone reaches past the scene and was counted inside it" in note for note in counted.notes())
    with pytest.raises(DataError, match="no zone of zones lies in the scene"):
        zones_of([polygon(square(30, 30, 40, 40))], labels.shape)
    # Its frame reaches the scene and the zone does not.
    corner = polygon([[9, -20], [30, -20], [30, 9], [9, -20]])
    with pytest.raises(DataError, match="no zone of zones lies in the scene"):
        zones_of([corner], labels.shape)


def test_rows_of_one_name_are_one_zone():
    labels = np.ones((10, 10), np.uint8)
    geometries = [polygon(square(0, 0, 2, 2)), polygon(square(5, 5, 7, 7))]
    counted = totals(zones_of(geometries, labels.shape, names=["isles", "isles"]), labels)
    assert [(zone.name, zone.hectares[0]) for zone in counted.table()] == [("isles", pytest.approx(8))]
    assert any("several rows and were taken together: isles" in note for note in counted.notes())


@pytest.mark.parametrize(
    "geometry",
    [
        polygon([[0, 0], [6, 6], [6, 0], [0, 6], [0, 0]]),  # a bow tie
        polygon(square(0, 0, 6, 6), square(4, 4, 9, 9)),  # a hole that leaves it
        {"type": "MultiPolygon", "coordinates": [[square(0, 0, 6, 6)], [square(3, 3, 9, 9)]]},
    ],
)
def test_an_outline_that_crosses_itself_is_refused(geometry):
    with pytest.raises(DataError, match="row z0 crosses or overlaps itself") as raised:
        zones_of([geometry], (10, 10))
    assert "Fix geometries" in str(raised.value)


def test_zones_in_another_system_follow_the_ground():
    """A rectangle of degrees has curved sides in UTM: its area is that between its meridians and parallels."""
    transform = Affine(100, 0, 600_000, 0, -100, 5_400_000)
    labels = np.ones((900, 900), np.uint8)
    from swath.mapping.area import pixel_area

    area = pixel_area(CRS32, transform, labels.shape)
    rows = (LabeledPlace(polygon(square(10.5, 48.1, 11.4, 48.6)), "box", "row 1"),)
    laid = lay_zones(Places(rows, CRS.from_epsg(4326), "zones"), None, crs=CRS32, transform=transform, shape=(900, 900))
    counted = ZoneTotals(laid, CLASSES, area, labels.shape)
    counted.add(0, labels)
    from swath.mapping.area import zone_area

    south, north = zone_area(np.radians([48.1, 48.6]), (6378137.0, 0.00669437999014))
    expected = (north - south) * math.radians(0.9) / 10_000
    (zone,) = counted.table()
    assert zone.inside == pytest.approx(1)
    assert zone.hectares[0] == pytest.approx(expected, rel=2e-5)


def geojson(path, features, **more):
    rows = [{"type": "Feature", "properties": p, "geometry": g} for p, g in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows, **more}))
    return path


BOX = polygon(square(10.0, 48.0, 10.1, 48.1))


@pytest.mark.parametrize(
    ("properties", "names", "field"),
    [
        ([{"name": "North", "type": "x"}, {"name": "South", "type": "y"}], ["North", "South"], "name"),
        ([{"NAME": "North", "class": "x"}, {"NAME": "South", "class": "y"}], ["North", "South"], "NAME"),
        ([{"fid": 1, "gemeinde": "Au"}, {"fid": 2, "gemeinde": None}], ["Au", "zone 2"], "gemeinde"),
        ([{"fid": 1}, {"fid": 2}], ["zone 1", "zone 2"], None),
        ([{}, {}], ["zone 1", "zone 2"], None),
    ],
)
def test_the_column_of_names_is_found(tmp_path, properties, names, field):
    places, found = read_zones(geojson(tmp_path / "z.geojson", [(p, BOX) for p in properties]))
    assert ([row.label for row in places.rows], found) == (names, field)


def test_the_column_of_names_is_chosen(tmp_path):
    path = geojson(tmp_path / "z.geojson", [({"kreis": "K1", "land": "L"}, BOX)])
    with pytest.raises(DataError, match="which column names its zones \\('kreis', 'land'\\); choose with --zone-field"):
        read_zones(path)
    assert read_zones(path, field="kreis")[0].rows[0].label == "K1"
    with pytest.raises(SettingError, match=r"has no column 'town'.*--zone-field"):
        read_zones(path, field="town")


def test_other_files_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(MissingFileError, match="no file of zones"):
        read_zones(tmp_path / "none.gpkg")
    point = geojson(tmp_path / "p.geojson", [({"name": "x"}, {"type": "Point", "coordinates": [10, 48]})])
    with pytest.raises(DataError, match="is a Point, and zones are polygons"):
        read_zones(point)
    (tmp_path / "broken.geojson").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_zones(tmp_path / "broken.geojson")


def test_a_geopackage_of_zones_is_measured_and_written(tmp_path, tiny_model):
    path = tmp_path / "districts.gpkg"
    left, top = UTM["transform"].c, UTM["transform"].f
    halves = [polygon(square(left + x, top, left + x + 640, top - 640)) for x in (0, 640)]
    write_layer(path, halves, crs=CRS32, columns={"name": ["=West", "East"]})
    scene = np.concatenate([patches(name, 1)[0] for name in ("Forest", "Residential")], axis=2)
    made = map_scene(load(tiny_model, threads=1), scene, out=tmp_path / "map.tif", stride=64, zones=path, **UTM)
    west, east = made.zones
    names = [entry.name for entry in made.legend]
    assert west.hectares[names.index("Forest")] == pytest.approx(40.96, rel=1e-3)
    assert east.hectares[names.index("Residential")] == pytest.approx(40.96, rel=1e-3)
    with made.files.zones.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["zone"] for row in rows] == ["'=West", "East"], "no cell is a formula"
    assert float(rows[0]["Forest ha"]) == pytest.approx(west.hectares[names.index("Forest")], abs=1e-3)
    record = json.loads(made.files.record.read_text())
    assert record["files"]["zones"] == "map.zones.csv"
    assert record["zones"][1]["hectares"]["Residential"] == pytest.approx(40.96, rel=1e-3)
    assert "Areas by zone" in made.files.page.read_text(encoding="utf-8")
    # A later map of the same name without zones does not keep their table.
    map_scene(load(tiny_model, threads=1), scene, out=tmp_path / "map.tif", stride=64, overwrite=True, **UTM)
    assert not made.files.zones.exists()


def test_zones_need_a_scene_with_a_place(tmp_path, tiny_model):
    path = geojson(tmp_path / "z.geojson", [({"name": "x"}, BOX)])
    with pytest.raises(SettingError, match="zones cannot be laid over the scene: the scene has no coordinate"):
        map_scene(load(tiny_model, threads=1), patches("Forest", 1)[0], zones=path)
    with pytest.raises(SettingError, match="no zones"):
        map_scene(load(tiny_model, threads=1), patches("Forest", 1)[0], zone_field="name")


def test_to_pixels_and_back_agrees_with_a_point_on_the_ground():
    """Guards the order of axes: a small zone around a place lies over the pixel of that place."""
    transform = Affine(10, 0, 600_000, 0, -10, 5_400_000)
    (lon,), (lat,) = to_system(CRS32, CRS.from_epsg(4326), [600_000 + 10 * 30.5], [5_400_000 - 10 * 12.5])
    rows = (LabeledPlace(polygon(square(lon - 2e-5, lat - 2e-5, lon + 2e-5, lat + 2e-5)), "spot", "row 1"),)
    laid = lay_zones(Places(rows, CRS.from_epsg(4326), "z"), None, crs=CRS32, transform=transform, shape=(40, 50))
    labels = np.zeros((40, 50), np.uint8)
    labels[12, 30] = 1
    (zone,) = totals(laid, labels).table()
    assert zone.hectares[0] > 0
    assert zone.nodata_hectares == pytest.approx(0, abs=1e-9)
