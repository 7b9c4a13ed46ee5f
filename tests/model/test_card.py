from __future__ import annotations

import yaml

from swath.model import card, model_card, read_model
from swath.model.record import DataInfo, EngineParity
from tests.tiny import input_spec, write_tiny_model


def test_the_card_tells_what_a_user_must_know(tiny_model):
    rows = dict(card(read_model(tiny_model)))
    assert rows["name"] == "tiny"
    assert rows["file"].startswith(str(tiny_model))
    assert rows["classes"] == "Forest, Residential, River, SeaLake"
    assert rows["input"] == "red, green, blue; uint8; 64 x 64 px at 10 m"
    assert rows["channel means"] == "85.0, 95.0, 100.0"
    assert rows["validation accuracy"] == "95.00 % (95 %: 90.00-98.00, n = 24)"
    assert rows["data"] == "drawn: 72 train, 24 val, 24 test"
    assert rows["data license"] == "CC0-1.0"
    assert "attribution" not in rows


def test_parity_and_attribution_are_shown_where_there_are_any(tmp_path):
    data = DataInfo(name="x", fingerprint="f", counts={"train": 1200}, split_protocol="s", attribution="by someone")
    parity = EngineParity(
        engine="onnxruntime", precision="fp32", patches=9, batch_sizes=(1,), max_difference=2e-6, label_agreement=1
    )
    spec = input_spec().model_copy(update={"gsd": None})
    path = write_tiny_model(tmp_path / "m.onnx", spec=spec, data=data, parity=(parity,))
    rows = dict(card(read_model(path)))
    assert rows["attribution"] == "by someone"
    assert rows["data license"] == "not known"
    assert rows["data"] == "x: 1,200 train"
    assert rows["input"].endswith("64 x 64 px")
    assert rows["parity onnxruntime fp32"] == "same labels 100.00 % of 9, largest difference 2.0e-06"


def test_the_card_states_thresholds(tmp_path):
    names = ("Forest", "River")
    path = write_tiny_model(tmp_path / "b.onnx", names, task="binary", thresholds={"River": 0.25})
    assert dict(card(read_model(path)))["looks for"] == "River, where its probability is 0.250 or more"
    path = write_tiny_model(tmp_path / "m.onnx", names, task="multi-label", thresholds={"River": 0.25})
    assert dict(card(read_model(path)))["thresholds"] == "Forest 0.500, River 0.250"


def front_of(text: str) -> dict:
    """The YAML before the prose, as a hub reads it."""
    before, front, _ = text.split("---\n", 2)
    assert before == ""
    return yaml.safe_load(front)


def test_the_page_has_the_fields_of_a_model_hub(tiny_model):
    text = model_card(read_model(tiny_model))
    front = front_of(text)
    assert front["license"] == "mit"
    assert front["datasets"] == ["drawn"]
    assert "language" not in front
    (entry,) = front["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "tiny"
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"] == {"name": "drawn", "type": "drawn", "split": "validation"}
    assert result["metrics"] == [
        {"type": "accuracy", "name": "accuracy", "value": 0.95, "args": {"interval_95": [0.9, 0.98], "n": 24}}
    ]
    assert "| accuracy | 95.00 % | 90.00 to 98.00 % | 24 |" in text
    for title in ("Intended use", "Limits", "Training data", "Metrics", "Calibration", "How to use"):
        assert f"\n## {title}\n" in text


def test_the_page_says_what_is_not_known(tmp_path):
    data = DataInfo(name="x: y", fingerprint="f", counts={"train": 12}, split_protocol="random")
    text = model_card(read_model(write_tiny_model(tmp_path / "m.onnx", data=data, metrics={})))
    assert front_of(text)["datasets"] == ["x: y"]
    assert "model-index" not in front_of(text)
    assert "license not stated" in text
    assert "not measured" in text


def test_the_page_tells_of_thresholds_sets_and_first_weights(tmp_path):
    path = write_tiny_model(
        tmp_path / "b.onnx",
        ("Forest", "River"),
        task="binary",
        thresholds={"River": 0.25},
        conformal={"0.90": 0.3},
        pretrained=True,
        started_from={"source": "resnet18", "license": None},
    )
    text = model_card(read_model(path))
    assert "says whether an image shows River or Forest" in text
    assert "River 0.250" in text
    assert "sets of 90 % hold every class whose probability is at least 0.7000" in text
    assert "from the weights resnet18 (license: not stated)" in text
