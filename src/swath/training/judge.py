"""From validation logits to a temperature, thresholds and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.evaluation import (
    best_threshold,
    confusion_matrix,
    measure,
    measure_binary,
    measure_multilabel,
)
from swath.model.record import Estimate, Task
from swath.training.calibrate import fit_binary_temperature, fit_temperature
from swath.training.targets import Targets, one_hot

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """What the validation patches decided, and how well the network does on them.

    Attributes
    ----------
    temperature : float
        Divides the logits.
    thresholds : dict of str to float
        Probability from which a class is called: the binary task's positive one, or each of multi-label.
    metrics : dict of str to Estimate
        On the validation split.
    """

    temperature: float
    metrics: dict[str, Estimate]
    thresholds: dict[str, float] = field(default_factory=dict)


def judge(logits: Floats, labels: npt.NDArray[Any], targets: Targets) -> Judged:
    """Fit what is fitted on validation patches, and measure.

    Thresholds are those with the best F1 on these same patches, so precision, recall and F1 here flatter a little.

    Parameters
    ----------
    logits : numpy.ndarray
        ``[N, L]``.
    labels : numpy.ndarray
        As :meth:`Targets.of` gives them.
    targets : Targets
        Task and classes.
    """
    if targets.task == "single-label":
        confusion = confusion_matrix(labels, logits.argmax(1), classes=len(targets.classes))
        measured = measure(confusion, targets.classes)
        metrics = {"accuracy": measured.accuracy, "macro_f1": measured.macro_f1}
        return Judged(fit_temperature(logits, labels), metrics)
    shares = one_hot(labels, targets.task, len(targets.classes))
    temperature = fit_binary_temperature(logits, shares)
    probabilities = to_probabilities(logits, targets.task, temperature)
    if targets.task == "binary":
        truth, scores = shares[:, 0] > 0.5, probabilities[:, 1]
        threshold = best_threshold(truth, scores)
        binary = measure_binary(truth, scores, threshold=threshold, names=targets.classes)
        return Judged(temperature, binary.headline(), {targets.classes[1]: threshold})
    thresholds = _thresholds(shares > 0.5, probabilities)
    several = measure_multilabel(shares > 0.5, probabilities, thresholds=thresholds, names=targets.classes)
    return Judged(temperature, several.headline(), dict(zip(targets.classes, thresholds, strict=True)))


def to_probabilities(logits: Floats, task: Task, temperature: float) -> Floats:
    """What the model file's graph makes of logits ``[N, L]``: ``[N, K]``."""
    scaled = logits / temperature
    if task == "single-label":
        raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
    positive = np.exp(-np.logaddexp(0, -scaled))
    if task == "binary":
        positive = np.concatenate([1 - positive, positive], axis=1)
    return np.asarray(positive, np.float32)


def _thresholds(truth: npt.NDArray[np.bool_], probabilities: Floats) -> Sequence[float]:
    return [best_threshold(t, p) for t, p in zip(truth.T, probabilities.T, strict=True)]
