from __future__ import annotations

import csv
import zipfile

import numpy as np
import pytest
from PIL import Image

from swath.errors import OutputError, SettingError, SwathError
from swath.explain import explain_images
from swath.explain.images import picture_name

from .fakes import PooledColours


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    for name, colour in {"a/one.png": (0, 200, 0), "b/one.png": (0, 0, 200), "b/two.png": (9, 9, 9)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 24), colour).save(path)
    return folder


def test_one_picture_an_image_and_a_table_of_all(tmp_path, pictures):
    seen = []
    rows = explain_images(
        PooledColours(), [pictures], tmp_path / "out", progress=lambda *a, **k: seen.append(a)
    )
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["explain.csv", "one-2.cam.png", "one.cam.png", "two.cam.png"]
    with (tmp_path / "out" / "explain.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [r["picture"] for r in table] == ["one.cam.png", "one-2.cam.png", "two.cam.png"]
    assert [r["label"] for r in table] == [r.label for r in rows]
    assert all(r["explained"] == r["label"] for r in table)
    assert all(1 / 3 < float(r["confidence"]) <= 1 for r in table)
    assert seen == [("explain", 1, 3), ("explain", 2, 3), ("explain", 3, 3)]


def test_a_class_can_be_asked_for_and_zips_are_walked(tmp_path, pictures):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(pictures / "a/one.png", "one.png")
    rows = explain_images(PooledColours(), [tmp_path / "in.zip"], tmp_path / "out", class_name="River")
    assert [row.explained for row in rows] == ["River"]


def test_an_unknown_class_stops_before_anything_is_written(tmp_path, pictures):
    with pytest.raises(SettingError, match="did you mean River"):
        explain_images(PooledColours(), [pictures], tmp_path / "out", class_name="Rivers")
    assert not (tmp_path / "out").exists()


def test_a_broken_image_leaves_nothing_behind(tmp_path, pictures):
    (pictures / "b" / "zzz.png").write_bytes(b"\x89PNG\r\n\x1a\n not an image")
    with pytest.raises(SwathError, match=r"zzz\.png"):
        explain_images(PooledColours(), [pictures], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_an_existing_folder_is_kept_unless_told(tmp_path, pictures):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OutputError):
        explain_images(PooledColours(), [pictures], out)
    assert (out / "mine.txt").exists()
    explain_images(PooledColours(), [pictures], out, overwrite=True)
    assert (out / "explain.csv").exists()


def test_picture_names_are_safe_and_never_meet():
    taken: set[str] = set()
    names = [
        picture_name(n, taken)
        for n in ("x/a.png", "y/A.jpg", "a-2.png", "..", "z/..\\..\\evil name.tif", "é.png")
    ]
    assert names == [
        "a.cam.png",
        "A-2.cam.png",
        "a-2-2.cam.png",
        "image.cam.png",
        "evil_name.cam.png",
        "é.cam.png",
    ]
    assert len({n.lower() for n in names}) == len(names)
    assert len(picture_name("q" * 500 + ".png", taken)) < 130


def test_a_flat_answer_is_still_drawn(tmp_path):
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "black.png")
    rows = explain_images(PooledColours(), [tmp_path / "black.png"], tmp_path / "out")
    assert (tmp_path / "out" / rows[0].picture).stat().st_size > 0
