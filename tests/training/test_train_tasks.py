"""Whole runs of the other tasks, from an index to answers of the model file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import swath
from swath.data import cached_pixels
from swath.data.index import SCHEMA
from swath.errors import DataError, SettingError, SwathError
from swath.training import train

from .runs import small_recipe, small_train


def relabeled(index, label_of):
    """The tiny index with other labels: text for one, a tuple for several."""
    table = index.table
    made = [label_of(label) for label in index.labels]
    single = [label if isinstance(label, str) else None for label in made]
    several = [None if isinstance(label, str) else list(label) for label in made]
    for name, values in (("label", single), ("labels", several)):
        place = SCHEMA.get_field_index(name)
        table = table.set_column(place, SCHEMA.field(name), pa.array(values, SCHEMA.field(name).type))
    return replace(index, table=table)


@pytest.fixture(scope="module")
def binary(tiny_index, tmp_path_factory):
    index = relabeled(tiny_index, lambda label: "River" if label == "River" else "rest")
    return index, small_train(index, tmp_path_factory.mktemp("binary") / "run", small_recipe("epochs=6"))


@pytest.fixture(scope="module")
def several(tiny_index, tmp_path_factory):
    sets = {"Forest": ("green",), "Residential": ("built",), "River": ("water", "green"), "SeaLake": ("water",)}
    index = relabeled(tiny_index, sets.__getitem__)
    return index, small_train(index, tmp_path_factory.mktemp("several") / "run", small_recipe("epochs=6"))


def test_a_binary_run_serves_its_threshold(binary):
    index, result = binary
    classifier = swath.load(result.model, engine="onnxruntime")
    record = classifier.record
    assert record.task == "binary"
    assert record.class_names == ("rest", "River")
    assert set(record.thresholds) == {"River"}
    assert {"average_precision", "auroc", "f1", "precision", "recall"} <= set(result.metrics)
    val = index.where("val")
    judged = classifier.predict(np.ascontiguousarray(cached_pixels(val)))
    np.testing.assert_allclose(judged.probabilities.sum(1), 1, atol=1e-5)
    called = judged.probabilities[:, 1] >= record.thresholds["River"]
    assert [label == "River" for label in judged.labels] == called.tolist()
    right = np.mean([a == b for a, b in zip(judged.labels, val.labels, strict=True)])
    assert right == pytest.approx(result.metrics["accuracy"].value)


def test_its_history_and_metrics_speak_of_average_precision(binary):
    _, result = binary
    assert "val_average_precision" in result.history[0]
    written = json.loads((result.model.parent / "metrics.json").read_text())
    assert written["average_precision"]["value"] == result.metrics["average_precision"].value


def test_a_multi_label_run_serves_a_threshold_a_class(several):
    index, result = several
    classifier = swath.load(result.model, engine="onnxruntime")
    record = classifier.record
    assert record.task == "multi-label"
    assert list(record.thresholds) == ["built", "green", "water"]
    judged = classifier.predict(np.ascontiguousarray(cached_pixels(index.where("val"))))
    marks = judged.probabilities >= np.array([record.thresholds[name] for name in record.class_names])
    expected = [tuple(n for n, m in zip(record.class_names, row, strict=True) if m) for row in marks]
    assert [tuple(labels) for labels in judged.label_sets] == expected
    assert result.metrics["macro_f1"].value > 0.5


def test_weights_of_a_run_start_another_one_with_other_classes(tiny_index, trained, run_folder, tmp_path):
    recipe = small_recipe(f"weights={run_folder / 'weights.safetensors'}", "epochs=1", "freeze.epochs=all")
    index = relabeled(tiny_index, lambda label: "River" if label == "River" else "rest")
    result = small_train(index, tmp_path / "second", recipe)
    record = swath.load(result.model, engine="onnxruntime").record
    assert record.pretrained
    assert record.started_from["sha256"]
    assert record.input.mean == pytest.approx(swath.load(trained.model, engine="onnxruntime").record.input.mean)
    with (
        safe_open(run_folder / "weights.safetensors", framework="np") as first,
        safe_open(tmp_path / "second" / "weights.safetensors", framework="np") as second,
    ):
        for name in first.keys():  # noqa: SIM118
            if not name.startswith("head."):
                assert np.array_equal(first.get_tensor(name), second.get_tensor(name)), name
        assert second.get_tensor("head.weight").shape[0] == 1


def test_a_probe_computes_features_once(tiny_index, trained, run_folder, tmp_path, monkeypatch):
    changes = (
        f"weights={run_folder / 'weights.safetensors'}",
        "freeze.epochs=all",
        "augmentation={flips: false, transpose: false, shift: 0}",
        "optimizer={name: adamw, lr: 0.01}",
        "epochs=20",
    )
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    stages = []

    def progress(stage, done, total, *, note=""):
        stages.append(stage)

    first = small_train(tiny_index, tmp_path / "a", small_recipe(*changes), progress=progress)
    assert "features" in stages
    stages.clear()
    again = small_train(tiny_index, tmp_path / "b", small_recipe(*changes), progress=progress)
    assert "features" not in stages
    assert first.model.read_bytes() == again.model.read_bytes().replace(b"", b"")
    assert first.metrics["accuracy"].value > 0.5


def test_weights_that_must_not_be_passed_on_are_refused_by_license(tiny_index, run_folder, trained, tmp_path):
    found = tmp_path / "found.safetensors"
    with safe_open(run_folder / "weights.safetensors", framework="np") as held:
        facts = {name: value for name, value in held.metadata().items() if name != "license"}
        tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
    save_file(tensors, found, facts)
    recipe = small_recipe(f"weights={found}", "epochs=1")
    with pytest.raises(SwathError, match="license"):
        small_train(tiny_index, tmp_path / "run", recipe, require_redistributable=True)
    assert not (tmp_path / "run" / "model.onnx").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("network={name: resnet81}", SettingError, "did you mean"),
        ("bands=[red, green, nir]", DataError, "nir"),
        ("task=multi-label", DataError, "one label"),
        ("weights=nowhere.safetensors", SwathError, "nowhere.safetensors"),
    ],
)
def test_mistakes_are_one_message(tiny_index, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        small_train(tiny_index, tmp_path / "run", small_recipe(change))


def test_early_stopping(tiny_index, tmp_path):
    result = train(
        tiny_index,
        small_recipe("epochs=30", "early_stopping_patience=2", "optimizer.lr=1.0e-9", "optimizer.adamw_lr=1.0e-9"),
        out=tmp_path / "run",
        name="x",
        threads=1,
        accelerator="cpu",
    )
    assert len(result.history) < 30
