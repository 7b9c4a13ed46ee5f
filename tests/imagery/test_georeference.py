"""Where a raster lies, compared with what PROJ and the geometry of the globe say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile
from rasterio.warp import transform as transform_points

from swath.errors import DataError
from swath.imagery import decode
from swath.imagery.georeference import (
    Georeference,
    Place,
    decode_footprint,
    encode_footprint,
    georeference_of,
    places_of,
)

EARTH = 6_371_000.0


def tif(crs, transform, *, width=64, height=64, gcps=None):
    profile = {"driver": "GTiff", "count": 1, "height": height, "width": width, "dtype": "uint8"}
    with MemoryFile() as memory:
        with memory.open(**profile, crs=crs, transform=transform) as dataset:
            dataset.write(np.zeros((1, height, width), np.uint8))
            if gcps:
                dataset.gcps = gcps
        return bytes(memory.read())


def place(crs, transform, **size) -> Place:
    found = decode(tif(crs, transform, **size), georeference=True).georeference
    [located] = places_of([found])
    return located


def area(ring):
    """Square meters of a small ring on the sphere."""
    x, y = np.radians(ring[:, 0]), np.sin(np.radians(ring[:, 1]))
    return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2 * EARTH**2


def test_a_patch_in_utm_gives_center_size_and_corners():
    found = place("EPSG:32632", Affine(10, 0, 500_000, 0, -10, 5_000_000))
    lon, lat = transform_points("EPSG:32632", "EPSG:4326", [500_320.0], [4_999_680.0])
    assert (found.lon, found.lat) == pytest.approx((lon[0], lat[0]), abs=1e-8)
    assert found.gsd == 10  # 10.004: UTM is 0.9996 of the ground along its middle
    assert (found.crs, found.problem) == ("EPSG:32632", "")
    [ring] = decode_footprint(found.footprint)
    corners = transform_points(
        "EPSG:32632", "EPSG:4326", [500_000, 500_000, 500_640, 500_640], [5_000_000, 4_999_360, 4_999_360, 5_000_000]
    )
    assert {tuple(np.round(p, 8)) for p in ring} == {tuple(np.round(p, 8)) for p in zip(*corners, strict=True)}
    assert area(ring) == pytest.approx(640**2, rel=0.01)


@pytest.mark.parametrize("lat", [0.0, 45.0, -70.0])
def test_degrees_and_mercator_give_meters_on_the_ground(lat):
    degree = math.radians(1) * EARTH
    in_degrees = place("EPSG:4326", Affine(1e-4, 0, 20, 0, -1e-4, lat + 0.0032))
    assert in_degrees.gsd == pytest.approx(1e-4 * degree * math.sqrt(math.cos(math.radians(lat))), rel=0.005)
    assert (in_degrees.lon, in_degrees.lat) == pytest.approx((20.0032, lat), abs=1e-9)
    [x], [y] = transform_points("EPSG:4326", "EPSG:3857", [20.0], [lat])
    mercator = place("EPSG:3857", Affine(10, 0, x - 320, 0, -10, y + 320))
    assert mercator.gsd == pytest.approx(10 * math.cos(math.radians(lat)), rel=0.007)
    assert (mercator.lon, mercator.lat) == pytest.approx((20, lat), abs=1e-6)


@given(st.floats(0, 360), st.floats(0.5, 60), st.integers(8, 90), st.integers(8, 90))
@settings(max_examples=25)
def test_a_turned_grid_keeps_its_center_area_and_pixel_size(degrees, size, width, height):
    cos, sin = size * math.cos(math.radians(degrees)), size * math.sin(math.radians(degrees))
    transform = Affine(cos, sin, 600_000, sin, -cos, 5_400_000)
    found = place("EPSG:32632", transform, width=width, height=height)
    x, y = 600_000 + (cos * width + sin * height) / 2, 5_400_000 + (sin * width - cos * height) / 2
    lon, lat = transform_points("EPSG:32632", "EPSG:4326", [x], [y])
    assert (found.lon, found.lat) == pytest.approx((lon[0], lat[0]), abs=1e-8)
    assert found.gsd == pytest.approx(size, rel=0.002)
    [ring] = decode_footprint(found.footprint)
    assert area(ring) == pytest.approx(width * height * size**2, rel=0.01)


def test_nothing_is_made_up():
    identity = Affine.identity()
    assert decode(tif(None, identity), georeference=True).georeference is None
    assert decode(tif("EPSG:32632", Affine(10, 0, 5e5, 0, -10, 5e6))).georeference is None  # not asked for
    gcps = [GroundControlPoint(0, 0, 10, 45), GroundControlPoint(64, 0, 10, 44), GroundControlPoint(0, 64, 11, 45)]
    for crs, transform, points, why in (
        (None, Affine(10, 0, 5e5, 0, -10, 5e6), None, "no coordinate reference system"),
        ("EPSG:32632", identity, None, "no transform"),
        (None, identity, (gcps, "EPSG:4326"), "ground control points"),
    ):
        [found] = places_of([decode(tif(crs, transform, gcps=points), georeference=True).georeference])
        assert why in found.problem
        assert found == Place(problem=found.problem)


def test_a_place_outside_its_system_is_told():
    found = place("EPSG:4326", Affine(1, 0, 0, 0, -1, 120))
    assert (found.lon, found.footprint) == (None, None)
    assert "outside the area" in found.problem


def test_the_180th_meridian_cuts_an_outline_in_two():
    found = place("EPSG:4326", Affine(1e-3, 0, 180 - 0.016, 0, -1e-3, 10.032))
    assert found.lon == pytest.approx(-180 + 0.016)
    parts = decode_footprint(found.footprint)
    assert sorted(area(part) / sum(map(area, parts)) for part in parts) == pytest.approx([0.25, 0.75], abs=1e-6)
    assert sorted(round(float(part[:, 0].min()), 6) for part in parts) == [-180.0, 179.984]
    whole = place("EPSG:4326", Affine(1e-3, 0, 190, 0, -1e-3, 10.032))  # longitudes from 0 to 360
    assert whole.lon == pytest.approx(-169.968)
    assert len(decode_footprint(whole.footprint)) == 1
    utm = place("EPSG:32601", Affine(1000, 0, 166_000 - 32_000, 0, -1000, 60_000))
    assert len(decode_footprint(utm.footprint)) == 2
    assert sum(map(area, decode_footprint(utm.footprint))) == pytest.approx((64 * utm.gsd) ** 2, rel=0.01)


def test_a_pole_is_told_and_its_neighbor_has_an_outline():
    pole = place("EPSG:3413", Affine(100, 0, -3200, 0, -100, 3200))
    assert pole.lat == pytest.approx(90)
    assert pole.footprint is None
    assert "pole" in pole.problem
    near = place("EPSG:3413", Affine(100, 0, 50_000, 0, -100, 50_000))
    assert near.footprint is not None
    assert near.gsd == pytest.approx(100 / 0.97, rel=0.01)
    assert sum(map(area, decode_footprint(near.footprint))) == pytest.approx((64 * near.gsd) ** 2, rel=0.01)


def test_a_long_edge_bends():
    """A wide scene far north: straight edges in degrees would miss the ground by kilometers."""
    found = place("EPSG:32633", Affine(2000, 0, 200_000, 0, -2000, 8_000_000), width=200, height=200)
    [ring] = decode_footprint(found.footprint)
    assert len(ring) > 4
    t = np.linspace(0, 1, 101)
    lon, lat = transform_points("EPSG:32633", "EPSG:4326", 200_000 + 400_000 * t, np.full(101, 8_000_000.0))
    meters = np.array([111_320 * math.cos(math.radians(lat[50])), 111_320])
    points, starts = np.stack([lon, lat], axis=1) * meters, ring * meters
    along = np.roll(starts, -1, axis=0) - starts
    step = ((points[:, None] - starts) * along).sum(axis=2) / (along**2).sum(axis=1)
    nearest = starts + np.clip(step, 0, 1)[..., None] * along
    error = np.linalg.norm(points[:, None] - nearest, axis=2).min(axis=1)
    assert error.max() < 0.15 * 2000


def test_a_system_without_a_code_is_kept_as_text():
    wkt = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=47 +lon_0=11 +datum=WGS84 +units=m").to_wkt()
    found = place(wkt, Affine(20, 0, -640, 0, -20, 640))
    assert found.crs.startswith("PROJCS")
    assert (found.lon, found.lat, found.gsd) == (pytest.approx(11), pytest.approx(47), pytest.approx(20, rel=1e-3))


def test_many_patches_of_several_systems_are_computed_as_one_by_one():
    one = Georeference("EPSG:32632", (10.0, 0.0, 5e5, 0.0, -10.0, 5e6), 64, 64)
    two = Georeference("EPSG:4326", (1e-4, 0.0, 3.0, 0.0, -1e-4, 50.0), 30, 64)
    bad = Georeference("EPSG:4326", (1.0, 0.0, 3.0, 0.0, -1.0, 500.0), 30, 64)
    mixed = [one, None, two, bad, one, two]
    assert places_of(mixed) == [places_of([each])[0] for each in mixed]


def test_a_jpeg_2000_says_its_place_or_nothing(tmp_path):
    (tmp_path / "a.tif").write_bytes(tif("EPSG:32632", Affine(10, 0, 5e5, 0, -10, 5e6)))
    rasterio.shutil.copy(tmp_path / "a.tif", tmp_path / "a.jp2", driver="JP2OpenJPEG")
    found = decode((tmp_path / "a.jp2").read_bytes(), georeference=True).georeference
    assert found == decode(tmp_path / "a.tif", georeference=True).georeference
    (tmp_path / "b.tif").write_bytes(tif(None, Affine.identity()))
    rasterio.shutil.copy(tmp_path / "b.tif", tmp_path / "b.jp2", driver="JP2OpenJPEG")
    assert decode((tmp_path / "b.jp2").read_bytes(), georeference=True).georeference is None


def test_an_open_dataset_is_read_alike(tmp_path):
    (tmp_path / "a.tif").write_bytes(tif("EPSG:32632", Affine(10, 0, 5e5, 0, -10, 5e6)))
    with rasterio.open(tmp_path / "a.tif") as dataset:
        found = georeference_of(dataset)
    assert found == decode(tmp_path / "a.tif", georeference=True).georeference


@pytest.mark.parametrize("wkb", [b"", b"\1", b"\1\1\0\0\0" + bytes(16), encode_footprint([np.eye(3, 2) * 300])])
def test_what_is_no_footprint_is_refused(wkb):
    with pytest.raises(DataError, match="not a WKB polygon"):
        decode_footprint(wkb)
