"""What is said of pictures: answers, candidates, heat maps and what can be taken along."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swath.app import answers as module
from swath.app.answers import answer, candidates, explain, sample_answers, size_note, write_page, write_table
from swath.errors import DataError
from swath.inference import Classifier, load


def test_what_predict_says_is_said(tiny: Classifier, tiny_patches: Path) -> None:
    files = sorted((tiny_patches / "River").iterdir())[:3]
    found = answer(tiny, files)
    expected = tiny.predict(files)
    assert found.problems == ()
    assert found.predictions.labels == expected.labels
    np.testing.assert_array_equal(found.predictions.probabilities, expected.probabilities)
    assert found.predictions.paths == [file.name for file in files]


def test_a_zip_gives_all_its_pictures(tiny: Classifier, tiny_patches: Path, tmp_path: Path) -> None:
    files = sorted((tiny_patches / "Forest").iterdir())[:2]
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file in files:
            archive.write(file, f"inner/{file.name}")
        archive.writestr("inner/notes.txt", "no picture")
    found = answer(tiny, [tmp_path / "mine.zip"])
    assert found.predictions.paths == [f"mine.zip/inner/{file.name}" for file in files]


def test_bad_files_are_named_in_sentences_and_the_good_ones_answered(
    tiny: Classifier, tiny_patches: Path, app_folder: Path
) -> None:
    good = sorted((tiny_patches / "River").iterdir())[0]
    (app_folder / "empty.png").write_bytes(b"")
    (app_folder / "text.jpg").write_text("not a picture")
    (app_folder / "half.png").write_bytes(good.read_bytes()[:200])
    (app_folder / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(app_folder / "deep.png")
    bad = ["empty.png", "text.jpg", "half.png", "broken.zip", "deep.png"]
    found = answer(tiny, [*(app_folder / name for name in bad), good])
    assert found.predictions.paths == [good.name]
    assert len(found.problems) == len(bad)
    for name, problem in zip(sorted(bad), sorted(found.problems), strict=True):
        assert name in problem
        assert str(app_folder) not in problem
        assert "\n" not in problem


def test_nothing_but_bad_files_gives_no_answer(tiny: Classifier, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    found = answer(tiny, [tmp_path / "empty.png"])
    assert len(found) == len(found.predictions) == 0
    assert len(found.problems) == 1


@pytest.mark.parametrize(("limit", "value", "word"), [("MOST_PICTURES", 2, "pictures"), ("ALL_PIXELS", 9000, "pixels")])
def test_more_than_a_visitor_may_give_is_refused(
    tiny: Classifier, tiny_patches: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, word: str
) -> None:
    monkeypatch.setattr(module, limit, value)
    with pytest.raises(DataError, match=word):
        answer(tiny, sorted((tiny_patches / "River").iterdir())[:3])


def test_a_huge_picture_is_not_decoded(tiny: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PICTURE_PIXELS", 1000)
    Image.new("RGB", (64, 64)).save(tmp_path / "large.png")
    (problem,) = answer(tiny, [tmp_path / "large.png"]).problems
    assert "large.png" in problem


def test_candidates_are_those_of_the_conformal_set() -> None:
    record = load("eurosat", threads=1).record
    names = record.class_names
    sure = np.eye(len(names), dtype=np.float32)[3]
    assert candidates(record, sure) == f"Only {names[3]} is a candidate at the 90 % level."
    even = np.full(len(names), 1 / len(names), np.float32)
    quantile = record.conformal["0.90"]
    between = candidates(record, even)
    assert between is not None
    assert ("No class" in between) == (1 - 1 / len(names) > quantile)
    open_to_all = record.model_copy(update={"conformal": {"0.90": 1.0}})
    words = candidates(open_to_all, even)
    assert words is not None
    assert words.startswith(f"{len(names)} candidates")
    assert candidates(record.model_copy(update={"conformal": {}}), even) is None


def test_the_heat_map_is_that_of_swath_explain(tiny: Classifier) -> None:
    found = sample_answers(tiny, "River")
    (pixels,) = found.pixels
    other = tiny.record.class_names[1]
    why = explain(tiny, pixels, other)
    assert why.evidence.explained == (other,)
    bands = tiny.record.input.bands
    clear, full = why.shown(bands, opacity=0.0), why.shown(bands, opacity=1.0)
    np.testing.assert_array_equal(clear, module.enlarged(pixels, bands))
    half = why.shown(bands, opacity=0.5).astype(int)
    assert np.abs(half - (clear.astype(int) + full) / 2).max() <= 1
    assert f"of {why.check.of} random maps" in why.note
    assert why.note.startswith("Do not rely") != why.check.holds


def test_a_large_picture_is_said_to_be_a_scene(tiny: Classifier) -> None:
    assert size_note(tiny, np.zeros((3, 64, 100), np.uint8)) is None
    note = size_note(tiny, np.zeros((3, 64, 1000), np.uint8))
    assert note is not None
    assert "1,000 x 64" in note


def test_what_is_taken_along_holds_the_answers(tiny: Classifier, tiny_patches: Path, tmp_path: Path) -> None:
    found = answer(tiny, sorted((tiny_patches / "River").iterdir())[:2])
    why = explain(tiny, found.pixels[1], "River")
    with write_table(tmp_path / "a.csv", found.predictions).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == found.predictions.labels
    assert [float(row["confidence"]) for row in rows] == pytest.approx(found.predictions.confidence.tolist())
    page = write_page(tmp_path / "a.html", tiny, found, chosen=1, why=why).read_text(encoding="utf-8")
    assert all(path in page for path in found.predictions.paths)
    assert "data:image/png;base64," in page
    assert "http" not in page.split("</style>")[1].replace("http-equiv", "")
