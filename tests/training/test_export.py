from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from swath.errors import ModelFileError
from swath.inference.choice import make_engine
from swath.model.graph import assemble, head_of
from swath.networks import PatchNet
from swath.training.export import BATCHES, RoundedProducts, bf16_parity, check_export, export_body
from tests.tiny import MEAN, SD, input_spec

from .runs import some

SIZE = 32


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = PatchNet(3, 4, stem=8, widths=(16, 16))
    for module in network.modules():  # a norm that has seen nothing would hide mistakes in it
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture(scope="module")
def body(network):
    return export_body(network, bands=3, size=SIZE)


@pytest.fixture
def graph(body):
    return assemble(body, spec=input_spec(size=SIZE), task="single-label")


@pytest.fixture(scope="module")
def forward(network):
    def run(pixels):
        values = (torch.from_numpy(np.array(pixels)).float() - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(
            SD
        ).view(3, 1, 1)
        with torch.no_grad():
            return network(values).logits.float().softmax(1).numpy()

    return run


PIXELS = some(5, size=SIZE).pixels


def test_the_gate_passes_a_true_export_at_every_batch_size(graph, forward):
    seen = []

    def counted(pixels):
        seen.append(len(pixels))
        return forward(pixels)

    parity = check_export(graph, counted, PIXELS, threads=1)
    assert seen == [256]  # 20 patches, repeated to fill the largest batch
    assert parity.batch_sizes == BATCHES == (1, 2, 7, 256)
    assert parity.patches == len(PIXELS)
    assert parity.max_difference < 1e-5
    assert parity.label_agreement == 1


@pytest.mark.parametrize("name", ["head.weight", "head.bias", "swath.mean", "stem.weight"])
def test_the_gate_refuses_a_graph_that_disagrees(graph, forward, name):
    tensor = next(t for t in graph.graph.initializer if t.name == name)
    value = numpy_helper.to_array(tensor) * 1.3 + 0.3
    tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
    with pytest.raises(ModelFileError, match=r"does not agree.*no model file was written"):
        check_export(graph, forward, PIXELS, threads=1)


def test_the_gate_refuses_a_graph_that_is_wrong_at_one_batch_size_only(graph, forward):
    """As exporters have been: what depends on the batch was frozen at the example's."""
    nodes = [
        onnx.helper.make_node("Shape", ["logits"], ["n"], start=0, end=1),
        onnx.helper.make_node("Equal", ["n", "seven"], ["is_seven"]),
        onnx.helper.make_node("Cast", ["is_seven"], ["push"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Mul", ["push", "first"], ["pushed"]),
        onnx.helper.make_node("Add", ["swath.scaled", "pushed"], ["swath.other"]),
    ]
    graph.graph.initializer.append(numpy_helper.from_array(np.array([7], np.int64), "seven"))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([[9, 0, 0, 0]], np.float32), "first"))
    softmax = graph.graph.node.pop()
    softmax.input[0] = "swath.other"
    graph.graph.node.extend([*nodes, softmax])
    check_export(graph, forward, PIXELS, threads=1, batches=(1, 2, 256))
    with pytest.raises(ModelFileError, match="does not agree"):
        check_export(graph, forward, PIXELS, threads=1)


def test_the_gate_refuses_what_is_not_a_number(graph, forward):
    with pytest.raises(ModelFileError, match="largest difference inf"):
        check_export(graph, lambda p: forward(p) * np.nan, PIXELS, threads=1)


def test_the_body_names_its_head_and_nothing_of_this_machine(body, network):
    weight, bias = head_of(body)
    np.testing.assert_array_equal(weight, network.head.weight.detach().numpy())
    np.testing.assert_array_equal(bias, network.head.bias.detach().numpy())
    text = body.SerializeToString()
    assert b"/" + b"home" not in text
    assert b".py" not in text
    assert b"site-packages" not in text


def test_the_body_is_the_same_every_time(body, network):
    assert export_body(network, bands=3, size=SIZE).SerializeToString() == body.SerializeToString()


def test_activations_and_features_are_exported_too(graph, network):
    outputs = make_engine("onnxruntime", graph, threads=1).run(PIXELS[:3], ("activations", "features"))
    assert outputs["activations"].shape == (3, 16, 4, 4)
    np.testing.assert_allclose(outputs["activations"].mean((2, 3)), outputs["features"], atol=1e-5)


def test_the_bf16_figure_is_measured(forward):
    moved = bf16_parity(lambda p: forward(p) + np.float32(0.25), forward, PIXELS)
    assert moved.max_difference == pytest.approx(0.25, abs=1e-6)
    assert (moved.precision, moved.label_agreement, moved.patches) == ("bf16", 1.0, 20)


def test_rounded_products_move_probabilities_as_far_as_bf16_does(forward):
    exact = forward(PIXELS)
    with torch.autocast("cpu", torch.bfloat16):
        real = np.abs(forward(PIXELS) - exact).mean()
    with RoundedProducts():
        rounded = np.abs(forward(PIXELS) - exact).mean()
    assert real / 2 < rounded < 2 * real
