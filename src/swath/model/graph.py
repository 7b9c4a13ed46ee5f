"""The graph of a model file: a network's body with everything before and after it built in.

Before: cast, resize, rounding and normalization. After: temperature and softmax or sigmoid. The pieces
are plain ONNX operators written here, without any training library, so that what serves is what the export
check measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from swath.errors import ModelFileError
from swath.model.record import InputSpec, Task

INPUT = "pixels"
OUTPUTS = ("probabilities", "logits", "features", "activations")
BODY_OUTPUTS = ("logits", "features", "activations")
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"

MEAN, SD = "swath.mean", "swath.sd"
TEMPERATURE = "swath.temperature"
_SIZE, _FLOAT, _ROUNDED, _SCALED = "swath.size", "swath.float", "swath.rounded", "swath.scaled"
TYPES = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16}


def assemble(body: onnx.ModelProto, *, spec: InputSpec, task: Task, temperature: float = 1.0) -> onnx.ModelProto:
    """Wrap a network's body into a whole model.

    Parameters
    ----------
    body : onnx.ModelProto
        One float32 input ``[N, bands, P, P]`` of normalized patches; outputs ``logits [N, K]`` (``[N, 1]``
        for the binary task: that of the positive class) and, where the network has them,
        ``features [N, D]`` and ``activations [N, D, h, w]``.
    spec : InputSpec
        Size, stored type, mean and spread.
    task : str
        Decides softmax (single-label), sigmoids (multi-label), or the sigmoid of one logit and what it
        leaves of 1 (binary: ``probabilities [N, 2]``, negative class first).
    temperature : float
        Divides the logits before the probabilities are taken.

    Returns
    -------
    onnx.ModelProto
        Input ``pixels [N, bands, H, W]`` as stored; outputs :data:`OUTPUTS`, as far as the body has them.

    Raises
    ------
    ModelFileError
        If the body is of an opset before 18, does not have one input and an output ``logits``, or has
        several logits for the binary task.
    """
    model = onnx.ModelProto()
    model.CopyFrom(body)
    graph = model.graph
    opset = max((o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}), default=0)
    if opset < 18:
        raise ModelFileError(f"the network was exported at opset {opset}", fix="export it at opset 18 or later")
    if len(graph.input) != 1:
        raise ModelFileError(f"the network has {len(graph.input)} inputs", fix="export it with one")
    if "logits" not in {o.name for o in graph.output}:
        raise ModelFileError("the network has no output 'logits'", fix="export it with that name")
    inner = graph.input[0].name
    bands = len(spec.bands)
    bodies = {o.name: o for o in graph.output}
    logits = bodies["logits"].type.tensor_type.shape.dim[1].dim_value
    if task == "binary" and logits != 1:
        raise ModelFileError(f"the network has {logits} logits for a binary task", fix="export it with one")
    before = _before(spec, inner, graph)
    graph.initializer.append(_constant(TEMPERATURE, np.float32(temperature)))
    nodes = [*before, *graph.node, *_after(task)]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TYPES[spec.data_type], ["N", bands, "H", "W"]))
    kept = [bodies[name] for name in BODY_OUTPUTS if name in bodies]
    classes = 2 if task == "binary" else logits
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes]))
    graph.output.extend(kept)
    graph.name = "swath"
    # Shapes the exporter inferred for its example batch mislead some engines.
    del graph.value_info[:]
    return model


def head_of(model: onnx.ModelProto) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
    """The linear head's weight ``[K, D]`` and bias ``[K]``, or None if the network ends otherwise.

    Binary models have one row: evidence for the positive class, and, negated, for the negative one.
    """
    found = {t.name: t for t in model.graph.initializer if t.name in {HEAD_WEIGHT, HEAD_BIAS}}
    if len(found) != 2:
        return None
    weight, bias = (np.asarray(numpy_helper.to_array(found[n]), np.float32) for n in (HEAD_WEIGHT, HEAD_BIAS))
    return weight, bias


def replace_head(
    model: onnx.ModelProto,
    weight: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    *,
    task: Task,
    temperature: float,
) -> onnx.ModelProto:
    """Give a whole model another linear head, and the end of its task.

    Parameters
    ----------
    model : onnx.ModelProto
        With the outputs ``features`` and ``logits``, the latter by a linear head.
    weight, bias : numpy.ndarray
        ``[L, D]`` and ``[L]``; one row for a binary model.
    task, temperature
        Of the new model.

    Returns
    -------
    onnx.ModelProto
        Another model, without names of classes; `model` is not changed.

    Raises
    ------
    ModelFileError
        If it has no features or does not end in a linear head of them.
    """
    outputs = {output.name: output for output in model.graph.output}
    ends = [node for node in model.graph.node if "logits" in node.output]
    head = head_of(model)
    if "features" not in outputs or head is None or len(ends) != 1 or "features" not in ends[0].input:
        raise ModelFileError("the network does not end in a linear head on an output 'features'")
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    tail = {"logits"}
    kept = []
    for node in graph.node:
        if tail.intersection(node.input):
            tail.update(node.output)
        elif "logits" in node.output:
            continue
        else:
            kept.append(node)
    gemm = helper.make_node("Gemm", ["features", HEAD_WEIGHT, HEAD_BIAS], ["logits"], transB=1)
    nodes = [*kept, gemm, *_after(task)]
    del graph.node[:]
    graph.node.extend(nodes)
    values = {HEAD_WEIGHT: weight, HEAD_BIAS: bias, TEMPERATURE: np.array(temperature, np.float32)}
    tensors = [tensor for tensor in graph.initializer if tensor.name not in values]
    del graph.initializer[:]
    graph.initializer.extend([*tensors, *(_constant(name, value) for name, value in values.items())])
    classes = 2 if task == "binary" else len(weight)
    for name, count in (("logits", len(weight)), ("probabilities", classes)):
        end = next(output for output in graph.output if output.name == name)
        end.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", count]))
    return changed


def axis_names(model: onnx.ModelProto, end: str) -> tuple[str, ...] | None:
    """Names along axis 1 of an input or output, bands or classes; None where the graph does not give them.

    They stand in the graph besides the record so that a record with names in another order is found.
    """
    for value in (*model.graph.input, *model.graph.output):
        if value.name == end and value.doc_string:
            try:
                names = json.loads(value.doc_string)
            except (ValueError, RecursionError):
                return None
            return tuple(map(str, names)) if isinstance(names, list) else None
    return None


def name_axes(model: onnx.ModelProto, *, bands: Sequence[str], classes: Sequence[str]) -> None:
    """Put the names of bands and classes into a whole model's graph, as JSON lists.

    Others are replaced, for a class may be renamed; the same in another order stay, and contradict the record then.
    """
    for value, names in ((model.graph.input[0], bands), (model.graph.output[0], classes)):
        if sorted(axis_names(model, value.name) or ()) != sorted(names):
            value.doc_string = json.dumps(list(names), ensure_ascii=False)


def patch_size(model: onnx.ModelProto) -> int | None:
    """Side in pixels to which an assembled model resizes, or None for a graph that does not."""
    for tensor in model.graph.initializer:
        if tensor.name == _SIZE:
            return int(numpy_helper.to_array(tensor)[0])
    return None


def prune(model: onnx.ModelProto, wanted: Sequence[str], *, native_size: bool = False) -> onnx.ModelProto:
    """Keep only what some outputs need.

    Parameters
    ----------
    model : onnx.ModelProto
        A whole model.
    wanted : sequence of str
        Its outputs to keep, in this order.
    native_size : bool
        Also leave out resizing and rounding, which change nothing in pixels that have :func:`patch_size`.

    Returns
    -------
    onnx.ModelProto
        Another model; `model` is not changed.

    Raises
    ------
    ModelFileError
        If there is no such output.
    """
    outputs = {output.name: output for output in model.graph.output}
    missing = [name for name in wanted if name not in outputs]
    if missing:
        raise ModelFileError(f"the model has no output '{missing[0]}'")
    needed = set(wanted)
    nodes: list[onnx.NodeProto] = []
    for original in reversed(model.graph.node):
        if not needed.intersection(original.output):
            continue
        node = original
        if native_size and _ROUNDED in original.input:
            node = onnx.NodeProto()
            node.CopyFrom(original)
            node.input[:] = [_FLOAT if name == _ROUNDED else name for name in original.input]
        nodes.append(node)
        needed.update(node.input)
        for attribute in node.attribute:  # what its subgraphs take from outside
            for inner in (attribute.g, *attribute.graphs):
                needed.update(_names(inner))
    pruned = onnx.ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        producer_name=model.producer_name,
        functions=model.functions,
    )
    pruned.graph.name = model.graph.name
    pruned.graph.node.extend(reversed(nodes))
    pruned.graph.input.extend(model.graph.input)
    pruned.graph.output.extend(outputs[name] for name in wanted)
    pruned.graph.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    pruned.graph.sparse_initializer.extend(t for t in model.graph.sparse_initializer if t.values.name in needed)
    return pruned


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    """All names that nodes of a subgraph take, at any depth."""
    yield from (output.name for output in graph.output)
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _names(inner)


def _before(spec: InputSpec, inner: str, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Cast, resize to the patch size, round to whole numbers as the training cache did, normalize."""
    graph.initializer.extend(
        [
            _constant(_SIZE, np.array([spec.size, spec.size], np.int64)),
            _constant(MEAN, np.array(spec.mean, np.float32).reshape(1, -1, 1, 1)),
            _constant(SD, np.array(spec.sd, np.float32).reshape(1, -1, 1, 1)),
        ]
    )
    return [
        helper.make_node("Cast", [INPUT], [_FLOAT], to=TensorProto.FLOAT),
        helper.make_node(
            "Resize",
            [_FLOAT, "", "", _SIZE],
            ["swath.resized"],
            axes=[2, 3],
            mode="linear",
            antialias=1,
            exclude_outside=1,  # weights at the edges as in swath.imagery.resize, which training uses
            coordinate_transformation_mode="half_pixel",
        ),
        helper.make_node("Round", ["swath.resized"], [_ROUNDED]),
        helper.make_node("Sub", [_ROUNDED, MEAN], ["swath.centered"]),
        helper.make_node("Div", ["swath.centered", SD], [inner]),
    ]


def _after(task: Task) -> list[onnx.NodeProto]:
    """Temperature, and probabilities along axis 1: for ``[N, K]`` logits as for maps ``[N, K, h, w]``."""
    nodes = [helper.make_node("Div", ["logits", TEMPERATURE], [_SCALED])]
    match task:
        case "single-label":
            nodes.append(helper.make_node("Softmax", [_SCALED], ["probabilities"], axis=1))
        case "multi-label":
            nodes.append(helper.make_node("Sigmoid", [_SCALED], ["probabilities"]))
        case "binary":
            # The sigmoid of the negated logit, rather than 1 - p, keeps small probabilities exact.
            nodes += [
                helper.make_node("Neg", [_SCALED], ["swath.against"]),
                helper.make_node("Concat", ["swath.against", _SCALED], ["swath.both"], axis=1),
                helper.make_node("Sigmoid", ["swath.both"], ["probabilities"]),
            ]
    return nodes


def _constant(name: str, value: npt.NDArray[Any] | np.generic) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)
