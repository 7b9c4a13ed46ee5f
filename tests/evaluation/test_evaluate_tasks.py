"""Evaluating binary and multi-label models, with real files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as reference

from swath.data import PatchIndex, binary_index, build_index, split_index
from swath.errors import DataError, OutputError, SettingError
from swath.evaluation import (
    BinaryEvaluation,
    MultiLabelEvaluation,
    best_threshold,
    choose_thresholds,
    evaluate,
    rethreshold,
    with_thresholds,
)
from swath.evaluation.predictions import TEST_ACCESSES
from swath.evaluation.sections import result_section
from swath.inference import load
from swath.model import read_model
from swath.pages.html import write_report
from tests.tiny import CLASSES, patch, write_patches, write_tiny_model

from .cases import Page

NAMES = ("not River", "River")


@pytest.fixture(scope="module")
def binary_model(tmp_path_factory) -> Path:
    """River against forest, which also meets what it never knew."""
    path = tmp_path_factory.mktemp("model") / "river.onnx"
    graph_names = ("Forest", "River")
    write_tiny_model(path, graph_names, task="binary", thresholds={"River": 0.6})
    renamed = path.with_name("binary.onnx")
    model = read_model(path)
    record = model.record.model_dump()
    for info, name in zip(record["classes"], NAMES, strict=True):
        info["name"] = name
    record |= {"thresholds": {"River": 0.6}}
    record["baselines"]["majority"] = "not River"
    from swath.model import Record, write_model

    write_model(renamed, model.graph, Record.model_validate(record))
    return renamed


@pytest.fixture(scope="module")
def binary_data(tmp_path_factory) -> PatchIndex:
    folder = write_patches(tmp_path_factory.mktemp("two"), ("Forest", "River"), n=30)
    return binary_index(split_index(build_index(folder)), "River")


@pytest.fixture(scope="module")
def several_data(tmp_path_factory) -> PatchIndex:
    """Patches of which the halves show one class or two."""
    folder = tmp_path_factory.mktemp("several")
    rows = ["path,labels"]
    for i in range(60):
        first, second = CLASSES[i % 4], CLASSES[(i + i // 4) % 4]
        halves = patch(first, seed=i)[:, :32], patch(second, seed=100 + i)[:, 32:]
        Image.fromarray(np.concatenate(halves, axis=1)).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{first};{second}")
    (folder / "list.csv").write_text("\n".join(rows))
    return split_index(build_index(folder / "list.csv"), val=0.3, test=0.4)


@pytest.fixture(scope="module")
def several_model(tmp_path_factory) -> Path:
    thresholds = {"Forest": 0.6, "River": 0.4}
    path = tmp_path_factory.mktemp("model") / "several.onnx"
    return write_tiny_model(path, task="multi-label", thresholds=thresholds, baselines=None)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_binary_model_is_measured_at_its_threshold(binary_model, binary_data, tmp_path):
    found = evaluate(load(binary_model, threads=1), binary_data, split="test", out=tmp_path / "out")
    assert isinstance(found, BinaryEvaluation)
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert written >= {"confusion.csv", "confusion.svg", "curves.svg", "metrics.json", "predictions.csv"}
    assert "per_class.svg" not in written
    rows = rows_of(tmp_path / "out" / "predictions.csv")
    truth = np.array([row["label"] == "River" for row in rows])
    scores = np.array([float(row["p_River"]) for row in rows])
    called = np.array([row["predicted"] == "River" for row in rows])
    np.testing.assert_array_equal(called, scores >= 0.6)
    assert found.recall.value == pytest.approx(reference.recall_score(truth, called), abs=1e-9)
    assert found.f1.value == pytest.approx(reference.f1_score(truth, called), abs=1e-9)
    assert found.average_precision.value == pytest.approx(reference.average_precision_score(truth, scores), abs=1e-3)
    assert (found.threshold, found.positive, found.positives, found.n) == (0.6, "River", 6, 12)
    simple = found.baselines["majority"]
    assert simple.average_precision.value == pytest.approx(6 / 12)
    assert (simple.auroc.value, simple.f1.value) == (0.5, 0)
    assert found.baselines["color"].auroc.value > 0.5
    for rule in found.baselines.values():
        ahead = found.average_precision.value - rule.average_precision.value
        assert rule.difference.average_precision.value == pytest.approx(ahead)
    values = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert BinaryEvaluation.model_validate(values) == found
    assert values["task"] == "binary"
    assert len((tmp_path / TEST_ACCESSES).read_text().splitlines()) == 1
    text = " ".join(" ".join(found.lines()).split())
    for said in (
        "average precision",
        "AUROC",
        "F1",
        "threshold 0.6000",
        "6 of 12 patches are River",
        "the model's lead in average precision",
    ):
        assert said in text


def test_a_multi_label_model_is_measured_label_by_label(several_model, several_data, tmp_path):
    found = evaluate(load(several_model, threads=1), several_data, split="test", out=tmp_path / "out")
    assert isinstance(found, MultiLabelEvaluation)
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert written >= {"curves.svg", "labels.csv", "metrics.json", "per_class.svg", "predictions.csv"}
    assert "confusion.svg" not in written
    rows = rows_of(tmp_path / "out" / "predictions.csv")
    truth, called = (
        np.array([[name in row[c].split(";") for name in CLASSES] for row in rows]) for c in ("label", "predicted")
    )
    macro = reference.f1_score(truth, called, average="macro", zero_division=0)
    assert found.macro_f1.value == pytest.approx(macro, abs=1e-9)
    assert found.macro_f1.value > 0.5
    assert found.subset_accuracy.value == pytest.approx((truth == called).all(axis=1).mean())
    assert [c.threshold for c in found.per_class.values()] == [0.6, 0.5, 0.4, 0.5]
    counts = {row["label"]: row for row in rows_of(tmp_path / "out" / "labels.csv")}
    for k, name in enumerate(CLASSES):
        assert int(counts[name]["patches"]) == truth[:, k].sum()
        assert int(counts[name]["right"]) == (truth & called)[:, k].sum()
    values = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert MultiLabelEvaluation.model_validate(values) == found
    assert not any("baselines" in warning for warning in found.warnings)
    text = "\n".join(found.lines())
    for said in ("macro-F1", "micro-F1", "mAP", "subset accuracy", "threshold"):
        assert said in text


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_the_report_shows_curves_and_numbers(task, request, tmp_path):
    model, data = {"binary": ("binary_model", "binary_data"), "multi-label": ("several_model", "several_data")}[task]
    index = request.getfixturevalue(data)
    found = evaluate(load(request.getfixturevalue(model), threads=1), index, split="test", out=tmp_path / "out")
    write_report(tmp_path / "r.html", [result_section(found, tmp_path / "out")], title="Result")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Precision-recall and ROC curves" in page.all("svg", "aria-label")
    for name in found.headline():
        shown = {"mean_average_precision": "mAP", "auroc": "AUROC", "f1": "F1"}.get(name, name.replace("_", " "))
        assert shown.replace("macro f1", "macro-F1").replace("micro f1", "micro-F1") in page.text
    assert ("River" if task == "binary" else "Residential") in page.text
    assert ("model's lead in average precision" in page.text) == (task == "binary")


def test_a_model_that_ranks_as_its_color_rule_does_has_no_lead(binary_model, binary_data, tmp_path, monkeypatch):
    """Its threshold is chosen and the rule's is 0.5, which is no reason to call it better."""
    classifier = load(binary_model, threads=1)

    def rules(baselines, pixels, **_):
        return {"color": classifier.run(pixels)["probabilities"][:, 1].astype(np.float64) / 4}

    monkeypatch.setattr(import_module("swath.evaluation.evaluate"), "baseline_scores", rules)
    found = evaluate(classifier, binary_data, split="train", out=tmp_path / "out")
    assert found.f1.value > found.baselines["color"].f1.value + 0.2
    assert found.baselines["color"].difference.average_precision.value == 0
    assert any(
        "not clearly better than the color baseline (average precision difference" in warning
        for warning in found.warnings
    )


def test_task_and_index_at_odds_are_refused(binary_model, several_model, several_data, tiny_index, tmp_path):
    with pytest.raises(DataError, match="have one label each; make the index from a table with a column 'labels'"):
        evaluate(load(several_model, threads=1), tiny_index, split="test", out=tmp_path / "out")
    with pytest.raises(DataError, match=r"is binary, and the patches .* carry lists of labels; .* swath data binary"):
        evaluate(load(binary_model, threads=1), several_data, split="test", out=tmp_path / "out")
    with pytest.raises(DataError, match="swath data binary INDEX --positive 'River'"):
        evaluate(load(binary_model, threads=1), tiny_index, split="test", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_thresholds_are_chosen_on_validation_patches_and_written(binary_model, binary_data, tmp_path):
    classifier = load(binary_model, threads=1)
    part = binary_data.where("val")
    scores = classifier.predict([binary_data.root / name for name in part.paths]).probabilities[:, 1]
    truth = np.array(part.labels) == "River"
    made = rethreshold(classifier, binary_data, tmp_path / "new.onnx")
    assert made.before == {"River": 0.6}
    assert made.after["River"] == pytest.approx(best_threshold(truth, scores), abs=1e-4)
    again = load(tmp_path / "new.onnx", threads=1)
    assert again.record.thresholds == made.after
    assert again.record.reference == classifier.record.reference
    assert "accuracy" not in again.record.metrics  # it was measured at the old threshold
    assert classifier.record == read_model(binary_model).record
    before, after = (
        evaluate(c, binary_data, split="val", out=tmp_path / name).f1.value
        for name, c in (("before", classifier), ("after", again))
    )
    assert after >= before


def test_every_label_gets_a_threshold(several_model, several_data, tmp_path):
    chosen = choose_thresholds(load(several_model, threads=1), several_data)
    assert set(chosen) == set(CLASSES)
    assert all(0 < t < 1 for t in chosen.values())


def test_a_split_without_positives_chooses_no_threshold(binary_model, binary_data, several_model, tmp_path):
    other = np.array(binary_data.labels) != "River"
    bare = replace(binary_data, table=binary_data.table.filter(other))
    with pytest.raises(DataError, match="no patch of River to choose a threshold by"):
        rethreshold(load(binary_model, threads=1), bare, tmp_path / "new.onnx")


def test_classes_whose_thresholds_stay_are_named(several_model, several_data, tmp_path):
    gone = CLASSES[0]
    rare = replace(
        several_data,
        table=several_data.table.filter(np.array([gone not in labels for labels in several_data.label_sets])),
    )
    made = rethreshold(load(several_model, threads=1), rare, tmp_path / "new.onnx")
    assert made.kept == (gone,)
    assert made.after[gone] == made.before[gone]


def test_a_threshold_is_never_chosen_on_test(binary_model, binary_data, tiny_model, tiny_index, tmp_path):
    classifier = load(binary_model, threads=1)
    with pytest.raises(
        SettingError, match=r"not chosen on test patches.*swath model threshold MODEL INDEX --split val"
    ):
        rethreshold(classifier, binary_data, tmp_path / "new.onnx", split="test")
    with pytest.raises(SettingError, match="there is no threshold"):
        choose_thresholds(load(tiny_model, threads=1), tiny_index)
    with pytest.raises(SettingError, match="is the model itself"):
        rethreshold(classifier, binary_data, binary_model, overwrite=True)
    with pytest.raises(OutputError):
        rethreshold(classifier, binary_data, binary_model)
    with pytest.raises(SettingError, match="no threshold for 'Lake'"):
        with_thresholds(classifier.record, {"Lake": 0.5})
    assert list(tmp_path.iterdir()) == []
