"""Every mistake gets one clear message, exit status 2, and leaves nothing half-written."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio
from affine import Affine

from swath.model.record import RECORD_KEY
from tests.cli.conftest import Swath, refused
from tests.tiny import write_patches


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "index.parquet"


def write_scene(path: Path, *, bands: int = 3, dtype: str = "uint8", size: int = 96) -> Path:
    pixels = np.full((bands, size, size), 90, dtype)
    transform = Affine(10, 0, 600_000, 0, -10, 5_000_000)
    with rasterio.open(
        path, "w", driver="GTiff", width=size, height=size, count=bands, dtype=dtype, crs=32632, transform=transform
    ) as scene:
        scene.write(pixels)
    return path


def test_empty_folder(swath: Swath, out: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(swath, out, "data", "index", tmp_path / "empty", "--out", out, says=("holds no images", "Class/image"))


def test_no_such_source(swath: Swath, out: Path, tmp_path: Path) -> None:
    refused(swath, out, "data", "index", tmp_path / "gone", "--out", out, says=("there is no", "eurosat-mini"))


def test_one_class_only(swath: Swath, out: Path, tmp_path: Path) -> None:
    write_patches(tmp_path / "one", ["Forest"], 4)
    refused(swath, out, "data", "index", tmp_path / "one", "--out", out, says=("one class only", "Forest"))


def test_class_with_fewer_than_three_patches(swath: Swath, out: Path, tmp_path: Path) -> None:
    write_patches(tmp_path / "few", ["Forest"], 4)
    write_patches(tmp_path / "few", ["River"], 2)
    refused(swath, out, "data", "index", tmp_path / "few", "--out", out, says=("River", "2 patch", "at least 3"))


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_truncated_image_is_named(swath: Swath, out: Path, tmp_path: Path, kept: int) -> None:
    folder = write_patches(tmp_path / "cut", n=4)
    victim = folder / "Forest" / "Forest_2.png"
    victim.write_bytes(victim.read_bytes()[:kept])
    refused(swath, out, "data", "index", folder, "--out", out, says=("Forest/Forest_2.png", "--skip-unreadable"))


def test_skip_unreadable_goes_on_and_counts(swath: Swath, out: Path, tmp_path: Path) -> None:
    folder = write_patches(tmp_path / "cut", n=4)
    (folder / "Forest" / "Forest_2.png").write_bytes(b"not a picture")
    ran = swath("data", "index", folder, "--out", out, "--skip-unreadable")
    assert ran.code == 0
    assert "15 patches in 4 classes" in ran.out
    assert "1 unreadable images skipped, the first is Forest/Forest_2.png" in ran.err


def test_zip_that_leads_outside(swath: Swath, out: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../Forest/a.png", b"x")
    refused(swath, out, "data", "index", tmp_path / "bad.zip", "--out", out, says=("unsafe", "../Forest/a.png"))


def test_non_image_files(swath: Swath, tiny_model: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("hello")
    table = out.with_name("preds.csv")
    refused(swath, out, "predict", tiny_model, tmp_path / "notes", "--out", table, says=("holds no images",))
    text = tmp_path / "notes" / "readme.txt"
    refused(swath, out, "predict", tiny_model, text, "--out", table, says=("readme.txt",))


def test_unknown_recipe_field(swath: Swath, tiny_index_file: Path, out: Path) -> None:
    run = out.parent / "run"
    refused(
        swath, out, "train", tiny_index_file, "--out", run, "--set", "optimizer.momentun=1",
        says=("unknown field 'optimizer.momentun'", "did you mean 'momentum'"),
    )  # fmt: skip
    refused(swath, out, "train", tiny_index_file, "--out", run, "--recipe", "quick", says=("no recipe 'quick'",))


def test_model_file_that_is_not_one(swath: Swath, tiny_index_file: Path, out: Path, tmp_path: Path) -> None:
    fake = tmp_path / "fake.onnx"
    fake.write_bytes(b"certainly not a graph")
    refused(swath, out, "model", "show", fake, says=("fake.onnx", "not"))
    refused(swath, out, "evaluate", fake, tiny_index_file, "--out", out.parent / "t", says=("fake.onnx",))
    refused(swath, out, "model", "show", "nothing", says=("there is no model 'nothing'",))


def test_model_file_from_a_newer_schema(swath: Swath, tiny_model: Path, out: Path, tmp_path: Path) -> None:
    graph = onnx.load_model_from_string(tiny_model.read_bytes())
    entry = next(p for p in graph.metadata_props if p.key == RECORD_KEY)
    entry.value = json.dumps(json.loads(entry.value) | {"schema_version": 99})
    newer = tmp_path / "newer.onnx"
    newer.write_bytes(graph.SerializeToString())
    refused(swath, out, "model", "check", newer, says=("newer swath", "upgrade"))


def test_scene_with_fewer_bands(swath: Swath, tiny_model: Path, out: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "two.tif", bands=2)
    refused(swath, out, "map", tiny_model, scene, "--out", out.with_name("m.tif"), says=("2 bands", "needs 3"))


def test_16_bit_scene_for_an_8_bit_model(swath: Swath, tiny_model: Path, out: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "deep.tif", dtype="uint16")
    refused(swath, out, "map", tiny_model, scene, "--out", out.with_name("m.tif"), says=("uint16", "--rescale"))
    ran = swath("map", tiny_model, scene, "--out", out.with_name("m.tif"), "--rescale", "0:2750")
    assert ran.code == 0, ran.err


def test_scene_without_crs_is_mapped_with_a_warning(swath: Swath, tiny_model: Path, out: Path, tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "plain.tif", "w", driver="GTiff", width=70, height=70, count=3, dtype="uint8"
    ) as scene:
        scene.write(np.full((3, 70, 70), 80, np.uint8))
    ran = swath("map", tiny_model, tmp_path / "plain.tif", "--out", out.with_name("m.tif"))
    assert ran.code == 0, ran.err
    assert "no coordinate reference system" in ran.err or "CRS" in ran.err
    assert out.with_name("m.tif").exists()


def test_scene_smaller_than_a_patch_is_mapped(swath: Swath, tiny_model: Path, out: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "small.tif", size=20)
    ran = swath("map", tiny_model, scene, "--out", out.with_name("m.tif"))
    assert ran.code == 0, ran.err
    with rasterio.open(out.with_name("m.tif")) as made:
        assert made.shape == (20, 20)
        assert (made.read(1) > 0).all()


def test_existing_output(swath: Swath, tiny_model: Path, tiny_patches: Path, tiny_index_file: Path, out: Path) -> None:
    table = out.with_name("preds.csv")
    table.write_text("precious")
    refused(swath, out, "predict", tiny_model, tiny_patches, "--out", table, says=("exists already", "--overwrite"))
    refused(swath, out, "data", "split", tiny_index_file, "--out", table, says=("exists already", "--overwrite"))
    assert table.read_text() == "precious"
    full = out.parent / "full"
    full.mkdir()
    (full / "kept.txt").write_text("precious")
    for command in (("evaluate", tiny_model, tiny_index_file), ("explain", tiny_model, tiny_patches)):
        refused(swath, out, *command, "--out", full, says=("exists already", "--overwrite"))


def test_unwritable_output(swath: Swath, tiny_model: Path, tiny_patches: Path, out: Path) -> None:
    blocked = out.parent / "file"
    blocked.write_text("not a folder")
    refused(
        swath, out, "predict", tiny_model, tiny_patches, "--out", blocked / "preds.csv",
        says=("cannot make the folder",),
    )  # fmt: skip


def test_unknown_engine_and_threads(swath: Swath, tiny_model: Path, tiny_patches: Path, out: Path) -> None:
    table = out.with_name("preds.csv")
    predict = ("predict", tiny_model, tiny_patches, "--out", table)
    refused(swath, out, *predict, "--engine", "abacus", says=("'--engine'", "onnxruntime", "see: swath predict --help"))
    refused(swath, out, *predict, "--threads", "0", says=("--threads 1 or more",))
    refused(swath, out, *predict, "--tta", "3", says=("'--tta'", "'1', '4', '8'"))
    refused(swath, out, *predict[:-1], out.with_name("preds.xlsx"), says=("preds.xlsx", ".csv"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predct"], ("'predict'", "see: swath --help")),
        (["predict", "eurosat"], ("inputs", "see: swath predict --help")),
        (["data", "split", "x.parquet"], ("'--out'", "see: swath data split --help")),
        (["predict", "eurosat", "x", "--otu", "y.csv"], ("--out", "see: swath predict --help")),
        (["networks", "--size", "0"], ("'--size'", "see: swath networks --help")),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    swath: Swath, out: Path, arguments: list[str], says: tuple[str, ...]
) -> None:
    refused(swath, out, *arguments, says=says)
