from __future__ import annotations

import csv
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import swath
from swath.data import build_index, split_index
from swath.errors import DataError, SettingError
from swath.experiments import ExperimentSettings, run_experiment, variants
from swath.training.recipe import dump_recipe
from swath.training.targets import choose_targets, training_parts
from tests.tiny import write_patches, write_tiny_model
from tests.training.runs import SMALL

CHANGES = (*SMALL, "epochs=1", "size=32", "augmentation.shift=2", "augmentation.crop=null")
CHOICES = ExperimentSettings(
    scratch="fast", transfer="fast", fractions=(0.3, 1), sizes=(32, 48), changes=CHANGES, weights="none"
)


class Stop(Exception):
    pass


@pytest.fixture
def trainings(monkeypatch):
    """Names of the variants that were trained, each by a stand-in that leaves a real model file in no time."""
    names = []

    def stand_in(index, recipe, *, out, name, **options):
        names.append(name)
        parts = training_parts(index)  # refuses what training refuses
        out.mkdir(parents=True, exist_ok=True)
        targets = choose_targets(index, recipe)
        (out / "recipe.yaml").write_text(dump_recipe(recipe))
        (out / "weights.safetensors").write_bytes(b"")
        write_tiny_model(out / "model.onnx", targets.classes, task=targets.task)
        assert parts
        return SimpleNamespace(history=[{"epoch": n + 1, "seconds": 0.5} for n in range(recipe.epochs)])

    monkeypatch.setattr(variants, "train", stand_in)
    return names


@pytest.fixture
def real_trainings(monkeypatch):
    """Names of the variants that were trained, as they are."""
    names = []
    whole = variants.train

    def counted(*args, **options):
        names.append(options["name"])
        return whole(*args, **options)

    monkeypatch.setattr(variants, "train", counted)
    return names


def run(name, index, out, **options):
    return run_experiment(name, index, out=out, **{"choices": CHOICES, "threads": 1} | options)


def table(out):
    with (out / "table.csv").open() as file:
        return list(csv.DictReader(file))


def files(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.mark.soak
def test_interrupted_variants_go_on_and_finished_ones_are_never_rerun(tiny_index, tmp_path, real_trainings):
    choices = dataclasses.replace(CHOICES, changes=(*CHANGES, "epochs=2"))
    steps = []

    def stop(stage, done, total, *, note=""):
        if stage == "training":
            steps.append(note)
            if len(real_trainings) == 2 and note.startswith("epoch 2") and len(steps) > 8:
                raise Stop

    with pytest.raises(Stop):
        run("learning-curve", tiny_index, tmp_path / "a", choices=choices, progress=stop)
    assert real_trainings == ["30 %", "100 %"]
    assert not (tmp_path / "a" / "table.csv").exists()
    assert not (tmp_path / "a" / "variants" / "100pct-seed0" / "model.onnx").exists()
    result = run("learning-curve", tiny_index, tmp_path / "a", choices=choices)
    assert real_trainings == ["30 %", "100 %", "100 %"]
    again = run("learning-curve", tiny_index, tmp_path / "a", choices=choices)
    assert len(real_trainings) == 3
    assert again.text == result.text
    assert [row.labels for row in result.rows] == [4 * 5, 4 * 18]
    assert [row["compared_with"] for row in table(tmp_path / "a")] == ["", "30 %"]
    assert not list((tmp_path / "a").rglob("checkpoint.safetensors"))
    # The variant that was interrupted is the one that a run in one go gives.
    whole = run("learning-curve", tiny_index, tmp_path / "b", choices=choices)
    for one, other in zip(result.rows, whole.rows, strict=True):
        assert (one.accuracy, one.difference, one.p) == (other.accuracy, other.difference, other.p)


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tiny_index, tmp_path, trainings):
    one = dataclasses.replace(CHOICES, fractions=(1,))
    run("learning-curve", tiny_index, tmp_path, choices=one)
    before = files(tmp_path)
    with pytest.raises(DataError, match="holds the experiment learning-curve; give another --out"):
        run("preprocessing", tiny_index, tmp_path, choices=one)
    with pytest.raises(DataError, match="with another split"):
        run("learning-curve", tiny_index, tmp_path, split="test")
    splits = tiny_index.table.column("split").to_pylist()
    splits[splits.index("val")] = None
    place = tiny_index.table.schema.get_field_index("split")
    other = dataclasses.replace(
        tiny_index, table=tiny_index.table.set_column(place, "split", pa.array(splits, pa.string()))
    )
    with pytest.raises(DataError, match="with another set of patches"):
        run("learning-curve", other, tmp_path)
    changed = dataclasses.replace(one, changes=(*CHANGES, "optimizer.lr=0.05"))
    with pytest.raises(DataError, match="100pct-seed0 holds a variant of other settings"):
        run("learning-curve", tiny_index, tmp_path, choices=changed)
    assert files(tmp_path) == before
    assert len(trainings) == 1
    # A further seed is no other experiment.
    result = run("learning-curve", tiny_index, tmp_path, choices=one, seeds=2)
    assert len(trainings) == 2
    assert len(result.rows[0].accuracies) == 2


def test_scratch_and_transfer_answer_for_the_same_patches_in_equal_time(tiny_index, tmp_path, trainings):
    choices = dataclasses.replace(CHOICES, fractions=(1,))
    result = run("scratch-vs-transfer", tiny_index, tmp_path, choices=choices)
    names = [row.name for row in result.rows]
    assert names == ["scratch, 100 %", "transfer, 100 %", "scratch as long as transfer, 100 %"]
    assert trainings == names
    facts = [json.loads(p.read_text()) for p in sorted((tmp_path / "variants").glob("*/variant.json"))]
    long, scratch, transfer = facts
    assert long["epochs"] == max(1, round(transfer["seconds"] / scratch["seconds"] * scratch["epochs"]))
    truths = [np.load(p)["truth"] for p in (tmp_path / "variants").glob("*/answers.npz")]
    val = [tiny_index.classes.index(label) for label in tiny_index.where("val").labels]
    assert all(truth.tolist() == val for truth in truths)
    for name in ("index.html", "picture.svg", "summary.md", "table.csv"):
        assert (tmp_path / name).stat().st_size > 100
    assert json.loads((tmp_path / "experiment.json").read_text())["text"] == result.text


def test_wrong_views_share_one_network(tiny_index, tmp_path, trainings):
    result = run("preprocessing", tiny_index, tmp_path, choices=dataclasses.replace(CHOICES, fractions=(1,)))
    assert trainings == ["unchanged"]
    assert len(result.rows) == 6
    assert {row.against for row in result.rows[1:]} == {"unchanged"}
    assert len(list(tmp_path.rglob("model.onnx"))) == 1


def test_a_first_stage_on_another_set_is_started_from_and_answers_nothing(tiny_index, tmp_path, trainings):
    first = split_index(build_index(write_patches(tmp_path / "sharp", ("Forest", "River", "SeaLake"), n=20, seed=5)))
    choices = dataclasses.replace(CHOICES, fractions=(1,))
    out = tmp_path / "out"
    with pytest.raises(SettingError, match="give --first INDEX"):
        run("high-resolution-first", tiny_index, out, choices=choices)
    result = run("high-resolution-first", tiny_index, out, choices=choices, first=first)
    assert [row.name for row in result.rows] == ["scratch, 100 %", "high resolution first, 100 %"]
    recipe = (out / "variants" / "high-resolution-first-100pct-seed0" / "recipe.yaml").read_text()
    assert "high-resolution-stage-seed0/weights.safetensors" in recipe
    # Moved elsewhere, finished variants are still finished.
    out.rename(tmp_path / "moved")
    again = run("high-resolution-first", tiny_index, tmp_path / "moved", choices=choices, first=first)
    assert again.text == result.text
    assert len(trainings) == 3


@pytest.mark.slow
def test_the_weights_of_a_first_stage_are_really_loaded(tiny_index, tmp_path):
    first = split_index(build_index(write_patches(tmp_path / "sharp", ("Forest", "River", "SeaLake"), n=20, seed=5)))
    choices = dataclasses.replace(CHOICES, fractions=(1,))
    run("high-resolution-first", tiny_index, tmp_path / "out", choices=choices, first=first)
    folder = tmp_path / "out" / "variants" / "high-resolution-first-100pct-seed0"
    assert swath.load(folder / "model.onnx", threads=1).record.pretrained


def test_a_variant_is_trained_and_answers_as_its_model_file_does(tiny_index, tmp_path, real_trainings):
    choices = dataclasses.replace(CHOICES, fractions=(0.5,))
    result = run("learning-curve", tiny_index, tmp_path, choices=choices)
    again = run("learning-curve", tiny_index, tmp_path, choices=choices)
    assert real_trainings == ["50 %"]
    assert again.text == result.text
    model = swath.load(tmp_path / "variants" / "50pct-seed0" / "model.onnx", threads=1)
    val = tiny_index.where("val")
    said = model.predict([tiny_index.root / path for path in val.paths]).labels
    right = np.mean([a == b for a, b in zip(said, val.labels, strict=True)])
    assert result.rows[0].accuracy.value == pytest.approx(right)
    assert result.rows[0].labels == 4 * 9


def test_two_classes_are_decided_by_the_threshold(tmp_path, trainings):
    index = split_index(build_index(write_patches(tmp_path / "two", ("Forest", "SeaLake"), n=20)))
    result = run("learning-curve", index, tmp_path / "out", choices=dataclasses.replace(CHOICES, fractions=(1,)))
    with np.load(tmp_path / "out" / "variants" / "100pct-seed0" / "answers.npz") as held:
        assert set(held["truth"].tolist()) == {0, 1}
        assert result.rows[0].accuracy.value == (held["truth"] == held["predicted"]).mean()


def test_the_test_split_is_opened_only_when_asked_and_that_is_written_down(tiny_index, tmp_path, trainings):
    choices = dataclasses.replace(CHOICES, fractions=(1,))
    run("learning-curve", tiny_index, tmp_path / "val", choices=choices)
    assert not (tmp_path / "val" / "test_accesses.jsonl").exists()
    run("learning-curve", tiny_index, tmp_path / "test", choices=choices, split="test")
    (line,) = (tmp_path / "test" / "test_accesses.jsonl").read_text().splitlines()
    assert json.loads(line)["n"] == 24
    assert json.loads(line)["model"] == "experiment learning-curve"


def test_several_labels_a_patch_are_refused(tiny_index, tmp_path):
    table = tiny_index.table
    labels = pa.array([[label] for label in tiny_index.labels], pa.list_(pa.string()))
    table = table.set_column(table.schema.get_field_index("labels"), "labels", labels)
    table = table.set_column(table.schema.get_field_index("label"), "label", pa.nulls(len(table), pa.string()))
    with pytest.raises(DataError, match="carry several labels"):
        run("learning-curve", dataclasses.replace(tiny_index, table=table), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"), [({"seeds": 0}, "--seeds 1"), ({"split": "train"}, "--split val or test")]
)
def test_options_out_of_range(tiny_index, tmp_path, options, message):
    with pytest.raises(SettingError, match=message):
        run("learning-curve", tiny_index, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
