"""A sample of a map, labeled point by point: what is drawn, what an answer does, and what is found."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swath.app import labeling
from swath.app.labeling import REMARK, SampleLabels, draw_sample, resume_sample
from swath.assessment import assess, sample_map
from swath.assessment.accuracy import read_reference
from swath.errors import DataError
from swath.mapping.places import write_places
from tests.assessment.maps import NAMES, land, write_map
from tests.teaching.scenes import TRANSFORM, checkerboard, write_scene

CLASSES = [name for name in NAMES if name != "No data"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    classes = checkerboard(("Forest", "River"), rows=2, columns=2)
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif", classes)


@pytest.fixture(scope="module")
def drawn(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> SampleLabels:
    """A sample of a map of the scene."""
    mapped = land(128, 128)[0]
    map_ = write_map(tmp_path_factory.mktemp("map") / "land.tif", mapped, place=("EPSG:32632", TRANSFORM))
    return draw_sample(map_, scene, tmp_path_factory.mktemp("sample"), n=12)


@pytest.fixture
def labels(drawn: SampleLabels, folder: Path) -> SampleLabels:
    """The same in a folder of its own."""
    shutil.copytree(drawn.folder, folder, dirs_exist_ok=True)
    mine = copy.deepcopy(drawn)
    mine.folder, mine.map = folder, folder / drawn.map.name
    return mine


@pytest.fixture
def map_(drawn: SampleLabels, tmp_path: Path) -> Path:
    """The map, elsewhere."""
    return Path(shutil.copy(drawn.map, tmp_path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sample"
    made.mkdir()
    return made


def test_the_points_are_those_of_the_command(labels: SampleLabels, map_: Path, scene: Path, tmp_path: Path) -> None:
    sample_map(map_, out=tmp_path / "same.gpkg", n=12, scene=scene)
    same, mine = read_reference(tmp_path / "same.gpkg"), read_reference(labels.folder / labeling.SAMPLE)
    assert [row.geometry for row in mine.rows] == [row.geometry for row in same.rows]
    assert [row.attributes for row in mine.rows] == [row.attributes for row in same.rows]


def test_each_point_has_two_pictures_of_the_scene_alone(labels: SampleLabels) -> None:
    for k in range(len(labels)):
        near, far = (np.asarray(Image.open(path)) for path in labels.pictures(k))
        assert near.shape == far.shape == (480, 480, 3)
        assert not np.array_equal(near, far)


def test_classes_have_keys_that_do_not_clash(labels: SampleLabels) -> None:
    assert list(labels.keys()) == CLASSES
    assert list(labels.keys().values()) == ["1", "2", "3"]
    for k in range(60):
        labels.colors[f"class {k}"] = "000000"
    keys = [key for key in labels.keys().values() if key is not None]
    assert len(keys) == len(set(keys)) == 33
    assert not {"0", "c", "r"} & set(keys), "of 'cannot tell', and of Streamlit"


def test_answers_move_on_and_can_be_taken_back(labels: SampleLabels) -> None:
    assert (labels.position, labels.answered, labels.can_undo) == (0, 0, False)
    labels.answer(0, "Forest")
    labels.answer(1, None)
    assert (labels.position, labels.labeled, labels.passed) == (2, 1, 1)
    labels.undo()
    assert (labels.position, labels.labeled, labels.passed) == (1, 1, 0)
    labels.undo()
    assert (labels.position, labels.answered, labels.can_undo) == (0, 0, False)
    labels.undo()
    assert labels.position == 0


def test_a_key_pressed_twice_answers_one_point(labels: SampleLabels) -> None:
    labels.answer(0, "Forest")
    labels.answer(0, "River")
    assert (labels.position, labels.answered) == (1, 1)


def test_the_result_is_that_of_the_command(labels: SampleLabels, map_: Path, tmp_path: Path) -> None:
    for k in range(len(labels)):
        labels.answer(k, [*CLASSES, None][k % 4])
    assert labels.position is None
    found = labels.result()
    written = labels.write().rename(tmp_path / "sample.gpkg")
    assert found == assess([map_], reference=written)
    assert found.n == 9
    assert found.left_out == {"without a label": 3}
    assert (labels.folder / "assessment" / "index.html").is_file()


def test_a_result_follows_the_answers(labels: SampleLabels) -> None:
    labels.answer(0, "Forest")
    labels.answer(1, "Forest")
    assert labels.result().n == 2
    labels.undo()
    assert labels.result().n == 1
    labels.undo()
    with pytest.raises(DataError, match="none of the 12 places"):
        labels.result()


def test_a_class_that_the_map_lacks_is_taken(labels: SampleLabels) -> None:
    labels.answer(0, "Quarry")
    assert labels.keys()["Quarry"] == "4"
    assert "Quarry" in labels.result().maps[0].accuracy.per_class


def test_a_file_with_answers_is_gone_on_with(labels: SampleLabels, map_: Path, scene: Path, tmp_path: Path) -> None:
    for label in ("Forest", None, "Quarry"):
        labels.answer(labels.position or 0, label)
    file = labels.write().rename(tmp_path / "mine.gpkg")
    again_folder = tmp_path / "again"
    again_folder.mkdir()
    again = resume_sample(map_, scene, file, again_folder)
    assert (again.position, again.labeled, again.passed, again.can_undo) == (3, 2, 1, False)
    assert again.keys()["Quarry"] == "4"
    assert again.pictures(3)[0].read_bytes() == labels.pictures(3)[0].read_bytes()
    assert again.write().read_bytes() == file.read_bytes(), "nothing is lost on the way"


def test_a_sample_in_another_reference_system_is_shown_where_it_lies(
    labels: SampleLabels, map_: Path, scene: Path, tmp_path: Path
) -> None:
    moved = read_reference(labels.write()).to_crs("EPSG:4326")
    write_places(tmp_path / "moved.gpkg", moved)
    folder = tmp_path / "moved"
    folder.mkdir()
    again = resume_sample(map_, scene, tmp_path / "moved.gpkg", folder)
    near, same = (np.asarray(Image.open(one.pictures(0)[0]), np.int16) for one in (again, labels))
    assert np.abs(near - same).mean() < 1


def test_points_outside_the_scene_are_not_asked_for(map_: Path, tmp_path: Path, folder: Path) -> None:
    half = write_scene(tmp_path / "half.tif", checkerboard(("Forest", "River"), rows=1, columns=1))
    labels = draw_sample(map_, half, folder, n=40)
    assert 0 < labels.hidden < 40
    shown = 0
    while labels.position is not None:
        assert all(path.is_file() for path in labels.pictures(labels.position))
        labels.answer(labels.position, "Forest")
        shown += 1
    assert shown == 40 - labels.hidden
    remarks = {row.attributes[REMARK] for row in read_reference(labels.write()).rows}
    assert remarks == {None}, "that nobody could tell is said only of points that somebody has seen"


def test_too_many_places_are_refused(
    labels: SampleLabels, map_: Path, scene: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labeling, "MOST_POINTS", 5)
    with pytest.raises(DataError, match="12 places"):
        resume_sample(map_, scene, labels.write(), folder)


def test_a_map_may_be_replaced_meanwhile(map_: Path, scene: Path, folder: Path) -> None:
    labels = draw_sample(map_, scene, folder, n=10)
    map_.unlink()
    labels.answer(0, "Forest")
    assert labels.result().n == 1
