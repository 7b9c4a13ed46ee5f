"""Ten minutes of visitors: 50 pictures, 10 maps and 5 teachings; memory comes to rest, and nothing of them is left."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.app.test_server import running
from tests.app.visitor import PATIENCE, Visitor
from tests.browser import PROGRAM
from tests.teaching.scenes import checkerboard, middles, remembering_model, write_scene

pytestmark = [pytest.mark.soak, pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium on the path")]

VISITORS, PICTURES = 5, 10
CLASSES = checkerboard(("Forest", "River"), rows=4)
FLAT = 30.0  # MiB that visitors after the third may add: by then all is loaded, and what was freed is used again


def resident(process: int) -> float:
    """MiB of a process and those that it has started."""
    own = next(
        float(line.split()[1]) / 1024
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return own + sum(
        resident(int(child)) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    )


def goes(one: Visitor, link: str, heading: str) -> None:
    """Click a page's link until the page is there: what comes into view meanwhile moves the links."""
    end = time.monotonic() + PATIENCE
    while heading not in one.run("document.querySelector('h1')?.innerText ?? ''"):
        assert time.monotonic() < end, f"{heading} did not come"
        one.clicks(link)
        time.sleep(2)


def visit(address: str, patches: list[Path], scene: Path) -> None:
    """Classify ten pictures, one by one; map a scene twice; teach it with eight clicks; leave."""
    with Visitor() as one:
        one.open(address, width=1280)
        one.sees("choose a sample")
        for number, patch in enumerate(patches, start=1):
            one.gives(patch)
            one.sees(patch.name if number == 1 else f"Look at one of the {number} pictures")
        one.sees("Take it with you")
        goes(one, "Map a scene", "What covers this land?")
        one.clicks("A scene of mine")
        one.sees("Add a scene above")
        one.gives(scene)
        one.sees(scene.name)
        for detail, stride in (("Coarse", 64), ("Medium", 32)):
            one.clicks(detail)
            one.clicks("Make the map")
            one.sees(f"one every {stride} pixels")
        goes(one, "Teach it", "Teach the model your land")
        for label in ("Forest", "River"):
            one.chooses(label)
            for column, row, _ in [place for place in middles(CLASSES) if place[2] == label][:4]:
                one.points_at(column, row)
        one.sees("8 places named")
        one.clicks("Teach")
        one.sees("of the map has changed its class")
        assert one.console == []


def test_memory_comes_to_rest_and_nothing_is_left(tmp_path: Path, tiny_patches: Path) -> None:
    model = remembering_model(tmp_path / "model.onnx")
    scene = write_scene(tmp_path / "scene.tif", CLASSES)
    patches = [path for folder in sorted(tiny_patches.iterdir()) for path in sorted(folder.iterdir())][:PICTURES]
    kept = tmp_path / "server"
    kept.mkdir()
    memory = []
    with running(kept, "--model", str(model)) as (address, process):
        for _ in range(VISITORS):
            visit(address, patches, scene)
            end = time.monotonic() + PATIENCE
            while list(kept.glob("swath-app-*/visitor-*")) and time.monotonic() < end:
                time.sleep(0.2)
            assert not list(kept.glob("swath-app-*/visitor-*")), "all of it goes with the visitor"
            memory.append(resident(process.pid))
    assert max(memory[3:]) - memory[2] <= FLAT, f"MiB after each visitor: {memory}"
