from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from swath.mapping.area import pixel_area, zone_area

WGS84 = CRS.from_epsg(4326)


def test_utm_pixels_have_their_own_size():
    area = pixel_area(CRS.from_epsg(32632), Affine(10, 0, 6e5, 0, -20, 5.4e6), 7)
    assert area.rows.tolist() == [200.0] * 7
    assert (area.across, area.down, area.warning) == (10, 20, None)


def test_rotated_pixels_keep_their_area():
    turned = Affine.rotation(30) @ Affine.scale(10, -10)
    area = pixel_area(CRS.from_epsg(32632), turned, 3)
    assert area.rows == pytest.approx(100)
    assert area.across == pytest.approx(10)


def test_feet_become_meters():
    area = pixel_area(CRS.from_epsg(2263), Affine(10, 0, 0, 0, -10, 0), 2)  # New York, US survey feet
    assert area.rows == pytest.approx((10 * 1200 / 3937) ** 2)


def test_the_whole_earth_has_its_known_area():
    area = pixel_area(WGS84, Affine(1, 0, -180, 0, -1, 90), 180)
    assert 360 * area.rows.sum() == pytest.approx(510_065_621_724_088, rel=1e-9)  # m2, WGS 84
    assert 180 * area.rows[90:].sum() == pytest.approx(510_065_621_724_088 / 4, rel=1e-9)


@pytest.mark.parametrize("south", [0, 30, 53.9, 89])
def test_a_degree_cell_agrees_with_numerical_integration(south):
    a, e2 = 6_378_137.0, 6.69437999014e-3
    edges = np.radians(np.linspace(south, south + 1, 20_001))
    middle = (edges[1:] + edges[:-1]) / 2
    meridian_times_normal = a**2 * (1 - e2) / (1 - e2 * np.sin(middle) ** 2) ** 2
    expected = (meridian_times_normal * np.cos(middle)).sum() * (edges[1] - edges[0]) * np.radians(1)
    area = pixel_area(WGS84, Affine(1, 0, 5, 0, -1, south + 1), 1)
    assert area.rows[0] == pytest.approx(expected, rel=1e-8)


def test_degrees_grow_narrow_towards_the_pole():
    area = pixel_area(WGS84, Affine(1e-4, 0, 13, 0, -1e-4, 60), 10)
    assert area.across == pytest.approx(5.58, abs=0.01)
    assert area.down == pytest.approx(11.14, abs=0.01)
    assert area.rows[0] < area.rows[-1]


def test_north_may_be_down():
    up = pixel_area(WGS84, Affine(1, 0, 0, 0, -1, 50), 4).rows
    down = pixel_area(WGS84, Affine(1, 0, 0, 0, 1, 46), 4).rows
    np.testing.assert_allclose(down[::-1], up)


def test_without_a_known_place_there_is_no_area():
    assert pixel_area(None, Affine.identity(), 5) is None
    assert pixel_area(WGS84, Affine.rotation(10), 5) is None
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["meter",1]]')
    assert pixel_area(local, Affine.identity(), 5) is None


def test_mercator_areas_come_with_a_warning():
    assert "Mercator" in pixel_area(CRS.from_epsg(3857), Affine(10, 0, 0, 0, -10, 0), 2).warning


def test_zones_are_odd_about_the_equator():
    assert zone_area(np.array([-0.7]))[0] == -zone_area(np.array([0.7]))[0]
