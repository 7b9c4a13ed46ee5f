from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Swath, refused
from tests.mapping.scenes import UTM, write_scene
from tests.tiny import patches

LEFT, TOP = UTM["transform"].c, UTM["transform"].f


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A forest with a town at its right end."""
    row = [patches(name, 1)[0] for name in ("Forest", "Forest", "Residential")]
    return write_scene(tmp_path / "scene.tif", np.concatenate(row, axis=2))


def districts(path: Path, *names: object, crs: str = "EPSG:32632") -> Path:
    """Squares of 640 m in a row from the corner of the scene on."""
    features = []
    for place, name in enumerate(names):
        x = LEFT + 640 * place
        ring = [[x, TOP], [x + 640, TOP], [x + 640, TOP - 640], [x, TOP - 640], [x, TOP]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"name": name}, "geometry": geometry})
    system = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, "crs": system}))
    return path


def test_it_names_the_page_to_open(swath: Swath, tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    ran = swath("map", tiny_model, scene, "--out", tmp_path / "map.tif")
    assert ran.code == 0, ran.err
    assert f"next: open {tmp_path / 'map.html'} in a browser" in ran.err
    assert (tmp_path / "map.html").exists()
    assert "GB of memory" not in ran.err, "a short run is not estimated"
    assert all(len(line) <= 80 for line in ran.out.splitlines() if "  " in line)


def test_areas_by_zone(swath: Swath, tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    zones = districts(tmp_path / "districts.geojson", "West", None, "[b]East[/b]")
    ran = swath("map", tiny_model, scene, "--out", tmp_path / "map.tif", "--stride", 64, "--zones", zones)
    assert ran.code == 0, ran.err
    table = [line.split() for line in ran.out.splitlines()]
    assert ["West", "41", "Forest", "100", "%"] in table
    assert ["zone", "2", "41", "Forest", "100", "%"] in table
    assert ["[b]East[/b]", "41", "Residential", "100", "%"] in table
    assert f"{tmp_path / 'map.zones.csv'}: hectares of every class in 3 zones" in ran.out
    again = swath(
        "map",
        tiny_model,
        scene,
        "--out",
        tmp_path / "map.tif",
        "--stride",
        64,
        "--zones",
        zones,
        "--overwrite",
        "--json",
    )
    assert [zone["name"] for zone in json.loads(again.out)["zones"]] == ["West", "zone 2", "[b]East[/b]"]


def test_many_zones_stay_short(swath: Swath, tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    zones = tmp_path / "many.geojson"
    districts(zones, "a")
    found = json.loads(zones.read_text())
    found["features"] = [found["features"][0] | {"properties": {"name": f"z{i}"}} for i in range(40)]
    zones.write_text(json.dumps(found))
    ran = swath("map", tiny_model, scene, "--out", tmp_path / "map.tif", "--stride", 64, "--zones", zones)
    assert "... 25 more" in ran.out
    assert "z20" not in ran.out
    assert "zones overlap on" in ran.err


def test_small_patches_are_merged_and_it_is_said(swath: Swath, tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    ran = swath("map", tiny_model, scene, "--out", tmp_path / "map.tif", "--stride", 64, "--min-area", 50)
    assert ran.code == 0, ran.err
    assert "1 patch of less than 50 ha merged" in ran.out
    assert "41 ha, 33.3 % of the map" in ran.out


def test_a_long_run_is_estimated_first(
    swath: Swath, tiny_model: Path, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swath.mapping.windows._FEW_SECONDS", 0)
    monkeypatch.setattr("swath.mapping.estimate.LONG", 0)
    ran = swath("map", tiny_model, scene, "--out", tmp_path / "map.tif")
    assert ran.code == 0, ran.err
    assert "GB of memory for" in ran.err.splitlines()[0]
    quiet = swath("map", tiny_model, scene, "--out", tmp_path / "map.tif", "--overwrite", "--quiet")
    assert "GB of memory" not in quiet.err


def test_zones_that_cannot_be_used_are_refused(swath: Swath, tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    command = ("map", tiny_model, scene, "--out", tmp_path / "out" / "map.tif")
    refused(swath, tmp_path / "out", *command, "--zones", tmp_path / "none.gpkg", says=("no file of zones",))
    far = districts(tmp_path / "far.geojson", "a", crs="EPSG:32633")
    refused(swath, tmp_path / "out", *command, "--zones", far, says=("no zone of far.geojson lies in the scene",))
    near = districts(tmp_path / "near.geojson", "a")
    wrong = (*command, "--zones", near, "--zone-field", "town")
    refused(swath, tmp_path / "out", *wrong, says=("no column 'town'", "--zone-field"))
    refused(swath, tmp_path / "out", *command, "--zone-field", "name", says=("no zones", "--zones"))
    refused(swath, tmp_path / "out", *command, "--min-area", 0, says=("--min-area 0 is not above 0",))


def test_a_part_of_a_scene_is_said(swath: Swath, tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    aoi, clouds = districts(tmp_path / "aoi.geojson", "a", "b"), districts(tmp_path / "clouds.geojson", "c")
    options = ("--stride", 64, "--aoi", aoi, "--mask", clouds, "--out", tmp_path / "map.tif")
    ran = swath("map", tiny_model, scene, *options)
    assert ran.code == 0, ran.err
    place = "inside aoi.geojson and outside clouds.geojson"
    assert f"mapped {place}: 192 x 64 of 192 x 64 pixels, of which 67 % are no data" in ran.out
