"""A model as an item of a STAC catalog: STAC 1.1.0 with the Machine Learning Model extension, v1.4.0.

https://github.com/stac-extensions/mlm; an export of the record, never a second source of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from swath.model.file import ModelFile
from swath.model.graph import INPUT
from swath.model.record import Record

MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
TASK = "scene-classification"  # one answer for a whole image, in the extension's words
_SHA256 = "1220"  # the multihash prefix: SHA-256, 32 bytes
_VERSION = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?")
_KEY = re.compile(r"[0-9a-zA-Z_.-]+")


def stac_item(model: ModelFile, *, relative_to: Path | None = None) -> dict[str, Any]:
    """Describe a model file as a STAC item, ready for JSON.

    A model has no one place on Earth, so the geometry is null.

    Parameters
    ----------
    model : ModelFile
        The model.
    relative_to : Path, optional
        The item's own file: the model is then linked relative to its folder, else by its name alone.
    """
    record = model.record
    bands = [
        {"name": name, "data_type": record.input.data_type, "statistics": {"mean": mean, "stddev": sd}}
        | ({"gsd": record.input.gsd} if record.input.gsd else {})
        for name, mean, sd in zip(record.input.bands, record.input.channel_mean, record.input.channel_sd, strict=True)
    ]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM, FILE, CLASSIFICATION],
        "id": _name(record.name),
        "geometry": None,
        "properties": {
            "datetime": f"{record.created[:10]}T00:00:00Z",
            "description": f"{record.task} model of {len(record.classes)} classes, trained on {record.data.name}; "
            f"split: {record.data.split_protocol}",
            "license": record.license,
            "bands": bands,
            **_mlm(record),
            "swath:data": record.data.model_dump(mode="json"),
            "swath:seen": {k: sum(getattr(s, k).n for s in record.seen) for k in ("train", "val")}
            if record.seen
            else None,
            "swath:metrics": {name: value.model_dump() for name, value in record.metrics.items()},
            "swath:thresholds": dict(record.thresholds),
        },
        "links": [],
        "assets": {"model": _asset(model, relative_to)},
    }


def _mlm(record: Record) -> dict[str, Any]:
    spec = record.input
    version = record.versions.get("onnx", "")
    recipe = {key: value for key, value in record.recipe.items() if _KEY.fullmatch(key)}
    began = record.started_from or {}
    return {
        "mlm:name": _name(record.name),
        "mlm:architecture": record.architecture,
        "mlm:tasks": [TASK],
        "mlm:framework": "ONNX",
        **({"mlm:framework_version": version} if _VERSION.fullmatch(version) else {}),
        "mlm:total_parameters": record.total_parameters,
        "mlm:pretrained": record.pretrained,
        # Where a model was trained from scratch, the extension wants null here.
        "mlm:pretrained_source": str(began.get("source", "not stated")) if record.pretrained else None,
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        **({"mlm:hyperparameters": recipe} if recipe else {}),
        "mlm:input": [
            {
                "name": INPUT,
                "description": f"{spec.meaning}. Scaling and normalization are inside the graph.",
                "bands": list(spec.bands),
                "input": {
                    "shape": [-1, len(spec.bands), spec.size, spec.size],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": spec.data_type,
                },
                "value_scaling": None,
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "probabilities",
                "description": "Calibrated probabilities; sigmoids of each class where the task is multi-label.",
                "tasks": [TASK],
                "result": {"shape": [-1, len(record.classes)], "dim_order": ["batch", "class"], "data_type": "float32"},
                "classification:classes": [
                    {
                        "value": c.value,
                        "name": re.sub(r"[^0-9A-Za-z_-]", "-", c.name),
                        "title": c.name,
                        "description": c.name,
                        "color_hint": c.color_hint,
                    }
                    for c in record.classes
                ],
                "post_processing_function": None,
            }
        ],
    }


def _asset(model: ModelFile, relative_to: Path | None) -> dict[str, Any]:
    data = model.path.read_bytes()
    href = model.path.name
    if relative_to is not None:
        href = Path(os.path.relpath(model.path.resolve(), relative_to.resolve().parent)).as_posix()
    return {
        "href": href if href.startswith("../") else f"./{href}",
        "title": f"Model {model.record.name}",
        "type": "application/octet-stream; application=onnx",
        "roles": ["mlm:model", "mlm:compiled", "data"],
        "mlm:artifact_type": "onnx",
        "file:size": len(data),
        "file:checksum": _SHA256 + hashlib.sha256(data).hexdigest(),
    }


def _name(name: str) -> str:
    """A name as the extension allows it: letters, digits, ``_.-`` and spaces; a letter first, three or more."""
    plain = re.sub(r"[^0-9A-Za-z_. -]", "-", name).strip("_.- ")
    return plain if re.fullmatch(r"[a-zA-Z].+[a-zA-Z0-9]", plain) else f"model-{plain or 'unnamed'}"
