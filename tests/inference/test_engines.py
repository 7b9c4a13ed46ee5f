from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from swath.errors import ModelFileError, SettingError
from swath.inference.choice import choose_engine, engine_for, key_of, make_engine
from swath.inference.engines import ENGINES, describe
from swath.inference.openvino import has_bf16
from swath.model import read_model
from swath.model.record import EngineParity
from tests.tiny import CLASSES, input_spec, patches, tiny_graph

EVERY = [
    "onnxruntime",
    "openvino",
    pytest.param("openvino-bf16", marks=pytest.mark.skipif(not has_bf16(), reason="no bf16 here")),
]
ATOL = {"onnxruntime": 1e-6, "openvino": 1e-6, "openvino-bf16": 0.05}


def bf16_parity(agreement: float) -> tuple[EngineParity, ...]:
    return (
        EngineParity(
            engine="torch",
            precision="bf16",
            patches=512,
            batch_sizes=(),
            max_difference=0.01,
            label_agreement=agreement,
        ),
    )


@pytest.mark.parametrize("name", EVERY)
def test_only_the_wanted_outputs_come_back_as_float32(name):
    outputs = make_engine(name, tiny_graph(), threads=1).run(patches("River", 3), ("features", "logits"))
    assert {name: (value.shape, value.dtype) for name, value in outputs.items()} == {
        "features": ((3, 6), np.float32),
        "logits": ((3, 4), np.float32),
    }


@pytest.mark.parametrize("name", EVERY)
def test_every_engine_gives_the_same(name):
    pixels = np.concatenate([patches(c, 5) for c in CLASSES])
    wanted = ("probabilities", "activations")
    want = make_engine("onnxruntime", tiny_graph(), threads=1).run(pixels, wanted)
    got = make_engine(name, tiny_graph(), threads=2).run(pixels, wanted)
    for output in wanted:
        np.testing.assert_allclose(got[output], want[output], atol=ATOL[name], rtol=ATOL[name])
    assert (got["probabilities"].argmax(1) == want["probabilities"].argmax(1)).all()


@pytest.mark.parametrize(("height", "width"), [(96, 96), (32, 32), (50, 131), (256, 65), (128, 128)])
@pytest.mark.parametrize("name", EVERY)
def test_other_sizes_are_resized_alike(name, height, width):
    pixels = np.random.default_rng(height).integers(0, 256, (3, 3, height, width)).astype(np.uint8)
    want = make_engine("onnxruntime", tiny_graph(), threads=1).run(pixels, ("logits",))["logits"]
    got = make_engine(name, tiny_graph(), threads=1).run(pixels, ("logits",))["logits"]
    np.testing.assert_allclose(got, want, atol=0.05 if name != "openvino-bf16" else 0.5)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_sixteen_bit_pixels_keep_every_number(name):
    spec = input_spec(bands=("nir",), data_type="uint16", mean=(60000.0,), sd=(1.0,))
    engine = make_engine(name, tiny_graph(("A", "B"), spec=spec), threads=1)
    pixels = np.full((1, 1, 64, 64), 60001, np.uint16)
    assert engine.run(pixels, ("features",))["features"][0, 0] == pytest.approx(1.0)


@pytest.fixture(scope="module", params=EVERY)
def engine(request):
    return make_engine(request.param, tiny_graph(), threads=2)


@given(st.integers(1, 70))
@settings(max_examples=20)
def test_any_number_of_patches_gives_each_what_it_gets_alone(engine, n):
    pixels = np.resize(np.concatenate([patches(c, 3) for c in CLASSES]), (n, 3, 64, 64))
    together = engine.run(pixels, ("probabilities",))["probabilities"]
    for place in (0, n // 2, n - 1):
        alone = engine.run(pixels[place : place + 1], ("probabilities",))["probabilities"][0]
        np.testing.assert_allclose(together[place], alone, atol=1e-6)


def test_pixels_need_not_lie_in_order_or_be_writeable(engine):
    pixels = patches("Forest", 4)
    pixels.flags.writeable = False
    tta = pixels[::-1, :, ::-1].swapaxes(2, 3)
    np.testing.assert_array_equal(engine.run(tta, ("logits",))["logits"], engine.run(tta.copy(), ("logits",))["logits"])


@pytest.mark.parametrize("name", EVERY)
def test_threads_do_not_change_the_answer(name):
    pixels = patches("Forest", 8)
    one, two, free = (
        make_engine(name, tiny_graph(), threads=n).run(pixels, ("probabilities",))["probabilities"]
        for n in (1, 2, None)
    )
    np.testing.assert_allclose(one, two, atol=1e-6)
    np.testing.assert_allclose(one, free, atol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_an_engine_says_what_it_is(name):
    engine = make_engine(name, tiny_graph(), threads=1)
    assert describe(engine) == (
        f"{name.removesuffix('-bf16')} {'bf16' if 'bf16' in name else 'fp32'}, 1 thread, batch {engine.batch_size}"
    )
    assert key_of(engine) == name


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads(threads):
    with pytest.raises(SettingError, match=f"{threads} threads; give --threads 1 or more"):
        make_engine("onnxruntime", tiny_graph(), threads=threads)


def test_an_unknown_engine_names_the_known():
    with pytest.raises(SettingError, match=r"no engine 'tensorrt'; use one of auto, .*onnxruntime, openvino"):
        make_engine("tensorrt", tiny_graph())


@pytest.mark.parametrize(
    ("agreement", "installed", "hardware", "name", "note"),
    [
        (1.0, {"openvino", "onnxruntime"}, True, "openvino-bf16", ""),
        (1.0, {"openvino"}, True, "openvino-bf16", ""),
        (1.0, {"openvino", "onnxruntime"}, False, "openvino", ""),
        (0.99, {"openvino", "onnxruntime"}, True, "openvino", ""),
        (None, {"openvino", "onnxruntime"}, True, "openvino", ""),
        (1.0, {"onnxruntime"}, True, "onnxruntime", "openvino is not installed"),
    ],
)
def test_auto(agreement, installed, hardware, name, note):
    choice = choose_engine(
        "auto",
        bf16_parity(agreement) if agreement is not None else (),
        installed=installed.__contains__,
        has_bf16=lambda: hardware,
    )
    assert (choice.name, choice.note) == (name, note)


@pytest.mark.parametrize("name", [*ENGINES, "auto"])
def test_an_engine_that_is_not_installed_is_never_replaced(name):
    with pytest.raises(SettingError, match=r"the engine '.*' is not installed; run: pip install o"):
        choose_engine(name, bf16_parity(1.0), installed=lambda _: False)


def test_the_note_goes_with_what_ran(tiny_model, monkeypatch):
    monkeypatch.setattr("swath.inference.choice.find_spec", {"onnxruntime": "found"}.get)
    _, ran = engine_for(read_model(tiny_model), "auto", threads=1)
    assert ran == "onnxruntime fp32, 1 thread, batch 64 (openvino is not installed)"


def test_the_shipped_model_runs_in_the_best_precision_there_is():
    engine, _ = engine_for(read_model("eurosat"), "auto", threads=1)
    assert key_of(engine) == ("openvino-bf16" if has_bf16() else "openvino")


@pytest.mark.parametrize(("name", "says"), [("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")])
def test_a_graph_the_engine_refuses(name, says):
    graph = tiny_graph()
    next(n for n in graph.graph.node if n.op_type == "Conv").op_type = "NoSuchOperator"
    with pytest.raises(ModelFileError, match=f"{says} cannot load the model") as caught:
        make_engine(name, graph, threads=1)
    assert ".cpp:" not in str(caught.value)  # where in an engine's own code says nothing to its user
    with pytest.raises(ModelFileError, match=rf"{says} cannot load m\.onnx \("):
        make_engine(name, graph, threads=1, where="m.onnx")
    with pytest.raises(ModelFileError, match="the model has no output"):
        make_engine(name, onnx.ModelProto(), threads=1)


@pytest.mark.parametrize(("name", "says"), [("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")])
@pytest.mark.parametrize("n", [2, 70])
def test_a_graph_that_gives_one_row_a_batch(name, says, n):
    graph = tiny_graph()
    head = next(node for node in graph.graph.node if "logits" in node.output)
    head.output[:] = ["all"]
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
    place = list(graph.graph.node).index(head) + 1
    graph.graph.node.insert(place, helper.make_node("Gather", ["all", "first"], ["logits"], axis=0))
    engine = make_engine(name, graph, threads=1)
    with pytest.raises(ModelFileError, match=f"{says} cannot run the model .*one row per patch"):
        engine.run(np.zeros((n, 3, 64, 64), np.uint8), ("probabilities",))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_probabilities_that_are_not_numbers(name):
    graph = tiny_graph()
    bias = next(t for t in graph.graph.initializer if t.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), "head.bias"))
    engine = make_engine(name, graph, threads=1, where="m.onnx")
    with pytest.raises(ModelFileError, match=r"m\.onnx gives probabilities that are not numbers; .* another copy"):
        engine.run(np.zeros((2, 3, 64, 64), np.uint8), ("features", "probabilities"))


@pytest.mark.parametrize(("name", "says"), [("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")])
def test_pixels_the_graph_refuses(name, says):
    engine = make_engine(name, tiny_graph(), threads=1)
    with pytest.raises(ModelFileError, match=f"{says} cannot run the model"):
        engine.run(np.zeros((1, 5, 64, 64), np.uint8), ("probabilities",))
