from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data.named import NAMED
from swath.data.spatial import (
    EARTH,
    UNKNOWN_ORIGIN,
    block_names,
    group_blocks,
    noted_protocol,
    optimistic_bias,
    spatial_autocorrelation,
    split_warning,
    unknown_origin,
)
from swath.errors import DataError, SettingError

from .makers import table_index

PROPERTY = settings(max_examples=60)
lons, lats = st.floats(-180, 180), st.floats(-90, 90)


def with_columns(index, **columns):
    return index.with_columns(columns)


def kilometers(lon1, lat1, lon2, lat2):
    """The haversine formula, as every textbook has it."""
    a, b = math.radians(lat1), math.radians(lat2)
    turn = math.sin((b - a) / 2) ** 2
    turn += math.cos(a) * math.cos(b) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(min(1.0, turn)))


@given(lons, lats, lons, lats, st.sampled_from([1.0, 10.0, 250.0, 3000.0]))
@PROPERTY
def test_places_of_one_block_lie_no_further_apart_than_its_corners(lon1, lat1, lon2, lat2, km):
    first, second = block_names([lon1, lon2], [lat1, lat2], km=km)
    if first == second and abs(lat1) < 80:
        # Rows and columns are whole parts of the globe, so a block is a little larger than asked for.
        row, column = math.pi * EARTH / math.floor(math.pi * EARTH / km), 3 * km
        assert kilometers(lon1, lat1, lon2, lat2) <= row + column


@given(lons, lats, st.sampled_from([1.0, 10.0, 250.0]))
@PROPERTY
def test_the_date_line_is_no_border_of_names(lon, lat, km):
    assert len(set(block_names([lon, lon - 360 if lon > 0 else lon + 360], [lat, lat], km=km))) == 1


def test_blocks_are_about_as_large_as_asked_away_from_the_equator():
    lon = np.linspace(10, 11, 2001)
    names = block_names(lon.tolist(), [60.0] * len(lon), km=5)
    width = kilometers(10, 60, 11, 60) / len(set(names))
    assert 4 < width < 6


def test_an_unknown_place_is_in_no_block():
    assert block_names([None, 3.0], [None, 4.0], km=10)[0] is None


@pytest.mark.parametrize("km", [0.0, -1.0, 6000.0, float("nan")])
def test_a_senseless_block_is_refused(km):
    with pytest.raises(SettingError, match="--block-km"):
        block_names([0.0], [0.0], km=km)


def test_blocks_join_groups_that_reach_across_them():
    index = table_index(["A"] * 4, groups=["copy", "copy", None, None])
    made = group_blocks(with_columns(index, lon=[0.0, 5.0, 5.0, 9.0], lat=[0.0] * 4), km=10)
    groups = made.table["group"].to_pylist()
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_blocks_need_coordinates():
    index = with_columns(table_index(["A", "B"]), lon=[1.0, None], lat=[1.0, None])
    with pytest.raises(DataError, match=r"1 of 2 patches .* have no coordinates"):
        group_blocks(index)


@given(st.lists(st.tuples(lons, lats), min_size=2, max_size=12), st.sampled_from([5.0, 500.0]))
@PROPERTY
def test_distances_are_those_of_the_haversine_formula(places, km):
    index = with_columns(
        table_index(["A"] * len(places), splits=["train", *["test"] * (len(places) - 1)]),
        lon=[p[0] for p in places],
        lat=[p[1] for p in places],
    )
    found = spatial_autocorrelation(index, km=km)
    apart = [kilometers(*places[0], *place) for place in places[1:]]
    assert found.measured == len(apart)
    assert found.median_km == pytest.approx(float(np.median(apart)), abs=0.35, rel=1e-4)


def test_neighbor_share_is_not_known_without_places_or_splits():
    assert spatial_autocorrelation(table_index(["A", "B"], splits=["train", "test"])) is None
    assert spatial_autocorrelation(with_columns(table_index(["A"]), lon=[1.0], lat=[1.0])) is None


def test_neighbors_across_a_split_are_called_optimistic_and_distant_ones_are_not():
    index = table_index(["A"] * 40, splits=["train", "test"] * 20)
    near = with_columns(index, lon=[k * 0.001 for k in range(40)], lat=[45.0] * 40)
    assert optimistic_bias(near) == "optimistic: 100 % of held-out patches lie within 10 km of a training patch"
    far = with_columns(index, lon=[k * 2.0 for k in range(40)], lat=[45.0] * 40)
    assert optimistic_bias(far) == ""
    blocks = replace(near, split_protocol="test cut (blocks of 10 km kept whole)")
    assert optimistic_bias(blocks) == ""


def test_where_nothing_is_known_of_the_origin_it_is_said_and_where_something_is_it_is_not():
    index = table_index(["A", "B"] * 20, splits=["train", "test"] * 20)
    said = f"{UNKNOWN_ORIGIN}: the score may be far too high"
    assert unknown_origin(index) == said
    assert unknown_origin(with_columns(index, split=[None] * 40)) == ""
    groups = [f"scene {k // 4}" for k in range(40)]
    assert unknown_origin(with_columns(index, group=groups)) == ""
    assert unknown_origin(with_columns(index, group=["same-0123", *groups[1:]])) == said  # a copy of a stranger
    assert unknown_origin(with_columns(index, lon=[1.0] * 40, lat=[2.0] * 40)) == ""
    noted = replace(index, split_protocol=noted_protocol(replace(index, split_protocol="theirs")))
    assert noted.split_protocol == f"theirs; {said}"
    assert noted_protocol(noted) == noted.split_protocol
    assert split_warning(noted.split_protocol) == said
    assert split_warning("val drawn; optimistic: patches of one scene lie on both sides") == (
        "the splits are optimistic: patches of one scene lie on both sides"
    )
    assert split_warning("test as the source gives it") == ""


def test_names_of_scenes_show_whether_a_split_separates_them():
    index = table_index(["A", "B"] * 30)
    paths = [f"{'AB'[k % 2]}/scene{k // 10}_{k}_{k}.png" for k in range(60)]
    whole = with_columns(index, path=paths, split=["train"] * 30 + ["val"] * 10 + ["test"] * 20)
    assert unknown_origin(whole) == ""
    mixed = with_columns(whole, split=["train", "train", "val", "test"] * 15)
    assert unknown_origin(mixed).startswith("6 of 6 scenes, by the names of patches, are in several splits")


def test_a_set_cut_side_by_side_is_called_optimistic_without_places():
    index = table_index(["A"] * 4, splits=["train", "test"] * 2)
    source = NAMED["eurosat-rgb"].source
    assert optimistic_bias(with_columns(index, source=[source] * 4)).startswith("optimistic")
    assert optimistic_bias(with_columns(index, source=["mine"] * 4)) == ""
    assert optimistic_bias(with_columns(table_index(["A"] * 4), source=[source] * 4)) == ""
