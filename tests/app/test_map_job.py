"""A map on a thread: made, watched, stopped, refused, and taken along."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from swath.app import map_job
from swath.app.map_job import MapJob, check_scene, write_geopackage, write_zip
from swath.errors import DataError
from swath.inference import Classifier
from swath.mapping import map_scene
from swath.mapping.places import read_places
from tests.teaching.scenes import checkerboard, write_scene


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", checkerboard(("Forest", "River")))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_the_map_is_that_of_the_command(tiny: Classifier, scene: Path, out: Path, tmp_path: Path) -> None:
    job = MapJob(tiny, scene, out, name="my scene", stride=32)
    job.wait()
    assert (job.problem, job.was_stopped, job.is_running, job.stride) == (None, False, False, 32)
    assert job.made is not None
    map_scene(tiny, scene, out=tmp_path / "same.tif", stride=32)
    with rasterio.open(job.made.files.classes) as one, rasterio.open(tmp_path / "same.tif") as other:
        np.testing.assert_array_equal(one.read(), other.read())
    assert job.state.share == 1
    assert "my scene" in job.made.files.page.read_text(encoding="utf-8")


def test_a_stopped_map_leaves_nothing(
    tiny: Classifier, scene: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args: object, progress: object, **settings: object) -> object:
        def report(stage: str, done: int, total: int, *, note: str = "") -> None:
            begun.set()
            go_on.wait(60)
            progress(stage, done, total, note=note)  # type: ignore[operator]

        return map_scene(*args, progress=report, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(map_job, "map_scene", slow)
    job = MapJob(tiny, scene, out, name="scene", stride=8)
    assert begun.wait(60)
    job.cancel()
    go_on.set()
    job.wait()
    assert job.was_stopped
    assert job.made is None
    assert job.problem is None
    assert list(out.iterdir()) == []


def test_a_map_waits_for_another_and_can_be_stopped_meanwhile(tiny: Classifier, scene: Path, out: Path) -> None:
    with map_job._one_map:
        job = MapJob(tiny, scene, out, name="scene")
        assert job.state.stage == MapJob.waiting
        job.cancel()
        job.wait()
    assert job.made is None
    assert list(out.iterdir()) == []


def test_what_cannot_be_mapped_is_a_sentence(tiny: Classifier, tmp_path: Path, out: Path) -> None:
    Image.fromarray(np.zeros((200, 200), np.uint16)).save(tmp_path / "deep.png")
    job = MapJob(tiny, tmp_path / "deep.png", out, name="deep.png")
    job.wait()
    assert job.problem is not None
    assert "deep.png" in job.problem
    assert list(out.iterdir()) == []


def test_a_scene_is_checked_before_it_is_mapped(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rasterio.open(scene) as dataset:
        assert check_scene(scene, name="scene.tif") == (dataset.width, dataset.height)
    monkeypatch.setattr(map_job, "SCENE_PIXELS", 100)
    with pytest.raises(DataError, match="cut a part"):
        check_scene(scene, name="scene.tif")
    (tmp_path / "text.tif").write_text("no scene")
    with pytest.raises(DataError, match=r"^my\.tif"):
        check_scene(tmp_path / "text.tif", name="my.tif")


def test_polygons_and_archive_hold_the_map(tiny: Classifier, scene: Path, out: Path) -> None:
    job = MapJob(tiny, scene, out, name="scene", stride=64)
    job.wait()
    assert job.made is not None
    places = read_places(write_geopackage(job.made, out / "p.gpkg"))
    shown = {entry.name for entry in job.made.legend if entry.pixels}
    assert set(places.counts) == shown
    with zipfile.ZipFile(write_zip(job.made, out / "all.zip")) as archive:
        names = archive.namelist()
        assert {"map.tif", "map.qml", "map.tif.aux.xml", "map.html", "map.json", "map.png"} <= set(names)
        assert archive.read("map.tif") == job.made.files.classes.read_bytes()
