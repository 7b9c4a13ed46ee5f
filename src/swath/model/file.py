"""Reading and writing the model file: one ``.onnx`` with its record inside.

Both ways the file is checked against its own record: self-contained standard ONNX, the input and outputs of a swath
model, and the bands, classes, thresholds and temperature that the record states.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from swath.contents import SNIFFED_BYTES, mistaken_content
from swath.errors import MissingFileError, ModelFileError, SettingError
from swath.files import atomic_file
from swath.model.cost import check_cost
from swath.model.graph import INPUT, MEAN, SD, TEMPERATURE, TYPES, axis_names, head_of, name_axes, patch_size
from swath.model.record import DIGEST_KEY, RECORD_KEY, SCHEMA_VERSION, Record

_STANDARD_DOMAINS = {"", "ai.onnx"}
_LATEST = 1000  # version of any operators
_PACKED: dict[int, int] = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4}  # bits of a value
MAX_MODEL_BYTES = 2 * 2**30
# Files that people take for model files: first bytes, where they stand, and what they are.
_OTHERS = {
    b"PK\x03\x04": (0, "a zip archive, as torch checkpoints are too, not a model file"),
    b"\x80\x02": (0, "a pickle, such as an old torch checkpoint, not a model file"),
    b"\x89HDF": (0, "an HDF5 file, such as Keras writes, not a model file"),
    b"TFL3": (4, "a TensorFlow Lite model, not a model file"),
    b"ORTM": (4, "a model in ONNX Runtime's own format, not ONNX"),
    b"\x89PNG": (0, "a PNG picture, not a model file"),
    b"\xff\xd8\xff": (0, "a JPEG picture, not a model file"),
    b"II*\0": (0, "a TIFF picture, not a model file"),
    b"PAR1": (0, "a Parquet file, such as a patch index, not a model file"),
}


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
    _check_versions(graph, where)
    try:
        onnx.checker.check_model(graph)
    except Exception as error:  # the library raises nearly anything on hostile graphs
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise ModelFileError(f"{where} is not a valid ONNX graph ({reason})") from error
    _check_ends(graph, record, where)
    try:
        for tensor in _tensors(graph.graph):
            _check_length(tensor)
        _check_weights(graph, record, where)
    except ModelFileError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise ModelFileError(f"{where} holds damaged weights ({error})") from error
    cost = check_cost(graph, (1, len(record.input.bands), record.input.size, record.input.size), where=where)
    _check_outputs(cost.outputs, record, where)


def _check_versions(graph: onnx.ModelProto, where: str) -> None:
    """One version of the standard operators, and one that there is: engines look for others without end."""
    imports = [(entry.domain, entry.version) for entry in graph.opset_import]
    standard = [version for domain, version in imports if domain in _STANDARD_DOMAINS]
    known = onnx.defs.onnx_opset_version()
    if len(standard) != 1 or not 0 < standard[0] <= known or any(not 0 < v <= _LATEST for _, v in imports):
        raise ModelFileError(
            f"{where} asks for operators of version {', '.join(f'{v}' for _, v in imports) or 'nothing'}, "
            f"and the installed onnx knows versions 1 to {known}",
            fix="install a later onnx, or export the model at a lower opset",
        )


def _check_length(tensor: onnx.TensorProto) -> None:
    """Raise ValueError if a tensor has not as many values as its shape says."""
    values = math.prod(tensor.dims)
    if min(tensor.dims, default=0) < 0:
        raise ValueError(f"'{tensor.name}' has a negative length")
    if tensor.HasField("raw_data"):
        bits = _PACKED.get(tensor.data_type) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if len(tensor.raw_data) != -(-values * bits // 8):
            raise ValueError(f"'{tensor.name}' does not have as many values as its shape says")
    elif tensor.data_type:
        numpy_helper.to_array(tensor)


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
        raise ModelFileError(f"{where}: the graph takes {bands} bands, the record names {len(record.input.bands)}")
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


def _check_outputs(shapes: Mapping[str, tuple[int, ...]], record: Record, where: str) -> None:
    """What comes out for one patch has the shape of each output, whatever the graph says of it."""
    wanted = {"probabilities": (1, len(record.classes)), "logits": (1, record.outputs), "features": (1, None)}
    for name, shape in (wanted | {"activations": (1, None, None, None)}).items():
        given = shapes.get(name)
        if given is not None and (
            len(given) != len(shape) or any(w not in (None, g) for g, w in zip(given, shape, strict=True))
        ):
            raise ModelFileError(
                f"{where}: the graph gives '{name}' of shape {list(given)} for one patch, which no such model does"
            )


def _check_weights(graph: onnx.ModelProto, record: Record, where: str) -> None:
    """The names of bands and classes, mean and sd, temperature, patch size and head are those of the record."""
    for end, what, names in ((INPUT, "bands", record.input.bands), ("probabilities", "classes", record.class_names)):
        given = axis_names(graph, end)
        if given not in (None, names):
            raise ModelFileError(
                f"{where}: the graph names its {what} {_first_other(given or (), names)}",
                fix="get the file again, or export the model again",
            )
    if patch_size(graph) not in (None, record.input.size):
        raise ModelFileError(f"{where}: the graph and the record state different patch sizes")
    head = head_of(graph)
    if head is not None and (head[0].ndim != 2 or not len(head[0]) == head[1].size == record.outputs):
        raise ModelFileError(f"{where}: the head does not have one row per logit")
    for tensor in graph.graph.initializer:
        if tensor.name == TEMPERATURE:
            value = numpy_helper.to_array(tensor)
            if value.size != 1 or not np.isclose(float(value.reshape(())), record.temperature, rtol=1e-5):
                raise ModelFileError(f"{where}: the graph and the record state different temperatures")
        if tensor.name in (MEAN, SD):
            stated = record.input.mean if tensor.name == MEAN else record.input.sd
            value = numpy_helper.to_array(tensor).reshape(-1)
            if value.size != len(stated) or not np.allclose(value, stated, rtol=1e-5, atol=1e-6):
                name = "means" if tensor.name == MEAN else "standard deviations"
                raise ModelFileError(
                    f"{where}: the graph normalizes with other {name} ({_numbers(value)}) than the record states "
                    f"({_numbers(stated)})",
                    fix="get the file again, or export the model again",
                )


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.5g}" for value in values)


def _first_other(given: Sequence[str], names: Sequence[str]) -> str:
    """Where two lists of names part."""
    if len(given) != len(names):
        return f"({len(given)}) otherwise than the record ({len(names)})"
    place = next(place for place, (one, other) in enumerate(zip(given, names, strict=True)) if one != other)
    return f"otherwise than the record: number {place} is '{given[place]}', and '{names[place]}' in the record"


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


@dataclass(frozen=True)
class ModelFile:
    """A model file in memory.

    Attributes
    ----------
    record : Record
        What the file says of itself.
    graph : onnx.ModelProto
        The network, with pre- and post-processing inside.
    path : pathlib.Path
        Where it was read from.
    """

    record: Record
    graph: onnx.ModelProto
    path: Path


def shipped_models() -> list[str]:
    """Names of the models inside the package."""
    folder = _shipped()
    return sorted(p.stem for p in folder.glob("[!.]*.onnx")) if folder.is_dir() else []


def resolve_model(model: str | Path) -> Path:
    """The path of a model given as a path or a shipped name.

    Raises
    ------
    MissingFileError
        If there is neither such a file nor such a shipped model.
    """
    path = Path(model)
    if path.suffix != ".onnx" and str(model) in shipped_models():
        return _shipped() / f"{model}.onnx"
    if path.is_file():
        return path
    known = ", ".join(shipped_models()) or "none"
    raise MissingFileError(f"there is no model '{model}'", fix=f"give a .onnx file or a shipped name ({known})")


def check_not_model(out: Path, model: str | Path) -> None:
    """Refuse an output that is the very model it is made from, under whatever name.

    Raises
    ------
    SettingError
        If it is.
    MissingFileError
        As :func:`resolve_model`.
    """
    path = resolve_model(model)
    if out.exists() and out.samefile(path):
        raise SettingError(f"{out} is the model itself", fix="choose another name with --out")


def read_model(model: str | Path) -> ModelFile:
    """Read and validate a model file, or a shipped model by name.

    Raises
    ------
    MissingFileError
        If there is neither such a file nor such a shipped model.
    ModelFileError
        If it is not ONNX, carries no swath record, is damaged, or was written by a newer swath.
    """
    path = resolve_model(model)
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise ModelFileError(f"{path} is larger than a model file may be ({MAX_MODEL_BYTES >> 30} GiB)")
    data = path.read_bytes()
    _check_kind(data[:SNIFFED_BYTES], path)
    try:
        graph = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ModelFileError(
            f"{path} is not an ONNX file, or is cut short", fix="give a whole file written by swath train"
        ) from error
    if not graph.graph.node:
        raise ModelFileError(f"{path} is not an ONNX file", fix="give a file written by swath train")
    text = next((p.value for p in graph.metadata_props if p.key == RECORD_KEY), None)
    if text is None:
        raise ModelFileError(f"{path} carries no swath record", fix="give a file written by swath train")
    record = _parse_record(text, path)
    check_contract(graph, record, where=str(path))
    return ModelFile(record, graph, path)


def write_model(path: Path, graph: onnx.ModelProto, record: Record, *, overwrite: bool = False) -> None:
    """Put `record` into `graph` and write both as one file, atomically.

    The graph gets the names of the record's bands and classes, and the file a digest of the record.

    Raises
    ------
    ModelFileError
        If the graph is not what the record says, as where it has the same classes in another order.
    OutputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(graph)
    del whole.metadata_props[:]
    text = record.model_dump_json()
    whole.metadata_props.add(key=RECORD_KEY, value=text)
    whole.metadata_props.add(key=DIGEST_KEY, value=_digest(text))
    name_axes(whole, bands=record.input.bands, classes=record.class_names)
    whole.producer_name = "swath"
    check_contract(whole, record, where=str(path))
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(whole.SerializeToString(deterministic=True))


def is_sealed(model: ModelFile) -> bool:
    """Whether a file can show that its record is as it was written: by a digest, and names in the graph.

    Raises
    ------
    ModelFileError
        If the record has been changed since.
    """
    stored = {prop.key: prop.value for prop in model.graph.metadata_props}
    if DIGEST_KEY in stored and stored[DIGEST_KEY] != _digest(stored[RECORD_KEY]):
        raise ModelFileError(
            f"{model.path}: its record was changed after swath wrote it",
            fix="get the file again, or export the model again",
        )
    return DIGEST_KEY in stored and axis_names(model.graph, "probabilities") is not None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def record_schema() -> dict[str, Any]:
    """JSON Schema of the record; ``model/record.schema.json`` in the package holds the same."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Record.model_json_schema()}


def _check_kind(head: bytes, path: Path) -> None:
    """Refuse what is no ONNX file by its first bytes, and say what it is."""
    found = mistaken_content(head)
    if found is not None:
        raise ModelFileError(f"{path} {found[0]}", fix=found[1])
    kind = next((kind for mark, (at, kind) in _OTHERS.items() if head[at : at + len(mark)] == mark), None)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32:
        kind = "weights (safetensors), not a model file"
    if kind is not None:
        raise ModelFileError(f"{path} is {kind}", fix="give the model.onnx that swath train wrote")


def _parse_record(text: str, path: Path) -> Record:
    try:
        values = json.loads(text)
        version = values["schema_version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise ModelFileError(f"the record of {path} is damaged ({reason})") from error
    if not isinstance(version, int):
        raise ModelFileError(
            f"the record of {path} is damaged (its schema_version is not a whole number: {version!r:.40})"
        )
    if version > SCHEMA_VERSION:
        raise ModelFileError(
            f"{path} was written by a newer swath (record schema {version}, this one knows {SCHEMA_VERSION})",
            fix="upgrade swath to read it",
        )
    try:
        return Record.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(p) for p in first["loc"])
        raise ModelFileError(f"the record of {path} is not valid: {field}: {first['msg']}") from error


def _shipped() -> Path:
    return Path(str(files("swath.model"))) / "shipped"
