"""Reading and writing the model file: one ``.onnx`` with its record inside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
from pydantic import ValidationError

from swath.errors import ModelFileError, SettingError
from swath.files import atomic_file
from swath.model.contract import check_contract
from swath.model.record import RECORD_KEY, SCHEMA_VERSION, Record

MAX_MODEL_BYTES = 2 * 2**30


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
    ModelFileError
        If there is neither such a file nor such a shipped model.
    """
    path = Path(model)
    if path.suffix != ".onnx" and str(model) in shipped_models():
        return _shipped() / f"{model}.onnx"
    if path.is_file():
        return path
    known = ", ".join(shipped_models()) or "none"
    raise ModelFileError(f"there is no model '{model}'", fix=f"give a .onnx file or a shipped name ({known})")


def check_not_model(out: Path, model: str | Path) -> None:
    """Refuse an output that is the very model it is made from, under whatever name.

    Raises
    ------
    SettingError
        If it is.
    ModelFileError
        As :func:`resolve_model`.
    """
    path = resolve_model(model)
    if out.exists() and out.samefile(path):
        raise SettingError(f"{out} is the model itself", fix="choose another name with --out")


def read_model(model: str | Path) -> ModelFile:
    """Read and validate a model file, or a shipped model by name.

    Raises
    ------
    ModelFileError
        If it is not ONNX, carries no swath record, is damaged, or was written by a newer swath.
    """
    path = resolve_model(model)
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise ModelFileError(f"{path} is larger than a model file may be ({MAX_MODEL_BYTES >> 30} GiB)")
    try:
        graph = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, ValueError) as error:
        raise ModelFileError(
            f"{path} is not an ONNX file", fix="give a file written by swath train"
        ) from error
    text = next((p.value for p in graph.metadata_props if p.key == RECORD_KEY), None)
    if text is None:
        raise ModelFileError(f"{path} carries no swath record", fix="give a file written by swath train")
    record = _parse_record(text, path)
    check_contract(graph, record, where=str(path))
    return ModelFile(record, graph, path)


def write_model(path: Path, graph: onnx.ModelProto, record: Record, *, overwrite: bool = False) -> None:
    """Put `record` into `graph` and write both as one file, atomically."""
    whole = onnx.ModelProto()
    whole.CopyFrom(graph)
    del whole.metadata_props[:]
    whole.metadata_props.add(key=RECORD_KEY, value=record.model_dump_json())
    whole.producer_name = "swath"
    check_contract(whole, record, where=str(path))
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(whole.SerializeToString(deterministic=True))


def record_schema() -> dict[str, Any]:
    """JSON Schema of the record; ``model/record.schema.json`` in the package holds the same."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Record.model_json_schema()}


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
