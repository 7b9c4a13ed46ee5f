from __future__ import annotations

from pathlib import Path

from swath.data import read_index
from tests.cli.conftest import Swath


def test_degraded_patches_have_their_own_index(swath: Swath, tiny_patches: Path, tmp_path: Path) -> None:
    index, out = tmp_path / "fine.parquet", tmp_path / "coarse"
    assert swath("data", "index", tiny_patches, "--out", index).code == 0
    ran = swath("data", "resample", index, "--gsd", 20, "--from-gsd", 10, "--out", out)
    assert ran.code == 0, ran.err
    assert f"120 patches, 32 pixels wide or more: {out / 'index.parquet'}" in ran.out
    made = read_index(out / "index.parquet")
    assert made.labels == read_index(index).labels
    assert made.gsd == 20
    ran = swath("data", "resample", index, "--factor", 8, "--out", out, "--overwrite")
    assert ran.code == 0, ran.err
    assert "8 pixels show little" in ran.err
    ran = swath("data", "resample", index, "--gsd", 20, "--out", tmp_path / "b")
    assert ran.code == 2
    assert "--from-gsd" in ran.err
