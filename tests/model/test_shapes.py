"""Graphs of a few hundred bytes whose shapes take any memory to infer, and shapes as networks state them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from onnx import TensorProto, helper

from swath.errors import ModelFileError
from swath.model.cost import measure_cost
from swath.model.shapes import check_shape_inputs
from tests.model.test_cost import SHAPE, graph

node = helper.make_node
LONG = [("one", np.ones(1, np.int64)), ("many", np.array([2**26], np.int64))]
TOO_MANY = "has too many values"


def ones(**sizes):
    return node("ConstantOfShape", ["many"], ["x"], value=helper.make_tensor("v", TensorProto.INT64, [1], [1]))


def doubled(times):
    """A list of axes, twice as long with each node."""
    yield node("Shape", ["pixels"], ["x0"])
    for step in range(times):
        yield node("Concat", [f"x{step}", f"x{step}"], [f"x{step + 1}"], axis=0)


HOSTILE = {
    "a slice by 67 million axes": (
        [node("Expand", ["one", "many"], ["x"]), node("Slice", ["pixels", "x", "x"], ["out"])], LONG,
    ),
    "a shape joined of long ones": (
        [
            node("Expand", ["one", "many"], ["x"]),
            node("Concat", ["x", "x"], ["y"], axis=0),
            node("Reshape", ["pixels", "y"], ["out"]),
        ],
        LONG,
    ),
    "a shape of ones": ([ones(), node("Reshape", ["pixels", "x"], ["out"])], LONG),
    "a shape that doubles": ([*doubled(28), node("Reshape", ["pixels", "x28"], ["out"])], []),
    "a shape that is tiled": (
        [node("Tile", ["one", "many"], ["x"]), node("Reshape", ["pixels", "x"], ["out"])], LONG,
    ),
    "a shape unfolded by a computed one": (
        [
            node("Shape", ["pixels"], ["s"]),
            node("Mul", ["s", "many"], ["t"]),
            node("Expand", ["one", "t"], ["u"]),
            node("Reshape", ["u", "one"], ["v"]),
            node("Slice", ["pixels", "v", "v"], ["out"]),
        ],
        LONG,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "weights"), HOSTILE.values(), ids=HOSTILE)
def test_shapes_of_any_length_are_refused_at_once(nodes, weights):
    began = time.process_time()
    with pytest.raises(ModelFileError, match=rf"^m\.onnx: .*{TOO_MANY}"):
        measure_cost(graph(nodes, weights), SHAPE, where="m.onnx")
    assert time.process_time() - began < 2


def test_a_shape_of_pixels_is_refused():
    model = graph([node("Cast", ["pixels"], ["x"], to=TensorProto.INT64), node("Reshape", ["pixels", "x"], ["out"])])
    with pytest.raises(ModelFileError, match="Reshape makes does not follow from the size of a patch"):
        check_shape_inputs(model, where="m.onnx")


def test_a_split_into_more_parts_than_it_has():
    model = graph([node("Split", ["pixels"], ["out"], axis=1, num_outputs=2**31)])
    with pytest.raises(ModelFileError, match=r"m\.onnx: Split says another number of outputs than it has"):
        measure_cost(model, SHAPE, where="m.onnx")


def test_a_type_that_there_is_not_is_no_type():
    model = graph([node("Relu", ["pixels"], ["x"]), node("Identity", ["x"], ["out"])])
    model.graph.output[0].type.tensor_type.elem_type = -1
    with pytest.raises(ModelFileError, match=r"^m\.onnx"):
        measure_cost(model, SHAPE, where="m.onnx")


def test_shapes_as_exporters_write_them_pass():
    """Of PyTorch: the size of a batch from the pixels, joined with constants; ones where a length is given as -1."""
    model = graph(
        [
            node("Shape", ["pixels"], ["s"]),
            node("Gather", ["s", "first"], ["n"], axis=0),
            node("Unsqueeze", ["n", "zero"], ["n1"]),
            node("Concat", ["n1", "rest"], ["to"], axis=0),
            node("Shape", ["to"], ["rank"]),
            node("ConstantOfShape", ["rank"], ["ones"], value=helper.make_tensor("v", TensorProto.INT64, [1], [1])),
            node("Mul", ["ones", "minus"], ["missing"]),
            node("Equal", ["to", "missing"], ["same"]),
            node("Where", ["same", "ones", "to"], ["shape"]),
            node("Expand", ["token", "shape"], ["tokens"]),
            node("Slice", ["tokens", "zero", "n1", "zero"], ["part"]),
            node("ReduceSum", ["part", "axes"], ["out"]),
        ],
        [
            ("first", np.array(0, np.int64)), ("zero", np.array([0], np.int64)), ("rest", np.array([1, 8], np.int64)),
            ("minus", np.array(-1, np.int64)), ("token", np.zeros((1, 1, 8), np.float32)),
            ("axes", np.array([1], np.int64)),
        ],
    )  # fmt: skip
    check_shape_inputs(model, where="m")
