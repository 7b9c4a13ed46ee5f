from __future__ import annotations

import numpy as np
import onnx
import pytest

from swath.errors import ModelFileError
from swath.imagery import resize
from swath.inference.choice import make_engine
from swath.model import read_model
from swath.model.graph import OUTPUTS, assemble, head_of, patch_size, prune, replace_head
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


def test_normalization_and_softmax_are_inside():
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
    alone = np.concatenate([run(tiny_graph(), pixels[i : i + 1], "probabilities") for i in range(len(pixels))])
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


def kinds(graph):
    return [node.op_type for node in graph.graph.node]


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("wanted", [("probabilities",), ("activations", "logits"), ("features",)])
def test_a_pruned_graph_gives_the_same_to_the_bit(wanted, native):
    pixels = np.concatenate([patches(c, 3) for c in CLASSES])
    pixels[0] = np.random.default_rng(0).integers(0, 256, (3, 64, 64))
    whole, pruned = tiny_graph(), prune(tiny_graph(), wanted, native_size=native)
    assert [o.name for o in pruned.graph.output] == list(wanted)
    onnx.checker.check_model(pruned, full_check=True)
    for name in wanted:
        np.testing.assert_array_equal(run(pruned, pixels, name), run(whole, pixels, name))


def test_pruning_leaves_out_what_nothing_needs():
    whole = tiny_graph()
    before = whole.SerializeToString()
    features = prune(whole, ("features",), native_size=True)
    assert kinds(features) == ["Cast", "Sub", "Div", "AveragePool", "Conv", "Relu", "GlobalAveragePool", "Flatten"]
    assert {t.name for t in features.graph.initializer} == {"part.weight", "swath.mean", "swath.sd"}
    probabilities = prune(whole, ("probabilities",), native_size=True)
    assert len(kinds(probabilities)) == len(kinds(whole)) - 2  # no Resize, no Round
    assert kinds(prune(whole, OUTPUTS)) == kinds(whole)
    assert whole.SerializeToString() == before
    with pytest.raises(ModelFileError, match="no output 'embedding'"):
        prune(whole, ("embedding",))


def test_the_shipped_graph_stays_as_small_as_it_is():
    """Operators cost time: a network or an exporter that adds some should be noticed."""
    graph = read_model("eurosat").graph
    pruned = prune(graph, ("probabilities",), native_size=True)
    assert len(kinds(pruned)) == len(kinds(graph)) - 2
    assert "Resize" not in kinds(pruned)


def test_pruning_keeps_what_subgraphs_take_from_outside():
    graph = prune(tiny_graph(), ("logits",))
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["logits", "swath.temperature"], ["inner"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("inner", 1, None)],
    )
    whole = tiny_graph()
    node = onnx.helper.make_node("If", ["always"], ["chosen"], then_branch=inner, else_branch=inner)
    whole.graph.node.append(node)
    whole.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "always"))
    whole.graph.output.append(onnx.helper.make_tensor_value_info("chosen", 1, ["N", 4]))
    pruned = prune(whole, ("chosen",))
    assert kinds(pruned) == [*kinds(graph), "If"]
    assert {"swath.temperature", "always"} <= {t.name for t in pruned.graph.initializer}


def test_the_patch_size_is_read_from_the_graph():
    assert patch_size(tiny_graph()) == 64
    assert patch_size(tiny_graph(spec=input_spec(size=32))) == 32
    assert patch_size(tiny_body()) is None


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def test_a_binary_graph_has_one_logit_and_two_probabilities():
    names = ("Forest", "River")
    pixels = np.concatenate([patches(c, 3) for c in names])
    graph = tiny_graph(names, task="binary", temperature=2.0)
    probabilities, logits = run(graph, pixels, "probabilities", "logits")
    assert logits.shape == (6, 1)
    np.testing.assert_allclose(probabilities[:, 1:], sigmoid(logits / 2), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (probabilities[:3, 0] > 0.5).all()
    assert (probabilities[3:, 1] > 0.5).all()
    # What is left of a probability near 1 is not lost to rounding: 1 - p would be off by 1 in 600 here.
    np.testing.assert_allclose(probabilities[3:, :1], sigmoid(-logits[3:].astype(np.float64) / 2), rtol=5e-4)


def test_a_multi_label_graph_has_a_sigmoid_a_label():
    pixels = np.concatenate([patches(c, 2) for c in CLASSES])
    probabilities, logits = run(tiny_graph(task="multi-label"), pixels, "probabilities", "logits")
    np.testing.assert_allclose(probabilities, sigmoid(logits), atol=1e-6)
    assert probabilities.shape == (8, 4)


def test_a_binary_network_with_several_logits_is_refused():
    with pytest.raises(ModelFileError, match="4 logits for a binary task; export it with one"):
        assemble(tiny_body(), spec=input_spec(), task="binary")


@pytest.mark.parametrize("before", ["single-label", "binary"])
@pytest.mark.parametrize("task", ["single-label", "binary"])
def test_another_head_changes_what_comes_after_the_features_alone(before, task):
    graph = tiny_graph(CLASSES if before == "single-label" else CLASSES[:2], task=before)
    pixels = np.concatenate([patches(c, 2) for c in CLASSES])
    rng = np.random.default_rng(0)
    rows = 6 if task == "single-label" else 1
    weight, bias = rng.normal(size=(rows, 6)).astype(np.float32), rng.normal(size=rows).astype(np.float32)
    changed = replace_head(graph, weight, bias, task=task, temperature=2.0)
    onnx.checker.check_model(changed)
    features = run(graph, pixels, "features")
    probabilities, logits, same = run(changed, pixels, "probabilities", "logits", "features")
    np.testing.assert_array_equal(same, features)
    np.testing.assert_allclose(logits, features @ weight.T + bias, atol=1e-5)
    if task == "single-label":
        np.testing.assert_allclose(probabilities, softmax(logits / 2), atol=1e-5)
    else:
        np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-logits[:, 0] / 2)), atol=1e-5)
    for one, other in zip(head_of(changed), (weight, bias), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_graph_without_features_gets_no_head():
    graph = prune(tiny_graph(), ("probabilities", "logits"))
    with pytest.raises(ModelFileError, match="linear head on an output 'features'"):
        replace_head(graph, np.zeros((4, 6), np.float32), np.zeros(4, np.float32), task="single-label", temperature=1.0)
