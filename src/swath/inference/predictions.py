"""What a classifier says of images: labels, how sure it is, and all probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.model import Record
from swath.model.record import called, leading

JOINED = ";"  # between the labels of one image
NO_LABEL = "(no label)"


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of N images.

    Attributes
    ----------
    labels : list of str
        The class of each image: the most probable one, or for a binary model the one that its threshold
        decides for. For a multi-label model all its labels, joined by ``;``, and empty where it has none.
    confidence : numpy.ndarray
        float32 ``[N]``, calibrated, 0-1: the probability of the class in `labels`, which for a binary
        model may be below one half; for a multi-label model the largest of all labels' probabilities.
    probabilities : numpy.ndarray
        float32 ``[N, K]``; rows add up to 1 but for multi-label models.
    classes : tuple of str
        Names of the K columns.
    label_sets : list of tuple of str
        The labels of each image, one by one in the model's order: always one, but any number for
        multi-label models.
    ood_score : numpy.ndarray or None
        float32 ``[N]``, how strange each image is to the model (see :mod:`swath.inference.ood`); None where the
        model file cannot tell.
    ood : numpy.ndarray or None
        bool ``[N]``, whether that reaches the model file's threshold: not like the training data, and no answer
        to it means anything.
    """

    labels: list[str]
    confidence: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    classes: tuple[str, ...]
    label_sets: list[tuple[str, ...]]
    ood_score: npt.NDArray[np.float32] | None = None
    is_ood: npt.NDArray[np.bool_] | None = None

    @property
    def named(self) -> list[str]:
        """`labels`, with :data:`NO_LABEL` for images that have none: for people to read."""
        return [label or NO_LABEL for label in self.labels]

    def top(self, k: int) -> list[list[tuple[str, float]]]:
        """The `k` most probable classes of each image, most probable first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return [
            [(self.classes[j], float(row[j])) for j in places]
            for row, places in zip(self.probabilities, order, strict=True)
        ]


def judged(record: Record, probabilities: npt.NDArray[np.float32]) -> Predictions:
    """Turn probabilities ``[N, K]`` into labels and confidences, as the record's task and thresholds say."""
    names = record.class_names
    if record.task == "multi-label":
        confidence = probabilities.max(axis=1)
    else:
        chosen = leading(record, probabilities)
        confidence = probabilities[np.arange(len(chosen)), chosen]
    sets = [
        tuple(name for name, has in zip(names, row, strict=True) if has)
        for row in called(record, probabilities)
    ]
    return Predictions([JOINED.join(s) for s in sets], confidence, probabilities, names, sets)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """One after the other; of one model and at least one part."""
    strange = [p.ood_score for p in parts if p.ood_score is not None]
    ood = [p.is_ood for p in parts if p.is_ood is not None]
    return Predictions(
        labels=[label for p in parts for label in p.labels],
        confidence=np.concatenate([p.confidence for p in parts]),
        probabilities=np.concatenate([p.probabilities for p in parts]),
        classes=parts[0].classes,
        label_sets=[labels for p in parts for labels in p.label_sets],
        ood_score=np.concatenate(strange) if strange else None,
        is_ood=np.concatenate(ood) if ood else None,
    )
