"""What a model says of the patches of an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, cached_pixels
from swath.inference import Classifier
from swath.progress import Progress, silent

_BATCH = 256
_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 would make an endless loss


@dataclass(frozen=True)
class Answers:
    """What a model said of N patches.

    Attributes
    ----------
    part : PatchIndex
        The patches.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    classes : tuple of str
        The K class names.
    probabilities : numpy.ndarray
        ``[N, K]`` float32.
    truth, predicted : numpy.ndarray
        ``[N]`` int64 class numbers.
    """

    part: PatchIndex
    pixels: npt.NDArray[Any]
    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """``[N]``, whether the answer is the label."""
        return np.asarray(self.truth == self.predicted)

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """``[N]``, the probability of the answer."""
        return self._of(self.predicted)

    @property
    def loss(self) -> npt.NDArray[np.float64]:
        """``[N]``, the negative logarithm of the probability of the label."""
        return np.asarray(-np.log(np.maximum(self._of(self.truth), _SMALLEST)) + 0.0)

    def _of(self, classes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return self.probabilities[np.arange(len(classes)), classes].astype(np.float64)


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
