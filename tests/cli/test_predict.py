"""``swath explain``: pictures, their verdicts, and the check on an index."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Swath

FAST = ("--engine", "onnxruntime", "--threads", "1")  # starts at once: thirty networks are made to forget


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "explain.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_pictures_with_their_verdicts(swath: Swath, tiny_model: Path, tiny_patches: Path, tmp_path: Path):
    two = [tiny_patches / "River" / f"River_{i}.png" for i in (1, 2)]
    ran = swath("explain", tiny_model, *two, "--out", tmp_path / "why", "--method", "occlusion", "--check")
    assert ran.code == 0, ran.err
    rows = rows_of(tmp_path / "why")
    assert [row["picture"] for row in rows] == ["River_1.occlusion.png", "River_2.occlusion.png"]
    assert {row["verdict"] for row in rows} <= {"holds", "fails"}
    assert all(0 <= int(row["beaten"]) <= 19 for row in rows)
    failed = sum(row["verdict"] == "fails" for row in rows)
    assert f"{failed} of 2 maps fail: do not interpret those" in ran.out
    assert f"{rows[0]['verdict']} (beats {rows[0]['beaten']} of 19 random maps)" in ran.out


def test_unchecked_pictures_claim_nothing(swath: Swath, tiny_model: Path, tiny_patches: Path, tmp_path: Path):
    one = tiny_patches / "River" / "River_1.png"
    ran = swath("explain", tiny_model, one, "--out", tmp_path / "why")
    assert [(row["verdict"], row["beaten"]) for row in rows_of(tmp_path / "why")] == [("", "")]
    assert "fail" not in ran.out


def test_an_index_is_checked(swath: Swath, tiny_model: Path, tiny_index_file: Path, tmp_path: Path):
    out = tmp_path / "maps"
    ran = swath("explain", tiny_model, tiny_index_file, "--check", "--out", out, "--limit", "10", *FAST)
    assert ran.code == 0, ran.err
    found = json.loads((out / "explain.json").read_text())
    assert (found["n"], found["split"], found["method"]) == (10, "val", "cam")
    assert "mean probability while pixels" in ran.out
    assert (out / "index.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give it alone, with --check and without --class"),
        (("--check", "--class", "River"), "give it alone, with --check and without --class"),
        (("--check", "--split", "test"), "the test split is for swath evaluate"),
        (("--check", "--limit", "9"), "9 patches are too few to check maps on; give --limit 10 or more"),
        (("--check", "--method", "lime"), "'cam', 'occlusion', 'grad-cam'"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    swath: Swath, tiny_model: Path, tiny_index_file: Path, tmp_path: Path, options, message
):
    ran = swath("explain", tiny_model, tiny_index_file, "--out", tmp_path / "maps", *options)
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "maps").exists()


def test_options_of_an_index_are_refused_for_images(swath: Swath, tiny_model, tiny_patches, tmp_path):
    image = next(tiny_patches.rglob("*.png"))
    for options in (("--limit", "8"), ("--split", "train")):
        ran = swath("explain", tiny_model, image, "--out", tmp_path / "maps", *options)
        assert ran.code == 2
        assert "choose patches of an index" in ran.err


def test_grad_cam_without_its_extra_names_it(
    swath: Swath, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tiny_patches: Path, tmp_path: Path
):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a))
    ran = swath("explain", tiny_model, tiny_patches, "--out", tmp_path / "why", "--method", "grad-cam")
    assert ran.code == 2
    assert "Grad-CAM needs the 'train' extra" in ran.err


def test_a_product_is_a_scene_to_map(swath: Swath, tiny_model: Path, tmp_path: Path) -> None:
    product = tmp_path / "S2A_MSIL1C_20220519T101601_N0400_R065_T32TQM_20220519T122601.SAFE"
    product.mkdir()
    ran = swath("predict", tiny_model, product, "--out", tmp_path / "p.csv")
    assert ran.code == 2
    assert f"map it: swath map {tiny_model} {product} --out map.tif" in ran.err
