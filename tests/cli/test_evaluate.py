from __future__ import annotations

import csv
from pathlib import Path

import pytest

from swath.data import read_index, write_index
from tests.cli.conftest import Swath, refused
from tests.evaluation.errors.cases import mislabeled
from tests.tiny import write_tiny_model


def test_errors(swath: Swath, tiny_model: Path, tiny_index_file: Path, tmp_path: Path) -> None:
    ran = swath("errors", tiny_model, tiny_index_file, "--out", tmp_path / "e")
    assert ran.code == 0, ran.err
    assert "patches wrong" in ran.out
    assert (tmp_path / "e" / "index.html").as_uri() in ran.out


def test_label_issues_of_a_model_are_reviewed_and_fed_back(
    swath: Swath, tiny_model: Path, tiny_index_file: Path, tmp_path: Path
) -> None:
    given = read_index(tiny_index_file)
    splits = given.table.column("split").to_pylist()
    row = next(i for i, split in enumerate(splits) if split == "train")
    right, wrong = given.labels[row], next(c for c in given.classes if c != given.labels[row])
    index = tmp_path / "flawed.parquet"
    write_index(mislabeled(given, {row: wrong}), index)
    ran = swath("label-issues", index, "--model", tiny_model, "--out", tmp_path / "s")
    assert ran.code == 0, ran.err
    assert "of 96 patches are label issues" in ran.out  # the 24 of the test split are not opened
    assert not (tmp_path / "s" / "test_accesses.jsonl").exists()
    with (tmp_path / "s" / "label_issues.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = next(r for r in rows if r["path"] == given.paths[row])
    assert int(found["rank"]) <= 5
    found["verdict"] = "relabel"
    with (tmp_path / "review.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    out = tmp_path / "mended.parquet"
    ran = swath("data", "relabel", index, tmp_path / "review.csv", "--out", out)
    assert ran.code == 0, ran.err
    assert f"{wrong} to {right}" in ran.out
    assert read_index(out).labels == given.labels


def test_test_patches_are_judged_only_when_asked(
    swath: Swath, tiny_model: Path, tiny_index_file: Path, tmp_path: Path
) -> None:
    ran = swath("label-issues", tiny_index_file, "--model", tiny_model, "--out", tmp_path / "s", "--with-test")
    assert ran.code == 0, ran.err
    assert "of 120 patches" in ran.out
    assert '"n": 24' in (tmp_path / "s" / "test_accesses.jsonl").read_text()


def test_mistakes(swath: Swath, tiny_model: Path, tiny_index_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "s"
    out.parent.mkdir()
    label_issues = ("label-issues", tiny_index_file, "--out", out)
    refused(swath, out, *label_issues, "--model", tiny_model, "--recipe", "fast", says=("trains no network",))
    refused(swath, out, *label_issues, "--model", tiny_model, "--recipe", "fast", says=("--model", "pass one of them"))
    refused(swath, out, *label_issues, "--model", tiny_model, "--folds", 1, says=("1 folds",))
    refused(swath, out, *label_issues, "--model", "gone", says=("there is no model 'gone'",))
    other = write_tiny_model(tmp_path / "m.onnx", ("Forest", "River", "SeaLake"))
    refused(swath, out, "errors", other, tiny_index_file, "--out", out, says=("does not know: Residential",))
    refused(
        swath, out, "data", "relabel", tiny_index_file, tmp_path / "no.csv", "--out", out, says=("there is no file",)
    )


def test_robustness_prints_the_drop_and_the_page(swath, tiny_model, tiny_index_file, tmp_path):
    out = tmp_path / "robustness"
    ran = swath("robustness", tiny_model, tiny_index_file, "--out", out, "--patches", 8, "--engine", "onnxruntime")
    assert ran.code == 0, ran.err
    assert "drop" in ran.out
    assert (out / "index.html").exists()


@pytest.mark.slow
def test_report_prints_the_verdict_and_the_page(swath, tiny_model, tiny_index_file, tmp_path):
    out = tmp_path / "report"
    ran = swath("report", tiny_model, tiny_index_file, "--out", out, "--quick", "--engine", "onnxruntime")
    assert ran.code == 0, ran.err
    assert "Only 24 patches" in ran.out
    assert (out / "index.html").as_uri() in ran.out
