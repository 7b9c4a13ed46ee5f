"""What goes out: the shape of every answer, as the API's description shows it, with an example of each."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from swath.explain.pictures import Explanation, overlay_picture
from swath.inference.predictions import Prediction
from swath.service.models import ServedModel


class ErrorAnswer(BaseModel):
    """Why a request was not carried out, in one sentence that names a fix."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"error": "field.txt is an empty file; replace it or leave it out", "request_id": "5f0c..."}]
        }
    )
    error: str
    request_id: str


class ImageAnswer(BaseModel):
    """What a model says of one image."""

    name: str = Field(description="Name of the uploaded file, or the image's number.")
    label: str = Field(description="The predicted class; labels joined by ';' for a multi-label model.")
    labels: list[str] = Field(description="The predicted labels one by one.")
    confidence: float = Field(ge=0, le=1, description="Calibrated probability of the predicted class.")
    probabilities: dict[str, float] = Field(description="Calibrated probability of every class.")
    is_ood: bool | None = Field(
        description="Whether the image is unlike the training data, where predictions are unreliable; null where the "
        "model cannot detect it."
    )
    ood_score: float | None = Field(description="Distance from the training data that this follows from.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")


_IMAGE: dict[str, Any] = {
    "name": "field.jpg",
    "label": "AnnualCrop",
    "labels": ["AnnualCrop"],
    "confidence": 0.97,
    "probabilities": {"AnnualCrop": 0.97, "Forest": 0.03},
    "is_ood": False,
    "ood_score": 0.12,
    "width": 64,
    "height": 64,
}


class PredictAnswer(BaseModel):
    """Predictions for the images of one request, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "eurosat", "version": "3f2a91c04b7d", "request_id": "5f0c...", "images": [_IMAGE]}]
        }
    )
    model: str
    version: str = Field(description="First digits of the SHA-256 of the model file.")
    request_id: str
    images: list[ImageAnswer]


class ExplainedAnswer(BaseModel):
    """Where in one image the evidence for a class is."""

    name: str = Field(description="Name of the uploaded file, or the image's number.")
    label: str
    confidence: float
    explained: str = Field(description="The class the map is about.")
    method: str = Field(description="cam (exact) or occlusion.")
    map: list[list[float]] = Field(
        description="Rows of the map: contribution of each place to the logit (cam), or log-odds lost when it is "
        "covered (occlusion). Positive values speak for the class."
    )
    picture: str = Field(description="The image and the map over it, with its scale: a PNG in base64.")


class ExplainAnswer(BaseModel):
    """Maps of the evidence in the images of one request, in their order."""

    model: str
    version: str
    request_id: str
    images: list[ExplainedAnswer]


class ClassAnswer(BaseModel):
    """A class of a model."""

    name: str
    color: str = Field(description="As #rrggbb.")


class ModelAnswer(BaseModel):
    """A model that is served."""

    name: str
    version: str
    task: str
    classes: list[ClassAnswer]
    bands: list[str]
    data_type: str
    size: int = Field(description="Side of the patches the network sees, pixels; others are resized.")
    gsd: float | None = Field(description="Ground sampling distance of the training data, meters per pixel.")
    engine: str
    detects_ood: bool


class ModelsAnswer(BaseModel):
    """All models; the first one answers where a request names none."""

    models: list[ModelAnswer]


class TileJsonAnswer(BaseModel):
    """Where the tiles of a map are, as TileJSON 2.2.0 says it; `colors` is not of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tilejson": "2.2.0",
                    "name": "classes by eurosat",
                    "scheme": "xyz",
                    "tiles": ["http://127.0.0.1:8000/v1/maps/5f0c.../{z}/{x}/{y}.png"],
                    "minzoom": 0,
                    "maxzoom": 14,
                    "bounds": [9.0, 47.82, 9.05, 47.86],
                    "center": [9.03, 47.84, 12],
                    "colors": {"Forest": "#228833", "River": "#4477AA"},
                }
            ]
        }
    )
    tilejson: str
    name: str
    scheme: str
    tiles: list[str] = Field(description="Address of a tile, with {z}, {x} and {y} to be filled in.")
    minzoom: int
    maxzoom: int = Field(description="Zoom level beyond which tiles show nothing more.")
    bounds: list[float] = Field(
        min_length=4,
        max_length=4,
        description="West, south, east, north in degrees; from -180 to 180 for a map across the antimeridian.",
    )
    center: list[float] = Field(
        min_length=3, max_length=3, description="Longitude, latitude, and the zoom level that shows it all."
    )
    colors: dict[str, str] = Field(description="Color of every class, as #rrggbb; of some percentages of confidence.")


class StateAnswer(BaseModel):
    """Whether the service is there, or ready."""

    status: str


def image_answer(name: str, found: Prediction, size: tuple[int, int]) -> dict[str, Any]:
    """An :class:`ImageAnswer` as plain values: made for every image, so without validation."""
    return {
        "name": name,
        "label": found.label,
        "labels": found.labels,
        "confidence": found.confidence,
        "probabilities": found.probabilities,
        "is_ood": found.is_ood,
        "ood_score": found.ood_score if found.ood_score is None or math.isfinite(found.ood_score) else None,
        "width": size[0],
        "height": size[1],
    }


def explained_answer(name: str, found: Explanation, bands: Sequence[str]) -> ExplainedAnswer:
    """A map with its picture; drawing takes about half a second."""
    evidence = found.evidence
    picture = overlay_picture(found.pixels, evidence, bands=bands, name=name)
    return ExplainedAnswer(
        name=name,
        label=evidence.labels[0],
        confidence=float(evidence.confidence[0]),
        explained=evidence.explained[0],
        method=evidence.method,
        map=evidence.maps[0].tolist(),
        picture=base64.b64encode(picture).decode(),
    )


def model_answer(model: ServedModel) -> ModelAnswer:
    """What is said of a model."""
    record, spec = model.classifier.record, model.classifier.record.input
    return ModelAnswer(
        name=model.name,
        version=model.version,
        task=record.task,
        classes=[ClassAnswer(name=one.name, color=f"#{one.color_hint}") for one in record.classes],
        bands=list(spec.bands),
        data_type=spec.data_type,
        size=spec.size,
        gsd=spec.gsd,
        engine=model.classifier.engine,
        detects_ood=model.classifier.detects_ood,
    )
