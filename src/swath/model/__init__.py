"""The model file: one ``.onnx`` that is a whole model, with a record of what it is inside.

Everything left of it may train with whatever it likes; everything right of it reads only this file.
"""

from __future__ import annotations

from swath.model.card import card, model_card
from swath.model.file import (
    ModelFile,
    check_not_model,
    read_model,
    record_schema,
    resolve_model,
    shipped_models,
    write_model,
)
from swath.model.record import Record
from swath.model.stac import stac_item

__all__ = [
    "ModelFile",
    "Record",
    "card",
    "check_not_model",
    "model_card",
    "read_model",
    "record_schema",
    "resolve_model",
    "shipped_models",
    "stac_item",
    "write_model",
]
