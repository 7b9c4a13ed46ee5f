"""A model as a STAC item, held against what the extension's schema (v1.4.0) requires."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from swath.model import read_model, stac_item
from tests.tiny import write_tiny_model

# From the schema of the extension: required fields, patterns and the words it knows.
REQUIRED = {"mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"}
FIELDS = REQUIRED | {
    "mlm:framework",
    "mlm:framework_version",
    "mlm:memory_size",
    "mlm:total_parameters",
    "mlm:pretrained",
    "mlm:pretrained_source",
    "mlm:batch_size_suggestion",
    "mlm:accelerator",
    "mlm:accelerator_constrained",
    "mlm:accelerator_summary",
    "mlm:accelerator_count",
    "mlm:hyperparameters",
}
NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]$")
TASKS = {"regression", "classification", "scene-classification", "detection", "semantic-segmentation"}
DIMENSION = re.compile(r"^[a-z-_]+$")
DATA_TYPES = {"uint8", "uint16", "float32"}


def check(item: dict) -> None:
    """Raise where the item is not as STAC 1.1 and the extension want it."""
    assert item["type"] == "Feature"
    assert item["stac_version"] == "1.1.0"
    assert "https://stac-extensions.github.io/mlm/v1.4.0/schema.json" in item["stac_extensions"]
    assert set(item) >= {"id", "geometry", "properties", "links", "assets"}
    assert item["geometry"] is None
    assert "bbox" not in item  # allowed with a geometry only
    properties = item["properties"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", properties["datetime"])
    assert set(properties) >= REQUIRED
    assert {key for key in properties if key.startswith("mlm:")} <= FIELDS
    assert NAME.match(properties["mlm:name"])
    assert set(properties["mlm:tasks"]) <= TASKS
    if not properties["mlm:pretrained"]:
        assert properties["mlm:pretrained_source"] is None
    if "mlm:hyperparameters" in properties:
        assert properties["mlm:hyperparameters"]
        assert all(re.fullmatch("[0-9a-zA-Z_.-]+", key) for key in properties["mlm:hyperparameters"])
    described = {band["name"] for band in properties["bands"]}
    for given in properties["mlm:input"]:
        assert set(given) >= {"name", "bands", "input"}
        assert set(given["bands"]) <= described  # bands must be described by some `bands`
        structure(given["input"])
    for made in properties["mlm:output"]:
        assert set(made) >= {"name", "tasks", "result"}
        structure(made["result"])
        for one in made["classification:classes"]:
            assert set(one) >= {"value", "name", "description"}
            assert re.fullmatch("[0-9A-Za-z-_]+", one["name"])
            assert re.fullmatch("[0-9A-Fa-f]{6}", one["color_hint"])
    models = [asset for asset in item["assets"].values() if "mlm:model" in asset["roles"]]
    assert models
    assert all(asset["href"] and asset["mlm:artifact_type"] for asset in models)


def structure(found: dict) -> None:
    assert set(found) >= {"shape", "dim_order", "data_type"}
    assert len(found["shape"]) == len(found["dim_order"]) == len(set(found["dim_order"]))
    assert all(isinstance(n, int) and n >= -1 for n in found["shape"])
    assert all(DIMENSION.match(name) for name in found["dim_order"])
    assert found["data_type"] in DATA_TYPES


def test_the_item_has_what_the_extension_requires(tiny_model):
    model = read_model(tiny_model)
    item = json.loads(json.dumps(stac_item(model)))
    check(item)
    assert item["properties"]["mlm:total_parameters"] == model.record.total_parameters
    assert item["properties"]["mlm:input"][0]["input"]["shape"] == [-1, 3, 64, 64]
    classes = item["properties"]["mlm:output"][0]["classification:classes"]
    assert [c["name"] for c in classes] == list(model.record.class_names)


def test_the_shipped_model_is_one(tmp_path):
    check(json.loads(json.dumps(stac_item(read_model("eurosat"), relative_to=tmp_path / "item.json"))))


def test_the_asset_is_the_file(tiny_model):
    beside = tiny_model.parent / "catalog" / "item.json"
    asset = stac_item(read_model(tiny_model), relative_to=beside)["assets"]["model"]
    assert asset["href"] == f"../{tiny_model.name}"
    data = tiny_model.read_bytes()
    assert asset["file:size"] == len(data)
    assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["x", "1st", "river/dump \u00e9", "-", "a b.c"])
def test_any_name_becomes_one_that_is_allowed(tmp_path, name):
    model = read_model(write_tiny_model(tmp_path / "m.onnx", name=name))
    check(stac_item(model))


def test_weights_it_began_with_are_named(tmp_path):
    began = {"source": "resnet18.a1_in1k", "license": "apache-2.0"}
    model = read_model(write_tiny_model(tmp_path / "m.onnx", pretrained=True, started_from=began))
    item = stac_item(model)
    check(item)
    assert item["properties"]["mlm:pretrained_source"] == "resnet18.a1_in1k"
