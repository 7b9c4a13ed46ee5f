from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import rasterio

from swath.model import read_model
from tests.mapping.scenes import write_scene as write_pixels
from tests.teaching.scenes import checkerboard, middles, remembering_model, write_places, write_scene
from tests.tiny import CLASSES

from .conftest import Swath
from .test_cli_next_steps import parse


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teach")
    table = checkerboard(CLASSES)
    return (
        remembering_model(folder / "tiny.onnx"),
        write_scene(folder / "my scene.tif", table),
        write_places(folder / "p.csv", middles(table)),
    )


def test_it_says_what_was_gained_and_the_map_that_comes_next(swath: Swath, files, tmp_path: Path) -> None:
    model, scene, places = files
    out = tmp_path / "mine.onnx"
    ran = swath(
        "teach", model, "--scene", scene, "--places", places, "--out", out, "--rescale", "off", "--bands", "1,2,3"
    )
    assert ran.code == 0, ran.err
    assert "agreement with 36 places" in ran.out
    assert "teaching helped" in ran.out
    assert max(len(line) for line in ran.out.splitlines() if not line.startswith("/")) <= 80
    assert f"next: swath map {out} '{scene}' --bands 1,2,3 --rescale off --out {out.with_suffix('.tif')}" in ran.err
    assert read_model(out).record.taught


def test_json_holds_the_same(swath: Swath, files, tmp_path: Path) -> None:
    model, scene, places = files
    ran = swath("teach", model, "--scene", scene, "--places", places, "--out", tmp_path / "m.onnx", "--json", "-q")
    assert json.loads(ran.out)["places"] == dict.fromkeys(CLASSES, 9)


def test_options_that_do_not_go_together(swath: Swath, files, tiny_index_file: Path, tmp_path: Path) -> None:
    model, scene, places = files
    out = tmp_path / "m.onnx"
    for options, says in (
        ((), "places of a scene or from patches"),
        (("--scene", scene), "--places is missing"),
        (("--patches", tiny_index_file, "--places", places), "patches have no scene"),
        (("--scene", scene, "--places", places, "--rescale", "5"), "--rescale 5"),
        (("--scene", scene, "--places", places, "--label-field", "what"), "no column 'what'"),
        (("--scene", scene, "--places", tmp_path / "none.csv"), "there is no file of places"),
    ):
        ran = swath("teach", model, *options, "--out", out)
        assert ran.code == 2
        assert says in ran.err
        assert not out.exists()


def test_a_scene_of_several_files_is_named_whole_in_what_comes_next(swath: Swath, files, tmp_path: Path) -> None:
    model, scene, _ = files
    with rasterio.open(scene) as whole:
        pixels = whole.read()
        place = {"crs": whole.crs, "transform": whole.transform}
    parts = [
        write_pixels(tmp_path / f"{name}.tif", pixels[at : at + 1], **place)
        for at, name in enumerate(("red", "green", "blue"))
    ]
    blue, green, red = parts[::-1]
    out = tmp_path / "places.gpkg"
    ran = swath("suggest", model, blue, green, red, "--n", 1, "--out", out)
    assert ran.code == 0, ran.err
    scenes = f"--scene {blue} --scene {green} --scene {red}"
    assert f"next: swath teach {model} {scenes} --places {out} --out" in ran.err
    after = next(line for line in ran.err.splitlines() if line.startswith("next: swath teach"))
    assert parse(shlex.split(after)[2:])[1]["scene"] == [str(blue), str(green), str(red)]
