"""What running a graph costs, known before it runs: the largest tensor it makes and the operations it takes.

A model file is somebody's program. A few hundred bytes of it can ask for terabytes (a constant unfolded to any size)
or never end (a loop), so graphs that repeat are refused, and the shape of everything a graph makes has to follow from
that of its input. Networks written by PyTorch, Keras or timm have neither loops nor shapes that depend on pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from swath.errors import ModelFileError
from swath.machine import memory_limit
from swath.model.shapes import check_shape_inputs

MAX_TENSOR = 2**30  # bytes a patch; a ResNet-50 at 224 pixels makes 3 MB at most
_HELD = 64  # tensors of this size for which there must be memory: two at a time, of 8 patches, on 4 threads
MAX_OPERATIONS = 10**13  # a patch; a ResNet-50 at 224 pixels takes 8e9, a ViT-H 3e11
_REPEATING = {"If", "Loop", "Scan", "SequenceMap"}
_SMALL = 4096  # bytes of a constant that may state a shape; larger ones are weights, and only their shape matters
_MOST_AXES = 8
_LONGEST_RANGE = 100_000
_TYPES = frozenset(TensorProto.DataType.values())
_FOUR = 4  # bytes of a value whose type is not known
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """What one patch costs.

    Attributes
    ----------
    largest : int
        Bytes of the largest tensor made on the way.
    operations : int
        Multiplications and additions of convolutions and matrix products, and one operation for every other value.
    outputs : dict of str to tuple of int
        Shape of each output, as it follows from the graph; what the graph itself says of them is not believed.
    """

    largest: int
    operations: int
    outputs: dict[str, Shape]


def measure_cost(graph: onnx.ModelProto, shape: Sequence[int], *, where: str) -> Cost:
    """Estimate what a graph costs, without running it.

    Parameters
    ----------
    graph : onnx.ModelProto
        A valid graph with one input.
    shape : sequence of int
        Of its input: images, bands, rows, columns.
    where : str
        Name of the file for messages.

    Raises
    ------
    ModelFileError
        If it has operators that repeat others, constants that unfold, or shapes that do not follow from the input's.
    """
    repeating = sorted({node.op_type for node in graph.graph.node} & _REPEATING)
    if repeating:
        raise ModelFileError(
            f"{where} repeats or chooses parts of itself ({', '.join(repeating)}), and what that costs cannot be known",
            fix="export the network without control flow",
        )
    if graph.graph.sparse_initializer or any(
        a.HasField("sparse_tensor") for n in graph.graph.node for a in n.attribute
    ):
        raise ModelFileError(f"{where} holds sparse weights, which unfold to any size", fix="export them dense")
    check_shape_inputs(graph, where=where)
    inferred = _inferred(graph, shape, _ranges(graph, shape, where=where), where=where)
    shapes, sizes = _shapes(inferred)
    largest = operations = 0
    for node in inferred.graph.node:
        for name in filter(None, node.output):
            if name not in shapes:
                raise ModelFileError(
                    f"{where}: the size of what {node.op_type} makes does not follow from the size of a patch",
                    fix="export the network with a fixed patch size",
                )
            values = math.prod(shapes[name])
            largest = max(largest, values * sizes.get(name, _FOUR))
            operations += values * _per_value(node, shapes)
    return Cost(largest, operations, {end.name: shapes.get(end.name, ()) for end in inferred.graph.output})


def check_cost(graph: onnx.ModelProto, shape: Sequence[int], *, where: str) -> Cost:
    """The cost of a graph; refuses one that takes more memory or time for a patch than any network should.

    Parameters and errors are those of :func:`measure_cost`.

    Raises
    ------
    ModelFileError
        If a tensor would be larger than :func:`max_tensor`, or a patch take more than :data:`MAX_OPERATIONS`.
    """
    cost = measure_cost(graph, shape, where=where)
    if cost.largest > max_tensor():
        raise ModelFileError(
            f"{where} makes a tensor of {cost.largest / 2**30:,.2f} GiB for one patch, above the limit of "
            f"{max_tensor() / 2**30:,.2f} GiB on this machine",
            fix="use a smaller network or smaller patches",
        )
    if cost.operations > MAX_OPERATIONS:
        raise ModelFileError(
            f"{where} takes {cost.operations:.1e} operations for one patch, above the limit of {MAX_OPERATIONS:.0e}",
            fix="use a smaller network or smaller patches",
        )
    return cost


def max_tensor() -> int:
    """Bytes that the largest tensor of a patch may have here: several, of several patches, are held at once."""
    return min(MAX_TENSOR, memory_limit() // _HELD)


def _ranges(graph: onnx.ModelProto, shape: Sequence[int], *, where: str) -> dict[str, int]:
    """Length of each range of numbers; long ones are refused before shapes are inferred, which would write them out."""
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in graph.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    makers = {name: node for node in graph.graph.node for name in node.output}

    def number(name: str) -> float:
        """A constant, or the number of patches, rows or columns that come in; NaN if it is neither."""
        maker = makers.get(name)
        if name in constants and math.prod(constants[name].dims) == 1:
            return float(numpy_helper.to_array(constants[name]).reshape(()))
        if maker is not None and maker.op_type in ("Squeeze", "Cast", "Identity"):
            return number(maker.input[0])
        if maker is not None and maker.op_type == "Shape" and maker.input[0] == graph.graph.input[0].name:
            part = {attribute.name: attribute.i for attribute in maker.attribute}
            sides = shape[part.get("start", 0) : part.get("end", len(shape))]
            return float(sides[0]) if len(sides) == 1 else math.nan
        return math.nan

    lengths: dict[str, int] = {}
    for node in graph.graph.node:
        if node.op_type != "Range":
            continue
        start, stop, step = map(number, node.input)
        length = abs((stop - start) / step) if step else math.inf
        if not length <= _LONGEST_RANGE:
            raise ModelFileError(
                f"{where} makes a range of numbers that is too long, or whose length is not known before it runs",
                fix="export the network with a fixed patch size",
            )
        lengths[node.output[0]] = math.ceil(length)
    return lengths


def _inferred(
    graph: onnx.ModelProto, shape: Sequence[int], ranges: Mapping[str, int], *, where: str
) -> onnx.ModelProto:
    """The graph with the shapes of all its tensors, without the values of its weights."""
    bare = onnx.ModelProto(ir_version=graph.ir_version, opset_import=graph.opset_import)
    bare.graph.name = "cost"
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.graph.value_info}
    pixels = graph.graph.input[0]
    counts = [t for t in graph.graph.initializer if t.data_type == TensorProto.INT64 and len(t.dims) == 1]
    small = {t.name: numpy_helper.to_array(t).tolist() for t in counts if t.dims[0] <= _MOST_AXES}
    for node in graph.graph.node:
        # What is counted from the shape of the input is put in its place: inference does not follow it everywhere.
        numbers: list[int] | None = None
        kind = TensorProto.INT64
        if node.op_type == "Range":
            kind, numbers = kinds.get(node.output[0], kind), [0] * ranges[node.output[0]]
        elif node.op_type == "Shape" and node.input[0] == pixels.name:
            part = {attribute.name: attribute.i for attribute in node.attribute}
            numbers = small[node.output[0]] = list(shape[part.get("start", 0) : part.get("end", len(shape))])
        elif node.op_type == "Concat" and all(name in small for name in node.input):
            numbers = small[node.output[0]] = [number for name in node.input for number in small[name]]
        if numbers is None:
            bare.graph.node.append(node)
        else:
            value = helper.make_tensor("counted", kind, [len(numbers)], numbers)
            bare.graph.node.append(helper.make_node("Constant", [], [node.output[0]], value=value))
    bare.graph.input.append(helper.make_tensor_value_info(pixels.name, pixels.type.tensor_type.elem_type, shape))
    for output in graph.graph.output:  # stated shapes are claims, and would be believed
        kind = output.type.tensor_type.elem_type
        bare.graph.output.append(helper.make_tensor_value_info(output.name, kind, None))
    for tensor in graph.graph.initializer:
        if tensor.ByteSize() <= _SMALL:
            bare.graph.initializer.append(tensor)
        else:
            bare.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    try:
        return shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    except Exception as error:  # the library raises nearly anything on hostile graphs
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise ModelFileError(f"{where} holds shapes that do not fit together ({reason[:200]})") from error


def _shapes(graph: onnx.ModelProto) -> tuple[dict[str, Shape], dict[str, int]]:
    """The known shape of each tensor, and the bytes of one of its values."""
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in graph.graph.initializer}
    sizes: dict[str, int] = {}
    for value in (*graph.graph.input, *graph.graph.value_info, *graph.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") and d.dim_value >= 0 for d in kind.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in kind.shape.dim)
        if kind.elem_type in _TYPES and kind.elem_type not in (TensorProto.UNDEFINED, TensorProto.STRING):
            sizes[value.name] = helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    return shapes, sizes


def _per_value(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int:
    """Operations for one value that a node makes."""
    operands = [shapes.get(name, ()) for name in node.input]
    if node.op_type in ("Conv", "ConvTranspose") and len(operands) > 1:
        return 2 * math.prod(operands[1][1:])
    if node.op_type in ("MatMul", "Gemm") and operands and operands[0]:
        turned = any(a.name == "transA" and a.i for a in node.attribute)
        return 2 * operands[0][0 if turned else -1]
    if node.op_type in ("Einsum", "MatMulInteger", "QLinearMatMul", "LSTM", "GRU", "RNN"):
        return 2 * max((max(shape, default=1) for shape in operands), default=1)
    if node.op_type in ("AveragePool", "MaxPool", "LpPool"):
        return math.prod(next((a.ints for a in node.attribute if a.name == "kernel_shape"), [1]))
    if node.op_type.startswith("Reduce") or node.op_type in ("GlobalAveragePool", "GlobalMaxPool"):
        return max(1, math.prod(operands[0]) if operands else 1)
    return 1
