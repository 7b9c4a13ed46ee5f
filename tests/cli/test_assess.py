"""``swath sample`` and ``swath assess``: from a map to labeled points to numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.assessment.maps import labeled, land, write_map
from tests.cli.conftest import Swath


@pytest.fixture
def map_(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", land()[0])


def test_from_a_map_to_its_accuracy(swath: Swath, map_: Path, tmp_path: Path) -> None:
    places = tmp_path / "places.gpkg"
    ran = swath("sample", map_, "--n", 150, "--per-class", 30, "--out", places)
    assert ran.code == 0
    assert ran.out.splitlines()[0].split() == ["class", "points", "hectares"]
    assert f"{places}: 150 points" in ran.out
    assert f"next: swath assess {map_} --reference {places}" in ran.err
    labeled(places, map_, land()[1], out=places)
    ran = swath("assess", map_, "--reference", places)
    assert ran.code == 0
    assert "overall accuracy" in ran.out
    assert "next: swath assess" in ran.err
    ran = swath("assess", map_, "--reference", places, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "index.html").as_uri() in ran.out


def test_several_maps_and_another_raster(swath: Swath, map_: Path, tmp_path: Path) -> None:
    truth = write_map(tmp_path / "truth.tif", land()[1])
    ran = swath("assess", map_, truth, "--reference", truth)
    assert ran.code == 0
    assert "agreement 100.0 % of the area" in ran.out
    (tmp_path / "groups.yaml").write_text("land: [Forest, Town]\nwater: [River]\n")
    ran = swath("assess", map_, "--reference", truth, "--legend", tmp_path / "groups.yaml", "--json")
    assert json.loads(ran.out)["maps"][0]["classes"] == ["land", "water"]


def test_mistakes_are_one_sentence(swath: Swath, map_: Path, tmp_path: Path) -> None:
    places = tmp_path / "places.gpkg"
    assert swath("sample", map_, "--out", places).code == 0
    for arguments, words in (
        (("sample", map_, "--out", places), "exists already"),
        (("sample", map_, "--n", 3, "--out", tmp_path / "p.gpkg"), "--n 6 or more"),
        (("sample", map_, "--allocation", "neyman", "--out", tmp_path / "p.gpkg"), "map.confidence.tif"),
        (("sample", map_, "--bands", "1,2,3", "--out", tmp_path / "p.gpkg"), "--bands are those of --scene"),
        (("assess", map_, "--reference", places), "(100 without a label); fill in 'reference'"),
        (("assess", map_, "--reference", tmp_path / "none.gpkg"), "swath sample"),
        (("assess", map_), "--reference"),
        (("assess", map_, "--reference", map_, "--legend", tmp_path / "none.yaml"), "none.yaml"),
        (("assess", map_, "--reference", places, "--label-field", "height"), "no column 'height'"),
    ):
        ran = swath(*arguments)
        assert ran.code == 2
        assert words in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.tif", "places.gpkg", "places.qml"]
