"""The demo as a newcomer meets it: the shipped model, the shipped patches, one page."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from swath.errors import DataError, OutputError
from swath.pipelines import ShowcaseResult, demo


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> ShowcaseResult:
    return demo(tmp_path_factory.mktemp("demo") / "report")


def test_the_page_links_everything_and_loads_nothing(shown: ShowcaseResult) -> None:
    page = shown.report.read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"#]+)"', page)
    assert len(links) > 8
    for link in links:
        assert (shown.report.parent / unquote(link)).exists(), link
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="https?:', page)


def test_tables_name_files_as_seen_from_the_page(shown: ShowcaseResult) -> None:
    folder = shown.report.parent
    with (folder / "explanations" / "explain.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    for row in rows:
        assert (folder / row["path"]).is_file()
        assert (folder / "explanations" / row["picture"]).is_file()


def test_the_page_is_that_of_a_report_with_a_map(shown: ShowcaseResult) -> None:
    page = shown.report.read_text(encoding="utf-8")
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == [
        "The verdict in full",
        "Score on &#39;test&#39;",
        "Mistakes",
        "Reliability of single predictions",
        "Data and splits",
        "Where the model looks",
        "Map",
        "Provenance",
    ]
    assert re.search(r"Good for\b", page)
    assert "Not measured here: explanation maps and shifts" in page
    facts = json.loads((shown.report.parent / "report.json").read_text(encoding="utf-8"))
    assert facts["verdict"]["good"]


def test_a_model_of_other_classes_is_refused_in_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has classes the model does not know"):
        demo(tmp_path / "report", model=tiny_model)


def test_the_shipped_model_is_right_on_patches_it_never_saw(shown: ShowcaseResult) -> None:
    assert shown.evaluation.n == 600
    assert shown.evaluation.accuracy.value >= 0.955
    assert shown.evaluation.baselines["color"].difference.accuracy.low > 0.05


def test_the_map_of_the_known_scene_says_what_the_patches_say(shown: ShowcaseResult) -> None:
    folder = shown.report.parent
    assert shown.map_accuracy.patches == 600
    assert shown.map_accuracy.patches_right / 600 == pytest.approx(shown.evaluation.accuracy.value, abs=1e-9)
    facts = json.loads((folder / "map.json").read_text())
    assert "eurosat" in json.dumps(facts)
    assert str(folder.parent) not in json.dumps(facts)


def test_an_existing_folder_is_kept(shown: ShowcaseResult) -> None:
    before = shown.report.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        demo(shown.report.parent)
    assert shown.report.read_bytes() == before


def test_a_stopped_demo_leaves_nothing(tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int, *, note: str = "") -> None:
        if note == "map":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path / "report", progress=stop)
    assert list(tmp_path.iterdir()) == []
