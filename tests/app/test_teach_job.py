"""Places named on a scene, and what is taught from them: the same as the commands write, and undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.app.overview import look_at
from swath.app.teach_job import MODEL, Change, SceneTeaching, commands, compare
from swath.errors import DataError
from swath.inference import Classifier, load
from swath.mapping import map_scene
from swath.mapping.places import read_places
from swath.teaching import teach
from tests.teaching.scenes import checkerboard, middles, remembering_model, write_scene

CLASSES = checkerboard(("Forest", "River", "Dump"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remembering_model(tmp_path_factory.mktemp("model") / "before.onnx")


@pytest.fixture
def teaching(tiny: Classifier, model: Path, tmp_path: Path) -> SceneTeaching:
    scene = write_scene(tmp_path / "scene.tif", CLASSES)
    folder = tmp_path / "visitor"
    folder.mkdir()
    return SceneTeaching(look_at(scene, tiny.record.input), folder, model=str(model), threads=1)


def name_some(teaching: SceneTeaching, count: int = 12) -> None:
    for column, row, label in middles(CLASSES)[:count]:
        teaching.add(column, row, label)


def without_run(raster: Path) -> bytes:
    """The bytes of a map, but for the number by which its files find each other, which each run draws."""
    with rasterio.open(raster) as opened:
        run = opened.tags()["SWATH_RUN"]
    return raster.read_bytes().replace(run.encode(), b"0" * len(run))


def test_what_is_taught_is_what_the_commands_write(teaching: SceneTeaching, model: Path, tmp_path: Path) -> None:
    name_some(teaching)
    result = teaching.teach(stride=64)
    taught = teaching.taught
    assert taught is not None
    taught.job.wait()
    assert taught.job.made is not None
    assert result.places == {"Forest": 4, "River": 4, "Dump": 4}
    places = teaching.write(tmp_path / "places.gpkg")
    scene = teaching.overview.path
    again = teach(str(model), out=tmp_path / MODEL, scene=scene, places=places, threads=1)
    assert again.path.read_bytes() == result.path.read_bytes()
    assert (again.before, again.after, again.notes) == (result.before, result.after, result.notes)
    made = map_scene(load(again.path, threads=1), scene, out=tmp_path / "map.tif", stride=64)
    assert without_run(made.files.classes) == without_run(taught.job.made.files.classes)
    teach_it, map_it = commands(teaching, taught.job.made)
    assert teach_it == "swath teach before.onnx --scene scene.tif --places places.gpkg --out taught.onnx"
    assert map_it == "swath map taught.onnx scene.tif --stride 64 --out map.tif"


def test_a_teaching_is_undone_and_the_places_stay(teaching: SceneTeaching) -> None:
    name_some(teaching)
    teaching.teach(stride=64)
    first = teaching.taught
    assert first is not None
    assert teaching.colors_with()["Dump"] == load(first.result.path, threads=1).record.classes[-1].color_hint
    first.job.wait()
    teaching.add(32, 352, "Dump")
    teaching.teach(stride=64)
    second = teaching.taught
    assert second is not None
    assert not first.job.folder.exists()
    second.job.wait()
    teaching.undo_teaching()
    assert teaching.taught is None
    assert not second.job.folder.exists()
    assert len(teaching.places) == 13


def test_places_are_taken_back_one_by_one(teaching: SceneTeaching) -> None:
    assert not teaching.can_undo
    teaching.add(100, 100, "Forest")
    teaching.add(200, 100, "River")
    teaching.add(201, 101, "Dump")  # the same place: it was misnamed
    assert teaching.counts == {"Forest": 1, "Dump": 1}
    teaching.undo()
    assert teaching.counts == {"Forest": 1, "River": 1}
    teaching.clear()
    assert teaching.places == ()
    teaching.undo()
    teaching.undo()
    teaching.undo()
    assert (teaching.places, teaching.can_undo) == ((), False)
    teaching.undo()


def test_proposed_places_are_named_by_a_click_near_them(teaching: SceneTeaching) -> None:
    teaching.add(32, 32, "Forest")
    teaching.propose()
    proposals = teaching.proposals
    assert 5 < len(proposals) <= 12
    assert all(max(abs(one.column - 32), abs(one.row - 32)) >= 32 for one in proposals), "that place has a class"
    assert all(one.guess and one.picture for one in proposals)
    one = proposals[3]
    teaching.add(one.column + 20, one.row - 20, "Dump")
    assert teaching.places[-1].column == one.column
    assert one not in teaching.proposals
    teaching.undo()
    assert teaching.proposals == proposals
    teaching.leave_out(proposals[0])
    assert teaching.proposals == proposals[1:]


def test_saved_places_are_read_as_they_were_named(teaching: SceneTeaching, tmp_path: Path) -> None:
    name_some(teaching, 3)
    found = read_places(teaching.write(tmp_path / "mine.gpkg"))
    assert found.counts == {"Dump": 1, "Forest": 1, "River": 1}
    assert found.crs.to_epsg() == 32632
    pixels = [teaching.overview.pixel(*row.geometry["coordinates"]) for row in found.rows]
    np.testing.assert_allclose(pixels, [(place.column, place.row) for place in teaching.places])


def test_classes_are_spelled_as_the_model_has_them(teaching: SceneTeaching) -> None:
    assert teaching.named(" sea lake ") == "SeaLake"
    assert teaching.named("Dump") == "Dump"
    assert teaching.named("  ") is None


def test_too_few_places_are_refused_and_leave_nothing(teaching: SceneTeaching, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no place has a class yet"):
        teaching.teach()
    teaching.add(32, 32, "Forest")
    with pytest.raises(DataError, match="all 1 places are Forest"):
        teaching.teach()
    assert teaching.taught is None
    assert list((tmp_path / "visitor").iterdir()) == []


def test_maps_are_compared_pixel_by_pixel(tiny: Classifier, teaching: SceneTeaching, tmp_path: Path) -> None:
    scene = teaching.overview.path
    made = map_scene(tiny, scene, out=tmp_path / "one.tif", stride=64)
    assert compare(made, made) == Change(0.0)
    other = map_scene(tiny, scene, out=tmp_path / "two.tif", stride=64)
    with rasterio.open(other.files.classes, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        values = raster.read(1)
        changed = values.copy()
        first = int(values[0, 0])
        changed[:10, :10] = next(entry.value for entry in made.legend if entry.value != first)
        raster.write(changed, 1)
    found = compare(made, other)
    assert found.share == found.most == pytest.approx((values != changed).sum() / values.size)
    names = {entry.value: entry.name for entry in made.legend}
    assert (found.before, found.after) == (names[first], names[int(changed[0, 0])])
    assert np.count_nonzero(values != changed)
