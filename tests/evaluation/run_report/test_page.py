"""The whole report of a tiny model: what is on the page, in which order, and what it leaves behind."""

from __future__ import annotations

import json
import re

import pytest

from swath.data import audit, binary_index, build_index, split_index
from swath.data.spatial import optimistic_bias
from swath.errors import DataError, OutputError
from swath.evaluation.predictions import TEST_ACCESSES
from swath.evaluation.run_report import Findings, ReportMeasurements, key_points, open_run, report
from swath.evaluation.run_report.color_match import ColorMatchResult
from swath.evaluation.run_report.measure import used_for_decisions
from swath.evaluation.run_report.page import _color_match, _data
from swath.model import Record, read_model, write_model
from swath.model.record import Estimate
from tests.data.test_spatial import with_columns
from tests.evaluation.cases import Page, evaluation
from tests.tiny import write_patches, write_tiny_model

TITLES = [
    "The verdict in full",
    "Score on 'test'",
    "Mistakes",
    "Explanation maps",
    "Under other conditions",
    "Reliability of single predictions",
    "Data and splits",
    "Training",
    "Provenance",
]


@pytest.fixture(scope="module")
def run_folder(tiny_model, tmp_path_factory):
    """A run as training leaves it."""
    run = tmp_path_factory.mktemp("runs") / "mine"
    run.mkdir()
    (run / "model.onnx").write_bytes(tiny_model.read_bytes())
    (run / "recipe.yaml").write_text("name: by hand\nepochs: 2\n")
    (run / "history.csv").write_text(
        "epoch,seconds,train_loss,val_loss,train_accuracy,val_accuracy,kept\n"
        "1,2.5,1,1,0.9,0.95,0\n2,3.5,0.5,0.6,0.95,0.925,1\n"
    )
    return run


@pytest.fixture(scope="module")
def made(run_folder, tiny_index):
    return report(run_folder, tiny_index, out=run_folder / "report", quick=True, engine="onnxruntime", threads=1)


def test_the_page_needs_nothing_else_and_goes_from_verdict_to_record(made):
    html = made.page.read_text(encoding="utf-8")
    page = Page(html)
    sources = page.all("img", "src")
    assert len(sources) > 6
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"<script|https?://", html)
    places = [page.texts.index(title, page.texts.index(TITLES[0])) for title in TITLES]
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", html) == [t.replace("'", "&#39;") for t in TITLES]
    assert places == sorted(places)
    assert {"Good for", "Fails at"} & set(page.texts[: places[0]])
    assert max(page.texts.index(point.text) for point in key_points(made.measured.findings)) < places[0]


@pytest.mark.parametrize("changed", [False, True])
def test_what_matching_colors_did_is_told_in_whole_sentences(changed):
    level = Estimate(value=0.5, low=0.4, high=0.6, n=200)
    said = "colors were matched to the training images (red: gain 1.20, offset -4): they differ"
    found = ColorMatchResult(
        split="val",
        n=200,
        before=level,
        after=level,
        gain=level,
        clean_changed=changed,
        clean_gain=level,
        sentence=said,
    )
    told = _color_match(found, "")
    assert ". Colors were matched to the training images (red: gain 1.20, offset -4): they differ. Without" in told
    assert told.count("..") == 0


def test_links_lead_to_files_of_the_report(made):
    page = Page(made.page.read_text(encoding="utf-8"))
    links = [href for href in page.all("a", "href") if href and not href.startswith("#")]
    assert links
    assert all((made.page.parent / href).is_file() for href in links)


def test_only_the_score_opens_the_test_and_that_once(made, run_folder):
    (line,) = (run_folder / TEST_ACCESSES).read_text().splitlines()
    assert json.loads(line)["n"] == 24
    assert not (run_folder / "report" / TEST_ACCESSES).exists()
    found = made.measured.findings
    assert (found.score.split, found.errors.split, found.robustness.split, found.maps.split) == ("test", *["val"] * 3)


def test_the_run_tells_of_its_training(run_folder):
    facts = open_run(run_folder).facts
    assert facts == {
        "recipe": "by hand",
        "epochs": "2",
        "training time": "6 s",
        "epoch kept": "2",
        "validation accuracy": "92.50 %",
    }


def test_few_patches_are_named_and_the_json_says_the_same(made):
    assert any("Only 24 patches" in text for text in made.verdict.caveats)
    facts = json.loads((made.page.parent / "report.json").read_text(encoding="utf-8"))
    assert facts["verdict"]["good"] == list(made.verdict.good)


def test_a_report_is_not_overwritten_unasked(made, run_folder, tiny_index):
    with pytest.raises(OutputError):
        report(run_folder, tiny_index, out=run_folder / "report", quick=True, engine="onnxruntime")
    # Refused before anything was opened.
    assert len((run_folder / TEST_ACCESSES).read_text().splitlines()) == 1


def test_a_folder_without_a_model_is_one_message(tmp_path, tiny_index):
    with pytest.raises(DataError, match=r"holds no model\.onnx"):
        report(tmp_path, tiny_index, out=tmp_path / "r")


def test_a_damaged_run_is_one_message(run_folder, tmp_path):
    (tmp_path / "model.onnx").write_bytes((run_folder / "model.onnx").read_bytes())
    (tmp_path / "history.csv").write_text("epoch\n1\n")
    with pytest.raises(DataError, match="history"):
        open_run(tmp_path)


def test_a_start_that_was_kept_is_no_epoch_and_is_named(run_folder, tmp_path):
    (tmp_path / "model.onnx").write_bytes((run_folder / "model.onnx").read_bytes())
    (tmp_path / "history.csv").write_text(
        "epoch,seconds,train_loss,val_loss,train_accuracy,val_accuracy,kept\n0,1,,0.2,,0.95,1\n1,2,0.1,0.3,0.9,0.9,0\n"
    )
    facts = open_run(tmp_path).facts
    assert (facts["epochs"], facts["epoch kept"]) == ("1", "0: the network as it began")


def test_mistakes_are_looked_at_on_patches_that_are_no_test(tiny_index):
    assert used_for_decisions(tiny_index, "test") == "val"
    assert used_for_decisions(tiny_index.where("test"), "test") == "test"


@pytest.mark.parametrize("own", [True, False])
def test_that_a_split_is_optimistic_is_said_once_and_of_the_models_own_data(own, tiny_index, tiny_model):
    n = len(tiny_index)
    index = with_columns(tiny_index, lon=[5 + 0.001 * k for k in range(n)], lat=[50.0] * n)
    findings = Findings(evaluation(), optimistic=optimistic_bias(index) if own else "")
    section = _data(ReportMeasurements(findings, (), {}, {}, audit(index)), read_model(tiny_model).record)
    assert not any("optimistic" in text for text in section.text)
    assert ["The splits are optimistic" in warning for warning in section.warnings] == [True] * own


@pytest.mark.slow
def test_several_labels_are_reported_without_what_needs_one(tmp_path):
    write_patches(tmp_path, ("Forest", "River"), n=12)
    rows = ["path,labels,split"]
    for name in ("Forest", "River"):
        for i in range(1, 13):
            labels = "Forest;River" if i % 2 else name
            rows.append(f"{name}/{name}_{i}.png,{labels},{('train', 'val', 'test')[i % 3]}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(rows) + "\n")
    index = build_index(table)
    model = write_tiny_model(tmp_path / "several.onnx", ("Forest", "River"), task="multi-label")
    made = report(model, index, out=tmp_path / "r", quick=True, engine="onnxruntime", threads=1)
    text = Page(made.page.read_text(encoding="utf-8")).text
    assert "the model is multi-label, and error analysis needs one class per patch" in text
    assert set(made.measured.left_out) >= {"mistakes", "shifts"}


@pytest.mark.slow
def test_two_classes_are_reported(tmp_path, tiny_patches):
    index = binary_index(split_index(build_index(tiny_patches)), "River")
    negative = next(name for name in index.classes if name != "River")
    made_at = write_tiny_model(tmp_path / "two.onnx", ("Forest", "River"), task="binary")
    raw = read_model(made_at)
    record = raw.record.model_dump() | {"baselines": None}
    record["classes"][0]["name"] = negative
    write_model(tmp_path / "river.onnx", raw.graph, Record.model_validate(record))
    made = report(tmp_path / "river.onnx", index, out=tmp_path / "r", quick=True, engine="onnxruntime", threads=1)
    first = key_points(made.measured.findings)[0]
    assert first.text.startswith("average precision at finding River")
