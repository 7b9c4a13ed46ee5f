from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from swath.errors import ModelFileError
from swath.model.file import check_contract, read_model
from swath.model.graph import HEAD_WEIGHT, TEMPERATURE
from tests.tiny import input_spec, tiny_graph, tiny_record


@pytest.fixture(scope="module")
def record():
    return tiny_record(tiny_graph())


@pytest.fixture
def graph():
    return tiny_graph()


def weights(graph, name):
    return next(t for t in graph.graph.initializer if t.name == name)


def outside(tensor: TensorProto) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def branch(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "branch", [], [out])


def hidden(graph: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Put nodes into a branch of an If, out of plain sight."""
    graph.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    node = helper.make_node("If", ["yes"], ["aside"], then_branch=branch(*nodes), else_branch=branch(*nodes))
    graph.graph.node.append(node)


def test_a_sound_graph_passes(graph, record):
    check_contract(graph, record, where="m.onnx")


def test_weights_outside_the_file(graph, record):
    outside(weights(graph, "head.weight"))
    with pytest.raises(ModelFileError, match=r"m\.onnx points to weights outside itself"):
        check_contract(graph, record, where="m.onnx")


def test_weights_outside_the_file_in_a_constant_node(graph, record):
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1])
    outside(tensor)
    graph.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))
    with pytest.raises(ModelFileError, match="outside itself"):
        check_contract(graph, record, where="m.onnx")


def test_weights_outside_the_file_in_a_branch(graph, record):
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1])
    outside(tensor)
    hidden(graph, helper.make_node("Constant", [], ["c"], value=tensor))
    with pytest.raises(ModelFileError, match="outside itself"):
        check_contract(graph, record, where="m.onnx")


def test_custom_operators(graph, record):
    graph.opset_import.append(helper.make_opsetid("com.evil", 1))
    graph.graph.node.append(helper.make_node("Run", ["logits"], ["x"], domain="com.evil"))
    with pytest.raises(ModelFileError, match=r"operators outside standard ONNX \(com\.evil\)"):
        check_contract(graph, record, where="m.onnx")


def test_custom_operators_in_a_branch(graph, record):
    graph.opset_import.append(helper.make_opsetid("com.evil", 1))
    hidden(graph, helper.make_node("Run", ["logits"], ["x"], domain="com.evil"))
    with pytest.raises(ModelFileError, match=r"com\.evil"):
        check_contract(graph, record, where="m.onnx")


def test_local_functions(graph, record):
    graph.functions.add(name="f", domain="local")
    with pytest.raises(ModelFileError, match=r"\(functions\)"):
        check_contract(graph, record, where="m.onnx")


def test_a_graph_that_is_not_valid(graph, record):
    graph.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelFileError, match="not a valid ONNX graph"):
        check_contract(graph, record, where="m.onnx")


def test_a_missing_output(graph, record):
    del graph.graph.output[:1]
    with pytest.raises(ModelFileError, match="input and outputs of a swath model"):
        check_contract(graph, record, where="m.onnx")


def test_wrong_bands(record):
    graph = tiny_graph(spec=input_spec(bands=("nir",), mean=(1.0,), sd=(1.0,)))
    with pytest.raises(ModelFileError, match="takes 1 bands, the record names 3"):
        check_contract(graph, record, where="m.onnx")


def test_an_input_of_another_rank(graph, record):
    del graph.graph.input[0].type.tensor_type.shape.dim[:]
    with pytest.raises(ModelFileError, match="takes 0 bands"):
        check_contract(graph, record, where="m.onnx")


def test_wrong_type(record):
    with pytest.raises(ModelFileError, match="does not take uint8"):
        check_contract(tiny_graph(spec=input_spec(data_type="uint16")), record, where="m.onnx")


def test_wrong_number_of_classes(record):
    with pytest.raises(ModelFileError, match="gives 2 probabilities, and the record names 4 classes"):
        check_contract(tiny_graph(("A", "B")), record, where="m.onnx")


def test_another_temperature(record):
    with pytest.raises(ModelFileError, match="different temperatures"):
        check_contract(tiny_graph(temperature=2.0), record, where="m.onnx")


def test_another_patch_size(record):
    other = record.model_copy(update={"input": record.input.model_copy(update={"size": 128})})
    with pytest.raises(ModelFileError, match="different patch sizes"):
        check_contract(tiny_graph(), other, where="m.onnx")


def test_a_temperature_that_is_no_number(graph, record):
    weights(graph, TEMPERATURE).CopyFrom(numpy_helper.from_array(np.array(["hot"], object), TEMPERATURE))
    with pytest.raises(ModelFileError, match=r"m\.onnx"):
        check_contract(graph, record, where="m.onnx")


def test_a_patch_size_that_is_no_number(graph, record):
    weights(graph, "swath.size").CopyFrom(numpy_helper.from_array(np.array([np.inf, 64], np.float32), "swath.size"))
    with pytest.raises(ModelFileError, match=r"m\.onnx holds damaged weights"):
        check_contract(graph, record, where="m.onnx")


@pytest.mark.parametrize("name", ["swath.size", TEMPERATURE, HEAD_WEIGHT])
def test_weights_of_a_type_there_is_not(graph, record, name):
    weights(graph, name).data_type = 99
    with pytest.raises(ModelFileError, match=r"m\.onnx holds damaged weights"):
        check_contract(graph, record, where="m.onnx")


def test_a_head_of_another_shape(graph, record):
    for name in ("head.weight", "head.bias"):
        tensor = weights(graph, name)
        tensor.name = f"real.{name}"
        graph.graph.node[-3].input[:] = [f"real.{n}" if n == name else n for n in graph.graph.node[-3].input]
        graph.graph.initializer.append(numpy_helper.from_array(np.zeros((2, 6), np.float32), name))
    with pytest.raises(ModelFileError, match="one row per logit"):
        check_contract(graph, record, where="m.onnx")


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_models_of_other_tasks_keep_the_contract(task):
    names = ("Forest", "River")
    graph = tiny_graph(names, task=task)
    check_contract(graph, tiny_record(graph, names, task=task), where="m.onnx")


def test_a_graph_of_another_task_than_its_record_is_refused():
    names = ("Forest", "River")
    graph = tiny_graph(names, task="multi-label")
    single = tiny_record(tiny_graph(names), names)
    with pytest.raises(ModelFileError, match="ends in Sigmoid, as no single-label model does"):
        check_contract(graph, single, where="m.onnx")
    binary = tiny_record(tiny_graph(names, task="binary"), names, task="binary")
    with pytest.raises(ModelFileError, match="gives 2 logits, and the record names 2 classes of a binary"):
        check_contract(graph, binary, where="m.onnx")


@pytest.mark.parametrize(
    "imports", [[("", 20), ("ai.onnx", 2**31 - 1)], [("", 20), ("", 18)], [("x", 2**40), ("", 20)]]
)
def test_versions_of_operators_that_there_are_not(tiny_model, tmp_path, imports):
    # OpenVINO would count down from two billion.
    model = onnx.load(tiny_model)
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid(domain, version) for domain, version in imports])
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=r"m\.onnx asks for operators of version .*, and the installed onnx knows"):
        read_model(tmp_path / "m.onnx")


def test_weights_of_another_length_than_they_say(tiny_model, tmp_path):
    model = onnx.load(tiny_model)
    tensor = next(t for t in model.graph.initializer if t.name == "part.weight")
    tensor.raw_data += bytes(3)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=r"holds damaged weights \('part\.weight' does not have as many values"):
        read_model(tmp_path / "m.onnx")


def test_outputs_that_are_not_as_the_graph_says(tiny_model, tmp_path):
    model = onnx.load(tiny_model)
    last = next(node for node in model.graph.node if "probabilities" in node.output)
    last.input[:] = ["twice"]
    place = len(model.graph.node) - 1
    model.graph.node.insert(place, helper.make_node("Concat", ["swath.scaled", "swath.scaled"], ["twice"], axis=1))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=r"gives 'probabilities' of shape \[1, 8\] for one patch"):
        read_model(tmp_path / "m.onnx")


def test_names_of_axes_nested_without_end(tiny_model, tmp_path):
    model = onnx.load(tiny_model)
    model.graph.input[0].doc_string = "[" * 100_000
    onnx.save(model, tmp_path / "m.onnx")
    assert read_model(tmp_path / "m.onnx").record.name == "tiny"  # as of a file that does not name them
