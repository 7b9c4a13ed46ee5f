from __future__ import annotations

import csv
import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from swath.data import PatchIndex, build_index, split_index
from swath.errors import DataError, OutputError
from swath.evaluation import SingleLabelEvaluation, evaluate
from swath.evaluation.predictions import TEST_ACCESSES, checked_split
from swath.inference import Classifier, load
from tests.tiny import CLASSES, patch, write_patches, write_tiny_model


@pytest.fixture(scope="module")
def classifier(tiny_model) -> Classifier:
    return load(tiny_model, threads=1)


@pytest.fixture(scope="module")
def done(classifier, tiny_index, tmp_path_factory) -> tuple[Path, SingleLabelEvaluation]:
    out = tmp_path_factory.mktemp("run") / "test"
    return out, evaluate(classifier, tiny_index, split="test", out=out)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_folder_holds_what_is_promised(done):
    out, _ = done
    assert sorted(p.name for p in out.iterdir()) == [
        "confusion.csv",
        "confusion.svg",
        "metrics.json",
        "per_class.svg",
        "predictions.csv",
        "reliability.svg",
    ]


def test_every_metric_has_value_low_high_and_n(done):
    out, found = done
    values = json.loads((out / "metrics.json").read_text())
    each = [values["accuracy"], values["macro_f1"]]
    assert list(values["per_class"]) == list(CLASSES)
    for scores in values["per_class"].values():
        each += [scores["precision"], scores["recall"], scores["f1"]]
    assert set(values["baselines"]) == {"majority", "color"}
    for baseline in values["baselines"].values():
        each += [baseline["accuracy"], baseline["macro_f1"], *baseline["difference"].values()]
    for estimate in each:
        assert set(estimate) == {"value", "low", "high", "n"}
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert values["n"] == values["accuracy"]["n"] == 24
    assert "fp32" in values["engine"] or "bf16" in values["engine"]
    assert SingleLabelEvaluation.model_validate(values) == found


def test_the_numbers_are_those_of_the_answers(classifier, tiny_index, done):
    out, found = done
    part = tiny_index.where("test")
    rows = rows_of(out / "predictions.csv")
    assert rows[0] == ["path", "label", "predicted", "confidence"]
    assert [(r[0], r[1]) for r in rows[1:]] == list(zip(part.paths, part.labels, strict=True))
    answers = classifier.predict([tiny_index.root / name for name in part.paths])
    assert [r[2] for r in rows[1:]] == answers.labels
    np.testing.assert_allclose([float(r[3]) for r in rows[1:]], answers.confidence, atol=1e-4)
    right = np.mean([a == b for a, b in zip(answers.labels, part.labels, strict=True)])
    assert found.accuracy.value == pytest.approx(right)
    assert right > 0.8


def test_the_confusion_table_holds_every_patch(tiny_index, done):
    out, _ = done
    rows = rows_of(out / "confusion.csv")
    assert rows[0][1:] == [row[0] for row in rows[1:]] == list(CLASSES)
    counts = np.array([[int(c) for c in row[1:]] for row in rows[1:]])
    assert counts.sum() == 24
    labels = Counter(tiny_index.where("test").labels)
    assert counts.sum(axis=1).tolist() == [labels[name] for name in CLASSES]
    predicted = Counter(row[2] for row in rows_of(out / "predictions.csv")[1:])
    assert counts.sum(axis=0).tolist() == [predicted[name] for name in CLASSES]


def test_the_majority_baseline_is_the_share_of_its_class(done):
    _, found = done
    assert found.baselines["majority"].accuracy.value == pytest.approx(6 / 24)
    assert found.baselines["majority"].difference.accuracy.value == pytest.approx(found.accuracy.value - 0.25)
    assert found.baselines["color"].accuracy.value > 0.5


def test_few_patches_are_warned_of(done):
    _, found = done
    assert any("only 24 patches (fewer than 200)" in warning for warning in found.warnings)


def test_200_patches_are_not(classifier, tmp_path):
    index = split_index(build_index(write_patches(tmp_path / "in", n=60)), val=0.05, test=0.9)
    found = evaluate(classifier, index, split="test", out=tmp_path / "out")
    assert found.n >= 200
    assert not any("patches (fewer" in warning for warning in found.warnings)


def test_each_access_to_of_the_test_split_is_noted(classifier, tiny_index, tmp_path):
    for name in ("one", "two"):
        evaluate(classifier, tiny_index, split="test", out=tmp_path / name)
    lines = [json.loads(line) for line in (tmp_path / TEST_ACCESSES).read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]["model"] == "tiny"
    assert lines[0]["fingerprint"] == tiny_index.fingerprint
    assert lines[0]["n"] == 24
    assert lines[0]["opened"].endswith("+00:00")


def test_other_splits_are_not_noted(classifier, tiny_index, tmp_path):
    found = evaluate(classifier, tiny_index, split="val", out=tmp_path / "out")
    assert found.split == "val"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_existing_folder_is_kept_unless_told(classifier, tiny_index, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="exists already"):
        evaluate(classifier, tiny_index, split="test", out=out)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    assert not (tmp_path / TEST_ACCESSES).exists()
    evaluate(classifier, tiny_index, split="test", out=out, overwrite=True)
    assert (out / "metrics.json").exists()
    assert not (out / "mine.txt").exists()


def test_the_same_evaluation_gives_the_same_bytes(classifier, tiny_index, tmp_path, done):
    evaluate(classifier, tiny_index, split="test", out=tmp_path / "again")
    for name in ("metrics.json", "confusion.csv", "predictions.csv", "confusion.svg", "per_class.svg"):
        assert (tmp_path / "again" / name).read_bytes() == (done[0] / name).read_bytes()


def test_progress_is_told_of_all_patches(classifier, tiny_index, tmp_path):
    seen = []
    evaluate(classifier, tiny_index, split="test", out=tmp_path / "out", progress=lambda *a, **_: seen.append(a))
    assert ("evaluate", 24, 24) in seen


def test_patches_of_many_sizes_are_resized(classifier, tmp_path):
    folder = write_patches(tmp_path / "in", n=4)
    for label in CLASSES:
        Image.fromarray(patch(label, seed=77, size=100)).save(folder / label / "large.png")
    index = split_index(build_index(folder), val=0.2, test=0.6)
    found = evaluate(classifier, index, split="test", out=tmp_path / "out")
    assert found.accuracy.value > 0.8


def test_patches_of_another_size_answer_as_predict_does(classifier, tmp_path):
    index = split_index(build_index(write_patches(tmp_path / "in", n=5, size=96)), val=0.2, test=0.6)
    evaluate(classifier, index, split="test", out=tmp_path / "out")
    part = index.where("test")
    answers = classifier.predict([index.root / name for name in part.paths])
    rows = rows_of(tmp_path / "out" / "predictions.csv")[1:]
    assert [row[2] for row in rows] == answers.labels
    np.testing.assert_allclose([float(row[3]) for row in rows], answers.confidence, atol=1e-5)


def test_a_class_without_patches_is_left_out_and_said(classifier, tmp_path):
    index = split_index(build_index(write_patches(tmp_path / "in", CLASSES[:3], n=10)))
    found = evaluate(classifier, index, split="test", out=tmp_path / "out")
    assert found.absent_classes == ("SeaLake",)
    assert any(warning.startswith("no patch of SeaLake") for warning in found.warnings)
    assert found.macro_f1.value > 0.6


def test_a_model_without_baselines_is_measured_with_a_warning(tiny_index, tmp_path):
    model = load(write_tiny_model(tmp_path / "bare.onnx", baselines=None), threads=1)
    found = evaluate(model, tiny_index, split="test", out=tmp_path / "out")
    assert found.baselines == {}
    assert any("carries no baselines" in warning for warning in found.warnings)


def test_a_patch_that_is_gone_leaves_nothing_behind(classifier, tmp_path):
    index = split_index(build_index(write_patches(tmp_path / "in", n=5)))
    gone = index.where("test").paths[0]
    (index.root / gone).unlink()
    with pytest.raises(DataError, match=Path(gone).name):
        evaluate(classifier, index, split="test", out=tmp_path / "runs" / "out")
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [TEST_ACCESSES]


def with_column(index: PatchIndex, name: str, values: list[str | None]) -> PatchIndex:
    place = index.table.schema.get_field_index(name)
    return dataclasses.replace(index, table=index.table.set_column(place, name, pa.array(values, pa.string())))


def test_what_cannot_be_evaluated_says_why(tiny_index):
    n = len(tiny_index)
    plain = {"split": "test", "classes": CLASSES, "task": "single-label"}
    with pytest.raises(DataError, match=r"the model is multi-label, and the patches .* have one label each"):
        checked_split(tiny_index, **plain | {"task": "multi-label"})
    with pytest.raises(DataError, match="the index has no splits; make them with: swath data split"):
        checked_split(with_column(tiny_index, "split", [None] * n), **plain)
    with pytest.raises(DataError, match="no patch in split 'test'; its splits are: train"):
        checked_split(with_column(tiny_index, "split", ["train"] * n), **plain)
    with pytest.raises(DataError, match=r"does not know: SeaLake; .* Forest, Residential, River"):
        checked_split(tiny_index, **plain | {"classes": CLASSES[:3]})
    with pytest.raises(DataError, match="have no single label"):
        checked_split(with_column(tiny_index, "label", [None] * n), **plain)


def test_a_name_that_is_no_split_lists_those_there_are(classifier, tiny_index, tmp_path):
    with pytest.raises(DataError, match="no patch in split 'tset'; its splits are: train, val, test"):
        evaluate(classifier, tiny_index, split="tset", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
