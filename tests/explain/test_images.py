from __future__ import annotations

import csv
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from swath.errors import DataError, OutputError, SettingError, SwathError
from swath.explain import explain_images
from swath.explain.images import picture_name
from swath.inference import Classifier, load
from tests.tiny import patch, write_tiny_model

from .models import tiny_classifier


@pytest.fixture(scope="module")
def classifier(tiny_model) -> Classifier:
    return load(tiny_model, threads=1)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    for name, label, size in (("a/one", "Forest", 64), ("b/one", "River", 96), ("b/two", "SeaLake", 40)):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(patch(label, seed=0, size=size)).save(path)
    return folder


def test_one_picture_an_image_and_a_table_of_all(classifier, tmp_path, pictures):
    seen = []
    rows = explain_images(classifier, [pictures], tmp_path / "out", progress=lambda *a, **k: seen.append(a))
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["explain.csv", "one-2.cam.png", "one.cam.png", "two.cam.png"]
    with (tmp_path / "out" / "explain.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [r["picture"] for r in table] == ["one.cam.png", "one-2.cam.png", "two.cam.png"]
    assert [r["label"] for r in table] == [r.label for r in rows]
    assert all(r["explained"] == r["label"] for r in table)
    assert [r["label"] for r in table] == ["Forest", "River", "SeaLake"]
    assert all(1 / 4 < float(r["confidence"]) <= 1 for r in table)
    assert seen == [("explain", 1, 3), ("explain", 2, 3), ("explain", 3, 3)]


def test_a_class_can_be_asked_for_and_zips_are_walked(classifier, tmp_path, pictures):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(pictures / "a/one.png", "one.png")
    rows = explain_images(classifier, [tmp_path / "in.zip"], tmp_path / "out", class_name="River")
    assert [(row.label, row.explained) for row in rows] == [("Forest", "River")]


def test_an_unknown_class_stops_before_anything_is_written(classifier, tmp_path, pictures):
    with pytest.raises(SettingError, match="did you mean River"):
        explain_images(classifier, [pictures], tmp_path / "out", class_name="Rivers")
    assert not (tmp_path / "out").exists()


def test_a_broken_image_leaves_nothing_behind(classifier, tmp_path, pictures):
    (pictures / "b" / "zzz.png").write_bytes(b"\x89PNG\r\n\x1a\n not an image")
    with pytest.raises(SwathError, match=r"zzz\.png"):
        explain_images(classifier, [pictures], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_an_existing_folder_is_kept_unless_told(classifier, tmp_path, pictures):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OutputError):
        explain_images(classifier, [pictures], out)
    assert (out / "mine.txt").exists()
    explain_images(classifier, [pictures], out, overwrite=True)
    assert (out / "explain.csv").exists()


def test_a_folder_that_holds_the_model_is_never_replaced(tmp_path, pictures):
    model = write_tiny_model(tmp_path / "run" / "model.onnx")
    with pytest.raises(OutputError, match=r"not replaced, because it holds .*model\.onnx"):
        explain_images(load(model, threads=1), [pictures], tmp_path / "run", overwrite=True)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("lacks", ["head", "activations"])
def test_a_model_without_maps_leaves_nothing_behind(tmp_path, pictures, lacks):
    with pytest.raises(SwathError, match="'tiny' has no class activation maps"):
        explain_images(tiny_classifier(lacks=lacks), [pictures], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_16_bit_images_are_refused_for_an_8_bit_model(classifier, tmp_path):
    Image.fromarray(np.full((64, 64), 900, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png is uint16, model 'tiny' takes uint8"):
        explain_images(classifier, [tmp_path / "deep.png"], tmp_path / "out")


def test_a_name_that_is_not_valid_text_is_kept_byte_by_byte(classifier, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        Image.fromarray(patch("Forest", seed=0)).save(path)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes valid names only")
    explain_images(classifier, [path], tmp_path / "out")
    assert b"caf\xe9.png," in (tmp_path / "out" / "explain.csv").read_bytes()


def test_a_folder_without_images_says_so(classifier, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="in holds no images"):
        explain_images(classifier, [tmp_path / "in"], tmp_path / "out")


def test_picture_names_are_safe_and_never_meet():
    taken: set[str] = set()
    names = [
        picture_name(n, taken) for n in ("x/a.png", "y/A.jpg", "a-2.png", "..", "z/..\\..\\evil name.tif", "é.png")
    ]
    assert names == ["a.cam.png", "A-2.cam.png", "a-2-2.cam.png", "image.cam.png", "evil_name.cam.png", "é.cam.png"]
    assert len({n.lower() for n in names}) == len(names)
    assert len(picture_name("q" * 500 + ".png", taken)) < 130


def test_a_long_name_in_another_script_is_cut_where_the_file_system_counts(classifier, tmp_path):
    image = tmp_path / f"{'永' * 80}.png"
    Image.fromarray(patch("Forest", seed=0)).save(image)
    (row,) = explain_images(classifier, [image], tmp_path / "out")
    assert row.picture == f"{'永' * 33}.cam.png"
    assert (tmp_path / "out" / row.picture).exists()


def test_a_flat_answer_is_still_drawn(classifier, tmp_path):
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "black.png")
    rows = explain_images(classifier, [tmp_path / "black.png"], tmp_path / "out")
    assert (tmp_path / "out" / rows[0].picture).stat().st_size > 0
