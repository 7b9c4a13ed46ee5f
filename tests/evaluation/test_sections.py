from __future__ import annotations

import pytest

from swath.evaluation.plots import history_chart
from swath.evaluation.sections import (
    data_section,
    explanation_section,
    map_section,
    provenance_section,
    result_section,
    training_section,
)
from swath.evaluation.seen import SeenCount
from swath.model import read_model
from swath.model.record import class_infos
from swath.pages.html import Image, Link, Number, Swatch, write_report
from tests.pages.test_html import picture_bytes

from .cases import HOSTILE, Page, evaluation

SAMPLES = [Image(picture_bytes(), "Patches of River", "River")]


def test_data_counts_each_class_and_split():
    section = data_section(
        {"River": {"test": 2, "train": 5}, "Sea": {"train": 1200}}, patches=1207, sentences=("No duplicates.",)
    )
    (table,) = section.tables
    assert table.columns == ("class", "train", "test", "all")
    assert list(table.rows) == [("River", 5, 2, 7), ("Sea", 1200, 0, 1200)]
    shown = {number.label: number.value for number in section.numbers}
    assert shown == {"patches": "1,207", "classes": "2", "train": "1,205", "test": "2"}
    assert not section.images
    assert data_section({"River": {"train": 1}}, patches=1, samples=SAMPLES).strips == SAMPLES


def test_patches_of_several_labels_are_counted_once():
    section = data_section({"River": {"test": 2}, "Sea": {"test": 3}}, patches=4)
    assert {number.label: number.value for number in section.numbers} == {"patches": "4", "classes": "2"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "The model has seen none of these 400 patches."),
        ({"known": False}, "is not known: its file does not say what it learned from."),
        ({"train": 400}, "All 400 patches were trained on: this is no test. None of them is left to test it on."),
        (
            {"val": 400, "test": 600},
            "this is no test. None of them is left to test it on; --split test has 600 patches.",
        ),
        ({"train": 271, "val": 47}, "271 of 400 patches were trained on and 47 chose the model: this is no test. What"),
    ],
)
def test_a_result_says_first_what_the_model_has_seen(tmp_path, fields, said):
    seen = SeenCount(patches=400, **fields)
    section = result_section(evaluation(seen=seen), tmp_path)
    assert said in section.text[0]
    assert section.text[1] == "400 patches of the split 'test'."
    assert "stratified by class" in section.text[2]
    # No title and no number of seen patches without a word of it.
    assert {text.endswith("seen)") for text in (section.title, *(n.label for n in section.numbers))} == {seen.seen > 0}


def test_a_result_shows_model_baselines_and_every_class(tmp_path):
    found = evaluation(n=60)
    section = result_section(found, tmp_path)
    beside, classes = section.tables
    assert [row[0] for row in beside.rows] == ["this model", "most common class"]
    assert beside.rows[0][1:3] == (found.accuracy, found.macro_f1)
    assert "points" in beside.rows[1][3]
    assert [row[0] for row in classes.rows] == list(found.per_class)
    assert classes.rows[0][1] == found.per_class["Forest"].recall.n
    assert section.warnings == found.warnings != ()
    assert [link.target for link in section.links] == [
        tmp_path / name for name in ("metrics.json", "confusion.csv", "predictions.csv")
    ]


def test_a_map_lists_classes_by_area(tmp_path):
    section = map_section(
        picture_bytes(),
        classes=class_infos(("Forest", "River", "SeaLake")),
        hectares={"River": 75.0, "SeaLake": 25.0},
        numbers=(Number("map_accuracy", "98 %"),),
        scene=picture_bytes("JPEG"),
    )
    rows = list(section.tables[0].rows)
    assert [(row[0].name, *row[1:]) for row in rows] == [
        ("River", 75.0, 75.0),
        ("SeaLake", 25.0, 25.0),
        ("Forest", 0.0, 0.0),
    ]
    assert rows[0][0] == Swatch("4DB2DE", "River")
    assert [image.alt for image in section.images] == ["The scene in true color", "Land map, one color per class"]


def test_a_map_of_nothing_has_no_shares():
    section = map_section(picture_bytes(), classes=class_infos(("Forest",)), hectares={})
    assert section.tables[0].rows[0][1:] == (0.0, 0.0)


def test_provenance_states_where_all_came_from(tiny_model):
    record = read_model(tiny_model).record
    section = provenance_section(record, facts={"command": "swath demo"})
    facts = dict(section.tables[0].rows)
    assert facts["model"] == "tiny"
    assert facts["data fingerprint"] == "0" * 64
    assert facts["data license"] == "CC0-1.0"
    assert facts["attribution"] == "not stated"
    assert facts["command"] == "swath demo"


def test_all_sections_make_one_sound_page(tmp_path, tiny_model):
    names = (HOSTILE, "River", "$\\frac")
    row = {"epoch": 1, "train_loss": 1, "val_loss": 1, "train_accuracy": 0.5, "val_accuracy": 0.5}
    curves = history_chart([row], kept=0)
    found = evaluation(names, n=60)
    sections = (
        data_section({name: {"train": 3} for name in names}, patches=9, samples=SAMPLES),
        training_section(curves, facts={"epochs": "12"}, links=(Link("curves.csv", tmp_path / "c.csv"),)),
        result_section(found, tmp_path),
        explanation_section(SAMPLES),
        map_section(picture_bytes(), classes=class_infos(names), hectares={HOSTILE: 5.0}),
        provenance_section(read_model(tiny_model).record),
    )
    write_report(tmp_path / "index.html", sections, title="Land of " + HOSTILE)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert len(page.all("section", "id")) == 6
    assert all(alt for alt in page.all("img", "alt"))
    assert all(source.startswith("data:image/png") for source in page.all("img", "src"))
