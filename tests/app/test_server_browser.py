"""The page in a real Chromium: what a visitor does with pointer and files, and what the page does behind their back."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
from PIL import Image

from swath.app.server import HOST
from swath.mapping.places import read_places
from tests.app.test_server import running, seen_in
from tests.app.visitor import CANVAS, PATIENCE, Visitor
from tests.browser import PROGRAM
from tests.teaching.scenes import checkerboard, write_scene

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium on the path")]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of temporary files of the server."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(kept: Path, tiny_model: Path) -> Iterator[str]:
    with running(kept, "--model", str(tiny_model)) as (found, _):
        yield found
    assert set(seen_in(kept).read_text().splitlines()) <= {HOST}, "the server asks nobody for anything"


@pytest.fixture
def visitor(address: str) -> Iterator[Visitor]:
    """A window on the page; at the end its console is empty, and all it asked for came from this machine."""
    with Visitor() as one:
        one.open(address, width=1280)
        one.sees("choose a sample")
        yield one
        assert one.console == []
        hosts = {urlsplit(request).hostname for request in one.requests if not request.startswith(("data:", "blob:"))}
        assert hosts <= {"127.0.0.1", "", None}


def folders(kept: Path) -> list[Path]:
    """Folders of visitors on the server."""
    return list(kept.glob("swath-app-*/visitor-*"))


def test_a_picture_gets_a_label_a_confidence_and_a_heat_map(
    visitor: Visitor, tiny_patches: Path, tmp_path: Path
) -> None:
    visitor.gives(sorted((tiny_patches / "River").iterdir())[0])
    visitor.sees("Take it with you")
    visitor.sees("% confident")
    visitor.sees("Evidence for")
    shown = "[...document.querySelectorAll('[data-testid=stImage] img')].filter(e => e.naturalWidth > 100).length"
    visitor.until(f"{shown} === 3", "three pictures")
    assert visitor.takes("Table (CSV)", tmp_path / "table").read_text().startswith("path,label,confidence")
    assert visitor.takes("Heat map (PNG)", tmp_path / "picture").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png" in visitor.takes("Page (HTML)", tmp_path / "page").read_text()


def test_a_sample_is_answered(visitor: Visitor) -> None:
    visitor.clicks("River")
    visitor.sees("Take it with you")


def test_bad_files_are_sentences(visitor: Visitor, tiny_patches: Path, tmp_path: Path) -> None:
    good = sorted((tiny_patches / "Forest").iterdir())[0]
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "half.png").write_bytes(good.read_bytes()[:200])
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(tmp_path / "deep.png")
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("notes.txt", "no picture")
    bad = ["empty.png", "text.jpg", "half.png", "deep.png", "none.zip"]
    visitor.gives(*(tmp_path / name for name in bad), good)
    visitor.sees("Take it with you")
    alert = visitor.run("document.querySelector('[data-testid=stAlert]').innerText")
    assert all(name in alert for name in bad)
    assert "Traceback" not in visitor.run("document.body.innerText")
    assert str(tmp_path) not in alert


def test_the_sample_scene_is_mapped(visitor: Visitor, tmp_path: Path) -> None:
    visitor.clicks("Map a scene")
    visitor.clicks("Coarse")
    visitor.sees("Make the map")
    visitor.clicks("Make the map")
    visitor.sees("Everything (zip)")
    visitor.points_at(800, 500)
    visitor.sees("Why here?")
    visitor.sees("Evidence for")
    assert "column 800, row 500" in visitor.run(f"{CANVAS}.querySelector('.readout').innerText")
    with rasterio.open(visitor.takes("Map (GeoTIFF)", tmp_path / "tif")) as raster:
        assert (raster.width, raster.height) == (1600, 1536)
    assert read_places(visitor.takes("Polygons (GeoPackage)", tmp_path / "gpkg")).counts
    assert "<qgis" in visitor.takes("Style (QGIS)", tmp_path / "qml").read_text()
    assert visitor.takes("Picture (PNG)", tmp_path / "png").name == "the-sample-scene.png"
    assert 'id="canvas"' in visitor.takes("Page (HTML)", tmp_path / "html").read_text()
    with zipfile.ZipFile(visitor.takes("Everything (zip)", tmp_path / "zip")) as archive:
        assert "map.confidence.tif" in archive.namelist()


def test_two_visitors_do_not_see_each_other_and_leave_nothing(
    address: str, kept: Path, tiny_patches: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.png"
    mine.write_bytes(sorted((tiny_patches / "River").iterdir())[0].read_bytes())
    before = folders(kept)
    with Visitor() as one, Visitor() as other:
        one.open(address, width=1280)
        one.sees("choose a sample")
        one.gives(mine)
        one.sees("mine.png, 64 x 64 pixels")
        assert not list(kept.rglob("mine.png")), "a picture that is answered is not kept on disk"
        other.open(address, width=400)
        other.sees("choose a sample")
        other.clicks("Forest")
        other.sees("Take it with you")
        assert "mine.png" not in other.run("document.body.innerText")
        assert len(set(folders(kept)) - set(before)) == 2
        other.clicks("Map a scene")
        other.sees("Which scene?")
        other.clicks("Finest")
        other.clicks("Make the map")
        other.sees("Stop the map")
    end = time.monotonic() + PATIENCE
    while folders(kept) and time.monotonic() < end:
        time.sleep(0.1)
    assert folders(kept) == [], "both have gone, one of them while a map was made"


def test_a_scene_of_a_visitor_is_kept_until_they_leave(address: str, kept: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "private.tif", checkerboard(("Forest", "River")))
    with Visitor() as one:
        one.open(address, width=1280)
        one.sees("choose a sample")
        one.clicks("Map a scene")
        one.clicks("A scene of mine")
        one.sees("Add a scene above")
        one.gives(scene)
        one.sees("private.tif")
        one.until(
            "[...document.querySelectorAll('button')].some(e => e.innerText === 'Make the map' && !e.disabled)", "it"
        )
        one.clicks("Make the map")
        one.sees("Everything (zip)")
        assert len(list(kept.rglob("private.tif"))) == 1
    end = time.monotonic() + PATIENCE
    while list(kept.rglob("private.tif")) and time.monotonic() < end:
        time.sleep(0.1)
    assert not list(kept.rglob("private.tif"))
