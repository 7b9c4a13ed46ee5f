from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as to_system

from swath.errors import DataError
from swath.mapping.area import pixel_area, zone_area

WGS84 = CRS.from_epsg(4326)


AXES = (6_378_137.0, 6.69437999014e-3)  # WGS 84: semi-major axis, squared eccentricity


def geodesic(crs, transform, shape):
    """Square meters of a scene by an independent way: its outline in an equal-area projection of its own middle.

    The outline is followed in small steps, so that straight edges in one system stay what they are in the other.
    """
    crs = CRS.from_user_input(crs)
    steps = np.linspace(0, 1, 401)[:-1]
    edges = [(steps, 0 * steps), (1 + 0 * steps, steps), (1 - steps, 1 + 0 * steps), (0 * steps, 1 - steps)]
    right, down = (np.concatenate(part) for part in zip(*edges, strict=True))
    x, y = transform @ (right * shape[1], down * shape[0])
    (lon,), (lat,) = to_system(crs, WGS84, [float(np.mean(x))], [float(np.mean(y))])
    equal = CRS.from_proj4(f"+proj=laea +lat_0={lat} +lon_0={lon} +ellps=WGS84")
    x, y = map(np.array, to_system(crs, equal, x.tolist(), y.tolist()))
    return abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def total(area, shape):
    rows = np.arange(shape[0]) // area.block[0]
    columns = np.arange(shape[1]) // area.block[1]
    return area.blocks[rows][:, columns].sum()


PLACES = [
    ("EPSG:32632", 600_000, 5_400_000, 10),
    ("EPSG:32601", 300_000, 100_000, 60),
    ("EPSG:3857", 1_000_000, 8_400_000, 20),  # Mercator at 60 degrees: planar areas are 3.99 times too large
    ("EPSG:4087", 1_000_000, 6_680_000, 10),  # plate carree
    ("ESRI:54003", 1_000_000, 8_600_000, 100),  # Miller
    ("ESRI:54030", 1_000_000, 6_000_000, 500),  # Robinson
    ("ESRI:54009", 4_000_000, 5_000_000, 500),  # Mollweide
    ("EPSG:3034", 4_000_000, 2_800_000, 50),  # conformal conic
    ("EPSG:3035", 4_300_000, 3_200_000, 50),
    ("EPSG:3995", 100_000, -100_000, 500),  # polar, beside the pole
    ("EPSG:3413", -100_000, 100_000, 500),  # and around it
    ("EPSG:2263", 1_000_000, 200_000, 10),  # US survey feet
    ("EPSG:28992", 155_000, 463_000, 25),
    ("+proj=geos +h=35785831 +lon_0=0 +sweep=y", 1_000_000, 4_000_000, 3_000),
    ("+proj=sinu +R=6371007.181", 3_000_000, 5_000_000, 463),
    ("EPSG:4326", 13, 60, 1e-4),
    ("EPSG:4258", 179.9, -12, 1e-3),  # over the date line
]


@pytest.mark.parametrize(("crs", "x", "y", "size"), PLACES)
@pytest.mark.parametrize("turned", [0, 20])
def test_areas_are_those_on_the_ground(crs, x, y, size, turned):
    shape = (380, 450)
    transform = Affine.translation(x, y) @ Affine.rotation(turned) @ Affine.scale(size, -size)
    if "R=" in crs:  # a sphere, on which the way over the ellipsoid is none
        expected = pytest.approx(size**2 * shape[0] * shape[1], rel=1e-3)
    else:
        expected = pytest.approx(geodesic(crs, transform, shape), rel=1e-3)
    assert total(pixel_area(CRS.from_user_input(crs), transform, shape), shape) == expected


def test_the_size_of_a_pixel_is_that_on_the_ground():
    utm = pixel_area(CRS.from_epsg(32632), Affine(10, 0, 6e5, 0, -20, 5.4e6), (7, 9))
    assert (utm.across, utm.down) == pytest.approx((10, 20), rel=1e-3)
    mercator = pixel_area(CRS.from_epsg(3857), Affine(20, 0, 1e6, 0, -20, 8.4e6), (100, 100))
    assert mercator.side == pytest.approx(10, rel=0.01)
    turned = Affine.rotation(30) @ Affine.scale(10, -10)
    turned = Affine.translation(6e5, 5.4e6) @ turned
    assert pixel_area(CRS.from_epsg(32632), turned, (3, 3)).across == pytest.approx(10, rel=1e-3)


def test_other_planets_have_areas_of_their_own():
    moon = CRS.from_proj4("+proj=longlat +R=1737400 +no_defs")
    area = pixel_area(moon, Affine(1, 0, -180, 0, -1, 90), (180, 360))
    assert total(area, (180, 360)) == pytest.approx(4 * np.pi * 1_737_400**2)


def test_the_whole_earth_has_its_known_area():
    rows = pixel_area(WGS84, Affine(1, 0, -180, 0, -1, 90), (180, 360)).blocks[:, 0]
    assert 360 * rows.sum() == pytest.approx(510_065_621_724_088, rel=1e-9)  # m2, WGS 84
    assert 180 * rows[90:].sum() == pytest.approx(510_065_621_724_088 / 4, rel=1e-9)


@pytest.mark.parametrize("south", [0, 30, 53.9, 89])
def test_a_degree_cell_agrees_with_numerical_integration(south):
    a, e2 = 6_378_137.0, 6.69437999014e-3
    edges = np.radians(np.linspace(south, south + 1, 20_001))
    middle = (edges[1:] + edges[:-1]) / 2
    meridian_times_normal = a**2 * (1 - e2) / (1 - e2 * np.sin(middle) ** 2) ** 2
    expected = (meridian_times_normal * np.cos(middle)).sum() * (edges[1] - edges[0]) * np.radians(1)
    area = pixel_area(WGS84, Affine(1, 0, 5, 0, -1, south + 1), (1, 1))
    assert area.blocks[0, 0] == pytest.approx(expected, rel=1e-8)


def test_degrees_grow_narrow_towards_the_pole():
    area = pixel_area(WGS84, Affine(1e-4, 0, 13, 0, -1e-4, 60), (10, 10))
    assert area.across == pytest.approx(5.58, abs=0.01)
    assert area.down == pytest.approx(11.14, abs=0.01)
    assert area.blocks[0, 0] < area.blocks[-1, 0]


def test_north_may_be_down():
    up = pixel_area(WGS84, Affine(1, 0, 0, 0, -1, 50), (4, 4)).blocks
    down = pixel_area(WGS84, Affine(1, 0, 0, 0, 1, 46), (4, 4)).blocks
    np.testing.assert_allclose(down[::-1], up)


@pytest.mark.parametrize(
    ("crs", "transform", "message"),
    [
        (None, Affine.identity(), "no coordinate reference system"),
        (CRS.from_wkt('LOCAL_CS["site",UNIT["meter",1]]'), Affine.identity(), "no place on the globe"),
        (WGS84, Affine(10, 0, 500_000, 0, -10, 5_300_000), "are not the degrees"),
        (CRS.from_epsg(4258), Affine(30, 0, 0, 0, -30, 4_000), "are not the degrees"),
        (CRS.from_epsg(32632), Affine(10, 0, 1e12, 0, -10, 1e12), "outside"),
    ],
)
def test_without_a_known_place_there_is_no_area(crs, transform, message):
    with pytest.raises(DataError, match=message):
        pixel_area(crs, transform, (50, 50))


def test_zones_are_odd_about_the_equator():
    assert zone_area(np.array([-0.7]), AXES)[0] == -zone_area(np.array([0.7]), AXES)[0]
