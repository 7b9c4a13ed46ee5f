"""Teaching in a real Chromium: twelve clicks on the scene, and what they give is what the commands write."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from swath.app.server import HOST
from swath.mapping.places import read_places
from tests.app.test_server import running, seen_in
from tests.app.test_teach_job import without_run
from tests.app.visitor import CANVAS, Visitor
from tests.browser import PROGRAM
from tests.teaching.scenes import checkerboard, middles, remembering_model, write_scene

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium on the path")]

CLASSES = checkerboard(("Forest", "River", "Dump"), rows=4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return remembering_model(tmp_path / "before.onnx")


@pytest.fixture
def visitor(tmp_path: Path, model: Path) -> Iterator[Visitor]:
    """A window on the page Teach, opened by its address; at the end its console is empty."""
    kept = tmp_path / "server"
    kept.mkdir()
    with running(kept, "--model", str(model)) as (address, _), Visitor() as one:
        one.open(f"{address}/teach", width=1280)
        one.sees("Show the scene, then")
        yield one
        assert one.console == []
        hosts = {urlsplit(request).hostname for request in one.requests if not request.startswith(("data:", "blob:"))}
        assert hosts <= {HOST, "", None}
    assert set(seen_in(kept).read_text().splitlines()) <= {HOST}, "the server asks nobody for anything"


def command(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "swath", *map(str, arguments)], check=True, capture_output=True)


def test_twelve_clicks_teach_what_the_commands_teach(visitor: Visitor, model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", CLASSES)
    visitor.clicks("A scene of mine")
    visitor.sees("Add a scene above")
    visitor.gives(scene)
    visitor.sees("scene.tif")
    visitor.clicks("Show the scene")
    visitor.is_told("Choose a class above")
    visitor.points_at(100, 100)
    assert "Choose a class first" in visitor.run(f"{CANVAS}.querySelector('.readout').innerText")
    visitor.writes("A class of your own", "Dump")
    visitor.is_told("Click where there is Dump.")
    places = sorted(middles(CLASSES)[:12], key=lambda place: place[2])
    for number, (column, row, label) in enumerate(places, start=1):
        if number > 1 and label != places[number - 2][2]:
            visitor.chooses(label)
        visitor.points_at(column, row)
    visitor.sees("12 places named")
    visitor.clicks("Teach")
    visitor.sees("What it has learned")
    visitor.sees("Map (GeoTIFF)")
    visitor.sees("of the map has changed its class")
    visitor.until(f"{CANVAS}.querySelectorAll('.view').length === 2", "the two maps")
    found = visitor.takes("Places (GeoPackage)", tmp_path / "places")
    taught = visitor.takes("Model file", tmp_path / "model")
    mapped = visitor.takes("Map (GeoTIFF)", tmp_path / "map")
    assert read_places(found).counts == {"Dump": 4, "Forest": 4, "River": 4}

    again = tmp_path / "taught.onnx"
    command("teach", model, "--scene", scene, "--places", found, "--out", again, "--threads", "1")
    command("map", again, scene, "--out", tmp_path / "map.tif", "--threads", "1")
    assert again.read_bytes() == taught.read_bytes()
    assert without_run(tmp_path / "map.tif") == without_run(mapped)

    visitor.clicks("Undo the teaching")
    visitor.until(f"{CANVAS}?.querySelectorAll('.view').length === 1", "the map before, alone")
    visitor.sees("12 places named")
    visitor.clicks("Undo the last place")
    visitor.sees("11 places named")


def test_the_scene_is_reached_by_keyboard_touch_and_wheel(visitor: Visitor) -> None:
    visitor.clicks("Show the scene")
    visitor.chooses("Forest")
    visitor.points_at(100, 100)
    visitor.sees("1 place named")
    visitor.points_at(102, 101)  # the same place again
    assert "place 1: Forest" in visitor.run(f"{CANVAS}.querySelector('.readout').innerText")
    visitor.run(f"{CANVAS}.querySelector('.view').focus()")
    for key in ("+", "ArrowRight", "Enter"):
        visitor.presses(key)
    visitor.sees("2 places named")
    x, y = visitor.run(
        f"(() => {{ const b = {CANVAS}.querySelector('.view').getBoundingClientRect(); "
        "return [b.left + b.width / 2, b.top + b.height / 2] })()"
    )
    visitor.touches(x + 90, y)
    visitor.sees("3 places named")
    visitor.drags((x, y), (x + 40, y + 60))
    visitor.touches(x + 90, y)
    visitor.sees("4 places named")
    small = visitor.run(
        f"[...{CANVAS}.querySelectorAll('button')].filter(e => e.offsetWidth < 44 || e.offsetHeight < 44 || "
        "!e.getAttribute('aria-label')).length"
    )
    assert small == 0
