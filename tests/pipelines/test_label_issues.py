from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from swath.data import PatchIndex
from swath.errors import DataError, OutputError
from swath.pipelines import find_label_issues
from tests.evaluation.errors.cases import mislabeled, rows_of

SMALL = ["network.stem=8", "network.widths=[16,16]", "epochs=4", "batch_size=16", "precision=fp32"]


def trained(index: PatchIndex, out: Path, *changes: str, **options: object):
    return find_label_issues(
        index, out=out, recipe="flash", changes=[*SMALL, *changes], folds=2, threads=1, engine="onnxruntime", **options
    )


@pytest.mark.slow
def test_networks_find_flips_and_a_finished_fold_is_kept(tiny_index, tmp_path):
    flips = {
        rows_of(tiny_index, "Forest", "train")[0]: "Residential",
        rows_of(tiny_index, "River", "train")[3]: "Forest",
    }
    index = mislabeled(tiny_index, flips)
    trained(index, tmp_path / "s")
    table, page = tmp_path / "s" / "label_issues.csv", tmp_path / "s" / "label_issues.html"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 96
    assert {tiny_index.paths[row] for row in flips} <= {row["path"] for row in rows[:10]}
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "s" / "folds").glob("*/model.onnx")}
    assert len(before) == 2

    table.unlink()
    with pytest.raises(OutputError, match=r"label_issues\.html exists already"):
        trained(index, tmp_path / "s")
    page.unlink()
    gone = tmp_path / "s" / "folds" / "fold-2" / "model.onnx"
    gone.unlink()
    trained(index, tmp_path / "s")
    kept = tmp_path / "s" / "folds" / "fold-1" / "model.onnx"
    assert kept.stat().st_mtime_ns == before[kept]
    assert gone.exists()
    with table.open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == rows

    table.unlink()
    page.unlink()
    with pytest.raises(OutputError, match="other data, recipe or folds"):
        trained(index, tmp_path / "s", "epochs=2")
    with pytest.raises(OutputError, match="other data, recipe or folds"):
        trained(tiny_index, tmp_path / "s")


def test_an_index_of_test_patches_only_is_not_opened(tiny_index, tmp_path):
    with pytest.raises(DataError, match="all patches of the index are in the test split"):
        find_label_issues(replace(tiny_index.where("test")), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()
