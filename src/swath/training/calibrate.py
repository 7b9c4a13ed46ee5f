"""What validation patches decide of a trained network: temperature, thresholds and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.evaluation import best_threshold, confusion_matrix, measure, measure_binary, measure_multilabel
from swath.evaluation.temperature import fit_binary_temperature, fit_temperature, to_probabilities
from swath.model.record import Estimate
from swath.training.targets import Targets

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ValidationResult:
    """What validation patches decide, and the metrics on them.

    Attributes
    ----------
    temperature : float
        Divides the logits.
    thresholds : dict of str to float
        Probability from which a class is predicted: the binary task's positive one, or each of multi-label.
    metrics : dict of str to Estimate
        On the validation split.
    """

    temperature: float
    metrics: dict[str, Estimate]
    thresholds: dict[str, float] = field(default_factory=dict)


def validate_network(logits: Floats, labels: npt.NDArray[Any], targets: Targets) -> ValidationResult:
    """Fit what is fitted on validation patches, and measure.

    Thresholds are those with the best F1 on these same patches, so precision, recall and F1 are slightly optimistic.

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
        return ValidationResult(fit_temperature(logits, labels), metrics)
    shares = targets.shares(labels)
    temperature = fit_binary_temperature(logits, shares)
    probabilities = to_probabilities(logits, targets.task, temperature)
    if targets.task == "binary":
        truth, scores = shares[:, 0] > 0.5, probabilities[:, 1]
        threshold = best_threshold(truth, scores)
        binary = measure_binary(truth, scores, threshold=threshold, names=targets.classes)
        return ValidationResult(temperature, binary.headline(), {targets.classes[1]: threshold})
    thresholds = _thresholds(shares > 0.5, probabilities)
    several = measure_multilabel(shares > 0.5, probabilities, thresholds=thresholds, names=targets.classes)
    return ValidationResult(temperature, several.headline(), dict(zip(targets.classes, thresholds, strict=True)))


def _thresholds(truth: npt.NDArray[np.bool_], probabilities: Floats) -> Sequence[float]:
    return [best_threshold(t, p) for t, p in zip(truth.T, probabilities.T, strict=True)]
