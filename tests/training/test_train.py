from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

import swath
from swath.data import PatchIndex, build_index, split_index, write_index
from swath.errors import DataError, OutputError, SettingError, SwathError
from swath.model import read_model
from swath.training.train import RUN_FILES
from tests.tiny import write_patches

from .runs import SMALL, small_recipe, small_train


class Stop(Exception):
    pass


def stop_after(steps):
    def progress(stage, done, total, *, note=""):
        if stage == "training" and done > steps:
            raise Stop

    return progress


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def relabeled(index: PatchIndex, rows: dict[int, str], column: str = "split") -> PatchIndex:
    values = index.table[column].to_pylist()
    for row, value in rows.items():
        values[row] = value
    place = index.table.schema.get_field_index(column)
    table = index.table.set_column(place, index.table.schema.field(column), pa.array(values, pa.string()))
    return dataclasses.replace(index, table=table)


def test_a_run_leaves_its_files_and_nothing_else(trained):
    assert names(trained.model.parent) == sorted(RUN_FILES)
    recipe = yaml.safe_load((trained.model.parent / "recipe.yaml").read_text())
    assert recipe == small_recipe().model_dump(mode="json")
    assert len((trained.model.parent / "history.csv").read_text().splitlines()) == 4


def test_the_model_serves_what_was_trained(trained, tiny_index, tiny_patches):
    classifier = swath.load(trained.model, threads=1)
    test = tiny_index.where("test")
    labels = classifier.predict([tiny_patches / p for p in test.paths]).labels
    assert np.mean([a == b for a, b in zip(labels, test.labels, strict=True)]) > 0.5
    assert classifier.record.name == "small"


def test_the_same_command_twice_gives_the_same_file(trained, tiny_index, tmp_path):
    again = small_train(tiny_index, tmp_path / "run")
    assert again.metrics == trained.metrics
    for name in ("model.onnx", "weights.safetensors", "metrics.json", "recipe.yaml"):
        assert (tmp_path / "run" / name).read_bytes() == (trained.model.parent / name).read_bytes(), name


def test_an_interrupted_run_resumes_to_the_same_file(trained, tiny_index, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Stop):
        small_train(tiny_index, out, progress=stop_after(6))
    assert "model.onnx" not in names(out)
    (out / ".model.onnx.partial").mkdir()
    (out / ".model.onnx.partial" / "model.onnx").write_text("half, from a kill")
    small_train(tiny_index, str(out), resume=True)
    assert (out / "model.onnx").read_bytes() == trained.model.read_bytes()
    assert names(out) == sorted(RUN_FILES)


def test_an_interrupted_run_is_not_resumed_by_chance_nor_with_another_recipe(tiny_index, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Stop):
        small_train(tiny_index, out, progress=stop_after(5))
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    with pytest.raises(OutputError, match="holds a run already; pass --resume to continue it, or --overwrite"):
        small_train(tiny_index, out)
    with pytest.raises(DataError, match="another recipe or other data"):
        small_train(tiny_index, out, small_recipe("optimizer.lr=0.2"), resume=True)
    moved = relabeled(tiny_index, {tiny_index.labels.index("River"): "test"})
    with pytest.raises(DataError, match="another recipe or other data"):
        small_train(moved, out, resume=True)
    with pytest.raises(SettingError, match="pass one of them"):
        small_train(tiny_index, out, resume=True, overwrite=True)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_a_run_stopped_in_its_first_epoch_starts_over(tiny_index, tmp_path):
    with pytest.raises(Stop):
        small_train(tiny_index, tmp_path / "run", progress=stop_after(0))
    assert names(tmp_path / "run") == ["batches.png", "recipe.yaml"]
    with pytest.raises(Stop):
        small_train(tiny_index, tmp_path / "run", resume=True, progress=stop_after(0))


def test_overwrite_starts_over_and_leaves_files_of_others_alone(tiny_index, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for name in ("model.onnx", "checkpoint.safetensors", "curves.svg"):
        (out / name).write_text("old")
    with pytest.raises(Stop):
        small_train(tiny_index, out, overwrite=True, progress=stop_after(0))
    assert names(out) == ["batches.png", "notes.txt", "recipe.yaml"]


def test_a_model_without_its_checkpoint_is_not_thrown_away_by_resume(tiny_index, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.onnx").write_text("dear")
    with pytest.raises(OutputError, match="no checkpoint to resume from"):
        small_train(tiny_index, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.onnx").read_text() == "dear"


def test_the_test_split_is_never_opened(trained, tmp_path):
    """Its patches are junk here, and all goes as before."""
    index = split_index(build_index(write_patches(tmp_path / "data", n=30)))
    assert index.fingerprint == split_index(build_index(tmp_path / "data")).fingerprint
    for path in index.where("test").paths:
        (tmp_path / "data" / path).write_bytes(b"junk")
    result = small_train(index, tmp_path / "run", cache=tmp_path / "cache")
    assert result.metrics == trained.metrics


def test_a_changed_training_patch_is_noticed(tmp_path):
    index = split_index(build_index(write_patches(tmp_path / "data", n=5)))
    (tmp_path / "data" / index.where("train").paths[0]).write_bytes(b"junk")
    with pytest.raises(DataError, match="no longer as index"):
        small_train(index, tmp_path / "run", cache=tmp_path / "cache")


def test_a_class_missing_in_validation_is_named(tiny_index, tmp_path):
    rows = {i: "train" for i, (c, s) in enumerate(labels_and_splits(tiny_index)) if (c, s) == ("River", "val")}
    with pytest.raises(DataError, match=r"the val split has no patch of River; .*swath data split"):
        small_train(relabeled(tiny_index, rows), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def labels_and_splits(index):
    return list(zip(index.labels, index.table["split"].to_pylist(), strict=True))


def test_one_class_only(tiny_index, tmp_path):
    rows = dict.fromkeys(range(len(tiny_index)), "River")
    with pytest.raises(DataError, match="one class only"):
        small_train(relabeled(tiny_index, rows, "label"), tmp_path / "run")


def test_no_splits(tiny_index, tmp_path):
    rows = dict.fromkeys(range(len(tiny_index)), None)
    with pytest.raises(DataError, match=r"no patches in split 'train'; .*swath data split"):
        small_train(relabeled(tiny_index, rows), tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"threads": 0}, "0 threads"), ({"name": " "}, "no name"), ({"accelerator": "abacus"}, "accelerator 'abacus'")],
)
def test_options_are_checked_before_anything_is_written(tiny_index, tmp_path, options, message):
    with pytest.raises(SettingError, match=message):
        small_train_with(tiny_index, tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def small_train_with(index, out, options):
    from swath.training import train

    return train(index, small_recipe(), out=out, **{"threads": 1, "accelerator": "cpu"} | options)


def test_patches_too_small_for_the_network(tiny_index, tmp_path):
    with pytest.raises(SettingError, match="patches of 16 px are too small for the network patchnet, which needs 32"):
        small_train(tiny_index, tmp_path / "run", small_recipe("size=16", "network.widths=[8,8,8,8]"))


def test_an_output_that_cannot_be_made(tiny_index, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        small_train(tiny_index, tmp_path / "file")


def test_torch_is_left_as_it_was(tiny_index, tmp_path):
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    with pytest.raises(Stop):
        small_train(tiny_index, tmp_path / "run", progress=stop_after(0))
    assert torch.equal(torch.rand(3), wanted)
    assert not torch.are_deterministic_algorithms_enabled()


CODE = """
import os, signal, sys
from pathlib import Path
from swath.data import read_index
from swath.training import load_recipe, train
recipe = load_recipe("fast", changes=sys.argv[3].split(";"))
out = Path(sys.argv[2])
def killing(*_, **__):
    if "kill" in sys.argv and (out / "checkpoint.safetensors").exists():
        os.kill(os.getpid(), signal.SIGKILL)
train(read_index(Path(sys.argv[1])), recipe, out=out, name="small", threads=1, accelerator="cpu",
      resume="resume" in sys.argv, progress=killing)
"""


@pytest.mark.soak
def test_a_killed_run_resumes_to_the_same_file(tiny_index_file, tmp_path):
    def run(out, *more):
        command = [sys.executable, "-c", CODE, tiny_index_file, out, ";".join(SMALL), *more]
        return subprocess.run(command, check=False).returncode

    assert run(tmp_path / "whole") == 0
    assert run(tmp_path / "killed", "kill") == -signal.SIGKILL  # at the first sign of life after a checkpoint
    assert not (tmp_path / "killed" / "model.onnx").exists()
    assert run(tmp_path / "killed", "resume") == 0
    assert names(tmp_path / "killed") == sorted(RUN_FILES)
    for name in ("model.onnx", "metrics.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "epochs", "least"),
    [
        pytest.param((), 3, 0.4, marks=pytest.mark.slow),
        # A head alone learns little in an epoch: what matters is that the second one, in which all learn, is reached.
        pytest.param(("epochs=2", "freeze={epochs: 1, backbone_lr_scale: 0.1}"), 2, 0.0, marks=pytest.mark.soak),
    ],
)
def test_two_processes_share_the_work(tiny_index, tmp_path, more, epochs, least):
    write_index(tiny_index, tmp_path / "index.parquet")
    command = [sys.executable, "-m", "swath", "train", tmp_path / "index.parquet", "--out", tmp_path / "run"]
    command += ["--devices", "2", "--accelerator", "cpu", "--threads", "1"]
    for change in (*SMALL, *more):
        command += ["--set", change]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "run") == sorted(RUN_FILES)
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 1 + epochs
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["accuracy"]["value"] > least


def test_crops_too_small_for_the_network(tiny_index, tmp_path):
    recipe = small_recipe("augmentation.crop=16", "network.widths=[8,8,8,8]")
    with pytest.raises(SettingError, match="crops of 16 px are too small for this network, which needs 32"):
        small_train(tiny_index, tmp_path / "run", recipe)


def test_a_network_of_one_size_takes_no_crops(tiny_index, tmp_path):
    recipe = small_recipe("network={name: vit_small}", "augmentation.crop=24")
    with pytest.raises(SettingError, match=r"vit_small takes patches of one size.*augmentation\.crop=null"):
        small_train(tiny_index, tmp_path / "run", recipe)


@pytest.mark.parametrize("change", ["loss.name=bce", "loss.class_weights={Forrest: 2}", "network.widths=[8,8,8,8,8]"])
def test_a_run_is_thrown_away_only_when_the_next_one_can_begin(tiny_index, tmp_path, change):
    small_train(tiny_index, tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(SwathError):
        small_train(tiny_index, tmp_path / "run", small_recipe(change), overwrite=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_other_weights_under_the_same_name_are_another_run(tiny_index, tmp_path):
    weights = tmp_path / "w.safetensors"
    for seed in (1, 2):
        done = small_train(tiny_index, tmp_path / f"first{seed}", small_recipe(f"seed={seed}"))
        assert done.model.exists()
    weights.write_bytes((tmp_path / "first1" / "weights.safetensors").read_bytes())
    recipe = small_recipe(f"weights={weights}")
    with pytest.raises(Stop):
        small_train(tiny_index, tmp_path / "run", recipe, progress=stop_after(6))
    weights.write_bytes((tmp_path / "first2" / "weights.safetensors").read_bytes())
    with pytest.raises(DataError, match="another recipe or other data"):
        small_train(tiny_index, tmp_path / "run", recipe, resume=True)


def test_a_run_does_not_throw_away_what_it_starts_from(tiny_index, tmp_path):
    done = small_train(tiny_index, tmp_path / "run")
    weights = tmp_path / "run" / "weights.safetensors"
    with pytest.raises(SettingError, match="which this run starts from"):
        small_train(tiny_index, tmp_path / "run", small_recipe(f"weights={weights}"), overwrite=True)
    with pytest.raises(SettingError, match="no file of weights"):
        small_train(tiny_index, tmp_path / "run", small_recipe("weights=mistyped"), overwrite=True)
    assert weights.exists()
    assert done.model.exists()


def test_a_network_without_padding_passes_the_gate(tiny_index, tmp_path):
    recipe = small_recipe("network.name=stripnet", "network.widths=[8,8,16]", "augmentation.crop=48")
    done = small_train(tiny_index, tmp_path / "run", recipe)
    assert read_model(done.model).record.architecture.startswith("stripnet")


def test_a_stripnet_needs_two_widths():
    with pytest.raises(SettingError, match="at least two widths"):
        small_recipe("network.name=stripnet", "network.widths=[8]")
