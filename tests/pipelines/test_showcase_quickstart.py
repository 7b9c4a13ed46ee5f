"""The quickstart on a small set: every step leaves its file, and a source of one's own works."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.inference import check_model
from swath.pipelines import quickstart
from tests.tiny import write_patches

SMALL = ["epochs=3", "batch_size=16", "network.stem=8", "network.widths=[16, 16]"]


def test_from_a_folder_to_a_map(tmp_path: Path) -> None:
    source = write_patches(tmp_path / "mine", n=20)
    shown = quickstart(tmp_path / "report", source=source, changes=SMALL, threads=1)
    folder = shown.report.parent
    for name in ("index.parquet", "audit.json", "run/model.onnx", "run/curves.svg", "score/metrics.json", "map.tif"):
        assert (folder / name).exists(), name
    check_model(folder / "run" / "model.onnx")
    assert shown.evaluation.n == 16
    assert (folder / "test_accesses.jsonl").read_text().count("\n") == 1


@pytest.mark.slow
def test_two_classes_and_a_network_without_maps(tmp_path: Path) -> None:
    """The same page for one class against another, and where there is no saying where the network looked."""
    source = write_patches(tmp_path / "mine", ["River", "Forest"], n=20)
    network = "network={name: mobilenet_v3}"
    small = ["epochs=1", "batch_size=16", network, "augmentation.crop=null", "optimizer={name: adamw, lr: 0.001}"]
    shown = quickstart(tmp_path / "report", source=source, changes=small, threads=1)
    page = shown.report.read_text(encoding="utf-8")
    assert "it has no exact class activation maps" in page
    assert "validation average precision" in page
    assert not (shown.report.parent / "explanations").exists()


def test_a_bad_source_leaves_nothing(tmp_path: Path) -> None:
    from swath.errors import DataError

    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        quickstart(tmp_path / "report", source=tmp_path / "empty")
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]


@pytest.mark.soak
def test_the_shipped_patches_teach_a_network(tmp_path: Path) -> None:
    shown = quickstart(tmp_path / "report", changes=["epochs=8"])
    assert shown.evaluation.accuracy.low > 0.6
    assert shown.evaluation.baselines["color"].difference.accuracy.value > 0
