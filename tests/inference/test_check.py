from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import swath
from swath.errors import ModelFileError, SettingError
from swath.inference import check_model
from swath.inference.check import _moved, bf16_tolerance
from swath.inference.openvino import has_bf16
from swath.model import Record, read_model, write_model
from swath.model.record import RECORD_KEY, EngineParity, ReferencePatches
from tests.tiny import patches, write_tiny_model

BF16 = "openvino-bf16"


def bf16(difference: float) -> EngineParity:
    return EngineParity(
        engine="torch", precision="bf16", patches=9, batch_sizes=(), max_difference=difference, label_agreement=1.0
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_sound_file_passes(tiny_model, engine):
    result = check_model(tiny_model, engine=engine, threads=1)
    assert result.engine.startswith(f"{engine} fp32, 1 thread, batch ")
    assert (result.patches, result.tolerance) == (4, 1e-3)
    assert result.max_difference <= 1e-6


@pytest.mark.parametrize("engine", ["auto", "onnxruntime", "openvino", *([BF16] if has_bf16() else [])])
def test_the_shipped_model_passes_on_every_engine(engine):
    result = check_model("eurosat", engine=engine, threads=1)
    assert result.max_difference <= (1e-5 if "fp32" in result.engine else result.tolerance)


@pytest.mark.parametrize(("difference", "tolerance"), [(None, 0.1), (0.02, 0.04), (1e-5, 1e-3)])
def test_bf16_may_move_twice_as_far_as_the_gate_saw(tiny_model, difference, tolerance):
    record = read_model(tiny_model).record
    if difference is not None:
        record = record.model_copy(update={"parity": (bf16(difference),)})
    assert bf16_tolerance(record) == pytest.approx(tolerance)


@pytest.mark.skipif(not has_bf16(), reason="this processor does not multiply bf16")
def test_in_bf16_a_label_may_move_only_between_classes_that_are_close(tiny_model, tmp_path):
    reference = read_model(tiny_model).record.reference
    pixels = reference.unpack()
    loaded = swath.load(tiny_model, engine=BF16, threads=1)
    stored = loaded.run(pixels)["probabilities"]
    best, second = np.argsort(-stored[0])[:2]
    gap = stored[0, best] - stored[0, second]
    stored[0, best], stored[0, second] = stored[0, second], stored[0, best]  # another label than it gives
    for slack, passes in ((gap * 1.01, True), (gap * 0.5, False)):
        path = write_tiny_model(
            tmp_path / f"{passes}.onnx",
            reference=ReferencePatches.pack(pixels, stored, tolerance=1e-6),
            parity=(bf16(slack / 2),),
        )
        if passes:
            assert check_model(path, engine=BF16, threads=1).tolerance == pytest.approx(slack)
        else:
            with pytest.raises(ModelFileError, match="reference probabilities on openvino bf16"):
                check_model(path, engine=BF16, threads=1)


@pytest.mark.parametrize("name", ["head.weight", "head.bias", "part.weight"])
def test_a_tampered_weight_is_found(tiny_model, tmp_path, name):
    model = onnx.load_model(tiny_model)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    value = numpy_helper.to_array(tensor)
    value = value * 1.2 + 0.5
    tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
    onnx.save_model(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="does not give its reference probabilities on openvino fp32"):
        check_model(tmp_path / "m.onnx", threads=1)


def edited(model, path, change):
    """A copy of a model file whose record another program has changed; the graph is as it was."""
    graph = onnx.load_model(model)
    (prop,) = (prop for prop in graph.metadata_props if prop.key == RECORD_KEY)
    values = json.loads(prop.value)
    change(values)
    prop.value = json.dumps(values)
    onnx.save_model(graph, path)
    return path


def swap_classes(values):
    first, last = values["classes"][0], values["classes"][-1]
    first["name"], last["name"] = last["name"], first["name"]


def set_input(name, change):
    return lambda values: values["input"].update({name: change(values["input"][name])})


NAMES = {
    "classes": (swap_classes, "the graph names its classes otherwise than the record: number 0 is"),
    "bands": (set_input("bands", lambda b: b[::-1]), "the graph names its bands .* 'red', and 'blue' in the record"),
    "mean": (set_input("mean", lambda m: [m[0] + 1, *m[1:]]), "the graph normalizes with other means"),
    "sd": (set_input("sd", lambda s: [*s[:-1], s[-1] * 1.01]), "the graph normalizes with other standard deviations"),
}
ELSE = {
    "channel mean": set_input("channel_mean", lambda m: m[::-1] if m[0] != m[-1] else [m[0] + 9, *m[1:]]),
    "gsd": set_input("gsd", lambda _: 3.0),
    "colors": lambda values: values["classes"][0].update(color_hint="000000"),
    "license": lambda values: values.update(license="CC0-1.0"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_record_that_is_not_its_graph_s_is_found(kind, tiny_model, tmp_path):
    change, says = NAMES[kind]
    path = edited(tiny_model, tmp_path / "m.onnx", change)
    for use in (check_model, swath.load):
        with pytest.raises(ModelFileError, match=says):
            use(path)
    # Nor does swath itself write such a file, whatever the record comes from.
    values = read_model(tiny_model).record.model_dump(mode="json")
    change(values)
    with pytest.raises(ModelFileError, match=says):
        write_model(tmp_path / "other.onnx", read_model(tiny_model).graph, Record.model_validate(values))


@pytest.mark.parametrize("kind", ELSE)
def test_a_record_changed_by_another_program_is_found(kind, tiny_model, tmp_path):
    path = edited(tiny_model, tmp_path / "m.onnx", ELSE[kind])
    with pytest.raises(ModelFileError, match="its record was changed after swath wrote it"):
        check_model(path)


def test_a_file_says_whether_its_record_can_be_checked(tiny_model, tmp_path):
    assert check_model(tiny_model, threads=1).sealed
    graph = onnx.load_model(tiny_model)
    for value in (*graph.graph.input, *graph.graph.output):
        value.ClearField("doc_string")
    onnx.save_model(graph, tmp_path / "m.onnx")
    assert not check_model(tmp_path / "m.onnx", threads=1).sealed


def test_a_weight_that_is_not_a_number_is_found(tiny_model, tmp_path):
    model = onnx.load_model(tiny_model)
    tensor = next(t for t in model.graph.initializer if t.name == "head.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), "head.bias"))
    onnx.save_model(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="probabilities that are not numbers"):
        check_model(tmp_path / "m.onnx", threads=1)


def test_a_label_that_moves_is_found_even_within_the_tolerance(tiny_model, tmp_path):
    reference = read_model(tiny_model).record.reference
    swapped = tuple(tuple(reversed(row)) for row in reference.probabilities)
    loose = reference.model_copy(update={"probabilities": swapped, "tolerance": 2.0})
    with pytest.raises(ModelFileError, match="reference"):
        check_model(write_tiny_model(tmp_path / "m.onnx", reference=loose), threads=1)


def test_damaged_reference_patches(tmp_path):
    reference = ReferencePatches.pack(patches("River", 2), np.full((2, 4), 0.25), tolerance=1)
    reference = reference.model_copy(update={"pixels": reference.pixels[:100]})
    with pytest.raises(ModelFileError, match=r"m\.onnx: reference patches"):
        check_model(write_tiny_model(tmp_path / "m.onnx", reference=reference), threads=1)


def test_an_unknown_engine(tiny_model):
    with pytest.raises(SettingError, match="no engine 'x'"):
        check_model(tiny_model, engine="x")


def test_a_stored_decision_may_only_move_where_it_was_close(tmp_path):
    names = ("Forest", "River")
    record = read_model(write_tiny_model(tmp_path / "b.onnx", names, task="binary")).record
    stored = np.array([[0.5005, 0.4995], [0.2, 0.8]], np.float32)
    near = np.array([[0.4995, 0.5005], [0.2, 0.8]], np.float32)
    far = np.array([[0.5005, 0.4995], [0.6, 0.4]], np.float32)
    for exact in (True, False):
        assert not _moved(near, stored, record, tolerance=1e-3, exact=exact)
        assert _moved(far, stored, record, tolerance=1e-3, exact=exact)


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_models_of_other_tasks_are_checked(tmp_path, task):
    path = write_tiny_model(tmp_path / "m.onnx", ("Forest", "River"), task=task)
    assert check_model(path, threads=1).max_difference < 1e-3
