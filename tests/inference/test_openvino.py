from __future__ import annotations

import threading

import numpy as np
import onnx
import pytest
from onnx import helper

from swath.errors import ModelFileError, SettingError
from swath.inference import openvino as module
from swath.inference.openvino import BATCH, OpenVino, has_bf16
from tests.tiny import CLASSES, patches, tiny_graph


@pytest.fixture(scope="module")
def pixels():
    return np.concatenate([patches(c, 6) for c in CLASSES])


@pytest.fixture
def engine():
    return OpenVino(tiny_graph(), threads=2, precision="fp32")


def started(engine, monkeypatch):
    """Batches started so far, whichever request ran them."""
    counted = []
    start = module.openvino.InferRequest.start_async
    monkeypatch.setattr(
        module.openvino.InferRequest,
        "start_async",
        lambda self, *a, **k: (counted.append(self.get_input_tensor().shape[0]), start(self, *a, **k))[1],
    )
    return counted


@pytest.mark.parametrize(("n", "calls"), [(1, 1), (BATCH, 1), (BATCH + 1, 2), (24, 3)])
def test_patches_go_in_full_batches_of_one_size(engine, pixels, monkeypatch, n, calls):
    counted = started(engine, monkeypatch)
    engine.run(pixels[:n], ("probabilities",))
    assert counted == [BATCH] * calls


def test_one_model_of_a_fixed_shape_serves_all_sizes_and_numbers(engine, pixels, monkeypatch):
    compiled = []
    compile_ = OpenVino._compile
    monkeypatch.setattr(OpenVino, "_compile", lambda self, *a: compiled.append(a) or compile_(self, *a))
    for part in (pixels, pixels[:5], pixels[:, :, :40], np.tile(pixels[:2], (1, 1, 2, 2))):
        engine.run(part, ("probabilities",))
    assert compiled == []  # nothing beyond the one it began with
    (ready,) = engine._compiled.values()
    assert [list(r.get_input_tensor().shape) for r in ready.requests] == [[BATCH, 3, 64, 64]] * 2
    engine.run(pixels, ("logits", "features"))
    assert [names for names, *_ in compiled] == [("logits", "features")]


def test_resizing_is_not_in_what_runs(engine):
    (ready,) = engine._compiled.values()
    kinds = {op.get_type_name() for op in ready.requests[0].get_compiled_model().get_runtime_model().get_ops()}
    layers = {
        op.get_rt_info()["layerType"].astype(str)
        for op in ready.requests[0].get_compiled_model().get_runtime_model().get_ops()
    }
    assert not {"Interpolate", "Round"} & (kinds | layers)
    assert "Convolution" in layers


@pytest.mark.skipif(not has_bf16(), reason="this processor does not multiply bf16")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_is_the_one_asked_for(precision):
    engine = OpenVino(tiny_graph(), threads=1, precision=precision)
    (ready,) = engine._compiled.values()
    model = ready.requests[0].get_compiled_model().get_runtime_model()
    kinds = {
        op.get_rt_info()["runtimePrecision"].astype(str)
        for op in model.get_ops()
        if op.get_rt_info()["layerType"].astype(str) == "Convolution"
    }
    assert kinds == {{"fp32": "f32", "bf16": "bf16"}[precision]}


def test_a_processor_without_bf16_is_not_asked_for_it(monkeypatch):
    monkeypatch.setattr(module, "has_bf16", lambda: False)
    with pytest.raises(SettingError, match=r"does not multiply bf16; use --engine openvino$"):
        OpenVino(tiny_graph(), threads=1, precision="bf16")


def test_another_precision_than_the_one_asked_for_is_refused(monkeypatch):
    monkeypatch.setitem(module._TYPES, "fp16", module.openvino.Type.f16)
    try:
        engine = OpenVino(tiny_graph(), threads=1, precision="fp16")
    except (SettingError, ModelFileError) as error:
        assert "here, not fp16" in str(error) or "cannot load" in str(error)  # noqa: PT017
    else:  # the processor computes in fp16, and said so
        assert engine.precision == "fp16"


def test_graphs_without_a_patch_size_run_at_any_size(pixels):
    whole = tiny_graph()
    graph = onnx.ModelProto()
    graph.CopyFrom(whole)
    kept = [n for n in graph.graph.node if n.op_type not in {"Resize", "Round"}]
    for node in kept:
        node.input[:] = ["swath.float" if name == "swath.rounded" else name for name in node.input]
    del graph.graph.node[:]
    graph.graph.node.extend(kept)
    graph.graph.initializer.remove(next(t for t in graph.graph.initializer if t.name == "swath.size"))
    engine = OpenVino(graph, threads=2, precision="fp32")
    native = OpenVino(whole, threads=2, precision="fp32")
    wanted = native.run(pixels, ("logits",))["logits"]
    np.testing.assert_allclose(engine.run(pixels[:3], ("logits",))["logits"], wanted[:3], atol=1e-4)
    wide = np.concatenate([pixels[:2], pixels[2:4]], axis=3)  # [2, 3, 64, 128], a mean over both halves
    halves = native.run(pixels[:4], ("features",))["features"]
    got = engine.run(wide, ("features",))["features"]
    np.testing.assert_allclose(got, (halves[:2] + halves[2:]) / 2, atol=1e-4)
    for width in range(64, 64 + 8 * 2 * module._COMPILED, 8):  # the compiled models held are limited
        engine.run(np.zeros((1, 3, 64, width), np.uint8), ("logits",))
    assert len(engine._compiled) == module._COMPILED


def test_a_network_that_resizes_inside_is_refused():
    graph = tiny_graph()
    place = next(i for i, n in enumerate(graph.graph.node) if n.op_type == "AveragePool")
    node = helper.make_node(
        "Resize", ["patches", "", "", "swath.size"], ["again"], axes=[2, 3], mode="linear", antialias=1
    )
    graph.graph.node.insert(place, node)
    graph.graph.node[place + 1].input[0] = "again"
    with pytest.raises(ModelFileError, match=r"antialiasing, which OpenVINO leaves out; .*onnxruntime"):
        OpenVino(graph, threads=1, precision="fp32")


def test_calls_from_several_threads_do_not_mix(engine, pixels):
    wanted = engine.run(pixels, ("probabilities",))["probabilities"]
    got: dict[int, np.ndarray] = {}

    def call(shift: int) -> None:
        got[shift] = np.roll(
            engine.run(np.roll(pixels, shift, axis=0), ("probabilities",))["probabilities"], -shift, axis=0
        )

    callers = [threading.Thread(target=call, args=(shift,)) for shift in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(got) == 6
    for values in got.values():
        np.testing.assert_array_equal(values, wanted)


def test_after_pixels_it_refuses_it_still_runs(engine, pixels):
    wanted = engine.run(pixels, ("probabilities",))["probabilities"]
    with pytest.raises(ModelFileError, match="cannot run"):
        engine.run(np.zeros((20, 2, 64, 64), np.uint8), ("probabilities",))
    np.testing.assert_array_equal(engine.run(pixels, ("probabilities",))["probabilities"], wanted)
