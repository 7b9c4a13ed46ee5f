"""Binary models from the command line: an index of two classes, a measurement, thresholds chosen again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swath.data import read_index
from swath.model import Record, read_model, write_model
from tests.cli.conftest import Swath
from tests.tiny import write_tiny_model


@pytest.fixture
def river(tmp_path: Path) -> Path:
    """River against the rest, by color."""
    made = read_model(write_tiny_model(tmp_path / "raw.onnx", ("Residential", "River"), task="binary"))
    record = made.record.model_dump() | {"baselines": None}
    record["classes"][0]["name"] = "not River"
    write_model(tmp_path / "river.onnx", made.graph, Record.model_validate(record))
    return tmp_path / "river.onnx"


def test_one_class_against_the_rest(swath: Swath, river: Path, tiny_index_file: Path, tmp_path: Path) -> None:
    index = tmp_path / "river.parquet"
    ran = swath(
        "data", "binary", tiny_index_file, "--positive", "River", "--negatives-per-positive", "2", "--out", index
    )
    assert ran.code == 0, ran.err
    assert "train: 18 River, 36 others" in ran.out
    assert "test: 6 River, 12 others" in ran.out
    assert read_index(index).classes == ("River", "not River")
    ran = swath("evaluate", river, index, "--split", "val", "--out", tmp_path / "val")
    assert ran.code == 0, ran.err
    assert "average precision" in ran.out
    assert json.loads((tmp_path / "val" / "metrics.json").read_text())["task"] == "binary"
    ran = swath("model", "threshold", river, index, "--out", tmp_path / "new.onnx")
    assert ran.code == 0, ran.err
    chosen = read_model(tmp_path / "new.onnx").record.thresholds["River"]
    assert f"River: 0.5000 -> {chosen:.4f}" in ran.out
    assert f"is {chosen:.3f} or more" in swath("model", "show", tmp_path / "new.onnx").out


def test_a_threshold_is_refused_on_test(swath: Swath, river: Path, tiny_index_file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for command in (
        ("evaluate", river, tiny_index_file, "--split", "test", "--threshold", "0.3", "--out", tmp_path / "t"),
        ("model", "threshold", river, tiny_index_file, "--split", "test", "--out", tmp_path / "t.onnx"),
    ):
        ran = swath(*command)
        assert ran.code == 2
        assert "swath model threshold MODEL INDEX --split val" in ran.err
        assert len(ran.err.strip().splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_card_and_item_are_written_from_the_same_record(swath, tiny_model, tmp_path):
    ran = swath("model", "card", tiny_model, "--out", tmp_path / "README.md")
    assert ran.code == 0, ran.err
    assert (tmp_path / "README.md").read_text().startswith("---\nlicense: mit\n")
    ran = swath("model", "stac", tiny_model, "--out", tmp_path / "item.json")
    assert ran.code == 0, ran.err
    item = json.loads((tmp_path / "item.json").read_text())
    assert item["properties"]["mlm:name"] == read_model(tiny_model).record.name
    assert (tmp_path / item["assets"]["model"]["href"]).resolve() == tiny_model.resolve()
