"""What a model's graph gives for all patches of an index, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, cached_pixels
from swath.inference import Classifier
from swath.progress import Progress, silent

_BATCH = 256


def model_pixels(
    classifier: Classifier, part: PatchIndex, *, progress: Progress = silent
) -> npt.NDArray[Any]:
    """Pixels of all patches as the model takes them; of the model's size if they are not squares of one."""
    width, height = (part.table.column(name).unique().to_pylist() for name in ("width", "height"))
    size = None if len(width) == 1 and width == height else classifier.size
    return cached_pixels(part, bands=classifier.record.input.bands, size=size, progress=progress)


def model_outputs(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    *,
    wanted: Sequence[str] = ("probabilities",),
    stage: str = "classify",
    progress: Progress = silent,
) -> dict[str, npt.NDArray[np.float32]]:
    """Outputs of the graph for all patches, by name, a batch at a time."""
    parts: list[dict[str, npt.NDArray[np.float32]]] = []
    for start in range(0, len(pixels), _BATCH):
        parts.append(dict(classifier.run(pixels[start : start + _BATCH], wanted=wanted)))
        progress(stage, min(start + _BATCH, len(pixels)), len(pixels))
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}
