from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file

import swath
from swath.data import build_index, cached_pixels, split_index
from swath.data.spatial import UNKNOWN_ORIGIN
from swath.errors import ModelFileError
from swath.evaluation import evaluate
from swath.inference import check_model
from swath.networks import PatchNet
from swath.training import finalize as module
from tests.tiny import write_patches

from .runs import small_recipe, small_train


@pytest.fixture(scope="module")
def record(trained):
    return swath.load(trained.model, threads=1).record


def test_a_score_on_splits_of_unknown_origin_says_so_once(trained, tiny_index, tmp_path):
    found = evaluate(swath.load(trained.model, threads=1), tiny_index, split="val", out=tmp_path / "val")
    assert found.warnings[0] == f"{UNKNOWN_ORIGIN}: the score may be far too high"
    assert sum(UNKNOWN_ORIGIN in line for line in found.lines()) == 1


def test_the_record_says_what_was_done(record, tiny_index, trained):
    assert record.class_names == tiny_index.classes
    assert record.recipe == small_recipe().model_dump(mode="json")
    assert record.data.fingerprint == tiny_index.fingerprint
    assert record.data.counts == {"train": 72, "val": 24, "test": 24}
    assert record.data.split_protocol == tiny_index.split_protocol
    assert record.data.split_protocol.endswith(f"{UNKNOWN_ORIGIN}: the score may be far too high")
    assert record.metrics == trained.metrics
    assert record.metrics["accuracy"].n == 24
    assert record.total_parameters == sum(p.numel() for p in PatchNet(3, 4, stem=8, widths=(16, 16)).parameters())
    assert {"swath", "python", "torch", "onnx", "lightning-fabric"} <= record.versions.keys()
    assert [p.precision for p in record.parity] == ["fp32", "bf16"]
    assert record.parity[0].batch_sizes == (1, 2, 7, 256)
    assert record.baselines.majority in record.class_names


def test_the_input_is_described_by_the_training_patches(record, tiny_index):
    train = cached_pixels(tiny_index.where("train"))
    np.testing.assert_allclose(record.input.channel_mean, train.mean((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(record.input.channel_sd, train.std((0, 2, 3)), rtol=1e-3)
    assert (record.input.size, record.input.data_type) == (64, "uint8")


def test_reference_patches_hold_every_class_and_pass_the_check(record, trained, tiny_index):
    assert check_model(trained.model, engine="onnxruntime", threads=1).max_difference < 1e-5
    reference = record.reference.unpack()
    val = tiny_index.where("val")
    pixels = cached_pixels(val)
    labels = {val.labels[int(np.flatnonzero((pixels == g).all((1, 2, 3)))[0])] for g in reference}
    assert labels == set(tiny_index.classes)


def test_validation_metrics_are_those_of_the_model_file(trained, tiny_index):
    val = tiny_index.where("val")
    labels = swath.load(trained.model, threads=1).predict(cached_pixels(val)).labels
    right = np.mean([a == b for a, b in zip(labels, val.labels, strict=True)])
    assert trained.metrics["accuracy"].value == pytest.approx(right)
    written = json.loads((trained.model.parent / "metrics.json").read_text())
    assert written["split"] == "val"
    assert written["accuracy"]["value"] == pytest.approx(right)


def test_weights_for_further_training_are_those_in_the_file(trained):
    network = PatchNet(3, 4, stem=8, widths=(16, 16))
    network.load_state_dict(load_file(trained.model.parent / "weights.safetensors"))
    weight, _ = swath.load(trained.model, threads=1).head
    assert torch.equal(network.head.weight, torch.from_numpy(np.array(weight)))


def test_a_graph_that_disagrees_is_not_written_nor_anything_else(tiny_index, tmp_path, monkeypatch):
    def tampered(*args, **kwargs):
        graph = module_assemble(*args, **kwargs)
        tensor = next(t for t in graph.graph.initializer if t.name == "head.bias")
        bias = numpy_helper.to_array(tensor) + np.array([3, 0, 0, 0], np.float32)
        tensor.CopyFrom(numpy_helper.from_array(bias, "head.bias"))
        return graph

    module_assemble = module.assemble
    monkeypatch.setattr(module, "assemble", tampered)
    with pytest.raises(ModelFileError, match="no model file was written"):
        small_train(tiny_index, tmp_path / "out", small_recipe("epochs=1"))
    left = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert left == ["batches.png", "checkpoint.safetensors", "recipe.yaml"]


def test_places_are_spread_over_classes():
    places = module._spread_over_classes(np.array([0, 0, 0, 1, 2, 2]), 4)
    assert places.tolist() == [0, 3, 4, 1]


def test_the_record_keeps_what_was_learned_from_and_what_chose(record, trained, tiny_index):
    found = {split: evaluate(trained.model, tiny_index, split=split).seen for split in ("train", "val", "test")}
    assert (found["train"].train, found["val"].val, found["test"].unseen) == (72, 24, True)
    (seen,) = record.seen
    assert (seen.train.n, seen.val.n, seen.bands, seen.size) == (72, 24, ("red", "green", "blue"), 64)


def test_what_a_start_has_seen_the_model_has_seen_too(record, trained, tiny_index, tmp_path):
    others = split_index(build_index(write_patches(tmp_path / "others", n=10, seed=7)))
    weights = trained.model.parent / "weights.safetensors"
    made = small_train(others, tmp_path / "run", small_recipe(f"weights={weights}"))
    assert evaluate(made.model, tiny_index, split="train").seen.train == 72
    assert evaluate(made.model, tiny_index, split="val").seen.val == 24
    assert evaluate(made.model, others, split="train").seen.train == len(others.where("train"))
    after = swath.load(made.model, threads=1).record
    assert len(after.seen) == 1
    assert after.seen[0].salt == record.seen[0].salt
    assert "seen" not in after.started_from
