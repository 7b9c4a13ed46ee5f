"""The page Assess in a real Chromium: points answered by key and by click, to a result that the command agrees with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from swath.assessment import assess
from swath.assessment.accuracy import read_reference
from tests.app.test_server_browser import address, kept, visitor  # noqa: F401  (fixtures)
from tests.app.visitor import PATIENCE, Visitor
from tests.assessment.maps import land, write_map
from tests.browser import PROGRAM
from tests.teaching.scenes import TRANSFORM, checkerboard, write_scene

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium on the path")]


def press(one: Visitor, key: str) -> None:
    """Press a key, wherever the focus is."""
    code = f"Digit{key}" if key.isdigit() else key
    number = ord(key) if key.isdigit() else 8
    text = {"text": key} if key.isdigit() else {}
    for kind in ("keyDown", "keyUp"):
        one._call("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=number, **text)
        text = {}


def answers(one: Visitor, act: Callable[[Visitor, str], None], key: str, then: str) -> None:
    """Press or click until a text comes: a point that has just appeared may not listen yet."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        act(one, key)
        for _ in range(15):
            if one.run(f"document.body.innerText.includes({json.dumps(then)})"):
                one.sees(then)
                return
            time.sleep(0.1)
    raise AssertionError(f"{then} did not come: {one.run('document.body.innerText')[:2000]}; {one.console}")


def begin(one: Visitor, folder: Path) -> Path:
    """Give a map and its scene, and draw ten points."""
    scene = write_scene(folder / "scene.tif", checkerboard(("Forest", "River"), rows=2, columns=2))
    map_ = write_map(folder / "land.tif", land(128, 128)[0], place=("EPSG:32632", TRANSFORM))
    one.clicks("Check a map")
    one.sees("Add a map and its scene")
    one.gives(map_, number=0)
    one.sees("land.tif")
    one.gives(scene, number=1)
    one.sees("scene.tif")
    field = "document.querySelector('input[aria-label=Points]')"
    one.until(f"{field} !== null", "the number of points")
    one.run(f"{field}.focus(); {field}.select()")
    one._call("Input.insertText", text="10")
    one._call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    one.until(
        "[...document.querySelectorAll('button')].some(e => e.innerText === 'Draw the points' && !e.disabled)", "it"
    )
    one.sees("Draw the points")
    one.clicks("Draw the points")
    one.sees("0 of 10 points answered")
    return map_


def test_points_are_answered_by_key_and_click_to_a_result(visitor: Visitor, tmp_path: Path) -> None:  # noqa: F811
    map_ = begin(visitor, tmp_path)
    views = "[...document.querySelectorAll('figure img')].map(e => [e.naturalWidth, e.alt.includes('framed')])"
    assert visitor.until(f"({views}).length === 2 && {views}", "two pictures") == [[480, True]] * 2
    for done, key in enumerate("1230", start=1):
        answers(visitor, press, key, f"{done} of 10 points answered")
    visitor.sees("of 1 of them nobody can tell")
    answers(visitor, press, "Backspace", "3 of 10 points answered")
    for done in range(4, 11):
        shown = (
            f"[...document.querySelectorAll('.st-key-classes button')].map(e => e.innerText.split(/\\s+/))[{done % 3}]"
        )
        name, key = visitor.until(f"{shown}?.length === 2 && {shown}", "the classes with their keys")
        assert (name, key) == (("Forest", "River", "Town")[done % 3], str(done % 3 + 1))
        then = f"{done} of 10 points answered" if done < 10 else "Overall accuracy of the map"
        answers(visitor, press if done % 2 else Visitor.clicks, key, then)
    sample = visitor.takes("Sample with answers (GeoPackage)", tmp_path / "gpkg")
    numbers = json.loads(visitor.takes("Numbers (JSON)", tmp_path / "json").read_text(encoding="utf-8"))
    same = assess([map_], reference=sample)
    mine = json.loads(same.to_json())
    assert mine["maps"] == numbers["maps"]
    assert "How good is the map?" in visitor.takes("Report (HTML)", tmp_path / "html").read_text(encoding="utf-8")
    labels = [row.label for row in read_reference(sample).rows]
    assert labels[:3] == ["Forest", "River", "Town"]
    assert labels[3:] == [("Forest", "River", "Town")[done % 3] for done in range(4, 11)]
    value = f"{100 * same.maps[0].accuracy.overall.value:.1f} %"  # type: ignore[union-attr]
    assert value in visitor.run("document.querySelector('[data-testid=stMetric]').innerText")
