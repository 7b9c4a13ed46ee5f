"""Run a network over a whole strip at once and get its prediction for every patch in it.

A patch's logits are the head applied to the mean of its activations. If no layer of the network pads its
input, activation `k` of a patch depends only on the patch's pixels from ``k x stride`` on, wherever the
patch lies, and a strip's activations hold those of every patch that starts at a multiple of the stride:
not nearly but exactly. The head is then a 1x1 convolution, the mean an average pooling with the window
that one patch's activations have.

Only graphs of which that can be proved node by node are turned into dense ones. Strips must be the patch
plus a multiple of the stride high and wide: every layer then grows by a whole number of places, so layers
that were equally large for a patch are so for the strip.

Why that is enough, along one axis: call a feature map of stride `t` (pixels from one place to the next) *shared* if
for every patch that starts at pixel ``k x T``, `T` being the network's total stride, its place `j` has the value of the
strip's place ``k x T / t + j``. The pixels are shared. What is made of each place by itself stays so. A convolution or
pooling without padding of stride `s` gives a shared map of stride ``s x t``: its place `j` depends on places from
``s x j`` on, at fixed distances, in a patch as in the strip. So does a crop, as of the branch that a residual adds to
an unpadded convolution: `a` places less at one end and `b` at the other are a convolution that reaches ``a + b`` places
further and copies its place `a`. Of two shared maps of one stride place `j` of the sum depends on place `j` of both, so
it is shared; they need not lie centered on each other, for whatever shift they have they have in every patch. Their
sizes for a patch have to be equal, though: a map of one place would be added to all places of the other, which in a
strip are other ones. `_plan` keeps stride and size of every map, and refuses maps that differ in either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from swath.errors import ModelFileError, SettingError
from swath.model.graph import HEAD_BIAS, HEAD_WEIGHT, INPUT, head_of, prune

# Operators that work on each place of a feature map by itself.
_PLACEWISE = frozenset(
    {"Add", "BatchNormalization", "Cast", "Clip", "Div", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish"}
    | {"Identity", "LeakyRelu", "Max", "Min", "Mul", "PRelu", "Relu", "Sigmoid", "Sub", "Tanh"}
)
_SLIDING = frozenset({"Conv", "MaxPool", "AveragePool"})
_ENDINGS = frozenset({"Div", "Neg", "Concat", "Softmax", "Sigmoid"})
_POOLED = frozenset({"GlobalAveragePool", "ReduceMean", "Flatten", "Reshape", "Squeeze", "Identity"})


class _PaddedError(Exception):
    """A graph that cannot be run densely, and why."""


@dataclass(frozen=True)
class _Plane:
    """A feature map for one patch, down and across: pixels from one place to the next, and places."""

    stride: tuple[int, int] = (1, 1)
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class _Plan:
    """How to run a model densely: its total stride, its activations for one patch, and its nodes.

    ``nodes`` come before the activations and ``ending`` after the logits.
    """

    stride: int
    window: tuple[int, int]
    nodes: tuple[onnx.NodeProto, ...]
    ending: tuple[onnx.NodeProto, ...]
    constants: tuple[TensorProto, ...]


def dense_stride(model: onnx.ModelProto, *, size: int) -> int | None:
    """Pixels from one patch to the next at which a dense pass equals patch-by-patch prediction.

    Parameters
    ----------
    model : onnx.ModelProto
        A whole model, as :func:`swath.model.graph.assemble` makes it.
    size : int
        Side of its patches, pixels.

    Returns
    -------
    int or None
        The product of the strides of the network's layers; None if it pads, mixes places of a patch
        otherwise than by convolution and pooling, or does not end in global average pooling and the head.
    """
    try:
        return _plan(model, size).stride
    except _PaddedError:
        return None


def dense_graph(model: onnx.ModelProto, *, size: int, stride: int) -> onnx.ModelProto:
    """A graph that classifies every patch of a strip in one pass.

    Parameters
    ----------
    model : onnx.ModelProto
        A whole model.
    size : int
        Side of its patches, pixels.
    stride : int
        Pixels from one patch to the next, a multiple of :func:`dense_stride`.

    Returns
    -------
    onnx.ModelProto
        Input ``pixels [N, bands, H, W]`` as stored, not resized; outputs ``probabilities [N, K, h, w]``,
        ``logits [N, L, h, w]`` and ``features [N, D, h, w]``, those at ``(i, j)`` for the patch whose upper left
        pixel is ``(i x stride, j x stride)``. ``H - size`` and ``W - size`` must be multiples of the stride.

    Raises
    ------
    ModelFileError
        If the model cannot be run densely.
    SettingError
        If the stride is not a multiple of the model's.
    """
    try:
        plan = _plan(model, size)
    except _PaddedError as reason:
        raise ModelFileError(
            f"the network cannot be run over a whole strip: {reason}", fix="classify patch by patch"
        ) from None
    if stride < 1 or stride % plan.stride:
        raise SettingError(f"a stride of {stride} pixels", fix=f"give a multiple of {plan.stride}")
    weight, bias = head_of(model) or (None, None)
    if weight is None or bias is None:  # _plan has looked
        raise ModelFileError("the network has no linear head")
    step = stride // plan.stride
    after = [
        # Pooled first, as for a patch: in bf16 the other order rounds differently and changes labels.
        helper.make_node("AveragePool", ["activations"], ["features"], kernel_shape=plan.window, strides=[step, step]),
        helper.make_node("Conv", ["features", HEAD_WEIGHT, HEAD_BIAS], ["logits"]),
        *plan.ending,
    ]
    pixels = model.graph.input[0].type.tensor_type
    bands = pixels.shape.dim[1].dim_value
    classes = next(o for o in model.graph.output if o.name == "probabilities").type.tensor_type.shape.dim[1].dim_value
    outputs = {"probabilities": classes, "logits": len(weight), "features": weight.shape[1]}
    replaced = {HEAD_WEIGHT: weight[:, :, None, None], HEAD_BIAS: bias.reshape(-1)}
    graph = helper.make_graph(
        [*plan.nodes, *after],
        "swath dense",
        [helper.make_tensor_value_info(INPUT, pixels.elem_type, ["N", bands, "H", "W"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", n, "h", "w"]) for name, n in outputs.items()],
        [*plan.constants, *(numpy_helper.from_array(value, name) for name, value in replaced.items())],
    )
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    dense = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    dense.producer_name = "swath"
    return dense


def _plan(model: onnx.ModelProto, size: int) -> _Plan:
    """Walk the graph from the pixels to the activations and prove every node."""
    model = prune(model, ("probabilities",), native_size=True)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(node)
    if head_of(model) is None or "activations" not in makers:
        raise _PaddedError("it does not end in global average pooling and a linear head")
    _check_tail(makers, constants)
    planes = {INPUT: _Plane(size=(size, size))}
    nodes: list[onnx.NodeProto] = []
    added: list[TensorProto] = []
    for node in _upstream(model, makers, "activations"):
        if node.op_type == "Constant":
            nodes.append(node)
            continue
        maps = [planes[name] for name in node.input if name in planes]
        if not maps:
            raise _PaddedError(f"a {node.op_type} is of no feature map")
        if node.op_type == "Slice":
            plane, kept, tensors = _sliced(node, maps[0], constants)
            added.extend(tensors)
        else:
            plane, kept = _after(node, maps, constants), node
        planes.update(dict.fromkeys(node.output, plane))
        nodes.append(kept)
    end = planes["activations"]
    if end.stride[0] != end.stride[1]:
        raise _PaddedError("its strides down and across differ")
    body = [t for t in model.graph.initializer if t.name not in {HEAD_WEIGHT, HEAD_BIAS}]
    ending = _downstream(model, "logits")
    return _Plan(end.stride[0], end.size, tuple(nodes), tuple(ending), (*body, *added))


def _after(node: onnx.NodeProto, maps: Sequence[_Plane], constants: dict[str, npt.NDArray[Any]]) -> _Plane:
    """The feature map a node makes of others; raises if it looks further than its own neighborhood."""
    if len(set(maps)) != 1:
        raise _PaddedError(f"a {node.op_type} joins feature maps of different sizes")
    plane = maps[0]
    if node.op_type in _SLIDING:
        return _slid(node, plane, constants)
    if node.op_type == "Concat" and _attribute(node, "axis", 1) in {1, -3}:
        return plane
    if node.op_type not in _PLACEWISE:
        raise _PaddedError(f"its {node.op_type} sees a patch as a whole")
    for name in node.input:
        value = constants.get(name)
        if node.op_type != "BatchNormalization" and value is not None and set(value.shape[-2:]) - {1}:
            raise _PaddedError(f"a {node.op_type} gives every place of a patch its own value")
    return plane


def _slid(node: onnx.NodeProto, plane: _Plane, constants: dict[str, npt.NDArray[Any]]) -> _Plane:
    """After a convolution or pooling without padding."""
    if any(_attribute(node, "pads", [])) or _attribute(node, "ceil_mode", 0):
        raise _PaddedError(f"a {node.op_type} pads its input")
    if _attribute(node, "auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"}:
        raise _PaddedError(f"a {node.op_type} pads its input")
    if node.op_type == "Conv" and node.input[1] not in constants:
        raise _PaddedError("a Conv has no fixed weights")
    kernel = _attribute(node, "kernel_shape", None) or constants[node.input[1]].shape[2:]
    steps, dilations = _attribute(node, "strides", [1, 1]), _attribute(node, "dilations", [1, 1])
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    if len(node.output) > 1 or len(reach) != 2 or any(r > n for r, n in zip(reach, plane.size, strict=True)):
        raise _PaddedError(f"a {node.op_type} does not fit")
    down, across = ((n - r) // s + 1 for n, r, s in zip(plane.size, reach, steps, strict=True))
    return _Plane((plane.stride[0] * steps[0], plane.stride[1] * steps[1]), (down, across))


def _sliced(
    node: onnx.NodeProto, plane: _Plane, constants: dict[str, npt.NDArray[Any]]
) -> tuple[_Plane, onnx.NodeProto, list[TensorProto]]:
    """After a crop, counted from both edges of what comes in, so that it takes as much off a larger map."""
    values = [constants.get(name) if name else None for name in node.input[1:]]
    if any(v is None for v, name in zip(values, node.input[1:], strict=True) if name) or len(values) < 2:
        raise _PaddedError("a Slice is not constant")
    starts, ends = (np.asarray(v).reshape(-1).tolist() for v in values[:2])
    axes = range(len(starts)) if len(values) < 3 or values[2] is None else values[2].reshape(-1).tolist()
    steps = [1] * len(starts) if len(values) < 4 or values[3] is None else values[3].reshape(-1).tolist()
    stride, size = list(plane.stride), list(plane.size)
    cropped: list[tuple[int, int, int, int]] = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis % 4 - 2
        if place == -1 and step > 0:
            cropped.append((start, end, 1, step))  # channels: the same for any size
            continue
        if place < 0 or step < 1:
            raise _PaddedError("a Slice cuts more than the edges")
        first, last, _ = slice(start, end).indices(size[place])
        if last <= first:
            raise _PaddedError("a Slice leaves nothing")
        cropped.append((first, last - size[place] or np.iinfo(np.int64).max, place + 2, step))
        stride[place], size[place] = stride[place] * step, -(-(last - first) // step)
    names = [f"swath.crop.{node.output[0]}.{part}" for part in ("starts", "ends", "axes", "steps")]
    tensors = [
        numpy_helper.from_array(np.array(column, np.int64), name)
        for column, name in zip(zip(*cropped, strict=True), names, strict=True)
    ]
    kept = helper.make_node("Slice", [node.input[0], *names], list(node.output))
    return _Plane((stride[0], stride[1]), (size[0], size[1])), kept, tensors


def _check_tail(makers: dict[str, onnx.NodeProto], constants: dict[str, npt.NDArray[Any]]) -> None:
    """Logits are the head applied to the mean of the activations, and nothing else."""
    head = makers["logits"]
    plain = all(_attribute(head, name, 1.0) == 1.0 for name in ("alpha", "beta"))
    named = list(head.input[1:]) == [HEAD_WEIGHT, HEAD_BIAS]
    if head.op_type != "Gemm" or not (plain and named) or not _attribute(head, "transB", 0):
        raise _PaddedError("its logits are not the head's alone")
    name, means = head.input[0], 0
    while name != "activations":
        node = makers.get(name)
        if node is None or node.op_type not in _POOLED:
            raise _PaddedError("its features are not the mean of its activations")
        if node.op_type == "ReduceMean":
            axes = constants.get(node.input[1]) if len(node.input) > 1 else None
            if axes is None or {int(a) % 4 for a in axes.reshape(-1)} != {2, 3}:
                raise _PaddedError("its features are not the mean of its activations")
        means += node.op_type in {"ReduceMean", "GlobalAveragePool"}
        name = node.input[0]
    if means != 1:
        raise _PaddedError("its features are not the mean of its activations")


def _upstream(model: onnx.ModelProto, makers: dict[str, onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """The nodes that `output` depends on, in the graph's order."""
    needed, todo = set[str](), [output]
    while todo:
        name = todo.pop()
        if name in makers and name not in needed:
            needed.add(name)
            todo.extend(makers[name].input)
    return [node for node in model.graph.node if needed.intersection(node.output)]


def _downstream(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    """The nodes that make probabilities of the logits; each works along axis 1, so on maps as on rows."""
    found, made = [], {name}
    for node in model.graph.node:
        if made.intersection(node.input):
            axis = _attribute(node, "axis", -1 if node.op_type == "Softmax" else 1)
            if axis != 1 or node.op_type not in _ENDINGS:
                raise _PaddedError(f"a {node.op_type} follows its logits")
            found.append(node)
            made.update(node.output)
    return found


def _constant(node: onnx.NodeProto) -> npt.NDArray[Any]:
    """The value of a Constant node."""
    value = helper.get_attribute_value(node.attribute[0])
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)
