"""``swath train``, ``experiment`` and ``tune`` as a user types them."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from swath import training
from swath.data import build_index, split_index, write_index
from swath.model import read_model
from tests.cli.conftest import Swath, refused
from tests.tiny import write_patches
from tests.training.runs import SMALL

QUICK = [part for change in (*SMALL, "epochs=1", "size=32", "augmentation.crop=null") for part in ("--set", change)]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("learning-curves", [], "'learning-curve'"),
        ("learning-curve", ["--fractions", "0.1;1"], "as in --fractions 0.1,1"),
        ("learning-curve", ["--fractions", "0,1"], "above 0 and at most 1"),
        ("input-size", ["--sizes", "64.5"], "as in --sizes 32,64"),
        ("input-size", ["--sizes", "4", "--weights", "none"], "field 'size'"),
        ("input-size", ["--fractions", "0.1,1"], "takes one share of them"),
        ("learning-curve", ["--set", "epochz=3"], "did you mean 'epochs'"),
        ("high-resolution-first", [], "--first INDEX"),
    ],
)
def test_mistakes_are_one_message(swath: Swath, tiny_index_file, tmp_path, name, options, message) -> None:
    ran = swath("experiment", name, tiny_index_file, "--out", tmp_path / "out", *options)
    assert ran.code == 2
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_experiment_prints_its_paragraph(swath: Swath, tiny_index_file, tmp_path) -> None:
    out = tmp_path / "out"
    ran = swath(
        "experiment", "learning-curve", tiny_index_file, "--fractions", "1", "--threads", "1", "--out", out, *QUICK
    )
    assert ran.code == 0, ran.err
    assert "What would more labels bring? On 24 patches" in ran.out
    assert (out / "table.csv").is_file()


def test_a_search_prints_what_it_found(swath: Swath, tiny_index_file, tmp_path) -> None:
    ran = swath("tune", tiny_index_file, "--trials", "1", "--threads", "1", "--out", tmp_path / "out", *QUICK)
    assert ran.code == 0, ran.err
    assert "None of 1 recipes tried beat 'fast'" in ran.out
    assert "best.yaml" in ran.out
    ran = swath("tune", tiny_index_file, "--pruner", "x", "--out", tmp_path / "out")
    assert ran.code == 2
    assert "'asha', 'median', 'none'" in ran.err


def test_named_networks_are_a_table(swath: Swath) -> None:
    ran = swath("networks", "resnet18", "vit_small", "--size", "96", "--bands", "13")
    assert ran.code == 0, ran.err
    header, first, second = ran.out.splitlines()
    assert "MACs at 96 px" in header
    assert first.split()[:2] == ["resnet18", "11.21"]
    assert first.endswith("32 px")
    assert "Grad-CAM 6 x 6" in second
    assert second.endswith("multiples of 16")
    assert header.index("class maps") == second.index("Grad-CAM")


def test_all_of_them_are_listed_and_those_that_do_not_fit_say_why(swath: Swath) -> None:
    ran = swath("networks", "--size", "24")
    assert ran.code == 0, ran.err
    lines = {line.split()[0]: line for line in ran.out.splitlines()[1:]}
    assert "resnet50 needs patches of 32 px at least" in lines["resnet50"]
    assert "tiles of 16 x 16" in lines["vit_small"]
    assert "exact" in lines["patchnet"]


def test_a_network_asked_for_by_name_must_exist(swath: Swath) -> None:
    ran = swath("networks", "resnet51")
    assert ran.code == 2
    assert "did you mean resnet50" in ran.err
    ran = swath("networks", "")
    assert ran.code == 2
    assert "networks: field 'name'" in ran.err


def test_few_patches_start_from_the_shipped_model_and_the_record_says_so(
    swath: Swath, tiny_index_file, tmp_path, caplog
):
    run = tmp_path / "run"
    ran = swath("train", tiny_index_file, "--out", run, "--set", "epochs=1", "--threads", "1")
    assert ran.code == 0, ran.err
    assert "recipe refine: 72 training patches are few, so it starts from a trained model, which knows all" in ran.err
    assert "4 optimizer steps (1 epoch) are few" in caplog.text
    record, start = read_model(run / "model.onnx").record, read_model("eurosat").record
    began = record.started_from
    assert (began["source"], began["license"], began["attribution"]) == ("eurosat", "MIT", start.data.attribution)
    assert record.recipe["weights"] == "eurosat"
    with (run / "history.csv").open(newline="") as file:
        began, row = csv.DictReader(file)
    assert (began["epoch"], row["epoch"]) == ("0", "1")  # it knows the classes, and may stay as it is
    assert 0 <= float(row["train_accuracy"]) <= 1
    with Image.open(run / "batches.png") as picture:
        assert picture.width > 300
    # A run of these weights knows whom to credit, too, and keeps the head of its classes.
    again = tmp_path / "again"
    ran = swath("train", tiny_index_file, "--out", again, "--set", "epochs=1", "--weights", run / "weights.safetensors")
    assert ran.code == 0, ran.err
    began = read_model(again / "model.onnx").record.started_from
    assert (began["license"], began["attribution"]) == ("MIT", start.data.attribution)
    assert not any("head" in change for change in began["changes"])


def test_a_tiny_budget_is_one_sentence_and_leaves_no_folder(swath: Swath, tiny_index_file, tmp_path):
    out, small = tmp_path / "runs" / "a", [part for change in SMALL for part in ("--set", change)]
    options = ["train", tiny_index_file, "--out", out, "--recipe", "fast", *small]
    refused(swath, out.parent, *options, "--budget", "0.001s", says=("a budget of 1s is too short", "give --budget"))
    refused(swath, out.parent, *options, "--budget", "soon", says=("no time to train for", "20min"))


def test_a_stopped_training_says_how_to_go_on(swath: Swath, tiny_index_file, tmp_path, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stop)
    ran = swath("train", tiny_index_file, "--out", tmp_path / "run", "--recipe", "fast")
    assert ran.code == 130
    assert "to go on where it was stopped: the same command with --resume" in ran.err


def test_patches_of_several_sizes_are_refused_before_torch_is_imported(tmp_path: Path):
    folder = write_patches(tmp_path / "p", n=8, size=32)
    write_patches(tmp_path / "larger", n=2, size=40, seed=3)
    for path in (tmp_path / "larger").rglob("*.png"):
        path.rename(folder / path.parent.name / f"x{path.name}")
    write_index(split_index(build_index(folder)), tmp_path / "i.parquet")
    script = """
import sys
from swath.cli import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""
    command = ["train", str(tmp_path / "i.parquet"), "--out", str(tmp_path / "run")]
    ran = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stdout.strip() == "False"
    assert "train with --set size=32" in ran.stderr
    assert f"swath data fix {tmp_path / 'i.parquet'} --out FOLDER" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
