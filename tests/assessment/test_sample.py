"""Samples of maps: random within classes, of the numbers asked for, and with their design in the file."""

from __future__ import annotations

import sqlite3
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine

from swath.assessment import sample_map
from swath.assessment.rasters import ClassTotals
from swath.assessment.sample import allocate
from swath.errors import DataError, MissingFileError, OutputError, SettingError
from swath.mapping.places import read_places
from tests.assessment.maps import DEGREES, UTM, land, write_map


def totals(pixels: list[int]) -> ClassTotals:
    return ClassTotals(
        tuple(range(1, len(pixels) + 1)),
        tuple(f"c{k}" for k in range(len(pixels))),
        np.array(pixels, np.int64),
        np.array(pixels) / 100,
    )


@given(
    st.lists(st.integers(1, 10_000), min_size=1, max_size=12),
    st.integers(1, 500),
    st.integers(0, 20),
    st.sampled_from(["proportional", "equal", "neyman"]),
)
def test_points_are_shared_out_to_the_last(pixels: list[int], n: int, least: int, how: str) -> None:
    users = np.linspace(0.5, 0.98, len(pixels))
    floor = np.minimum(pixels, least)
    if floor.sum() > n:
        with pytest.raises(SettingError, match=f"--n {floor.sum()} or more"):
            allocate(n, totals(pixels), allocation=how, least=least, users=users)  # type: ignore[arg-type]
        return
    counts = np.array(allocate(n, totals(pixels), allocation=how, least=least, users=users))  # type: ignore[arg-type]
    assert counts.sum() == min(n, sum(pixels))
    assert (counts >= floor).all()
    assert (counts <= pixels).all()


def test_points_follow_area_or_not() -> None:
    ground = totals([9_000, 900, 100])
    assert allocate(100, ground) == [89, 9, 2]
    assert allocate(99, ground, allocation="equal") == [33, 33, 33]
    assert allocate(100, ground, least=20) == [60, 20, 20]
    # A class that is sure to be right needs fewer points.
    sure = allocate(100, ground, allocation="neyman", users=np.array([0.98, 0.5, 0.5]))
    assert sure[0] < 75 < 89
    assert sure[1] > 9


@pytest.mark.parametrize("place", [UTM, DEGREES])
def test_a_sample_says_what_it_stands_for(tmp_path: Path, place: tuple[str, rasterio.Affine]) -> None:
    mapped, _ = land()
    map_ = write_map(tmp_path / "map.tif", mapped, place=place)
    made = sample_map(map_, out=tmp_path / "places.gpkg", n=90, per_class=10)
    assert (sum(made.points), min(made.points) >= 10) == (90, True)
    assert made.pixels == tuple(int((mapped == k).sum()) for k in (1, 2, 3))
    places = read_places(tmp_path / "places.gpkg", label_field="reference")
    assert all(row.label is None for row in places.rows)
    with rasterio.open(map_) as raster:
        for row in places.rows:
            (value,) = next(raster.sample([row.geometry["coordinates"]]))
            name = ("", "Forest", "River", "Town")[value]
            assert row.attributes["stratum"] == row.attributes["map_class"] == name
    for name, hectares, pixels in zip(made.classes, made.hectares, made.pixels, strict=True):
        own = [row.attributes for row in places.rows if row.attributes["stratum"] == name]
        assert {(a["stratum_ha"], a["stratum_pixels"]) for a in own} == {(hectares, pixels)}
        # Weights add up to the stratum, but for the luck of which rows were drawn.
        assert sum(a["weight_ha"] for a in own) == pytest.approx(hectares, rel=0.25)
    assert {row.attributes["map_ha"] for row in places.rows} == {sum(made.hectares)}


def test_qgis_gets_a_drop_down_and_classes_in_no_order(tmp_path: Path) -> None:
    map_ = write_map(tmp_path / "map.tif", land()[0])
    made = sample_map(map_, out=tmp_path / "places.gpkg", n=60, per_class=15)
    assert [path.name for path in made.files] == ["places.gpkg", "places.qml"]
    style = (tmp_path / "places.qml").read_text(encoding="utf-8")
    assert all(name in style for name in ("Forest", "River", "Town", "ValueMap", "reference"))
    with sqlite3.connect(tmp_path / "places.gpkg") as db:
        strata = [name for (name,) in db.execute("SELECT stratum FROM places ORDER BY fid")]
    changes = sum(a != b for a, b in pairwise(strata))
    assert changes > 20  # who labels them does not see class after class


def test_whoever_labels_sees_a_picture_and_not_the_map(tmp_path: Path) -> None:
    map_ = write_map(tmp_path / "map.tif", land()[0])
    with rasterio.open(map_) as raster:  # a scene of half the map, at twice its resolution
        place = raster.transform @ Affine.scale(0.5)
        settings = {"driver": "GTiff", "height": 120, "width": 80, "count": 3, "dtype": "uint8", "crs": raster.crs}
    with rasterio.open(tmp_path / "scene.tif", "w", **settings, transform=place, photometric="RGB") as out:
        out.write(np.full((3, 120, 80), 90, np.uint8))
    made = sample_map(map_, out=tmp_path / "p.gpkg", n=60, scene=tmp_path / "scene.tif")
    places = read_places(tmp_path / "p.gpkg", need_labels=False)
    pictures = [row.attributes["picture"] for row in places.rows]
    outside = pictures.count(None)
    assert 0 < outside < 60
    assert f"{outside} of 60 points lie outside the scene and have no picture" in made.notes
    assert all(data is None or data.startswith(b"\xff\xd8\xff") for data in pictures)
    style = ElementTree.fromstring((tmp_path / "p.qml").read_text(encoding="utf-8"))
    form = {element.get("name") for element in style.iter("attributeEditorField")}
    assert form == {"reference", "new_class"}
    unseen = {column.get("name") for column in style.iter("column") if column.get("hidden") == "1"}
    assert {"stratum", "map_class"} <= unseen
    with pytest.raises(DataError, match="there is no scene"):
        sample_map(map_, out=tmp_path / "q.gpkg", scene=tmp_path / "none.tif")
    assert not (tmp_path / "q.gpkg").exists()


def test_the_same_pixels_whatever_the_file(tmp_path: Path) -> None:
    mapped, _ = land(200, 300)
    ways = {
        "plain": {},
        "tiled": {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"},
        "strips": {"blockysize": 7, "compress": "lzw"},
    }
    found = []
    for name, how in ways.items():
        map_ = write_map(tmp_path / f"{name}.tif", mapped, **how)
        sample_map(map_, out=tmp_path / f"{name}-places.gpkg", n=50)
        found.append([row.geometry for row in read_places(tmp_path / f"{name}-places.gpkg", need_labels=False).rows])
    assert found[0] == found[1] == found[2]
    sample_map(tmp_path / "plain.tif", out=tmp_path / "other.gpkg", n=50, seed=1)
    assert [row.geometry for row in read_places(tmp_path / "other.gpkg", need_labels=False).rows] != found[0]


def test_every_pixel_of_a_class_is_as_likely(tmp_path: Path) -> None:
    """Pixels drawn of a class, counted in 25 parts of the map: chi-square with 24 degrees of freedom."""
    values = np.full((400, 500), 1, np.uint8)
    values[::3] = 2
    map_ = write_map(tmp_path / "map.tif", values, blockysize=13)
    sample_map(map_, out=tmp_path / "p.gpkg", n=4500, allocation="equal")
    rows = read_places(tmp_path / "p.gpkg", need_labels=False).rows
    xy = np.array([row.geometry["coordinates"] for row in rows if row.attributes["stratum"] == "River"])
    column, row = (xy[:, 0] - 600_000) // 10, (5_400_000 - xy[:, 1]) // 10
    assert len(set(zip(row, column, strict=True))) == len(xy) == 2250  # no pixel twice
    parts = np.bincount((row // 80 * 5 + column // 100).astype(int), minlength=25)
    pixels = np.array([(values[80 * k : 80 * k + 80, :100] == 2).sum() for k in range(5)]).repeat(5)
    expected = 2250 * pixels / pixels.sum()
    assert ((parts - expected) ** 2 / expected).sum() < 51.2  # one seed in a thousand


def test_neyman_reads_the_confidence_of_the_map(tmp_path: Path) -> None:
    mapped, _ = land(200, 300)
    map_ = write_map(tmp_path / "map.tif", mapped)
    with pytest.raises(SettingError, match=r"map\.confidence\.tif"):
        sample_map(map_, out=tmp_path / "p.gpkg", allocation="neyman")
    sure = np.where(mapped == 1, 97, 60).astype(np.uint8)
    write_map(tmp_path / "map.confidence.tif", sure, nodata=255, names=None)
    by_area = sample_map(map_, out=tmp_path / "a.gpkg", n=200)
    neyman = sample_map(map_, out=tmp_path / "n.gpkg", n=200, allocation="neyman")
    assert neyman.points[0] < by_area.points[0]
    write_map(tmp_path / "map.confidence.tif", sure[:100], nodata=255, names=None)
    with pytest.raises(DataError, match="not the confidence"):
        sample_map(map_, out=tmp_path / "x.gpkg", n=200, allocation="neyman")


def test_a_small_class_is_drawn_whole(tmp_path: Path) -> None:
    values = np.full((50, 50), 1, np.uint8)
    values[0, :3] = 2
    made = sample_map(write_map(tmp_path / "map.tif", values), out=tmp_path / "p.gpkg", n=60, per_class=20)
    assert made.points == (57, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n": 0}, "--n 0"),
        ({"n": 10**6}, "--n 1000000"),
        ({"n": 5}, "--n 6 or more"),
        ({"per_class": 0}, "--per-class 0"),
        ({"out": "places.shp"}, r"end --out in \.gpkg"),
    ],
)
def test_settings_that_cannot_be_met(tmp_path: Path, settings: dict[str, object], words: str) -> None:
    map_ = write_map(tmp_path / "map.tif", land()[0])
    with pytest.raises(SettingError, match=words):
        sample_map(map_, **({"out": tmp_path / "p.gpkg"} | settings))  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.tif"]


def test_maps_that_are_none(tmp_path: Path) -> None:
    mapped, _ = land()
    with pytest.raises(MissingFileError, match="swath map"):
        sample_map(tmp_path / "none.tif", out=tmp_path / "p.gpkg")
    for name, content, words in (
        ("no-crs", {"place": (None, UTM[1])}, "areas of no-crs.tif are not known"),
        ("float", {"values": mapped.astype(np.float32)}, "whole"),
        ("rgb", {"values": np.stack([mapped] * 3), "count": 3}, "3 bands"),
        ("empty", {"values": np.zeros_like(mapped)}, "all of its pixels are nodata"),
        ("negative", {"values": mapped.astype(np.int16) - 5, "nodata": None}, "the value -"),
        ("heights", {"values": np.arange(4800, dtype=np.uint16).reshape(60, 80)}, "256 different values"),
    ):
        values = content.pop("values", mapped)
        path = write_map(tmp_path / f"{name}.tif", values, **content)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=words):
            sample_map(path, out=tmp_path / "p.gpkg")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(DataError, match=r"text\.tif"):
        sample_map(tmp_path / "text.tif", out=tmp_path / "p.gpkg")
    assert not list(tmp_path.glob("p.*"))


def test_an_existing_sample_stays(tmp_path: Path) -> None:
    map_ = write_map(tmp_path / "map.tif", land()[0])
    sample_map(map_, out=tmp_path / "p.gpkg", n=20)
    with pytest.raises(OutputError, match="exists already"):
        sample_map(map_, out=tmp_path / "p.gpkg", n=20)
