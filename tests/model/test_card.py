from __future__ import annotations

from swath.model import card, read_model
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
    assert rows["data licence"] == "CC0-1.0"
    assert "attribution" not in rows


def test_parity_and_attribution_are_shown_where_there_are_any(tmp_path):
    data = DataInfo(
        name="x", fingerprint="f", counts={"train": 1200}, split_protocol="s", attribution="by someone"
    )
    parity = EngineParity(
        engine="onnxruntime",
        precision="fp32",
        patches=9,
        batch_sizes=(1,),
        max_difference=2e-6,
        label_agreement=1,
    )
    spec = input_spec().model_copy(update={"gsd": None})
    path = write_tiny_model(tmp_path / "m.onnx", spec=spec, data=data, parity=(parity,))
    rows = dict(card(read_model(path)))
    assert rows["attribution"] == "by someone"
    assert rows["data licence"] == "not known"
    assert rows["data"] == "x: 1,200 train"
    assert rows["input"].endswith("64 x 64 px")
    assert rows["parity onnxruntime fp32"] == "same labels 100.00 % of 9, largest difference 2.0e-06"


def test_the_card_states_thresholds(tmp_path):
    names = ("Forest", "River")
    path = write_tiny_model(tmp_path / "b.onnx", names, task="binary", thresholds={"River": 0.25})
    assert dict(card(read_model(path)))["looks for"] == "River, where its probability is 0.250 or more"
    path = write_tiny_model(tmp_path / "m.onnx", names, task="multi-label", thresholds={"River": 0.25})
    assert dict(card(read_model(path)))["thresholds"] == "Forest 0.500, River 0.250"
