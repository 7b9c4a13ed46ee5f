"""What the package ships: the model and the patches, with their papers in order."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from swath.data import shipped_path
from swath.inference import check_model
from swath.model import read_model, resolve_model, shipped_models, write_model
from swath.model.file import is_sealed


def test_the_model_is_small_sound_and_says_where_it_is_from() -> None:
    assert shipped_models() == ["eurosat"]
    assert resolve_model("eurosat").stat().st_size <= 5 * 2**20
    assert check_model("eurosat", engine="onnxruntime").max_difference < 1e-3
    record = read_model("eurosat").record
    assert len(record.classes) == 10
    assert record.data.license == "MIT"
    assert "Copernicus" in (record.data.attribution or "")
    assert record.data.counts["train"] == 19_000
    check_export = next(p for p in record.parity if p.precision == "fp32")
    assert check_export.batch_sizes == (1, 2, 7, 256)
    assert check_export.label_agreement == 1
    assert check_export.max_difference <= 1e-3
    assert record.metrics["accuracy"].value > 0.98


def test_eurosat_mini_is_small_and_balanced() -> None:
    path = shipped_path("eurosat-mini")
    assert path.stat().st_size <= 8_000_000
    assert (path.parent / "ATTRIBUTION.md").read_text().count("Copernicus") >= 1
    with zipfile.ZipFile(path) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("index.csv").decode())))
    counts = Counter((row["label"], row["split"]) for row in rows)
    assert set(Counter(label for label, _ in counts).values()) == {3}
    assert set(counts.values()) == {140, 20, 60}


@pytest.mark.parametrize("name", shipped_models())
def test_shipped_files_are_as_this_code_writes_them(name: str, tmp_path: Path) -> None:
    """If not: python scripts/rewrite_shipped.py."""
    file = read_model(name)
    assert is_sealed(file)
    write_model(tmp_path / "again.onnx", file.graph, file.record)
    assert (tmp_path / "again.onnx").read_bytes() == file.path.read_bytes()
