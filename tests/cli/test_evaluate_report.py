from __future__ import annotations

import json

import pytest

from swath.model import read_model


@pytest.mark.slow
def test_report_prints_the_verdict_and_the_page(swath, tiny_model, tiny_index_file, tmp_path):
    out = tmp_path / "report"
    ran = swath("report", tiny_model, tiny_index_file, "--out", out, "--quick", "--engine", "onnxruntime")
    assert ran.code == 0, ran.err
    assert "Only 24 patches" in ran.out
    assert (out / "index.html").as_uri() in ran.out


def test_card_and_item_are_written_from_the_same_record(swath, tiny_model, tmp_path):
    ran = swath("model", "card", tiny_model, "--out", tmp_path / "README.md")
    assert ran.code == 0, ran.err
    assert (tmp_path / "README.md").read_text().startswith("---\nlicense: mit\n")
    ran = swath("model", "stac", tiny_model, "--out", tmp_path / "item.json")
    assert ran.code == 0, ran.err
    item = json.loads((tmp_path / "item.json").read_text())
    assert item["properties"]["mlm:name"] == read_model(tiny_model).record.name
    assert (tmp_path / item["assets"]["model"]["href"]).resolve() == tiny_model.resolve()
