"""From files to files: assess as it is called."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from swath.assessment import Agreement, Assessment, assess, sample_map
from swath.assessment.accuracy import read_reference
from swath.errors import DataError, MissingFileError, OutputError, SettingError
from swath.mapping import map_scene
from swath.teaching import teach
from tests.assessment.maps import labeled, land, save, write_map
from tests.drawings import Drawing
from tests.teaching import scenes
from tests.tiny import CLASSES


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    mapped, truth = land()
    map_ = write_map(tmp_path / "map.tif", mapped)
    sample_map(map_, out=tmp_path / "places.gpkg", n=200, per_class=50)
    return {
        "map": map_,
        "second": write_map(tmp_path / "second.tif", land(seed=1)[0]),
        "truth": write_map(tmp_path / "truth.tif", truth),
        "places": labeled(tmp_path / "places.gpkg", map_, truth),
    }


def test_an_assessment_is_a_folder(files: dict[str, Path], tmp_path: Path) -> None:
    found = assess([files["map"], files["second"]], reference=files["places"], out=tmp_path / "out")
    assert isinstance(found, Assessment)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "assessment.json",
        "confusion.csv",
        "index.html",
    ]
    stored = json.loads((tmp_path / "out" / "assessment.json").read_text(encoding="utf-8"))
    assert Assessment.model_validate(stored) == found
    with (tmp_path / "out" / "confusion.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for one in found.maps:
        own = [row for row in rows if row["map"] == one.map]
        assert sum(int(row["places"]) for row in own) == found.n
        assert sum(float(row["area_share"]) for row in own) == pytest.approx(1)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "overall accuracy of map.tif" in page
    assert "map.tif less second.tif" in page
    assert page.count('<figure class="drawn">') == 2
    assert "<script" not in page


def test_the_page_draws_nothing_where_nothing_is_and_counts_one(files: dict[str, Path], tmp_path: Path) -> None:
    places = read_reference(files["places"])
    rows = list(places.rows)
    rows[0] = replace(rows[0], label=None)
    rows[1:] = [replace(row, label="Forest" if row.label == "River" else row.label) for row in rows[1:]]
    save(tmp_path / "no-river.gpkg", replace(places, rows=tuple(rows)))
    assess([files["map"]], reference=tmp_path / "no-river.gpkg", out=tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Not used: 1 place without a label" in page
    cells = [text for drawn in re.findall(r"<svg.*?</svg>", page) for text in Drawing(drawn).words]
    assert "<0.1" not in cells
    assert sum(any(letter.isdigit() for letter in text) for text in cells) == 2 * 6, "no place is of a river"


def test_agreement_is_a_folder_too(files: dict[str, Path], tmp_path: Path) -> None:
    found = assess([files["map"]], reference=files["truth"], out=tmp_path / "out")
    assert isinstance(found, Agreement)
    stored = json.loads((tmp_path / "out" / "assessment.json").read_text(encoding="utf-8"))
    assert Agreement.model_validate(stored) == found
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "agreement of map.tif" in page
    assert "overall accuracy" not in page


def test_the_truth_lies_in_the_intervals(files: dict[str, Path]) -> None:
    mapped, truth = land()
    found = assess([files["map"]], reference=files["places"])
    assert isinstance(found, Assessment)
    right = (mapped == truth)[mapped > 0].mean()
    assert found.maps[0].accuracy.overall.low < right < found.maps[0].accuracy.overall.high


def test_lines_fit_a_terminal(tmp_path: Path) -> None:
    """Twelve classes of long names; sentences are broken by the terminal."""
    names = ("No data", *(f"Herbaceous vegetation of the kind {k}" for k in range(12)))
    mapped, _ = land(400, 500)
    values = mapped * 4 - (mapped > 0) * (land(400, 500, seed=5)[0] % 4)
    map_ = write_map(tmp_path / "map.tif", values.astype("uint8"), names=names)
    sample_map(map_, out=tmp_path / "places.gpkg", n=300)
    reference = labeled(tmp_path / "places.gpkg", map_, values, names=names)
    for line in assess([map_], reference=reference).lines():
        assert len(line) <= 80 or line.startswith(("note:", "not used:"))


def test_mistakes_are_found_before_any_work(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").write_text("kept")
    with pytest.raises(OutputError, match="not empty"):
        assess([files["map"]], reference=files["places"], out=tmp_path / "out")
    with pytest.raises(MissingFileError, match="swath sample"):
        assess([files["map"]], reference=tmp_path / "none.gpkg")
    with pytest.raises(MissingFileError, match="there is no map"):
        assess([tmp_path / "none.tif"], reference=files["places"])
    with pytest.raises(SettingError, match="--label-field"):
        assess([files["map"]], reference=files["truth"], label_field="class")
    with pytest.raises(SettingError, match="no map"):
        assess([], reference=files["places"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kept.txt"]


def test_a_map_is_not_assessed_by_the_places_that_taught_its_model(tmp_path: Path) -> None:
    """Taught, mapped and assessed, with nothing made by hand in between."""
    table = scenes.checkerboard(CLASSES)
    scene = scenes.write_scene(tmp_path / "scene.tif", table)
    places = scenes.write_places(tmp_path / "places.csv", scenes.middles(table))
    model = scenes.remembering_model(tmp_path / "tiny.onnx")
    teach(model, scene=scene, places=places, out=tmp_path / "mine.onnx", rescale="off")
    map_scene(str(tmp_path / "mine.onnx"), scene, out=tmp_path / "map.tif", rescale="off")
    with pytest.raises(DataError, match=r"36 places of places\.csv taught the model of map\.tif"):
        assess([tmp_path / "map.tif"], reference=places)
    map_scene(str(model), scene, out=tmp_path / "before.tif", rescale="off")
    assert isinstance(assess([tmp_path / "before.tif"], reference=places), Assessment)
