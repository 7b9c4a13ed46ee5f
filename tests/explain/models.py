"""A real model to explain: the tiny one of :mod:`tests.tiny`, whole or with a part left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swath.inference import Classifier
from swath.inference.choice import make_engine
from swath.model import ModelFile
from swath.model.graph import assemble
from tests.tiny import input_spec, tiny_body, tiny_record


def tiny_classifier(*, lacks: str = "", temperature: float = 1.0) -> Classifier:
    """The tiny model without its ``"head"`` or ``"activations"``, as networks of other kinds are."""
    body = tiny_body()
    if lacks == "activations":
        kept = [output for output in body.graph.output if output.name != "activations"]
        del body.graph.output[:]
        body.graph.output.extend(kept)
    if lacks == "head":
        for node in body.graph.node:
            node.input[:] = [name.replace("head.", "last.") for name in node.input]
        for tensor in body.graph.initializer:
            tensor.name = tensor.name.replace("head.", "last.")
    graph = assemble(body, spec=input_spec(), task="single-label", temperature=temperature)
    fields: dict[str, Any] = {"temperature": temperature}
    model = ModelFile(tiny_record(graph, **fields), graph, Path("tiny.onnx"))
    return Classifier(model, make_engine("onnxruntime", graph, threads=1))
