"""The commands end to end on small real files: what a user types and what is on disk afterwards."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import swath as package
from tests.cli.conftest import Swath
from tests.tiny import write_tiny_model


def test_the_main_path(swath: Swath, tiny_model: Path, tiny_patches: Path, tmp_path: Path) -> None:
    index, parted = tmp_path / "index.parquet", tmp_path / "split.parquet"
    assert swath("data", "index", tiny_patches, "--out", index).code == 0
    ran = swath("data", "audit", index, "--out", tmp_path / "audit.json")
    assert ran.code == 0
    assert json.loads((tmp_path / "audit.json").read_text())["patches"] == 120
    ran = swath("data", "split", index, "--out", parted, "--val", "0.2", "--test", "0.3")
    assert ran.code == 0
    assert "60 train, 24 val, 36 test" in ran.out
    ran = swath("evaluate", tiny_model, parted, "--split", "test", "--out", tmp_path / "test")
    assert ran.code == 0, ran.err
    assert "accuracy" in ran.out
    assert json.loads((tmp_path / "test" / "metrics.json").read_text())["n"] == 36
    forest = tiny_patches / "Forest"
    ran = swath("predict", tiny_model, forest, "--out", tmp_path / "preds.csv", "--top-k", "2")
    assert ran.code == 0, ran.err
    with (tmp_path / "preds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert sum(row["label"] == "Forest" for row in rows) > 24
    one = forest / "Forest_1.png"
    ran = swath("explain", tiny_model, one, "--out", tmp_path / "why", "--class", "River")
    assert ran.code == 0, ran.err
    assert (tmp_path / "why" / "Forest_1.cam.png").exists()


def test_split_in_place_keeps_near_duplicates_together(swath: Swath, tiny_patches: Path, tmp_path: Path) -> None:
    from PIL import Image

    from swath.data import read_index

    twin = tiny_patches.parent / "twins"
    for label in ("Forest", "River"):
        (twin / label).mkdir(parents=True)
        for i in range(1, 13):
            with Image.open(tiny_patches / label / f"{label}_{i}.png") as image:
                image.save(twin / label / f"{i}.png")
                image.save(twin / label / f"{i}_copy.jpg", quality=92)
    index = tmp_path / "index.parquet"
    assert swath("data", "index", twin, "--out", index).code == 0
    assert swath("data", "split", index, "--out", index, "--overwrite").code == 0
    made = read_index(index)
    sides: dict[str, set[str]] = {}
    for path, side in zip(made.paths, made.table["split"].to_pylist(), strict=True):
        sides.setdefault(path.removesuffix(".png").removesuffix("_copy.jpg"), set()).add(side)
    assert all(len(side) == 1 for side in sides.values())


def test_model_commands(swath: Swath, tiny_model: Path) -> None:
    ran = swath("model", "show", tiny_model)
    assert ran.code == 0
    assert "Forest, Residential, River, SeaLake" in ran.out
    assert json.loads(swath("model", "show", tiny_model, "--json").out)["name"] == "tiny"
    assert "sound: 4 reference patches on openvino fp32, " in swath("model", "check", tiny_model).out
    named = swath("model", "check", tiny_model, "--engine", "onnxruntime").out
    assert "sound: 4 reference patches on onnxruntime fp32, " in named
    assert "schema_version" in json.loads(swath("model", "schema").out)["properties"]


def test_no_command_writes_over_the_model_it_reads(swath: Swath, tiny_index_file: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "m.onnx")
    before = model.read_bytes()
    for command in (["card"], ["stac"], ["threshold", tiny_index_file], ["calibrate", tiny_index_file]):
        ran = swath("model", command[0], model, *command[1:], "--out", model, "--overwrite")
        assert ran.code == 2
        assert f"{model} is the model itself" in ran.err
        assert model.read_bytes() == before


def test_predict_says_what_matching_colors_did(
    swath: Swath, tiny_model: Path, tiny_patches: Path, tmp_path: Path
) -> None:
    one = tiny_patches / "River" / "River_1.png"
    said = swath("predict", tiny_model, one, "--out", tmp_path / "p.csv", "--rescale", "auto")
    assert "--rescale auto: not compared: the model file holds no quantiles" in said.err
    said = swath("predict", tiny_model, one, "--out", tmp_path / "q.csv")
    assert "--rescale" not in said.err


def test_recipes_are_listed(swath: Swath) -> None:
    ran = swath("recipes")
    assert {line.split()[0] for line in ran.out.splitlines()} >= {"quickstart", "fast", "accurate"}


def test_version(swath: Swath) -> None:
    assert swath("--version").out == f"swath {package.__version__}\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from swath.cli import main
    from swath.errors import MissingFileError

    monkeypatch.setattr("sys.argv", ["swath", "--debug", "model", "show", "nothing"])
    with pytest.raises(MissingFileError):
        main()


def test_training_without_its_extra_names_it(
    swath: Swath, monkeypatch: pytest.MonkeyPatch, tiny_index_file: Path, tmp_path: Path
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a))
    ran = swath("train", tiny_index_file, "--out", tmp_path / "run")
    assert ran.code == 2
    assert "pip install '.[train]'" in ran.err


BLOCKER = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {
            "torch", "torchvision", "lightning_fabric", "sklearn", "huggingface_hub", "safetensors", "onnxscript",
        }:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from swath.cli import main
sys.argv = ["swath", *sys.argv[1:]]
main()
"""


def test_the_runtime_needs_no_torch(
    tiny_model: Path, tiny_patches: Path, tiny_index_file: Path, tmp_path: Path
) -> None:
    """Every command right of the model file works where importing the training libraries fails."""
    for arguments in (
        ["predict", tiny_model, tiny_patches / "River", "--out", tmp_path / "p.csv"],
        ["evaluate", tiny_model, tiny_index_file, "--out", tmp_path / "test"],
        ["explain", tiny_model, tiny_patches / "River" / "River_1.png", "--out", tmp_path / "why"],
        ["data", "audit", tiny_index_file],
        ["model", "check", tiny_model],
        ["map", "--help"],
    ):
        ran = subprocess.run(
            [sys.executable, "-c", BLOCKER, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr


def test_help_loads_nothing_heavy() -> None:
    """What makes it quick, on a busy machine too; benchmarks/start_up.py has the seconds."""
    command = [sys.executable, "-X", "importtime", "-m", "swath", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "predict" in ran.stdout
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in ran.stderr.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"numpy", "onnx", "openvino", "PIL", "pyarrow", "pydantic", "rasterio", "torch"}
    assert len(ran.stderr.splitlines()) < 400  # modules, those of Python itself among them


def test_calibrate_compare_and_predict_what_is_ood(
    swath: Swath, tiny_model: Path, tiny_index_file: Path, tmp_path: Path
) -> None:
    import csv

    import numpy as np
    from PIL import Image

    made = tmp_path / "new.onnx"
    said = swath("model", "calibrate", tiny_model, tiny_index_file, "--out", made, "--false-alarms", "0.05")
    assert "unlike the training data from" in said.out
    said = swath("compare", made, tiny_model, tiny_index_file)
    assert "McNemar, exact: p = 1.000" in said.out
    assert "Neither is shown to be better" in said.out
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    said = swath("predict", made, tmp_path / "noise.png", "--out", tmp_path / "p.csv")
    assert "1 image (100.0 %) unlike the training data" in said.err
    assert said.out.splitlines()[-1].startswith(f"1 row in {tmp_path / 'p.csv'}")
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        assert [row["is_ood"] for row in csv.DictReader(file)] == ["True"]
    said = swath("evaluate", made, tiny_index_file, "--split", "val", "--out", tmp_path / "val")
    assert "not like the training data:" in said.out
    assert "prediction sets" in said.out
    assert "contain the true class" in said.out


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_command_told_to_stop_says_so(tiny_model: Path, tiny_patches: Path, tmp_path: Path, name: str) -> None:
    """By Ctrl-C, or by a container, a service or a batch queue: in the middle of its work."""
    script = (
        "import os, signal, time, swath.inference.tables as tables\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs begin with it ignored
        f"tables.decode = lambda *a, **k: (os.kill(os.getpid(), signal.{name}), time.sleep(9))\n"
        "from swath.cli import main\nmain()\n"
    )
    command = [sys.executable, "-c", script, "predict", tiny_model, tiny_patches, "--out", tmp_path / "p.csv"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 130
    assert ran.stderr.splitlines()[-1] == "swath: stopped"
    assert list(tmp_path.iterdir()) == []
