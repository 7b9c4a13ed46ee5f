"""A model file gives its weights back: the torch network answers as the file does, and can be trained further."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

import swath
from swath.errors import DataError, SettingError
from swath.model import read_model, write_model
from swath.model.graph import assemble
from swath.networks import Network, build_network
from swath.training.export import export_body
from swath.weights import load_weights, locate, network_of_weights, parse_spec
from swath.weights.facts import classes_of
from swath.weights.model_file import model_tensors
from tests.tiny import CLASSES, input_spec, patches, tiny_record

RGB = ("red", "green", "blue")


@pytest.fixture(scope="module", params=["eurosat", pytest.param("stripnet", marks=pytest.mark.slow)])
def given_back(request, tmp_path_factory):
    """A model's name or path and its network in torch."""
    name = request.param
    if name == "stripnet":
        name = str(write_stripnet(tmp_path_factory.mktemp("stripnet") / "m.onnx"))
    file = model_tensors(name)
    network = build_network(
        network_of_weights(name), bands=3, outputs=len(classes_of(model_tensors(name).metadata)), size=64
    )
    network.load_state_dict(file.tensors)
    return name, network.eval()


def write_stripnet(path):
    """A model file of a small network without padding, with norms that do something."""
    torch.manual_seed(0)
    settings = Network(name="stripnet", stem=8, widths=(12, 16, 24))
    network = build_network(settings, bands=3, outputs=len(CLASSES), size=64).eval()
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (norm.running_mean, -0.3, 0.3), (norm.running_var, 0.5, 2), (norm.weight.data, 0.5, 1.5),
                (norm.bias.data, -0.1, 0.3),
            ):  # fmt: skip
                tensor.uniform_(low, high)
    graph = assemble(export_body(network, bands=3, size=64), spec=input_spec(), task="single-label")
    recipe = {"name": "by hand", "network": settings.model_dump(mode="json")}
    write_model(path, graph, tiny_record(graph, recipe=recipe))
    return path


def normalized(name, pixels):
    spec = read_model(name).record.input
    mean, sd = (torch.tensor(v).view(1, -1, 1, 1) for v in (spec.mean, spec.sd))
    return (torch.from_numpy(pixels.astype(np.float32)) - mean) / sd


def test_patches_it_never_saw_get_the_same_answers(given_back):
    name, network = given_back
    pixels = np.concatenate([patches(label, 4) for label in ("Forest", "River", "SeaLake")])
    with torch.no_grad():
        logits = network(normalized(name, pixels)).logits.numpy()
    expected = swath.load(name, engine="onnxruntime", threads=1).run(pixels, wanted=("logits",))["logits"]
    assert np.abs(logits - expected).max() < 1e-2 * np.abs(expected).max()
    assert (logits.argmax(1) == expected.argmax(1)).all()


def test_restored_norms_stay_near_the_function_while_training(given_back):
    """With the statistics of a batch in place of its own the network still tells real patches apart."""
    name, network = given_back
    record = read_model(name).record
    with torch.no_grad():
        logits = network.train()(normalized(name, record.reference.unpack())).logits
    network.eval()
    stated = np.array(record.reference.probabilities).argmax(1)
    assert (logits.numpy().argmax(1) == stated).mean() >= 0.8


def test_a_shipped_name_and_a_file_are_specifications(tmp_path):
    assert parse_spec("eurosat").kind == "model"
    copy = tmp_path / "mine.onnx"
    copy.write_bytes(read_model("eurosat").path.read_bytes())
    assert parse_spec(str(copy)).kind == "model"
    named, filed = locate("eurosat"), locate(str(copy))
    assert (named.source, filed.source) == ("eurosat", "mine.onnx")
    assert named.sha256 == filed.sha256
    with pytest.raises(SettingError, match="a shipped model such as eurosat"):
        parse_spec("eurosta")


def loaded(classes, outputs=None):
    settings = network_of_weights("eurosat")
    network = build_network(settings, bands=3, outputs=outputs or len(classes), size=64)
    before = network.head.weight.detach().clone()
    facts = load_weights(network, "eurosat", network_name=settings.name, bands=RGB, classes=classes)
    return network, facts, before


def test_the_lineage_is_recorded():
    _, facts, _ = loaded(("A", "B", "C"))
    record = read_model("eurosat").record
    assert facts.source == "eurosat"
    assert facts.sha256 == locate("eurosat").sha256
    assert facts.license == record.license == "MIT"
    assert facts.attribution == record.data.attribution
    assert facts.warning is None


def test_the_head_keeps_rows_of_classes_it_knows():
    whole = model_tensors("eurosat").tensors["head.weight"]
    names = classes_of(model_tensors("eurosat").metadata)
    network, facts, _ = loaded(names)
    assert torch.equal(network.head.weight, whole)
    some = (names[8], names[1])
    network, facts, _ = loaded(some, outputs=2)
    assert torch.equal(network.head.weight, whole[[8, 1]])
    assert "head: 2 of 10 classes by name" in facts.changes


@pytest.mark.parametrize(("classes", "outputs"), [(("Forest", "Dump"), 2), (("Forest", "River"), 1)])
def test_the_head_is_new_for_other_classes_and_other_tasks(classes, outputs):
    network, facts, before = loaded(classes, outputs=outputs)
    assert torch.equal(network.head.weight, before)
    assert any("head" in change for change in facts.changes)


def test_ten_other_classes_do_not_get_the_head_by_its_shape():
    network, _, before = loaded(tuple(f"class {k}" for k in range(10)))
    assert torch.equal(network.head.weight, before)


def test_a_graph_that_is_not_the_network_of_its_record_is_refused(tmp_path):
    file = read_model("eurosat")
    changed = onnx.ModelProto()
    changed.CopyFrom(file.graph)
    filters = next(tensor for tensor in changed.graph.initializer if len(tensor.dims) == 4 and tensor.dims[1] > 3)
    given, filters.name = filters.name, "weights_of_another_name"
    for node in changed.graph.node:
        node.input[:] = ["weights_of_another_name" if i == given else i for i in node.input]
    write_model(tmp_path / "m.onnx", changed, file.record)
    with pytest.raises(DataError, match=r"cannot be told from its graph; start from the weights.safetensors"):
        model_tensors(tmp_path / "m.onnx")


def test_a_record_without_a_network_of_the_catalog_is_refused(tiny_model):
    with pytest.raises(DataError, match="does not state its network"):
        model_tensors(tiny_model)
