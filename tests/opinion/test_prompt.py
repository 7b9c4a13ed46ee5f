"""The question: an enlarged picture and the classes, and nothing of what is known already."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swath.errors import DataError, MissingFileError, SettingError
from swath.imagery import RGB
from swath.model import read_model
from swath.opinion import read_definitions
from swath.opinion.prompt import make_question
from tests.opinion.conftest import question
from tests.tiny import CLASSES, patch


def test_the_picture_is_enlarged_and_holds_nothing_but_pixels() -> None:
    pixels = patch("Forest", seed=0)
    with Image.open(io.BytesIO(question().png)) as picture:
        assert (picture.format, picture.size, picture.info) == ("PNG", (512, 512), {})
        shown = np.asarray(picture, np.float64)
    assert np.abs(shown.mean(axis=(0, 1)) - pixels.mean(axis=(0, 1))).max() < 1
    wide = make_question(np.zeros((3, 20, 1000), np.uint8), bands=RGB, classes=CLASSES)
    with Image.open(io.BytesIO(wide.png)) as picture:
        assert picture.size == (512, 10)
    assert "reduced from 1000 x 20 pixels" in wide.text


def test_patches_of_one_size_get_the_same_words() -> None:
    assert len({question(label, seed=seed).text for label in CLASSES for seed in range(3)}) == 1
    text = question().text
    assert "64 x 64 pixels" in text
    assert "about 640 x 640 m" in text
    assert "in true color" in text


def test_other_bands_and_no_gsd() -> None:
    made = make_question(np.zeros((2, 8, 8), np.uint16), bands=("nir", "swir"), classes=("a", "b"))
    assert "band 'nir' in gray" in made.text
    assert " m on the ground" not in made.text


def test_the_form_of_the_answer_is_a_strict_schema_or_in_words() -> None:
    made = question()
    schema = made.response_format["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["label"]["enum"] == [*CLASSES, "unsure"]
    assert sorted(schema["schema"]["required"]) == ["confidence", "label", "reason"]
    plain, words = (made.messages(in_words=said)[1]["content"][0]["text"] for said in (False, True))
    assert words.startswith(plain)
    assert json.loads(words.rpartition("Schema:\n")[2]) == made.schema
    assert made.messages()[1]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_a_class_called_unsure_is_refused() -> None:
    with pytest.raises(SettingError, match="rename the class"):
        make_question(np.zeros((3, 8, 8), np.uint8), bands=RGB, classes=("Forest", "unsure"))


def test_every_class_of_eurosat_has_a_line() -> None:
    names = read_model("eurosat").record.class_names
    assert list(read_definitions(None, names)) == list(names)
    assert read_definitions(None, [*names, "Glacier"]) == {}


def test_own_definitions(tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("River: running water, whatever its width\nForest: no\n")
    assert read_definitions(tmp_path / "d.yaml", CLASSES) == {
        "Forest": "no",
        "River": "running water, whatever its width",
    }
    (tmp_path / "d.csv").write_text('class;definition\nRiver;"running water; flowing"\n')
    found = read_definitions(tmp_path / "d.csv", CLASSES)
    assert found == {"River": "running water; flowing"}
    made = make_question(np.zeros((3, 8, 8), np.uint8), bands=RGB, classes=CLASSES, definitions=found)
    assert "- River: running water; flowing\n- SeaLake\n" in made.text


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("d.yaml", "Glacier: ice\n", "defines Glacier, which is no class of the model"),
        ("d.yaml", "River: [a, b]\n", "the definition of River is no text of one line"),
        ("d.yaml", f"River: {'x' * 201}\n", "at most 200 letters"),
        ("d.yaml", "- a\n", "should hold fields and values"),
        ("d.csv", "name,line\nRiver,water\n", "give it a header: class,definition"),
        ("d.csv", "class,definition\nRiver,a\x1bb\n", "no text of one line"),
    ],
)
def test_definitions_that_cannot_be_used(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises((SettingError, DataError), match=says):
        read_definitions(tmp_path / name, CLASSES)


def test_no_definitions_there(tmp_path: Path) -> None:
    for name in ("none.yaml", "none.csv"):
        with pytest.raises(MissingFileError, match=name):
            read_definitions(tmp_path / name, CLASSES)
