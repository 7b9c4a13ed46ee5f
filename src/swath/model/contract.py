"""Does a graph keep the contract of the model file? Nothing runs before this says yes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from swath.errors import ModelFileError
from swath.model.graph import INPUT, TEMPERATURE, TYPES, head_of, patch_size
from swath.model.record import Record

_STANDARD_DOMAINS = {"", "ai.onnx"}


def check_contract(graph: onnx.ModelProto, record: Record, *, where: str) -> None:
    """Refuse graphs that are not self-contained standard ONNX, or are not what their record says.

    Parameters
    ----------
    graph : onnx.ModelProto
        A whole model.
    record : Record
        What it says of itself.
    where : str
        Name of the file for messages.

    Raises
    ------
    ModelFileError
        With the first breach found.
    """
    if any(_outside(tensor) for tensor in _tensors(graph.graph)):
        raise ModelFileError(f"{where} points to weights outside itself")
    domains = {node.domain for node in _nodes(graph.graph)} - _STANDARD_DOMAINS
    if domains or graph.functions:
        raise ModelFileError(
            f"{where} uses operators outside standard ONNX ({', '.join(sorted(domains)) or 'functions'})"
        )
    try:
        onnx.checker.check_model(graph)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise ModelFileError(f"{where} is not a valid ONNX graph ({reason})") from error
    _check_ends(graph, record, where)
    try:
        _check_weights(graph, record, where)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise ModelFileError(f"{where} holds damaged weights ({error})") from error


def _check_ends(graph: onnx.ModelProto, record: Record, where: str) -> None:
    """Input and outputs are those of a swath model, with the record's bands, type and classes."""
    outputs = {output.name: output for output in graph.graph.output}
    if [i.name for i in graph.graph.input] != [INPUT] or not {"probabilities", "logits"} <= outputs.keys():
        raise ModelFileError(f"{where} does not have the input and outputs of a swath model")
    pixels = graph.graph.input[0].type.tensor_type
    if pixels.elem_type != TYPES[record.input.data_type]:
        raise ModelFileError(f"{where}: the graph does not take {record.input.data_type}, as the record says")
    bands = pixels.shape.dim[1].dim_value if len(pixels.shape.dim) == 4 else 0
    if bands != len(record.input.bands):
        raise ModelFileError(
            f"{where}: the graph takes {bands} bands, the record names {len(record.input.bands)}"
        )
    for name, wanted in (("probabilities", len(record.classes)), ("logits", record.outputs)):
        shape = outputs[name].type.tensor_type.shape.dim
        given = shape[1].dim_value if len(shape) == 2 else 0
        if given != wanted:
            raise ModelFileError(
                f"{where}: the graph gives {given} {name}, and the record names {len(record.classes)} classes "
                f"of a {record.task} model"
            )
    ends = [node.op_type for node in graph.graph.node if "probabilities" in node.output]
    if (ends == ["Softmax"]) != (record.task == "single-label"):
        raise ModelFileError(
            f"{where}: the graph ends in {' and '.join(ends) or 'nothing'}, as no {record.task} model does"
        )


def _check_weights(graph: onnx.ModelProto, record: Record, where: str) -> None:
    """The temperature, the patch size and the head are those of the record."""
    if patch_size(graph) not in (None, record.input.size):
        raise ModelFileError(f"{where}: the graph and the record state different patch sizes")
    head = head_of(graph)
    if head is not None and (head[0].ndim != 2 or not len(head[0]) == head[1].size == record.outputs):
        raise ModelFileError(f"{where}: the head does not have one row a logit")
    for tensor in graph.graph.initializer:
        if tensor.name == TEMPERATURE:
            value = numpy_helper.to_array(tensor)
            if value.size != 1 or not np.isclose(float(value.reshape(())), record.temperature, rtol=1e-5):
                raise ModelFileError(f"{where}: the graph and the record state different temperatures")


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes, those of subgraphs too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All stored tensors: weights, and those in attributes of nodes, at any depth."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _outside(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data)
