from __future__ import annotations

import numpy as np
import onnx
import pytest

from swath.errors import ModelFileError
from swath.imagery import resize
from swath.inference.engines import make_engine
from swath.model.graph import assemble, head_of, set_temperature
from tests.tiny import CLASSES, MEAN, SD, input_spec, patches, tiny_body, tiny_graph


def run(graph, pixels, *names):
    outputs = make_engine("onnxruntime", graph, threads=1).run(pixels, names)
    return outputs[names[0]] if len(names) == 1 else tuple(outputs[n] for n in names)


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def by_hand(pixels):
    """The tiny body in numpy, from pixels to logits."""
    values = (pixels.astype(np.float64) - np.reshape(MEAN, (3, 1, 1))) / np.reshape(SD, (3, 1, 1))
    n, bands, height, width = values.shape
    blocks = values.reshape(n, bands, height // 8, 8, width // 8, 8).mean(axis=(3, 5))
    features = np.maximum(np.concatenate([blocks, -blocks], axis=1), 0).mean(axis=(2, 3))
    weight, bias = head_of(tiny_graph())
    return features @ weight.T.astype(np.float64) + bias


def test_normalisation_and_softmax_are_inside():
    pixels = np.concatenate([patches(c, 2) for c in CLASSES])
    probabilities, logits = run(tiny_graph(), pixels, "probabilities", "logits")
    np.testing.assert_allclose(logits, by_hand(pixels), atol=1e-3)
    np.testing.assert_allclose(probabilities, softmax(by_hand(pixels)), atol=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_temperature_divides_logits_before_softmax_only(temperature):
    pixels = patches("River", 3)
    probabilities, logits = run(tiny_graph(temperature=temperature), pixels, "probabilities", "logits")
    np.testing.assert_array_equal(logits, run(tiny_graph(), pixels, "logits"))
    np.testing.assert_allclose(probabilities, softmax(logits / temperature), atol=1e-5)


def test_the_temperature_can_be_set_later():
    pixels, graph = patches("River", 3), tiny_graph()
    set_temperature(graph, 2.0)
    np.testing.assert_array_equal(
        run(graph, pixels, "probabilities"), run(tiny_graph(temperature=2.0), pixels, "probabilities")
    )
    with pytest.raises(ModelFileError, match="no temperature"):
        set_temperature(tiny_body(), 2.0)


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_other_tasks_end_in_sigmoid(task):
    pixels = patches("River", 2)
    probabilities, logits = run(tiny_graph(task=task), pixels, "probabilities", "logits")
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 96), (32, 32), (50, 131), (256, 65)])
def test_other_sizes_are_resized_inside_as_training_does_outside(height, width):
    pixels = np.random.default_rng(height).integers(0, 256, (2, 3, height, width)).astype(np.uint8)
    inside = run(tiny_graph(), pixels, "probabilities")
    outside = run(tiny_graph(), resize(pixels, 64), "probabilities")
    assert np.abs(inside - outside).max() < 5e-3
    assert (inside.argmax(1) == outside.argmax(1)).all()


def test_sixteen_bit_pixels_keep_every_number():
    spec = input_spec(bands=("nir",), data_type="uint16", mean=(60000.0,), sd=(1.0,))
    graph = tiny_graph(("A", "B"), spec=spec)
    pixels = np.full((1, 1, 64, 64), 60001, np.uint16)
    assert run(graph, pixels, "features")[0, 0] == pytest.approx(1.0)


def test_the_batch_is_free_and_the_answer_does_not_depend_on_it():
    pixels = np.concatenate([patches(c, 3) for c in CLASSES])
    together = run(tiny_graph(), pixels, "probabilities")
    alone = np.concatenate(
        [run(tiny_graph(), pixels[i : i + 1], "probabilities") for i in range(len(pixels))]
    )
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_body_is_not_changed_and_shape_notes_are_dropped():
    body = tiny_body()
    body.graph.value_info.append(onnx.helper.make_tensor_value_info("blocks", 1, [2, 3, 8, 8]))
    before = body.SerializeToString()
    graph = assemble(body, spec=input_spec(), task="single-label")
    assert body.SerializeToString() == before
    assert not graph.graph.value_info
    assert [o.name for o in graph.graph.output] == ["probabilities", "logits", "features", "activations"]


def test_outputs_the_body_lacks_are_left_out():
    body = tiny_body()
    del body.graph.output[1:]
    graph = assemble(body, spec=input_spec(), task="single-label")
    assert [o.name for o in graph.graph.output] == ["probabilities", "logits"]


def test_bodies_that_cannot_be_wrapped():
    with pytest.raises(ModelFileError, match=r"opset 17.*18 or later"):
        assemble(tiny_body(opset=17), spec=input_spec(), task="single-label")
    with pytest.raises(ModelFileError, match="opset 0"):
        assemble(onnx.ModelProto(), spec=input_spec(), task="single-label")
    two = tiny_body()
    two.graph.input.append(onnx.helper.make_tensor_value_info("more", 1, [1]))
    with pytest.raises(ModelFileError, match="2 inputs"):
        assemble(two, spec=input_spec(), task="single-label")
    nameless = tiny_body()
    del nameless.graph.output[:1]
    with pytest.raises(ModelFileError, match="no output 'logits'"):
        assemble(nameless, spec=input_spec(), task="single-label")


def test_the_head_explains_the_logits():
    pixels, graph = patches("Forest", 4), tiny_graph()
    weight, bias = head_of(graph)
    activations, features, logits = run(graph, pixels, "activations", "features", "logits")
    np.testing.assert_allclose(activations.mean(axis=(2, 3)), features, atol=1e-5)
    np.testing.assert_allclose(features @ weight.T + bias, logits, atol=1e-3)


def test_a_network_that_ends_otherwise_has_no_head():
    graph = tiny_graph()
    graph.graph.initializer.remove(next(t for t in graph.graph.initializer if t.name == "head.bias"))
    assert head_of(graph) is None
