"""The page Data in a real Chromium: a zip to its report, and a bad one to a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.app.test_data_check import packed
from tests.app.test_server_browser import address, kept, visitor  # noqa: F401  (fixtures)
from tests.app.visitor import Visitor
from tests.browser import PROGRAM

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium on the path")]


def check(one: Visitor, archive: Path) -> None:
    """Give a zip, and have it checked."""
    one.gives(archive)
    one.sees(archive.name)
    one.until(
        "[...document.querySelectorAll('button')].some(e => e.innerText === 'Check the pictures' && !e.disabled)", "it"
    )
    one.clicks("Check the pictures")


def test_a_bad_zip_is_a_sentence(visitor: Visitor, tmp_path: Path) -> None:  # noqa: F811
    visitor.clicks("Check pictures")
    visitor.sees("Add a zip above")
    (tmp_path / "bad.zip").write_bytes(b"PK\3\4 and no more")
    check(visitor, tmp_path / "bad.zip")
    visitor.sees("bad.zip is no zip archive")
    assert "visitor-" not in visitor.run("document.body.innerText")


def test_a_zip_is_reported_on(
    visitor: Visitor,  # noqa: F811
    kept: Path,  # noqa: F811
    tiny_patches: Path,
    tmp_path: Path,
) -> None:
    visitor.clicks("Check pictures")
    visitor.sees("Add a zip above")
    river = sorted((tiny_patches / "River").iterdir())[0].read_bytes()
    check(visitor, packed(tmp_path / "mine.zip", tiny_patches, more={"Forest/river_again.png": river}))
    visitor.sees("What next?")
    assert "25 pictures in 4 classes" in visitor.run("document.body.innerText")
    assert "different labels" in visitor.run("document.querySelector('[data-testid=stAlert]').innerText")
    strips = "[...document.querySelectorAll('figure img')].filter(e => e.naturalWidth > 500).length"
    visitor.until(f"{strips} === 4", "pictures of four classes")
    facts = json.loads(visitor.takes("Numbers (JSON)", tmp_path / "json").read_text(encoding="utf-8"))
    assert facts["audit"]["patches"] == 25
    assert "Data report on" in visitor.takes("Report (HTML)", tmp_path / "html").read_text(encoding="utf-8")
    assert not list(kept.rglob("mine.zip")), "the zip is not kept"
